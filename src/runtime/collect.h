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

#endif
