/* SPDX-License-Identifier: Apache-2.0 */
/* box.json as text; what is accepted must make both requests for the agent. */
#include "monitor/config.h"
#include "monitor/request.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct config c;
        const struct request_network none = {0};
        if (size > CONFIG_SIZE_MAX || config_parse((const char *)data, size, &c, NULL) < 0)
                return 0;
        cleanup_json json_t *boot = request_boot(&c, &none), *start = request_start(&c, 24, 80);
        assert(start != NULL && boot != NULL);
        config_done(&c);
        return 0;
}
