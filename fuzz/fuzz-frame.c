/* SPDX-License-Identifier: Apache-2.0 */
/* The frame decoder and every fixed payload, as either side meets them. */
#include "wire/channel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_payloads(const struct frame *frame)
{
        struct error err = ERROR_INIT;
        uint16_t rows, columns;
        int signal;
        (void)frame_hello_check(frame, &err);
        (void)frame_resize_read(frame, &rows, &columns);
        if (frame_signal_read(frame, &signal) == 0 && (signal < 1 || signal > 64))
                abort();
        if (frame->type == FRAME_ERROR && channel_read_error(frame, &err) >= 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buffer input;
        struct frame frame;
        struct error err = ERROR_INIT;
        buffer_init(&input, FRAME_HEADER_SIZE + FRAME_DOCUMENT_MAX);
        if (buffer_append(&input, data, size) == 0) {
                while (frame_next(&input, &frame, &err) > 0) {
                        read_payloads(&frame);
                        frame_release(&input, &frame);
                }
        }
        buffer_done(&input);
        return 0;
}
