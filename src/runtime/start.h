/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_START_H
#define RUNTIME_START_H

#include "boxlet.h"
#include "base/error.h"

/*
 * Starts the machine of a box that does not run, for work in its files: without its init, network, ports and
 * sockets. Nothing of it shows in the box's own state. The machine is ended by a stop, or with the handle.
 * -EBUSY when the box runs.
 */
int start_for_files(struct boxlet_box *box, struct boxlet_process **ret_process, struct error *err);

#endif
