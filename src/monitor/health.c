/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One check at a time, each an exec of its own.
 *
 *     IDLE    -> WAITING  [health_begin]
 *     WAITING -> RUNNING  [begin_check]  the time has come
 *     RUNNING -> WAITING  [note]         it ended, could not be run, or did not end in its time
 *     any     -> IDLE     [health_end]
 *     IDLE    -> WAITING  [health_resume]
 *
 * The agent ends a check whose time is up, with everything it started; if the guest does not do so, the
 * connection is given up GRACE_MS later, and that is the check's end. What docker does is done here: success
 * makes it healthy; `retries` failures in a row unhealthy; failures in the start period do not count as long
 * as no check has succeeded.
 *
 * Hostile: exit codes and output are the guest's word. Of the output OUTPUT_MAX bytes are kept, of the checks
 * the last LOG_MAX. A guest can claim any health it likes; nothing but the claim hangs on it.
 */
#include "monitor/health.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "monitor/line.h"
#include "monitor/state.h"
#include "monitor/work.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_MS    10000
#define LOG_MAX     5
#define OUTPUT_MAX  4096
#define EXIT_NO_END (-1)

enum health_status { HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY };

struct health {
        struct loop *loop;
        int box_fd;
        const struct config_health *config;
        health_changed_fn changed;
        void (*checking)(bool begins, void *data); /* NULL: nobody asks */
        void *data;
        enum health_status status;
        int64_t failing_streak;
        int64_t began_ms;  /* monotonic: the clock of the wall may be set */
        json_t *log;       /* array */
        struct work *work; /* of the check that runs, or of one whose connection has not ended yet */
        bool running;      /* its end is not known yet */
        int64_t start_ns;  /* of that check, by the clock of the wall */
        int64_t start_ms;  /* the same, monotonic */
        struct buffer output;
        struct source *next, *limit;
};

static const char *status_name(enum health_status status)
{
        static const char *const names[] = {"starting", "healthy", "unhealthy"};
        return names[status];
}

static bool in_start_period(const struct health *h, int64_t at_ms)
{
        return h->status == HEALTH_STARTING && at_ms - h->began_ms < h->config->start_period_ms;
}

static void wait_for_next(struct health *h)
{
        (void)source_arm(h->next, in_start_period(h, clock_monotonic_ms())
                                      ? h->config->start_interval_ms
                                      : h->config->interval_ms); /* cannot refuse */
}

json_t *health_text(const char *bytes, size_t size)
{
        cleanup_free char *copy = calloc(1, size + 1);
        if (copy == NULL)
                return NULL;
        for (size_t i = 0; i < size; i++)
                copy[i] = bytes[i] == '\0' ? ' ' : bytes[i];
        json_t *text = json_stringn(copy, size);
        for (size_t i = 0; text == NULL && i < size; i++)
                copy[i] = (copy[i] & 0x80) != 0 ? '?' : copy[i];
        return text != NULL ? text : json_stringn(copy, size);
}

static void add_to_log(struct health *h, int exit_code)
{
        const char *bytes = h->output.length > 0 ? buffer_content(&h->output) : "";
        size_t size =
            h->output.length < OUTPUT_MAX ? h->output.length : line_whole_characters(bytes, OUTPUT_MAX);
        json_t *entry = json_pack("{s:I, s:I, s:i, s:o}", "start_ns", (json_int_t)h->start_ns, "end_ns",
                                  (json_int_t)clock_wall_ns(), "exit_code", exit_code, "output",
                                  health_text(bytes, size));
        (void)json_array_append_new(h->log, entry); /* a check that is not in the log counts all the same */
        if (json_array_size(h->log) > LOG_MAX)
                (void)json_array_remove(h->log, 0); /* there is one */
        buffer_clear(&h->output);
}

/* How a check ended. */
static void note(struct health *h, int exit_code)
{
        enum health_status before = h->status;
        if (!h->running)
                return;
        h->running = false;
        (void)source_arm(h->limit, -1); /* disarming cannot fail */
        add_to_log(h, exit_code);
        if (exit_code == 0) {
                h->failing_streak = 0;
                h->status = HEALTH_HEALTHY;
        } else if (!in_start_period(h, h->start_ms)) {
                h->failing_streak++;
                if (h->failing_streak >= h->config->retries)
                        h->status = HEALTH_UNHEALTHY;
        }
        wait_for_next(h);
        h->changed(h->status != before ? status_name(h->status) : NULL, h->data);
}

/* The check's end, with a reason in the place of its output. */
static void note_failure(struct health *h, const char *reason)
{
        if (!h->running)
                return; /* how it ended is known already */
        buffer_clear(&h->output);
        (void)buffer_append_text(&h->output, reason); /* an error text at most: it fits */
        note(h, EXIT_NO_END);
}

static void note_late(struct health *h)
{
        char text[96];
        (void)snprintf(text, sizeof(text), "Health check exceeded timeout (%" PRId64 " ms)",
                       h->config->timeout_ms); /* fits */
        note_failure(h, text);
}

static void on_started(struct work *work, int64_t pid, void *data)
{
        (void)work;
        (void)pid;
        (void)data;
}

static void on_failed(struct work *work, const struct error *err, void *data)
{
        (void)work;
        note_failure(data, err->text);
}

static void on_output(struct work *work, bool is_stderr, const void *bytes, size_t size, void *data)
{
        struct health *h = data;
        (void)work;
        (void)is_stderr;
        size_t room = OUTPUT_MAX - (h->output.length < OUTPUT_MAX ? h->output.length : OUTPUT_MAX);
        if (h->running && size > 0)
                (void)buffer_append(&h->output, bytes, size < room ? size : room); /* the rest is dropped */
}

static void on_exited(struct work *work, const struct frame_exit *status, void *data)
{
        (void)work;
        if (status->flags & FRAME_EXIT_TIMED_OUT)
                note_late(data);
        else
                note(data, status->signal != 0 ? 128 + status->signal : status->code);
}

static void on_drained(struct work *work, void *data)
{
        (void)work;
        (void)data;
}

static void tell_checking(const struct health *h, bool begins)
{
        if (h->checking != NULL)
                h->checking(begins, h->data);
}

static void on_gone(struct work *work, const struct error *err, void *data)
{
        struct health *h = data;
        work_free(work);
        h->work = NULL;
        tell_checking(h, false);
        note_failure(h, err->text[0] != '\0' ? err->text : "the connection to the guest ended");
}

static const struct work_ops work_ops = {on_started, on_failed, on_output, on_exited, on_drained, on_gone};

static void give_up(struct health *h)
{
        if (h->work == NULL)
                return;
        work_free(h->work); /* the agent kills what it belongs to */
        h->work = NULL;
        tell_checking(h, false);
}

static void begin_check(struct source *s, void *data)
{
        struct health *h = data;
        struct error err = ERROR_INIT;
        (void)s;
        give_up(h);
        cleanup_json json_t *request =
            json_pack("{s:s, s:{s:O, s:b}, s:b, s:I, s:b}", "op", "exec", "process", "args", h->config->args,
                      "terminal", 0, "stdin", 0, "timeout_ms", (json_int_t)h->config->timeout_ms, "detached",
                      0);
        buffer_clear(&h->output);
        h->running = true;
        h->start_ns = clock_wall_ns();
        h->start_ms = clock_monotonic_ms();
        int r = request == NULL ? error_set(&err, -ENOMEM, "out of memory")
                                : work_new(h->loop, h->box_fd, request, &work_ops, h, &h->work, &err);
        if (r < 0) {
                note_failure(h, err.text);
        } else {
                tell_checking(h, true);
                (void)source_arm(h->limit, h->config->timeout_ms + GRACE_MS); /* cannot refuse */
        }
}

static void on_limit(struct source *s, void *data)
{
        struct health *h = data;
        (void)s;
        log_warning("a health check was not ended by the guest: it is given up");
        give_up(h);
        note_late(h);
}

void health_begin(struct health *h)
{
        if (h == NULL)
                return;
        health_end(h);
        (void)json_array_clear(h->log); /* an array: cannot fail */
        h->status = HEALTH_STARTING;
        h->failing_streak = 0;
        h->began_ms = clock_monotonic_ms();
        wait_for_next(h);
}

void health_end(struct health *h)
{
        if (h == NULL)
                return;
        (void)source_arm(h->next, -1); /* disarming cannot fail */
        (void)source_arm(h->limit, -1);
        h->running = false;
        buffer_done(&h->output);
        give_up(h);
}

void health_resume(struct health *h)
{
        if (h != NULL)
                wait_for_next(h);
}

json_t *health_json(const struct health *h)
{
        if (h == NULL)
                return NULL;
        return json_pack("{s:s, s:I, s:O}", "status", status_name(h->status), "failing_streak",
                         (json_int_t)h->failing_streak, "log", h->log);
}

int health_new(struct loop *loop, int box_fd, const struct config *config, health_changed_fn changed,
               void *data, struct health **ret_health, struct error *err)
{
        struct health *h = calloc(1, sizeof(*h));
        if (h == NULL)
                return error_set(err, -ENOMEM, "prepare the health check: out of memory");
        h->loop = loop;
        h->box_fd = box_fd;
        h->config = &config->health;
        h->changed = changed;
        h->data = data;
        h->log = json_array();
        buffer_init(&h->output, OUTPUT_MAX);
        int r = h->log == NULL ? -ENOMEM : loop_add_timer(loop, begin_check, h, &h->next);
        if (r == 0)
                r = loop_add_timer(loop, on_limit, h, &h->limit);
        if (r < 0) {
                health_free(h);
                return error_errno(err, r, "prepare the health check");
        }
        *ret_health = h;
        return 0;
}

void health_watch(struct health *h, void (*checking)(bool begins, void *data))
{
        if (h != NULL)
                h->checking = checking;
}

void health_free(struct health *h)
{
        if (h == NULL)
                return;
        work_free(h->work);
        source_free(h->next);
        source_free(h->limit);
        json_decref(h->log);
        buffer_done(&h->output);
        free(h);
}
