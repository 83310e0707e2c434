/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdin, stdout and stderr of a process as frames.
 *
 * 1. Output is read only while the channel's queue is below its mark; a source that is not read is taken off
 * the loop altogether, because epoll reports a hang-up whether asked to or not.
 * 2. Input goes to the pipe as far as it takes it; the rest waits in stdin_pending, and the channel is paused
 * until it is gone. A paused channel does not see its end, so a second descriptor is watched for that.
 * 3. When the process has ended, what its pipes hold at that moment is passed on and no more: a child it left
 * behind may go on writing without end.
 */
#include "agent/job.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* What may be left in a terminal's buffers when the process ends: the kernel's limit is 64 KiB and a page. */
#define TERMINAL_LEFT_MAX (128 << 10)

static void on_output(struct source *s, int fd, uint32_t events, void *data);

static void unwatch(struct source **source)
{
        source_free(*source);
        *source = NULL;
}

static void end_output(struct output *o)
{
        unwatch(&o->source);
        close_fd(&o->fd);
        if (o->ended)
                return;
        o->ended = true;
        if (o->job->channel != NULL)
                (void)channel_send(o->job->channel, o->type, NULL,
                                   0); /* a queue that is full ends it anyway */
}

static bool host_is_behind(const struct job *job)
{
        return job->channel != NULL && channel_queued(job->channel) > CHANNEL_HIGH_WATER;
}

/* Passes on one frame at most. Returns false when there is nothing to read now, or for ever. */
static bool pass_on(struct output *o)
{
        static char
            bytes[FRAME_STREAM_MAX - FRAME_HEADER_SIZE]; /* a frame fills one packet of vsock (64 KiB) */
        size_t size = sizeof(bytes);
        if (o->left >= 0 && (uint64_t)o->left < size)
                size = (size_t)o->left;
        ssize_t n = size > 0 ? read(o->fd, bytes, size) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                if (o->left >= 0)
                        end_output(o);
                return false;
        }
        if (n <= 0) { /* EIO is how a terminal says that nobody has it open any more */
                end_output(o);
                return false;
        }
        if (o->left >= 0)
                o->left -= n;
        if (o->job->channel != NULL && !o->job->detached)
                (void)channel_send(o->job->channel, o->type, bytes,
                                   (size_t)n); /* below its mark: there is room */
        return true;
}

static void watch_output(struct output *o)
{
        struct loop *loop = o->job->agent->loop;
        if (o->ended || o->source != NULL || host_is_behind(o->job))
                return;
        if (loop_add_io(loop, o->fd, EPOLLIN, on_output, o, &o->source) < 0)
                end_output(o); /* out of memory: better no output than a process that hangs */
}

static void on_output(struct source *s, int fd, uint32_t events, void *data)
{
        struct output *o = data;
        (void)s;
        (void)fd;
        (void)events;
        if (!host_is_behind(o->job))
                (void)pass_on(o);
        if (!o->ended && host_is_behind(o->job))
                unwatch(&o->source);
        if (o->ended)
                job_progress(o->job);
}

void job_outputs_resume(struct job *job)
{
        for (size_t i = 0; i < 2; i++)
                watch_output(&job->outputs[i]);
}

void job_outputs_bound(struct job *job)
{
        for (size_t i = 0; i < 2; i++) {
                struct output *o = &job->outputs[i];
                int available = 0;
                if (o->ended)
                        continue;
                if (job->terminal)
                        available = TERMINAL_LEFT_MAX; /* its own count leaves out what is still on the way */
                else if (ioctl(o->fd, FIONREAD, &available) < 0 || available < 0)
                        available = 0;
                if (o->left < 0)
                        o->left = available;
                while (!o->ended && !host_is_behind(job) && pass_on(o))
                        ;
                if (!o->ended)
                        watch_output(o);
        }
}

bool job_outputs_ended(const struct job *job)
{
        return job->outputs[0].ended && job->outputs[1].ended;
}

/* ---- input ---- */

static void close_stdin(struct job *job)
{
        unwatch(&job->stdin_source);
        close_fd(&job->stdin_fd);
        buffer_done(&job->stdin_pending);
        unwatch(&job->hangup_source);
        close_fd(&job->hangup_fd);
        if (job->channel != NULL)
                channel_pause(job->channel, false);
}

/* A terminal has no end; its end-of-file character says it to whoever reads lines. */
static void end_stdin(struct job *job)
{
        struct termios mode;
        if (job->terminal && job->stdin_fd >= 0 && tcgetattr(job->stdin_fd, &mode) == 0 &&
            (mode.c_lflag & ICANON) && mode.c_cc[VEOF] != 0)
                (void)fd_write_full(job->stdin_fd, &mode.c_cc[VEOF],
                                    1); /* one byte; full means it reads nothing */
        close_stdin(job);
}

static void flush_stdin(struct job *job)
{
        struct buffer *b = &job->stdin_pending;
        while (b->length > 0) {
                ssize_t n = write(job->stdin_fd, buffer_content(b), b->length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) { /* nobody reads it any more */
                        close_stdin(job);
                        return;
                }
                buffer_consume(b, (size_t)n);
        }
        unwatch(&job->stdin_source);
        unwatch(&job->hangup_source);
        close_fd(&job->hangup_fd);
        if (job->stdin_ended)
                end_stdin(job);
        else if (job->channel != NULL)
                channel_pause(job->channel, false);
}

static void on_stdin(struct source *s, int fd, uint32_t events, void *data)
{
        (void)s;
        (void)fd;
        (void)events;
        flush_stdin(data);
}

static void on_hangup(struct source *s, int fd, uint32_t events, void *data)
{
        struct job *job = data;
        (void)s;
        (void)fd;
        (void)events;
        unwatch(&job->hangup_source);
        job_disconnected(job);
}

/* Keeps what the pipe does not take now, and takes nothing more from the host until it did. */
static int hold_stdin(struct job *job, const void *bytes, size_t size)
{
        struct loop *loop = job->agent->loop;
        int r = buffer_append(&job->stdin_pending, bytes, size);
        if (r == 0 && job->stdin_source == NULL)
                r = loop_add_io(loop, job->stdin_fd, EPOLLOUT, on_stdin, job, &job->stdin_source);
        if (r == 0 && job->hangup_fd < 0) {
                job->hangup_fd = fcntl(job->connection_fd, F_DUPFD_CLOEXEC, 3);
                r = job->hangup_fd < 0
                        ? -errno
                        : loop_add_io(loop, job->hangup_fd, EPOLLRDHUP, on_hangup, job, &job->hangup_source);
        }
        if (r == 0)
                channel_pause(job->channel, true);
        return r;
}

int job_stdin(struct job *job, const struct frame *frame)
{
        if (job->stdin_fd < 0 || job->stdin_ended)
                return 0; /* the process has closed it, has ended, or never had one */
        if (frame->size == 0) {
                job->stdin_ended = true;
                if (job->stdin_pending.length == 0)
                        end_stdin(job);
                return 0;
        }
        ssize_t n = 0;
        if (job->stdin_pending.length == 0) {
                do {
                        n = write(job->stdin_fd, frame->payload, frame->size);
                } while (n < 0 && errno == EINTR);
                if (n < 0 && errno != EAGAIN) {
                        close_stdin(job);
                        return 0;
                }
                if (n < 0)
                        n = 0;
        }
        if ((size_t)n == frame->size)
                return 0;
        return hold_stdin(job, frame->payload + n, frame->size - (size_t)n);
}

/* ---- both ---- */

int job_streams_begin(struct job *job, const struct launched *launched)
{
        job->stdin_fd = launched->stdio[0];
        for (size_t i = 0; i < 2; i++) {
                struct output *o = &job->outputs[i];
                *o = (struct output){.job = job,
                                     .fd = launched->stdio[i + 1],
                                     .type = i == 0 ? FRAME_STDOUT : FRAME_STDERR,
                                     .left = -1};
                o->ended = o->fd < 0; /* a terminal comes later */
        }
        buffer_init(&job->stdin_pending, 2 * FRAME_STREAM_MAX);
        return 0;
}

int job_take_terminal(struct job *job, int master)
{
        cleanup_fd int owned = master;
        int r = fd_set_nonblocking(owned);
        if (r < 0)
                return r;
        /* an epoll takes a descriptor once, and we want to read and write: a second one for input */
        job->stdin_fd = job->with_stdin ? fcntl(owned, F_DUPFD_CLOEXEC, 3) : -1;
        if (job->with_stdin && job->stdin_fd < 0)
                return -errno;
        job->outputs[0].fd = take_fd(&owned);
        job->outputs[0].ended = false;
        return 0;
}

int job_streams_watch(struct job *job)
{
        job_outputs_resume(job);
        for (size_t i = 0; i < 2; i++) { /* what was never there ends at once, as the protocol has it */
                if (job->outputs[i].ended && job->channel != NULL)
                        (void)channel_send(job->channel, job->outputs[i].type, NULL, 0);
        }
        return 0;
}

void job_streams_done(struct job *job)
{
        for (size_t i = 0; i < 2; i++) {
                unwatch(&job->outputs[i].source);
                close_fd(&job->outputs[i].fd);
                job->outputs[i].ended = true;
        }
        unwatch(&job->stdin_source);
        unwatch(&job->hangup_source);
        close_fd(&job->stdin_fd);
        close_fd(&job->hangup_fd);
        buffer_done(&job->stdin_pending);
}

int job_resize(struct job *job, uint16_t rows, uint16_t columns)
{
        struct winsize size = {.ws_row = rows, .ws_col = columns};
        if (!job->terminal || job->outputs[0].fd < 0)
                return 0;
        return ioctl(job->outputs[0].fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
