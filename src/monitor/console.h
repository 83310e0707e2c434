/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_CONSOLE_H
#define MONITOR_CONSOLE_H

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>

/* What the guest's console says: a pipe from the machine into boxes/<id>/console.log, bounded. */

struct console;

/* *ret_write_fd: the end for the machine; the caller's. dir_fd is borrowed. */
int console_new(struct loop *loop, int dir_fd, struct console **ret_console, int *ret_write_fd,
                struct error *err);
void console_free(struct console *console);

/* Takes in what the pipe holds now: to be called before the text is asked for. */
void console_drain(struct console *console);

/* The line in which the guest's kernel said that it panicked, into text; false if there is none. */
bool console_panic(const struct console *console, char *text, size_t size);

/* The last lines, at most lines of them and size - 1 bytes, as printable text without an ending newline. */
void console_tail(const struct console *console, unsigned lines, char *text, size_t size);

#endif
