/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of nodes.
 *
 * A number given to the guest is an index into `slots` (low 24 bits) and a serial number: what the guest
 * sends back is looked up and compared whole, so no invented number finds anything. Inodes are found by
 * share, device and inode number in a hash table that doubles as it fills.
 *
 * Descriptors: those of nodes stand in a ring by age of use. When there are too many the oldest that nobody
 * is using is closed. It is opened again by its name under its folder's descriptor, one component at a time
 * with O_NOFOLLOW, and must then be the same device, inode and type, or the node is stale: whatever the host
 * does to the tree meanwhile, a descriptor is always of something that a name beneath the share led to,
 * without links.
 *
 * Life: a node lives while the guest knows it (lookups), something holds it (refs: files that are open, the
 * nodes of what is in it), or a request is at work on it (pins, which also keep its descriptor). A node
 * whose name is gone, or leads to something else, lives on by its descriptor; if that has to be closed for
 * others it is opened again by what the guest has open of it (nodes_options.reopen), or is stale, as a file
 * on NFS would be.
 *
 * Invariants:
 * 1. A chain of parents ends at a share's root: a move that would close a circle cuts it (node_learn()).
 * 2. A node is in the ring if and only if fd >= 0 and it is no share's root.
 * 3. The lock is never held over a system call but close(2) of an O_PATH descriptor, which does nothing but
 * free it.
 *
 * Hostile: numbers and counts from the guest, and what the host's other programs do to the tree.
 *
 * system calls (files): openat openat2 close fstat newfstatat readlinkat
 */
#include "vmm/fs/node.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define INDEX_BITS 24
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)
#define ROOT_INDEX 1 /* FUSE_ROOT_ID, which is no node */

#define BUCKETS_FIRST 256

/* So often may a node move on while it is opened at the place that it had. */
#define MOVES_MAX 16
#define MOVED     1

/* Times of files advance in ticks of the host's clock: one that was changed this recently may change again
 * unseen. */
#define RACY_NS INT64_C(50000000)

_Static_assert(NODES_MAX < INDEX_MASK, "an index fits");

struct node {
        uint64_t id;
        uint64_t ino;
        dev_t dev;
        uint32_t share;
        mode_t type;
        uint64_t lookups;
        uint32_t refs;
        uint32_t pins;
        int fd;
        bool is_root;
        bool has_seen;
        struct node *parent; /* NULL: a share's root, or it has no name any more */
        char *name;
        struct node *next; /* in its bucket */
        struct node *newer, *older;
        struct timespec seen_mtime, seen_ctime;
        off_t seen_size;
};

struct nodes {
        pthread_mutex_t lock;
        struct node **slots;
        uint32_t slot_count;    /* room */
        uint32_t *free_indices; /* a stack */
        uint32_t free_count;
        uint64_t serial;
        struct node **buckets;
        size_t bucket_count;
        size_t count;
        struct node ring; /* ring.older is the youngest, ring.newer the oldest */
        unsigned descriptors;
        struct nodes_options options;
};

static void lock(struct nodes *t)
{
        (void)pthread_mutex_lock(&t->lock); /* a plain mutex, never taken twice: cannot fail */
}

static void unlock(struct nodes *t)
{
        (void)pthread_mutex_unlock(&t->lock);
}

/* ---- the ring of descriptors ---- */

static void ring_add(struct nodes *t, struct node *n)
{
        n->older = t->ring.older;
        n->newer = &t->ring;
        t->ring.older->newer = n;
        t->ring.older = n;
}

static void ring_remove(struct node *n)
{
        n->older->newer = n->newer;
        n->newer->older = n->older;
        n->older = n->newer = NULL;
}

static void drop_fd(struct nodes *t, struct node *n)
{
        if (n->fd < 0 || n->is_root)
                return;
        ring_remove(n);
        close_fd(&n->fd);
        t->descriptors--;
}

/* Takes fd. */
static void keep_fd(struct nodes *t, struct node *n, int fd)
{
        n->fd = fd;
        t->descriptors++;
        ring_add(t, n);
        struct node *old = t->ring.newer;
        while (t->descriptors > t->options.descriptor_max && old != &t->ring) {
                struct node *newer = old->newer;
                if (old->pins == 0)
                        drop_fd(t, old);
                old = newer;
        }
}

static void touch(struct nodes *t, struct node *n)
{
        if (n->newer == NULL)
                return;
        ring_remove(n);
        ring_add(t, n);
}

/* ---- slots and buckets ---- */

static size_t bucket_of(const struct nodes *t, unsigned share, dev_t dev, uint64_t ino)
{
        uint64_t h = (ino ^ (uint64_t)dev << 32 ^ (uint64_t)share << 20) * UINT64_C(0x9e3779b97f4a7c15);
        return (size_t)(h >> 20) & (t->bucket_count - 1);
}

static struct node *find(const struct nodes *t, unsigned share, const struct stat *st)
{
        struct node *n = t->buckets[bucket_of(t, share, st->st_dev, st->st_ino)];
        while (n != NULL && (n->ino != st->st_ino || n->dev != st->st_dev || n->share != share ||
                             n->type != (st->st_mode & S_IFMT)))
                n = n->next;
        return n;
}

static struct node *by_id(const struct nodes *t, uint64_t id)
{
        uint64_t index = id & INDEX_MASK;
        struct node *n = index < t->slot_count ? t->slots[index] : NULL;
        return n != NULL && n->id == id ? n : NULL;
}

static void rehash(struct nodes *t)
{
        size_t before = t->bucket_count;
        struct node **old = t->buckets;
        struct node **buckets = calloc(before * 2, sizeof(*buckets));
        if (buckets == NULL)
                return; /* longer chains will do */
        t->buckets = buckets;
        t->bucket_count = before * 2;
        for (size_t i = 0; i < before; i++) {
                for (struct node *n = old[i], *next; n != NULL; n = next) {
                        struct node **bucket = &t->buckets[bucket_of(t, n->share, n->dev, n->ino)];
                        next = n->next;
                        n->next = *bucket;
                        *bucket = n;
                }
        }
        free(old);
}

static int grow_slots(struct nodes *t)
{
        uint32_t count = t->slot_count == 0 ? 256 : t->slot_count * 2;
        if (t->slot_count >= NODES_MAX)
                return -ENFILE;
        struct node **slots = reallocarray(t->slots, count, sizeof(*slots));
        if (slots == NULL)
                return -ENOMEM;
        t->slots = slots;
        uint32_t *indices = reallocarray(t->free_indices, count, sizeof(*indices));
        if (indices == NULL)
                return -ENOMEM;
        t->free_indices = indices;
        memset(slots + t->slot_count, 0, (count - t->slot_count) * sizeof(*slots));
        for (uint32_t i = count; i-- > t->slot_count;) {
                if (i > ROOT_INDEX)
                        t->free_indices[t->free_count++] = i;
        }
        t->slot_count = count;
        return 0;
}

static int add(struct nodes *t, unsigned share, const struct stat *st, struct node **ret_node)
{
        int r = t->free_count == 0 ? grow_slots(t) : 0;
        struct node *n = r == 0 ? calloc(1, sizeof(*n)) : NULL;
        if (n == NULL)
                return r < 0 ? r : -ENOMEM;
        if (t->count >= t->bucket_count)
                rehash(t);
        uint32_t index = t->free_indices[--t->free_count];
        *n = (struct node){.id = ++t->serial << INDEX_BITS | index,
                           .ino = st->st_ino,
                           .dev = st->st_dev,
                           .share = share,
                           .type = st->st_mode & S_IFMT,
                           .fd = -1};
        struct node **bucket = &t->buckets[bucket_of(t, share, n->dev, n->ino)];
        n->next = *bucket;
        *bucket = n;
        t->slots[index] = n;
        t->count++;
        *ret_node = n;
        return 0;
}

static void take_out(struct nodes *t, struct node *n)
{
        struct node **place = &t->buckets[bucket_of(t, n->share, n->dev, n->ino)];
        while (*place != n)
                place = &(*place)->next;
        *place = n->next;
        t->slots[n->id & INDEX_MASK] = NULL;
        t->free_indices[t->free_count++] = (uint32_t)(n->id & INDEX_MASK);
        t->count--;
        drop_fd(t, n);
        free(n->name);
        free(n);
}

/* Frees n if nothing needs it, and then perhaps its folder, and so on. */
static void collect(struct nodes *t, struct node *n)
{
        while (n != NULL && !n->is_root && n->lookups == 0 && n->refs == 0 && n->pins == 0) {
                struct node *parent = n->parent;
                take_out(t, n);
                if (parent != NULL)
                        parent->refs--;
                n = parent;
        }
}

/* ---- where a node is ---- */

static void lose_place(struct nodes *t, struct node *n)
{
        struct node *parent = n->parent;
        n->parent = NULL;
        free(n->name);
        n->name = NULL;
        if (parent == NULL)
                return;
        parent->refs--;
        collect(t, parent);
}

static bool is_at(const struct node *n, const struct node *dir, const char *name)
{
        return n->parent == dir && n->name != NULL && strcmp(n->name, name) == 0;
}

/* Invariant 1. The host has moved folders about: what is known of the way from dir up to n is old. */
static void cut_circle(struct nodes *t, const struct node *n, struct node *dir)
{
        for (struct node *at = dir; at != NULL; at = at->parent) {
                if (at == n || at->parent == n) {
                        if (at != n)
                                lose_place(t, at);
                        return;
                }
        }
}

static int set_place(struct nodes *t, struct node *n, struct node *dir, const char *name)
{
        if (n->is_root || is_at(n, dir, name))
                return 0;
        if (n == dir)
                return -ELOOP; /* no folder holds itself: the host has changed it under our eyes */
        char *copy = strdup(name);
        if (copy == NULL)
                return -ENOMEM;
        n->pins++; /* losing the place may not free it, nor the folder */
        dir->pins++;
        if (n->type == S_IFDIR)
                cut_circle(t, n, dir);
        lose_place(t, n);
        n->parent = dir;
        n->name = copy;
        dir->refs++;
        dir->pins--;
        n->pins--;
        return 0;
}

/* ---- entry points ---- */

int nodes_new(const struct nodes_options *options, struct nodes **ret_nodes)
{
        struct nodes *t = calloc(1, sizeof(*t));
        if (t == NULL)
                return -ENOMEM;
        t->buckets = calloc(BUCKETS_FIRST, sizeof(struct node *));
        if (t->buckets == NULL) {
                free(t);
                return -ENOMEM;
        }
        (void)pthread_mutex_init(&t->lock, NULL); /* cannot fail for a plain one */
        t->bucket_count = BUCKETS_FIRST;
        t->options = *options;
        t->ring.newer = t->ring.older = &t->ring;
        *ret_nodes = t;
        return 0;
}

/* Takes every node out, wherever it hangs; roots too if `all`. */
static void clear(struct nodes *t, bool all)
{
        for (uint32_t i = 0; i < t->slot_count; i++) {
                struct node *n = t->slots[i];
                if (n == NULL)
                        continue;
                n->lookups = 0;
                n->refs = n->pins = 0;
                n->parent = NULL;
                n->has_seen = false;
                if (all || !n->is_root)
                        take_out(t, n);
        }
}

void nodes_reset(struct nodes *t)
{
        lock(t);
        clear(t, false);
        unlock(t);
}

void nodes_free(struct nodes *t)
{
        if (t == NULL)
                return;
        clear(t, true);
        (void)pthread_mutex_destroy(&t->lock);
        free(t->slots);
        free(t->free_indices);
        free(t->buckets);
        free(t);
}

int nodes_add_share(struct nodes *t, unsigned share, int fd, const struct stat *st)
{
        struct node *n;
        int r = add(t, share, st, &n);
        if (r < 0)
                return r;
        n->is_root = true;
        n->fd = fd;
        return 0;
}

void nodes_count(struct nodes *t, size_t *ret_nodes, size_t *ret_descriptors)
{
        lock(t);
        *ret_nodes = t->count;
        *ret_descriptors = t->descriptors;
        unlock(t);
}

unsigned node_share(const struct node *n)
{
        return n->share;
}

mode_t node_type(const struct node *n)
{
        return n->type;
}

uint64_t node_id(const struct node *n)
{
        return n->id;
}

struct node *node_get(struct nodes *t, uint64_t id)
{
        lock(t);
        struct node *n = by_id(t, id);
        if (n != NULL)
                n->pins++;
        unlock(t);
        return n;
}

struct node *node_get_share(struct nodes *t, unsigned share)
{
        struct node *n = NULL;
        lock(t);
        /* shares are the first that were added */
        for (uint32_t i = 0; n == NULL && i < t->slot_count; i++) {
                if (t->slots[i] != NULL && t->slots[i]->is_root && t->slots[i]->share == share)
                        n = t->slots[i];
        }
        if (n != NULL)
                n->pins++;
        unlock(t);
        return n;
}

void node_put(struct nodes *t, struct node *n)
{
        if (n == NULL)
                return;
        lock(t);
        n->pins--;
        collect(t, n);
        unlock(t);
}

void node_hold(struct nodes *t, struct node *n)
{
        lock(t);
        n->refs++;
        unlock(t);
}

void node_release(struct nodes *t, struct node *n)
{
        lock(t);
        n->refs--;
        collect(t, n);
        unlock(t);
}

int node_learn(struct nodes *t, struct node *dir, const char *name, const struct stat *st, uint64_t *ret_id)
{
        int r = 0;
        lock(t);
        struct node *n = find(t, dir->share, st);
        if (n == NULL)
                r = t->count < t->options.node_max ? add(t, dir->share, st, &n) : -ENFILE;
        if (r == 0 && n->lookups == UINT64_MAX)
                r = -EOVERFLOW;
        if (r == 0)
                r = set_place(t, n, dir, name);
        if (r == 0) {
                n->lookups++;
                *ret_id = n->id;
        } else if (n != NULL) {
                collect(t, n);
        }
        unlock(t);
        return r;
}

void node_learn_again(struct nodes *t, struct node *n)
{
        lock(t);
        if (n->lookups < UINT64_MAX)
                n->lookups++;
        unlock(t);
}

void node_forget(struct nodes *t, uint64_t id, uint64_t count)
{
        lock(t);
        struct node *n = by_id(t, id);
        if (n != NULL) {
                n->lookups -= count < n->lookups ? count : n->lookups;
                collect(t, n);
        }
        unlock(t);
}

static int open_path(int dir_fd, const char *name)
{
        struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                               .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
        long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
        /* before Linux 5.6, or refused by an old filter: for one component these flags alone say the same */
        if (fd < 0 && (errno == ENOSYS || errno == EPERM))
                fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : (int)fd;
}

/* Opens n by its name, whose folder is open; both are pinned. */
static int open_beneath(const struct node *n, int dir_fd, const char *name)
{
        struct stat st;
        cleanup_fd int fd = open_path(dir_fd, name);
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
                return fd;
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != n->ino || st.st_dev != n->dev ||
            (st.st_mode & S_IFMT) != n->type)
                return -ESTALE;
        return take_fd(&fd);
}

/* One step of node_fd(), with the lock: opens n, or the topmost of its folders that is closed. MOVED: it is
 * somewhere else by now. */
static int open_one(struct nodes *t, struct node *n)
{
        char name[NAME_MAX + 1] = "";
        while (n->parent != NULL && n->parent->fd < 0)
                n = n->parent;
        struct node *parent = n->parent;
        if (parent != NULL && strlen(n->name) <= NAME_MAX)
                memcpy(name, n->name, strlen(n->name) + 1);
        n->pins++;
        if (parent != NULL)
                parent->pins++;
        unlock(t);
        int fd = name[0] == '\0' ? -ESTALE : open_beneath(n, parent->fd, name);
        if (fd == -ESTALE)
                fd = t->options.reopen(t->options.data, n);
        lock(t);
        int r = fd == -ESTALE && parent != NULL && !is_at(n, parent, name) ? MOVED : fd < 0 ? fd : 0;
        if (fd >= 0 && n->fd < 0)
                keep_fd(t, n, fd);
        else
                close_fd(&fd); /* another thread was faster, or it failed */
        /* meanwhile either may have become needless, and n's end may be that of parent: so parent goes first
         */
        if (parent != NULL) {
                parent->pins--;
                collect(t, parent);
        }
        n->pins--;
        collect(t, n);
        return r;
}

int node_fd(struct nodes *t, struct node *n)
{
        int r = 0;
        unsigned moves = 0;
        lock(t);
        touch(t, n);
        while (r >= 0 && n->fd < 0) {
                r = open_one(t, n);
                if (r == MOVED && ++moves > MOVES_MAX)
                        r = -ESTALE;
        }
        int fd = n->fd;
        unlock(t);
        return fd >= 0 ? fd : r;
}

struct node *node_before_unlink(struct nodes *t, struct node *dir, const char *name, const struct stat *st)
{
        lock(t);
        struct node *n = find(t, dir->share, st);
        if (n != NULL && !is_at(n, dir, name))
                n = NULL;
        if (n != NULL)
                n->pins++;
        unlock(t);
        if (n != NULL)
                (void)node_fd(t,
                              n); /* without a descriptor it becomes stale, which is all that can be done */
        return n;
}

void node_lost_name(struct nodes *t, struct node *n, struct node *dir, const char *name)
{
        lock(t);
        if (is_at(n, dir, name))
                lose_place(t, n);
        unlock(t);
}

void node_moved(struct nodes *t, const struct stat *st, struct node *dir, const char *name)
{
        lock(t);
        struct node *n = find(t, dir->share, st);
        if (n != NULL)
                (void)set_place(t, n, dir, name); /* out of memory: it is stale until it is looked up again */
        unlock(t);
}

static int64_t ns_of(const struct timespec *time)
{
        int64_t ns;
        if (__builtin_mul_overflow((int64_t)time->tv_sec, INT64_C(1000000000), &ns) ||
            __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns))
                return INT64_MAX;
        return ns;
}

void node_seen(struct nodes *t, struct node *n, const struct stat *st)
{
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
        lock(t);
        n->seen_mtime = st->st_mtim;
        n->seen_ctime = st->st_ctim;
        n->seen_size = st->st_size;
        int64_t age;
        n->has_seen = !__builtin_sub_overflow(ns_of(&now), ns_of(&st->st_ctim), &age) && age > RACY_NS;
        unlock(t);
}

bool node_unchanged(struct nodes *t, struct node *n, const struct stat *st)
{
        lock(t);
        bool same =
            n->has_seen && n->seen_size == st->st_size && n->seen_mtime.tv_sec == st->st_mtim.tv_sec &&
            n->seen_mtime.tv_nsec == st->st_mtim.tv_nsec && n->seen_ctime.tv_sec == st->st_ctim.tv_sec &&
            n->seen_ctime.tv_nsec == st->st_ctim.tv_nsec;
        unlock(t);
        return same;
}
