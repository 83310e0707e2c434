/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake-boxlet.h. A process is an eventfd that is always readable while there is something to do: dispatch
 * plays one step of its script.
 */
#include "fake-boxlet.h"

#include "harness.h"

#include "base/cleanup.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake fake;
char fake_stdout[FAKE_TEXT_MAX], fake_stderr[FAKE_TEXT_MAX];

struct boxlet {
        int unused;
};
struct boxlet_box {
        char name[256];
};
struct boxlet_process {
        int fd;
        struct boxlet_process_events events;
        bool started, paused, printed, complained, ended;
        size_t echoed;
        int signal;
};

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* `stop` calls from several threads */
        va_list args;
        (void)pthread_mutex_lock(&lock);
        size_t used = strlen(fake.calls);
        va_start(args, format);
        (void)vsnprintf(fake.calls + used, sizeof(fake.calls) - used, format, args);
        va_end(args);
        used = strlen(fake.calls);
        (void)snprintf(fake.calls + used, sizeof(fake.calls) - used, "\n");
        (void)pthread_mutex_unlock(&lock);
}

static void note_list(const char *what, const char *const *list)
{
        for (size_t i = 0; list != NULL && list[i] != NULL; i++)
                note(" %s[%zu]=%s", what, i, list[i]);
}

static void note_text(const char *what, const char *text)
{
        if (text != NULL)
                note(" %s=%s", what, text);
}

static void note_number(const char *what, int64_t number, int64_t usual)
{
        if (number != usual)
                note(" %s=%lld", what, (long long)number);
}

void fake_reset(void)
{
        memset(&fake, 0, sizeof(fake));
        fake.state = "running";
        fake.list = "[]";
        fake.inspect = "{\"Config\":{\"Tty\":false}}";
}

/* ---- running the program ---- */

static int catch_output(int fd, int *ret_saved)
{
        int file = memfd_create("caught", MFD_CLOEXEC);
        *ret_saved = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        assert_true(file >= 0 && *ret_saved >= 0);
        assert_int_equal(dup2(file, fd), fd);
        return file;
}

static void release_output(int fd, int saved, int file, char *text)
{
        assert_int_equal(dup2(saved, fd), fd);
        ssize_t n = pread(file, text, FAKE_TEXT_MAX - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        (void)close(saved);
        (void)close(file);
}

int fake_run_words(const char *const *words)
{
        int count = 0, out, err;
        char *argv[64] = {(char *)"boxlet"};
        while (words[count] != NULL && count < 62) {
                argv[count + 1] = (char *)words[count];
                count++;
        }
        (void)fflush(NULL);
        int out_file = catch_output(STDOUT_FILENO, &out), err_file = catch_output(STDERR_FILENO, &err);
        int code = cli_main(count + 1, argv);
        (void)fflush(NULL);
        release_output(STDERR_FILENO, err, err_file, fake_stderr);
        release_output(STDOUT_FILENO, out, out_file, fake_stdout);
        return code;
}

int fake_run(const char *words)
{
        cleanup_free char *copy = strdup(words);
        const char *list[64] = {0};
        size_t count = 0;
        for (char *word = strtok(copy, " "); word != NULL && count < 62; word = strtok(NULL, " "))
                list[count++] = word;
        return fake_run_words(list);
}

/* ---- the library ---- */

const char *boxlet_version(void)
{
        return "9.8.7";
}

void boxlet_free(void *memory)
{
        free(memory);
}

int boxlet_open(const struct boxlet_options *options, struct boxlet **ret_boxlet, struct boxlet_error *error)
{
        (void)options;
        (void)error;
        *ret_boxlet = calloc(1, sizeof(**ret_boxlet));
        return 0;
}

void boxlet_close(struct boxlet *boxlet)
{
        free(boxlet);
}

int boxlet_info(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error)
{
        *ret_json = strdup("{\"Version\":\"9.8.7\",\"Engines\":{\"qemu\":{\"Usable\":true}}}");
        return 0;
}

static struct boxlet_image *make_image(const char *reference)
{
        static const char *const labels[] = {"a=b", NULL};
        struct boxlet_image *image = calloc(1, sizeof(*image));
        *image =
            (struct boxlet_image){sizeof(*image), reference, "sha256:0123456789abcdef0123", "sha256:feed", 0,
                                  7050000,        labels};
        return image;
}

void boxlet_image_free(struct boxlet_image *image)
{
        free(image);
}

int boxlet_image_pull(struct boxlet *boxlet, const char *reference,
                      const struct boxlet_image_options *options, struct boxlet_image **ret_image,
                      struct boxlet_error *error)
{
        struct boxlet_progress layer = {
            sizeof(layer), BOXLET_PROGRESS_LAYER, "sha256:aaaabbbbccccdddd", NULL, 5, 10};
        note("pull %s", reference);
        note_text("platform", options->platform);
        if (options->progress(&layer, options->progress_data) != 0)
                return -ECANCELED;
        layer.done = 10;
        (void)options->progress(&layer, options->progress_data);
        *ret_image = make_image("docker.io/library/alpine:3.19");
        return 0;
}

int boxlet_image_get(struct boxlet *boxlet, const char *reference_or_id, struct boxlet_image **ret_image,
                     struct boxlet_error *error)
{
        return -ENOENT;
}

int boxlet_image_list(struct boxlet *boxlet, struct boxlet_image ***ret_images, struct boxlet_error *error)
{
        struct boxlet_image **images = calloc(4, sizeof(*images));
        images[0] = make_image("docker.io/library/alpine:3.19");
        images[1] = make_image("localhost:5000/team/app@sha256:feed");
        images[2] = make_image("");
        *ret_images = images;
        return 0;
}

void boxlet_image_list_free(struct boxlet_image **images)
{
        for (size_t i = 0; images[i] != NULL; i++)
                free(images[i]);
        free(images);
}

int boxlet_image_load(struct boxlet *boxlet, int fd, const char *path,
                      const struct boxlet_image_options *options, char **ret_names,
                      struct boxlet_error *error)
{
        note("load %s", path != NULL ? path : "fd");
        *ret_names = strdup("docker.io/library/a:1\nsha256:12\n");
        return 0;
}

int boxlet_image_save(struct boxlet *boxlet, const char *const *references, size_t count, const char *format,
                      int fd, const struct boxlet_image_options *options, struct boxlet_error *error)
{
        note("save %s %zu", format, count);
        note_list("image", references);
        assert_int_equal(write(fd, "archive", 7), 7);
        if (fake.failure != NULL) {
                (void)snprintf(error->text, sizeof(error->text), "%s", fake.failure);
                return error->code = -ENOSPC;
        }
        return 0;
}

int boxlet_image_import(struct boxlet *boxlet, int fd, const char *path, const char *reference,
                        const char *const *changes, const struct boxlet_image_options *options, char **ret_id,
                        struct boxlet_error *error)
{
        note("import %s", path != NULL ? path : "fd");
        note_text("reference", reference);
        note_list("change", changes);
        *ret_id = strdup("sha256:0123");
        return 0;
}

int boxlet_image_tag(struct boxlet *boxlet, const char *source, const char *target,
                     struct boxlet_error *error)
{
        note("tag %s %s", source, target);
        return 0;
}

int boxlet_image_remove(struct boxlet *boxlet, const char *reference_or_id, int force, char **ret_report,
                        struct boxlet_error *error)
{
        note("rmi %s %d", reference_or_id, force);
        *ret_report = strdup("Untagged: x\n");
        return 0;
}

int boxlet_image_prune(struct boxlet *boxlet, int all, uint64_t *ret_freed_bytes, char **ret_report,
                       struct boxlet_error *error)
{
        note("prune %d", all);
        *ret_freed_bytes = 1500000;
        *ret_report = strdup("");
        return 0;
}

int boxlet_volume_create(struct boxlet *boxlet, const char *name, const struct boxlet_volume_options *options,
                         char **ret_name, struct boxlet_error *error)
{
        note("volume create %s size=%llu", name != NULL ? name : "-",
             (unsigned long long)options->size_bytes);
        note_list("labels", options->labels);
        *ret_name = strdup(name != NULL ? name : "made-up");
        return 0;
}

#define VOLUME                                                                                            \
        "{\"Name\": \"data\", \"Driver\": \"local\", \"Size\": 1048576, \"Allocated\": 4096, \"Boxes\": " \
        "[\"a\", \"b\", \"c\", \"d\", \"e\"]}"

int boxlet_volume_list(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error)
{
        *ret_json = strdup("[" VOLUME "]");
        return 0;
}

int boxlet_volume_inspect(struct boxlet *boxlet, const char *name, char **ret_json,
                          struct boxlet_error *error)
{
        note("volume inspect %s", name);
        *ret_json = strdup(VOLUME);
        return 0;
}

int boxlet_volume_remove(struct boxlet *boxlet, const char *name, int force, struct boxlet_error *error)
{
        note("volume rm %s %d", name, force);
        if (strcmp(name, "busy") != 0)
                return 0;
        (void)snprintf(error->text, sizeof(error->text), "remove volume 'busy': box 'b' refers to it");
        return error->code = -EBUSY;
}

int boxlet_volume_prune(struct boxlet *boxlet, int all, uint64_t *ret_freed_bytes, char **ret_report,
                        struct boxlet_error *error)
{
        note("volume prune %d", all);
        *ret_freed_bytes = 1500000;
        *ret_report = strdup("data\n");
        return 0;
}

int boxlet_snapshot_create(struct boxlet_box *box, const struct boxlet_snapshot_options *options,
                           char **ret_name, struct boxlet_error *error)
{
        note("snapshot create %s %s timeout=%lld", box->name, options->name != NULL ? options->name : "-",
             (long long)options->timeout_ms);
        *ret_name = strdup(options->name != NULL ? options->name : "made-up");
        return 0;
}

int boxlet_snapshot_list(struct boxlet *boxlet, const char *box, char **ret_json, struct boxlet_error *error)
{
        note("snapshot ls %s", box != NULL ? box : "-");
        *ret_json = strdup(
            "[{\"Box\": \"web\", \"Name\": \"one\", \"CreatedAt\": \"2026-01-31T00:00:00Z\", \"Size\": "
            "1048576, \"Allocated\": 4096}]");
        return 0;
}

int boxlet_snapshot_restore(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        note("snapshot restore %s %s", box->name, name);
        return 0;
}

int boxlet_snapshot_remove(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        note("snapshot rm %s %s", box->name, name);
        if (strcmp(name, "none") != 0)
                return 0;
        (void)snprintf(error->text, sizeof(error->text), "it has no snapshot 'none'");
        return error->code = -ENOENT;
}

int boxlet_box_clone(struct boxlet_box *box, const struct boxlet_clone_options *o,
                     struct boxlet_box **ret_box, struct boxlet_error *error)
{
        note("clone %s", box->name);
        note_text("name", o->name);
        note_text("snapshot", o->snapshot);
        note_number("timeout", o->timeout_ms, 0);
        *ret_box = calloc(1, sizeof(**ret_box));
        (void)snprintf((*ret_box)->name, sizeof((*ret_box)->name), "clone");
        return 0;
}

int boxlet_box_save(struct boxlet_box *box, int fd, const struct boxlet_box_save_options *o,
                    struct boxlet_error *error)
{
        note("save-box %s image=%d", box->name, o->with_image);
        note_number("timeout", o->timeout_ms, 0);
        if (write(fd, "a box\n", 6) != 6)
                return error->code = -EIO;
        if (strcmp(box->name, "half") != 0)
                return 0;
        (void)snprintf(error->text, sizeof(error->text), "no room");
        return error->code = -ENOSPC;
}

int boxlet_box_load(struct boxlet *boxlet, int fd, const struct boxlet_box_load_options *o,
                    struct boxlet_box **ret_box, struct boxlet_error *error)
{
        char text[64] = {0};
        if (read(fd, text, sizeof(text) - 1) < 0)
                return error->code = -errno;
        note("load-box '%.5s' trusted=%d", text, o->trusted);
        note_text("name", o->name);
        *ret_box = calloc(1, sizeof(**ret_box));
        (void)snprintf((*ret_box)->name, sizeof((*ret_box)->name), "loaded");
        return 0;
}

int boxlet_system_usage(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error)
{
        static const char text[] =
            "[{\"Type\": \"Images\", \"Total\": 2, \"Active\": 1, \"Size\": 4000000, \"Reclaimable\": "
            "1000000},"
            "{\"Type\": \"Boxes\", \"Total\": 0, \"Active\": 0, \"Size\": 0, \"Reclaimable\": 0}]";
        *ret_json = strdup(text);
        return 0;
}

int boxlet_system_check(struct boxlet *boxlet, int repair, char **ret_json, struct boxlet_error *error)
{
        note("check %d", repair);
        *ret_json = strdup(
            fake.missing ? "[]"
                         : "[{\"Kind\": \"box\", \"Item\": \"a\", \"Problem\": \"gone\", \"Repaired\": true},"
                           "{\"Kind\": \"image\", \"Item\": \"b\", \"Problem\": \"damaged\", "
                           "\"Repaired\": false}]");
        return 0;
}

int boxlet_doctor(const struct boxlet_options *options, char **ret_json, struct boxlet_error *error)
{
        *ret_json =
            strdup(fake.missing
                       ? "[{\"Check\": \"KVM\", \"Status\": \"ok\", \"Text\": \"serves\", \"Remedy\": null}]"
                       : "[{\"Check\": \"KVM\", \"Status\": \"note\", \"Text\": \"no\", \"Remedy\": \"try\"},"
                         "{\"Check\": \"passt\", \"Status\": \"missing\", \"Text\": \"gone: apt\", "
                         "\"Remedy\": \"see there\"}]");
        return 0;
}

int boxlet_image_inspect(struct boxlet *boxlet, const char *reference_or_id, char **ret_json,
                         struct boxlet_error *error)
{
        (void)snprintf(error->text, sizeof(error->text), "there is no image '%s'", reference_or_id);
        return error->code = -ENOENT;
}

int boxlet_box_create(struct boxlet *boxlet, const struct boxlet_box_options *o, struct boxlet_box **ret_box,
                      struct boxlet_error *error)
{
        note("create image=%s", o->image);
        note_text("name", o->name);
        note_list("command", o->command);
        note_text("entrypoint", o->entrypoint);
        note_list("env", o->env);
        note_text("user", o->user);
        note_text("working_dir", o->working_dir);
        note_text("hostname", o->hostname);
        note_list("publish", o->publish);
        note_text("network", o->network);
        note_number("debug_console", o->debug_console, 0);
        note_text("jail", o->jail);
        note_number("cpus", o->cpus, 0);
        note_number("nano_cpus", (int64_t)o->nano_cpus, 0);
        note_number("pids_limit", o->pids_limit, 0);
        note_number("memory", (int64_t)o->memory_bytes, 0);
        note_number("disk", (int64_t)o->disk_bytes, 0);
        note_text("engine", o->engine);
        note_text("kernel", o->kernel);
        note_list("tmpfs", o->tmpfs);
        note_list("ulimit", o->ulimits);
        note_list("cap_add", o->cap_add);
        note_list("cap_drop", o->cap_drop);
        note_list("label", o->labels);
        note_text("stop_signal", o->stop_signal);
        note_number("stop_timeout", o->stop_timeout_ms, -1);
        note_number("terminal", o->terminal, 0);
        note_number("stdin", o->stdin_open, 0);
        note_number("read_only", o->read_only, 0);
        note_number("init", o->init, 0);
        note_number("auto_remove", o->auto_remove, 0);
        note_number("pull", o->pull, BOXLET_PULL_MISSING);
        note_list("annotation", o->annotations);
        note_text("pid_file", o->pid_file);
        note_number("log_file_bytes", (int64_t)o->log_file_bytes, 0);
        note_number("log_files", o->log_files, 0);
        note_text("restart", o->restart);
        note_number("stop_after", o->stop_after_ms, 0);
        note_number("idle_stop", o->idle_stop_ms, 0);
        note_text("health_cmd", o->health_cmd);
        note_number("health_interval", o->health_interval_ms, 0);
        note_number("health_timeout", o->health_timeout_ms, 0);
        note_number("health_start_period", o->health_start_period_ms, 0);
        note_number("health_start_interval", o->health_start_interval_ms, 0);
        note_number("health_retries", o->health_retries, 0);
        note_number("no_health", o->no_health, 0);
        assert_int_equal(o->size, sizeof(*o));
        if (fake.create_failure != NULL) {
                (void)snprintf(error->text, sizeof(error->text), "%s", fake.create_failure);
                return error->code = -EIO;
        }
        *ret_box = calloc(1, sizeof(**ret_box));
        return 0;
}

int boxlet_box_get(struct boxlet *boxlet, const char *name_or_id, struct boxlet_box **ret_box,
                   struct boxlet_error *error)
{
        if (fake.missing) {
                (void)snprintf(error->text, sizeof(error->text), "there is no box '%s'", name_or_id);
                return error->code = -ENOENT;
        }
        *ret_box = calloc(1, sizeof(**ret_box));
        (void)snprintf((*ret_box)->name, sizeof((*ret_box)->name), "%s", name_or_id);
        return 0;
}

void boxlet_box_free(struct boxlet_box *box)
{
        free(box);
}

const char *boxlet_box_id(const struct boxlet_box *box)
{
        return "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
}

const char *boxlet_box_name(const struct boxlet_box *box)
{
        return box->name;
}

const char *boxlet_box_state(struct boxlet_box *box, int *ret_exit_code)
{
        if (ret_exit_code != NULL)
                *ret_exit_code = strcmp(fake.state, "exited") == 0 ? fake.exit_code : -1;
        return fake.state;
}

int boxlet_box_inspect(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        *ret_json = strdup(fake.inspect);
        return 0;
}

int boxlet_box_list(struct boxlet *boxlet, int all, char **ret_json, struct boxlet_error *error)
{
        note("list %d", all);
        *ret_json = strdup(fake.list);
        return 0;
}

static struct boxlet_process *make_process(void)
{
        struct boxlet_process *process = calloc(1, sizeof(*process));
        process->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        return process;
}

int boxlet_box_start(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                     struct boxlet_error *error)
{
        note("start %s %u", box->name, flags);
        if (ret_process != NULL)
                *ret_process = make_process();
        return 0;
}

int boxlet_box_attach(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                      struct boxlet_error *error)
{
        note("attach %s %u", box->name, flags);
        *ret_process = make_process();
        return 0;
}

int boxlet_box_stop(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error)
{
        note("stop %s %lld", box->name, (long long)timeout_ms);
        return 0;
}

int boxlet_box_shutdown(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error)
{
        note("shutdown %s %lld", box->name, (long long)timeout_ms);
        return 0;
}

int boxlet_box_restart(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_process **ret_process,
                       struct boxlet_error *error)
{
        note("restart %s %lld", box->name, (long long)timeout_ms);
        *ret_process = make_process();
        return 0;
}

int boxlet_box_pause(struct boxlet_box *box, struct boxlet_error *error)
{
        note("pause %s", box->name);
        return 0;
}

int boxlet_box_unpause(struct boxlet_box *box, struct boxlet_error *error)
{
        note("unpause %s", box->name);
        return 0;
}

int boxlet_box_rename(struct boxlet_box *box, const char *name, struct boxlet_error *error)
{
        note("rename %s %s", box->name, name);
        return 0;
}

int boxlet_box_update(struct boxlet_box *box, const struct boxlet_box_update *changes,
                      struct boxlet_error *error)
{
        note("update %s", box->name);
        note_text("restart", changes->restart);
        note_number("cpus", changes->cpus, 0);
        note_number("memory", (int64_t)changes->memory_bytes, 0);
        assert_int_equal(changes->size, sizeof(*changes));
        return 0;
}

/* Every second box wants it. */
int boxlet_box_wants_start(struct boxlet_box *box, struct boxlet_error *error)
{
        static unsigned asked;
        return asked++ % 2 == 0;
}

int boxlet_box_kill(struct boxlet_box *box, int signal, struct boxlet_error *error)
{
        note("kill %s %d", box->name, signal);
        return 0;
}

int boxlet_box_remove(struct boxlet_box *box, int force, struct boxlet_error *error)
{
        note("rm %s %d", box->name, force);
        return 0;
}

int boxlet_box_logs(struct boxlet_box *box, const struct boxlet_log_options *options, boxlet_log_fn fn,
                    void *data, struct boxlet_error *error)
{
        note("logs %s since=%lld tail=%lld follow=%d", box->name, (long long)options->since_ns,
             (long long)options->tail, options->follow);
        note_number("until", options->until_ns, 0);
        if (fn(1, 1000000000, "one\ntwo", 7, data) != 0 || fn(1, 2000000000, " more\n", 6, data) != 0 ||
            fn(2, 3000000000, "bad\n", 4, data) != 0)
                return 0;
        return 0;
}

int boxlet_events(struct boxlet *boxlet, const struct boxlet_event_options *options, boxlet_event_fn fn,
                  void *data, struct boxlet_error *error)
{
        note("events since=%lld until=%lld follow=%d", (long long)options->since_ns,
             (long long)options->until_ns, options->follow);
        for (const char *const *event = fake.events; event != NULL && *event != NULL; event++) {
                if (fn(*event, data) != 0)
                        return 0;
        }
        return 0;
}

int boxlet_box_console(struct boxlet_box *box, char **ret_text, struct boxlet_error *error)
{
        return -ENOENT;
}

static int note_copy(const struct boxlet_copy_options *o, struct boxlet_error *error)
{
        note_number("archive", o->archive, 0);
        note_number("follow_links", o->follow_links, 0);
        if (fake.failure == NULL)
                return 0;
        (void)snprintf(error->text, sizeof(error->text), "%s", fake.failure);
        return error->code = -EROFS;
}

int boxlet_box_copy_out(struct boxlet_box *box, const char *path, const char *local, int fd,
                        const struct boxlet_copy_options *options, struct boxlet_error *error)
{
        note("copy %s:%s to %s", box->name, path, local != NULL ? local : "a tar");
        assert_true(local != NULL ? fd == -1 : fd == 1);
        return note_copy(options, error);
}

int boxlet_box_copy_in(struct boxlet_box *box, const char *local, int fd, const char *path,
                       const struct boxlet_copy_options *options, struct boxlet_error *error)
{
        note("copy %s to %s:%s", local != NULL ? local : "a tar", box->name, path);
        assert_true(local != NULL ? fd == -1 : fd == 0);
        return note_copy(options, error);
}

int boxlet_box_export(struct boxlet_box *box, int fd, const struct boxlet_copy_options *options,
                      struct boxlet_error *error)
{
        note("export %s", box->name);
        assert_int_equal(write(fd, "root", 4), 4);
        return note_copy(options, error);
}

/* What fake.inspect says, unless it is to fail. */
static int say(const char *what, struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        note("%s %s", what, box->name);
        if (fake.failure == NULL) {
                *ret_json = strdup(fake.inspect);
                return 0;
        }
        (void)snprintf(error->text, sizeof(error->text), "%s", fake.failure);
        return error->code = -ESRCH;
}

int boxlet_box_diff(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        return say("diff", box, ret_json, error);
}

int boxlet_box_top(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        return say("top", box, ret_json, error);
}

int boxlet_box_stats(struct boxlet_box *box, char **ret_json, struct boxlet_error *error)
{
        return say("stats", box, ret_json, error);
}

int boxlet_box_commit(struct boxlet_box *box, const char *reference, const struct boxlet_commit_options *o,
                      char **ret_id, struct boxlet_error *error)
{
        note("commit %s", box->name);
        note_text("reference", reference);
        note_list("change", o->changes);
        note_text("message", o->message);
        note_text("author", o->author);
        note_number("pause", o->pause, 1);
        *ret_id = strdup("sha256:0123");
        return 0;
}

int boxlet_box_exec(struct boxlet_box *box, const struct boxlet_exec_options *o,
                    struct boxlet_process **ret_process, struct boxlet_error *error)
{
        note("exec %s", box->name);
        note_list("command", o->command);
        note_list("env", o->env);
        note_text("user", o->user);
        note_text("working_dir", o->working_dir);
        note_number("terminal", o->terminal, 0);
        note_number("stdin", o->stdin_open, 0);
        note_number("detached", o->detached, 0);
        note_number("timeout", o->timeout_ms, 0);
        *ret_process = make_process();
        return 0;
}

/* ---- processes ---- */

int boxlet_process_set_events(struct boxlet_process *process, const struct boxlet_process_events *events)
{
        process->events = *events;
        return 0;
}

int boxlet_process_fd(const struct boxlet_process *process)
{
        return process->fd;
}

static void set_ready(struct boxlet_process *process, bool ready)
{
        uint64_t count;
        if (ready)
                (void)eventfd_write(process->fd, 1);
        else
                (void)eventfd_read(process->fd, &count);
}

static int finish(struct boxlet_process *process, int code)
{
        struct boxlet_error error = {.code = -EIO};
        process->ended = true;
        if (fake.failure != NULL)
                (void)snprintf(error.text, sizeof(error.text), "%s", fake.failure);
        if (process->events.ended != NULL)
                process->events.ended(process, code, fake.failure != NULL ? &error : NULL,
                                      process->events.data);
        return 0;
}

/* Returns how much was printed before the client said stop. */
static size_t emit(struct boxlet_process *process, enum boxlet_stream stream, const char *bytes, size_t size)
{
        size_t done = 0;
        while (done < size && !process->paused) {
                size_t part = size - done < 65536 ? size - done : 65536;
                if (process->events.output(process, stream, bytes + done, part, process->events.data) != 0)
                        process->paused = true;
                done += part;
        }
        return done;
}

int boxlet_process_dispatch(struct boxlet_process *process, struct boxlet_error *error)
{
        if (process->ended)
                return 0;
        if (!process->started && fake.failure == NULL) {
                process->started = true;
                if (process->events.started != NULL)
                        process->events.started(process, process->events.data);
                return 1;
        }
        if (process->paused) {
                set_ready(process, false);
                return 1;
        }
        if (fake.complaint != NULL && !process->complained) {
                process->complained = true;
                (void)emit(process, BOXLET_STDERR, fake.complaint, strlen(fake.complaint));
                return 1;
        }
        if (fake.output_size > 0 && process->events.output != NULL) {
                size_t done = emit(process, BOXLET_STDOUT, fake.output, fake.output_size);
                fake.output += done;
                fake.output_size -= done;
                return 1;
        }
        if (fake.echo && process->echoed < fake.input_size) {
                process->echoed += emit(process, BOXLET_STDOUT, fake.input + process->echoed,
                                        fake.input_size - process->echoed);
                return 1;
        }
        if (process->signal != 0)
                return finish(process, 128 + process->signal);
        if ((fake.echo && !fake.input_closed) || fake.lives) {
                set_ready(process, false);
                return 1;
        }
        return finish(process, fake.exit_code);
}

int boxlet_process_wait(struct boxlet_process *process, int *ret_exit_code, struct boxlet_error *error)
{
        *ret_exit_code = fake.exit_code;
        return 0;
}

int64_t boxlet_process_write(struct boxlet_process *process, const void *bytes, size_t size,
                             struct boxlet_error *error)
{
        size_t room = sizeof(fake.input) - fake.input_size;
        size = size < room ? size : room;
        memcpy(fake.input + fake.input_size, bytes, size);
        fake.input_size += size;
        set_ready(process, true);
        return (int64_t)size;
}

int boxlet_process_close_stdin(struct boxlet_process *process, struct boxlet_error *error)
{
        fake.input_closed = true;
        set_ready(process, true);
        return 0;
}

int boxlet_process_resize(struct boxlet_process *process, unsigned rows, unsigned columns,
                          struct boxlet_error *error)
{
        note("resize %ux%u", rows, columns);
        return 0;
}

int boxlet_process_signal(struct boxlet_process *process, int signal, struct boxlet_error *error)
{
        note("signal %d", signal);
        if (!fake.stubborn || signal == SIGKILL)
                process->signal = signal;
        set_ready(process, true);
        return 0;
}

void boxlet_process_resume(struct boxlet_process *process)
{
        process->paused = false;
        set_ready(process, true);
}

int boxlet_process_detach(struct boxlet_process *process, struct boxlet_error *error)
{
        note("detach");
        return 0;
}

void boxlet_process_free(struct boxlet_process *process)
{
        if (process == NULL)
                return;
        note("free %s", process->ended ? "ended" : "going");
        (void)close(process->fd);
        free(process);
}
