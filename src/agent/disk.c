/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks with a name (docs/protocol.md, section 3, `disks`).
 *
 *     RUN/disks/NAME         the disk's ext4, as it is: lost+found, data, perhaps data.new
 *     RUN/volumes/NAME       its folder data: what a container sees
 *
 * What lies on such a disk was written by boxes before, and so may be anything, a damaged file system or
 * links in place of folders among it: the kernel reads it here, inside the machine, and no name on it is
 * followed but "data", which must be a folder.
 *
 * Invariants:
 * 1. `data` is complete from the moment it has its name (volume_fill).
 * 2. An empty `data` is filled again from the image, as docker does with an empty volume.
 * 3. A read-only disk is not written to, not even to replay its journal: the device refuses that.
 */
#include "agent/disk.h"

#include "agent/volume.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA "data"

struct place {
        char path[PATH_MAX];
};

/* RUN/folder/name; names are NAME_MAX at most. */
static struct place place_of(const char *run_folder, const char *folder, const char *name)
{
        struct place p;
        (void)snprintf(p.path, sizeof(p.path), "%s/%s/%s", run_folder, folder, name);
        return p;
}

static int mount_disk(const struct boot_disk *disk, const char *place, struct error *err)
{
        int r = path_mkdir_all(place, 0755);
        if (r < 0)
                return error_errno(err, r, "make a place for it");
        if (mount(disk->device, place, "ext4", disk->readonly ? MS_RDONLY : 0, NULL) == 0)
                return 0;
        if (errno == EROFS && disk->readonly)
                return error_set(err, -EROFS,
                                 "it was not unmounted when its last box ended, and read-only it cannot be "
                                 "put in order: mount it once without ro");
        return error_errno(err, -errno, "mount its file system");
}

/* 1 when there is a folder `data` with something in it, 0 when there is none or an empty one. */
static int has_data(int disk_fd, bool *ret_exists, struct error *err)
{
        int fd = openat(disk_fd, DATA, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        *ret_exists = fd >= 0;
        if (fd < 0)
                return errno == ENOENT ? 0 : error_errno(err, -errno, "open its folder '" DATA "'");
        cleanup_dir DIR *folder = fdopendir(fd);
        if (folder == NULL) {
                (void)close(fd);
                return error_errno(err, -errno, "read its folder '" DATA "'");
        }
        int entries = 0;
        while (entries <= 2 && readdir(folder) != NULL) /* "." and ".." are always there */
                entries++;
        return entries > 2;
}

/* The folder of the image that is to be copied: a descriptor, or -ENOENT. */
static int open_source(const struct boot_disk *disk, int root_fd)
{
        return disk->path == NULL ? -ENOENT
                                  : path_open_in_root(root_fd, disk->path, O_RDONLY | O_DIRECTORY, 0);
}

static int make_data(const struct boot_disk *disk, int disk_fd, int root_fd, struct error *err)
{
        bool exists;
        int r = has_data(disk_fd, &exists, err);
        if (r != 0)
                return r < 0 ? r : 0;
        cleanup_fd int source = open_source(disk, root_fd);
        if (source >= 0)
                return volume_fill(source, disk_fd, DATA, err);
        if (source != -ENOENT)
                return error_errno(err, source, "open '%s' in the image", disk->path);
        if (!exists && mkdirat(disk_fd, DATA, 0755) < 0)
                return error_errno(err, -errno, "make its folder");
        return 0;
}

/* Puts `data` at its place in RUN/volumes. A read-only disk that never had any shows an empty folder. */
static int show_data(const struct boot_disk *disk, int disk_fd, const char *place, struct error *err)
{
        char from[64];
        int r = path_mkdir_all(place, 0755);
        if (r < 0)
                return error_errno(err, r, "make a place for it");
        cleanup_fd int data = openat(disk_fd, DATA, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (data < 0 && errno == ENOENT && disk->readonly)
                return 0;
        (void)snprintf(from, sizeof(from), "/proc/self/fd/%d", data); /* always fits */
        if (data < 0 || mount(from, place, NULL, MS_BIND, NULL) < 0)
                return error_errno(err, -errno, "open its folder '" DATA "'");
        return 0;
}

static int mount_one(const struct boot_disk *disk, const char *run_folder, int root_fd, struct error *err)
{
        struct place place = place_of(run_folder, "disks", disk->name);
        int r = mount_disk(disk, place.path, err);
        if (r < 0)
                return r;
        cleanup_fd int disk_fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (disk_fd < 0)
                return error_errno(err, -errno, "open it");
        if (!disk->readonly)
                r = make_data(disk, disk_fd, root_fd, err);
        return r < 0 ? r : show_data(disk, disk_fd, place_of(run_folder, "volumes", disk->name).path, err);
}

int disk_mount_all(const struct boot_plan *plan, const char *run_folder, int root_fd, struct error *err)
{
        for (size_t i = 0; i < plan->disk_count; i++) {
                int r = mount_one(&plan->disks[i], run_folder, root_fd, err);
                if (r < 0)
                        return error_wrap(err, "volume '%s'", plan->disks[i].name);
        }
        return 0;
}

static void for_each(const char *run_folder, const char *folder, void (*fn)(const char *place))
{
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s", run_folder, folder); /* our own short names */
        cleanup_dir DIR *dir = opendir(path);
        if (dir == NULL)
                return; /* there were none */
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
                if (entry->d_name[0] != '.')
                        fn(place_of(run_folder, folder, entry->d_name).path);
        }
}

static void hide(const char *place)
{
        (void)umount2(place, MNT_DETACH); /* it may be a plain folder */
}

/* Read-only first: that writes the journal out even if a mount of it is still going away elsewhere. */
static void unmount(const char *place)
{
        if (mount(NULL, place, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
                log_warning("leave '%s': %s: it was written out, and its journal will be replayed", place,
                            strerror(errno));
        (void)umount2(place, MNT_DETACH); /* the machine ends next */
}

void disk_unmount_all(const char *run_folder)
{
        for_each(run_folder, "volumes", hide);
        for_each(run_folder, "disks", unmount);
}
