/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_CLIENT_H
#define MONITOR_CLIENT_H

#include "base/error.h"
#include "base/json.h"
#include "base/loop.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Those who talk to the monitor: control.sock and the connection it was born with (docs/protocol.md, 5). */

struct clients;

/* What clients ask for. */
struct clients_ops {
        void (*start)(void *data);                               /* init may be started */
        void (*stop)(int64_t timeout_ms, bool wish, void *data); /* below 0: the box's own; somebody's wish */
        int (*kill)(int signal, struct error *err, void *data);
        void (*unleashed)(void *data); /* one whose life the box's hangs on has gone */
        json_t *(*status)(void *data);
        int (*pause)(bool paused, struct error *err, void *data); /* clients_paused() follows */
        int (*update)(const json_t *request, struct error *err, void *data);
        void (*input)(const void *bytes, size_t size, void *data); /* size 0: the end */
        bool (*input_is_full)(void *data); /* then clients_resume_input() is to be called later */
        void (*resize)(uint16_t rows, uint16_t columns, void *data);
        void (*block_output)(bool blocked, void *data); /* a client does not keep up; or they all do again */
        void (*attached)(int64_t count, void *data);    /* so many are attached now; may be told twice */
        void (*idle)(void *data); /* nobody is left who is owed anything; after clients_down() only */
};

int clients_new(struct loop *loop, const struct clients_ops *ops, void *data, struct clients **ret_clients);
void clients_free(struct clients *clients);

/* Listens on box_fd/control.sock. */
int clients_listen(struct clients *clients, int box_fd, struct error *err);

/* A connection that exists already (taken, also on failure). held: the box waits for its word. */
int clients_adopt(struct clients *clients, int fd, bool held);

/* The box's story, told to those it concerns, also to those who come later. */
void clients_ready(struct clients *clients);
void clients_started(struct clients *clients, int64_t pid);
void clients_failed(struct clients *clients, const struct error *err, const char *stage, int exit_code);
void clients_exited(struct clients *clients, const struct frame_exit *status);
/* The box was paused, or goes on. */
void clients_paused(struct clients *clients, bool paused);
/* The box ended, and will be started again: who was told of the end is done with; the story begins anew. */
void clients_turn_over(struct clients *clients);
/* No new clients, and the socket file is removed. */
void clients_close_door(struct clients *clients, int box_fd);
/* The box is down: everybody gets what is owed and the end. idle() follows, perhaps at once. */
void clients_down(struct clients *clients);
/* Ends those who never said what they want. */
void clients_drop_silent(struct clients *clients);

/* Init's output. size 0: the end of that stream. */
void clients_output(struct clients *clients, bool is_stderr, const void *bytes, size_t size);
void clients_resume_input(struct clients *clients);

#endif
