/* SPDX-License-Identifier: Apache-2.0 */
/*
 * at-call WHAT N REPORT COMMAND...: runs COMMAND and lets WHAT happen at the Nth system call of its process.
 * For x86-64 only.
 *
 * - kill: SIGKILL before the call is made: a power-off for the process, none of its code runs any more
 * - ENOSPC, EIO or ENOMEM: the call is not made and fails with this error
 * - ENOSPC+, EIO+ or ENOMEM+: so do all of its kind from this one on
 *
 * Calls of all threads count, in the order in which they come; those that the dynamic loader makes do not,
 * and for an error only those do that can give it (the table below). Of these, what goes to the descriptors 0
 * to 2 is left out, since the command is to say how it failed. Children are not followed.
 *
 * REPORT is made a file with the name of the call, or an empty one when the command ended before. The exit
 * code is the command's own, 128 + N when it died of signal N, and 2 when it cannot be followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/reg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "at-call knows the registers and system calls of x86-64 only"
#endif

#define CANNOT 2

/* Which errors a call may be given. */
enum { S = 1, I = 2, M = 4, SI = S | I, SM = S | M, IM = I | M, SIM = S | I | M };

/* On what condition. */
enum condition {
        ALWAYS,
        ON_FILE,      /* the first argument is the descriptor of a file or folder, and none of 0 to 2 */
        IF_CREATES,   /* ENOSPC only if a file is to be made, all else always */
        IF_LOCKS,     /* flock(2), fcntl(2): of the operations only those that take a lock */
        IF_CLONES,    /* ioctl(2): the same for FICLONE */
        IF_MOVES,     /* brk(2): not the question where the break is */
        IF_UNIX_NAME, /* bind(2): ENOSPC only for the file of a unix socket */
};

struct call {
        long number;
        const char *name;
        unsigned errors;
        enum condition condition;
};

#define CALL(name, errors, condition)                \
        {                                            \
                SYS_##name, #name, errors, condition \
        }

/* Those without an error have their name here for what is told of a kill. */
static const struct call calls[] = {
    CALL(read, IM, ON_FILE),
    CALL(pread64, IM, ON_FILE),
    CALL(readv, IM, ON_FILE),
    CALL(preadv, IM, ON_FILE),
    CALL(getdents64, IM, ON_FILE),
    CALL(write, SIM, ON_FILE),
    CALL(pwrite64, SIM, ON_FILE),
    CALL(writev, SIM, ON_FILE),
    CALL(pwritev, SIM, ON_FILE),
    CALL(copy_file_range, SIM, ALWAYS),
    CALL(sendfile, SIM, ON_FILE),
    CALL(fallocate, SIM, ON_FILE),
    CALL(ftruncate, IM, ON_FILE),
    CALL(fsync, SIM, ON_FILE),
    CALL(fdatasync, SIM, ON_FILE),
    CALL(sync_file_range, SIM, ON_FILE),
    CALL(msync, I, ALWAYS),
    CALL(ioctl, SIM, IF_CLONES),
    CALL(lseek, I, ON_FILE),
    CALL(open, SIM, IF_CREATES),
    CALL(openat, SIM, IF_CREATES),
    CALL(openat2, SIM, IF_CREATES),
    CALL(creat, SIM, IF_CREATES),
    CALL(stat, IM, ALWAYS),
    CALL(lstat, IM, ALWAYS),
    CALL(fstat, IM, ON_FILE),
    CALL(newfstatat, IM, ALWAYS),
    CALL(statx, IM, ALWAYS),
    CALL(access, IM, ALWAYS),
    CALL(faccessat, IM, ALWAYS),
    CALL(faccessat2, IM, ALWAYS),
    CALL(readlink, IM, ALWAYS),
    CALL(readlinkat, IM, ALWAYS),
    CALL(chdir, IM, ALWAYS),
    CALL(mkdir, SIM, ALWAYS),
    CALL(mkdirat, SIM, ALWAYS),
    CALL(rmdir, IM, ALWAYS),
    CALL(unlink, IM, ALWAYS),
    CALL(unlinkat, IM, ALWAYS),
    CALL(rename, SIM, ALWAYS),
    CALL(renameat, SIM, ALWAYS),
    CALL(renameat2, SIM, ALWAYS),
    CALL(link, SIM, ALWAYS),
    CALL(linkat, SIM, ALWAYS),
    CALL(symlink, SIM, ALWAYS),
    CALL(symlinkat, SIM, ALWAYS),
    CALL(mknod, SIM, ALWAYS),
    CALL(mknodat, SIM, ALWAYS),
    CALL(chmod, IM, ALWAYS),
    CALL(fchmod, IM, ON_FILE),
    CALL(fchmodat, IM, ALWAYS),
    CALL(fchown, IM, ON_FILE),
    CALL(setxattr, SIM, ALWAYS),
    CALL(fsetxattr, SIM, ON_FILE),
    CALL(flock, IM, IF_LOCKS),
    CALL(fcntl, IM, IF_LOCKS),
    CALL(statfs, IM, ALWAYS),
    CALL(fstatfs, IM, ON_FILE),
    CALL(mmap, M, ALWAYS),
    CALL(mremap, M, ALWAYS),
    CALL(brk, M, IF_MOVES),
    CALL(mprotect, M, ALWAYS),
    CALL(clone, M, ALWAYS),
    CALL(fork, M, ALWAYS),
    CALL(vfork, M, ALWAYS),
    CALL(pidfd_open, M, ALWAYS),
    CALL(socket, M, ALWAYS),
    CALL(socketpair, M, ALWAYS),
    CALL(bind, SIM, IF_UNIX_NAME),
    CALL(accept4, M, ALWAYS),
    CALL(sendto, M, ALWAYS),
    CALL(sendmsg, M, ALWAYS),
    CALL(recvfrom, M, ALWAYS),
    CALL(recvmsg, M, ALWAYS),
    CALL(poll, M, ALWAYS),
    CALL(ppoll, M, ALWAYS),
    CALL(select, M, ALWAYS),
    CALL(pselect6, M, ALWAYS),
    CALL(epoll_create1, M, ALWAYS),
    CALL(epoll_ctl, M, ALWAYS),
    CALL(eventfd2, M, ALWAYS),
    CALL(timerfd_create, M, ALWAYS),
    CALL(signalfd4, M, ALWAYS),
    CALL(memfd_create, M, ALWAYS),
    CALL(pipe2, M, ALWAYS),
    CALL(inotify_init1, M, ALWAYS),
    CALL(inotify_add_watch, SM, ALWAYS),
    /* An error of clone3 is for glibc a kernel without it: it would call clone, which is above. */
    CALL(clone3, 0, ALWAYS),
    CALL(close, 0, ALWAYS),
    CALL(close_range, 0, ALWAYS),
    CALL(connect, 0, ALWAYS),
    CALL(shutdown, 0, ALWAYS),
    CALL(dup, 0, ALWAYS),
    CALL(dup2, 0, ALWAYS),
    CALL(exit, 0, ALWAYS),
    CALL(exit_group, 0, ALWAYS),
    CALL(execve, 0, ALWAYS),
    CALL(futex, 0, ALWAYS),
    CALL(getpid, 0, ALWAYS),
    CALL(getrandom, 0, ALWAYS),
    CALL(kill, 0, ALWAYS),
    CALL(madvise, 0, ALWAYS),
    CALL(munmap, 0, ALWAYS),
    CALL(nanosleep, 0, ALWAYS),
    CALL(clock_nanosleep, 0, ALWAYS),
    CALL(pidfd_send_signal, 0, ALWAYS),
    CALL(rt_sigaction, 0, ALWAYS),
    CALL(rt_sigprocmask, 0, ALWAYS),
    CALL(rt_sigreturn, 0, ALWAYS),
    CALL(wait4, 0, ALWAYS),
    CALL(waitid, 0, ALWAYS),
};

struct plan {
        int error; /* 0: kill */
        bool all;
        long at;
        const char *report;
};

struct trace {
        const struct plan *plan;
        pid_t pid;
        uint64_t loader_start, loader_end;
        long seen; /* calls that count */
        bool reported;
};

static int fail(const char *what)
{
        (void)fprintf(stderr, "at-call: %s: %s\n", what, strerror(errno));
        return CANNOT;
}

static const struct call *find_call(long number)
{
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
                if (calls[i].number == number)
                        return &calls[i];
        }
        return NULL;
}

/* ---- does it count? ---- */

static bool is_on_file(pid_t pid, uint64_t fd)
{
        char path[64];
        struct stat st;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, (int)fd); /* fits */
        return (int)fd > 2 && stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* A text of the command's, cut when it is very long. */
static void read_text(pid_t tid, uint64_t address, char *text, size_t size)
{
        size_t length = 0;
        while (length + sizeof(long) < size) {
                errno = 0;
                long word = ptrace(PTRACE_PEEKDATA, tid, address + length, NULL);
                if (errno != 0)
                        break;
                memcpy(text + length, &word, sizeof(word));
                if (memchr(text + length, '\0', sizeof(word)) != NULL)
                        return;
                length += sizeof(word);
        }
        text[length] = '\0';
}

/* Whether the folder dir_fd of the command's has the name already. */
static bool is_there(pid_t tid, int dir_fd, uint64_t address)
{
        char name[1024], path[1100];
        struct stat st;
        read_text(tid, address, name, sizeof(name));
        if (name[0] == '/')
                (void)snprintf(path, sizeof(path), "%s", name); /* fits, as the next do */
        else if (dir_fd == AT_FDCWD)
                (void)snprintf(path, sizeof(path), "/proc/%d/cwd/%s", (int)tid, name);
        else
                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d/%s", (int)tid, dir_fd, name);
        return stat(path, &st) == 0;
}

/* Whether the call makes a file: a name, or one without. */
static bool creates(pid_t tid, long number, const uint64_t *args)
{
        bool at = number != SYS_open && number != SYS_creat;
        uint64_t flags = number == SYS_creat ? O_CREAT : args[at ? 2 : 1];
        if (number == SYS_openat2) /* of which it is the address */
                flags =
                    (uint64_t)ptrace(PTRACE_PEEKDATA, tid, flags + offsetof(struct open_how, flags), NULL);
        if ((flags & O_TMPFILE) == O_TMPFILE)
                return true;
        return (flags & O_CREAT) != 0 && !is_there(tid, at ? (int)args[0] : AT_FDCWD, args[at ? 1 : 0]);
}

static bool locks(pid_t tid, const struct call *call, const uint64_t *args)
{
        uint64_t operation = args[1];
        if (call->number == SYS_flock)
                return (operation & LOCK_UN) == 0;
        if ((short)ptrace(PTRACE_PEEKDATA, tid, args[2], NULL) ==
            F_UNLCK) /* l_type is what begins struct flock */
                return false;
        return operation == F_SETLK || operation == F_SETLKW || operation == F_GETLK ||
               operation == F_OFD_SETLK || operation == F_OFD_SETLKW || operation == F_OFD_GETLK;
}

static bool is_unix(pid_t tid, uint64_t address)
{
        long word = ptrace(PTRACE_PEEKDATA, tid, address, NULL);
        return (word & 0xffff) == 1 && ((word >> 16) & 0xff) != 0; /* AF_UNIX, and no abstract name */
}

/* Whether the call can fail with the error. */
static bool can_give(const struct trace *t, pid_t tid, const struct call *call, const uint64_t *args)
{
        int error = t->plan->error;
        unsigned bit = error == ENOSPC ? S : error == EIO ? I : M;
        if ((call->errors & bit) == 0)
                return false;
        switch (call->condition) {
        case ON_FILE:
                return is_on_file(t->pid, args[0]);
        case IF_CREATES:
                return bit != S || creates(tid, call->number, args);
        case IF_LOCKS:
                return locks(tid, call, args);
        case IF_CLONES:
                return args[1] == FICLONE;
        case IF_MOVES:
                return args[0] != 0;
        case IF_UNIX_NAME:
                return bit == M || is_unix(tid, args[1]);
        default:
                return true;
        }
}

/* Where the loader lies: from the first line of /proc/<pid>/maps that names it to the last. */
static void find_loader(struct trace *t)
{
        char path[64], line[4352];
        (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid); /* fits */
        FILE *maps = fopen(path, "re");
        while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
                unsigned long start, end;
                if (strstr(line, "/ld-linux") == NULL || sscanf(line, "%lx-%lx", &start, &end) != 2)
                        continue;
                t->loader_start = t->loader_start == 0 ? start : t->loader_start;
                t->loader_end = end;
        }
        if (maps != NULL)
                (void)fclose(maps); /* it was read only */
}

static bool counts(struct trace *t, pid_t tid, const struct __ptrace_syscall_info *info)
{
        const struct call *call = find_call((long)info->entry.nr);
        if (info->instruction_pointer >= t->loader_start && info->instruction_pointer < t->loader_end)
                return false;
        return t->plan->error == 0 || (call != NULL && can_give(t, tid, call, info->entry.args));
}

/* ---- what happens ---- */

static int report(struct trace *t, long number)
{
        const struct call *call = find_call(number);
        FILE *file = t->reported ? NULL : fopen(t->plan->report, "we");
        if (t->reported)
                return 0;
        if (file == NULL)
                return fail(t->plan->report);
        t->reported = true;
        int r = call != NULL ? fprintf(file, "%s\n", call->name) : fprintf(file, "system call %ld\n", number);
        return fclose(file) != 0 || r < 0 ? fail(t->plan->report) : 0;
}

static int poke(pid_t tid, int reg, long value)
{
        return ptrace(PTRACE_POKEUSER, tid, sizeof(long) * (size_t)reg, value) < 0 ? fail("refuse a call")
                                                                                   : 0;
}

/* To the second stop of a call, after it. 1 when it has come to that. */
static int finish(pid_t tid)
{
        int status;
        if (ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0 || waitpid(tid, &status, __WALL) < 0)
                return -1;
        return WIFSTOPPED(status);
}

/* brk(2) has no error: it says where the break is, which is then another than it was asked to be. */
static int refuse_brk(pid_t tid, long wanted)
{
        int r = poke(tid, RDI, 0);
        if (r == 0 && (r = finish(tid)) < 0)
                return fail("refuse a call");
        return r > 0 ? poke(tid, RDI, wanted) : r;
}

/* The kernel makes no call of number -1, and stops a second time when it has not made it. */
static int refuse(const struct trace *t, pid_t tid)
{
        int r = poke(tid, ORIG_RAX, -1);
        if (r == 0 && (r = finish(tid)) < 0)
                return fail("refuse a call");
        return r > 0 ? poke(tid, RAX, -t->plan->error) : r;
}

/* At a call of the thread's. */
static int at_call(struct trace *t, pid_t tid)
{
        struct __ptrace_syscall_info info;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) < 0)
                return errno == ESRCH ? 0 : fail("look at a call");
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !counts(t, tid, &info))
                return 0;
        t->seen++;
        if (t->seen < t->plan->at || (t->seen > t->plan->at && !t->plan->all))
                return 0;
        int r = report(t, (long)info.entry.nr);
        if (r != 0)
                return r;
        if (t->plan->error != 0)
                return info.entry.nr == SYS_brk ? refuse_brk(tid, (long)info.entry.args[0]) : refuse(t, tid);
        return kill(t->pid, SIGKILL) < 0 ? fail("kill the command") : 0;
}

/* ---- following it ---- */

static bool is_thread_of(pid_t pid, pid_t tid)
{
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid); /* fits */
        return access(path, F_OK) == 0;
}

/* 0 when tid may go on, with the signal for it. */
static int at_stop(struct trace *t, pid_t tid, int status, int *ret_signal)
{
        int signal = WSTOPSIG(status);
        *ret_signal = 0;
        if (signal == (SIGTRAP | 0x80))
                return at_call(t, tid);
        if (status >> 16 == 0 &&
            signal != SIGSTOP) /* SIGSTOP: how a new thread begins; nobody sends one here */
                *ret_signal = signal;
        return 0;
}

/* After the stop of the execve(2). */
static int follow(struct trace *t)
{
        int r = 0, signal = 0;
        pid_t tid = t->pid;
        for (;;) {
                int status;
                /* what was killed meanwhile is not there for the call: its end is told by waitpid(2) */
                if (ptrace(is_thread_of(t->pid, tid) ? PTRACE_SYSCALL : PTRACE_DETACH, tid, 0, signal) < 0 &&
                    errno != ESRCH)
                        return fail("follow the command");
                do {
                        tid = waitpid(-1, &status, __WALL);
                        if (tid < 0)
                                return fail("follow the command");
                        if (tid == t->pid && !WIFSTOPPED(status))
                                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
                } while (!WIFSTOPPED(status)); /* else one of its threads has ended */
                r = is_thread_of(t->pid, tid) ? at_stop(t, tid, status, &signal) : 0;
                if (r != 0)
                        return r;
        }
}

static int take_plan(char **argv, struct plan *ret)
{
        static const struct {
                const char *name;
                int error;
        } errors[] = {{"kill", 0}, {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"ENOMEM", ENOMEM}};
        size_t length = strcspn(argv[1], "+");
        struct plan plan = {.all = argv[1][length] != '\0',
                            .at = strtol(argv[2], NULL, 10),
                            .report = argv[3]};
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                if (strlen(errors[i].name) != length || strncmp(errors[i].name, argv[1], length) != 0)
                        continue;
                plan.error = errors[i].error;
                *ret = plan;
                return plan.at < 1 || (plan.all && plan.error == 0) ? -EINVAL : 0;
        }
        return -EINVAL;
}

int main(int argc, char **argv)
{
        struct plan plan;
        int status;
        if (argc < 5 || take_plan(argv, &plan) < 0) {
                (void)fprintf(stderr, "usage: at-call kill|ENOSPC[+]|EIO[+]|ENOMEM[+] N REPORT COMMAND...\n");
                return CANNOT;
        }
        int report_fd = open(plan.report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (report_fd < 0 || close(report_fd) < 0)
                return fail(plan.report);
        pid_t pid = fork();
        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
                        (void)execvp(argv[4], argv + 4);
                _exit(fail(argv[4]));
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return fail("start the command");
        if (!WIFSTOPPED(status))
                return WIFEXITED(status) ? WEXITSTATUS(status) : CANNOT;
        if (ptrace(PTRACE_SETOPTIONS, pid, 0,
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE) < 0)
                return fail("follow the command");
        struct trace t = {.plan = &plan, .pid = pid};
        find_loader(&t);
        return follow(&t);
}
