/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames, encode and decode: pure functions over bytes. Both directions are hostile: the agent reads what a
 * host program sends, the host reads what a guest sends. A length is believed only after it passed its type's
 * maximum.
 */
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

static uint32_t read_le32(const uint8_t *p)
{
        return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void write_le32(uint32_t value, uint8_t *p)
{
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(value >> 8 * i);
}

static uint16_t read_le16(const uint8_t *p)
{
        return (uint16_t)(p[0] | p[1] << 8);
}

static void write_le16(uint16_t value, uint8_t *p)
{
        p[0] = (uint8_t)value;
        p[1] = (uint8_t)(value >> 8);
}

/* The largest payload of a type; 0 for an unknown type (no known type has that maximum). */
static size_t payload_maximum(unsigned type)
{
        switch (type) {
        case FRAME_HELLO:
                return sizeof(struct frame_hello);
        case FRAME_REQUEST:
        case FRAME_REPLY:
        case FRAME_ERROR:
        case FRAME_EVENT:
                return FRAME_DOCUMENT_MAX;
        case FRAME_STDIN:
        case FRAME_STDOUT:
        case FRAME_STDERR:
                return FRAME_STREAM_MAX;
        case FRAME_RESIZE:
                return sizeof(struct frame_resize);
        case FRAME_SIGNAL:
                return sizeof(struct frame_signal);
        case FRAME_EXIT:
                return sizeof(struct frame_exit);
        default:
                return 0;
        }
}

int frame_encode_header(enum frame_type type, size_t size, uint8_t ret_header[FRAME_HEADER_SIZE])
{
        if (size > payload_maximum(type))
                return -EMSGSIZE;
        memset(ret_header, 0, FRAME_HEADER_SIZE);
        write_le32((uint32_t)size, ret_header);
        ret_header[4] = (uint8_t)type;
        return 0;
}

int frame_append(struct buffer *b, enum frame_type type, const void *payload, size_t size)
{
        uint8_t header[FRAME_HEADER_SIZE];
        int r = frame_encode_header(type, size, header);
        if (r < 0)
                return r;
        char *place;
        r = buffer_reserve(b, sizeof(header) + size, &place);
        if (r < 0)
                return r;
        memcpy(place, header, sizeof(header));
        if (size > 0)
                memcpy(place + sizeof(header), payload, size);
        buffer_grow(b, sizeof(header) + size);
        return 0;
}

int frame_next(const struct buffer *input, struct frame *ret_frame, struct error *err)
{
        if (input->length < FRAME_HEADER_SIZE)
                return 0;
        const uint8_t *p = (const uint8_t *)buffer_content(input);
        struct frame_header header;
        memcpy(&header, p, sizeof(header));
        size_t maximum = payload_maximum(header.type);
        uint32_t size = read_le32(header.length);
        if (maximum == 0)
                return error_set(err, -EPROTO, "read frame: unknown type %u", header.type);
        if (header.reserved[0] != 0 || header.reserved[1] != 0 || header.reserved[2] != 0)
                return error_set(err, -EPROTO, "read frame: reserved bytes are not zero");
        if (size > maximum)
                return error_set(err, -EPROTO, "read frame: type %u with %u bytes, past its maximum of %zu",
                                 header.type, size, maximum);
        if (input->length - FRAME_HEADER_SIZE < size)
                return 0;
        *ret_frame = (struct frame){.type = header.type, .size = size, .payload = p + FRAME_HEADER_SIZE};
        return 1;
}

void frame_release(struct buffer *input, const struct frame *frame)
{
        buffer_consume(input, FRAME_HEADER_SIZE + (size_t)frame->size);
}

static const uint8_t hello_magic[4] = {'B', 'X', 'L', 'T'};

void frame_hello_make(struct frame_hello *ret_hello)
{
        memset(ret_hello, 0, sizeof(*ret_hello));
        memcpy(ret_hello->magic, hello_magic, sizeof(hello_magic));
        write_le16(FRAME_PROTOCOL_VERSION, ret_hello->version);
}

int frame_hello_check(const struct frame *frame, struct error *err)
{
        struct frame_hello hello;
        if (frame->type != FRAME_HELLO || frame->size != sizeof(hello))
                return error_set(err, -EPROTO, "greet the other side: it did not say hello first");
        memcpy(&hello, frame->payload, sizeof(hello));
        if (memcmp(hello.magic, hello_magic, sizeof(hello_magic)) != 0)
                return error_set(err, -EPROTO, "greet the other side: it is not a boxlet program");
        unsigned version = read_le16(hello.version);
        if (version != FRAME_PROTOCOL_VERSION)
                return error_set(
                    err, -EPROTO,
                    "greet the other side: it speaks protocol version %u, this program speaks %d; "
                    "install both from one release",
                    version, FRAME_PROTOCOL_VERSION);
        return 0;
}

void frame_resize_make(uint16_t rows, uint16_t columns, struct frame_resize *ret_resize)
{
        write_le16(rows, ret_resize->rows);
        write_le16(columns, ret_resize->columns);
}

int frame_resize_read(const struct frame *frame, uint16_t *ret_rows, uint16_t *ret_columns)
{
        struct frame_resize resize;
        if (frame->type != FRAME_RESIZE || frame->size != sizeof(resize))
                return -EPROTO;
        memcpy(&resize, frame->payload, sizeof(resize));
        *ret_rows = read_le16(resize.rows);
        *ret_columns = read_le16(resize.columns);
        return 0;
}

void frame_signal_make(int number, struct frame_signal *ret_signal)
{
        write_le32((uint32_t)number, ret_signal->number);
}

int frame_signal_read(const struct frame *frame, int *ret_number)
{
        struct frame_signal payload;
        if (frame->type != FRAME_SIGNAL || frame->size != sizeof(payload))
                return -EPROTO;
        memcpy(&payload, frame->payload, sizeof(payload));
        uint32_t number = read_le32(payload.number);
        if (number < 1 || number > 64)
                return -EPROTO;
        *ret_number = (int)number;
        return 0;
}
