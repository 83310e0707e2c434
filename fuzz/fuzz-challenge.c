/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate headers, one a line. */
#include "base/cleanup.h"
#include "image/challenge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct challenge c = {.bearer = false};
        cleanup_free char *text = strndup((const char *)data, size);
        if (text == NULL)
                return 0;
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
                challenge_parse(line, &c);
        if (memchr(c.realm, '\0', sizeof(c.realm)) == NULL ||
            memchr(c.scope, '\0', sizeof(c.scope)) == NULL ||
            memchr(c.service, '\0', sizeof(c.service)) == NULL || c.bearer != (c.realm[0] != '\0'))
                abort();
        return 0;
}
