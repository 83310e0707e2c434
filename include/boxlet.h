/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libboxlet: any OCI image, run inside its own small virtual machine.
 *
 * Rules that hold for the whole header:
 * - A function that can fail returns 0 or more, or a negative errno value, and then says why in *error, if
 * that is not NULL.
 * - Handles (struct boxlet, boxlet_box, boxlet_process) are opaque. Each is used from one thread at a time;
 *   different handles may be used from different threads. The library starts no threads that outlive a call,
 * installs no signal handlers, prints nothing and never ends the process.
 * - Structs that the caller fills begin with `size_t size`, to be set to sizeof the struct; use the ..._INIT
 * macros. They only ever grow at the end. What is not set has the default named here.
 * - Strings are UTF-8 and are copied by the callee. Strings handed out by a handle live as long as the
 * handle; those handed out through `char **ret_x` belong to the caller, who frees them with boxlet_free().
 * - Waiting is a descriptor to poll plus a dispatch call: no call but the ones named _wait sleeps for a
 * guest.
 */
#ifndef BOXLET_H
#define BOXLET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOXLET_VERSION_MAJOR 0
#define BOXLET_VERSION_MINOR 1
#define BOXLET_VERSION_PATCH 0

#if defined(__GNUC__)
#define BOXLET_API __attribute__((visibility("default")))
#else
#define BOXLET_API
#endif

/* Why a call failed: code is a negative errno value, text one line for a person (console output may follow on
 * more). */
struct boxlet_error {
        int code;
        char text[1024];
};

/* "0.1.0". */
BOXLET_API const char *boxlet_version(void);
BOXLET_API void boxlet_free(void *memory);

/* ---- The runtime: one home folder with its images, boxes and state ---- */

struct boxlet;

struct boxlet_options {
        size_t size;
        const char *home; /* NULL: $BOXLET_HOME, else /var/lib/boxlet for root, else $XDG_DATA_HOME/boxlet */
        const char *libexec;    /* where boxlet-monitor, boxlet-vmm and the agent's initramfs lie; NULL:
                                   $BOXLET_LIBEXEC, else as installed */
        const char *kernel_dir; /* where vmlinux-lean lies; NULL: $BOXLET_KERNEL_DIR, else as installed */
        const char *config; /* registries file; NULL: $BOXLET_CONFIG, $XDG_CONFIG_HOME/boxlet/registries.conf,
                               /etc/boxlet/registries.conf */
};
#define BOXLET_OPTIONS_INIT                                           \
        {                                                             \
                sizeof(struct boxlet_options), NULL, NULL, NULL, NULL \
        }

/* Opens the home folder and makes it if need be. options may be NULL. Many processes may have it open at
 * once. */
BOXLET_API int boxlet_open(const struct boxlet_options *options, struct boxlet **ret_boxlet,
                           struct boxlet_error *error);
BOXLET_API void boxlet_close(struct boxlet *boxlet);

/* A JSON object: version, home, engines with the reason each can or cannot be used, the one `auto` means,
 * kernels, programs found. */
BOXLET_API int boxlet_info(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error);

/* What takes how much on the disk: a JSON array of {"Type": "Images", "Boxes", "Snapshots", "Volumes",
 * "Disk templates" or "Machine templates", "Total", "Active" (in use), "Size", "Reclaimable" (what a prune of
 * all would free)}, in bytes. */
BOXLET_API int boxlet_system_usage(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error);

/*
 * Looks whether everything in the home fits together: digests of the image store, root file systems, records
 * and folders of boxes, snapshots, volumes, leftovers of killed processes. *ret_json: an array of {"Kind",
 * "Item", "Problem", "Repaired"}, empty when all is well. repair: what can be put right without losing
 * anything is. Reads the whole store: it takes its time.
 */
BOXLET_API int boxlet_system_check(struct boxlet *boxlet, int repair, char **ret_json,
                                   struct boxlet_error *error);

/*
 * Whether this machine can run boxes: a JSON array of {"Check", "Status": "ok", "note" or "missing", "Text",
 * "Remedy" (what to do, or null)}. Needs no home that can be opened: options as for boxlet_open().
 */
BOXLET_API int boxlet_doctor(const struct boxlet_options *options, char **ret_json,
                             struct boxlet_error *error);

/* ---- Images ---- */

enum boxlet_progress_kind {
        BOXLET_PROGRESS_LAYER = 1, /* bytes of a layer: done of total (0: unknown) */
        BOXLET_PROGRESS_CONVERT,   /* making the root file system: bytes read of the layers of their total */
        BOXLET_PROGRESS_MESSAGE,   /* text only: resolving, waiting for another pull, retrying, ... */
};

struct boxlet_progress {
        size_t size;
        enum boxlet_progress_kind kind;
        const char *item; /* layer digest, or NULL */
        const char *text; /* for a person, or NULL */
        uint64_t done;
        uint64_t total;
};

/* Called from the thread that made the call. Anything but 0 cancels the operation, which then returns
 * -ECANCELED. */
typedef int (*boxlet_progress_fn)(const struct boxlet_progress *progress, void *data);

struct boxlet_image_options {
        size_t size;
        const char *platform; /* "linux/amd64" is the default; os/architecture[/variant] */
        boxlet_progress_fn progress;
        void *progress_data;
};
#define BOXLET_IMAGE_OPTIONS_INIT                                     \
        {                                                             \
                sizeof(struct boxlet_image_options), NULL, NULL, NULL \
        }

/* An image of the store. Freed with boxlet_image_free(). */
struct boxlet_image {
        size_t size;
        const char *reference;     /* "docker.io/library/alpine:3.19", or "" when it has no name (any more) */
        const char *id;            /* digest of its configuration, "sha256:..." */
        const char *digest;        /* digest of its manifest */
        int64_t created;           /* seconds since 1970, 0 if the image does not say */
        uint64_t size_bytes;       /* of its layers, as stored */
        const char *const *labels; /* "key=value" strings, NULL-terminated */
};
BOXLET_API void boxlet_image_free(struct boxlet_image *image);

/* Fetches an image from its registry and makes it bootable; one that is there and unchanged costs one
 * request. */
BOXLET_API int boxlet_image_pull(struct boxlet *boxlet, const char *reference,
                                 const struct boxlet_image_options *options, struct boxlet_image **ret_image,
                                 struct boxlet_error *error);

/* Finds an image by reference, id or unambiguous id prefix (at least 4 digits); never asks a registry.
 * -ENOENT if absent. */
BOXLET_API int boxlet_image_get(struct boxlet *boxlet, const char *reference_or_id,
                                struct boxlet_image **ret_image, struct boxlet_error *error);

/* All images, as an array that ends in NULL; free with boxlet_image_list_free(). */
BOXLET_API int boxlet_image_list(struct boxlet *boxlet, struct boxlet_image ***ret_images,
                                 struct boxlet_error *error);
BOXLET_API void boxlet_image_list_free(struct boxlet_image **images);

/* Reads a docker-archive, an oci-archive (from fd, which may be a pipe) or an OCI layout folder (path);
 * exactly one of them: fd -1 or path NULL. *ret_names: the references (or ids) loaded, one a line. */
BOXLET_API int boxlet_image_load(struct boxlet *boxlet, int fd, const char *path,
                                 const struct boxlet_image_options *options, char **ret_names,
                                 struct boxlet_error *error);

/* Writes images as one archive to fd; format is "docker-archive" or "oci-archive". */
BOXLET_API int boxlet_image_save(struct boxlet *boxlet, const char *const *references, size_t count,
                                 const char *format, int fd, const struct boxlet_image_options *options,
                                 struct boxlet_error *error);

/* Makes an image of one layer from a tar (fd, possibly compressed) or a folder (path). changes: Dockerfile
 * instructions (CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR), NULL-terminated, or
 * NULL. reference may be NULL. */
BOXLET_API int boxlet_image_import(struct boxlet *boxlet, int fd, const char *path, const char *reference,
                                   const char *const *changes, const struct boxlet_image_options *options,
                                   char **ret_id, struct boxlet_error *error);

BOXLET_API int boxlet_image_tag(struct boxlet *boxlet, const char *source, const char *target,
                                struct boxlet_error *error);

/* Removes a name; when it was the last one, the image. -EBUSY while a box uses it and force is 0.
 * *ret_report: lines "Untagged: ..." and "Deleted: ...", as docker prints them. */
BOXLET_API int boxlet_image_remove(struct boxlet *boxlet, const char *reference_or_id, int force,
                                   char **ret_report, struct boxlet_error *error);

/* Removes images without a name (all != 0: without a box) and what nothing refers to. */
BOXLET_API int boxlet_image_prune(struct boxlet *boxlet, int all, uint64_t *ret_freed_bytes,
                                  char **ret_report, struct boxlet_error *error);

/* The image's configuration (OCI image-spec) and manifest: {"Id", "RepoTags", "RepoDigests", "Config", ...}
 * as docker shows it. */
BOXLET_API int boxlet_image_inspect(struct boxlet *boxlet, const char *reference_or_id, char **ret_json,
                                    struct boxlet_error *error);

/* ---- Boxes ---- */

struct boxlet_box;

enum boxlet_pull { BOXLET_PULL_MISSING, BOXLET_PULL_ALWAYS, BOXLET_PULL_NEVER };

/* Arrays of strings end in NULL; NULL is an empty one. Forms are those of docker run. */
struct boxlet_box_options {
        size_t size;
        const char *image;          /* reference or id; required */
        const char *name;           /* NULL: one is made up */
        const char *const *command; /* replaces CMD; NULL: the image's */
        const char *entrypoint;     /* replaces ENTRYPOINT (and drops CMD); "" for none; NULL: the image's */
        const char *const *env;     /* "NAME=value" over the image's; "NAME" takes it away */
        const char *user;           /* "name|uid[:group|gid]" */
        const char *working_dir;
        const char *hostname; /* NULL: the first 12 digits of the id */
        const char *const
            *publish;        /* "[IP:][HOST[-HOST]:]BOX[-BOX][/tcp|udp]"; host port 0 or none: any free one */
        const char *network; /* "default" or "none" */
        uint32_t cpus;       /* 0: 2, or as many as the host has if fewer */
        uint64_t memory_bytes;      /* 0: 512 MiB */
        uint64_t disk_bytes;        /* 0: 10 GiB */
        const char *engine;         /* "auto", "kvm", "qemu", "qemu-kvm" */
        const char *kernel;         /* file; NULL: the flavour's */
        const char *const *tmpfs;   /* "PATH[:options]" */
        const char *const *ulimits; /* "name=soft[:hard]" */
        const char *const *cap_add;
        const char *const *cap_drop;
        const char *const *labels; /* "key=value" */
        const char *stop_signal;   /* NULL: the image's, else SIGTERM */
        int64_t stop_timeout_ms;   /* below 0: 10 s; 120 s with support_docker */
        int terminal;              /* 1: init runs on a pty */
        int stdin_open;            /* 1: init's stdin is what attached clients send; else /dev/null */
        int read_only;             /* 1: the root file system cannot be written */
        int init;                  /* 1: a small init of ours is pid 1 */
        int auto_remove;           /* 1: the box is removed when it ended */
        enum boxlet_pull pull;
        boxlet_progress_fn progress; /* of a pull */
        void *progress_data;
        const char *const *volumes; /* "[NAME|/HOST:]/BOX[:ro|rw,...]" */
        const char *const *mounts;  /* "type=bind|volume|tmpfs,source=...,target=...[,readonly]..." */
        int support_docker; /* 1: the box can run a container engine: the docker kernel, every capability,
                               writable cgroups; all in it is root, the machine is the wall. Not with
                               cap_drop or read_only; memory_bytes 0 is 2 GiB then */
        const char *docker_socket; /* path for a unix socket (0600) on the host that leads to the engine's
                                      while the box runs; needs support_docker. NULL: none */
        /* Arguments for the entry point, which then is init as a service. With a command, that is no argument
         * but a process beside init, the foreground: it has the terminal, the streams and the signals, runs
         * once init does, the box ends with it (init gets the stop signal then), and its exit code is the
         * box's; what init prints goes to the log only. NULL: neither. */
        const char *const *cmd;
        int debug_console; /* 1: console.log has all that the guest's kernel says, from its first line on;
                              each byte slows the start down */
        const char *const *annotations; /* "key=value", for the OCI runtime-spec document */
        const char *pid_file;    /* file that has the pid of the box's monitor while it runs; NULL: none */
        uint64_t log_file_bytes; /* a file of the log is followed by another past this; 0: 8 MiB */
        uint32_t log_files;      /* so many of them are kept; 0: 2 */
        const char *restart;     /* "no" (and NULL), "on-failure[:N]", "always", "unless-stopped"; not with
                                    auto_remove */
        uint64_t nano_cpus; /* 0: no limit; else the CPUs' time is limited to so many 10^-9 CPUs: a quota of
                             the container's cgroup. cpus 0 is this rounded up then */
        int64_t pids_limit; /* 0: none; else at most so many processes and threads in the container */
        int64_t stop_after_ms; /* the box is stopped so long after its init first ran, for good; 0: never */
        int64_t idle_stop_ms;  /* the same once it was idle for so long (docs/idle.md); 0: never */
        /* The health check: a command for the image's shell, run every so often; its exit code 0 is health.
         * NULL: the image's HEALTHCHECK, if it has one. Numbers that are 0 are the image's, else docker's
         * defaults: 30 s, 30 s, 0, 5 s, 3. */
        const char *health_cmd;
        int64_t health_interval_ms, health_timeout_ms, health_start_period_ms, health_start_interval_ms;
        uint32_t health_retries;
        int no_health;    /* 1: none, whatever the image says */
        const char *jail; /* "auto": the machine's process is jailed as far as the host allows; "require": it
                             does not start where that is weaker than it should be. NULL: "auto" */
};
/* Zero everywhere but where zero is no default. */
#define BOXLET_BOX_OPTIONS_INIT                                                                            \
        {                                                                                                  \
                sizeof(struct boxlet_box_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,   \
                    NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -1, 0, 0, 0, 0, 0,      \
                    BOXLET_PULL_MISSING, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL, 0, 0, NULL, \
                    0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, NULL                                               \
        }

/* Makes a box; the image is pulled if the policy says so. It exists, with its disk, until removed. */
BOXLET_API int boxlet_box_create(struct boxlet *boxlet, const struct boxlet_box_options *options,
                                 struct boxlet_box **ret_box, struct boxlet_error *error);

/* Finds one by name, id or unambiguous id prefix. */
BOXLET_API int boxlet_box_get(struct boxlet *boxlet, const char *name_or_id, struct boxlet_box **ret_box,
                              struct boxlet_error *error);
/* Lets go of the handle; the box itself goes on. */
BOXLET_API void boxlet_box_free(struct boxlet_box *box);

BOXLET_API const char *boxlet_box_id(const struct boxlet_box *box); /* 64 hexadecimal digits */
BOXLET_API const char *boxlet_box_name(const struct boxlet_box *box);
/* "created", "running", "paused", "restarting" (it ended, and starts again in a moment), "exited" or "dead"
 * (its monitor was killed), as it is now; and the exit code if it ended, else -1. */
BOXLET_API const char *boxlet_box_state(struct boxlet_box *box, int *ret_exit_code);
/* All about it, one JSON object with docker inspect's names where the meaning is the same. */
BOXLET_API int boxlet_box_inspect(struct boxlet_box *box, char **ret_json, struct boxlet_error *error);
/* A JSON array with one object a box, newest first: Id, Names, Image, ImageID, Command, Created, CreatedNs,
 * State, Status, ExitCode, Health, Ports, Labels, Mounts, Networks, SizeRw (bytes of its disk on the host).
 * all: ended ones too. */
BOXLET_API int boxlet_box_list(struct boxlet *boxlet, int all, char **ret_json, struct boxlet_error *error);

enum {
        BOXLET_START_DETACHED =
            1, /* the box outlives this program; without it, it ends with the returned process handle */
        BOXLET_ATTACH_STDIN = 2,
        BOXLET_ATTACH_STDOUT = 4,
        BOXLET_ATTACH_STDERR = 8,
};

/*
 * Starts the box and its init. *ret_process (may be NULL with BOXLET_START_DETACHED) is init as a process
 * with the attached streams: nothing it prints is missed. Failing to start is told by this call when it is
 * known at once (a port that is taken, no kernel), else by boxlet_process_dispatch()/_wait() with the stage,
 * the reason and the console's end. It does not wait for the machine; but on engine qemu the first start of a
 * size of machine makes the one that others begin as copies of (docs/machine.md), a second or so.
 */
struct boxlet_process;
BOXLET_API int boxlet_box_start(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                                struct boxlet_error *error);
/* Attaches to the init of a running box. */
BOXLET_API int boxlet_box_attach(struct boxlet_box *box, unsigned flags, struct boxlet_process **ret_process,
                                 struct boxlet_error *error);

/* Stop signal, then after the time-out (below 0: the box's own) SIGKILL. Returns when the box is down; 0 too
 * if it was. */
BOXLET_API int boxlet_box_stop(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error);
/* The same because the host goes down, not because somebody wants the box to end: boxlet_box_wants_start()
 * does not count it. */
BOXLET_API int boxlet_box_shutdown(struct boxlet_box *box, int64_t timeout_ms, struct boxlet_error *error);
/* Sends a signal to init. */
BOXLET_API int boxlet_box_kill(struct boxlet_box *box, int signal, struct boxlet_error *error);
/* Stops it if it runs, as boxlet_box_stop(), and starts it detached, as boxlet_box_start(). -EINVAL for a box
 * made with auto_remove. */
BOXLET_API int boxlet_box_restart(struct boxlet_box *box, int64_t timeout_ms,
                                  struct boxlet_process **ret_process, struct boxlet_error *error);
/* Stops the box's processors, and lets them go on; returns when they have done so. -EALREADY when it is so
 * already, -ESRCH when the box does not run. Its clock goes on. A paused box can be stopped, killed and
 * removed; exec and attach refuse it (-EBUSY). */
BOXLET_API int boxlet_box_pause(struct boxlet_box *box, struct boxlet_error *error);
BOXLET_API int boxlet_box_unpause(struct boxlet_box *box, struct boxlet_error *error);
/* Gives the box another name, also while it runs; -EEXIST when it is taken. Handles that are there, this one
 * too, go on telling the old one. */
BOXLET_API int boxlet_box_rename(struct boxlet_box *box, const char *name, struct boxlet_error *error);

/* What can change after a box was made; what is zero or NULL stays as it is. */
struct boxlet_box_update {
        size_t size;
        const char *restart;   /* as in struct boxlet_box_options; holds at once */
        uint32_t cpus;         /* from the next start on, also one by the restart policy */
        uint64_t memory_bytes; /* as above */
};
#define BOXLET_BOX_UPDATE_INIT                               \
        {                                                    \
                sizeof(struct boxlet_box_update), NULL, 0, 0 \
        }
/* All of it or nothing. A running box whose monitor does not answer (-ETIMEDOUT) has it from its next start
 * on. */
BOXLET_API int boxlet_box_update(struct boxlet_box *box, const struct boxlet_box_update *changes,
                                 struct boxlet_error *error);
/* 1 when the box does not run, was started before, and its restart policy says that it is to run after a
 * reboot of the host: "always", or "unless-stopped" if it was not stopped or killed by somebody. Else 0. */
BOXLET_API int boxlet_box_wants_start(struct boxlet_box *box, struct boxlet_error *error);
/* Removes the box with its disk and log. -EBUSY while it runs, unless force. The handle stays valid for _free
 * only. */
BOXLET_API int boxlet_box_remove(struct boxlet_box *box, int force, struct boxlet_error *error);

/* Reads the box's log from `since` to `until` (nanoseconds since 1970, 0: all), the last `tail` lines of that
 * (below 0: all), and calls fn for each chunk; with follow it goes on until the box ended, `until` has passed
 * or fn returns other than 0. Lines that the log's limit has dropped are gone. */
struct boxlet_log_options {
        size_t size;
        int64_t since_ns;
        int64_t tail;
        int follow;
        int64_t until_ns;
};
#define BOXLET_LOG_OPTIONS_INIT                                \
        {                                                      \
                sizeof(struct boxlet_log_options), 0, -1, 0, 0 \
        }
/* stream: 1 stdout, 2 stderr. */
typedef int (*boxlet_log_fn)(int stream, int64_t time_ns, const void *bytes, size_t size, void *data);
BOXLET_API int boxlet_box_logs(struct boxlet_box *box, const struct boxlet_log_options *options,
                               boxlet_log_fn fn, void *data, struct boxlet_error *error);
/* The last bytes of the guest's console, for a person. */
BOXLET_API int boxlet_box_console(struct boxlet_box *box, char **ret_text, struct boxlet_error *error);

/* ---- Files of a box ---- */

struct boxlet_copy_options {
        size_t size;
        int archive;      /* 1: owners are those of the source; else root in a box, the caller on the host */
        int follow_links; /* 1: a source that is a symbolic link is what it leads to */
        boxlet_progress_fn progress; /* kind BOXLET_PROGRESS_LAYER, item "files", total 0 for a folder */
        void *progress_data;
};
#define BOXLET_COPY_OPTIONS_INIT                                     \
        {                                                            \
                sizeof(struct boxlet_copy_options), 0, 0, NULL, NULL \
        }

/*
 * Copies path of the box to a local path, by the rules of docker cp for both, or (local NULL) as a tar to fd;
 * exactly one of them: fd -1 or local NULL. What the box sends never leaves the destination, whatever links
 * it has; set-id bits are not set, and device nodes are not made: then -EPERM, after all else was copied.
 */
BOXLET_API int boxlet_box_copy_out(struct boxlet_box *box, const char *path, const char *local, int fd,
                                   const struct boxlet_copy_options *options, struct boxlet_error *error);
/* Copies a local path to path in the box, or (local NULL) unpacks the tar, possibly compressed, that is read
 * from fd into the folder path, with the tar's owners. -EROFS where the box is read-only. */
BOXLET_API int boxlet_box_copy_in(struct boxlet_box *box, const char *local, int fd, const char *path,
                                  const struct boxlet_copy_options *options, struct boxlet_error *error);

/* Writes the root of the box as a tar to fd, without what is mounted in it. Of options, only the progress is
 * used; NULL is fine. */
BOXLET_API int boxlet_box_export(struct boxlet_box *box, int fd, const struct boxlet_copy_options *options,
                                 struct boxlet_error *error);
/* What the box changed of its image: a JSON array of {"Path", "Kind"} sorted by path; Kind is 0 for changed,
 * 1 for added, 2 for deleted. */
BOXLET_API int boxlet_box_diff(struct boxlet_box *box, char **ret_json, struct boxlet_error *error);

struct boxlet_commit_options {
        size_t size;
        const char *const *changes; /* Dockerfile instructions, as for boxlet_image_import() */
        const char *message;        /* NULL: none; so the author */
        const char *author;
        int pause;                   /* 1: what runs in the box stands still meanwhile */
        boxlet_progress_fn progress; /* item "files" of what is read, then as for an import */
        void *progress_data;
};
#define BOXLET_COMMIT_OPTIONS_INIT                                                    \
        {                                                                             \
                sizeof(struct boxlet_commit_options), NULL, NULL, NULL, 1, NULL, NULL \
        }

/* Makes an image of the box: its image, whose configuration it has, with what the box changed as one more
 * layer. reference may be NULL; *ret_id (may be NULL) is its id. */
BOXLET_API int boxlet_box_commit(struct boxlet_box *box, const char *reference,
                                 const struct boxlet_commit_options *options, char **ret_id,
                                 struct boxlet_error *error);

/* What runs in a running box, as docker top has it: {"Titles": ["UID", "PID", ...], "Processes": [["root",
 * "1",
 * ...], ...]}. Pids are those in the box. */
BOXLET_API int boxlet_box_top(struct boxlet_box *box, char **ret_json, struct boxlet_error *error);

/* What a running box uses at this moment, one JSON object. Of its container: CPUTime (nanoseconds so far),
 * MemoryUsage and MemoryLimit, PIDs. Of its machine: CPUs, MachineMemory, NetworkReceived, NetworkSent,
 * DiskRead, DiskWritten (bytes so far). Of its processes on the host: HostCPUTime, HostMemory. And Id, Name,
 * Time (nanoseconds since 1970). What cannot be known is null. */
BOXLET_API int boxlet_box_stats(struct boxlet_box *box, char **ret_json, struct boxlet_error *error);

/* ---- Volumes: disks with a name, which outlive the boxes that mount them ---- */

struct boxlet_volume_options {
        size_t size;
        uint64_t size_bytes;       /* 0: 10 GiB; of one that is there: any */
        const char *const *labels; /* "key=value" strings, NULL-terminated */
};
#define BOXLET_VOLUME_OPTIONS_INIT                            \
        {                                                     \
                sizeof(struct boxlet_volume_options), 0, NULL \
        }

/* Makes a volume; one of that name that is there already is fine. name NULL: one is made up. *ret_name may be
 * NULL. Mounting a name that does not exist makes it too. */
BOXLET_API int boxlet_volume_create(struct boxlet *boxlet, const char *name,
                                    const struct boxlet_volume_options *options, char **ret_name,
                                    struct boxlet_error *error);
/* JSON: an array of objects as boxlet_volume_inspect() gives one: Name, CreatedAt, Driver, Scope, Labels,
 * Size, Allocated (bytes on the host), Boxes that refer to it, RunningBoxes among them, Anonymous, Disk. */
BOXLET_API int boxlet_volume_list(struct boxlet *boxlet, char **ret_json, struct boxlet_error *error);
BOXLET_API int boxlet_volume_inspect(struct boxlet *boxlet, const char *name, char **ret_json,
                                     struct boxlet_error *error);
/* -EBUSY while a box refers to it, even one that does not run. force: one that does not exist is fine. */
BOXLET_API int boxlet_volume_remove(struct boxlet *boxlet, const char *name, int force,
                                    struct boxlet_error *error);
/* Removes volumes no box refers to: those without a chosen name, or all. *ret_report: their names, one a
 * line; NULL: none. */
BOXLET_API int boxlet_volume_prune(struct boxlet *boxlet, int all, uint64_t *ret_freed_bytes,
                                   char **ret_report, struct boxlet_error *error);

/* ---- Snapshots: copies of a box's disk, which go with the box ---- */

/*
 * Where the file system of the home can share blocks (btrfs, XFS), a copy takes no room and no time; else the
 * data is copied, holes stay holes. Volumes with a name are not part of it. The file system of a box that
 * runs is frozen while its disk is copied: who writes in the box waits. It is thawed whatever becomes of the
 * caller.
 */
struct boxlet_snapshot_options {
        size_t size;
        const char *name;   /* NULL: date and time */
        int64_t timeout_ms; /* how long a box that runs may be held still: past it the call fails with
                               -ETIMEDOUT; 0: 60 s; at most 600 s */
};
#define BOXLET_SNAPSHOT_OPTIONS_INIT                            \
        {                                                       \
                sizeof(struct boxlet_snapshot_options), NULL, 0 \
        }
/* Makes a snapshot. *ret_name (may be NULL): its name. -EEXIST when the box has one of that name. */
BOXLET_API int boxlet_snapshot_create(struct boxlet_box *box, const struct boxlet_snapshot_options *options,
                                      char **ret_name, struct boxlet_error *error);
/* A JSON array, oldest first, of {"Box", "BoxId", "Name", "CreatedAt", "Size", "Allocated" (bytes on the
 * host; shared ones are counted), "Running" (whether the box ran meanwhile)}. box: name or id; NULL: of all
 * boxes. */
BOXLET_API int boxlet_snapshot_list(struct boxlet *boxlet, const char *box, char **ret_json,
                                    struct boxlet_error *error);
/* Puts the box's disk back to what it was. The snapshot stays. -EBUSY while the box runs. */
BOXLET_API int boxlet_snapshot_restore(struct boxlet_box *box, const char *name, struct boxlet_error *error);
/* -ENOENT when there is none of that name. */
BOXLET_API int boxlet_snapshot_remove(struct boxlet_box *box, const char *name, struct boxlet_error *error);

struct boxlet_clone_options {
        size_t size;
        const char *name;     /* of the new box; NULL: one is made up */
        const char *snapshot; /* its disk is this snapshot; NULL: the disk as it is now */
        int64_t timeout_ms;   /* as with snapshots */
};
#define BOXLET_CLONE_OPTIONS_INIT                                  \
        {                                                          \
                sizeof(struct boxlet_clone_options), NULL, NULL, 0 \
        }
/* Makes a box with the same image, configuration and a copy of the disk, which has not been started. Volumes
 * with a name are the same ones, host ports too: they may keep both from running at once. */
BOXLET_API int boxlet_box_clone(struct boxlet_box *box, const struct boxlet_clone_options *options,
                                struct boxlet_box **ret_box, struct boxlet_error *error);

/* ---- Events: what has happened, from a journal in the home folder ---- */

struct boxlet_event_options {
        size_t size;
        int64_t
            since_ns; /* nanoseconds since 1970; 0: as far back as the journal goes; below 0: from now on */
        int64_t until_ns; /* 0: no end */
        int follow;       /* 1: also what is yet to happen, until until_ns has passed or fn ends it */
};
#define BOXLET_EVENT_OPTIONS_INIT                            \
        {                                                    \
                sizeof(struct boxlet_event_options), 0, 0, 0 \
        }
/* One event, a JSON object: time, timeNano, Type (box, image, volume), Action, Actor {ID, Attributes}, scope.
 * Anything but 0 ends the reading. */
typedef int (*boxlet_event_fn)(const char *json, void *data);
/* Calls fn for each event in the order they were written. The journal is bounded: the oldest events go. With
 * follow this call waits; it may be made beside others on other handles. */
BOXLET_API int boxlet_events(struct boxlet *boxlet, const struct boxlet_event_options *options,
                             boxlet_event_fn fn, void *data, struct boxlet_error *error);

/* ---- Boxes as files ---- */

/* One file, a tar with a checksum: configuration, the image or its name, the disk with its holes. Volumes
 * with a name and folders of the host are not in it, only that the box refers to them. */
struct boxlet_box_save_options {
        size_t size;
        int with_image;     /* 1: the image too; else whoever loads it must have it */
        int64_t timeout_ms; /* as with snapshots: the box may run */
        boxlet_progress_fn progress;
        void *progress_data;
};
#define BOXLET_BOX_SAVE_OPTIONS_INIT                                     \
        {                                                                \
                sizeof(struct boxlet_box_save_options), 0, 0, NULL, NULL \
        }
/* Writes the box to fd, which may be a pipe. */
BOXLET_API int boxlet_box_save(struct boxlet_box *box, int fd, const struct boxlet_box_save_options *options,
                               struct boxlet_error *error);

struct boxlet_box_load_options {
        size_t size;
        const char *name; /* NULL: the one in the file */
        int trusted; /* 1: the box may refer to folders, volumes, sockets, a pid file and a kernel of this
                        host, as the file says; else such a file is refused with -EPERM */
        boxlet_progress_fn progress;
        void *progress_data;
};
#define BOXLET_BOX_LOAD_OPTIONS_INIT                                        \
        {                                                                   \
                sizeof(struct boxlet_box_load_options), NULL, 0, NULL, NULL \
        }
/* Makes a box of what boxlet_box_save() wrote, read from fd, which may be a pipe. The file may come from
 * anybody: -EBADMSG for one that is damaged or something else, -ENOENT when the image is missing. */
BOXLET_API int boxlet_box_load(struct boxlet *boxlet, int fd, const struct boxlet_box_load_options *options,
                               struct boxlet_box **ret_box, struct boxlet_error *error);

/* ---- Processes: a box's init, or a command executed in it ---- */

struct boxlet_exec_options {
        size_t size;
        const char *const *command; /* required */
        const char *const *env;     /* over the box's, likewise */
        const char *user;           /* NULL: the box's */
        const char *working_dir;    /* NULL: the box's */
        int terminal;
        int stdin_open;
        int detached;       /* 1: runs on without the handle, streams to nowhere */
        int64_t timeout_ms; /* 0: none; past it everything the command started is killed: exit code 124 and an
                               error with code -ETIMEDOUT */
};
#define BOXLET_EXEC_OPTIONS_INIT                                                       \
        {                                                                              \
                sizeof(struct boxlet_exec_options), NULL, NULL, NULL, NULL, 0, 0, 0, 0 \
        }

BOXLET_API int boxlet_box_exec(struct boxlet_box *box, const struct boxlet_exec_options *options,
                               struct boxlet_process **ret_process, struct boxlet_error *error);

enum boxlet_stream { BOXLET_STDOUT = 1, BOXLET_STDERR = 2 };

struct boxlet_process_events {
        size_t size;
        /* Output; bytes are lent. Return 0; 1 to be given no more until boxlet_process_resume(). size 0: end
         * of the stream. */
        int (*output)(struct boxlet_process *process, enum boxlet_stream stream, const void *bytes,
                      size_t size, void *data);
        /* The process runs (its exec has succeeded). May be NULL. */
        void (*started)(struct boxlet_process *process, void *data);
        /* It has ended: exit code as a shell tells it (128+N for a signal; 125, 126, 127 as documented for
         * boxlet run), and error (lent) if boxlet failed rather than the command, else NULL. The last call.
         */
        void (*ended)(struct boxlet_process *process, int exit_code, const struct boxlet_error *error,
                      void *data);
        /* The queue of written input is empty again. May be NULL. */
        void (*writable)(struct boxlet_process *process, void *data);
        void *data;
};

/* events is copied. To be called before the first dispatch. */
BOXLET_API int boxlet_process_set_events(struct boxlet_process *process,
                                         const struct boxlet_process_events *events);

/* Readable (poll it for POLLIN) when dispatch has something to do; dispatch never blocks and calls the
 * events. Returns 1 while the process goes on, 0 when it has ended. */
BOXLET_API int boxlet_process_fd(const struct boxlet_process *process);
BOXLET_API int boxlet_process_dispatch(struct boxlet_process *process, struct boxlet_error *error);
/* Dispatches until the end. *ret_exit_code as in ended(). Fails only if boxlet failed. */
BOXLET_API int boxlet_process_wait(struct boxlet_process *process, int *ret_exit_code,
                                   struct boxlet_error *error);

/* Queues input; returns how many bytes were taken (0: the queue is full, wait for writable()). */
BOXLET_API int64_t boxlet_process_write(struct boxlet_process *process, const void *bytes, size_t size,
                                        struct boxlet_error *error);
BOXLET_API int boxlet_process_close_stdin(struct boxlet_process *process, struct boxlet_error *error);
BOXLET_API int boxlet_process_resize(struct boxlet_process *process, unsigned rows, unsigned columns,
                                     struct boxlet_error *error);
BOXLET_API int boxlet_process_signal(struct boxlet_process *process, int signal, struct boxlet_error *error);
BOXLET_API void boxlet_process_resume(struct boxlet_process *process);
/* Lets the process run on without this handle (then free it): a foreground box becomes a detached one, an
 * exec goes on with its output to nowhere. Waits for the other side's word, at most 10 s; ended() may be
 * called meanwhile. */
BOXLET_API int boxlet_process_detach(struct boxlet_process *process, struct boxlet_error *error);
/* Frees the handle. A foreground box or exec that still runs is ended with it. */
BOXLET_API void boxlet_process_free(struct boxlet_process *process);

#ifdef __cplusplus
}
#endif
#endif
