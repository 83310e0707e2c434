/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Box disks. mkfs.ext4 takes a tenth of a second and more for a large disk, copying the few hundred KiB of a
 * fresh file system a millisecond: so the file system of each size is made once, as
 * templates/ext4-<recipe>-<size>, and copied for each box (reflink where the file system of the home can,
 * else data extents only).
 *
 * The recipe fixes every option that e2fsprogs 1.47.0 would else take from the host's mke2fs.conf; RECIPE
 * changes with it. Inode tables count as initialised (they are holes, hence zero), so that no guest spends
 * its idle time on writing zeros into its disk. No reserved blocks: the only user of the disk is root.
 *
 * Invariants:
 * 1. A template appears under its name by rename, complete and synced; one maker at a time (flock on the
 * folder).
 * 2. A disk is made under its name in a folder nobody else looks into yet; on failure it is unlinked.
 */
#include "runtime/disk.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECIPE "1"
#define MIB    (1ULL << 20)

static const char features[] =
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
static const char extended[] = "assume_storage_prezeroed=1,nodiscard,packed_meta_blocks=1,root_owner=0:0";

/* The last line of what mkfs said, for the error. */
static void last_words(int fd, char *text, size_t size)
{
        struct stat st;
        off_t from = fstat(fd, &st) == 0 && st.st_size >= (off_t)size ? st.st_size - (off_t)size + 1 : 0;
        ssize_t n = pread(fd, text, size - 1, from);
        text[n > 0 ? n : 0] = '\0';
        for (size_t end = strlen(text); end > 0 && text[end - 1] == '\n'; end--)
                text[end - 1] = '\0';
        char *line = strrchr(text, '\n');
        if (line != NULL)
                memmove(text, line + 1, strlen(line + 1) + 1);
}

static int run_mkfs(const char *mkfs, int folder_fd, const char *name, uint64_t size_bytes, struct error *err)
{
        char journal[24];
        cleanup_fd int output = path_open_anonymous_at(folder_fd, O_RDWR);
        if (output < 0)
                return error_errno(err, output, "make disk template");
        (void)snprintf(journal, sizeof(journal), "size=%d", size_bytes >= 1024 * MIB ? 16 : 4);
        const char *const argv[] = {"mkfs.ext4", "-F",    "-q",     "-b", "4096", "-I",    "256",
                                    "-i",        "16384", "-m",     "0",  "-J",   journal, "-O",
                                    features,    "-E",    extended, name, NULL};
        const char *const environment[] = {"MKE2FS_CONFIG=/dev/null", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                           "LC_ALL=C", NULL};
        struct process_fd fds[] = {{output, 1}, {output, 2}};
        struct process_plan plan = {.path = mkfs,
                                    .argv = argv,
                                    .environ = environment,
                                    .fds = fds,
                                    .fd_count = 2,
                                    .hidden = true,
                                    .working_dir_fd = folder_fd};
        pid_t pid;
        cleanup_fd int pidfd = -1;
        int code;
        int r = process_spawn(&plan, &pid, &pidfd, err);
        if (r == 0) {
                r = process_wait(pidfd, &code);
                if (r < 0)
                        return error_errno(err, r, "make disk template: wait for mkfs.ext4");
        }
        if (r == 0 && code != 0) {
                char words[256];
                last_words(output, words, sizeof(words));
                bool full = strstr(words, "No space left") != NULL;
                return error_set(err, full ? -ENOSPC : -EIO,
                                 "make disk template: mkfs.ext4 ended with %d: %s", code, words);
        }
        return r;
}

static int make_template(int folder_fd, const char *mkfs, uint64_t size_bytes, const char *name,
                         struct error *err)
{
        char draft[80];
        (void)snprintf(draft, sizeof(draft), ".%s.draft",
                       name); /* names are short; one maker holds the lock */
        cleanup_fd int fd =
            openat(folder_fd, draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_errno(err, -errno, "make disk template");
        int r = ftruncate(fd, (off_t)size_bytes) < 0 ? error_errno(err, -errno, "make disk template") : 0;
        if (r == 0)
                r = run_mkfs(mkfs, folder_fd, draft, size_bytes, err);
        if (r == 0 && (fsync(fd) < 0 || renameat(folder_fd, draft, folder_fd, name) < 0))
                r = error_errno(err, -errno, "make disk template");
        if (r < 0)
                (void)unlinkat(folder_fd, draft, 0); /* the error is on its way already */
        return r;
}

/* The template, made now if need be. Returns a read-only descriptor. */
static int open_template(int home_fd, const char *mkfs, uint64_t size_bytes, struct error *err)
{
        char name[64];
        cleanup_fd int folder = path_open_dir_at(home_fd, "templates", 0700);
        if (folder < 0)
                return error_errno(err, folder, "open the folder of disk templates");
        (void)snprintf(name, sizeof(name), "ext4-" RECIPE "-%llu", (unsigned long long)(size_bytes / MIB));
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 || errno != ENOENT)
                return fd >= 0 ? fd : error_errno(err, -errno, "open disk template '%s'", name);
        if (mkfs == NULL)
                return error_set(err, -ENOENT,
                                 "make disk template: mkfs.ext4 is missing: apt install e2fsprogs");
        if (flock(folder, LOCK_EX) < 0)
                return error_errno(err, -errno, "lock the folder of disk templates");
        fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW); /* somebody else may have made it */
        if (fd >= 0)
                return fd;
        int r = make_template(folder, mkfs, size_bytes, name, err);
        if (r < 0)
                return r;
        fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd >= 0 ? fd : error_errno(err, -errno, "open disk template '%s'", name);
}

/* Copies [from, to) of both files. */
static int copy_extent(int from_fd, int to_fd, off_t from, off_t to)
{
        bool by_kernel = true;
        while (from < to) {
                off_t in = from, out = from;
                ssize_t n = -1;
                size_t left = (size_t)(to - from);
                if (by_kernel) {
                        n = copy_file_range(from_fd, &in, to_fd, &out, left, 0);
                        if (n < 0 &&
                            (errno == ENOSYS || errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL))
                                by_kernel = false;
                        else if (n < 0 && errno != EINTR)
                                return -errno;
                        if (n < 0)
                                continue;
                } else {
                        char bytes[64 << 10];
                        n = pread(from_fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), from);
                        if (n > 0)
                                n = pwrite(to_fd, bytes, (size_t)n, from);
                        if (n < 0 && errno != EINTR)
                                return -errno;
                        if (n < 0)
                                continue;
                }
                if (n == 0)
                        return -EIO; /* shorter than its own size: somebody cut it */
                from += n;
        }
        return 0;
}

static int copy_data(int from_fd, int to_fd, off_t size)
{
        off_t at = 0;
        while (at < size) {
                off_t data = lseek(from_fd, at, SEEK_DATA);
                if (data < 0 && errno == ENXIO)
                        return 0; /* only a hole is left */
                if (data < 0)
                        return -errno;
                off_t hole = lseek(from_fd, data, SEEK_HOLE);
                if (hole < 0)
                        return -errno;
                int r = copy_extent(from_fd, to_fd, data, hole);
                if (r < 0)
                        return r;
                at = hole;
        }
        return 0;
}

int disk_copy_sparse(int from_fd, int to_fd, struct error *err)
{
        struct stat st;
        if (ioctl(to_fd, FICLONE, from_fd) == 0)
                return 0; /* else the file system cannot: copy */
        if (fstat(from_fd, &st) < 0 || ftruncate(to_fd, st.st_size) < 0)
                return error_errno(err, -errno, "copy disk");
        int r = copy_data(from_fd, to_fd, st.st_size);
        return r < 0 ? error_errno(err, r, "copy disk") : 0;
}

int disk_create(int home_fd, const char *mkfs, uint64_t size_bytes, int box_fd, const char *name,
                struct error *err)
{
        if (size_bytes < DISK_SIZE_MIN || size_bytes > DISK_SIZE_MAX)
                return error_set(err, -EINVAL, "make box disk: a disk has 16 MiB to 16 TiB");
        size_bytes = (size_bytes + MIB - 1) / MIB * MIB;
        cleanup_fd int from = open_template(home_fd, mkfs, size_bytes, err);
        if (from < 0)
                return from;
        cleanup_fd int to = openat(box_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (to < 0)
                return error_errno(err, -errno, "make box disk");
        int r = disk_copy_sparse(from, to, err);
        if (r < 0) {
                (void)unlinkat(box_fd, name, 0); /* nothing half-made stays */
                return error_wrap(err, "make box disk");
        }
        return 0;
}
