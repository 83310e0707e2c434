/* SPDX-License-Identifier: Apache-2.0 */
/* The words of -v and --mount, one a line; 'm' begins a --mount, 'v' a -v. */
#include "runtime/mounts.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct mount_list *list)
{
        struct error err = ERROR_INIT;
        for (size_t i = 0; i < list->count; i++) {
                const struct mount_request *m = &list->entries[i];
                if (m->target[0] != '/' || m->target[1] == '\0' || strstr(m->target, "//") != NULL ||
                    strstr(m->target, "/../") != NULL || strstr(m->target, "/./") != NULL)
                        abort();
                if (m->kind == MOUNT_SHARE && m->source[0] != '/')
                        abort();
                if (m->kind == MOUNT_VOLUME && m->source != NULL && mounts_check_name(m->source, &err) < 0)
                        abort();
        }
        json_t *document = json_pack("{s:[]}", "mounts");
        json_t *volumes = json_array();
        if (document != NULL && volumes != NULL && mounts_apply(list, document, volumes, &err) < 0)
                abort(); /* nothing else is mounted there: what was taken can be carried out */
        json_decref(document);
        json_decref(volumes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *volumes[LINES_MAX + 1] = {0}, *mounts[LINES_MAX + 1] = {0};
        size_t volume_count = 0, mount_count = 0;
        struct mount_list list;
        struct error err = ERROR_INIT;
        char *text = malloc(size + 1);
        if (text == NULL)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
                if (line[0] == 'm' && mount_count < LINES_MAX)
                        mounts[mount_count++] = line + 1;
                else if (line[0] == 'v' && volume_count < LINES_MAX)
                        volumes[volume_count++] = line + 1;
        }
        if (mounts_parse(volumes, mounts, "/here", &list, &err) == 0) {
                check(&list);
                mounts_done(&list);
        }
        free(text);
        return 0;
}
