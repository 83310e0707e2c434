/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_FREEZE_H
#define AGENT_FREEZE_H

#include "agent/job.h"

/* The box's disk held still while the host copies it (docs/protocol.md, section 4, `freeze`). */
struct freeze;

/* Begins to freeze; the answer is sent when the file system stands still. */
int freeze_begin(struct job *job, const json_t *request, struct error *err);

/* What the job's connection tells: "thaw", or that the host has left. */
int freeze_frame(struct job *job, const struct frame *frame, struct error *err);
void freeze_host_left(struct job *job);

/* The machine is to end: thaws, without waiting for it; NULL is fine. */
void freeze_release(struct freeze *freeze);

/* Thaws and waits until that is done. NULL is fine. */
void freeze_free(struct freeze *freeze);

#endif
