/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports are accessed in vCPU threads, which must not wait for a file: what the serial port says goes into a
 * ring, and the loop's thread writes it out. A guest that speaks faster than that loses bytes, and is told so
 * in the log.
 *
 * Threads: serial port and ring are the lock's. Counters are atomic, and only told to people.
 *
 * system calls (loop, vcpu): read write
 */
#include "vmm/kvm/ports.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/serial.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define RING_SIZE   (64U << 10)
#define COUNTED_MAX 0x400U
#define RESET_PULSE 0xfe

struct speaker {
        const struct ports_options *options;
        pthread_mutex_t lock;
        struct serial serial;
        int wake_fd;
        struct source *wake;
        struct tail tail;
        uint64_t written; /* into the ring, and out of it */
        uint64_t taken;
        uint64_t lost;
        char ring[RING_SIZE];
};

struct ports {
        struct ports_options options;
        uint32_t exit_code;
        uint32_t counts[COUNTED_MAX];
        struct speaker *speaker; /* NULL: no serial port */
};

/* ---- the serial port ---- */

static void on_output(void *data, uint8_t byte)
{
        struct speaker *s = data;
        uint64_t one = 1;
        if (s->written - s->taken == RING_SIZE) {
                s->lost++;
                return;
        }
        s->ring[s->written++ % RING_SIZE] = (char)byte;
        if (byte == '\n' || s->written - s->taken == RING_SIZE / 2)
                (void)!write(s->wake_fd, &one, sizeof(one)); /* full: it is awake anyway */
}

static void on_interrupt(void *data)
{
        const struct speaker *s = data;
        s->options->serial_irq(s->options->data);
}

static void write_out(struct speaker *s)
{
        char bytes[1024];
        for (;;) {
                size_t n = 0;
                (void)pthread_mutex_lock(&s->lock); /* a plain mutex: cannot fail, here and below */
                while (n < sizeof(bytes) && s->taken < s->written)
                        bytes[n++] = s->ring[s->taken++ % RING_SIZE];
                (void)pthread_mutex_unlock(&s->lock);
                if (n == 0)
                        return;
                tail_add(&s->tail, bytes, n);
        }
}

static void on_wake(struct source *source, int fd, uint32_t events, void *data)
{
        uint64_t count;
        (void)!read(fd, &count, sizeof(count)); /* empty: nothing to write out then */
        write_out(data);
}

static void speaker_free(struct speaker *s)
{
        if (s == NULL)
                return;
        source_free(s->wake);
        close_fd(&s->wake_fd);
        (void)pthread_mutex_destroy(&s->lock); /* nobody holds it */
        free(s);
}

static int speaker_new(struct loop *loop, const struct ports_options *o, struct speaker **ret_speaker)
{
        struct speaker *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return -ENOMEM;
        s->options = o;
        s->serial = (struct serial){.output = on_output, .interrupt = on_interrupt, .data = s};
        tail_init(&s->tail, o->serial_fd, o->serial_limit);
        (void)pthread_mutex_init(&s->lock, NULL); /* a plain one: cannot fail on Linux */
        s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = s->wake_fd < 0 ? -errno : loop_add_io(loop, s->wake_fd, EPOLLIN, on_wake, s, &s->wake);
        if (r < 0) {
                speaker_free(s);
                return r;
        }
        *ret_speaker = s;
        return 0;
}

/* ---- all ports ---- */

static void access_serial(struct ports *p, bool write, unsigned port, uint8_t *byte)
{
        struct speaker *s = p->speaker;
        (void)pthread_mutex_lock(&s->lock);
        if (write)
                serial_write(&s->serial, port, *byte);
        else
                *byte = serial_read(&s->serial, port);
        (void)pthread_mutex_unlock(&s->lock);
}

static void count_access(struct ports *p, uint16_t port)
{
        (void)__atomic_fetch_add(&p->counts[port % COUNTED_MAX], 1, __ATOMIC_RELAXED);
}

bool ports_access(struct ports *p, bool write, uint16_t port, void *bytes, size_t size,
                  enum vcpu_end *ret_end)
{
        uint8_t *byte = bytes;
        bool serial = port >= LAYOUT_PORT_SERIAL && port < LAYOUT_PORT_SERIAL + SERIAL_PORTS;
        count_access(p, port);
        if (!write)
                memset(bytes, 0xff, size);
        if (size != 1)
                return false;
        if (p->speaker != NULL && serial) {
                access_serial(p, write, port - LAYOUT_PORT_SERIAL, byte);
        } else if (!write && port == LAYOUT_PORT_I8042_STATUS) {
                *byte = 0; /* its buffers are empty: it takes a command */
        } else if (write && port == LAYOUT_PORT_I8042_STATUS && *byte == RESET_PULSE) {
                *ret_end = VCPU_RESET;
                return true;
        } else if (write && port == LAYOUT_PORT_EXIT) {
                __atomic_store_n(&p->exit_code, *byte, __ATOMIC_SEQ_CST);
                *ret_end = VCPU_SHUTDOWN;
                return true;
        } else if (write && port == LAYOUT_PORT_BOOT_TIMER) {
                p->options.timer(p->options.data, *byte);
        }
        return false;
}

uint8_t ports_exit_code(const struct ports *p)
{
        return (uint8_t)__atomic_load_n(&p->exit_code, __ATOMIC_SEQ_CST);
}

void ports_end(struct ports *p)
{
        if (p->speaker == NULL)
                return;
        write_out(p->speaker);
        tail_end(&p->speaker->tail);
        if (p->speaker->lost > 0)
                log_warning("the serial port lost %" PRIu64 " bytes", p->speaker->lost);
}

void ports_count(const struct ports *p, void (*fn)(void *data, uint16_t port, uint32_t count), void *data)
{
        for (uint16_t i = 0; i < COUNTED_MAX; i++) {
                uint32_t n = __atomic_load_n(&p->counts[i], __ATOMIC_RELAXED);
                if (n > 0)
                        fn(data, i, n);
        }
}

int ports_new(struct loop *loop, const struct ports_options *options, struct ports **ret_ports)
{
        struct ports *p = calloc(1, sizeof(*p));
        if (p == NULL)
                return -ENOMEM;
        p->options = *options;
        int r = options->serial_fd < 0 ? 0 : speaker_new(loop, &p->options, &p->speaker);
        if (r < 0) {
                ports_free(p);
                return r;
        }
        *ret_ports = p;
        return 0;
}

void ports_free(struct ports *p)
{
        if (p == NULL)
                return;
        speaker_free(p->speaker);
        free(p);
}
