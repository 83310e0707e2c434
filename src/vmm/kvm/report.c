/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest asked of us, in numbers: $BOXLET_DEBUG shows them, and bench/ reads them. */
#include "vmm/kvm/report.h"

#include "base/log.h"

#include <inttypes.h>

static void say_port(void *data, uint16_t port, uint32_t count)
{
        log_debug("exits until %s: port 0x%x: %" PRIu32, (const char *)data, port, count);
}

void report_exits(const char *moment, const struct vcpus *vcpus, struct slot *const *slots,
                  unsigned slot_count, const struct ports *ports)
{
        uint64_t counts[EXITS_REASONS_MAX], total = 0;
        vcpus_count(vcpus, counts);
        for (unsigned i = 0; i < EXITS_REASONS_MAX; i++)
                total += counts[i];
        log_debug("exits until %s: %" PRIu64, moment, total);
        for (unsigned i = 0; i < EXITS_REASONS_MAX; i++) {
                if (counts[i] > 0)
                        log_debug("exits until %s: %s: %" PRIu64, moment, exits_name(i), counts[i]);
        }
        for (unsigned i = 0; i < slot_count; i++)
                log_debug("exits until %s: device %u (%s): %" PRIu32, moment, i, slot_name(slots[i]),
                          slot_accesses(slots[i]));
        ports_count(ports, say_port, (void *)moment);
}
