/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's and podman's credential files, helpers' answers, and the registries file. */
#include "base/cleanup.h"
#include "image/credentials.h"
#include "image/registries.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const hosts[] = {"docker.io", "localhost:5000", "a"};
        struct error err = ERROR_INIT;
        const char *text = (const char *)data;
        for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
                struct credentials c = CREDENTIALS_INIT;
                cleanup_free char *helper = NULL;
                if (credentials_parse(text, size, hosts[i], "library/x", &c, &helper, &err) == 0)
                        credentials_done(&c);
        }
        struct credentials c = CREDENTIALS_INIT;
        if (credentials_parse_helper(text, size, &c, &err) == 0)
                credentials_done(&c);
        struct registries r;
        if (registries_parse(text, size, &r, &err) == 0) {
                for (size_t i = 0; i < registries_mirror_count(&r, "docker.io"); i++) {
                        if (registries_mirror(&r, "docker.io", i) == NULL)
                                __builtin_trap();
                }
                registries_done(&r);
        }
        return 0;
}
