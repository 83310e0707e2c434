/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_DIAL_H
#define RUNTIME_DIAL_H

#include <stdint.h>

/*
 * A connection to the work port of the box's agent through vsock.sock in its folder (docs/protocol.md,
 * section 1), waiting until deadline_ms (clock_monotonic_ms()). *ret_fd is non-blocking; what comes after the
 * answer line has not been read. -EAGAIN: no room among the machine's new connections all the time;
 * -ETIMEDOUT: it does not answer; -ECONNREFUSED: nobody in it does; -EPROTO: it said something else than OK.
 */
int dial_work(int box_fd, int64_t deadline_ms, int *ret_fd);

#endif
