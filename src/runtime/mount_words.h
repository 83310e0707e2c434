/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_MOUNT_WORDS_H
#define RUNTIME_MOUNT_WORDS_H

/* One -v or --mount as a mount_request; the list and its rules are in mounts.c. */
#include "runtime/mounts.h"

void mount_request_done(struct mount_request *request);

/* The value of a -v. */
int mount_words_volume(const char *text, const char *working_dir, struct mount_request *ret_request,
                       struct error *err);
/* The value of a --mount. */
int mount_words_mount(const char *text, const char *working_dir, struct mount_request *ret_request,
                      struct error *err);

#endif
