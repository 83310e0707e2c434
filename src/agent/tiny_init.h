/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_TINY_INIT_H
#define AGENT_TINY_INIT_H

#include <sys/types.h>

/* Being pid 1 of a container: hands signals on to child, reaps whatever ends, and exits as child does. */
_Noreturn void tiny_init_run(pid_t child);

#endif
