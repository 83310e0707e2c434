/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void write_file(int dir_fd, const char *name, const char *text)
{
        assert_int_equal(path_write_atomic_at(dir_fd, name, text, strlen(text), 0600), 0);
}

static void atomic_write_replaces_and_leaves_nothing_else(void **state)
{
        (void)state;
        int dir_fd;
        char *text;
        size_t size;
        const char *folder = unit_folder(&dir_fd);
        write_file(dir_fd, "a", "one");
        write_file(dir_fd, "a", "three");
        assert_int_equal(path_read_at(dir_fd, "a", 100, &text, &size), 0);
        assert_string_equal(text, "three");
        free(text);
        assert_int_equal(path_read_at(dir_fd, "a", 4, &text, &size), -EFBIG);
        assert_int_equal(unlinkat(dir_fd, "a", 0), 0);
        assert_int_equal(path_read_at(dir_fd, "a", 4, &text, &size), -ENOENT);
        assert_int_equal(unlinkat(AT_FDCWD, folder, AT_REMOVEDIR), 0);
}

static void removal_stays_inside_and_goes_deep(void **state)
{
        (void)state;
        int dir_fd;
        (void)unit_folder(&dir_fd);
        write_file(dir_fd, "outside", "stays");
        assert_int_equal(mkdirat(dir_fd, "tree", 0700), 0);
        cleanup_fd int tree = openat(dir_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(symlinkat("../outside", tree, "link"), 0);
        assert_int_equal(symlinkat("..", tree, "up"), 0);
        int at = dup(tree);
        for (int i = 0; i < 300; i++) {
                assert_int_equal(mkdirat(at, "d", 0700), 0);
                write_file(at, "file", "x");
                int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                (void)close(at);
                at = next;
        }
        (void)close(at);
        assert_int_equal(path_remove_all_at(dir_fd, "tree"), 0);
        assert_int_equal(faccessat(dir_fd, "tree", F_OK, 0), -1);
        assert_int_equal(faccessat(dir_fd, "outside", F_OK, 0), 0);
        assert_int_equal(path_remove_all_at(dir_fd, "tree"), 0);
}

/* The tree whose links try to lead out; each path and what opening it in the root must find. */
static void check_in_root(int dir_fd)
{
        static const struct {
                const char *path;
                int expected; /* 0, or -errno */
        } table[] = {
            {"etc/passwd", 0},
            {"/etc/passwd", 0},
            {"../../etc/passwd", 0},
            {"abs", 0},
            {"up", 0},
            {"loop", -ELOOP},
            {"etc/missing", -ENOENT},
            {"etc/passwd/x", -ENOTDIR},
            {"dir/../etc/./passwd", 0},
            {"dangling", -ENOENT},
            {"into/passwd", 0},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char text[16] = {0};
                int fd = path_open_in_root(dir_fd, table[i].path, O_RDONLY, 0);
                if ((fd < 0 ? fd : 0) != table[i].expected)
                        fail_msg("%s: got %d, expected %d", table[i].path, fd, table[i].expected);
                if (fd >= 0) {
                        assert_true(fd_read_full(fd, text, sizeof(text) - 1) > 0);
                        assert_string_equal(text, "inside");
                        (void)close(fd);
                }
        }
        int fd = path_open_in_root(dir_fd, "abs", O_RDONLY | O_NOFOLLOW, 0);
        assert_int_equal(fd, -ELOOP);
        fd = path_open_in_root(dir_fd, "etc/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
        assert_int_equal(faccessat(dir_fd, "etc/new", F_OK, 0), 0);
        assert_int_equal(unlinkat(dir_fd, "etc/new", 0), 0);
}

static void plant(int dir_fd)
{
        assert_int_equal(mkdirat(dir_fd, "etc", 0700), 0);
        assert_int_equal(mkdirat(dir_fd, "dir", 0700), 0);
        write_file(dir_fd, "etc/passwd", "inside");
        assert_int_equal(symlinkat("/etc/passwd", dir_fd, "abs"), 0);
        assert_int_equal(symlinkat("../../../../etc/passwd", dir_fd, "up"), 0);
        assert_int_equal(symlinkat("loop", dir_fd, "loop"), 0);
        assert_int_equal(symlinkat("/nowhere", dir_fd, "dangling"), 0);
        assert_int_equal(symlinkat("/dir/../etc", dir_fd, "into"), 0);
}

static void no_path_leads_out_of_the_root(void **state)
{
        (void)state;
        int dir_fd;
        (void)unit_folder(&dir_fd);
        plant(dir_fd);
        check_in_root(dir_fd);
}

/* From here on openat2 answers ENOSYS, as before Linux 5.6. */
static void forbid_openat2(void)
{
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = 4, .filter = code};
        assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
        assert_int_equal(syscall(SYS_openat2, 0, NULL, NULL, 0), -1);
        assert_int_equal(errno, ENOSYS);
}

static void no_path_leads_out_without_openat2(void **state)
{
        (void)state;
        int dir_fd;
        (void)unit_folder(&dir_fd);
        plant(dir_fd);
        forbid_openat2();
        check_in_root(dir_fd);
}

static void sockets_work_under_a_long_path(void **state)
{
        (void)state;
        int dir_fd;
        (void)unit_folder(&dir_fd);
        char name[201];
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        cleanup_fd int deep = path_open_dir_at(dir_fd, name, 0700);
        assert_true(deep >= 0);
        cleanup_fd int listener = unix_listen_at(deep, "s", SOCK_STREAM, 1);
        assert_true(listener >= 0);
        struct stat st;
        assert_int_equal(fstatat(deep, "s", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        cleanup_fd int client = unix_connect_at(deep, "s", SOCK_STREAM);
        assert_true(client >= 0);
        close_fd(&listener);
        assert_int_equal(unix_connect_at(deep, "s", SOCK_STREAM), -ECONNREFUSED);
        cleanup_fd int again = unix_listen_at(deep, "s", SOCK_STREAM, 1);
        assert_true(again >= 0);
}

static void a_socket_is_known_by_more_than_its_inode(void **state)
{
        (void)state;
        int dir_fd;
        char path[256];
        struct path_mark mark, other;
        (void)snprintf(path, sizeof(path), "%s/s", unit_folder(&dir_fd));
        assert_int_equal(path_mark_socket(path, &mark), -ENOENT);
        cleanup_fd int listener = unix_listen_at(dir_fd, "s", SOCK_STREAM, 1);
        assert_int_equal(path_mark_socket(path, &mark), 0);
        assert_true(path_is_marked_socket(path, &mark));
        /* what people do to it does not make another one of it */
        assert_int_equal(chmod(path, 0666), 0);
        cleanup_fd int client = unix_connect_at(dir_fd, "s", SOCK_STREAM);
        assert_true(client >= 0);
        assert_true(path_is_marked_socket(path, &mark));
        /* the next one under that name, with the same number, made a second later */
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                          {.tv_sec = mark.modified_ns / 1000000000 + 1}};
        assert_int_equal(utimensat(dir_fd, "s", times, 0), 0);
        assert_false(path_is_marked_socket(path, &mark));
        assert_int_equal(path_mark_socket(path, &other), 0);
        assert_int_equal(other.inode, mark.inode);
        assert_int_equal(unlinkat(dir_fd, "s", 0), 0);
        assert_false(path_is_marked_socket(path, &other));
        write_file(dir_fd, "s", "");
        assert_int_equal(path_mark_socket(path, &mark), -ENOTSOCK);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(atomic_write_replaces_and_leaves_nothing_else),
    cmocka_unit_test(removal_stays_inside_and_goes_deep),
    cmocka_unit_test(no_path_leads_out_of_the_root),
    cmocka_unit_test(no_path_leads_out_without_openat2),
    cmocka_unit_test(sockets_work_under_a_long_path),
    cmocka_unit_test(a_socket_is_known_by_more_than_its_inode),
};

UNIT_TEST_MAIN(cases)
