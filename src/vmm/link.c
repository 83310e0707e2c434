/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What boxlet-vmm says to the monitor and hears from it. It never waits for the monitor: a packet that the
 * socket does not take at once is an error of the caller's request (the monitor reads, or it is gone).
 *
 * system calls (loop): recvfrom sendmsg
 */
#include "vmm/link.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PACKET_MAX 4096

struct link {
        int fd;
        struct source *source;
        struct link_events events;
};

/* Takes the document over. */
static int send_document(struct link *l, json_t *taken, const int *fds, size_t count)
{
        cleanup_json json_t *document = taken;
        size_t size;
        if (document == NULL)
                return -ENOMEM;
        cleanup_free char *text = json_print(document, &size);
        if (text == NULL)
                return -ENOMEM;
        ssize_t n = fd_send(l->fd, text, size, fds, count);
        return n < 0 ? (int)n : 0;
}

int link_send_running(struct link *l)
{
        return send_document(l, json_pack("{s:s}", "event", "running"), NULL, 0);
}

int link_send_paused(struct link *l, bool paused)
{
        return send_document(l, json_pack("{s:s}", "event", paused ? "paused" : "resumed"), NULL, 0);
}

int link_send_connections(struct link *l, unsigned count)
{
        return send_document(l, json_pack("{s:s,s:i}", "event", "connections", "count", (int)count), NULL, 0);
}

int link_send_jail(struct link *l, const char *lacks)
{
        return send_document(l, json_pack("{s:s,s:s}", "event", "jail", "lacks", lacks), NULL, 0);
}

int link_send_connection(struct link *l, uint32_t port, int fd)
{
        return send_document(l, json_pack("{s:s,s:I}", "event", "connection", "port", (json_int_t)port), &fd,
                             1);
}

int link_send_ended(struct link *l, const char *reason, const char *detail)
{
        return send_document(l,
                             json_pack("{s:s,s:s,s:s}", "event", "ended", "reason", reason, "detail", detail),
                             NULL, 0);
}

static void on_packet(struct link *l, const char *text, size_t size)
{
        cleanup_json json_t *document = NULL;
        struct error err = ERROR_INIT;
        const char *op;
        if (json_parse(text, size, "the monitor's packet", &document, &err) < 0 ||
            json_get_string(document, "op", &op, &err) < 0)
                log_warning("%s", err.text);
        else if (strcmp(op, "quit") == 0)
                l->events.quit(l->events.data);
        else if (strcmp(op, "pause") == 0 || strcmp(op, "resume") == 0)
                l->events.pause(op[0] == 'p', l->events.data);
        else if (strcmp(op, "watch") == 0)
                l->events.watch(l->events.data);
        else
                log_warning("the monitor asks for '%s', which is not known", op);
}

static void on_socket(struct source *s, int fd, uint32_t events, void *data)
{
        struct link *l = data;
        char text[PACKET_MAX];
        ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                source_free(l->source);
                l->source = NULL;
                l->events.quit(l->events.data);
        } else if ((size_t)n > sizeof(text)) {
                log_warning("the monitor's packet is too long");
        } else {
                on_packet(l, text, (size_t)n);
        }
}

int link_new(struct loop *loop, int fd, const struct link_events *events, struct link **ret_link)
{
        struct link *l = calloc(1, sizeof(*l));
        if (l == NULL)
                return -ENOMEM;
        l->fd = fd;
        l->events = *events;
        int r = fd_set_nonblocking(fd);
        if (r == 0)
                r = loop_add_io(loop, fd, EPOLLIN, on_socket, l, &l->source);
        if (r < 0) {
                free(l);
                return r;
        }
        *ret_link = l;
        return 0;
}

void link_free(struct link *l)
{
        if (l == NULL)
                return;
        source_free(l->source);
        free(l);
}
