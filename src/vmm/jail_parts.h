/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_PARTS_H
#define VMM_JAIL_PARTS_H

/* What the stages of jail.h are made of. */
#include "vmm/jail.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_WITH_SANITIZER 1
#endif
#endif
#ifndef JAIL_WITH_SANITIZER
#define JAIL_WITH_SANITIZER 0
#endif

/* Namespaces as far as the host allows; fills in jail. The process namespace begins with the next child. */
void jail_enter_spaces(struct jail *jail);

/* Goes on in a child, the first process of the new namespace. The caller becomes its keeper and does not
 * return. */
int jail_fork_inside(struct error *err);

/* Replaces the root of all threads of the process by an empty, read-only one. */
int jail_empty_root(struct error *err);

/* The same for a thread that shares its root with no other; it keeps its working folder. */
int jail_empty_thread_root(struct error *err);

/* An execve(2) as root gives no capability any more. */
int jail_root_is_nobody(struct error *err);

/* The calling thread's capabilities, all of them, for good. */
int jail_drop_capabilities(struct error *err);

bool jail_has_landlock(void);

/* From here on the calling thread opens no file by a path, by Landlock. -EOPNOTSUPP: the kernel has it not.
 */
int jail_forbid_files(struct error *err);

/* Stage 4 without the filter of system calls, which comes last: what a thread that serves no files loses ...
 */
int jail_put_up_walls(struct error *err);

/* ... and one that does. It needs the shares, or is without Landlock: ruleset is jail_shares_new()'s or -1.
 */
int jail_put_up_walls_around(unsigned capabilities, int ruleset, struct error *err);

/* From here on the calling thread opens files beneath the shares only. */
int jail_only_shares(int ruleset, struct error *err);

#endif
