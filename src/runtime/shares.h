/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_SHARES_H
#define RUNTIME_SHARES_H

/* The folders and files of the host in a list of mounts. Their order in the list is their number in the box.
 */
#include "runtime/mounts.h"

/* Is there something to be shared? What is missing and may be made is fine. */
int shares_check(const struct mount_list *list, struct error *err);

/* Makes the folders that are missing and are to be made. */
int shares_make(const struct mount_list *list, struct error *err);

/* `shares` of box.json (docs/protocol.md, section 6); NULL when out of memory. */
json_t *shares_describe(const struct mount_list *list);

/* The entry of a runtime-spec's `mounts` for the share of that number; NULL when out of memory. */
json_t *shares_mount(const struct mount_request *request, unsigned number);

#endif
