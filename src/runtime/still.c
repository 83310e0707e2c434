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
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "runtime/dial.h"
#include "runtime/life.h"
#include "wire/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ANSWER_MS 60000 /* to write out all that is dirty, on an emulated CPU and a slow disk */

struct still {
        int lock_fd; /* of a box that does not run */
        struct loop *loop;
        struct channel *channel; /* to the agent of one that runs */
        bool answered, over;
        struct error why; /* of the last answer; code 0: it was a REPLY */
};

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
        int64_t deadline = clock_monotonic_ms() + ANSWER_MS;
        cleanup_json json_t *request = json_pack("{s:s, s:I}", "op", op, "timeout_ms", (json_int_t)limit_ms);
        int r = request == NULL ? -ENOMEM : 0;
        /* the time may have been up long ago: that is the answer then */
        while (r >= 0 && !s->over && (r = loop_step(s->loop, 0)) > 0) {
        }
        if (r >= 0 && !s->over && !s->answered)
                r = channel_send_json(s->channel, FRAME_REQUEST, request);
        while (r >= 0 && !s->answered && !s->over) {
                int64_t left = deadline - clock_monotonic_ms();
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

static int dial(int box_fd, int *ret_fd, struct error *err)
{
        int r = dial_work(box_fd, clock_monotonic_ms() + ANSWER_MS, ret_fd);
        switch (r) {
        case 0:
                return 0;
        case -ETIMEDOUT:
                return error_set(err, r, "the box does not answer within %d s: stop it first",
                                 ANSWER_MS / 1000);
        case -EAGAIN:
        case -ENOENT:
        case -ECONNREFUSED:
        case -ECONNRESET:
                return error_set(err, r, "the box is only being started, or about to end: try again");
        default:
                return error_errno(err, r, "connect to its machine");
        }
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
