/* SPDX-License-Identifier: Apache-2.0 */
/* The control connection: boot, shutdown, halted. What comes in here was written by the guest. */
#include "monitor/guest.h"

#include "base/log.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct guest {
        struct channel *channel;
        const struct guest_ops *ops;
        void *data;
        bool answered, complained;
};

/* The stage is written into state.json, so only the words that belong there are taken over. */
static const char *known_stage(const json_t *json)
{
        static const char *const stages[] = {"root", "network", "container", "kernel", "agent"};
        const char *stage = json_string_value(json_object_get(json, "stage"));
        for (size_t i = 0; stage != NULL && i < sizeof(stages) / sizeof(stages[0]); i++) {
                if (strcmp(stage, stages[i]) == 0)
                        return stages[i];
        }
        return "agent";
}

static int take_error(struct guest *g, const struct frame *frame)
{
        struct error err = ERROR_INIT;
        cleanup_json json_t *json = NULL;
        (void)channel_read_error(frame, &err); /* either way err says what to tell */
        (void)json_parse((const char *)frame->payload, frame->size, "error", &json, NULL);
        if (g->answered) {
                if (!g->complained) /* once: the guest decides how often */
                        log_warning("the agent refused a request: %s", err.text);
                g->complained = true;
                return 0;
        }
        g->answered = true;
        g->ops->failed(g, known_stage(json), &err, g->data);
        return 0;
}

static int take_event(struct guest *g, const struct frame *frame, struct error *err)
{
        cleanup_json json_t *json = NULL;
        const char *event;
        int r = json_parse((const char *)frame->payload, frame->size, "event of the agent", &json, err);
        if (r == 0)
                r = json_get_string(json, "event", &event, err);
        if (r == 0 && strcmp(event, "halted") == 0)
                g->ops->halted(g, g->data);
        return r;
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct guest *g = data;
        (void)channel;
        switch (frame->type) {
        case FRAME_REPLY:
                if (g->answered)
                        return 0; /* of the shutdown request */
                g->answered = true;
                g->ops->booted(g, g->data);
                return 0;
        case FRAME_ERROR:
                return take_error(g, frame);
        case FRAME_EVENT:
                return take_event(g, frame, err);
        default:
                return error_set(err, -EPROTO, "the agent sent a frame of type %d on its control connection",
                                 frame->type);
        }
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct guest *g = data;
        (void)channel;
        g->ops->gone(g, err, g->data);
}

static const struct channel_ops channel_ops = {.frame = on_frame, .closed = on_closed};

int guest_new(struct loop *loop, int fd, const json_t *boot, const struct guest_ops *ops, void *data,
              struct guest **ret_guest)
{
        struct guest *g = calloc(1, sizeof(*g));
        if (g == NULL) {
                (void)close(fd); /* a socket: nothing is lost that matters */
                return -ENOMEM;
        }
        *g = (struct guest){.ops = ops, .data = data};
        int r = channel_new(loop, fd, NULL, &channel_ops, g, &g->channel);
        if (r == 0)
                r = channel_send_json(g->channel, FRAME_REQUEST, boot);
        if (r < 0) {
                guest_free(g);
                return r;
        }
        *ret_guest = g;
        return 0;
}

void guest_free(struct guest *g)
{
        if (g == NULL)
                return;
        channel_free(g->channel);
        free(g);
}

int guest_shutdown(struct guest *g)
{
        static const char request[] = "{\"op\":\"shutdown\"}";
        return channel_send(g->channel, FRAME_REQUEST, request, sizeof(request) - 1);
}
