/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio register block. The driver brings the device up by the steps of virtio 1.2 section 3.1.1,
 * and each step is possible only after the one before it; what comes out of order changes nothing:
 *
 *     RESET      -> KNOWN      [write_status()]  ACKNOWLEDGE, then DRIVER
 *     KNOWN      -> NEGOTIATED [write_status()]  FEATURES_OK, if the features are a set that we can serve
 *     NEGOTIATED -> RUNNING    [start_queues()]  DRIVER_OK; the ready queues are started and looked at
 *     RUNNING    -> BROKEN     [needs_reset()]   a queue was misused; DEVICE_NEEDS_RESET is shown and told
 *     any        -> RESET      [stop_queues()]   the driver writes 0
 *
 * Features can be written in KNOWN only, queues be described in NEGOTIATED only, and a queue said to be ready
 * keeps its size and addresses until it is not. A status bit once set is cleared by a reset only.
 *
 * Threads: the core is the device thread's. The registers are anybody's who holds `lock`, which is never held
 * while the core is called, so a vCPU that reads a register waits for nobody. The configuration space is read
 * from a copy, taken anew when the core says that it changed.
 *
 * Invariants:
 * 1. A queue of the core is started only in RUNNING, and what it uses is a copy that the driver cannot
 * change.
 * 2. After stop_queues() nothing is started and the core has dropped what it took: the write of 0 does not
 * return before. Drivers do not look whether it happened (Linux 6.1 vm_reset()).
 * 3. interrupt_status is touched by atomic operations only: set by the device's thread after the used ring
 * was published, cleared by the driver before it looks at the ring.
 * 4. DRIVER_OK is set and cleared by the device's thread only.
 *
 * Hostile: offset, width, value and order of every access.
 */
#include "vmm/virtio/mmio.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC     0x74726976U /* "virt" */
#define VERSION   2U
#define VENDOR_ID 0x584c5842U /* "BXLX" */

#define STATUS_STEPS \
        (MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER | MMIO_STATUS_FEATURES_OK | MMIO_STATUS_DRIVER_OK)

struct ring {
        uint16_t size;
        bool ready;
        struct queue_address address;
};

struct mmio {
        struct mmio_options options;
        bool live;                 /* the core was told of a driver; the device thread's */
        bool said_wrong;           /* that the driver is wrong: once, however often it resets; likewise */
        pthread_mutex_t lock;      /* of all below but interrupt_status */
        uint32_t interrupt_status; /* invariant 3 */
        uint32_t status;
        uint32_t device_features_sel;
        uint32_t driver_features_sel;
        uint64_t driver_features;
        uint32_t queue_sel;
        uint32_t generation;
        struct ring rings[DEVICE_QUEUES_MAX];
        uint8_t config[MMIO_CONFIG_MAX];
};

static void lock(struct mmio *m)
{
        (void)pthread_mutex_lock(&m->lock); /* a plain mutex, never locked twice: cannot fail */
}

static void unlock(struct mmio *m)
{
        (void)pthread_mutex_unlock(&m->lock); /* as above */
}

static const struct device_ops *ops_of(const struct mmio *m)
{
        return m->options.device->ops;
}

static uint64_t offered(const struct mmio *m)
{
        return m->options.device->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
}

static bool is_running(const struct mmio *m)
{
        return (m->status & MMIO_STATUS_DRIVER_OK) != 0;
}

/* The queue that QueueSel names, or NULL. */
static struct ring *selected(struct mmio *m)
{
        return m->queue_sel < ops_of(m)->queue_count ? &m->rings[m->queue_sel] : NULL;
}

static void raise_interrupt(struct mmio *m, uint32_t cause)
{
        __atomic_fetch_or(&m->interrupt_status, cause, __ATOMIC_SEQ_CST);
        m->options.interrupt(m->options.data);
}

static void on_notify(struct queue *q, void *data)
{
        raise_interrupt(data, MMIO_INTERRUPT_QUEUE);
}

/* ---- the core, on the device's thread ---- */

static void needs_reset(struct mmio *m)
{
        lock(m);
        bool tell = is_running(m); /* section 2.1.2 */
        m->status |= MMIO_STATUS_NEEDS_RESET;
        unlock(m);
        if (tell)
                raise_interrupt(m, MMIO_INTERRUPT_CONFIG);
}

static void on_broken(struct queue *q, const char *why, void *data)
{
        struct mmio *m = data;
        if (!m->said_wrong)
                log_warning("guest misused queue %d of %s, which needs a reset now: %s",
                            (int)(q - m->options.device->queues), ops_of(m)->name, why);
        m->said_wrong = true;
        needs_reset(m);
}

static void copy_config(struct mmio *m)
{
        uint8_t config[MMIO_CONFIG_MAX];
        ops_of(m)->config_read(m->options.device, 0, config, sizeof(config));
        lock(m);
        memcpy(m->config, config, sizeof(config));
        unlock(m);
}

static void on_config_changed(struct device *device, void *data)
{
        struct mmio *m = data;
        copy_config(m);
        lock(m);
        m->generation++;
        bool tell = is_running(m);
        unlock(m);
        if (tell)
                raise_interrupt(m, MMIO_INTERRUPT_CONFIG);
}

static void stop_queues(struct mmio *m)
{
        struct device *d = m->options.device;
        if (!m->live)
                return;
        m->live = false;
        if (ops_of(m)->drain != NULL)
                ops_of(m)->drain(d);
        for (unsigned i = 0; i < ops_of(m)->queue_count; i++)
                queue_stop(&d->queues[i]);
        ops_of(m)->stop(d);
}

static bool start_queue(struct mmio *m, unsigned i, const struct ring *r, uint64_t features)
{
        struct queue *q = &m->options.device->queues[i];
        int status = r->ready ? queue_start(q, r->size, &r->address, 0, features) : 0;
        if (status < 0 && !m->said_wrong)
                log_warning("guest described queue %u of %s wrongly: %s", i, ops_of(m)->name,
                            strerror(-status));
        m->said_wrong = m->said_wrong || status < 0;
        return status == 0;
}

/* DRIVER_OK was written and is set; rings and features are the driver's last word. */
static void start_queues(struct mmio *m)
{
        struct device *d = m->options.device;
        struct ring rings[DEVICE_QUEUES_MAX];
        lock(m);
        uint64_t features = m->driver_features;
        memcpy(rings, m->rings, sizeof(rings));
        unlock(m);
        for (unsigned i = 0; i < ops_of(m)->queue_count; i++) {
                if (!start_queue(m, i, &rings[i], features)) {
                        for (unsigned j = 0; j < i; j++)
                                queue_stop(&d->queues[j]); /* not kicked yet: the core knows of nothing */
                        needs_reset(m);
                        return;
                }
        }
        m->live = true;
        if (ops_of(m)->ready != NULL)
                ops_of(m)->ready(d, features & d->features);
        for (unsigned i = 0; i < ops_of(m)->queue_count; i++) {
                if (d->queues[i].started)
                        ops_of(m)->kick(d, i); /* what is there came before we listened */
        }
}

/* One queue of several is taken away while the device runs. */
static void stop_one(struct mmio *m, uint32_t index)
{
        struct device *d = m->options.device;
        if (index >= ops_of(m)->queue_count || !d->queues[index].started)
                return;
        if (ops_of(m)->drain != NULL)
                ops_of(m)->drain(d);
        queue_stop(&d->queues[index]);
        for (unsigned i = 0; i < ops_of(m)->queue_count; i++) {
                if (d->queues[i].started)
                        ops_of(m)->kick(d, i); /* see device.h: drain without stop */
        }
}

/* ---- registers, under the lock ---- */

static void reset_registers(struct mmio *m)
{
        memset(m->rings, 0, sizeof(m->rings));
        m->status = 0;
        m->device_features_sel = m->driver_features_sel = m->queue_sel = 0;
        m->driver_features = 0;
        __atomic_store_n(&m->interrupt_status, 0, __ATOMIC_SEQ_CST);
}

/* Section 2.2 and 6.1: a subset of what was offered, with VIRTIO_F_VERSION_1. */
static bool acceptable(const struct mmio *m)
{
        return (m->driver_features & ~offered(m)) == 0 && (m->driver_features & VIRTIO_F_VERSION_1) != 0;
}

/* The steps in their order: each bit, and those that must be there before it. */
static const struct step {
        uint32_t bit;
        uint32_t after;
} steps[] = {
    {MMIO_STATUS_ACKNOWLEDGE, 0},
    {MMIO_STATUS_DRIVER, MMIO_STATUS_ACKNOWLEDGE},
    {MMIO_STATUS_FEATURES_OK, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER},
    {MMIO_STATUS_DRIVER_OK, MMIO_STATUS_ACKNOWLEDGE | MMIO_STATUS_DRIVER | MMIO_STATUS_FEATURES_OK},
};

static void take_step(struct mmio *m, const struct step *step)
{
        if ((m->status & step->after) != step->after)
                return;
        if (step->bit == MMIO_STATUS_FEATURES_OK && !acceptable(m))
                return; /* the driver reads the bit back, section 3.1.1 step 6 */
        m->status |= step->bit;
}

static void write_status(struct mmio *m, uint32_t value)
{
        if (value == 0) {
                reset_registers(m);
                return;
        }
        if ((m->status & ~MMIO_STATUS_NEEDS_RESET & ~value) != 0)
                return; /* clears a bit, section 2.1.1: the driver must not */
        if (m->status & (MMIO_STATUS_FAILED | MMIO_STATUS_NEEDS_RESET))
                value &= ~STATUS_STEPS; /* given up: only a reset leads on */
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                if (value & ~m->status & steps[i].bit)
                        take_step(m, &steps[i]);
        }
        m->status |= value & MMIO_STATUS_FAILED;
}

static void write_driver_features(struct mmio *m, uint32_t value)
{
        bool allowed = (m->status & MMIO_STATUS_DRIVER) && !(m->status & MMIO_STATUS_FEATURES_OK);
        if (!allowed || m->driver_features_sel > 1)
                return; /* features beyond 63 are not offered, hence not to be accepted */
        unsigned shift = 32 * m->driver_features_sel;
        m->driver_features &= ~((uint64_t)UINT32_MAX << shift);
        m->driver_features |= (uint64_t)value << shift;
}

static bool may_describe_queues(const struct mmio *m)
{
        return (m->status & MMIO_STATUS_FEATURES_OK) && !is_running(m) &&
               !(m->status & (MMIO_STATUS_FAILED | MMIO_STATUS_NEEDS_RESET));
}

static void write_queue_ready(struct mmio *m, struct ring *r, uint32_t value)
{
        if (value == 1 && may_describe_queues(m) && r->size != 0)
                r->ready = true;
        if (value == 0)
                r->ready = false;
}

static void set_half(uint64_t *address, bool high, uint32_t value)
{
        unsigned shift = high ? 32 : 0;
        *address = (*address & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

static void write_queue(struct mmio *m, uint32_t offset, uint32_t value)
{
        struct ring *r = selected(m);
        if (r == NULL)
                return;
        if (offset == MMIO_QUEUE_READY) {
                write_queue_ready(m, r, value);
                return;
        }
        if (r->ready || !may_describe_queues(m))
                return;
        bool high = (offset & 4) != 0;
        switch (offset) {
        case MMIO_QUEUE_NUM:
                if (value != 0 && value <= MMIO_QUEUE_MAX && (value & (value - 1)) == 0)
                        r->size = (uint16_t)value;
                break;
        case MMIO_QUEUE_DESC_LOW:
        case MMIO_QUEUE_DESC_HIGH:
                set_half(&r->address.descriptors, high, value);
                break;
        case MMIO_QUEUE_DRIVER_LOW:
        case MMIO_QUEUE_DRIVER_HIGH:
                set_half(&r->address.available, high, value);
                break;
        case MMIO_QUEUE_DEVICE_LOW:
        case MMIO_QUEUE_DEVICE_HIGH:
                set_half(&r->address.used, high, value);
                break;
        default:
                break;
        }
}

static uint32_t read_features(const struct mmio *m)
{
        return m->device_features_sel > 1 ? 0 : (uint32_t)(offered(m) >> (32 * m->device_features_sel));
}

static uint32_t read_register(struct mmio *m, uint32_t offset)
{
        const struct ring *r = selected(m);
        switch (offset) {
        case MMIO_MAGIC:
                return MAGIC;
        case MMIO_VERSION:
                return VERSION;
        case MMIO_DEVICE_ID:
                return ops_of(m)->id;
        case MMIO_VENDOR_ID:
                return VENDOR_ID;
        case MMIO_DEVICE_FEATURES:
                return read_features(m);
        case MMIO_QUEUE_NUM_MAX:
                return r == NULL ? 0 : MMIO_QUEUE_MAX;
        case MMIO_QUEUE_READY:
                return r != NULL && r->ready;
        case MMIO_INTERRUPT_STATUS:
                return __atomic_load_n(&m->interrupt_status, __ATOMIC_SEQ_CST);
        case MMIO_STATUS:
                return m->status;
        case MMIO_CONFIG_GENERATION:
                return m->generation;
        default:
                /* shared memory regions that are not there have length and base of all ones */
                return offset >= MMIO_SHM_LENGTH_LOW && offset <= MMIO_SHM_BASE_HIGH ? UINT32_MAX : 0;
        }
}

static void write_register(struct mmio *m, uint32_t offset, uint32_t value)
{
        switch (offset) {
        case MMIO_DEVICE_FEATURES_SEL:
                m->device_features_sel = value;
                break;
        case MMIO_DRIVER_FEATURES:
                write_driver_features(m, value);
                break;
        case MMIO_DRIVER_FEATURES_SEL:
                m->driver_features_sel = value;
                break;
        case MMIO_QUEUE_SEL:
                m->queue_sel = value;
                break;
        case MMIO_INTERRUPT_ACK:
                __atomic_fetch_and(&m->interrupt_status, ~value, __ATOMIC_SEQ_CST);
                break;
        case MMIO_STATUS:
                write_status(m, value);
                break;
        default:
                write_queue(m, offset, value);
        }
}

/* ---- accesses ---- */

/* Section 4.2.2.2: registers by aligned 32 bits, the configuration space by any aligned width. */
static bool is_register(uint32_t offset, size_t size)
{
        return offset < MMIO_CONFIG && size == 4 && offset % 4 == 0;
}

static bool is_config(uint32_t offset, size_t size)
{
        return offset >= MMIO_CONFIG && offset < MMIO_CONFIG + MMIO_CONFIG_MAX &&
               (size == 1 || size == 2 || size == 4) && offset % size == 0;
}

void mmio_read(struct mmio *m, uint32_t offset, void *bytes, size_t size)
{
        memset(bytes, 0, size);
        lock(m);
        if (is_register(offset, size)) {
                uint32_t value = read_register(m, offset);
                memcpy(bytes, &value, sizeof(value));
        } else if (is_config(offset, size)) {
                memcpy(bytes, m->config + (offset - MMIO_CONFIG), size);
        }
        unlock(m);
}

/* Does the store lead into the core? With the lock held. */
static bool concerns_core(const struct mmio *m, uint32_t offset, uint32_t value)
{
        switch (offset) {
        case MMIO_QUEUE_NOTIFY:
                return is_running(m);
        case MMIO_QUEUE_READY:
                return is_running(m) && value == 0;
        case MMIO_STATUS:
                return value == 0 ? is_running(m) : (value & MMIO_STATUS_DRIVER_OK) && !is_running(m);
        default:
                return false;
        }
}

/* The store of a register that leads into the core, on the device's thread. */
static void write_through(struct mmio *m, uint32_t offset, uint32_t value)
{
        if (offset == MMIO_QUEUE_NOTIFY) {
                mmio_notify(m, value);
                return;
        }
        if (offset == MMIO_STATUS && value == 0)
                stop_queues(m);
        lock(m);
        uint32_t sel = m->queue_sel;
        write_register(m, offset, value);
        bool running = is_running(m);
        unlock(m);
        if (offset == MMIO_QUEUE_READY)
                stop_one(m, sel);
        else if (running) /* it was not before, or concerns_core() had said no */
                start_queues(m);
}

static bool write_if_quick(struct mmio *m, uint32_t offset, uint32_t value)
{
        lock(m);
        bool quick = !concerns_core(m, offset, value);
        if (quick)
                write_register(m, offset, value);
        unlock(m);
        return quick;
}

void mmio_write(struct mmio *m, uint32_t offset, const void *bytes, size_t size)
{
        if (is_register(offset, size)) {
                uint32_t value;
                memcpy(&value, bytes, sizeof(value));
                if (!write_if_quick(m, offset, value))
                        write_through(m, offset, value);
        } else if (is_config(offset, size) && ops_of(m)->config_write != NULL) {
                ops_of(m)->config_write(m->options.device, offset - MMIO_CONFIG, bytes, size);
                copy_config(m);
        }
}

bool mmio_try_quick(struct mmio *m, bool write, uint32_t offset, void *bytes, size_t size)
{
        if (!write) {
                mmio_read(m, offset, bytes, size);
                return true;
        }
        if (is_register(offset, size)) {
                uint32_t value;
                memcpy(&value, bytes, sizeof(value));
                return write_if_quick(m, offset, value);
        }
        return !is_config(offset, size) || ops_of(m)->config_write == NULL;
}

void mmio_notify(struct mmio *m, uint32_t queue)
{
        if (queue < ops_of(m)->queue_count && m->options.device->queues[queue].started)
                ops_of(m)->kick(m->options.device, queue);
}

uint32_t mmio_status(struct mmio *m)
{
        lock(m);
        uint32_t status = m->status;
        unlock(m);
        return status;
}

int mmio_new(const struct mmio_options *options, struct mmio **ret_mmio)
{
        struct mmio *m = calloc(1, sizeof(*m));
        if (m == NULL)
                return -ENOMEM;
        m->options = *options;
        (void)pthread_mutex_init(&m->lock, NULL); /* a plain one: cannot fail on Linux */
        for (unsigned i = 0; i < DEVICE_QUEUES_MAX; i++) {
                struct queue *q = &options->device->queues[i];
                memset(q, 0, sizeof(*q));
                q->memory = options->memory;
                q->notify = on_notify;
                q->on_broken = on_broken;
                q->data = m;
        }
        options->device->config_changed = on_config_changed;
        options->device->config_changed_data = m;
        copy_config(m);
        *ret_mmio = m;
        return 0;
}

void mmio_free(struct mmio *m)
{
        if (m == NULL)
                return;
        stop_queues(m);
        m->options.device->config_changed = NULL;
        (void)pthread_mutex_destroy(&m->lock); /* nobody holds it */
        free(m);
}
