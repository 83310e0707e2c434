/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_PORTS_H
#define VMM_KVM_PORTS_H

#include "base/loop.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/tail.h"

/*
 * The machine's I/O ports: reset, exit, boot timer, and a serial port if there is to be one. All others are
 * empty: they read as all ones.
 */
struct ports;

struct ports_options {
        int serial_fd;                  /* gets what the serial port says; -1: there is none */
        uint64_t serial_limit;          /* at most so many bytes of it */
        void (*serial_irq)(void *data); /* raises its line; from any vCPU's thread */
        /* The guest wrote to the boot timer's port; from its vCPU's thread. */
        void (*timer)(void *data, uint8_t value);
        void *data;
};

int ports_new(struct loop *loop, const struct ports_options *options, struct ports **ret_ports);
void ports_free(struct ports *p);

/* As in struct vcpu_events; from any thread. */
bool ports_access(struct ports *p, bool write, uint16_t port, void *bytes, size_t size,
                  enum vcpu_end *ret_end);

/* The byte that the exit port got. */
uint8_t ports_exit_code(const struct ports *p);

/* Writes out what the serial port said, on the loop's thread, when no vCPU runs any more. */
void ports_end(struct ports *p);

/* Calls fn with each port that was used, and how often. */
void ports_count(const struct ports *p, void (*fn)(void *data, uint16_t port, uint32_t count), void *data);

#endif
