/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients. The box's story (ready, started, failed, exited, down) is kept here once; tell() brings one client
 * up to date with it, whenever either changes. So it does not matter when somebody comes.
 *
 *     NEW -> ATTACHED, WAITING, STOPPING, PAUSING, RESUMING [take_request] by the op; others are answered and
 * finished
 *     any -> (finished) [finish]                         the last frame is queued; the write side closes
 * after it any -> (freed)    [on_closed]                      the other side has gone
 *
 * Invariants:
 * 1. Nothing is sent to a finished client.
 * 2. Output is never dropped for an attached client: one whose queue is long blocks init's output.
 * 3. A leash is noticed when it breaks also while its client is not read (its input waits for init): a second
 * descriptor of the same socket is watched for the hang-up; from then on the rest is read without pauses, and
 * that rest is bounded by what the socket holds.
 */
#include "monitor/client.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CLIENTS_MAX     256
#define CONTROL_BACKLOG 64

enum client_kind {
        CLIENT_NEW,
        CLIENT_ATTACHED,
        CLIENT_WAITING,
        CLIENT_STOPPING,
        CLIENT_PAUSING,
        CLIENT_RESUMING,
        CLIENT_ANSWERED
};

struct client {
        struct clients *all;
        struct client *next;
        struct channel *channel;
        int watch_fd; /* a duplicate, for the hang-up only */
        struct source *watch_source;
        enum client_kind kind;
        bool wants_stdin, wants_stdout, wants_stderr;
        bool leash, held, blocking, paused, hung_up;
        bool told_ready, told_started, told_end, finished;
};

struct clients {
        struct loop *loop;
        const struct clients_ops *ops;
        void *data;
        int listen_fd;
        struct source *listen_source;
        struct client *first;
        unsigned count;
        bool blocked;
        /* the story */
        bool ready, started, paused, failed, exited, down;
        int64_t pid;
        struct error failure;
        const char *stage;
        int exit_code;
        struct frame_exit status;
};

static void finish(struct client *c)
{
        if (c->finished)
                return;
        c->finished = true;
        channel_finish(c->channel);
}

static void send_json(struct client *c, enum frame_type type, json_t *json)
{
        cleanup_json json_t *owned = json;
        if (owned == NULL || channel_send_json(c->channel, type, owned) < 0)
                finish(c); /* out of memory: an end is better than silence */
}

static void refuse(struct client *c, const struct error *err)
{
        if (channel_send_error(c->channel, err) < 0)
                log_warning("a client could not be told: %s", err->text);
        c->kind = CLIENT_ANSWERED;
        finish(c);
}

static json_t *failure_json(const struct clients *all)
{
        const struct error *e = &all->failure;
        return json_pack("{s:i, s:s, s:s, s:i}", "errno", e->code < 0 ? -e->code : EIO, "message", e->text,
                         "stage", all->stage, "exit_code", all->exit_code);
}

static void tell_end(struct client *c)
{
        const struct clients *all = c->all;
        c->told_end = true;
        if (all->failed)
                send_json(c, FRAME_ERROR, failure_json(all));
        else if (channel_send(c->channel, FRAME_EXIT, &all->status, sizeof(all->status)) < 0)
                finish(c);
}

static bool is_pausing(const struct client *c)
{
        return c->kind == CLIENT_PAUSING || c->kind == CLIENT_RESUMING;
}

/* Everything of the story that c has not heard yet. */
static void tell(struct client *c)
{
        const struct clients *all = c->all;
        bool listens = c->kind == CLIENT_ATTACHED || c->kind == CLIENT_WAITING;
        if (listens && !c->finished && !c->told_ready && all->ready) {
                c->told_ready = true;
                send_json(c, FRAME_REPLY, json_object());
        }
        if (listens && !c->finished && c->told_ready && !c->told_started && all->started) {
                c->told_started = true;
                send_json(c, FRAME_EVENT,
                          json_pack("{s:s, s:I}", "event", "started", "pid", (json_int_t)all->pid));
        }
        if (listens && !c->finished && !c->told_end && (all->failed || all->exited))
                tell_end(c);
        if (is_pausing(c) && !c->finished && (all->failed || all->exited)) {
                struct error err = ERROR_INIT;
                (void)error_set(&err, -ESRCH, "the box has ended");
                refuse(c, &err);
        }
        if (c->kind == CLIENT_STOPPING && !c->finished && all->down)
                send_json(c, FRAME_REPLY, json_object());
        if (all->down && c->kind != CLIENT_NEW)
                finish(c);
}

static void tell_all(struct clients *all)
{
        for (struct client *c = all->first; c != NULL; c = c->next)
                tell(c);
}

static void count_attached(struct clients *all)
{
        int64_t count = 0;
        for (const struct client *c = all->first; c != NULL; c = c->next)
                count += c->kind == CLIENT_ATTACHED && !c->finished;
        all->ops->attached(count, all->data);
}

static void update_blocked(struct clients *all)
{
        bool blocked = false;
        for (const struct client *c = all->first; c != NULL; c = c->next)
                blocked |= c->blocking;
        if (blocked == all->blocked)
                return;
        all->blocked = blocked;
        all->ops->block_output(blocked, all->data);
}

static void pause_client(struct client *c, bool paused)
{
        if (c->hung_up)
                paused = false;
        c->paused = paused;
        channel_pause(c->channel, paused);
}

static int parse_streams(struct client *c, const json_t *json, struct error *err)
{
        int r = json_get_bool_or(json, "stdin", false, &c->wants_stdin, err);
        if (r == 0)
                r = json_get_bool_or(json, "stdout", false, &c->wants_stdout, err);
        if (r == 0)
                r = json_get_bool_or(json, "stderr", false, &c->wants_stderr, err);
        return r;
}

static int take_listener(struct client *c, const json_t *json, bool attach, struct error *err)
{
        bool start;
        if (attach && c->all->paused)
                return error_set(err, -EBUSY, "the box is paused: unpause it first");
        int r = attach ? parse_streams(c, json, err) : 0;
        if (r == 0)
                r = json_get_bool_or(json, "start", false, &start, err);
        if (r == 0)
                r = json_get_bool_or(json, "leash", false, &c->leash, err);
        if (r < 0)
                return r;
        c->kind = attach ? CLIENT_ATTACHED : CLIENT_WAITING;
        count_attached(c->all);
        tell(c);
        if (start) {
                c->held = false;
                c->all->ops->start(c->all->data);
        }
        return 0;
}

static int take_kill(struct client *c, const json_t *json, struct error *err)
{
        int64_t signal;
        int r = json_get_integer_or(json, "signal", 1, 64, 9, &signal, err);
        if (r == 0)
                r = c->all->ops->kill((int)signal, err, c->all->data);
        if (r < 0)
                return r;
        c->kind = CLIENT_ANSWERED;
        send_json(c, FRAME_REPLY, json_object());
        finish(c);
        return 0;
}

static int take_stop(struct client *c, const json_t *json, struct error *err)
{
        int64_t timeout_ms;
        bool shutdown;
        int r = json_get_integer_or(json, "timeout_ms", -1, INT32_MAX, -1, &timeout_ms, err);
        if (r == 0)
                r = json_get_bool_or(json, "shutdown", false, &shutdown, err);
        if (r < 0)
                return r;
        c->kind = CLIENT_STOPPING;
        c->all->ops->stop(timeout_ms, !shutdown, c->all->data);
        tell(c);
        return 0;
}

static int take_pause(struct client *c, bool paused, struct error *err)
{
        int r = c->all->ops->pause(paused, err, c->all->data);
        if (r == 0)
                c->kind = paused ? CLIENT_PAUSING : CLIENT_RESUMING;
        return r;
}

static int take_update(struct client *c, const json_t *json, struct error *err)
{
        int r = c->all->ops->update(json, err, c->all->data);
        if (r < 0)
                return r;
        c->kind = CLIENT_ANSWERED;
        send_json(c, FRAME_REPLY, json_object());
        finish(c);
        return 0;
}

static int take_op(struct client *c, const json_t *json, struct error *err)
{
        const char *op;
        int r = json_get_string(json, "op", &op, err);
        if (r < 0)
                return r;
        if (strcmp(op, "unleash") == 0 && (c->kind == CLIENT_ATTACHED || c->kind == CLIENT_WAITING)) {
                c->leash = false;
                if (!c->finished)
                        send_json(c, FRAME_REPLY, json_object());
                return 0;
        }
        if (c->kind != CLIENT_NEW)
                return error_set(err, -EALREADY, "'%s': this connection has had its request", op);
        if (strcmp(op, "attach") == 0 || strcmp(op, "wait") == 0)
                return take_listener(c, json, op[0] == 'a', err);
        if (strcmp(op, "kill") == 0)
                return take_kill(c, json, err);
        if (strcmp(op, "stop") == 0)
                return take_stop(c, json, err);
        if (strcmp(op, "pause") == 0 || strcmp(op, "unpause") == 0)
                return take_pause(c, op[0] == 'p', err);
        if (strcmp(op, "update") == 0)
                return take_update(c, json, err);
        if (strcmp(op, "status") != 0)
                return error_set(err, -EOPNOTSUPP, "'%s' is no request this monitor knows", op);
        c->kind = CLIENT_ANSWERED;
        send_json(c, FRAME_REPLY, c->all->ops->status(c->all->data));
        finish(c);
        return 0;
}

/* A refused request is answered; only a second one ends the connection. */
static int take_request(struct client *c, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *json = NULL;
        struct error why = ERROR_INIT;
        int r = json_parse((const char *)frame->payload, frame->size, "request", &json, &why);
        if (r == 0)
                r = take_op(c, json, &why);
        if (r == 0)
                return 0;
        if (c->kind != CLIENT_NEW) {
                *err = why;
                return r;
        }
        refuse(c, &why);
        return 0;
}

static int take_input(struct client *c, const struct frame *frame, struct error *err)
{
        uint16_t rows, columns;
        int signal;
        const struct clients *all = c->all;
        if (c->kind != CLIENT_ATTACHED)
                return error_set(err, -EPROTO, "a frame of type %d on a connection that is not attached",
                                 frame->type);
        switch (frame->type) {
        case FRAME_STDIN:
                if (!c->wants_stdin)
                        return 0;
                all->ops->input(frame->payload, frame->size, all->data);
                if (all->ops->input_is_full(all->data))
                        pause_client(c, true);
                return 0;
        case FRAME_RESIZE:
                if (frame_resize_read(frame, &rows, &columns) < 0)
                        return error_set(err, -EPROTO, "a resize frame of %u bytes", frame->size);
                all->ops->resize(rows, columns, all->data);
                return 0;
        case FRAME_SIGNAL:
                if (frame_signal_read(frame, &signal) < 0)
                        return error_set(err, -EPROTO, "a signal frame without a signal");
                (void)all->ops->kill(signal, NULL, all->data); /* as kill(2) to a process that just ended */
                return 0;
        default:
                return error_set(err, -EPROTO, "a frame of type %d from a client", frame->type);
        }
}

static void check_idle(struct clients *all)
{
        if (!all->down)
                return;
        for (const struct client *c = all->first; c != NULL; c = c->next) {
                if (!c->finished || channel_queued(c->channel) > 0)
                        return;
        }
        all->ops->idle(all->data);
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct client *c = data;
        (void)channel;
        int r = frame->type == FRAME_REQUEST ? take_request(c, frame, err) : take_input(c, frame, err);
        if (r == 0)
                check_idle(c->all);
        return r;
}

static void client_free(struct client *c)
{
        source_free(c->watch_source);
        close_fd(&c->watch_fd);
        channel_free(c->channel);
        free(c);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct client *c = data;
        struct clients *all = c->all;
        bool broken = (c->leash || c->held) && !all->failed && !all->exited;
        (void)channel;
        if (err->code != 0)
                log_info("a client's connection ended: %s", err->text);
        for (struct client **p = &all->first; *p != NULL; p = &(*p)->next) {
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        }
        all->count--;
        client_free(c);
        update_blocked(all);
        count_attached(all);
        if (broken)
                all->ops->unleashed(all->data);
        check_idle(all);
}

static void on_drained(struct channel *channel, void *data)
{
        struct client *c = data;
        (void)channel;
        c->blocking = false;
        update_blocked(c->all);
        check_idle(c->all);
}

static const struct channel_ops channel_ops = {.frame = on_frame, .closed = on_closed, .drained = on_drained};

static void on_hang_up(struct source *s, int fd, uint32_t events, void *data)
{
        struct client *c = data;
        (void)fd;
        (void)events;
        source_free(s);
        c->watch_source = NULL;
        c->hung_up = true;
        if (c->paused)
                pause_client(c, false); /* c may be gone now */
}

int clients_adopt(struct clients *all, int fd, bool held)
{
        cleanup_fd int owned = fd;
        struct client *c = all->count >= CLIENTS_MAX ? NULL : calloc(1, sizeof(*c));
        if (c == NULL)
                return -ENOMEM;
        *c = (struct client){.all = all, .held = held, .watch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
        int r = c->watch_fd < 0 ? -errno : 0;
        if (r == 0)
                r = loop_add_io(all->loop, c->watch_fd, EPOLLRDHUP, on_hang_up, c, &c->watch_source);
        if (r == 0)
                r = channel_new(all->loop, take_fd(&owned), NULL, &channel_ops, c, &c->channel);
        if (r < 0) {
                client_free(c);
                return r;
        }
        c->next = all->first;
        all->first = c;
        all->count++;
        return 0;
}

static void on_connection(struct source *s, int fd, uint32_t events, void *data)
{
        struct clients *all = data;
        (void)s;
        (void)events;
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
                return; /* it went away again */
        if (clients_adopt(all, connection, false) < 0)
                log_warning("a client was turned away: there are too many");
}

int clients_new(struct loop *loop, const struct clients_ops *ops, void *data, struct clients **ret_clients)
{
        struct clients *all = calloc(1, sizeof(*all));
        if (all == NULL)
                return -ENOMEM;
        *all = (struct clients){.loop = loop, .ops = ops, .data = data, .listen_fd = -1};
        *ret_clients = all;
        return 0;
}

int clients_listen(struct clients *all, int box_fd, struct error *err)
{
        int r = unix_listen_at(box_fd, "control.sock", SOCK_STREAM | SOCK_NONBLOCK, CONTROL_BACKLOG);
        if (r >= 0) {
                all->listen_fd = r;
                r = loop_add_io(all->loop, r, EPOLLIN, on_connection, all, &all->listen_source);
        }
        return r < 0 ? error_errno(err, r, "listen on control.sock") : 0;
}

void clients_free(struct clients *all)
{
        if (all == NULL)
                return;
        while (all->first != NULL) {
                struct client *c = all->first;
                all->first = c->next;
                client_free(c);
        }
        source_free(all->listen_source);
        close_fd(&all->listen_fd);
        free(all);
}

void clients_ready(struct clients *all)
{
        all->ready = true;
        tell_all(all);
}

void clients_started(struct clients *all, int64_t pid)
{
        all->started = true;
        all->pid = pid;
        tell_all(all);
}

void clients_failed(struct clients *all, const struct error *err, const char *stage, int exit_code)
{
        all->failed = true;
        all->paused = false;
        all->failure = *err;
        all->stage = stage;
        all->exit_code = exit_code;
        tell_all(all);
}

void clients_exited(struct clients *all, const struct frame_exit *status)
{
        all->exited = true;
        all->paused = false;
        all->status = *status;
        tell_all(all);
}

void clients_paused(struct clients *all, bool paused)
{
        all->paused = paused;
        for (struct client *c = all->first; c != NULL; c = c->next) {
                if (c->kind != (paused ? CLIENT_PAUSING : CLIENT_RESUMING) || c->finished)
                        continue;
                c->kind = CLIENT_ANSWERED;
                send_json(c, FRAME_REPLY, json_object());
                finish(c);
        }
}

void clients_turn_over(struct clients *all)
{
        for (struct client *c = all->first; c != NULL; c = c->next) {
                if (c->kind == CLIENT_NEW)
                        continue;
                c->leash = c->held = c->blocking = false;
                finish(c);
        }
        update_blocked(all);
        count_attached(all);
        all->started = all->paused = all->failed = all->exited = false;
        clients_resume_input(all); /* so that it is seen when they go */
}

void clients_close_door(struct clients *all, int box_fd)
{
        source_free(all->listen_source);
        all->listen_source = NULL;
        close_fd(&all->listen_fd);
        (void)unlinkat(box_fd, "control.sock", 0); /* the folder may be on its way out */
}

void clients_resume_input(struct clients *all)
{
        /* a resumed client may go at once, and the list with it: begin anew after each */
        for (struct client *c = all->first; c != NULL;) {
                if (!c->paused || (!all->down && all->ops->input_is_full(all->data))) {
                        c = c->next;
                        continue;
                }
                pause_client(c, false);
                c = all->first;
        }
}

void clients_down(struct clients *all)
{
        all->down = true;
        tell_all(all);
        clients_resume_input(all); /* so that it is seen when they go */
        check_idle(all);
}

void clients_drop_silent(struct clients *all)
{
        for (struct client *c = all->first; c != NULL; c = c->next) {
                if (c->kind == CLIENT_NEW)
                        finish(c);
        }
        check_idle(all);
}

void clients_output(struct clients *all, bool is_stderr, const void *bytes, size_t size)
{
        for (struct client *c = all->first; c != NULL; c = c->next) {
                if (c->kind != CLIENT_ATTACHED || c->finished ||
                    !(is_stderr ? c->wants_stderr : c->wants_stdout))
                        continue;
                if (channel_send(c->channel, is_stderr ? FRAME_STDERR : FRAME_STDOUT, bytes, size) < 0)
                        finish(c);
                if (channel_queued(c->channel) > CHANNEL_HIGH_WATER)
                        c->blocking = true;
        }
        update_blocked(all);
}
