/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's folder and its locks.
 *
 *     images/oci-layout  index.json  blobs/sha256/<hex>      an OCI image layout (image-spec image-layout.md)
 *            rootfs/<hex>.erofs      root file systems, named by the hash of the image's ordered diff_ids
 *            tmp/                    files being made; each is renamed into place when complete and fsync'd
 *            locks/                  in-use, index, and one file per piece of work under way
 *
 * Invariants, for any number of processes:
 * 1. A file in blobs/ or rootfs/ is whole and right, because it got there by rename after fsync and check.
 * 2. index.json is replaced by rename while locks/index is held.
 * 3. Files in blobs/ and rootfs/ are unlinked only under the exclusive lock on locks/in-use, and whoever
 * needs one that the index does not name yet holds it shared. So a removal never pulls the floor from under a
 * pull.
 * 4. tmp/ and the work locks are used only under the shared lock: whoever gets the exclusive one may delete
 *    all of them; they were left by a crash.
 */
#include "image/store.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "image/progress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define LAYOUT_TEXT      "{\"imageLayoutVersion\":\"1.0.0\"}"
#define IN_USE_LOCK      "in-use"
#define INDEX_LOCK       "index"
#define LOCK_INTERVAL_MS 100

int store_temporary(struct image_store *store, char *ret_name, int *ret_fd, struct error *err)
{
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return error_errno(err, -EIO, "get random bytes");
        (void)snprintf(ret_name, NAME_MAX + 1, "%016" PRIx64 ".tmp", random); /* fits */
        int fd = openat(store->tmp_fd, ret_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_errno(err, -errno, "make a temporary file in the image store");
        *ret_fd = fd;
        return 0;
}

static int lock_file(struct image_store *store, const char *name, int operation, int *ret_fd,
                     struct error *err)
{
        for (;;) {
                cleanup_fd int fd =
                    openat(store->locks_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                struct stat ours, named;
                int r;
                if (fd < 0)
                        return error_errno(err, -errno, "open the image store's lock '%s'", name);
                do {
                        r = flock(fd, operation);
                } while (r < 0 && errno == EINTR);
                if (r < 0 && errno == EWOULDBLOCK)
                        return -EAGAIN;
                if (r < 0)
                        return error_errno(err, -errno, "lock the image store's '%s'", name);
                /* it may have been deleted, and made anew by somebody, between our open and our lock */
                if (fstat(fd, &ours) == 0 &&
                    fstatat(store->locks_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
                        *ret_fd = take_fd(&fd);
                        return 0;
                }
        }
}

int store_lock_in_use(struct image_store *store, int *ret_fd, struct error *err)
{
        return lock_file(store, IN_USE_LOCK, LOCK_SH, ret_fd, err);
}

int store_lock_sweeping(struct image_store *store, int *ret_fd, struct error *err)
{
        return lock_file(store, IN_USE_LOCK, LOCK_EX | LOCK_NB, ret_fd, err);
}

int store_lock_index(struct image_store *store, int *ret_fd, struct error *err)
{
        return lock_file(store, INDEX_LOCK, LOCK_EX, ret_fd, err);
}

int store_try_lock_work(struct image_store *store, const char *name, int *ret_fd, struct error *err)
{
        return lock_file(store, name, LOCK_EX | LOCK_NB, ret_fd, err);
}

int store_lock_work(struct image_store *store, const char *name, const struct image_observer *observer,
                    const char *what, int *ret_fd, struct error *err)
{
        bool told = false;
        for (;;) {
                int r = store_try_lock_work(store, name, ret_fd, err);
                if (r != -EAGAIN)
                        return r;
                r = told ? progress_idle(observer, err)
                         : progress_message(observer, err, "waiting for %s", what);
                if (r < 0)
                        return r;
                told = true;
                /* flock() has nothing to poll, and a blocking one could not be cancelled */
                (void)poll(NULL, 0, LOCK_INTERVAL_MS);
        }
}

/* Deletes what crashed processes left in a folder, but for the two locks that always stay. */
static void empty_folder(int dir_fd)
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        if (dir == NULL) {
                close_fd(&fd);
                return; /* the next one who opens the store tries again */
        }
        while ((entry = readdir(dir)) != NULL) {
                const char *name = entry->d_name;
                if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, IN_USE_LOCK) != 0 &&
                    strcmp(name, INDEX_LOCK) != 0)
                        (void)path_remove_all_at(dir_fd, name); /* as above */
        }
}

void store_clean_leftovers(struct image_store *store)
{
        empty_folder(store->tmp_fd);
        empty_folder(store->locks_fd);
}

static int open_folders(struct image_store *store, struct error *err)
{
        int blobs = path_open_dir_at(store->fd, "blobs", 0755);
        if (blobs < 0)
                return error_errno(err, blobs, "open the image store: make 'blobs'");
        store->blobs_fd = path_open_dir_at(blobs, "sha256", 0755);
        (void)close(blobs);
        store->rootfs_fd = path_open_dir_at(store->fd, "rootfs", 0755);
        store->tmp_fd = path_open_dir_at(store->fd, "tmp", 0700);
        store->locks_fd = path_open_dir_at(store->fd, "locks", 0700);
        const int fds[] = {store->blobs_fd, store->rootfs_fd, store->tmp_fd, store->locks_fd};
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
                if (fds[i] < 0)
                        return error_errno(err, fds[i], "open the image store: make its folders");
        }
        return 0;
}

static int write_layout_file(struct image_store *store, struct error *err)
{
        if (faccessat(store->fd, "oci-layout", F_OK, 0) == 0)
                return 0;
        int r = path_write_atomic_at(store->fd, "oci-layout", LAYOUT_TEXT, sizeof(LAYOUT_TEXT) - 1, 0644);
        return r < 0 ? error_errno(err, r, "open the image store: write 'oci-layout'") : 0;
}

static int open_store(struct image_store *store, int images_fd, const char *config_path, struct error *err)
{
        store->fd = fcntl(images_fd, F_DUPFD_CLOEXEC, 3);
        if (store->fd < 0)
                return error_errno(err, -errno, "open the image store");
        if (config_path != NULL && (store->config_path = strdup(config_path)) == NULL)
                return error_set(err, -ENOMEM, "open the image store: out of memory");
        int r = open_folders(store, err);
        if (r == 0)
                r = write_layout_file(store, err);
        if (r < 0)
                return r;
        cleanup_fd int lock = -1;
        if (store_lock_sweeping(store, &lock, NULL) == 0)
                store_clean_leftovers(store);
        return 0;
}

int image_store_open(int images_fd, const char *config_path, struct image_store **ret_store,
                     struct error *err)
{
        struct image_store *store = calloc(1, sizeof(*store));
        if (store == NULL)
                return error_set(err, -ENOMEM, "open the image store: out of memory");
        store->fd = store->blobs_fd = store->rootfs_fd = store->tmp_fd = store->locks_fd = -1;
        int r = open_store(store, images_fd, config_path, err);
        if (r < 0) {
                image_store_free(store);
                return r;
        }
        *ret_store = store;
        return 0;
}

void image_store_free(struct image_store *store)
{
        if (store == NULL)
                return;
        close_fd(&store->fd);
        close_fd(&store->blobs_fd);
        close_fd(&store->rootfs_fd);
        close_fd(&store->tmp_fd);
        close_fd(&store->locks_fd);
        free(store->config_path);
        free(store);
}
