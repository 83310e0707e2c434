/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the guest's initramfs, a cpio archive in the "newc" format, without root and the same bytes each
 * time:
 *
 *     make-initramfs AGENT OUTPUT
 *
 *     /dev          folder
 *     /dev/console  the node the kernel opens as stdin, stdout and stderr of init
 *     /init         the agent
 *
 * The format (Documentation/driver-api/early-userspace/buffer-format.rst): a header of 6 + 13 * 8 hexadecimal
 * digits, the name with its NUL, padding to 4, the contents, padding to 4; the entry TRAILER!!! ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void pad(FILE *out, unsigned long *at)
{
        for (; *at % 4 != 0; (*at)++)
                (void)fputc(0, out); /* errors of out are looked at once, at the end */
}

struct entry {
        const char *name;
        unsigned mode, device_major, device_minor;
        const void *bytes;
        size_t size;
};

static void write_entry(FILE *out, unsigned long *at, unsigned inode, const struct entry *e)
{
        int n =
            fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", inode, e->mode, 0U,
                    0U, 1U, 0U, e->size, 0U, 0U, e->device_major, e->device_minor, strlen(e->name) + 1, 0U);
        *at += n > 0 ? (unsigned long)n : 0;
        *at += fwrite(e->name, 1, strlen(e->name) + 1, out);
        pad(out, at);
        if (e->size > 0)
                *at += fwrite(e->bytes, 1, e->size, out);
        pad(out, at);
}

static char *read_file(const char *path, size_t *ret_size)
{
        FILE *in = fopen(path, "rb");
        struct stat st;
        if (in == NULL || fstat(fileno(in), &st) < 0)
                return NULL;
        char *bytes = malloc((size_t)st.st_size + 1);
        if (bytes != NULL)
                *ret_size = fread(bytes, 1, (size_t)st.st_size, in);
        (void)fclose(in); /* only read from */
        return bytes;
}

int main(int argc, char **argv)
{
        size_t size = 0;
        unsigned long at = 0;
        if (argc != 3) {
                (void)fprintf(stderr, "usage: make-initramfs AGENT OUTPUT\n");
                return 2;
        }
        char *agent = read_file(argv[1], &size);
        FILE *out = fopen(argv[2], "wb");
        if (agent == NULL || size == 0 || out == NULL) {
                (void)fprintf(stderr, "make-initramfs: %s\n", strerror(errno));
                return 1;
        }
        const struct entry entries[] = {
            {"dev", S_IFDIR | 0755, 0, 0, NULL, 0},
            {"dev/console", S_IFCHR | 0600, 5, 1, NULL, 0},
            {"init", S_IFREG | 0555, 0, 0, agent, size},
            {"TRAILER!!!", 0, 0, 0, NULL, 0},
        };
        for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
                write_entry(out, &at, i + 1, &entries[i]);
        int failed = ferror(out);
        failed |= fclose(out);
        free(agent);
        if (failed)
                (void)fprintf(stderr, "make-initramfs: %s: %s\n", argv[2], strerror(errno));
        return failed ? 1 : 0;
}
