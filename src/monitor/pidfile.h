/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_PIDFILE_H
#define MONITOR_PIDFILE_H

#include "base/error.h"

/* The file that names this process while its box runs. path NULL: nothing happens. */
int pidfile_write(const char *path, struct error *err);

/* Removes it, if it still names this process. */
void pidfile_remove(const char *path);

#endif
