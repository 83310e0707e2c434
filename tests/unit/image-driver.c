/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image component as a program, for tests and measurements that need a process of its own:
 *     image-driver STORE pull REFERENCE [PLATFORM]     image-driver STORE load [FOLDER] < ARCHIVE
 *     image-driver STORE save FORMAT REFERENCE... > ARCHIVE
 *     image-driver STORE import REFERENCE [FOLDER] < TAR
 *     image-driver STORE list | rootfs NAME FILE | remove NAME | force-remove NAME | tag SOURCE TARGET |
 *                        prune | prune-all
 * $BOXLET_CONFIG is the registries file. Ends with 0, or with 1 and the error on stderr.
 */
#include "base/cleanup.h"
#include "base/path.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int on_progress(const struct image_progress *progress, void *data)
{
        (void)data;
        if (progress->kind == IMAGE_PROGRESS_MESSAGE && progress->text != NULL)
                (void)fprintf(stderr, "%s\n", progress->text);
        return 0;
}

static const struct image_observer observer = {.fn = on_progress};

static int list(struct image_store *store, struct error *err)
{
        struct image **images;
        int r = image_list(store, &images, err);
        for (size_t i = 0; r == 0 && images[i] != NULL; i++)
                (void)printf("%s %s %s %" PRIu64 "\n",
                             images[i]->reference[0] != '\0' ? images[i]->reference : "-", images[i]->id,
                             images[i]->digest, images[i]->size_bytes);
        if (r == 0)
                image_list_free(images);
        return r;
}

static int rootfs(struct image_store *store, const char *name, const char *file, struct error *err)
{
        cleanup_image struct image *image = NULL;
        cleanup_fd int fd = -1;
        char path[64];
        int r = image_find(store, name, &image, err);
        if (r == 0)
                r = image_open_rootfs(store, image, &observer, &fd, err);
        if (r < 0)
                return r;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, path, AT_FDCWD, file, AT_SYMLINK_FOLLOW) < 0
                   ? error_errno(err, -errno, "link '%s'", file)
                   : 0;
}

static int pull(struct image_store *store, char **args, struct error *err)
{
        cleanup_image struct image *image = NULL;
        int r = image_pull(store, args[0], args[1], &observer, &image, err);
        if (r == 0)
                (void)printf("%s\n", image->id);
        return r;
}

/* The report is passed by place: the call before it, an argument too, fills it. */
static int print_report(int r, char **report)
{
        if (r == 0)
                (void)fputs(*report, stdout);
        free(*report);
        return r;
}

static int run(struct image_store *store, int count, char **args, struct error *err)
{
        const char *command = args[0];
        char *report = NULL;
        uint64_t freed;
        if (strcmp(command, "list") == 0)
                return list(store, err);
        if (strcmp(command, "prune") == 0 || strcmp(command, "prune-all") == 0)
                return print_report(image_prune(store, command[5] != '\0', NULL, NULL, &freed, &report, err),
                                    &report);
        if (strcmp(command, "load") == 0)
                return print_report(image_load(store, count > 1 ? -1 : 0, args[1], NULL, &observer, &report,
                                               err),
                                    &report);
        if (count < 2)
                return error_set(err, -EINVAL, "usage: see the source");
        if (strcmp(command, "pull") == 0)
                return pull(store, args + 1, err);
        if (strcmp(command, "remove") == 0 || strcmp(command, "force-remove") == 0)
                return print_report(image_remove(store, args[1], *command == 'f', NULL, NULL, &report, err),
                                    &report);
        if (strcmp(command, "import") == 0)
                return print_report(image_import(store, count > 2 ? -1 : 0, args[2], args[1], NULL, NULL,
                                                 &observer, &report, err),
                                    &report);
        if (count < 3)
                return error_set(err, -EINVAL, "usage: see the source");
        if (strcmp(command, "rootfs") == 0)
                return rootfs(store, args[1], args[2], err);
        if (strcmp(command, "tag") == 0)
                return image_tag(store, args[1], args[2], err);
        if (strcmp(command, "save") == 0)
                return image_save(store, (const char *const *)args + 2, (size_t)count - 2, args[1], 1,
                                  &observer, err);
        return error_set(err, -EINVAL, "usage: see the source");
}

int main(int argc, char **argv)
{
        struct error err = ERROR_INIT;
        struct image_store *store = NULL;
        if (argc < 3 || path_mkdir_all(argv[1], 0755) < 0)
                return 2;
        cleanup_fd int fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? error_errno(&err, -errno, "open '%s'", argv[1])
                       : image_store_open(fd, getenv("BOXLET_CONFIG"), &store, &err);
        if (r == 0)
                r = run(store, argc - 2, argv + 2, &err);
        image_store_free(store);
        if (r < 0)
                (void)fprintf(stderr, "image-driver: %s (%d)\n", err.text, err.code);
        return r < 0;
}
