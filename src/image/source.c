/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading archives at random. An uncompressed tar in a regular file is used where it lies; everything else is
 * first written, decompressed, to a file without a name in the store's tmp/ (so it is gone with us). One pass
 * by libarchive then notes where each member's bytes lie. The members' names are hostile: they are only ever
 * compared with names we look for. Links are followed inside the archive, by name, with a hop limit.
 *
 * libarchive says after each header how many bytes it has consumed (archive_filter_bytes), which is where the
 * member's content begins. Whoever reads it checks a digest, so a mistake there could not go unnoticed.
 */
#include "image/source.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "image/progress.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMBERS_MAX     65536
#define MEMBER_NAME_MAX 1024
#define LINK_HOPS_MAX   8
#define READ_SIZE       (256U << 10)
#define SPOOL_SIZE_MAX  (UINT64_C(1) << 40)
#define PROGRESS_SIZE   (4U << 20)

struct member {
        char *name;
        char *link; /* the member it stands for, or NULL */
        uint64_t offset;
        uint64_t size;
};

struct source {
        int fd; /* the folder, or the archive */
        bool folder;
        struct member *members; /* sorted by name */
        size_t count;
        size_t capacity;
};

static inline void cleanup_archive_p(struct archive **a)
{
        if (*a != NULL)
                (void)archive_read_free(*a); /* only frees: nothing is written */
}
#define cleanup_archive __attribute__((cleanup(cleanup_archive_p)))

static int new_source(int fd, bool folder, struct source **ret, struct error *err)
{
        struct source *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_set(err, -ENOMEM, "read images: out of memory");
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        s->folder = folder;
        if (s->fd < 0) {
                free(s);
                return error_errno(err, -errno, "read images");
        }
        *ret = s;
        return 0;
}

int source_open_folder(const char *path, struct source **ret_source, struct error *err)
{
        cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_errno(err, -errno, "open folder '%s'", path);
        return new_source(fd, true, ret_source, err);
}

void image_source_free(struct source *s)
{
        if (s == NULL)
                return;
        for (size_t i = 0; i < s->count; i++) {
                free(s->members[i].name);
                free(s->members[i].link);
        }
        free(s->members);
        close_fd(&s->fd);
        free(s);
}

static int archive_error(struct archive *a, const char *doing, struct error *err)
{
        const char *why = archive_error_string(a);
        return error_set(err, archive_errno(a) == ENOMEM ? -ENOMEM : -EBADMSG, "%s: %.300s", doing,
                         why != NULL ? why : "not readable");
}

/* A name as looked up: without "./" or "/" in front. NULL if it has "..", is empty or too long. */
static const char *plain_name(const char *name)
{
        while (name != NULL && (name[0] == '/' || (name[0] == '.' && name[1] == '/')))
                name += name[0] == '/' ? 1 : 2;
        if (name == NULL || *name == '\0' || strlen(name) > MEMBER_NAME_MAX)
                return NULL;
        return name;
}

/* What a symlink at name means: target relative to name's folder, "." and ".." resolved by text. */
static char *resolve_link(const char *name, const char *target)
{
        size_t length = 0;
        char *out = malloc(strlen(name) + strlen(target) + 2);
        if (out == NULL)
                return NULL;
        const char *slash = strrchr(name, '/');
        if (target[0] != '/' && slash != NULL) {
                length = (size_t)(slash - name);
                memcpy(out, name, length);
        }
        for (const char *p = target; *p != '\0';) {
                size_t part = strcspn(p, "/");
                if (part == 2 && memcmp(p, "..", 2) == 0) {
                        while (length > 0 && out[--length] != '/')
                                ;
                } else if (part > 0 && !(part == 1 && *p == '.')) {
                        if (length > 0)
                                out[length++] = '/';
                        memcpy(out + length, p, part);
                        length += part;
                }
                p += part + (p[part] == '/');
        }
        out[length] = '\0';
        return out;
}

static int add_member(struct source *s, const char *name, char *link, uint64_t offset, uint64_t size)
{
        if (s->count == s->capacity) {
                size_t capacity = s->capacity > 0 ? s->capacity * 2 : 256;
                struct member *grown = reallocarray(s->members, capacity, sizeof(*grown));
                if (grown == NULL)
                        return -ENOMEM;
                s->members = grown;
                s->capacity = capacity;
        }
        struct member *m = &s->members[s->count];
        *m = (struct member){.name = strdup(name), .offset = offset, .size = size};
        if (m->name == NULL)
                return -ENOMEM;
        m->link = link;
        s->count++;
        return 0;
}

static int note_entry(struct source *s, struct archive *a, struct archive_entry *entry)
{
        const char *name = plain_name(archive_entry_pathname(entry));
        const char *hard = archive_entry_hardlink(entry);
        const char *soft = archive_entry_symlink(entry);
        char *link = NULL;
        if (name == NULL)
                return 0; /* none that anybody looks up */
        if (hard != NULL && plain_name(hard) != NULL)
                link = strdup(plain_name(hard));
        else if (soft != NULL && strlen(soft) <= MEMBER_NAME_MAX)
                link = resolve_link(name, soft);
        else if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_size(entry) < 0 ||
                 archive_entry_sparse_count(entry) > 0)
                return 0;
        if ((hard != NULL || soft != NULL) && link == NULL)
                return -ENOMEM;
        int r = add_member(s, name, link, (uint64_t)archive_filter_bytes(a, 0),
                           (uint64_t)archive_entry_size(entry));
        if (r < 0)
                free(link);
        return r;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

/* One pass over the headers of the tar in s->fd; content is skipped by seeking. */
static int note_members(struct source *s, struct error *err)
{
        cleanup_archive struct archive *a = archive_read_new();
        struct archive_entry *entry;
        if (a == NULL || archive_read_support_format_tar(a) != ARCHIVE_OK)
                return error_set(err, -ENOMEM, "read the archive: out of memory");
        if (lseek(s->fd, 0, SEEK_SET) < 0)
                return error_errno(err, -errno, "read the archive");
        if (archive_read_open_fd(a, s->fd, READ_SIZE) != ARCHIVE_OK)
                return archive_error(a, "read the archive", err);
        for (;;) {
                int r = archive_read_next_header(a, &entry);
                if (r == ARCHIVE_EOF)
                        break;
                if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
                        return archive_error(a, "read the archive", err);
                if (s->count >= MEMBERS_MAX)
                        return error_set(err, -E2BIG, "read the archive: more than %d members", MEMBERS_MAX);
                if (note_entry(s, a, entry) < 0)
                        return error_set(err, -ENOMEM, "read the archive: out of memory");
        }
        if (s->count > 0)
                qsort(s->members, s->count, sizeof(*s->members), by_name);
        return 0;
}

/* Whether fd is a regular file, read from its start, that begins as a tar does (pax, ustar or GNU). */
static bool is_plain_tar(int fd)
{
        struct stat st;
        char magic[5];
        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0 &&
               pread(fd, magic, sizeof(magic), 257) == (ssize_t)sizeof(magic) &&
               memcmp(magic, "ustar", 5) == 0;
}

static int copy_decompressed(struct archive *a, int to, const struct image_observer *observer,
                             struct error *err)
{
        cleanup_free char *bytes = malloc(READ_SIZE);
        uint64_t total = 0, told = 0;
        if (bytes == NULL)
                return error_set(err, -ENOMEM, "read the archive: out of memory");
        for (;;) {
                la_ssize_t n = archive_read_data(a, bytes, READ_SIZE);
                if (n < 0)
                        return archive_error(a, "read the archive", err);
                if (n == 0)
                        return total > 0 ? 0 : error_set(err, -EBADMSG, "read the archive: it is empty");
                total += (uint64_t)n;
                if (total > SPOOL_SIZE_MAX)
                        return error_set(err, -EFBIG, "read the archive: larger than 1 TiB");
                int r = fd_write_full(to, bytes, (size_t)n);
                if (r < 0)
                        return error_errno(err, r, "write to the image store");
                if (total - told >= PROGRESS_SIZE) {
                        told = total;
                        r = progress_bytes(observer, IMAGE_PROGRESS_LAYER, "archive", total, 0, err);
                        if (r < 0)
                                return r;
                }
        }
}

/* Writes what comes from fd, decompressed, to a nameless file. */
static int spool(struct image_store *store, int fd, const struct image_observer *observer, int *ret_fd,
                 struct error *err)
{
        cleanup_archive struct archive *a = archive_read_new();
        struct archive_entry *entry;
        cleanup_fd int to = path_open_anonymous_at(store->tmp_fd, 0);
        if (to < 0)
                return error_errno(err, to, "make a temporary file in the image store");
        if (a == NULL || archive_read_support_format_raw(a) != ARCHIVE_OK ||
            archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
            archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
            archive_read_support_filter_xz(a) != ARCHIVE_OK ||
            archive_read_support_filter_bzip2(a) != ARCHIVE_OK)
                return error_set(err, -ENOMEM, "read the archive: no decompression");
        if (archive_read_open_fd(a, fd, READ_SIZE) != ARCHIVE_OK ||
            archive_read_next_header(a, &entry) != ARCHIVE_OK)
                return archive_error(a, "read the archive", err);
        int r = copy_decompressed(a, to, observer, err);
        if (r < 0)
                return r;
        *ret_fd = take_fd(&to);
        return 0;
}

int source_open_archive(struct image_store *store, int fd, const struct image_observer *observer,
                        struct source **ret_source, struct error *err)
{
        cleanup_fd int spooled = -1;
        cleanup_source struct source *s = NULL;
        int r = 0;
        if (!is_plain_tar(fd))
                r = spool(store, fd, observer, &spooled, err);
        if (r == 0)
                r = new_source(spooled >= 0 ? spooled : fd, false, &s, err);
        if (r == 0)
                r = note_members(s, err);
        if (r < 0)
                return r;
        *ret_source = take_ptr(&s);
        return 0;
}

static int find_in_folder(struct source *s, const char *name, int *ret_fd, uint64_t *ret_size,
                          struct error *err)
{
        struct stat st;
        cleanup_fd int fd = path_open_in_root(s->fd, name, O_RDONLY | O_NONBLOCK, 0);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return -ENOENT;
        if (fd < 0)
                return error_errno(err, fd, "open '%s' of the folder", name);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(err, -EINVAL, "open '%s' of the folder: not a regular file", name);
        *ret_size = (uint64_t)st.st_size;
        *ret_fd = take_fd(&fd);
        return 0;
}

static const struct member *find_member(const struct source *s, const char *name)
{
        struct member key = {.name = (char *)name};
        const struct member *m = NULL;
        for (int hops = 0; hops <= LINK_HOPS_MAX; hops++) {
                m = s->count > 0 ? bsearch(&key, s->members, s->count, sizeof(*m), by_name) : NULL;
                if (m == NULL || m->link == NULL)
                        return m;
                key.name = m->link;
        }
        return NULL;
}

int source_find(struct source *s, const char *name, int *ret_fd, uint64_t *ret_offset, uint64_t *ret_size,
                struct error *err)
{
        name = plain_name(name);
        if (name == NULL)
                return -ENOENT;
        if (s->folder) {
                int r = find_in_folder(s, name, ret_fd, ret_size, err);
                if (r == 0)
                        *ret_offset = 0;
                return r;
        }
        const struct member *m = find_member(s, name);
        if (m == NULL)
                return -ENOENT;
        int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return error_errno(err, -errno, "read the archive");
        *ret_fd = fd;
        *ret_offset = m->offset;
        *ret_size = m->size;
        return 0;
}

int source_read(struct source *s, const char *name, size_t maximum, char **ret_text, size_t *ret_size,
                struct error *err)
{
        cleanup_fd int fd = -1;
        uint64_t offset, size;
        int r = source_find(s, name, &fd, &offset, &size, err);
        if (r < 0)
                return r;
        if (size > maximum)
                return error_set(err, -EFBIG, "read '%.200s': longer than %zu bytes", name, maximum);
        cleanup_free char *text = malloc((size_t)size + 1);
        if (text == NULL)
                return error_set(err, -ENOMEM, "read '%.200s': out of memory", name);
        for (size_t done = 0; done < size;) {
                ssize_t n = pread(fd, text + done, (size_t)size - done, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_errno(err, n < 0 ? -errno : -ENODATA, "read '%.200s'", name);
                done += (size_t)n;
        }
        text[size] = '\0';
        *ret_text = take_ptr(&text);
        *ret_size = (size_t)size;
        return 0;
}
