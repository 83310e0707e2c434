/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_PROGRESS_H
#define IMAGE_PROGRESS_H

#include "image/image.h"

/* Telling the observer (which may be NULL). All return 0, or -ECANCELED with err filled when it wants to
 * stop. */
int progress_message(const struct image_observer *observer, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Nothing to tell; only asks whether to go on: a message without text. */
int progress_idle(const struct image_observer *observer, struct error *err);
int progress_bytes(const struct image_observer *observer, enum image_progress_kind kind, const char *item,
                   uint64_t done, uint64_t total, struct error *err);

#endif
