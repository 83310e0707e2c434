/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FUSE_CLIENT_H
#define UNIT_FUSE_CLIENT_H

/*
 * The guest's side of the file server, for tests: makes requests as they should be, and, byte by byte, as
 * they should not. One server, one thread; a test that wants more calls fs_serve() itself.
 */
#include "vmm/fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENT_BYTES (600U << 10)
#define CLIENT_LATER 2 /* the request waits for a lock */

struct client {
        struct fs *fs;
        struct fs_scratch *scratch;
        struct fs_share shares[4];
        unsigned share_count;
        unsigned descriptors;
        unsigned nodes; /* 0: as many as it likes */
        enum fs_owners owners;
        int proc_fd;
        uint32_t uid, gid;
        uint8_t *out, *in; /* the request, the reply */
        size_t in_room;    /* how much of `in` the guest gives */
        size_t filled;     /* of the last reply */
        uint64_t unique;
};

static inline void client_share(struct client *c, int fd, bool readonly, enum fs_cache cache)
{
        c->shares[c->share_count++] = (struct fs_share){.fd = fd, .readonly = readonly, .cache = cache};
}

/* Sends what is in out, `bytes` long, and returns the reply's error (0 or below), or 1 when there was none.
 */
static inline int client_send(struct client *c, size_t bytes)
{
        struct fuse_out_header head = {.error = 1};
        /* in pieces, as guests send it */
        size_t first = bytes < sizeof(struct fuse_in_header) ? bytes : sizeof(struct fuse_in_header);
        size_t reply = c->in_room < sizeof(head) ? c->in_room : sizeof(head);
        struct iovec out[2] = {{c->out, first}, {c->out + first, bytes - first}};
        struct iovec in[3] = {{c->in, reply},
                              {c->in + reply, (c->in_room - reply) / 2},
                              {c->in + reply + (c->in_room - reply) / 2,
                               c->in_room - reply - (c->in_room - reply) / 2}};
        struct fs_request request = {
            .out = out, .out_count = 2, .out_bytes = bytes, .in = in, .in_count = 3, .in_bytes = c->in_room};
        c->filled = fs_serve(c->fs, c->scratch, &request);
        if (c->filled == FS_LATER)
                return CLIENT_LATER;
        if (c->filled == 0)
                return 1;
        if (c->filled < sizeof(head) || c->filled > c->in_room)
                abort();
        memcpy(&head, c->in, sizeof(head));
        if (head.len != c->filled || head.unique != c->unique || head.error > 0 ||
            (head.error != 0 && head.len != sizeof(head)))
                abort();
        return head.error;
}

/* A whole request: fixed fields, then any bytes. */
static inline int client_call(struct client *c, uint32_t opcode, uint64_t node, const void *fixed,
                              size_t fixed_size, const void *rest, size_t rest_size)
{
        struct fuse_in_header head = {
            .opcode = opcode, .nodeid = node, .unique = ++c->unique, .uid = c->uid, .gid = c->gid};
        head.len = (uint32_t)(sizeof(head) + fixed_size + rest_size);
        memcpy(c->out, &head, sizeof(head));
        if (fixed_size > 0)
                memcpy(c->out + sizeof(head), fixed, fixed_size);
        if (rest_size > 0)
                memcpy(c->out + sizeof(head) + fixed_size, rest, rest_size);
        return client_send(c, head.len);
}

static inline const void *client_reply(const struct client *c)
{
        return c->in + sizeof(struct fuse_out_header);
}

static inline int client_init(struct client *c)
{
        struct fuse_init_in in = {.major = 7, .minor = 36, .max_readahead = 131072, .flags = ~0U};
        return client_call(c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0);
}

/* Starts a server for the shares that were added; aborts when that fails. */
static inline void client_begin(struct client *c)
{
        struct error err = ERROR_INIT;
        c->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct fs_options options = {.shares = c->shares,
                                     .share_count = c->share_count,
                                     .descriptor_max = c->descriptors != 0 ? c->descriptors : 256,
                                     .node_max = c->nodes,
                                     .owners = c->owners,
                                     .proc_fd = c->proc_fd};
        c->scratch = calloc(1, sizeof(*c->scratch));
        c->out = malloc(CLIENT_BYTES);
        c->in = malloc(CLIENT_BYTES);
        c->in_room = CLIENT_BYTES;
        if (c->scratch == NULL || c->out == NULL || c->in == NULL || fs_new(&options, &c->fs, &err) < 0 ||
            fs_enter_thread(c->fs) < 0 || client_init(c) != 0)
                abort();
}

static inline void client_end(struct client *c)
{
        fs_free(c->fs);
        free(c->scratch);
        free(c->out);
        free(c->in);
        (void)close(c->proc_fd);
}

static inline int client_lookup(struct client *c, uint64_t dir, const char *name,
                                struct fuse_entry_out *ret_entry)
{
        int r = client_call(c, FUSE_LOOKUP, dir, NULL, 0, name, strlen(name) + 1);
        if (r == 0)
                memcpy(ret_entry, client_reply(c), sizeof(*ret_entry));
        return r;
}

/* The number of what is at that path beneath the root of all shares; aborts when there is nothing. */
static inline uint64_t client_walk(struct client *c, const char *path)
{
        struct fuse_entry_out entry = {.nodeid = FUSE_ROOT_ID};
        char copy[4096];
        char *rest = copy, *name;
        if (strlen(path) >= sizeof(copy))
                abort();
        memcpy(copy, path, strlen(path) + 1);
        while ((name = strsep(&rest, "/")) != NULL) {
                if (client_lookup(c, entry.nodeid, name, &entry) != 0)
                        abort();
        }
        return entry.nodeid;
}

static inline int client_open(struct client *c, uint32_t opcode, uint64_t node, uint32_t flags,
                              struct fuse_open_out *ret)
{
        struct fuse_open_in in = {.flags = flags};
        int r = client_call(c, opcode, node, &in, sizeof(in), NULL, 0);
        if (r == 0)
                memcpy(ret, client_reply(c), sizeof(*ret));
        return r;
}

static inline int client_create(struct client *c, uint64_t dir, const char *name, uint32_t flags,
                                uint32_t mode, struct fuse_entry_out *ret_entry,
                                struct fuse_open_out *ret_open)
{
        struct fuse_create_in in = {.flags = flags | O_CREAT, .mode = mode};
        int r = client_call(c, FUSE_CREATE, dir, &in, sizeof(in), name, strlen(name) + 1);
        if (r == 0) {
                memcpy(ret_entry, client_reply(c), sizeof(*ret_entry));
                memcpy(ret_open, (const uint8_t *)client_reply(c) + sizeof(*ret_entry), sizeof(*ret_open));
        }
        return r;
}

/* Returns how many bytes were read (client_reply() has them), or the error. */
static inline int client_read(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
        struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
        int r = client_call(c, FUSE_READ, node, &in, sizeof(in), NULL, 0);
        return r < 0 ? r : (int)(c->filled - sizeof(struct fuse_out_header));
}

static inline int client_write(struct client *c, uint64_t node, uint64_t fh, uint64_t offset,
                               const void *bytes, size_t size)
{
        struct fuse_write_in in = {.fh = fh, .offset = offset, .size = (uint32_t)size};
        int r = client_call(c, FUSE_WRITE, node, &in, sizeof(in), bytes, size);
        return r < 0 ? r : (int)((const struct fuse_write_out *)client_reply(c))->size;
}

static inline int client_release(struct client *c, uint32_t opcode, uint64_t node, uint64_t fh)
{
        struct fuse_release_in in = {.fh = fh};
        return client_call(c, opcode, node, &in, sizeof(in), NULL, 0);
}

static inline int client_getattr(struct client *c, uint64_t node, struct fuse_attr *ret_attr)
{
        struct fuse_getattr_in in = {.getattr_flags = 0};
        int r = client_call(c, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0);
        if (r == 0)
                memcpy(ret_attr, &((const struct fuse_attr_out *)client_reply(c))->attr, sizeof(*ret_attr));
        return r;
}

static inline int client_name(struct client *c, uint32_t opcode, uint64_t dir, const char *name)
{
        return client_call(c, opcode, dir, NULL, 0, name, strlen(name) + 1);
}

static inline void client_forget(struct client *c, uint64_t node, uint64_t count)
{
        struct fuse_forget_in in = {.nlookup = count};
        if (client_call(c, FUSE_FORGET, node, &in, sizeof(in), NULL, 0) != 1)
                abort();
}

static inline int client_rename(struct client *c, uint64_t from, const char *name, uint64_t to,
                                const char *new_name, uint32_t flags)
{
        struct fuse_rename2_in in = {.newdir = to, .flags = flags};
        char names[600];
        size_t first = strlen(name) + 1, second = strlen(new_name) + 1;
        if (first + second > sizeof(names))
                abort();
        memcpy(names, name, first);
        memcpy(names + first, new_name, second);
        return client_call(c, FUSE_RENAME2, from, &in, sizeof(in), names, first + second);
}

#endif
