/* SPDX-License-Identifier: Apache-2.0 */
/* An image archive's members and its manifest.json, before anything of it is believed. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "image/load.h"
#include "image/source.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_inside(struct source *source)
{
        static const char *const names[] = {"manifest.json", "index.json", "../manifest.json", "a/b", "link"};
        struct error err = ERROR_INIT;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                cleanup_free char *text = NULL;
                cleanup_json json_t *list = NULL;
                size_t size;
                if (source_read(source, names[i], 1 << 20, &text, &size, &err) == 0)
                        (void)docker_archive_parse(text, size, &list, &err);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static int tmp_fd = -1;
        struct error err = ERROR_INIT;
        cleanup_source struct source *source = NULL;
        cleanup_fd int fd = memfd_create("archive", MFD_CLOEXEC);
        if (tmp_fd < 0)
                tmp_fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct image_store store = {.tmp_fd = tmp_fd};
        if (fd < 0 || tmp_fd < 0 || fd_write_full(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return 0;
        if (source_open_archive(&store, fd, NULL, &source, &err) == 0)
                look_inside(source);
        return 0;
}
