/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_MACHINE_H
#define MONITOR_MACHINE_H

#include "base/error.h"
#include "base/loop.h"
#include "monitor/config.h"

/* The machine: a boxlet-vmm of our own (docs/protocol.md, section 2). */

struct machine;

struct machine_end {
        char reason[32]; /* as boxlet-vmm said it, "" if it died without a word */
        char detail[512];
        int exit_code; /* boxlet-vmm's, 128 + N for a signal */
        bool wanted;   /* machine_quit() was called */
};

struct machine_ops {
        /* The guest connected to a port of the host. fd is the callee's now. */
        void (*connection)(struct machine *machine, unsigned port, int fd, void *data);
        /* Its processors stand still, or go on: the answer to machine_pause(). */
        void (*paused)(struct machine *machine, bool paused, void *data);
        /* So many vsock connections there are: after machine_watch(), and then whenever it changes. */
        void (*connections)(struct machine *machine, int64_t count, void *data);
        /* What the host does not give boxlet-vmm's jail, in words. */
        void (*jail_lacks)(struct machine *machine, const char *words, void *data);
        /* Nothing runs any more: boxlet-vmm has ended and is reaped. The last call. */
        void (*down)(struct machine *machine, const struct machine_end *end, void *data);
};

struct machine_plan {
        const struct config *config;
        int box_fd;     /* the box's folder: disk, vsock.sock */
        int console_fd; /* what the guest's console is written to; borrowed */
        int net_fd;     /* to passt, -1: no network interface; borrowed */
        int log_fd;     /* for what boxlet-vmm says about itself; borrowed */
        char mac[18];   /* of the interface, if there is one */
};

int machine_start(struct loop *loop, const struct machine_plan *plan, const struct machine_ops *ops,
                  void *data, struct machine **ret_machine, struct error *err);

/* A template that machines do not get going from is not to be used again. True if it was still there. */
bool machine_drop_template(const char *path);

/* Stops its processors, or lets them go on; paused() tells when. -errno: it does not listen. */
int machine_pause(struct machine *machine, bool paused);

/* connections() is wanted. */
int machine_watch(struct machine *machine);

/* Ends it at once; what does not obey is killed. down() tells. */
void machine_quit(struct machine *machine);

/* NULL is fine. One that still runs is killed. */
void machine_free(struct machine *machine);

#endif
