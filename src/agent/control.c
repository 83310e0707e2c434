/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control connection: boot, shutdown, ping, stats (docs/protocol.md, section 3). Its end is an order too:
 * to stop.
 */
#include "agent/control.h"

#include "agent/boot.h"
#include "agent/cgroup.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef AGENT_VERSION
#define AGENT_VERSION "0"
#endif

/* How long the host may take to close the connection after the last word; then the machine goes anyway. */
#define LAST_WORD_MS 500

static void refuse(struct agent *agent, const struct error *err, const char *stage)
{
        log_error("%s", err->text);
        if (agent->control != NULL)
                (void)channel_send_error_at(agent->control, err, stage);
}

/* The request is answered here or, when all of it is done, by control_booted(). */
static int boot(struct agent *agent, const json_t *request, json_t **ret_reply, struct error *err)
{
        const char *stage;
        (void)ret_reply;
        if (boot_begin(agent, request, &stage, err) < 0)
                refuse(agent, err, stage);
        return 0;
}

void control_booted(struct agent *agent, const struct error *err, const char *stage)
{
        struct utsname names;
        if (err->code != 0) {
                refuse(agent, err, stage);
                return;
        }
        (void)uname(&names); /* its only failure is a bad address */
        cleanup_json json_t *reply = json_pack("{s:s, s:s}", "kernel", names.release, "agent", AGENT_VERSION);
        if (agent->control == NULL)
                return; /* its end has ended the box */
        if (reply == NULL || channel_send_json(agent->control, FRAME_REPLY, reply) < 0)
                log_error("reply to 'boot': out of memory");
}

static int shutdown_machine(struct agent *agent, const json_t *request, json_t **ret_reply, struct error *err)
{
        (void)request;
        (void)ret_reply;
        (void)err;
        agent_stop(agent, true);
        return 0;
}

static int ping(struct agent *agent, const json_t *request, json_t **ret_reply, struct error *err)
{
        (void)agent;
        (void)request;
        (void)err;
        *ret_reply = json_object();
        return 0;
}

/* proc(5), statm: the second number is resident pages. */
static int64_t own_resident_bytes(void)
{
        cleanup_free char *text = NULL;
        long long pages;
        if (path_read_at(AT_FDCWD, "/proc/self/statm", 256, &text, NULL) < 0 ||
            sscanf(text, "%*d %lld", &pages) != 1)
                return -1;
        return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int stats(struct agent *agent, const json_t *request, json_t **ret_reply, struct error *err)
{
        static const struct {
                const char *name, *file, *key;
        } values[] = {
            {"memory_bytes", "memory.current", NULL},
            {"memory_peak_bytes", "memory.peak", NULL},
            {"memory_limit_bytes", "memory.max", NULL},
            {"cpu_us", "cpu.stat", "usage_usec"},
            {"pids", "pids.current", NULL},
            {"pids_limit", "pids.max", NULL},
            {"oom_kills", "memory.events", "oom_kill"},
        };
        (void)request;
        if (agent->box_fd < 0)
                return error_set(err, -ESRCH, "stats: the container is not running");
        json_t *reply = json_object();
        for (size_t i = 0; reply != NULL && i < sizeof(values) / sizeof(values[0]); i++) {
                int64_t value;
                if (cgroup_read(agent->box_fd, values[i].file, values[i].key, &value) == 0)
                        (void)json_object_set_new(reply, values[i].name,
                                                  json_integer(value)); /* a gap says enough */
        }
        int64_t resident = own_resident_bytes();
        if (reply != NULL && resident >= 0)
                (void)json_object_set_new(reply, "agent_bytes", json_integer(resident)); /* the same */
        *ret_reply = reply;
        return 0;
}

static const struct {
        const char *name;
        int (*carry_out)(struct agent *agent, const json_t *request, json_t **ret_reply, struct error *err);
        bool replies;
} operations[] = {
    {"boot", boot, false},
    {"shutdown", shutdown_machine, false},
    {"ping", ping, true},
    {"stats", stats, true},
};

static int carry_out(struct agent *agent, const json_t *request, struct error *err)
{
        cleanup_json json_t *reply = NULL;
        const char *op;
        int r = json_get_string(request, "op", &op, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
                if (strcmp(op, operations[i].name) != 0)
                        continue;
                r = operations[i].carry_out(agent, request, &reply, err);
                if (r < 0 || !operations[i].replies)
                        return r;
                r = reply == NULL ? -ENOMEM : channel_send_json(agent->control, FRAME_REPLY, reply);
                return r < 0 ? error_errno(err, r, "reply to '%s'", op) : 0;
        }
        return error_set(err, -EOPNOTSUPP, "unknown request '%.64s'", op);
}

static int on_frame(struct channel *channel, const struct frame *frame, void *data, struct error *err)
{
        cleanup_json json_t *request = NULL;
        struct error failure = ERROR_INIT;
        if (frame->type != FRAME_REQUEST)
                return error_set(err, -EPROTO, "a frame of type %d is out of place", (int)frame->type);
        int r = json_parse((const char *)frame->payload, frame->size, "request", &request, &failure);
        if (r == 0)
                r = carry_out(data, request, &failure);
        if (r < 0) {
                log_error("%s", failure.text);
                (void)channel_send_error(channel, &failure);
        }
        return 0;
}

static void on_closed(struct channel *channel, const struct error *err, void *data)
{
        struct agent *agent = data;
        if (err->code != 0)
                log_warning("control connection: %s", err->text);
        channel_free(channel);
        agent->control = NULL;
        if (agent->told_halted)
                loop_quit(agent->loop, 0); /* it has heard the last word */
        else
                agent_stop(agent, false);
}

static void on_patience(struct source *s, void *data)
{
        struct agent *agent = data;
        (void)s;
        loop_quit(agent->loop, 0);
}

void control_halted(struct agent *agent)
{
        cleanup_json json_t *event = json_pack("{s:s}", "event", "halted");
        if (agent->control == NULL || !agent->tell_halted || event == NULL ||
            channel_send_json(agent->control, FRAME_EVENT, event) < 0) {
                loop_quit(agent->loop, 0);
                return;
        }
        agent->told_halted = true;
        if (loop_add_timer(agent->loop, on_patience, agent, &agent->stop_timer) < 0 ||
            source_arm(agent->stop_timer, LAST_WORD_MS) < 0)
                loop_quit(agent->loop, 0);
        channel_finish(agent->control);
}

static const struct channel_ops ops = {.frame = on_frame, .closed = on_closed};

int control_begin(struct agent *agent, int fd, struct error *err)
{
        int r = channel_new(agent->loop, fd, NULL, &ops, agent, &agent->control);
        return r < 0 ? error_errno(err, r, "talk to the host") : 0;
}
