/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server against a hostile guest, on a small tree of its own. Input: messages, each
 *
 *     0      opcode
 *     1      node: 0 the root, up to 0x7f one that was learnt, else a number of no node
 *     2      bit 7: the first 8 bytes of the fields become a handle that was opened, bits 0 to 6 say which
 *     3      bits 0-2: how the lengths lie; bits 3-7: room for the reply, 0 for much
 *     4..5   length of the fields
 *     6..    the fields
 *
 * Beside the shared folder lies a file that nobody may touch and nothing may be put: it is looked at at the
 * end.
 */
#include "base/path.h"
#include "vmm/fs/fs.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_SIZE  6
#define KNOWN_MAX  32
#define REPLY_ROOM 70000

struct guest {
        struct fs *fs;
        uint64_t nodes[KNOWN_MAX], handles[KNOWN_MAX];
        unsigned node_count, handle_count;
        uint64_t unique;
};

static struct fs_scratch scratch;

/* What lies outside: random, so that no input holds it but one that read it. */
static char secret[17];

static bool holds_secret(const uint8_t *bytes, size_t size)
{
        for (size_t at = 0; at + 16 <= size; at++) {
                size_t same = 0;
                while (same < 16 && bytes[at + same] == (uint8_t)secret[same])
                        same++;
                if (same == 16)
                        return true;
        }
        return false;
}

static void put_file(int dir, const char *name, const char *text)
{
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                abort();
        (void)close(fd);
}

/* A folder "share" with a little in it, and "outside" beside it. */
static int make_tree(char *path, int *ret_share)
{
        if (mkdtemp(path) == NULL)
                abort();
        int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (top < 0 || mkdirat(top, "share", 0755) < 0 || mkdirat(top, "share/d", 0755) < 0 ||
            symlinkat("../outside", top, "share/l") < 0)
                abort();
        put_file(top, "outside", secret);
        put_file(top, "share/f", "contents");
        put_file(top, "share/d/g", "more");
        *ret_share = openat(top, "share", O_PATH | O_CLOEXEC);
        return top;
}

/* Nothing was made, changed or read beside the share. */
static void check_tree(int top)
{
        uint8_t text[32];
        struct stat st;
        int fd = openat(top, "outside", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text)) != 16 || !holds_secret(text, 16) || fstat(fd, &st) < 0 ||
            (st.st_mode & 07777) != 0644 || st.st_nlink != 1)
                abort();
        (void)close(fd);
        if (fstat(top, &st) < 0 || unlinkat(top, "outside", 0) < 0 || path_remove_all_at(top, "share") < 0)
                abort();
}

static void learn(struct guest *g, uint32_t opcode, const uint8_t *reply, size_t size)
{
        struct fuse_entry_out entry;
        struct fuse_open_out opened;
        bool has_entry = opcode == FUSE_LOOKUP || opcode == FUSE_CREATE || opcode == FUSE_MKDIR ||
                         opcode == FUSE_MKNOD || opcode == FUSE_SYMLINK || opcode == FUSE_LINK;
        size_t at = has_entry ? sizeof(entry) : 0;
        if (has_entry && size >= sizeof(entry)) {
                memcpy(&entry, reply, sizeof(entry));
                g->nodes[g->node_count++ % KNOWN_MAX] = entry.nodeid;
        }
        if ((opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_CREATE) &&
            size >= at + sizeof(opened)) {
                memcpy(&opened, reply + at, sizeof(opened));
                g->handles[g->handle_count++ % KNOWN_MAX] = opened.fh;
        }
}

static void serve(struct guest *g, const uint8_t *message, size_t length)
{
        static uint8_t out[sizeof(struct fuse_in_header) + 65536], in[REPLY_ROOM];
        struct fuse_in_header head = {.opcode = message[0],
                                      .nodeid = 1,
                                      .unique = ++g->unique,
                                      .uid = message[3] & 8 ? 1000 : 0};
        struct fuse_out_header reply;
        size_t bytes = sizeof(head) + length,
               room = (message[3] >> 3) == 0 ? sizeof(in) : (size_t)(message[3] >> 3) * 8;
        if (message[1] > 0x7f)
                head.nodeid = UINT64_MAX - message[1];
        else if (message[1] > 0 && g->node_count > 0)
                head.nodeid = g->nodes[message[1] % (g->node_count < KNOWN_MAX ? g->node_count : KNOWN_MAX)];
        memcpy(out + sizeof(head), message + HEAD_SIZE, length);
        if ((message[2] & 0x80) && length >= 8 && g->handle_count > 0)
                memcpy(out + sizeof(head),
                       &g->handles[(message[2] & 0x7f) %
                                   (g->handle_count < KNOWN_MAX ? g->handle_count : KNOWN_MAX)],
                       8);
        head.len = (uint32_t)bytes;
        if ((message[3] & 7) == 1)
                head.len++;
        if ((message[3] & 7) == 2)
                bytes = bytes > 3 ? bytes - 3 : 0;
        memcpy(out, &head, sizeof(head));
        struct iovec to[2] = {{in, room / 3}, {in + room / 3, room - room / 3}};
        struct iovec from[2] = {{out, bytes / 2}, {out + bytes / 2, bytes - bytes / 2}};
        struct fs_request request = {
            .out = from, .out_count = 2, .out_bytes = bytes, .in = to, .in_count = 2, .in_bytes = room};
        size_t n = fs_serve(g->fs, &scratch, &request);
        if (n == FS_LATER)
                n = fs_refuse(&request, -4); /* EINTR */
        if (n == 0)
                return;
        memcpy(&reply, in, sizeof(reply));
        if (n > room || reply.len != n || reply.error > 0 || reply.error < -4095)
                abort();
        if (holds_secret(in, n))
                abort();
        if (reply.error == 0)
                learn(g, head.opcode, in + sizeof(reply), n - sizeof(reply));
}

static void prepare(void)
{
        if (secret[0] != '\0')
                return;
        for (size_t i = 0; i < 16; i++) { /* no NUL: it is a text */
                if (getrandom(&secret[i], 1, 0) != 1)
                        abort();
                secret[i] = (char)(secret[i] | 1);
        }
        struct rlimit file = {1 << 20, 1 << 20};
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &file) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char path[] = "/dev/shm/fuzz-fs.XXXXXX";
        struct error err = ERROR_INIT;
        struct guest g = {.node_count = 0};
        struct fs_share shares[2] = {{.cache = FS_CACHE_NONE}, {.readonly = true, .cache = FS_CACHE_ALWAYS}};
        prepare();
        int top = make_tree(path, &shares[0].fd);
        int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        shares[1].fd = shares[0].fd;
        struct fs_options options = {.shares = shares,
                                     .share_count = 2,
                                     .descriptor_max = FS_DESCRIPTORS_MIN,
                                     .owners = size > 0 && data[0] & 1 ? FS_OWNERS_REAL : FS_OWNERS_MAPPED,
                                     .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)};
        mode_t mask = umask(0);
        if (fs_new(&options, &g.fs, &err) < 0 || fchdir(options.proc_fd) < 0)
                abort();
        for (size_t at = 1; at + HEAD_SIZE <= size;) {
                size_t length = (size_t)data[at + 4] | (size_t)data[at + 5] << 8;
                if (length > size - at - HEAD_SIZE)
                        length = size - at - HEAD_SIZE;
                serve(&g, data + at, length);
                at += HEAD_SIZE + length;
        }
        fs_free(g.fs);
        if (fchdir(here) < 0)
                abort();
        (void)umask(mask);
        (void)close(here);
        (void)close(options.proc_fd);
        (void)close(shares[0].fd);
        check_tree(top);
        (void)close(top);
        if (rmdir(path) < 0)
                abort(); /* something else is in there */
        return 0;
}
