/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

/*
 * Owners that clean up when they go out of scope, and the two ways to hand over.
 *
 *     cleanup_fd int fd = open(...);
 *     cleanup_free char *name = strdup(...);
 *     ...
 *     return take_fd(&fd);
 *
 * CLEANUP_DEFINE(thing, struct thing *, thing_free) makes the handler for an own type; use it as
 * __attribute__((cleanup(cleanup_thing_p))), or give it a short name next to the type.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(handler) __attribute__((cleanup(handler)))

#define CLEANUP_DEFINE(name, type, destructor)         \
        static inline void cleanup_##name##_p(type *p) \
        {                                              \
                destructor(*p);                        \
        }

static inline void cleanup_free_p(void *p)
{
        free(*(void **)p);
}

static inline void cleanup_fd_p(const int *fd)
{
        if (*fd >= 0)
                (void)close(*fd); /* nothing can be done about a failure here; writers fsync before */
}

static inline void cleanup_file_p(FILE **f)
{
        if (*f != NULL)
                (void)fclose(*f); /* as above */
}

static inline void cleanup_dir_p(DIR **d)
{
        if (*d != NULL)
                (void)closedir(*d);
}

#define cleanup_free CLEANUP(cleanup_free_p)
#define cleanup_fd   CLEANUP(cleanup_fd_p)
#define cleanup_file CLEANUP(cleanup_file_p)
#define cleanup_dir  CLEANUP(cleanup_dir_p)

/* Moves the descriptor out of *fd, which then owns nothing. */
static inline int take_fd(int *fd)
{
        int taken = *fd;
        *fd = -1;
        return taken;
}

static inline void *take_pointer(void **p)
{
        void *taken = *p;
        *p = NULL;
        return taken;
}

/* Moves the pointer out of the variable p points to; the result has no type, the target gives it one. */
#define take_ptr(p) take_pointer((void **)(p))

/* Closes *fd now if it is one, and forgets it. */
static inline void close_fd(int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
        *fd = -1;
}

#endif
