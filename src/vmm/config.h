/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What boxlet-vmm is told to run: the document of docs/protocol.md section 2. */

#define CONFIG_TEXT_MAX   (64U << 10)
#define CONFIG_DISKS_MAX  26 /* vda to vdz */
#define CONFIG_SHARES_MAX 256
#define CONFIG_FDS_MAX    (CONFIG_DISKS_MAX + CONFIG_SHARES_MAX + 10) /* that a configuration can name */
#define CONFIG_CPUS_MAX   64
#define CONFIG_MEMORY_MIN (UINT64_C(16) << 20)
#define CONFIG_MEMORY_MAX (UINT64_C(1) << 40)
/* The guest's kernel takes 2048 bytes (COMMAND_LINE_SIZE on x86); ours and the devices' words need some of
 * it. */
#define CONFIG_ARGUMENTS_MAX 1024

enum config_engine { CONFIG_ENGINE_QEMU, CONFIG_ENGINE_KVM };
enum config_accel { CONFIG_ACCEL_TCG, CONFIG_ACCEL_KVM };

struct config_disk {
        int fd;
        bool readonly;
};

/* A folder or file of the host that the guest gets, by an O_PATH descriptor. */
enum config_cache { CONFIG_CACHE_AUTO, CONFIG_CACHE_ALWAYS, CONFIG_CACHE_NONE };

struct config_share {
        int fd;
        bool readonly;
        enum config_cache cache;
};

/* What a machine has to do with a template (wire/template.h), a pair of files. */
enum config_template {
        CONFIG_TEMPLATE_NONE,
        CONFIG_TEMPLATE_USE, /* it begins as a copy of one */
        CONFIG_TEMPLATE_MAKE /* it becomes one, has no devices, and then ends */
};

struct config {
        enum config_engine engine;
        enum config_accel accel; /* QEMU's */
        unsigned cpus;
        uint64_t memory_bytes;
        int kernel_fd;
        int initrd_fd;
        char *kernel_arguments;
        struct config_disk disks[CONFIG_DISKS_MAX];
        unsigned disk_count;
        struct config_share shares[CONFIG_SHARES_MAX];
        unsigned share_count;
        enum config_template template; /* QEMU's */
        int template_memory_fd,
            template_state_fd; /* -1: none; read, or written: memory_bytes are in the first */
        int net_fd;            /* -1: no network */
        char mac[18];
        int console_fd;
        int vsock_fd; /* -1: none, in a template */
        int monitor_fd;
        int log_fd;
        int kvm_fd;         /* /dev/kvm, for engine kvm; else -1 */
        bool jail_required; /* the machine does not start if the host allows less than the whole jail */
        bool debug_console; /* a serial port that shows all of the kernel's messages; engine kvm */
        char *qemu;         /* NULL for engine kvm */
};

/* Parses and checks the document; config_done() it. The descriptors are numbers only: nothing is opened or
 * looked at. */
int config_parse(const char *text, size_t size, struct config *ret_config, struct error *err);
void config_done(struct config *config);

/* Are the descriptors open, and of the kinds that they must be? */
int config_check_fds(const struct config *config, struct error *err);

#endif
