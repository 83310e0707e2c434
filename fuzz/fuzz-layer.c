/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as layers of an image. The first byte says how: bit 0: the checksums of tar headers are made right,
 * so that what is behind them is reached; bit 1: two layers, cut in the middle. What is accepted must be an
 * image without fault.
 */
#include "erofs-reader.h"
#include "image/rootfs.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK 512U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *bytes, size_t size)
{
        for (size_t at = 0; size - at >= BLOCK; at += BLOCK) {
                uint8_t *header = bytes + at;
                unsigned sum = 0;
                if (memcmp(header + 257, "ustar", 5) != 0)
                        continue;
                memset(header + 148, ' ', 8);
                for (size_t i = 0; i < BLOCK; i++)
                        sum += header[i];
                for (size_t i = 6; i-- > 0; sum >>= 3)
                        header[148 + i] = (uint8_t)('0' + (sum & 7));
                header[154] = 0;
        }
}

static int add(struct rootfs_builder *builder, const uint8_t *bytes, size_t size)
{
        struct error err = ERROR_INIT;
        cleanup_fd int fd = memfd_create("layer", MFD_CLOEXEC);
        if (fd < 0 || fd_write_full(fd, bytes, size) < 0 || lseek(fd, 0, SEEK_SET) != 0)
                abort();
        int r = rootfs_builder_add_layer(builder, fd, "fuzz", NULL, &err);
        if (r < 0 && (err.code != r || err.text[0] == '\0'))
                abort();
        return r;
}

static int build(int out, const uint8_t *bytes, size_t size, size_t cut)
{
        static const struct rootfs_limits limits = {.entries = 2000, .bytes = 1 << 20};
        struct rootfs_builder *builder;
        struct error err = ERROR_INIT;
        if (rootfs_builder_new(out, -1, &limits, NULL, NULL, &builder, &err) < 0)
                return -1;
        int r = add(builder, bytes, cut);
        if (r == 0 && cut < size)
                r = add(builder, bytes + cut, size - cut);
        if (r == 0)
                r = rootfs_builder_finish(builder, NULL, &err);
        rootfs_builder_free(builder);
        return r;
}

static void check(int fd)
{
        struct erofs_view view;
        if (!erofs_view_open(fd, &view))
                abort();
        const char *wrong = erofs_view_check(&view);
        if (wrong != NULL) {
                (void)fprintf(stderr, "the image is wrong: %s\n", wrong);
                abort();
        }
        erofs_view_close(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        unsigned how = data[0];
        cleanup_free uint8_t *bytes = malloc(size);
        cleanup_fd int out = memfd_create("image", MFD_CLOEXEC);
        if (bytes == NULL || out < 0)
                abort();
        memcpy(bytes, data + 1, --size);
        if ((how & 1) != 0)
                seal(bytes, size);
        size_t cut = (how & 2) != 0 ? size / 2 / BLOCK * BLOCK : size;
        if (build(out, bytes, size, cut) == 0)
                check(out);
        return 0;
}
