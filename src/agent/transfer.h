/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_TRANSFER_H
#define AGENT_TRANSFER_H

#include "agent/job.h"

/* Work connections that carry files or a report instead of a process's streams: archive, extract, export,
 * changes, processes, stats (docs/protocol.md, section 4). */

/* What the work is given, in a process of its own. */
struct transfer_call {
        const struct agent *agent;
        const json_t *request;
        int data_fd;   /* stream socket: bytes to the host and from it */
        int status_fd; /* for transfer_accept() */
};

/* Whether `op` is one of these. */
bool transfer_knows(const char *op);

/* Takes the job's connection over. */
int transfer_begin(struct job *job, const char *op, json_t *request, struct error *err);
void transfer_free(struct transfer *transfer);

/* The job's callbacks. Each may free the job, as its last act. */
int transfer_frame(struct transfer *transfer, const struct frame *frame, struct error *err);
void transfer_drained(struct transfer *transfer);
void transfer_closed(struct transfer *transfer);

/* Ends it now; the host hears why. May free the job. */
void transfer_stop(struct transfer *transfer);

/* In the work's process: the request is good: REPLY with this document (taken, may be NULL), then bytes. */
int transfer_accept(const struct transfer_call *call, json_t *reply, struct error *err);

/* Of data_fd, for struct pack_sink and struct tar_source; data is the call. */
int transfer_write(void *data, const void *bytes, size_t size, struct error *err);
int transfer_read(void *data, void *bytes, size_t size, struct error *err);

/* Moves this process into the container's mount namespace, if there is a container, and opens its root. */
int transfer_enter(const struct transfer_call *call, int *ret_root_fd, struct error *err);

/* The work itself. */
int copy_archive(const struct transfer_call *call, struct error *err);
int copy_extract(const struct transfer_call *call, struct error *err);
int copy_export(const struct transfer_call *call, struct error *err);
int changes_tell(const struct transfer_call *call, struct error *err);
int report_processes(const struct transfer_call *call, struct error *err);
int report_stats(const struct transfer_call *call, struct error *err);

#endif
