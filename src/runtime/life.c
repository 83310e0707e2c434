/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock is flock(2) on an open file description which the monitor inherits from the starter: from the
 * moment the starter has it until the monitor is gone, it is held without a gap, and the kernel lets it go
 * whatever kills the holder.
 *
 * Looking must not get in a starter's way: who looks takes the lock shared for a moment; a starter that is
 * refused the exclusive lock but gets the shared one has met only lookers, and tries again. Two starters: one
 * gets it exclusively, the other does not even get it shared.
 *
 * A removed box: whoever takes the lock looks whether the locked file still has a name (st_nlink), because
 * the monitor of an auto-removed box unlinks it while holding it.
 */
#include "runtime/life.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_NAME      "lock"
#define STATE_NAME     "state.json"
#define STATE_SIZE_MAX (1U << 20)
#define TAKE_TRIES     200
#define KILLED         137 /* 128 + SIGKILL */

int life_create(int box_fd, struct error *err)
{
        cleanup_fd int fd =
            openat(box_fd, LOCK_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? error_errno(err, -errno, "make the lock of the box") : 0;
}

/* 1 when taken, 0 when another holds it, -errno. */
static int try_lock(int fd, int kind)
{
        int r;
        do {
                r = flock(fd, kind | LOCK_NB);
        } while (r < 0 && errno == EINTR);
        if (r == 0)
                return 1;
        return errno == EWOULDBLOCK ? 0 : -errno;
}

static void nap(void)
{
        struct timespec time = {.tv_nsec = 500000};
        (void)nanosleep(&time,
                        NULL); /* a looker holds the lock for microseconds; there is no event to wait for */
}

int life_take(int box_fd, int *ret_lock_fd, struct error *err)
{
        struct stat st;
        cleanup_fd int fd = openat(box_fd, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return error_errno(err, -errno, "open the lock of the box");
        int r = 0;
        for (int i = 0; i < TAKE_TRIES && r == 0; i++) {
                r = try_lock(fd, LOCK_EX);
                if (r != 0)
                        break;
                r = try_lock(fd, LOCK_SH);
                if (r == 0)
                        return error_set(err, -EBUSY, "the box is running");
                if (r > 0) {
                        (void)flock(fd, LOCK_UN); /* it is ours: cannot fail */
                        nap();
                        r = 0;
                }
        }
        if (r < 0)
                return error_errno(err, r, "lock the box");
        if (r == 0)
                return error_set(err, -EBUSY, "lock the box: others look at it without end");
        if (fstat(fd, &st) < 0)
                return error_errno(err, -errno, "lock the box");
        if (st.st_nlink == 0)
                return error_set(err, -ENOENT, "the box was removed");
        *ret_lock_fd = take_fd(&fd);
        return 0;
}

int life_look(int box_fd, struct error *err)
{
        cleanup_fd int fd = openat(box_fd, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        int r = fd >= 0 ? try_lock(fd, LOCK_SH) : errno == ENOENT ? 1 : -errno;
        /* the descriptor's end lets it go again */
        return r < 0 ? error_errno(err, r, "look at the lock of the box") : r == 0;
}

bool life_is_held(int box_fd)
{
        return life_look(box_fd, NULL) != 0;
}

const char *life_name(enum life life)
{
        static const char *const names[] = {"created", "running", "paused", "restarting", "exited", "dead"};
        return names[life];
}

bool life_is_up(enum life life)
{
        return life == LIFE_RUNNING || life == LIFE_PAUSED || life == LIFE_RESTARTING;
}

/* A box that was never started has no state: then an empty object is kept. */
int life_keep(int box_fd, struct error *err)
{
        struct stat st;
        int r = 0;
        if (fstatat(box_fd, LIFE_KEPT_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0; /* whoever kept it was killed */
        if (errno != ENOENT)
                return error_errno(err, -errno, "keep the state of the box");
        if (renameat(box_fd, STATE_NAME, box_fd, LIFE_KEPT_NAME) < 0)
                r = errno == ENOENT ? path_write_atomic_at(box_fd, LIFE_KEPT_NAME, "{}", 2, 0600) : -errno;
        return r < 0 ? error_errno(err, r, "keep the state of the box") : 0;
}

int life_restore(int box_fd, struct error *err)
{
        struct stat st;
        if (fstatat(box_fd, LIFE_KEPT_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_errno(err, -errno, "restore the state of the box");
        bool empty = st.st_size <= 2;
        if (empty ? (unlinkat(box_fd, STATE_NAME, 0) < 0 && errno != ENOENT) ||
                        unlinkat(box_fd, LIFE_KEPT_NAME, 0) < 0
                  : renameat(box_fd, LIFE_KEPT_NAME, box_fd, STATE_NAME) < 0)
                return error_errno(err, -errno, "restore the state of the box");
        return 0;
}

/* *ret_state NULL: there is none, or it is no document. -errno when it cannot be read. */
static int read_state(int box_fd, const char *name, json_t **ret_state)
{
        cleanup_free char *text = NULL;
        size_t size;
        json_t *json = NULL;
        *ret_state = NULL;
        int r = path_read_at(box_fd, name, STATE_SIZE_MAX, &text, &size);
        if (r == 0)
                r = json_parse(text, size, STATE_NAME, &json, NULL);
        if (r == 0 && json_is_object(json)) {
                *ret_state = json;
                return 0;
        }
        json_decref(json);
        return r == -ENOENT || r == -EBADMSG || r == -EFBIG ? 0 : r;
}

static bool has_ended(const json_t *state, int *ret_exit_code)
{
        const char *text;
        int64_t code;
        struct error err = ERROR_INIT;
        if (json_get_string(state, "state", &text, &err) < 0 ||
            (strcmp(text, "exited") != 0 && strcmp(text, "failed") != 0))
                return false;
        bool has_code = json_get_integer(state, "exit_code", 0, 255, &code, &err) == 0;
        *ret_exit_code = has_code ? (int)code : 125;
        return true;
}

/* What a box whose lock is held does, by its own word. */
static enum life life_of_held(const json_t *state, int *ret_exit_code)
{
        const char *text = json_string_value(json_object_get(state, "state"));
        int64_t code;
        if (text != NULL && strcmp(text, "paused") == 0)
                return LIFE_PAUSED;
        if (text == NULL || strcmp(text, "restarting") != 0)
                return LIFE_RUNNING;
        if (json_get_integer(state, "exit_code", 0, 255, &code, NULL) == 0)
                *ret_exit_code = (int)code;
        return LIFE_RESTARTING;
}

/* Whether the state was written before this boot of the host. */
static bool is_of_an_earlier_boot(const json_t *state)
{
        const char *boot = json_string_value(json_object_get(json_object_get(state, "monitor"), "boot_id"));
        char here[37];
        return boot != NULL && process_boot_id(here) == 0 && strcmp(boot, here) != 0;
}

void life_read(int box_fd, bool was_started, struct life_report *ret_report)
{
        struct life_report report = {.exit_code = -1};
        /* the lock first: a state read after the lock was seen free is the last one */
        int look = life_look(box_fd, NULL);
        bool held = look != 0;
        struct stat st;
        bool kept = !held && fstatat(box_fd, LIFE_KEPT_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!held && !kept && errno != ENOENT)
                look = -errno;
        int unread = read_state(box_fd, kept ? LIFE_KEPT_NAME : STATE_NAME, &report.state);
        if (kept && report.state != NULL && json_object_size(report.state) == 0) {
                json_decref(report.state); /* it was never started */
                report.state = NULL;
        }
        if (report.state != NULL && has_ended(report.state, &report.exit_code))
                report.life = LIFE_EXITED; /* if the lock is held, the monitor is on its way out */
        else if (held)
                report.life = life_of_held(report.state, &report.exit_code);
        else if (is_of_an_earlier_boot(report.state))
                report = (struct life_report){.life = LIFE_EXITED,
                                              .exit_code = KILLED,
                                              .why = "the host went down while the box ran",
                                              .state = report.state};
        else if (was_started || report.state != NULL)
                report = (struct life_report){.life = LIFE_DEAD,
                                              .exit_code = KILLED,
                                              .why = unread < 0 ? "its state cannot be read"
                                                                : "the box's monitor was killed",
                                              .state = report.state};
        else
                report.life = LIFE_CREATED;
        report.error = look < 0 ? look : unread;
        *ret_report = report;
}

int life_check_answers(int box_fd, struct error *err)
{
        cleanup_json json_t *state = NULL;
        int code;
        int r = read_state(box_fd, STATE_NAME, &state);
        if (r < 0)
                return error_errno(err, r, "read the state of the box");
        switch (life_of_held(state, &code)) {
        case LIFE_PAUSED:
                return error_set(err, -EBUSY, "it is paused: unpause it first");
        case LIFE_RESTARTING:
                return error_set(err, -EBUSY,
                                 "it has ended and is about to be restarted: wait until it runs");
        default:
                return 0;
        }
}

void life_report_done(struct life_report *report)
{
        json_decref(report->state);
        report->state = NULL;
}
