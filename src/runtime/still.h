/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_STILL_H
#define RUNTIME_STILL_H

/* A box's disk that stands still while it is copied: of a box that does not run by its lock, of one that runs
 * by its agent, which freezes the file system. */
#include "base/error.h"

#include <stdint.h>

#define STILL_DEFAULT_MS 60000
#define STILL_MAX_MS     600000

struct still;

/*
 * Returns when all that was written to the disk before is in the file, and nothing more is written for
 * limit_ms (1 to STILL_MAX_MS; it counts for a box that runs). -ETIMEDOUT when the guest does not answer.
 */
int still_begin(int box_fd, int64_t limit_ms, struct still **ret_still, struct error *err);

/* Whether the box ran. */
int still_is_running(const struct still *still);

/* Lets it go on; frees still. 0: it stood still up to now. Else a copy that was made is not to be used. */
int still_end(struct still *still, struct error *err);

/* Lets it go on, for who has no copy. NULL is fine. */
void still_free(struct still *still);

static inline void cleanup_still_p(struct still **still)
{
        still_free(*still);
}
#define cleanup_still __attribute__((cleanup(cleanup_still_p)))

#endif
