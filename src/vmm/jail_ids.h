/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_IDS_H
#define VMM_JAIL_IDS_H

/*
 * Users and groups in the user namespace of boxlet-vmm, for machines with shared folders. Without a mapping
 * every file would seem to be nobody's. A plain user's own id becomes 0 in there, and nothing else is mapped;
 * for root all ids are themselves, so that files can be given to anybody.
 */
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct jail_ids {
        uid_t uid;
        gid_t gid;
        pid_t writer; /* -1: none; root needs one who stayed outside */
        int go_fd;
};

/* Before the namespace is made, with one thread. */
int jail_ids_begin(struct jail_ids *ids, struct error *err);

/* After it was made, or could not be. True: ids are the host's, and files can be given to anybody. */
bool jail_ids_end(struct jail_ids *ids);

/* Takes all capabilities from the calling thread but those in keep (a set of bits). */
int jail_keep_capabilities(unsigned keep, struct error *err);

#endif
