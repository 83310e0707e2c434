/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Build tool: turns the rules that tools/jail-calls gathered into one seccomp program for each kind of
 * thread, printed as C. Done while building, so that boxlet-vmm neither carries libseccomp nor spends time on
 * it at each start. The programs search the call's number in a tree (SCMP_FLTATR_CTL_OPTIMIZE 2): about seven
 * comparisons for any call.
 */
#include "vmm/jail_kinds.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum condition { JAIL_ANY, JAIL_EQUAL, JAIL_NO_BIT };

static const struct rule {
        enum jail_kind kind;
        int call;
        enum condition condition;
        unsigned argument;
        unsigned long long value;
} rules[] = {
#include "vmm/jail_rules.h"
};

static int add_rule(scmp_filter_ctx filter, const struct rule *r)
{
        struct scmp_arg_cmp compare = {.arg = r->argument, .op = SCMP_CMP_EQ, .datum_a = r->value};
        if (r->condition == JAIL_NO_BIT)
                compare = (struct scmp_arg_cmp){.arg = r->argument,
                                                .op = SCMP_CMP_MASKED_EQ,
                                                .datum_a = r->value,
                                                .datum_b = 0};
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, r->call, r->condition != JAIL_ANY, &compare);
}

static scmp_filter_ctx make_filter(enum jail_kind kind)
{
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (filter == NULL || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
            seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
                return NULL;
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                if (rules[i].kind == kind && add_rule(filter, &rules[i]) < 0)
                        return NULL;
        }
        return filter;
}

static int print_program(enum jail_kind kind)
{
        struct sock_filter program[4096];
        int pair[2];
        scmp_filter_ctx filter = make_filter(kind);
        if (filter == NULL || pipe(pair) < 0 || fcntl(pair[1], F_SETPIPE_SZ, sizeof(program)) < 0 ||
            seccomp_export_bpf(filter, pair[1]) < 0)
                return -1;
        (void)close(pair[1]);
        ssize_t n = read(pair[0], program, sizeof(program));
        (void)close(pair[0]);
        seccomp_release(filter);
        if (n <= 0 || n % (ssize_t)sizeof(program[0]) != 0 || n == sizeof(program))
                return -1;
        printf("static const struct sock_filter program_%d[] = {\n", (int)kind);
        for (size_t i = 0; i < (size_t)n / sizeof(program[0]); i++)
                printf("    {0x%x, %u, %u, 0x%xU},\n", program[i].code, program[i].jt, program[i].jf,
                       program[i].k);
        printf("};\n");
        return 0;
}

int main(void)
{
        printf("/* Made by src/vmm/jail-compile.c. */\n");
        for (int kind = 0; kind < JAIL_KINDS; kind++) {
                if (print_program((enum jail_kind)kind) < 0) {
                        (void)fprintf(stderr, "jail-compile: cannot make the filter of kind %d\n", kind);
                        return 1;
                }
        }
        return 0;
}
