/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_QEMU_TSC_H
#define VMM_QEMU_TSC_H

/* The frequency of this host's time stamp counter in kHz, or 0 if it is not constant or cannot be told. Takes
 * 2 ms. */
unsigned qemu_tsc_khz(void);

#endif
