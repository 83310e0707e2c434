/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two grammars of docker for mounts. Both end in finish(), which knows what a request of each kind needs,
 * so neither can make one that the other would refuse.
 *
 *     -v      [SOURCE:]TARGET[:option[,option]...]     a path has no colon
 *     --mount key[=value][,key[=value]]...             comma-separated values: "..." may hold a comma, ""
 *                                                      in it is a quotation mark
 *
 * The text may come from anywhere (compose files, other programs). What docker knows and a box has not is
 * refused by name; what means nothing in a virtual machine of one's own (SELinux labels, the consistency of
 * macOS) is taken and has no effect, as docker itself does on such a host.
 */
#include "runtime/mount_words.h"

#include "base/cleanup.h"
#include "runtime/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX (64U << 10)

/* A request in the making. */
struct draft {
        const char *text; /* the whole option, for messages */
        const char *what; /* "volume" or "mount" */
        const char *working_dir;
        char *source, *target;
        const char *type; /* "bind", "volume", "tmpfs"; NULL: told by the source, as -v does */
        enum mount_cache cache;
        bool readonly, no_copy, of_mount;
        const char *bind_key, *volume_key, *tmpfs_key; /* the last key of each group, to refuse a mixture */
        uint64_t tmpfs_bytes;
        int tmpfs_mode;
};

void mount_request_done(struct mount_request *request)
{
        free(request->source);
        free(request->target);
        *request = (struct mount_request){0};
}

__attribute__((format(printf, 3, 4))) static int bad(const struct draft *d, struct error *err,
                                                     const char *format, ...)
{
        char why[300];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(why, sizeof(why), format, arguments); /* cut is fine */
        va_end(arguments);
        return error_set(err, -EINVAL, "%s '%.300s': %s", d->what, d->text, why);
}

static int out_of_memory(const struct draft *d, struct error *err)
{
        return error_set(err, -ENOMEM, "%s '%.300s': out of memory", d->what, d->text);
}

/* ".", "..", "./x", "../x": a path that can be told from a name. */
static bool is_relative(const char *text)
{
        size_t dots = strspn(text, ".");
        return (dots == 1 || dots == 2) && (text[dots] == '\0' || text[dots] == '/');
}

int mounts_check_name(const char *name, struct error *err)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
        size_t size = strlen(name);
        if (size < 2 || size > 128 || strspn(name, allowed) != size || !isalnum((unsigned char)name[0]))
                return error_set(
                    err, -EINVAL,
                    "volume name '%.200s': a name is a letter or digit, then letters, digits, '_', '.' "
                    "or '-', 2 to 128 in all; a folder of the host begins with / or ./",
                    name);
        return 0;
}

static int finish_source(struct draft *d, struct mount_request *request, struct error *err)
{
        if (d->source == NULL || d->source[0] == '\0')
                return request->kind == MOUNT_SHARE ? bad(d, err, "it needs a source") : 0;
        if (request->kind == MOUNT_TMPFS)
                return bad(d, err, "a tmpfs has no source");
        if (request->kind == MOUNT_VOLUME) {
                int r = mounts_check_name(d->source, err);
                if (r < 0)
                        return error_wrap(err, "%s '%.300s'", d->what, d->text);
                request->source = take_ptr(&d->source);
                return 0;
        }
        if (d->source[0] == '/') {
                request->source = take_ptr(&d->source);
                return 0;
        }
        if (!is_relative(d->source))
                return bad(d, err, "the source is no absolute path: begin it with / or ./");
        if (d->working_dir == NULL || d->working_dir[0] != '/')
                return bad(d, err, "the source is relative, and there is no working folder");
        if (asprintf(&request->source, "%s/%s", d->working_dir, d->source) < 0) {
                request->source = NULL;
                return out_of_memory(d, err);
        }
        return 0;
}

static int check_mixture(const struct draft *d, enum mount_kind kind, struct error *err)
{
        const char *const keys[] = {
            [MOUNT_SHARE] = d->bind_key, [MOUNT_VOLUME] = d->volume_key, [MOUNT_TMPFS] = d->tmpfs_key};
        for (enum mount_kind k = MOUNT_SHARE; k <= MOUNT_TMPFS; k++) {
                if (k != kind && keys[k] != NULL)
                        return bad(d, err, "'%s' is for another type of mount", keys[k]);
        }
        return 0;
}

static enum mount_kind kind_of(const struct draft *d)
{
        if (d->type == NULL)
                return d->source != NULL && (d->source[0] == '/' || is_relative(d->source)) ? MOUNT_SHARE
                                                                                            : MOUNT_VOLUME;
        if (strcmp(d->type, "bind") == 0)
                return MOUNT_SHARE;
        return strcmp(d->type, "tmpfs") == 0 ? MOUNT_TMPFS : MOUNT_VOLUME;
}

static int finish(struct draft *d, struct mount_request *ret_request, struct error *err)
{
        struct mount_request request = {
            .kind = kind_of(d),
            .readonly = d->readonly,
            .no_copy = d->no_copy,
            .cache = d->cache,
            .make_source = !d->of_mount,
            .tmpfs_bytes = d->tmpfs_bytes,
            .tmpfs_mode = d->tmpfs_mode,
        };
        int r = words_check_utf8(d->text, d->what, err);
        if (r == 0)
                r = check_mixture(d, request.kind, err);
        if (r < 0)
                return r;
        if (d->target == NULL || d->target[0] != '/')
                return bad(d, err, "the place in the box is no absolute path");
        words_clean_path(d->target);
        if (d->target[1] == '\0')
                return bad(d, err, "the place in the box cannot be /");
        r = finish_source(d, &request, err);
        if (r == 0 && request.kind == MOUNT_VOLUME && request.source == NULL && request.readonly)
                r = bad(d, err, "a volume without a name is empty: it cannot be read-only");
        if (r < 0) {
                mount_request_done(&request);
                return r;
        }
        request.target = take_ptr(&d->target);
        *ret_request = request;
        return 0;
}

static void draft_done(struct draft *d)
{
        free(d->source);
        free(d->target);
}

/* What -v and --mount have in common. -ENOENT: the option is none of these. */
static int common_value(struct draft *d, const char *key, const char *value, struct error *err)
{
        static const char *const caches[] = {"auto", "always", "none"};
        if (strcmp(key, "cache") == 0) {
                for (size_t i = 0; i < 3; i++) {
                        if (strcmp(value, caches[i]) == 0) {
                                d->cache = (enum mount_cache)i;
                                d->bind_key = "cache";
                                return 0;
                        }
                }
                return bad(d, err, "cache is auto, always or none");
        }
        if (strcmp(key, "consistency") == 0)
                return strcmp(value, "consistent") == 0 || strcmp(value, "cached") == 0 ||
                               strcmp(value, "delegated") == 0 || strcmp(value, "default") == 0
                           ? 0
                           : bad(d, err, "consistency is consistent, cached or delegated");
        if (strcmp(key, "bind-propagation") == 0) {
                d->bind_key = "bind-propagation";
                return strcmp(value, "rprivate") == 0 || strcmp(value, "private") == 0
                           ? 0
                           : bad(d, err,
                                 "'%.40s' is not supported: mounts are not passed on between the host "
                                 "and a box",
                                 value);
        }
        return -ENOENT;
}

/* ---- -v ---- */

/* One option after the second colon. `*mode` is the read/write word that came before, NULL for none. */
static int volume_option(struct draft *d, const char *option, const char **mode, struct error *err)
{
        static const char *const propagations[] = {"private", "rprivate", "shared",
                                                   "rshared", "slave",    "rslave"};
        static const char *const without_effect[] = {"z", "Z", "consistent", "cached", "delegated"};
        if (strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0) {
                if (*mode != NULL)
                        return bad(d, err, "'%s' after '%s'", option, *mode);
                d->readonly = strcmp(option, "ro") == 0;
                *mode = option;
                return 0;
        }
        if (strcmp(option, "nocopy") == 0) {
                d->no_copy = true;
                d->volume_key = "nocopy";
                return 0;
        }
        for (size_t i = 0; i < sizeof(without_effect) / sizeof(without_effect[0]); i++) {
                if (strcmp(option, without_effect[i]) == 0)
                        return 0;
        }
        for (size_t i = 0; i < sizeof(propagations) / sizeof(propagations[0]); i++) {
                if (strcmp(option, propagations[i]) == 0)
                        return common_value(d, "bind-propagation", option, err);
        }
        if (strncmp(option, "cache=", 6) == 0)
                return common_value(d, "cache", option + 6, err);
        return bad(d, err, "unknown option '%.40s'; there are ro, rw, nocopy and cache=auto|always|none",
                   option);
}

static int volume_options(struct draft *d, char *rest, struct error *err)
{
        const char *mode = NULL;
        int r = 0;
        for (char *option; r == 0 && (option = strsep(&rest, ",")) != NULL;)
                r = volume_option(d, option, &mode, err);
        return r;
}

static int volume_parts(struct draft *d, char *copy, struct error *err)
{
        char *parts[4] = {0};
        size_t count = 0;
        for (char *rest = copy; rest != NULL && count < 4;)
                parts[count++] = strsep(&rest, ":");
        if (count > 3 || parts[0][0] == '\0' || (count > 1 && parts[1][0] == '\0'))
                return bad(d, err, "the form is [SOURCE:]TARGET[:OPTIONS]");
        if (count == 2 && parts[1][0] != '/')
                return bad(d, err, "the place in the box is no absolute path");
        d->target = strdup(parts[count == 1 ? 0 : 1]);
        d->source = count == 1 ? NULL : strdup(parts[0]);
        if (d->target == NULL || (count > 1 && d->source == NULL))
                return out_of_memory(d, err);
        return count == 3 ? volume_options(d, parts[2], err) : 0;
}

int mount_words_volume(const char *text, const char *working_dir, struct mount_request *ret_request,
                       struct error *err)
{
        struct draft d = {.text = text, .what = "volume", .working_dir = working_dir, .tmpfs_mode = -1};
        if (strlen(text) > TEXT_MAX)
                return bad(&d, err, "too long");
        cleanup_free char *copy = strdup(text);
        int r = copy == NULL ? out_of_memory(&d, err) : volume_parts(&d, copy, err);
        if (r == 0)
                r = finish(&d, ret_request, err);
        draft_done(&d);
        return r;
}

/* ---- --mount ---- */

static int read_bool(const struct draft *d, const char *key, const char *value, bool *ret, struct error *err)
{
        static const char *const words[2][6] = {{"0", "f", "F", "FALSE", "false", "False"},
                                                {"1", "t", "T", "TRUE", "true", "True"}};
        for (size_t i = 0; i < 12; i++) {
                if (strcmp(value, words[i / 6][i % 6]) == 0) {
                        *ret = i / 6 == 1;
                        return 0;
                }
        }
        return bad(d, err, "'%.40s=%.40s': true or false", key, value);
}

/* "64m", "64mb", "64MiB", "65536": as docker reads sizes. */
static int read_size(const struct draft *d, const char *value, uint64_t *ret_bytes, struct error *err)
{
        static const char units[] = "bkmgtp";
        uint64_t number = 0;
        size_t digits = strspn(value, "0123456789");
        for (size_t i = 0; i < digits; i++) {
                if (__builtin_mul_overflow(number, 10U, &number) ||
                    __builtin_add_overflow(number, (unsigned)(value[i] - '0'), &number))
                        return bad(d, err, "tmpfs-size is too large");
        }
        const char *suffix = value + digits;
        const char *unit = *suffix == '\0' ? units : strchr(units, tolower((unsigned char)*suffix));
        const char *rest = *suffix == '\0' ? "" : suffix + 1;
        bool good =
            digits > 0 && unit != NULL &&
            (*rest == '\0' || strcasecmp(rest, "ib") == 0 || (unit != units && strcasecmp(rest, "b") == 0));
        if (!good)
                return bad(d, err, "tmpfs-size is a number, with b, k, m or g after it or not");
        if (__builtin_mul_overflow(number, UINT64_C(1) << (10 * (unit - units)), &number) ||
            number > INT64_MAX)
                return bad(d, err, "tmpfs-size is too large");
        *ret_bytes = number;
        return 0;
}

static int read_mode(const struct draft *d, const char *value, int *ret_mode, struct error *err)
{
        size_t size = strlen(value);
        if (size == 0 || size > 5 || strspn(value, "01234567") != size || strtol(value, NULL, 8) > 07777)
                return bad(d, err, "tmpfs-mode is an octal number up to 7777");
        *ret_mode = (int)strtol(value, NULL, 8);
        return 0;
}

static int set_text(const struct draft *d, char **place, const char *value, struct error *err)
{
        free(*place);
        *place = strdup(value);
        return *place == NULL ? out_of_memory(d, err) : 0;
}

static int set_type(struct draft *d, const char *value, struct error *err)
{
        static const char *const types[] = {"bind", "volume", "tmpfs"};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                if (strcasecmp(value, types[i]) == 0) {
                        d->type = types[i];
                        return 0;
                }
        }
        return bad(d, err, "type '%.40s' is not supported: there are bind, volume and tmpfs", value);
}

/* The keys that only one type has. -ENOENT: another key. */
static int typed_value(struct draft *d, const char *key, const char *value, struct error *err)
{
        bool ignored;
        if (strcmp(key, "tmpfs-size") == 0) {
                d->tmpfs_key = "tmpfs-size";
                return read_size(d, value, &d->tmpfs_bytes, err);
        }
        if (strcmp(key, "tmpfs-mode") == 0) {
                d->tmpfs_key = "tmpfs-mode";
                return read_mode(d, value, &d->tmpfs_mode, err);
        }
        if (strcmp(key, "volume-nocopy") == 0) {
                d->volume_key = "volume-nocopy";
                return read_bool(d, key, value, &d->no_copy, err);
        }
        if (strcmp(key, "volume-driver") == 0) {
                d->volume_key = "volume-driver";
                return strcmp(value, "local") == 0
                           ? 0
                           : bad(d, err, "volume driver '%.40s' is not supported: there is local", value);
        }
        if (strcmp(key, "bind-nonrecursive") == 0) {
                d->bind_key = "bind-nonrecursive"; /* what is mounted below a shared folder is seen anyway */
                return read_bool(d, key, value, &ignored, err);
        }
        return -ENOENT;
}

static int mount_value(struct draft *d, const char *key, const char *value, struct error *err)
{
        static const char *const refused[] = {"volume-opt", "volume-label", "volume-subpath",
                                              "bind-recursive", "bind-create-src"};
        if (strcmp(key, "type") == 0)
                return set_type(d, value, err);
        if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0)
                return set_text(d, &d->source, value, err);
        if (strcmp(key, "target") == 0 || strcmp(key, "dst") == 0 || strcmp(key, "destination") == 0)
                return set_text(d, &d->target, value, err);
        if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0)
                return read_bool(d, key, value, &d->readonly, err);
        int r = typed_value(d, key, value, err);
        if (r == -ENOENT)
                r = common_value(d, key, value, err);
        if (r != -ENOENT)
                return r;
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                if (strcmp(key, refused[i]) == 0)
                        return bad(d, err, "'%s' is not supported", key);
        }
        return bad(d, err, "unknown key '%.40s'", key);
}

/* One field: "key=value", or one of the keys that stand alone. */
static int mount_field(struct draft *d, char *field, struct error *err)
{
        static const char *const alone[] = {"readonly", "ro", "volume-nocopy", "bind-nonrecursive"};
        char *value = strchr(field, '=');
        if (value != NULL)
                *value++ = '\0';
        for (char *p = field; *p != '\0'; p++)
                *p = (char)tolower((unsigned char)*p);
        for (size_t i = 0; value == NULL && i < sizeof(alone) / sizeof(alone[0]); i++) {
                if (strcmp(field, alone[i]) == 0)
                        return mount_value(d, field, "true", err);
        }
        if (value == NULL)
                return bad(d, err, "'%.40s' is no key=value", field);
        return mount_value(d, field, value, err);
}

/*
 * Cuts the next field off *rest (NULL after the last) and takes its quotation marks away, in place. NULL: a
 * quotation mark is where none can be.
 */
static char *next_field(char **rest)
{
        char *field = *rest, *to = field, *from = field;
        if (*from != '"') {
                size_t size = strcspn(from, ",\"");
                if (from[size] == '"')
                        return NULL;
                *rest = from[size] == ',' ? from + size + 1 : NULL;
                from[size] = '\0';
                return field;
        }
        for (from++; *from != '"' || from[1] == '"'; from++) {
                if (*from == '\0')
                        return NULL;
                from += *from == '"';
                *to++ = *from;
        }
        from++;
        if (*from != '\0' && *from != ',')
                return NULL;
        *rest = *from == ',' ? from + 1 : NULL;
        *to = '\0';
        return field;
}

static int mount_fields(struct draft *d, char *copy, struct error *err)
{
        int r = 0;
        for (char *rest = copy; r == 0 && rest != NULL;) {
                char *field = next_field(&rest);
                r = field == NULL ? bad(d, err, "a quotation mark is out of place")
                                  : mount_field(d, field, err);
        }
        return r;
}

int mount_words_mount(const char *text, const char *working_dir, struct mount_request *ret_request,
                      struct error *err)
{
        struct draft d = {.text = text,
                          .what = "mount",
                          .working_dir = working_dir,
                          .type = "volume",
                          .of_mount = true,
                          .tmpfs_mode = -1};
        if (strlen(text) > TEXT_MAX)
                return bad(&d, err, "too long");
        cleanup_free char *copy = strdup(text);
        int r = copy == NULL ? out_of_memory(&d, err) : mount_fields(&d, copy, err);
        if (r == 0)
                r = finish(&d, ret_request, err);
        draft_done(&d);
        return r;
}
