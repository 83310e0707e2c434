/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_SERIAL_H
#define VMM_KVM_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * An 8250 serial port that can only speak: for --debug-console, to see what a kernel says before its virtio
 * console lives. Every byte is an exit of the guest. Pure but for its two callbacks.
 */
#define SERIAL_PORTS 8

struct serial {
        void (*output)(void *data, uint8_t byte);
        void (*interrupt)(void *data); /* raises the line, an edge */
        void *data;
        uint8_t interrupt_enable;
        uint8_t line_control;
        uint8_t modem_control;
        uint8_t scratch;
        uint8_t divisor[2];
        bool empty_pending; /* "transmitter empty" is to be reported as an interrupt's cause */
};

uint8_t serial_read(struct serial *s, unsigned port);
void serial_write(struct serial *s, unsigned port, uint8_t value);

#endif
