/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registries file. It is the user's own, so not hostile, but a mistake in it must not pass in silence: an
 * unknown member is an error, because a misspelt "ca_file" would be a registry that is not trusted for a
 * reason nobody sees.
 */
#include "image/registries.h"

#include "base/cleanup.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FILE_SIZE_MAX (1U << 20)

static const struct registries defaults = {
    .connect_timeout_s = 30,
    .stall_timeout_s = 30,
    .retries = 5,
    .retry_delay_ms = 500,
    .parallel = 4,
    .unpack_ratio = 100,
};

static int check_members(const json_t *object, const char *const *known, const char *where, struct error *err)
{
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)object, key, value) {
                const char *const *k = known;
                while (*k != NULL && strcmp(*k, key) != 0)
                        k++;
                if (*k == NULL)
                        return error_set(err, -EINVAL, "%s: unknown member '%.100s'", where, key);
        }
        return 0;
}

static int check_mirrors(const json_t *registry, const char *host, struct error *err)
{
        const json_t *mirrors = json_object_get(registry, "mirrors");
        if (mirrors != NULL && !json_is_array(mirrors))
                return error_set(err, -EINVAL, "registry '%.100s': 'mirrors' is not an array", host);
        for (size_t i = 0; i < json_array_size(mirrors); i++) {
                const char *text = json_string_value(json_array_get(mirrors, i));
                if (text == NULL || *text == '\0')
                        return error_set(err, -EINVAL, "registry '%.100s': a mirror is not a name", host);
        }
        return 0;
}

static int check_registry(const char *host, const json_t *registry, struct error *err)
{
        static const char *const known[] = {"mirrors", "plain_http", "ca_file", NULL};
        const char *ca_file;
        bool plain;
        if (!json_is_object(registry))
                return error_set(err, -EINVAL, "registry '%.100s': not an object", host);
        int r = check_members(registry, known, host, err);
        if (r == 0)
                r = json_get_bool_or(registry, "plain_http", false, &plain, err);
        if (r == 0)
                r = json_get_string_or(registry, "ca_file", NULL, &ca_file, err);
        return r < 0 ? r : check_mirrors(registry, host, err);
}

static int read_registries(const json_t *json, struct registries *r, struct error *err)
{
        json_t *all = json_object_get(json, "registries");
        const char *host;
        json_t *registry;
        if (all == NULL)
                return 0;
        if (!json_is_object(all))
                return error_set(err, -EINVAL, "'registries' is not an object");
        json_object_foreach (all, host, registry) {
                int result = check_registry(host, registry, err);
                if (result < 0)
                        return result;
        }
        r->json = json_incref(all);
        return 0;
}

static int read_numbers(const json_t *json, struct registries *r, struct error *err)
{
        const struct {
                const char *key;
                int64_t minimum, maximum;
                int64_t *number;
        } numbers[] = {
            {"connect_timeout_s", 1, 3600, &r->connect_timeout_s},
            {"stall_timeout_s", 1, 3600, &r->stall_timeout_s},
            {"retries", 0, 100, &r->retries},
            {"retry_delay_ms", 1, 60000, &r->retry_delay_ms},
            {"parallel", 1, 32, &r->parallel},
            {"unpack_ratio", 1, 1000000, &r->unpack_ratio},
        };
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                int result = json_get_integer_or(json, numbers[i].key, numbers[i].minimum, numbers[i].maximum,
                                                 *numbers[i].number, numbers[i].number, err);
                if (result < 0)
                        return result;
        }
        return 0;
}

int registries_parse(const char *text, size_t size, struct registries *ret, struct error *err)
{
        static const char *const known[] = {"registries",      "connect_timeout_s",
                                            "stall_timeout_s", "retries",
                                            "retry_delay_ms",  "parallel",
                                            "unpack_ratio",    NULL};
        struct registries r = defaults;
        cleanup_json json_t *json = NULL;
        int result = json_parse(text, size, "registries file", &json, err);
        if (result == 0 && !json_is_object(json))
                result = error_set(err, -EINVAL, "not a JSON object");
        if (result == 0)
                result = check_members(json, known, "registries file", err);
        if (result == 0)
                result = read_numbers(json, &r, err);
        if (result == 0)
                result = read_registries(json, &r, err);
        if (result == 0)
                *ret = r;
        return result;
}

int registries_read(const char *path, struct registries *ret, struct error *err)
{
        cleanup_free char *text = NULL;
        size_t size;
        int r = path != NULL ? path_read_at(AT_FDCWD, path, FILE_SIZE_MAX, &text, &size) : -ENOENT;
        if (r == -ENOENT) {
                *ret = defaults;
                return 0;
        }
        if (r < 0)
                return error_errno(err, r, "read '%s'", path);
        r = registries_parse(text, size, ret, err);
        return r < 0 ? error_wrap(err, "read '%s'", path) : 0;
}

void registries_done(struct registries *r)
{
        json_decref(r->json);
        r->json = NULL;
}

bool registries_plain_http(const struct registries *r, const char *host)
{
        return json_is_true(json_object_get(json_object_get(r->json, host), "plain_http"));
}

const char *registries_ca_file(const struct registries *r, const char *host)
{
        return json_string_value(json_object_get(json_object_get(r->json, host), "ca_file"));
}

size_t registries_mirror_count(const struct registries *r, const char *host)
{
        return json_array_size(json_object_get(json_object_get(r->json, host), "mirrors"));
}

const char *registries_mirror(const struct registries *r, const char *host, size_t i)
{
        return json_string_value(
            json_array_get(json_object_get(json_object_get(r->json, host), "mirrors"), i));
}
