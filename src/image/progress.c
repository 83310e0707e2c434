/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller's observer is told; always from the thread that made the call. */
#include "image/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int tell(const struct image_observer *observer, const struct image_progress *progress,
                struct error *err)
{
        if (observer == NULL || observer->fn == NULL || observer->fn(progress, observer->data) == 0)
                return 0;
        return error_set(err, -ECANCELED, "stopped as asked");
}

int progress_message(const struct image_observer *observer, struct error *err, const char *format, ...)
{
        char text[512];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args); /* cut if longer */
        va_end(args);
        struct image_progress progress = {.kind = IMAGE_PROGRESS_MESSAGE, .text = text};
        return tell(observer, &progress, err);
}

int progress_idle(const struct image_observer *observer, struct error *err)
{
        struct image_progress progress = {.kind = IMAGE_PROGRESS_MESSAGE};
        return tell(observer, &progress, err);
}

int progress_bytes(const struct image_observer *observer, enum image_progress_kind kind, const char *item,
                   uint64_t done, uint64_t total, struct error *err)
{
        struct image_progress progress = {.kind = kind, .item = item, .done = done, .total = total};
        return tell(observer, &progress, err);
}
