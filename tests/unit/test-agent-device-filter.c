/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/device_filter.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK BPF_DEVCG_DEV_BLOCK
#define CHAR  BPF_DEVCG_DEV_CHAR
#define MKNOD BPF_DEVCG_ACC_MKNOD
#define READ  BPF_DEVCG_ACC_READ
#define WRITE BPF_DEVCG_ACC_WRITE

/* Runs the few instructions these programs are made of; anything else fails the case. */
static int run(const struct bpf_insn *code, int length, uint32_t type, uint32_t access, uint32_t device_major,
               uint32_t device_minor)
{
        uint32_t context[3] = {access << 16 | type, device_major, device_minor}, r[11] = {0};
        for (int i = 0; i < length; i++) {
                const struct bpf_insn *c = &code[i];
                switch (c->code) {
                case BPF_LDX | BPF_MEM | BPF_W:
                        r[c->dst_reg] = context[c->off / 4];
                        break;
                case BPF_ALU | BPF_MOV | BPF_X:
                        r[c->dst_reg] = r[c->src_reg];
                        break;
                case BPF_ALU | BPF_MOV | BPF_K:
                        r[c->dst_reg] = (uint32_t)c->imm;
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        r[c->dst_reg] &= (uint32_t)c->imm;
                        break;
                case BPF_ALU | BPF_RSH | BPF_K:
                        r[c->dst_reg] >>= c->imm;
                        break;
                case BPF_JMP32 | BPF_JNE | BPF_K:
                        i += r[c->dst_reg] != (uint32_t)c->imm ? c->off : 0;
                        break;
                case BPF_JMP32 | BPF_JEQ | BPF_K:
                        i += r[c->dst_reg] == (uint32_t)c->imm ? c->off : 0;
                        break;
                case BPF_JMP | BPF_EXIT:
                        return (int)r[0];
                default:
                        fail_msg("instruction 0x%x", c->code);
                }
        }
        fail_msg("it runs off its end");
        return -1;
}

static void usual_devices_and_no_others(void **state)
{
        (void)state;
        static struct bpf_insn code[DEVICE_FILTER_MAX];
        struct container_plan plan = {0};
        int n = device_filter_compile(&plan, code, DEVICE_FILTER_MAX);
        assert_true(n > 0);
        assert_int_equal(run(code, n, CHAR, READ | WRITE, 1, 3), 1);
        assert_int_equal(run(code, n, CHAR, READ | WRITE, 136, 17), 1);
        assert_int_equal(run(code, n, BLOCK, MKNOD, 254, 0), 1);
        assert_int_equal(run(code, n, BLOCK, READ, 254, 0), 0);
        assert_int_equal(run(code, n, BLOCK, READ | MKNOD, 254, 0), 0);
        assert_int_equal(run(code, n, BLOCK, READ, 1, 3), 0);
        assert_int_equal(run(code, n, CHAR, READ, 1, 1), 0);
        assert_int_equal(run(code, n, CHAR, READ, 10, 229), 0);
}

static void rules_of_the_plan_count_from_the_last(void **state)
{
        (void)state;
        static struct bpf_insn code[DEVICE_FILTER_MAX];
        static struct device_plan devices[] = {
            {.path = NULL, .mode = S_IFCHR | 0666, .device_major = 10, .device_minor = 229}};
        static struct container_plan plan = {.devices = devices, .device_count = 1};
        static const struct device_rule rules[] = {
            {true, 'a', -1, -1, true, true, true},
            {false, 'b', 254, -1, false, true, false},
            {true, 'b', 254, 1, false, true, false},
        };
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(resources_add_rule(&plan.resources, &rules[i]), 0);
        int n = device_filter_compile(&plan, code, DEVICE_FILTER_MAX);
        assert_true(n > 0);
        assert_int_equal(run(code, n, BLOCK, READ, 254, 0), 1);
        assert_int_equal(run(code, n, BLOCK, WRITE, 254, 0), 0);
        assert_int_equal(run(code, n, BLOCK, READ | WRITE, 254, 0), 0);
        assert_int_equal(run(code, n, BLOCK, WRITE, 254, 1), 1);
        assert_int_equal(run(code, n, CHAR, WRITE, 254, 0), 1);
        assert_int_equal(run(code, n, CHAR, READ | WRITE, 10, 229), 1);
}

/* The kernel's verifier refuses what cannot be reached. */
static void nothing_stands_behind_a_rule_for_everything(void **state)
{
        (void)state;
        static struct bpf_insn code[DEVICE_FILTER_MAX];
        static struct container_plan plan;
        static const struct device_rule rules[] = {
            {false, 'b', 254, -1, false, true, false},
            {true, 'a', -1, -1, true, true, true},
        };
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(resources_add_rule(&plan.resources, &rules[i]), 0);
        int n = device_filter_compile(&plan, code, DEVICE_FILTER_MAX);
        assert_true(n > 2);
        assert_int_equal(run(code, n, BLOCK, READ | WRITE | MKNOD, 254, 0), 1);
        assert_int_equal(run(code, n, CHAR, READ | WRITE, 10, 229), 1);
        assert_int_equal(code[n - 1].code, BPF_JMP | BPF_EXIT);
        assert_int_equal(code[n - 2].imm, 1);
}

static void as_many_rules_as_there_may_be_fit(void **state)
{
        (void)state;
        static struct bpf_insn code[DEVICE_FILTER_MAX];
        static struct container_plan plan;
        struct device_rule rule = {false, 'b', 5, 6, false, true, false};
        while (resources_add_rule(&plan.resources, &rule) == 0)
                ;
        assert_true(device_filter_compile(&plan, code, DEVICE_FILTER_MAX) > 0);
        assert_int_equal(device_filter_compile(&plan, code, 100), -ENOSPC);
        assert_int_equal(device_filter_compile(&plan, code, 0), -ENOSPC);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(usual_devices_and_no_others),
    cmocka_unit_test(rules_of_the_plan_count_from_the_last),
    cmocka_unit_test(nothing_stands_behind_a_rule_for_everything),
    cmocka_unit_test(as_many_rules_as_there_may_be_fit),
};

UNIT_TEST_MAIN(cases)
