/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/* A file of lines that many processes add to, with a limit: past maximum_bytes it becomes "NAME.1" (the one
 * that was there is dropped) and is begun anew. Nobody waits for anybody. */

/* line ends with its only newline. 0 or -errno; then a part of the line may be there, without a newline. */
int journal_append(int dir_fd, const char *name, const char *line, size_t size, int64_t maximum_bytes);

#endif
