/* SPDX-License-Identifier: Apache-2.0 */
/* A line of QEMU's monitor. */
#include "vmm/qemu/qmp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const events[] = {"RESUME", "MIGRATION completed"};
        for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
                struct error err = ERROR_INIT;
                int r = qmp_judge((const char *)data, size, events[i], &err);
                if (r > 1 || (r < 0) != (err.code < 0) || (r < 0 && err.text[0] == '\0'))
                        abort();
        }
        return 0;
}
