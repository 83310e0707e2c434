/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_BOX_WORLD_H
#define UNIT_BOX_WORLD_H

/* A home with an image "tiny" and boxes that never start: what works on their files needs no machine. */
#include "boxlet.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct box_world {
        char path[512]; /* home/ and libexec/ are in it */
        int fd;
        struct boxlet *boxlet;
        struct boxlet_error error;
};

/* Skips the case where mkfs.ext4 or QEMU is not installed. */
void box_world_begin(struct box_world *w);
void box_world_end(struct box_world *w);

/* The same home again, and another one with nothing in it: home "home" or another name. */
struct boxlet *box_world_open(struct box_world *w, const char *home);

/* A box of 64 MiB named so. */
struct boxlet_box *box_world_create(struct box_world *w, const char *name);

/* Opens a file below the folder of the box. */
int box_world_file(struct box_world *w, const struct boxlet_box *box, const char *name, int flags);

/* Writes, or expects, a text at an offset of the box's disk (file: its path below the box's folder). */
void box_world_write(struct box_world *w, const struct boxlet_box *box, const char *file, off_t at,
                     const char *text);
void box_world_expect(struct box_world *w, const struct boxlet_box *box, const char *file, off_t at,
                      const char *text);

/* How many entries the folder (below the world's) has. */
unsigned box_world_count(struct box_world *w, const char *folder);

/* How an agent answers to "freeze" and "thaw". */
enum box_agent { BOX_AGENT_GOOD, BOX_AGENT_REFUSES, BOX_AGENT_TIMES_OUT, BOX_AGENT_LEAVES };

/* Makes the box look as if it ran: its lock is held, and a process answers on vsock.sock. */
struct box_running {
        pid_t pid;
        int lock_fd;
};
void box_world_run(struct box_world *w, const struct boxlet_box *box, enum box_agent kind,
                   struct box_running *ret_running);
void box_world_stop(struct box_running *running);

#endif
