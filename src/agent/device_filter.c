/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules as a BPF program (BPF_PROG_TYPE_CGROUP_DEVICE): cgroup v2 has no other way to say them.
 *
 * Each rule becomes a block that compares and leaves with the verdict, or falls through to the next; the end
 * is "no". Registers: r2 type, r3 access asked for, r4 major, r5 minor, r1 scratch.
 */
#include "agent/device_filter.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULE_MAX 8 /* instructions a rule takes at most */

struct program {
        struct bpf_insn *code;
        size_t length, maximum;
};

static void emit(struct program *p, uint8_t code, uint8_t target, uint8_t source, int16_t offset,
                 int32_t value)
{
        p->code[p->length++] = (struct bpf_insn){
            .code = code, .dst_reg = target, .src_reg = source, .off = offset, .imm = value};
}

/* A jump over the rest of the rule, whose distance is filled in at its end. */
static void emit_unless(struct program *p, uint8_t op, uint8_t reg, int64_t value)
{
        emit(p, BPF_JMP32 | op | BPF_K, reg, 0, 0, (int32_t)value);
}

static int add_rule(struct program *p, const struct device_rule *rule)
{
        int32_t access = (rule->mknod ? BPF_DEVCG_ACC_MKNOD : 0) | (rule->read ? BPF_DEVCG_ACC_READ : 0) |
                         (rule->write ? BPF_DEVCG_ACC_WRITE : 0);
        int32_t all = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
        size_t begin = p->length;
        if (p->maximum - p->length < RULE_MAX)
                return -ENOSPC;
        if (rule->type != 'a')
                emit_unless(p, BPF_JNE, BPF_REG_2,
                            rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
        if (access != all) {
                /* what is asked for must lie within what is allowed, and touch what is denied */
                emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
                emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, rule->allow ? ~access : access);
                emit_unless(p, rule->allow ? BPF_JNE : BPF_JEQ, BPF_REG_1, 0);
        }
        if (rule->major >= 0)
                emit_unless(p, BPF_JNE, BPF_REG_4, rule->major);
        if (rule->minor >= 0)
                emit_unless(p, BPF_JNE, BPF_REG_5, rule->minor);
        emit(p, BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow ? 1 : 0);
        emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
        for (size_t i = begin; i < p->length; i++) {
                if (BPF_CLASS(p->code[i].code) == BPF_JMP32)
                        p->code[i].off = (int16_t)(p->length - i - 1);
        }
        return 0;
}

/* What stands behind such a rule is never reached, and the kernel's verifier refuses that. */
static bool is_for_everything(const struct device_rule *rule)
{
        return rule->type == 'a' && rule->read && rule->write && rule->mknod && rule->major < 0 &&
               rule->minor < 0;
}

static int add_usual(struct program *p)
{
        static const struct device_rule usual[] = {
            {true, 'a', -1, -1, false, false, true}, /* making one is not opening it */
            {true, 'c', 1, 3, true, true, true},     /* null */
            {true, 'c', 1, 5, true, true, true},     /* zero */
            {true, 'c', 1, 7, true, true, true},     /* full */
            {true, 'c', 1, 8, true, true, true},     /* random */
            {true, 'c', 1, 9, true, true, true},     /* urandom */
            {true, 'c', 5, 0, true, true, true},     /* tty */
            {true, 'c', 5, 1, true, true, true},     /* console */
            {true, 'c', 5, 2, true, true, true},     /* ptmx */
            {true, 'c', 136, -1, true, true, true},  /* pts */
        };
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(usual) / sizeof(usual[0]); i++)
                r = add_rule(p, &usual[i]);
        return r;
}

int device_filter_compile(const struct container_plan *plan, struct bpf_insn *ret_code, size_t maximum)
{
        struct program p = {.code = ret_code, .maximum = maximum};
        if (maximum < 8)
                return -ENOSPC;
        emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, 0, 0); /* struct bpf_cgroup_dev_ctx */
        emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, 4, 0);
        emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, 8, 0);
        emit(&p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_3, 0, 0);
        emit(&p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
        emit(&p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
        int r = add_usual(&p);
        for (size_t i = 0; r == 0 && i < plan->device_count; i++) {
                const struct device_plan *d = &plan->devices[i];
                struct device_rule rule = {
                    true, S_ISBLK(d->mode) ? 'b' : 'c', d->device_major, d->device_minor, true, true, true};
                r = S_ISFIFO(d->mode) ? 0 : add_rule(&p, &rule);
        }
        for (size_t i = plan->resources.rule_count; r == 0 && i > 0; i--) {
                r = add_rule(&p, &plan->resources.rules[i - 1]);
                if (r == 0 && is_for_everything(&plan->resources.rules[i - 1]))
                        return (int)p.length;
        }
        if (r < 0 || p.maximum - p.length < 2)
                return -ENOSPC;
        emit(&p, BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
        emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
        return (int)p.length;
}

int device_filter_attach(int cgroup_fd, const struct container_plan *plan, struct error *err)
{
        cleanup_free struct bpf_insn *code = calloc(DEVICE_FILTER_MAX, sizeof(*code));
        union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
        union bpf_attr attach = {.attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI};
        int count = code == NULL ? -ENOMEM : device_filter_compile(plan, code, DEVICE_FILTER_MAX);
        if (count < 0)
                return error_errno(err, count, "compile the device rules");
        load.insns = (uint64_t)(uintptr_t)code;
        load.insn_cnt = (uint32_t)count;
        load.license = (uint64_t)(uintptr_t) "Apache-2.0";
        cleanup_fd int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
        if (program < 0)
                return error_errno(err, -errno, "load the device rules");
        attach.target_fd = (uint32_t)cgroup_fd;
        attach.attach_bpf_fd = (uint32_t)program;
        if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) < 0)
                return error_errno(err, -errno, "attach the device rules");
        return 0;
}
