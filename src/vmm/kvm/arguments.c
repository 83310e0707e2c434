/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel is told: reboot by the keyboard controller's line, which is one write to a port (a triple
 * fault then is a crash and nothing else); at once after a panic; no tests of itself and no calibrations,
 * since kvmclock knows; where its devices are. Without a serial port its driver is not to look for one: that
 * is some twenty exits. The initramfs becomes a ramfs, which has no file handles: what is of it in /proc
 * leads nobody further.
 */
#include "vmm/kvm/arguments.h"

#include "vmm/kvm/layout.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMON                                                                                        \
        "reboot=k panic=-1 tsc=reliable no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1 " \
        "cryptomgr.notests noreplace-smp swiotlb=noforce rootfstype=ramfs"

/* KVM's local APIC timer counts at 1 GHz; kernel/README.md has the argument. */
#define TIMER " lapic_timer_hz=1000000000"

char *arguments_make(const struct arguments *a)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        if (f == NULL)
                return NULL;
        (void)fputs(a->debug_console ? "console=ttyS0 " : "console=hvc0 quiet 8250.nr_uarts=0 ", f);
        (void)fputs(COMMON, f);
        if (!a->tsc_deadline)
                (void)fputs(TIMER, f);
        for (unsigned i = 0; i < a->devices; i++)
                (void)fprintf(f, " virtio_mmio.device=4K@0x%x:%u", LAYOUT_DEVICES + i * LAYOUT_PAGE,
                              LAYOUT_IRQ(i));
        if (a->own != NULL && a->own[0] != '\0')
                (void)fprintf(f, " %s", a->own);
        if (fclose(f) != 0) { /* tells whether any of it failed */
                free(text);
                return NULL;
        }
        return text;
}
