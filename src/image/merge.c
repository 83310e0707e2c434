/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an entry of a layer goes, and what goes away for it.
 *
 * A path is cleaned as text first: "." and double slashes go, ".." takes the name before it away; one that
 * leads above the root is refused. A leading slash means nothing. On the way to the last name symbolic links
 * are followed inside the image, as if in a chroot; missing folders are made (0755, root's). The last name
 * itself is never followed. So nothing outside the tree can be named, whatever links are planted.
 *
 *     entry          there already     result
 *     folder         folder            keeps its content, takes the new attributes
 *     anything       anything else     replaced; a folder goes with all in it
 *     hard link      anything          the other name's inode; to a folder, to nothing, to itself: refused
 *     .wh.NAME       NAME              goes, as far as it came from layers below
 *     .wh..wh..opq   in a folder       what layers below put into the folder goes
 *     .wh..wh.*                        ignored: AUFS kept its own there
 */
#include "image/merge.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHITEOUT      ".wh."
#define WHITEOUT_META ".wh..wh."
#define OPAQUE        ".wh..wh..opq"

#define LINKS_MAX              40 /* followed in one path, as Linux does */
#define FOLDER_XATTR_BYTES_MAX (32U << 20)
#define LAYERS_MAX             UINT16_MAX

enum meaning { MEANS_ENTRY, MEANS_WHITEOUT, MEANS_OPAQUE, MEANS_NOTHING };

/* A cleaned path: folder part and last name; both empty for the root. */
struct place {
        enum meaning meaning;
        char folder[PATH_MAX];
        char name[TREE_NAME_MAX + 1];
};

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

static int memory_error(struct error *err, int code, const char *path)
{
        if (code == -E2BIG)
                return error_set(err, code, "'%s': the image has too many files for the limit set", path);
        return error_errno(err, code, "'%s'", path);
}

/* Takes the next name off *path; its length, 0 at the end. */
static size_t next_name(const char **path, const char **ret_name)
{
        *path += strspn(*path, "/");
        *ret_name = *path;
        size_t length = strcspn(*path, "/");
        *path += length;
        return length;
}

/* Cleans path into clean, without a slash at either end. */
static int clean_path(const char *path, char clean[PATH_MAX], struct error *err)
{
        const char *rest = path, *name;
        size_t length, used = 0;
        if (strlen(path) >= PATH_MAX)
                return error_set(err, -ENAMETOOLONG, "'%.60s...': the path is longer than 4095 bytes", path);
        while ((length = next_name(&rest, &name)) > 0) {
                if (length > TREE_NAME_MAX)
                        return error_set(err, -ENAMETOOLONG, "'%s': a name is longer than 255 bytes", path);
                if (length == 1 && name[0] == '.')
                        continue;
                if (length == 2 && name[0] == '.' && name[1] == '.') {
                        if (used == 0)
                                return error_set(err, -EBADMSG, "'%s': the path leads out of the image",
                                                 path);
                        while (used > 0 && clean[--used] != '/')
                                ;
                        continue;
                }
                if (used > 0)
                        clean[used++] = '/';
                memcpy(clean + used, name, length);
                used += length;
        }
        clean[used] = '\0';
        return 0;
}

static int find_meaning(const char *path, struct place *place, struct error *err)
{
        const char *rest = place->folder, *name;
        while (next_name(&rest, &name) > 0) {
                if (begins(name, WHITEOUT_META)) {
                        place->meaning = MEANS_NOTHING;
                        return 0;
                }
                if (begins(name, WHITEOUT))
                        return error_set(err, -EBADMSG, "'%s': a file inside a whiteout", path);
        }
        name = place->name;
        place->meaning = strcmp(name, OPAQUE) == 0     ? MEANS_OPAQUE
                         : begins(name, WHITEOUT_META) ? MEANS_NOTHING
                         : begins(name, WHITEOUT)      ? MEANS_WHITEOUT
                                                       : MEANS_ENTRY;
        if (place->meaning != MEANS_WHITEOUT)
                return 0;
        memmove(place->name, name + strlen(WHITEOUT), strlen(name) - strlen(WHITEOUT) + 1);
        if (place->name[0] == '\0' || strcmp(place->name, ".") == 0 || strcmp(place->name, "..") == 0)
                return error_set(err, -EBADMSG, "'%s': a whiteout of no name", path);
        return 0;
}

static int split_path(const char *path, struct place *place, struct error *err)
{
        int r = clean_path(path, place->folder, err);
        if (r < 0)
                return r;
        char *slash = strrchr(place->folder, '/');
        char *name = slash != NULL ? slash + 1 : place->folder;
        memcpy(place->name, name, strlen(name) + 1);
        *(slash != NULL ? slash : place->folder) = '\0';
        return find_meaning(path, place, err);
}

static int on_gone(const struct tree_node *node, void *data)
{
        struct merge *merge = data;
        return erofs_unlink(merge->writer, node->ref, NULL);
}

static int bury(struct merge *merge, uint32_t index, bool whole, bool keep_top, struct error *err)
{
        uint32_t below = whole ? UINT32_MAX : merge->layer;
        int r = tree_bury(merge->tree, index, below, keep_top, on_gone, merge);
        return r < 0 ? error_errno(err, r, "write root file system") : 0;
}

static int set_folder(struct merge *merge, uint32_t index, const struct erofs_attributes *attributes,
                      struct error *err)
{
        struct tree_folder *folder = tree_folder(merge->tree, index);
        uint8_t *xattrs = NULL;
        if (attributes->xattr_size > 0) {
                merge->xattr_bytes += attributes->xattr_size;
                if (merge->xattr_bytes > FOLDER_XATTR_BYTES_MAX)
                        return error_set(err, -E2BIG, "extended attributes of folders take more than 32 MiB");
                if ((xattrs = malloc(attributes->xattr_size)) == NULL)
                        return error_errno(err, -ENOMEM, "write root file system");
                memcpy(xattrs, attributes->xattrs, attributes->xattr_size);
        }
        free(folder->xattrs);
        folder->xattrs = xattrs;
        folder->xattr_size = attributes->xattr_size;
        folder->mode = attributes->mode & 07777;
        folder->uid = attributes->uid;
        folder->gid = attributes->gid;
        folder->mtime = attributes->mtime;
        folder->mtime_nsec = attributes->mtime_nsec;
        return 0;
}

/* Gives the name in the folder to an inode (to a folder of its own, if that is its kind). */
static int settle(struct merge *merge, const char *path, uint32_t parent, const char *name, size_t length,
                  enum tree_kind kind, uint32_t inode, uint32_t *ret_index, struct error *err)
{
        int r = tree_make(merge->tree, parent, name, length, ret_index);
        if (r < 0)
                return memory_error(err, r, path);
        const struct tree_node *node = tree_node(merge->tree, *ret_index);
        if (node->dead || kind != TREE_FOLDER || node->kind != TREE_FOLDER) {
                if (!node->dead && (r = bury(merge, *ret_index, true, false, err)) < 0)
                        return r;
                if ((r = tree_revive(merge->tree, *ret_index, kind, inode)) < 0)
                        return memory_error(err, r, path);
        }
        tree_touch(merge->tree, *ret_index, merge->layer);
        return 0;
}

/* On the way through the tree: what is left of the path, links expanded. */
struct walk {
        const char *path; /* for errors */
        bool make;        /* missing folders */
        int64_t mtime;    /* theirs */
        unsigned links;
        char rest[2 * PATH_MAX];
};

/* Puts the link's target in front of what is left. */
static int follow(struct merge *merge, struct walk *walk, uint32_t link, const char *left, uint32_t *at,
                  struct error *err)
{
        char target[PATH_MAX];
        int r =
            erofs_read_symlink(merge->writer, tree_node(merge->tree, link)->ref, target, sizeof(target), err);
        if (r < 0)
                return r;
        size_t length = strlen(target), left_length = strlen(left);
        if (++walk->links > LINKS_MAX)
                return error_set(err, -ELOOP, "'%s': too many symbolic links on the way", walk->path);
        if (length + 1 + left_length >= sizeof(walk->rest))
                return error_set(err, -ENAMETOOLONG, "'%s': symbolic links make the path too long",
                                 walk->path);
        memmove(walk->rest + length + 1, left, left_length + 1);
        memcpy(walk->rest, target, length);
        walk->rest[length] = '/';
        if (target[0] == '/')
                *at = TREE_ROOT;
        return 0;
}

static int step(struct merge *merge, struct walk *walk, const char *name, size_t length, uint32_t parent,
                uint32_t *ret_index, struct error *err)
{
        if (length > TREE_NAME_MAX)
                return error_set(err, -ENAMETOOLONG, "'%s': a name is longer than 255 bytes", walk->path);
        *ret_index = tree_find(merge->tree, parent, name, length);
        if (*ret_index != TREE_NONE && !tree_node(merge->tree, *ret_index)->dead)
                return 0;
        if (!walk->make)
                return error_errno(err, -ENOENT, "'%s'", walk->path);
        struct erofs_attributes attributes = {.mode = 0755, .mtime = walk->mtime};
        int r = settle(merge, walk->path, parent, name, length, TREE_FOLDER, 0, ret_index, err);
        return r < 0 ? r : set_folder(merge, *ret_index, &attributes, err);
}

/* Finds the folder walk->rest names. */
static int find_folder(struct merge *merge, struct walk *walk, uint32_t *ret_index, struct error *err)
{
        const char *left = walk->rest, *name;
        uint32_t at = TREE_ROOT, index;
        size_t length;
        int r;
        while ((length = next_name(&left, &name)) > 0) {
                if (length == 1 && name[0] == '.')
                        continue;
                if (length == 2 && name[0] == '.' && name[1] == '.') {
                        at = tree_node(merge->tree, at)->parent;
                        continue;
                }
                if ((r = step(merge, walk, name, length, at, &index, err)) < 0)
                        return r;
                uint8_t kind = tree_node(merge->tree, index)->kind;
                if (kind == TREE_FOLDER) {
                        at = index;
                } else if (kind == TREE_SYMLINK) {
                        if ((r = follow(merge, walk, index, left, &at, err)) < 0)
                                return r;
                        left = walk->rest;
                } else {
                        return error_set(err, -ENOTDIR, "'%s': a folder on the way is not a folder",
                                         walk->path);
                }
        }
        *ret_index = at;
        return 0;
}

static int locate(struct merge *merge, const struct merge_entry *entry, const char *path,
                  const struct place *place, bool make, uint32_t *ret_folder, struct error *err)
{
        struct walk walk = {.path = path, .make = make, .mtime = entry->attributes.mtime};
        memcpy(walk.rest, place->folder, strlen(place->folder) + 1);
        return find_folder(merge, &walk, ret_folder, err);
}

static enum tree_kind kind_of(uint16_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return TREE_FOLDER;
        case S_IFLNK:
                return TREE_SYMLINK;
        case S_IFCHR:
                return TREE_CHARACTER;
        case S_IFBLK:
                return TREE_BLOCK;
        case S_IFIFO:
                return TREE_FIFO;
        case S_IFSOCK:
                return TREE_SOCKET;
        default:
                return TREE_FILE;
        }
}

static int add_link(struct merge *merge, const struct merge_entry *entry, const struct place *place,
                    uint32_t folder, struct error *err)
{
        struct place other;
        uint32_t other_folder, index;
        int r = split_path(entry->hard_link, &other, err);
        if (r == 0)
                r = locate(merge, entry, entry->hard_link, &other, false, &other_folder, err);
        if (r < 0)
                return error_wrap(err, "'%s': hard link", entry->path);
        uint32_t found = other.name[0] == '\0'
                             ? TREE_ROOT
                             : tree_find(merge->tree, other_folder, other.name, strlen(other.name));
        if (found == TREE_NONE || tree_node(merge->tree, found)->dead || other.meaning != MEANS_ENTRY)
                return error_set(err, -EBADMSG, "'%s': hard link to '%s', which is not there", entry->path,
                                 entry->hard_link);
        struct tree_node node = *tree_node(merge->tree, found);
        if (node.kind == TREE_FOLDER)
                return error_set(err, -EBADMSG, "'%s': hard link to the folder '%s'", entry->path,
                                 entry->hard_link);
        if (found == tree_find(merge->tree, folder, place->name, strlen(place->name)))
                return error_set(err, -EBADMSG, "'%s': hard link to itself", entry->path);
        if ((r = erofs_link(merge->writer, node.ref, err)) < 0)
                return r;
        return settle(merge, entry->path, folder, place->name, strlen(place->name), node.kind, node.ref,
                      &index, err);
}

/* Writes everything that is not a folder; gives its inode. */
static int write_entry(struct merge *merge, const struct merge_entry *entry, merge_content_fn content,
                       void *data, uint32_t *ret_inode, struct error *err)
{
        int r;
        switch (kind_of(entry->attributes.mode)) {
        case TREE_FILE:
                if ((r = erofs_file_begin(merge->writer, entry->size, err)) < 0 ||
                    (entry->size > 0 && (r = content(merge, data, err)) < 0))
                        return r;
                return erofs_file_end(merge->writer, &entry->attributes, ret_inode, err);
        case TREE_SYMLINK:
                if (entry->target == NULL || entry->target[0] == '\0')
                        return error_set(err, -EBADMSG, "'%s': a symbolic link to nothing", entry->path);
                if (strlen(entry->target) >= PATH_MAX)
                        return error_set(err, -ENAMETOOLONG, "'%s': a symbolic link longer than 4095 bytes",
                                         entry->path);
                return erofs_add_symlink(merge->writer, &entry->attributes, entry->target, ret_inode, err);
        default:
                return erofs_add_special(merge->writer, &entry->attributes, entry->device, ret_inode, err);
        }
}

static int add_root(struct merge *merge, const struct merge_entry *entry, struct error *err)
{
        if (entry->hard_link != NULL || kind_of(entry->attributes.mode) != TREE_FOLDER)
                return error_set(err, -EBADMSG, "'%s': the root can only be a folder", entry->path);
        tree_touch(merge->tree, TREE_ROOT, merge->layer);
        return set_folder(merge, TREE_ROOT, &entry->attributes, err);
}

static int hide(struct merge *merge, uint32_t folder, const char *name, struct error *err)
{
        uint32_t index = tree_find(merge->tree, folder, name, strlen(name));
        if (index == TREE_NONE || tree_node(merge->tree, index)->dead)
                return 0;
        return bury(merge, index, false, false, err);
}

int merge_add(struct merge *merge, const struct merge_entry *entry, merge_content_fn content, void *data,
              struct error *err)
{
        struct place place;
        uint32_t folder, index, inode = 0;
        int r = split_path(entry->path, &place, err);
        if (r < 0)
                return r;
        if (place.meaning == MEANS_NOTHING)
                return 0;
        if (place.name[0] == '\0')
                return add_root(merge, entry, err);
        if ((r = locate(merge, entry, entry->path, &place, true, &folder, err)) < 0)
                return r;
        if (place.meaning == MEANS_OPAQUE)
                return bury(merge, folder, false, true, err);
        if (place.meaning == MEANS_WHITEOUT)
                return hide(merge, folder, place.name, err);
        if (entry->hard_link != NULL)
                return add_link(merge, entry, &place, folder, err);
        enum tree_kind kind = kind_of(entry->attributes.mode);
        if (kind != TREE_FOLDER && (r = write_entry(merge, entry, content, data, &inode, err)) < 0)
                return r;
        r = settle(merge, entry->path, folder, place.name, strlen(place.name), kind, inode, &index, err);
        if (r == 0 && kind == TREE_FOLDER)
                r = set_folder(merge, index, &entry->attributes, err);
        return r;
}

int merge_begin_layer(struct merge *merge, struct error *err)
{
        if (merge->layer == LAYERS_MAX)
                return error_set(err, -E2BIG, "the image has more than %d layers", LAYERS_MAX);
        merge->layer++;
        return 0;
}

int merge_write(struct merge *merge, uint64_t offset, const void *bytes, size_t size, struct error *err)
{
        if (size > merge->content_max - merge->content)
                return error_set(err, -EFBIG, "the image's files take more than the %llu bytes allowed",
                                 (unsigned long long)merge->content_max);
        merge->content += size;
        return erofs_file_write(merge->writer, offset, bytes, size, err);
}

int merge_device(uint64_t major, uint64_t minor, uint32_t *ret_device)
{
        if (major >= 1U << 12 || minor >= 1U << 20)
                return -EOVERFLOW;
        *ret_device = (uint32_t)((minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12);
        return 0;
}
