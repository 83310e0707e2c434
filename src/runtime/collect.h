/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_COLLECT_H
#define RUNTIME_COLLECT_H

#include "runtime/runtime.h"

/*
 * Puts folders and records right after crashes: records without a folder, folders without a record, boxes to
 * be removed automatically whose monitor was killed, half-removed folders. Never waits. b->lock is held by
 * the caller.
 */
void collect(struct boxlet *b);

/* Removes a box that is not running, whose lock the caller holds: folder out of the way, record, then the
 * files. */
int collect_remove(struct boxlet *b, const char *id, struct error *err);

/* Held while the folder of a new box is made, until its lock is held too; close it then. */
int collect_guard(struct boxlet *b, int *ret_fd, struct error *err);

/* A folder that may have no record: 1 if it has none and nobody is at work on it (then it is removed, if that
 * is asked for), 0 if it is to stay, or -errno. */
int collect_orphan(struct boxlet *b, const char *id, bool remove);

#endif
