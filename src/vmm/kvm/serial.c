/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers that Linux' 8250 driver looks at (drivers/tty/serial/8250/8250_port.c): it finds the port by
 * IER keeping its bits and by the loop-back of the modem lines, then writes whenever the transmitter is
 * empty, which here is always. "Empty" is an interrupt each time it is asked for and after each byte. Nothing
 * is ever received.
 */
#include "vmm/kvm/serial.h"

enum { DATA = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCRATCH = 7 };

#define LCR_DIVISOR     0x80
#define IER_EMPTY       0x02
#define IIR_NONE        0x01
#define IIR_EMPTY       0x02
#define LSR_EMPTY       0x60 /* holding register and transmitter */
#define MCR_LOOP        0x10
#define MSR_ALL_PRESENT 0xb0 /* carrier, data set ready, clear to send */

/* With the loop closed, the four outputs come back as the four inputs. */
static uint8_t modem_status(const struct serial *s)
{
        uint8_t m = s->modem_control;
        if (!(m & MCR_LOOP))
                return MSR_ALL_PRESENT;
        return (uint8_t)((m & 1) << 5 | (m & 2) << 3 | (m & 4) << 4 | (m & 8) << 4);
}

static void ask_for_more(struct serial *s)
{
        if (!(s->interrupt_enable & IER_EMPTY))
                return;
        s->empty_pending = true;
        s->interrupt(s->data);
}

static uint8_t take_cause(struct serial *s)
{
        bool pending = s->empty_pending;
        s->empty_pending = false; /* reading it acknowledges it */
        return pending ? IIR_EMPTY : IIR_NONE;
}

uint8_t serial_read(struct serial *s, unsigned port)
{
        bool divisor = (s->line_control & LCR_DIVISOR) != 0;
        switch (port) {
        case DATA:
                return divisor ? s->divisor[0] : 0;
        case IER:
                return divisor ? s->divisor[1] : s->interrupt_enable;
        case IIR_FCR:
                return take_cause(s);
        case LCR:
                return s->line_control;
        case MCR:
                return s->modem_control;
        case LSR:
                return LSR_EMPTY;
        case MSR:
                return modem_status(s);
        case SCRATCH:
                return s->scratch;
        default:
                return UINT8_MAX;
        }
}

void serial_write(struct serial *s, unsigned port, uint8_t value)
{
        bool divisor = (s->line_control & LCR_DIVISOR) != 0;
        switch (port) {
        case DATA:
                if (divisor) {
                        s->divisor[0] = value;
                } else if (!(s->modem_control & MCR_LOOP)) {
                        s->output(s->data, value);
                        ask_for_more(s);
                }
                break;
        case IER:
                if (divisor) {
                        s->divisor[1] = value;
                } else {
                        s->interrupt_enable = value & 0x0f;
                        ask_for_more(s);
                }
                break;
        case LCR:
                s->line_control = value;
                break;
        case MCR:
                s->modem_control = value & 0x1f;
                break;
        case SCRATCH:
                s->scratch = value;
                break;
        default:
                break; /* FIFO control and what is read-only */
        }
}
