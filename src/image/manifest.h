/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_MANIFEST_H
#define IMAGE_MANIFEST_H

#include "base/error.h"
#include "base/json.h"
#include "image/digest.h"

#include <stdbool.h>
#include <stdint.h>

/* Documents of the image-spec and of Docker, read with limits into what the rest may trust. Pure. */
#define MANIFEST_SIZE_MAX   (4U << 20)
#define CONFIG_SIZE_MAX     (8U << 20)
#define MANIFEST_LAYERS_MAX 512
#define LAYER_SIZE_MAX      (INT64_C(1) << 40)

#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER       "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"

struct platform {
        char os[32];
        char architecture[32];
        char variant[32];
};
/* "os/architecture[/variant]"; NULL is linux/amd64. */
int platform_parse(const char *text, struct platform *ret, struct error *err);

struct descriptor {
        char digest[DIGEST_TEXT_SIZE];
        int64_t size;
        char media_type[128];
};
/* Reads one; size at most maximum. */
int descriptor_read(const json_t *json, int64_t maximum, struct descriptor *ret, struct error *err);

struct layer {
        struct descriptor blob;
        char diff_id[DIGEST_TEXT_SIZE]; /* "" before manifest_check_config() */
};

struct manifest {
        json_t *json;
        const char *media_type; /* one of ours above */
        struct descriptor config;
        struct layer *layers;
        size_t count;
};

enum document { DOCUMENT_MANIFEST = 1, DOCUMENT_INDEX };
/* What a registry or an archive gave; Docker's schema 1 and anything else is an error. content_type may be
 * NULL. */
int document_kind(const json_t *json, const char *content_type, enum document *ret_kind, struct error *err);

int manifest_parse(const char *text, size_t size, struct manifest **ret_manifest, struct error *err);
void manifest_free(struct manifest *m);
static inline void cleanup_manifest_p(struct manifest **m)
{
        manifest_free(*m);
}
#define cleanup_manifest __attribute__((cleanup(cleanup_manifest_p)))

/* The manifest of an index that fits the platform best; -ENOEXEC when none does. */
int index_select(const json_t *index, const struct platform *platform, struct descriptor *ret,
                 struct error *err);

/* Checks the configuration against the manifest, takes over the diff_ids. platform NULL: any. -ENOEXEC for
 * another one. */
int manifest_check_config(struct manifest *m, const json_t *config, const struct platform *platform,
                          struct error *err);

/* Names the root file system: the hash of the ordered diff_ids. */
int manifest_chain(const struct manifest *m, char ret_digest[DIGEST_TEXT_SIZE]);

#endif
