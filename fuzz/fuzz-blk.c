/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device and a hostile driver. Input: a byte that chooses the engine (bit 0) and a disk that is
 * only read (bit 1), then steps, see device-world.h; more of them:
 *
 *     7 255 _  a request as a driver makes it: type, sector (u16), bits (1 far beyond the disk, 2 the header
 *              in two pieces), length; for ranges: sector, sectors, flags
 */
#include "device-world.h"

#include "vmm/virtio/blk.h"
#include "vmm/virtio/blk_format.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DISK_SIZE (64U << 10)

/* Made once: a ring or threads for each input would take most of the time. */
static struct {
        struct blk *blk;
        int fd;
} disks[4];
static struct loop *loop;

static uint64_t features(uint8_t choice)
{
        return choice & 1 ? ~UINT64_C(0) : ~BLK_F_FLUSH;
}

static void post_request(struct world *w, struct input *in)
{
        static const uint8_t types[] = {BLK_T_IN,      BLK_T_OUT,          BLK_T_FLUSH, BLK_T_GET_ID,
                                        BLK_T_DISCARD, BLK_T_WRITE_ZEROES, 2,           255};
        struct driver_ring *r = &w->rings[0];
        struct blk_header h = {.type = types[next_byte(in) % 8], .sector = next_byte(in)};
        h.sector |= (uint64_t)(next_byte(in) & 1) << 8;
        uint8_t bits = next_byte(in);
        uint32_t length = next_length(in), head = r->next_desc, i = head;
        if (bits & 1)
                h.sector = ~h.sector << (bits >> 4);
        struct blk_range range = {.sector = next_byte(in),
                                  .sectors = next_byte(in),
                                  .flags = next_byte(in) % 4};
        uint64_t at = w->place + 4096ULL * (i % WORLD_RING);
        uint16_t data_flags =
            h.type == BLK_T_IN || h.type == BLK_T_GET_ID ? DESC_WRITE | DESC_NEXT : DESC_NEXT;
        memcpy(guest_at(&w->guest, at), &h, sizeof(h));
        memcpy(guest_at(&w->guest, at + 16), &range, sizeof(range));
        if (bits & 2) {
                driver_set_desc(r, i, at, 7, DESC_NEXT, (uint16_t)((i + 1) % WORLD_RING));
                i = (i + 1) % WORLD_RING;
                driver_set_desc(r, i, at + 7, 9, DESC_NEXT, (uint16_t)((i + 1) % WORLD_RING));
        } else {
                driver_set_desc(r, i, at, 16, DESC_NEXT, (uint16_t)((i + 1) % WORLD_RING));
        }
        i = (i + 1) % WORLD_RING;
        driver_set_desc(r, i, at + 16, length, data_flags, (uint16_t)((i + 1) % WORLD_RING));
        i = (i + 1) % WORLD_RING;
        driver_set_desc(r, i, w->place + (WORLD_MEMORY / 2) - 64 + i, 1, DESC_WRITE, 0);
        r->next_desc = (uint16_t)((i + 1) % WORLD_RING);
        driver_announce(r, (uint16_t)head);
}

static void make_disks(void)
{
        if (loop != NULL)
                return;
        if (loop_new(&loop) < 0)
                abort();
        for (unsigned i = 0; i < 4; i++) {
                int fd = memfd_create("fuzz", MFD_CLOEXEC);
                struct blk_options o = {.fd = fd,
                                        .readonly = (i & 2) != 0,
                                        .id = "fuzz",
                                        .engine = i & 1 ? BLK_ENGINE_THREADS : BLK_ENGINE_AUTO};
                if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0 || blk_new(loop, &o, &disks[i].blk, NULL) < 0)
                        abort();
                disks[i].fd = fd;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct input in = {data, size};
        static struct world w;
        struct stat st;
        make_disks();
        world_init(&w);
        unsigned which = next_byte(&in) % 4;
        w.device = blk_device(disks[which].blk);
        w.loop = loop;
        w.features = features;
        w.step_more = post_request;
        world_run(&w, &in);
        if (fstat(disks[which].fd, &st) < 0 || st.st_size != DISK_SIZE)
                abort();
        if ((which & 2) && st.st_blocks != 0)
                abort(); /* it was only to be read */
        guest_done(&w.guest);
        return 0;
}
