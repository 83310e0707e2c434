/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include "base/error.h"
#include "base/loop.h"

/* Work that blocks, in a process of its own beside the loop. */
struct worker;

struct worker_ops {
        /* In the new process, a fork of this one: 0, or a negative errno with err filled. */
        int (*work)(void *data, struct error *err);
        /* In this process, from the loop: err->code is 0 when work() succeeded. May free the worker. */
        void (*done)(void *data, const struct error *err);
};

/* data and ops are borrowed. done() is called once, unless the worker is freed before. */
int worker_start(struct loop *loop, const struct worker_ops *ops, void *data, struct worker **ret_worker,
                 struct error *err);

/* In the new process: the descriptor by which its end is known. A worker that closes others keeps this one.
 */
int worker_result_fd(void);

/* Ends the process if it still works, and waits until it is gone. NULL is fine. */
void worker_free(struct worker *worker);

#endif
