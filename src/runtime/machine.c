/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a box are read and written by its own machine and agent: the host never mounts a guest's disk.
 * So if the box does not run, its machine is started without its init (start_for_files()), asked until the
 * agent has its root, and stopped afterwards. The box's own state is as it was before, also if this process
 * is killed: the machine ends with the handle's connection (the monitor sees to that), and the state that was
 * kept counts from then on (life.h). Several who want that of one box take turns, by a lock of its own.
 */
#include "runtime/machine.h"

#include "base/clock.h"
#include "runtime/control.h"
#include "runtime/life.h"
#include "runtime/start.h"
#include "runtime/tell.h"
#include "runtime/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define BOOT_MS  120000
#define AGAIN_MS 50 /* from one question whether it has booted to the next */
#define STOP_MS  60000
#define GONE_MS  5000

#define TURN_NAME "files.lock"

struct ending {
        bool ended;
        struct boxlet_error error;
};

static void on_ended(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                     void *data)
{
        struct ending *ending = data;
        (void)process;
        (void)exit_code;
        ending->ended = true;
        if (error != NULL)
                ending->error = *error;
}

/* Whether the agent has the box's root by now. */
static bool has_booted(int box_fd)
{
        cleanup_json json_t *request = json_pack("{s:s}", "op", "stats");
        cleanup_transfer struct transfer *t = NULL;
        struct error ignored = ERROR_INIT;
        return transfer_open(box_fd, request, NULL, &t, NULL, &ignored) == 0;
}

static int await_boot(struct boxlet_box *box, const struct machine *machine, struct error *err)
{
        struct ending ending = {0};
        struct boxlet_process_events events = {.size = sizeof(events), .ended = on_ended, .data = &ending};
        struct boxlet_error error = {0};
        int64_t deadline = clock_monotonic_ms() + BOOT_MS;
        (void)boxlet_process_set_events(machine->process, &events); /* a size of ours is right */
        while (!has_booted(machine->box_fd)) {
                struct pollfd p = {.fd = boxlet_process_fd(machine->process), .events = POLLIN};
                if (poll(&p, 1, AGAIN_MS) < 0 &&
                    errno != EINTR) /* else the next question comes whatever it says */
                        return error_errno(err, -errno, "wait for the machine of box '%s'", box->name);
                int r = boxlet_process_dispatch(machine->process, &error);
                if (r < 0)
                        return error_set(err, r, "%s", error.text);
                if (ending.ended)
                        return error_set(err, ending.error.code < 0 ? ending.error.code : -EIO,
                                         "start its machine: %s", ending.error.text);
                if (clock_monotonic_ms() > deadline)
                        return error_set(err, -ETIMEDOUT, "start the machine of box '%s': it does not answer",
                                         box->name);
        }
        /* the events are gone with this function's frame */
        events = (struct boxlet_process_events){.size = sizeof(events)};
        (void)boxlet_process_set_events(machine->process, &events); /* as above */
        return 0;
}

int machine_open_running(struct boxlet_box *box, int *ret_box_fd, struct error *err)
{
        cleanup_fd int box_fd = -1;
        int r = box_open_folder(box->boxlet, box->id, &box_fd, err);
        if (r < 0)
                return r;
        r = life_look(box_fd, err);
        if (r == 0)
                return error_set(err, -ESRCH, "it is not running: start it first");
        if (r > 0)
                r = life_check_answers(box_fd, err);
        if (r < 0)
                return r;
        *ret_box_fd = take_fd(&box_fd);
        return 0;
}

/* Waits for its turn; a signal ends the waiting. */
static int take_turn(int box_fd, int *ret_fd, struct error *err)
{
        cleanup_fd int fd = openat(box_fd, TURN_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_errno(err, -errno, "open the lock of the box's files");
        if (flock(fd, LOCK_EX) < 0)
                return errno == EINTR ? error_set(err, -ECANCELED, "canceled")
                                      : error_errno(err, -errno, "lock the box's files");
        *ret_fd = take_fd(&fd);
        return 0;
}

/* With the turn taken nobody has the box's machine for its files; one that was left by somebody who was
 * killed is on its way out. */
static int run(struct boxlet_box *box, struct machine *machine, struct error *err)
{
        bool left = faccessat(machine->box_fd, LIFE_KEPT_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        int r = left ? life_look(machine->box_fd, err) : 0;
        if (r > 0 && (r = control_wait_gone(machine->box_fd, STOP_MS)) == -ETIMEDOUT)
                return error_set(err, -EBUSY, "its machine does not end");
        if (r < 0)
                return error_errno(err, r, "wait for its machine");
        r = life_look(machine->box_fd, err);
        if (r < 0)
                return r;
        if (r == 0)
                return start_for_files(box, &machine->process, err);
        close_fd(&machine->turn_fd); /* it runs: any number may work in it */
        return life_check_answers(machine->box_fd, err);
}

int machine_begin(struct boxlet_box *box, struct machine *ret_machine, struct error *err)
{
        struct machine machine = {.box_fd = -1, .turn_fd = -1};
        struct error ignored = ERROR_INIT;
        int r = box_open_folder(box->boxlet, box->id, &machine.box_fd, err);
        if (r == 0)
                r = take_turn(machine.box_fd, &machine.turn_fd, err);
        if (r == 0)
                r = run(box, &machine, err);
        if (r == 0 && machine.process != NULL)
                r = await_boot(box, &machine, err);
        if (r < 0)
                (void)machine_end(&machine, &ignored);
        else
                *ret_machine = machine;
        return r;
}

static int stop(const struct machine *machine, struct error *err)
{
        cleanup_json json_t *request = json_pack("{s:s, s:i}", "op", "stop", "timeout_ms", 0);
        cleanup_fd int lock_fd = -1;
        if (request == NULL)
                return error_set(err, -ENOMEM, "stop its machine: out of memory");
        int r = life_look(machine->box_fd, err);
        if (r > 0)
                r = control_ask(machine->box_fd, request, STOP_MS, NULL, err);
        if (r < 0)
                return r;
        r = control_wait_gone(machine->box_fd, GONE_MS);
        if (r < 0)
                (void)error_errno(err, r, "wait for its end");
        if (r == 0)
                r = life_take(machine->box_fd, &lock_fd, err);
        if (r == -EBUSY)
                return 0; /* it was started right then, and has a state of its own */
        return r < 0 ? r : life_restore(machine->box_fd, err);
}

int machine_end(struct machine *machine, struct error *err)
{
        int r = 0;
        if (machine->process != NULL && (r = stop(machine, err)) < 0)
                (void)error_wrap(err, "stop its machine");
        boxlet_process_free(machine->process); /* which ends the machine if the stop did not */
        machine->process = NULL;
        close_fd(&machine->turn_fd);
        close_fd(&machine->box_fd);
        return r;
}

void machine_tell(struct boxlet_box *box, const char *action, const char *key, const char *value)
{
        cleanup_state_box struct state_box record = {0};
        struct error ignored = ERROR_INIT;
        (void)pthread_mutex_lock(&box->boxlet->lock); /* a plain mutex, taken once: cannot fail */
        int r = state_find(box->boxlet->state, box->id, &record, &ignored);
        (void)pthread_mutex_unlock(&box->boxlet->lock);
        if (r == 0)
                tell_box(box->boxlet, &record, action, key, value);
}
