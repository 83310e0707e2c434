/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

/*
 * A machine: something that runs a guest with the devices of a struct config. Which engine does it shows only
 * in who fills the ops. Everything happens on the loop thread.
 *
 *     made by an engine (qemu_machine_new(), kvm_machine_new()) -> start() -> run() -> running -> ended
 *
 * `ended` comes exactly once after a successful start(), whatever happens, and nothing after it; it may come
 * before `running`. start() returns before the guest runs.
 */
#include "base/error.h"

#include <stdbool.h>

enum machine_end {
        MACHINE_GUEST_RESET,    /* the guest asked for reset or power-off, also by a panic */
        MACHINE_GUEST_SHUTDOWN, /* it ended the machine by the port that is there for it */
        MACHINE_GUEST_CRASHED,  /* a triple fault that nobody asked for */
        MACHINE_GUEST_HUNG,     /* it was stopped, and could not have gone on: halted for good */
        MACHINE_STOPPED,        /* by stop() */
        MACHINE_TEMPLATE_MADE,  /* that was what it was for */
        MACHINE_ENGINE_DIED,    /* the engine ended by itself while the guest ran */
        MACHINE_ENGINE_MISSING, /* there is no such program */
        MACHINE_START_FAILED,   /* it did not come as far as running the guest */
        MACHINE_DEVICE_ERROR,   /* engine and devices do not understand each other */
};

struct machine_events {
        void (*running)(void *data);
        void (*ended)(void *data, enum machine_end end, const char *detail);
        void *data;
};

struct machine;

struct machine_ops {
        const char *name;

        /* -ENOENT: the engine is not installed. Others: it could not be started. */
        int (*start)(struct machine *m, struct error *err);

        /* Lets the guest of a successful start() run, once this process is jailed. NULL: it does already. */
        void (*run)(struct machine *m);

        /* Something has happened that measurements want to know; may be NULL. */
        void (*note)(struct machine *m, const char *moment);

        /* Ends the guest at once, also while it is paused. */
        void (*stop)(struct machine *m);

        /* Stops the processors, and lets them go on. Twice is as once. Below 0: it cannot be done now. */
        int (*pause)(struct machine *m, bool paused);

        /* Frees it all; the guest is gone when this returns. */
        void (*free)(struct machine *m);
};

struct machine {
        const struct machine_ops *ops;
        struct machine_events events;
};

#endif
