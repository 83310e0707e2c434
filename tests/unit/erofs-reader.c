/* SPDX-License-Identifier: Apache-2.0 */
#include "erofs-reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK 4096U
#define ROOT  1024U

enum { PLAIN = 0, INLINE = 2, CHUNKED = 4 };

/* A piece of the image that something owns. */
struct range {
        uint64_t from, to;
};

struct check {
        const struct erofs_view *view;
        const char *wrong;
        struct range *ranges;
        size_t range_count, range_room;
        uint64_t *names; /* the inode of every entry that is no folder */
        size_t name_count, name_room;
        uint64_t *folders; /* pairs: inode, parent's inode; those before `at` are done */
        size_t folder_count, folder_room;
        uint64_t inodes;
};

static uint64_t get(const uint8_t *bytes, unsigned size)
{
        uint64_t value = 0;
        while (size-- > 0)
                value = value << 8 | bytes[size];
        return value;
}

static bool within(const struct erofs_view *view, uint64_t at, uint64_t size)
{
        return at <= view->size && size <= view->size - at;
}

bool erofs_view_open(int fd, struct erofs_view *view)
{
        struct stat st;
        if (fstat(fd, &st) < 0 || st.st_size < BLOCK)
                return false;
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
        *view = (struct erofs_view){bytes, (uint64_t)st.st_size};
        return bytes != MAP_FAILED;
}

void erofs_view_close(struct erofs_view *view)
{
        (void)munmap((void *)(uintptr_t)view->bytes, view->size);
}

bool erofs_view_inode(const struct erofs_view *view, uint64_t nid, struct erofs_node *node)
{
        uint64_t at = get(view->bytes + ROOT + 40, 4) * BLOCK + nid * 32;
        if (nid > UINT32_MAX || !within(view, at, 64))
                return false;
        const uint8_t *raw = view->bytes + at;
        unsigned format = (unsigned)get(raw, 2);
        unsigned count = (unsigned)get(raw + 2, 2);
        if ((format & 1) == 0 || format >> 4 != 0)
                return false; /* compact inodes are not written */
        *node = (struct erofs_node){
            .nid = nid,
            .mode = (unsigned)get(raw + 4, 2),
            .layout = format >> 1,
            .size = get(raw + 8, 8),
            .where = (uint32_t)get(raw + 16, 4),
            .uid = (uint32_t)get(raw + 24, 4),
            .gid = (uint32_t)get(raw + 28, 4),
            .mtime = (int64_t)get(raw + 32, 8),
            .mtime_nsec = (uint32_t)get(raw + 40, 4),
            .links = (uint32_t)get(raw + 44, 4),
            .xattr_at = at + 64,
            .xattr_size = count > 0 ? 12 + 4 * ((uint64_t)count - 1) : 0,
        };
        node->after = node->xattr_at + node->xattr_size;
        return within(view, node->xattr_at, node->xattr_size);
}

/* Position of the block of a file, 0 for a hole; UINT64_MAX if there is none. */
static uint64_t locate(const struct erofs_view *view, const struct erofs_node *node, uint64_t index)
{
        uint64_t blocks = node->size / BLOCK + (node->size % BLOCK != 0);
        if (index >= blocks)
                return UINT64_MAX;
        if (node->layout == INLINE && index == node->size / BLOCK)
                return node->after;
        if (node->layout == PLAIN || node->layout == INLINE)
                return ((uint64_t)node->where + index) * BLOCK;
        unsigned bits = node->where & 31;
        uint64_t map = node->after + (index >> bits) * 4;
        if (!within(view, map, 4))
                return UINT64_MAX;
        uint64_t block = get(view->bytes + map, 4);
        return block == UINT32_MAX ? 0 : (block + (index & ((UINT64_C(1) << bits) - 1))) * BLOCK;
}

bool erofs_view_read(const struct erofs_view *view, const struct erofs_node *node, uint64_t offset,
                     void *bytes, size_t size)
{
        uint8_t *to = bytes;
        if (offset > node->size || size > node->size - offset)
                return false;
        while (size > 0) {
                size_t now = BLOCK - offset % BLOCK < size ? BLOCK - offset % BLOCK : size;
                uint64_t at = locate(view, node, offset / BLOCK);
                if (at == UINT64_MAX || (at != 0 && !within(view, at + offset % BLOCK, now)))
                        return false;
                if (at == 0)
                        memset(to, 0, now);
                else
                        memcpy(to, view->bytes + at + offset % BLOCK, now);
                to += now;
                offset += now;
                size -= now;
        }
        return true;
}

/* One block of a folder, and how much of it counts. */
static const uint8_t *folder_block(const struct erofs_view *view, const struct erofs_node *node,
                                   uint64_t index, unsigned *ret_size)
{
        uint64_t at = locate(view, node, index);
        uint64_t left = node->size - index * BLOCK;
        *ret_size = left < BLOCK ? (unsigned)left : BLOCK;
        return at != UINT64_MAX && at != 0 && within(view, at, *ret_size) ? view->bytes + at : NULL;
}

/* Entry i of a folder's block: its name's length, 0 if it is wrong. */
static unsigned entry(const uint8_t *block, unsigned size, unsigned i, const char **ret_name,
                      uint64_t *ret_nid, unsigned *ret_kind)
{
        if (size < 12)
                return 0;
        unsigned count = (unsigned)get(block + 8, 2) / 12;
        if (get(block + 8, 2) % 12 != 0 || count == 0 || count * 12 >= size || i >= count)
                return 0;
        unsigned from = (unsigned)get(block + i * 12 + 8, 2);
        unsigned to = i + 1 < count ? (unsigned)get(block + i * 12 + 20, 2) : size;
        if (from >= to || to > size)
                return 0;
        *ret_nid = get(block + (size_t)i * 12, 8);
        *ret_kind = block[i * 12 + 10];
        *ret_name = (const char *)block + from;
        const char *nul = memchr(*ret_name, 0, to - from);
        unsigned length = nul != NULL ? (unsigned)(nul - *ret_name) : to - from;
        /* only the last name of a block may be padded */
        return length > 255 || (nul != NULL && i + 1 < count) ? 0 : length;
}

static unsigned entry_count(const uint8_t *block)
{
        return (unsigned)get(block + 8, 2) / 12;
}

static int compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
        int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
        return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* As the kernel does: halving over the blocks' first names, then within the block. */
static bool lookup(const struct erofs_view *view, const struct erofs_node *folder, const char *name,
                   size_t length, uint64_t *ret_nid)
{
        uint64_t low = 0, high = folder->size / BLOCK + (folder->size % BLOCK != 0);
        const char *other;
        unsigned size = 0, kind;
        while (low + 1 < high) {
                uint64_t middle = low + (high - low) / 2;
                const uint8_t *block = folder_block(view, folder, middle, &size);
                unsigned n = block != NULL ? entry(block, size, 0, &other, ret_nid, &kind) : 0;
                if (n == 0)
                        return false;
                if (compare(name, length, other, n) < 0)
                        high = middle;
                else
                        low = middle;
        }
        const uint8_t *block = folder_block(view, folder, low, &size);
        if (block == NULL || size < 12)
                return false;
        unsigned first = 0, end = entry_count(block);
        while (first < end) {
                unsigned middle = first + (end - first) / 2;
                unsigned n = entry(block, size, middle, &other, ret_nid, &kind);
                int order = n > 0 ? compare(name, length, other, n) : -1;
                if (order == 0)
                        return true;
                if (order < 0)
                        end = middle;
                else
                        first = middle + 1;
        }
        return false;
}

bool erofs_view_find(const struct erofs_view *view, const char *path, struct erofs_node *node)
{
        if (!erofs_view_inode(view, get(view->bytes + ROOT + 14, 2), node))
                return false;
        for (;;) {
                path += strspn(path, "/");
                size_t length = strcspn(path, "/");
                uint64_t nid;
                if (length == 0)
                        return true;
                if (!S_ISDIR(node->mode) || !lookup(view, node, path, length, &nid) ||
                    !erofs_view_inode(view, nid, node))
                        return false;
                path += length;
        }
}

static const char *const prefixes[] = {
    "", "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", "", "security."};

int erofs_view_xattr(const struct erofs_view *view, const struct erofs_node *node, const char *name,
                     void *value, size_t room)
{
        for (uint64_t at = node->xattr_at + 12; at + 4 <= node->after;) {
                const uint8_t *raw = view->bytes + at;
                unsigned length = raw[0], prefix = raw[1], size = (unsigned)get(raw + 2, 2);
                at += (4U + length + size + 3U) & ~3U;
                if (at > node->after || prefix == 0 || prefix == 5 || prefix > 6)
                        return -1;
                size_t head = strlen(prefixes[prefix]);
                if (strncmp(name, prefixes[prefix], head) != 0 || strlen(name) - head != length ||
                    memcmp(name + head, raw + 4, length) != 0)
                        continue;
                memcpy(value, raw + 4 + length, size < room ? size : room);
                return (int)size;
        }
        return -1;
}

char *erofs_view_list(const struct erofs_view *view, const struct erofs_node *node, size_t *ret_count)
{
        char *names = calloc(1, node->size + 1), *at = names;
        *ret_count = 0;
        for (uint64_t i = 0; names != NULL && i * BLOCK < node->size; i++) {
                unsigned size, kind, n;
                uint64_t nid;
                const char *name;
                const uint8_t *block = folder_block(view, node, i, &size);
                for (unsigned j = 0; block != NULL && (n = entry(block, size, j, &name, &nid, &kind)) > 0;
                     j++) {
                        if ((n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
                                continue;
                        memcpy(at, name, n); /* a name with its entry takes more room than with a NUL */
                        at += n + 1;
                        (*ret_count)++;
                }
        }
        return names;
}

static void *grow(void *array, size_t count, size_t *room, size_t size)
{
        if (count < *room)
                return array;
        *room = *room > 0 ? *room * 2 : 64;
        array = realloc(array, *room * size);
        if (array == NULL)
                abort();
        return array;
}

static void say(struct check *check, const char *wrong)
{
        if (check->wrong == NULL)
                check->wrong = wrong;
}

static void own(struct check *check, uint64_t from, uint64_t size)
{
        if (size == 0)
                return;
        if (!within(check->view, from, size))
                say(check, "something lies outside of the image");
        check->ranges = grow(check->ranges, check->range_count, &check->range_room, sizeof(*check->ranges));
        check->ranges[check->range_count++] = (struct range){from, from + size};
}

static void check_xattrs(struct check *check, const struct erofs_node *node)
{
        uint64_t at = node->xattr_at + 12;
        if (node->xattr_size == 0)
                return;
        if (node->xattr_size <= 12 || get(check->view->bytes + node->xattr_at, 8) != 0)
                say(check, "extended attributes without any, or with shared ones");
        while (at + 4 <= node->after) {
                const uint8_t *raw = check->view->bytes + at;
                if (raw[1] == 0 || raw[1] == 5 || raw[1] > 6 || (raw[0] == 0) != (raw[1] == 2 || raw[1] == 3))
                        say(check, "an extended attribute of no name");
                at += (4U + raw[0] + (unsigned)get(raw + 2, 2) + 3U) & ~3U;
        }
        if (at != node->after)
                say(check, "extended attributes do not fill their room");
}

static void check_content(struct check *check, const struct erofs_node *node)
{
        uint64_t whole = node->size / BLOCK, tail = node->size % BLOCK;
        uint64_t head = node->after - (node->xattr_at - 64);
        if (node->layout == CHUNKED) {
                uint64_t chunk = UINT64_C(1) << (node->where & 31);
                uint64_t blocks = whole + (tail > 0), count = (blocks + chunk - 1) / chunk;
                if (!S_ISREG(node->mode) || node->where >> 5 != 0 || count > 1U << 20)
                        say(check, "a strange chunk format");
                own(check, node->xattr_at - 64, head + count * 4);
                for (uint64_t i = 0; i < count && check->wrong == NULL; i++) {
                        uint64_t at = locate(check->view, node, i * chunk);
                        uint64_t here = blocks - i * chunk < chunk ? blocks - i * chunk : chunk;
                        if (at != 0)
                                own(check, at, here * BLOCK);
                }
        } else if (node->layout == INLINE) {
                if (tail == 0 || node->after % BLOCK + tail > BLOCK || node->after % BLOCK == 0)
                        say(check, "a tail that crosses its block, or none");
                own(check, node->xattr_at - 64, head + tail);
                own(check, (uint64_t)node->where * BLOCK, whole * BLOCK);
        } else if (node->layout == PLAIN) {
                own(check, node->xattr_at - 64, head);
                own(check, (uint64_t)node->where * BLOCK, (whole + (tail > 0)) * BLOCK);
        } else {
                say(check, "an unknown layout");
        }
}

/* Everything about an inode but its links. */
static bool check_inode(struct check *check, uint64_t nid, struct erofs_node *node)
{
        if (!erofs_view_inode(check->view, nid, node)) {
                say(check, "an inode outside of the image, or of unknown format");
                return false;
        }
        check->inodes++;
        if (node->mtime_nsec >= 1000000000)
                say(check, "a time of more than a second's nanoseconds");
        check_xattrs(check, node);
        if (S_ISREG(node->mode) || S_ISDIR(node->mode) || S_ISLNK(node->mode))
                check_content(check, node);
        else if (node->size != 0 || node->layout != PLAIN)
                say(check, "a special file with content");
        else
                own(check, node->xattr_at - 64, node->after - (node->xattr_at - 64));
        return check->wrong == NULL;
}

static unsigned kind_of(unsigned mode)
{
        return S_ISREG(mode)    ? 1
               : S_ISDIR(mode)  ? 2
               : S_ISCHR(mode)  ? 3
               : S_ISBLK(mode)  ? 4
               : S_ISFIFO(mode) ? 5
               : S_ISSOCK(mode) ? 6
               : S_ISLNK(mode)  ? 7
                                : 0;
}

static void check_entry(struct check *check, const struct erofs_node *folder, uint64_t parent,
                        const char *name, unsigned length, uint64_t nid, unsigned kind, uint32_t *folders)
{
        struct erofs_node node;
        uint64_t found;
        if (!lookup(check->view, folder, name, length, &found) || found != nid)
                say(check, "a name cannot be looked up");
        if (memchr(name, '/', length) != NULL)
                say(check, "a slash in a name");
        if (length <= 2 && memcmp(name, "..", length) == 0) {
                if (nid != (length == 1 ? folder->nid : parent) || kind != 2)
                        say(check, "wrong . or ..");
                *folders += 1;
                return;
        }
        if (!erofs_view_inode(check->view, nid, &node) || kind_of(node.mode) != kind)
                say(check, "an entry of the wrong kind");
        if (kind == 2) {
                *folders += 1;
                check->folders =
                    grow(check->folders, check->folder_count + 1, &check->folder_room, sizeof(uint64_t));
                check->folders[check->folder_count++] = nid;
                check->folders[check->folder_count++] = folder->nid;
        } else {
                check->names = grow(check->names, check->name_count, &check->name_room, sizeof(uint64_t));
                check->names[check->name_count++] = nid;
        }
}

static void check_folder(struct check *check, uint64_t nid, uint64_t parent)
{
        struct erofs_node node;
        const char *before = "", *name = NULL;
        unsigned before_length = 0, size, kind, length;
        uint64_t child;
        uint32_t folders = 0;
        if (!check_inode(check, nid, &node))
                return;
        for (uint64_t i = 0; i * BLOCK < node.size && check->wrong == NULL; i++) {
                const uint8_t *block = folder_block(check->view, &node, i, &size);
                unsigned count = block != NULL && size >= 12 ? entry_count(block) : 0;
                if (count == 0)
                        say(check, "a folder's block without entries");
                for (unsigned j = 0; j < count && check->wrong == NULL; j++) {
                        length = entry(block, size, j, &name, &child, &kind);
                        if (length == 0 || compare(before, before_length, name, length) >= 0)
                                say(check, "folder entries out of order, or damaged");
                        else
                                check_entry(check, &node, parent, name, length, child, kind, &folders);
                        before = name;
                        before_length = length;
                }
        }
        if (check->wrong == NULL && (folders < 2 || folders != node.links))
                say(check, "a folder's link count");
}

static int by_number(const void *a, const void *b)
{
        uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
        return (left > right) - (left < right);
}

static void check_names(struct check *check)
{
        struct erofs_node node;
        size_t next;
        if (check->name_count > 0)
                qsort(check->names, check->name_count, sizeof(uint64_t), by_number);
        for (size_t i = 0; i < check->name_count && check->wrong == NULL; i = next) {
                for (next = i; next < check->name_count && check->names[next] == check->names[i]; next++)
                        ;
                if (check_inode(check, check->names[i], &node) && node.links != next - i)
                        say(check, "a link count that is not the count of names");
        }
}

static void check_ranges(struct check *check)
{
        own(check, 0, ROOT + 128);
        qsort(check->ranges, check->range_count, sizeof(*check->ranges), by_number);
        for (size_t i = 1; i < check->range_count; i++) {
                if (check->ranges[i].from < check->ranges[i - 1].to)
                        say(check, "two things at one place");
        }
}

static uint32_t crc32c(const uint8_t *bytes, size_t size)
{
        uint32_t crc = UINT32_MAX;
        for (size_t i = 0; i < size; i++) {
                crc ^= i >= 4 && i < 8 ? 0 : bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = (crc >> 1) ^ (0x82f63b78U & (0U - (crc & 1)));
        }
        return crc;
}

static void check_super(struct check *check)
{
        const uint8_t *super = check->view->bytes + ROOT;
        if (check->view->size % BLOCK != 0 || get(super, 4) != 0xe0f5e1e2 || super[12] != 12)
                say(check, "no superblock");
        else if (get(super + 4, 4) != crc32c(super, BLOCK - ROOT))
                say(check, "the superblock's checksum");
        else if (get(super + 36, 4) * BLOCK != check->view->size)
                say(check, "the count of blocks");
        else if ((get(super + 80, 4) & ~UINT64_C(4)) != 0 || super[13] != 0 || get(super + 86, 4) != 0)
                say(check, "a feature that needs a newer kernel");
}

const char *erofs_view_check(const struct erofs_view *view)
{
        struct check check = {.view = view};
        check_super(&check);
        if (check.wrong == NULL) {
                uint64_t root = get(view->bytes + ROOT + 14, 2);
                check.folders = grow(NULL, 0, &check.folder_room, sizeof(uint64_t));
                check.folders[check.folder_count++] = root;
                check.folders[check.folder_count++] = root;
        }
        for (size_t i = 0; i < check.folder_count && check.wrong == NULL; i += 2)
                check_folder(&check, check.folders[i], check.folders[i + 1]);
        if (check.wrong == NULL)
                check_names(&check);
        if (check.wrong == NULL)
                check_ranges(&check);
        if (check.wrong == NULL && check.inodes != get(view->bytes + ROOT + 16, 8))
                say(&check, "the count of inodes");
        free(check.ranges);
        free(check.names);
        free(check.folders);
        return check.wrong;
}
