/* SPDX-License-Identifier: Apache-2.0 */
/* The exported functions about snapshots. */
#include "runtime/snapshot.h"

#include "runtime/collect.h"
#include "runtime/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "20260131-175959", with -2, -3, ... when there is one of that second. */
static int make_name(struct boxlet_box *box, char ret_name[32], struct error *err)
{
        struct boxlet *b = box->boxlet;
        char base[20];
        struct tm tm;
        time_t now = time(NULL);
        int r = 0;
        if (localtime_r(&now, &tm) == NULL || strftime(base, sizeof(base), "%Y%m%d-%H%M%S", &tm) == 0)
                return error_set(err, -EINVAL, "make a name: the clock is beyond all years");
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        for (int i = 1; r == 0 && i < 1000; i++) {
                cleanup_state_snapshot struct state_snapshot known = {0};
                (void)snprintf(ret_name, 32, i == 1 ? "%s" : "%s-%d", base, i); /* 19 and 4 characters */
                r = state_snapshot_find(b->state, box->id, ret_name, &known, err);
        }
        (void)pthread_mutex_unlock(&b->lock);
        return r == -ENOENT ? 0 : r == 0 ? error_set(err, -EEXIST, "make a name: all are taken") : r;
}

static int create(struct boxlet_box *box, const struct boxlet_snapshot_options *o, char **ret_name,
                  struct error *err)
{
        char made_up[32];
        const char *name = o->name != NULL ? o->name : made_up;
        int r = o->name != NULL ? words_check_name(name, err) : make_name(box, made_up, err);
        if (r == 0)
                r = snapshot_make(box, name, o->timeout_ms, err);
        if (r == 0 && ret_name != NULL && (*ret_name = strdup(name)) == NULL)
                r = error_set(err, -ENOMEM, "tell its name: out of memory");
        return r;
}

int boxlet_snapshot_create(struct boxlet_box *box, const struct boxlet_snapshot_options *options,
                           char **ret_name, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_snapshot_options defaults = BOXLET_SNAPSHOT_OPTIONS_INIT, o = defaults;
        int r =
            options == NULL ? 0 : api_options(&o, sizeof(o), options, "struct boxlet_snapshot_options", &err);
        if (r == 0) {
                r = create(box, &o, ret_name, &err);
                if (r < 0)
                        (void)error_wrap(&err, "snapshot box '%s'", box->name);
        }
        return api_result(error, &err, r);
}

int boxlet_snapshot_restore(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = words_check_name(name, &err);
        if (r == 0)
                r = snapshot_restore(box, name, &err);
        if (r < 0)
                (void)error_wrap(&err, "restore box '%s'", box->name);
        return api_result(error, &err, r);
}

int boxlet_snapshot_remove(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = words_check_name(name, &err);
        if (r == 0)
                r = snapshot_remove(box, name, &err);
        if (r < 0)
                (void)error_wrap(&err, "remove snapshot of box '%s'", box->name);
        return api_result(error, &err, r);
}

/* ---- list ---- */

static json_t *time_json(int64_t ns)
{
        struct tm tm;
        char text[40];
        time_t seconds = (time_t)(ns / 1000000000);
        if (gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return json_null();
        return json_string(text);
}

static int append(struct boxlet *b, const struct state_snapshot *snapshot, json_t *array, struct error *err)
{
        cleanup_state_box struct state_box box = {0};
        int r = state_find(b->state, snapshot->box_id, &box, err);
        if (r < 0)
                return r == -ENOENT ? 0 : r; /* removed a moment ago */
        json_t *one =
            json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:b}", "Box", box.name, "BoxId", box.id, "Name",
                      snapshot->name, "CreatedAt", time_json(snapshot->created_ns), "Size",
                      (json_int_t)snapshot->size_bytes, "Allocated",
                      (json_int_t)snapshot_allocated(b, snapshot), "Running", (int)snapshot->running);
        return json_array_append_new(array, one) < 0
                   ? error_set(err, -ENOMEM, "list snapshots: out of memory")
                   : 0;
}

static int list(struct boxlet *b, const char *box_name, char **ret_json, struct error *err)
{
        cleanup_state_box struct state_box box = {0};
        cleanup_json json_t *array = json_array();
        struct state_snapshot *snapshots;
        size_t count;
        int r = box_name == NULL ? 0 : state_find(b->state, box_name, &box, err);
        if (r == 0)
                r = state_snapshot_list(b->state, box_name == NULL ? NULL : box.id, &snapshots, &count, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < count; i++)
                r = append(b, &snapshots[i], array, err);
        state_snapshot_list_free(snapshots, count);
        if (r < 0)
                return r;
        *ret_json = json_dumps(array, JSON_INDENT(4));
        return *ret_json == NULL ? error_set(err, -ENOMEM, "list snapshots: out of memory") : 0;
}

int boxlet_snapshot_list(struct boxlet *b, const char *box, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        collect(b);
        int r = list(b, box, ret_json, &err);
        (void)pthread_mutex_unlock(&b->lock);
        return api_result(error, &err, r);
}
