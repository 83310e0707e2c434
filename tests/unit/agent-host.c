/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "agent-host.h"

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "alice:x:1000:100:Alice:/home/alice:/bin/sh\n"
                             "bob:x:1001:1001::/home/bob:/bin/sh\n";
static const char group[] = "root:x:0:\nusers:x:100:\nwheel:x:10:alice,bob\naudio:x:29:alice\nbob:x:1001:\n";

static void make_file(int dir_fd, const char *name, const char *text, mode_t mode)
{
        cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
        assert_int_equal(fchmod(fd, mode), 0);
}

static void copy_file(const char *from, int dir_fd, const char *name)
{
        char *bytes;
        size_t size;
        assert_int_equal(path_read_at(AT_FDCWD, from, 64U << 20, &bytes, &size), 0);
        cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, bytes, size), 0);
        free(bytes);
}

static void make_root(int folder)
{
        static const char *const folders[] = {"run",           "run/files",       "run/root",
                                              "run/root/bin",  "run/root/etc",    "run/root/tmp",
                                              "run/root/proc", "run/root/secret", "run/root/home",
                                              "cgroup",        "run/disk"};
        static const char *const applets[] = {"sh",       "cat",  "echo", "sleep",    "true",  "false",
                                              "id",       "ls",   "head", "mount",    "stat",  "touch",
                                              "tty",      "stty", "kill", "mkdir",    "dd",    "env",
                                              "pwd",      "rm",   "wc",   "readlink", "mknod", "grep",
                                              "hostname", "sync", "seq",  "chmod",    "ps",    "sha256sum",
                                              "umount",   "yes",  "tr"};
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
                assert_int_equal(mkdirat(folder, folders[i], 0755), 0);
        copy_file("/bin/busybox", folder, "run/root/bin/busybox");
        for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
                char name[64];
                (void)snprintf(name, sizeof(name), "run/root/bin/%s", applets[i]);
                assert_int_equal(symlinkat("busybox", folder, name), 0);
        }
        make_file(folder, "run/root/etc/passwd", passwd, 0644);
        make_file(folder, "run/root/etc/group", group, 0644);
        make_file(folder, "run/root/bin/not-a-program", "\177nothing\n", 0755);
        make_file(folder, "run/root/bin/not-executable", "#!/bin/sh\n", 0644);
        make_file(folder, "run/root/secret/file", "secret\n", 0644);
        make_file(folder, "run/files/hosts", "127.0.0.1\tlocalhost\n", 0644);
}

/* Everything below the cgroup, deepest first; cgroup folders hold files that cannot be removed, only rmdir
 * goes. */
static void remove_cgroup(int parent, const char *name, int depth)
{
        cleanup_fd int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_dir DIR *dir = fd >= 0 ? fdopendir(dup(fd)) : NULL;
        const struct dirent *entry;
        while (dir != NULL && depth < 8 && (entry = readdir(dir)) != NULL) {
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        remove_cgroup(fd, entry->d_name, depth + 1);
        }
        (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* The disk is a folder, and frozen while "frozen" is in it. */
static int freeze_folder(int fd, bool frozen)
{
        if (!frozen)
                return unlinkat(fd, "frozen", 0) < 0 ? -errno : 0;
        cleanup_fd int mark = openat(fd, "frozen", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return mark < 0 ? -EBUSY : 0;
}

static int run_agent(const char *path, int control, int listener, const char *cgroup)
{
        char run[256];
        struct error err = ERROR_INIT;
        (void)snprintf(run, sizeof(run), "%s/run", path);
        struct agent_setup setup = {.control_fd = control,
                                    .listen_fd = listener,
                                    .run_folder = run,
                                    .cgroup_folder = cgroup,
                                    .freeze_disk = freeze_folder};
        if (mount("proc", "/proc", "proc", 0, NULL) < 0 || agent_run(&setup, &err) < 0) {
                (void)fprintf(stderr, "agent: %s\n", err.text);
                return 1;
        }
        return 0;
}

/* The process that holds the namespaces; the agent is its child and pid 1. */
static int hold(const char *path, int control, int listener)
{
        char mounted[256], cgroup[300];
        const char *name = strrchr(path, '/') + 1; /* the case's folder and its cgroup share their name */
        int status = 1;
        if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 77;
        (void)snprintf(mounted, sizeof(mounted), "%s/cgroup", path);
        (void)snprintf(cgroup, sizeof(cgroup), "%s/%s", mounted, name);
        if (mount("cgroup2", mounted, "cgroup2", 0, NULL) < 0 || mkdir(cgroup, 0755) < 0)
                return 77;
        pid_t pid = fork();
        if (pid == 0)
                _exit(run_agent(path, control, listener, cgroup));
        (void)close(control);
        (void)close(listener);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
                return 1;
        cleanup_fd int parent = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        remove_cgroup(parent, name, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool is_possible(void)
{
        pid_t pid = fork();
        int status = 1;
        if (pid == 0) {
                int r = unshare(CLONE_NEWNS | CLONE_NEWPID);
                if (r == 0)
                        r = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
                if (r == 0)
                        r = mount("cgroup2", "/mnt", "cgroup2", 0, NULL);
                if (r == 0)
                        r = access("/mnt/cgroup.procs", W_OK);
                _exit(r == 0 ? 0 : 1);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

void agent_host_start(struct agent_host *host)
{
        int control[2];
        struct frame_hello hello;
        struct frame frame;
        if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0 || !is_possible())
                unit_skip("needs root, namespaces, cgroup v2 and a static /bin/busybox");
        host->path = unit_folder(&host->folder);
        make_root(host->folder);
        int listener = unix_listen_at(host->folder, "work", SOCK_STREAM | SOCK_NONBLOCK, 128);
        assert_true(listener >= 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control), 0);
        host->pid = fork();
        assert_true(host->pid >= 0);
        if (host->pid == 0) {
                (void)close(control[0]);
                _exit(hold(host->path, control[1], listener));
        }
        (void)close(control[1]);
        (void)close(listener);
        host->control = control[0];
        buffer_init(&host->input, FRAME_HEADER_SIZE + FRAME_DOCUMENT_MAX);
        frame_hello_make(&hello);
        send_frame(host->control, FRAME_HELLO, &hello, sizeof(hello));
        assert_true(next_frame(host->control, &host->input, &frame));
        assert_int_equal(frame.type, FRAME_HELLO);
        frame_release(&host->input, &frame);
}

void agent_host_stop(struct agent_host *host)
{
        int status;
        (void)close(host->control);
        buffer_done(&host->input);
        assert_int_equal(waitpid(host->pid, &status, 0), host->pid);
        assert_int_equal(status, 0);
}

void outcome_done(struct outcome *outcome)
{
        buffer_done(&outcome->out);
        buffer_done(&outcome->err);
}

void send_frame(int fd, enum frame_type type, const void *payload, size_t size)
{
        cleanup_buffer struct buffer b = BUFFER_INIT(FRAME_HEADER_SIZE + FRAME_DOCUMENT_MAX);
        assert_int_equal(frame_append(&b, type, payload, size), 0);
        (void)fd_write_full(fd, buffer_content(&b),
                            b.length); /* an agent that has left is seen when reading */
}

void send_text(int fd, enum frame_type type, const char *text)
{
        send_frame(fd, type, text, strlen(text));
}

int agent_host_connect(struct agent_host *host)
{
        struct frame_hello hello;
        int fd = unix_connect_at(host->folder, "work", SOCK_STREAM);
        assert_true(fd >= 0);
        frame_hello_make(&hello);
        send_frame(fd, FRAME_HELLO, &hello, sizeof(hello));
        return fd;
}

bool next_frame(int fd, struct buffer *input, struct frame *ret_frame)
{
        struct error err = ERROR_INIT;
        for (;;) {
                int r = frame_next(input, ret_frame, &err);
                if (r < 0)
                        fail_msg("%s", err.text);
                if (r > 0)
                        return true;
                char *place;
                assert_int_equal(buffer_reserve(input, 65536, &place), 0);
                ssize_t n = read(fd, place, 65536);
                if (n <= 0)
                        return false;
                buffer_grow(input, (size_t)n);
        }
}

static void take_error(const struct frame *frame, struct outcome *o)
{
        struct error err = ERROR_INIT;
        o->refused = -channel_read_error(frame, &err);
        (void)snprintf(o->message, sizeof(o->message), "%s", err.text);
}

static void take_reply(const struct frame *frame, struct outcome *o)
{
        cleanup_json json_t *reply = NULL;
        struct error err = ERROR_INIT;
        int64_t pid;
        assert_int_equal(json_parse((const char *)frame->payload, frame->size, "reply", &reply, &err), 0);
        assert_int_equal(json_get_integer_or(reply, "pid", 1, INT32_MAX, -1, &pid, &err),
                         0); /* a forward has none */
        o->pid = (int)pid;
}

static void take_output(const struct frame *frame, struct buffer *b, bool *ended)
{
        assert_false(*ended);
        *ended = frame->size == 0;
        assert_int_equal(buffer_append(b, frame->payload, frame->size), 0);
}

/* Returns false when the frame was the last one of interest. */
static bool take_frame(const struct frame *frame, struct outcome *o)
{
        const struct frame_exit *payload = (const struct frame_exit *)frame->payload;
        switch (frame->type) {
        case FRAME_HELLO:
                return true;
        case FRAME_REPLY:
                take_reply(frame, o);
                return true;
        case FRAME_ERROR:
                take_error(frame, o);
                return false;
        case FRAME_STDOUT:
                take_output(frame, &o->out, &o->out_ended);
                return true;
        case FRAME_STDERR:
                take_output(frame, &o->err, &o->err_ended);
                return true;
        case FRAME_EXIT:
                assert_int_equal(frame->size, sizeof(*payload));
                o->exited = true;
                o->code = payload->code;
                o->signal = payload->signal;
                o->flags = payload->flags;
                return false;
        default:
                fail_msg("frame of type %d", (int)frame->type);
                return false;
        }
}

static void outcome_begin(struct outcome *o)
{
        memset(o, 0, sizeof(*o));
        buffer_init(&o->out, 256U << 20);
        buffer_init(&o->err, 256U << 20);
}

void finish(int fd, struct outcome *ret_outcome)
{
        cleanup_buffer struct buffer input = BUFFER_INIT(2 * (FRAME_HEADER_SIZE + FRAME_DOCUMENT_MAX));
        struct frame frame;
        bool more = true;
        outcome_begin(ret_outcome);
        while (more && next_frame(fd, &input, &frame)) {
                more = take_frame(&frame, ret_outcome);
                frame_release(&input, &frame);
        }
        (void)close(fd);
}

void await_reply(int fd, struct buffer *input, struct outcome *ret_outcome)
{
        struct frame frame;
        outcome_begin(ret_outcome);
        while (ret_outcome->pid == 0 && ret_outcome->refused == 0) {
                assert_true(next_frame(fd, input, &frame));
                (void)take_frame(&frame, ret_outcome);
                frame_release(input, &frame);
        }
}

void converse(struct agent_host *host, const char *request, const char *input, struct outcome *ret_outcome)
{
        int fd = agent_host_connect(host);
        send_text(fd, FRAME_REQUEST, request);
        if (input != NULL) {
                if (*input != '\0')
                        send_text(fd, FRAME_STDIN, input);
                send_frame(fd, FRAME_STDIN, NULL, 0);
        }
        finish(fd, ret_outcome);
        assert_true(!ret_outcome->exited || (ret_outcome->out_ended && ret_outcome->err_ended));
}

char *start_request(const char *process, const char *linux_extra, const char *extra)
{
        char *text;
        int n = asprintf(
            &text,
            "{\"op\": \"start\", \"stdin\": true, \"spec\": {\"ociVersion\": \"1.0.2\", \"process\": "
            "{\"cwd\": \"/\", "
            "\"env\": [\"PATH=/bin\"], \"capabilities\": {\"bounding\": [\"CAP_CHOWN\", \"CAP_SETUID\", "
            "\"CAP_SETGID\", "
            "\"CAP_KILL\", \"CAP_MKNOD\", \"CAP_DAC_OVERRIDE\"], \"effective\": [\"CAP_CHOWN\", "
            "\"CAP_SETUID\", \"CAP_SETGID\", "
            "\"CAP_KILL\", \"CAP_MKNOD\", \"CAP_DAC_OVERRIDE\"], \"permitted\": [\"CAP_CHOWN\", "
            "\"CAP_SETUID\", \"CAP_SETGID\", "
            "\"CAP_KILL\", \"CAP_MKNOD\", \"CAP_DAC_OVERRIDE\"]}, %s}, \"hostname\": \"unit\", \"mounts\": ["
            "{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\", \"options\": "
            "[\"nosuid\", \"noexec\", \"nodev\"]},"
            "{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": "
            "[\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},"
            "{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\", \"options\": "
            "[\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\", \"gid=5\"]},"
            "{\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\", \"options\": "
            "[\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},"
            "{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\", "
            "\"options\": [\"ro\", \"nosuid\", \"noexec\", \"nodev\"]},"
            "{\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\", \"options\": "
            "[\"nosuid\", \"noexec\", \"nodev\"]},"
            "{\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\", \"options\": "
            "[\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=67108864\"]}],"
            "\"linux\": {\"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"mount\"}, {\"type\": \"ipc\"}, "
            "{\"type\": \"uts\"}, {\"type\": \"cgroup\"}], "
            "\"maskedPaths\": [\"/proc/kcore\", \"/secret\", \"/not/there\"], \"readonlyPaths\": "
            "[\"/proc/sys\", \"/proc/bus\", \"/not/there\"] %s} %s}}",
            process, linux_extra, extra);
        assert_true(n > 0);
        return text;
}

int start_sleeper(struct agent_host *host)
{
        cleanup_free char *request = start_request("\"args\": [\"sleep\", \"1000\"]", "", "");
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        struct outcome o;
        int fd = agent_host_connect(host);
        send_text(fd, FRAME_REQUEST, request);
        await_reply(fd, &input, &o);
        if (o.refused != 0)
                fail_msg("start: %s", o.message);
        assert_int_equal(o.pid, 1);
        outcome_done(&o);
        return fd;
}

void exec_script(struct agent_host *host, const char *script, const char *members,
                 struct outcome *ret_outcome)
{
        cleanup_free char *request = NULL;
        assert_true(asprintf(&request,
                             "{\"op\": \"exec\", \"process\": {\"args\": [\"sh\", \"-c\", \"%s\"]} %s}",
                             script, members) > 0);
        converse(host, request, NULL, ret_outcome);
}
