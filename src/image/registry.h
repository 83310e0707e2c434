/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_REGISTRY_H
#define IMAGE_REGISTRY_H

#include "base/buffer.h"
#include "image/credentials.h"
#include "image/http.h"
#include "image/image.h"
#include "image/reference.h"

/* One place an image can be had from: the registry itself or a mirror of it. */
struct endpoint {
        char *base; /* "https://registry-1.docker.io", no slash at the end; a mirror's may have a path */
        char *name; /* "docker.io", "localhost:5000": for people, the registries file and credentials */
        char *repository;   /* with a mirror's path in front: "prefix/library/alpine" */
        bool plain;         /* http:// by configuration */
        bool may_fall_back; /* on a loopback address: http:// if it does not speak TLS */
        bool credentials_known;
        struct credentials credentials;
        char *authorization; /* the header's value in use, or NULL */
        unsigned generation; /* counts changes of it */
};

/* Talking with the registry of one repository: its mirrors, then itself. */
struct session {
        struct http *http;
        struct registries settings;
        const struct reference *reference; /* lent */
        const struct image_observer *observer;
        struct endpoint *endpoints;
        size_t count;
};

/* config_path: the registries file, or NULL. */
int session_open(const char *config_path, const struct reference *reference,
                 const struct image_observer *observer, struct session *ret, struct error *err);
void session_close(struct session *s);

/* Answers a 401: gets a token or sets basic credentials. -EACCES when the registry will not have us. */
int endpoint_authorize(struct session *s, struct endpoint *e, const struct http_response *response,
                       struct error *err);

/* A loopback registry that does not speak TLS: from now on http. false if that is not allowed. */
bool endpoint_fall_back(struct endpoint *e);

/* What a status other than success means, with what to do. Returns the -errno. */
int registry_explain(const struct session *s, const struct endpoint *e, const struct http_response *response,
                     const char *what, struct error *err);

#endif
