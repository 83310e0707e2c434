/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet_box_clone: a new box of another's configuration and disk. */
#include "runtime/adopt.h"
#include "runtime/collect.h"
#include "runtime/snapshot.h"

#include <errno.h>

/* The box's record as it is now. */
static int find_record(struct boxlet_box *box, struct state_box *ret_record, struct error *err)
{
        struct boxlet *b = box->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        collect(b);
        int r = state_find(b->state, box->id, ret_record, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

static int clone_box(struct boxlet_box *box, const struct boxlet_clone_options *o,
                     struct boxlet_box **ret_box, struct error *err)
{
        cleanup_state_box struct state_box record = {0};
        cleanup_adoption struct adoption adoption = {0};
        bool running;
        int r = find_record(box, &record, err);
        if (r == 0)
                r = adopt_begin(box->boxlet, o->name, &adoption, err);
        if (r == 0 && o->snapshot != NULL)
                r = snapshot_copy_of(box, o->snapshot, adoption.box_fd, err);
        else if (r == 0)
                r = snapshot_copy_disk(box, o->timeout_ms, adoption.box_fd, &running, err);
        return r == 0 ? adopt_finish(&adoption, &record, o->name, ret_box, err) : r;
}

int boxlet_box_clone(struct boxlet_box *box, const struct boxlet_clone_options *options,
                     struct boxlet_box **ret_box, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_clone_options defaults = BOXLET_CLONE_OPTIONS_INIT, o = defaults;
        int r =
            options == NULL ? 0 : api_options(&o, sizeof(o), options, "struct boxlet_clone_options", &err);
        if (r == 0) {
                r = clone_box(box, &o, ret_box, &err);
                if (r < 0)
                        (void)error_wrap(&err, "clone box '%s'", box->name);
        }
        return api_result(error, &err, r);
}
