/* SPDX-License-Identifier: Apache-2.0 */
/*
 * -e and --env-file, --label and --label-file, with docker's rules: blank lines and lines beginning with '#'
 * are skipped, blanks before a name do not count, everything after '=' is the value as it stands (quotes
 * too), a name alone takes the caller's value (a label's is empty). If there is none, a file's is left out,
 * and that of -e stays a name alone, which takes the variable away from what lies below. Names have no
 * blanks. Files hold at most ENV_FILE_MAX bytes.
 */
#include "cli/env.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ENV_FILE_MAX (4u << 20)

/* Takes text. */
static int put(struct env *env, char *text)
{
        size_t name = strcspn(text, "=");
        for (size_t i = 0; i < env->count; i++) {
                if (strcspn(env->strings[i], "=") == name && strncmp(env->strings[i], text, name) == 0) {
                        free(env->strings[i]);
                        env->strings[i] = text;
                        return 0;
                }
        }
        size_t used = env->count + 1; /* with the NULL; room doubles whenever it is a power of two */
        if (env->strings == NULL || (used & (used - 1)) == 0) {
                char **grown = realloc(env->strings, used * 2 * sizeof(*grown));
                if (grown == NULL) {
                        free(text);
                        return -ENOMEM;
                }
                env->strings = grown;
        }
        env->strings[env->count++] = text;
        env->strings[env->count] = NULL;
        return 0;
}

int env_add(struct env *env, const char *text, struct error *err)
{
        size_t name = strcspn(text, "=");
        if (name == 0)
                return error_set(err, -EINVAL, "invalid %s '%s': the name is missing",
                                 env->labels ? "label" : "environment variable", text);
        if (!text_is_utf8(text))
                return error_set(err, -EINVAL, "%s is not UTF-8 text",
                                 env->labels ? "a label" : "an environment variable");
        char *copy;
        const char *value = text[name] == '=' ? NULL : env->labels ? "" : getenv(text);
        if (value == NULL) {
                copy = strdup(text);
        } else {
                if (!text_is_utf8(value))
                        return error_set(err, -EINVAL,
                                         "the value of environment variable '%s' is not UTF-8 text", text);
                copy = malloc(name + 1 + strlen(value) + 1);
                if (copy != NULL) {
                        memcpy(copy, text, name);
                        copy[name] = '=';
                        strcpy(copy + name + 1, value);
                }
        }
        if (copy == NULL || put(env, copy) < 0)
                return error_set(err, -ENOMEM, "out of memory");
        return 0;
}

int env_add_host(struct env *env, struct error *err)
{
        for (char **one = environ; one != NULL && *one != NULL; one++) {
                if (!text_is_utf8(*one) || strchr(*one, '=') == NULL || **one == '=')
                        continue;
                int r = env_add(env, *one, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_line(struct env *env, char *line, const char *what, size_t number, struct error *err)
{
        while (*line == ' ' || *line == '\t')
                line++;
        if (*line == '\0' || *line == '#')
                return 0;
        size_t name = strcspn(line, "=");
        if (line[name] == '\0') { /* blanks after a lone name do not count */
                while (name > 0 && (line[name - 1] == ' ' || line[name - 1] == '\t'))
                        line[--name] = '\0';
        }
        if (memchr(line, ' ', name) != NULL || memchr(line, '\t', name) != NULL)
                return error_set(err, -EINVAL, "%s: line %zu: the name '%.*s' has blanks in it", what, number,
                                 (int)(name < 64 ? name : 64), line);
        if (line[name] == '\0' && !env->labels && getenv(line) == NULL)
                return 0;
        int r = env_add(env, line, err);
        return r < 0 ? error_wrap(err, "%s: line %zu", what, number) : 0;
}

int env_add_lines(struct env *env, char *text, size_t size, const char *what, struct error *err)
{
        size_t number = 1;
        if (memchr(text, '\0', size) != NULL)
                return error_set(err, -EINVAL, "%s: holds a NUL byte", what);
        if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
                text += 3;
        for (char *line = text, *next; line != NULL; line = next, number++) {
                next = strchr(line, '\n');
                if (next != NULL)
                        *next++ = '\0';
                size_t length = strlen(line);
                if (length > 0 && line[length - 1] == '\r')
                        line[length - 1] = '\0';
                int r = add_line(env, line, what, number, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_file(struct env *env, const char *path, struct error *err)
{
        bool standard = strcmp(path, "-") == 0;
        cleanup_fd int fd = open(standard ? "/dev/stdin" : path, O_RDONLY | O_CLOEXEC);
        cleanup_free char *text = NULL;
        size_t size;
        if (fd < 0)
                return error_errno(err, -errno, "open '%s'", path);
        int r = fd_read_all(fd, ENV_FILE_MAX, &text, &size);
        if (r < 0)
                return error_errno(err, r, "read '%s'", path);
        return env_add_lines(env, text, size, path, err);
}

int env_fill(struct env *env, const struct text_list *files, const struct text_list *assignments,
             struct error *err)
{
        for (size_t i = 0; i < files->count; i++) {
                int r = add_file(env, files->items[i], err);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < assignments->count; i++) {
                int r = env_add(env, assignments->items[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

void env_done(struct env *env)
{
        for (size_t i = 0; i < env->count; i++)
                free(env->strings[i]);
        free(env->strings);
        *env = (struct env){0};
}
