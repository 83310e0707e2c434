/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_SHARES_H
#define MONITOR_SHARES_H

#include "base/error.h"
#include "base/json.h"
#include "base/process.h"

#include <stddef.h>

/* The folders and files of the host that a box gets: `shares` of box.json (docs/protocol.md, section 6). */

#define SHARES_MAX 256

struct shares {
        size_t count;
        int fds[SHARES_MAX]; /* O_PATH */
};

/* Are they described as they must be? list may be NULL. */
int shares_check(const json_t *list, struct error *err);

/* Opens them all, as this user. */
int shares_open(const json_t *list, struct shares *ret_shares, struct error *err);
void shares_close(struct shares *shares);

/* Adds them to what boxlet-vmm inherits, from the number `first` on, and tells it (a JSON array). */
void shares_hand_over(const struct shares *shares, int first, struct process_fd *fds, size_t *count);
json_t *shares_describe(const json_t *list, int first);

#endif
