/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "image/challenge.h"

#include <string.h>

static struct challenge parse(const char *header)
{
        struct challenge c = {.bearer = false};
        challenge_parse(header, &c);
        return c;
}

static void a_bearer_challenge_is_taken_apart(void **state)
{
        (void)state;
        struct challenge c =
            parse("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                  "scope=\"repository:library/alpine:pull\",error=\"invalid_token\"");
        assert_true(c.bearer);
        assert_false(c.basic);
        assert_string_equal(c.realm, "https://auth.docker.io/token");
        assert_string_equal(c.service, "registry.docker.io");
        assert_string_equal(c.scope, "repository:library/alpine:pull");
}

static void forms_of_the_grammar_are_read(void **state)
{
        static const char *const headers[] = {
            "bearer realm=r,service=s",
            "Bearer  realm = \"r\" , service = s",
            "BEARER REALM=\"r\",SERVICE=\"s\"",
            "Basic realm=\"x\", Bearer realm=r, service=s",
            ",, Bearer realm=\"\\r\" ,, service=s",
            "Negotiate, Bearer realm=r,service=s",
        };
        (void)state;
        for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
                struct challenge c = parse(headers[i]);
                assert_true(c.bearer);
                assert_string_equal(c.realm, "r");
                assert_string_equal(c.service, "s");
        }
        assert_true(parse("Basic realm=\"a, Bearer realm=b\"").basic);
        assert_false(parse("Basic realm=\"a, Bearer realm=b\"").bearer);
}

static void several_headers_add_up_and_the_first_bearer_counts(void **state)
{
        struct challenge c = parse("Basic");
        (void)state;
        challenge_parse("Bearer realm=one", &c);
        challenge_parse("Bearer realm=two", &c);
        assert_true(c.basic && c.bearer);
        assert_string_equal(c.realm, "one");
}

static void what_does_not_fit_is_left_out(void **state)
{
        char header[3000] = "Bearer realm=\"";
        (void)state;
        memset(header + 14, 'x', 2000);
        strcpy(header + 2014, "\",service=s");
        struct challenge c = parse(header);
        assert_false(c.bearer);
        assert_false(parse("").bearer);
        assert_false(parse("Bearer").bearer);
        assert_false(parse("Bearer realm=").bearer);
        assert_false(parse("=").bearer);
        assert_string_equal(parse("Bearer realm=\"r").realm, "r");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_bearer_challenge_is_taken_apart),
    cmocka_unit_test(forms_of_the_grammar_are_read),
    cmocka_unit_test(several_headers_add_up_and_the_first_bearer_counts),
    cmocka_unit_test(what_does_not_fit_is_left_out),
};

UNIT_TEST_MAIN(cases)
