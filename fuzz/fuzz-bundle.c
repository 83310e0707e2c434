/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A box's file from anybody. The first byte says how: bit 0: the checksums of tar headers are made right, so
 * that what is behind them is reached. What comes out must lie within the disk, in order.
 */
#include "base/cleanup.h"
#include "runtime/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
        const uint8_t *bytes;
        size_t size, at;
        uint64_t disk, end;
        int members;
};

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

static ssize_t give(void *bytes, size_t size, void *data)
{
        struct input *in = data;
        size_t n = in->size - in->at < size ? in->size - in->at : size;
        memcpy(bytes, in->bytes + in->at, n);
        in->at += n;
        return (ssize_t)n;
}

static int take_document(const char *text, size_t size, void *data, struct error *err)
{
        struct input *in = data;
        struct bundle_document document;
        if (in->members++ != 0 || size > BUNDLE_DOCUMENT_MAX || text[size] != '\0')
                abort();
        if (bundle_document_parse(text, size, &document, err) == 0)
                bundle_document_done(&document);
        return 0;
}

static int take_image(const void *bytes, size_t size, void *data, struct error *err)
{
        const struct input *in = data;
        (void)bytes;
        (void)err;
        if (in->members != 1 || size == 0)
                abort();
        return 0;
}

static int begin_disk(uint64_t size, void *data, struct error *err)
{
        struct input *in = data;
        (void)err;
        if (in->members++ != 1)
                abort();
        in->disk = size;
        return 0;
}

static int take_disk(uint64_t offset, const void *bytes, size_t size, void *data, struct error *err)
{
        struct input *in = data;
        (void)bytes;
        (void)err;
        if (in->members != 2 || offset < in->end || size > in->disk || offset > in->disk - size)
                abort();
        in->end = offset + size;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct error err = ERROR_INIT;
        if (size == 0)
                return 0;
        cleanup_free uint8_t *bytes = malloc(size);
        if (bytes == NULL)
                abort();
        memcpy(bytes, data + 1, --size);
        if ((data[0] & 1) != 0)
                seal(bytes, size);
        struct input in = {.bytes = bytes, .size = size};
        const struct bundle_source source = {give, &in};
        const struct bundle_sink sink = {take_document, take_image, begin_disk, take_disk, &in};
        int r = bundle_read(&source, &sink, &err);
        if (r < 0 && (err.code != r || err.text[0] == '\0'))
                abort();
        if (r == 0 && in.members != 2)
                abort();
        return 0;
}
