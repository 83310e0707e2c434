/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's root: the image (EROFS, read-only, shared by boxes) below, the box's own disk (ext4) or
 * memory above.
 *
 *     RUN/lower            the image
 *     RUN/disk/upper,work  what the box changed
 *     RUN/disk/volumes/X   paths of the image that lie directly on the disk, mounted over the root
 *     RUN/root             all of it together
 *     RUN/shares/N         what the host shares; a container's mounts bind them (docs/protocol.md, section 3)
 *     RUN/disks, volumes   disks with a name (disk.c)
 *
 * Overlay options: no metacopy and no index, because the lower file may be written anew between two starts of
 * a box (both keep handles of lower files in the upper layer); redirect_dir, so that folders of the image can
 * be renamed.
 */
#include "agent/rootfs.h"

#include "agent/disk.h"
#include "agent/mounts.h"
#include "agent/volume.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
        char path[PATH_MAX];
};

/* RUN/a/b; our own short names. */
static struct place under(const char *run_folder, const char *name)
{
        struct place p;
        (void)snprintf(p.path, sizeof(p.path), "%s/%s", run_folder, name);
        return p;
}

static int mount_at(const char *source, const char *target, const char *type, unsigned long flags,
                    const char *data, struct error *err)
{
        int r = path_mkdir_all(target, 0755);
        if (r == 0 && mount(source, target, type, flags, data) < 0)
                r = -errno;
        return r < 0 ? error_errno(err, r, "mount %s '%s'", type, source) : 0;
}

static int mount_layers(const struct boot_plan *plan, const char *run_folder, struct error *err)
{
        int r =
            mount_at(plan->lower, under(run_folder, "lower").path, "erofs", MS_RDONLY | MS_NODEV, NULL, err);
        if (r < 0)
                return r;
        if (plan->upper != NULL)
                r = mount_at(plan->upper, under(run_folder, "disk").path, "ext4", 0, NULL, err);
        else
                r = mount_at("tmpfs", under(run_folder, "disk").path, "tmpfs", 0, "mode=0700", err);
        static const char *const folders[] = {"disk/upper", "disk/work", "disk/volumes"};
        for (size_t i = 0; r == 0 && i < sizeof(folders) / sizeof(folders[0]); i++) {
                r = path_mkdir_all(under(run_folder, folders[i]).path, 0755);
                if (r < 0)
                        (void)error_errno(err, r, "make '%s'", folders[i]);
        }
        return r;
}

/* The upper folder is the root's face: it takes over what the image's root looks like. */
static int copy_root_attributes(const char *run_folder, struct error *err)
{
        struct stat lower, upper;
        struct place from = under(run_folder, "lower"), to = under(run_folder, "disk/upper");
        if (stat(from.path, &lower) < 0 || stat(to.path, &upper) < 0)
                return error_errno(err, -errno, "look at the image's root");
        if (access(under(run_folder, "disk/.begun").path, F_OK) == 0)
                return 0; /* from the second start on the box's own changes stay */
        if (chown(to.path, lower.st_uid, lower.st_gid) < 0 || chmod(to.path, lower.st_mode & 07777) < 0)
                return error_errno(err, -errno, "prepare the box's disk");
        int fd = open(under(run_folder, "disk/.begun").path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_errno(err, -errno, "prepare the box's disk");
        (void)close(fd); /* empty */
        return 0;
}

static int mount_overlay(const char *run_folder, struct error *err)
{
        char data[3 * PATH_MAX + 128];
        (void)snprintf(data, sizeof(data),
                       "lowerdir=%s/lower,upperdir=%s/disk/upper,workdir=%s/disk/work,xino=auto,"
                       "metacopy=off,index=off,redirect_dir=on",
                       run_folder, run_folder, run_folder); /* fits: our own short names */
        return mount_at("overlay", under(run_folder, "root").path, "overlay", 0, data, err);
}

/* Devices of the host are none here: whatever a share holds, no node in it opens one of this machine's. */
static int mount_shares(const struct boot_plan *plan, const char *run_folder, struct error *err)
{
        if (plan->shares == NULL)
                return 0;
        return mount_at(plan->shares, under(run_folder, "shares").path, "virtiofs", MS_NODEV, NULL, err);
}

int rootfs_mount(const struct boot_plan *plan, const char *run_folder, struct error *err)
{
        int r = mount_layers(plan, run_folder, err);
        if (r == 0)
                r = copy_root_attributes(run_folder, err);
        if (r == 0)
                r = mount_overlay(run_folder, err);
        if (r == 0)
                r = mount_shares(plan, run_folder, err);
        if (r < 0)
                return r;
        cleanup_fd int root = open(under(run_folder, "root").path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        cleanup_fd int volumes =
            open(under(run_folder, "disk/volumes").path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || volumes < 0)
                return error_errno(err, -errno, "open the root");
        for (char *const *path = plan->volumes; r == 0 && *path != NULL; path++) {
                r = volume_mount(root, volumes, *path, err);
                if (r < 0)
                        (void)error_wrap(err, "volume '%s'", *path);
        }
        return r < 0 ? r : disk_mount_all(plan, run_folder, root, err);
}

void rootfs_unmount(const char *run_folder)
{
        struct place disk = under(run_folder, "disk");
        struct place root = under(run_folder, "root");
        sync();
        /* volumes lie on top of the root, in an order that does not matter to a lazy unmount */
        if (umount2(root.path, MNT_DETACH) < 0 && errno != EINVAL)
                log_warning("unmount '%s': %s", root.path, strerror(errno));
        disk_unmount_all(run_folder);
        if (umount2(disk.path, 0) == 0)
                return;
        if (mount(NULL, disk.path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
                log_warning("unmount '%s': %s: it was written out, and its journal will be replayed",
                            disk.path, strerror(errno));
}
