/* SPDX-License-Identifier: Apache-2.0 */
/* Image names: what is accepted prints to something that parses to the same. */
#include "base/cleanup.h"
#include "image/reference.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_reference struct reference one = REFERENCE_INIT, two = REFERENCE_INIT;
        struct error err = ERROR_INIT;
        cleanup_free char *text = strndup((const char *)data, size);
        if (text == NULL || reference_parse(text, &one, &err) < 0)
                return 0;
        cleanup_free char *printed = reference_print(&one);
        if (printed == NULL || reference_parse(printed, &two, &err) < 0)
                abort();
        cleanup_free char *again = reference_print(&two);
        if (again == NULL || strcmp(printed, again) != 0 || strstr(one.path, "..") != NULL)
                abort();
        return 0;
}
