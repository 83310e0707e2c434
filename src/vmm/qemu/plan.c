/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU is started with, and why:
 *
 * - microvm without ACPI, option roms and rtc: no firmware to run, no bus to probe; the kernel is entered
 * directly (PVH) and finds the slots of its devices on its command line. Disks come first, so they are vda,
 * vdb, ...
 * - Everything is inherited as a descriptor. QEMU opens nothing by a path of ours, so none needs to be
 * readable for it.
 * - Guest memory is a shared file of ours without a name, because our vsock and fs devices work on it from
 * this process (vhost-user); of a template that is made, it is the template's file.
 * - A guest's reset ends QEMU (-no-reboot) with status 0, and its death is seen by its pidfd. A monitor (QMP)
 * is there only to make a template or to begin as a copy of one, and is closed before the guest runs.
 * - A copy of a template has no kernel and initrd of its own: they are in the template's memory. It has the
 * template's machine to the letter, and its own devices in the slots that are empty there.
 * - -sandbox: QEMU's own seccomp filter; it needs no new programs and no privileges after the start.
 *
 * Descriptors have fixed numbers in QEMU: enum qemu_fd, and plan.h.
 */
#include "vmm/qemu/plan.h"

#include "base/cleanup.h"
#include "vmm/qemu/tsc.h"
#include "vmm/virtio/fs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* microvm's slots for virtio-mmio devices, without ACPI: QEMU's hw/i386/microvm.c. */
#define QEMU_SLOTS     8
#define SLOT_BYTES     512
#define SLOT_ADDRESS   0xfeb00000U
#define SLOT_INTERRUPT 5

/* Of a template and its copies. A vhost-user-vsock-device and a vhost-user-fs-device can be in no machine
 * that begins with a saved state (QEMU's qemu_savevm_state_blocked()). A vhost-user-blk can, and hands queues
 * and configuration through without a look: so that is what QEMU is told, and the guest's kernel is told what
 * is in the slot (kernel/patches/0004). */
#define VSOCK_SLOT   0
#define VSOCK_QUEUES 3
#define FS_SLOT      (QEMU_SLOTS - 1)
#define FS_QUEUES    2
#define QUEUE_SIZE   256
#define KINDS        " virtio_mmio.kinds=19,0,0,0,0,0,0,26"

enum qemu_fd {
        QEMU_KERNEL = 3,
        QEMU_INITRD,
        QEMU_CONSOLE,
        QEMU_VSOCK,
        QEMU_NET,
        QEMU_STATE = QEMU_PLAN_STATE,
        QEMU_MONITOR,
        QEMU_MEMORY,
        QEMU_DISK,
        QEMU_FS = QEMU_DISK + CONFIG_DISKS_MAX
};

/* What the guest's kernel is told, before the caller's own words:
 * reboot by triple fault, at once after a panic; no calibrations and self-tests that an emulated CPU makes
 * slow: its local APIC timer counts at 1 GHz, and its TSC is the host's (kernel/README.md). The initramfs
 * becomes a ramfs, which has no file handles: what is of it in /proc, an init's or an exec's file, leads
 * nobody further (open_by_handle_at(2)). */
#define KERNEL_ARGUMENTS                                                                         \
        "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable no_timer_check random.trust_cpu=on " \
        "rcupdate.rcu_expedited=1 cryptomgr.notests noreplace-smp swiotlb=noforce "              \
        "lapic_timer_hz=1000000000 rootfstype=ramfs"

static int add(struct qemu_plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int add(struct qemu_plan *p, const char *format, ...)
{
        char *word;
        va_list args;
        if (p->word_count == QEMU_WORDS_MAX)
                return -E2BIG;
        va_start(args, format);
        int n = vasprintf(&word, format, args);
        va_end(args);
        if (n < 0)
                return -ENOMEM;
        p->words[p->word_count++] = word;
        return 0;
}

static int add_words(struct qemu_plan *p, const char *const *words, unsigned count)
{
        int r = 0;
        for (unsigned i = 0; i < count && r == 0; i++)
                r = add(p, "%s", words[i]);
        return r;
}

static void hand_over(struct qemu_plan *p, int from, int to)
{
        p->fds[p->fd_count++] = (struct process_fd){.from = from, .to = to}; /* at most QEMU_FDS_MAX */
}

/* A device in a slot; format names it without its bus. */
static int add_device(struct qemu_plan *p, unsigned slot, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int add_device(struct qemu_plan *p, unsigned slot, const char *format, ...)
{
        char word[256];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(word, sizeof(word), format, args); /* our own words, which fit */
        va_end(args);
        int r = add(p, "-device");
        p->device_count++;
        return r < 0 ? r : add(p, "%s,bus=virtio-mmio-bus.%u", word, slot);
}

static int add_machine(struct qemu_plan *p, const struct config *c, const struct qemu_ends *ends)
{
        static const char *const words[] = {
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-M",
            "microvm,acpi=off,x-option-roms=off,rtc=off,auto-kernel-cmdline=off,memory-backend=mem",
            "-global",
            "virtio-mmio.force-legacy=false", /* virtio 1 devices; QEMU's default here is the draft before it
                                               */
            "-accel",
        };
        bool emulated = c->accel == CONFIG_ACCEL_TCG;
        uint64_t kib = c->memory_bytes / 1024;
        int r;
        hand_over(p, ends->memory, QEMU_MEMORY);
        if ((r = add(p, "%s", c->qemu)) < 0 ||
            (r = add_words(p, words, sizeof(words) / sizeof(words[0]))) < 0 ||
            (r = add(p, "%s", emulated ? "tcg,thread=multi" : "kvm")) < 0 || (r = add(p, "-cpu")) < 0 ||
            /* with ERMS the guest copies by `rep movsb`, which is emulated byte by byte: a third of it */
            (r = add(p, "%s", emulated ? "max,-erms" : "max")) < 0 || (r = add(p, "-smp")) < 0 ||
            (r = add(p, "%u", c->cpus)) < 0 || (r = add(p, "-m")) < 0 ||
            (r = add(p, "%" PRIu64 "k", kib)) < 0 || (r = add(p, "-object")) < 0 ||
            (r = add(p, "memory-backend-file,id=mem,size=%" PRIu64 "k,share=on,mem-path=/proc/self/fd/%d",
                     kib, QEMU_MEMORY)) < 0)
                return r;
        return 0;
}

/* What says to the kernel where its devices are. A template's cannot know how many there will be. */
static int add_slots(char *text, size_t size, unsigned count)
{
        size_t used = 0;
        text[0] = '\0';
        for (unsigned i = 0; i < count && used < size; i++)
                used += (size_t)snprintf(text + used, size - used, " virtio_mmio.device=%u@0x%x:%u",
                                         SLOT_BYTES, SLOT_ADDRESS + i * SLOT_BYTES, SLOT_INTERRUPT + i);
        return used < size ? 0 : -E2BIG;
}

static int add_kernel(struct qemu_plan *p, const struct config *c)
{
        char tsc[48] = "", slots[QEMU_SLOTS * 48];
        unsigned tsc_khz = c->accel == CONFIG_ACCEL_KVM ? 0 : qemu_tsc_khz();
        int r = add_slots(slots, sizeof(slots),
                          c->template == CONFIG_TEMPLATE_MAKE ? QEMU_SLOTS : p->device_count);
        if (r < 0)
                return r;
        if (tsc_khz != 0)
                (void)snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", tsc_khz);
        hand_over(p, c->kernel_fd, QEMU_KERNEL);
        hand_over(p, c->initrd_fd, QEMU_INITRD);
        if ((r = add(p, "-kernel")) < 0 || (r = add(p, "/proc/self/fd/%d", QEMU_KERNEL)) < 0 ||
            (r = add(p, "-initrd")) < 0 || (r = add(p, "/proc/self/fd/%d", QEMU_INITRD)) < 0 ||
            (r = add(p, "-append")) < 0)
                return r;
        return add(p, "%s%s%s%s%s%s%s", KERNEL_ARGUMENTS, tsc, slots,
                   c->template == CONFIG_TEMPLATE_MAKE ? KINDS : "", c->debug_console ? " loglevel=7" : "",
                   c->kernel_arguments[0] != '\0' ? " " : "", c->kernel_arguments);
}

static int add_disk(struct qemu_plan *p, const struct config_disk *disk, unsigned i)
{
        int fd = QEMU_DISK + (int)i, r;
        const char *readonly = disk->readonly ? "on" : "off";
        hand_over(p, disk->fd, fd);
        if ((r = add(p, "-add-fd")) < 0 || (r = add(p, "fd=%d,set=%d", fd, fd)) < 0 ||
            (r = add(p, "-blockdev")) < 0 ||
            (r = add(p,
                     "driver=file,node-name=disk%u,filename=/dev/fdset/%d,read-only=%s,auto-read-only=off,"
                     "locking=off,discard=unmap,aio=threads",
                     i, fd, readonly)) < 0 ||
            (r = add_device(p, p->device_count, "virtio-blk-device,drive=disk%u", i)) < 0)
                return r;
        return 0;
}

/* A device of ours, over vhost-user. A copy has its disguise (see KINDS), and a place of its own. */
static int add_own(struct qemu_plan *p, bool copy, unsigned slot, int from, int to, const char *name,
                   const char *device, unsigned queues)
{
        int r;
        hand_over(p, from, to);
        if ((r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=%s,fd=%d", name, to)) < 0)
                return r;
        return copy ? add_device(p, slot, "vhost-user-blk,chardev=%s,num-queues=%u,queue-size=%u", name,
                                 queues, QUEUE_SIZE)
                    : add_device(p, p->device_count, "%s,chardev=%s", device, name);
}

static int add_devices(struct qemu_plan *p, const struct config *c, const struct qemu_ends *ends)
{
        bool copy = c->template == CONFIG_TEMPLATE_USE;
        int r = 0;
        if (copy)
                r = add_own(p, true, VSOCK_SLOT, ends->vsock, QEMU_VSOCK, "vsock", NULL, VSOCK_QUEUES);
        for (unsigned i = 0; i < c->disk_count && r == 0; i++)
                r = add_disk(p, &c->disks[i], i);
        if (r == 0 && c->net_fd >= 0) {
                hand_over(p, c->net_fd, QEMU_NET);
                if ((r = add(p, "-netdev")) < 0 || (r = add(p, "socket,id=net,fd=%d", QEMU_NET)) < 0 ||
                    (r = add_device(p, p->device_count, "virtio-net-device,netdev=net,mac=%s", c->mac)) < 0)
                        return r;
        }
        if (r == 0 && ends->fs >= 0) /* a request of 512 KiB is 128 pages and a few more */
                r = add_own(p, copy, FS_SLOT, ends->fs, QEMU_FS, "fs",
                            "vhost-user-fs-device,queue-size=256,tag=" VIRTIO_FS_TAG, FS_QUEUES);
        if (r == 0 && ends->vsock >= 0 && !copy)
                r = add_own(p, false, 0, ends->vsock, QEMU_VSOCK, "vsock", "vhost-user-vsock-device", 0);
        return r;
}

/* Where QEMU speaks: the guest's console, its own words, and its monitor. */
static int add_words_out(struct qemu_plan *p, const struct qemu_ends *ends)
{
        int r;
        hand_over(p, ends->console, QEMU_CONSOLE);
        hand_over(p, ends->words, 2);
        if ((r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=console,fd=%d", QEMU_CONSOLE)) < 0 ||
            (r = add(p, "-serial")) < 0 || (r = add(p, "chardev:console")) < 0 || ends->monitor < 0)
                return r;
        hand_over(p, ends->monitor, QEMU_MONITOR);
        if ((r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=monitor,fd=%d", QEMU_MONITOR)) < 0 ||
            (r = add(p, "-mon")) < 0 || (r = add(p, "chardev=monitor,mode=control")) < 0)
                return r;
        return 0;
}

/* The guest begins where the template stands. */
static int add_incoming(struct qemu_plan *p, const struct config *c)
{
        int r;
        hand_over(p, c->template_state_fd, QEMU_STATE);
        if ((r = add(p, "-incoming")) < 0 || (r = add(p, "defer")) < 0)
                return r;
        return 0;
}

/* microvm without ACPI has eight slots for virtio devices, whatever else it is told. */
static int check_slots(const struct qemu_plan *p, struct error *err)
{
        if (p->device_count <= QEMU_SLOTS)
                return 0;
        return error_set(
            err, -E2BIG,
            "the engine qemu has room for %d devices, and this box needs %u: mount fewer volumes", QEMU_SLOTS,
            p->device_count);
}

int qemu_plan_make(const struct config *config, const struct qemu_ends *ends, struct qemu_plan *ret_plan,
                   struct error *err)
{
        struct qemu_plan p = {.word_count = 0};
        int r;
        if ((r = add_machine(&p, config, ends)) < 0 || (r = add_devices(&p, config, ends)) < 0 ||
            (r = add_words_out(&p, ends)) < 0) {
                qemu_plan_done(&p);
                return error_errno(err, r, "make the command line of QEMU");
        }
        r = check_slots(&p, err);
        if (r == 0) {
                r = config->template == CONFIG_TEMPLATE_USE ? add_incoming(&p, config)
                                                            : add_kernel(&p, config);
                if (r < 0)
                        (void)error_errno(err, r, "make the command line of QEMU");
        }
        if (r < 0) {
                qemu_plan_done(&p);
                return r;
        }
        *ret_plan = p;
        return 0;
}

/* The options of ours that may name a descriptor. Others (-append) hold text of the caller's. */
static bool takes_descriptor(const char *option)
{
        return strcmp(option, "-chardev") == 0 || strcmp(option, "-netdev") == 0 ||
               strcmp(option, "-add-fd") == 0;
}

static bool names_one_given(const struct qemu_plan *plan, const char *word)
{
        const char *named = strstr(word, "fd=");
        bool found = named == NULL;
        for (unsigned i = 0; i < plan->fd_count && !found; i++)
                found = plan->fds[i].to == atoi(named + 3);
        return found;
}

int qemu_plan_check(const struct qemu_plan *plan, struct error *err)
{
        for (unsigned i = 0; i < plan->fd_count; i++) {
                if (plan->fds[i].from < 0)
                        return error_set(err, -EINVAL, "descriptor %d of QEMU is missing", plan->fds[i].to);
                for (unsigned j = 0; j < i; j++) {
                        if (plan->fds[i].to == plan->fds[j].to)
                                return error_set(err, -EINVAL, "descriptor %d of QEMU has two meanings",
                                                 plan->fds[i].to);
                }
        }
        for (unsigned i = 1; i < plan->word_count; i++) {
                if (takes_descriptor(plan->words[i - 1]) && !names_one_given(plan, plan->words[i]))
                        return error_set(err, -EINVAL, "QEMU's word '%s' names a descriptor it does not get",
                                         plan->words[i]);
        }
        return 0;
}

void qemu_plan_done(struct qemu_plan *plan)
{
        for (unsigned i = 0; i < plan->word_count; i++)
                free(plan->words[i]);
        plan->word_count = 0;
}
