/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

/*
 * How boxlet-vmm gives its privileges away, in stages that must be taken in this order. After the last one,
 * whoever has taken over the process through a device can use the descriptors it holds, and little else.
 * docs/machine.md has the stages for people.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* What a host may refuse us, as bits. Without the first three, other walls stand: see jail_describe(). */
enum jail_lack {
        JAIL_LACKS_USER = 1,     /* a user namespace: root stays root, without capabilities */
        JAIL_LACKS_SPACES = 2,   /* namespaces for network, IPC or processes */
        JAIL_LACKS_ROOT = 4,     /* an empty root folder */
        JAIL_LACKS_LANDLOCK = 8, /* this kernel has none, or has it switched off */
        JAIL_LACKS_FILTER = 16,  /* system call filters: a build with sanitizers */
};

struct jail {
        unsigned lacks;     /* of enum jail_lack */
        bool own_processes; /* a process namespace of its own, for what is forked next */
        bool own_ids;       /* with map_ids: ids are the host's, and files can be given to anybody */
        bool own_mounts;    /* a mount namespace of its own, from which nothing spreads to the host */
};

/* 1. First thing: no descriptor is open but 0 to 2 and those listed. */
int jail_close_others(const int *keep, size_t count, struct error *err);

/* 2. Before the engine is started and before there are threads. The engine inherits it: ends with its parent,
 * cannot gain privileges by execve(2), leaves no core (guest memory is in it), and is in user, mount,
 * process, network and IPC namespaces of its own, as far as the host allows. It returns in a child of the
 * process that called it, the first of the process namespace; the caller itself only waits for it, with its
 * exit status. */
int jail_before_engine(struct jail *jail, bool map_ids, struct error *err);

/* 3. When everything that needs a path is open: an empty root, no capabilities, no file but those open,
 * limits, and the main thread's system calls. */
int jail_before_guest(const struct jail *jail, struct error *err);

/* 4. First thing in a further thread, which must have been made before stage 3: no capabilities, no file by a
 * path, and only its kind's system calls. */
int jail_vcpu_thread(struct error *err);
int jail_disk_thread(void *unused);

/* The same for one that serves shared folders. It keeps these capabilities, its working folder, and, with a
 * ruleset, what is beneath the shares; -1: any path that there still is. */
int jail_files_thread(unsigned capabilities, int ruleset, struct error *err);

struct jail_share {
        int fd; /* of a folder or file */
        bool readonly;
};

/* For jail_files_thread(). *ret_ruleset is a descriptor. -EOPNOTSUPP: this kernel cannot do it. */
int jail_shares_new(const struct jail_share *shares, size_t count, int *ret_ruleset, struct error *err);

/* Writes in words what is weaker than it should be; an empty text if nothing is. */
void jail_describe(unsigned lacks, char *text, size_t size);

/* True if so much is missing that `--jail require` refuses: Landlock alone only repeats what an empty root
 * does. */
bool jail_too_weak(unsigned lacks);

#endif
