/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds every file of the corpus folders given as arguments to the fuzz target it is linked with: so that
 * each build runs all inputs that were ever interesting, under its own sanitizers, without libFuzzer.
 */
#include "base/cleanup.h"
#include "base/path.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (64U << 20)

static int replay(const char *folder, unsigned *count)
{
        cleanup_dir DIR *dir = opendir(folder);
        const struct dirent *entry;
        if (dir == NULL) {
                perror(folder);
                return 1;
        }
        while ((entry = readdir(dir)) != NULL) {
                cleanup_free char *bytes = NULL;
                size_t size;
                if (entry->d_name[0] == '.')
                        continue;
                if (path_read_at(dirfd(dir), entry->d_name, INPUT_MAX, &bytes, &size) < 0) {
                        (void)fprintf(stderr, "%s/%s: cannot be read\n", folder, entry->d_name);
                        return 1;
                }
                /* a copy of the exact size: reading past the input is then seen by the sanitizer */
                cleanup_free uint8_t *exact = malloc(size > 0 ? size : 1);
                if (exact == NULL)
                        return 1;
                memcpy(exact, bytes, size);
                (void)LLVMFuzzerTestOneInput(exact, size);
                (*count)++;
        }
        return 0;
}

int main(int argc, char **argv)
{
        unsigned count = 0;
        for (int i = 1; i < argc; i++) {
                if (replay(argv[i], &count) != 0)
                        return 1;
        }
        (void)printf("%u inputs\n", count);
        return count > 0 ? 0 : 1;
}
