/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_FETCH_H
#define IMAGE_FETCH_H

#include "image/registry.h"

/*
 * One document or blob from a registry, through redirects, log-in, broken connections, busy servers and, at
 * last, the next endpoint. Moves on in fetch_advance(), never blocks (but while a token is asked for).
 */
struct fetch;

struct fetch_plan {
        struct session *session;
        size_t endpoint;    /* the first to ask */
        const char *path;   /* "manifests/latest", "blobs/sha256:..." */
        const char *accept; /* NULL: anything */
        bool head;
        bool document; /* small: the whole has a time limit */
        /* Bytes, in order. restart: forget what there is, it begins anew. position: how much there is
         * already. */
        int (*write)(void *data, const void *bytes, size_t size, struct error *err);
        int (*restart)(void *data, struct error *err);
        uint64_t (*position)(void *data);
        void *data;
};

int fetch_new(const struct fetch_plan *plan, struct fetch **ret_fetch, struct error *err);
void fetch_free(struct fetch *f);

/* 1: it goes on; 0: success, all has been written; below: failed. */
int fetch_advance(struct fetch *f, struct error *err);

/* After success: the response, and which endpoint gave it. */
const struct http_response *fetch_response(const struct fetch *f);
size_t fetch_endpoint(const struct fetch *f);

/* Whether the other side was not reached, or lost. */
bool fetch_is_connection_error(int code);

/* A whole document, waited for. *ret_endpoint: where it came from; may be NULL. */
int fetch_document(struct session *s, size_t endpoint, const char *path, const char *accept, size_t maximum,
                   char **ret_text, size_t *ret_size, struct http_response *ret_response,
                   size_t *ret_endpoint, struct error *err);
/* HEAD; the answer's header fields only. */
int fetch_head(struct session *s, const char *path, const char *accept, struct http_response *ret_response,
               struct error *err);

#endif
