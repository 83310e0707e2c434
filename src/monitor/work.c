/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work connection: it carries init, or the command that runs beside it.
 *
 *     DIALING -> ASKED    [on_dialed]  boxlet-vmm answered OK to CONNECT: the request was sent
 *     ASKED   -> RUNNING  [take_reply] exec succeeded
 *     ASKED   -> OVER     [take_error]
 *     RUNNING -> OVER     [take_exit]
 *
 * What comes in was written by the guest: a frame that does not belong into the state ends the connection.
 */
#include "monitor/work.h"

#include "base/cleanup.h"
#include "monitor/dial.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum work_state { WORK_DIALING, WORK_ASKED, WORK_RUNNING, WORK_OVER };

struct work {
        struct loop *loop;
        const struct work_ops *ops;
        void *data;
        enum work_state state;
        struct dial *dial;
        json_t *request;
        struct channel *channel;
};

static int take_reply(struct work *w, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *json = NULL;
        int64_t pid;
        int r = json_parse((const char *)frame->payload, frame->size, "reply of the agent", &json, err);
        if (r == 0)
                r = json_get_integer(json, "pid", 1, INT32_MAX, &pid, err);
        if (r < 0)
                return r;
        w->state = WORK_RUNNING;
        w->ops->started(w, pid, w->data);
        return 0;
}

static int take_error(struct work *w, const struct frame *frame)
{
        struct error reason = ERROR_INIT;
        (void)channel_read_error(frame, &reason); /* either way it says what to tell */
        w->state = WORK_OVER;
        w->ops->failed(w, &reason, w->data);
        return 0;
}

static int take_exit(struct work *w, const struct frame *frame, struct error *err)
{
        struct frame_exit status;
        if (frame->size != sizeof(status))
                return error_set(err, -EPROTO, "read an exit: %u bytes", frame->size);
        memcpy(&status, frame->payload, sizeof(status));
        if (status.signal > 64)
                return error_set(err, -EPROTO, "read an exit: signal %u", status.signal);
        w->state = WORK_OVER;
        w->ops->exited(w, &status, w->data);
        return 0;
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct work *w = data;
        (void)channel;
        if (w->state == WORK_ASKED && frame->type == FRAME_REPLY)
                return take_reply(w, frame, err);
        if (w->state == WORK_ASKED && frame->type == FRAME_ERROR)
                return take_error(w, frame);
        if (w->state == WORK_RUNNING && (frame->type == FRAME_STDOUT || frame->type == FRAME_STDERR)) {
                w->ops->output(w, frame->type == FRAME_STDERR, frame->payload, frame->size, w->data);
                return 0;
        }
        if (w->state == WORK_RUNNING && frame->type == FRAME_REPLY)
                return 0; /* of a later request */
        if (w->state == WORK_RUNNING && frame->type == FRAME_EXIT)
                return take_exit(w, frame, err);
        return error_set(err, -EPROTO, "the agent sent a frame of type %d out of turn", frame->type);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct work *w = data;
        (void)channel;
        w->ops->gone(w, err, w->data);
}

static void on_drained(struct channel *channel, void *data)
{
        struct work *w = data;
        (void)channel;
        w->ops->drained(w, w->data);
}

static const struct channel_ops channel_ops = {.frame = on_frame, .closed = on_closed, .drained = on_drained};

static int open_channel(struct work *w, int fd)
{
        int r = channel_new(w->loop, fd, NULL, &channel_ops, w, &w->channel);
        if (r == 0)
                r = channel_send_json(w->channel, FRAME_REQUEST, w->request);
        json_decref(w->request);
        w->request = NULL;
        w->state = WORK_ASKED;
        return r;
}

static void on_dialed(struct dial *dial, int fd, const struct error *failure, void *data)
{
        struct work *w = data;
        struct error err = *failure;
        dial_free(dial);
        w->dial = NULL;
        int r = fd < 0 ? 0 : open_channel(w, fd);
        if (r < 0)
                (void)error_errno(&err, r, "ask the agent to start a process");
        if (err.code != 0)
                w->ops->gone(w, &err, w->data);
}

int work_new(struct loop *loop, int box_fd, const json_t *request, const struct work_ops *ops, void *data,
             struct work **ret_work, struct error *err)
{
        struct work *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return error_set(err, -ENOMEM, "start a process: out of memory");
        *w = (struct work){.loop = loop, .ops = ops, .data = data};
        int r = dial_new(loop, box_fd, "for a process", on_dialed, w, &w->dial, err);
        if (r < 0) {
                free(w);
                return r;
        }
        w->request = json_incref((json_t *)request);
        *ret_work = w;
        return 0;
}

void work_free(struct work *w)
{
        if (w == NULL)
                return;
        dial_free(w->dial);
        json_decref(w->request);
        channel_free(w->channel);
        free(w);
}

int work_send(struct work *w, enum frame_type type, const void *payload, size_t size)
{
        return w->channel == NULL ? -ENOTCONN : channel_send(w->channel, type, payload, size);
}

bool work_is_full(const struct work *w)
{
        return w->channel != NULL && channel_queued(w->channel) > CHANNEL_HIGH_WATER;
}

void work_pause(struct work *w, bool paused)
{
        if (w->channel != NULL)
                channel_pause(w->channel, paused);
}
