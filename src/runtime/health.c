/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health checks: what is asked for, and how it is shown. The image's numbers are nanoseconds, 0 the default,
 * as docker's are. Hostile: the image's configuration; what is not understood is an error that names it,
 * unless the check is not wanted.
 */
#include "runtime/health.h"

#include "base/cleanup.h"
#include "runtime/words.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NS_OF_MS               1000000LL
#define DEFAULT_INTERVAL       30000
#define DEFAULT_TIMEOUT        30000
#define DEFAULT_RETRIES        3
#define DEFAULT_START_INTERVAL 5000
#define TIME_MAX_MS            (366LL * 86400 * 1000) /* as long as the agent lets an exec run */
#define RETRIES_MAX            1000000

static int out_of_memory(struct error *err)
{
        return error_set(err, -ENOMEM, "health check: out of memory");
}

static int check_test(const json_t *test, struct error *err)
{
        const json_t *word;
        size_t i;
        json_array_foreach ((json_t *)test, i, word) {
                if (!json_is_string(word))
                        return error_set(err, -EINVAL,
                                         "image configuration: 'Healthcheck.Test' holds other than strings");
        }
        const char *kind = json_string_value(json_array_get(test, 0));
        size_t size = json_array_size(test);
        if (kind == NULL || strcmp(kind, "NONE") == 0)
                return 0;
        if (strcmp(kind, "CMD") != 0 && strcmp(kind, "CMD-SHELL") != 0)
                return error_set(
                    err, -EINVAL,
                    "image configuration: health check '%.40s': there are NONE, CMD and CMD-SHELL", kind);
        if (size < 2 || (strcmp(kind, "CMD-SHELL") == 0 && size != 2))
                return error_set(err, -EINVAL, "image configuration: health check %s with %zu words", kind,
                                 size - 1);
        return 0;
}

/* What says how to check, as docker has it: an empty array when nothing does. */
static int resolve_test(const json_t *image, const struct boxlet_box_options *o, json_t **ret_test,
                        struct error *err)
{
        const json_t *test = json_object_get(image, "Test");
        if (o->no_health) {
                *ret_test = json_pack("[s]", "NONE");
        } else if (o->health_cmd != NULL && o->health_cmd[0] != '\0') {
                int r = words_check_utf8(o->health_cmd, "health check", err);
                if (r < 0)
                        return r;
                *ret_test = json_pack("[s, s]", "CMD-SHELL", o->health_cmd);
        } else if (test == NULL || json_is_null(test)) {
                *ret_test = json_array();
        } else if (!json_is_array(test)) {
                return error_set(err, -EINVAL, "image configuration: 'Healthcheck.Test' is no array");
        } else {
                *ret_test = json_incref((json_t *)test);
        }
        return *ret_test == NULL ? out_of_memory(err) : 0;
}

/* The image's shell, else docker's default, and the command behind it. */
static int shell_args(const json_t *config, const json_t *command, json_t **ret_args, struct error *err)
{
        const json_t *shell = json_object_get(config, "Shell"), *word;
        size_t i;
        bool good = json_is_array(shell) && json_array_size(shell) > 0;
        json_array_foreach ((json_t *)shell, i, word) {
                good = good && json_is_string(word);
        }
        json_t *args = good ? json_copy((json_t *)shell) : json_pack("[s, s]", "/bin/sh", "-c");
        if (args == NULL || json_array_append(args, (json_t *)command) < 0) {
                json_decref(args);
                return out_of_memory(err);
        }
        *ret_args = args;
        return 0;
}

static int resolve_args(const json_t *config, const json_t *test, json_t **ret_args, struct error *err)
{
        if (strcmp(json_string_value(json_array_get(test, 0)), "CMD-SHELL") == 0)
                return shell_args(config, json_array_get(test, 1), ret_args, err);
        json_t *args = json_copy((json_t *)test);
        if (args == NULL || json_array_remove(args, 0) < 0) {
                json_decref(args);
                return out_of_memory(err);
        }
        *ret_args = args;
        return 0;
}

/* The option in milliseconds, else the image's nanoseconds, else the default. Sets it in the result. */
static int set_time(json_t *health, const char *key, int64_t option_ms, const json_t *image,
                    const char *image_key, int64_t default_ms, struct error *err)
{
        int64_t ns = 0, ms = option_ms;
        if (ms < 0)
                return error_set(err, -EINVAL, "health check: a time is negative");
        if (ms == 0 && json_get_integer_or(image, image_key, 0, INT64_MAX, 0, &ns, err) < 0)
                return error_wrap(err, "image configuration: Healthcheck");
        if (ms == 0)
                ms = ns == 0 ? default_ms : ns / NS_OF_MS + (ns % NS_OF_MS != 0);
        if (ms > TIME_MAX_MS)
                return error_set(err, -EINVAL, "health check: %s: more than a year", image_key);
        return json_object_set_new(health, key, json_integer(ms)) < 0 ? out_of_memory(err) : 0;
}

static int set_retries(json_t *health, uint32_t option, const json_t *image, struct error *err)
{
        int64_t retries = option;
        if (retries == 0 && json_get_integer_or(image, "Retries", 0, RETRIES_MAX, 0, &retries, err) < 0)
                return error_wrap(err, "image configuration: Healthcheck");
        if (retries > RETRIES_MAX)
                return error_set(err, -EINVAL, "health check: %lld retries: at most %d", (long long)retries,
                                 RETRIES_MAX);
        return json_object_set_new(health, "retries",
                                   json_integer(retries == 0 ? DEFAULT_RETRIES : retries)) < 0
                   ? out_of_memory(err)
                   : 0;
}

static bool has_options(const struct boxlet_box_options *o)
{
        return o->health_interval_ms != 0 || o->health_timeout_ms != 0 || o->health_retries != 0 ||
               o->health_start_period_ms != 0 || o->health_start_interval_ms != 0;
}

static int resolve(const json_t *config, const json_t *image, const struct boxlet_box_options *o,
                   const json_t *test, json_t **ret_health, struct error *err)
{
        cleanup_json json_t *args = NULL;
        int r = resolve_args(config, test, &args, err);
        if (r < 0)
                return r;
        cleanup_json json_t *health = json_pack("{s:O, s:O}", "test", test, "args", args);
        if (health == NULL)
                return out_of_memory(err);
        r = set_time(health, "interval_ms", o->health_interval_ms, image, "Interval", DEFAULT_INTERVAL, err);
        if (r == 0)
                r = set_time(health, "timeout_ms", o->health_timeout_ms, image, "Timeout", DEFAULT_TIMEOUT,
                             err);
        if (r == 0)
                r = set_retries(health, o->health_retries, image, err);
        if (r == 0)
                r = set_time(health, "start_period_ms", o->health_start_period_ms, image, "StartPeriod", 0,
                             err);
        if (r == 0)
                r = set_time(health, "start_interval_ms", o->health_start_interval_ms, image, "StartInterval",
                             DEFAULT_START_INTERVAL, err);
        if (r == 0)
                *ret_health = take_ptr(&health);
        return r;
}

int health_resolve(const json_t *image_config, const struct boxlet_box_options *o, json_t **ret_health,
                   struct error *err)
{
        const json_t *config = json_object_get(image_config, "config");
        const json_t *image = json_object_get(config, "Healthcheck");
        cleanup_json json_t *test = NULL;
        if (o->no_health && (has_options(o) || o->health_cmd != NULL))
                return error_set(err, -EINVAL, "health check: not wanted, and yet described");
        if (image != NULL && !json_is_null(image) && !json_is_object(image) && !o->no_health)
                return error_set(err, -EINVAL, "image configuration: 'Healthcheck' is no object");
        int r = resolve_test(image, o, &test, err);
        if (r == 0)
                r = check_test(test, err);
        if (r < 0)
                return r;
        const char *kind = json_string_value(json_array_get(test, 0));
        if (kind == NULL && has_options(o))
                return error_set(err, -EINVAL,
                                 "health check: the image has no command for it: give one with --health-cmd");
        if (kind == NULL || strcmp(kind, "NONE") == 0) {
                *ret_health = NULL;
                return 0;
        }
        return resolve(config, image, o, test, ret_health, err);
}

static bool is_words(const json_t *array)
{
        const json_t *word;
        size_t i;
        json_array_foreach ((json_t *)array, i, word) {
                if (!json_is_string(word))
                        return false;
        }
        return json_array_size(array) > 0;
}

bool health_is_good(const json_t *health)
{
        static const struct {
                const char *key;
                int64_t minimum, maximum;
        } numbers[] = {{"interval_ms", 1, TIME_MAX_MS},
                       {"timeout_ms", 1, TIME_MAX_MS},
                       {"retries", 1, RETRIES_MAX},
                       {"start_period_ms", 0, TIME_MAX_MS},
                       {"start_interval_ms", 1, TIME_MAX_MS}};
        struct error ignored = ERROR_INIT;
        int64_t number;
        if (!is_words(json_object_get(health, "test")) || !is_words(json_object_get(health, "args")) ||
            json_object_size(health) != 2 + sizeof(numbers) / sizeof(numbers[0]))
                return false;
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                if (json_get_integer(health, numbers[i].key, numbers[i].minimum, numbers[i].maximum, &number,
                                     &ignored) < 0)
                        return false;
        }
        return true;
}

/* ---- showing ---- */

const char *health_status(const json_t *state)
{
        const char *status = json_string_value(json_object_get(json_object_get(state, "health"), "status"));
        return status == NULL ? "none" : status;
}

static json_t *time_json(int64_t ns)
{
        struct tm tm;
        char text[40];
        time_t seconds = (time_t)(ns / 1000000000);
        if (gmtime_r(&seconds, &tm) == NULL)
                return json_string("");
        size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + size, sizeof(text) - size, ".%09lldZ", (long long)(ns % 1000000000));
        return json_string(text);
}

static int64_t integer(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

json_t *health_state(const json_t *state)
{
        const json_t *health = json_object_get(state, "health"), *entry;
        json_t *log = json_array();
        size_t i;
        if (health == NULL) {
                json_decref(log);
                return NULL;
        }
        json_array_foreach (json_object_get(health, "log"), i, entry) {
                const char *output = json_string_value(json_object_get(entry, "output"));
                (void)json_array_append_new(
                    log, json_pack("{s:o, s:o, s:I, s:s}", "Start", time_json(integer(entry, "start_ns")),
                                   "End", time_json(integer(entry, "end_ns")), "ExitCode",
                                   (json_int_t)integer(entry, "exit_code"), "Output",
                                   output == NULL ? "" : output)); /* a failure shows as a missing entry */
        }
        return json_pack("{s:s, s:I, s:o}", "Status", health_status(state), "FailingStreak",
                         (json_int_t)integer(health, "failing_streak"), "Log", log);
}

json_t *health_config(const json_t *health)
{
        if (health == NULL)
                return NULL;
        return json_pack("{s:O, s:I, s:I, s:I, s:I, s:I}", "Test", json_object_get(health, "test"),
                         "Interval", (json_int_t)(integer(health, "interval_ms") * NS_OF_MS), "Timeout",
                         (json_int_t)(integer(health, "timeout_ms") * NS_OF_MS), "StartPeriod",
                         (json_int_t)(integer(health, "start_period_ms") * NS_OF_MS), "StartInterval",
                         (json_int_t)(integer(health, "start_interval_ms") * NS_OF_MS), "Retries",
                         (json_int_t)integer(health, "retries"));
}
