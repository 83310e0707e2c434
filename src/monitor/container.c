/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Init and the command beside it.
 *
 *     INIT    -> RUNNING   [on_started]  init runs and there is no command
 *     INIT    -> COMMAND   [on_started]  init runs: the command is asked for
 *     COMMAND -> RUNNING   [on_started]
 *     RUNNING -> WINDING   [command_exited]  the command ended, init goes on
 *     any     -> OVER      [tell_end, tell_failure]  what there was to say is said
 *
 * When init ends, the kernel kills the command; of the two ends either may be heard of first, and only both
 * together say what happened. So an end that calls for the other one is kept, and END_MS later told as it is.
 * A command that is killed by its own doing has no FRAME_EXIT_WITH_INIT and waits for nothing.
 *
 * Hostile: both connections carry the guest's word. It can end its own box in any way it likes; each ops call
 * that tells an end is made once.
 */
#include "monitor/container.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "monitor/logfile.h"
#include "monitor/request.h"
#include "monitor/verdict.h"
#include "monitor/work.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define END_MS           10000
#define EXIT_NOT_RUN     125
#define EXIT_NOT_FOUND   127
#define EXIT_NOT_INVOKED 126

enum container_state { STATE_INIT, STATE_COMMAND, STATE_RUNNING, STATE_WINDING, STATE_OVER };

struct container {
        struct loop *loop;
        const struct container_ops *ops;
        void *data;
        const struct config *config;
        int box_fd;
        uint16_t rows, columns;
        enum container_state state;
        struct work *init, *command;
        int64_t pid;
        bool with_init; /* the command was killed, or not begun, because init had ended */
        bool init_ended;
        struct frame_exit init_end;
        bool killing; /* container_kill(): an init that ends is no surprise */
        struct source *timer;
};

static struct work *foreground(const struct container *c)
{
        return c->config->has_command ? c->command : c->init;
}

static void tell_failure(struct container *c, const struct error *err, int exit_code)
{
        if (c->state >= STATE_WINDING)
                return;
        c->state = STATE_OVER;
        c->ops->failed(err, exit_code, c->data);
}

static void tell_end(struct container *c, const struct frame_exit *status)
{
        if (c->state >= STATE_WINDING)
                return;
        c->state = c->config->has_command && !c->init_ended ? STATE_WINDING : STATE_OVER;
        c->ops->exited(status, c->data);
}

/* Init took the command along, or did not even let it begin. */
static void tell_end_with_init(struct container *c)
{
        const struct frame_exit killed = {.signal = SIGKILL};
        struct error err = ERROR_INIT;
        if (c->killing) {
                tell_end(c, &killed);
                return;
        }
        verdict_init_ended(c->init_ended ? &c->init_end : NULL, c->state == STATE_RUNNING, &err);
        tell_failure(c, &err, EXIT_NOT_RUN); /* also for one that ran: which it was may be a matter of luck */
}

static void on_timer(struct source *s, void *data)
{
        (void)s;
        tell_end_with_init(data);
}

static void wait_for_the_other(struct container *c)
{
        (void)source_arm(c->timer, END_MS); /* an armed timerfd cannot refuse */
        if (foreground(c) != NULL)
                work_pause(foreground(c), false); /* its end may lie behind output that waits */
}

static void init_exited(struct container *c, const struct frame_exit *status)
{
        c->init_end = *status;
        c->init_ended = true;
        if (!c->config->has_command) {
                tell_end(c, status);
        } else if (c->state == STATE_WINDING) {
                c->state = STATE_OVER;
                c->ops->wound_down(c->data);
        } else if (c->with_init || c->state != STATE_RUNNING) {
                tell_end_with_init(c);
        } else {
                wait_for_the_other(c);
        }
}

static void command_exited(struct container *c, const struct frame_exit *status)
{
        if (status->signal != SIGKILL || !(status->flags & FRAME_EXIT_WITH_INIT)) {
                tell_end(c, status);
                return;
        }
        c->with_init = true;
        if (c->init_ended)
                tell_end_with_init(c);
        else
                wait_for_the_other(c);
}

static void on_exited(struct work *work, const struct frame_exit *status, void *data)
{
        struct container *c = data;
        if (work == c->command)
                command_exited(c, status);
        else
                init_exited(c, status);
}

static void on_failed(struct work *work, const struct error *err, void *data)
{
        struct container *c = data;
        if (work == c->command && err->code == -ESRCH) {
                c->with_init = true; /* init has ended: how, is to come */
                if (c->init_ended)
                        tell_end_with_init(c);
                else
                        wait_for_the_other(c);
                return;
        }
        tell_failure(c, err,
                     err->code == -ENOENT                            ? EXIT_NOT_FOUND
                     : err->code == -EACCES || err->code == -ENOEXEC ? EXIT_NOT_INVOKED
                                                                     : EXIT_NOT_RUN);
}

static void on_output(struct work *work, bool is_stderr, const void *bytes, size_t size, void *data)
{
        struct container *c = data;
        unsigned stream = (is_stderr ? LOGFILE_STDERR : 0) | (work == c->command ? LOGFILE_COMMAND : 0);
        c->ops->output(stream, work == foreground(c), bytes, size, c->data);
}

static void on_drained(struct work *work, void *data)
{
        struct container *c = data;
        if (work == foreground(c))
                c->ops->drained(c->data);
}

static void on_gone(struct work *work, const struct error *err, void *data)
{
        struct container *c = data;
        bool is_command = work == c->command;
        bool explained = is_command ? c->with_init || c->state >= STATE_WINDING : c->init_ended;
        work_free(work);
        if (is_command)
                c->command = NULL;
        else
                c->init = NULL;
        if (!explained && !is_command && c->state == STATE_WINDING) {
                c->state = STATE_OVER;
                c->ops->wound_down(c->data); /* how it ended matters to nobody any more */
        } else if (!explained) {
                c->ops->lost(is_command ? "the command's connection ended" : "init's connection ended", err,
                             c->data);
        }
        if (c->init == NULL && c->command == NULL)
                c->ops->gone(c->data); /* c may be freed now */
}

static int ask(struct container *c, struct work **place, json_t *request, struct error *err);

static void on_started(struct work *work, int64_t pid, void *data)
{
        struct container *c = data;
        struct error err = ERROR_INIT;
        if (work == c->init)
                c->pid = pid;
        if (work == c->init && c->config->has_command && c->state == STATE_INIT) {
                c->state = STATE_COMMAND;
                if (ask(c, &c->command, request_command(c->config, c->rows, c->columns), &err) < 0)
                        tell_failure(c, &err, EXIT_NOT_RUN);
        } else if (c->state <= STATE_COMMAND) {
                c->state = STATE_RUNNING;
                c->ops->started(c->pid, c->data);
        }
}

static const struct work_ops work_ops = {on_started, on_failed, on_output, on_exited, on_drained, on_gone};

/* Takes the request. */
static int ask(struct container *c, struct work **place, json_t *request, struct error *err)
{
        cleanup_json json_t *owned = request;
        if (owned == NULL)
                return error_set(err, -ENOMEM, "start a process: out of memory");
        return work_new(c->loop, c->box_fd, owned, &work_ops, c, place, err);
}

int container_new(struct loop *loop, int box_fd, const struct config *config, uint16_t rows, uint16_t columns,
                  const struct container_ops *ops, void *data, struct container **ret_container,
                  struct error *err)
{
        struct container *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_set(err, -ENOMEM, "start init: out of memory");
        *c = (struct container){.loop = loop,
                                .ops = ops,
                                .data = data,
                                .config = config,
                                .box_fd = box_fd,
                                .rows = rows,
                                .columns = columns};
        int r = loop_add_timer(loop, on_timer, c, &c->timer);
        if (r < 0)
                (void)error_errno(err, r, "start init");
        else
                r = ask(c, &c->init, request_start(config, rows, columns), err);
        if (r < 0) {
                container_free(c);
                return r;
        }
        *ret_container = c;
        return 0;
}

void container_free(struct container *c)
{
        if (c == NULL)
                return;
        work_free(c->command);
        work_free(c->init);
        source_free(c->timer);
        free(c);
}

int container_send(struct container *c, enum frame_type type, const void *payload, size_t size)
{
        return foreground(c) == NULL ? -ESRCH : work_send(foreground(c), type, payload, size);
}

int container_kill(struct container *c)
{
        struct frame_signal signal;
        c->killing = true;
        frame_signal_make(SIGKILL, &signal);
        return c->init == NULL ? -ESRCH : work_send(c->init, FRAME_SIGNAL, &signal, sizeof(signal));
}

bool container_wind_down(struct container *c, int signal)
{
        char request[64];
        int n = snprintf(request, sizeof(request), "{\"op\":\"end\",\"signal\":%d}", signal); /* fits */
        return c->state == STATE_WINDING && !c->killing && c->init != NULL &&
               work_send(c->init, FRAME_REQUEST, request, (size_t)n) == 0;
}

bool container_is_full(const struct container *c)
{
        return foreground(c) != NULL && work_is_full(foreground(c));
}

void container_pause(struct container *c, bool paused)
{
        if (foreground(c) != NULL)
                work_pause(foreground(c), paused);
}
