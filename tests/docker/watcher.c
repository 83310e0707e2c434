/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher FILE: looks, as root of a box with every capability, at each process that appears in it, from its
 * first moment on, until FILE is there. Tells what belongs to the agent: a root or mounts that are not the
 * box's, a descriptor of a folder above which there is another one. Then how often it looked.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char own_mounts[64];
static dev_t own_device;
static ino_t own_root;

static void look_at_descriptors(const char *process)
{
        char path[PATH_MAX];
        struct dirent *entry;
        snprintf(path, sizeof(path), "/proc/%s/fd", process);
        DIR *fds = opendir(path);
        while (fds != NULL && (entry = readdir(fds)) != NULL) {
                struct stat st, above;
                char up[PATH_MAX];
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "/proc/%s/fd/%s", process, entry->d_name);
                snprintf(up, sizeof(up), "/proc/%s/fd/%s/..", process, entry->d_name);
                if (stat(path, &st) == 0 && stat(up, &above) == 0 &&
                    (st.st_dev != above.st_dev || st.st_ino != above.st_ino))
                        printf("above descriptor %s of process %s is a folder\n", entry->d_name, process);
        }
        if (fds != NULL)
                closedir(fds);
}

static void look_at(const char *process)
{
        char path[PATH_MAX], mounts[64] = "";
        struct stat st;
        snprintf(path, sizeof(path), "/proc/%s/root", process);
        if (stat(path, &st) == 0 && (st.st_dev != own_device || st.st_ino != own_root))
                printf("process %s has another root\n", process);
        snprintf(path, sizeof(path), "/proc/%s/ns/mnt", process);
        if (readlink(path, mounts, sizeof(mounts) - 1) > 0 && strcmp(mounts, own_mounts) != 0)
                printf("process %s has other mounts\n", process);
        look_at_descriptors(process);
}

int main(int argc, char **argv)
{
        unsigned long looks = 0;
        char own[32];
        struct stat st;
        if (argc != 2 || stat("/", &st) < 0 ||
            readlink("/proc/self/ns/mnt", own_mounts, sizeof(own_mounts) - 1) < 0)
                return 2;
        own_device = st.st_dev;
        own_root = st.st_ino;
        snprintf(own, sizeof(own), "%d", (int)getpid());
        while (access(argv[1], F_OK) != 0) {
                DIR *processes = opendir("/proc");
                struct dirent *entry;
                while ((entry = readdir(processes)) != NULL) {
                        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                            strcmp(entry->d_name, own) != 0) {
                                look_at(entry->d_name);
                                looks++;
                        }
                }
                closedir(processes);
        }
        printf("%s\n", looks > 100 ? "looked more than 100 times" : "looked too seldom");
        return 0;
}
