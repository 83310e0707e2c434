/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI document to a plan, the same document's process as an exec on top of it, and the plan's device
 * program. */
#include "agent/device_filter.h"
#include "agent/spec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct bpf_insn code[DEVICE_FILTER_MAX];
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        struct container_plan *plan;
        struct task_plan task;
        if (json_parse((const char *)data, size, "fuzz", &json, &err) < 0)
                return 0;
        if (spec_parse(json, &plan, &err) == 0) {
                if (plan->task.args[0] == NULL || plan->task.cwd[0] != '/' || plan->cgroup[0] == '/')
                        abort();
                if (device_filter_compile(plan, code, DEVICE_FILTER_MAX) > DEVICE_FILTER_MAX)
                        abort();
                if (spec_parse_exec(json_object_get(json, "process"), &plan->task, &task, &err) == 0)
                        task_plan_done(&task);
                container_plan_free(plan);
        } else if (err.text[0] == '\0') {
                abort(); /* a refusal says why */
        }
        if (spec_parse_exec(json, NULL, &task, &err) == 0)
                task_plan_done(&task);
        return 0;
}
