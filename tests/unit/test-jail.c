/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "vmm/config.h"
#include "vmm/jail_filter.h"
#include "vmm/jail_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* The lists as tools/jail-calls gathered them from the sources. */
enum condition { JAIL_ANY, JAIL_EQUAL, JAIL_NO_BIT };
static const struct rule {
        enum jail_kind kind;
        int call;
        enum condition condition;
        unsigned argument;
        unsigned long long value;
} rules[] = {
#define SCMP_SYS(name) SYS_##name
#include "vmm/jail_rules.h"
};

/* Ends of a child: its exit status, or 128 + signal. */
static int end_of(pid_t pid)
{
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs fn in a child of which it is the main thread's filter; its end. */
static int in_jail(int (*fn)(void))
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct error err = ERROR_INIT;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || jail_filter_load(JAIL_LOOP, &err) < 0)
                        _exit(99);
                (void)syscall(SYS_exit_group, fn()); /* a sanitizer's _exit() makes calls of its own */
        }
        return end_of(pid);
}

static int open_a_file(void)
{
        return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0;
}
static int run_a_program(void)
{
        return execl("/bin/true", "true", (char *)NULL);
}
static int connect_somewhere(void)
{
        return socket(AF_INET, SOCK_STREAM, 0) < 0;
}
static int make_memory_executable(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int protect_as_executable(void)
{
        void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static int start_a_process(void)
{
        return fork() == 0;
}
static int trace_another(void)
{
        return (int)syscall(SYS_ptrace, 16, 1, 0, 0);
}
static int make_other_sockets(void)
{
        int pair[2];
        return socketpair(AF_INET, SOCK_STREAM, 0, pair);
}
static int lock_a_file(void)
{
        return fcntl(0, F_SETOWN, 1);
}

static void forbidden_calls_end_the_process(void **state)
{
        (void)state;
        static int (*const forbidden[])(void) = {open_a_file,
                                                 run_a_program,
                                                 connect_somewhere,
                                                 make_memory_executable,
                                                 protect_as_executable,
                                                 start_a_process,
                                                 trace_another,
                                                 make_other_sockets,
                                                 lock_a_file};
        for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
                int code = in_jail(forbidden[i]);
                if (code != 128 + SIGSYS)
                        fail_msg("call %zu ended with %d", i, code);
        }
}

static int do_the_work(void)
{
        int pair[2];
        char text[8];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
            send(pair[0], "word", 4, MSG_NOSIGNAL) != 4 || recv(pair[1], text, sizeof(text), 0) != 4)
                return 1;
        void *memory = malloc(1 << 20);
        if (memory == NULL || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
                return 2;
        free(memory);
        return close(pair[0]) < 0 || close(pair[1]) < 0;
}

static void the_work_is_allowed(void **state)
{
        (void)state;
        assert_int_equal(in_jail(do_the_work), 0);
}

static void others_are_closed(void **state)
{
        (void)state;
        pid_t pid = fork();
        if (pid == 0) {
                struct error err = ERROR_INIT;
                int base = fcntl(0, F_DUPFD_CLOEXEC, 20);
                for (int fd = base + 1; fd < base + 12; fd++)
                        (void)dup2(0, fd);
                const int keep[] = {base + 7, -1, base + 2, 2, base + 7, base + 3};
                if (jail_close_others(keep, 6, &err) < 0)
                        _exit(1);
                for (int fd = 3; fd < base + 40; fd++) {
                        bool open = fcntl(fd, F_GETFD) >= 0;
                        if (open != (fd == base + 2 || fd == base + 3 || fd == base + 7))
                                _exit(2);
                }
                _exit(fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* All that a machine can have: 26 disks, 256 shares, and 8 others. */
static void many_are_kept(void **state)
{
        (void)state;
        pid_t pid = fork();
        if (pid == 0) {
                struct error err = ERROR_INIT;
                int keep[CONFIG_FDS_MAX + 1], base = 100;
                for (int i = 0; i <= CONFIG_FDS_MAX; i++) {
                        keep[i] = base + 2 * i;
                        if (dup2(0, keep[i]) < 0 || dup2(0, keep[i] + 1) < 0)
                                _exit(1);
                }
                if (jail_close_others(keep, CONFIG_FDS_MAX + 1, &err) != -EINVAL)
                        _exit(2);
                if (jail_close_others(keep, CONFIG_FDS_MAX, &err) < 0)
                        _exit(3);
                for (int i = 0; i <= CONFIG_FDS_MAX; i++) {
                        if ((fcntl(keep[i], F_GETFD) >= 0) != (i < CONFIG_FDS_MAX) ||
                            fcntl(keep[i] + 1, F_GETFD) >= 0)
                                _exit(4);
                }
                _exit(0);
        }
        assert_int_equal(end_of(pid), 0);
}

/* ---- every call that is not on the list ---- */

#define CALLS 480 /* Linux 6.18 has 470 */

/* Arguments that break the condition of a listed call; false if it has none, or is allowed whatever they are.
 */
static bool break_conditions(enum jail_kind kind, int call, unsigned long arguments[6])
{
        bool listed = false;
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                if (rules[i].kind != kind || rules[i].call != call)
                        continue;
                if (rules[i].condition == JAIL_ANY)
                        return false;
                listed = true;
                arguments[rules[i].argument] =
                    rules[i].condition == JAIL_EQUAL ? 0x5eadbeef : (unsigned long)rules[i].value;
        }
        return listed;
}

static bool is_listed(enum jail_kind kind, int call)
{
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                if (rules[i].kind == kind && rules[i].call == call)
                        return true;
        }
        return false;
}

static int end_of_call(enum jail_kind kind, long call, const unsigned long a[6])
{
        pid_t pid = _Fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || jail_filter_load(kind, NULL) < 0)
                        _exit(99);
                (void)syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
                (void)syscall(SYS_exit_group, 98);
        }
        return end_of(pid);
}

static void kills_by_others(enum jail_kind kind)
{
        unsigned injected = 0;
        for (int call = 0; call < CALLS; call++) {
                unsigned long arguments[6] = {0};
                if (call == 335 || call == 336) /* uretprobe, uprobe: kernels from 6.11 on let them pass any
                                                   filter; they serve none but the kernel's own trampolines */
                        continue;
                if (is_listed(kind, call) && !break_conditions(kind, call, arguments))
                        continue;
                int end = end_of_call(kind, call, arguments);
                if (end != 128 + SIGSYS)
                        fail_msg("system call %d ended with %d", call, end);
                injected++;
        }
        assert_true(injected > 400);
}

static void every_other_call_kills_the_keeper(void **state)
{
        (void)state;
        kills_by_others(JAIL_INIT);
}

static void every_other_call_kills_the_loop(void **state)
{
        (void)state;
        kills_by_others(JAIL_LOOP);
}

static void every_other_call_kills_a_vcpu(void **state)
{
        (void)state;
        kills_by_others(JAIL_VCPU);
}

static void every_other_call_kills_a_disk_thread(void **state)
{
        (void)state;
        kills_by_others(JAIL_DISK);
}

static void every_other_call_kills_a_files_thread(void **state)
{
        (void)state;
        kills_by_others(JAIL_FILES);
}

static int call_as_32_bit(void)
{
        int result = SYS_getpid; /* 39, which is mkdir(2) there; allowed as a 64-bit call */
        __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
        return 97;
}

static int call_as_x32(void)
{
        (void)syscall(0x40000000 | SYS_getpid);
        return 97;
}

/* Not even by the numbers of the other tables that this CPU has. */
static void the_ways_around_kill_too(void **state)
{
        (void)state;
        assert_int_equal(in_jail(call_as_32_bit), 128 + SIGSYS);
        assert_int_equal(in_jail(call_as_x32), 128 + SIGSYS);
}

/* ---- files ---- */

static void need_landlock(void)
{
        if (!jail_has_landlock())
                unit_skip("this kernel has no Landlock");
}

/* What the loop, vCPUs, disk threads and the keeper are behind, but for their filters. */
static void threads_find_no_file(void **state)
{
        (void)state;
        need_landlock();
        pid_t pid = fork();
        if (pid == 0) {
                struct error err = ERROR_INIT;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || jail_put_up_walls(&err) < 0)
                        (void)syscall(SYS_exit_group, 1);
                int r = open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES ? 2 : 0;
                if (r == 0 && (mkdir("/tmp/none", 0700) == 0 || errno != EACCES))
                        r = 3;
                (void)syscall(SYS_exit_group, r);
        }
        assert_int_equal(end_of(pid), 0);
}

static int refused(long result)
{
        return result < 0 && errno == EACCES;
}

/* 0, or the number of the check that failed. */
static int look_around(const struct jail_share *shares, int outside)
{
        int rw = shares[0].fd, ro = shares[1].fd;
        if (openat(rw, "file", O_RDWR | O_TRUNC | O_CLOEXEC) < 0 || mkdirat(rw, "a", 0700) < 0 ||
            mkdirat(rw, "b", 0700) < 0 || openat(rw, "a/new", O_CREAT | O_RDWR | O_CLOEXEC, 0600) < 0 ||
            renameat(rw, "a/new", rw, "b/new") < 0 || linkat(rw, "b/new", rw, "a/link", 0) < 0 ||
            symlinkat("to", rw, "a/symlink") < 0 || mkfifoat(rw, "fifo", 0600) < 0 ||
            unlinkat(rw, "fifo", 0) < 0 || openat(rw, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0)
                return 2;
        if (!refused(mknodat(rw, "device", S_IFCHR | 0600, makedev(1, 3))))
                return 3;
        if (openat(ro, "file", O_RDONLY | O_CLOEXEC) < 0 ||
            !refused(openat(ro, "file", O_RDWR | O_CLOEXEC)) ||
            !refused(openat(ro, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) ||
            !refused(unlinkat(ro, "file", 0)))
                return 4;
        if (!refused(openat(rw, "../outside", O_RDONLY | O_CLOEXEC)) ||
            !refused(openat(outside, "outside", O_RDONLY | O_CLOEXEC)) ||
            !refused(mkdirat(outside, "new", 0700)))
                return 5;
        return renameat(rw, "b/new", outside, "new") == 0 ? 6 : 0;
}

static int open_share(int top, const char *name)
{
        assert_int_equal(mkdirat(top, name, 0700), 0);
        int fd = openat(top, name, O_PATH | O_CLOEXEC);
        int file = openat(fd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        (void)close(file);
        return fd;
}

static void threads_for_files_find_the_shares_only(void **state)
{
        (void)state;
        int top, ruleset = -1;
        struct error err = ERROR_INIT;
        need_landlock();
        (void)unit_folder(&top);
        struct jail_share shares[] = {{.fd = open_share(top, "rw")},
                                      {.fd = open_share(top, "ro"), .readonly = true}};
        (void)close(openat(top, "outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        int r = jail_shares_new(shares, 2, &ruleset, &err);
        if (r == -EOPNOTSUPP)
                unit_skip(err.text);
        assert_int_equal(r, 0);
        pid_t pid = fork();
        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    jail_put_up_walls_around(1U << CAP_MKNOD, ruleset, &err) < 0)
                        (void)syscall(SYS_exit_group, 1);
                (void)syscall(SYS_exit_group, look_around(shares, top));
        }
        assert_int_equal(end_of(pid), 0);
        (void)close(ruleset);
        (void)close(shares[0].fd);
        (void)close(shares[1].fd);
}

/* ---- the stages ---- */

static int look_at_stage_2(const struct jail *jail)
{
        struct rlimit core;
        int signal = 0;
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
                return 2;
        if (prctl(PR_GET_PDEATHSIG, &signal) < 0 || signal != SIGKILL)
                return 3;
        if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
                return 4;
        return jail->own_processes && getpid() != 1 ? 5 : 0;
}

static int look_at_stage_3(struct jail *jail)
{
        struct error err = ERROR_INIT;
        struct stat st;
        if (jail->own_mounts && jail_empty_root(&err) < 0)
                return 10;
        if (jail->own_mounts && (stat("/", &st) < 0 || st.st_nlink != 2 || access("/etc", F_OK) == 0 ||
                                 access("/..", F_OK) < 0 || mkdir("/x", 0700) == 0 || errno != EROFS))
                return 11;
        if (jail_drop_capabilities(&err) < 0)
                return 12;
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        if (syscall(SYS_capget, &header, data) < 0 || data[0].effective != 0 || data[1].effective != 0 ||
            data[0].permitted != 0)
                return 13;
        if (unshare(CLONE_NEWNS) == 0 || chroot("/") == 0 || sethostname("x", 1) == 0)
                return 14;
        int r = jail_forbid_files(&err);
        if (r < 0 && r != -EOPNOTSUPP)
                return 15;
        if (r == 0 && (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES))
                return 16;
        return 0;
}

/* All of it, in a child; 0, or the number of the check that failed. */
static int take_the_stages(void (*before)(void), unsigned expected_lacks, unsigned ignored)
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                struct error err = ERROR_INIT;
                struct jail jail;
                if (before != NULL)
                        before();
                if (jail_before_engine(&jail, false, &err) < 0)
                        _exit(1);
                if ((jail.lacks & ~(ignored | JAIL_LACKS_FILTER)) != expected_lacks)
                        _exit(64 + (int)jail.lacks);
                int r = look_at_stage_2(&jail);
                if (r == 0)
                        r = look_at_stage_3(&jail);
                (void)syscall(SYS_exit_group, r);
        }
        return end_of(pid);
}

static void become_plain(void)
{
        if (getuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
                              setresuid(65534, 65534, 65534) < 0))
                _exit(90);
}

static void write_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                _exit(91);
        (void)close(fd);
}

/* A host where nobody may make user namespaces: the limit belongs to the user namespace one is in. */
static void refuse_user_namespaces(void)
{
        char map[64];
        (void)snprintf(map, sizeof(map), "0 %u 1", getuid());
        if (unshare(CLONE_NEWUSER) < 0)
                _exit(92);
        write_text("/proc/self/uid_map", map);
        write_text("/proc/sys/user/max_user_namespaces", "0");
}

static void refuse_user_namespaces_to_a_plain_user(void)
{
        struct error err = ERROR_INIT;
        refuse_user_namespaces();
        if (jail_root_is_nobody(&err) < 0 || jail_drop_capabilities(&err) < 0)
                _exit(93);
}

static bool user_namespaces_work(void)
{
        pid_t pid = fork();
        if (pid == 0)
                _exit(unshare(CLONE_NEWUSER) < 0);
        return end_of(pid) == 0;
}

static void the_stages_as_whoever_runs_this(void **state)
{
        (void)state;
        if (!user_namespaces_work())
                unit_skip("user namespaces are not allowed here");
        assert_int_equal(take_the_stages(NULL, 0, 0), 0);
}

static void the_stages_as_a_plain_user(void **state)
{
        (void)state;
        if (!user_namespaces_work())
                unit_skip("user namespaces are not allowed here");
        assert_int_equal(take_the_stages(become_plain, 0, 0), 0);
}

static void root_without_user_namespaces_has_the_other_walls(void **state)
{
        (void)state;
        if (!user_namespaces_work())
                unit_skip("user namespaces are not allowed here");
        assert_int_equal(take_the_stages(refuse_user_namespaces, JAIL_LACKS_USER, 0), 0);
}

static void a_plain_user_without_user_namespaces_has_what_is_left(void **state)
{
        (void)state;
        if (!user_namespaces_work())
                unit_skip("user namespaces are not allowed here");
        assert_int_equal(take_the_stages(refuse_user_namespaces_to_a_plain_user,
                                         JAIL_LACKS_USER | JAIL_LACKS_SPACES | JAIL_LACKS_ROOT, 0),
                         0);
}

/* The caller of stage 2 ends with the status of the one inside, and takes it along when it is killed. */
static void the_keeper_and_its_charge_end_together(void **state)
{
        (void)state;
        for (int round = 0; round < 2; round++) {
                int pipe_fds[2];
                char byte;
                assert_int_equal(pipe(pipe_fds), 0);
                pid_t pid = fork();
                if (pid == 0) {
                        struct error err = ERROR_INIT;
                        struct jail jail;
                        (void)close(pipe_fds[0]);
                        if (jail_before_engine(&jail, false, &err) < 0)
                                _exit(1);
                        (void)!write(pipe_fds[1], "x", 1);
                        if (round == 0)
                                _exit(23);
                        for (;;)
                                (void)pause();
                }
                (void)close(pipe_fds[1]);
                assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
                if (round == 1)
                        assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(end_of(pid), round == 0 ? 23 : 128 + SIGKILL);
                assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* the end: nobody holds the other side */
                (void)close(pipe_fds[0]);
        }
}

static void what_is_weaker_is_said(void **state)
{
        char text[256], cut[20];
        (void)state;
        jail_describe(0, text, sizeof(text));
        assert_string_equal(text, "");
        jail_describe(JAIL_LACKS_USER | JAIL_LACKS_LANDLOCK, text, sizeof(text));
        assert_string_equal(text, "no user namespace, no Landlock in this kernel");
        jail_describe(JAIL_LACKS_USER | JAIL_LACKS_LANDLOCK, cut, sizeof(cut));
        assert_true(strlen(cut) < sizeof(cut));
        assert_false(jail_too_weak(0));
        assert_false(jail_too_weak(JAIL_LACKS_LANDLOCK));
        assert_true(jail_too_weak(JAIL_LACKS_ROOT | JAIL_LACKS_LANDLOCK));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(forbidden_calls_end_the_process),
    cmocka_unit_test(every_other_call_kills_the_keeper),
    cmocka_unit_test(every_other_call_kills_the_loop),
    cmocka_unit_test(every_other_call_kills_a_vcpu),
    cmocka_unit_test(every_other_call_kills_a_disk_thread),
    cmocka_unit_test(every_other_call_kills_a_files_thread),
    cmocka_unit_test(the_ways_around_kill_too),
    cmocka_unit_test(the_work_is_allowed),
    cmocka_unit_test(others_are_closed),
    cmocka_unit_test(many_are_kept),
    cmocka_unit_test(threads_find_no_file),
    cmocka_unit_test(threads_for_files_find_the_shares_only),
    cmocka_unit_test(the_stages_as_whoever_runs_this),
    cmocka_unit_test(the_stages_as_a_plain_user),
    cmocka_unit_test(root_without_user_namespaces_has_the_other_walls),
    cmocka_unit_test(a_plain_user_without_user_namespaces_has_what_is_left),
    cmocka_unit_test(the_keeper_and_its_charge_end_together),
    cmocka_unit_test(what_is_weaker_is_said),
};

UNIT_TEST_MAIN(cases)
