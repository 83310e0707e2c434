/* SPDX-License-Identifier: Apache-2.0 */
/* The image builder with the nth allocation failing, for each n there is: an error, and nothing left over. */
#include "harness.h"
#include "rootfs-build.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long allowed = -1; /* allocations until the one that fails; below 0: all succeed */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__wrap_strdup(const char *text);

static int fails(void)
{
        if (atomic_load(&allowed) < 0 || atomic_fetch_sub(&allowed, 1) != 0)
                return 0;
        errno = ENOMEM;
        return 1;
}

void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
        return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
        return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
        return fails() ? NULL : __real_reallocarray(memory, count, size);
}

char *__wrap_strdup(const char *text)
{
        return fails() ? NULL : __real_strdup(text);
}

static int add_folder(int dir, struct error *err)
{
        struct rootfs_builder *builder;
        cleanup_fd int out = memory_file("", 0);
        int r = rootfs_builder_new(out, -1, NULL, NULL, NULL, &builder, err);
        if (r < 0)
                return r;
        r = rootfs_builder_add_folder(builder, dir, "test", err);
        if (r == 0)
                r = rootfs_builder_finish(builder, NULL, err);
        rootfs_builder_free(builder);
        return r;
}

/* Tries until an attempt in which nothing failed; each before it must say what happened. */
#define FAIL_EACH(attempt)                                                                         \
        do {                                                                                       \
                long n = 0;                                                                        \
                for (;; n++) {                                                                     \
                        struct error err = ERROR_INIT;                                             \
                        atomic_store(&allowed, n);                                                 \
                        int r = (attempt);                                                         \
                        long left = atomic_exchange(&allowed, -1);                                 \
                        if (r >= 0 && left >= 0)                                                   \
                                break;                                                             \
                        if (r >= 0) /* it could do without */                                      \
                                continue;                                                          \
                        if (r != -ENOMEM || err.code != r || strstr(err.text, "allocate") == NULL) \
                                fail_msg("allocation %ld: %d %s", n, r, err.text);                 \
                }                                                                                  \
                assert_true(n > 15);                                                               \
        } while (0)

static int build_layers(const struct tar *layers, size_t count, struct error *err)
{
        int fd = try_build(layers, count, NULL, NULL, err);
        if (fd >= 0)
                (void)close(fd);
        return fd;
}

static void layers_with_each_allocation_failing(void **state)
{
        (void)state;
        static char content[2 << 20];
        struct tar layers[2] = {{0}};
        char name[300];
        for (int i = 0; i < 1000; i++) { /* the table of names grows */
                (void)snprintf(name, sizeof(name), "%0*d", 1 + i % 200, i);
                tar_file(&layers[0], name, "x");
        }
        tar_pax_text(&layers[0], "SCHILY.xattr.user.a", "b");
        tar_folder(&layers[0], "folder");
        tar_pax_text(&layers[0], "SCHILY.xattr.user.a", "b");
        tar_file(&layers[0], "file", "x");
        tar_add(&layers[1], &(struct tar_entry){.name = "f", .content = content, .size = sizeof(content)});
        tar_end(&layers[0]);
        tar_end(&layers[1]);
        FAIL_EACH(build_layers(layers, 2, &err));
        tar_done(&layers[0]);
        tar_done(&layers[1]);
}

static void a_folder_with_each_allocation_failing(void **state)
{
        (void)state;
        int dir;
        char name[16];
        (void)unit_folder(&dir);
        assert_int_equal(mkdirat(dir, "d", 0700), 0);
        assert_int_equal(mkdirat(dir, "d/e", 0700), 0);
        for (int i = 0; i < 20; i++) {
                (void)snprintf(name, sizeof(name), "d/%d", i);
                int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                assert_true(fd >= 0);
                (void)close(fd);
        }
        assert_int_equal(linkat(dir, "d/0", dir, "link", 0), 0);
        FAIL_EACH(add_folder(dir, &err));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(layers_with_each_allocation_failing),
    cmocka_unit_test(a_folder_with_each_allocation_failing),
};

UNIT_TEST_MAIN(cases)
