/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_HTTP_H
#define IMAGE_HTTP_H

#include "base/error.h"
#include "image/digest.h"
#include "image/registries.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * HTTP over libcurl, many transfers at once on one thread. Redirects are not followed here: the response says
 * where to, and whoever made the request decides what may go there.
 */
struct http;
struct http_transfer;

struct http_request {
        const char *url;
        const char *accept;        /* value of the Accept header, or NULL */
        const char *authorization; /* value of the Authorization header, or NULL */
        const char *form;          /* POST this form, or NULL */
        const char *ca_file;       /* trust these alone, or NULL: the system's */
        bool head;
        uint64_t range_start; /* above 0: ask for the rest from there */
        int64_t timeout_ms;   /* of the whole; 0: only when it stalls */
        /* Bytes of a response 200 or 206; an error ends the transfer, which then has that result. */
        int (*body)(struct http_transfer *transfer, const void *bytes, size_t size, void *data,
                    struct error *err);
        void *data;
};

#define HTTP_MESSAGE_MAX 2048
struct http_response {
        long status;
        char content_type[128];
        char content_digest[DIGEST_TEXT_SIZE]; /* Docker-Content-Digest; "" if none (or of another algorithm)
                                                */
        char authenticate[4096];               /* every WWW-Authenticate, joined by ", " */
        int64_t retry_after_s;                 /* -1: not said */
        int64_t range_start;                   /* Content-Range; -1: not said */
        char message[HTTP_MESSAGE_MAX];        /* the beginning of an error's body */
        char location[4096];                   /* absolute URL of a redirect; "" if none */
};

/* settings is lent for the life of *ret_http. */
int http_new(const struct registries *settings, struct http **ret_http, struct error *err);
void http_free(struct http *http);

/* Texts of the request are copied. */
int http_start(struct http *http, const struct http_request *request, struct http_transfer **ret_transfer,
               struct error *err);
bool http_done(const struct http_transfer *t);
/* Only when done: 0 when a whole response arrived (whatever its status), else what went wrong; -EKEYREJECTED
 * for a certificate, -EPROTO when the other side does not speak TLS. */
int http_result(const struct http_transfer *t, struct error *err);
const struct http_response *http_response(const struct http_transfer *t);
/* Ends it if it goes on. */
void http_transfer_free(struct http_transfer *t);

/* Moves all transfers on, and waits for at most timeout_ms if there is nothing to do. */
int http_step(struct http *http, int timeout_ms, struct error *err);
/* From another thread: ends the wait. */
void http_wakeup(struct http *http);

/* Whether two URLs have the same scheme, host and port. */
bool http_same_origin(const char *a, const char *b);
/* Host with its port as written, of a URL; -EINVAL if it has none. */
int http_host(const char *url, char *ret_host, size_t size);

#endif
