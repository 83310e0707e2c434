/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configurations (image-spec manifest.md, image-index.md, config.md; Docker's schema
 * 2, which differs in its media types only). All of it is hostile: every digest, size, count and media type
 * is checked here, once, and what comes out holds no outside text but the JSON itself, which is lent to
 * people.
 */
#include "image/manifest.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_ENTRIES_MAX 4096

static bool in_list(const char *text, const char *const *list)
{
        for (; *list != NULL; list++) {
                if (strcmp(text, *list) == 0)
                        return true;
        }
        return false;
}

static bool copy_part(char *to, size_t size, const char *from, size_t length)
{
        if (length == 0 || length >= size)
                return false;
        memcpy(to, from, length);
        to[length] = '\0';
        return true;
}

int platform_parse(const char *text, struct platform *ret, struct error *err)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
        struct platform p = {.os = "linux", .architecture = "amd64"};
        if (text == NULL) {
                *ret = p;
                return 0;
        }
        size_t os = strcspn(text, "/");
        const char *rest = text[os] == '/' ? text + os + 1 : "";
        size_t architecture = strcspn(rest, "/");
        const char *variant = rest[architecture] == '/' ? rest + architecture + 1 : NULL;
        if (strspn(text, allowed) != strlen(text) || !copy_part(p.os, sizeof(p.os), text, os) ||
            !copy_part(p.architecture, sizeof(p.architecture), rest, architecture) ||
            (variant != NULL && (strchr(variant, '/') != NULL ||
                                 !copy_part(p.variant, sizeof(p.variant), variant, strlen(variant)))))
                return error_set(err, -EINVAL, "platform '%.100s': not of the form os/architecture[/variant]",
                                 text);
        *ret = p;
        return 0;
}

int descriptor_read(const json_t *json, int64_t maximum, struct descriptor *ret, struct error *err)
{
        struct descriptor d = {.size = 0};
        const char *digest, *media_type;
        if (!json_is_object(json))
                return error_set(err, -EBADMSG, "descriptor: not a JSON object");
        int r = json_get_string(json, "digest", &digest, err);
        if (r == 0)
                r = digest_check(digest, err);
        if (r == 0)
                r = json_get_string_or(json, "mediaType", "", &media_type, err);
        if (r == 0)
                r = json_get_integer(json, "size", 0, maximum, &d.size, err);
        if (r < 0)
                return error_wrap(err, "descriptor");
        memcpy(d.digest, digest, sizeof(d.digest));
        if (strlen(media_type) >= sizeof(d.media_type))
                return error_set(err, -EBADMSG, "descriptor '%s': the media type is too long", d.digest);
        (void)strcpy(d.media_type, media_type); /* fits: just checked */
        *ret = d;
        return 0;
}

static int kind_by_type(const char *type, enum document *ret_kind, struct error *err)
{
        if (strcmp(type, MEDIA_OCI_INDEX) == 0 || strcmp(type, MEDIA_DOCKER_LIST) == 0) {
                *ret_kind = DOCUMENT_INDEX;
                return 1;
        }
        if (strcmp(type, MEDIA_OCI_MANIFEST) == 0 || strcmp(type, MEDIA_DOCKER_MANIFEST) == 0) {
                *ret_kind = DOCUMENT_MANIFEST;
                return 1;
        }
        if (strncmp(type, "application/vnd.docker.distribution.manifest.v1+", 48) == 0)
                return error_set(err, -EPROTONOSUPPORT,
                                 "the image has a manifest of Docker's schema 1, which is not supported; "
                                 "push it again with a current tool");
        return 0;
}

int document_kind(const json_t *json, const char *content_type, enum document *ret_kind, struct error *err)
{
        const char *type;
        int64_t version;
        if (!json_is_object(json))
                return error_set(err, -EBADMSG, "manifest: not a JSON object");
        int r = json_get_string_or(json, "mediaType", "", &type, err);
        if (r == 0)
                r = kind_by_type(type, ret_kind, err);
        if (r == 0)
                r = json_get_integer(json, "schemaVersion", 1, 2, &version, err);
        if (r == 0 && version == 1)
                r = kind_by_type("application/vnd.docker.distribution.manifest.v1+json", ret_kind, err);
        if (r == 0 && content_type != NULL)
                r = kind_by_type(content_type, ret_kind, err);
        if (r != 0)
                return r < 0 ? r : 0;
        if (*type != '\0')
                return error_set(err, -EPROTONOSUPPORT,
                                 "manifest: its media type '%.100s' is not that of an image", type);
        /* the image-spec lets both leave their media type out */
        if (json_is_array(json_object_get(json, "manifests")))
                *ret_kind = DOCUMENT_INDEX;
        else if (json_is_object(json_object_get(json, "config")))
                *ret_kind = DOCUMENT_MANIFEST;
        else
                return error_set(err, -EBADMSG, "manifest: neither an image manifest nor an index of them");
        return 0;
}

static int check_layer(const json_t *json, const struct descriptor *d, struct error *err)
{
        static const char *const known[] = {
            MEDIA_OCI_LAYER,
            MEDIA_OCI_LAYER "+gzip",
            MEDIA_OCI_LAYER "+zstd",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
            NULL,
        };
        if (strstr(d->media_type, "nondistributable") != NULL || strstr(d->media_type, ".foreign.") != NULL ||
            json_array_size(json_object_get(json, "urls")) > 0)
                return error_set(
                    err, -EPROTONOSUPPORT,
                    "layer '%s': a foreign layer, which its registry does not hand out; not supported",
                    d->digest);
        if (strstr(d->media_type, "+encrypted") != NULL)
                return error_set(err, -EPROTONOSUPPORT, "layer '%s': encrypted layers are not supported",
                                 d->digest);
        if (!in_list(d->media_type, known))
                return error_set(err, -EPROTONOSUPPORT, "layer '%s': unknown media type '%s'", d->digest,
                                 d->media_type);
        return 0;
}

static int read_layers(struct manifest *m, struct error *err)
{
        const json_t *layers = json_object_get(m->json, "layers");
        if (!json_is_array(layers))
                return error_set(err, -EBADMSG, "manifest: 'layers' is not an array");
        size_t count = json_array_size(layers);
        if (count > MANIFEST_LAYERS_MAX)
                return error_set(err, -E2BIG, "manifest: %zu layers, more than %d", count,
                                 MANIFEST_LAYERS_MAX);
        m->layers = calloc(count + 1, sizeof(*m->layers));
        if (m->layers == NULL)
                return error_set(err, -ENOMEM, "manifest: out of memory");
        for (size_t i = 0; i < count; i++) {
                const json_t *json = json_array_get(layers, i);
                struct layer *layer = &m->layers[i];
                int r = descriptor_read(json, LAYER_SIZE_MAX, &layer->blob, err);
                if (r == 0)
                        r = check_layer(json, &layer->blob, err);
                if (r < 0)
                        return r;
        }
        m->count = count;
        return 0;
}

static int read_manifest(struct manifest *m, struct error *err)
{
        static const char *const configs[] = {MEDIA_OCI_CONFIG, MEDIA_DOCKER_CONFIG, NULL};
        enum document kind;
        int r = document_kind(m->json, NULL, &kind, err);
        if (r < 0)
                return r;
        if (kind != DOCUMENT_MANIFEST)
                return error_set(err, -EBADMSG, "manifest: an index where an image's manifest was expected");
        r = descriptor_read(json_object_get(m->json, "config"), CONFIG_SIZE_MAX, &m->config, err);
        if (r < 0)
                return error_wrap(err, "manifest: 'config'");
        if (!in_list(m->config.media_type, configs))
                return error_set(
                    err, -EPROTONOSUPPORT,
                    "manifest: its configuration is a '%.100s': an artifact, not a container image",
                    m->config.media_type);
        m->media_type =
            strcmp(m->config.media_type, MEDIA_OCI_CONFIG) == 0 ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;
        const char *declared = json_string_value(json_object_get(m->json, "mediaType"));
        if (declared != NULL)
                m->media_type =
                    strcmp(declared, MEDIA_OCI_MANIFEST) == 0 ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;
        return read_layers(m, err);
}

int manifest_parse(const char *text, size_t size, struct manifest **ret_manifest, struct error *err)
{
        if (size > MANIFEST_SIZE_MAX)
                return error_set(err, -EFBIG, "manifest: longer than %u bytes", MANIFEST_SIZE_MAX);
        cleanup_manifest struct manifest *m = calloc(1, sizeof(*m));
        if (m == NULL)
                return error_set(err, -ENOMEM, "manifest: out of memory");
        int r = json_parse(text, size, "manifest", &m->json, err);
        if (r == 0)
                r = read_manifest(m, err);
        if (r < 0)
                return r;
        *ret_manifest = take_ptr(&m);
        return 0;
}

void manifest_free(struct manifest *m)
{
        if (m == NULL)
                return;
        json_decref(m->json);
        free(m->layers);
        free(m);
}

static const char *text_or_empty(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));
        return text != NULL ? text : "";
}

/* 0: does not fit; more is better. */
static int platform_score(const json_t *entry, const struct platform *wanted)
{
        const json_t *platform = json_object_get(entry, "platform");
        if (!json_is_object(platform))
                return 1; /* it does not say: better than nothing; the configuration will be checked */
        const char *variant = text_or_empty(platform, "variant");
        if (strcmp(text_or_empty(platform, "os"), wanted->os) != 0 ||
            strcmp(text_or_empty(platform, "architecture"), wanted->architecture) != 0)
                return 0;
        if (strcmp(variant, wanted->variant) == 0)
                return 4;
        if (wanted->variant[0] == '\0')
                return strcmp(variant, "v8") == 0 && strcmp(wanted->architecture, "arm64") == 0 ? 3 : 2;
        return *variant == '\0' ? 2 : 0;
}

/* "linux/amd64 linux/arm64 ..." for the error. */
static void list_platforms(const json_t *manifests, char *text, size_t size)
{
        size_t i, length = 0;
        const json_t *entry;
        text[0] = '\0';
        json_array_foreach (manifests, i, entry) {
                const json_t *p = json_object_get(entry, "platform");
                int n = snprintf(text + length, size - length, " %.31s/%.31s", text_or_empty(p, "os"),
                                 text_or_empty(p, "architecture"));
                if (n < 0 || (size_t)n >= size - length)
                        return; /* cut: enough to see what is there */
                length += (size_t)n;
        }
}

int index_select(const json_t *index, const struct platform *platform, struct descriptor *ret,
                 struct error *err)
{
        const json_t *manifests = json_object_get(index, "manifests");
        const json_t *entry, *best = NULL;
        size_t i;
        int best_score = 0;
        if (!json_is_array(manifests) || json_array_size(manifests) > INDEX_ENTRIES_MAX)
                return error_set(err, -EBADMSG, "index: 'manifests' is not an array of at most %d entries",
                                 INDEX_ENTRIES_MAX);
        json_array_foreach (manifests, i, entry) {
                int score = platform_score(entry, platform);
                if (score > best_score) {
                        best = entry;
                        best_score = score;
                }
        }
        if (best == NULL) {
                char there[400];
                list_platforms(manifests, there, sizeof(there));
                return error_set(err, -ENOEXEC, "the image is not there for %s/%s%s%s, only for:%s",
                                 platform->os, platform->architecture,
                                 platform->variant[0] != '\0' ? "/" : "", platform->variant, there);
        }
        return descriptor_read(best, MANIFEST_SIZE_MAX, ret, err);
}

static int check_platform(const json_t *config, const struct platform *platform, struct error *err)
{
        const char *os, *architecture;
        int r = json_get_string_or(config, "os", "", &os, err);
        if (r == 0)
                r = json_get_string_or(config, "architecture", "", &architecture, err);
        if (r < 0)
                return r;
        if (platform == NULL)
                return 0;
        if ((*os != '\0' && strcmp(os, platform->os) != 0) ||
            (*architecture != '\0' && strcmp(architecture, platform->architecture) != 0))
                return error_set(err, -ENOEXEC,
                                 "the image is for another architecture: %.31s/%.31s, not %s/%s", os,
                                 architecture, platform->os, platform->architecture);
        return 0;
}

int manifest_check_config(struct manifest *m, const json_t *config, const struct platform *platform,
                          struct error *err)
{
        if (!json_is_object(config))
                return error_set(err, -EBADMSG, "image configuration: not a JSON object");
        int r = check_platform(config, platform, err);
        if (r < 0)
                return r;
        const json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
        size_t count = json_array_size(ids);
        if (count != m->count)
                return error_set(err, -EBADMSG, "image configuration: %zu diff_ids for %zu layers", count,
                                 m->count);
        for (size_t i = 0; i < count; i++) {
                const char *id = json_string_value(json_array_get(ids, i));
                r = digest_check(id != NULL ? id : "", err);
                if (r < 0)
                        return error_wrap(err, "image configuration: diff_id %zu", i);
                memcpy(m->layers[i].diff_id, id, DIGEST_TEXT_SIZE);
        }
        return 0;
}

int manifest_chain(const struct manifest *m, char ret_digest[DIGEST_TEXT_SIZE])
{
        size_t size = m->count * DIGEST_TEXT_SIZE;
        cleanup_free char *text = malloc(size + 1);
        if (text == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < m->count; i++) {
                memcpy(text + i * DIGEST_TEXT_SIZE, m->layers[i].diff_id, DIGEST_TEXT_SIZE - 1);
                text[(i + 1) * DIGEST_TEXT_SIZE - 1] = '\n';
        }
        return digest_of(text, size, ret_digest);
}
