/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to one of the sockets:
 *
 *     (accepted) -> DIALING [accept_one]  boxlet-vmm is asked for a work connection to the agent
 *     DIALING -> ASKED      [on_dialed]   {"op": "connect", "unix": ...} was sent
 *     ASKED   -> STREAM     [on_frame]    REPLY: bytes go both ways (wire/relay.c)
 *     any     -> ENDING     [on_over]     the client's socket is done with; the channel's end is waited for
 *     any     -> (freed)    the client's and the agent's ends are gone
 *
 * Who connects has the rights of the socket's file, which is its owner's alone. What comes from the agent was
 * written by a process of the container: bytes for the client, and nothing else. An agent that cannot connect
 * (nobody listens there yet) ends the connection, and the client tries again if it likes.
 */
#include "monitor/forward.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "monitor/dial.h"
#include "wire/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 256

struct forwards {
        struct loop *loop;
        int box_fd;
        struct listener {
                struct forwards *forwards;
                int fd;
                const struct config_forward *config;
                struct source *source;
        } listeners[CONFIG_FORWARDS_MAX];
        size_t count;
        struct connection *connections;
        size_t connection_count;
        bool open;
};

enum connection_state { DIALING, ASKED, STREAM, ENDING };

struct connection {
        struct forwards *forwards;
        const struct config_forward *config;
        struct connection *next;
        enum connection_state state;
        int client_fd; /* until there is a relay */
        struct dial *dial;
        struct channel *channel;
        struct relay *relay;
};

static void let_in(struct forwards *f)
{
        bool room = f->open && f->connection_count < CONNECTIONS_MAX;
        for (size_t i = 0; i < f->count; i++)
                (void)source_set_events(f->listeners[i].source,
                                        room ? EPOLLIN : 0); /* valid bits cannot be refused */
}

static void connection_free(struct connection *c)
{
        struct forwards *f = c->forwards;
        for (struct connection **p = &f->connections; *p != NULL; p = &(*p)->next) {
                if (*p == c) {
                        *p = c->next;
                        f->connection_count--;
                        break;
                }
        }
        dial_free(c->dial);
        relay_free(c->relay);
        channel_free(c->channel);
        close_fd(&c->client_fd);
        free(c);
        let_in(f);
}

/* The client's side is done with. The agent's end follows, so that nothing on the way to it is lost. */
static void on_over(struct relay *relay, void *data)
{
        struct connection *c = data;
        relay_free(relay);
        c->relay = NULL;
        c->state = ENDING;
        if (c->channel == NULL) {
                connection_free(c);
                return;
        }
        channel_finish(c->channel);
        channel_pause(c->channel, false); /* its end is to be seen; this may free c */
}

static const struct relay_ops relay_ops = {on_over};

static int begin_stream(struct connection *c, struct error *err)
{
        int r = relay_new(c->forwards->loop, take_fd(&c->client_fd), c->channel, FRAME_STDIN, &relay_ops, c,
                          &c->relay);
        c->state = STREAM;
        return r < 0 ? error_errno(err, r, "carry a connection") : 0;
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct connection *c = data;
        (void)channel;
        if (c->state == ASKED && frame->type == FRAME_REPLY)
                return begin_stream(c, err);
        if (c->state == ASKED && frame->type == FRAME_ERROR) {
                (void)channel_read_error(frame, err); /* either way it says what to tell */
                return err->code;
        }
        if (c->state == STREAM && frame->type == FRAME_STDOUT) {
                relay_take(c->relay, frame->payload, frame->size);
                return 0;
        }
        if (c->state == ENDING)
                return 0; /* nobody is there to get it */
        return error_set(err, -EPROTO, "the agent sent a frame of type %d out of turn", frame->type);
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct connection *c = data;
        if (err->code != 0)
                log_debug("forward '%s': %s", c->config->path, err->text);
        channel_free(channel);
        c->channel = NULL;
        if (c->relay != NULL)
                relay_closed(c->relay); /* this may free c */
        else
                connection_free(c);
}

static void on_drained(struct channel *channel, void *data)
{
        struct connection *c = data;
        (void)channel;
        if (c->relay != NULL)
                relay_drained(c->relay);
}

static const struct channel_ops channel_ops = {.frame = on_frame, .closed = on_closed, .drained = on_drained};

static int ask(struct connection *c, int fd)
{
        cleanup_json json_t *request =
            json_pack("{s:s, s:s}", "op", "connect", "unix", c->config->guest_path);
        int r = channel_new(c->forwards->loop, fd, NULL, &channel_ops, c, &c->channel);
        if (r == 0)
                r = request == NULL ? -ENOMEM : channel_send_json(c->channel, FRAME_REQUEST, request);
        c->state = ASKED;
        return r;
}

static void on_dialed(struct dial *dial, int fd, const struct error *err, void *data)
{
        struct connection *c = data;
        if (fd < 0)
                log_debug("forward '%s': %s", c->config->path, err->text);
        dial_free(dial);
        c->dial = NULL;
        if (fd < 0 || ask(c, fd) < 0)
                connection_free(c);
}

static void take_client(struct listener *l, int fd)
{
        struct forwards *f = l->forwards;
        struct error err = ERROR_INIT;
        struct connection *c = calloc(1, sizeof(*c));
        if (c == NULL) {
                (void)close(fd); /* the client sees that */
                return;
        }
        *c = (struct connection){.forwards = f, .config = l->config, .client_fd = fd};
        c->next = f->connections;
        f->connections = c;
        f->connection_count++;
        if (dial_new(f->loop, f->box_fd, "for a forwarded socket", on_dialed, c, &c->dial, &err) < 0) {
                log_debug("forward '%s': %s", l->config->path, err.text);
                connection_free(c);
        } else {
                let_in(f);
        }
}

static void on_client(struct source *s, int listen_fd, uint32_t events, void *data)
{
        (void)s;
        (void)events;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
                take_client(data, fd); /* else it left again, or there is no room: the next round tries */
}

static int adopt(struct forwards *f, const struct config_forward *config, struct error *err)
{
        struct listener *l = &f->listeners[f->count];
        int listening = 0;
        socklen_t length = sizeof(listening);
        int r = fd_set_cloexec(config->fd, 1);
        if (r == 0 && getsockopt(config->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
                r = -errno;
        if (r == 0 && listening == 0)
                r = -EINVAL;
        if (r == 0)
                r = fd_set_nonblocking(config->fd);
        *l = (struct listener){.forwards = f, .fd = config->fd, .config = config};
        if (r == 0)
                r = loop_add_io(f->loop, l->fd, 0, on_client, l, &l->source);
        if (r < 0)
                return error_errno(err, r, "take the socket for '%s'", config->path);
        f->count++;
        return 0;
}

int forwards_new(struct loop *loop, int box_fd, const struct config *config, struct forwards **ret_forwards,
                 struct error *err)
{
        struct forwards *f = calloc(1, sizeof(*f));
        int r = 0;
        if (f == NULL)
                return error_set(err, -ENOMEM, "forward sockets: out of memory");
        *f = (struct forwards){.loop = loop, .box_fd = box_fd};
        for (size_t i = 0; r == 0 && i < config->forward_count; i++)
                r = adopt(f, &config->forwards[i], err);
        if (r < 0) {
                forwards_free(f);
                return r;
        }
        *ret_forwards = f;
        return 0;
}

void forwards_open(struct forwards *f)
{
        if (f == NULL)
                return;
        f->open = true;
        let_in(f);
}

void forwards_shut(struct forwards *f)
{
        if (f == NULL)
                return;
        f->open = false;
        while (f->connections != NULL)
                connection_free(f->connections);
        let_in(f);
}

/* By what it is, not by its name alone: the file may be somebody else's by now. */
static void remove_file(const struct config_forward *config)
{
        if (path_is_marked_socket(config->path, &config->mark) && unlink(config->path) < 0)
                log_warning("remove '%s': %s", config->path, strerror(errno));
}

void forwards_free(struct forwards *f)
{
        if (f == NULL)
                return;
        forwards_shut(f);
        for (size_t i = 0; i < f->count; i++) {
                remove_file(f->listeners[i].config);
                source_free(f->listeners[i].source);
                close_fd(&f->listeners[i].fd);
        }
        free(f);
}
