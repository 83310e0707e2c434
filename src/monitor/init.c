/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work connection that carries init.
 *
 *     DIALING -> ASKED    [on_dialed]  boxlet-vmm answered OK to CONNECT: the request was sent
 *     ASKED   -> RUNNING  [take_reply] exec succeeded
 *     ASKED   -> OVER     [take_error]
 *     RUNNING -> OVER     [take_exit]
 *
 * What comes in was written by the guest: a frame that does not belong into the state ends the connection.
 */
#include "monitor/init.h"

#include "base/cleanup.h"
#include "monitor/dial.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum init_state { INIT_DIALING, INIT_ASKED, INIT_RUNNING, INIT_OVER };

struct init {
        struct loop *loop;
        const struct init_ops *ops;
        void *data;
        enum init_state state;
        struct dial *dial;
        json_t *request;
        struct channel *channel;
};

static int take_reply(struct init *i, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *json = NULL;
        int64_t pid;
        int r = json_parse((const char *)frame->payload, frame->size, "reply of the agent", &json, err);
        if (r == 0)
                r = json_get_integer(json, "pid", 1, INT32_MAX, &pid, err);
        if (r < 0)
                return r;
        i->state = INIT_RUNNING;
        i->ops->started(i, pid, i->data);
        return 0;
}

static int take_error(struct init *i, const struct frame *frame)
{
        struct error reason = ERROR_INIT;
        (void)channel_read_error(frame, &reason); /* either way it says what to tell */
        i->state = INIT_OVER;
        i->ops->failed(i, &reason, i->data);
        return 0;
}

static int take_exit(struct init *i, const struct frame *frame, struct error *err)
{
        struct frame_exit status;
        if (frame->size != sizeof(status))
                return error_set(err, -EPROTO, "read init's exit: %u bytes", frame->size);
        memcpy(&status, frame->payload, sizeof(status));
        if (status.signal > 64)
                return error_set(err, -EPROTO, "read init's exit: signal %u", status.signal);
        i->state = INIT_OVER;
        i->ops->exited(i, &status, i->data);
        return 0;
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct init *i = data;
        (void)channel;
        if (i->state == INIT_ASKED && frame->type == FRAME_REPLY)
                return take_reply(i, frame, err);
        if (i->state == INIT_ASKED && frame->type == FRAME_ERROR)
                return take_error(i, frame);
        if (i->state == INIT_RUNNING && (frame->type == FRAME_STDOUT || frame->type == FRAME_STDERR)) {
                i->ops->output(i, frame->type == FRAME_STDERR, frame->payload, frame->size, i->data);
                return 0;
        }
        if (i->state == INIT_RUNNING && frame->type == FRAME_EXIT)
                return take_exit(i, frame, err);
        return error_set(err, -EPROTO, "the agent sent a frame of type %d out of turn", frame->type);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct init *i = data;
        (void)channel;
        i->ops->gone(i, err, i->data);
}

static void on_drained(struct channel *channel, void *data)
{
        struct init *i = data;
        (void)channel;
        i->ops->drained(i, i->data);
}

static const struct channel_ops channel_ops = {.frame = on_frame, .closed = on_closed, .drained = on_drained};

static int open_channel(struct init *i, int fd)
{
        int r = channel_new(i->loop, fd, NULL, &channel_ops, i, &i->channel);
        if (r == 0)
                r = channel_send_json(i->channel, FRAME_REQUEST, i->request);
        json_decref(i->request);
        i->request = NULL;
        i->state = INIT_ASKED;
        return r;
}

static void on_dialed(struct dial *dial, int fd, const struct error *failure, void *data)
{
        struct init *i = data;
        struct error err = *failure;
        dial_free(dial);
        i->dial = NULL;
        int r = fd < 0 ? 0 : open_channel(i, fd);
        if (r < 0)
                (void)error_errno(&err, r, "ask the agent to start init");
        if (err.code != 0)
                i->ops->gone(i, &err, i->data);
}

int init_new(struct loop *loop, int box_fd, const json_t *request, const struct init_ops *ops, void *data,
             struct init **ret_init, struct error *err)
{
        struct init *i = calloc(1, sizeof(*i));
        if (i == NULL)
                return error_set(err, -ENOMEM, "start init: out of memory");
        *i = (struct init){.loop = loop, .ops = ops, .data = data};
        int r = dial_new(loop, box_fd, "for init", on_dialed, i, &i->dial, err);
        if (r < 0) {
                free(i);
                return r;
        }
        i->request = json_incref((json_t *)request);
        *ret_init = i;
        return 0;
}

void init_free(struct init *i)
{
        if (i == NULL)
                return;
        dial_free(i->dial);
        json_decref(i->request);
        channel_free(i->channel);
        free(i);
}

int init_send(struct init *i, enum frame_type type, const void *payload, size_t size)
{
        return i->channel == NULL ? -ENOTCONN : channel_send(i->channel, type, payload, size);
}

bool init_is_full(const struct init *i)
{
        return i->channel != NULL && channel_queued(i->channel) > CHANNEL_HIGH_WATER;
}

void init_pause(struct init *i, bool paused)
{
        if (i->channel != NULL)
                channel_pause(i->channel, paused);
}
