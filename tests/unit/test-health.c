/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "runtime/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The check as text, "none", or the error's text. free() it. */
static char *resolve(const char *image_text, const struct boxlet_box_options *o)
{
        cleanup_json json_t *image = NULL;
        cleanup_json json_t *health = NULL;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(image_text, strlen(image_text), "image", &image, &err), 0);
        if (health_resolve(image, o, &health, &err) < 0)
                return strdup(err.text);
        return health == NULL ? strdup("none") : json_print(health, NULL);
}

static void expect(const char *image_text, const struct boxlet_box_options *o, const char *expected)
{
        cleanup_free char *text = resolve(image_text, o);
        if (strcmp(text, expected) != 0)
                fail_msg("%s: %s", image_text, text);
}

#define TIMES(interval, timeout, retries, period, start)                                  \
        "\"interval_ms\":" #interval ",\"timeout_ms\":" #timeout ",\"retries\":" #retries \
        ",\"start_period_ms\":" #period ",\"start_interval_ms\":" #start "}"
#define DEFAULTS TIMES(30000, 30000, 3, 0, 5000)

static void the_images_check_is_taken(void **state)
{
        const struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        (void)state;
        expect("{}", &o, "none");
        expect("{\"config\":null}", &o, "none");
        expect("{\"config\":{\"Healthcheck\":null}}", &o, "none");
        expect("{\"config\":{\"Healthcheck\":{}}}", &o, "none");
        expect("{\"config\":{\"Healthcheck\":{\"Test\":[]}}}", &o, "none");
        expect("{\"config\":{\"Healthcheck\":{\"Test\":[\"NONE\"]}}}", &o, "none");
        expect("{\"config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"/probe\",\"-x\"]}}}", &o,
               "{\"test\":[\"CMD\",\"/probe\",\"-x\"],\"args\":[\"/probe\",\"-x\"]," DEFAULTS);
        expect("{\"config\":{\"Shell\":[\"/bin/bash\",\"-ec\"],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a "
               "b\"],\"Interval\":1,"
               "\"Timeout\":2500000000,\"Retries\":7,\"StartPeriod\":60000000000,\"StartInterval\":0}}}",
               &o,
               "{\"test\":[\"CMD-SHELL\",\"a b\"],\"args\":[\"/bin/bash\",\"-ec\",\"a b\"]," TIMES(1, 2500, 7,
                                                                                                   60000,
                                                                                                   5000));
}

static void options_are_over_the_image(void **state)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        static const char image[] =
            "{\"config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"p\"],\"Interval\":1000000000,\"Retries\":9}}}";
        (void)state;
        o.health_timeout_ms = 5;
        o.health_retries = 1;
        expect(image, &o, "{\"test\":[\"CMD\",\"p\"],\"args\":[\"p\"]," TIMES(1000, 5, 1, 0, 5000));
        expect("{}", &o, "health check: the image has no command for it: give one with --health-cmd");
        o.health_cmd = "mine";
        o.health_interval_ms = 10;
        o.health_start_period_ms = 20;
        o.health_start_interval_ms = 30;
        expect(image, &o,
               "{\"test\":[\"CMD-SHELL\",\"mine\"],\"args\":[\"/bin/sh\",\"-c\",\"mine\"]," TIMES(10, 5, 1,
                                                                                                  20, 30));
        o = (struct boxlet_box_options)BOXLET_BOX_OPTIONS_INIT;
        o.no_health = 1;
        expect(image, &o, "none");
        expect("{\"config\":{\"Healthcheck\":7}}", &o, "none"); /* what is not wanted need not be right */
        o.health_retries = 1;
        expect(image, &o, "health check: not wanted, and yet described");
}

static void hostile_images_are_refused(void **state)
{
        static const char *const table[][2] = {
            {"7", "image configuration: 'Healthcheck' is no object"},
            {"{\"Test\":\"x\"}", "image configuration: 'Healthcheck.Test' is no array"},
            {"{\"Test\":[1]}", "image configuration: 'Healthcheck.Test' holds other than strings"},
            {"{\"Test\":[\"CMD\",{}]}", "image configuration: 'Healthcheck.Test' holds other than strings"},
            {"{\"Test\":[\"RUN\",\"x\"]}",
             "image configuration: health check 'RUN': there are NONE, CMD and CMD-SHELL"},
            {"{\"Test\":[\"CMD\"]}", "image configuration: health check CMD with 0 words"},
            {"{\"Test\":[\"CMD-SHELL\",\"a\",\"b\"]}",
             "image configuration: health check CMD-SHELL with 2 words"},
            {"{\"Test\":[\"CMD\",\"a\"],\"Interval\":9223372036854775807}",
             "health check: Interval: more than a year"},
        };
        static const char *const wrong[] = {"{\"Test\":[\"CMD\",\"a\"],\"Interval\":-1}",
                                            "{\"Test\":[\"CMD\",\"a\"],\"Timeout\":\"1s\"}",
                                            "{\"Test\":[\"CMD\",\"a\"],\"Retries\":1000001}",
                                            "{\"Test\":[\"CMD\",\"a\"],\"StartPeriod\":[]}"};
        const struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        char image[256];
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                (void)snprintf(image, sizeof(image), "{\"config\":{\"Healthcheck\":%s}}", table[i][0]);
                expect(image, &o, table[i][1]);
        }
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                (void)snprintf(image, sizeof(image), "{\"config\":{\"Healthcheck\":%s}}", wrong[i]);
                cleanup_free char *text = resolve(image, &o);
                if (strncmp(text, "image configuration: Healthcheck", 32) != 0)
                        fail_msg("%s: %s", image, text);
        }
        /* a shell that is none is not used */
        expect("{\"config\":{\"Shell\":[1],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a\"]}}}", &o,
               "{\"test\":[\"CMD-SHELL\",\"a\"],\"args\":[\"/bin/sh\",\"-c\",\"a\"]," DEFAULTS);
}

static void one_from_elsewhere_is_checked(void **state)
{
        static const char good[] = "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"]," DEFAULTS;
        static const char *const bad[] = {
            "{}",
            "[]",
            "{\"test\":[],\"args\":[\"x\"]," DEFAULTS,
            "{\"test\":[\"CMD\",\"x\"],\"args\":[1]," DEFAULTS,
            "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"],\"more\":1," DEFAULTS,
            "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"]," TIMES(0, 1, 1, 0, 1),
            "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"]," TIMES(1, 1, 0, 0, 1),
            "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"]," TIMES(1, 1, 1, -1, 1),
            "{\"test\":[\"CMD\",\"x\"],\"args\":[\"x\"]," TIMES(1, 1, 1, 0, 9223372036854775807),
        };
        struct error err = ERROR_INIT;
        json_t *json;
        (void)state;
        assert_int_equal(json_parse(good, strlen(good), "health", &json, &err), 0);
        assert_true(health_is_good(json));
        json_decref(json);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                assert_int_equal(json_parse(bad[i], strlen(bad[i]), "health", &json, &err), 0);
                if (health_is_good(json))
                        fail_msg("%s", bad[i]);
                json_decref(json);
        }
}

static void it_is_shown_as_docker_does(void **state)
{
        static const char state_text[] =
            "{\"health\":{\"status\":\"unhealthy\",\"failing_streak\":3,\"log\":[{\"start_"
            "ns\":1000000001,\"end_ns\":2000000000,\"exit_code\":-1,\"output\":\"no\"}]}}";
        cleanup_json json_t *json = NULL;
        cleanup_json json_t *none = json_object();
        struct error err = ERROR_INIT;
        (void)state;
        assert_int_equal(json_parse(state_text, strlen(state_text), "state", &json, &err), 0);
        cleanup_json json_t *shown = health_state(json);
        cleanup_free char *text = json_print(shown, NULL);
        assert_string_equal(
            text, "{\"Status\":\"unhealthy\",\"FailingStreak\":3,\"Log\":[{\"Start\":\"1970-01-01T00:00:"
                  "01.000000001Z\",\"End\":\"1970-01-01T00:00:02.000000000Z\",\"ExitCode\":-1,"
                  "\"Output\":\"no\"}]}");
        assert_string_equal(health_status(json), "unhealthy");
        assert_string_equal(health_status(none), "none");
        assert_string_equal(health_status(NULL), "none");
        assert_null(health_state(none));
        assert_null(health_config(NULL));
        cleanup_json json_t *check =
            json_pack("{s:[s, s], s:i, s:i}", "test", "CMD", "x", "interval_ms", 1500, "retries", 2);
        cleanup_json json_t *config = health_config(check);
        cleanup_free char *config_text = json_print(config, NULL);
        assert_string_equal(
            config_text, "{\"Test\":[\"CMD\",\"x\"],\"Interval\":1500000000,\"Timeout\":0,\"StartPeriod\":0,"
                         "\"StartInterval\":0,\"Retries\":2}");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_images_check_is_taken),  cmocka_unit_test(options_are_over_the_image),
    cmocka_unit_test(hostile_images_are_refused), cmocka_unit_test(one_from_elsewhere_is_checked),
    cmocka_unit_test(it_is_shown_as_docker_does),
};

UNIT_TEST_MAIN(cases)
