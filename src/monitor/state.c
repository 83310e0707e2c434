/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes state.json by rename, so that a reader finds a whole document at any time. Only the last one is
 * forced onto the disk: what the others say is void after a crash of the host anyway (the boot id in them
 * tells), and a start need not wait for the disk. A full disk is no reason to say nothing: see overwrite().
 */
#include "monitor/state.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

const char *state_phase_name(enum state_phase phase)
{
        static const char *const names[] = {"starting",   "running", "paused", "stopping",
                                            "restarting", "exited",  "failed"};
        return names[phase];
}

int state_init(struct state *s, int dir_fd, struct error *err)
{
        uint64_t start_time;
        char boot_id[37];
        *s = (struct state){.dir_fd = dir_fd, .exit_code = -1};
        int r = process_start_time(getpid(), &start_time);
        if (r == 0)
                r = process_boot_id(boot_id);
        if (r < 0)
                return error_errno(err, r, "look at the monitor's own process");
        s->warnings = json_array();
        s->monitor = json_pack("{s:i, s:I, s:s}", "pid", (int)getpid(), "start_time", (json_int_t)start_time,
                               "boot_id", boot_id);
        if (s->warnings == NULL || s->monitor == NULL) {
                state_done(s);
                return error_set(err, -ENOMEM, "keep the state: out of memory");
        }
        return 0;
}

void state_done(struct state *s)
{
        json_decref(s->warnings);
        json_decref(s->monitor);
        json_decref(s->ports);
        json_decref(s->health);
        s->warnings = s->monitor = s->ports = s->health = NULL;
}

void state_restart(struct state *s)
{
        s->phase = STATE_RESTARTING;
        s->pid = s->started_ns = 0;
        (void)json_array_clear(s->warnings); /* it is one */
        json_decref(s->ports);
        s->ports = NULL;
}

void state_run(struct state *s, int64_t pid)
{
        s->phase = STATE_RUNNING;
        s->pid = pid;
        s->started_ns = clock_wall_ns();
        s->finished_ns = 0;
        s->exit_code = -1;
        s->oom_killed = false;
        s->stage = NULL;
}

void state_warn(struct state *s, const char *text)
{
        size_t count = json_array_size(s->warnings);
        for (size_t i = 0; i < count; i++) {
                if (strcmp(json_string_value(json_array_get(s->warnings, i)), text) == 0)
                        return;
        }
        if (count < STATE_WARNINGS_MAX)
                (void)json_array_append_new(s->warnings,
                                            json_string(text)); /* a lost warning is no failure */
}

static json_t *document(const struct state *s)
{
        json_t *json = json_pack("{s:s, s:O, s:O}", "state", state_phase_name(s->phase), "monitor",
                                 s->monitor, "warnings", s->warnings);
        int r = json == NULL ? -1 : 0;
        if (r == 0 && s->pid != 0)
                r = json_object_set_new(json, "pid", json_integer(s->pid));
        if (r == 0 && s->started_ns != 0)
                r = json_object_set_new(json, "started_ns", json_integer(s->started_ns));
        if (r == 0 && s->finished_ns != 0)
                r = json_object_set_new(json, "finished_ns", json_integer(s->finished_ns));
        if (r == 0 && s->exit_code >= 0)
                r = json_object_set_new(json, "exit_code", json_integer(s->exit_code));
        if (r == 0 && s->exit_code >= 0)
                r = json_object_set_new(json, "oom_killed", json_boolean(s->oom_killed));
        if (r == 0 && s->stopped)
                r = json_object_set_new(json, "stopped", json_true());
        if (r == 0 && s->restarts != 0)
                r = json_object_set_new(json, "restarts", json_integer(s->restarts));
        if (r == 0 && s->jail_lacks[0] != '\0')
                r = json_object_set_new(json, "jail_lacks", json_string(s->jail_lacks));
        if (r == 0 && s->stage != NULL)
                r = json_object_set_new(json, "stage", json_string(s->stage));
        if (r == 0 && s->stage != NULL)
                r = json_object_set_new(json, "error", json_string(s->error));
        if (r == 0 && s->ports != NULL)
                r = json_object_set(json, "ports", s->ports);
        if (r == 0 && s->health != NULL)
                r = json_object_set(json, "health", s->health);
        if (r < 0) {
                json_decref(json);
                return NULL;
        }
        return json;
}

static int replace(int dir_fd, const char *text, size_t size)
{
        cleanup_fd int fd =
            openat(dir_fd, "state.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        int r = fd_write_full(fd, text, size);
        if (r < 0)
                return r;
        return renameat(dir_fd, "state.json.new", dir_fd, "state.json") < 0 ? -errno : 0;
}

/*
 * On a full disk: the file that is there has its block already, so the news go into it, though a reader may
 * for a moment find them half-written.
 */
static int overwrite(int dir_fd, const char *text, size_t size)
{
        (void)unlinkat(dir_fd, "state.json.new",
                       0); /* what could not be written in full; it may not be there */
        cleanup_fd int fd = openat(dir_fd, "state.json", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        int r = fd_write_full(fd, text, size);
        if (r == 0 && ftruncate(fd, (off_t)size) < 0)
                r = -errno;
        return r;
}

int state_write(const struct state *s, bool final, struct error *err)
{
        cleanup_json json_t *json = document(s);
        size_t size;
        cleanup_free char *text = json == NULL ? NULL : json_print(json, &size);
        if (text == NULL)
                return error_set(err, -ENOMEM, "write state.json: out of memory");
        int r = final ? path_write_atomic_at(s->dir_fd, "state.json", text, size, 0600)
                      : replace(s->dir_fd, text, size);
        if (r == -ENOSPC || r == -EDQUOT)
                r = overwrite(s->dir_fd, text, size);
        return r < 0 ? error_errno(err, r, "write state.json") : 0;
}
