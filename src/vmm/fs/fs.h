/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_FS_FS_H
#define VMM_FS_FS_H

/*
 * The file server of a box: carries out FUSE requests (linux/fuse.h, protocol 7.31 and later) on folders and
 * files of the host, the shares. It knows no queue and no transport: a request is segments to read and
 * segments to fill.
 *
 * What the guest mounts has a root of our own, which cannot be changed and whose entries "0", "1", "2" ...
 * are the shares, in the order they were given. docs/shares.md says what the guest may expect of owners,
 * modes and caches.
 *
 * Threads: fs_serve() may be called by several at once, each with a scratch of its own. The others are for
 * one thread while nobody serves.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define FS_SHARES_MAX 256

/* How long the guest may believe what it was told: a second, a day, or not at all (and then no page is kept).
 */
enum fs_cache { FS_CACHE_AUTO, FS_CACHE_ALWAYS, FS_CACHE_NONE };

struct fs_share {
        int fd; /* O_PATH descriptor of a folder or a regular file; stays the caller's */
        bool readonly;
        enum fs_cache cache;
};

/* Whose files the guest sees. */
enum fs_owners {
        FS_OWNERS_REAL,   /* ids are the host's: boxlet runs as root */
        FS_OWNERS_MAPPED, /* this user's files are the guest root's; other owners are kept in an attribute */
};

struct fs_options {
        const struct fs_share *shares;
        unsigned share_count;
        unsigned descriptor_max; /* how many the server may have open; at least FS_DESCRIPTORS_MIN */
        unsigned node_max;       /* how many files the guest may know at a time; 0: 4 Mi */
        enum fs_owners owners;
        int proc_fd; /* O_PATH descriptor of /proc/self/fd; stays the caller's */
};

#define FS_DESCRIPTORS_MIN 64

struct fs;

int fs_new(const struct fs_options *options, struct fs **ret_fs, struct error *err);
void fs_free(struct fs *fs);

/* The guest begins anew: everything it looked up or opened is forgotten. */
void fs_reset(struct fs *fs);

/*
 * Makes the calling thread one that may call fs_serve(): its working folder becomes proc_fd, its umask 0,
 * both for this thread alone.
 */
int fs_enter_thread(const struct fs *fs);

struct fs_request {
        const struct iovec *out; /* what the guest sent */
        unsigned out_count;
        size_t out_bytes;
        const struct iovec *in; /* what the reply goes into */
        unsigned in_count;
        size_t in_bytes;
};

#define FS_SEGMENTS_MAX  256
#define FS_ARGUMENTS_MAX (72U << 10) /* the longest request but for written data: an attribute of 64 KiB */
#define FS_REPLY_MAX     (64U << 10) /* the longest reply but for read data */

/* A thread's own. */
struct fs_scratch {
        struct iovec iov[FS_SEGMENTS_MAX];
        uint8_t arguments[FS_ARGUMENTS_MAX + 1];
        uint8_t reply[FS_REPLY_MAX];
        uint8_t entries[32U << 10]; /* of a folder, as the host has them */
};

/* Serves one request and returns how many bytes of the reply's segments were filled; 0: there is no reply.
 * FS_LATER: it waits for a lock and is to be served again, at the latest when somebody on the host may have
 * let go of it, or to be refused (a second answer of a few bytes). Only then is the request unanswered. */
#define FS_LATER SIZE_MAX
size_t fs_refuse(const struct fs_request *request, int error);

/* Changes whenever a lock was let go of through the server. */
unsigned fs_unlocks(struct fs *fs);

size_t fs_serve(struct fs *fs, struct fs_scratch *scratch, const struct fs_request *request);

#endif
