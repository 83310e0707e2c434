/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_ADOPT_H
#define RUNTIME_ADOPT_H

/*
 * A new box whose configuration and disk come from somewhere: another box, or a file. Folder and lock first,
 * then the caller makes the disk, then the record (collect.c has what a kill in between leaves).
 */
#include "runtime/runtime.h"

struct adoption {
        struct boxlet *boxlet;
        char id[STATE_ID_LENGTH + 1];
        int box_fd, lock_fd;
        bool kept;
};

/* Makes the folder. name: NULL, or one that must be good and free. */
int adopt_begin(struct boxlet *b, const char *name, struct adoption *ret_adoption, struct error *err);

/*
 * Makes the record. from: image and configuration, of a box with id from->id ("" if it had none): where the
 * host name was made of the id, it is made of the new one's. name NULL: made up.
 */
int adopt_finish(struct adoption *adoption, const struct state_box *from, const char *name,
                 struct boxlet_box **ret_box, struct error *err);

/* Lets go; removes the folder if there is no record of it. */
void adopt_end(struct adoption *adoption);
#define cleanup_adoption __attribute__((cleanup(adopt_end)))

#endif
