/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_CHALLENGE_H
#define IMAGE_CHALLENGE_H

#include <stdbool.h>

/* What a WWW-Authenticate header asks for (RFC 9110 section 11.6.1). Pure. */
struct challenge {
        bool basic;
        bool bearer;
        char realm[1024]; /* of bearer */
        char service[256];
        char scope[512];
};

/* Reads one header's value, adding to what earlier headers said; what cannot be read is left out. The first
 * Bearer challenge with a realm counts. Begin with a zeroed struct. */
void challenge_parse(const char *header, struct challenge *challenge);

#endif
