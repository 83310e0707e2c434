/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One curl multi handle: connections are kept and shared by its transfers. libcurl is told: http and https
 * only, no redirects, no signals, certificates verified; it takes proxies from the environment as it does by
 * itself. A server that sends less than STALL_BYTES a second for stall_timeout_s is given up.
 *
 * What a response may make us keep is bounded: headers are copied into fixed fields, an error's body is cut.
 */
#include "image/http.h"

#include "base/cleanup.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define USER_AGENT      "boxlet/0.1.0"
#define BUFFER_SIZE     (256L << 10)
#define STALL_BYTES     256L
#define RETRY_AFTER_MAX (INT64_C(86400) * 365)

struct http {
        CURLM *multi;
        const struct registries *settings;
};

struct http_transfer {
        struct http *http;
        CURL *easy;
        struct curl_slist *headers;
        struct http_response response;
        int (*body)(struct http_transfer *transfer, const void *bytes, size_t size, void *data,
                    struct error *err);
        void *data;
        char problem[CURL_ERROR_SIZE];
        char *url;
        bool done;
        CURLcode code;
        struct error body_error; /* what body() said */
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
        (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows when a handle is made */
}

int http_new(const struct registries *settings, struct http **ret_http, struct error *err)
{
        (void)pthread_once(&global_once, global_init); /* cannot fail */
        struct http *http = calloc(1, sizeof(*http));
        if (http == NULL)
                return error_set(err, -ENOMEM, "start HTTP: out of memory");
        http->settings = settings;
        http->multi = curl_multi_init();
        if (http->multi == NULL) {
                free(http);
                return error_set(err, -ENOMEM, "start HTTP: out of memory");
        }
        *ret_http = http;
        return 0;
}

void http_free(struct http *http)
{
        if (http == NULL)
                return;
        (void)curl_multi_cleanup(http->multi); /* all transfers are gone */
        free(http);
}

static bool header_is(const char *line, size_t size, const char *name, const char **ret_value,
                      size_t *ret_length)
{
        size_t length = strlen(name);
        if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
                return false;
        const char *value = line + length + 1, *end = line + size;
        while (value < end && (*value == ' ' || *value == '\t'))
                value++;
        while (end > value && strchr("\r\n \t", end[-1]) != NULL)
                end--;
        *ret_value = value;
        *ret_length = (size_t)(end - value);
        return true;
}

/* Copies a header's value that fits and has no NUL; otherwise it is as if it were not there. */
static void copy_value(char *to, size_t size, const char *value, size_t length)
{
        to[0] = '\0';
        if (length >= size || memchr(value, '\0', length) != NULL)
                return;
        memcpy(to, value, length);
        to[length] = '\0';
}

static int64_t read_number(const char *value, size_t length, int64_t maximum)
{
        int64_t number = 0;
        size_t i = 0;
        for (; i < length && value[i] >= '0' && value[i] <= '9'; i++) {
                if (number > maximum / 10)
                        return maximum;
                number = number * 10 + (value[i] - '0');
        }
        return i > 0 ? number : -1;
}

static void add_authenticate(struct http_response *r, const char *value, size_t length)
{
        size_t used = strlen(r->authenticate);
        if (used + length + 3 > sizeof(r->authenticate) || memchr(value, '\0', length) != NULL)
                return;
        if (used > 0) {
                memcpy(r->authenticate + used, ", ", 2);
                used += 2;
        }
        memcpy(r->authenticate + used, value, length);
        r->authenticate[used + length] = '\0';
}

static void begin_response(struct http_response *r)
{
        memset(r, 0, sizeof(*r));
        r->retry_after_s = r->range_start = -1;
}

static size_t on_header(char *line, size_t one, size_t size, void *data)
{
        struct http_transfer *t = data;
        struct http_response *r = &t->response;
        const char *value;
        size_t length;
        (void)one; /* always 1 */
        if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
                begin_response(r); /* also after a 1xx, or a proxy's answer */
                (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &r->status);
        } else if (header_is(line, size, "Content-Type", &value, &length)) {
                const char *semicolon = memchr(value, ';', length);
                copy_value(r->content_type, sizeof(r->content_type), value,
                           semicolon != NULL ? (size_t)(semicolon - value) : length);
        } else if (header_is(line, size, "Docker-Content-Digest", &value, &length)) {
                copy_value(r->content_digest, sizeof(r->content_digest), value, length);
                if (!digest_valid(r->content_digest))
                        r->content_digest[0] = '\0';
        } else if (header_is(line, size, "WWW-Authenticate", &value, &length)) {
                add_authenticate(r, value, length);
        } else if (header_is(line, size, "Retry-After", &value, &length)) {
                r->retry_after_s = read_number(value, length, RETRY_AFTER_MAX);
        } else if (header_is(line, size, "Content-Range", &value, &length)) {
                if (length > 6 && strncasecmp(value, "bytes ", 6) == 0)
                        r->range_start = read_number(value + 6, length - 6, INT64_MAX);
        }
        return size;
}

static void keep_message(struct http_response *r, const char *bytes, size_t size)
{
        size_t used = strlen(r->message), room = sizeof(r->message) - 1 - used;
        if (size > room)
                size = room;
        for (size_t i = 0; i < size; i++)
                r->message[used + i] = bytes[i] != '\0' ? bytes[i] : ' ';
        r->message[used + size] = '\0';
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
        struct http_transfer *t = data;
        (void)one; /* always 1 */
        if (t->response.status != 200 && t->response.status != 206) {
                bool room = strlen(t->response.message) < sizeof(t->response.message) - 1;
                keep_message(&t->response, bytes, size);
                return room ? size : 0; /* nobody needs to read megabytes of an error */
        }
        if (t->body == NULL || t->body(t, bytes, size, t->data, &t->body_error) == 0)
                return size;
        return 0;
}

static int add_header(struct http_transfer *t, const char *name, const char *value)
{
        cleanup_free char *line = NULL;
        if (value == NULL)
                return 0;
        if (strpbrk(value, "\r\n") != NULL)
                return -EINVAL;
        if (asprintf(&line, "%s: %s", name, value) < 0)
                return -ENOMEM;
        struct curl_slist *longer = curl_slist_append(t->headers, line);
        if (longer == NULL)
                return -ENOMEM;
        t->headers = longer;
        return 0;
}

static CURLcode set_security(CURL *easy, const struct http_request *q)
{
        CURLcode c = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
        if (c == CURLE_OK && q->ca_file != NULL)
                c = curl_easy_setopt(easy, CURLOPT_CAINFO, q->ca_file);
        return c;
}

static CURLcode set_limits(CURL *easy, const struct http *http, const struct http_request *q)
{
        CURLcode c = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)http->settings->connect_timeout_s);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)http->settings->stall_timeout_s);
        if (c == CURLE_OK && q->timeout_ms > 0)
                c = curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
        return c;
}

static CURLcode set_callbacks(CURL *easy, struct http_transfer *t)
{
        CURLcode c = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->problem);
        return c;
}

static CURLcode set_request(CURL *easy, struct http_transfer *t, const struct http_request *q)
{
        CURLcode c = curl_easy_setopt(easy, CURLOPT_URL, q->url);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
        if (c == CURLE_OK)
                c = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
        if (c == CURLE_OK && q->head)
                c = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        if (c == CURLE_OK && q->form != NULL)
                c = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, q->form);
        if (c == CURLE_OK && q->range_start > 0) {
                char range[32];
                (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)q->range_start); /* fits */
                c = curl_easy_setopt(easy, CURLOPT_RANGE, range);
        }
        return c;
}

static int set_up(struct http_transfer *t, const struct http_request *q, struct error *err)
{
        int r = add_header(t, "Accept", q->accept);
        if (r == 0)
                r = add_header(t, "Authorization", q->authorization);
        if (r < 0)
                return error_errno(err, r, "request '%.300s'", q->url);
        CURLcode c = set_security(t->easy, q);
        if (c == CURLE_OK)
                c = set_limits(t->easy, t->http, q);
        if (c == CURLE_OK)
                c = set_callbacks(t->easy, t);
        if (c == CURLE_OK)
                c = set_request(t->easy, t, q);
        if (c != CURLE_OK)
                return error_set(err, -EINVAL, "request '%.300s': %s", q->url, curl_easy_strerror(c));
        return 0;
}

int http_start(struct http *http, const struct http_request *request, struct http_transfer **ret_transfer,
               struct error *err)
{
        struct http_transfer *t = calloc(1, sizeof(*t));
        if (t == NULL)
                return error_set(err, -ENOMEM, "request '%.300s': out of memory", request->url);
        t->http = http;
        t->body = request->body;
        t->data = request->data;
        begin_response(&t->response);
        t->easy = curl_easy_init();
        t->url = strdup(request->url);
        int r = t->easy == NULL || t->url == NULL ? error_set(err, -ENOMEM, "request: out of memory")
                                                  : set_up(t, request, err);
        if (r == 0 && curl_multi_add_handle(http->multi, t->easy) != CURLM_OK)
                r = error_set(err, -EIO, "request '%.300s': cannot be started", request->url);
        if (r < 0) {
                http_transfer_free(t);
                return r;
        }
        *ret_transfer = t;
        return 0;
}

void http_transfer_free(struct http_transfer *t)
{
        if (t == NULL)
                return;
        if (t->easy != NULL) {
                (void)curl_multi_remove_handle(t->http->multi, t->easy); /* one that was not added is fine */
                curl_easy_cleanup(t->easy);
        }
        curl_slist_free_all(t->headers);
        free(t->url);
        free(t);
}

bool http_done(const struct http_transfer *t)
{
        return t->done;
}

const struct http_response *http_response(const struct http_transfer *t)
{
        return &t->response;
}

static int code_to_errno(CURLcode code)
{
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                return -EHOSTUNREACH;
        case CURLE_COULDNT_CONNECT:
                return -ECONNREFUSED;
        case CURLE_OPERATION_TIMEDOUT:
                return -ETIMEDOUT;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
                return -EKEYREJECTED;
        case CURLE_SSL_CONNECT_ERROR:
                return -EPROTO;
        case CURLE_PARTIAL_FILE:
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_HTTP3:
                return -ECONNRESET;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
                return -EINVAL;
        default:
                return -EIO;
        }
}

int http_result(const struct http_transfer *t, struct error *err)
{
        bool is_error = t->response.status != 0 && t->response.status != 200 && t->response.status != 206;
        if (t->code == CURLE_OK || (t->code == CURLE_WRITE_ERROR && is_error))
                return 0; /* the second: on_body() has seen enough of an error's text */
        if (t->body_error.code < 0)
                return error_set(err, t->body_error.code, "%s", t->body_error.text);
        return error_set(err, code_to_errno(t->code), "%.300s: %s", t->url,
                         t->problem[0] != '\0' ? t->problem : curl_easy_strerror(t->code));
}

static void finish(struct http_transfer *t, CURLcode code)
{
        char *location = NULL;
        t->done = true;
        t->code = code;
        if (curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location) == CURLE_OK && location != NULL)
                copy_value(t->response.location, sizeof(t->response.location), location, strlen(location));
}

int http_step(struct http *http, int timeout_ms, struct error *err)
{
        int running, left;
        CURLMcode c = curl_multi_perform(http->multi, &running);
        CURLMsg *message;
        bool any = false;
        while (c == CURLM_OK && (message = curl_multi_info_read(http->multi, &left)) != NULL) {
                struct http_transfer *t = NULL;
                if (message->msg != CURLMSG_DONE ||
                    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t) != CURLE_OK)
                        continue;
                finish(t, message->data.result);
                any = true;
        }
        if (c == CURLM_OK && !any && timeout_ms > 0)
                c = curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
        return c == CURLM_OK ? 0 : error_set(err, -EIO, "wait for HTTP: %s", curl_multi_strerror(c));
}

void http_wakeup(struct http *http)
{
        (void)curl_multi_wakeup(http->multi); /* if it fails, the wait ends by its time-out */
}

/* One part of a URL, "" if it has none; curl_free() it. */
static char *url_part(const char *url, CURLUPart part)
{
        char *text = NULL;
        CURLU *parsed = curl_url();
        if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
                (void)curl_url_get(parsed, part, &text,
                                   part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0); /* NULL then */
        curl_url_cleanup(parsed);
        return text;
}

bool http_same_origin(const char *a, const char *b)
{
        static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
        bool same = true;
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
                char *left = url_part(a, parts[i]), *right = url_part(b, parts[i]);
                same = same && left != NULL && right != NULL && strcasecmp(left, right) == 0;
                curl_free(left);
                curl_free(right);
        }
        return same;
}

int http_host(const char *url, char *ret_host, size_t size)
{
        const char *start = strstr(url, "://");
        size_t length = start != NULL ? strcspn(start + 3, "/?#") : 0;
        if (length == 0 || length >= size || memchr(start + 3, '@', length) != NULL)
                return -EINVAL;
        memcpy(ret_host, start + 3, length);
        ret_host[length] = '\0';
        return 0;
}
