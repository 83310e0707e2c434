/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A box as a whole: its root as a tar, what it changed of its image, and an image made of that.
 *
 * Hostile: all of it comes from the guest. Tars are read entry by entry and written anew (copy.c); records of
 * changes are bounded in number and bytes, and their paths are any bytes but NUL.
 */
#include "runtime/copy.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/transfer.h"

#include "base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS_BYTES_MAX (256U << 20)

/* ---- export ---- */

static int export_root(int box_fd, int fd, const struct boxlet_copy_options *o, struct error *err)
{
        cleanup_json json_t *request = json_pack("{s:s}", "op", "export");
        cleanup_transfer struct transfer *t = NULL;
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct transfer_watch watch = {o->progress, o->progress_data, "files", 0};
        struct pack_sink sink = {copy_to_fd, &fd};
        int r = transfer_open(box_fd, request, &watch, &t, NULL, err);
        if (r == 0)
                r = transfer_end_input(t, err);
        if (r < 0)
                return r;
        struct tar_source source = {transfer_read, t};
        r = tar_reader_new(&source, &reader);
        if (r < 0)
                return error_errno(err, r, "read the box's root");
        r = copy_tar_on(reader, "", &sink, err);
        return r < 0 ? r : transfer_finish(t, err);
}

int boxlet_box_export(struct boxlet_box *box, int fd, const struct boxlet_copy_options *options,
                      struct boxlet_error *error)
{
        struct boxlet_copy_options o = BOXLET_COPY_OPTIONS_INIT;
        struct error err = ERROR_INIT;
        struct machine machine;
        struct error later = ERROR_INIT; /* of the end, if the work failed before */
        int r = api_options(&o, sizeof(o), options, "struct boxlet_copy_options", &err);
        if (r == 0)
                r = machine_begin(box, &machine, &err);
        if (r == 0) {
                r = export_root(machine.box_fd, fd, &o, &err);
                int ended = machine_end(&machine, r < 0 ? &later : &err);
                r = r < 0 ? r : ended;
        }
        if (r < 0)
                (void)error_wrap(&err, "export box '%s'", box->name);
        else
                machine_tell(box, "export", NULL, NULL);
        return api_result(error, &err, r);
}

/* ---- what is hidden ---- */

static int hide(json_t *hidden, const json_t *list, const char *key)
{
        const json_t *item;
        size_t i;
        int r = 0;
        json_array_foreach ((json_t *)list, i, item) {
                json_t *path = json_is_string(item) ? (json_t *)item : json_object_get(item, key);
                if (r == 0 && json_is_string(path))
                        r = json_array_append(hidden, path);
        }
        return r;
}

/* Where something is mounted in the box: what was made for that is no change of the box's. */
static int hidden_paths(struct boxlet_box *box, json_t **ret_hidden, char **ret_image_id, struct error *err)
{
        static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
        cleanup_state_box struct state_box record = {0};
        cleanup_json json_t *config = NULL;
        cleanup_json json_t *hidden = json_array();
        (void)pthread_mutex_lock(&box->boxlet->lock); /* a plain mutex, taken once: cannot fail */
        int r = state_find(box->boxlet->state, box->id, &record, err);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        if (r == 0)
                r = json_parse(record.config, strlen(record.config), "the box's configuration", &config, err);
        if (r < 0)
                return r;
        int failed = hidden == NULL;
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                failed |= json_array_append_new(hidden, json_string(files[i]));
        failed |= hide(hidden, json_object_get(json_object_get(config, "spec"), "mounts"), "destination");
        failed |= hide(hidden, json_object_get(config, "volumes"), "");
        failed |= hide(hidden, json_object_get(config, "disks"), "path");
        *ret_image_id = failed ? NULL : strdup(record.image_id);
        if (*ret_image_id == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        *ret_hidden = json_incref(hidden);
        return 0;
}

static int open_changes(struct boxlet_box *box, int box_fd, bool as_layer, bool pause,
                        const struct transfer_watch *watch, struct transfer **ret_transfer,
                        char **ret_image_id, struct error *err)
{
        cleanup_json json_t *hidden = NULL;
        cleanup_free char *image_id = NULL;
        int r = hidden_paths(box, &hidden, &image_id, err);
        if (r < 0)
                return r;
        cleanup_json json_t *request = json_pack("{s:s, s:b, s:b, s:O}", "op", "changes", "layer", as_layer,
                                                 "pause", pause, "hidden", hidden);
        r = transfer_open(box_fd, request, watch, ret_transfer, NULL, err);
        if (r == 0 && (r = transfer_end_input(*ret_transfer, err)) < 0) {
                transfer_free(*ret_transfer);
                *ret_transfer = NULL;
        }
        if (r == 0)
                *ret_image_id = take_ptr(&image_id);
        return r;
}

/* ---- diff ---- */

static int by_path(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1);
}

/* Docker's numbers. */
static int kind_of(char letter)
{
        static const char kinds[] = "CAD";
        const char *at = letter == '\0' ? NULL : strchr(kinds, letter);
        return at == NULL ? -1 : (int)(at - kinds);
}

/* Paths that are no UTF-8 are told with '?' for what JSON cannot hold. */
static json_t *path_text(char *path)
{
        json_t *text = json_string(path);
        for (char *p = path; text == NULL && *p != '\0'; p++) {
                if ((unsigned char)*p >= 0x80)
                        *p = '?';
        }
        return text != NULL ? text : json_string(path);
}

static int sort_records(char *bytes, size_t size, json_t *list, struct error *err)
{
        size_t count = 0, used = 0;
        if (size > 0 && bytes[size - 1] != '\0')
                return error_set(err, -EBADMSG, "the box's answer is cut off");
        for (size_t i = 0; i < size; i++)
                count += bytes[i] == '\0';
        cleanup_free char **records = calloc(count + 1, sizeof(*records));
        if (records == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        for (size_t at = 0; at < size; at += strlen(bytes + at) + 1)
                records[used++] = bytes + at;
        for (size_t i = 0; i < used; i++) {
                if (kind_of(records[i][0]) < 0 || records[i][1] != '/')
                        return error_set(err, -EBADMSG, "the box's answer makes no sense");
        }
        qsort(records, used, sizeof(*records), by_path);
        for (size_t i = 0; i < used; i++) {
                int kind = kind_of(records[i][0]);
                if (json_array_append_new(list, json_pack("{s:o, s:i}", "Path", path_text(records[i] + 1),
                                                          "Kind", kind)) < 0)
                        return error_set(err, -ENOMEM, "out of memory");
        }
        return 0;
}

static int diff(struct boxlet_box *box, int box_fd, char **ret_json, struct error *err)
{
        cleanup_transfer struct transfer *t = NULL;
        cleanup_free char *bytes = NULL, *image_id = NULL;
        cleanup_json json_t *list = json_array();
        size_t size;
        if (list == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        int r = open_changes(box, box_fd, false, false, NULL, &t, &image_id, err);
        if (r == 0)
                r = transfer_read_all(t, RECORDS_BYTES_MAX, &bytes, &size, err);
        if (r == 0)
                r = sort_records(bytes, size, list, err);
        if (r < 0)
                return r;
        *ret_json = json_print(list, NULL);
        return *ret_json == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
}

int boxlet_box_diff(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct machine machine;
        struct error later = ERROR_INIT; /* of the end, if the work failed before */
        int r = machine_begin(box, &machine, &err);
        if (r == 0) {
                r = diff(box, machine.box_fd, ret_json, &err);
                int ended = machine_end(&machine, r < 0 ? &later : &err);
                r = r < 0 ? r : ended;
        }
        if (r < 0)
                (void)error_wrap(&err, "compare box '%s' with its image", box->name);
        return api_result(error, &err, r);
}

/* ---- commit ---- */

static int produce(image_write_fn write, void *write_data, void *data, struct error *err)
{
        struct transfer *t = data;
        struct pack_sink sink = {write, write_data};
        struct tar_source source = {transfer_read, t};
        cleanup_tar_reader struct tar_reader *reader = NULL;
        int r = tar_reader_new(&source, &reader);
        if (r < 0)
                return error_errno(err, r, "read the box's changes");
        r = copy_tar_on(reader, "", &sink, err);
        return r < 0 ? r : transfer_finish(t, err);
}

static int commit(struct boxlet_box *box, int box_fd, const char *reference,
                  const struct boxlet_commit_options *o, char **ret_id, struct error *err)
{
        struct boxlet *b = box->boxlet;
        cleanup_transfer struct transfer *t = NULL;
        cleanup_free char *image_id = NULL;
        struct api_progress progress;
        struct transfer_watch watch = {o->progress, o->progress_data, "files", 0};
        struct image_store *store;
        int r = open_changes(box, box_fd, true, o->pause != 0, &watch, &t, &image_id, err);
        if (r < 0)
                return r;
        struct image_commit request = {
            .base = image_id,
            .reference = reference,
            .changes = o->changes,
            .message = o->message,
            .author = o->author,
            .created_by = "boxlet commit",
            .produce = produce,
            .data = t,
        };
        (void)pthread_mutex_lock(&b->lock); /* as above */
        r = boxlet_store(b, &store, err);
        if (r == 0)
                r = image_commit(store, &request, api_observer(&progress, o->progress, o->progress_data),
                                 ret_id, err);
        (void)pthread_mutex_unlock(&b->lock);
        return r;
}

int boxlet_box_commit(struct boxlet_box *box, const char *reference,
                      const struct boxlet_commit_options *options, char **ret_id, struct boxlet_error *error)
{
        struct boxlet_commit_options o = BOXLET_COMMIT_OPTIONS_INIT;
        struct error err = ERROR_INIT;
        struct machine machine;
        struct error later = ERROR_INIT; /* of the end, if the work failed before */
        char *id = NULL;
        int r = api_options(&o, sizeof(o), options, "struct boxlet_commit_options", &err);
        if (r == 0)
                r = machine_begin(box, &machine, &err);
        if (r == 0) {
                r = commit(box, machine.box_fd, reference, &o, &id, &err);
                int ended = machine_end(&machine, r < 0 ? &later : &err);
                r = r < 0 ? r : ended;
        }
        if (r < 0)
                (void)error_wrap(&err, "commit box '%s'", box->name);
        else
                machine_tell(box, "commit", "imageID", id);
        if (r == 0 && ret_id != NULL)
                *ret_id = id;
        else
                free(id);
        return api_result(error, &err, r);
}
