/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border between libboxlet and its client: errors out, sized structs in, progress through. What comes in
 * here is the client's own and trusted to be valid memory, but may have been compiled against another version
 * of the header.
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(((struct error *)0)->text) == sizeof(((struct boxlet_error *)0)->text),
               "errors are handed out without loss");

#define STRINGIFY(x)     #x
#define VERSION(a, b, c) STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

/* A client's struct larger than this is no struct of ours. */
#define OPTIONS_SIZE_MAX 4096

const char *boxlet_version(void)
{
        return VERSION(BOXLET_VERSION_MAJOR, BOXLET_VERSION_MINOR, BOXLET_VERSION_PATCH);
}

void boxlet_free(void *memory)
{
        free(memory);
}

int api_result(struct boxlet_error *error, const struct error *err, int r)
{
        if (r >= 0 || error == NULL)
                return r;
        error->code = r;
        if (err->text[0] != '\0')
                memcpy(error->text, err->text, sizeof(error->text));
        else
                (void)snprintf(error->text, sizeof(error->text), "%s", strerror(-r));
        return r;
}

int api_options(void *target, size_t target_size, const void *given, const char *what, struct error *err)
{
        size_t size;
        if (given == NULL)
                return 0;
        memcpy(&size, given, sizeof(size));
        if (size < sizeof(size) || size > OPTIONS_SIZE_MAX)
                return error_set(err, -EINVAL, "read %s: its size member is %zu; set it with the _INIT macro",
                                 what, size);
        for (size_t i = target_size; i < size; i++) {
                if (((const char *)given)[i] != 0)
                        return error_set(
                            err, -E2BIG,
                            "read %s: this libboxlet (%s) is older than the header it is used with", what,
                            boxlet_version());
        }
        memcpy(target, given, size < target_size ? size : target_size);
        memcpy(target, &target_size, sizeof(target_size));
        return 0;
}

static int pass_on(const struct image_progress *progress, void *data)
{
        const struct api_progress *p = data;
        struct boxlet_progress out = {
            .size = sizeof(out),
            .kind = (enum boxlet_progress_kind)progress->kind,
            .item = progress->item,
            .text = progress->text,
            .done = progress->done,
            .total = progress->total,
        };
        return p->fn(&out, p->data);
}

_Static_assert((int)IMAGE_PROGRESS_LAYER == (int)BOXLET_PROGRESS_LAYER &&
                   (int)IMAGE_PROGRESS_CONVERT == (int)BOXLET_PROGRESS_CONVERT &&
                   (int)IMAGE_PROGRESS_MESSAGE == (int)BOXLET_PROGRESS_MESSAGE,
               "kinds are passed on by number");

const struct image_observer *api_observer(struct api_progress *progress, boxlet_progress_fn fn, void *data)
{
        if (fn == NULL)
                return NULL;
        *progress = (struct api_progress){.fn = fn, .data = data, .observer = {.fn = pass_on}};
        progress->observer.data = progress;
        return &progress->observer;
}
