/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_SECCOMP_H
#define AGENT_SECCOMP_H

#include "base/error.h"

/* From here on this process and its children get EAFNOSUPPORT for sockets of AF_VSOCK: the way between the
 * agent and the host is not the container's. Needs CAP_SYS_ADMIN or no_new_privs. */
int seccomp_hide_vsock(struct error *err);

#endif
