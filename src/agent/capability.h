/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_CAPABILITY_H
#define AGENT_CAPABILITY_H

#include "base/error.h"

#include <stdint.h>

/* The five sets of capabilities(7), one bit each. */
struct capability_sets {
        uint64_t bounding;
        uint64_t effective;
        uint64_t permitted;
        uint64_t inheritable;
        uint64_t ambient;
};

/* First half, while still root: takes what is not in sets->bounding out of the bounding set, and keeps
 * permitted capabilities over the change of user that follows. */
int capability_limit(const struct capability_sets *sets, struct error *err);

/* Second half, after the change of user: sets the other four. Bits the kernel does not know are left out. */
int capability_apply(const struct capability_sets *sets, struct error *err);

#endif
