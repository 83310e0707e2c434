/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_KVM_MPTABLE_H
#define VMM_KVM_MPTABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The MultiProcessor table (Intel's specification 1.4): how a machine without ACPI tells its processors, its
 * IOAPIC and which interrupt line goes to which pin. Pure: fills bytes that are to lie at gpa.
 * Returns the length, or -ENOSPC when `size` is too small, -EINVAL for no processor or more than a local APIC
 * id can number.
 */
int mptable_build(void *bytes, size_t size, uint32_t gpa, unsigned cpus);

#endif
