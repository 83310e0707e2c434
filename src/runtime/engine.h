/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_ENGINE_H
#define RUNTIME_ENGINE_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>

/* What an engine's name means for box.json: engine "kvm", or "qemu" with accel "tcg" or "kvm". */
struct engine {
        const char *name, *engine, *accel;
        bool needs_qemu;
};

/* NULL or "auto" chooses. -EINVAL for a name we do not know, -ENODEV for one this host cannot serve. home_fd
 * is where the outcome of the probe is remembered; -1: nowhere. */
int engine_choose(const char *name, int home_fd, struct engine *ret_engine, struct error *err);

/* How many disks a machine can have beside its own two. */
unsigned engine_volume_slots(const struct engine *engine, bool has_network, bool has_shares);

/* [{"name", "usable", "reason"}, ...] and, for `auto`, which one and why. */
json_t *engine_report(int home_fd);

#endif
