/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

/* The caller's terminal. One at a time; it gets its settings back on terminal_restore(), at exit, and when a
 * bug of ours crashes the program. */

/* Every key goes to us as it is. keep_signals: but for Ctrl-C, Ctrl-\ and Ctrl-Z, which still make signals.
 * Calling it again changes between the two. -errno if fd is no terminal. */
int terminal_raw(int fd, bool keep_signals);

/* Puts back what was. Nothing happens if nothing was changed. */
void terminal_restore(void);

/* The size of the terminal behind fd; -errno if it is none or does not say. */
int terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns);

#endif
