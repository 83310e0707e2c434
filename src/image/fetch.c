/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one fetch:
 *
 *      +-> RUNNING --200/206--------------------------------------> DONE
 *      |      |----3xx (checked)--------> RUNNING at the new URL
 *      |      |----401 (once a token)---> RUNNING with a new token
 *      |      |----429, 5xx, broken ----> WAITING (back-off, Retry-After)
 *      |      |----other, or too often -> RUNNING at the next endpoint, or failed
 *      +--- WAITING (its time has come)
 *
 * A blob goes on where it broke off (Range); a server that does not do that makes it start over. An attempt
 * that brought PROGRESS_SIZE new bytes is not counted, but the number of all attempts has a limit too.
 *
 * A redirect goes to https, or to http only from http; to another origin without Authorization. After a
 * redirect has failed the next attempt asks the registry again, because such URLs expire.
 */
#include "image/fetch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "image/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIRECTS_MAX       10
#define ATTEMPTS_MAX        1000
#define CONNECT_RETRIES     2
#define RETRY_AFTER_MAX_S   120
#define BACK_OFF_MAX_MS     30000
#define PROGRESS_SIZE       (UINT64_C(1) << 20)
#define DOCUMENT_TIMEOUT_MS 120000

struct fetch {
        struct fetch_plan plan;
        char *path;
        size_t endpoint;
        struct http_transfer *transfer; /* RUNNING */
        int64_t due_ms;                 /* WAITING until then */
        char *url;                      /* where a redirect leads, or NULL: the endpoint itself */
        unsigned redirects, failures, attempts;
        unsigned generation; /* of the endpoint's authorization, as used */
        bool used_authorization, began;
        bool fresh;        /* the token was got for the request under way */
        uint64_t at_start; /* position when the transfer began */
        struct http_response response;
        struct error last; /* why the last attempt failed */
};

static struct endpoint *endpoint_of(const struct fetch *f)
{
        return &f->plan.session->endpoints[f->endpoint];
}

static uint64_t position(const struct fetch *f)
{
        return f->plan.position != NULL ? f->plan.position(f->plan.data) : 0;
}

/* The first bytes of an answer decide whether they are the rest or the whole. */
static int begin_body(struct fetch *f, const struct http_response *r, struct error *err)
{
        uint64_t have = position(f);
        f->began = true;
        if (r->status == 206) {
                if (have == 0 || r->range_start < 0 || (uint64_t)r->range_start != have)
                        return error_set(err, -EPROTO,
                                         "registry '%s': it sent another part than was asked for",
                                         endpoint_of(f)->name);
                return 0;
        }
        return f->plan.restart != NULL ? f->plan.restart(f->plan.data, err) : 0;
}

static int on_body(struct http_transfer *t, const void *bytes, size_t size, void *data, struct error *err)
{
        struct fetch *f = data;
        int r = f->began ? 0 : begin_body(f, http_response(t), err);
        return r < 0 || f->plan.write == NULL ? r : f->plan.write(f->plan.data, bytes, size, err);
}

static int start(struct fetch *f, struct error *err)
{
        struct session *s = f->plan.session;
        struct endpoint *e = endpoint_of(f);
        char host[256];
        cleanup_free char *own = NULL;
        http_transfer_free(f->transfer);
        f->transfer = NULL;
        if (asprintf(&own, "%s/v2/%s/%s", e->base, e->repository, f->path) < 0)
                return error_set(err, -ENOMEM, "registry '%s': out of memory", e->name);
        const char *url = f->url != NULL ? f->url : own;
        bool at_home = f->url == NULL || http_same_origin(own, f->url);
        f->began = false;
        f->at_start = position(f);
        f->used_authorization = at_home && e->authorization != NULL;
        f->generation = e->generation;
        if (http_host(url, host, sizeof(host)) < 0)
                return error_set(err, -EPROTO, "registry '%s': '%.200s' is no address", e->name, url);
        if (++f->attempts > ATTEMPTS_MAX)
                return error_set(err, -EIO, "registry '%s': given up after %d attempts", e->name,
                                 ATTEMPTS_MAX);
        struct http_request q = {
            .url = url,
            .accept = f->plan.accept,
            .authorization = at_home ? e->authorization : NULL,
            .ca_file = registries_ca_file(&s->settings, at_home ? e->name : host),
            .head = f->plan.head,
            .range_start = f->at_start,
            .timeout_ms = f->plan.document ? DOCUMENT_TIMEOUT_MS : 0,
            .body = on_body,
            .data = f,
        };
        return http_start(s->http, &q, &f->transfer, err);
}

int fetch_new(const struct fetch_plan *plan, struct fetch **ret_fetch, struct error *err)
{
        struct fetch *f = calloc(1, sizeof(*f));
        if (f == NULL || (f->path = strdup(plan->path)) == NULL) {
                free(f);
                return error_set(err, -ENOMEM, "fetch: out of memory");
        }
        f->plan = *plan;
        f->endpoint = plan->endpoint;
        int r = start(f, err);
        if (r < 0) {
                fetch_free(f);
                return r;
        }
        *ret_fetch = f;
        return 0;
}

void fetch_free(struct fetch *f)
{
        if (f == NULL)
                return;
        http_transfer_free(f->transfer);
        free(f->path);
        free(f->url);
        free(f);
}

/* From the registry itself again, not from where a redirect led. */
static void go_home(struct fetch *f)
{
        free(f->url);
        f->url = NULL;
        f->redirects = 0;
}

/* Tries the next endpoint, if there is one; else this is the end, with the present error. */
static int give_up(struct fetch *f, int code, struct error *err)
{
        struct session *s = f->plan.session;
        if (code == -ECANCELED || code == -ENOMEM || code == -ENOSPC || f->endpoint + 1 >= s->count)
                return code;
        int r = progress_message(s->observer, err, "mirror '%s' failed, trying the next: %s",
                                 endpoint_of(f)->name, f->last.text);
        if (r < 0)
                return r;
        f->endpoint++;
        f->failures = 0;
        go_home(f);
        r = start(f, err);
        return r < 0 ? r : 1;
}

static int64_t back_off_ms(const struct fetch *f, const struct http_response *response)
{
        int64_t delay = f->plan.session->settings.retry_delay_ms;
        for (unsigned i = 1; i < f->failures && delay < BACK_OFF_MAX_MS; i++)
                delay *= 2;
        if (delay > BACK_OFF_MAX_MS)
                delay = BACK_OFF_MAX_MS;
        if (response != NULL && response->retry_after_s >= 0 && response->retry_after_s * 1000 > delay)
                delay = response->retry_after_s * 1000;
        return delay;
}

/* Waits for another attempt, if there may be one. f->last says why. response: NULL if none came. */
static int retry(struct fetch *f, int code, const struct http_response *response, struct error *err)
{
        struct session *s = f->plan.session;
        unsigned limit = (unsigned)s->settings.retries;
        if (code == -ECONNREFUSED || code == -EHOSTUNREACH)
                limit = limit < CONNECT_RETRIES ? limit : CONNECT_RETRIES;
        if (position(f) >= f->at_start + PROGRESS_SIZE)
                f->failures = 0;
        f->failures++;
        if (f->failures > limit || (response != NULL && response->retry_after_s > RETRY_AFTER_MAX_S)) {
                (void)error_set(err, code, "%s", f->last.text);
                return give_up(f, code, err);
        }
        int64_t delay = back_off_ms(f, response);
        f->due_ms = clock_monotonic_ms() + delay;
        http_transfer_free(f->transfer);
        f->transfer = NULL;
        go_home(f);
        int r =
            progress_message(s->observer, err, "retrying in %.1f s: %s", (double)delay / 1000, f->last.text);
        return r < 0 ? r : 1;
}

static int redirect(struct fetch *f, const char *location, struct error *err)
{
        const struct endpoint *e = endpoint_of(f);
        const char *from = f->url != NULL ? f->url : e->base;
        if (++f->redirects > REDIRECTS_MAX)
                return error_set(err, -ELOOP, "registry '%s': more than %d redirects", e->name,
                                 REDIRECTS_MAX);
        bool http = strncmp(location, "http://", 7) == 0;
        if (!http && strncmp(location, "https://", 8) != 0)
                return error_set(err, -EPROTO,
                                 "registry '%s': it redirects to '%.200s', which is no web address", e->name,
                                 location);
        if (http && strncmp(from, "http://", 7) != 0)
                return error_set(err, -EPROTONOSUPPORT,
                                 "registry '%s': it redirects from https to plain http ('%.200s'); refused",
                                 e->name, location);
        char *url = strdup(location);
        if (url == NULL)
                return error_set(err, -ENOMEM, "registry '%s': out of memory", e->name);
        free(f->url);
        f->url = url;
        int r = start(f, err);
        return r < 0 ? r : 1;
}

static int log_in(struct fetch *f, const struct http_response *response, struct error *err)
{
        struct session *s = f->plan.session;
        struct endpoint *e = endpoint_of(f);
        if (f->url != NULL && !f->used_authorization)
                return registry_explain(s, e, response, "at the address it redirects to", err);
        if (f->fresh)
                return registry_explain(s, e, response, NULL, err);
        if (f->generation == e->generation) { /* else another fetch has got a token meanwhile */
                int r = endpoint_authorize(s, e, response, err);
                if (r < 0)
                        return r;
                f->fresh = true;
        }
        int r = start(f, err);
        return r < 0 ? r : 1;
}

/* A whole response of another status than success. */
static int handle_status(struct fetch *f, const struct http_response *response, struct error *err)
{
        struct session *s = f->plan.session;
        long status = response->status;
        if (status >= 300 && status < 400 && response->location[0] != '\0')
                return redirect(f, response->location, err);
        if (status == 401)
                return log_in(f, response, err);
        if (status == 416 && position(f) > 0 && f->plan.restart != NULL) {
                int r = f->plan.restart(f->plan.data, err);
                (void)error_set(&f->last, -EPROTO, "the registry cannot send the rest");
                return r < 0 ? r : retry(f, -EPROTO, response, err);
        }
        int code = registry_explain(s, endpoint_of(f), response, NULL, &f->last);
        if (status == 429 || status >= 500)
                return retry(f, code, response, err);
        return error_set(err, code, "%s", f->last.text);
}

bool fetch_is_connection_error(int code)
{
        return code == -ECONNRESET || code == -ETIMEDOUT || code == -ECONNREFUSED || code == -EHOSTUNREACH;
}

static int handle_end(struct fetch *f, struct error *err)
{
        struct http_response response = *http_response(f->transfer);
        f->last = (struct error)ERROR_INIT;
        int r = http_result(f->transfer, &f->last);
        if (r == -EPROTO && response.status == 0 && endpoint_fall_back(endpoint_of(f))) {
                r = start(f, err);
                return r < 0 ? r : 1;
        }
        if (fetch_is_connection_error(r))
                return retry(f, r, NULL, err);
        if (r == -EKEYREJECTED)
                return error_set(err, r,
                                 "%s; if this registry has a certificate authority of its own, name its "
                                 "'ca_file' in the registries file",
                                 f->last.text);
        if (r < 0)
                return error_set(err, r, "%s", f->last.text);
        if (response.status != 401)
                f->fresh = false;
        if (response.status != 200 && response.status != 206)
                return handle_status(f, &response, err);
        if (!f->began && !f->plan.head) { /* an empty body */
                r = begin_body(f, &response, err);
                if (r < 0)
                        return r;
        }
        f->response = response;
        return 0;
}

int fetch_advance(struct fetch *f, struct error *err)
{
        if (f->transfer == NULL) {
                if (clock_monotonic_ms() < f->due_ms)
                        return 1;
                int r = start(f, err);
                return r < 0 ? r : 1;
        }
        if (!http_done(f->transfer))
                return 1;
        int r = handle_end(f, err);
        if (r >= 0)
                return r;
        (void)error_set(&f->last, r, "%s", err != NULL ? err->text : "");
        return give_up(f, r, err);
}

const struct http_response *fetch_response(const struct fetch *f)
{
        return &f->response;
}

size_t fetch_endpoint(const struct fetch *f)
{
        return f->endpoint;
}

static int write_document(void *data, const void *bytes, size_t size, struct error *err)
{
        struct buffer *text = data;
        int r = buffer_append(text, bytes, size);
        if (r == -EMSGSIZE)
                return error_set(err, -EFBIG, "the registry's document is longer than %zu bytes; refused",
                                 text->maximum);
        return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int restart_document(void *data, struct error *err)
{
        (void)err;
        buffer_clear(data);
        return 0;
}

static int run(const struct fetch_plan *plan, struct http_response *ret_response, size_t *ret_endpoint,
               struct error *err)
{
        struct session *s = plan->session;
        struct fetch *f;
        int r = fetch_new(plan, &f, err);
        if (r < 0)
                return r;
        while ((r = fetch_advance(f, err)) > 0) {
                r = http_step(s->http, 50, err);
                if (r == 0)
                        r = progress_idle(s->observer, err);
                if (r < 0)
                        break;
        }
        if (r == 0) {
                *ret_response = *fetch_response(f);
                if (ret_endpoint != NULL)
                        *ret_endpoint = fetch_endpoint(f);
        }
        fetch_free(f);
        return r;
}

int fetch_document(struct session *s, size_t endpoint, const char *path, const char *accept, size_t maximum,
                   char **ret_text, size_t *ret_size, struct http_response *ret_response,
                   size_t *ret_endpoint, struct error *err)
{
        cleanup_buffer struct buffer text = BUFFER_INIT(maximum);
        struct fetch_plan plan = {.session = s,
                                  .endpoint = endpoint,
                                  .path = path,
                                  .accept = accept,
                                  .document = true,
                                  .write = write_document,
                                  .restart = restart_document,
                                  .data = &text};
        int r = run(&plan, ret_response, ret_endpoint, err);
        if (r < 0)
                return r;
        *ret_size = text.length;
        *ret_text = buffer_take(&text);
        return *ret_text != NULL ? 0 : error_set(err, -ENOMEM, "fetch: out of memory");
}

int fetch_head(struct session *s, const char *path, const char *accept, struct http_response *ret_response,
               struct error *err)
{
        struct fetch_plan plan = {
            .session = s, .path = path, .accept = accept, .head = true, .document = true};
        return run(&plan, ret_response, NULL, err);
}
