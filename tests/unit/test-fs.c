/* SPDX-License-Identifier: Apache-2.0 */
/* The file server, asked as a guest asks: what it does, what it refuses, and what it keeps within. */
#include "harness.h"

#include "fuse-client.h"
#include "vmm/fs/owner.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/xattr.h>

static struct client client;
static struct fuse_entry_out entry;
static struct fuse_open_out opened;
static int folder;

static void write_file(int dir, const char *name, const char *text)
{
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        (void)close(fd);
}

static void assert_file(int dir, const char *name, const char *text)
{
        char bytes[4096];
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        ssize_t n = read(fd, bytes, sizeof(bytes) - 1);
        assert_int_equal(n, (ssize_t)strlen(text));
        bytes[n] = '\0';
        assert_string_equal(bytes, text);
        (void)close(fd);
}

static bool is_there(int dir, const char *name)
{
        return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Share 0 is the folder "share", share 1 the same read-only; "outside" lies beside them. */
static void begin(unsigned descriptors, enum fs_owners owners)
{
        int top;
        (void)unit_folder(&top);
        assert_int_equal(mkdirat(top, "share", 0755), 0);
        write_file(top, "outside", "secret");
        folder = openat(top, "share", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int path = openat(top, "share", O_PATH | O_CLOEXEC);
        memset(&client, 0, sizeof(client));
        client.descriptors = descriptors;
        client.owners = owners;
        client_share(&client, path, false, FS_CACHE_AUTO);
        client_share(&client, path, true, FS_CACHE_NONE);
        client_begin(&client);
}

static void end(void)
{
        client_end(&client);
        (void)close(client.shares[0].fd);
        (void)close(folder);
}

static uint64_t share(void)
{
        return client_walk(&client, "0");
}

static void files_are_made_written_and_read(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        uint64_t root = share();
        assert_int_equal(client_create(&client, root, "file", O_RDWR, 0640, &entry, &opened), 0);
        assert_int_equal(entry.attr.mode, S_IFREG | 0640);
        assert_int_equal(entry.attr.uid, 0);
        assert_int_equal(client_write(&client, entry.nodeid, opened.fh, 0, "hello, file", 11), 11);
        assert_file(folder, "file", "hello, file");
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 7, 100), 4);
        assert_memory_equal(client_reply(&client), "file", 4);
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 1000, 100), 0);
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, UINT64_MAX, 100), -EINVAL);
        assert_int_equal(client_release(&client, FUSE_RELEASE, entry.nodeid, opened.fh), 0);
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 0, 1), -EBADF);
        /* a large one, both ways */
        static uint8_t bytes[512 << 10];
        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * 7 + i / 251);
        assert_int_equal(client_open(&client, FUSE_OPEN, entry.nodeid, O_RDWR | O_TRUNC, &opened), 0);
        assert_int_equal(client_write(&client, entry.nodeid, opened.fh, 0, bytes, sizeof(bytes)),
                         (int)sizeof(bytes));
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 0, sizeof(bytes)), (int)sizeof(bytes));
        assert_memory_equal(client_reply(&client), bytes, sizeof(bytes));
        struct fuse_copy_file_range_in copy = {.fh_in = opened.fh,
                                               .off_in = 0,
                                               .nodeid_out = entry.nodeid,
                                               .fh_out = opened.fh,
                                               .off_out = 1 << 20,
                                               .len = 4096};
        assert_int_equal(client_call(&client, FUSE_COPY_FILE_RANGE, entry.nodeid, &copy, sizeof(copy), NULL,
                                     0),
                         0);
        assert_int_equal(((const struct fuse_write_out *)client_reply(&client))->size, 4096);
        struct fuse_lseek_in seek = {.fh = opened.fh, .offset = 600 << 10, .whence = SEEK_DATA};
        assert_int_equal(client_call(&client, FUSE_LSEEK, entry.nodeid, &seek, sizeof(seek), NULL, 0), 0);
        assert_int_equal(((const struct fuse_lseek_out *)client_reply(&client))->offset, 1 << 20);
        struct fuse_fallocate_in allocate = {.fh = opened.fh,
                                             .offset = 0,
                                             .length = 4096,
                                             .mode = 3}; /* a hole */
        assert_int_equal(client_call(&client, FUSE_FALLOCATE, entry.nodeid, &allocate, sizeof(allocate), NULL,
                                     0),
                         0);
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 0, 1), 1);
        assert_int_equal(*(const uint8_t *)client_reply(&client), 0);
        struct fuse_fsync_in sync = {.fh = opened.fh};
        assert_int_equal(client_call(&client, FUSE_FSYNC, entry.nodeid, &sync, sizeof(sync), NULL, 0), 0);
        struct fuse_getattr_in none = {0};
        (void)none;
        assert_int_equal(client_call(&client, FUSE_STATFS, entry.nodeid, NULL, 0, NULL, 0), 0);
        assert_true(((const struct fuse_statfs_out *)client_reply(&client))->st.blocks > 0);
        end();
}

static void names_are_made_moved_and_removed(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        uint64_t root = share();
        struct fuse_mkdir_in make = {.mode = 0755};
        assert_int_equal(client_call(&client, FUSE_MKDIR, root, &make, sizeof(make), "dir", 4), 0);
        memcpy(&entry, client_reply(&client), sizeof(entry));
        uint64_t dir = entry.nodeid;
        assert_int_equal(client_call(&client, FUSE_MKDIR, root, &make, sizeof(make), "dir", 4), -EEXIST);
        assert_int_equal(client_call(&client, FUSE_SYMLINK, dir, NULL, 0, "link\0../../outside", 19), 0);
        memcpy(&entry, client_reply(&client), sizeof(entry));
        assert_int_equal(client_call(&client, FUSE_READLINK, entry.nodeid, NULL, 0, NULL, 0), 0);
        assert_memory_equal(client_reply(&client), "../../outside", 13);
        assert_int_equal(client_open(&client, FUSE_OPEN, entry.nodeid, O_RDONLY, &opened), -ENXIO);
        write_file(folder, "one", "1");
        write_file(folder, "two", "2");
        assert_int_equal(client_rename(&client, root, "one", root, "two", 1), -EEXIST);
        assert_int_equal(client_rename(&client, root, "one", root, "two", 2), 0);
        assert_file(folder, "one", "2");
        assert_int_equal(client_rename(&client, root, "one", dir, "moved", 0), 0);
        assert_file(folder, "dir/moved", "2");
        struct fuse_link_in link = {.oldnodeid = client_walk(&client, "0/two")};
        assert_int_equal(client_call(&client, FUSE_LINK, dir, &link, sizeof(link), "hard", 5), 0);
        memcpy(&entry, client_reply(&client), sizeof(entry));
        assert_int_equal(entry.attr.nlink, 2);
        assert_int_equal(entry.nodeid, link.oldnodeid);
        assert_int_equal(client_name(&client, FUSE_RMDIR, root, "dir"), -ENOTEMPTY);
        assert_int_equal(client_name(&client, FUSE_UNLINK, dir, "hard"), 0);
        assert_int_equal(client_name(&client, FUSE_UNLINK, dir, "link"), 0);
        assert_int_equal(client_name(&client, FUSE_UNLINK, dir, "moved"), 0);
        assert_int_equal(client_name(&client, FUSE_RMDIR, root, "dir"), 0);
        assert_int_equal(client_lookup(&client, root, "dir", &entry), -ENOENT);
        struct fuse_mknod_in node = {.mode = S_IFIFO | 0600};
        assert_int_equal(client_call(&client, FUSE_MKNOD, root, &node, sizeof(node), "fifo", 5), 0);
        memcpy(&entry, client_reply(&client), sizeof(entry));
        assert_int_equal(client_open(&client, FUSE_OPEN, entry.nodeid, O_RDONLY, &opened),
                         -ENXIO); /* nobody waits */
        node.mode = S_IFCHR | 0600;
        node.rdev = 0x103;
        assert_int_equal(client_call(&client, FUSE_MKNOD, root, &node, sizeof(node), "null", 5), -EPERM);
        assert_false(is_there(folder, "null"));
        end();
}

static void only_one_component_is_a_name(void **state)
{
        (void)state;
        static const char *const bad[] = {"",    ".",    "..",        "/",         "a/b",        "../outside",
                                          "a/.", "/etc", "sub/../..", "./outside", "..\0outside"};
        begin(0, FS_OWNERS_MAPPED);
        uint64_t root = share();
        struct fuse_mkdir_in make = {.mode = 0755};
        struct fuse_create_in create = {.flags = O_CREAT | O_RDWR, .mode = 0644};
        struct fuse_link_in link;
        write_file(folder, "file", "x");
        link.oldnodeid = client_walk(&client, "0/file");
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                size_t size = i + 1 == sizeof(bad) / sizeof(bad[0]) ? 11 : strlen(bad[i]) + 1;
                assert_int_equal(client_call(&client, FUSE_LOOKUP, root, NULL, 0, bad[i], size), -EINVAL);
                assert_int_equal(client_call(&client, FUSE_MKDIR, root, &make, sizeof(make), bad[i], size),
                                 -EINVAL);
                assert_int_equal(client_call(&client, FUSE_CREATE, root, &create, sizeof(create), bad[i],
                                             size),
                                 -EINVAL);
                assert_int_equal(client_call(&client, FUSE_UNLINK, root, NULL, 0, bad[i], size), -EINVAL);
                assert_int_equal(client_call(&client, FUSE_RMDIR, root, NULL, 0, bad[i], size), -EINVAL);
                assert_int_equal(client_call(&client, FUSE_LINK, root, &link, sizeof(link), bad[i], size),
                                 -EINVAL);
                if (strlen(bad[i]) + 1 == size) {
                        assert_int_equal(client_rename(&client, root, "file", root, bad[i], 0), -EINVAL);
                        assert_int_equal(client_rename(&client, root, bad[i], root, "file", 0), -EINVAL);
                }
        }
        assert_int_equal(client_call(&client, FUSE_LOOKUP, root, NULL, 0, "file", 4),
                         -EINVAL); /* without its end */
        char long_name[300];
        memset(long_name, 'x', sizeof(long_name));
        long_name[299] = '\0';
        assert_int_equal(client_name(&client, FUSE_LOOKUP, root, long_name), -ENAMETOOLONG);
        assert_int_equal(client_name(&client, FUSE_UNLINK, root, long_name), -ENAMETOOLONG);
        end();
}

static void a_read_only_share_stays_as_it_is(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "text");
        uint64_t root = client_walk(&client, "1"), file = client_walk(&client, "1/file");
        struct fuse_mkdir_in make = {.mode = 0755};
        struct fuse_mknod_in node = {.mode = S_IFREG | 0644};
        struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0600};
        struct fuse_link_in link = {.oldnodeid = file};
        struct fuse_access_in access_in = {.mask = W_OK};
        assert_int_equal(client_create(&client, root, "new", O_RDWR, 0644, &entry, &opened), -EROFS);
        assert_int_equal(client_call(&client, FUSE_MKDIR, root, &make, sizeof(make), "new", 4), -EROFS);
        assert_int_equal(client_call(&client, FUSE_MKNOD, root, &node, sizeof(node), "new", 4), -EROFS);
        assert_int_equal(client_call(&client, FUSE_SYMLINK, root, NULL, 0, "new\0x", 6), -EROFS);
        assert_int_equal(client_call(&client, FUSE_LINK, root, &link, sizeof(link), "new", 4), -EROFS);
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &set, sizeof(set), NULL, 0), -EROFS);
        assert_int_equal(client_call(&client, FUSE_ACCESS, file, &access_in, sizeof(access_in), NULL, 0),
                         -EROFS);
        assert_int_equal(client_name(&client, FUSE_UNLINK, root, "file"), -EROFS);
        assert_int_equal(client_rename(&client, root, "file", root, "new", 0), -EROFS);
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\1\0\0\0\0\0\0\0", 8, "user.a\0v", 8),
                         -EROFS);
        assert_int_equal(client_call(&client, FUSE_REMOVEXATTR, file, NULL, 0, "user.a", 7), -EROFS);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_WRONLY, &opened), -EROFS);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDWR, &opened), -EROFS);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY | O_TRUNC, &opened), -EROFS);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        assert_int_equal(opened.open_flags, FOPEN_DIRECT_IO); /* cache=none */
        assert_int_equal(client_write(&client, file, opened.fh, 0, "x", 1), -EROFS);
        assert_int_equal(client_read(&client, file, opened.fh, 0, 10), 4);
        /* nothing goes from one share into the other */
        uint64_t other = share();
        assert_int_equal(client_call(&client, FUSE_LINK, other, &link, sizeof(link), "new", 4), -EXDEV);
        assert_int_equal(client_rename(&client, other, "file", root, "new", 0), -EXDEV);
        struct fuse_copy_file_range_in copy = {.nodeid_out = file, .fh_out = opened.fh, .len = 4};
        struct fuse_open_out writable;
        uint64_t same = client_walk(&client, "0/file");
        assert_int_equal(client_open(&client, FUSE_OPEN, same, O_RDWR, &writable), 0);
        copy.fh_in = writable.fh;
        assert_int_equal(client_call(&client, FUSE_COPY_FILE_RANGE, same, &copy, sizeof(copy), NULL, 0),
                         -EROFS);
        assert_file(folder, "file", "text");
        end();
}

static void the_root_has_the_shares_and_nothing_else(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        static const char *const none[] = {"2",  "00",  "01",         "-1", "+0",
                                           " 0", "0x0", "4294967296", "a",  "18446744073709551616"};
        struct fuse_mkdir_in make = {.mode = 0755};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_int_equal(client_lookup(&client, FUSE_ROOT_ID, none[i], &entry), -ENOENT);
        assert_int_equal(client_call(&client, FUSE_MKDIR, FUSE_ROOT_ID, &make, sizeof(make), "x", 2), -EROFS);
        assert_int_equal(client_name(&client, FUSE_UNLINK, FUSE_ROOT_ID, "0"), -EROFS);
        assert_int_equal(client_name(&client, FUSE_RMDIR, FUSE_ROOT_ID, "0"), -EROFS);
        assert_int_equal(client_rename(&client, share(), "x", FUSE_ROOT_ID, "y", 0), -EROFS);
        assert_int_equal(client_open(&client, FUSE_OPENDIR, FUSE_ROOT_ID, O_RDONLY, &opened), 0);
        struct fuse_read_in in = {.fh = opened.fh, .size = 4096};
        assert_int_equal(client_call(&client, FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0), 0);
        assert_int_equal(client_call(&client, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0), 0);
        assert_int_equal(client.filled, sizeof(struct fuse_out_header) + 4 * 32); /* ., .., 0, 1 */
        assert_int_equal(client_release(&client, FUSE_RELEASEDIR, FUSE_ROOT_ID, opened.fh), 0);
        struct fuse_attr attr;
        assert_int_equal(client_getattr(&client, FUSE_ROOT_ID, &attr), 0);
        assert_int_equal(attr.mode, S_IFDIR | 0555);
        end();
}

/* Reads the folder that is open and counts the names that begin with "f". */
static unsigned list_removing(uint64_t node, uint64_t fh, uint32_t opcode, uint32_t room, bool removing)
{
        struct fuse_read_in in = {.fh = fh, .size = room};
        unsigned count = 0;
        for (;;) {
                assert_int_equal(client_call(&client, opcode, node, &in, sizeof(in), NULL, 0), 0);
                size_t size = client.filled - sizeof(struct fuse_out_header);
                if (size == 0)
                        return count;
                assert_true(size <= room);
                const uint8_t *bytes = client_reply(&client);
                for (size_t at = 0; at < size;) {
                        struct fuse_dirent d;
                        size_t head = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
                        memcpy(&d, bytes + at + head, FUSE_NAME_OFFSET);
                        const char *name = (const char *)bytes + at + head + FUSE_NAME_OFFSET;
                        if (head > 0) {
                                memcpy(&entry, bytes + at, sizeof(entry));
                                assert_int_equal(entry.nodeid == 0, name[0] == '.');
                        }
                        count += name[0] == 'f';
                        if (removing && name[0] == 'f') {
                                char copy[256];
                                (void)snprintf(copy, sizeof(copy), "%.*s", (int)d.namelen, name);
                                assert_int_equal(unlinkat(folder, copy, 0), 0);
                        }
                        in.offset = d.off;
                        at += FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + d.namelen);
                        assert_true(at <= size);
                }
        }
}

static unsigned list(uint64_t node, uint64_t fh, uint32_t opcode, uint32_t room)
{
        return list_removing(node, fh, opcode, room, false);
}

/* As rm -r does it. On tmpfs an offset counts the names before it: to seek there would pass over some. */
static void names_that_go_while_a_folder_is_read_hide_none(void **state)
{
        (void)state;
        int top;
        const char *path = unit_folder(&top);
        assert_int_equal(close(top), 0);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", path, "tmpfs", 0, NULL) < 0) {
                (void)unit_folder(NULL); /* the harness closes it */
                unit_skip("needs to mount a tmpfs");
        }
        begin(0, FS_OWNERS_MAPPED);
        for (unsigned i = 0; i < 500; i++) {
                char name[32];
                (void)snprintf(name, sizeof(name), "file-%.*s%u", (int)(i % 20), "xxxxxxxxxxxxxxxxxxxx", i);
                write_file(folder, name, "");
        }
        uint64_t root = share();
        assert_int_equal(client_open(&client, FUSE_OPENDIR, root, O_RDONLY, &opened), 0);
        assert_int_equal(list_removing(root, opened.fh, FUSE_READDIRPLUS, 4096, true), 500);
        end();
}

static void folders_are_read_whole(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        for (unsigned i = 0; i < 500; i++) {
                char name[32];
                (void)snprintf(name, sizeof(name), "file-%.*s%u", (int)(i % 20), "xxxxxxxxxxxxxxxxxxxx", i);
                write_file(folder, name, "");
        }
        uint64_t root = share();
        assert_int_equal(client_open(&client, FUSE_OPENDIR, root, O_RDONLY, &opened), 0);
        assert_int_equal(list(root, opened.fh, FUSE_READDIR, 4096), 500);
        assert_int_equal(list(root, opened.fh, FUSE_READDIR, 100), 500);
        assert_int_equal(list(root, opened.fh, FUSE_READDIRPLUS, 4096), 500);
        assert_int_equal(list(root, opened.fh, FUSE_READDIRPLUS, 65536), 500);
        struct fuse_read_in small = {.fh = opened.fh, .size = 8};
        assert_int_equal(client_call(&client, FUSE_READDIR, root, &small, sizeof(small), NULL, 0), -EINVAL);
        small.offset = UINT64_MAX;
        assert_int_equal(client_call(&client, FUSE_READDIR, root, &small, sizeof(small), NULL, 0), -EINVAL);
        assert_int_equal(client_read(&client, root, opened.fh, 0, 100), -EBADF); /* a folder is no file */
        end();
}

static int set_attributes(uint64_t node, uint32_t valid, uint32_t mode, uint32_t uid, uint32_t gid)
{
        struct fuse_setattr_in in = {.valid = valid, .mode = mode, .uid = uid, .gid = gid};
        return client_call(&client, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0);
}

static void need_attributes(void)
{
        if (fsetxattr(folder, "user.test", "x", 1, 0) < 0)
                unit_skip("the file system has no extended attributes");
}

static void owners_are_kept_beside_the_file(void **state)
{
        (void)state;
        struct fuse_attr attr;
        char text[OWNER_TEXT_MAX + 1] = "";
        begin(0, FS_OWNERS_MAPPED);
        need_attributes();
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file"), root = share();
        assert_int_equal(client_getattr(&client, file, &attr), 0);
        assert_int_equal(attr.uid + attr.gid, 0);
        assert_int_equal(set_attributes(file, FATTR_UID | FATTR_GID, 0, 999, 998), 0);
        assert_int_equal(set_attributes(file, FATTR_MODE, 06755, 0, 0), 0);
        assert_int_equal(client_getattr(&client, file, &attr), 0);
        assert_int_equal(attr.uid, 999);
        assert_int_equal(attr.gid, 998);
        assert_int_equal(attr.mode, S_IFREG | 06755);
        struct stat st;
        assert_int_equal(fstatat(folder, "file", &st, 0), 0);
        assert_int_equal(st.st_uid, geteuid());
        assert_int_equal(st.st_mode, S_IFREG | 0755);
        int fd = openat(folder, "file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fgetxattr(fd, OWNER_NAME, text, OWNER_TEXT_MAX), 12);
        assert_string_equal(text, "999:998:6000");
        /* the guest sees neither it, nor anything that means something to the host's kernel */
        struct fuse_getxattr_in get = {.size = 100};
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), OWNER_NAME,
                                     sizeof(OWNER_NAME)),
                         -ENODATA);
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "security.capability",
                                     20),
                         -EOPNOTSUPP);
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\5\0\0\0\0\0\0\0", 8,
                                     OWNER_NAME "\0"
                                                "0:0:0",
                                     sizeof(OWNER_NAME) + 5),
                         -EPERM);
        assert_int_equal(client_call(&client, FUSE_LISTXATTR, file, &get, sizeof(get), NULL, 0), 0);
        assert_int_equal(client.filled, sizeof(struct fuse_out_header));
        /* writing takes the bits away when the guest's kernel says so, a change of owner always */
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_WRONLY, &opened), 0);
        struct fuse_write_in in = {.fh = opened.fh, .size = 1, .write_flags = FUSE_WRITE_KILL_SUIDGID};
        assert_int_equal(client_call(&client, FUSE_WRITE, file, &in, sizeof(in), "y", 1), 0);
        assert_int_equal(client_getattr(&client, file, &attr), 0);
        assert_int_equal(attr.mode, S_IFREG | 0755);
        assert_int_equal(attr.uid, 999);
        assert_int_equal(set_attributes(file, FATTR_UID | FATTR_GID, 0, 0, 0), 0);
        assert_true(fgetxattr(fd, OWNER_NAME, text, OWNER_TEXT_MAX) < 0); /* nothing to say any more */
        (void)close(fd);
        assert_int_equal(set_attributes(file, FATTR_UID, 0, UINT32_MAX, 0), -EINVAL);
        /* what another id makes is its own; in a folder with set-group-ID it has the folder's group */
        client.uid = 70;
        client.gid = 71;
        assert_int_equal(client_create(&client, root, "theirs", O_RDWR, 0600, &entry, &opened), 0);
        assert_int_equal(entry.attr.uid, 70);
        assert_int_equal(entry.attr.gid, 71);
        struct fuse_mkdir_in make = {.mode = 0755};
        assert_int_equal(client_call(&client, FUSE_MKDIR, root, &make, sizeof(make), "dir", 4), 0);
        memcpy(&entry, client_reply(&client), sizeof(entry));
        uint64_t dir = entry.nodeid;
        assert_int_equal(entry.attr.uid, 70);
        assert_int_equal(set_attributes(dir, FATTR_GID | FATTR_MODE, 02755, 0, 55), 0);
        assert_int_equal(client_create(&client, dir, "in", O_RDWR, 0600, &entry, &opened), 0);
        assert_int_equal(entry.attr.gid, 55);
        end();
}

static void records_are_read_strictly(void **state)
{
        (void)state;
        static const char *const bad[] = {
            "",        ":",         "0:0",    "0:0:",   "0:0:0 ",         "+1:0:0",         "01:0:0",
            "0:0:777", "0:0:8",     "-1:0:0", "0:0:0:", "4294967295:0:0", "1:4294967296:0", "0:0:00",
            "a:0:0",   "0:0:10000", "0: 0:0"};
        struct owner o;
        char text[OWNER_TEXT_MAX];
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(owner_parse(bad[i], strlen(bad[i]), &o));
        struct owner most = {.uid = UINT32_MAX - 1, .gid = 1, .mode = S_ISUID | S_ISGID};
        size_t size = owner_print(&most, text);
        assert_true(owner_parse(text, size, &o));
        assert_int_equal(o.uid, most.uid);
        assert_int_equal(o.mode, most.mode);
        assert_true(owner_parse("0:0:4000 behind", 8, &o));
}

static void a_user_attribute_is_the_guests(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        need_attributes();
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file");
        struct fuse_getxattr_in get = {.size = 0};
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\5\0\0\0\0\0\0\0", 8, "user.name\0value",
                                     15),
                         0);
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "user.name", 10), 0);
        assert_int_equal(((const struct fuse_getxattr_out *)client_reply(&client))->size, 5);
        get.size = 4;
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "user.name", 10),
                         -ERANGE);
        get.size = 100;
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "user.name", 10), 0);
        assert_memory_equal(client_reply(&client), "value", 5);
        assert_int_equal(client_call(&client, FUSE_LISTXATTR, file, &get, sizeof(get), NULL, 0), 0);
        assert_memory_equal(client_reply(&client), "user.name", 10);
        assert_int_equal(client_call(&client, FUSE_REMOVEXATTR, file, NULL, 0, "user.name", 10), 0);
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "user.name", 10),
                         -ENODATA);
        /* lengths that do not fit each other */
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\6\0\0\0\0\0\0\0", 8, "user.name\0value",
                                     15),
                         -EINVAL);
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\4\0\0\0\0\0\0\0", 8, "user.name\0value",
                                     15),
                         -EINVAL);
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\5\0\0\0\4\0\0\0", 8, "user.name\0value",
                                     15),
                         -EINVAL);
        assert_int_equal(client_call(&client, FUSE_SETXATTR, file, "\0\0\0\0\0\0\0\0", 8, "user.name", 9),
                         -EINVAL);
        assert_int_equal(client_call(&client, FUSE_GETXATTR, file, &get, sizeof(get), "user.name", 9),
                         -EINVAL);
        end();
}

static void sizes_times_and_modes_are_set(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "0123456789");
        uint64_t file = client_walk(&client, "0/file");
        struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_MTIME | FATTR_ATIME_NOW,
                                     .size = 4,
                                     .mtime = 1000000000,
                                     .mtimensec = 5};
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &in, sizeof(in), NULL, 0), 0);
        assert_file(folder, "file", "0123");
        struct stat st;
        assert_int_equal(fstatat(folder, "file", &st, 0), 0);
        assert_int_equal(st.st_mtim.tv_sec, 1000000000);
        assert_int_equal(st.st_mtim.tv_nsec, 5);
        in.valid = FATTR_MTIME;
        in.mtimensec = UTIME_NOW;
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &in, sizeof(in), NULL, 0), -EINVAL);
        in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = UINT64_MAX};
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &in, sizeof(in), NULL, 0), -EINVAL);
        in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .size = 1, .fh = 77};
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &in, sizeof(in), NULL, 0), -EBADF);
        in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 1};
        assert_int_equal(client_call(&client, FUSE_SETATTR, share(), &in, sizeof(in), NULL, 0), -EINVAL);
        /* a file that may not be opened any more, but is open */
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDWR, &opened), 0);
        assert_int_equal(set_attributes(file, FATTR_MODE, 0, 0, 0), 0);
        in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .size = 2, .fh = opened.fh};
        assert_int_equal(client_call(&client, FUSE_SETATTR, file, &in, sizeof(in), NULL, 0), 0);
        assert_int_equal(set_attributes(file, FATTR_MODE, 0644, 0, 0), 0);
        assert_file(folder, "file", "01");
        end();
}

static void what_is_open_outlives_its_name(void **state)
{
        (void)state;
        struct fuse_attr attr;
        begin(FS_DESCRIPTORS_MIN, FS_OWNERS_MAPPED);
        uint64_t root = share();
        assert_int_equal(client_create(&client, root, "file", O_RDWR, 0644, &entry, &opened), 0);
        assert_int_equal(client_name(&client, FUSE_UNLINK, root, "file"), 0);
        assert_int_equal(client_write(&client, entry.nodeid, opened.fh, 0, "kept", 4), 4);
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 0, 10), 4);
        assert_int_equal(client_getattr(&client, entry.nodeid, &attr), 0);
        assert_int_equal(attr.nlink, 0);
        assert_int_equal(attr.size, 4);
        assert_int_equal(client_open(&client, FUSE_OPEN, entry.nodeid, O_RDONLY, &opened), 0); /* and again */
        assert_int_equal(client_read(&client, entry.nodeid, opened.fh, 0, 10), 4);
        /* replaced by another */
        write_file(folder, "a", "old");
        write_file(folder, "b", "new");
        uint64_t a = client_walk(&client, "0/a");
        assert_int_equal(client_rename(&client, root, "b", root, "a", 0), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, a, O_RDONLY, &opened), 0);
        assert_int_equal(client_read(&client, a, opened.fh, 0, 10), 3);
        assert_memory_equal(client_reply(&client), "old", 3);
        end();
}

/* 64 descriptors for 3,000 files that the guest knows all at once, three folders deep. */
static void few_descriptors_do_for_many_files(void **state)
{
        (void)state;
        enum { FOLDERS = 30, FILES = 100 };
        static uint64_t ids[FOLDERS * FILES];
        struct rlimit limit = {100, 100};
        char path[64];
        begin(FS_DESCRIPTORS_MIN, FS_OWNERS_MAPPED);
        for (unsigned i = 0; i < FOLDERS; i++) {
                (void)snprintf(path, sizeof(path), "%u", i);
                assert_int_equal(mkdirat(folder, path, 0755), 0);
                (void)snprintf(path, sizeof(path), "%u/d", i);
                assert_int_equal(mkdirat(folder, path, 0755), 0);
                for (unsigned j = 0; j < FILES; j++) {
                        (void)snprintf(path, sizeof(path), "%u/d/%u", i, j);
                        write_file(folder, path, path);
                }
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        for (unsigned i = 0; i < FOLDERS * FILES; i++) {
                (void)snprintf(path, sizeof(path), "0/%u/d/%u", i / FILES, i % FILES);
                ids[i] = client_walk(&client, path);
        }
        for (unsigned i = 0; i < FOLDERS * FILES; i++) {
                unsigned k = (i * 1009U) % (FOLDERS * FILES); /* hither and thither */
                (void)snprintf(path, sizeof(path), "%u/d/%u", k / FILES, k % FILES);
                assert_int_equal(client_open(&client, FUSE_OPEN, ids[k], O_RDONLY, &opened), 0);
                assert_int_equal(client_read(&client, ids[k], opened.fh, 0, 100), (int)strlen(path));
                assert_memory_equal(client_reply(&client), path, strlen(path));
                assert_int_equal(client_release(&client, FUSE_RELEASE, ids[k], opened.fh), 0);
        }
        /* the guest moves a folder: what is in it is found there; the host does, and it is stale until it is
         * looked up */
        assert_int_equal(client_rename(&client, share(), "3", share(), "moved", 0), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, ids[350], O_RDONLY, &opened), 0);
        assert_int_equal(renameat(folder, "4", folder, "away"), 0);
        for (unsigned i = 500; i < 600; i++) /* push it out */
                assert_int_equal(client_open(&client, FUSE_OPEN, ids[i], O_RDONLY, &opened),
                                 i < 531 ? 0 : -ENFILE);
        end();
}

static void open_files_have_a_limit(void **state)
{
        (void)state;
        begin(FS_DESCRIPTORS_MIN, FS_OWNERS_MAPPED);
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file");
        unsigned count = 0;
        int r;
        while ((r = client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened)) == 0)
                count++;
        assert_int_equal(r, -ENFILE);
        assert_int_equal(count, FS_DESCRIPTORS_MIN / 2);
        assert_int_equal(client_release(&client, FUSE_RELEASE, file, opened.fh), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        fs_reset(client.fs);
        assert_int_equal(client_init(&client), 0);
        assert_int_equal(client_read(&client, file, opened.fh, 0, 1), -ESTALE); /* all forgotten */
        assert_int_equal(client_open(&client, FUSE_OPEN, client_walk(&client, "0/file"), O_RDONLY, &opened),
                         0);
        end();
}

static void what_is_forgotten_is_nothing(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file");
        struct fuse_attr attr;
        assert_int_equal(client_lookup(&client, share(), "file", &entry), 0);
        assert_int_equal(entry.nodeid, file);
        client_forget(&client, file, 1);
        assert_int_equal(client_getattr(&client, file, &attr), 0);
        client_forget(&client, file, UINT64_MAX);
        assert_int_equal(client_getattr(&client, file, &attr), -ESTALE);
        client_forget(&client, file, 1);
        client_forget(&client, 0, 1);
        client_forget(&client, FUSE_ROOT_ID, 1);
        client_forget(&client, share(), 1000); /* a share's root stays */
        assert_int_equal(client_getattr(&client, share(), &attr), 0);
        struct {
                struct fuse_batch_forget_in in;
                struct fuse_forget_one one[2];
        } batch = {.in = {.count = 1000},
                   .one = {{.nodeid = client_walk(&client, "0/file"), .nlookup = 1},
                           {.nodeid = 3, .nlookup = 1}}};
        assert_int_equal(client_call(&client, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), NULL, 0), 1);
        assert_int_equal(client_getattr(&client, batch.one[0].nodeid, &attr), -ESTALE);
        end();
}

/* Each operation with each length from nothing to more than it has, and with too little room for the answer.
 */
static void no_length_is_believed(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file"), root = share();
        uint8_t fill[160];
        for (unsigned pattern = 0; pattern < 3; pattern++) {
                memset(fill, pattern == 0 ? 0 : pattern == 1 ? 0xff : 'a', sizeof(fill));
                for (uint32_t opcode = 0; opcode < 60; opcode++) {
                        for (size_t size = 0; size < sizeof(fill); size++) {
                                client.in_room = (size * 7 + opcode) % 200;
                                (void)client_call(&client, opcode, opcode % 2 ? file : root, fill, size, NULL,
                                                  0);
                                client.in_room = CLIENT_BYTES;
                                (void)client_call(&client, opcode, opcode % 3 ? root : file, fill, size, NULL,
                                                  0);
                                if (opcode == FUSE_DESTROY)
                                        assert_int_equal(client_init(&client), 0);
                        }
                }
        }
        /* the header says another length, or is not all there */
        struct fuse_in_header head = {.len = 1000,
                                      .opcode = FUSE_GETATTR,
                                      .nodeid = root,
                                      .unique = ++client.unique};
        memcpy(client.out, &head, sizeof(head));
        assert_int_equal(client_send(&client, sizeof(head) + 16), -EINVAL);
        client.unique = 0;
        for (size_t size = 0; size < sizeof(head); size++) {
                memset(client.out, 0, sizeof(head));
                assert_int_equal(client_send(&client, size), -EINVAL);
        }
        assert_int_equal(client_lookup(&client, root, "file", &entry), 0);
        assert_false(is_there(folder, "../aaaa"));
        end();
}

static void nothing_goes_before_init(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        struct fuse_init_in in = {.major = 8, .minor = 0};
        assert_int_equal(client_call(&client, FUSE_DESTROY, 0, NULL, 0, NULL, 0), 0);
        assert_int_equal(client_lookup(&client, FUSE_ROOT_ID, "0", &entry), -EPROTO);
        assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, 0), 0); /* ours is told */
        assert_int_equal(((const struct fuse_init_out *)client_reply(&client))->major, 7);
        assert_int_equal(client_lookup(&client, FUSE_ROOT_ID, "0", &entry), -EPROTO);
        in = (struct fuse_init_in){.major = 7, .minor = 30, .flags = ~0U};
        assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, sizeof(in), NULL, 0), -EPROTO);
        in.minor = 31;
        assert_int_equal(client_call(&client, FUSE_INIT, 0, &in, 16, NULL, 0), 0); /* as it was before 7.36 */
        assert_int_equal(client_lookup(&client, FUSE_ROOT_ID, "0", &entry), 0);
        assert_int_equal(client_call(&client, FUSE_SETUPMAPPING, entry.nodeid, NULL, 0, NULL, 0), -ENOSYS);
        assert_int_equal(client_call(&client, 4096, entry.nodeid, NULL, 0, NULL, 0), -ENOSYS);
        assert_int_equal(client_call(&client, UINT32_MAX, entry.nodeid, NULL, 0, NULL, 0), -ENOSYS);
        end();
}

static void contents_are_kept_while_nothing_changed(void **state)
{
        (void)state;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "one");
        struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        assert_int_equal(utimensat(folder, "file", old, 0), 0);
        uint64_t file = client_walk(&client, "0/file");
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        assert_int_equal(opened.open_flags, 0); /* never seen before */
        /* its change time has to be old enough to tell a further change: as soon as that is so, it is kept */
        do {
                assert_int_equal(client_release(&client, FUSE_RELEASE, file, opened.fh), 0);
                assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        } while (opened.open_flags != FOPEN_KEEP_CACHE);
        write_file(folder, "file", "two");
        assert_int_equal(client_release(&client, FUSE_RELEASE, file, opened.fh), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        assert_int_equal(opened.open_flags, 0);
        end();
}

static int lock(uint64_t node, uint64_t fh, uint32_t opcode, uint64_t owner, uint64_t start, uint64_t end,
                uint32_t type, uint32_t flags)
{
        struct fuse_lk_in in = {.fh = fh,
                                .owner = owner,
                                .lk = {.start = start, .end = end, .type = type},
                                .lk_flags = flags};
        return client_call(&client, opcode, node, &in, sizeof(in), NULL, 0);
}

static void locks_are_the_hosts(void **state)
{
        (void)state;
        struct fuse_open_out second;
        begin(0, FS_OWNERS_MAPPED);
        write_file(folder, "file", "x");
        uint64_t file = client_walk(&client, "0/file");
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDWR, &opened), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &second), 0);
        /* two owners, and a process of the host */
        assert_int_equal(lock(file, opened.fh, FUSE_SETLK, 1, 0, 9, F_WRLCK, 0), 0);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 5, 5, F_RDLCK, 0), -EAGAIN);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 10, INT64_MAX, F_RDLCK, 0), 0);
        assert_int_equal(lock(file, second.fh, FUSE_SETLKW, 2, 5, 5, F_RDLCK, 0), CLIENT_LATER);
        int fd = openat(folder, "file", O_RDWR | O_CLOEXEC);
        struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
        assert_int_equal(fcntl(fd, F_SETLK, &mine), -1);
        assert_int_equal(lock(file, second.fh, FUSE_GETLK, 2, 3, 3, F_WRLCK, 0), 0);
        struct fuse_lk_out out;
        memcpy(&out, client_reply(&client), sizeof(out));
        assert_int_equal(out.lk.type, F_WRLCK);
        assert_int_equal(out.lk.start, 0);
        assert_int_equal(out.lk.end, 9);
        /* closing the file lets go, and says so */
        unsigned before = fs_unlocks(client.fs);
        struct fuse_flush_in flush = {.fh = opened.fh, .lock_owner = 1};
        assert_int_equal(client_call(&client, FUSE_FLUSH, file, &flush, sizeof(flush), NULL, 0), 0);
        assert_int_not_equal(fs_unlocks(client.fs), before);
        assert_int_equal(lock(file, second.fh, FUSE_SETLKW, 2, 5, 5, F_RDLCK, 0), 0);
        assert_int_equal(fcntl(fd, F_SETLK, &mine), 0);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 0, 0, F_RDLCK, 0), -EAGAIN);
        (void)close(fd);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 0, INT64_MAX, F_UNLCK, 0), 0);
        assert_int_equal(lock(file, opened.fh, FUSE_GETLK, 1, 0, INT64_MAX, F_WRLCK, 0), 0);
        memcpy(&out, client_reply(&client), sizeof(out));
        assert_int_equal(out.lk.type, F_UNLCK);
        /* flock(2) belongs to the open file */
        assert_int_equal(lock(file, opened.fh, FUSE_SETLK, 1, 0, 0, F_WRLCK, FUSE_LK_FLOCK), 0);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 1, 0, 0, F_RDLCK, FUSE_LK_FLOCK), -EAGAIN);
        assert_int_equal(client_release(&client, FUSE_RELEASE, file, opened.fh), 0);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 1, 0, 0, F_RDLCK, FUSE_LK_FLOCK), 0);
        /* nonsense */
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 5, 4, F_RDLCK, 0), -EINVAL);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 0, UINT64_MAX, F_RDLCK, 0), -EINVAL);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 0, 0, 3, 0), -EINVAL);
        assert_int_equal(lock(file, second.fh, FUSE_SETLK, 2, 0, 0, 77, FUSE_LK_FLOCK), -EINVAL);
        assert_int_equal(lock(file, 99, FUSE_SETLK, 2, 0, 0, F_RDLCK, 0), -EBADF);
        int r = 0;
        for (uint64_t owner = 100; owner < 1000 && r == 0; owner++)
                r = lock(file, second.fh, FUSE_SETLK, owner, 0, 0, F_RDLCK, 0);
        assert_int_equal(r, -ENOLCK);
        end();
}

/* ---- races with the host ---- */

struct swapper {
        atomic_bool stop;
        int dir;
};

/* "name" is now a file, now a link out, now a folder, now gone; "dir" is now a folder, now a link to one
 * outside. */
static void *swap(void *data)
{
        struct swapper *s = data;
        while (!atomic_load(&s->stop)) {
                (void)renameat(s->dir, "name", s->dir, "spare");
                (void)!symlinkat("../outside", s->dir, "name");
                (void)unlinkat(s->dir, "name", 0);
                (void)renameat(s->dir, "spare", s->dir, "name");
                (void)renameat(s->dir, "dir", s->dir, "real");
                (void)!symlinkat("..", s->dir, "dir");
                (void)unlinkat(s->dir, "dir", 0);
                (void)renameat(s->dir, "real", s->dir, "dir");
        }
        return NULL;
}

static void assert_not_secret(uint64_t node)
{
        if (client_open(&client, FUSE_OPEN, node, O_RDONLY, &opened) == 0) {
                int n = client_read(&client, node, opened.fh, 0, 100);
                assert_true(n <= 0 || memcmp(client_reply(&client), "secret", 6) != 0);
                (void)client_release(&client, FUSE_RELEASE, node, opened.fh);
        }
        client_forget(&client, node, 1);
}

static void swapped_links_lead_nowhere(void **state)
{
        (void)state;
        pthread_t thread;
        begin(FS_DESCRIPTORS_MIN, FS_OWNERS_MAPPED);
        struct swapper swapper = {.dir = folder};
        write_file(folder, "name", "inside");
        assert_int_equal(mkdirat(folder, "dir", 0755), 0);
        write_file(folder, "dir/outside", "inside");
        assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
        uint64_t root = share();
        for (unsigned i = 0; i < 5000; i++) {
                if (client_lookup(&client, root, "name", &entry) == 0)
                        assert_not_secret(entry.nodeid);
                if (client_lookup(&client, root, "dir", &entry) == 0) {
                        uint64_t dir = entry.nodeid;
                        if (client_lookup(&client, dir, "outside", &entry) == 0)
                                assert_not_secret(entry.nodeid);
                        if (i % 50 == 0 &&
                            client_create(&client, dir, "made", O_RDWR, 0600, &entry, &opened) == 0) {
                                (void)client_release(&client, FUSE_RELEASE, entry.nodeid, opened.fh);
                                client_forget(&client, entry.nodeid, 1);
                        }
                        client_forget(&client, dir, 1);
                }
        }
        atomic_store(&swapper.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_false(is_there(folder, "../made"));
        assert_file(folder, "../outside", "secret");
        end();
}

/* The host turns a folder's tree upside down under the guest's eyes. */
static void folders_that_change_places_do_not_confuse(void **state)
{
        (void)state;
        begin(FS_DESCRIPTORS_MIN, FS_OWNERS_MAPPED);
        assert_int_equal(mkdirat(folder, "a", 0755), 0);
        assert_int_equal(mkdirat(folder, "a/b", 0755), 0);
        uint64_t a = client_walk(&client, "0/a"), b = client_walk(&client, "0/a/b");
        struct fuse_attr attr;
        assert_int_equal(renameat(folder, "a/b", folder, "b"), 0);
        assert_int_equal(renameat(folder, "a", folder, "b/a"), 0);
        assert_int_equal(client_lookup(&client, b, "a", &entry), -ESTALE); /* b is not where it was */
        assert_int_equal(client_walk(&client, "0/b"), b);
        assert_int_equal(client_lookup(&client, b, "a", &entry), 0);
        assert_int_equal(entry.nodeid, a);
        assert_int_equal(client_getattr(&client, a, &attr), 0);
        assert_int_equal(client_walk(&client, "0/b/a"), a);
        end();
}

/* ---- several at once ---- */

static void *ask(void *data)
{
        struct client own = *(struct client *)data;
        uint64_t done = 0;
        own.scratch = calloc(1, sizeof(*own.scratch));
        own.out = malloc(CLIENT_BYTES);
        own.in = malloc(CLIENT_BYTES);
        own.unique = (uint64_t)(uintptr_t)&own;
        if (own.scratch == NULL || own.out == NULL || own.in == NULL || fs_enter_thread(own.fs) < 0)
                abort();
        for (unsigned i = 0; i < 1500; i++) {
                struct fuse_entry_out e, dir;
                struct fuse_open_out o;
                char name[32];
                (void)snprintf(name, sizeof(name), "f%u", i % 40);
                if (client_lookup(&own, FUSE_ROOT_ID, "0", &dir) != 0)
                        abort();
                if (client_create(&own, dir.nodeid, name, O_RDWR, 0600, &e, &o) == 0) {
                        (void)client_write(&own, e.nodeid, o.fh, 0, name, strlen(name));
                        done += client_read(&own, e.nodeid, o.fh, 0, 100) > 0;
                        (void)client_release(&own, FUSE_RELEASE, e.nodeid, o.fh);
                        client_forget(&own, e.nodeid, 1);
                }
                if (i % 3 == 0)
                        (void)client_name(&own, FUSE_UNLINK, dir.nodeid, name);
                if (i % 5 == 0)
                        (void)client_rename(&own, dir.nodeid, name, dir.nodeid, "other", 0);
        }
        free(own.scratch);
        free(own.out);
        free(own.in);
        return (void *)(uintptr_t)done;
}

static void several_are_served_at_once(void **state)
{
        (void)state;
        pthread_t threads[4];
        begin(128, FS_OWNERS_MAPPED);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ask, &client), 0);
        for (unsigned i = 0; i < 4; i++) {
                void *done;
                assert_int_equal(pthread_join(threads[i], &done), 0);
                assert_true((uintptr_t)done > 0);
        }
        end();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(files_are_made_written_and_read),
    cmocka_unit_test(names_are_made_moved_and_removed),
    cmocka_unit_test(only_one_component_is_a_name),
    cmocka_unit_test(a_read_only_share_stays_as_it_is),
    cmocka_unit_test(the_root_has_the_shares_and_nothing_else),
    cmocka_unit_test(folders_are_read_whole),
    cmocka_unit_test(names_that_go_while_a_folder_is_read_hide_none),
    cmocka_unit_test(owners_are_kept_beside_the_file),
    cmocka_unit_test(records_are_read_strictly),
    cmocka_unit_test(a_user_attribute_is_the_guests),
    cmocka_unit_test(sizes_times_and_modes_are_set),
    cmocka_unit_test(what_is_open_outlives_its_name),
    cmocka_unit_test(few_descriptors_do_for_many_files),
    cmocka_unit_test(open_files_have_a_limit),
    cmocka_unit_test(what_is_forgotten_is_nothing),
    cmocka_unit_test(no_length_is_believed),
    cmocka_unit_test(nothing_goes_before_init),
    cmocka_unit_test(contents_are_kept_while_nothing_changed),
    cmocka_unit_test(locks_are_the_hosts),
    cmocka_unit_test(swapped_links_lead_nowhere),
    cmocka_unit_test(folders_that_change_places_do_not_confuse),
    cmocka_unit_test(several_are_served_at_once),
};
UNIT_TEST_MAIN(cases)
