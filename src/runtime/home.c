/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The home folder: images/, boxes/, templates/, boxlet.db, all of the owner alone. Opening makes what is
 * missing and asks nothing of anybody, so it cannot hang.
 *
 * Threads: a struct boxlet is shared by its box and process handles, which may live in different threads;
 * `lock` guards the database handle and the image store. The rest is set at birth and only read.
 */
#include "runtime/runtime.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_HOME "/var/lib/boxlet"

static const char *environment(const char *name)
{
        const char *value = getenv(name);
        return value != NULL && value[0] != '\0' ? value : NULL;
}

/* $XDG_x_HOME/tail, or $HOME/fallback/tail; NULL when neither is set. */
static char *user_path(const char *xdg, const char *fallback, const char *tail)
{
        const char *base = environment(xdg);
        const char *home = environment("HOME");
        char *path = NULL;
        if (base != NULL && base[0] == '/')
                return path_join(base, tail);
        if (home == NULL || asprintf(&path, "%s/%s/%s", home, fallback, tail) < 0)
                return NULL;
        return path;
}

static int choose_home(const char *option, char **ret_home, struct error *err)
{
        const char *given = option != NULL ? option : environment("BOXLET_HOME");
        char *home;
        if (given != NULL)
                home = strdup(given);
        else if (geteuid() == 0)
                home = strdup(ROOT_HOME);
        else
                home = user_path("XDG_DATA_HOME", ".local/share", "boxlet");
        if (home == NULL)
                return error_set(err, -ENOENT, "find home folder: neither $BOXLET_HOME nor $HOME is set");
        *ret_home = home;
        return 0;
}

/* 1 when it is there for us, 0 when not, -errno when that cannot be told. */
static int is_readable(const char *path)
{
        if (access(path, R_OK) == 0)
                return 1;
        return path_is_absent(errno) || errno == EACCES ? 0 : -errno;
}

/* NULL when there is none. Which settings count must not depend on a moment's failure. */
static int choose_registries(const char *option, char **ret_path, struct error *err)
{
        static const char of_all[] = "/etc/boxlet/registries.conf";
        const char *given = option != NULL ? option : environment("BOXLET_CONFIG");
        cleanup_free char *path =
            given != NULL ? strdup(given) : user_path("XDG_CONFIG_HOME", ".config", "boxlet/registries.conf");
        if (given != NULL && path == NULL)
                return error_set(err, -ENOMEM, "find the registries file: out of memory");
        int r = given != NULL ? 1 : path != NULL ? is_readable(path) : 0;
        if (r == 0 && (r = is_readable(of_all)) > 0) {
                free(path);
                path = strdup(of_all);
                r = path == NULL ? -ENOMEM : 1;
        }
        if (r < 0)
                return error_errno(err, r, "find the registries file");
        *ret_path = r > 0 ? take_ptr(&path) : NULL;
        return 0;
}

static int open_folders(struct boxlet *b, struct error *err)
{
        static const char advice[] = "set $BOXLET_HOME to a folder you can write to";
        int r = path_mkdir_all(b->home, 0700);
        if (r < 0)
                return error_set(err, r, "make home folder '%s': %s: %s", b->home, strerror(-r), advice);
        char *absolute = realpath(b->home, NULL);
        if (absolute == NULL)
                return error_errno(err, -errno, "open home folder '%s'", b->home);
        free(b->home);
        b->home = absolute;
        b->home_fd = open(b->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (b->home_fd < 0)
                return error_errno(err, -errno, "open home folder '%s'", b->home);
        if (faccessat(b->home_fd, ".", W_OK, AT_EACCESS) < 0)
                return error_set(err, -errno, "write to home folder '%s': %s: %s", b->home, strerror(errno),
                                 advice);
        b->boxes_fd = path_open_dir_at(b->home_fd, "boxes", 0700);
        b->images_fd = b->boxes_fd < 0 ? b->boxes_fd : path_open_dir_at(b->home_fd, "images", 0700);
        if (b->images_fd < 0)
                return error_errno(err, b->images_fd, "make folders in '%s'", b->home);
        return 0;
}

void boxlet_ref(struct boxlet *b)
{
        (void)atomic_fetch_add(&b->references, 1);
}

void boxlet_unref(struct boxlet *b)
{
        if (atomic_fetch_sub(&b->references, 1) != 1)
                return;
        image_store_free(b->store);
        state_close(b->state);
        places_done(&b->places);
        close_fd(&b->images_fd);
        close_fd(&b->boxes_fd);
        close_fd(&b->home_fd);
        (void)pthread_mutex_destroy(&b->lock); /* nobody is left who could hold it */
        free(b->registries);
        free(b->home);
        free(b);
}

static int fill(struct boxlet *b, const struct boxlet_options *o, struct error *err)
{
        int r = choose_home(o->home, &b->home, err);
        if (r == 0)
                r = places_init(&b->places, o->libexec, o->kernel_dir, err);
        if (r == 0)
                r = open_folders(b, err);
        if (r == 0)
                r = choose_registries(o->config, &b->registries, err);
        return r < 0 ? r : state_open(b->home, b->home_fd, &b->state, err);
}

int boxlet_open(const struct boxlet_options *options, struct boxlet **ret_boxlet, struct boxlet_error *error)
{
        struct error err = ERROR_INIT;
        struct boxlet_options o = BOXLET_OPTIONS_INIT;
        int r = api_options(&o, sizeof(o), options, "struct boxlet_options", &err);
        if (r < 0)
                return api_result(error, &err, r);
        struct boxlet *b = calloc(1, sizeof(*b));
        if (b == NULL)
                return api_result(error, &err, -ENOMEM);
        b->home_fd = b->boxes_fd = b->images_fd = -1;
        atomic_init(&b->references, 1);
        (void)pthread_mutex_init(&b->lock, NULL); /* cannot fail with default attributes on Linux */
        r = fill(b, &o, &err);
        if (r < 0) {
                boxlet_unref(b);
                return api_result(error, &err, r);
        }
        *ret_boxlet = b;
        return 0;
}

void boxlet_close(struct boxlet *boxlet)
{
        if (boxlet != NULL)
                boxlet_unref(boxlet);
}

int boxlet_store(struct boxlet *b, struct image_store **ret_store, struct error *err)
{
        if (b->store == NULL) {
                int r = image_store_open(b->images_fd, b->registries, &b->store, err);
                if (r < 0)
                        return r;
        }
        *ret_store = b->store;
        return 0;
}

int box_open_folder(struct boxlet *b, const char *id, int *ret_fd, struct error *err)
{
        int fd = openat(b->boxes_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return error_errno(err, -errno, "open the folder of box %.12s", id);
        *ret_fd = fd;
        return 0;
}
