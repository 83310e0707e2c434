/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_MOUNT_OPTIONS_H
#define AGENT_MOUNT_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* A list of mount options taken apart as runc does it. */
struct mount_options {
        unsigned long flags; /* MS_*, without propagation */
        unsigned long
            propagation; /* MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with MS_REC; 0: none */
        bool copy_up;    /* tmpcopyup: begins with what it hides */
        char *data;      /* what is the file system's own, joined by commas; "" when nothing is */
};

/* Options are NULL-terminated. -EINVAL for what a bind mount cannot have, -ENOMEM. */
int mount_options_parse(char *const *options, struct mount_options *ret_options, struct error *err);
void mount_options_done(struct mount_options *options);

/* "private", "rslave", ... as in linux.rootfsPropagation; 0 when it is none of them. */
unsigned long mount_options_propagation(const char *name);

#endif
