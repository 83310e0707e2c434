/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_SLOTS_H
#define AGENT_SLOTS_H

#include "base/error.h"

/*
 * Returns when the machine's virtio devices are there, with their drivers. Usually the kernel has found them
 * by itself; a machine that is to be a template (wire/template.h) has only empty slots, says so on the
 * console, and waits, until a copy of it finds itself with devices.
 */
int slots_await_devices(struct error *err);

#endif
