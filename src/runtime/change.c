/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done to a box that is there: another name, another policy, paused, restarted; and whether it is
 * to be started after a reboot of the host. A change is recorded first and then told to the monitor if there
 * is one: a monitor that does not answer does not undo it, the next start has it.
 */
#include "runtime/runtime.h"

#include "runtime/life.h"
#include "runtime/machine.h"
#include "runtime/profile.h"
#include "runtime/words.h"
#include "wire/restart.h"

#include <errno.h>
#include <string.h>

#define ANSWER_MS 10000 /* a monitor that lives answers in far less, and so does its machine */

/* The box's record as it is now. */
static int find_record(struct boxlet_box *box, struct state_box *ret_record, struct error *err)
{
        struct boxlet *b = box->boxlet;
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        int r = state_find(b->state, box->id, ret_record, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

static int rename_box(struct boxlet_box *box, const char *name, struct error *err)
{
        struct boxlet *b = box->boxlet;
        if (name == NULL)
                return error_set(err, -EINVAL, "rename box '%s': no name given", box->name);
        int r = words_check_name(name, err);
        if (r < 0)
                return error_wrap(err, "rename box '%s'", box->name);
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = state_rename(b->state, box->id, name, err);
        (void)pthread_mutex_unlock(&b->lock);
        if (r < 0)
                return error_wrap(err, "rename box '%s'", box->name);
        machine_tell(box, "rename", "oldName", box->name);
        /* its monitor's events have the new name too; without an answer, from its next start on */
        (void)box_ask(box, "rename", json_pack("{s:s, s:s}", "op", "update", "name", name), ANSWER_MS, NULL);
        return 0;
}

int boxlet_box_rename(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, rename_box(box, name, &err));
}

int boxlet_box_pause(struct boxlet_box *box, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err,
                          box_ask(box, "pause", json_pack("{s:s}", "op", "pause"), ANSWER_MS, &err));
}

int boxlet_box_unpause(struct boxlet_box *box, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err,
                          box_ask(box, "unpause", json_pack("{s:s}", "op", "unpause"), ANSWER_MS, &err));
}

/* Stopping would remove it. */
static int check_stays(struct boxlet_box *box, struct error *err)
{
        cleanup_state_box struct state_box record = {0};
        int r = find_record(box, &record, err);
        if (r == 0 && record.auto_remove)
                return error_set(
                    err, -EINVAL,
                    "restart box '%s': it is removed when it has ended (--rm): there is nothing to "
                    "start then",
                    box->name);
        return r;
}

int boxlet_box_restart(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_process **ret_process,
                       struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        int r = check_stays(box, &err);
        if (r < 0)
                return api_result(error, &err, r);
        r = boxlet_box_stop(box, timeout_ms, error);
        if (r >= 0)
                r = boxlet_box_start(box, BOXLET_START_DETACHED, ret_process, error);
        if (r >= 0)
                machine_tell(box, "restart", NULL, NULL);
        return r;
}

/* ---- update ---- */

static int check_update(const struct boxlet_box_update *u, const struct state_box *record,
                        const json_t *config, struct restart_policy *ret_policy, struct error *err)
{
        const struct profile *profile = profile_get(json_is_true(json_object_get(config, "support_docker")));
        int r = restart_parse(u->restart, ret_policy, err);
        if (r < 0)
                return r;
        if (ret_policy->kind != RESTART_NO && record->auto_remove)
                return error_set(err, -EINVAL,
                                 "a box that is removed when it has ended (--rm) cannot be restarted");
        if (u->cpus > PROFILE_CPUS_MAX)
                return error_set(err, -EINVAL, "%u CPUs: at most %d", u->cpus, PROFILE_CPUS_MAX);
        if (u->cpus != 0 && json_integer_value(json_object_get(config, "nano_cpus")) != 0)
                return error_set(
                    err, -ENOTSUP,
                    "it was made with a share of the CPUs' time, which cannot change: make another one");
        if (u->memory_bytes != 0 &&
            (u->memory_bytes < profile->memory_minimum_bytes || u->memory_bytes > INT64_MAX))
                return error_set(err, -EINVAL, "it needs at least %llu MiB of memory",
                                 (unsigned long long)profile->memory_minimum_bytes >> 20);
        return 0;
}

/* The members that change, as they stand in the record and in the request to the monitor. */
static json_t *describe_update(const struct boxlet_box_update *u, const struct restart_policy *policy)
{
        json_t *json = json_object();
        int r = json == NULL ? -1 : 0;
        if (r == 0 && u->restart != NULL)
                r = json_object_set_new(json, "restart", restart_describe(policy));
        if (r == 0 && u->cpus != 0)
                r = json_object_set_new(json, "cpus", json_integer(u->cpus));
        if (r == 0 && u->memory_bytes != 0)
                r = json_object_set_new(json, "memory_bytes", json_integer((json_int_t)u->memory_bytes));
        if (r < 0) {
                json_decref(json);
                return NULL;
        }
        return json;
}

static int record_update(struct boxlet_box *box, const struct boxlet_box_update *u, json_t **ret_change,
                         struct error *err)
{
        struct boxlet *b = box->boxlet;
        cleanup_state_box struct state_box record = {0};
        cleanup_json json_t *config = NULL;
        struct restart_policy policy;
        int r = state_find(b->state, box->id, &record, err);
        if (r == 0)
                r = json_parse(record.config, strlen(record.config), "the box's configuration", &config, err);
        if (r == 0)
                r = check_update(u, &record, config, &policy, err);
        if (r < 0)
                return r;
        cleanup_json json_t *change = describe_update(u, &policy);
        cleanup_free char *text = change == NULL ? NULL : json_print(change, NULL);
        if (text == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        r = state_patch_config(b->state, box->id, text, err);
        if (r == 0)
                *ret_change = json_incref(change);
        return r;
}

static int update(struct boxlet_box *box, const struct boxlet_box_update *given, struct error *err)
{
        struct boxlet_box_update defaults = BOXLET_BOX_UPDATE_INIT, u = defaults;
        cleanup_json json_t *change = NULL;
        cleanup_fd int box_fd = -1;
        int r = api_options(&u, sizeof(u), given, "struct boxlet_box_update", err);
        if (r < 0)
                return r;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* as above */
        r = record_update(box, &u, &change, err);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        if (r < 0)
                return error_wrap(err, "update box '%s'", box->name);
        machine_tell(box, "update", NULL, NULL);
        r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r == 0)
                r = life_look(box_fd, err);
        if (r <= 0)
                return r < 0 ? error_wrap(err, "update box '%s'", box->name) : 0;
        if (json_object_set_new(change, "op", json_string("update")) < 0)
                return error_set(err, -ENOMEM, "update box '%s': out of memory", box->name);
        r = box_ask(box, "update", json_incref(change), ANSWER_MS, err);
        return r < 0 && !life_is_held(box_fd) ? 0 : r; /* it ended while we asked: nobody needs to know */
}

int boxlet_box_update(struct boxlet_box *box, const struct boxlet_box_update *changes,
                      struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, update(box, changes, &err));
}

/* ---- after a reboot ---- */

static int wants_start(struct boxlet_box *box, struct error *err)
{
        cleanup_state_box struct state_box record = {0};
        cleanup_json json_t *config = NULL;
        cleanup_fd int box_fd = -1;
        struct restart_policy policy;
        int r = find_record(box, &record, err);
        if (r == 0)
                r = json_parse(record.config, strlen(record.config), "the box's configuration", &config, err);
        if (r == 0)
                r = restart_read(json_object_get(config, "restart"), &policy, err);
        if (r == 0)
                r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        r = record.started_ns == 0 ? 1 : life_look(box_fd, err);
        if (r != 0)
                return r < 0 ? r : 0;
        cleanup_life_report struct life_report report;
        life_read(box_fd, true, &report);
        if (report.error < 0)
                return error_errno(err, report.error, "read how box '%s' ended", box->name);
        return policy.kind == RESTART_ALWAYS || (policy.kind == RESTART_UNLESS_STOPPED &&
                                                 !json_is_true(json_object_get(report.state, "stopped")));
}

int boxlet_box_wants_start(struct boxlet_box *box, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        return api_result(error, &err, wants_start(box, &err));
}
