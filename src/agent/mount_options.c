/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount options of an OCI document: words that are flags of mount(2), words that set the propagation, and the
 * rest, which is the file system's. Pure.
 */
#include "agent/mount_options.h"

#include "base/buffer.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10 */
#endif

static const struct {
        const char *name;
        bool clear;
        unsigned long flag;
} words[] = {
    {"acl", false, MS_POSIXACL},
    {"async", true, MS_SYNCHRONOUS},
    {"atime", true, MS_NOATIME},
    {"bind", false, MS_BIND},
    {"defaults", false, 0},
    {"dev", true, MS_NODEV},
    {"diratime", true, MS_NODIRATIME},
    {"dirsync", false, MS_DIRSYNC},
    {"exec", true, MS_NOEXEC},
    {"iversion", false, MS_I_VERSION},
    {"lazytime", false, MS_LAZYTIME},
    {"loud", true, MS_SILENT},
    {"mand", false, MS_MANDLOCK},
    {"noacl", true, MS_POSIXACL},
    {"noatime", false, MS_NOATIME},
    {"nodev", false, MS_NODEV},
    {"nodiratime", false, MS_NODIRATIME},
    {"noexec", false, MS_NOEXEC},
    {"noiversion", true, MS_I_VERSION},
    {"nolazytime", true, MS_LAZYTIME},
    {"nomand", true, MS_MANDLOCK},
    {"norelatime", true, MS_RELATIME},
    {"nostrictatime", true, MS_STRICTATIME},
    {"nosuid", false, MS_NOSUID},
    {"nosymfollow", false, MS_NOSYMFOLLOW},
    {"rbind", false, MS_BIND | MS_REC},
    {"relatime", false, MS_RELATIME},
    {"remount", false, MS_REMOUNT},
    {"ro", false, MS_RDONLY},
    {"rw", true, MS_RDONLY},
    {"silent", false, MS_SILENT},
    {"strictatime", false, MS_STRICTATIME},
    {"suid", true, MS_NOSUID},
    {"symfollow", true, MS_NOSYMFOLLOW},
    {"sync", false, MS_SYNCHRONOUS},
};

static const struct {
        const char *name;
        unsigned long flag;
} propagations[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

unsigned long mount_options_propagation(const char *name)
{
        for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++) {
                if (strcmp(name, propagations[i].name) == 0)
                        return propagations[i].flag;
        }
        return 0;
}

/* Whether the word is a flag; then it is carried out on *flags. */
static bool take_flag(const char *word, unsigned long *flags)
{
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(word, words[i].name) != 0)
                        continue;
                if (words[i].clear)
                        *flags &= ~words[i].flag;
                else
                        *flags |= words[i].flag;
                return true;
        }
        return false;
}

int mount_options_parse(char *const *options, struct mount_options *ret_options, struct error *err)
{
        struct mount_options parsed = {0};
        cleanup_buffer struct buffer data = BUFFER_INIT(PATH_MAX - 1); /* a page is what mount(2) takes */
        for (; *options != NULL; options++) {
                unsigned long propagation = mount_options_propagation(*options);
                if (propagation != 0) {
                        parsed.propagation = propagation;
                        continue;
                }
                if (strcmp(*options, "tmpcopyup") == 0) {
                        parsed.copy_up = true;
                        continue;
                }
                if (**options == '\0' || take_flag(*options, &parsed.flags))
                        continue;
                int r = buffer_printf(&data, "%s%s", data.length > 0 ? "," : "", *options);
                if (r < 0)
                        return error_errno(err, r, "read mount option '%.64s'", *options);
        }
        if (parsed.flags & MS_BIND && data.length > 0)
                return error_set(err, -EINVAL, "read mount options '%.200s': a bind mount cannot have them",
                                 buffer_content(&data));
        parsed.data = buffer_take(&data);
        if (parsed.data == NULL)
                return error_errno(err, -ENOMEM, "read mount options");
        *ret_options = parsed;
        return 0;
}

void mount_options_done(struct mount_options *options)
{
        free(options->data);
        options->data = NULL;
}
