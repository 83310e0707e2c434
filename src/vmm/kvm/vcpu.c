/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's thread:
 *
 *     WAITING -> RUNNING [vcpus_go()]
 *     RUNNING -> PARKED  [park()]  somebody wants them to pause
 *     PARKED  -> RUNNING [vcpus_resume()]
 *     any     -> ENDED   [run_thread()]  the guest is at its end (told by events.ended), or vcpus_stop()
 *
 * To get a thread out of KVM_RUN its run->immediate_exit is set and it gets a signal: one that comes between
 * our last look and KVM_RUN finds the flag set, and KVM_RUN returns at once. So no wake-up is lost, and the
 * signal's handler has nothing to do.
 *
 * Threads: `wanted`, `parked` and `gone` are the lock's. A vCPU's own fields are its thread's while that
 * runs; counts are written by it and read by others, each by plain 64-bit loads and stores (relaxed).
 *
 * Hostile: all that run holds is the guest's doing, but its form is KVM's.
 *
 * system calls (vcpu): ioctl(1=KVM_RUN) ioctl(1=KVM_GET_REGS) ioctl(1=KVM_GET_SREGS)
 *
 * system calls (loop): ioctl(1=KVM_GET_REGS) ioctl(1=KVM_GET_SREGS) ioctl(1=KVM_GET_MP_STATE)
 * ioctl(1=KVM_KVMCLOCK_CTRL)
 */
#include "vmm/kvm/vcpu.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/kvm/layout.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define STACK_SIZE (128U << 10) /* a thread's; what it calls is small */

#define MSR_TSC              0x10U
#define MSR_MISC_ENABLE      0x1a0U
#define MISC_ENABLE_FAST_REP 1U
#define MSR_MTRR_DEF_TYPE    0x2ffU
#define MTRR_ENABLED         0x800U
#define MTRR_WRITE_BACK      6U
#define RFLAGS_IF            0x200U

enum wanted { WANT_WAIT, WANT_RUN, WANT_PAUSE, WANT_END };

struct vcpu {
        struct vcpus *owner;
        unsigned index;
        int fd;
        struct kvm_run *run;
        pthread_t thread;
        bool has_thread;
        uint64_t counts[EXITS_REASONS_MAX];
};

struct vcpus {
        struct vm *vm;
        struct vcpu_events events;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        enum wanted wanted;
        unsigned parked; /* threads that stand still, those not started or ended included */
        unsigned count;
        struct vcpu each[];
};

static int kick_signal(void)
{
        return SIGRTMIN;
}

static void on_kick(int signal)
{
        /* it only has to interrupt */
}

static void lock(struct vcpus *v)
{
        (void)pthread_mutex_lock(&v->lock); /* a plain mutex: cannot fail */
}

static void unlock(struct vcpus *v)
{
        (void)pthread_mutex_unlock(&v->lock); /* as above */
}

/* ---- exits ---- */

/* What run says of a string of port accesses, one by one. True: the machine ends. */
static bool handle_port(struct vcpu *c, enum vcpu_end *ret_end)
{
        const struct kvm_run *run = c->run;
        const struct vcpu_events *e = &c->owner->events;
        uint8_t *bytes = (uint8_t *)c->run + run->io.data_offset;
        for (uint32_t i = 0; i < run->io.count; i++) {
                if (e->port(e->data, run->io.direction == KVM_EXIT_IO_OUT, run->io.port,
                            bytes + (size_t)i * run->io.size, run->io.size, ret_end))
                        return true;
        }
        return false;
}

static void tell_end(struct vcpu *c, enum vcpu_end end, const char *why)
{
        char text[ERROR_TEXT_MAX], registers[512];
        struct kvm_regs regs;
        struct kvm_sregs sregs;
        registers[0] = '\0';
        if (ioctl(c->fd, KVM_GET_REGS, &regs) == 0 && ioctl(c->fd, KVM_GET_SREGS, &sregs) == 0)
                exits_registers(&regs, &sregs, registers, sizeof(registers));
        (void)snprintf(text, sizeof(text), "%s on vCPU %u: %s", why, c->index,
                       registers); /* cut if too long */
        c->owner->events.ended(c->owner->events.data, end, text);
}

/* Below 0: this processor is at its end, and that was told. */
static int handle_exit(struct vcpu *c)
{
        const struct vcpu_events *e = &c->owner->events;
        struct kvm_run *run = c->run;
        uint32_t reason = run->exit_reason;
        enum vcpu_end end = VCPU_KVM_ERROR;
        char text[256];
        uint64_t *count = &c->counts[reason < EXITS_REASONS_MAX ? reason : 0];
        __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
        switch (reason) {
        case KVM_EXIT_IO:
                if (!handle_port(c, &end))
                        return 0;
                e->ended(e->data, end, "");
                return -ESHUTDOWN;
        case KVM_EXIT_MMIO:
                e->mmio(e->data, run->mmio.is_write, run->mmio.phys_addr, run->mmio.data,
                        run->mmio.len <= sizeof(run->mmio.data) ? run->mmio.len : sizeof(run->mmio.data));
                return 0;
        case KVM_EXIT_INTR:
        case KVM_EXIT_IRQ_WINDOW_OPEN:
        case KVM_EXIT_IOAPIC_EOI:
        case KVM_EXIT_X86_BUS_LOCK:
                return 0; /* nothing to do */
        case KVM_EXIT_SHUTDOWN:
                tell_end(c, VCPU_TRIPLE_FAULT, "triple fault");
                return -ESHUTDOWN;
        case KVM_EXIT_SYSTEM_EVENT:
                if (run->system_event.type == KVM_SYSTEM_EVENT_RESET ||
                    run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN) {
                        e->ended(e->data, VCPU_RESET, "");
                        return -ESHUTDOWN;
                }
                break;
        default:
                break;
        }
        exits_describe(run, text, sizeof(text));
        tell_end(c, VCPU_KVM_ERROR, text);
        return -ESHUTDOWN;
}

static int run_once(struct vcpu *c)
{
        char text[128];
        if (ioctl(c->fd, KVM_RUN, 0) == 0)
                return handle_exit(c);
        if (errno == EINTR || errno == EAGAIN)
                return 0;
        (void)snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(errno));
        tell_end(c, VCPU_KVM_ERROR, text);
        return -EIO;
}

/* ---- threads ---- */

/* Stands still for as long as that is wanted; what is wanted then. */
static enum wanted park(struct vcpus *v)
{
        lock(v);
        v->parked++;
        (void)pthread_cond_broadcast(&v->changed); /* cannot fail, here and below */
        while (v->wanted == WANT_WAIT || v->wanted == WANT_PAUSE)
                (void)pthread_cond_wait(&v->changed, &v->lock);
        enum wanted wanted = v->wanted;
        if (wanted != WANT_END)
                v->parked--;
        unlock(v);
        return wanted;
}

static void *run_thread(void *data)
{
        struct vcpu *c = data;
        struct vcpus *v = c->owner;
        struct error err = ERROR_INIT;
        int r = 0;
        if (park(v) == WANT_END)
                return NULL;
        if (v->events.enter != NULL && (r = v->events.enter(&err)) < 0)
                v->events.ended(v->events.data, VCPU_KVM_ERROR, err.text);
        while (r == 0) {
                if (__atomic_load_n(&c->run->immediate_exit, __ATOMIC_SEQ_CST) != 0 && park(v) == WANT_END)
                        return NULL;
                r = run_once(c);
        }
        lock(v);
        v->parked++; /* it stands still for ever */
        (void)pthread_cond_broadcast(&v->changed);
        unlock(v);
        return NULL;
}

/* Gets all threads out of the guest. */
static void want(struct vcpus *v, enum wanted wanted)
{
        bool stop = wanted != WANT_RUN;
        lock(v);
        for (unsigned i = 0; i < v->count; i++) {
                if (v->each[i].run != NULL)
                        __atomic_store_n(&v->each[i].run->immediate_exit, stop, __ATOMIC_SEQ_CST);
        }
        v->wanted = wanted;
        (void)pthread_cond_broadcast(&v->changed);
        for (unsigned i = 0; i < v->count && stop; i++) {
                if (v->each[i].has_thread)
                        (void)pthread_kill(v->each[i].thread,
                                           kick_signal()); /* ended: not joined yet, so known */
        }
        unlock(v);
}

void vcpus_go(struct vcpus *v)
{
        want(v, WANT_RUN);
}

void vcpus_pause(struct vcpus *v)
{
        want(v, WANT_PAUSE);
        lock(v);
        while (v->parked < v->count)
                (void)pthread_cond_wait(&v->changed, &v->lock);
        unlock(v);
}

void vcpus_hold(struct vcpus *v)
{
        want(v, WANT_PAUSE);
}

/* The guest's clock went on: its watchdogs are told that nothing was stuck. */
void vcpus_resume(struct vcpus *v)
{
        for (unsigned i = 0; i < v->count; i++)
                (void)ioctl(v->each[i].fd, KVM_KVMCLOCK_CTRL, 0); /* refused by a guest without kvmclock */
        want(v, WANT_RUN);
}

void vcpus_stop(struct vcpus *v)
{
        want(v, WANT_END);
        for (unsigned i = 0; i < v->count; i++) {
                if (v->each[i].has_thread)
                        (void)pthread_join(v->each[i].thread, NULL); /* it exists, and is not ours */
                v->each[i].has_thread = false;
        }
}

static bool is_halted_for_good(const struct vcpu *c, const struct kvm_regs *regs)
{
        struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_RUNNABLE};
        (void)ioctl(c->fd, KVM_GET_MP_STATE, &state); /* without it, it counts as running */
        if (state.mp_state == KVM_MP_STATE_UNINITIALIZED || state.mp_state == KVM_MP_STATE_INIT_RECEIVED)
                return true; /* waits for another processor */
        return state.mp_state == KVM_MP_STATE_HALTED && !(regs->rflags & RFLAGS_IF);
}

bool vcpus_describe(struct vcpus *v, char *text, size_t size)
{
        bool hopeless = true;
        size_t used = 0;
        text[0] = '\0';
        for (unsigned i = 0; i < v->count; i++) {
                struct kvm_regs regs = {0};
                struct kvm_sregs sregs = {0};
                char line[512];
                (void)ioctl(v->each[i].fd, KVM_GET_REGS, &regs); /* zeros then say so */
                (void)ioctl(v->each[i].fd, KVM_GET_SREGS, &sregs);
                bool halted = is_halted_for_good(&v->each[i], &regs);
                hopeless = hopeless && halted;
                exits_registers(&regs, &sregs, line, sizeof(line));
                int n = snprintf(text + used, size - used, "%svCPU %u %s: %s", i == 0 ? "" : "\n", i,
                                 halted ? "halted with interrupts off" : "runs", line);
                if (n > 0 && (size_t)n < size - used)
                        used += (size_t)n;
        }
        return hopeless;
}

void vcpus_count(const struct vcpus *v, uint64_t ret_counts[EXITS_REASONS_MAX])
{
        memset(ret_counts, 0, EXITS_REASONS_MAX * sizeof(ret_counts[0]));
        for (unsigned i = 0; i < v->count; i++) {
                for (unsigned r = 0; r < EXITS_REASONS_MAX; r++)
                        ret_counts[r] += __atomic_load_n(&v->each[i].counts[r], __ATOMIC_RELAXED);
        }
}

/* ---- making them ---- */

/* One call a register: which of them a host does not take is then known, and only the TSC is needless. */
static int set_msrs(const struct vcpu *c, struct error *err)
{
        static const struct kvm_msr_entry entries[] = {
            {.index = MSR_TSC, .data = 0},
            {.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_REP},
            {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED | MTRR_WRITE_BACK},
        };
        struct {
                uint32_t count, padding;
                struct kvm_msr_entry entries[sizeof(entries) / sizeof(entries[0])];
        } msrs = {.count = sizeof(entries) / sizeof(entries[0])};
        memcpy(msrs.entries, entries, sizeof(entries));
        int n = ioctl(c->fd, KVM_SET_MSRS, &msrs);
        if (n < 0)
                return error_errno(err, -errno, "set the MSRs of vCPU %u", c->index);
        if ((uint32_t)n < msrs.count)
                return error_set(err, -EOPNOTSUPP, "KVM refuses MSR 0x%x", entries[n].index);
        return 0;
}

static int set_cpuid(struct vcpus *v, const struct vcpu *c, struct error *err)
{
        struct cpuid_options options = {.cpu = c->index,
                                        .cpus = v->count,
                                        .tsc_deadline = v->vm->tsc_deadline};
        cleanup_free struct cpuid_table *table = malloc(sizeof(*table));
        if (table == NULL)
                return error_errno(err, -ENOMEM, "make vCPU %u", c->index);
        int khz = ioctl(c->fd, KVM_GET_TSC_KHZ, 0);
        options.tsc_khz = khz > 0 ? (uint32_t)khz : 0;
        memcpy(table, &v->vm->supported, sizeof(*table));
        cpuid_fill(table, &options);
        return ioctl(c->fd, KVM_SET_CPUID2, table) < 0
                   ? error_errno(err, -errno, "set the CPUID of vCPU %u", c->index)
                   : 0;
}

static int make_vcpu(struct vcpus *v, struct vcpu *c, struct error *err)
{
        c->fd = ioctl(v->vm->fd, KVM_CREATE_VCPU, (unsigned long)c->index);
        if (c->fd < 0)
                return error_errno(err, -errno, "make vCPU %u", c->index);
        void *run = mmap(NULL, v->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
        if (run == MAP_FAILED)
                return error_errno(err, -errno, "map vCPU %u", c->index);
        c->run = run;
        int r = set_cpuid(v, c, err);
        return r < 0 ? r : set_msrs(c, err);
}

static int start_thread(struct vcpu *c, struct error *err)
{
        pthread_attr_t attributes;
        int r = pthread_attr_init(&attributes);
        if (r != 0)
                return error_errno(err, -r, "start the thread of vCPU %u", c->index);
        r = pthread_attr_setstacksize(&attributes, STACK_SIZE);
        if (r == 0)
                r = pthread_create(&c->thread, &attributes, run_thread, c);
        (void)pthread_attr_destroy(&attributes); /* cannot fail */
        if (r != 0)
                return error_errno(err, -r, "start the thread of vCPU %u", c->index);
        c->has_thread = true;
        return 0;
}

/* The kick's handler is the process's; without SA_RESTART, though KVM_RUN is never restarted. */
static int catch_kick(struct error *err)
{
        struct sigaction action = {.sa_handler = on_kick};
        (void)sigemptyset(&action.sa_mask); /* cannot fail */
        return sigaction(kick_signal(), &action, NULL) < 0 ? error_errno(err, -errno, "catch a signal") : 0;
}

int vcpus_new(struct vm *vm, unsigned count, const struct vcpu_events *events, struct vcpus **ret_vcpus,
              struct error *err)
{
        if (count == 0 || count > LAYOUT_CPUS_MAX)
                return error_set(err, -EINVAL, "%u CPUs: the kvm engine has 1 to %u", count, LAYOUT_CPUS_MAX);
        struct vcpus *v = calloc(1, sizeof(*v) + count * sizeof(v->each[0]));
        if (v == NULL)
                return error_errno(err, -ENOMEM, "make vCPUs");
        v->vm = vm;
        v->events = *events;
        v->count = count;
        (void)pthread_mutex_init(&v->lock, NULL);   /* plain ones: cannot fail on Linux */
        (void)pthread_cond_init(&v->changed, NULL); /* as above */
        for (unsigned i = 0; i < count; i++)
                v->each[i] = (struct vcpu){.owner = v, .index = i, .fd = -1};
        int r = catch_kick(err);
        for (unsigned i = 0; i < count && r == 0; i++)
                r = make_vcpu(v, &v->each[i], err);
        for (unsigned i = 0; i < count && r == 0; i++)
                r = start_thread(&v->each[i], err);
        if (r < 0) {
                vcpus_free(v);
                return r;
        }
        *ret_vcpus = v;
        return 0;
}

int vcpus_get_boot(struct vcpus *v, struct kvm_sregs *ret_sregs, struct error *err)
{
        return ioctl(v->each[0].fd, KVM_GET_SREGS, ret_sregs) < 0 ? error_errno(err, -errno, "read registers")
                                                                  : 0;
}

int vcpus_set_boot(struct vcpus *v, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
                   struct error *err)
{
        if (ioctl(v->each[0].fd, KVM_SET_SREGS, sregs) < 0 || ioctl(v->each[0].fd, KVM_SET_REGS, regs) < 0)
                return error_errno(err, -errno, "set registers");
        return 0;
}

void vcpus_free(struct vcpus *v)
{
        if (v == NULL)
                return;
        vcpus_stop(v);
        for (unsigned i = 0; i < v->count; i++) {
                if (v->each[i].run != NULL)
                        (void)munmap(v->each[i].run, v->vm->run_size); /* ours: cannot fail */
                close_fd(&v->each[i].fd);
        }
        (void)pthread_cond_destroy(&v->changed); /* nobody waits */
        (void)pthread_mutex_destroy(&v->lock);   /* nobody holds it */
        free(v);
}
