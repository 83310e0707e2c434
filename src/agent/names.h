/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H

#include "agent/boot_plan.h"
#include "base/loop.h"

#include <stdint.h>

/* The name server of a box whose containers have resolvers of their own: it knows one name, and passes on the
 * rest. */
struct names;

/* Listens on that port (53, but in tests) of resolver->listen, and serves in a process of its own. resolver
 * is borrowed until names_free(). */
int names_start(struct loop *loop, const struct boot_resolver *resolver, uint16_t port,
                struct names **ret_names, struct error *err);

/* Ends the process. NULL is fine. */
void names_free(struct names *names);

#endif
