/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of nodes under pressure: few descriptors, forgotten folders, and requests that come while another
 * one opens a node. The last are no races here: openat2(2) goes through the test, which asks the server
 * something else first, as another thread of it would.
 */
#include "harness.h"

#include "fuse-client.h"
#include "vmm/fs/call.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct client client, other;
static struct fuse_entry_out entry;
static int folder;

/* Before the hook_at-th openat2(2) from now on. */
static void (*hook)(void);
static unsigned hook_at;

static void (*after_create)(void); /* once, after the next openat(2) that may make a file */
static unsigned getdents_fails_at; /* the how-manieth getdents64(2) from now on fails; 0: none */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
        long a[6];
        va_list list;
        va_start(list, number);
        for (unsigned i = 0; i < 6; i++)
                a[i] = va_arg(list, long); /* as syscall(2) itself does: it takes what is there */
        va_end(list);
        if (number == SYS_getdents64 && getdents_fails_at > 0 && --getdents_fails_at == 0) {
                errno = EIO;
                return -1;
        }
        if (number == SYS_openat2 && hook != NULL && --hook_at == 0) {
                void (*now)(void) = hook;
                hook = NULL;
                now();
        }
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __real_openat64(int dir_fd, const char *path, int flags, ...);
int __wrap_openat64(int dir_fd, const char *path, int flags, ...);

int __wrap_openat64(int dir_fd, const char *path, int flags, ...)
{
        va_list list;
        va_start(list, flags);
        mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
        va_end(list);
        int fd = __real_openat64(dir_fd, path, flags, mode);
        if ((flags & O_CREAT) && after_create != NULL) {
                void (*now)(void) = after_create;
                after_create = NULL;
                now();
        }
        return fd;
}

static void before_openat2(unsigned at, void (*what)(void))
{
        hook_at = at;
        hook = what;
}

static void write_file(const char *name, const char *text)
{
        int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        (void)close(fd);
}

static void client_like(struct client *c)
{
        *c = client;
        c->scratch = calloc(1, sizeof(*c->scratch));
        c->out = malloc(CLIENT_BYTES);
        c->in = malloc(CLIENT_BYTES);
        if (c->scratch == NULL || c->out == NULL || c->in == NULL)
                abort();
}

static void client_like_end(struct client *c)
{
        free(c->scratch);
        free(c->out);
        free(c->in);
}

/* Takes fd over, the folder to be shared. */
static void begin_at(int fd, unsigned descriptors)
{
        folder = fd;
        int path = openat(folder, ".", O_PATH | O_CLOEXEC);
        assert_true(path >= 0);
        client = (struct client){.descriptors = descriptors, .nodes = client.nodes, .owners = client.owners};
        client_share(&client, path, false, FS_CACHE_AUTO);
        client_begin(&client);
        client_like(&other);
}

static void begin(unsigned descriptors)
{
        int top;
        (void)unit_folder(&top);
        assert_int_equal(mkdirat(top, "share", 0755), 0);
        begin_at(openat(top, "share", O_RDONLY | O_DIRECTORY | O_CLOEXEC), descriptors);
}

static void end(void)
{
        client_like_end(&other);
        client_end(&client);
        (void)close(client.shares[0].fd);
        (void)close(folder);
}

static void make_folders(void)
{
        assert_int_equal(mkdirat(folder, "a", 0755), 0);
        assert_int_equal(mkdirat(folder, "a/b", 0755), 0);
        write_file("a/b/f", "text");
        assert_int_equal(linkat(folder, "a/b/f", folder, "h", 0), 0);
}

/* So that nothing but what is in use keeps its descriptor. */
static void push_out(struct client *c)
{
        struct fuse_attr attr;
        struct fuse_entry_out e[FS_DESCRIPTORS_MIN];
        char name[16];
        for (unsigned i = 0; i < FS_DESCRIPTORS_MIN; i++) {
                (void)snprintf(name, sizeof(name), "x%u", i);
                if (client_lookup(c, client_walk(c, "0"), name, &e[i]) != 0 ||
                    client_getattr(c, e[i].nodeid, &attr) != 0)
                        abort();
        }
        for (unsigned i = 0; i < FS_DESCRIPTORS_MIN; i++)
                client_forget(c, e[i].nodeid, 1);
}

static void make_others(void)
{
        char name[16];
        for (unsigned i = 0; i < FS_DESCRIPTORS_MIN; i++) {
                (void)snprintf(name, sizeof(name), "x%u", i);
                write_file(name, "");
        }
}

/* The guest knows f, but neither of its folders any more, and nothing is open. */
static uint64_t know_only_the_file(struct client *c)
{
        uint64_t a = client_walk(c, "0/a"), b = client_walk(c, "0/a/b"), f = client_walk(c, "0/a/b/f");
        client_forget(c, b, 2); /* each walk counted once */
        client_forget(c, a, 3);
        push_out(c);
        return f;
}

static void find_the_other_name(void)
{
        assert_int_equal(client_lookup(&other, client_walk(&other, "0"), "h", &entry), 0);
}

/* f is asked for; while one of its forgotten folders is being opened, another request finds it elsewhere. */
static void a_forgotten_folder_may_go_while_it_is_opened(void **state)
{
        (void)state;
        struct fuse_attr attr;
        begin(FS_DESCRIPTORS_MIN);
        make_folders();
        make_others();
        for (unsigned at = 1; at <= 3; at++) {
                uint64_t f = know_only_the_file(&client);
                before_openat2(at, find_the_other_name);
                assert_int_equal(client_getattr(&client, f, &attr), 0);
                assert_null(hook);
                assert_int_equal(attr.size, 4);
                assert_int_equal(entry.nodeid, f);
                client_forget(&client, f, 2);
                assert_int_equal(client_getattr(&client, f, &attr), -ESTALE);
        }
        end();
}

static void move_the_file(void)
{
        assert_int_equal(client_rename(&other, client_walk(&other, "0/a/b"), "f", client_walk(&other, "0"),
                                       "g", 0),
                         0);
}

/* It is not stale because it was opened where it had been. */
static void a_file_may_move_while_it_is_opened(void **state)
{
        (void)state;
        struct fuse_attr attr;
        begin(FS_DESCRIPTORS_MIN);
        make_folders();
        make_others();
        uint64_t f = client_walk(&client, "0/a/b/f");
        push_out(&client);
        before_openat2(3, move_the_file);
        assert_int_equal(client_getattr(&client, f, &attr), 0);
        assert_null(hook);
        assert_int_equal(attr.nlink, 2);
        end();
}

static void put_another_in_its_place(void)
{
        assert_int_equal(renameat(folder, "new", folder, "old"), 0);
        assert_int_equal(renameat(folder, "x0", folder, "new"), 0);
}

/* The host changes names while the guest makes a file: another file is not given away. */
static void what_is_made_gets_its_owner_by_its_descriptor(void **state)
{
        (void)state;
        struct fuse_open_out opened;
        struct stat st;
        if (geteuid() != 0)
                unit_skip("only root gives files away");
        client.owners = FS_OWNERS_REAL;
        begin(FS_DESCRIPTORS_MIN);
        make_others();
        client.uid = client.gid = 1234;
        after_create = put_another_in_its_place;
        assert_int_equal(client_create(&client, client_walk(&client, "0"), "new", O_RDWR, 0600, &entry,
                                       &opened),
                         0);
        assert_int_equal(entry.attr.uid, 1234);
        assert_int_equal(fstatat(folder, "new", &st, 0), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(fstatat(folder, "old", &st, 0), 0);
        assert_int_equal(st.st_uid, 1234);
        end();
}

/* A folder that can be read in part only: what the guest was given is what is counted. */
static void a_failing_folder_gives_what_it_gave(void **state)
{
        (void)state;
        struct fuse_open_out opened;
        size_t before, after, descriptors, known = 0;
        begin(FS_DESCRIPTORS_MIN);
        make_others();
        uint64_t root = client_walk(&client, "0");
        nodes_count(client.fs->nodes, &before, &descriptors);
        assert_int_equal(client_open(&client, FUSE_OPENDIR, root, 0, &opened), 0);
        struct fuse_read_in in = {.fh = opened.fh, .size = 65536};
        getdents_fails_at = 2;
        assert_int_equal(client_call(&client, FUSE_READDIRPLUS, root, &in, sizeof(in), NULL, 0), 0);
        assert_int_equal(getdents_fails_at, 0);
        size_t size = client.filled - sizeof(struct fuse_out_header);
        for (size_t at = 0; at < size;) {
                struct fuse_direntplus e;
                memcpy(&e, (const uint8_t *)client_reply(&client) + at, sizeof(e));
                known += e.entry_out.nodeid != 0;
                at += FUSE_DIRENTPLUS_SIZE(&e);
        }
        nodes_count(client.fs->nodes, &after, &descriptors);
        assert_true(known > 0);
        assert_int_equal(after - before, known);
        getdents_fails_at = 1;
        assert_int_equal(client_call(&client, FUSE_READDIRPLUS, root, &in, sizeof(in), NULL, 0), -EIO);
        end();
}

/* ---- the same by real threads ---- */

static _Atomic(uint64_t) file_id;
static atomic_bool stop;

static void *ask_for_the_file(void *unused)
{
        struct client own;
        struct fuse_attr attr;
        client_like(&own);
        if (fs_enter_thread(own.fs) < 0)
                abort();
        while (!atomic_load(&stop))
                (void)client_getattr(&own, atomic_load(&file_id), &attr);
        client_like_end(&own);
        return unused;
}

static void threads_ask_for_what_is_forgotten(void **state)
{
        (void)state;
        pthread_t threads[3];
        begin(FS_DESCRIPTORS_MIN);
        make_folders();
        make_others();
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ask_for_the_file, NULL), 0);
        for (unsigned i = 0; i < 150; i++) {
                uint64_t f = know_only_the_file(&client);
                atomic_store(&file_id, f);
                push_out(&client);
                find_the_other_name();
                assert_int_equal(entry.nodeid, f);
                client_forget(&client, f, 2);
        }
        atomic_store(&stop, true);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        end();
}

/* A guest that forgets nothing does not make the server grow without end. */
static void files_known_at_a_time_have_a_limit(void **state)
{
        (void)state;
        char name[16];
        struct fuse_open_out opened;
        client.nodes = 32;
        begin(FS_DESCRIPTORS_MIN);
        make_others();
        uint64_t root = client_walk(&client, "0"), last = 0;
        for (unsigned i = 0; i < 40; i++) {
                (void)snprintf(name, sizeof(name), "x%u", i);
                int r = client_lookup(&client, root, name, &entry);
                assert_int_equal(r, i < 31 ? 0 : -ENFILE); /* and the share's own root */
                last = r == 0 ? entry.nodeid : last;
        }
        assert_int_equal(client_lookup(&client, root, "x0", &entry), 0); /* it is known */
        assert_int_equal(client_create(&client, root, "new", O_RDWR, 0600, &entry, &opened), -ENFILE);
        client_forget(&client, last, 1);
        assert_int_equal(client_lookup(&client, root, "x39", &entry), 0);
        assert_int_equal(client_lookup(&client, root, "x38", &entry), -ENFILE);
        end();
}

/* A file system in memory that is mounted nowhere, and so gone with its last descriptor. */
static int memory_folder(void)
{
        int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                unit_skip("only root makes file systems");
        int fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
        assert_true(fd >= 0);
        (void)close(fs);
        return fd;
}

/* The limits of a process that may have 1,024 descriptors (shares.c), and as many files as take some seconds:
 * 50 folders of 2,000, in memory, because a busy disk takes a minute to make them. Each is looked up, opened
 * and read, hither and thither, and none is forgotten. */
static void a_large_tree_is_served_with_1024_descriptors(void **state)
{
        (void)state;
        enum { FOLDERS = 50, FILES = 2000, ALL = FOLDERS * FILES };
        static uint64_t ids[ALL];
        struct rlimit limit = {1024, 1024};
        struct fuse_open_out opened;
        struct fuse_entry_out dir;
        char path[64], name[16];
        size_t nodes, descriptors;
        begin_at(memory_folder(), 512);
        for (unsigned i = 0; i < ALL; i++) {
                (void)snprintf(path, sizeof(path), "d%u", i / FILES);
                if (i % FILES == 0)
                        assert_int_equal(mkdirat(folder, path, 0755), 0);
                (void)snprintf(path, sizeof(path), "d%u/%u", i / FILES, i % FILES);
                assert_int_equal(mknodat(folder, path, S_IFREG | 0644, 0), 0);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        for (unsigned i = 0; i < ALL; i++) {
                (void)snprintf(name, sizeof(name), "d%u", i / FILES);
                if (i % FILES == 0)
                        assert_int_equal(client_lookup(&client, client_walk(&client, "0"), name, &dir), 0);
                (void)snprintf(name, sizeof(name), "%u", i % FILES);
                assert_int_equal(client_lookup(&client, dir.nodeid, name, &entry), 0);
                ids[i] = entry.nodeid;
        }
        for (unsigned i = 0; i < ALL; i++) {
                uint64_t id = ids[i * 10007ULL % ALL];
                assert_int_equal(client_open(&client, FUSE_OPEN, id, O_RDONLY, &opened), 0);
                assert_int_equal(client_read(&client, id, opened.fh, 0, 100), 0);
                assert_int_equal(client_release(&client, FUSE_RELEASE, id, opened.fh), 0);
        }
        nodes_count(client.fs->nodes, &nodes, &descriptors);
        assert_int_equal(nodes, ALL + FOLDERS + 1);
        assert_in_range(descriptors, 1, 512 / 3);
        end();
}

/* A million opens, of which none is closed: as many as the budget has room for, then a refusal each time, and
 * all is well when they are closed. */
static void a_million_opens_are_as_many_as_there_is_room_for(void **state)
{
        (void)state;
        enum { OPENS = 1000000, BUDGET = 512 };
        static uint64_t handles[BUDGET];
        struct fuse_open_out opened;
        unsigned count = 0;
        begin(BUDGET);
        write_file("file", "x");
        uint64_t file = client_walk(&client, "0/file");
        for (unsigned i = 0; i < OPENS; i++) {
                int r = client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened);
                if (r == 0)
                        handles[count++] = opened.fh;
                else if (r != -ENFILE || count != BUDGET / 2)
                        fail_msg("open %u: %d, with %u open", i, r, count);
        }
        assert_int_equal(count, BUDGET / 2);
        assert_int_equal(client_read(&client, file, handles[0], 0, 10), 1);
        /* what is refused has done nothing */
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDWR | O_TRUNC, &opened), -ENFILE);
        assert_int_equal(client_read(&client, file, handles[0], 0, 10), 1);
        assert_int_equal(client_create(&client, client_walk(&client, "0"), "new", O_RDWR, 0600, &entry,
                                       &opened),
                         -ENFILE);
        assert_int_equal(faccessat(folder, "new", F_OK, 0), -1);
        for (unsigned i = 0; i < count; i++)
                assert_int_equal(client_release(&client, FUSE_RELEASE, file, handles[i]), 0);
        assert_int_equal(handles_count(client.fs->handles), 0);
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        end();
}

/* ---- links that are swapped, and several who ask ---- */

/* "name" is now a file, now a link out; "dir" is now a folder, now a link to the one above. */
static void *swap_names(void *unused)
{
        while (!atomic_load(&stop)) {
                (void)renameat(folder, "name", folder, "spare");
                (void)!symlinkat("../outside", folder, "name");
                (void)unlinkat(folder, "name", 0);
                (void)renameat(folder, "spare", folder, "name");
                (void)renameat(folder, "dir", folder, "real");
                (void)!symlinkat("..", folder, "dir");
                (void)unlinkat(folder, "dir", 0);
                (void)renameat(folder, "real", folder, "dir");
        }
        return unused;
}

static atomic_uint served, leaked;

static void read_what_is_there(struct client *c, uint64_t dir, const char *name)
{
        struct fuse_entry_out e;
        struct fuse_open_out o;
        if (client_lookup(c, dir, name, &e) != 0)
                return;
        if (client_open(c, FUSE_OPEN, e.nodeid, O_RDONLY, &o) == 0) {
                int n = client_read(c, e.nodeid, o.fh, 0, 100);
                if (n >= 6 && memcmp(client_reply(c), "secret", 6) == 0)
                        atomic_fetch_add(&leaked, 1);
                if (n >= 6 && memcmp(client_reply(c), "inside", 6) == 0)
                        atomic_fetch_add(&served, 1);
                (void)client_release(c, FUSE_RELEASE, e.nodeid, o.fh);
        }
        client_forget(c, e.nodeid, 1);
}

static void *ask_for_names(void *unused)
{
        struct client own;
        client_like(&own);
        if (fs_enter_thread(own.fs) < 0)
                abort();
        uint64_t root = client_walk(&own, "0");
        for (unsigned i = 0; i < 3000; i++) {
                struct fuse_entry_out dir, made;
                struct fuse_open_out o;
                read_what_is_there(&own, root, "name");
                if (client_lookup(&own, root, "dir", &dir) != 0)
                        continue;
                read_what_is_there(&own, dir.nodeid, "outside");
                if (i % 50 == 0 && client_create(&own, dir.nodeid, "made", O_RDWR, 0600, &made, &o) == 0) {
                        (void)client_release(&own, FUSE_RELEASE, made.nodeid, o.fh);
                        client_forget(&own, made.nodeid, 1);
                }
                client_forget(&own, dir.nodeid, 1);
        }
        client_like_end(&own);
        return unused;
}

static void swapped_links_lead_several_nowhere(void **state)
{
        (void)state;
        pthread_t threads[4];
        begin(FS_DESCRIPTORS_MIN * 2);
        write_file("../outside", "secret");
        write_file("name", "inside");
        assert_int_equal(mkdirat(folder, "dir", 0755), 0);
        write_file("dir/outside", "inside");
        assert_int_equal(pthread_create(&threads[3], NULL, swap_names, NULL), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ask_for_names, NULL), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        atomic_store(&stop, true);
        assert_int_equal(pthread_join(threads[3], NULL), 0);
        assert_int_equal(atomic_load(&leaked), 0);
        assert_true(atomic_load(&served) > 0);
        assert_int_equal(faccessat(folder, "../made", F_OK, 0), -1);
        end();
}

/* ---- what is open ---- */

static int set_size(uint64_t node, uint64_t size, bool by_handle, uint64_t fh)
{
        struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_MODE | (by_handle ? FATTR_FH : 0U),
                                     .size = size,
                                     .mode = 0600,
                                     .fh = fh};
        return client_call(&client, FUSE_SETATTR, node, &in, sizeof(in), NULL, 0);
}

static void an_open_file_without_a_name_is_served_by_its_handle(void **state)
{
        (void)state;
        struct fuse_attr attr;
        struct fuse_open_out opened;
        begin(FS_DESCRIPTORS_MIN);
        make_others();
        uint64_t root = client_walk(&client, "0");
        assert_int_equal(client_create(&client, root, "file", O_RDWR, 0640, &entry, &opened), 0);
        assert_int_equal(client_name(&client, FUSE_UNLINK, root, "file"), 0);
        assert_int_equal(client_write(&client, entry.nodeid, opened.fh, 0, "kept", 4), 4);
        push_out(&client);
        assert_int_equal(client_getattr(&client, entry.nodeid, &attr), 0);
        assert_int_equal(attr.nlink, 0);
        assert_int_equal(attr.size, 4);
        push_out(&client);
        struct fuse_getattr_in by_handle = {.getattr_flags = FUSE_GETATTR_FH, .fh = opened.fh};
        assert_int_equal(client_call(&client, FUSE_GETATTR, entry.nodeid, &by_handle, sizeof(by_handle), NULL,
                                     0),
                         0);
        by_handle.fh++;
        assert_int_equal(client_call(&client, FUSE_GETATTR, entry.nodeid, &by_handle, sizeof(by_handle), NULL,
                                     0),
                         -EBADF);
        push_out(&client);
        assert_int_equal(set_size(entry.nodeid, 3, true, opened.fh), 0);
        assert_int_equal(set_size(entry.nodeid, 3, true, opened.fh + 1), -EBADF);
        push_out(&client);
        assert_int_equal(set_size(entry.nodeid, 2, false, 0), 0);
        assert_int_equal(client_getattr(&client, entry.nodeid, &attr), 0);
        assert_int_equal(attr.size, 2);
        assert_int_equal(attr.mode, S_IFREG | 0600);
        push_out(&client);
        struct fuse_open_out again;
        assert_int_equal(client_open(&client, FUSE_OPEN, entry.nodeid, O_RDONLY, &again), 0);
        assert_int_equal(client_release(&client, FUSE_RELEASE, entry.nodeid, again.fh), 0);
        /* nothing is open any more: it cannot be found again */
        assert_int_equal(client_release(&client, FUSE_RELEASE, entry.nodeid, opened.fh), 0);
        push_out(&client);
        assert_int_equal(client_getattr(&client, entry.nodeid, &attr), -ESTALE);
        end();
}

/* The host writes a new file and moves it over the one that the guest has open. */
static void an_open_file_that_the_host_replaced_stays_what_it_was(void **state)
{
        (void)state;
        struct fuse_attr attr;
        struct fuse_open_out opened, folder_opened;
        begin(FS_DESCRIPTORS_MIN);
        make_others();
        make_folders();
        uint64_t file = client_walk(&client, "0/a/b/f"), b = client_walk(&client, "0/a/b");
        assert_int_equal(client_open(&client, FUSE_OPEN, file, O_RDONLY, &opened), 0);
        assert_int_equal(client_open(&client, FUSE_OPENDIR, b, 0, &folder_opened), 0);
        write_file("new", "longer text");
        assert_int_equal(renameat(folder, "new", folder, "a/b/f"), 0);
        push_out(&client);
        assert_int_equal(client_getattr(&client, file, &attr), 0);
        assert_int_equal(attr.size, 4);
        assert_int_equal(client_lookup(&client, b, "f", &entry), 0);
        assert_int_not_equal(entry.nodeid, file);
        assert_int_equal(entry.attr.size, 11);
        assert_int_equal(renameat(folder, "a/b", folder, "elsewhere"), 0);
        push_out(&client);
        assert_int_equal(client_getattr(&client, b, &attr), 0); /* open */
        assert_int_equal(client_getattr(&client, entry.nodeid, &attr), 0);
        assert_int_equal(client_release(&client, FUSE_RELEASEDIR, b, folder_opened.fh), 0);
        push_out(&client);
        assert_int_equal(client_getattr(&client, b, &attr), -ESTALE);
        end();
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_forgotten_folder_may_go_while_it_is_opened),
    cmocka_unit_test(a_file_may_move_while_it_is_opened),
    cmocka_unit_test(what_is_made_gets_its_owner_by_its_descriptor),
    cmocka_unit_test(a_failing_folder_gives_what_it_gave),
    cmocka_unit_test(threads_ask_for_what_is_forgotten),
    cmocka_unit_test(files_known_at_a_time_have_a_limit),
    cmocka_unit_test(a_large_tree_is_served_with_1024_descriptors),
    cmocka_unit_test(a_million_opens_are_as_many_as_there_is_room_for),
    cmocka_unit_test(swapped_links_lead_several_nowhere),
    cmocka_unit_test(an_open_file_without_a_name_is_served_by_its_handle),
    cmocka_unit_test(an_open_file_that_the_host_replaced_stays_what_it_was),
};
UNIT_TEST_MAIN(cases)
