/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "virtio-driver.h"

#include <errno.h>

static struct guest guest;
static struct driver_ring driver;
static struct queue queue;
static struct chain chain;

static void begin(uint16_t size, uint16_t base, uint64_t features)
{
        guest_init(&guest, 1 << 20);
        driver_ring_init(&driver, &guest, size);
        memset(&queue, 0, sizeof(queue));
        assert_int_equal(driver_start(&driver, &queue, base, features), 0);
}

static void chains_come_as_they_were_given(void **state)
{
        (void)state;
        begin(8, 65530, VIRTIO_F_INDIRECT_DESC); /* the indices wrap on the way */
        uint64_t out = guest_alloc(&guest, 100, 1), in = guest_alloc(&guest, 200, 1);
        for (unsigned i = 0; i < 100; i++) {
                uint32_t id, length;
                uint16_t head = driver_add(&driver, out, 100, in, 200);
                assert_int_equal(queue_next(&queue, &chain), 1);
                assert_int_equal(chain.head, head);
                assert_int_equal(chain.out_count, 1);
                assert_int_equal(chain.in_count, 1);
                assert_int_equal(chain.out_bytes, 100);
                assert_int_equal(chain.in_bytes, 200);
                assert_ptr_equal(chain.iov[0].iov_base, guest_at(&guest, out));
                assert_ptr_equal(chain.iov[1].iov_base, guest_at(&guest, in));
                assert_int_equal(queue_next(&queue, &chain), 0);
                queue_untake(&queue);
                assert_int_equal(queue_next(&queue, &chain), 1);
                queue_put(&queue, &chain, i);
                assert_false(driver_take_used(&driver, &id, &length)); /* not before it is published */
                queue_publish(&queue);
                assert_true(driver_take_used(&driver, &id, &length));
                assert_int_equal(id, head);
                assert_int_equal(length, i);
        }
        assert_int_equal(driver.notifications, 100);
        guest_done(&guest);
}

static uint64_t indirect_table(unsigned count, uint64_t buffer, uint16_t flags)
{
        uint64_t table = guest_alloc(&guest, 16 * (size_t)count, 16);
        struct ring_desc *d = guest_at(&guest, table);
        for (unsigned i = 0; i < count; i++)
                d[i] = (struct ring_desc){buffer + i, 1, (uint16_t)(flags | (i + 1 < count ? DESC_NEXT : 0)),
                                          (uint16_t)(i + 1)};
        return table;
}

static void indirect_chains_are_followed(void **state)
{
        (void)state;
        begin(8, 0, VIRTIO_F_INDIRECT_DESC);
        uint64_t buffer = guest_alloc(&guest, 64, 1);
        uint64_t table = indirect_table(8, buffer, 0);
        ((struct ring_desc *)guest_at(&guest, table))[7].flags |= DESC_WRITE;
        driver_set_desc(&driver, 3, table, 8 * 16, DESC_INDIRECT, 0);
        driver_announce(&driver, 3);
        assert_int_equal(queue_next(&queue, &chain), 1);
        assert_int_equal(chain.out_count, 7);
        assert_int_equal(chain.in_count, 1);
        /* a direct descriptor may come first (section 2.7.5.3.1 forbids only what follows) */
        driver_set_desc(&driver, 0, buffer, 5, DESC_NEXT, 1);
        driver_set_desc(&driver, 1, indirect_table(2, buffer, 0), 32, DESC_INDIRECT, 0);
        driver_announce(&driver, 0);
        assert_int_equal(queue_next(&queue, &chain), 1);
        assert_int_equal(chain.out_count, 3);
        assert_int_equal(chain.out_bytes, 7);
        assert_int_equal(driver.broken, 0);
        guest_done(&guest);
}

/* Each makes one bad chain at head 0. */
static void index_beyond_the_table(uint64_t buffer)
{
        driver_set_desc(&driver, 0, buffer, 1, DESC_NEXT, 8);
}
static void a_circle(uint64_t buffer)
{
        driver_set_desc(&driver, 0, buffer, 1, DESC_NEXT, 1);
        driver_set_desc(&driver, 1, buffer, 1, DESC_NEXT, 0);
}
static void a_circle_of_nothing(uint64_t buffer)
{
        driver_set_desc(&driver, 0, buffer, 0, DESC_NEXT, 0);
}
static void buffer_outside_memory(uint64_t buffer)
{
        driver_set_desc(&driver, 0, GUEST_BASE + (1 << 20) - 4, 5, 0, 0);
}
static void buffer_that_wraps(uint64_t buffer)
{
        driver_set_desc(&driver, 0, UINT64_MAX - 1, 4, 0, 0);
}
static void out_after_in(uint64_t buffer)
{
        driver_set_desc(&driver, 0, buffer, 1, DESC_WRITE | DESC_NEXT, 1);
        driver_set_desc(&driver, 1, buffer, 1, 0, 0);
}
static void indirect_in_indirect(uint64_t buffer)
{
        uint64_t table = indirect_table(2, buffer, 0);
        ((struct ring_desc *)guest_at(&guest, table))[1] = (struct ring_desc){table, 32, DESC_INDIRECT, 0};
        driver_set_desc(&driver, 0, table, 32, DESC_INDIRECT, 0);
}
static void indirect_with_next(uint64_t buffer)
{
        driver_set_desc(&driver, 0, indirect_table(2, buffer, 0), 32, DESC_INDIRECT | DESC_NEXT, 1);
}
static void indirect_of_odd_size(uint64_t buffer)
{
        driver_set_desc(&driver, 0, indirect_table(2, buffer, 0), 31, DESC_INDIRECT, 0);
}
static void indirect_of_no_size(uint64_t buffer)
{
        driver_set_desc(&driver, 0, indirect_table(2, buffer, 0), 0, DESC_INDIRECT, 0);
}
static void indirect_larger_than_the_queue(uint64_t buffer)
{
        driver_set_desc(&driver, 0, indirect_table(9, buffer, 0), 9 * 16, DESC_INDIRECT, 0);
}
static void indirect_outside_memory(uint64_t buffer)
{
        driver_set_desc(&driver, 0, GUEST_BASE + (1 << 20) - 16, 32, DESC_INDIRECT, 0);
}
static void more_than_4_gib(uint64_t buffer)
{
        /* no region is that long, so the sum is refused where it would wrap, before memory is looked at */
        driver_set_desc(&driver, 0, buffer, 8, DESC_NEXT, 1);
        driver_set_desc(&driver, 1, buffer, UINT32_MAX - 3, 0, 0);
}

static void bad_chains_break_the_queue_once(void **state)
{
        (void)state;
        static const struct {
                void (*make)(uint64_t buffer);
                const char *why;
        } table[] = {
            {index_beyond_the_table, "descriptor index beyond its table"},
            {a_circle, "chain too long or in a circle"},
            {a_circle_of_nothing, "chain too long or in a circle"},
            {buffer_outside_memory, "buffer outside memory"},
            {buffer_that_wraps, "buffer outside memory"},
            {out_after_in, "descriptor to read after one to write"},
            {indirect_in_indirect, "indirect descriptor inside an indirect table"},
            {indirect_with_next, "indirect descriptor with a next one"},
            {indirect_of_odd_size, "bad size of an indirect table"},
            {indirect_of_no_size, "bad size of an indirect table"},
            {indirect_larger_than_the_queue, "bad size of an indirect table"},
            {indirect_outside_memory, "indirect table outside memory"},
            {more_than_4_gib, "chain of more than 4 GiB"},
        };
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                begin(8, 0, VIRTIO_F_INDIRECT_DESC);
                uint64_t buffer = guest_alloc(&guest, 64, 1);
                table[i].make(buffer);
                driver_announce(&driver, 0);
                driver.next_desc = 4;
                driver_add(&driver, buffer, 1, 0, 0); /* a good one after it does not help */
                assert_int_equal(queue_next(&queue, &chain), 0);
                assert_int_equal(queue_next(&queue, &chain), 0);
                assert_false(queue_kicks_on(&queue));
                assert_int_equal(driver.broken, 1);
                assert_string_equal(driver.why, table[i].why);
                /* a driver that starts anew is served again */
                assert_int_equal(driver_start(&driver, &queue, 0, 0), 0);
                driver_set_desc(&driver, 0, buffer, 1, 0, 0);
                driver_announce(&driver, 0);
                assert_int_equal(queue_next(&queue, &chain), 1);
                guest_done(&guest);
        }
}

static void indices_that_lie_break_the_queue(void **state)
{
        (void)state;
        begin(8, 0, 0);
        uint64_t buffer = guest_alloc(&guest, 64, 1);
        driver_announce(&driver, 8); /* head beyond the table */
        assert_int_equal(queue_next(&queue, &chain), 0);
        assert_int_equal(driver.broken, 1);
        guest_done(&guest);
        begin(8, 0, 0);
        ((uint16_t *)guest_at(&guest, driver.address.available))[1] = 9;
        assert_int_equal(queue_next(&queue, &chain), 0);
        assert_string_equal(driver.why, "available index jumps");
        guest_done(&guest);
        begin(8, 0, 0); /* without the feature */
        driver_set_desc(&driver, 0, indirect_table(2, buffer, 0), 32, DESC_INDIRECT, 0);
        driver_announce(&driver, 0);
        assert_int_equal(queue_next(&queue, &chain), 0);
        assert_string_equal(driver.why, "indirect descriptor without the feature");
        guest_done(&guest);
}

static void rings_must_be_aligned_and_inside_memory(void **state)
{
        (void)state;
        begin(8, 0, 0);
        struct queue_address good = driver.address, a;
        uint64_t end = GUEST_BASE + (1 << 20);
        static const uint16_t bad_sizes[] = {0, 3, 7, 9, 2048, 65535};
        for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(bad_sizes[0]); i++)
                assert_int_equal(queue_start(&queue, bad_sizes[i], &good, 0, 0), -EINVAL);
        a = good, a.descriptors += 8;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EINVAL);
        a = good, a.available += 1;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EINVAL);
        a = good, a.used += 2;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EINVAL);
        a = good, a.descriptors = end - 7 * 16;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EFAULT);
        a = good, a.available = end - 20;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EFAULT);
        a = good, a.used = end - 68;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), -EFAULT);
        assert_false(queue.started);
        assert_int_equal(queue_next(&queue, &chain), 0);
        queue_publish(&queue);
        a = good, a.used = end - 72, a.available = end - 72 - 24;
        assert_int_equal(queue_start(&queue, 8, &a, 0, 0), 0);
        guest_done(&guest);
}

static void put_one(uint64_t buffer)
{
        driver_add(&driver, buffer, 1, 0, 0);
        assert_int_equal(queue_next(&queue, &chain), 1);
        queue_put(&queue, &chain, 0);
}

static void the_driver_is_told_when_it_asked(void **state)
{
        (void)state;
        begin(8, 65534, VIRTIO_F_EVENT_IDX);
        uint64_t buffer = guest_alloc(&guest, 64, 1);
        driver_set_used_event(&driver, 1); /* tell me when idx goes past 1, that is at 2: four elements on */
        for (unsigned i = 0; i < 3; i++) {
                put_one(buffer);
                queue_publish(&queue);
        }
        assert_int_equal(driver.notifications, 0);
        put_one(buffer);
        put_one(buffer); /* a batch goes past it */
        queue_publish(&queue);
        assert_int_equal(driver.notifications, 1);
        queue_publish(&queue);
        assert_int_equal(driver.notifications, 1);
        put_one(buffer);
        queue_publish(&queue);
        assert_int_equal(driver.notifications, 1);
        guest_done(&guest);
        begin(8, 0, 0);
        put_one(buffer);
        ((uint16_t *)guest_at(&guest, driver.address.available))[0] = 1; /* NO_INTERRUPT */
        queue_publish(&queue);
        assert_int_equal(driver.notifications, 0);
        ((uint16_t *)guest_at(&guest, driver.address.available))[0] = 0;
        put_one(buffer);
        queue_publish(&queue);
        assert_int_equal(driver.notifications, 1);
        guest_done(&guest);
}

static void kicks_are_asked_for_without_losing_one(void **state)
{
        (void)state;
        begin(8, 0, VIRTIO_F_EVENT_IDX);
        uint64_t buffer = guest_alloc(&guest, 64, 1);
        assert_false(queue_kicks_on(&queue));
        put_one(buffer);
        assert_int_equal(driver_avail_event(&driver), 0);
        driver_add(&driver, buffer, 1, 0, 0); /* came before we asked: no kick would come */
        assert_true(queue_kicks_on(&queue));
        assert_int_equal(driver_avail_event(&driver), 1);
        assert_int_equal(queue_next(&queue, &chain), 1);
        assert_false(queue_kicks_on(&queue));
        guest_done(&guest);
        begin(8, 0, 0);
        const uint16_t *used = guest_at(&guest, driver.address.used);
        queue_kicks_off(&queue);
        assert_int_equal(used[0], 1);
        assert_false(queue_kicks_on(&queue));
        assert_int_equal(used[0], 0);
        guest_done(&guest);
}

static void segments_are_copied_and_sliced_exactly(void **state)
{
        (void)state;
        char a[] = "abc", b[] = "defgh", c[] = "i", text[16] = {0};
        const struct iovec iov[] = {{a, 3}, {b, 5}, {c, 1}};
        struct iovec slice[3];
        size_t bytes;
        assert_int_equal(iov_read(iov, 3, 2, text, 5), 5);
        assert_string_equal(text, "cdefg");
        assert_int_equal(iov_read(iov, 3, 8, text, 5), 1);
        assert_int_equal(iov_read(iov, 3, 9, text, 5), 0);
        assert_int_equal(iov_write(iov, 3, 1, "12345", 5), 5);
        assert_string_equal(a, "a12");
        assert_string_equal(b, "345gh");
        assert_int_equal(iov_slice(iov, 3, 2, 3, slice, &bytes), 2);
        assert_int_equal(bytes, 3);
        assert_ptr_equal(slice[0].iov_base, a + 2);
        assert_int_equal(slice[0].iov_len, 1);
        assert_int_equal(slice[1].iov_len, 2);
        assert_int_equal(iov_slice(iov, 3, 3, 100, slice, &bytes), 2);
        assert_int_equal(bytes, 6);
        assert_int_equal(iov_slice(iov, 3, 9, 100, slice, &bytes), 0);
        assert_int_equal(bytes, 0);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(chains_come_as_they_were_given),
    cmocka_unit_test(indirect_chains_are_followed),
    cmocka_unit_test(bad_chains_break_the_queue_once),
    cmocka_unit_test(indices_that_lie_break_the_queue),
    cmocka_unit_test(rings_must_be_aligned_and_inside_memory),
    cmocka_unit_test(the_driver_is_told_when_it_asked),
    cmocka_unit_test(kicks_are_asked_for_without_losing_one),
    cmocka_unit_test(segments_are_copied_and_sliced_exactly),
};

UNIT_TEST_MAIN(cases)
