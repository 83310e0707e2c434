/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "wire/frame.h"

#include <errno.h>
#include <string.h>

static void appended_frames_come_back(void **state)
{
        (void)state;
        cleanup_buffer struct buffer b = BUFFER_INIT(1 << 20);
        struct frame frame;
        struct error err = ERROR_INIT;
        assert_int_equal(frame_append(&b, FRAME_STDOUT, "abc", 3), 0);
        assert_int_equal(frame_append(&b, FRAME_STDERR, NULL, 0), 0);
        assert_int_equal(frame_next(&b, &frame, &err), 1);
        assert_int_equal(frame.type, FRAME_STDOUT);
        assert_memory_equal(frame.payload, "abc", 3);
        frame_release(&b, &frame);
        assert_int_equal(frame_next(&b, &frame, &err), 1);
        assert_int_equal(frame.type, FRAME_STDERR);
        assert_int_equal(frame.size, 0);
        frame_release(&b, &frame);
        assert_int_equal(frame_next(&b, &frame, &err), 0);
}

static void header_is_as_the_table_says(void **state)
{
        (void)state;
        static const uint8_t expected[] = {0x34, 0x12, 0, 0, 7, 0, 0, 0};
        uint8_t header[FRAME_HEADER_SIZE];
        assert_int_equal(frame_encode_header(FRAME_STDOUT, 0x1234, header), 0);
        assert_memory_equal(header, expected, sizeof(expected));
}

static void every_prefix_wants_more(void **state)
{
        (void)state;
        cleanup_buffer struct buffer whole = BUFFER_INIT(100);
        assert_int_equal(frame_append(&whole, FRAME_STDIN, "0123456789", 10), 0);
        for (size_t n = 0; n < whole.length; n++) {
                cleanup_buffer struct buffer part = BUFFER_INIT(100);
                struct frame frame;
                assert_int_equal(buffer_append(&part, buffer_content(&whole), n), 0);
                assert_int_equal(frame_next(&part, &frame, NULL), 0);
        }
}

static void refuse(const uint8_t *bytes, size_t size)
{
        cleanup_buffer struct buffer b = BUFFER_INIT(100);
        struct frame frame;
        struct error err = ERROR_INIT;
        assert_int_equal(buffer_append(&b, bytes, size), 0);
        assert_int_equal(frame_next(&b, &frame, &err), -EPROTO);
        assert_int_equal(err.code, -EPROTO);
        assert_string_not_equal(err.text, "");
}

static void lying_headers_are_refused(void **state)
{
        (void)state;
        refuse((const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0}, 8);
        refuse((const uint8_t[]){0, 0, 0, 0, FRAME_TYPE_END, 0, 0, 0}, 8);
        refuse((const uint8_t[]){0, 0, 0, 0, 255, 0, 0, 0}, 8);
        refuse((const uint8_t[]){0, 0, 0, 0, FRAME_STDIN, 1, 0, 0}, 8);
        refuse((const uint8_t[]){1, 0, 1, 0, FRAME_STDIN, 0, 0, 0}, 8);
        refuse((const uint8_t[]){0xff, 0xff, 0xff, 0xff, FRAME_REQUEST, 0, 0, 0}, 8);
        refuse((const uint8_t[]){9, 0, 0, 0, FRAME_HELLO, 0, 0, 0}, 8);
}

static void too_large_a_payload_is_not_sent(void **state)
{
        (void)state;
        uint8_t header[FRAME_HEADER_SIZE];
        assert_int_equal(frame_encode_header(FRAME_STDIN, FRAME_STREAM_MAX, header), 0);
        assert_int_equal(frame_encode_header(FRAME_STDIN, FRAME_STREAM_MAX + 1, header), -EMSGSIZE);
        assert_int_equal(frame_encode_header(FRAME_REQUEST, FRAME_DOCUMENT_MAX + 1, header), -EMSGSIZE);
}

static void hello_of_another_version_is_named(void **state)
{
        (void)state;
        struct frame_hello hello;
        struct error err = ERROR_INIT;
        frame_hello_make(&hello);
        struct frame frame = {.type = FRAME_HELLO, .size = sizeof(hello), .payload = (const uint8_t *)&hello};
        assert_int_equal(frame_hello_check(&frame, &err), 0);
        hello.version[0] = 9;
        assert_int_equal(frame_hello_check(&frame, &err), -EPROTO);
        assert_non_null(strstr(err.text, "version 9"));
        hello.magic[0] = 'X';
        assert_int_equal(frame_hello_check(&frame, &err), -EPROTO);
}

static void signals_have_a_range(void **state)
{
        (void)state;
        struct frame_signal payload;
        struct frame frame = {.type = FRAME_SIGNAL,
                              .size = sizeof(payload),
                              .payload = (const uint8_t *)&payload};
        int number;
        frame_signal_make(15, &payload);
        assert_int_equal(frame_signal_read(&frame, &number), 0);
        assert_int_equal(number, 15);
        frame_signal_make(0, &payload);
        assert_int_equal(frame_signal_read(&frame, &number), -EPROTO);
        frame_signal_make(65, &payload);
        assert_int_equal(frame_signal_read(&frame, &number), -EPROTO);
        frame.size = 3;
        assert_int_equal(frame_signal_read(&frame, &number), -EPROTO);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(appended_frames_come_back),
    cmocka_unit_test(header_is_as_the_table_says),
    cmocka_unit_test(every_prefix_wants_more),
    cmocka_unit_test(lying_headers_are_refused),
    cmocka_unit_test(too_large_a_payload_is_not_sent),
    cmocka_unit_test(hello_of_another_version_is_named),
    cmocka_unit_test(signals_have_a_range),
};

UNIT_TEST_MAIN(cases)
