/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate: a list of challenges, each a scheme and a list of parameters, both separated by commas:
 *
 *     challenge = scheme [ 1*SP parameter *( OWS "," OWS parameter ) ]     parameter = token BWS "=" BWS
 * value
 *
 * A token that is not followed by "=" therefore begins the next challenge. Hostile; nothing recursive, every
 * copy has a limit, and a value that does not fit makes its parameter as good as missing.
 */
#include "image/challenge.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define TOKEN "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define BLANK " \t"

static const char *skip(const char *p, const char *set)
{
        return p + strspn(p, set);
}

/* Reads a value, a token or a quoted string, into out; "" if it is too long. Returns where it ends. */
static const char *read_value(const char *p, char *out, size_t size)
{
        size_t length = 0;
        bool quoted = *p == '"';
        if (quoted)
                p++;
        while (*p != '\0' && (quoted ? *p != '"' : strchr(", \t", *p) == NULL)) {
                if (quoted && *p == '\\' && p[1] != '\0')
                        p++;
                if (length < size)
                        out[length] = *p;
                length++;
                p++;
        }
        out[length < size ? length : 0] = '\0';
        return quoted && *p == '"' ? p + 1 : p;
}

static bool named(const char *name, size_t length, const char *wanted)
{
        return length == strlen(wanted) && strncasecmp(name, wanted, length) == 0;
}

static void take_parameter(const char *name, size_t length, const char *value, struct challenge *bearer)
{
        if (named(name, length, "realm"))
                (void)strcpy(bearer->realm, value); /* read_value() had no more room than that */
        else if (named(name, length, "service") && strlen(value) < sizeof(bearer->service))
                (void)strcpy(bearer->service, value); /* fits */
        else if (named(name, length, "scope") && strlen(value) < sizeof(bearer->scope))
                (void)strcpy(bearer->scope, value); /* fits */
}

/* The parameters after a scheme; what is not one ends them. */
static const char *read_parameters(const char *p, struct challenge *ret)
{
        char value[sizeof(ret->realm)];
        for (;;) {
                p = skip(p, BLANK ",");
                size_t length = strspn(p, TOKEN);
                const char *equals = skip(p + length, BLANK);
                if (length == 0 || *equals != '=')
                        return p;
                const char *end = read_value(skip(equals + 1, BLANK), value, sizeof(value));
                take_parameter(p, length, value, ret);
                p = end;
        }
}

void challenge_parse(const char *header, struct challenge *challenge)
{
        const char *p = header;
        for (;;) {
                p = skip(p, BLANK ",");
                size_t length = strspn(p, TOKEN);
                if (length == 0)
                        return; /* the end, or nothing that can be understood */
                struct challenge found = {.bearer = false};
                const char *scheme = p;
                p = read_parameters(p + length, &found);
                if (named(scheme, length, "basic"))
                        challenge->basic = true;
                if (!named(scheme, length, "bearer") || challenge->bearer || found.realm[0] == '\0')
                        continue;
                found.basic = challenge->basic;
                found.bearer = true;
                *challenge = found;
        }
}
