/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

/*
 * What the files of this component share: the handles, and how the exported functions pass errors on. Nothing
 * outside src/runtime includes this; clients see include/boxlet.h only.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"
#include "image/image.h"
#include "runtime/places.h"
#include "runtime/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct boxlet {
        atomic_uint references; /* the handle itself, and one for each box and process handle */
        char *home;             /* absolute */
        int home_fd, boxes_fd, images_fd;
        char *registries;          /* path of the registries file, or NULL */
        struct places places;      /* programs and kernels */
        pthread_mutex_t lock;      /* over the two below: box handles may be used from several threads */
        struct state *state;       /* the database */
        struct image_store *store; /* opened at first use */
};

struct boxlet_box {
        struct boxlet *boxlet;
        char id[STATE_ID_LENGTH + 1];
        char *name;
        bool removed;
};

void boxlet_ref(struct boxlet *b);
void boxlet_unref(struct boxlet *b);

/* The image store, opened now if it was not; lent. The caller holds b->lock, or is alone with b. */
int boxlet_store(struct boxlet *b, struct image_store **ret_store, struct error *err);

/* Whether a box uses an image: an image_in_use_fn whose data is the struct boxlet. The caller holds b->lock,
 * and has called collect(): a record whose box removed itself keeps no image. */
int images_in_use(const char *id, void *data);

/* The folder boxes/<id>; -ENOENT when the box is gone. */
int box_open_folder(struct boxlet *b, const char *id, int *ret_fd, struct error *err);

/* A handle of a record. */
int box_new(struct boxlet *b, const struct state_box *record, struct boxlet_box **ret_box, struct error *err);

/* Asks the box's monitor (the request is taken); -ESRCH when the box is not running. what: "stop", ... */
int box_ask(struct boxlet_box *box, const char *what, json_t *request, int64_t timeout_ms, struct error *err);

/* Hands r and err to the client: fills *error (may be NULL) when r is negative. Returns r. */
int api_result(struct boxlet_error *error, const struct error *err, int r);

/*
 * Copies a sized struct of the client over `target`, which holds the defaults: an older client's is shorter,
 * a newer client's may be longer as long as what we do not know is zero.
 */
int api_options(void *target, size_t target_size, const void *given, const char *what, struct error *err);

/* Observer of src/image that calls the client's progress function. */
struct api_progress {
        boxlet_progress_fn fn;
        void *data;
        struct image_observer observer;
};
const struct image_observer *api_observer(struct api_progress *progress, boxlet_progress_fn fn, void *data);

#endif
