/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "image/credentials.h"
#include "image/registries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char file[] = "{\"auths\":{"
                           "\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnNlY3JldA==\"},"
                           "\"h.io\":{\"auth\":\"aDpwOnE=\"},"
                           "\"h.io/a/b\":{\"auth\":\"aGFiOng=\"},"
                           "\"https://url.io/v2/\":{\"username\":\"u\",\"password\":\"p\"},"
                           "\"refresh.io\":{\"auth\":\"eDo=\",\"identitytoken\":\"T\"},"
                           "\"empty.io\":{},\"bad.io\":{\"auth\":\"!!!!\"}},"
                           "\"credHelpers\":{\"helped.io\":\"one\"},\"credsStore\":\"all\"}";

static int find(const char *host, const char *repository, struct credentials *ret, char **ret_helper)
{
        return credentials_parse(file, sizeof(file) - 1, host, repository, ret, ret_helper, NULL);
}

static void check(const char *host, const char *repository, const char *user, const char *password)
{
        struct credentials c = CREDENTIALS_INIT;
        cleanup_free char *helper = NULL;
        assert_int_equal(find(host, repository, &c, &helper), 0);
        if (user == NULL) {
                assert_null(c.username);
        } else {
                assert_string_equal(c.username, user);
                assert_string_equal(c.password, password);
        }
        assert_string_equal(helper, strcmp(host, "helped.io") == 0 ? "one" : "all");
        credentials_done(&c);
}

static void entries_are_found_by_host_and_repository(void **state)
{
        (void)state;
        check("docker.io", "library/x", "hub", "secret");
        check("h.io", "x", "h", "p:q");
        check("h.io", "a", "h", "p:q");
        check("h.io", "a/b", "hab", "x");
        check("h.io", "a/b/c", "hab", "x");
        check("h.io", "a/bc", "h", "p:q");
        check("url.io", "x", "u", "p");
        check("empty.io", "x", NULL, NULL);
        check("xh.io", "x", NULL, NULL);
        check("h.io.evil", "x", NULL, NULL);
        check("h.i", "x", NULL, NULL);
        check("helped.io", "x", NULL, NULL);
}

static void a_refresh_token_comes_before_a_password(void **state)
{
        struct credentials c = CREDENTIALS_INIT;
        cleanup_free char *helper = NULL;
        (void)state;
        assert_int_equal(find("refresh.io", "x", &c, &helper), 0);
        assert_string_equal(c.identity_token, "T");
        assert_null(c.username);
        credentials_done(&c);
}

static void what_is_no_base64_is_an_error(void **state)
{
        struct credentials c = CREDENTIALS_INIT;
        char *helper = NULL;
        (void)state;
        assert_int_equal(find("bad.io", "x", &c, &helper), -EINVAL);
        assert_int_equal(credentials_parse("[", 1, "a", "b", &c, &helper, NULL), -EBADMSG);
}

static void place(const char *folder, const char *name, const char *auth)
{
        char path[400], text[200];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        *strrchr(path, '/') = '\0';
        assert_int_equal(path_mkdir_all(path, 0700), 0);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
        (void)snprintf(text, sizeof(text), "{\"auths\":{\"h.io\":{\"auth\":\"%s\"}}}", auth);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void check_user(const char *user)
{
        struct credentials c = CREDENTIALS_INIT;
        assert_int_equal(credentials_find("h.io", "x", &c, NULL), 0);
        if (user == NULL)
                assert_null(c.username);
        else
                assert_string_equal(c.username, user);
        credentials_done(&c);
}

static void files_are_looked_for_in_their_order(void **state)
{
        char path[400];
        const char *folder = unit_folder(NULL);
        (void)state;
        unsetenv("DOCKER_CONFIG");
        unsetenv("REGISTRY_AUTH_FILE");
        unsetenv("XDG_RUNTIME_DIR");
        setenv("HOME", folder, 1);
        check_user(NULL);
        place(folder, ".config/containers/auth.json", "YTp4"); /* a:x */
        check_user("a");
        (void)snprintf(path, sizeof(path), "%s/run", folder);
        setenv("XDG_RUNTIME_DIR", path, 1);
        place(folder, "run/containers/auth.json", "Yjp4"); /* b:x */
        check_user("b");
        place(folder, ".docker/config.json", "Yzp4"); /* c:x */
        check_user("c");
        (void)snprintf(path, sizeof(path), "%s/docker", folder);
        setenv("DOCKER_CONFIG", path, 1);
        check_user("b");
        place(folder, "docker/config.json", "ZDp4"); /* d:x */
        check_user("d");
        (void)snprintf(path, sizeof(path), "%s/only", folder);
        setenv("REGISTRY_AUTH_FILE", path, 1);
        check_user(NULL);
        place(folder, "only", "ZTp4"); /* e:x */
        check_user("e");
}

static void the_registries_file_is_checked(void **state)
{
        static const char *const wrong[] = {
            "[]",
            "{\"registry\":{}}",
            "{\"registries\":[]}",
            "{\"unpack_ratio\":0}",
            "{\"registries\":{\"a\":{\"plain_htp\":true}}}",
            "{\"registries\":{\"a\":{\"plain_http\":1}}}",
            "{\"registries\":{\"a\":{\"mirrors\":\"b\"}}}",
            "{\"registries\":{\"a\":{\"mirrors\":[3]}}}",
            "{\"retries\":-1}",
            "{\"parallel\":0}",
        };
        static const char good[] = "{\"retries\":7,\"registries\":{\"a\":{\"plain_http\":true,\"mirrors\":["
                                   "\"b\",\"c\"],\"ca_file\":\"/x\"}}}";
        struct registries r;
        struct error err;
        (void)state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(registries_parse(wrong[i], strlen(wrong[i]), &r, &err), -EINVAL);
        assert_int_equal(registries_parse(good, sizeof(good) - 1, &r, &err), 0);
        assert_true(registries_plain_http(&r, "a"));
        assert_false(registries_plain_http(&r, "b"));
        assert_string_equal(registries_ca_file(&r, "a"), "/x");
        assert_null(registries_ca_file(&r, "b"));
        assert_int_equal(registries_mirror_count(&r, "a"), 2);
        assert_string_equal(registries_mirror(&r, "a", 1), "c");
        assert_int_equal(r.retries, 7);
        assert_int_equal(r.parallel, 4);
        registries_done(&r);
        assert_int_equal(registries_read("/nonexistent/file", &r, &err), 0);
        registries_done(&r);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(entries_are_found_by_host_and_repository),
    cmocka_unit_test(a_refresh_token_comes_before_a_password),
    cmocka_unit_test(what_is_no_base64_is_an_error),
    cmocka_unit_test(files_are_looked_for_in_their_order),
    cmocka_unit_test(the_registries_file_is_checked),
};

UNIT_TEST_MAIN(cases)
