/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages of jail.h. Stage 2 makes a user namespace without any mapping: the process keeps its user for
 * what files let it do, but has no capability outside, even when it was started by root. The network
 * namespace has nothing in it; the engine's network is the socket to passt that it inherits.
 *
 * The list of system calls is short because the process only moves bytes between descriptors it already has:
 * no path is opened, no program started, no memory made executable from here on. Builds with sanitizers do
 * not take stage 3: those need calls of their own.
 */
#include "vmm/jail.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEEP_MAX 512

/* 1024 streams, greetings, and what a machine holds; the limit is raised to this if it is lower. It stays
 * where it was raised to for shared folders. */
#define DESCRIPTORS 2048

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SANITIZER 1
#endif
#endif
#ifndef WITH_SANITIZER
#define WITH_SANITIZER 0
#endif

static int compare(const void *a, const void *b)
{
        return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

int jail_close_others(const int *keep, size_t count, struct error *err)
{
        int sorted[KEEP_MAX];
        unsigned from = 3;
        if (count > KEEP_MAX)
                return error_set(err, -EINVAL, "too many descriptors to keep");
        memcpy(sorted, keep, count * sizeof(int));
        qsort(sorted, count, sizeof(int), compare);
        for (size_t i = 0; i < count; i++) {
                unsigned fd = (unsigned)sorted[i];
                if (sorted[i] < 3 || fd < from)
                        continue;
                if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) < 0)
                        return error_errno(err, -errno, "close descriptors");
                from = fd + 1;
        }
        if (syscall(SYS_close_range, from, ~0U, 0) < 0)
                return error_errno(err, -errno, "close descriptors");
        return 0;
}

static int tie_to_parent(pid_t parent, struct error *err)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return error_errno(err, -errno, "tie the process to its parent");
        if (getppid() != parent)
                return error_set(err, -ESRCH, "the parent has ended");
        return 0;
}

int jail_before_engine(struct error *err)
{
        const struct rlimit no_core = {0, 0};
        pid_t parent = getppid();
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_errno(err, -errno, "give up new privileges");
        if (setrlimit(RLIMIT_CORE, &no_core) < 0)
                return error_errno(err, -errno, "forbid core dumps");
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) < 0)
                log_info("no namespaces of its own: %s", strerror(errno));
        /* last: new credentials take it away again (commit_creds() in the kernel) */
        return tie_to_parent(parent, err);
}

static int raise_descriptors(struct error *err)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_errno(err, -errno, "look at the limit of descriptors");
        if (limit.rlim_cur < DESCRIPTORS)
                limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        limit.rlim_max = limit.rlim_cur;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? error_errno(err, -errno, "limit descriptors") : 0;
}

/* What serving a machine takes, and where. */
static const int allowed[] = {
    /* base/loop */
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(timerfd_settime),
    /* streams, kicks, interrupts, console, log */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
    SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(accept4),
    /* vhost_user: SET_MEM_TABLE; fstat(2) is newfstatat(2) in glibc */
    SCMP_SYS(munmap), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    /* vsock_connection: empty rings give their pages back; malloc */
    SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
    /* the engine's end, and our own */
    SCMP_SYS(pidfd_send_signal), SCMP_SYS(waitid), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* signals: nothing is handled, but the kernel's and the C library's own machinery */
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(tgkill),
    /* the clock, where the vDSO does not have it */
    SCMP_SYS(clock_gettime)};

/* Memory, but none to execute. */
static int allow_memory(scmp_filter_ctx filter)
{
        int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        return r != 0 ? r
                      : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                         SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
        int r = 0;
        for (size_t i = 0; i < count && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
        return r;
}

static int allow_all(scmp_filter_ctx filter)
{
        static const int fcntl_commands[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_GET_SEALS};
        /* engine kvm: where a guest stood that was stopped (kvm/vcpu.c) */
        static const scmp_datum_t ioctls[] = {KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_MP_STATE};
        int r = allow_calls(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));
        for (size_t i = 0; i < sizeof(fcntl_commands) / sizeof(fcntl_commands[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i]));
        if (r == 0)
                r = allow_memory(filter);
        for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]) && r == 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                     SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
        /* the guest's connection to the host: a pair, of which the monitor gets one end */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                                     SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        return r;
}

int jail_before_guest(struct error *err)
{
        int r = raise_descriptors(err);
        if (r < 0 || WITH_SANITIZER)
                return r;
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (filter == NULL)
                return error_errno(err, -ENOMEM, "limit system calls");
        r = allow_all(filter);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? error_errno(err, r, "limit system calls") : 0;
}

int jail_thread(const int *calls, size_t count, struct error *err)
{
        if (WITH_SANITIZER)
                return 0;
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (filter == NULL)
                return error_errno(err, -ENOMEM, "limit system calls");
        int r = allow_calls(filter, calls, count);
        if (r == 0)
                r = allow_memory(filter);
        if (r == 0)
                r = seccomp_load(filter);
        seccomp_release(filter);
        return r < 0 ? error_errno(err, r, "limit the system calls of a thread") : 0;
}
