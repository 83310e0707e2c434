/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a fork of the agent to a process of the container, in this order:
 *
 *     1 descriptors and signals   nothing of the agent's is inherited
 *     2 place                     init: mounts, root, devices; exec: init's namespaces
 *     3 terminal                  a pty of the container's own devpts, whose master goes to the agent
 *     4 user                      names looked up in the image, limits, groups, capabilities, seccomp
 *     5 execute                   found on the container's PATH, as the container's user
 *
 * Every failure is told through the status socket, which exec(2) closes. The process is not dumpable from the
 * start, so that nobody in the container can look into it, or at the agent's file through it, before exec(2).
 *
 * That does not keep out a root with CAP_SYS_PTRACE. So an exec has two processes: the first is of the
 * agent's pid namespace, where nobody in the container sees it. What it makes as the agent's child
 * (CLONE_PARENT) has the container's root and mounts when it appears there, and no descriptor that leads out;
 * the agent's cgroup namespace is the last thing that it leaves, as its first step.
 */
#include "agent/child.h"

#include "agent/cgroup.h"
#include "agent/mounts.h"
#include "agent/seccomp.h"
#include "agent/tiny_init.h"
#include "agent/user.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int setns(int fd, int kind); /* <sched.h> cannot be had beside <linux/sched.h> */
int unshare(int flags);

#define DEVPTS_MAGIC 0x1cd1
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where the child keeps its descriptors once they are arranged; everything from CHILD_FDS_END on is closed.
 */
enum { CHILD_STATUS_FD = 3, CHILD_BIRTH_FD, CHILD_INIT_FD, CHILD_LEAF_FD, CHILD_CGROUP_FD, CHILD_FDS_END };

static void tell(enum child_status_kind kind, int value, const char *text, const int *fd)
{
        struct child_status status = {.kind = kind, .value = value};
        (void)snprintf(status.text, sizeof(status.text), "%s", text); /* cut at worst */
        (void)fd_send(CHILD_STATUS_FD, &status, sizeof(status), fd,
                      fd != NULL ? 1 : 0); /* else the end tells */
}

static _Noreturn void fail(enum child_status_kind kind, const struct error *err)
{
        tell(kind, err->code < 0 ? err->code : -EIO, err->text, NULL);
        _exit(125);
}

static void check(int result, const struct error *err)
{
        if (result < 0)
                fail(CHILD_FAILED, err);
}

/* Moves one of the agent's descriptors to its place; the source lies above all places. */
static void place(int from, int to)
{
        if (from >= 0)
                (void)dup2(from, to); /* to is small and from is open: fails for no reason of ours */
        else
                (void)close(to); /* may not be open */
}

static void close_places(unsigned first, unsigned last)
{
        (void)syscall(SYS_close_range, first, last, 0); /* Linux 5.9, ours is 6.1 */
}

static void arrange_descriptors(const struct child_plan *plan)
{
        int from[CHILD_FDS_END] = {plan->stdio[0], plan->stdio[1],   plan->stdio[2], plan->status_fd,
                                   plan->birth_fd, plan->init_pidfd, plan->leaf_fd,  plan->cgroup_fd};
        int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        for (int i = 0; i < CHILD_FDS_END; i++) {
                int source = i < 3 && from[i] < 0 ? null : from[i];
                from[i] = source < 0 ? -1 : fcntl(source, F_DUPFD_CLOEXEC, CHILD_FDS_END);
        }
        for (int i = 0; i < CHILD_FDS_END; i++)
                place(from[i], i);
        for (int i = 3; i < CHILD_FDS_END; i++)
                (void)fcntl(i, F_SETFD, FD_CLOEXEC); /* those that are not open refuse */
        close_places(CHILD_FDS_END, ~0U);
}

static void reset_signals(void)
{
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigset_t none;
        for (int signal = 1; signal < NSIG; signal++)
                (void)sigaction(signal, &action, NULL); /* SIGKILL and SIGSTOP refuse */
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Writes a text to a file of /proc or /sys. */
static int write_text(const char *path, const char *text)
{
        cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        return fd_write_full(fd, text, strlen(text));
}

static int set_oom_score(const struct task_plan *task, struct error *err)
{
        char text[16];
        if (!task->has_oom_score_adj)
                return 0;
        (void)snprintf(text, sizeof(text), "%d", task->oom_score_adj); /* 5 characters at most */
        int r = write_text("/proc/self/oom_score_adj", text);
        return r < 0 ? error_errno(err, r, "set the OOM score to %s", text) : 0;
}

static int set_sysctls(const struct container_plan *plan, struct error *err)
{
        for (size_t i = 0; i < plan->sysctl_count; i++) {
                char path[PATH_MAX];
                (void)snprintf(path, sizeof(path), "/proc/sys/%s", plan->sysctls[i].path); /* 255 at most */
                int r = write_text(path, plan->sysctls[i].value);
                if (r < 0)
                        return error_errno(err, r, "set sysctl '%s'", plan->sysctls[i].path);
        }
        return 0;
}

static int enter_cgroup(const struct child_plan *plan, struct error *err)
{
        /* the namespace's root is the cgroup of this moment; the leaf below it is for later (delegation) */
        if (plan->container->namespaces & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
                return error_errno(err, -errno, "make a cgroup namespace");
        if (plan->leaf_fd < 0)
                return 0;
        if (write(CHILD_LEAF_FD, "0", 1) != 1)
                return error_errno(err, -errno, "enter the cgroup for init");
        /* now no process is in the container's own cgroup, so its children can have controllers; done before
           exec(2), init finds them enabled */
        int r = cgroup_delegate(CHILD_CGROUP_FD, err);
        close_places(CHILD_LEAF_FD, CHILD_CGROUP_FD); /* they lead to the agent's mounts */
        return r;
}

static int set_names(const struct container_plan *plan, struct error *err)
{
        if (plan->hostname[0] != '\0' && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
                return error_errno(err, -errno, "set the host name");
        if (plan->domainname[0] != '\0' && setdomainname(plan->domainname, strlen(plan->domainname)) < 0)
                return error_errno(err, -errno, "set the domain name");
        return 0;
}

/* Opens a new pty of the devpts mounted inside root_fd; its number goes to *ret_number. */
static int open_master(int root_fd, unsigned *ret_number, struct error *err)
{
        struct statfs fs;
        int unlock = 0;
        cleanup_fd int master =
            path_open_in_root(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC, 0);
        if (master < 0)
                return error_errno(err, master, "open a terminal ('/dev/pts/ptmx' in the container)");
        if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_MAGIC)
                return error_set(err, -ENOTTY,
                                 "open a terminal: '/dev/pts' in the container is not a devpts");
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, ret_number) < 0)
                return error_errno(err, -errno, "unlock the terminal");
        return take_fd(&master);
}

/* The pty becomes stdin, stdout, stderr and the controlling terminal; the agent gets the master. */
static int take_terminal(int master, const struct task_plan *task, struct error *err)
{
        struct winsize size = {.ws_row = task->rows, .ws_col = task->columns};
        cleanup_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return error_errno(err, -errno, "open the terminal");
        if (size.ws_row != 0 && size.ws_col != 0 && ioctl(slave, TIOCSWINSZ, &size) < 0)
                return error_errno(err, -errno, "set the terminal's size");
        if (ioctl(slave, TIOCSCTTY, 0) < 0)
                return error_errno(err, -errno, "take the terminal");
        for (int fd = 0; fd < 3; fd++) {
                if (dup2(slave, fd) < 0)
                        return error_errno(err, -errno, "place the terminal");
        }
        tell(CHILD_TERMINAL, 0, "", &master);
        return 0;
}

static int make_container(const struct child_plan *plan, int *ret_master, struct error *err)
{
        const struct container_plan *container = plan->container;
        cleanup_fd int root_fd = -1, master = -1;
        unsigned number;
        int r = enter_cgroup(plan, err);
        if (r == 0)
                r = set_names(container, err);
        if (r == 0)
                r = set_sysctls(container, err);
        if (r == 0)
                r = mounts_begin(plan->root, &root_fd, err);
        if (r == 0)
                r = mounts_carry_out(root_fd, container, plan->files, err);
        if (r == 0)
                r = mounts_make_devices(root_fd, container, err);
        if (r == 0 && plan->task->terminal) {
                r = master = open_master(root_fd, &number, err);
                if (r >= 0)
                        r = mounts_make_console(root_fd, number, err);
        }
        if (r == 0)
                r = mounts_finish(root_fd, container, err);
        if (r == 0)
                *ret_master = take_fd(&master);
        return r;
}

/* In place of the cgroup's folder, from which a way leads up to the agent's: the same one as the root of a
 * mount of its own. The process that is made has it for a moment (CLONE_INTO_CGROUP wants it). */
static int confine_cgroup_fd(struct error *err)
{
        cleanup_fd int tree = (int)syscall(SYS_open_tree, CHILD_CGROUP_FD, "",
                                           AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0 || dup3(tree, CHILD_CGROUP_FD, O_CLOEXEC) < 0)
                return error_errno(err, -errno, "confine the cgroup");
        return 0;
}

/* Joins the container; what returns is a child of the agent in the container's pid namespace. */
static int join_container(const struct container_plan *container, struct error *err)
{
        /* from within a cgroup namespace nothing moves into it from outside */
        int kinds = (int)container->namespaces & ~CLONE_NEWCGROUP;
        int pidfd = -1;
        struct clone_args args = {
            .flags = CLONE_PIDFD | CLONE_PARENT | CLONE_INTO_CGROUP, /* with our exit signal */
            .pidfd = (uint64_t)(uintptr_t)&pidfd,
            .cgroup = CHILD_CGROUP_FD,
        };
        int r = confine_cgroup_fd(err);
        if (r < 0)
                return r;
        if (setns(CHILD_INIT_FD, kinds) < 0)
                return error_errno(err, errno == ESRCH ? -ESRCH : -errno, "join the container");
        long made = syscall(SYS_clone3, &args, sizeof(args));
        if (made < 0)
                return error_errno(err, -errno, "fork in the container");
        if (made > 0) {
                int32_t pid = (int32_t)made;
                (void)fd_send(CHILD_BIRTH_FD, &pid, sizeof(pid), &pidfd, 1); /* else the end tells */
                _exit(0);
        }
        if (container->namespaces & CLONE_NEWCGROUP && setns(CHILD_INIT_FD, CLONE_NEWCGROUP) < 0)
                return error_errno(err, errno == ESRCH ? -ESRCH : -errno,
                                   "join the container's cgroup namespace");
        close_places(CHILD_BIRTH_FD, CHILD_CGROUP_FD);
        return 0;
}

static int open_terminal(int *ret_master, struct error *err)
{
        unsigned number;
        cleanup_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return error_errno(err, -errno, "open the container's root");
        *ret_master = open_master(root_fd, &number, err);
        return *ret_master < 0 ? *ret_master : 0;
}

/* stdout as a path (/dev/stdout) opens the pipe anew, which asks for the owner's rights. */
static int give_stdio(const struct passwd_user *user, struct error *err)
{
        struct stat st;
        for (int fd = 0; fd < 3; fd++) {
                bool is_pipe = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
                if ((is_pipe || isatty(fd)) && fchown(fd, user->uid, is_pipe ? user->gid : st.st_gid) < 0)
                        return error_errno(err, -errno, "hand over descriptor %d", fd);
        }
        return 0;
}

static int set_limits(const struct task_plan *task, struct error *err)
{
        for (size_t i = 0; i < task->rlimit_count; i++) {
                if (setrlimit((__rlimit_resource_t)task->rlimits[i].resource, &task->rlimits[i].limit) < 0)
                        return error_errno(err, -errno, "set resource limit %d", task->rlimits[i].resource);
        }
        return 0;
}

static int change_user(const struct task_plan *task, const struct passwd_user *user, struct error *err)
{
        int r = set_limits(task, err);
        if (r == 0)
                r = seccomp_hide_vsock(err);
        if (r == 0)
                r = capability_limit(&task->capabilities, err);
        if (r < 0)
                return r;
        if (setgroups(user->group_count, user->groups) < 0 ||
            setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0)
                return error_errno(err, -errno, "become user %u, group %u", user->uid, user->gid);
        (void)umask(task->has_umask ? task->umask : 0022);
        if (task->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(err, -errno, "set no_new_privs");
        return 0;
}

/* As root first, who may pass everywhere; then, where root is squashed, as the user. */
static bool change_folder(const struct task_plan *task, bool is_init)
{
        if (chdir(task->cwd) == 0)
                return true;
        if (errno != ENOENT || !is_init)
                return false;
        cleanup_fd int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        cleanup_fd int made = root_fd < 0 ? -1 : mounts_open_target(root_fd, task->cwd, true);
        int before = ENOENT;
        if (made >= 0 && fchdir(made) == 0)
                return true;
        errno = before;
        return false;
}

static const char *find_variable(char *const *env, const char *name)
{
        size_t length = strlen(name);
        for (; *env != NULL; env++) {
                if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
                        return *env + length + 1;
        }
        return NULL;
}

/* The task's environment with HOME; the strings are borrowed. */
static char **make_environment(const struct task_plan *task, const struct passwd_user *user,
                               struct error *err)
{
        static char home[sizeof(user->home) + 8];
        size_t count = 0;
        if (find_variable(task->env, "HOME") != NULL)
                return task->env;
        while (task->env[count] != NULL)
                count++;
        char **env = calloc(count + 2, sizeof(*env));
        if (env == NULL) {
                (void)error_errno(err, -ENOMEM, "make the environment");
                return NULL;
        }
        if (count > 0)
                memcpy(env, task->env, count * sizeof(*env));
        (void)snprintf(home, sizeof(home), "HOME=%s", user->home[0] != '\0' ? user->home : "/"); /* it fits */
        env[count] = home;
        return env;
}

static bool means_not_found(int code)
{
        return code == -ENOENT || code == -ENOTDIR || code == -ENODEV || code == -ESTALE ||
               code == -ETIMEDOUT;
}

/* Tries every folder of path; returns what stood in the way: -ENOENT only if there was nothing to execute. */
static int execute_on_path(const struct task_plan *task, char *const *env, const char *path)
{
        int result = -ENOENT;
        for (const char *p = path;; p++) {
                size_t length = strcspn(p, ":");
                char file[PATH_MAX];
                int n = snprintf(file, sizeof(file), "%.*s/%s", (int)length, p, task->args[0]);
                if (length > 0 && n > 0 && (size_t)n < sizeof(file)) {
                        (void)execve(file, task->args, env);
                        if (errno == EACCES)
                                result = -EACCES;
                        else if (!means_not_found(-errno))
                                return -errno;
                }
                p += length;
                if (*p == '\0')
                        return result;
        }
}

static _Noreturn void execute(const struct task_plan *task, char *const *env)
{
        struct error err = ERROR_INIT;
        const char *name = task->args[0];
        int r;
        if (strchr(name, '/') != NULL) {
                (void)execve(name, task->args, env);
                r = -errno;
                (void)error_errno(&err, r, "exec '%s'", name);
        } else {
                const char *path = find_variable(env, "PATH");
                r = execute_on_path(task, env, path != NULL ? path : DEFAULT_PATH);
                if (r == -ENOENT)
                        (void)error_set(&err, r, "exec '%s': executable file not found in $PATH", name);
                else
                        (void)error_errno(&err, r, "exec '%s'", name);
        }
        /* what exec(2) says about a file that is there but is nothing to execute is "cannot be invoked" */
        if (r == -ENOTDIR || r == -EISDIR || r == -ELOOP || r == -EPERM || r == -EINVAL || r == -ELIBBAD ||
            r == -ETXTBSY)
                err.code = -EACCES;
        fail(CHILD_EXEC_FAILED, &err);
}

/* Leaves a tiny init behind as this process; only its child returns. */
static void leave_tiny_init(bool terminal, struct error *err)
{
        sigset_t all;
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, NULL); /* valid arguments cannot be refused */
        pid_t pid = fork();
        if (pid < 0) {
                (void)error_errno(err, -errno, "fork for init");
                fail(CHILD_FAILED, err);
        }
        if (pid > 0) {
                close_places(CHILD_STATUS_FD, ~0U);
                (void)prctl(PR_SET_NAME, "boxlet-init");
                tiny_init_run(pid);
        }
        if (terminal && (setpgid(0, 0) < 0 || tcsetpgrp(0, getpid()) < 0)) {
                (void)error_errno(err, -errno, "take the terminal's foreground");
                fail(CHILD_FAILED, err);
        }
        reset_signals();
}

void child_main(const struct child_plan *plan)
{
        const struct task_plan *task = plan->task;
        struct error err = ERROR_INIT;
        struct passwd_user user;
        int master = -1;
        (void)prctl(PR_SET_DUMPABLE, 0); /* a valid value cannot be refused */
        arrange_descriptors(plan);
        reset_signals();
        check(set_oom_score(task, &err), &err);
        if (!plan->is_init)
                check(join_container(plan->container, &err), &err);
        tell(CHILD_PID, (int)getpid(), "", NULL);
        check(setsid() < 0 ? error_errno(&err, -errno, "make a session") : 0, &err);
        if (plan->is_init)
                check(make_container(plan, &master, &err), &err);
        else if (task->terminal)
                check(open_terminal(&master, &err), &err);
        if (task->terminal)
                check(take_terminal(master, task, &err), &err);
        close_fd(&master);

        int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        check(root_fd < 0 ? error_errno(&err, -errno, "open the container's root") : 0, &err);
        check(user_resolve(root_fd, task, &user, &err), &err);
        (void)close(root_fd);
        char **env = make_environment(task, &user, &err);
        check(env == NULL ? -ENOMEM : 0, &err);
        check(give_stdio(&user, &err), &err);
        bool there = change_folder(task, plan->is_init);
        check(change_user(task, &user, &err), &err);
        if (!there && chdir(task->cwd) < 0) {
                (void)error_errno(&err, -errno, "change to the working directory '%s'", task->cwd);
                fail(CHILD_EXEC_FAILED, &err);
        }
        check(capability_apply(&task->capabilities, &err), &err);
        if (plan->is_init && plan->container->tiny_init)
                leave_tiny_init(task->terminal, &err);
        tell(CHILD_READY, 0, "", NULL);
        execute(task, env);
}
