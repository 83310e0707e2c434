/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent/spec.h"
#include "base/cleanup.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define PROCESS "\"process\": {\"args\": [\"a\"], \"cwd\": \"/\"}"
#define LINUX   "\"linux\": {\"namespaces\": [{\"type\": \"mount\"}]}"

static int parse(const char *text, struct container_plan **ret_plan, struct error *err)
{
        cleanup_json json_t *json = NULL;
        assert_int_equal(json_parse(text, strlen(text), "test", &json, err), 0);
        return spec_parse(json, ret_plan, err);
}

static void everything_arrives_in_the_plan(void **state)
{
        (void)state;
        struct container_plan *plan;
        struct error err = ERROR_INIT;
        int r = parse("{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": [\"a\", \"b\"], \"cwd\": \"/w\", "
                      "\"env\": [\"A=1\", \"B=2\", "
                      "\"A=3\"], \"terminal\": true, \"consoleSize\": {\"height\": 5, \"width\": 6}, "
                      "\"user\": {\"uid\": 7, \"gid\": 8, "
                      "\"additionalGids\": [9, 10], \"umask\": 63}, \"capabilities\": {\"bounding\": "
                      "[\"CAP_CHOWN\", \"CAP_KILL\"], "
                      "\"ambient\": [\"CAP_CHECKPOINT_RESTORE\"]}, \"rlimits\": [{\"type\": "
                      "\"RLIMIT_NOFILE\", \"soft\": 10, \"hard\": -1}], "
                      "\"noNewPrivileges\": true, \"oomScoreAdj\": -5}, \"root\": {\"path\": \"x\", "
                      "\"readonly\": true}, \"hostname\": \"h\", "
                      "\"mounts\": [{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"}, "
                      "{\"destination\": \"/b\", "
                      "\"source\": \"/src\", \"options\": [\"rbind\", \"ro\"]}], \"annotations\": "
                      "{\"boxlet.init\": \"true\"}, \"linux\": {"
                      "\"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"mount\"}, {\"type\": \"uts\"}], "
                      "\"devices\": [{\"path\": \"/dev/fuse\", "
                      "\"type\": \"c\", \"major\": 10, \"minor\": 229, \"fileMode\": 438}], \"sysctl\": "
                      "{\"net.core.somaxconn\": \"5\"}, "
                      "\"cgroupsPath\": \"/box/inner\", \"resources\": {\"pids\": {\"limit\": 3}}, "
                      "\"maskedPaths\": [\"/m\"], "
                      "\"readonlyPaths\": [\"/r\"], \"rootfsPropagation\": \"rslave\"}}",
                      &plan, &err);
        if (r < 0)
                fail_msg("%s", err.text);
        const struct task_plan *t = &plan->task;
        assert_string_equal(t->args[1], "b");
        assert_string_equal(t->cwd, "/w");
        assert_string_equal(t->env[0], "A=3");
        assert_string_equal(t->env[1], "B=2");
        assert_null(t->env[2]);
        assert_true(t->terminal && t->rows == 5 && t->columns == 6);
        assert_true(t->uid == 7 && t->gid == 8 && t->group_count == 2 && t->groups[1] == 10);
        assert_true(t->has_umask && t->umask == 077 && t->no_new_privileges);
        assert_true(t->capabilities.bounding == 0x21 && t->capabilities.effective == 0);
        assert_true(t->capabilities.ambient == UINT64_C(1) << 40);
        assert_true(t->rlimit_count == 1 && t->rlimits[0].resource == RLIMIT_NOFILE);
        assert_true(t->rlimits[0].limit.rlim_cur == 10 && t->rlimits[0].limit.rlim_max == RLIM_INFINITY);
        assert_true(t->has_oom_score_adj && t->oom_score_adj == -5);
        assert_true(plan->readonly_root && plan->tiny_init && !plan->delegate_cgroup);
        assert_int_equal(plan->mount_count, 2);
        assert_int_equal(plan->mounts[1].options.flags, MS_BIND | MS_REC | MS_RDONLY);
        assert_int_equal(plan->device_count, 1);
        assert_int_equal(plan->devices[0].mode, S_IFCHR | 0666);
        assert_string_equal(plan->sysctls[0].path, "net/core/somaxconn");
        assert_string_equal(plan->cgroup, "box/inner");
        assert_string_equal(plan->masked_paths[0], "/m");
        assert_string_equal(plan->readonly_paths[0], "/r");
        assert_int_equal(plan->namespaces, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS);
        assert_int_equal(plan->propagation, MS_SLAVE | MS_REC);
        assert_string_equal(plan->hostname, "h");
        container_plan_free(plan);
}

static void the_least_there_may_be(void **state)
{
        (void)state;
        struct container_plan *plan;
        struct error err = ERROR_INIT;
        assert_int_equal(parse("{" PROCESS ", " LINUX "}", &plan, &err), 0);
        assert_string_equal(plan->cgroup, "box");
        assert_int_equal(plan->propagation, MS_PRIVATE);
        assert_int_equal(plan->task.capabilities.bounding, 0);
        assert_null(plan->task.username);
        container_plan_free(plan);
}

static void a_writable_cgroup_is_delegation(void **state)
{
        (void)state;
        struct container_plan *plan;
        struct error err = ERROR_INIT;
        assert_int_equal(parse("{" PROCESS ", " LINUX
                               ", \"mounts\": [{\"destination\": \"/sys/fs/cgroup\", \"type\": "
                               "\"cgroup\", \"options\": [\"rw\"]}]}",
                               &plan, &err),
                         0);
        assert_true(plan->delegate_cgroup);
        container_plan_free(plan);
}

static void what_is_wrong_is_said_by_name(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int code;
                const char *message;
        } table[] = {
            {"[]", -EINVAL, "it is not an object"},
            {"{" LINUX "}", -EINVAL, "'process' is missing or not an object"},
            {"{" PROCESS "}", -EINVAL, "'linux' is missing or not an object"},
            {"{\"process\": {\"args\": []}, " LINUX "}", -EINVAL,
             "'process.args' does not begin with a command"},
            {"{\"process\": {\"args\": [\"\"]}, " LINUX "}", -EINVAL,
             "'process.args' does not begin with a command"},
            {"{\"process\": {\"args\": [1]}, " LINUX "}", -EINVAL,
             "'args' holds a JSON integer, not only strings"},
            {"{\"process\": {\"args\": [\"a\"], \"cwd\": \"x\"}, " LINUX "}", -EINVAL,
             "'process.cwd' is 'x', not an absolute path"},
            {"{\"process\": {\"args\": [\"a\"], \"env\": [\"x\"]}, " LINUX "}", -EINVAL,
             "'process.env': 'x' is not NAME=value"},
            {"{\"process\": {\"args\": [\"a\"], \"env\": [\"=x\"]}, " LINUX "}", -EINVAL,
             "'process.env': '=x' is not NAME=value"},
            {"{\"process\": {\"args\": [\"a\"], \"capabilities\": {\"bounding\": [\"CAP_X\"]}}, " LINUX "}",
             -EINVAL, "'process.capabilities.bounding': no capability 'CAP_X'"},
            {"{\"process\": {\"args\": [\"a\"], \"rlimits\": [{\"type\": \"RLIMIT_X\"}]}, " LINUX "}",
             -EINVAL, "'process.rlimits': no limit 'RLIMIT_X'"},
            {"{\"process\": {\"args\": [\"a\"], \"rlimits\": [{\"type\": \"RLIMIT_CPU\", \"soft\": 2, "
             "\"hard\": 1}]}, " LINUX "}",
             -EINVAL, "'process.rlimits', RLIMIT_CPU: soft is above hard"},
            {"{\"process\": {\"args\": [\"a\"], \"apparmorProfile\": \"x\"}, " LINUX "}", -EOPNOTSUPP,
             "'process.apparmorProfile' is not supported"},
            {"{\"process\": {\"args\": [\"a\"], \"user\": {\"uid\": -1}}, " LINUX "}", -EINVAL,
             "'uid' is -1, outside 0 to 4294967294"},
            {"{" PROCESS ", \"linux\": {}}", -EINVAL, "'linux.namespaces': a mount namespace is needed"},
            {"{" PROCESS ", \"linux\": {\"namespaces\": [{\"type\": \"user\"}]}}", -EOPNOTSUPP,
             "'linux.namespaces': 'user' is not supported"},
            {"{" PROCESS ", \"linux\": {\"namespaces\": [{\"type\": \"pid\", \"path\": \"/x\"}]}}",
             -EOPNOTSUPP, "'linux.namespaces': joining one by path is not supported"},
            {"{" PROCESS ", \"linux\": {\"seccomp\": {\"x\": 1}, \"namespaces\": [{\"type\": \"mount\"}]}}",
             -EOPNOTSUPP, "'linux.seccomp' is not supported"},
            {"{" PROCESS
             ", \"linux\": {\"cgroupsPath\": \"/a/../b\", \"namespaces\": [{\"type\": \"mount\"}]}}",
             -EINVAL, "'linux.cgroupsPath' is 'a/../b', not a path below the root"},
            {"{" PROCESS
             ", \"linux\": {\"cgroupsPath\": \"/agent/x\", \"namespaces\": [{\"type\": \"mount\"}]}}",
             -EINVAL, "'linux.cgroupsPath': 'agent' is not a container's"},
            {"{" PROCESS
             ", \"linux\": {\"sysctl\": {\"../x\": \"1\"}, \"namespaces\": [{\"type\": \"mount\"}]}}",
             -EINVAL, "'linux.sysctl': '../x' is no setting with a text"},
            {"{" PROCESS ", " LINUX ", \"mounts\": [{\"destination\": \"x\", \"type\": \"proc\"}]}", -EINVAL,
             "'mounts', number 1: 'destination' is 'x', not an absolute path"},
            {"{" PROCESS ", " LINUX ", \"mounts\": [{\"destination\": \"/x\"}]}", -EINVAL,
             "'mounts', number 1: 'type' is missing"},
            {"{" PROCESS ", " LINUX
             ", \"mounts\": [{\"destination\": \"/x\", \"type\": \"bind\", \"source\": \"x\"}]}",
             -EINVAL, "'mounts', number 1: a bind mount needs an absolute source and no data"},
            {"{" PROCESS ", " LINUX ", \"hostname\": \"x\"}", -EINVAL, "'hostname' needs a uts namespace"},
            {"{" PROCESS ", " LINUX ", \"hooks\": {\"poststop\": [1]}}", -EOPNOTSUPP,
             "'hooks.poststop' is not supported"},
            {"{" PROCESS ", " LINUX ", \"annotations\": {\"boxlet.init\": \"1\"}}", -EINVAL,
             "'annotations', boxlet.init: '1' is not true or false"},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct container_plan *plan;
                struct error err = ERROR_INIT;
                char expected[512];
                (void)snprintf(expected, sizeof(expected), "read spec: %s", table[i].message);
                int r = parse(table[i].text, &plan, &err);
                assert_string_equal(err.text, expected);
                assert_int_equal(r, table[i].code);
        }
}

static void an_exec_takes_what_it_does_not_say_from_the_container(void **state)
{
        (void)state;
        struct container_plan *plan;
        struct task_plan task;
        struct error err = ERROR_INIT;
        cleanup_json json_t *json = NULL;
        assert_int_equal(
            parse("{\"process\": {\"args\": [\"a\"], \"cwd\": \"/w\", \"terminal\": true, \"env\": [\"A=1\", "
                  "\"B=2\", \"GONE=1\"], "
                  "\"user\": {\"username\": \"u\"}, \"capabilities\": {\"bounding\": [\"CAP_KILL\"]}, "
                  "\"noNewPrivileges\": true}, " LINUX "}",
                  &plan, &err),
            0);
        const char *text = "{\"args\": [\"x\"], \"env\": [\"B=3\", \"C=4\", \"GONE\", \"NEVER\"]}";
        assert_int_equal(json_parse(text, strlen(text), "test", &json, &err), 0);
        assert_int_equal(spec_parse_exec(json, &plan->task, &task, &err), 0);
        assert_string_equal(task.args[0], "x");
        assert_string_equal(task.cwd, "/w");
        assert_string_equal(task.env[0], "A=1");
        assert_string_equal(task.env[1], "B=3");
        assert_string_equal(task.env[2], "C=4");
        assert_null(task.env[3]);
        assert_string_equal(task.username, "u");
        assert_true(task.no_new_privileges && !task.terminal && task.capabilities.bounding == 0x20);
        task_plan_done(&task);
        container_plan_free(plan);
}

static void names_of_settings_are_paths(void **state)
{
        (void)state;
        static const char *const table[][2] = {
            {"net.core.somaxconn", "net/core/somaxconn"},
            {"net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"},
            {"net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"},
            {"kernel", "kernel"},
            {"", NULL},
            {"/etc/passwd", NULL},
            {"a..b", NULL},
            {"a.//b", NULL},
            {"a b", NULL},
            {".a", NULL},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                cleanup_free char *path = sysctl_path(table[i][0]);
                if (table[i][1] == NULL)
                        assert_null(path);
                else
                        assert_string_equal(path, table[i][1]);
        }
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(everything_arrives_in_the_plan),
    cmocka_unit_test(the_least_there_may_be),
    cmocka_unit_test(a_writable_cgroup_is_delegation),
    cmocka_unit_test(what_is_wrong_is_said_by_name),
    cmocka_unit_test(an_exec_takes_what_it_does_not_say_from_the_container),
    cmocka_unit_test(names_of_settings_are_paths),
};

UNIT_TEST_MAIN(cases)
