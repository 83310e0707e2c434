/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_QEMU_QMP_H
#define VMM_QEMU_QMP_H

#include "base/loop.h"

/*
 * A short dialogue with QEMU's monitor (QMP): commands that are all sent at once, and the event that says
 * that they have had their effect. Nothing else is asked: a refused command ends it.
 */
struct qmp;

/* why NULL: the event has come; else what went wrong, in words. Comes at most once: a connection that QEMU
 * closes says nothing, QEMU's end tells more. The qmp may be freed in it. */
typedef void (*qmp_fn)(void *data, const char *why);

struct qmp_dialogue {
        const char *commands; /* JSON documents, "qmp_capabilities" first; at most a socket's buffer */
        int passed_fd;        /* goes with them, for "getfd"; stays the caller's; -1: none */
        const char *event;    /* "RESUME"; with a status in its data, "MIGRATION completed" */
};

/* The socket stays the caller's and is not blocking afterwards. */
int qmp_new(struct loop *loop, int socket, const struct qmp_dialogue *dialogue, qmp_fn done, void *data,
            struct qmp **ret_qmp);
void qmp_free(struct qmp *q);

/* One line of QEMU's: 1 if it is the event, 0 if it is to be passed over, below 0 with what is wrong. */
int qmp_judge(const char *line, size_t size, const char *event, struct error *err);

#endif
