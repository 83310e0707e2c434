/* SPDX-License-Identifier: Apache-2.0 */
/* The document of a box's file: what is accepted is what a start can believe. */
#include "runtime/bundle.h"

#include "base/cleanup.h"
#include "runtime/disk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct bundle_document *d)
{
        struct error err = ERROR_INIT;
        cleanup_json json_t *config = NULL;
        if (d->disk_bytes < DISK_SIZE_MIN || d->disk_bytes > DISK_SIZE_MAX || d->box.name[0] == '\0' ||
            strchr(d->box.name, '/') != NULL || strlen(d->box.id) != STATE_ID_LENGTH ||
            json_parse(d->box.config, strlen(d->box.config), "config", &config, &err) < 0)
                abort();
        bool of_host = json_is_string(json_object_get(config, "pid_file")) ||
                       json_array_size(json_object_get(config, "shares")) > 0 ||
                       json_array_size(json_object_get(config, "disks")) > 0 ||
                       json_array_size(json_object_get(config, "forwards")) > 0 ||
                       json_is_string(json_object_get(config, "kernel"));
        if (of_host != d->refers_to_host || of_host != (d->what[0] != '\0'))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bundle_document document;
        struct error err = ERROR_INIT;
        int r = bundle_document_parse((const char *)data, size, &document, &err);
        if (r < 0 && (err.code >= 0 || err.text[0] == '\0'))
                abort();
        if (r == 0) {
                check(&document);
                bundle_document_done(&document);
        }
        return 0;
}
