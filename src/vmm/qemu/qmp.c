/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/qmp.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINE_MAX_SIZE 8192 /* the longest known is the greeting, 200 bytes */

struct qmp {
        int socket;
        struct source *source;
        const char *event;
        qmp_fn done;
        void *data;
        size_t size;
        char line[LINE_MAX_SIZE];
};

static int judge_event(const json_t *document, const char *name, const char *event, struct error *err)
{
        const char *status = json_text(json_object_get(document, "data"), "status");
        char text[64];
        (void)snprintf(text, sizeof(text), "%s%s%s", name, status[0] == '\0' ? "" : " ", status); /* cut */
        if (strcmp(text, event) == 0)
                return 1;
        return strcmp(text, "MIGRATION failed") == 0
                   ? error_set(err, -EIO, "QEMU cannot move the machine's state")
                   : 0;
}

int qmp_judge(const char *line, size_t size, const char *event, struct error *err)
{
        cleanup_json json_t *document = NULL;
        int r = json_parse(line, size, "QEMU's monitor", &document, err);
        if (r < 0)
                return r;
        const json_t *error = json_object_get(document, "error");
        if (error != NULL)
                return error_set(err, -EIO, "QEMU refuses: %s", json_text(error, "desc"));
        const char *name = json_text(document, "event");
        return name[0] == '\0' ? 0 : judge_event(document, name, event, err);
}

/* False when it has ended, and q may be gone. */
static bool take_lines(struct qmp *q)
{
        struct error err = ERROR_INIT;
        char *start = q->line, *end;
        while ((end = memchr(start, '\n', q->size - (size_t)(start - q->line))) != NULL) {
                int r = qmp_judge(start, (size_t)(end - start), q->event, &err);
                if (r != 0) {
                        source_free(q->source);
                        q->source = NULL;
                        q->done(q->data, r < 0 ? err.text : NULL);
                        return false;
                }
                start = end + 1;
        }
        q->size -= (size_t)(start - q->line);
        memmove(q->line, start, q->size);
        return true;
}

static void on_readable(struct source *s, int fd, uint32_t events, void *data)
{
        struct qmp *q = data;
        (void)s;
        (void)events;
        ssize_t n = read(fd, q->line + q->size, sizeof(q->line) - q->size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                q->size += (size_t)n;
                if (!take_lines(q) || q->size < sizeof(q->line))
                        return;
        }
        source_free(q->source);
        q->source = NULL;
        if (n > 0)
                q->done(q->data, "QEMU's monitor says too much");
}

int qmp_new(struct loop *loop, int socket, const struct qmp_dialogue *dialogue, qmp_fn done, void *data,
            struct qmp **ret_qmp)
{
        size_t size = strlen(dialogue->commands);
        struct qmp *q = calloc(1, sizeof(*q));
        if (q == NULL)
                return -ENOMEM;
        *q = (struct qmp){.socket = socket, .event = dialogue->event, .done = done, .data = data};
        int r = fd_set_nonblocking(socket);
        if (r == 0) {
                ssize_t n = fd_send(socket, dialogue->commands, size, &dialogue->passed_fd,
                                    dialogue->passed_fd < 0 ? 0 : 1);
                r = n < 0 ? (int)n : (size_t)n < size ? -EMSGSIZE : 0;
        }
        if (r == 0)
                r = loop_add_io(loop, socket, EPOLLIN, on_readable, q, &q->source);
        if (r < 0)
                qmp_free(q);
        else
                *ret_qmp = q;
        return r;
}

void qmp_free(struct qmp *q)
{
        if (q == NULL)
                return;
        source_free(q->source);
        free(q);
}
