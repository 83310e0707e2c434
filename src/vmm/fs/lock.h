/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_LOCK_H
#define VMM_FS_LOCK_H

/* Who holds locks on the host's files (fcntl(2)); see lock.c. */
#include <pthread.h>

struct nodes;
struct holder;

struct locks {
        pthread_mutex_t lock;
        struct holder *first;
        unsigned count;
        unsigned maximum;
};

void locks_init(struct locks *l, unsigned maximum);
void locks_done(struct locks *l, struct nodes *nodes);

/* Lets go of all. Nobody may be at work. */
void locks_reset(struct locks *l, struct nodes *nodes);

#endif
