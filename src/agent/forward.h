/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_FORWARD_H
#define AGENT_FORWARD_H

#include "agent/job.h"

/* A work connection that is carried on to a unix socket in the container (docs/protocol.md, section 4). */
struct forward;

/* Begins to connect; the answer is sent when it is known. */
int forward_begin(struct job *job, const json_t *request, struct error *err);

/* What the job's channel tells. Each may end the job, which is freed then. */
int forward_frame(struct forward *forward, const struct frame *frame, struct error *err);
void forward_drained(struct forward *forward);
void forward_closed(struct forward *forward);

void forward_free(struct forward *forward);

#endif
