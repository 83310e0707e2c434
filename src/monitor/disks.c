/* SPDX-License-Identifier: Apache-2.0 */
/* See disks.h. box.json says which descriptors are disks; each is looked at before it is believed. */
#include "monitor/disks.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int disks_adopt(const struct config *c, struct error *err)
{
        for (size_t i = 0; i < c->disk_count; i++) {
                struct stat st;
                const struct config_disk *disk = &c->disks[i];
                int r = fd_set_cloexec(disk->fd, 1);
                if (r == 0 && fstat(disk->fd, &st) < 0)
                        r = -errno;
                if (r < 0)
                        return error_errno(err, r, "take the disk of volume '%s'", disk->name);
                if (!S_ISREG(st.st_mode))
                        return error_set(err, -EINVAL, "the disk of volume '%s' is no file", disk->name);
        }
        return 0;
}

void disks_release(struct config *c)
{
        for (size_t i = 0; i < c->disk_count; i++)
                (void)close(c->disks[i].fd); /* written to by others; there is nothing of ours in it */
        c->disk_count = 0;
}

bool disks_writable(const struct config *c)
{
        for (size_t i = 0; i < c->disk_count; i++) {
                if (!c->disks[i].readonly)
                        return true;
        }
        return false;
}

json_t *disks_request(const struct config *c, unsigned first)
{
        json_t *array = json_array();
        for (size_t i = 0; array != NULL && i < c->disk_count; i++) {
                const struct config_disk *disk = &c->disks[i];
                char device[16];
                (void)snprintf(device, sizeof(device), "/dev/vd%c",
                               (char)('a' + first + i)); /* CONFIG_DISKS_MAX: never past z */
                if (json_array_append_new(array, json_pack("{s:s, s:s, s:s?, s:b}", "name", disk->name,
                                                           "device", device, "path", disk->path, "readonly",
                                                           (int)disk->readonly)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}
