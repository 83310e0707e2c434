/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_CONFIG_H
#define MONITOR_CONFIG_H

#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "wire/restart.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* box.json, read and checked (docs/protocol.md, section 6). */

#define CONFIG_SIZE_MAX     (4U << 20)
#define CONFIG_PUBLISH_MAX  4096
#define CONFIG_ADDRESS_MAX  46
#define CONFIG_FORWARDS_MAX 16
#define CONFIG_DISKS_MAX    24 /* vda and vdb are the box's own */

struct publish {
        char address[CONFIG_ADDRESS_MAX]; /* "": any address, IPv4 and IPv6 */
        uint16_t host_port;               /* 0: any free one */
        uint16_t box_port;
        bool udp;
};

/* A unix socket of the host, made by the starter, that leads to one in the box. */
struct config_forward {
        int fd; /* listening */
        const char *path, *guest_path;
        struct path_mark mark; /* of the file at path */
};

/* A disk with a name (volume), which the starter opened, locked and handed down. */
struct config_disk {
        int fd;
        const char *name, *path; /* path: what an empty one is filled from; may be NULL */
        bool readonly;
};

/* Checks of its health; args NULL: none. */
struct config_health {
        const json_t *args;
        int64_t interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms;
};

struct config {
        json_t *document; /* owns what the pointers below lend */
        const char *id, *name;
        const char *vmm, *qemu, *passt;
        const char *engine, *accel, *kernel, *initrd, *kernel_arguments;
        const char *template; /* a folder; NULL: the machine boots */
        bool debug_console;
        const char *jail;
        const char *image, *disk; /* disk NULL: the upper folder is a tmpfs */
        const char *hostname;
        int64_t cpus, memory_bytes, boot_timeout_ms;
        int64_t stop_signal, stop_timeout_ms;
        bool readonly, stdin_open, terminal, auto_remove;
        const json_t *volumes, *hosts, *sysctl, *spec; /* the first three may be NULL */
        const json_t *shares;                          /* folders and files of the host; may be NULL */
        struct config_disk disks[CONFIG_DISKS_MAX];
        size_t disk_count;
        struct config_forward forwards[CONFIG_FORWARDS_MAX];
        size_t forward_count;
        const json_t *command; /* process object that runs beside init, or NULL: see has_command */
        bool has_command;      /* the terminal, stdin and the end of the box are the command's */
        bool has_network;
        struct publish *publish;
        size_t publish_count;
        const json_t *dns, *search; /* may be NULL */
        bool nested_names;          /* containers in the box are to know host.boxlet.internal too */
        int64_t log_maximum_bytes, log_files;
        const char *pid_file;            /* may be NULL */
        const char *events_folder;       /* of the journal; may be NULL */
        const json_t *events_attributes; /* may be NULL */
        struct restart_policy restart;
        int64_t stop_after_ms, idle_stop_ms; /* 0: never */
        struct config_health health;
};

/* Parses and checks. On failure err says which member is wrong and why; *ret_config is left alone. */
int config_parse(const char *text, size_t size, struct config *ret_config, struct error *err);
void config_done(struct config *config);

/* Lets go of the container's specification (and the command), which is the bulk of the document, once it has
 * been used. */
void config_drop_spec(struct config *config);

/* Takes them again from the text of box.json, for another start. */
int config_take_spec(struct config *config, const char *text, size_t size, struct error *err);

#endif
