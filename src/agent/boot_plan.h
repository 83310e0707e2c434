/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_BOOT_PLAN_H
#define AGENT_BOOT_PLAN_H

#include "base/error.h"
#include "base/json.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_address {
        bool present;
        int family; /* AF_INET or AF_INET6 */
        uint8_t address[16];
        uint8_t prefix;
        bool has_gateway;
        uint8_t gateway[16];
};

struct boot_sysctl {
        char *path; /* below /proc/sys */
        char *value;
};

#define BOOT_SERVERS_MAX 8

struct boot_server {
        int family; /* AF_INET or AF_INET6 */
        uint8_t address[16];
        uint16_t port; /* 53 */
};

/* The box's own name server (names.c), which is what resolv.conf then names. */
struct boot_resolver {
        bool present;
        uint8_t listen[4]; /* on the interface lo */
        char name[254];    /* the one name it knows */
        bool has_answer;   /* else the name is there, and has no address */
        uint8_t answer[4];
        struct boot_server servers[BOOT_SERVERS_MAX]; /* who knows the rest: the network's "dns" */
        size_t server_count;
};

/* A disk with a name, besides the box's own. */
struct boot_disk {
        char *name;   /* no '/', not "." or ".." */
        char *device; /* block device with ext4 */
        char *path;   /* place in the image that an empty one is filled from; NULL: none */
        bool readonly;
};

/* The boot request (docs/protocol.md, section 3), checked. */
struct boot_plan {
        int64_t time_ns; /* 0: leave the clock */
        uint8_t entropy[64];
        size_t entropy_size;
        char hostname[65];
        char *lower; /* block device with the image's EROFS */
        char *upper; /* block device with ext4; NULL: memory */
        bool readonly;
        char **volumes; /* absolute paths */
        char *shares;   /* tag of the virtio-fs device with the host's folders; NULL: none */
        struct boot_disk *disks;
        size_t disk_count;
        bool has_network;
        uint8_t mac[6];
        int mtu; /* 0: the default */
        struct boot_address addresses[2];
        struct boot_resolver resolver;
        char *hosts;       /* contents of /etc/hosts */
        char *resolv_conf; /* the same; NULL without a network */
        struct boot_sysctl *sysctls;
        size_t sysctl_count;
};

int boot_plan_parse(const json_t *request, struct boot_plan **ret_plan, struct error *err);
void boot_plan_free(struct boot_plan *plan);

#endif
