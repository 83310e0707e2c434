/* SPDX-License-Identifier: Apache-2.0 */
/* See adopt.h. b->lock is taken here where the database is used, so that a long copy in between holds up
 * nobody. */
#include "runtime/adopt.h"

#include "base/clock.h"
#include "base/path.h"
#include "runtime/create.h"
#include "runtime/collect.h"
#include "runtime/life.h"
#include "runtime/tell.h"
#include "runtime/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define HOST_DIGITS 12 /* of the id make a host name */

static int check_free(struct boxlet *b, const char *name, struct error *err)
{
        cleanup_state_box struct state_box holder = {0};
        struct error ignored = ERROR_INIT;
        int r = words_check_name(name, err);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        r = state_find(b->state, name, &holder, &ignored);
        (void)pthread_mutex_unlock(&b->lock);
        return r == 0 && strcmp(holder.name, name) == 0
                   ? error_set(err, -EEXIST,
                               "the name '%s' is taken by box %.12s: remove it, or choose another name", name,
                               holder.id)
                   : 0;
}

int adopt_begin(struct boxlet *b, const char *name, struct adoption *ret_adoption, struct error *err)
{
        struct adoption a = {.boxlet = b, .box_fd = -1, .lock_fd = -1};
        int r = name == NULL ? 0 : check_free(b, name, err);
        if (r < 0)
                return r;
        r = create_make_id(a.id);
        if (r < 0)
                return error_errno(err, r, "make an id");
        cleanup_fd int guard = -1; /* held until we return */
        r = collect_guard(b, &guard, err);
        if (r < 0)
                return r;
        if (mkdirat(b->boxes_fd, a.id, 0700) < 0)
                return error_errno(err, -errno, "make the folder of the box");
        r = box_open_folder(b, a.id, &a.box_fd, err);
        if (r == 0)
                r = life_create(a.box_fd, err);
        if (r == 0)
                r = life_take(a.box_fd, &a.lock_fd, err);
        if (r < 0) {
                adopt_end(&a);
                return r;
        }
        *ret_adoption = a;
        return 0;
}

void adopt_end(struct adoption *a)
{
        if (a->boxlet == NULL)
                return;
        if (!a->kept)
                (void)path_remove_all_at(a->boxlet->boxes_fd, a->id); /* what stays is collected later */
        close_fd(&a->lock_fd);
        close_fd(&a->box_fd);
        a->boxlet = NULL;
}

static bool is_made_of(const char *text, const char *id)
{
        return text != NULL && strlen(text) == HOST_DIGITS && strncmp(text, id, HOST_DIGITS) == 0;
}

static int replace_member(json_t *object, const char *key, const char *old_id, const char *new_id)
{
        return is_made_of(json_string_value(json_object_get(object, key)), old_id)
                   ? json_object_set_new(object, key, json_stringn(new_id, HOST_DIGITS))
                   : 0;
}

/* HOSTNAME=... of a process's environment. */
static int replace_variable(const json_t *process, const char *old_id, const char *new_id)
{
        static const char name[] = "HOSTNAME=";
        const json_t *entry;
        json_t *env = json_object_get(process, "env");
        size_t i;
        json_array_foreach (env, i, entry) {
                const char *text = json_string_value(entry);
                if (text == NULL || strncmp(text, name, strlen(name)) != 0 ||
                    !is_made_of(text + strlen(name), old_id))
                        continue;
                if (json_array_set_new(env, i, json_sprintf("%s%.*s", name, HOST_DIGITS, new_id)) < 0)
                        return -1;
        }
        return 0;
}

/* The configuration with the host name of the new box. free() it; NULL when out of memory. */
static int renamed(const struct state_box *from, const char *new_id, char **ret_config, struct error *err)
{
        cleanup_json json_t *config = NULL;
        int r = json_parse(from->config, strlen(from->config), "the box's configuration", &config, err);
        if (r < 0)
                return r;
        json_t *spec = json_object_get(config, "spec");
        if (from->id[0] != '\0' &&
            (replace_member(config, "hostname", from->id, new_id) < 0 ||
             replace_member(spec, "hostname", from->id, new_id) < 0 ||
             replace_variable(json_object_get(spec, "process"), from->id, new_id) < 0 ||
             replace_variable(json_object_get(config, "command"), from->id, new_id) < 0))
                return error_set(err, -ENOMEM, "make its configuration: out of memory");
        *ret_config = json_print(config, NULL);
        return *ret_config == NULL ? error_set(err, -ENOMEM, "make its configuration: out of memory") : 0;
}

int adopt_finish(struct adoption *a, const struct state_box *from, const char *name,
                 struct boxlet_box **ret_box, struct error *err)
{
        struct boxlet *b = a->boxlet;
        cleanup_state_box struct state_box record = {
            .image_reference = strdup(from->image_reference),
            .image_id = strdup(from->image_id),
            .image_digest = strdup(from->image_digest),
            .created_ns = clock_wall_ns(),
            .auto_remove = from->auto_remove,
        };
        memcpy(record.id, a->id, sizeof(record.id));
        if (record.image_reference == NULL || record.image_id == NULL || record.image_digest == NULL)
                return error_set(err, -ENOMEM, "record the box: out of memory");
        int r = renamed(from, a->id, &record.config, err);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = create_insert(b, name, &record, err);
        (void)pthread_mutex_unlock(&b->lock);
        a->kept = r == 0;
        if (r == 0)
                tell_box(b, &record, "create", NULL, NULL);
        return r == 0 ? box_new(b, &record, ret_box, err) : r;
}
