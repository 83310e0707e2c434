/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_CREATE_H
#define RUNTIME_CREATE_H

/* What every way to make a box needs: an id, and a record with a name. */
#include "runtime/runtime.h"

int create_make_id(char id[STATE_ID_LENGTH + 1]);

/* Inserts the record; fills in its name, made up if none is given (tried again when that one is taken). */
int create_insert(struct boxlet *b, const char *name, struct state_box *record, struct error *err);

#endif
