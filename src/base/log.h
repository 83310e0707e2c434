/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

/*
 * What a program (monitor, vmm, agent) says about itself: one line an event, to the descriptor the program
 * chose. The library never logs: it returns errors. $BOXLET_DEBUG=1 adds the debug lines.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program is kept by reference. fd below 0: nothing is written. Before log_init() nothing is written either.
 */
void log_init(const char *program, int fd, enum log_level maximum);

/* From now on no more than so many bytes are written, and then a line that says so: for a program whose lines
 * a guest can cause. Without it there is no limit. */
void log_limit(uint64_t bytes);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
