/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_LOGFILE_H
#define MONITOR_LOGFILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The box's log: what init and the command beside it print, as JSON lines in a file with a size limit
 * (docs/protocol.md, section 5).
 */

#define LOGFILE_LINE_MAX (16U << 10) /* a longer line is written in parts */

/* What is printed by whom: lines of the two processes must not be mixed up. */
#define LOGFILE_STDERR  1U
#define LOGFILE_COMMAND 2U
#define LOGFILE_STREAMS 4U

struct logfile;

/*
 * Opens (or goes on with) dir_fd/"log". When a file would pass maximum_bytes / files it becomes log.1, log.1
 * becomes log.2, ...; of them and log together there are at most `files`. dir_fd is borrowed.
 */
int logfile_new(int dir_fd, int64_t maximum_bytes, int64_t files, struct logfile **ret_log,
                struct error *err);

/* Output; stream is a sum of LOGFILE_*. 0, or -errno when lines were lost (the disk is full, ...): later ones
 * are tried again. */
int logfile_write(struct logfile *log, unsigned stream, const void *bytes, size_t size);

/* The end of that stream, or of everything: a line without a newline is written as partial. */
int logfile_finish(struct logfile *log, unsigned stream);

/* Writes what is left of all streams and closes. NULL is fine. */
void logfile_free(struct logfile *log);

#endif
