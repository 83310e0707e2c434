/* SPDX-License-Identifier: Apache-2.0 */
/* Dockerfile instructions given to import, one a line, applied to one configuration. */
#include "base/cleanup.h"
#include "image/changes.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct error err = ERROR_INIT;
        cleanup_json json_t *config = json_object();
        cleanup_free char *text = strndup((const char *)data, size);
        if (text == NULL || config == NULL)
                return 0;
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
                (void)changes_apply(line, config, &err);
        return 0;
}
