/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_VCPU_H
#define VMM_KVM_VCPU_H

#include "base/error.h"
#include "vmm/kvm/exits.h"
#include "vmm/kvm/vm.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The processors of a machine, each a thread that does nothing but KVM_RUN and what its exits ask for:
 *
 *     vcpus_new -> vcpu_set_boot() -> vcpus_go() -> vcpus_stop() -> vcpus_free()
 *                                          \-> vcpus_pause() or vcpus_hold(), vcpus_resume()
 *
 * The threads exist from vcpus_new() on and wait; nothing of the guest runs before vcpus_go().
 */
struct vcpus;

enum vcpu_end {
        VCPU_RESET,        /* the guest asked for a reset */
        VCPU_SHUTDOWN,     /* it asked for the end by the exit port */
        VCPU_TRIPLE_FAULT, /* it crashed beyond its own reach */
        VCPU_KVM_ERROR,    /* KVM cannot go on */
};

/* What a vCPU's thread calls. Each may come from all threads at once. */
struct vcpu_events {
        /* The guest's access to an address that is not memory. bytes: to fill, or what it stores. */
        void (*mmio)(void *data, bool write, uint64_t gpa, void *bytes, size_t size);
        /* The guest's access to a port. True: the machine ends, *ret_end says how. */
        bool (*port)(void *data, bool write, uint16_t port, void *bytes, size_t size, enum vcpu_end *ret_end);
        /* Once for each thread that ends by itself; that processor does not run any more. */
        void (*ended)(void *data, enum vcpu_end end, const char *text);
        /* First thing in each thread after vcpus_go(); below 0 ends the machine. NULL: nothing. */
        int (*enter)(struct error *err);
        void *data;
};

/* count processors of vm, made but not running. events is copied. */
int vcpus_new(struct vm *vm, unsigned count, const struct vcpu_events *events, struct vcpus **ret_vcpus,
              struct error *err);

/* The first processor's registers. The others wait for its start-up interrupt. */
int vcpus_set_boot(struct vcpus *v, const struct kvm_regs *regs, const struct kvm_sregs *sregs,
                   struct error *err);
int vcpus_get_boot(struct vcpus *v, struct kvm_sregs *ret_sregs, struct error *err);

void vcpus_go(struct vcpus *v);

/* Returns when every processor stands still between two instructions; resume lets them go on. Not nested.
 * None may be waiting for the caller's thread (see relay_close()). */
void vcpus_pause(struct vcpus *v);
/* The same without waiting, for the thread they may wait for: each stands still as soon as it is out of the
 * guest, and of what it had the loop's thread do. Twice is as once. */
void vcpus_hold(struct vcpus *v);
void vcpus_resume(struct vcpus *v);

/* While paused or stopped: where they all were, one line each, into text. True if none of them can ever go on
 * by itself: all halted with interrupts off. */
bool vcpus_describe(struct vcpus *v, char *text, size_t size);

/* Ends the threads. They must not be waiting for the caller's thread (see relay_close()). */
void vcpus_stop(struct vcpus *v);
void vcpus_free(struct vcpus *v);

/* Exits of all processors so far, by reason. */
void vcpus_count(const struct vcpus *v, uint64_t ret_counts[EXITS_REASONS_MAX]);

#endif
