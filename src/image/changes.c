/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dockerfile instructions, one at a time. CMD, ENTRYPOINT and VOLUME take a JSON array or plain text; ENV and
 * LABEL take words of the form NAME=value, or "NAME value" with a single one. Words are split as a Dockerfile
 * does: blanks separate, quotes of both kinds keep together, a backslash keeps the next character.
 */
#include "image/changes.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INSTRUCTION_SIZE_MAX (1U << 20)
#define BLANK                " \t\r\n"

/* Takes the next word of *text into out (large enough for all of text). false at the end. */
static bool next_word(const char **text, char *out)
{
        const char *p = *text + strspn(*text, BLANK);
        char quote = '\0';
        if (*p == '\0')
                return false;
        for (; *p != '\0' && (quote != '\0' || strchr(BLANK, *p) == NULL); p++) {
                if (*p == '\\' && quote != '\'' && p[1] != '\0')
                        *out++ = *++p;
                else if (quote == '\0' && (*p == '"' || *p == '\''))
                        quote = *p;
                else if (quote != '\0' && *p == quote)
                        quote = '\0';
                else
                        *out++ = *p;
        }
        *out = '\0';
        *text = p;
        return true;
}

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "out of memory");
}

/* A JSON array of strings; NULL (and no error) when text is not JSON, and so the other form. */
static json_t *parse_array(const char *text)
{
        json_t *array = NULL;
        if (*text != '[' || json_parse(text, strlen(text), "array", &array, NULL) < 0)
                return NULL;
        for (size_t i = 0; i < json_array_size(array); i++) {
                if (!json_is_string(json_array_get(array, i))) {
                        json_decref(array);
                        return NULL;
                }
        }
        return array;
}

static int set_command(json_t *config, const char *member, const char *text, struct error *err)
{
        json_t *array = parse_array(text);
        if (array == NULL)
                array = json_pack("[s, s, s]", "/bin/sh", "-c", text);
        return json_object_set_new(config, member, array) < 0 ? out_of_memory(err) : 0;
}

/* Puts a member into an object of the configuration, which is made if need be. */
static int put(json_t *config, const char *object, const char *key, json_t *value, struct error *err)
{
        json_t *o = json_object_get(config, object);
        if (o == NULL && json_object_set_new(config, object, json_object()) == 0)
                o = json_object_get(config, object);
        return o == NULL || json_object_set_new(o, key, value) < 0 ? out_of_memory(err) : 0;
}

/* Sets NAME=value, in place of an earlier one of that name. */
static int put_env(json_t *config, const char *name, const char *value, struct error *err)
{
        json_t *env = json_object_get(config, "Env");
        json_t *text = json_sprintf("%s=%s", name, value);
        size_t length = strlen(name);
        if (env == NULL && json_object_set_new(config, "Env", json_array()) == 0)
                env = json_object_get(config, "Env");
        for (size_t i = 0; i < json_array_size(env); i++) {
                const char *present = json_string_value(json_array_get(env, i));
                if (present != NULL && strncmp(present, name, length) == 0 && present[length] == '=')
                        return json_array_set_new(env, i, text) < 0 ? out_of_memory(err) : 0;
        }
        return env == NULL || json_array_append_new(env, text) < 0 ? out_of_memory(err) : 0;
}

static int put_pair(json_t *config, bool label, const char *name, const char *value, struct error *err)
{
        if (*name == '\0')
                return error_set(err, -EINVAL, "a name is empty");
        return label ? put(config, "Labels", name, json_string(value), err)
                     : put_env(config, name, value, err);
}

static int set_pairs(json_t *config, bool label, const char *text, char *word, struct error *err)
{
        for (bool first = true; next_word(&text, word); first = false) {
                char *equals = strchr(word, '=');
                int r;
                if (equals == NULL && first) { /* the old form: all the rest is the value */
                        text += strspn(text, BLANK);
                        return *text == '\0' ? error_set(err, -EINVAL, "'%.100s' has no value", word)
                                             : put_pair(config, label, word, text, err);
                }
                if (equals == NULL)
                        return error_set(err, -EINVAL, "'%.100s' is not of the form NAME=value", word);
                *equals = '\0';
                r = put_pair(config, label, word, equals + 1, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_ports(json_t *config, const char *text, char *word, struct error *err)
{
        while (next_word(&text, word)) {
                char port[64], *end;
                long number = strtol(word, &end, 10);
                if (number < 1 || number > 65535 ||
                    (*end != '\0' && strcmp(end, "/tcp") != 0 && strcmp(end, "/udp") != 0))
                        return error_set(err, -EINVAL, "'%.100s' is not of the form PORT[/tcp|/udp]", word);
                (void)snprintf(port, sizeof(port), "%ld%s", number, *end != '\0' ? end : "/tcp"); /* fits */
                int r = put(config, "ExposedPorts", port, json_object(), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_volumes(json_t *config, const char *text, char *word, struct error *err)
{
        cleanup_json json_t *array = parse_array(text);
        int r = 0;
        for (size_t i = 0; r == 0 && i < json_array_size(array); i++)
                r = put(config, "Volumes", json_string_value(json_array_get(array, i)), json_object(), err);
        while (array == NULL && r == 0 && next_word(&text, word))
                r = put(config, "Volumes", word, json_object(), err);
        return r;
}

static int set_working_dir(json_t *config, const char *text, struct error *err)
{
        const char *before = json_string_value(json_object_get(config, "WorkingDir"));
        json_t *value =
            *text == '/'
                ? json_string(text)
                : json_sprintf("%s/%s", before != NULL && strcmp(before, "/") != 0 ? before : "", text);
        return json_object_set_new(config, "WorkingDir", value) < 0 ? out_of_memory(err) : 0;
}

static int set_text(json_t *config, const char *member, const char *text, struct error *err)
{
        return json_object_set_new(config, member, json_string(text)) < 0 ? out_of_memory(err) : 0;
}

static int apply(json_t *config, const char *name, const char *text, char *word, struct error *err)
{
        if (strcasecmp(name, "CMD") == 0)
                return set_command(config, "Cmd", text, err);
        if (strcasecmp(name, "ENTRYPOINT") == 0)
                return set_command(config, "Entrypoint", text, err);
        if (strcasecmp(name, "ENV") == 0)
                return set_pairs(config, false, text, word, err);
        if (strcasecmp(name, "LABEL") == 0)
                return set_pairs(config, true, text, word, err);
        if (strcasecmp(name, "EXPOSE") == 0)
                return set_ports(config, text, word, err);
        if (strcasecmp(name, "STOPSIGNAL") == 0)
                return set_text(config, "StopSignal", text, err);
        if (strcasecmp(name, "USER") == 0)
                return set_text(config, "User", text, err);
        if (strcasecmp(name, "VOLUME") == 0)
                return set_volumes(config, text, word, err);
        if (strcasecmp(name, "WORKDIR") == 0)
                return set_working_dir(config, text, err);
        return error_set(err, -EINVAL,
                         "unknown instruction; known are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, "
                         "USER, VOLUME, WORKDIR");
}

int changes_apply(const char *instruction, json_t *config, struct error *err)
{
        size_t size = strlen(instruction);
        if (size > INSTRUCTION_SIZE_MAX)
                return error_set(err, -E2BIG, "change '%.32s...': longer than %u bytes", instruction,
                                 INSTRUCTION_SIZE_MAX);
        cleanup_free char *copy = strdup(instruction), *word = malloc(size + 1);
        if (copy == NULL || word == NULL)
                return out_of_memory(err);
        while (size > 0 && strchr(BLANK, copy[size - 1]) != NULL)
                copy[--size] = '\0';
        char *name = copy + strspn(copy, BLANK);
        char *text = name + strcspn(name, BLANK);
        if (*text != '\0')
                *text++ = '\0';
        text += strspn(text, BLANK);
        int r =
            *text == '\0' ? error_set(err, -EINVAL, "it says nothing") : apply(config, name, text, word, err);
        return r < 0 ? error_wrap(err, "change '%.100s'", instruction) : 0;
}
