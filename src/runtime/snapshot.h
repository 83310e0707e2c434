/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_SNAPSHOT_H
#define RUNTIME_SNAPSHOT_H

/* Copies of box disks: what the exported functions (snapshots.c, clone.c), collect.c and the check need. */
#include "runtime/runtime.h"

#define SNAPSHOT_FOLDER "snapshots" /* in the folder of the box */
#define SNAPSHOT_SUFFIX ".ext4"

/*
 * Copies the disk of the box, which may run, as DISK_OF_BOX into the folder of another. timeout_ms: how long
 * a running one may be held still, 0: the default. ret_running: whether it ran.
 */
int snapshot_copy_disk(struct boxlet_box *box, int64_t timeout_ms, int to_box_fd, bool *ret_running,
                       struct error *err);

/* The same with a snapshot of it. */
int snapshot_copy_of(struct boxlet_box *box, const char *name, int to_box_fd, struct error *err);

/* Makes, restores, removes one; the names were checked. */
int snapshot_make(struct boxlet_box *box, const char *name, int64_t timeout_ms, struct error *err);
int snapshot_restore(struct boxlet_box *box, const char *name, struct error *err);
int snapshot_remove(struct boxlet_box *box, const char *name, struct error *err);

/* What the snapshot takes on the host. */
uint64_t snapshot_allocated(struct boxlet *b, const struct state_snapshot *snapshot);

/* What a killed process left: files without a record, records without a file, drafts. Removes it, or only
 * counts. With b->lock held. Returns how many, none while somebody is at work on them, or -errno. */
int snapshot_collect(struct boxlet *b, const char *box_id, bool remove);

#endif
