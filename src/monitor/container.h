/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_CONTAINER_H
#define MONITOR_CONTAINER_H

#include "base/error.h"
#include "base/loop.h"
#include "monitor/config.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The container's processes as one: its foreground. That is init, or, where box.json has a command, the
 * command, which begins when init runs.
 */

struct container;

struct container_ops {
        /* The foreground runs; pid is init's. */
        void (*started)(int64_t pid, void *data);
        /* Something could not be started, or init ended before the command or took it along; exit_code is
         * what the box ends with. */
        void (*failed)(const struct error *err, int exit_code, void *data);
        /* stream is a sum of LOGFILE_*; foreground: it is what attached clients see. size 0: its end. */
        void (*output)(unsigned stream, bool foreground, const void *bytes, size_t size, void *data);
        /* The foreground ended. */
        void (*exited)(const struct frame_exit *status, void *data);
        /* Init, which went on after the command had ended, has ended too. */
        void (*wound_down)(void *data);
        /* The queue of what was sent to the foreground is empty again after having been long. */
        void (*drained)(void *data);
        /* A connection ended without a word that explains it. */
        void (*lost)(const char *what, const struct error *err, void *data);
        /* No connection is left. The last call, and the container may be freed in it. */
        void (*gone)(void *data);
};

/* Connects to the agent through box_fd/vsock.sock and asks for init. rows and columns 0: not known. config is
 * borrowed; its specification is needed until started(). */
int container_new(struct loop *loop, int box_fd, const struct config *config, uint16_t rows, uint16_t columns,
                  const struct container_ops *ops, void *data, struct container **ret_container,
                  struct error *err);
void container_free(struct container *container);

/* Sends a frame (STDIN, RESIZE, SIGNAL) to the foreground. 0 or -errno. */
int container_send(struct container *container, enum frame_type type, const void *payload, size_t size);

/* SIGKILL for init, which takes everything along. */
int container_kill(struct container *container);

/* Asks init to end, after exited(). False: there is nothing to wait for; else wound_down() follows, if init
 * obeys. */
bool container_wind_down(struct container *container, int signal);

/* True while what was sent to the foreground is above the mark: the senders are to wait for drained(). */
bool container_is_full(const struct container *container);

/* Stops and resumes taking the foreground's output in. */
void container_pause(struct container *container, bool paused);

#endif
