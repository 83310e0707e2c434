/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet_info: what is here, what is missing, and which engine `auto` means with the reason. */
#include "runtime/runtime.h"

#include "runtime/engine.h"
#include "runtime/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

/* {"path"} or {"missing": why} */
static json_t *found(int r, char *path, const struct error *err)
{
        json_t *json = r == 0 ? json_pack("{s:s}", "path", path) : json_pack("{s:s}", "missing", err->text);
        if (r == 0)
                free(path);
        return json;
}

static json_t *program(const struct boxlet *b, enum place place)
{
        struct error err = ERROR_INIT;
        char *path = NULL;
        int r = places_find(&b->places, place, &path, &err);
        return found(r, path, &err);
}

static json_t *kernel(const struct boxlet *b, bool support_docker)
{
        const struct profile *profile = profile_get(support_docker);
        struct error err = ERROR_INIT;
        char *path = NULL;
        int r = places_find_kernel(&b->places, NULL, profile->kernel_flavour, profile->kernel_remedy, &path,
                                   &err);
        return found(r, path, &err);
}

int boxlet_info(struct boxlet *b, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct utsname host = {0};
        (void)uname(&host); /* cannot fail with a valid buffer */
        cleanup_json json_t *json = json_pack(
            "{s:s, s:s, s:s?, s:o, s:{s:o, s:o}, s:{s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:s, s:s, s:i}}",
            "version", boxlet_version(), "home", b->home, "registries", b->registries, "engines",
            engine_report(b->home_fd), "kernels", "lean", kernel(b, false), "docker", kernel(b, true),
            "programs", "boxlet-monitor", program(b, PLACE_MONITOR), "boxlet-vmm", program(b, PLACE_VMM),
            "agent", program(b, PLACE_AGENT), "qemu", program(b, PLACE_QEMU), "passt",
            program(b, PLACE_PASST), "mkfs.ext4", program(b, PLACE_MKFS), "host", "kernel", host.release,
            "machine", host.machine, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN));
        char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(4));
        if (text == NULL)
                return api_result(error, &err, error_set(&err, -ENOMEM, "info: out of memory"));
        *ret_json = text;
        return 0;
}
