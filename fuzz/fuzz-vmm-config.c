/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's configuration document, and the command line that is made from it. */
#include "base/json.h"
#include "vmm/config.h"
#include "vmm/qemu/plan.h"
#include "vmm/virtio/vsock_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_plan(const struct config *c)
{
        bool make = c->template == CONFIG_TEMPLATE_MAKE;
        struct qemu_ends ends = {.memory = 1028,
                                 .monitor = c->template == CONFIG_TEMPLATE_NONE ? -1 : 1029,
                                 .vsock = make ? -1 : 1030,
                                 .fs = c->share_count > 0 ? 1033 : -1,
                                 .console = 1031,
                                 .words = 1032};
        struct qemu_plan plan;
        struct error err = ERROR_INIT;
        int r = qemu_plan_make(c, &ends, &plan, &err);
        if (r == -E2BIG)
                return; /* more devices than slots */
        if (r < 0 || qemu_plan_check(&plan, &err) < 0)
                abort(); /* what was accepted can be carried out */
        for (unsigned i = 1; i < plan.word_count; i++) {
                if (strcmp(plan.words[i - 1], "-append") != 0 && strpbrk(plan.words[i], " \n") != NULL)
                        abort();
        }
        qemu_plan_done(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct config config;
        struct error err = ERROR_INIT;
        uint32_t port;
        int r = vsock_parse_connect((const char *)data,
                                    size < VSOCK_CONNECT_LINE_MAX ? size : VSOCK_CONNECT_LINE_MAX, &port);
        if (r > 0 && (r > VSOCK_CONNECT_LINE_MAX || data[r - 1] != '\n'))
                abort();
        if (size <= CONFIG_TEXT_MAX && config_parse((const char *)data, size, &config, &err) == 0) {
                make_plan(&config);
                config_done(&config);
        } else if (err.code == 0 && size <= CONFIG_TEXT_MAX) {
                abort(); /* an error has a reason */
        }
        return 0;
}
