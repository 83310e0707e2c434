/* SPDX-License-Identifier: Apache-2.0 */
/* The exported image functions: src/image behind the handle's lock, its structs turned into the client's. */
#include "runtime/runtime.h"

#include "runtime/collect.h"
#include "runtime/tell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The client's view; the strings are in the image, which goes with it. */
struct image_view {
        struct boxlet_image view; /* first: the client frees by its address */
        struct image *image;
        char **labels;
};

static void free_labels(char **labels)
{
        for (char **l = labels; l != NULL && *l != NULL; l++)
                free(*l);
        free(labels);
}

static int make_labels(const json_t *config, char ***ret_labels)
{
        const json_t *object = json_object_get(json_object_get(config, "config"), "Labels");
        char **labels = calloc(json_object_size(object) + 1, sizeof(*labels));
        const char *key;
        json_t *value;
        size_t n = 0;
        if (labels == NULL)
                return -ENOMEM;
        json_object_foreach ((json_t *)object, key, value) {
                if (!json_is_string(value))
                        continue;
                if (asprintf(&labels[n], "%s=%s", key, json_string_value(value)) < 0) {
                        labels[n] = NULL;
                        free_labels(labels);
                        return -ENOMEM;
                }
                n++;
        }
        *ret_labels = labels;
        return 0;
}

/* Takes image, also on failure. */
static int make_view(struct image *image, struct boxlet_image **ret_view, struct error *err)
{
        struct image_view *v = calloc(1, sizeof(*v));
        if (v == NULL || make_labels(image->config, &v->labels) < 0) {
                image_free(image);
                free(v);
                return error_set(err, -ENOMEM, "read image: out of memory");
        }
        v->image = image;
        v->view = (struct boxlet_image){
            .size = sizeof(v->view),
            .reference = image->reference,
            .id = image->id,
            .digest = image->digest,
            .created = image->created,
            .size_bytes = image->size_bytes,
            .labels = (const char *const *)v->labels,
        };
        *ret_view = &v->view;
        return 0;
}

void boxlet_image_free(struct boxlet_image *image)
{
        struct image_view *v = (struct image_view *)image;
        if (v == NULL)
                return;
        image_free(v->image);
        free_labels(v->labels);
        free(v);
}

void boxlet_image_list_free(struct boxlet_image **images)
{
        for (struct boxlet_image **i = images; i != NULL && *i != NULL; i++)
                boxlet_image_free(*i);
        free(images);
}

/* What most of the functions begin with: the lock, and the store. Unlock with leave(), whatever it returned.
 */
static int enter(struct boxlet *b, struct image_store **ret_store, struct error *err)
{
        (void)pthread_mutex_lock(&b->lock); /* a plain mutex, taken once: cannot fail */
        return boxlet_store(b, ret_store, err);
}

static int leave(struct boxlet *b, struct boxlet_error *error, const struct error *err, int r)
{
        (void)pthread_mutex_unlock(&b->lock); /* held: cannot fail */
        return api_result(error, err, r);
}

static int take_options(const struct boxlet_image_options *given, struct boxlet_image_options *o,
                        struct api_progress *progress, const struct image_observer **ret_observer,
                        struct error *err)
{
        struct boxlet_image_options defaults = BOXLET_IMAGE_OPTIONS_INIT;
        *o = defaults;
        int r = api_options(o, sizeof(*o), given, "struct boxlet_image_options", err);
        if (r == 0)
                *ret_observer = api_observer(progress, o->progress, o->progress_data);
        return r;
}

int boxlet_image_pull(struct boxlet *b, const char *reference, const struct boxlet_image_options *options,
                      struct boxlet_image **ret_image, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_image_options o;
        struct api_progress progress;
        const struct image_observer *observer;
        struct image_store *store;
        struct image *image = NULL;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = take_options(options, &o, &progress, &observer, &err);
        if (r == 0)
                r = image_pull(store, reference, o.platform, observer, &image, &err);
        if (r == 0) {
                int fd;
                r = image_open_rootfs(store, image, observer, &fd, &err);
                if (r == 0)
                        (void)close(fd); /* it was only to be made */
        }
        if (r == 0)
                tell_image(b, "pull", image->reference, image->reference);
        if (r == 0 && ret_image != NULL)
                r = make_view(image, ret_image, &err);
        else
                image_free(image);
        return leave(b, error, &err, r);
}

int boxlet_image_get(struct boxlet *b, const char *reference_or_id, struct boxlet_image **ret_image,
                     struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        struct image *image;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = image_find(store, reference_or_id, &image, &err);
        if (r == 0)
                r = make_view(image, ret_image, &err);
        return leave(b, error, &err, r);
}

/* Takes the list. */
static int make_views(struct image **images, struct boxlet_image ***ret_views, struct error *err)
{
        size_t count = 0;
        while (images[count] != NULL)
                count++;
        struct boxlet_image **views = calloc(count + 1, sizeof(struct boxlet_image *));
        int r = views == NULL ? error_set(err, -ENOMEM, "list images: out of memory") : 0;
        size_t i = 0;
        for (; r == 0 && i < count; i++)
                r = make_view(images[i], &views[i], err);
        if (r < 0) {
                for (; i < count; i++)
                        image_free(images[i]);
                free(images);
                boxlet_image_list_free(views);
                return r;
        }
        free(images); /* the elements are in the views */
        *ret_views = views;
        return 0;
}

int boxlet_image_list(struct boxlet *b, struct boxlet_image ***ret_images, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        struct image **images;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = image_list(store, &images, &err);
        if (r == 0)
                r = make_views(images, ret_images, &err);
        return leave(b, error, &err, r);
}

/* One event for each line. */
static void tell_each(struct boxlet *b, const char *action, const char *lines)
{
        while (*lines != '\0') {
                size_t size = strcspn(lines, "\n");
                cleanup_free char *line = strndup(lines, size);
                if (line != NULL && size > 0)
                        tell_image(b, action, line, line);
                lines += size + (lines[size] == '\n');
        }
}

int boxlet_image_load(struct boxlet *b, int fd, const char *path, const struct boxlet_image_options *options,
                      char **ret_names, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_image_options o;
        struct api_progress progress;
        const struct image_observer *observer;
        struct image_store *store;
        char *names = NULL;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = take_options(options, &o, &progress, &observer, &err);
        if (r == 0)
                r = image_load(store, fd, path, o.platform, observer, &names, &err);
        if (r == 0)
                tell_each(b, "load", names);
        if (r == 0 && ret_names != NULL)
                *ret_names = names;
        else
                free(names);
        return leave(b, error, &err, r);
}

int boxlet_image_save(struct boxlet *b, const char *const *references, size_t count, const char *format,
                      int fd, const struct boxlet_image_options *options, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_image_options o;
        struct api_progress progress;
        const struct image_observer *observer;
        struct image_store *store;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = take_options(options, &o, &progress, &observer, &err);
        if (r == 0)
                r = image_save(store, references, count, format, fd, observer, &err);
        for (size_t i = 0; r == 0 && i < count; i++)
                tell_image(b, "save", references[i], references[i]);
        return leave(b, error, &err, r);
}

int boxlet_image_import(struct boxlet *b, int fd, const char *path, const char *reference,
                        const char *const *changes, const struct boxlet_image_options *options, char **ret_id,
                        struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_image_options o;
        struct api_progress progress;
        const struct image_observer *observer;
        struct image_store *store;
        char *id = NULL;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = take_options(options, &o, &progress, &observer, &err);
        if (r == 0)
                r = image_import(store, fd, path, reference, o.platform, changes, observer, &id, &err);
        if (r == 0)
                tell_image(b, "import", id, reference);
        if (r == 0 && ret_id != NULL)
                *ret_id = id;
        else
                free(id);
        return leave(b, error, &err, r);
}

int boxlet_image_tag(struct boxlet *b, const char *source, const char *target, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = image_tag(store, source, target, &err);
        if (r == 0)
                tell_image(b, "tag", source, target);
        return leave(b, error, &err, r);
}

int images_in_use(const char *id, void *data)
{
        struct boxlet *b = data;
        struct error ignored = ERROR_INIT; /* its code says it */
        bool used = true;
        int r = state_image_used(b->state, id, &used, &ignored);
        return r < 0 ? r : used;
}

int boxlet_image_remove(struct boxlet *b, const char *reference_or_id, int force, char **ret_report,
                        struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        char *report = NULL;
        collect(b); /* a box that ended with --rm uses its image no more */
        int r = enter(b, &store, &err);
        if (r == 0)
                r = image_remove(store, reference_or_id, force != 0, images_in_use, b, &report, &err);
        if (r == 0)
                tell_removed_images(b, report);
        if (r == 0 && ret_report != NULL)
                *ret_report = report;
        else
                free(report);
        return leave(b, error, &err, r);
}

int boxlet_image_prune(struct boxlet *b, int all, uint64_t *ret_freed_bytes, char **ret_report,
                       struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        char *report = NULL;
        uint64_t freed = 0;
        collect(b); /* a box that ended with --rm uses its image no more */
        int r = enter(b, &store, &err);
        if (r == 0)
                r = image_prune(store, all != 0, images_in_use, b, &freed, &report, &err);
        if (r == 0)
                tell_removed_images(b, report);
        if (r == 0 && ret_freed_bytes != NULL)
                *ret_freed_bytes = freed;
        if (r == 0 && ret_report != NULL)
                *ret_report = report;
        else
                free(report);
        return leave(b, error, &err, r);
}

/* Every name the image has, and its digests with them. */
static int add_names(struct image_store *store, const struct image *image, json_t *object, struct error *err)
{
        struct image **all;
        cleanup_json json_t *tags = json_array();
        cleanup_json json_t *digests = json_array();
        int r = image_list(store, &all, err);
        if (r < 0)
                return r;
        for (struct image **i = all; *i != NULL; i++) {
                const char *name = (*i)->reference;
                if (strcmp((*i)->id, image->id) != 0 || name[0] == '\0')
                        continue;
                const char *slash = strrchr(name, '/');
                size_t size = strcspn(name, "@");
                const char *colon = slash == NULL ? strchr(name, ':') : strchr(slash, ':');
                if (strchr(name, '@') == NULL)
                        (void)json_array_append_new(tags, json_string(name)); /* checked below by the set */
                if (colon != NULL && (size_t)(colon - name) < size)
                        size = (size_t)(colon - name);
                (void)json_array_append_new(digests, json_sprintf("%.*s@%s", (int)size, name, (*i)->digest));
        }
        image_list_free(all);
        if (json_object_set(object, "RepoTags", tags) < 0 ||
            json_object_set(object, "RepoDigests", digests) < 0)
                return error_set(err, -ENOMEM, "inspect image: out of memory");
        return 0;
}

static json_t *member(const json_t *object, const char *key)
{
        json_t *value = json_object_get(object, key);
        return value == NULL ? json_null() : json_incref(value);
}

static int inspect(struct image_store *store, const char *name, char **ret_json, struct error *err)
{
        cleanup_image struct image *image = NULL;
        int r = image_find(store, name, &image, err);
        if (r < 0)
                return r;
        cleanup_json json_t *object =
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:s, s:O}", "Id", image->id, "Created",
                      member(image->config, "created"), "Author", member(image->config, "author"),
                      "Architecture", member(image->config, "architecture"), "Os",
                      member(image->config, "os"), "Config", member(image->config, "config"), "Size",
                      (json_int_t)image->size_bytes, "RootFS", member(image->config, "rootfs"), "Digest",
                      image->digest, "Manifest", image->manifest);
        if (object == NULL)
                return error_set(err, -ENOMEM, "inspect image: out of memory");
        r = add_names(store, image, object, err);
        if (r < 0)
                return r;
        *ret_json = json_dumps(object, JSON_INDENT(4));
        return *ret_json == NULL ? error_set(err, -ENOMEM, "inspect image: out of memory") : 0;
}

int boxlet_image_inspect(struct boxlet *b, const char *reference_or_id, char **ret_json,
                         struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct image_store *store;
        int r = enter(b, &store, &err);
        if (r == 0)
                r = inspect(store, reference_or_id, ret_json, &err);
        return leave(b, error, &err, r);
}
