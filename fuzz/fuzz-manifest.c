/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configurations as a registry sends them. The first byte says which. */
#include "image/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descriptor(const struct descriptor *d)
{
        if (!digest_valid(d->digest) || d->size < 0 || d->size > LAYER_SIZE_MAX)
                abort();
}

static void read_manifest(const char *text, size_t size, struct error *err)
{
        cleanup_manifest struct manifest *m = NULL;
        char chain[DIGEST_TEXT_SIZE];
        if (manifest_parse(text, size, &m, err) < 0)
                return;
        check_descriptor(&m->config);
        for (size_t i = 0; i < m->count; i++)
                check_descriptor(&m->layers[i].blob);
        /* the manifest in the place of a configuration: anything will do that is JSON */
        if (manifest_check_config(m, m->json, NULL, err) == 0 && manifest_chain(m, chain) < 0)
                abort();
}

static void read_config(const char *text, size_t size, struct error *err)
{
        struct layer layers[2];
        struct manifest m = {.layers = layers, .count = 2};
        struct platform platform;
        cleanup_json json_t *json = NULL;
        if (platform_parse(NULL, &platform, err) < 0)
                abort();
        if (json_parse(text, size, "configuration", &json, err) == 0 &&
            manifest_check_config(&m, json, &platform, err) == 0 && !digest_valid(layers[1].diff_id))
                abort();
}

static void read_index(const char *text, size_t size, struct error *err)
{
        cleanup_json json_t *json = NULL;
        struct platform platform;
        struct descriptor d;
        enum document kind;
        if (platform_parse("linux/arm/v7", &platform, err) < 0)
                abort();
        if (json_parse(text, size, "index", &json, err) < 0)
                return;
        (void)document_kind(json, "application/vnd.oci.image.index.v1+json", &kind, err);
        if (index_select(json, &platform, &d, err) == 0)
                check_descriptor(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct error err = ERROR_INIT;
        struct platform platform;
        if (size == 0)
                return 0;
        const char *text = (const char *)data + 1;
        size--;
        if (data[0] == 'm')
                read_manifest(text, size, &err);
        else if (data[0] == 'c')
                read_config(text, size, &err);
        else if (data[0] == 'i')
                read_index(text, size, &err);
        else if (size < 100) {
                char copy[100] = "";
                memcpy(copy, text, size);
                (void)platform_parse(copy, &platform, &err);
        }
        return 0;
}
