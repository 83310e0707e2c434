/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine on KVM. start() makes everything and runs nothing: memory with kernel and initramfs in it, the
 * devices' places, the vCPUs with their threads waiting. Between it and run() the process is jailed.
 *
 *     MADE -> READY [kvm_start()] -> RUNNING [kvm_run()] -> ENDED [on_end()]
 *
 * The end comes from a vCPU's thread (the guest reset, crashed, or KVM gave up) or from stop(). Whoever is
 * first leaves word in `end` and signals end_fd; the loop's thread then stops all vCPUs, and tells.
 *
 * Threads: the vCPUs' call on_mmio(), on_port(), on_vcpu_end(), on_timer(), on_serial_irq(). These touch
 * slots and ports (which say themselves what is theirs), end (under its lock), timers (each is one thread's
 * until it is noted), and nothing else.
 *
 * system calls (loop, vcpu): write
 */
#include "vmm/kvm/kvm.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/kvm/arguments.h"
#include "vmm/kvm/boot.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/load.h"
#include "vmm/kvm/ports.h"
#include "vmm/kvm/ram.h"
#include "vmm/kvm/relay.h"
#include "vmm/kvm/report.h"
#include "vmm/kvm/slot.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SERIAL_LIMIT (UINT64_C(1) << 20)
#define TIMERS_MAX   16 /* values of the boot timer that are noted; a guest can send more than anyone reads */

struct timer {
        atomic_bool noted; /* the rest is there */
        uint8_t value;
        double ms; /* after the first KVM_RUN */
};

struct kvm_machine {
        struct machine machine; /* first: ops get this pointer */
        struct loop *loop;
        struct kvm_options options;
        struct ram ram;
        struct load load;
        struct vm vm;
        struct vcpus *vcpus;
        struct relay *relay;
        struct ports *ports;
        struct slot *slots[LAYOUT_DEVICES_MAX];
        unsigned slot_count;
        int serial_irq_fd;
        struct timespec started;
        struct timer timers[TIMERS_MAX];
        atomic_uint timer_count; /* of values sent, also those beyond */
        unsigned timers_said;    /* the loop's */

        int end_fd;
        struct source *end_source;
        pthread_mutex_t lock; /* of the three below */
        bool has_end;
        enum machine_end end;
        char detail[ERROR_TEXT_MAX];
};

/* ---- the boot timer ---- */

static double milliseconds_since(const struct timespec *start)
{
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

/* A thread that must not wait for a file: the loop writes it out. */
static void on_timer(void *data, uint8_t value)
{
        struct kvm_machine *k = data;
        if (atomic_load(&k->timer_count) >= TIMERS_MAX)
                return;
        unsigned i = atomic_fetch_add(&k->timer_count, 1);
        if (i >= TIMERS_MAX)
                return;
        k->timers[i].value = value;
        k->timers[i].ms = milliseconds_since(&k->started);
        atomic_store(&k->timers[i].noted, true);
}

static void say_timers(struct kvm_machine *k)
{
        for (; k->timers_said < TIMERS_MAX; k->timers_said++) {
                const struct timer *t = &k->timers[k->timers_said];
                if (!atomic_load(&t->noted))
                        return;
                log_info("boot timer %u: %.3f ms after the first KVM_RUN", t->value, t->ms);
        }
}

/* ---- the end ---- */

/* The first word counts. From any thread. */
static void leave_word(struct kvm_machine *k, enum machine_end end, const char *detail)
{
        uint64_t one = 1;
        (void)pthread_mutex_lock(&k->lock); /* a plain mutex: cannot fail */
        if (!k->has_end) {
                k->has_end = true;
                k->end = end;
                (void)snprintf(k->detail, sizeof(k->detail), "%s", detail); /* cut if too long */
        }
        (void)pthread_mutex_unlock(&k->lock);
        (void)!write(k->end_fd, &one, sizeof(one)); /* full: it is signalled already */
}

/* Where a guest stood that did not end by itself; for people who look why. */
static void describe_stopped(struct kvm_machine *k)
{
        cleanup_free char *text = malloc(LAYOUT_CPUS_MAX * 600);
        if (text == NULL)
                return;
        if (vcpus_describe(k->vcpus, text, LAYOUT_CPUS_MAX * 600)) {
                k->end = MACHINE_GUEST_HUNG;
                (void)snprintf(k->detail, sizeof(k->detail), "all CPUs had halted with interrupts off: %s",
                               text); /* cut if too long */
        }
        char *rest = NULL;
        for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
                log_debug("%s", line);
}

static void on_end(struct source *s, int fd, uint32_t events, void *data)
{
        struct kvm_machine *k = data;
        source_free(k->end_source);
        k->end_source = NULL;
        relay_close(k->relay);
        vcpus_stop(k->vcpus);
        if (k->end == MACHINE_STOPPED)
                describe_stopped(k);
        say_timers(k);
        report_exits("the end", k->vcpus, k->slots, k->slot_count, k->ports);
        ports_end(k->ports);
        k->machine.events.ended(k->machine.events.data, k->end, k->detail);
}

/* ---- from vCPU threads ---- */

static void on_mmio(void *data, bool write, uint64_t gpa, void *bytes, size_t size)
{
        struct kvm_machine *k = data;
        uint64_t offset = gpa - LAYOUT_DEVICES; /* huge when gpa lies before */
        if (offset / LAYOUT_PAGE < k->slot_count)
                slot_access(k->slots[offset / LAYOUT_PAGE], write, (uint32_t)(offset % LAYOUT_PAGE), bytes,
                            size);
        else if (!write)
                memset(bytes, 0xff, size); /* nobody there */
}

static bool on_port(void *data, bool write, uint16_t port, void *bytes, size_t size, enum vcpu_end *ret_end)
{
        struct kvm_machine *k = data;
        return ports_access(k->ports, write, port, bytes, size, ret_end);
}

static void on_vcpu_end(void *data, enum vcpu_end end, const char *text)
{
        struct kvm_machine *k = data;
        char code[64];
        switch (end) {
        case VCPU_RESET:
                leave_word(k, MACHINE_GUEST_RESET, text);
                break;
        case VCPU_SHUTDOWN:
                (void)snprintf(code, sizeof(code), "the exit port got %u", ports_exit_code(k->ports));
                leave_word(k, MACHINE_GUEST_SHUTDOWN, code);
                break;
        case VCPU_TRIPLE_FAULT:
                leave_word(k, MACHINE_GUEST_CRASHED, text);
                break;
        case VCPU_KVM_ERROR:
                leave_word(k, MACHINE_ENGINE_DIED, text);
                break;
        }
}

static void on_serial_irq(void *data)
{
        const struct kvm_machine *k = data;
        uint64_t one = 1;
        (void)!write(k->serial_irq_fd, &one, sizeof(one)); /* KVM takes each: it cannot be full */
}

/* ---- making it ---- */

static int load_guest(struct kvm_machine *k, struct error *err)
{
        const struct config *c = k->options.config;
        struct arguments a = {.devices = k->options.device_count,
                              .debug_console = c->debug_console,
                              .tsc_deadline = k->vm.tsc_deadline,
                              .own = c->kernel_arguments};
        cleanup_free char *command_line = arguments_make(&a);
        if (command_line == NULL)
                return error_errno(err, -ENOMEM, "make the kernel's command line");
        int r = load_kernel(&k->ram, c->kernel_fd, &k->load, err);
        if (r == 0)
                r = load_initrd(&k->ram, c->initrd_fd, &k->load, err);
        if (r == 0)
                r = boot_write(&k->ram, &k->load, command_line, c->cpus, err);
        return r;
}

static int make_ports(struct kvm_machine *k, struct error *err)
{
        const struct config *c = k->options.config;
        struct ports_options options = {.serial_fd = c->debug_console ? c->console_fd : -1,
                                        .serial_limit = SERIAL_LIMIT,
                                        .serial_irq = on_serial_irq,
                                        .timer = on_timer,
                                        .data = k};
        int r = ports_new(k->loop, &options, &k->ports);
        if (r < 0)
                return error_errno(err, r, "make the ports");
        if (!c->debug_console)
                return 0;
        k->serial_irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (k->serial_irq_fd < 0)
                return error_errno(err, -errno, "make an eventfd");
        return vm_add_irqfd(&k->vm, LAYOUT_IRQ_SERIAL, k->serial_irq_fd, err);
}

static int make_slots(struct kvm_machine *k, struct error *err)
{
        int r = 0;
        for (unsigned i = 0; i < k->options.device_count && r == 0; i++) {
                r = slot_new(k->loop, &k->vm, k->relay, &k->ram.memory, i, k->options.devices[i],
                             &k->slots[i], err);
                if (r == 0)
                        k->slot_count++;
        }
        return r;
}

static int make_vcpus(struct kvm_machine *k, struct error *err)
{
        struct vcpu_events events = {
            .mmio = on_mmio, .port = on_port, .ended = on_vcpu_end, .enter = k->options.enter, .data = k};
        struct kvm_regs regs;
        struct kvm_sregs sregs;
        int r = vcpus_new(&k->vm, k->options.config->cpus, &events, &k->vcpus, err);
        if (r == 0)
                r = vcpus_get_boot(k->vcpus, &sregs, err);
        if (r < 0)
                return r;
        boot_registers(&k->load, &regs, &sregs);
        return vcpus_set_boot(k->vcpus, &regs, &sregs, err);
}

static int watch_end(struct kvm_machine *k, struct error *err)
{
        k->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = k->end_fd < 0 ? -errno : loop_add_io(k->loop, k->end_fd, EPOLLIN, on_end, k, &k->end_source);
        if (r == 0)
                r = relay_new(k->loop, &k->relay);
        return r < 0 ? error_errno(err, r, "watch the machine") : 0;
}

static int kvm_start(struct machine *m, struct error *err)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        const struct config *c = k->options.config;
        int r = ram_init(&k->ram, c->memory_bytes, err);
        if (r == 0)
                r = vm_init(&k->vm, c->kvm_fd, err);
        if (r == 0)
                r = vm_add_ram(&k->vm, &k->ram, err);
        if (r == 0)
                r = load_guest(k, err);
        if (r == 0)
                r = watch_end(k, err);
        if (r == 0)
                r = make_ports(k, err);
        if (r == 0)
                r = make_slots(k, err);
        if (r == 0)
                r = make_vcpus(k, err);
        if (r == 0)
                log_debug("%s entry at 0x%" PRIx64 ", %" PRIu64
                          " bytes copied, the rest of kernel and initramfs is mapped",
                          k->load.pvh ? "PVH" : "64-bit", k->load.entry, k->load.copied_bytes);
        return r;
}

static void kvm_run(struct machine *m)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        (void)clock_gettime(CLOCK_MONOTONIC, &k->started); /* cannot fail for this clock */
        vcpus_go(k->vcpus);
        k->machine.events.running(k->machine.events.data);
}

static void kvm_stop(struct machine *m)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        if (k->end_source != NULL)
                leave_word(k, MACHINE_STOPPED, "");
}

static int kvm_pause(struct machine *m, bool paused)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        if (k->end_source == NULL)
                return -ESRCH;
        if (paused)
                vcpus_hold(k->vcpus);
        else
                vcpus_resume(k->vcpus);
        return 0;
}

static void kvm_note(struct machine *m, const char *moment)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        if (k->vcpus == NULL)
                return;
        say_timers(k);
        log_debug("%s: %.3f ms after the first KVM_RUN", moment, milliseconds_since(&k->started));
        report_exits(moment, k->vcpus, k->slots, k->slot_count, k->ports);
}

static void kvm_free(struct machine *m)
{
        struct kvm_machine *k = (struct kvm_machine *)m;
        if (k == NULL)
                return;
        if (k->relay != NULL)
                relay_close(k->relay);
        vcpus_free(k->vcpus);
        for (unsigned i = 0; i < k->slot_count; i++)
                slot_free(k->slots[i]);
        ports_free(k->ports);
        relay_free(k->relay);
        source_free(k->end_source);
        close_fd(&k->end_fd);
        close_fd(&k->serial_irq_fd);
        vm_done(&k->vm);
        ram_done(&k->ram);
        (void)pthread_mutex_destroy(&k->lock); /* nobody holds it */
        free(k);
}

static const struct machine_ops kvm_ops = {
    .name = "kvm",
    .start = kvm_start,
    .run = kvm_run,
    .stop = kvm_stop,
    .pause = kvm_pause,
    .note = kvm_note,
    .free = kvm_free,
};

int kvm_machine_new(struct loop *loop, const struct kvm_options *options, const struct machine_events *events,
                    struct machine **ret_machine)
{
        struct kvm_machine *k = calloc(1, sizeof(*k));
        if (k == NULL)
                return -ENOMEM;
        k->machine.ops = &kvm_ops;
        k->machine.events = *events;
        k->loop = loop;
        k->options = *options;
        k->vm.fd = k->end_fd = k->serial_irq_fd = -1;
        (void)pthread_mutex_init(&k->lock, NULL); /* a plain one: cannot fail on Linux */
        *ret_machine = &k->machine;
        return 0;
}
