/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_AGENT_HOST_H
#define UNIT_AGENT_HOST_H

#include "wire/frame.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * The agent run on this machine: in namespaces of its own instead of a guest, over unix sockets instead of
 * vsock, with a root made of busybox. What needs a machine (disks, network, reset) is left out; containers
 * are real ones.
 */
struct agent_host {
        pid_t pid;   /* the process that holds the namespaces */
        int control; /* our end of the control connection, greeted */
        int folder;
        const char *path;
        struct buffer input; /* of the control connection */
};

/* Skips the case when this machine or user cannot do it. */
void agent_host_start(struct agent_host *host);

/* Closes the control connection and waits for the end; fails the case if the agent did not end in order. */
void agent_host_stop(struct agent_host *host);

/* How a conversation on a work connection went. */
struct outcome {
        int refused; /* errno of ERROR; 0: there was a REPLY */
        char message[ERROR_TEXT_MAX];
        int pid;
        bool exited;
        int code, signal, flags;
        struct buffer out, err;
        bool out_ended, err_ended;
};
void outcome_done(struct outcome *outcome);

/* A work connection, greeted by us. */
int agent_host_connect(struct agent_host *host);
void send_frame(int fd, enum frame_type type, const void *payload, size_t size);
void send_text(int fd, enum frame_type type, const char *text);

/* Takes the next frame (payload lies in input until the next call). False at the end of the connection. */
bool next_frame(int fd, struct buffer *input, struct frame *ret_frame);

/* Reads until EXIT, ERROR or the end. */
void finish(int fd, struct outcome *ret_outcome);

/* Reads REPLY or ERROR only. */
void await_reply(int fd, struct buffer *input, struct outcome *ret_outcome);

/* One request, input (NULL: none) and the end of it, and everything up to the end. */
void converse(struct agent_host *host, const char *request, const char *input, struct outcome *ret_outcome);

/* A start request. process and extra are JSON members ("\"args\": [...]"); extra is of the spec, may be "".
 */
char *start_request(const char *process, const char *linux_extra, const char *extra);

/* Starts a container that lives until it is killed ("sleep"); fails the case if it does not. Returns the
 * connection. */
int start_sleeper(struct agent_host *host);

/* exec of `sh -c script` with more request members (", \"timeout_ms\": 5" or ""). */
void exec_script(struct agent_host *host, const char *script, const char *members,
                 struct outcome *ret_outcome);

#endif
