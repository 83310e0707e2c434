/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_CREDENTIALS_H
#define IMAGE_CREDENTIALS_H

#include "base/error.h"
#include "base/json.h"

/* Who the user is to one registry. All NULL: anonymous. */
struct credentials {
        char *username;
        char *password;
        char *identity_token; /* a refresh token for the token server, instead of the other two */
};

#define CREDENTIALS_INIT \
        {                \
                NULL     \
        }

/* Wipes. */
void credentials_done(struct credentials *c);

/*
 * Looks for a registry's host ("docker.io", "localhost:5000") and repository in the files Docker and podman
 * keep: $REGISTRY_AUTH_FILE alone if it is set, else $DOCKER_CONFIG/config.json or ~/.docker/config.json,
 * then $XDG_RUNTIME_DIR/containers/auth.json and ~/.config/containers/auth.json. Helpers are run. Nothing
 * found is 0 and anonymous.
 */
int credentials_find(const char *host, const char *repository, struct credentials *ret, struct error *err);

/* One such file's content. Pure: *ret_helper (free() it) is the helper to ask, or NULL. Pure. */
int credentials_parse(const char *text, size_t size, const char *host, const char *repository,
                      struct credentials *ret, char **ret_helper, struct error *err);

/* What a helper answered. Pure. */
int credentials_parse_helper(const char *text, size_t size, struct credentials *ret, struct error *err);

#endif
