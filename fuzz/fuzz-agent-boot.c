/* SPDX-License-Identifier: Apache-2.0 */
/* A boot request to a plan: what goes into files of the container has the lines it was asked for, and no
 * more. */
#include "agent/boot_plan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_lines(const char *text)
{
        size_t lines = 0;
        for (; text != NULL && *text != '\0'; text++)
                lines += *text == '\n';
        return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_json json_t *json = NULL;
        struct error err = ERROR_INIT;
        struct boot_plan *plan;
        if (json_parse((const char *)data, size, "fuzz", &json, &err) < 0 ||
            boot_plan_parse(json, &plan, &err) < 0)
                return 0;
        const json_t *network = json_object_get(json, "network");
        if (count_lines(plan->hosts) != json_array_size(json_object_get(json, "hosts")))
                abort();
        /* the box's own name server stands in place of those asked for */
        size_t servers = plan->resolver.present ? 1 : json_array_size(json_object_get(network, "dns"));
        if (count_lines(plan->resolv_conf) > servers + 1)
                abort();
        if (strlen(plan->hostname) > 64 || plan->entropy_size > 64)
                abort();
        boot_plan_free(plan);
        return 0;
}
