/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_FORWARD_H
#define MONITOR_FORWARD_H

#include "base/error.h"
#include "base/loop.h"
#include "monitor/config.h"

/*
 * Unix sockets of the host that lead to unix sockets in the box (docs/protocol.md, sections 4 and 6). The
 * starter made them; connections wait until forwards_open().
 */
struct forwards;

/* Takes over the descriptors that config names. */
int forwards_new(struct loop *loop, int box_fd, const struct config *config, struct forwards **ret_forwards,
                 struct error *err);

/* Init runs: connections are let in from now on. */
void forwards_open(struct forwards *forwards);

/* Init is gone: connections end, and new ones wait until forwards_open(). */
void forwards_shut(struct forwards *forwards);

/* Ends every connection and removes the sockets, if they still are the ones that were made. NULL is fine. */
void forwards_free(struct forwards *forwards);

#endif
