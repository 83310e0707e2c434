/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_SHARES_H
#define VMM_SHARES_H

/* The shared folders of a machine: from its configuration to a device that serves them, jailed. */
#include "base/loop.h"
#include "vmm/config.h"
#include "vmm/virtio/fs.h"

struct shares {
        struct virtio_fs *fs;
        int proc_fd;
};

/* own_ids: ids are the host's, and files can be given to anybody (jail_ids_end()). */
int shares_start(struct loop *loop, const struct config *config, bool own_ids, struct shares *ret_shares,
                 struct error *err);
void shares_stop(struct shares *shares);

#endif
