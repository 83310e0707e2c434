/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding our own programs, the kernel, and the three programs of others.
 *
 * In a build tree nothing is installed, and yet build/boxlet must run: `meson setup` leaves a file
 * "src/runtime/.boxlet-build-tree" in the build folder. The file this code was loaded from (libboxlet.so, or
 * the program when linked statically) is looked up with dladdr(), and up to four folders above it are
 * searched for that mark. It counts only if it has the same owner as the loaded file, so a mark planted in
 * /tmp by somebody else leads nowhere.
 */
#include "runtime/places.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILD_MARK   "src/runtime/.boxlet-build-tree"
#define BUILD_LEVELS 4

static const struct {
        const char *installed; /* name inside libexec; NULL: a program of somebody else */
        const char *in_build;  /* below the build tree's top */
        const char *name;      /* looked up in $PATH and the sbin folders */
        const char *what, *remedy;
} table[] = {
    [PLACE_MONITOR] = {"boxlet-monitor", "src/monitor/boxlet-monitor", NULL, "boxlet-monitor",
                       "install boxlet completely, or set $BOXLET_LIBEXEC"},
    [PLACE_VMM] = {"boxlet-vmm", "src/vmm/boxlet-vmm", NULL, "boxlet-vmm",
                   "install boxlet completely, or set $BOXLET_LIBEXEC"},
    [PLACE_AGENT] = {"agent.cpio", "agent.cpio", NULL, "the agent's initramfs",
                     "install boxlet completely, or set $BOXLET_LIBEXEC"},
    [PLACE_QEMU] = {NULL, NULL, "qemu-system-x86_64", "QEMU", "apt install qemu-system-x86"},
    [PLACE_PASST] = {NULL, NULL, "passt", "passt", "apt install passt, or use --network none"},
    [PLACE_MKFS] = {NULL, NULL, "mkfs.ext4", "mkfs.ext4", "apt install e2fsprogs"},
};

/* Path of the file that this function's code lies in. */
static char *loaded_from(void)
{
        static const char here;
        Dl_info info;
        const char *path = "/proc/self/exe";
        if (dladdr(&here, &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, ".so") != NULL)
                path = info.dli_fname;
        return realpath(path, NULL);
}

/* 1, 0 when it is not, or -errno when that cannot be found out. */
static int is_marked(const char *folder, uid_t owner)
{
        struct stat st;
        cleanup_free char *mark = path_join(folder, BUILD_MARK);
        if (mark == NULL)
                return -ENOMEM;
        if (lstat(mark, &st) < 0)
                return path_is_absent(errno) || errno == EACCES ? 0 : -errno;
        return S_ISREG(st.st_mode) && st.st_uid == owner;
}

/* The build tree's top; NULL if it is not one. */
static int find_build_tree(char **ret_top)
{
        struct stat st;
        cleanup_free char *at = loaded_from();
        *ret_top = NULL;
        if (at == NULL || stat(at, &st) < 0)
                return path_is_absent(errno) || errno == EACCES ? 0 : -errno;
        for (int level = 0; level < BUILD_LEVELS; level++) {
                char *slash = strrchr(at, '/');
                if (slash == NULL || slash == at)
                        return 0;
                *slash = '\0';
                int r = is_marked(at, st.st_uid);
                if (r > 0)
                        *ret_top = take_ptr(&at);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

static const char *first_set(const char *option, const char *variable)
{
        if (option != NULL)
                return option;
        const char *value = getenv(variable);
        return value != NULL && value[0] != '\0' ? value : NULL;
}

int places_init(struct places *p, const char *libexec, const char *kernel_dir, struct error *err)
{
        struct places made = {0};
        int r = 0;
        libexec = first_set(libexec, "BOXLET_LIBEXEC");
        kernel_dir = first_set(kernel_dir, "BOXLET_KERNEL_DIR");
        if (libexec == NULL || kernel_dir == NULL)
                r = find_build_tree(&made.build);
        if (r < 0)
                return error_errno(err, r, "find programs");
        if (kernel_dir != NULL)
                made.kernel_dir = strdup(kernel_dir);
        else if (made.build != NULL)
                made.kernel_dir = path_join(made.build, "kernel");
        else
                made.kernel_dir = strdup(BOXLET_INSTALLED_KERNEL_DIR);
        if (libexec != NULL || made.build == NULL)
                made.libexec = strdup(libexec != NULL ? libexec : BOXLET_INSTALLED_LIBEXEC);
        if (made.kernel_dir == NULL || (made.libexec == NULL && made.build == NULL)) {
                places_done(&made);
                return error_set(err, -ENOMEM, "find programs: out of memory");
        }
        *p = made;
        return 0;
}

void places_done(struct places *p)
{
        free(p->libexec);
        free(p->build);
        free(p->kernel_dir);
        *p = (struct places){0};
}

static int is_program(const char *path)
{
        struct stat st;
        if (stat(path, &st) < 0 || access(path, X_OK) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? 0 : -ENOENT;
}

/* Looks in $PATH, then where Debian keeps what is for administrators (a plain user's $PATH has not got that).
 * -ENOENT if it is nowhere; another error if that cannot be told. */
static int search_path(const char *name, char **ret_path)
{
        const char *path = getenv("PATH");
        cleanup_free char *folders = NULL;
        int result = -ENOENT;
        if (asprintf(&folders, "%s:/usr/local/sbin:/usr/sbin:/sbin", path == NULL ? "/usr/bin:/bin" : path) <
            0) {
                folders = NULL;
                return -ENOMEM;
        }
        char *rest = folders;
        for (char *folder; (folder = strsep(&rest, ":")) != NULL;) {
                if (folder[0] != '/')
                        continue;
                cleanup_free char *candidate = path_join(folder, name);
                int r = candidate == NULL ? -ENOMEM : is_program(candidate);
                if (r == 0) {
                        *ret_path = take_ptr(&candidate);
                        return 0;
                }
                if (!path_is_absent(-r) && r != -EACCES)
                        result = r;
        }
        return result;
}

static int find_other(enum place place, char **ret_path, struct error *err)
{
        int r = search_path(table[place].name, ret_path);
        if (r == -ENOENT)
                return error_set(err, r, "find %s: '%s' is not installed: %s", table[place].what,
                                 table[place].name, table[place].remedy);
        return r < 0 ? error_errno(err, r, "find %s", table[place].what) : 0;
}

int places_find(const struct places *p, enum place place, char **ret_path, struct error *err)
{
        if (table[place].installed == NULL)
                return find_other(place, ret_path, err);
        cleanup_free char *relative = p->libexec != NULL ? path_join(p->libexec, table[place].installed)
                                                         : path_join(p->build, table[place].in_build);
        if (relative == NULL)
                return error_set(err, -ENOMEM, "find %s: out of memory", table[place].what);
        *ret_path = realpath(relative, NULL);
        if (*ret_path != NULL)
                return 0;
        int code = -errno;
        if (!path_is_absent(-code))
                return error_errno(err, code, "find %s: '%s'", table[place].what, relative);
        return error_set(err, code, "find %s: '%s': %s: %s", table[place].what, relative, strerror(-code),
                         table[place].remedy);
}

int places_find_kernel(const struct places *p, const char *file, const char *flavour, const char *remedy,
                       char **ret_path, struct error *err)
{
        cleanup_free char *path = NULL;
        if (file != NULL)
                path = strdup(file);
        else if (asprintf(&path, "%s/vmlinux-%s", p->kernel_dir, flavour) < 0)
                path = NULL;
        if (path == NULL)
                return error_set(err, -ENOMEM, "find kernel: out of memory");
        *ret_path = realpath(path, NULL);
        if (*ret_path != NULL)
                return 0;
        int code = -errno;
        if (file != NULL || !path_is_absent(-code))
                return error_errno(err, code, "find kernel '%s'", path);
        return error_set(err, code, "find kernel '%s': %s: build it with `%s`, or set $BOXLET_KERNEL_DIR",
                         path, strerror(-code), remedy);
}
