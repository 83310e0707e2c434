/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device: requests through a queue, threads, and what happens when the guest goes away
 * meanwhile. */
#include "harness.h"
#include "virtio-driver.h"

#include "vmm/virtio/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING 64

static struct guest guest;
static struct driver_ring rings[VIRTIO_FS_QUEUES];
static struct loop *loop;
static struct virtio_fs *fs;
static int proc_fd, share_fd, folder;

static struct queue *queue_of(unsigned i)
{
        return &virtio_fs_device(fs)->queues[i];
}

static void start_rings(void)
{
        virtio_fs_device(fs)->ops->kick(virtio_fs_device(fs), 0); /* before they run: nothing happens */
        for (unsigned i = 0; i < VIRTIO_FS_QUEUES; i++)
                assert_int_equal(driver_start(&rings[i], queue_of(i), 0, VIRTIO_F_INDIRECT_DESC), 0);
}

static void begin(void)
{
        struct error err = ERROR_INIT;
        (void)unit_folder(&folder);
        int fd = openat(folder, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(write(fd, "contents", 8), 8);
        (void)close(fd);
        share_fd = openat(folder, ".", O_PATH | O_CLOEXEC);
        proc_fd = open("/proc/self/fd", O_PATH | O_CLOEXEC);
        struct fs_share share = {.fd = share_fd, .cache = FS_CACHE_NONE};
        struct virtio_fs_options options = {.fs = {.shares = &share,
                                                   .share_count = 1,
                                                   .descriptor_max = 128,
                                                   .proc_fd = proc_fd,
                                                   .owners = FS_OWNERS_MAPPED}};
        guest_init(&guest, 8 << 20);
        for (unsigned i = 0; i < VIRTIO_FS_QUEUES; i++)
                driver_ring_init(&rings[i], &guest, RING);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(virtio_fs_new(loop, &options, &fs, &err), 0);
        start_rings();
}

static void end(void)
{
        virtio_fs_free(fs);
        loop_free(loop);
        guest_done(&guest);
        (void)close(share_fd);
        (void)close(proc_fd);
}

struct asked {
        uint64_t in;
        uint32_t room;
};

/* Puts a request into a ring; the answer comes later, at the place returned. */
static struct asked ask(unsigned ring, uint32_t opcode, uint64_t node, const void *body, size_t size,
                        uint32_t room)
{
        struct fuse_in_header head = {.len = (uint32_t)(sizeof(head) + size),
                                      .opcode = opcode,
                                      .nodeid = node,
                                      .unique = 77};
        uint64_t out = guest_alloc(&guest, sizeof(head) + size, 8);
        struct asked a = {.in = guest_alloc(&guest, room + 1, 8), .room = room};
        memcpy(guest_at(&guest, out), &head, sizeof(head));
        if (size > 0)
                memcpy((uint8_t *)guest_at(&guest, out) + sizeof(head), body, size);
        (void)driver_add(&rings[ring], out, head.len, a.in, room);
        return a;
}

static void kick(unsigned ring)
{
        virtio_fs_device(fs)->ops->kick(virtio_fs_device(fs), ring);
}

/* Runs the loop until so many have been given back. */
static void await_used(unsigned ring, unsigned count)
{
        uint32_t id, length;
        while (count > 0) {
                while (count > 0 && driver_take_used(&rings[ring], &id, &length))
                        count--;
                if (count > 0)
                        assert_true(loop_step(loop, -1) >= 0);
        }
}

static const struct fuse_out_header *answer(struct asked a)
{
        return guest_at(&guest, a.in);
}

static void init(void)
{
        struct fuse_init_in in = {.major = 7, .minor = 36, .flags = ~0U};
        struct asked a = ask(1, FUSE_INIT, 0, &in, sizeof(in), 200);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, 0);
        assert_int_equal(answer(a)->unique, 77);
        assert_int_equal(answer(a)->len, sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out));
}

static uint64_t lookup(uint64_t dir, const char *name)
{
        struct asked a = ask(1, FUSE_LOOKUP, dir, name, strlen(name) + 1, 200);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, 0);
        return ((const struct fuse_entry_out *)(const void *)(answer(a) + 1))->nodeid;
}

static void requests_are_answered(void **state)
{
        (void)state;
        begin();
        init();
        uint64_t file = lookup(lookup(FUSE_ROOT_ID, "0"), "file");
        struct fuse_forget_in forget = {.nlookup = 1};
        (void)ask(0, FUSE_FORGET, file, &forget, sizeof(forget), 0);
        kick(0);
        await_used(0, 1);
        struct fuse_getattr_in in = {0};
        struct asked a = ask(1, FUSE_GETATTR, file, &in, sizeof(in), 200);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, -ESTALE); /* it was forgotten */
        char space[64];
        virtio_fs_device(fs)->ops->config_read(virtio_fs_device(fs), 0, space, sizeof(space));
        assert_string_equal(space, VIRTIO_FS_TAG);
        assert_int_equal(space[36], 1);
        end();
}

/* More requests than there are jobs, again and again: all are answered. */
static void a_full_ring_is_worked_off(void **state)
{
        (void)state;
        begin();
        init();
        uint64_t root = lookup(FUSE_ROOT_ID, "0");
        for (unsigned round = 0; round < 20; round++) {
                struct asked asked[RING / 2];
                size_t used = guest.used;
                for (unsigned i = 0; i < RING / 2; i++)
                        asked[i] = ask(1, FUSE_LOOKUP, root, i % 2 ? "file" : "none", 5, 200);
                kick(1);
                await_used(1, RING / 2);
                for (unsigned i = 0; i < RING / 2; i++)
                        assert_int_equal(answer(asked[i])->error, i % 2 ? 0 : -ENOENT);
                guest.used = used;
        }
        end();
}

static void drain_gives_everything_back(void **state)
{
        (void)state;
        begin();
        init();
        uint64_t root = lookup(FUSE_ROOT_ID, "0");
        for (unsigned i = 0; i < RING / 2; i++)
                (void)ask(1, FUSE_LOOKUP, root, "file", 5, 200);
        uint16_t before = driver_used_idx(&rings[1]);
        kick(1);
        virtio_fs_device(fs)->ops->drain(virtio_fs_device(fs));
        uint16_t given = (uint16_t)(driver_used_idx(&rings[1]) - before);
        assert_int_equal(given, (uint16_t)(queue_of(1)->next_available - before)); /* all that was taken */
        assert_true(given > 0);
        /* the driver is gone, and comes again: nothing of the last one is known */
        for (unsigned i = 0; i < VIRTIO_FS_QUEUES; i++)
                queue_stop(queue_of(i));
        virtio_fs_device(fs)->ops->stop(virtio_fs_device(fs));
        start_rings();
        struct asked a = ask(1, FUSE_LOOKUP, FUSE_ROOT_ID, "0", 2, 200);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, -EPROTO);
        init();
        assert_int_equal(lookup(FUSE_ROOT_ID, "0"), root); /* shares keep theirs */
        end();
}

static uint64_t open_file(uint64_t file)
{
        struct fuse_open_in in = {.flags = O_RDWR};
        struct asked a = ask(1, FUSE_OPEN, file, &in, sizeof(in), 200);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, 0);
        return ((const struct fuse_open_out *)(const void *)(answer(a) + 1))->fh;
}

static struct asked lock_file(uint64_t file, uint64_t fh, uint64_t owner, uint32_t opcode, uint32_t type)
{
        struct fuse_lk_in in = {.fh = fh, .owner = owner, .lk = {.end = INT64_MAX, .type = type}};
        return ask(1, opcode, file, &in, sizeof(in), 200);
}

static void who_waits_for_a_lock_holds_nobody_up(void **state)
{
        (void)state;
        begin();
        init();
        uint64_t root = lookup(FUSE_ROOT_ID, "0"), file = lookup(root, "file"), fh = open_file(file);
        struct asked held = lock_file(file, fh, 1, FUSE_SETLK, F_WRLCK);
        kick(1);
        await_used(1, 1);
        assert_int_equal(answer(held)->error, 0);
        struct asked waiting[3];
        for (unsigned i = 0; i < 3; i++)
                waiting[i] = lock_file(file, fh, 10 + i, FUSE_SETLKW, F_RDLCK);
        kick(1);
        for (unsigned i = 0; i < 20; i++)
                (void)lookup(root, "file");
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(answer(waiting[i])->len, 0); /* still without an answer */
        (void)lock_file(file, fh, 1, FUSE_SETLK, F_UNLCK);
        kick(1);
        await_used(1, 4);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(answer(waiting[i])->error, 0);
        /* a process of the host has it, and lets go */
        int fd = openat(folder, "file", O_RDWR | O_CLOEXEC);
        struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
        for (unsigned i = 0; i < 3; i++)
                (void)lock_file(file, fh, 10 + i, FUSE_SETLK, F_UNLCK);
        kick(1);
        await_used(1, 3);
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &mine), 0);
        struct asked a = lock_file(file, fh, 5, FUSE_SETLKW, F_WRLCK);
        kick(1);
        (void)lookup(root, "file");
        assert_int_equal(answer(a)->len, 0);
        (void)close(fd);
        await_used(1, 1);
        assert_int_equal(answer(a)->error, 0);
        /* the guest goes away: who waits is told so */
        a = lock_file(file, fh, 6, FUSE_SETLKW, F_WRLCK);
        kick(1);
        (void)lookup(root, "file");
        virtio_fs_device(fs)->ops->drain(virtio_fs_device(fs));
        assert_int_equal(answer(a)->error, -EINTR);
        end();
}

/* Chains that are no requests: without a header, without room, empty. */
static void odd_chains_are_given_back(void **state)
{
        (void)state;
        begin();
        init();
        uint64_t place = guest_alloc(&guest, 4096, 8);
        memset(guest_at(&guest, place), 0xff, 4096);
        (void)driver_add(&rings[1], place, 4096, 0, 0);
        (void)driver_add(&rings[1], 0, 0, place, 4096);
        (void)driver_add(&rings[1], place, 10, place + 100, 10);
        (void)driver_add(&rings[1], place, 40, place + 100, 15);
        (void)driver_add(&rings[0], place, 4096, place, 4096); /* reads what it writes */
        kick(1);
        kick(0);
        await_used(1, 4);
        await_used(0, 1);
        assert_int_equal(rings[1].broken + rings[0].broken, 0);
        (void)lookup(FUSE_ROOT_ID, "0");
        end();
}

static int refuse(void *data, struct error *err)
{
        return error_set(err, -EPERM, "not this thread");
}

static void a_thread_that_cannot_be_jailed_ends_the_start(void **state)
{
        (void)state;
        struct error err = ERROR_INIT;
        proc_fd = open("/proc/self/fd", O_PATH | O_CLOEXEC);
        struct virtio_fs_options options = {.fs = {.descriptor_max = 128, .proc_fd = proc_fd},
                                            .jail_thread = refuse};
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(virtio_fs_new(loop, &options, &fs, &err), -EPERM);
        assert_string_equal(err.text, "not this thread");
        loop_free(loop);
        (void)close(proc_fd);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(requests_are_answered),
    cmocka_unit_test(a_full_ring_is_worked_off),
    cmocka_unit_test(drain_gives_everything_back),
    cmocka_unit_test(who_waits_for_a_lock_holds_nobody_up),
    cmocka_unit_test(odd_chains_are_given_back),
    cmocka_unit_test(a_thread_that_cannot_be_jailed_ends_the_start),
};
UNIT_TEST_MAIN(cases)
