/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

/*
 * The front of src/image: references, the store (an OCI image layout plus one EROFS file per image), pull,
 * load, save, import. Errors are -errno with err filled. A store handle is used from one thread at a time;
 * several processes may use one store folder at once (locks are files in it).
 */
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image_store;

enum image_progress_kind { IMAGE_PROGRESS_LAYER = 1, IMAGE_PROGRESS_CONVERT, IMAGE_PROGRESS_MESSAGE };

/* As struct boxlet_progress. fn returns other than 0 to cancel (-ECANCELED). */
struct image_progress {
        enum image_progress_kind kind;
        const char *item;
        const char *text;
        uint64_t done, total;
};
struct image_observer {
        int (*fn)(const struct image_progress *progress, void *data);
        void *data;
};

struct image {
        char *reference; /* canonical, "docker.io/library/alpine:3.19"; "" if it has no name */
        char *id;        /* "sha256:..." of the configuration */
        char *digest;    /* "sha256:..." of the manifest */
        int64_t created;
        uint64_t size_bytes;
        json_t *config; /* the whole OCI image configuration (image-spec config.md) */
        json_t *manifest;
};
void image_free(struct image *image);
static inline void cleanup_image_p(struct image **image)
{
        image_free(*image);
}
#define cleanup_image __attribute__((cleanup(cleanup_image_p)))

/* images_fd: the folder images/ of the home (borrowed during the call, duplicated). config_path: registries
 * file, may be NULL. */
int image_store_open(int images_fd, const char *config_path, struct image_store **ret_store,
                     struct error *err);
void image_store_free(struct image_store *store);

/* Reference, id, or unambiguous id prefix. -ENOENT when the store does not have it. */
int image_find(struct image_store *store, const char *name, struct image **ret_image, struct error *err);

/* All of them, NULL-terminated; a named image appears once a name. image_list_free() frees all. */
int image_list(struct image_store *store, struct image ***ret_images, struct error *err);
void image_list_free(struct image **images);

/* platform NULL: linux/amd64. observer may be NULL. */
int image_pull(struct image_store *store, const char *reference, const char *platform,
               const struct image_observer *observer, struct image **ret_image, struct error *err);

/* The merged root file system as an EROFS file, made now if it is not there; a read-only descriptor. */
int image_open_rootfs(struct image_store *store, const struct image *image,
                      const struct image_observer *observer, int *ret_fd, struct error *err);

/* platform NULL: linux/amd64; an image of an archive for several is that one, and an image for another is
 * refused. */
int image_load(struct image_store *store, int fd, const char *path, const char *platform,
               const struct image_observer *observer, char **ret_names, struct error *err);
int image_save(struct image_store *store, const char *const *references, size_t count, const char *format,
               int fd, const struct image_observer *observer, struct error *err);
/* platform NULL: linux/amd64; what the image says that it is for. */
int image_import(struct image_store *store, int fd, const char *path, const char *reference,
                 const char *platform, const char *const *changes, const struct image_observer *observer,
                 char **ret_id, struct error *err);

/* Where the bytes of a new layer go. */
typedef int (*image_write_fn)(void *data, const void *bytes, size_t size, struct error *err);

struct image_commit {
        const char *base;                          /* id of the image below */
        const char *reference;                     /* NULL: no name */
        const char *const *changes;                /* as for import; NULL: none */
        const char *message, *author, *created_by; /* NULL: none */
        /* Gives all bytes of the layer, a plain tar, to write. */
        int (*produce)(image_write_fn write, void *write_data, void *data, struct error *err);
        void *data;
};
int image_commit(struct image_store *store, const struct image_commit *commit,
                 const struct image_observer *observer, char **ret_id, struct error *err);

int image_tag(struct image_store *store, const char *source, const char *target, struct error *err);

/* in_use: asked for each image about to go ("sha256:..." id); 1 keeps it (-EBUSY for remove, skipped by
 * prune), 0 lets it go, -errno ends it all. */
typedef int (*image_in_use_fn)(const char *id, void *data);
int image_remove(struct image_store *store, const char *name, bool force, image_in_use_fn in_use, void *data,
                 char **ret_report, struct error *err);
int image_prune(struct image_store *store, bool all, image_in_use_fn in_use, void *data, uint64_t *ret_freed,
                char **ret_report, struct error *err);

/* What the store takes on the disk, and what of it images need that in_use() keeps. */
struct image_usage {
        uint64_t total_bytes, used_bytes;
        size_t images, used_images; /* ids */
};
int image_usage(struct image_store *store, image_in_use_fn in_use, void *data, struct image_usage *ret_usage,
                struct error *err);

/*
 * Looks at everything in the store: fn is told what is wrong. repair: what can be put right without losing
 * anything is (damaged blobs and root file systems, of which nothing can be made, and files nobody refers to
 * are deleted), unless somebody pulls or loads.
 */
struct image_problem {
        const char *kind; /* "blob", "rootfs", "image", "leftover" */
        const char *item, *text;
        bool repaired;
};
typedef void (*image_problem_fn)(const struct image_problem *problem, void *data);
int image_verify(struct image_store *store, bool repair, image_problem_fn fn, void *data, struct error *err);

/* Checks the form only: canonicalizes "alpine" to "docker.io/library/alpine:latest"; free() the result. */
int image_reference_normalize(const char *reference, char **ret_canonical, struct error *err);

#endif
