/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU is started with, and why:
 *
 * - microvm without ACPI, option roms and rtc: no firmware to run, no bus to probe; the kernel is entered
 * directly (PVH) and finds its devices on its command line, where QEMU puts them. Disks come first there, so
 * they are vda, vdb, ...
 * - Everything is inherited as a descriptor. QEMU opens nothing by a path of ours, so none needs to be
 * readable for it.
 * - Guest memory is a shared memfd, because our vsock and fs devices work on it from this process
 * (vhost-user).
 * - No monitor, no QMP: a guest's reset ends QEMU (-no-reboot) with status 0, and its death is seen by its
 * pidfd.
 * - -sandbox: QEMU's own seccomp filter; it needs no new programs and no privileges after the start.
 *
 * Descriptors have fixed numbers in QEMU: 3 kernel, 4 initrd, 5 console, 6 vsock, 7 network, 8 shared
 * folders, 9 and up disks.
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

#define QEMU_SLOTS 8

enum qemu_fd {
        QEMU_KERNEL = 3,
        QEMU_INITRD,
        QEMU_CONSOLE,
        QEMU_VSOCK,
        QEMU_NET,
        QEMU_DISK,
        QEMU_FS = QEMU_DISK + CONFIG_DISKS_MAX
};

/* What the guest's kernel is told, before the caller's own words:
 * reboot by triple fault, at once after a panic; no calibrations and self-tests that an emulated CPU makes
 * slow: its local APIC timer counts at 1 GHz, and its TSC is the host's (kernel/README.md). */
#define KERNEL_ARGUMENTS                                                                         \
        "console=ttyS0 quiet reboot=t panic=-1 tsc=reliable no_timer_check random.trust_cpu=on " \
        "rcupdate.rcu_expedited=1 cryptomgr.notests noreplace-smp swiotlb=noforce lapic_timer_hz=1000000000"

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
        p->fds[p->fd_count++] =
            (struct process_fd){.from = from, .to = to}; /* at most 7 + CONFIG_DISKS_MAX */
}

static int add_machine(struct qemu_plan *p, const struct config *c)
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
            "microvm,acpi=off,x-option-roms=off,rtc=off,memory-backend=mem",
            "-global",
            "virtio-mmio.force-legacy=false", /* virtio 1 devices; QEMU's default here is the draft before it
                                               */
            "-accel",
        };
        bool emulated = c->accel == CONFIG_ACCEL_TCG;
        uint64_t kib = c->memory_bytes / 1024;
        int r;
        if ((r = add(p, "%s", c->qemu)) < 0 ||
            (r = add_words(p, words, sizeof(words) / sizeof(words[0]))) < 0 ||
            (r = add(p, "%s", emulated ? "tcg,thread=multi" : "kvm")) < 0 || (r = add(p, "-cpu")) < 0 ||
            /* with ERMS the guest copies by `rep movsb`, which is emulated byte by byte: a third of it */
            (r = add(p, "%s", emulated ? "max,-erms" : "max")) < 0 || (r = add(p, "-smp")) < 0 ||
            (r = add(p, "%u", c->cpus)) < 0 || (r = add(p, "-m")) < 0 ||
            (r = add(p, "%" PRIu64 "k", kib)) < 0 || (r = add(p, "-object")) < 0 ||
            (r = add(p, "memory-backend-memfd,id=mem,size=%" PRIu64 "k,share=on", kib)) < 0)
                return r;
        return 0;
}

static int add_kernel(struct qemu_plan *p, const struct config *c)
{
        char tsc[48] = "";
        unsigned tsc_khz = c->accel == CONFIG_ACCEL_KVM ? 0 : qemu_tsc_khz();
        int r;
        if (tsc_khz != 0)
                (void)snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", tsc_khz);
        hand_over(p, c->kernel_fd, QEMU_KERNEL);
        hand_over(p, c->initrd_fd, QEMU_INITRD);
        if ((r = add(p, "-kernel")) < 0 || (r = add(p, "/proc/self/fd/%d", QEMU_KERNEL)) < 0 ||
            (r = add(p, "-initrd")) < 0 || (r = add(p, "/proc/self/fd/%d", QEMU_INITRD)) < 0 ||
            (r = add(p, "-append")) < 0)
                return r;
        return add(p, "%s%s%s%s%s", KERNEL_ARGUMENTS, tsc, c->debug_console ? " loglevel=7" : "",
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
            (r = add(p, "-device")) < 0 || (r = add(p, "virtio-blk-device,drive=disk%u", i)) < 0)
                return r;
        return 0;
}

/* One device for all shares. A request of 512 KiB is 128 pages and a few more. */
static int add_fs(struct qemu_plan *p, int end)
{
        int r;
        hand_over(p, end, QEMU_FS);
        if ((r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=fs,fd=%d", QEMU_FS)) < 0 ||
            (r = add(p, "-device")) < 0 ||
            (r = add(p, "vhost-user-fs-device,chardev=fs,queue-size=256,tag=" VIRTIO_FS_TAG)) < 0)
                return r;
        return 0;
}

static int add_devices(struct qemu_plan *p, const struct config *c, const struct qemu_ends *ends)
{
        int r;
        for (unsigned i = 0; i < c->disk_count; i++) {
                if ((r = add_disk(p, &c->disks[i], i)) < 0)
                        return r;
        }
        if (c->net_fd >= 0) {
                hand_over(p, c->net_fd, QEMU_NET);
                if ((r = add(p, "-netdev")) < 0 || (r = add(p, "socket,id=net,fd=%d", QEMU_NET)) < 0 ||
                    (r = add(p, "-device")) < 0 ||
                    (r = add(p, "virtio-net-device,netdev=net,mac=%s", c->mac)) < 0)
                        return r;
        }
        if (ends->fs >= 0 && (r = add_fs(p, ends->fs)) < 0)
                return r;
        hand_over(p, ends->vsock, QEMU_VSOCK);
        hand_over(p, ends->console, QEMU_CONSOLE);
        hand_over(p, ends->words, 2);
        if ((r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=vsock,fd=%d", QEMU_VSOCK)) < 0 ||
            (r = add(p, "-device")) < 0 || (r = add(p, "vhost-user-vsock-device,chardev=vsock")) < 0 ||
            (r = add(p, "-chardev")) < 0 || (r = add(p, "socket,id=console,fd=%d", QEMU_CONSOLE)) < 0 ||
            (r = add(p, "-serial")) < 0 || (r = add(p, "chardev:console")) < 0)
                return r;
        return 0;
}

/* microvm without ACPI has eight slots for virtio devices, whatever else it is told. */
static int check_slots(const struct qemu_plan *p, struct error *err)
{
        unsigned devices = 0;
        for (unsigned i = 0; i < p->word_count; i++)
                devices += strcmp(p->words[i], "-device") == 0;
        if (devices <= QEMU_SLOTS)
                return 0;
        return error_set(
            err, -E2BIG,
            "the engine qemu has room for %d devices, and this box needs %u: mount fewer volumes", QEMU_SLOTS,
            devices);
}

int qemu_plan_make(const struct config *config, const struct qemu_ends *ends, struct qemu_plan *ret_plan,
                   struct error *err)
{
        struct qemu_plan p = {.word_count = 0};
        int r;
        if ((r = add_machine(&p, config)) < 0 || (r = add_kernel(&p, config)) < 0 ||
            (r = add_devices(&p, config, ends)) < 0) {
                qemu_plan_done(&p);
                return error_errno(err, r, "make the command line of QEMU");
        }
        r = check_slots(&p, err);
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
