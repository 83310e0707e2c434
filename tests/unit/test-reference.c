/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "image/image.h"
#include "image/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define D64    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" D64

static void names_are_completed_as_docker_does(void **state)
{
        static const char *const pairs[][2] = {
            {"alpine", "docker.io/library/alpine:latest"},
            {"alpine:3.19", "docker.io/library/alpine:3.19"},
            {"a/b", "docker.io/a/b:latest"},
            {"docker.io/alpine", "docker.io/library/alpine:latest"},
            {"index.docker.io/a/b:c", "docker.io/a/b:c"},
            {"index.docker.io/alpine", "docker.io/library/alpine:latest"},
            {"registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest"},
            {"ghcr.io/a/b:tag", "ghcr.io/a/b:tag"},
            {"localhost/x", "localhost/x:latest"},
            {"localhost:5000/x:y", "localhost:5000/x:y"},
            {"127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"},
            {"[::1]:5000/x/y", "[::1]:5000/x/y:latest"},
            {"[::1]/x", "[::1]/x:latest"},
            {"LOCAL/x", "LOCAL/x:latest"},
            {"host.example/a--b__c.d-e_f/g:V1.2-x_y", "host.example/a--b__c.d-e_f/g:V1.2-x_y"},
            {"alpine@" DIGEST, "docker.io/library/alpine@" DIGEST},
            {"alpine:3@" DIGEST, "docker.io/library/alpine:3@" DIGEST},
            {"x:5000", "docker.io/library/x:5000"},
            {"a/b/c/d/e", "docker.io/a/b/c/d/e:latest"},
            {D64 "0", "docker.io/library/" D64 "0:latest"},
            {D64 ":tag", NULL},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                cleanup_free char *text = NULL;
                struct error err = ERROR_INIT;
                int r = image_reference_normalize(pairs[i][0], &text, &err);
                assert_int_equal(r, pairs[i][1] != NULL ? 0 : -EINVAL);
                if (r == 0)
                        assert_string_equal(text, pairs[i][1]);
        }
}

static void what_is_no_name_is_refused(void **state)
{
        static const char *const bad[] = {
            "",
            ":",
            "@",
            "/",
            "a/",
            "/a",
            "a//b",
            "Alpine",
            "docker.io/A",
            "a:",
            "a:-x",
            "a:.x",
            "a:b:c",
            "a b",
            "a/b c",
            "-a",
            "a-",
            "a__",
            "a___b",
            "a..b",
            "a.-b",
            "_a",
            "a@",
            "a@sha256:12",
            "a@md5:0123456789abcdef0123456789abcdef",
            "a@sha256:" D64 "0",
            "a@" DIGEST "@" DIGEST,
            "a.b:x/c",
            "a.b:/c",
            "a.b:99999/c",
            "a.b:123456/c",
            "-a.b/c",
            "a-.b/c",
            "a..b/c",
            "[::1/x",
            "[]/x",
            "[zz]:1/x",
            "[::1]x/y",
            "a/\xc3\xa9",
            "http://a/b",
            "../a",
            "a/../b",
            "a\n",
            D64,
        };
        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char *text = NULL;
                struct error err = ERROR_INIT;
                int r = image_reference_normalize(bad[i], &text, &err);
                if (r >= 0)
                        fail_msg("'%s' was taken for %s", bad[i], text);
                assert_true(err.text[0] != '\0');
                assert_int_equal(err.code, r);
        }
}

static void lengths_have_limits(void **state)
{
        char name[700];
        char *text;
        (void)state;
        memset(name, 'a', sizeof(name));
        memcpy(name, "h.io/", 5);
        name[255] = '\0';
        assert_int_equal(image_reference_normalize(name, &text, NULL), 0);
        free(text);
        name[255] = 'a';
        name[256] = '\0';
        assert_int_equal(image_reference_normalize(name, &text, NULL), -EINVAL);
        name[256] = 'a';
        name[699] = '\0';
        assert_int_equal(image_reference_normalize(name, &text, NULL), -EINVAL);
        name[4 + 1] = ':';
        memcpy(name, "h.io/x:", 7);
        name[7 + 128] = '\0';
        assert_int_equal(image_reference_normalize(name, &text, NULL), 0);
        free(text);
        name[7 + 128] = 'a';
        name[7 + 129] = '\0';
        assert_int_equal(image_reference_normalize(name, &text, NULL), -EINVAL);
}

static void an_unknown_digest_algorithm_is_named(void **state)
{
        struct error err = ERROR_INIT;
        char *text;
        (void)state;
        assert_int_equal(image_reference_normalize("a@md5:0123456789abcdef0123456789abcdef", &text, &err),
                         -EPROTONOSUPPORT);
        assert_non_null(strstr(err.text, "'md5' is not supported"));
}

static void the_store_name_of_a_digest_has_no_tag(void **state)
{
        cleanup_reference struct reference r = REFERENCE_INIT;
        (void)state;
        assert_int_equal(reference_parse("alpine:3@" DIGEST, &r, NULL), 0);
        cleanup_free char *name = reference_store_name(&r);
        assert_string_equal(name, "docker.io/library/alpine@" DIGEST);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(names_are_completed_as_docker_does),
    cmocka_unit_test(what_is_no_name_is_refused),
    cmocka_unit_test(lengths_have_limits),
    cmocka_unit_test(an_unknown_digest_algorithm_is_named),
    cmocka_unit_test(the_store_name_of_a_digest_has_no_tag),
};

UNIT_TEST_MAIN(cases)
