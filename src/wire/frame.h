/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Frames: what travels between libboxlet, boxlet-monitor and boxlet-agent. docs/protocol.md tells the
 * conversations.
 *
 *     byte 0..3   length of the payload, little endian
 *     byte 4      type (enum frame_type)
 *     byte 5..7   zero
 *     byte 8..    payload
 *
 * A frame whose type is unknown, whose reserved bytes are not zero, or whose length is past its type's
 * maximum ends the conversation (-EPROTO): there is nothing to resynchronise on.
 */
#define FRAME_HEADER_SIZE 8

struct frame_header {
        uint8_t length[4];
        uint8_t type;
        uint8_t reserved[3];
};
_Static_assert(sizeof(struct frame_header) == FRAME_HEADER_SIZE, "frame header is 8 bytes");

enum frame_type {
        FRAME_HELLO = 1,   /* struct frame_hello; the first frame of either side */
        FRAME_REQUEST = 2, /* JSON object: {"op": "...", ...} */
        FRAME_REPLY = 3,   /* JSON object: the request was carried out, or has begun */
        FRAME_ERROR = 4,   /* JSON object: {"errno": positive number, "message": text}; answers a request */
        FRAME_EVENT = 5,   /* JSON object: {"event": "...", ...} */
        FRAME_STDIN = 6,   /* raw bytes; an empty one is the end of the stream, and so for the two below */
        FRAME_STDOUT = 7,
        FRAME_STDERR = 8,
        FRAME_RESIZE = 9,  /* struct frame_resize */
        FRAME_SIGNAL = 10, /* struct frame_signal */
        FRAME_EXIT = 11,   /* struct frame_exit: the last frame of a work connection */
        FRAME_TYPE_END,
};

#define FRAME_DOCUMENT_MAX (4U << 20) /* 256 KiB of environment, each byte escaped as \u00XX, and room */
#define FRAME_STREAM_MAX   (64U << 10)

#define FRAME_PROTOCOL_VERSION 1

/* "BXLT", then the protocol version the sender speaks; little endian. */
struct frame_hello {
        uint8_t magic[4];
        uint8_t version[2];
        uint8_t reserved[2];
};
_Static_assert(sizeof(struct frame_hello) == 8, "hello is 8 bytes");

struct frame_resize {
        uint8_t rows[2];
        uint8_t columns[2];
};
_Static_assert(sizeof(struct frame_resize) == 4, "resize is 4 bytes");

struct frame_signal {
        uint8_t number[4];
};
_Static_assert(sizeof(struct frame_signal) == 4, "signal is 4 bytes");

/* How the process ended: by exit(code) when signal is 0. flags: FRAME_EXIT_*. */
struct frame_exit {
        uint8_t code;
        uint8_t signal;
        uint8_t flags;
        uint8_t reserved;
};
_Static_assert(sizeof(struct frame_exit) == 4, "exit is 4 bytes");

#define FRAME_EXIT_TIMED_OUT  1 /* killed because its time was up */
#define FRAME_EXIT_OUT_OF_MEM 2 /* the kernel's OOM killer was at work in its cgroup */
#define FRAME_EXIT_WITH_INIT  4 /* an exec that was killed because the container's init has ended */

/* A decoded frame; payload is lent by the decoder until the next call. */
struct frame {
        enum frame_type type;
        uint32_t size;
        const uint8_t *payload;
};

/* Writes the header of a frame; -EMSGSIZE when size is past the type's maximum. */
int frame_encode_header(enum frame_type type, size_t size, uint8_t ret_header[FRAME_HEADER_SIZE]);

/* Appends a whole frame to b. 0, -ENOMEM or -EMSGSIZE. */
int frame_append(struct buffer *b, enum frame_type type, const void *payload, size_t size);

/*
 * Takes the next frame out of the front of input. Returns 1 with the frame (its payload lies in input until
 * input changes; call frame_release() when done with it), 0 when more bytes are needed, -EPROTO with err when
 * the bytes are not frames. Whole-frame buffering is bounded by FRAME_DOCUMENT_MAX + FRAME_HEADER_SIZE, which
 * is the buffer's maximum to be set by whoever fills it.
 */
int frame_next(const struct buffer *input, struct frame *ret_frame, struct error *err);
void frame_release(struct buffer *input, const struct frame *frame);

/* Fixed payloads. Decoders check the size and ranges: 0 or -EPROTO. */
void frame_hello_make(struct frame_hello *ret_hello);
int frame_hello_check(const struct frame *frame, struct error *err);
void frame_resize_make(uint16_t rows, uint16_t columns, struct frame_resize *ret_resize);
int frame_resize_read(const struct frame *frame, uint16_t *ret_rows, uint16_t *ret_columns);
void frame_signal_make(int number, struct frame_signal *ret_signal);
int frame_signal_read(const struct frame *frame, int *ret_number); /* 1 to 64 */

#endif
