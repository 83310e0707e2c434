/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small parsers over text that a person, a compose file or an image gave. Each takes one word, looks at no
 * byte past its NUL, and refuses what it does not know by name. Numbers are those of Linux on x86-64 and of
 * the OCI runtime-spec 1.0.2 (config-linux.md, config.md).
 */
#include "runtime/words.h"

#include "base/capability.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RT_FIRST 34
#define RT_LAST  64

static const char *const signal_names[] = {
    NULL,   "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Digits only, up to maximum. */
static int parse_number(const char *text, uint64_t maximum, uint64_t *ret_number)
{
        uint64_t number = 0;
        if (text[0] == '\0')
                return -EINVAL;
        for (const char *p = text; *p != '\0'; p++) {
                if (*p < '0' || *p > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number) || number > maximum)
                        return -ERANGE;
        }
        *ret_number = number;
        return 0;
}

static const char *skip_prefix(const char *text, const char *prefix)
{
        size_t size = strlen(prefix);
        return strncasecmp(text, prefix, size) == 0 ? text + size : text;
}

/* "RTMIN", "RTMIN+2", "RTMAX-1". */
static int realtime_signal(const char *name, int *ret_number)
{
        uint64_t offset = 0;
        bool from_max = strncasecmp(name, "RTMAX", 5) == 0;
        if (!from_max && strncasecmp(name, "RTMIN", 5) != 0)
                return -EINVAL;
        if (name[5] != '\0' &&
            (name[5] != (from_max ? '-' : '+') || parse_number(name + 6, RT_LAST - RT_FIRST, &offset) < 0))
                return -EINVAL;
        *ret_number = from_max ? RT_LAST - (int)offset : RT_FIRST + (int)offset;
        return 0;
}

int words_signal(const char *text, int *ret_number, struct error *err)
{
        uint64_t number;
        if (parse_number(text, RT_LAST, &number) == 0 && number > 0) {
                *ret_number = (int)number;
                return 0;
        }
        const char *name = skip_prefix(text, "SIG");
        for (size_t i = 1; i < COUNT(signal_names); i++) {
                if (strcasecmp(name, signal_names[i]) == 0) {
                        *ret_number = (int)i;
                        return 0;
                }
        }
        if (realtime_signal(name, ret_number) == 0)
                return 0;
        return error_set(err, -EINVAL, "signal '%s': there is no such signal", text);
}

static int capability_bits(const char *text, uint64_t *ret_bits, struct error *err)
{
        if (strcasecmp(text, "ALL") == 0) {
                *ret_bits = WORDS_ALL_CAPABILITIES;
                return 0;
        }
        int number = capability_number(text);
        if (number < 0)
                return error_set(err, -EINVAL, "capability '%s': Linux 6.1 has none of that name", text);
        *ret_bits = 1ULL << number;
        return 0;
}

/* The union of a list, ALL kept apart. */
static int capability_list(const char *const *list, uint64_t *ret_bits, bool *ret_all, struct error *err)
{
        uint64_t bits = 0, one = 0;
        bool all = false;
        for (; list != NULL && *list != NULL; list++) {
                int r = capability_bits(*list, &one, err);
                if (r < 0)
                        return r;
                if (one == WORDS_ALL_CAPABILITIES)
                        all = true;
                else
                        bits |= one;
        }
        *ret_bits = bits;
        *ret_all = all;
        return 0;
}

/* As docker: ALL on one side sets the base, then the names of both sides count, dropping last. */
int words_capabilities(uint64_t base, const char *const *add, const char *const *drop, uint64_t *ret_set,
                       struct error *err)
{
        uint64_t added, dropped;
        bool add_all, drop_all;
        int r = capability_list(add, &added, &add_all, err);
        if (r == 0)
                r = capability_list(drop, &dropped, &drop_all, err);
        if (r < 0)
                return r;
        if (add_all)
                *ret_set = WORDS_ALL_CAPABILITIES & ~dropped;
        else if (drop_all)
                *ret_set = added;
        else
                *ret_set = (base | added) & ~dropped;
        return 0;
}

json_t *words_capability_names(uint64_t set)
{
        json_t *names = json_array();
        for (int i = 0; names != NULL && i < CAPABILITY_COUNT; i++) {
                if (!(set & (1ULL << i)))
                        continue;
                if (json_array_append_new(names, json_sprintf("CAP_%s", capability_name(i))) < 0) {
                        json_decref(names);
                        return NULL;
                }
        }
        return names;
}

static const char *const ulimit_names[] = {
    "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
    "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",    "as",
};

static int parse_limit(const char *text, int64_t *ret_limit)
{
        uint64_t number;
        if (strcmp(text, "-1") == 0 || strcasecmp(text, "unlimited") == 0) {
                *ret_limit = -1;
                return 0;
        }
        int r = parse_number(text, INT64_MAX, &number);
        if (r == 0)
                *ret_limit = (int64_t)number;
        return r;
}

static const char *known_ulimit(const char *name)
{
        for (size_t i = 0; i < COUNT(ulimit_names); i++) {
                if (strcasecmp(name, ulimit_names[i]) == 0)
                        return ulimit_names[i];
        }
        return NULL;
}

/* RLIM_INFINITY is 2^64 - 1, which JSON readers take for a double: -1 stands for it, as jansson has only
 * int64. */
int words_ulimit(const char *text, json_t **ret_rlimit, struct error *err)
{
        char copy[128];
        int64_t soft, hard;
        if (strlen(text) >= sizeof(copy))
                return error_set(err, -EINVAL, "ulimit '%.40s...': too long", text);
        (void)strcpy(copy, text);
        char *values = strchr(copy, '=');
        if (values == NULL)
                return error_set(err, -EINVAL, "ulimit '%s': the form is name=soft[:hard]", text);
        *values++ = '\0';
        const char *name = known_ulimit(skip_prefix(copy, "RLIMIT_"));
        if (name == NULL)
                return error_set(err, -EINVAL, "ulimit '%s': there is no limit of that name", text);
        char *hard_text = strchr(values, ':');
        if (hard_text != NULL)
                *hard_text++ = '\0';
        if (parse_limit(values, &soft) < 0 || parse_limit(hard_text == NULL ? values : hard_text, &hard) < 0)
                return error_set(err, -EINVAL, "ulimit '%s': the form is name=soft[:hard], -1 for no limit",
                                 text);
        if (hard != -1 && (soft == -1 || soft > hard))
                return error_set(err, -EINVAL, "ulimit '%s': the soft limit is above the hard one", text);
        char type[32] = "RLIMIT_";
        for (size_t i = 0; name[i] != '\0'; i++)
                type[7 + i] = (char)toupper((unsigned char)name[i]);
        *ret_rlimit =
            json_pack("{s:s, s:I, s:I}", "type", type, "hard", (json_int_t)hard, "soft", (json_int_t)soft);
        return *ret_rlimit == NULL ? error_set(err, -ENOMEM, "ulimit '%s': out of memory", text) : 0;
}

static const char *const tmpfs_flags[] = {
    "rw",       "ro",         "exec",     "noexec",     "suid",        "nosuid",
    "dev",      "nodev",      "sync",     "async",      "atime",       "noatime",
    "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
};
static const char *const tmpfs_values[] = {"size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks="};

static bool is_tmpfs_option(const char *option)
{
        for (size_t i = 0; i < COUNT(tmpfs_flags); i++) {
                if (strcmp(option, tmpfs_flags[i]) == 0)
                        return true;
        }
        for (size_t i = 0; i < COUNT(tmpfs_values); i++) {
                size_t size = strlen(tmpfs_values[i]);
                if (strncmp(option, tmpfs_values[i], size) == 0)
                        return strspn(option + size, "0123456789kmgKMG%") == strlen(option + size) &&
                               option[size] != '\0';
        }
        return false;
}

/* The opposite of a default flag takes its place; everything else is added. */
static int add_tmpfs_option(json_t *options, const char *option)
{
        static const char *const pairs[][2] = {{"noexec", "exec"},
                                               {"nosuid", "suid"},
                                               {"nodev", "dev"},
                                               {"rw", "ro"}};
        for (size_t i = 0; i < COUNT(pairs); i++) {
                for (size_t at = 0; strcmp(option, pairs[i][1]) == 0 && at < json_array_size(options); at++) {
                        if (strcmp(json_string_value(json_array_get(options, at)), pairs[i][0]) == 0)
                                return json_array_set_new(options, at, json_string(option));
                }
        }
        return json_array_append_new(options, json_string(option));
}

void words_clean_path(char *path)
{
        char *to = path;
        for (const char *from = path; *from != '\0';) {
                size_t size = strcspn(from + 1, "/");
                if (size == 2 && strncmp(from + 1, "..", 2) == 0) {
                        while (to > path && *--to != '/')
                                ;
                } else if (size > 0 && !(size == 1 && from[1] == '.')) {
                        memmove(to, from, size + 1);
                        to += size + 1;
                }
                from += size + 1;
        }
        if (to == path)
                *to++ = '/';
        *to = '\0';
}

int words_tmpfs(const char *text, json_t **ret_mount, struct error *err)
{
        cleanup_free char *copy = strdup(text);
        cleanup_json json_t *options = json_pack("[s, s, s, s]", "noexec", "nosuid", "nodev", "rw");
        if (copy == NULL || options == NULL)
                return error_set(err, -ENOMEM, "tmpfs '%s': out of memory", text);
        char *rest = strchr(copy, ':');
        if (rest != NULL)
                *rest++ = '\0';
        if (copy[0] == '/')
                words_clean_path(copy);
        if (copy[0] != '/' || copy[1] == '\0')
                return error_set(err, -EINVAL, "tmpfs '%s': the form is /PATH[:options]", text);
        for (char *option; rest != NULL && (option = strsep(&rest, ",")) != NULL;) {
                if (option[0] == '\0')
                        continue;
                if (!is_tmpfs_option(option))
                        return error_set(err, -EINVAL, "tmpfs '%s': unknown option '%s'", text, option);
                if (add_tmpfs_option(options, option) < 0)
                        return error_set(err, -ENOMEM, "tmpfs '%s': out of memory", text);
        }
        *ret_mount = json_pack("{s:s, s:s, s:s, s:O}", "destination", copy, "type", "tmpfs", "source",
                               "tmpfs", "options", options);
        return *ret_mount == NULL ? error_set(err, -EINVAL, "tmpfs '%s': not UTF-8", text) : 0;
}

int words_check_utf8(const char *text, const char *what, struct error *err)
{
        cleanup_json json_t *probe = json_string(text); /* jansson refuses what is not UTF-8 */
        if (probe != NULL)
                return 0;
        return error_set(err, -EILSEQ,
                         "%s '%s': the bytes are not UTF-8, which the box's configuration must be", what,
                         text);
}

int words_check_name(const char *name, struct error *err)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
        size_t size = strlen(name);
        if (size == 0 || size > 128 || strspn(name, allowed) != size || !isalnum((unsigned char)name[0]))
                return error_set(
                    err, -EINVAL,
                    "box name '%s': a name is a letter or digit, then letters, digits, '_', '.' or '-', "
                    "at most 128",
                    name);
        return 0;
}

int words_check_hostname(const char *name, struct error *err)
{
        size_t size = strlen(name);
        bool good = size > 0 && size <= 64 && name[0] != '-' && name[0] != '.' && name[size - 1] != '-' &&
                    strstr(name, "..") == NULL;
        for (size_t i = 0; good && i < size; i++)
                good = isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '.' || name[i] == '_';
        if (!good)
                return error_set(err, -EINVAL, "host name '%s': letters, digits, '-' and '.', at most 64",
                                 name);
        return 0;
}

static const char *const adjectives[] = {
    "amber", "brave", "brisk",  "calm", "clear", "crisp",  "deft",  "eager",  "early",  "fair",
    "fond",  "frank", "gentle", "glad", "grand", "happy",  "hardy", "keen",   "kind",   "lively",
    "lucid", "lunar", "merry",  "mild", "neat",  "noble",  "plain", "polite", "proud",  "quick",
    "quiet", "rapid", "ready",  "rosy", "sharp", "silent", "smart", "solid",  "steady", "sunny",
    "swift", "tidy",  "vivid",  "warm", "wise",  "witty",  "young", "zesty",
};
static const char *const nouns[] = {
    "acorn",   "badger", "beacon", "birch",   "brook",  "canyon",  "cedar",  "comet",   "coral",  "crane",
    "delta",   "ember",  "falcon", "fern",    "finch",  "fjord",   "gecko",  "glacier", "harbor", "hazel",
    "heron",   "island", "jasper", "kestrel", "lagoon", "lark",    "linden", "lynx",    "maple",  "marten",
    "meadow",  "otter",  "owl",    "pebble",  "pine",   "quartz",  "raven",  "reef",    "river",  "robin",
    "sparrow", "spruce", "stone",  "summit",  "swan",   "thistle", "tiger",  "willow",
};

void words_make_name(uint64_t random, char ret_name[WORDS_NAME_MAX])
{
        uint64_t a = random % COUNT(adjectives);
        uint64_t n = random / COUNT(adjectives) % COUNT(nouns);
        (void)snprintf(ret_name, WORDS_NAME_MAX, "%s_%s", adjectives[a], nouns[n]);
}
