/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template is made in the folder `new`, under a lock, and gets its name when it is whole. Whoever finds the
 * lock taken does not wait. What cannot be made leaves a folder with its reason in `failed`, and is tried
 * again after a while. Nothing is flushed to the disk: after a crash of the host the key is another.
 */
#include "runtime/template.h"

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"
#include "wire/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define NEW_NAME      "new"
#define LOCK_NAME     "lock"
#define KEY_MAX       1024
#define PACKET_MAX    4096
#define MAKE_MS       20000
#define TRY_AGAIN_S   600
#define CHILD_CONFIG  3
#define CHILD_MONITOR 4
#define CHILD_KERNEL  5
#define CHILD_INITRD  6
#define CHILD_CONSOLE 7
#define CHILD_MEMORY  8
#define CHILD_STATE   9

/* ---- what a template depends on ---- */

/* " device inode size time" of a file. */
static int add_file(char key[KEY_MAX], const char *path)
{
        struct stat st;
        size_t used = strlen(key);
        if (stat(path, &st) < 0)
                return -errno;
        int n = snprintf(key + used, KEY_MAX - used, " %jx:%jx %jd %jd.%09ld", (uintmax_t)st.st_dev,
                         (uintmax_t)st.st_ino, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                         st.st_mtim.tv_nsec);
        return n > 0 && (size_t)n < KEY_MAX - used ? 0 : -E2BIG;
}

static int make_key(const struct template_machine *m, char key[KEY_MAX])
{
        int r = process_boot_id(key);
        const char *const files[] = {m->vmm, m->qemu, m->kernel, m->agent};
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && r == 0; i++)
                r = add_file(key, files[i]);
        return r;
}

static int make_name(const struct template_machine *m, char *name, size_t size)
{
        struct stat st;
        if (stat(m->kernel, &st) < 0)
                return -errno;
        int n = snprintf(name, size, "%" PRId64 "-%" PRId64 "k-%jx", m->cpus, m->memory_bytes / 1024,
                         (uintmax_t)st.st_ino);
        return n > 0 && (size_t)n < size ? 0 : -E2BIG;
}

enum found { FOUND_NONE, FOUND_WHOLE, FOUND_FAILED };

/* Notes that it is used, too: the one that was not for longest makes room for another. */
static enum found look(int templates_fd, const char *name, const char *key)
{
        cleanup_free char *known = NULL;
        size_t size;
        struct stat st;
        cleanup_fd int fd = openat(templates_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || path_read_at(fd, "key", KEY_MAX, &known, &size) < 0 || strcmp(known, key) != 0)
                return FOUND_NONE;
        if (fstatat(fd, "failed", &st, AT_SYMLINK_NOFOLLOW) == 0)
                return time(NULL) - st.st_mtime < TRY_AGAIN_S ? FOUND_FAILED : FOUND_NONE;
        (void)futimens(fd, NULL); /* it only orders them */
        return faccessat(fd, TEMPLATE_STATE, R_OK, 0) == 0 ? FOUND_WHOLE : FOUND_NONE;
}

/* ---- what there is ---- */

/* Calls fn for each but one in the making. */
static void each(int templates_fd, void (*fn)(int folder_fd, const char *name, void *data), void *data)
{
        int fd = openat(templates_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *folder = fd < 0 ? NULL : fdopendir(fd);
        if (folder == NULL) {
                close_fd(&fd);
                return;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
                cleanup_fd int one = -1;
                if (entry->d_name[0] == '.' || strcmp(entry->d_name, NEW_NAME) == 0)
                        continue;
                one = openat(templates_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (one >= 0)
                        fn(one, entry->d_name, data);
        }
}

/* ---- making one ---- */

struct maker {
        int folder_fd, memory, state, console, log, kernel, initrd;
        int socket, pidfd;
};

static void maker_done(struct maker *m)
{
        int code;
        if (m->pidfd >= 0) {
                (void)process_signal(m->pidfd, SIGKILL); /* gone already is fine */
                (void)process_wait(m->pidfd, &code);     /* how it ended is known */
        }
        int *const fds[] = {&m->folder_fd, &m->memory, &m->state,  &m->console, &m->log,
                            &m->kernel,    &m->initrd, &m->socket, &m->pidfd};
        for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
                close_fd(fds[i]);
}

static int make_file(const struct maker *m, const char *name, int *ret_fd, struct error *err)
{
        *ret_fd = openat(m->folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return *ret_fd < 0 ? error_errno(err, -errno, "make the file '%s'", name) : 0;
}

static int open_all(struct maker *m, const struct template_machine *machine, struct error *err)
{
        int r = make_file(m, TEMPLATE_MEMORY, &m->memory, err);
        if (r == 0)
                r = make_file(m, TEMPLATE_STATE, &m->state, err);
        if (r == 0)
                r = make_file(m, "console", &m->console, err);
        if (r == 0)
                r = make_file(m, "log", &m->log, err);
        if (r < 0)
                return r;
        m->kernel = open(machine->kernel, O_RDONLY | O_CLOEXEC);
        m->initrd = open(machine->agent, O_RDONLY | O_CLOEXEC);
        if (m->kernel < 0 || m->initrd < 0)
                return error_errno(err, -errno, "open the kernel and the agent");
        return ftruncate(m->memory, (off_t)machine->memory_bytes) < 0
                   ? error_errno(err, -errno, "make room for the memory")
                   : 0;
}

/* The document of docs/protocol.md, section 2. */
static int describe(const struct template_machine *machine, int *ret_fd, struct error *err)
{
        cleanup_json json_t *json =
            json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:s, s:{s:b, s:i, s:i}}", "engine",
                      "qemu", "accel", "tcg", "cpus", (json_int_t)machine->cpus, "memory_bytes",
                      (json_int_t)machine->memory_bytes, "kernel_fd", CHILD_KERNEL, "initrd_fd", CHILD_INITRD,
                      "console_fd", CHILD_CONSOLE, "monitor_fd", CHILD_MONITOR, "log_fd", 2, "qemu",
                      machine->qemu, "template", "make", 1, "memory_fd", CHILD_MEMORY, "state_fd",
                      CHILD_STATE);
        size_t size;
        cleanup_free char *text = json == NULL ? NULL : json_print(json, &size);
        if (text == NULL)
                return error_set(err, -ENOMEM, "out of memory");
        int r = fd_of_bytes("machine", text, size, ret_fd);
        return r < 0 ? error_errno(err, r, "describe the machine") : 0;
}

static int spawn(struct maker *m, const struct template_machine *machine, struct error *err)
{
        static const char *const argv[] = {"boxlet-vmm", "--config-fd", "3", NULL};
        cleanup_fd int config = -1;
        int pair[2];
        int r = describe(machine, &config, err);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(err, -errno, "make a socket");
        m->socket = pair[0];
        cleanup_fd int theirs = pair[1];
        const struct process_fd fds[] = {{config, CHILD_CONFIG},      {theirs, CHILD_MONITOR},
                                         {m->kernel, CHILD_KERNEL},   {m->initrd, CHILD_INITRD},
                                         {m->console, CHILD_CONSOLE}, {m->memory, CHILD_MEMORY},
                                         {m->state, CHILD_STATE},     {m->log, 2}};
        const struct process_plan plan = {.path = machine->vmm,
                                          .argv = argv,
                                          .fds = fds,
                                          .fd_count = sizeof(fds) / sizeof(fds[0]),
                                          .parent_death_signal = SIGKILL,
                                          .working_dir_fd = -1,
                                          .hidden = true};
        pid_t pid;
        return process_spawn(&plan, &pid, &m->pidfd, err);
}

/* One packet: 1 when the template is made, 0 for others. */
static int judge(const char *bytes, size_t size, struct error *err)
{
        cleanup_json json_t *json = NULL;
        int r = json_parse(bytes, size, "packet of boxlet-vmm", &json, err);
        if (r < 0 || strcmp(json_text(json, "event"), "ended") != 0)
                return r;
        if (strcmp(json_text(json, "reason"), "template-made") == 0)
                return 1;
        return error_set(err, -EIO, "%s: %s", json_text(json, "reason"), json_text(json, "detail"));
}

static int await(const struct maker *m, struct error *err)
{
        int64_t deadline = clock_monotonic_ms() + MAKE_MS;
        for (int r = 0;;) {
                char bytes[PACKET_MAX];
                struct pollfd p = {.fd = m->socket, .events = POLLIN};
                int64_t left = deadline - clock_monotonic_ms();
                int n = poll(&p, 1, left > 0 ? (int)left : 0);
                if (n == 0)
                        return error_set(err, -ETIMEDOUT, "it did not come so far in %d s", MAKE_MS / 1000);
                ssize_t got = n < 0 ? -1 : recv(m->socket, bytes, sizeof(bytes), 0);
                if (got < 0 && errno != EINTR)
                        return error_errno(err, -errno, "listen to boxlet-vmm");
                if (got == 0)
                        return error_set(err, -EIO, "boxlet-vmm ended without a word");
                if (got > 0 && (r = judge(bytes, (size_t)got, err)) != 0)
                        return r < 0 ? r : 0;
        }
}

static int make_whole(int folder_fd, const struct template_machine *machine, struct error *err)
{
        struct maker m = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
        m.folder_fd = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);
        int r = m.folder_fd < 0 ? error_errno(err, -errno, "open its folder") : open_all(&m, machine, err);
        if (r == 0)
                r = spawn(&m, machine, err);
        if (r == 0)
                r = await(&m, err);
        maker_done(&m);
        return r;
}

static int leave_reason(int folder_fd, const struct error *why)
{
        (void)unlinkat(folder_fd, TEMPLATE_MEMORY, 0); /* room is all that is lost */
        (void)unlinkat(folder_fd, TEMPLATE_STATE, 0);
        cleanup_fd int fd = openat(folder_fd, "failed", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : fd_write_full(fd, why->text, strlen(why->text));
}

struct oldest {
        char name[256];
        struct timespec used;
        unsigned count;
};

static void find_oldest(int folder_fd, const char *name, void *data)
{
        struct oldest *o = data;
        struct stat st;
        if (fstat(folder_fd, &st) < 0)
                return;
        if (o->count++ == 0 || st.st_mtim.tv_sec < o->used.tv_sec ||
            (st.st_mtim.tv_sec == o->used.tv_sec && st.st_mtim.tv_nsec < o->used.tv_nsec)) {
                (void)snprintf(o->name, sizeof(o->name), "%s", name);
                o->used = st.st_mtim;
        }
}

/* Removes those that were not used for longest, until there is room for one. */
static void make_room(int templates_fd)
{
        struct oldest o;
        do {
                o = (struct oldest){.count = 0};
                each(templates_fd, find_oldest, &o);
        } while (o.count >= TEMPLATES_MAX && path_remove_all_at(templates_fd, o.name) == 0);
}

/* With the lock. True if a whole one is there afterwards. */
static bool make(int templates_fd, const char *name, const char *key, const struct template_machine *machine)
{
        struct error err = ERROR_INIT;
        if (path_remove_all_at(templates_fd, NEW_NAME) < 0)
                return false;
        cleanup_fd int fd = path_open_dir_at(templates_fd, NEW_NAME, 0700);
        cleanup_fd int key_fd =
            fd < 0 ? -1 : openat(fd, "key", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (key_fd < 0 || fd_write_full(key_fd, key, strlen(key)) < 0)
                return false;
        int r = make_whole(fd, machine, &err);
        bool kept = r == 0 || leave_reason(fd, &err) == 0;
        if (path_remove_all_at(templates_fd, name) == 0) {
                make_room(templates_fd);
                kept = kept && renameat(templates_fd, NEW_NAME, templates_fd, name) == 0;
        }
        if (!kept)
                (void)path_remove_all_at(templates_fd, NEW_NAME); /* the next one tries again */
        return r == 0 && kept;
}

static bool make_unless_busy(int templates_fd, const char *name, const char *key,
                             const struct template_machine *machine)
{
        cleanup_fd int lock =
            openat(templates_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
                return false;
        enum found found = look(templates_fd, name, key); /* it may have been made meanwhile */
        return found == FOUND_NONE ? make(templates_fd, name, key, machine) : found == FOUND_WHOLE;
}

char *template_get(const char *home, int home_fd, const struct template_machine *machine)
{
        char key[KEY_MAX], name[128], *path;
        cleanup_fd int fd = path_open_dir_at(home_fd, TEMPLATES_FOLDER, 0700);
        if (fd < 0 || make_key(machine, key) < 0 || make_name(machine, name, sizeof(name)) < 0)
                return NULL;
        enum found found = look(fd, name, key);
        if (found == FOUND_FAILED || (found == FOUND_NONE && !make_unless_busy(fd, name, key, machine)))
                return NULL;
        return asprintf(&path, "%s/" TEMPLATES_FOLDER "/%s", home, name) < 0 ? NULL : path;
}

int template_collect(int home_fd, bool repair)
{
        struct stat st;
        cleanup_fd int fd = openat(home_fd, TEMPLATES_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_fd int lock = fd < 0 ? -1 : openat(fd, LOCK_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || lock < 0)
                return errno == ENOENT ? 0 : -errno;
        if (flock(lock, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 0 : -errno; /* that: one is being made */
        if (fstatat(fd, NEW_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        int r = repair ? path_remove_all_at(fd, NEW_NAME) : 0;
        return r < 0 ? r : 1;
}

struct total {
        size_t count;
        uint64_t bytes;
};

static void add_one(int folder_fd, const char *name, void *data)
{
        static const char *const files[] = {TEMPLATE_MEMORY, TEMPLATE_STATE};
        struct total *t = data;
        struct stat st;
        (void)name;
        t->count += faccessat(folder_fd, TEMPLATE_STATE, F_OK, 0) == 0;
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                t->bytes += fstatat(folder_fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0
                                ? (uint64_t)st.st_blocks * 512
                                : 0;
}

void template_sum(int home_fd, size_t *ret_count, uint64_t *ret_bytes)
{
        struct total t = {0};
        cleanup_fd int fd = openat(home_fd, TEMPLATES_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                each(fd, add_one, &t);
        *ret_count = t.count;
        *ret_bytes = t.bytes;
}

static void read_reason(int folder_fd, const char *name, void *data)
{
        struct error *reason = data;
        cleanup_free char *text = NULL;
        size_t size;
        struct stat st;
        (void)name;
        if (fstatat(folder_fd, "failed", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            time(NULL) - st.st_mtime < TRY_AGAIN_S &&
            path_read_at(folder_fd, "failed", ERROR_TEXT_MAX, &text, &size) == 0)
                (void)error_set(reason, -EIO, "%s", text);
}

void template_complaint(int home_fd, char *text, size_t size)
{
        struct error reason = ERROR_INIT;
        cleanup_fd int fd = openat(home_fd, TEMPLATES_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                each(fd, read_reason, &reason);
        (void)snprintf(text, size, "%s", reason.text); /* cut if too long */
}
