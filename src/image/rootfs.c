/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder: one tree, one EROFS writer, layers one after the other. The image's UUID is made of the
 * digests of the layers, so the same layers give the same file to the byte.
 *
 * After an error the builder is only good for being freed; the file then holds nothing of use.
 */
#include "image/rootfs.h"

#include "image/layer.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_DEFAULT UINT64_C(4000000)
#define NAME_BYTES_MAX  (UINT64_C(256) << 20)
#define STREAM_EXTRA    (UINT64_C(16) << 30) /* headers and padding of a layer, beside content */

#define PROGRESS_EVERY (UINT64_C(1) << 20)

/* Comes first in what the UUID is made of; to be changed when the same layers give another file. */
#define FORMAT_TAG "boxlet rootfs 1"

struct rootfs_builder {
        int fd;
        bool failed, finished;
        struct merge merge;
        uint64_t bytes_in;
        uint64_t folder_bytes, told; /* of the folder being read */
        rootfs_progress_fn progress;
        void *data;
        EVP_MD_CTX *identity;
};

int rootfs_builder_new(int out_fd, int scratch_fd, const struct rootfs_limits *limits,
                       rootfs_progress_fn progress, void *data, struct rootfs_builder **ret_builder,
                       struct error *err)
{
        uint64_t entries = limits != NULL && limits->entries > 0 ? limits->entries : ENTRIES_DEFAULT;
        struct rootfs_builder *builder = calloc(1, sizeof(*builder));
        (void)scratch_fd;
        if (builder == NULL)
                return error_errno(err, -ENOMEM, "write root file system");
        builder->fd = out_fd;
        builder->progress = progress;
        builder->data = data;
        builder->merge.content_max =
            limits != NULL && limits->bytes > 0 ? limits->bytes : ROOTFS_BYTES_DEFAULT;
        int r = tree_new(entries < UINT32_MAX ? (size_t)entries : UINT32_MAX - 1, NAME_BYTES_MAX,
                         &builder->merge.tree);
        if (r < 0)
                (void)error_errno(err, r, "write root file system");
        else
                r = erofs_writer_new(out_fd, &builder->merge.writer, err);
        if (r == 0 && ((builder->identity = EVP_MD_CTX_new()) == NULL ||
                       EVP_DigestInit_ex(builder->identity, EVP_sha256(), NULL) != 1 ||
                       EVP_DigestUpdate(builder->identity, FORMAT_TAG, sizeof(FORMAT_TAG)) != 1))
                r = error_errno(err, -ENOMEM, "write root file system");
        if (r < 0) {
                rootfs_builder_free(builder);
                return r;
        }
        *ret_builder = builder;
        return 0;
}

static int begin_layer(struct rootfs_builder *builder, struct error *err)
{
        if (builder->failed || builder->finished)
                return error_set(err, -EINVAL, "write root file system: it is %s",
                                 builder->failed ? "broken by an earlier error" : "finished");
        return merge_begin_layer(&builder->merge, err);
}

static int check_digest(const uint8_t digest[LAYER_DIGEST_SIZE], const char *expected, struct error *err)
{
        char text[sizeof("sha256:") + 2 * (size_t)LAYER_DIGEST_SIZE] = "sha256:";
        for (size_t i = 0; i < LAYER_DIGEST_SIZE; i++)
                (void)snprintf(text + strlen("sha256:") + 2 * i, 3, "%02x", digest[i]);
        if (expected == NULL || strcmp(text, expected) == 0)
                return 0;
        return error_set(err, -EBADMSG, "its digest is %s, the image says %s", text, expected);
}

static int read_layer(struct rootfs_builder *builder, struct layer_stream *stream, const char *expected,
                      struct error *err)
{
        uint8_t digest[LAYER_DIGEST_SIZE];
        uint64_t bytes;
        int r = begin_layer(builder, err);
        if (r < 0 || (r = layer_read_tar(stream, &builder->merge, err)) < 0 ||
            (r = layer_stream_digest(stream, digest, &bytes, err)) < 0 ||
            (r = check_digest(digest, expected, err)) < 0)
                return r;
        builder->bytes_in += bytes;
        if (EVP_DigestUpdate(builder->identity, digest, sizeof(digest)) != 1)
                return error_set(err, -EIO, "compute a digest: the library failed");
        return 0;
}

int rootfs_builder_add_layer(struct rootfs_builder *builder, int layer_fd, const char *name,
                             const char *expected_diff_id, struct error *err)
{
        struct layer_stream *stream = NULL;
        uint64_t most = builder->merge.content_max;
        most = most > UINT64_MAX - STREAM_EXTRA ? UINT64_MAX : most + STREAM_EXTRA;
        int r = layer_stream_new(layer_fd, most, builder->progress, builder->data, &stream, err);
        if (r == 0)
                r = read_layer(builder, stream, expected_diff_id, err);
        layer_stream_free(stream);
        if (r < 0) {
                builder->failed = true;
                return error_wrap(err, "layer '%s'", name);
        }
        return 0;
}

/* A folder has no digest; names and attributes stand for it. */
static int note_entry(const struct merge_entry *entry, uint64_t bytes, void *data)
{
        struct rootfs_builder *builder = data;
        struct {
                int64_t mtime;
                uint64_t size;
                uint32_t uid, gid, mtime_nsec, mode, device, reserved;
        } facts = {.mtime = entry->attributes.mtime,
                   .size = entry->size,
                   .uid = entry->attributes.uid,
                   .gid = entry->attributes.gid,
                   .mtime_nsec = entry->attributes.mtime_nsec,
                   .mode = entry->attributes.mode,
                   .device = entry->device};
        if (EVP_DigestUpdate(builder->identity, entry->path, strlen(entry->path) + 1) != 1 ||
            EVP_DigestUpdate(builder->identity, &facts, sizeof(facts)) != 1)
                return 1;
        builder->folder_bytes = bytes;
        if (builder->progress == NULL || bytes < builder->told + PROGRESS_EVERY)
                return 0;
        builder->told = bytes;
        return builder->progress(bytes, builder->data);
}

int rootfs_builder_add_folder(struct rootfs_builder *builder, int folder_fd, const char *name,
                              struct error *err)
{
        int r = begin_layer(builder, err);
        builder->told = 0;
        builder->folder_bytes = 0;
        if (r == 0)
                r = layer_read_folder(folder_fd, &builder->merge, note_entry, builder, err);
        builder->bytes_in += builder->folder_bytes;
        if (r < 0) {
                builder->failed = true;
                return error_wrap(err, "folder '%s'", name);
        }
        return 0;
}

int rootfs_builder_finish(struct rootfs_builder *builder, struct rootfs_statistics *ret_statistics,
                          struct error *err)
{
        uint8_t digest[LAYER_DIGEST_SIZE];
        uint64_t bytes_out, entries;
        if (builder->failed || builder->finished)
                return error_set(err, -EINVAL, "write root file system: it is %s",
                                 builder->failed ? "broken by an earlier error" : "finished");
        builder->finished = true;
        if (EVP_DigestFinal_ex(builder->identity, digest, NULL) != 1)
                return error_set(err, -EIO, "compute a digest: the library failed");
        /* version 8 and variant 1 of RFC 9562: made of what the maker chose */
        digest[6] = (uint8_t)((digest[6] & 0x0f) | 0x80);
        digest[8] = (uint8_t)((digest[8] & 0x3f) | 0x80);
        int r = erofs_finish(builder->merge.writer, builder->merge.tree, digest, &bytes_out, &entries, err);
        if (r < 0)
                return r;
        if (fsync(builder->fd) < 0)
                return error_errno(err, -errno, "write root file system");
        if (ret_statistics != NULL)
                *ret_statistics = (struct rootfs_statistics){.entries = entries,
                                                             .bytes_in = builder->bytes_in,
                                                             .bytes_out = bytes_out,
                                                             .layers = builder->merge.layer};
        return 0;
}

void rootfs_builder_free(struct rootfs_builder *builder)
{
        if (builder == NULL)
                return;
        tree_free(builder->merge.tree);
        erofs_writer_free(builder->merge.writer);
        EVP_MD_CTX_free(builder->identity);
        free(builder);
}
