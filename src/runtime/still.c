/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A box that does not run: who holds its lock knows that nobody starts it. A box that runs: a work connection
 * to its agent with a `freeze` request (docs/protocol.md, section 4). Whatever becomes of us, the connection
 * ends, and the agent thaws.
 *
 * Hostile: the agent's answers. A guest that says it is frozen and is not gets a copy of its own disk that is
 * torn; nothing else depends on it. One that says nothing is given up after its time.
 */
#include "runtime/still.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "runtime/life.h"
#include "wire/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ANSWER_MS      60000 /* to write out all that is dirty, on an emulated CPU and a slow disk */
#define LINE_MAX_BYTES 64
#define RETRY_MS       10

struct still {
        int lock_fd; /* of a box that does not run */
        struct loop *loop;
        struct channel *channel; /* to the agent of one that runs */
        bool answered, over;
        struct error why; /* of the last answer; code 0: it was a REPLY */
};

static int64_t now_ms(void)
{
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int frame_in(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        struct still *s = data;
        (void)channel;
        if (s->answered && s->why.code != 0)
                return 0; /* a refusal is the last word */
        if (frame->type != FRAME_REPLY && frame->type != FRAME_ERROR)
                return error_set(err, -EPROTO, "the agent sent a frame of type %d out of turn", frame->type);
        s->answered = true;
        if (frame->type == FRAME_ERROR)
                (void)channel_read_error(frame, &s->why);
        return 0;
}

static void closed(struct channel *channel, const struct error *err, void *data)
{
        struct still *s = data;
        (void)channel;
        s->over = true;
        if (!s->answered)
                (void)error_set(&s->why, -ECONNRESET, "the machine ended the connection%s%s",
                                err->text[0] == '\0' ? "" : ": ", err->text);
}

static const struct channel_ops ops = {.frame = frame_in, .closed = closed};

/* Sends a request and waits for its answer, or for one that is there already. */
static int ask(struct still *s, const char *op, int64_t limit_ms, struct error *err)
{
        int64_t deadline = now_ms() + ANSWER_MS;
        cleanup_json json_t *request = json_pack("{s:s, s:I}", "op", op, "timeout_ms", (json_int_t)limit_ms);
        int r = request == NULL ? -ENOMEM : 0;
        /* the time may have been up long ago: that is the answer then */
        while (r >= 0 && !s->over && (r = loop_step(s->loop, 0)) > 0) {
        }
        if (r >= 0 && !s->over && !s->answered)
                r = channel_send_json(s->channel, FRAME_REQUEST, request);
        while (r >= 0 && !s->answered && !s->over) {
                int64_t left = deadline - now_ms();
                if (left <= 0)
                        return error_set(err, -ETIMEDOUT,
                                         "the box does not answer within %d s: stop it first",
                                         ANSWER_MS / 1000);
                r = loop_step(s->loop, (int)left);
        }
        if (r < 0)
                return error_errno(err, r, "talk to the machine");
        s->answered = false;
        if (s->why.code != 0)
                *err = s->why;
        return s->why.code;
}

/* The line "OK <port>\n" byte by byte: what follows it is the channel's. */
static int read_line(int fd, int64_t deadline, char line[LINE_MAX_BYTES])
{
        for (size_t size = 0; size < LINE_MAX_BYTES - 1;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                int64_t left = deadline - now_ms();
                int r = left <= 0 ? 0 : poll(&p, 1, (int)left);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0)
                        return -ETIMEDOUT;
                ssize_t n = recv(fd, line + size, 1, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ECONNREFUSED;
                if (line[size] == '\n') {
                        line[size] = '\0';
                        return strncmp(line, "OK ", 3) == 0 ? 0 : -EPROTO;
                }
                size++;
        }
        return -EPROTO;
}

static int dial(int box_fd, int *ret_fd, struct error *err)
{
        static const char line[] = "CONNECT 1025\n";
        char answer[LINE_MAX_BYTES];
        int64_t deadline = now_ms() + ANSWER_MS;
        int fd;
        while ((fd = unix_connect_at(box_fd, "vsock.sock", SOCK_STREAM | SOCK_NONBLOCK)) == -EAGAIN &&
               now_ms() < deadline)
                (void)poll(NULL, 0, RETRY_MS); /* a listening unix socket has no event for "room again" */
        cleanup_fd int owned = fd;
        if (fd < 0)
                return error_set(err, fd, "the box is only being started, or about to end: try again");
        int r = send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(line) - 1 ? 0 : -errno;
        if (r == 0)
                r = read_line(fd, deadline, answer);
        if (r == -ETIMEDOUT)
                return error_set(err, r, "the box does not answer within %d s: stop it first",
                                 ANSWER_MS / 1000);
        if (r == -ECONNREFUSED || r == -ECONNRESET)
                return error_set(err, r, "the box is only being started, or about to end: try again");
        if (r < 0)
                return error_errno(err, r, "connect to its machine");
        *ret_fd = take_fd(&owned);
        return 0;
}

static int freeze(struct still *s, int box_fd, int64_t limit_ms, struct error *err)
{
        int fd = -1;
        int r = dial(box_fd, &fd, err);
        if (r < 0)
                return r;
        r = loop_new(&s->loop);
        if (r < 0)
                close_fd(&fd);
        else
                r = channel_new(s->loop, fd, NULL, &ops, s, &s->channel);
        return r < 0 ? error_errno(err, r, "talk to the machine") : ask(s, "freeze", limit_ms, err);
}

void still_free(struct still *s)
{
        if (s == NULL)
                return;
        channel_free(s->channel);
        loop_free(s->loop);
        close_fd(&s->lock_fd);
        free(s);
}

int still_begin(int box_fd, int64_t limit_ms, struct still **ret_still, struct error *err)
{
        if (limit_ms < 1 || limit_ms > STILL_MAX_MS)
                return error_set(err, -EINVAL, "the time a box may be held still is at most %d s",
                                 STILL_MAX_MS / 1000);
        struct still *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_set(err, -ENOMEM, "hold the disk still: out of memory");
        s->lock_fd = -1;
        int r = life_take(box_fd, &s->lock_fd, err);
        if (r == -EBUSY) {
                *err = (struct error)ERROR_INIT;
                r = life_check_answers(box_fd, err);
                if (r == 0)
                        r = freeze(s, box_fd, limit_ms, err);
        }
        if (r < 0) {
                still_free(s);
                return r;
        }
        *ret_still = s;
        return 0;
}

int still_is_running(const struct still *s)
{
        return s->channel != NULL;
}

int still_end(struct still *s, struct error *err)
{
        int r = s->channel != NULL ? ask(s, "thaw", 1, err) : 0;
        still_free(s);
        if (r == -ETIMEDOUT)
                return error_wrap(err,
                                  "the copy took too long for a box that runs (give it more time, or stop it "
                                  "first)");
        return r < 0 ? error_wrap(err, "the box went on before its disk was copied") : 0;
}
