/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a box, in three functions: check() asks whether this host can do it; plan() finds the image (pulling
 * it if the policy says so) and resolves what is to run; carry_out() makes the folder, the disk and the
 * record. Up to there nothing of the box exists; a failure in carry_out() takes back what was made (collect.c
 * has the order, and what happens when we are killed in it).
 */
#include "runtime/runtime.h"

#include "base/clock.h"
#include "base/path.h"
#include "runtime/collect.h"
#include "runtime/create.h"
#include "runtime/disk.h"
#include "runtime/engine.h"
#include "runtime/extras.h"
#include "runtime/forward.h"
#include "runtime/life.h"
#include "runtime/mounts.h"
#include "runtime/profile.h"
#include "runtime/publish.h"
#include "runtime/shares.h"
#include "runtime/spec.h"
#include "runtime/tell.h"
#include "runtime/volume.h"
#include "runtime/words.h"
#include "wire/restart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_CPUS 2
#define NANO         UINT64_C(1000000000)
#define DEFAULT_DISK (10ULL << 30)
#define NAME_TRIES   20

struct plan {
        struct boxlet_box_options options;
        struct image *image;
        struct spec spec;
        struct publish_list publish;
        struct mount_list mounts;
        json_t *forwards, *extras;
        char id[STATE_ID_LENGTH + 1];
        char hostname[STATE_ID_LENGTH + 1];
        char *config; /* JSON, goes into the record */
};

static void plan_done(struct plan *plan)
{
        image_free(plan->image);
        spec_done(&plan->spec);
        publish_done(&plan->publish);
        mounts_done(&plan->mounts);
        json_decref(plan->forwards);
        json_decref(plan->extras);
        free(plan->config);
}

static int random_bytes(void *bytes, size_t size)
{
        return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : -EIO; /* up to 256 bytes come whole */
}

int create_make_id(char id[STATE_ID_LENGTH + 1])
{
        uint8_t bytes[STATE_ID_LENGTH / 2];
        int r = random_bytes(bytes, sizeof(bytes));
        for (size_t i = 0; r == 0 && i < sizeof(bytes); i++)
                (void)snprintf(id + 2 * i, 3, "%02x", bytes[i]);
        return r;
}

static int find_image(struct boxlet *b, struct plan *plan, struct error *err)
{
        const struct boxlet_box_options *o = &plan->options;
        struct image_store *store;
        struct api_progress progress;
        bool pulls = true;
        const struct image_observer *observer = api_observer(&progress, o->progress, o->progress_data);
        int r = boxlet_store(b, &store, err);
        if (r < 0)
                return r;
        r = o->pull == BOXLET_PULL_ALWAYS ? -ENOENT : image_find(store, o->image, &plan->image, err);
        if (r == -ENOENT && o->pull == BOXLET_PULL_NEVER)
                return error_set(err, -ENOENT,
                                 "find image '%s': it is not in the store, and it is not to be pulled",
                                 o->image);
        if (r == -ENOENT)
                r = image_pull(store, o->image, NULL, observer, &plan->image, err);
        else
                pulls = false;
        if (r < 0)
                return r;
        if (pulls)
                tell_image(b, "pull", plan->image->reference, plan->image->reference);
        cleanup_fd int rootfs = -1; /* made now, while somebody watches the progress */
        return image_open_rootfs(store, plan->image, observer, &rootfs, err);
}

static void fill_defaults(struct boxlet_box_options *o)
{
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        if (o->cpus == 0 && o->nano_cpus != 0 && o->nano_cpus <= PROFILE_CPUS_MAX * NANO)
                o->cpus = (uint32_t)((o->nano_cpus + NANO - 1) / NANO);
        if (o->cpus == 0)
                o->cpus = online > 0 && online < DEFAULT_CPUS ? (uint32_t)online : DEFAULT_CPUS;
        if (o->memory_bytes == 0)
                o->memory_bytes = profile_get(o->support_docker != 0)->memory_bytes;
        if (o->disk_bytes == 0)
                o->disk_bytes = DEFAULT_DISK;
        if (o->stop_timeout_ms < 0)
                o->stop_timeout_ms = profile_get(o->support_docker != 0)->stop_timeout_ms;
        if (o->engine == NULL)
                o->engine = "auto";
        if (o->jail == NULL)
                o->jail = "auto";
        if (o->network == NULL)
                o->network = "default";
}

static json_t *publish_json(const struct publish_list *list)
{
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < list->count; i++) {
                const struct publish *e = &list->entries[i];
                json_t *entry =
                    json_pack("{s:s?, s:i, s:i, s:s}", "address", e->address[0] == '\0' ? NULL : e->address,
                              "host_port", (int)e->host_port, "box_port", (int)e->box_port, "protocol",
                              e->udp ? "udp" : "tcp");
                if (json_array_append_new(array, entry) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

static int make_config(struct plan *plan, struct error *err)
{
        const struct boxlet_box_options *o = &plan->options;
        cleanup_free char *kernel = NULL;
        if (o->kernel != NULL) {
                kernel = realpath(o->kernel, NULL);
                if (kernel == NULL)
                        return error_errno(err, -errno, "find kernel '%s'", o->kernel);
        }
        cleanup_json json_t *json =
            json_pack("{s:O, s:O, s:O, s:i, s:I, s:s, s:o, s:s, s:i, s:I, s:I, s:s, s:s?, s:b, s:b, s:b, "
                      "s:b, s:b, s:b, s:s, s:o}",
                      "spec", plan->spec.document, "volumes", plan->spec.volumes, "labels", plan->spec.labels,
                      "stop_signal", plan->spec.stop_signal, "stop_timeout_ms",
                      (json_int_t)o->stop_timeout_ms, "hostname", plan->hostname, "publish",
                      publish_json(&plan->publish), "network", o->network, "cpus", (int)o->cpus,
                      "memory_bytes", (json_int_t)o->memory_bytes, "disk_bytes", (json_int_t)o->disk_bytes,
                      "engine", o->engine, "kernel", kernel, "stdin", o->stdin_open != 0, "readonly",
                      o->read_only != 0, "init", o->init != 0, "auto_remove", o->auto_remove != 0,
                      "support_docker", o->support_docker != 0, "debug_console", o->debug_console != 0,
                      "jail", o->jail, "shares", shares_describe(&plan->mounts));
        struct restart_policy restart = {.kind = RESTART_NO};
        (void)restart_parse(o->restart, &restart, NULL); /* checked before */
        if (json != NULL && json_object_set_new(json, "restart", restart_describe(&restart)) == 0 &&
            json_object_set_new(json, "mounts", mounts_describe(&plan->mounts)) == 0 &&
            json_object_set_new(json, "disks", mounts_disks(&plan->mounts)) == 0 &&
            json_object_set(json, "forwards", plan->forwards) == 0 &&
            json_object_update(json, plan->extras) == 0 &&
            json_object_set_new(json, "nano_cpus", json_integer((json_int_t)o->nano_cpus)) == 0 &&
            json_object_set_new(json, "pids_limit", json_integer((json_int_t)o->pids_limit)) == 0 &&
            (plan->spec.command == NULL || json_object_set(json, "command", plan->spec.command) == 0))
                plan->config = json_print(json, NULL);
        return plan->config == NULL ? error_set(err, -ENOMEM, "create box: out of memory") : 0;
}

static int check_numbers(const struct boxlet_box_options *o, struct error *err)
{
        if (o->cpus > PROFILE_CPUS_MAX)
                return error_set(err, -EINVAL, "create box: %u CPUs: at most %d", o->cpus, PROFILE_CPUS_MAX);
        if (o->nano_cpus != 0 && (o->nano_cpus < NANO / 100 || o->nano_cpus > o->cpus * NANO))
                return error_set(
                    err, -EINVAL,
                    "create box: a share of the CPUs' time is at least 0.01 CPUs, and no more than "
                    "the %u there are",
                    o->cpus);
        if (o->pids_limit < 0)
                return error_set(err, -EINVAL, "create box: a limit of %lld processes",
                                 (long long)o->pids_limit);
        if (o->memory_bytes < PROFILE_MEMORY_MIN || o->memory_bytes > INT64_MAX)
                return error_set(err, -EINVAL, "create box: a box needs at least %llu MiB of memory",
                                 PROFILE_MEMORY_MIN >> 20);
        if (o->disk_bytes < DISK_SIZE_MIN || o->disk_bytes > DISK_SIZE_MAX)
                return error_set(err, -EINVAL, "create box: the disk has 16 MiB to 16 TiB");
        if (strcmp(o->network, "default") != 0 && strcmp(o->network, "none") != 0)
                return error_set(err, -EINVAL, "network '%s': there are default and none", o->network);
        if (strcmp(o->network, "none") == 0 && o->publish != NULL && o->publish[0] != NULL)
                return error_set(err, -EINVAL, "create box: without a network no port can be published");
        return 0;
}

static int check_restart(const struct boxlet_box_options *o, struct restart_policy *ret_policy,
                         struct error *err)
{
        int r = restart_parse(o->restart, ret_policy, err);
        if (r == 0 && ret_policy->kind != RESTART_NO && o->auto_remove)
                r = error_set(err, -EINVAL, "create box: --restart and --rm contradict each other");
        return r;
}

/* Fills in defaults, and asks for everything a start would miss, so that it is known before anything is made.
 */
static int check_options(struct boxlet *b, struct boxlet_box_options *o, struct error *err)
{
        static const enum place needed[] = {PLACE_MONITOR, PLACE_VMM, PLACE_AGENT, PLACE_QEMU, PLACE_PASST};
        const struct profile *profile = profile_get(o->support_docker != 0);
        struct engine engine;
        struct restart_policy restart;
        char *path;
        if (o->image == NULL || o->image[0] == '\0')
                return error_set(err, -EINVAL, "create box: no image given");
        int r = profile_check(o, err);
        if (r < 0)
                return r;
        fill_defaults(o);
        bool has_network = strcmp(o->network, "none") != 0;
        r = check_numbers(o, err);
        if (r == 0)
                r = check_restart(o, &restart, err);
        if (r == 0 && o->name != NULL)
                r = words_check_name(o->name, err);
        if (r == 0 && strcmp(o->jail, "auto") != 0 && strcmp(o->jail, "require") != 0)
                r = error_set(err, -EINVAL, "create box: the jail is '%s', not auto or require", o->jail);
        if (r == 0)
                r = engine_choose(o->engine, b->home_fd, &engine, err);
        for (size_t i = 0; r == 0 && i < sizeof(needed) / sizeof(needed[0]); i++) {
                if ((needed[i] == PLACE_PASST && !has_network) ||
                    (needed[i] == PLACE_QEMU && !engine.needs_qemu))
                        continue;
                r = places_find(&b->places, needed[i], &path, err);
                if (r == 0)
                        free(path);
        }
        if (r == 0)
                r = places_find_kernel(&b->places, o->kernel, profile->kernel_flavour, profile->kernel_remedy,
                                       &path, err);
        if (r == 0)
                free(path);
        return r;
}

static int check_volumes(const struct boxlet *b, const struct plan *plan, struct error *err)
{
        struct engine engine;
        int r = engine_choose(plan->options.engine, b->home_fd, &engine, err);
        if (r < 0)
                return r;
        bool has_network = strcmp(plan->options.network, "none") != 0, has_shares = false;
        for (size_t i = 0; i < plan->mounts.count; i++)
                has_shares |= plan->mounts.entries[i].kind == MOUNT_SHARE;
        unsigned slots = engine_volume_slots(&engine, has_network, has_shares);
        cleanup_json json_t *disks = mounts_disks(&plan->mounts);
        if (disks == NULL)
                return error_set(err, -ENOMEM, "create box: out of memory");
        if (json_array_size(disks) > slots)
                return error_set(
                    err, -E2BIG,
                    "create box: %zu volumes with a name: a machine of the engine %s has room for %u",
                    json_array_size(disks), engine.name, slots);
        return 0;
}

static int plan_mounts(const struct boxlet *b, struct plan *plan, struct error *err)
{
        cleanup_free char *working_dir = get_current_dir_name(); /* NULL: only ./FOLDER is refused */
        int r = mounts_parse(plan->options.volumes, plan->options.mounts, working_dir, &plan->mounts, err);
        if (r == 0 && plan->options.support_docker)
                r = profile_check_mounts(&plan->mounts, err);
        return r == 0 ? check_volumes(b, plan, err) : r;
}

static int plan_box(struct boxlet *b, struct plan *plan, struct error *err)
{
        const struct boxlet_box_options *o = &plan->options;
        int r = create_make_id(plan->id);
        if (r < 0)
                return error_errno(err, r, "create box: make an id");
        if (o->hostname != NULL && strlen(o->hostname) >= sizeof(plan->hostname))
                return error_set(err, -EINVAL, "host name '%s': more than %d bytes", o->hostname,
                                 STATE_ID_LENGTH);
        (void)snprintf(plan->hostname, sizeof(plan->hostname), "%.*s",
                       o->hostname != NULL ? STATE_ID_LENGTH : 12,
                       o->hostname != NULL ? o->hostname : plan->id);
        for (const char *const *p = o->publish; r == 0 && p != NULL && *p != NULL; p++)
                r = publish_parse(&plan->publish, *p, err);
        if (r == 0)
                r = plan_mounts(b, plan, err);
        if (r == 0)
                r = forward_plan(b, o->docker_socket, &plan->forwards, err);
        if (r == 0)
                r = shares_check(&plan->mounts, err);
        if (r == 0)
                r = find_image(b, plan, err);
        if (r == 0)
                r = spec_resolve(plan->image->config, o, plan->hostname, &plan->spec, err);
        if (r == 0)
                r = extras_resolve(plan->image->config, o, &plan->extras, err);
        if (r == 0)
                r = mounts_apply(&plan->mounts, plan->spec.document, plan->spec.volumes, err);
        return r == 0 ? make_config(plan, err) : r;
}

/* Makes the volumes that are not there. The box's record is there before: nobody removes them any more. */
static int make_volumes(struct boxlet *b, const struct plan *plan, struct error *err)
{
        int r = 0;
        for (size_t i = 0; r >= 0 && i < plan->mounts.count; i++) {
                const struct mount_request *request = &plan->mounts.entries[i];
                if (request->kind == MOUNT_VOLUME && request->source != NULL)
                        r = volume_ensure(b, request->source, VOLUME_DEFAULT, NULL, false, err);
        }
        return r < 0 ? r : 0;
}

int create_insert(struct boxlet *b, const char *name, struct state_box *record, struct error *err)
{
        if (name != NULL) {
                record->name = strdup(name);
                return record->name == NULL ? error_set(err, -ENOMEM, "create box: out of memory")
                                            : state_insert(b->state, record, err);
        }
        int r = -EEXIST;
        for (int i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
                uint64_t random;
                char base[WORDS_NAME_MAX];
                r = random_bytes(&random, sizeof(random));
                if (r < 0)
                        return error_errno(err, r, "create box: make a name");
                words_make_name(random, base);
                free(record->name);
                if (asprintf(&record->name, i < 5 ? "%s" : "%s%u", base, (unsigned)(random >> 48)) < 0) {
                        record->name = NULL;
                        return error_set(err, -ENOMEM, "create box: out of memory");
                }
                r = state_insert(b->state, record, err);
        }
        return r;
}

static int record_box(struct boxlet *b, const struct plan *plan, struct state_box *ret_record,
                      struct error *err)
{
        struct state_box record = {
            .image_reference = strdup(plan->options.image),
            .image_id = strdup(plan->image->id),
            .image_digest = strdup(plan->image->digest),
            .config = strdup(plan->config),
            .created_ns = clock_wall_ns(),
            .auto_remove = plan->options.auto_remove != 0,
        };
        memcpy(record.id, plan->id, sizeof(record.id));
        int r = record.image_reference == NULL || record.image_id == NULL || record.image_digest == NULL ||
                        record.config == NULL
                    ? error_set(err, -ENOMEM, "create box: out of memory")
                    : words_check_utf8(record.image_reference, "image", err);
        if (r == 0)
                r = create_insert(b, plan->options.name, &record, err);
        if (r < 0) {
                state_box_done(&record);
                return r;
        }
        *ret_record = record;
        return 0;
}

static int make_disk(struct boxlet *b, const struct plan *plan, int box_fd, struct error *err)
{
        cleanup_free char *mkfs = NULL;
        int r = places_find(&b->places, PLACE_MKFS, &mkfs, err);
        return r < 0 ? r : disk_create(b->home_fd, mkfs, plan->options.disk_bytes, box_fd, DISK_OF_BOX, err);
}

static int carry_out(struct boxlet *b, const struct plan *plan, struct state_box *ret_record,
                     struct error *err)
{
        cleanup_fd int box_fd = -1;
        cleanup_fd int lock_fd = -1;
        cleanup_fd int guard = -1;
        int r = collect_guard(b, &guard, err);
        if (r < 0)
                return r;
        if (mkdirat(b->boxes_fd, plan->id, 0700) < 0)
                return error_errno(err, -errno, "make the folder of the box");
        r = box_open_folder(b, plan->id, &box_fd, err);
        if (r == 0)
                r = life_create(box_fd, err);
        if (r == 0)
                r = life_take(box_fd, &lock_fd, err);
        close_fd(&guard);
        if (r == 0)
                r = shares_make(&plan->mounts, err);
        if (r == 0)
                r = make_disk(b, plan, box_fd, err);
        if (r == 0)
                r = record_box(b, plan, ret_record, err);
        if (r == 0) {
                r = make_volumes(b, plan, err);
                if (r < 0)
                        state_box_done(ret_record);
        }
        struct error ignored = ERROR_INIT;
        if (r < 0) {
                (void)state_delete(b->state, plan->id, &ignored); /* it may not have come so far */
                (void)path_remove_all_at(b->boxes_fd, plan->id); /* what stays is collected by a later call */
        }
        return r;
}

static int create(struct boxlet *b, struct plan *plan, struct boxlet_box **ret_box, struct error *err)
{
        cleanup_state_box struct state_box record = {0};
        struct state_box taken = {0};
        collect(b);
        int r = check_options(b, &plan->options, err);
        if (r == 0)
                r = plan_box(b, plan, err);
        if (r == 0 && plan->options.name != NULL &&
            state_find(b->state, plan->options.name, &taken, err) == 0 &&
            strcmp(taken.name, plan->options.name) == 0)
                r = error_set(
                    err, -EEXIST,
                    "create box '%s': the name is taken by box %.12s: remove it, or choose another name",
                    taken.name, taken.id);
        state_box_done(&taken);
        if (r == 0)
                r = carry_out(b, plan, &record, err);
        if (r == 0)
                tell_box(b, &record, "create", NULL, NULL);
        return r == 0 ? box_new(b, &record, ret_box, err) : r;
}

int boxlet_box_create(struct boxlet *b, const struct boxlet_box_options *options, struct boxlet_box **ret_box,
                      struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_box_options defaults = BOXLET_BOX_OPTIONS_INIT;
        struct plan plan = {.options = defaults};
        int r = api_options(&plan.options, sizeof(plan.options), options, "struct boxlet_box_options", &err);
        if (r == 0) {
                (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
                r = create(b, &plan, ret_box, &err);
                (void)pthread_mutex_unlock(&b->lock);
        }
        plan_done(&plan);
        return api_result(error, &err, r);
}
