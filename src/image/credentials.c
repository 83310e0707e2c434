/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials as other tools keep them. In a file, "auths" holds base64 of "user:password" by registry,
 * "credHelpers" names a program by registry, "credsStore" one for all. The keys are hosts, in podman's file
 * also "host/part/of/the/repository"; Docker's own registry is "https://index.docker.io/v1/".
 *
 * A helper is the program docker-credential-NAME, run as `... get` with the registry on stdin; it prints
 * {"ServerURL", "Username", "Secret"}. It gets HELPER_TIMEOUT_MS and its answer has a maximum.
 */
#include "image/credentials.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE_MAX     (4U << 20)
#define ANSWER_SIZE_MAX   (64U << 10)
#define HELPER_TIMEOUT_MS 30000
#define DOCKER_HUB_KEY    "https://index.docker.io/v1/"

static void wipe(char **text)
{
        if (*text != NULL)
                explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
}

void credentials_done(struct credentials *c)
{
        wipe(&c->username);
        wipe(&c->password);
        wipe(&c->identity_token);
}

/* Whether a key of the file means this host: itself, or as a URL. */
static bool key_is_host(const char *key, const char *host)
{
        if (strncmp(key, "https://", 8) == 0)
                key += 8;
        else if (strncmp(key, "http://", 7) == 0)
                key += 7;
        size_t length = strlen(host);
        if (strcmp(host, "docker.io") == 0 &&
            (strncmp(key, "index.docker.io", 15) == 0 || strncmp(key, "registry-1.docker.io", 20) == 0))
                return true;
        if (strncmp(key, host, length) != 0)
                return false;
        key += length;
        return *key == '\0' || strcmp(key, "/") == 0 || strcmp(key, "/v1/") == 0 ||
               strcmp(key, "/v2/") == 0 || strcmp(key, "/v1") == 0 || strcmp(key, "/v2") == 0;
}

/* The member of an object by "host/repository", its parents, then the host in any of its spellings. */
static const json_t *lookup(const json_t *object, const char *host, const char *repository)
{
        cleanup_free char *key = NULL;
        const char *name;
        json_t *value;
        if (!json_is_object(object) || asprintf(&key, "%s/%s", host, repository) < 0)
                return NULL;
        for (char *slash = key; slash != NULL && strlen(key) > strlen(host);) {
                const json_t *found = json_object_get(object, key);
                if (found != NULL)
                        return found;
                slash = strrchr(key, '/');
                if (slash != NULL)
                        *slash = '\0';
        }
        json_object_foreach ((json_t *)object, name, value) {
                if (key_is_host(name, host))
                        return value;
        }
        return NULL;
}

/* base64 of "user:password". */
static int decode_auth(const char *text, struct credentials *c)
{
        size_t length = strlen(text);
        if (length == 0 || length > ANSWER_SIZE_MAX || length % 4 != 0)
                return -EINVAL;
        cleanup_free char *plain = malloc(length);
        if (plain == NULL)
                return -ENOMEM;
        int n = EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)text, (int)length);
        if (n <= 0)
                return -EINVAL;
        n -= (text[length - 1] == '=') + (text[length - 2] == '=');
        plain[n] = '\0'; /* n < length: four characters give three bytes */
        char *colon = memchr(plain, ':', (size_t)n);
        if (colon == NULL || strlen(plain) != (size_t)n)
                return -EINVAL;
        *colon = '\0';
        c->username = strdup(plain);
        c->password = strdup(colon + 1);
        explicit_bzero(plain, (size_t)n);
        return c->username != NULL && c->password != NULL ? 0 : -ENOMEM;
}

static char *copy_text(const char *text)
{
        return text != NULL && *text != '\0' ? strdup(text) : NULL;
}

static int read_auth(const json_t *entry, struct credentials *c)
{
        const char *auth = json_string_value(json_object_get(entry, "auth"));
        c->identity_token = copy_text(json_string_value(json_object_get(entry, "identitytoken")));
        if (c->identity_token != NULL)
                return 0;
        if (auth != NULL && *auth != '\0')
                return decode_auth(auth, c);
        c->username = copy_text(json_string_value(json_object_get(entry, "username")));
        c->password = copy_text(json_string_value(json_object_get(entry, "password")));
        if (c->username == NULL || c->password == NULL)
                credentials_done(c); /* an empty entry is what a login with a helper leaves */
        return 0;
}

int credentials_parse(const char *text, size_t size, const char *host, const char *repository,
                      struct credentials *ret, char **ret_helper, struct error *err)
{
        struct credentials c = CREDENTIALS_INIT;
        cleanup_json json_t *json = NULL;
        int r = json_parse(text, size, "credentials file", &json, err);
        if (r < 0)
                return r;
        const char *helper =
            json_string_value(lookup(json_object_get(json, "credHelpers"), host, repository));
        const json_t *entry = lookup(json_object_get(json, "auths"), host, repository);
        if (helper == NULL)
                helper = json_string_value(json_object_get(json, "credsStore"));
        r = entry != NULL ? read_auth(entry, &c) : 0;
        if (r < 0) {
                credentials_done(&c);
                return error_set(err, r, "credentials file: the entry of '%s' is not base64 of user:password",
                                 host);
        }
        *ret_helper = copy_text(helper);
        *ret = c;
        return 0;
}

int credentials_parse_helper(const char *text, size_t size, struct credentials *ret, struct error *err)
{
        cleanup_json json_t *json = NULL;
        const char *username, *secret;
        int r = json_parse(text, size, "credential helper's answer", &json, err);
        if (r == 0)
                r = json_get_string(json, "Username", &username, err);
        if (r == 0)
                r = json_get_string(json, "Secret", &secret, err);
        if (r < 0)
                return r;
        struct credentials c = CREDENTIALS_INIT;
        if (strcmp(username, "<token>") == 0) {
                c.identity_token = strdup(secret);
        } else {
                c.username = strdup(username);
                c.password = strdup(secret);
        }
        if (c.identity_token == NULL && (c.username == NULL || c.password == NULL)) {
                credentials_done(&c);
                return error_set(err, -ENOMEM, "credential helper's answer: out of memory");
        }
        *ret = c;
        return 0;
}

/* Reads until the end, the limit or the deadline. */
static int read_answer(int fd, struct buffer *answer)
{
        int64_t deadline = clock_monotonic_ms() + HELPER_TIMEOUT_MS;
        for (;;) {
                int64_t left = deadline - clock_monotonic_ms();
                struct pollfd p = {.fd = fd, .events = POLLIN};
                int r = left > 0 ? poll(&p, 1, (int)left) : 0;
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        return r < 0 ? -errno : -ETIMEDOUT;
                char bytes[4096];
                ssize_t n = read(fd, bytes, sizeof(bytes));
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                if (n > 0 && (r = buffer_append(answer, bytes, (size_t)n)) < 0)
                        return r;
        }
}

/* Runs program with input as its stdin; a file in memory, so that neither side can block or break a pipe. */
static int run_helper(const char *program, const char *input, struct buffer *answer, int *ret_code,
                      struct error *err)
{
        int out[2];
        cleanup_fd int in = -1;
        int r = fd_of_bytes("registry", input, strlen(input), &in);
        if (r == 0 && pipe2(out, O_CLOEXEC) < 0)
                r = -errno;
        if (r < 0)
                return error_errno(err, r, "run '%s'", program);
        cleanup_fd int out_read = out[0];
        cleanup_fd int out_write = out[1];
        cleanup_fd int pidfd = -1;
        const char *const argv[] = {program, "get", NULL};
        const struct process_fd fds[] = {{.from = in, .to = 0}, {.from = out_write, .to = 1}};
        const struct process_plan plan = {
            .hidden = true, .path = program, .argv = argv, .fds = fds, .fd_count = 2, .working_dir_fd = -1};
        pid_t pid;
        r = process_spawn(&plan, &pid, &pidfd, err);
        if (r < 0)
                return r;
        close_fd(&out_write);
        r = read_answer(out_read, answer);
        if (r < 0)
                (void)process_signal(pidfd, SIGKILL); /* it may have ended meanwhile */
        int waited = process_wait(pidfd, ret_code);
        if (r == 0)
                r = waited;
        return r < 0 ? error_errno(err, r, "run '%s'", program) : 0;
}

static int ask_helper(const char *name, const char *host, struct credentials *ret, struct error *err)
{
        cleanup_free char *program = NULL;
        cleanup_buffer struct buffer answer = BUFFER_INIT(ANSWER_SIZE_MAX);
        int code;
        if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != strlen(name))
                return error_set(err, -EINVAL, "credential helper '%.100s': not a name", name);
        if (asprintf(&program, "docker-credential-%s", name) < 0)
                return error_set(err, -ENOMEM, "credential helper '%s': out of memory", name);
        const char *key = strcmp(host, "docker.io") == 0 ? DOCKER_HUB_KEY : host;
        int r = run_helper(program, key, &answer, &code, err);
        if (r < 0)
                return r;
        if (code != 0) {
                if (strstr(buffer_content(&answer), "credentials not found") != NULL)
                        return 0; /* the helpers' protocol: anonymous */
                return error_set(err, -EACCES, "credential helper '%s': it ended with code %d: %.200s", name,
                                 code, buffer_content(&answer));
        }
        r = credentials_parse_helper(buffer_content(&answer), answer.length, ret, err);
        explicit_bzero(answer.data + answer.start, answer.length);
        return r;
}

static bool is_anonymous(const struct credentials *c)
{
        return c->username == NULL && c->identity_token == NULL;
}

/* One file; a missing one says nothing. path is taken (freed). */
static int find_in_file(char *path, const char *host, const char *repository, struct credentials *ret,
                        struct error *err)
{
        cleanup_free char *name = path, *text = NULL, *helper = NULL;
        size_t size;
        if (name == NULL)
                return error_set(err, -ENOMEM, "read credentials: out of memory");
        int r = path_read_at(AT_FDCWD, name, FILE_SIZE_MAX, &text, &size);
        if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
                return 0;
        if (r < 0)
                return error_errno(err, r, "read '%s'", name);
        r = credentials_parse(text, size, host, repository, ret, &helper, err);
        explicit_bzero(text, size);
        if (r == 0 && is_anonymous(ret) && helper != NULL)
                r = ask_helper(helper, host, ret, err);
        return r < 0 ? error_wrap(err, "read '%s'", name) : 0;
}

int credentials_find(const char *host, const char *repository, struct credentials *ret, struct error *err)
{
        struct credentials c = CREDENTIALS_INIT;
        const char *home = getenv("HOME");
        const struct {
                const char *folder, *file;
        } places[] = {
            {getenv("DOCKER_CONFIG"), "config.json"},
            {getenv("DOCKER_CONFIG") == NULL ? home : NULL, ".docker/config.json"},
            {getenv("XDG_RUNTIME_DIR"), "containers/auth.json"},
            {home, ".config/containers/auth.json"},
        };
        const char *only = getenv("REGISTRY_AUTH_FILE");
        int r = 0;
        if (only != NULL)
                r = find_in_file(strdup(only), host, repository, &c, err);
        for (size_t i = 0;
             only == NULL && r == 0 && is_anonymous(&c) && i < sizeof(places) / sizeof(places[0]); i++) {
                if (places[i].folder != NULL)
                        r = find_in_file(path_join(places[i].folder, places[i].file), host, repository, &c,
                                         err);
        }
        if (r < 0) {
                credentials_done(&c);
                return r;
        }
        *ret = c;
        return 0;
}
