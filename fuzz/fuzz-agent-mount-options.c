/* SPDX-License-Identifier: Apache-2.0 */
/* Words divided by commas as the options of a mount. */
#include "agent/mount_options.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#define WORDS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *words[WORDS_MAX + 1] = {NULL};
        size_t count = 0;
        struct mount_options options;
        struct error err = ERROR_INIT;
        char *text = malloc(size + 1);
        if (text == NULL)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        for (char *p = text; p != NULL && count < WORDS_MAX;)
                words[count++] = strsep(&p, ",");
        if (mount_options_parse(words, &options, &err) == 0) {
                if (strlen(options.data) >= 4096 || (options.flags & MS_BIND && options.data[0] != '\0'))
                        abort();
                mount_options_done(&options);
        }
        free(text);
        return 0;
}
