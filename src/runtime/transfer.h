/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_TRANSFER_H
#define RUNTIME_TRANSFER_H

/* A work connection that carries files or a report (docs/protocol.md, section 4), as calls that wait. */
#include "base/error.h"
#include "base/json.h"
#include "runtime/runtime.h"

#include <stddef.h>
#include <stdint.h>

struct transfer;

/* Who is told of the bytes, and may cancel; fn may be NULL. total: 0 if it is not known. */
struct transfer_watch {
        boxlet_progress_fn fn;
        void *data;
        const char *item; /* what the bar is called */
        uint64_t total;
};

/*
 * Asks the agent of a running box (request is borrowed) and waits for its first answer, which goes to
 * *ret_reply (may be NULL). What the agent says in an ERROR is in err; nobody in the box to answer is
 * -ETIMEDOUT or -ECONNREFUSED. watch may be NULL.
 */
int transfer_open(int box_fd, const json_t *request, const struct transfer_watch *watch,
                  struct transfer **ret_transfer, json_t **ret_reply, struct error *err);
/* Ends the connection, whatever is on it. */
void transfer_free(struct transfer *t);

/* Of struct pack_sink and struct tar_source; data is the transfer. */
int transfer_write(void *data, const void *bytes, size_t size, struct error *err);
int transfer_read(void *data, void *bytes, size_t size, struct error *err);

/* Nothing more is sent. */
int transfer_end_input(struct transfer *t, struct error *err);

/* Everything up to the end of the stream, at most maximum bytes; free() it. */
int transfer_read_all(struct transfer *t, size_t maximum, char **ret_bytes, size_t *ret_size,
                      struct error *err);

/* Waits for the agent's last word: only then all is done. What is still in the stream is thrown away. */
int transfer_finish(struct transfer *t, struct error *err);

static inline void cleanup_transfer_p(struct transfer **t)
{
        transfer_free(*t);
}
#define cleanup_transfer __attribute__((cleanup(cleanup_transfer_p)))

#endif
