/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip and zstd, which layers use, go straight to their libraries; xz and bzip2 through libarchive. Several
 * gzip members or zstd frames behind each other are one stream, as the formats say; zeros may follow the
 * last gzip member (tape padding), anything else there is damage. Runs in the stream's own thread.
 */
#include "image/decode.h"

#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct decoder {
        struct decode_source *source;
        int (*read)(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size,
                    struct error *err);
        const uint8_t *input; /* lent by the source */
        size_t input_size;
        bool input_ended;
        bool between; /* members: one has ended, none has begun */
        z_stream gzip;
        bool has_gzip;
        ZSTD_DStream *zstd;
        struct archive *archive;
        struct error error; /* of the source, on its way through libarchive */
};

/* Makes input_size more than 0, or finds the end. */
static int refill(struct decoder *decoder, struct error *err)
{
        if (decoder->input_size > 0 || decoder->input_ended)
                return 0;
        int r = decoder->source->next(decoder->source, &decoder->input, &decoder->input_size, err);
        if (r == 0 && decoder->input_size == 0)
                decoder->input_ended = true;
        return r;
}

static int cut_off(struct error *err, const char *format)
{
        return error_set(err, -EBADMSG, "the %s stream is cut off", format);
}

static int read_plain(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size,
                      struct error *err)
{
        size_t done = 0;
        int r = 0;
        while (done < room && (r = refill(decoder, err)) == 0 && decoder->input_size > 0) {
                size_t now = room - done < decoder->input_size ? room - done : decoder->input_size;
                memcpy(bytes + done, decoder->input, now);
                decoder->input += now;
                decoder->input_size -= now;
                done += now;
        }
        *ret_size = done;
        return r;
}

/* Between members: begins the next one; no more input, or only zeros, is the end. */
static int next_member(struct decoder *decoder, struct error *err)
{
        while (decoder->input_size > 0 && decoder->input[0] == 0) {
                decoder->input++;
                decoder->input_size--;
                int r = refill(decoder, err);
                if (r < 0)
                        return r;
        }
        if (decoder->input_size > 0) {
                decoder->between = false;
                (void)inflateReset(&decoder->gzip); /* fails for a state that is none only */
        }
        return 0;
}

static int read_gzip(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size,
                     struct error *err)
{
        z_stream *z = &decoder->gzip;
        z->next_out = bytes;
        z->avail_out = (uInt)room;
        while (z->avail_out > 0) {
                int r = refill(decoder, err);
                if (r == 0 && decoder->between)
                        r = next_member(decoder, err);
                if (r < 0)
                        return r;
                if (decoder->input_size == 0) {
                        if (!decoder->between)
                                return cut_off(err, "gzip");
                        break;
                }
                size_t given = decoder->input_size < UINT32_MAX ? decoder->input_size : UINT32_MAX;
                z->next_in = (Bytef *)(uintptr_t)decoder->input;
                z->avail_in = (uInt)given;
                r = inflate(z, Z_NO_FLUSH);
                decoder->input += given - z->avail_in;
                decoder->input_size -= given - z->avail_in;
                if (r == Z_STREAM_END)
                        decoder->between = true;
                else if (r == Z_MEM_ERROR)
                        return error_errno(err, -ENOMEM, "unpack gzip");
                else if (r != Z_OK)
                        return error_set(err, -EBADMSG, "the gzip stream is damaged: %s",
                                         z->msg != NULL ? z->msg : "bad data");
        }
        *ret_size = room - z->avail_out;
        return 0;
}

static int read_zstd(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size,
                     struct error *err)
{
        ZSTD_outBuffer out = {.dst = bytes, .size = room};
        while (out.pos < room) {
                int r = refill(decoder, err);
                if (r < 0)
                        return r;
                ZSTD_inBuffer in = {.src = decoder->input, .size = decoder->input_size};
                size_t before = out.pos;
                if (in.size == 0 && decoder->between)
                        break;
                size_t left = ZSTD_decompressStream(decoder->zstd, &out, &in);
                if (ZSTD_isError(left))
                        return error_set(err, -EBADMSG, "the zstd stream is damaged: %s",
                                         ZSTD_getErrorName(left));
                decoder->input += in.pos;
                decoder->input_size -= in.pos;
                decoder->between = left == 0;
                if (decoder->input_ended && out.pos == before && !decoder->between)
                        return cut_off(err, "zstd");
        }
        *ret_size = out.pos;
        return 0;
}

static int read_archive(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size,
                        struct error *err)
{
        size_t done = 0;
        la_ssize_t n = 1;
        while (done < room && n > 0) {
                if ((n = archive_read_data(decoder->archive, bytes + done, room - done)) > 0)
                        done += (size_t)n;
        }
        if (n < 0 && decoder->error.code != 0) {
                *err = decoder->error;
                return err->code;
        }
        if (n < 0)
                return error_set(err, archive_errno(decoder->archive) == ENOMEM ? -ENOMEM : -EBADMSG,
                                 "the compressed stream is damaged: %s",
                                 archive_error_string(decoder->archive));
        *ret_size = done;
        return 0;
}

static la_ssize_t feed_archive(struct archive *archive, void *data, const void **ret_bytes)
{
        struct decoder *decoder = data;
        if (refill(decoder, &decoder->error) < 0) {
                archive_set_error(archive, EIO, "%s", decoder->error.text);
                return -1;
        }
        *ret_bytes = decoder->input;
        size_t size = decoder->input_size;
        decoder->input_size = 0;
        return (la_ssize_t)size;
}

static int open_archive(struct decoder *decoder, struct error *err)
{
        struct archive *archive = archive_read_new();
        struct archive_entry *entry;
        if (archive == NULL)
                return error_errno(err, -ENOMEM, "unpack");
        decoder->archive = archive;
        decoder->read = read_archive;
        if (archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
            archive_read_support_filter_bzip2(archive) != ARCHIVE_OK ||
            archive_read_support_format_raw(archive) != ARCHIVE_OK ||
            archive_read_support_format_empty(archive) != ARCHIVE_OK)
                return error_set(err, -ENOSYS, "libarchive lacks xz or bzip2");
        int r = archive_read_open(archive, decoder, NULL, feed_archive, NULL);
        if (r == ARCHIVE_OK)
                r = archive_read_next_header(archive, &entry);
        if (r == ARCHIVE_OK || r == ARCHIVE_EOF)
                return 0;
        if (decoder->error.code != 0) {
                *err = decoder->error;
                return err->code;
        }
        return error_set(err, archive_errno(archive) == ENOMEM ? -ENOMEM : -EBADMSG,
                         "the compressed stream is damaged: %s", archive_error_string(archive));
}

static int open_gzip(struct decoder *decoder, struct error *err)
{
        decoder->read = read_gzip;
        if (inflateInit2(&decoder->gzip, 15 + 16) != Z_OK)
                return error_errno(err, -ENOMEM, "unpack gzip");
        decoder->has_gzip = true;
        return 0;
}

static int open_zstd(struct decoder *decoder, struct error *err)
{
        decoder->read = read_zstd;
        decoder->between = true;
        decoder->zstd = ZSTD_createDStream();
        return decoder->zstd != NULL ? 0 : error_errno(err, -ENOMEM, "unpack zstd");
}

static bool starts(const struct decoder *decoder, const char *magic, size_t size)
{
        return decoder->input_size >= size && memcmp(decoder->input, magic, size) == 0;
}

static int choose(struct decoder *decoder, struct error *err)
{
        if (starts(decoder, "\x1f\x8b", 2))
                return open_gzip(decoder, err);
        if (starts(decoder, "\x28\xb5\x2f\xfd", 4) || starts(decoder, "\x50\x2a\x4d\x18", 4))
                return open_zstd(decoder, err);
        if (starts(decoder, "\xfd\x37zXZ", 6) || starts(decoder, "BZh", 3))
                return open_archive(decoder, err);
        decoder->read = read_plain;
        return 0;
}

int decoder_new(struct decode_source *source, struct decoder **ret_decoder, struct error *err)
{
        struct decoder *decoder = calloc(1, sizeof(*decoder));
        if (decoder == NULL)
                return error_errno(err, -ENOMEM, "unpack");
        decoder->source = source;
        int r = refill(decoder, err);
        if (r == 0)
                r = choose(decoder, err);
        if (r < 0) {
                decoder_free(decoder);
                return r;
        }
        *ret_decoder = decoder;
        return 0;
}

void decoder_free(struct decoder *decoder)
{
        if (decoder == NULL)
                return;
        if (decoder->has_gzip)
                (void)inflateEnd(&decoder->gzip);
        (void)ZSTD_freeDStream(decoder->zstd);
        if (decoder->archive != NULL)
                (void)archive_read_free(decoder->archive);
        free(decoder);
}

int decoder_read(struct decoder *decoder, uint8_t *bytes, size_t room, size_t *ret_size, struct error *err)
{
        return decoder->read(decoder, bytes, room, ret_size, err);
}
