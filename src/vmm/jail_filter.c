/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp filters. Their lists stand in comments beside the code that needs each call, in the files of
 * base/ and vmm/ that a jailed thread comes to; tools/jail-calls gathers them and jail-compile.c makes
 * programs of them, both at build time. What the C library does by itself is here:
 *
 * memory (malloc; none that is executable), locks, the clock where the vDSO does not have it, the end of a
 * thread (its stack is given back) and of the process:
 *
 * system calls (all): brk mmap(2!PROT_EXEC) mprotect(2!PROT_EXEC) munmap mremap madvise futex clock_gettime
 * sched_yield exit exit_group
 *
 * signals: nothing but the vCPUs' kick is handled; abort() and raise() name the own process, which as the
 * first of its namespace sees no other:
 *
 * system calls (all): rt_sigreturn rt_sigprocmask restart_syscall gettid getpid tgkill
 */
#include "vmm/jail_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/jail_programs.h"

#define PROGRAM(n)                                                                          \
        {                                                                                   \
                .len = sizeof(program_##n) / sizeof(*program_##n),                          \
                .filter = (struct sock_filter *)program_##n, /* the kernel only reads it */ \
        }

int jail_filter_load(enum jail_kind kind, struct error *err)
{
        static const struct sock_fprog programs[JAIL_KINDS] = {PROGRAM(0), PROGRAM(1), PROGRAM(2), PROGRAM(3),
                                                               PROGRAM(4)};
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &programs[kind]) < 0)
                return error_errno(err, -errno, "limit system calls");
        return 0;
}
