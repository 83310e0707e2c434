/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd(5) and group(5) as they lie in an image: hostile text, read line by line without changing it. Pure.
 * Lines with too few fields or numbers that are none are passed over, as libc and Docker do.
 */
#include "agent/passwd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 7
#define ID_MAX     UINT32_C(0x7fffffff) /* Docker's bound too */

struct field {
        const char *text;
        size_t length;
};

struct line {
        struct field fields[FIELDS_MAX];
        size_t count;
};

/* Takes the next line off *text, split at colons (the last field takes the rest). False at the end. */
static bool next_line(const char **text, struct line *ret_line)
{
        const char *p = *text;
        if (*p == '\0')
                return false;
        const char *end = p + strcspn(p, "\n");
        *text = *end == '\0' ? end : end + 1;
        ret_line->count = 0;
        for (;;) {
                const char *colon = memchr(p, ':', (size_t)(end - p));
                if (ret_line->count == FIELDS_MAX - 1)
                        colon = NULL;
                const char *stop = colon != NULL ? colon : end;
                ret_line->fields[ret_line->count++] = (struct field){.text = p, .length = (size_t)(stop - p)};
                if (colon == NULL)
                        return true;
                p = colon + 1;
        }
}

static bool same(const struct field *field, const char *text, size_t length)
{
        return field->length == length && memcmp(field->text, text, length) == 0;
}

static bool number(const char *text, size_t length, uint32_t *ret_number)
{
        uint64_t value = 0;
        if (length == 0 || length > 10)
                return false;
        for (size_t i = 0; i < length; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                value = value * 10 + (uint64_t)(text[i] - '0');
        }
        if (value > ID_MAX)
                return false;
        *ret_number = (uint32_t)value;
        return true;
}

static void copy(const struct field *field, char *ret_text, size_t size)
{
        ret_text[0] = '\0';
        if (field->length >= size)
                return; /* nobody's home */
        memcpy(ret_text, field->text, field->length);
        ret_text[field->length] = '\0';
}

struct entry {
        uint32_t uid, gid;
        struct field name, home;
};

static bool read_entry(const struct line *line, struct entry *ret_entry)
{
        if (line->count < 6 || line->fields[0].length == 0 ||
            !number(line->fields[2].text, line->fields[2].length, &ret_entry->uid) ||
            !number(line->fields[3].text, line->fields[3].length, &ret_entry->gid))
                return false;
        ret_entry->name = line->fields[0];
        ret_entry->home = line->fields[5];
        return true;
}

/* A name that is an entry's goes before a number, as in Docker: "1000" may be somebody's name. */
static bool find_entry(const char *passwd, const char *user, size_t length, struct entry *ret_entry)
{
        uint32_t uid = 0;
        bool numeric = number(user, length, &uid);
        for (int by_number = 0; by_number <= (numeric ? 1 : 0); by_number++) {
                const char *text = passwd == NULL ? "" : passwd;
                struct line line;
                while (next_line(&text, &line)) {
                        if (read_entry(&line, ret_entry) &&
                            (by_number ? ret_entry->uid == uid : same(&ret_entry->name, user, length)))
                                return true;
                }
        }
        return false;
}

void passwd_home(const char *passwd, uid_t uid, char *ret_home, size_t size)
{
        const char *text = passwd == NULL ? "" : passwd;
        struct line line;
        struct entry entry;
        ret_home[0] = '\0';
        while (next_line(&text, &line)) {
                if (read_entry(&line, &entry) && entry.uid == uid) {
                        copy(&entry.home, ret_home, size);
                        return;
                }
        }
}

static bool find_group(const char *group, const char *name, size_t length, gid_t *ret_gid)
{
        const char *text = group == NULL ? "" : group;
        struct line line;
        uint32_t gid;
        while (next_line(&text, &line)) {
                if (line.count >= 3 && same(&line.fields[0], name, length) &&
                    number(line.fields[2].text, line.fields[2].length, &gid)) {
                        *ret_gid = gid;
                        return true;
                }
        }
        return number(name, length, ret_gid);
}

static bool lists(const struct field *members, const struct field *name)
{
        const char *p = members->text, *end = p + members->length;
        while (p < end) {
                const char *comma = memchr(p, ',', (size_t)(end - p));
                const char *stop = comma != NULL ? comma : end;
                if (same(name, p, (size_t)(stop - p)))
                        return true;
                p = stop + 1;
        }
        return false;
}

static void add_groups(const char *group, const struct field *name, struct passwd_user *user)
{
        const char *text = group == NULL ? "" : group;
        struct line line;
        uint32_t gid;
        while (next_line(&text, &line) && user->group_count < PASSWD_GROUPS_MAX) {
                if (line.count >= 4 && number(line.fields[2].text, line.fields[2].length, &gid) &&
                    lists(&line.fields[3], name))
                        user->groups[user->group_count++] = gid;
        }
}

int passwd_find(const char *text, const char *passwd, const char *group, struct passwd_user *ret_user,
                struct error *err)
{
        size_t length = strcspn(text, ":");
        const char *group_text = text[length] == ':' ? text + length + 1 : "";
        const char *name = length == 0 ? "0" : text;
        size_t name_length = length == 0 ? 1 : length;
        struct passwd_user user = {0};
        struct entry entry;
        if (find_entry(passwd, name, name_length, &entry)) {
                user.uid = entry.uid;
                user.gid = entry.gid;
                copy(&entry.home, user.home, sizeof(user.home));
                if (*group_text == '\0')
                        add_groups(group, &entry.name, &user);
        } else if (!number(name, name_length, &user.uid)) {
                return error_set(err, -ENOENT, "find user '%.*s': no such entry in the image's /etc/passwd",
                                 (int)name_length, name);
        }
        if (*group_text != '\0' && !find_group(group, group_text, strlen(group_text), &user.gid))
                return error_set(err, -ENOENT, "find group '%s': no such entry in the image's /etc/group",
                                 group_text);
        /* the primary group is a supplementary one too: or giving it up would open what is denied to it */
        if (user.group_count == PASSWD_GROUPS_MAX)
                user.group_count--;
        memmove(user.groups + 1, user.groups, user.group_count * sizeof(gid_t));
        user.groups[0] = user.gid;
        user.group_count++;
        *ret_user = user;
        return 0;
}
