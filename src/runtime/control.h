/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_CONTROL_H
#define RUNTIME_CONTROL_H

/* Asking a box's monitor one thing (docs/protocol.md, section 5), and dealing with one that does not answer.
 */
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Connects to box_fd/control.sock. -ECONNREFUSED or -ENOENT: no monitor is there. */
int control_connect(int box_fd, int *ret_fd, struct error *err);

/* Sends a request and waits for its reply, at most timeout_ms: -ETIMEDOUT. ret_reply may be NULL. */
int control_ask(int box_fd, const json_t *request, int64_t timeout_ms, json_t **ret_reply, struct error *err);

/*
 * The monitor that state.json names, as a pidfd: only if it is that very process (start time and boot id).
 * -ESRCH when it is not there any more, -ENOENT when state.json names none.
 */
int control_monitor_pidfd(int box_fd, int *ret_pidfd);

/* The same as a number: it may be another process's a moment later. */
int control_monitor_pid(int box_fd, pid_t *ret_pid);

/* Waits until the monitor is gone, at most timeout_ms. 0, -ETIMEDOUT, or another error of waiting. */
int control_wait_gone(int box_fd, int64_t timeout_ms);

/* Kills the monitor; machine and network end with it. */
int control_kill_monitor(int box_fd, struct error *err);

#endif
