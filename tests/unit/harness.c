/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs each cmocka case in a child of its own. The child's output is cmocka's; the parent counts and, at the
 * end, prints one line "N passed, N failed, N skipped". A case that calls unit_skip() counts as skipped.
 */
#include "harness.h"

#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_SKIPPED 77
#define EXIT_LEAK    78

/* The case's folder, made by the parent: a name of its own whatever pids come back, removed even if the case
 * is killed. */
static char folder[] = "/tmp/boxlet-unit-XXXXXX";
static int folder_fd = -1;

static int count_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int count = 0;
        if (dir == NULL)
                return -1;
        while (readdir(dir) != NULL)
                count++;
        (void)closedir(dir);
        return count;
}

const char *unit_folder(int *ret_fd)
{
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder_fd < 0) {
                perror("open the test folder");
                abort();
        }
        if (ret_fd != NULL)
                *ret_fd = folder_fd;
        return folder;
}

static void remove_folder(void)
{
        (void)umount2(folder, MNT_DETACH); /* what a case that was killed had mounted on it */
        if (path_remove_all_at(AT_FDCWD, folder) < 0)
                (void)fprintf(stderr, "cannot remove %s\n", folder);
}

void unit_skip(const char *reason)
{
        (void)printf("skipped: %s\n", reason);
        (void)fflush(NULL);
        _exit(EXIT_SKIPPED);
}

void unit_refuse(int number, int error)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        assert_non_null(filter);
        assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), number, 0), 0);
        assert_int_equal(seccomp_load(filter), 0);
        seccomp_release(filter);
}

static int run_here(const struct CMUnitTest *one)
{
        const struct CMUnitTest group[] = {*one};
        int before = count_fds();
        int failed = _cmocka_run_group_tests(one->name, group, 1, NULL, NULL);
        if (folder_fd >= 0)
                (void)close(folder_fd);
        int after = count_fds();
        (void)fflush(stdout);
        if (failed != 0)
                return 1;
        if (after != before) {
                (void)fprintf(stderr, "%s: %d descriptors before, %d after\n", one->name, before, after);
                return EXIT_LEAK;
        }
        return 0;
}

/* Returns the case's exit code, or 128 + signal. */
static int run_apart(const struct CMUnitTest *one)
{
        (void)memset(folder + sizeof(folder) - 7, 'X', 6);
        if (mkdtemp(folder) == NULL) {
                perror("make a test folder");
                return 1;
        }
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid < 0) {
                remove_folder();
                return 1;
        }
        if (pid == 0) {
                (void)setpgid(0, 0);
                /* a shell ignores some for what it starts in the background */
                for (int number = 1; number < NSIG; number++)
                        (void)signal(number, SIG_DFL); /* SIGKILL and SIGSTOP refuse */
                (void)alarm(UNIT_CASE_SECONDS);
                exit(run_here(one));
        }
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        (void)kill(-pid, SIGKILL); /* what the case started and left, in its own process group */
        remove_folder();
        if (WIFSIGNALED(status)) {
                (void)fprintf(stderr, "%s: ended by signal %d (%s)\n", one->name, WTERMSIG(status),
                              strsignal(WTERMSIG(status)));
                return 128 + WTERMSIG(status);
        }
        return WEXITSTATUS(status);
}

int unit_main(const struct CMUnitTest *cases, size_t count, int argc, char **argv)
{
        unsigned passed = 0, failed = 0, skipped = 0;
        for (size_t i = 0; i < count; i++) {
                if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
                        continue;
                int code = run_apart(&cases[i]);
                if (code == 0)
                        passed++;
                else if (code == EXIT_SKIPPED)
                        skipped++;
                else {
                        failed++;
                        (void)fprintf(stderr, "FAILED %s (%d)\n", cases[i].name, code);
                }
        }
        (void)printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
        if (failed > 0 || passed + skipped == 0)
                return 1;
        return passed == 0 ? EXIT_SKIPPED : 0;
}
