/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of github.com/distribution/reference, as a pure function:
 *
 *     reference  = name [":" tag] ["@" digest]
 *     name       = [domain "/"] component *("/" component)        at most 255 bytes
 *     domain     = (label *("." label) | "[" ipv6 "]") [":" 1*digit]
 *     label      = alphanumeric, inside also "-"
 *     component  = 1*[a-z0-9] *(("." | "_" | "__" | 1*"-") 1*[a-z0-9])
 *     tag        = [A-Za-z0-9_] 0*127[A-Za-z0-9_.-]
 *     digest     = "sha256:" 64[0-9a-f]
 *
 * The first component is a domain if it holds a "." or a ":", is "localhost", or has an upper-case letter;
 * otherwise the domain is docker.io, and a single component is put under "library/".
 */
#include "image/reference.h"

#include "base/cleanup.h"
#include "image/digest.h"
#include "image/image.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LENGTH_MAX 255
#define TAG_LENGTH_MAX  128
#define DIGITS          "0123456789"
#define LOWER           "abcdefghijklmnopqrstuvwxyz"
#define UPPER           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HEX             DIGITS "abcdefABCDEF"

static bool label_valid(const char *p, size_t length)
{
        return length > 0 && p[0] != '-' && p[length - 1] != '-' &&
               strspn(p, LOWER UPPER DIGITS "-") >= length;
}

static bool port_valid(const char *p)
{
        size_t length = strlen(p);
        return length > 0 && length <= 5 && strspn(p, DIGITS) == length && strtol(p, NULL, 10) <= 65535;
}

static bool domain_valid(const char *p)
{
        if (*p == '[') {
                size_t length = strspn(p + 1, HEX ":");
                if (length < 2 || p[length + 1] != ']')
                        return false;
                p += length + 2;
                return *p == '\0' || (*p == ':' && port_valid(p + 1));
        }
        for (;;) {
                size_t length = strcspn(p, ".:");
                if (!label_valid(p, length))
                        return false;
                p += length;
                if (*p == '\0')
                        return true;
                if (*p++ == ':')
                        return port_valid(p);
        }
}

/* The length of a component at p, 0 if there is none. */
static size_t component_length(const char *p)
{
        size_t length = strspn(p, LOWER DIGITS);
        while (length > 0) {
                const char *q = p + length;
                size_t separator = strspn(q, "-");
                if (separator == 0)
                        separator = q[0] == '.' ? 1 : q[0] == '_' ? (q[1] == '_' ? 2 : 1) : 0;
                size_t more = separator > 0 ? strspn(q + separator, LOWER DIGITS) : 0;
                if (more == 0)
                        break;
                length += separator + more;
        }
        return length;
}

static bool path_valid(const char *p)
{
        for (;;) {
                size_t length = component_length(p);
                if (length == 0)
                        return false;
                p += length;
                if (*p == '\0')
                        return true;
                if (*p++ != '/')
                        return false;
        }
}

static bool tag_valid(const char *p)
{
        size_t length = strlen(p);
        return length > 0 && length <= TAG_LENGTH_MAX && p[0] != '.' && p[0] != '-' &&
               strspn(p, LOWER UPPER DIGITS "_.-") == length;
}

static bool is_domain(const char *name, size_t length)
{
        return strcspn(name, ".:") < length || strcspn(name, UPPER) < length ||
               (length == 9 && memcmp(name, "localhost", 9) == 0);
}

/* Splits name (without tag and digest) into domain and path, with Docker's defaults put in. */
static int split_name(const char *name, struct reference *r)
{
        const char *slash = strchr(name, '/');
        const char *path = name;
        if (slash != NULL && is_domain(name, (size_t)(slash - name))) {
                r->domain = strndup(name, (size_t)(slash - name));
                path = slash + 1;
        } else {
                r->domain = strdup("docker.io");
        }
        if (r->domain == NULL)
                return -ENOMEM;
        if (strcmp(r->domain, "index.docker.io") == 0 || strcmp(r->domain, "registry-1.docker.io") == 0)
                (void)strcpy(r->domain, "docker.io"); /* shorter than what it replaces */
        bool official = strcmp(r->domain, "docker.io") == 0 && strchr(path, '/') == NULL;
        return asprintf(&r->path, "%s%s", official ? "library/" : "", path) < 0 ? -ENOMEM : 0;
}

static int check_name(const char *text, const char *name, const struct reference *r, struct error *err)
{
        if (strlen(r->domain) + 1 + strlen(r->path) > NAME_LENGTH_MAX)
                return error_set(err, -EINVAL, "image name '%.64s...': longer than %d bytes", text,
                                 NAME_LENGTH_MAX);
        if (strlen(name) == DIGEST_HEX_SIZE && strspn(name, DIGITS "abcdef") == DIGEST_HEX_SIZE)
                return error_set(err, -EINVAL, "image name '%s': 64 hexadecimal digits are an id, not a name",
                                 text);
        if (!domain_valid(r->domain))
                return error_set(err, -EINVAL, "image name '%.300s': '%.100s' is no registry", text,
                                 r->domain);
        if (path_valid(r->path))
                return 0;
        if (strcspn(r->path, UPPER) < strlen(r->path))
                return error_set(err, -EINVAL, "image name '%.300s': the repository must be in lower case",
                                 text);
        return error_set(err, -EINVAL,
                         "image name '%.300s': not of the form [registry/]repository[:tag][@digest]", text);
}

static int parse(const char *text, char *copy, struct reference *r, struct error *err)
{
        char *at = strchr(copy, '@');
        if (at != NULL) {
                *at = '\0';
                if (digest_check(at + 1, err) < 0)
                        return error_wrap(err, "image name '%.300s'", text);
                if ((r->digest = strdup(at + 1)) == NULL)
                        return -ENOMEM;
        }
        char *slash = strrchr(copy, '/');
        char *colon = strrchr(slash != NULL ? slash : copy, ':');
        if (colon != NULL) {
                *colon = '\0';
                if (!tag_valid(colon + 1))
                        return error_set(err, -EINVAL, "image name '%.300s': '%.130s' is no tag", text,
                                         colon + 1);
                r->tag = strdup(colon + 1);
        } else if (r->digest == NULL) {
                r->tag = strdup("latest");
        }
        if (r->tag == NULL && r->digest == NULL)
                return -ENOMEM;
        if (split_name(copy, r) < 0)
                return -ENOMEM;
        return check_name(text, copy, r, err);
}

int reference_parse(const char *text, struct reference *ret, struct error *err)
{
        if (strlen(text) > NAME_LENGTH_MAX + TAG_LENGTH_MAX + DIGEST_TEXT_SIZE + 2)
                return error_set(err, -EINVAL, "image name '%.64s...': too long", text);
        cleanup_reference struct reference r = REFERENCE_INIT;
        cleanup_free char *copy = strdup(text);
        int result = copy == NULL ? -ENOMEM : parse(text, copy, &r, err);
        if (result == -ENOMEM)
                return error_set(err, -ENOMEM, "image name '%s': out of memory", text);
        if (result < 0)
                return result;
        *ret = r;
        r = (struct reference)REFERENCE_INIT;
        return 0;
}

void reference_done(struct reference *r)
{
        free(r->domain);
        free(r->path);
        free(r->tag);
        free(r->digest);
        *r = (struct reference)REFERENCE_INIT;
}

static char *print(const struct reference *r, const char *tag)
{
        char *text;
        int n = asprintf(&text, "%s/%s%s%s%s%s", r->domain, r->path, tag != NULL ? ":" : "",
                         tag != NULL ? tag : "", r->digest != NULL ? "@" : "",
                         r->digest != NULL ? r->digest : "");
        return n < 0 ? NULL : text;
}

char *reference_print(const struct reference *r)
{
        return print(r, r->tag);
}

char *reference_store_name(const struct reference *r)
{
        return print(r, r->digest != NULL ? NULL : r->tag);
}

const char *reference_familiar(const char *name)
{
        static const char *const prefixes[] = {"docker.io/library/", "docker.io/"};
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
                size_t length = strlen(prefixes[i]);
                if (strncmp(name, prefixes[i], length) == 0)
                        return name + length;
        }
        return name;
}

int image_reference_normalize(const char *reference, char **ret_canonical, struct error *err)
{
        cleanup_reference struct reference r = REFERENCE_INIT;
        int result = reference_parse(reference, &r, err);
        if (result < 0)
                return result;
        char *text = reference_print(&r);
        if (text == NULL)
                return error_set(err, -ENOMEM, "image name '%s': out of memory", reference);
        *ret_canonical = text;
        return 0;
}
