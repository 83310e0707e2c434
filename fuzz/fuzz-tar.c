/* SPDX-License-Identifier: Apache-2.0 */
/* The tar that comes out of a box. What was read is written again and read again: it must be the same. */
#include "base/cleanup.h"
#include "wire/tar.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
        const uint8_t *bytes;
        size_t left;
};

static int read_stream(void *data, void *bytes, size_t size, struct error *err)
{
        struct stream *s = data;
        if (size > s->left)
                return error_set(err, -EPIPE, "the end");
        memcpy(bytes, s->bytes, size);
        s->bytes += size;
        s->left -= size;
        return 0;
}

static void check_again(const struct tar_entry *e)
{
        cleanup_buffer struct buffer b = BUFFER_INIT(4 << 20);
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct tar_entry again;
        int r = tar_encode(e, &b);
        if (r == -EINVAL)
                return; /* a device number or a time that we do not write */
        assert(r == 0 || r == -EMSGSIZE);
        struct stream s = {(const uint8_t *)buffer_content(&b), b.length};
        struct tar_source source = {read_stream, &s};
        if (r < 0 || tar_reader_new(&source, &reader) < 0)
                return;
        r = tar_reader_next(reader, &again, NULL);
        assert(r == 1);
        assert(again.type == e->type && strcmp(again.name, e->name) == 0 && strcmp(again.link, e->link) == 0);
        assert(again.uid == e->uid && again.gid == e->gid && again.mode == e->mode && again.size == e->size);
        assert(again.mtime == e->mtime && again.mtime_nsec == e->mtime_nsec);
        assert(again.xattr_count == e->xattr_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct stream s = {data, size};
        struct tar_source source = {read_stream, &s};
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct error err = ERROR_INIT;
        struct tar_entry e;
        char bytes[700];
        if (tar_reader_new(&source, &reader) < 0)
                return 0;
        while (tar_reader_next(reader, &e, &err) > 0) {
                assert(e.name[0] != '\0' && strlen(e.name) < TAR_NAME_MAX && strlen(e.link) < TAR_NAME_MAX);
                (void)tar_name_is_plain(e.name);
                check_again(&e);
                while (tar_reader_content(reader, bytes, sizeof(bytes), &err) > 0)
                        ;
        }
        return 0;
}
