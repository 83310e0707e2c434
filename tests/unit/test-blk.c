/* SPDX-License-Identifier: Apache-2.0 */
/* The block device, driven by a driver in this process. What concerns disk I/O is done by each engine. */
#include "harness.h"
#include "virtio-driver.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/blk_format.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_SIZE (1U << 20)
#define RING      256

static struct guest guest;
static struct driver_ring ring;
static struct loop *loop;
static struct blk *blk;
static int disk;
static uint64_t header_at, data_at, status_at;
static struct blk_options options;

static const enum blk_engine engines[] = {BLK_ENGINE_URING, BLK_ENGINE_THREADS};
#define FOR_EACH_ENGINE(e) for (const enum blk_engine *e = engines; e < engines + 2; e++)

static bool have_uring(void)
{
        struct loop *l;
        struct blk *b;
        struct blk_options o = {.fd = memfd_create("probe", MFD_CLOEXEC), .engine = BLK_ENGINE_URING};
        assert_int_equal(ftruncate(o.fd, 4096), 0);
        assert_int_equal(loop_new(&l), 0);
        int r = blk_new(l, &o, &b, NULL);
        if (r == 0)
                blk_free(b);
        loop_free(l);
        (void)close(o.fd);
        return r == 0;
}

static void start_ring(uint64_t features)
{
        struct device *d = blk_device(blk);
        ring.next_desc = 0;
        if (d->ops->ready != NULL)
                d->ops->ready(d, features);
        assert_int_equal(driver_start(&ring, &d->queues[0], 0, features), 0);
}

/* Takes fd over. */
static void begin_on(int fd, enum blk_engine engine, uint64_t features)
{
        struct error err = ERROR_INIT;
        disk = fd;
        options.fd = fd;
        options.id = "disk-0123456789abcdefghi";
        options.engine = engine;
        guest_init(&guest, 4 << 20);
        driver_ring_init(&ring, &guest, RING);
        assert_int_equal(loop_new(&loop), 0);
        if (blk_new(loop, &options, &blk, &err) < 0)
                fail_msg("%s", err.text);
        start_ring(features | BLK_F_FLUSH);
        header_at = guest_alloc(&guest, 4096, 16);
        status_at = guest_alloc(&guest, 4096, 16);
        data_at = guest_alloc(&guest, 2 << 20, 4096);
}

static int new_disk(void)
{
        uint8_t block[4096];
        int fd = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        for (unsigned i = 0; i < DISK_SIZE / sizeof(block); i++) {
                memset(block, (int)(i + 1), sizeof(block));
                assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
        }
        return fd;
}

static void begin(enum blk_engine engine)
{
        if (engine == BLK_ENGINE_URING && !have_uring())
                engine = BLK_ENGINE_THREADS;
        begin_on(new_disk(), engine, VIRTIO_F_EVENT_IDX);
}

static void finish(void)
{
        blk_free(blk);
        loop_free(loop);
        guest_done(&guest);
        (void)close(disk);
        memset(&options, 0, sizeof(options));
}

static void kick(void)
{
        struct device *d = blk_device(blk);
        d->ops->kick(d, 0);
}

/* Waits for the next chain to come back; its status is at status_at, or returns 255 when the queue broke. */
static uint32_t wait_used(void)
{
        uint32_t id, length;
        while (!driver_take_used(&ring, &id, &length)) {
                assert_int_equal(ring.broken, 0);
                assert_true(loop_step(loop, -1) >= 0); /* the case's time limit ends what hangs */
        }
        return length;
}

static void put_header(uint32_t type, uint64_t sector)
{
        struct blk_header h = {.type = type, .sector = sector};
        memcpy(guest_at(&guest, header_at), &h, sizeof(h));
        *(uint8_t *)guest_at(&guest, status_at) = 0xaa;
}

/* A request as Linux makes it: header, data, status. */
static void put_request(uint32_t type, uint64_t sector, uint64_t data, uint32_t size, uint64_t status)
{
        bool in = type == BLK_T_IN || type == BLK_T_GET_ID;
        uint16_t first = ring.next_desc, next = first;
        put_header(type, sector);
        driver_set_desc(&ring, next, header_at, 16, DESC_NEXT, (uint16_t)((next + 1) % RING));
        next = (uint16_t)((next + 1) % RING);
        if (size > 0) {
                driver_set_desc(&ring, next, data, size, DESC_NEXT | (in ? DESC_WRITE : 0),
                                (uint16_t)((next + 1) % RING));
                next = (uint16_t)((next + 1) % RING);
        }
        driver_set_desc(&ring, next, status, 1, DESC_WRITE, 0);
        ring.next_desc = (uint16_t)((next + 1) % RING);
        driver_announce(&ring, first);
}

static unsigned ask(uint32_t type, uint64_t sector, const void *data, uint32_t size)
{
        if (data != NULL)
                memcpy(guest_at(&guest, data_at), data, size);
        put_request(type, sector, data_at, size, status_at);
        kick();
        (void)wait_used();
        return *(uint8_t *)guest_at(&guest, status_at);
}

static void data_is_read_and_written(void **state)
{
        (void)state;
        static uint8_t bytes[8192], back[8192];
        FOR_EACH_ENGINE(e)
        {
                begin(*e);
                assert_int_equal(ask(BLK_T_IN, 8, NULL, 1024), BLK_S_OK);
                assert_int_equal(*(uint8_t *)guest_at(&guest, data_at), 2);
                assert_int_equal(*(uint8_t *)guest_at(&guest, data_at + 1023), 2);
                for (unsigned i = 0; i < sizeof(bytes); i++)
                        bytes[i] = (uint8_t)(i * 7);
                assert_int_equal(ask(BLK_T_OUT, 17, bytes, sizeof(bytes)), BLK_S_OK);
                assert_int_equal(pread(disk, back, sizeof(back), 17 * 512), sizeof(back));
                assert_memory_equal(bytes, back, sizeof(back));
                assert_int_equal(ask(BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
                /* the last sector, and nothing at all at the very end */
                assert_int_equal(ask(BLK_T_IN, DISK_SIZE / 512 - 1, NULL, 512), BLK_S_OK);
                assert_int_equal(ask(BLK_T_IN, DISK_SIZE / 512, NULL, 0), BLK_S_OK);
                /* a driver without FLUSH: every write goes through */
                struct device *d = blk_device(blk);
                d->ops->drain(d);
                queue_stop(&d->queues[0]);
                d->ops->stop(d);
                start_ring(0);
                assert_int_equal(ask(BLK_T_OUT, 0, bytes, 512), BLK_S_OK);
                struct blk_range zero = {.sector = 1, .sectors = 100};
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, &zero, sizeof(zero)), BLK_S_OK);
                finish();
        }
}

static void requests_may_be_cut_anywhere(void **state)
{
        (void)state;
        begin(BLK_ENGINE_AUTO);
        for (unsigned cut = 1; cut < 16; cut++) {
                uint8_t text[1024];
                memset(text, (int)cut, sizeof(text));
                put_header(BLK_T_OUT, 4);
                memcpy(guest_at(&guest, header_at + 16), text, sizeof(text));
                /* header and data in three pieces that care for neither, some of no length */
                driver_set_desc(&ring, 0, header_at, cut, DESC_NEXT, 1);
                driver_set_desc(&ring, 1, header_at, 0, DESC_NEXT, 2);
                driver_set_desc(&ring, 2, header_at + cut, 16, DESC_NEXT, 3);
                driver_set_desc(&ring, 3, header_at + cut + 16, 1024 - cut, DESC_NEXT, 4);
                driver_set_desc(&ring, 4, status_at, 1, DESC_WRITE, 0);
                driver_announce(&ring, 0);
                kick();
                assert_int_equal(wait_used(), 1);
                assert_int_equal(*(uint8_t *)guest_at(&guest, status_at), BLK_S_OK);
                /* back, with the status in the same descriptor as the data's end */
                put_header(BLK_T_IN, 4);
                memset(guest_at(&guest, data_at), 0, 2048);
                driver_set_desc(&ring, 0, header_at, cut, DESC_NEXT, 1);
                driver_set_desc(&ring, 1, header_at + cut, 16 - cut, DESC_NEXT, 2);
                driver_set_desc(&ring, 2, data_at, cut, DESC_NEXT | DESC_WRITE, 3);
                driver_set_desc(&ring, 3, data_at + cut, 1025 - cut, DESC_WRITE, 0);
                driver_announce(&ring, 0);
                kick();
                assert_int_equal(wait_used(), 1025);
                assert_memory_equal(guest_at(&guest, data_at), text, sizeof(text));
                assert_int_equal(*(uint8_t *)guest_at(&guest, data_at + 1024), BLK_S_OK);
        }
        finish();
}

static void what_is_not_on_the_disk_is_an_error(void **state)
{
        (void)state;
        static const struct {
                uint32_t type;
                uint64_t sector;
                uint32_t size;
                unsigned status;
        } table[] = {
            {BLK_T_IN, 0, 511, BLK_S_IOERR},
            {BLK_T_OUT, 0, 513, BLK_S_IOERR},
            {BLK_T_IN, DISK_SIZE / 512, 512, BLK_S_IOERR},
            {BLK_T_IN, DISK_SIZE / 512 - 1, 1024, BLK_S_IOERR},
            {BLK_T_OUT, DISK_SIZE / 512 - 1, 1024, BLK_S_IOERR},
            {BLK_T_IN, UINT64_MAX, 512, BLK_S_IOERR},
            {BLK_T_IN, UINT64_MAX / 512, 512, BLK_S_IOERR},
            {BLK_T_OUT, UINT64_C(1) << 55, 512, BLK_S_IOERR},
            {2, 0, 512, BLK_S_UNSUPP},
            {0xffffffff, 0, 0, BLK_S_UNSUPP},
            {BLK_T_DISCARD, 0, 0, BLK_S_IOERR},
            {BLK_T_DISCARD, 0, 15, BLK_S_IOERR},
            {BLK_T_WRITE_ZEROES, 0, 17 * 16, BLK_S_IOERR},
        };
        begin(BLK_ENGINE_AUTO);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                if (ask(table[i].type, table[i].sector, NULL, table[i].size) != table[i].status)
                        fail_msg("row %zu: status %d", i, *(uint8_t *)guest_at(&guest, status_at));
        }
        static const struct blk_range wrong[] = {
            {DISK_SIZE / 512, 1, 0},
            {DISK_SIZE / 512 - 1, 2, 0},
            {UINT64_MAX, 1, 0},
            {0, UINT32_MAX, 0},
            {0, 1, 2},
            {0, 1, 0x80000000},
            {UINT64_C(1) << 55, 1, 0},
        };
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                unsigned expected = wrong[i].flags != 0 ? BLK_S_UNSUPP : BLK_S_IOERR;
                assert_int_equal(ask(BLK_T_DISCARD, 0, &wrong[i], 16), expected);
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, &wrong[i], 16), expected);
        }
        struct blk_range unmap = {0, 1, BLK_RANGE_UNMAP}; /* which a DISCARD does not have */
        assert_int_equal(ask(BLK_T_DISCARD, 0, &unmap, 16), BLK_S_UNSUPP);
        assert_int_equal(ask(BLK_T_IN, 0, NULL, 512), BLK_S_OK);
        assert_int_equal(*(uint8_t *)guest_at(&guest, data_at), 1);
        finish();
}

static void a_disk_tells_its_name(void **state)
{
        (void)state;
        begin(BLK_ENGINE_AUTO);
        assert_int_equal(ask(BLK_T_GET_ID, 0, NULL, 20), BLK_S_OK);
        assert_memory_equal(guest_at(&guest, data_at), "disk-0123456789abcde", 20);
        memset(guest_at(&guest, data_at), 0, 64);
        assert_int_equal(ask(BLK_T_GET_ID, 0, NULL, 3), BLK_S_OK);
        assert_memory_equal(guest_at(&guest, data_at), "dis\0", 4);
        assert_int_equal(ask(BLK_T_GET_ID, 0, NULL, 64), BLK_S_OK);
        assert_memory_equal(guest_at(&guest, data_at), "disk-0123456789abcde\0\0", 22);
        assert_int_equal(ask(BLK_T_GET_ID, 0, NULL, 0), BLK_S_OK);
        finish();
}

static bool is_all(off_t offset, size_t size, uint8_t value)
{
        static uint8_t bytes[65536];
        assert_true(size <= sizeof(bytes));
        assert_int_equal(pread(disk, bytes, size, offset), size);
        for (size_t i = 0; i < size; i++) {
                if (bytes[i] != value)
                        return false;
        }
        return true;
}

static void ranges_are_discarded_and_zeroed(void **state)
{
        (void)state;
        struct stat before, after;
        FOR_EACH_ENGINE(e)
        {
                begin(*e);
                assert_int_equal(fstat(disk, &before), 0);
                struct blk_range two[] = {{8, 8, 0}, {0, 0, 0}, {24, 8, 0}};
                assert_int_equal(ask(BLK_T_DISCARD, 0, two, sizeof(two)), BLK_S_OK);
                assert_int_equal(fstat(disk, &after), 0);
                assert_int_equal(after.st_size, before.st_size);
                assert_int_equal(after.st_blocks, before.st_blocks - 16);
                assert_true(is_all(0, 4096, 1) && is_all(4096, 4096, 0) && is_all(8192, 4096, 3));
                /* with unmap: a hole; without: a memfd knows no FALLOC_FL_ZERO_RANGE, so zeroes are written
                 */
                struct blk_range hole[] = {{32, 8, BLK_RANGE_UNMAP}};
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, hole, sizeof(hole)), BLK_S_OK);
                assert_int_equal(fstat(disk, &before), 0);
                assert_int_equal(after.st_blocks, before.st_blocks + 8);
                struct blk_range odd[] = {{41, 3, 0}, {49, 100, 0}};
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, odd, sizeof(odd)), BLK_S_OK);
                assert_int_equal(fstat(disk, &after), 0);
                assert_int_equal(after.st_blocks, before.st_blocks);
                assert_true(is_all(41 * 512, 3 * 512, 0) && is_all(40 * 512, 512, 6) &&
                            is_all(44 * 512, 512, 6) && is_all(49 * 512, 51200, 0) &&
                            is_all(149 * 512, 512, 19));
                finish();
        }
}

static void what_the_host_refuses_is_an_error(void **state)
{
        (void)state;
        FOR_EACH_ENGINE(e)
        {
                int fd = new_disk();
                begin_on(fd, *e == BLK_ENGINE_URING && !have_uring() ? BLK_ENGINE_THREADS : *e, 0);
                /* punching is refused from here on, with EPERM: an error for zeroing as for discarding */
                assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
                struct blk_range one = {8, 8, 0};
                assert_int_equal(ask(BLK_T_DISCARD, 0, &one, sizeof(one)), BLK_S_IOERR);
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, &one, sizeof(one)), BLK_S_IOERR);
                assert_int_equal(ask(BLK_T_OUT, 0, NULL, 512), BLK_S_IOERR);
                assert_true(is_all(4096, 4096, 2));
                finish();
        }
}

static void a_disk_to_read_is_not_written(void **state)
{
        (void)state;
        char path[64];
        struct blk_range one = {8, 8, BLK_RANGE_UNMAP};
        FOR_EACH_ENGINE(e)
        {
                cleanup_fd int fd = new_disk();
                (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                options.readonly = true;
                begin_on(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                         *e == BLK_ENGINE_URING && !have_uring() ? BLK_ENGINE_THREADS : *e, 0);
                assert_int_equal(blk_device(blk)->features & (BLK_F_RO | BLK_F_DISCARD | BLK_F_WRITE_ZEROES),
                                 BLK_F_RO);
                assert_int_equal(fcntl(disk, F_GETFL) & O_NONBLOCK, 0);
                assert_int_equal(ask(BLK_T_OUT, 0, NULL, 512), BLK_S_IOERR);
                assert_int_equal(ask(BLK_T_DISCARD, 0, &one, sizeof(one)), BLK_S_UNSUPP);
                assert_int_equal(ask(BLK_T_WRITE_ZEROES, 0, &one, sizeof(one)), BLK_S_UNSUPP);
                assert_int_equal(ask(BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
                assert_int_equal(ask(BLK_T_IN, 0, NULL, 4096), BLK_S_OK);
                assert_true(is_all(0, 4096, 1) && is_all(4096, 4096, 2));
                finish();
        }
}

/* Many at once, more than there are slots, each to a place of its own and with a status of its own. */
static void put_many(unsigned count, uint32_t type)
{
        for (unsigned i = 0; i < count; i++) {
                uint64_t header = header_at;
                header_at = data_at + (1 << 20) + 16ULL * i;
                put_request(type, 8ULL * i, data_at + 4096ULL * i, 4096, status_at + i);
                header_at = header;
        }
        memset(guest_at(&guest, status_at), 0xaa, 256);
}

static void many_requests_are_under_way_at_once(void **state)
{
        (void)state;
        const unsigned count = RING / 3;
        FOR_EACH_ENGINE(e)
        {
                begin(*e);
                put_many(count, BLK_T_IN);
                kick();
                for (unsigned i = 0; i < count; i++)
                        assert_int_equal(wait_used(), 4097);
                for (unsigned i = 0; i < count; i++) {
                        assert_int_equal(((uint8_t *)guest_at(&guest, status_at))[i], BLK_S_OK);
                        assert_int_equal(*(uint8_t *)guest_at(&guest, data_at + 4096ULL * i),
                                         (uint8_t)(i + 1));
                }
                /* the driver is asked for a kick again */
                assert_int_equal(driver_avail_event(&ring), ring.available_idx);
                finish();
        }
}

static void nothing_touches_memory_after_a_drain(void **state)
{
        (void)state;
        const unsigned count = RING / 3;
        FOR_EACH_ENGINE(e)
        {
                begin(*e);
                struct device *d = blk_device(blk);
                for (unsigned round = 0; round < 20; round++) {
                        put_many(count, round % 2 == 0 ? BLK_T_IN : BLK_T_OUT);
                        kick();
                        d->ops->drain(d);
                        /* what was taken is given back, and announced */
                        assert_int_equal(driver_used_idx(&ring), d->queues[0].next_available);
                        assert_int_equal(d->queues[0].published, d->queues[0].next_used);
                        queue_stop(&d->queues[0]);
                        d->ops->stop(d);
                        memset(guest.bytes, 0x55, guest.size);
                        for (unsigned i = 0; i < 10; i++)
                                (void)loop_step(loop, 0);
                        for (size_t i = 0; i < guest.size; i++)
                                assert_int_equal(guest.bytes[i], 0x55);
                        memset(guest.bytes, 0, guest.size);
                        start_ring(BLK_F_FLUSH);
                }
                assert_int_equal(ask(BLK_T_IN, 0, NULL, 512), BLK_S_OK);
                /* freed in the middle of it */
                put_many(count, BLK_T_IN);
                kick();
                finish();
        }
}

static void a_file_that_became_shorter_is_an_error(void **state)
{
        (void)state;
        FOR_EACH_ENGINE(e)
        {
                begin(*e);
                assert_int_equal(ftruncate(disk, 4096 + 512), 0);
                assert_int_equal(ask(BLK_T_IN, 8, NULL, 512), BLK_S_OK);
                assert_int_equal(ask(BLK_T_IN, 8, NULL, 1024), BLK_S_IOERR); /* half of it is there */
                assert_int_equal(ask(BLK_T_IN, 64, NULL, 512), BLK_S_IOERR);
                finish();
        }
}

static bool write_text(const char *path, const char *text)
{
        cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A mount namespace of the case's own, where files can be made. */
static bool enter_namespace(void)
{
        char users[32], groups[32];
        bool root = geteuid() == 0;
        (void)snprintf(users, sizeof(users), "0 %d 1", (int)geteuid());
        (void)snprintf(groups, sizeof(groups), "0 %d 1", (int)getegid());
        if (unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) < 0)
                return false;
        if (!root &&
            !(write_text("/proc/self/uid_map", users) && write_text("/proc/self/setgroups", "deny") &&
              write_text("/proc/self/gid_map", groups)))
                return false;
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void a_full_host_is_an_error_to_the_guest(void **state)
{
        (void)state;
        static uint8_t bytes[65536];
        int dir_fd;
        const char *folder = unit_folder(&dir_fd);
        if (!enter_namespace() || mount("none", folder, "tmpfs", 0, "size=64k") < 0)
                unit_skip("no mount namespace of its own");
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/disk", folder);
        FOR_EACH_ENGINE(e)
        {
                int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
                begin_on(fd, *e == BLK_ENGINE_URING && !have_uring() ? BLK_ENGINE_THREADS : *e, 0);
                memset(bytes, 'x', sizeof(bytes));
                assert_int_equal(ask(BLK_T_OUT, 0, bytes, 32768), BLK_S_OK);
                assert_int_equal(ask(BLK_T_OUT, 64, bytes, 65536), BLK_S_IOERR);
                assert_int_equal(ask(BLK_T_OUT, 512, bytes, 65536), BLK_S_IOERR);
                assert_int_equal(ask(BLK_T_IN, 0, NULL, 512), BLK_S_OK);
                /* with room again, it goes on */
                struct blk_range all = {0, 1024, 0};
                assert_int_equal(ask(BLK_T_DISCARD, 0, &all, sizeof(all)), BLK_S_OK);
                assert_int_equal(ask(BLK_T_OUT, 64, bytes, 32768), BLK_S_OK);
                finish();
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(umount2(folder, MNT_DETACH), 0);
}

static void chains_without_header_or_status_break_the_queue(void **state)
{
        (void)state;
        begin(BLK_ENGINE_AUTO);
        driver_add(&ring, header_at, 15, status_at, 1);
        kick();
        assert_string_equal(ring.why, "request shorter than its header");
        struct device *d = blk_device(blk);
        d->ops->drain(d);
        start_ring(BLK_F_FLUSH);
        put_header(BLK_T_FLUSH, 0);
        driver_add(&ring, header_at, 16, 0, 0);
        kick();
        assert_string_equal(ring.why, "request without room for its status");
        assert_int_equal(driver_used_idx(&ring), 0);
        start_ring(BLK_F_FLUSH);
        ring.broken = 0;
        assert_int_equal(ask(BLK_T_IN, 0, NULL, 512), BLK_S_OK);
        finish();
}

static void the_configuration_says_what_can_be_done(void **state)
{
        (void)state;
        struct blk_config c;
        uint8_t beyond[8];
        begin(BLK_ENGINE_AUTO);
        struct device *d = blk_device(blk);
        d->ops->config_read(d, 0, &c, sizeof(c));
        assert_int_equal(c.capacity, DISK_SIZE / 512);
        assert_int_equal(c.blk_size, 512);
        assert_true(c.seg_max > 0 && c.seg_max + 2 <= 128);
        assert_true(c.max_discard_sectors > 0 && c.max_write_zeroes_sectors > 0);
        d->ops->config_read(d, 56, beyond, sizeof(beyond));
        assert_memory_equal(beyond, "\1\0\0\0\0\0\0\0", 8);
        d->ops->config_read(d, UINT32_MAX, beyond, sizeof(beyond));
        assert_memory_equal(beyond, "\0\0\0\0\0\0\0\0", 8);
        finish();
}

static void unusable_disks_are_refused(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        int pair[2];
        assert_int_equal(loop_new(&loop), 0);
        options.fd = memfd_create("empty", MFD_CLOEXEC);
        assert_int_equal(blk_new(loop, &options, &blk, &err), -EINVAL);
        assert_string_equal(err.text, "the disk has 0 bytes, which is no sector");
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        (void)close(options.fd);
        options.fd = pair[0];
        assert_int_equal(blk_new(loop, &options, &blk, &err), -EINVAL);
        (void)close(pair[0]);
        (void)close(pair[1]);
        assert_int_equal(blk_new(loop, &options, &blk, &err), -EBADF);
        loop_free(loop);
}

static void without_io_uring_threads_do_it(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        if (have_uring()) {
                begin(BLK_ENGINE_AUTO);
                assert_string_equal(blk_engine_name(blk), "io_uring");
                finish();
        }
        unit_refuse(SCMP_SYS(io_uring_setup), EPERM);
        begin(BLK_ENGINE_AUTO);
        assert_string_equal(blk_engine_name(blk), "threads");
        assert_int_equal(ask(BLK_T_IN, 8, NULL, 512), BLK_S_OK);
        assert_int_equal(*(uint8_t *)guest_at(&guest, data_at), 2);
        options.fd = disk;
        options.engine = BLK_ENGINE_URING;
        struct blk *other;
        assert_int_equal(blk_new(loop, &options, &other, &err), -EPERM);
        finish();
}

static int count_threads(void *data)
{
        __atomic_fetch_add((unsigned *)data, 1, __ATOMIC_SEQ_CST);
        return 0;
}
static int refuse_threads(void *data)
{
        (void)count_threads(data);
        return -EACCES;
}

static void each_thread_is_told_to_begin(void **state)
{
        (void)state;
        unsigned count = 0;
        struct error err = ERROR_INIT;
        options.thread_begins = count_threads;
        options.data = &count;
        begin(BLK_ENGINE_THREADS);
        assert_int_equal(count, 4);
        options.thread_begins = refuse_threads;
        struct blk *other;
        assert_int_equal(blk_new(loop, &options, &other, &err), -EACCES);
        assert_int_equal(count, 8);
        finish();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(data_is_read_and_written),
    cmocka_unit_test(requests_may_be_cut_anywhere),
    cmocka_unit_test(what_is_not_on_the_disk_is_an_error),
    cmocka_unit_test(a_disk_tells_its_name),
    cmocka_unit_test(ranges_are_discarded_and_zeroed),
    cmocka_unit_test(what_the_host_refuses_is_an_error),
    cmocka_unit_test(a_disk_to_read_is_not_written),
    cmocka_unit_test(many_requests_are_under_way_at_once),
    cmocka_unit_test(nothing_touches_memory_after_a_drain),
    cmocka_unit_test(a_file_that_became_shorter_is_an_error),
    cmocka_unit_test(a_full_host_is_an_error_to_the_guest),
    cmocka_unit_test(chains_without_header_or_status_break_the_queue),
    cmocka_unit_test(the_configuration_says_what_can_be_done),
    cmocka_unit_test(unusable_disks_are_refused),
    cmocka_unit_test(without_io_uring_threads_do_it),
    cmocka_unit_test(each_thread_is_told_to_begin),
};

UNIT_TEST_MAIN(cases)
