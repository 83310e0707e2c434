/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CAPABILITY_H
#define BASE_CAPABILITY_H

/* The names of capabilities(7). They number CAPABILITY_COUNT in Linux 5.9 to 6.1; a set is a uint64_t, one
 * bit each. */
#define CAPABILITY_COUNT 41

/* "CAP_CHOWN" (any case, prefix optional) to its number, or -EINVAL. */
int capability_number(const char *name);

/* The other way: "CHOWN" for 0; number is below CAPABILITY_COUNT. */
const char *capability_name(int number);

#endif
