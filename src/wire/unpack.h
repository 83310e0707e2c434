/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_UNPACK_H
#define WIRE_UNPACK_H

#include "base/error.h"
#include "wire/tar.h"

#include <stdbool.h>
#include <stdint.h>

/* A tar of tar.h to files: libboxlet for what comes out of a box, the agent for what goes in. */
struct unpack_options {
        int root_fd;     /* nothing is made but in here */
        const char *top; /* what the entry "." is called in it; NULL: it is root_fd, which stays as it is */
        bool keep_owner; /* owners are the tar's (if we are root); else whoever writes */
        bool keep_privileges; /* set-id bits, devices and all attributes too; else they are left out */
};

struct unpack_report {
        uint64_t left_out; /* devices */
        char first[256];   /* the name of one */
};

/* Up to the tar's end. -EBADMSG for a tar that is damaged or would lead out of root_fd. */
int unpack(struct tar_reader *reader, const struct unpack_options *options, struct unpack_report *ret_report,
           struct error *err);

#endif
