/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PROCESS_H
#define RUNTIME_PROCESS_H

/* Process handles: a box's init by way of its monitor, or an exec by way of the agent (docs/protocol.md, 4
 * and 5). */
#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"

#include <stdbool.h>

struct process_draft {
        struct boxlet *boxlet; /* a reference is taken */
        const char *box_id, *box_name;
        const json_t *request; /* sent first; a reference is taken */
        bool is_exec;
        bool has_stdin;
        bool ends_with_us;        /* box or exec, when the connection ends */
        int64_t timeout_ms;       /* of an exec, for its message */
        const json_t *attributes; /* of an exec, for its events; a reference is taken; may be NULL */
};

/* Takes fd, a connection to the monitor (!is_exec), also on failure. */
int process_new_connected(const struct process_draft *draft, int fd, struct boxlet_process **ret_process,
                          struct error *err);

/* Connects to the agent through box_fd/vsock.sock (is_exec). */
int process_new_vsock(const struct process_draft *draft, int box_fd, struct boxlet_process **ret_process,
                      struct error *err);

/* The code `boxlet run` exits with when starting failed with this errno. */
int process_failure_code(int code);

#endif
