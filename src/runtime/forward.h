/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_FORWARD_H
#define RUNTIME_FORWARD_H

/*
 * Unix sockets of the host that lead into a box. A box's configuration has `forwards`: [{"path", "unix"}];
 * the socket is made at each start and goes with the box's run. The caller of each function holds b->lock, or
 * is alone with b.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "runtime/runtime.h"

#define FORWARDS_MAX 16

/* The engine's socket in a box. */
#define FORWARD_DOCKER "/var/run/docker.sock"

/* `forwards` of the configuration for --docker-socket: path made absolute, its folder there, nothing of that
 * name there. path NULL: an empty array. */
int forward_plan(struct boxlet *b, const char *path, json_t **ret_forwards, struct error *err);

struct forward_set {
        struct forward {
                int fd;                        /* listening */
                const char *path, *guest_path; /* lent by the configuration */
                struct path_mark mark;         /* of the file at path */
        } entries[FORWARDS_MAX];
        size_t count;
};

/* Makes the sockets. What a box of ours that is dead left under such a name is removed first. */
int forward_listen(struct boxlet *b, const json_t *forwards, struct forward_set *ret_set, struct error *err);

/* Closes the descriptors; handed_over: somebody else serves the sockets, else they are removed. */
void forward_done(struct forward_set *set, bool handed_over);

/* `forwards` of box.json: the monitor gets the first as descriptor first_fd. NULL when out of memory. */
json_t *forward_box_json(const struct forward_set *set, int first_fd);

/* Removes what the last run of a box left; the caller holds the box's lock. */
void forward_sweep(int box_fd);

#endif
