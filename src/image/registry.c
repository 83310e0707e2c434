/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a registry is, and who we are to it (distribution-spec; Docker's token authentication).
 *
 * What must hold:
 * 1. A credential belongs to the endpoint's name it was looked up for. It goes to that endpoint and to the
 * token server the endpoint names, nowhere else; a redirect to another origin carries no Authorization
 * (fetch.c).
 * 2. A token server is https, unless the endpoint itself is plain http.
 * 3. http is spoken only where the registries file says so, or on a loopback address that does not speak TLS.
 */
#include "image/registry.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "image/challenge.h"
#include "image/progress.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_SIZE_MAX   (1U << 20)
#define TOKEN_TIMEOUT_MS 60000
#define TOKEN_TRIES      3

static bool is_loopback(const char *host)
{
        struct in_addr address;
        char name[64];
        if (strncmp(host, "[::1]", 5) == 0)
                return host[5] == '\0' || host[5] == ':';
        size_t length = strcspn(host, ":");
        if (length >= sizeof(name))
                return false;
        memcpy(name, host, length);
        name[length] = '\0';
        return strcmp(name, "localhost") == 0 ||
               (inet_pton(AF_INET, name, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127);
}

/* place is "host[:port][/path]", perhaps with a scheme in front. */
static int set_endpoint(struct session *s, struct endpoint *e, const char *place, struct error *err)
{
        const char *scheme = strstr(place, "://");
        bool http = strncmp(place, "http://", 7) == 0;
        const char *host = scheme != NULL ? scheme + 3 : place;
        size_t length = strcspn(host, "/");
        const char *prefix = host[length] == '/' ? host + length + 1 : "";
        size_t prefix_length = strlen(prefix);
        while (prefix_length > 0 && prefix[prefix_length - 1] == '/')
                prefix_length--;
        if (length == 0 || strpbrk(host, "@?#% ") != NULL ||
            (scheme != NULL && !http && strncmp(place, "https://", 8) != 0))
                return error_set(err, -EINVAL,
                                 "mirror '%.200s': not of the form [http[s]://]host[:port][/path]", place);
        e->name = strndup(host, length);
        if (e->name == NULL)
                return -ENOMEM;
        e->plain = http || registries_plain_http(&s->settings, e->name);
        e->may_fall_back = !e->plain && scheme == NULL && is_loopback(e->name);
        const char *address = strcmp(e->name, "docker.io") == 0 ? "registry-1.docker.io" : e->name;
        if (asprintf(&e->base, "%s://%s", e->plain ? "http" : "https", address) < 0) {
                e->base = NULL;
                return -ENOMEM;
        }
        if (asprintf(&e->repository, "%.*s%s%s", (int)prefix_length, prefix, prefix_length > 0 ? "/" : "",
                     s->reference->path) < 0) {
                e->repository = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int set_endpoints(struct session *s, struct error *err)
{
        const char *domain = s->reference->domain;
        size_t mirrors = registries_mirror_count(&s->settings, domain);
        s->endpoints = calloc(mirrors + 1, sizeof(*s->endpoints));
        if (s->endpoints == NULL)
                return error_set(err, -ENOMEM, "registry '%s': out of memory", domain);
        for (size_t i = 0; i <= mirrors; i++) {
                const char *place = i < mirrors ? registries_mirror(&s->settings, domain, i) : domain;
                s->count = i + 1;
                int r = set_endpoint(s, &s->endpoints[i], place, err);
                if (r == -ENOMEM)
                        return error_set(err, -ENOMEM, "registry '%s': out of memory", domain);
                if (r < 0)
                        return r;
        }
        return 0;
}

int session_open(const char *config_path, const struct reference *reference,
                 const struct image_observer *observer, struct session *ret, struct error *err)
{
        *ret = (struct session){.reference = reference, .observer = observer};
        int r = registries_read(config_path, &ret->settings, err);
        if (r == 0)
                r = http_new(&ret->settings, &ret->http, err);
        if (r == 0)
                r = set_endpoints(ret, err);
        if (r < 0)
                session_close(ret);
        return r;
}

static void wipe_text(char *text)
{
        if (text != NULL)
                explicit_bzero(text, strlen(text));
        free(text);
}

void session_close(struct session *s)
{
        for (size_t i = 0; i < s->count; i++) {
                struct endpoint *e = &s->endpoints[i];
                free(e->base);
                free(e->name);
                free(e->repository);
                credentials_done(&e->credentials);
                wipe_text(e->authorization);
        }
        free(s->endpoints);
        http_free(s->http);
        registries_done(&s->settings);
        *s = (struct session){.http = NULL};
}

bool endpoint_fall_back(struct endpoint *e)
{
        if (!e->may_fall_back || strncmp(e->base, "https://", 8) != 0)
                return false;
        memmove(e->base + 4, e->base + 5, strlen(e->base + 5) + 1);
        e->plain = true;
        return true;
}

/* "Basic " and base64 of user:password; NULL when out of memory. */
static char *basic_header(const struct credentials *c)
{
        char *plain = NULL, *header = NULL;
        int length = asprintf(&plain, "%s:%s", c->username, c->password);
        if (length < 0)
                return NULL;
        size_t room = ((size_t)length + 2) / 3 * 4 + 1;
        header = malloc(room + 6);
        if (header != NULL) {
                memcpy(header, "Basic ", 6);
                (void)EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)plain, length);
        }
        wipe_text(plain);
        return header;
}

static void set_authorization(struct endpoint *e, char *value)
{
        wipe_text(e->authorization);
        e->authorization = value;
        e->generation++;
}

static int append_escaped(struct buffer *b, const char *name, const char *value)
{
        char *escaped = curl_easy_escape(NULL, value, 0);
        int r = escaped == NULL ? -ENOMEM : buffer_printf(b, "%s=%s", name, escaped);
        curl_free(escaped);
        return r;
}

/* A challenge's scope is used if it asks for no more than pulling; a mirror with a path may know better. */
static bool only_pull(const char *scope)
{
        size_t length = strlen(scope);
        return strncmp(scope, "repository:", 11) == 0 && length > 16 &&
               strcmp(scope + length - 5, ":pull") == 0 && strchr(scope, ' ') == NULL;
}

/* service=...&scope=... */
static int append_query(struct buffer *b, const struct endpoint *e, const struct challenge *c)
{
        char scope[600];
        (void)snprintf(scope, sizeof(scope), "repository:%s:pull",
                       e->repository); /* names have at most 255 bytes */
        int r = 0;
        if (c->service[0] != '\0')
                r = append_escaped(b, "service", c->service);
        if (r == 0 && c->service[0] != '\0')
                r = buffer_append_text(b, "&");
        return r < 0 ? r : append_escaped(b, "scope", only_pull(c->scope) ? c->scope : scope);
}

struct document {
        struct buffer text;
};

static int keep_document(struct http_transfer *t, const void *bytes, size_t size, void *data,
                         struct error *err)
{
        struct document *d = data;
        (void)t;
        int r = buffer_append(&d->text, bytes, size);
        if (r == -EMSGSIZE)
                return error_set(err, -EFBIG, "the answer is longer than %zu bytes", d->text.maximum);
        return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* One request to the token server, waited for. */
static int request_token(struct session *s, struct http_request *q, struct document *d,
                         struct http_response *ret_response, struct error *err)
{
        struct http_transfer *t;
        q->body = keep_document;
        q->data = d;
        int r = http_start(s->http, q, &t, err);
        if (r < 0)
                return r;
        while (r == 0 && !http_done(t)) {
                r = http_step(s->http, 100, err);
                if (r == 0)
                        r = progress_idle(s->observer, err);
        }
        if (r == 0)
                r = http_result(t, err);
        if (r == 0)
                *ret_response = *http_response(t);
        http_transfer_free(t);
        return r;
}

static int wait_ms(struct session *s, int64_t delay_ms, struct error *err)
{
        for (int64_t end = clock_monotonic_ms() + delay_ms, left; (left = end - clock_monotonic_ms()) > 0;) {
                int r = progress_idle(s->observer, err);
                if (r == 0)
                        r = http_step(s->http, left < 100 ? (int)left : 100, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool worth_retrying(int r, const struct http_response *response)
{
        if (r < 0)
                return r == -ECONNRESET || r == -ETIMEDOUT;
        return response->status == 429 || response->status >= 500;
}

static int request_token_patiently(struct session *s, struct http_request *q, struct document *d,
                                   struct http_response *ret_response, struct error *err)
{
        int r;
        for (int tried = 1;; tried++) {
                buffer_clear(&d->text);
                r = request_token(s, q, d, ret_response, err);
                if (tried == TOKEN_TRIES || !worth_retrying(r, ret_response))
                        return r;
                int slept = wait_ms(s, s->settings.retry_delay_ms << tried, err);
                if (slept < 0)
                        return slept;
        }
}

static int read_token(struct endpoint *e, const struct document *d, struct error *err)
{
        cleanup_json json_t *json = NULL;
        const char *token = NULL;
        char *value;
        int r = json_parse(buffer_content(&d->text), d->text.length, "token server's answer", &json, err);
        if (r == 0)
                r = json_get_string_or(json, "token", NULL, &token, err);
        if (r == 0 && (token == NULL || *token == '\0'))
                r = json_get_string(json, "access_token", &token, err);
        if (r < 0)
                return r;
        for (const char *p = token; *p != '\0'; p++) {
                if (*p <= ' ' || *p > '~')
                        return error_set(err, -EBADMSG, "token server's answer: the token is not printable");
        }
        if (asprintf(&value, "Bearer %s", token) < 0)
                return error_set(err, -ENOMEM, "token server's answer: out of memory");
        set_authorization(e, value);
        return 0;
}

static int check_realm(const struct endpoint *e, const char *realm, struct error *err)
{
        if (strncmp(realm, "https://", 8) == 0 || (e->plain && strncmp(realm, "http://", 7) == 0))
                return 0;
        return error_set(err, -EPROTONOSUPPORT,
                         "registry '%s': it wants us to log in at '%.200s', which is not https; refused",
                         e->name, realm);
}

/* Fills url and form for the challenge: POST with a refresh token, GET otherwise. */
static int make_token_request(const struct endpoint *e, const struct challenge *c, struct buffer *url,
                              struct buffer *form, char **ret_basic)
{
        int r = buffer_append_text(url, c->realm);
        if (r < 0)
                return r;
        if (e->credentials.identity_token != NULL) {
                r = buffer_append_text(form, "grant_type=refresh_token&client_id=boxlet&");
                if (r == 0)
                        r = append_query(form, e, c);
                if (r == 0)
                        r = append_escaped(form, "&refresh_token", e->credentials.identity_token);
                return r;
        }
        r = buffer_append_text(url, strchr(c->realm, '?') != NULL ? "&" : "?");
        if (r == 0)
                r = append_query(url, e, c);
        if (r == 0 && e->credentials.username != NULL && (*ret_basic = basic_header(&e->credentials)) == NULL)
                r = -ENOMEM;
        return r;
}

static int get_token(struct session *s, struct endpoint *e, const struct challenge *c, struct error *err)
{
        cleanup_buffer struct buffer url = BUFFER_INIT(8192), form = BUFFER_INIT(65536);
        struct document document = {.text = BUFFER_INIT(TOKEN_SIZE_MAX)};
        cleanup_free struct http_response *response = calloc(1, sizeof(*response));
        char host[256], *basic = NULL;
        int r = check_realm(e, c->realm, err);
        if (r < 0)
                return r;
        if (response == NULL || http_host(c->realm, host, sizeof(host)) < 0 ||
            (r = make_token_request(e, c, &url, &form, &basic)) < 0)
                return error_errno(err, r < 0 ? r : -EINVAL, "registry '%s': use its token server '%.200s'",
                                   e->name, c->realm);
        struct http_request q = {.url = buffer_content(&url),
                                 .accept = "application/json",
                                 .authorization = basic,
                                 .form = form.length > 0 ? buffer_content(&form) : NULL,
                                 .ca_file = registries_ca_file(&s->settings, host),
                                 .timeout_ms = TOKEN_TIMEOUT_MS};
        r = request_token_patiently(s, &q, &document, response, err);
        wipe_text(basic);
        if (r == 0 && response->status != 200)
                r = registry_explain(s, e, response, "log in at its token server", err);
        else if (r == 0)
                r = read_token(e, &document, err);
        else
                r = error_wrap(err, "registry '%s': token server", e->name);
        buffer_done(&document.text);
        return r;
}

int endpoint_authorize(struct session *s, struct endpoint *e, const struct http_response *response,
                       struct error *err)
{
        struct challenge c = {.bearer = false};
        challenge_parse(response->authenticate, &c);
        if (!e->credentials_known) {
                int r = credentials_find(e->name, s->reference->path, &e->credentials, err);
                if (r < 0)
                        return error_wrap(err, "registry '%s'", e->name);
                e->credentials_known = true;
        }
        if (c.bearer)
                return get_token(s, e, &c, err);
        if (!c.basic || e->credentials.username == NULL)
                return registry_explain(s, e, response, NULL, err);
        char *header = basic_header(&e->credentials);
        if (header == NULL)
                return error_set(err, -ENOMEM, "registry '%s': out of memory", e->name);
        set_authorization(e, header);
        return 0;
}

/* The first error's text of a registry's JSON error, or "". */
static void read_message(const struct http_response *response, char *text, size_t size)
{
        cleanup_json json_t *json = NULL;
        text[0] = '\0';
        if (json_parse(response->message, strlen(response->message), "error", &json, NULL) < 0)
                return;
        const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
        const char *message = json_string_value(json_object_get(first, "message"));
        if (message == NULL)
                message = json_string_value(json_object_get(json, "details"));
        if (message != NULL && *message != '\0')
                (void)snprintf(text, size, " (%.200s)", message); /* cut if longer */
}

int registry_explain(const struct session *s, const struct endpoint *e, const struct http_response *response,
                     const char *what, struct error *err)
{
        char text[256];
        const char *name = e->name;
        bool known = e->credentials.username != NULL || e->credentials.identity_token != NULL;
        char doing[320];
        read_message(response, text, sizeof(text));
        (void)snprintf(doing, sizeof(doing), "registry '%s'%s%.200s", name, what != NULL ? ": " : "",
                       what != NULL ? what : ""); /* cut if longer */
        switch (response->status) {
        case 401:
                return error_set(
                    err, -EACCES, "%s: 401 unauthorized%s: %s", doing, text,
                    known ? "the credentials in ~/.docker/config.json are not accepted; log in again"
                          : "log in (docker login, podman login, skopeo login) or add credentials to "
                            "~/.docker/config.json");
        case 403:
                return error_set(err, -EACCES, "%s: 403 forbidden%s: this account may not pull '%s'", doing,
                                 text, s->reference->path);
        case 404:
                return error_set(err, -ENOENT, "%s: 404 not found%s: check the name and the tag of '%s'",
                                 doing, text, s->reference->path);
        case 429:
                return error_set(err, -EAGAIN,
                                 "%s: 429 too many requests%s: wait, or log in to get a higher limit", doing,
                                 text);
        default:
                return error_set(err, response->status >= 500 ? -EREMOTEIO : -EPROTO,
                                 "%s: it answered %ld%s%s", doing, response->status, text,
                                 response->status >= 500 ? ": a fault of the registry; try again later" : "");
        }
}
