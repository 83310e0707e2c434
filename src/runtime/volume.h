/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_VOLUME_H
#define RUNTIME_VOLUME_H

/*
 * Named disks, as `create` and `start` need them; what clients call is in volumes.c. The caller of each holds
 * b->lock, or is alone with b.
 */
#include "base/error.h"
#include "base/json.h"
#include "runtime/runtime.h"

#define VOLUME_DISK    "disk.ext4"
#define VOLUMES_MAX    24 /* disks of one machine: vdc to vdz */
#define VOLUME_DEFAULT (10ULL << 30)

/* Makes the volume if there is none of that name. labels: JSON object, lent. 1 when it was made now. */
int volume_ensure(struct boxlet *b, const char *name, uint64_t size_bytes, const json_t *labels, bool made_up,
                  struct error *err);

/* Removes it, files and record. -EBUSY while a box refers to it. */
int volume_remove(struct boxlet *b, const char *name, struct error *err);

/* The folder volumes/, made if need be. */
int volume_open_folder(struct boxlet *b, int *ret_fd, struct error *err);

/* The disks of one box, open and locked: exclusively, or shared by those that only read. */
struct volume_set {
        int fds[VOLUMES_MAX];
        size_t count;
};

/*
 * disks: `disks` of the box's configuration, [{"volume", "path", "readonly"}]. Those that are missing are
 * made. -EBUSY in words when another box has one.
 */
int volume_take_all(struct boxlet *b, const char *box_id, const json_t *disks, struct volume_set *ret_set,
                    struct error *err);
void volume_let_go(struct volume_set *set);

/* `disks` of box.json: the monitor gets the first as descriptor first_fd. NULL when out of memory. */
json_t *volume_box_json(const json_t *disks, int first_fd);

#endif
