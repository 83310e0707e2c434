/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_USER_H
#define AGENT_USER_H

#include "agent/passwd.h"
#include "agent/spec.h"

/* Who the task is to be, by its plan and the passwd and group files of the image whose root root_fd is. */
int user_resolve(int root_fd, const struct task_plan *task, struct passwd_user *ret_user, struct error *err);

#endif
