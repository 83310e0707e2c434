/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_BOX_H
#define MONITOR_BOX_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>

/* One start of a box, from box.json to the freed lock. */

struct box;

struct box_plan {
        int box_fd;    /* the box's folder; borrowed */
        int lock_fd;   /* held flock, given up when the box is down; borrowed */
        int client_fd; /* the first client, taken; -1: none */
        int log_fd;    /* monitor.log; borrowed */
        bool hold;     /* init waits for a client's word */
};

/* Starts it. What goes wrong from here on is told to clients and in state.json: below 0 only when not even
 * that is possible. When all is over the loop is quit. */
int box_new(struct loop *loop, const struct box_plan *plan, struct box **ret_box, struct error *err);
void box_free(struct box *box);

#endif
