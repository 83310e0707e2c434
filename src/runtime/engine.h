/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_ENGINE_H
#define RUNTIME_ENGINE_H

#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>

/* What an engine's name means for box.json: engine "qemu", accel "tcg" or "kvm". */
struct engine {
        const char *name, *engine, *accel;
};

/* NULL or "auto" chooses. -EINVAL for a name we do not know, -ENODEV for one this host cannot serve. */
int engine_choose(const char *name, struct engine *ret_engine, struct error *err);

/* How many disks a machine can have beside its own two. */
unsigned engine_volume_slots(const struct engine *engine, bool has_network, bool has_shares);

/* [{"name", "usable", "reason"}, ...] and, for `auto`, which one and why. */
json_t *engine_report(void);

#endif
