/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling, against registry-server.py: the first part of the repository's name tells the server how to
 * misbehave.
 */
#include "harness.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
        const char *folder;
        int folder_fd;
        int port, other, tls;
        int pidfd, input;
        struct image_store *store;
        int store_fd;
        struct error err;
        struct image *image;
        const char *platform;
        struct buffer messages;
        uint64_t done, total; /* of the largest layer, as told last */
};

static int on_progress(const struct image_progress *progress, void *data)
{
        struct server *s = data;
        if (progress->kind == IMAGE_PROGRESS_MESSAGE && progress->text != NULL)
                return buffer_printf(&s->messages, "%s\n", progress->text) < 0;
        if (progress->kind == IMAGE_PROGRESS_LAYER && progress->total >= s->total) {
                s->done = progress->done;
                s->total = progress->total;
        }
        return 0;
}

static void write_file(struct server *s, const char *name, const char *text)
{
        assert_int_equal(path_write_atomic_at(s->folder_fd, name, text, strlen(text), 0755), 0);
}

static void open_store(struct server *s, const char *name)
{
        char config[512], path[300];
        (void)snprintf(config, sizeof(config), "%s/registries.conf", s->folder);
        (void)snprintf(path, sizeof(path), "%s/%s", s->folder, name);
        s->store_fd = path_open_dir_at(AT_FDCWD, path, 0700);
        assert_true(s->store_fd >= 0);
        if (image_store_open(s->store_fd, config, &s->store, &s->err) < 0)
                fail_msg("%s", s->err.text);
}

static void spawn(struct server *s)
{
        const char *const argv[] = {"python3", REGISTRY_SERVER, s->folder, NULL};
        int in[2], out[2];
        pid_t pid;
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        const struct process_fd fds[] = {{in[0], 0}, {out[1], 1}, {2, 2}};
        const struct process_plan plan = {
            .path = "python3", .argv = argv, .fds = fds, .fd_count = 3, .working_dir_fd = -1};
        if (process_spawn(&plan, &pid, &s->pidfd, &s->err) < 0)
                unit_skip("no python3");
        close(in[0]);
        close(out[1]);
        s->input = in[1];
        FILE *f = fdopen(out[0], "r");
        if (fscanf(f, "%d %d %d", &s->port, &s->other, &s->tls) != 3)
                fail_msg("the test's registry does not start");
        fclose(f);
}

/* The server, and an empty store that speaks http with it. */
static void start(struct server *s)
{
        char text[1024], folder[300];
        *s = (struct server){.messages = BUFFER_INIT(1 << 20)};
        s->folder = unit_folder(&s->folder_fd);
        (void)snprintf(folder, sizeof(folder), "%s/home", s->folder);
        assert_int_equal(mkdir(folder, 0700), 0);
        setenv("HOME", folder, 1);
        setenv("DOCKER_CONFIG", folder, 1);
        unsetenv("REGISTRY_AUTH_FILE");
        unsetenv("XDG_RUNTIME_DIR");
        setenv("no_proxy", "*", 1);
        spawn(s);
        (void)snprintf(text, sizeof(text),
                       "{\"retry_delay_ms\":5,\"retries\":3,\"stall_timeout_s\":2,\"registries\":{"
                       "\"127.0.0.1:%d\":{\"plain_http\":true},"
                       "\"127.0.0.1:%d\":{\"ca_file\":\"%s/ca.pem\"},"
                       "\"mirrored.invalid\":{\"mirrors\":[\"http://127.0.0.1:%d/missing\",\"http://"
                       "127.0.0.1:%d/ok\"]}}}",
                       s->port, s->tls, s->folder, s->port, s->port);
        write_file(s, "registries.conf", text);
        open_store(s, "store");
}

static void stop(struct server *s)
{
        int code;
        image_free(s->image);
        image_store_free(s->store);
        close(s->store_fd);
        close(s->input);
        assert_int_equal(process_wait(s->pidfd, &code), 0);
        close(s->pidfd);
        buffer_done(&s->messages);
}

static int pull_from(struct server *s, int port, const char *scenario)
{
        char reference[128];
        struct image_observer observer = {on_progress, s};
        (void)snprintf(reference, sizeof(reference), "127.0.0.1:%d/%s/x", port, scenario);
        image_free(s->image);
        s->image = NULL;
        s->err = (struct error)ERROR_INIT;
        return image_pull(s->store, reference, s->platform, &observer, &s->image, &s->err);
}

static int pull(struct server *s, const char *scenario)
{
        return pull_from(s, s->port, scenario);
}

static void must_pull(struct server *s, const char *scenario)
{
        int fd;
        if (pull(s, scenario) < 0)
                fail_msg("%s: %s", scenario, s->err.text);
        assert_int_equal(image_open_rootfs(s->store, s->image, NULL, &fd, &s->err), 0);
        close(fd);
}

static size_t count_files(struct server *s, const char *name)
{
        int fd = openat(s->store_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fdopendir(fd);
        size_t count = 0;
        assert_non_null(dir);
        while (readdir(dir) != NULL)
                count++;
        closedir(dir);
        return count - 2;
}

/* Refused with that code and those words; afterwards there is no image, and nothing half-made. */
static void must_fail(struct server *s, const char *scenario, int code, const char *words)
{
        struct image **images;
        int r = pull(s, scenario);
        if (r != code || strstr(s->err.text, words) == NULL)
                fail_msg("%s: %d: %s", scenario, r, r < 0 ? s->err.text : "it was pulled");
        assert_int_equal(image_list(s->store, &images, NULL), 0);
        assert_null(images[0]);
        image_list_free(images);
        assert_int_equal(count_files(s, "tmp"), 0);
        assert_int_equal(count_files(s, "rootfs"), 0);
}

static char *read_log(struct server *s)
{
        char *text;
        assert_int_equal(path_read_at(s->folder_fd, "log", 1 << 20, &text, NULL), 0);
        return text;
}

static size_t count_lines(struct server *s, const char *words)
{
        cleanup_free char *log = read_log(s);
        size_t count = 0;
        for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n"))
                count += strstr(line, words) != NULL;
        return count;
}

static void clear_log(struct server *s)
{
        assert_int_equal(unlinkat(s->folder_fd, "log", 0), 0);
        write_file(s, "log", "");
}

/* ---- what works ---- */

static void an_image_is_pulled_and_an_unchanged_one_costs_one_request(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "ok");
        assert_string_equal(json_string_value(json_object_get(s.image->config, "architecture")), "amd64");
        assert_int_equal(s.done, s.total);
        assert_true(s.total > 1000000);
        assert_int_equal(count_lines(&s, "registry"), 4); /* manifest, configuration, two layers */
        clear_log(&s);
        must_pull(&s, "ok");
        assert_int_equal(count_lines(&s, ""), 1);
        assert_int_equal(count_lines(&s, "HEAD"), 1);
        clear_log(&s);
        must_pull(&s,
                  "changing"); /* another name, the same layers: only the manifest and the configuration */
        assert_int_equal(count_lines(&s, "blobs"), 1);
        clear_log(&s);
        must_pull(&s, "changing");
        assert_int_equal(count_lines(&s, "HEAD"), 1);
        assert_int_equal(count_lines(&s, "blobs"), 1);
        stop(&s);
}

static void layers_of_zstd_are_pulled(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "zstd");
        assert_int_equal(count_lines(&s, "registry"), 4);
        stop(&s);
}

/* The server hands out no layer before each has been asked for. */
static void layers_are_fetched_at_once(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "together");
        assert_int_equal(count_lines(&s, "registry"), 4); /* none was asked for again */
        stop(&s);
}

static void a_digest_that_is_there_costs_nothing(void **state)
{
        struct server s;
        char name[256];
        (void)state;
        start(&s);
        must_pull(&s, "index");
        (void)snprintf(name, sizeof(name), "127.0.0.1:%d/index/x@%s", s.port, s.image->digest);
        clear_log(&s);
        image_free(s.image);
        s.image = NULL;
        assert_int_equal(image_pull(s.store, name, NULL, NULL, &s.image, &s.err), 0);
        assert_int_equal(count_lines(&s, ""), 0);
        stop(&s);
}

static void an_index_gives_the_platform_asked_for(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "index");
        assert_string_equal(json_string_value(json_object_get(s.image->config, "architecture")), "amd64");
        clear_log(&s);
        must_pull(&s, "index");
        assert_int_equal(count_lines(&s, ""), 1); /* the index's digest is known */
        s.platform = "linux/s390x";
        must_pull(&s, "index");
        assert_string_equal(json_string_value(json_object_get(s.image->config, "architecture")), "s390x");
        s.platform = "nonsense";
        assert_int_equal(pull(&s, "index"), -EINVAL);
        stop(&s);
}

static void set_credentials(struct server *s, int port)
{
        char text[512];
        (void)snprintf(text, sizeof(text), "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjpwYXNz\"}}}",
                       port);
        write_file(s, "home/config.json", text);
}

static void tokens_are_asked_for_and_used(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "token");
        assert_int_equal(count_lines(&s, "/token?service=test&scope=repository%3Atoken%2Fx%3Apull - -"), 1);
        must_pull(&s, "tokenbusy");
        stop(&s);
}

static void credentials_of_the_file_are_used(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "basic", -EACCES, "401 unauthorized (as told by the test): log in (docker login");
        must_fail(&s, "tokenbasic", -EACCES, "log in at its token server: 401 unauthorized");
        set_credentials(&s, s.port);
        must_pull(&s, "basic");
        must_pull(&s, "tokenbasic");
        stop(&s);
}

static void wrong_credentials_are_told(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        set_credentials(&s, s.port);
        must_fail(&s, "always401", -EACCES, "are not accepted; log in again");
        assert_int_equal(count_lines(&s, "manifests"), 2);
        must_fail(&s, "again", -EACCES, "401 unauthorized");
        stop(&s);
}

static void a_credential_helper_is_asked(void **state)
{
        struct server s;
        char path[4096];
        (void)state;
        start(&s);
        (void)snprintf(path, sizeof(path), "%s/home:%s", s.folder, getenv("PATH"));
        setenv("PATH", path, 1);
        write_file(
            &s, "home/docker-credential-mine",
            "#!/bin/sh\nread host\ncase $1,$host in\n"
            "get,127.0.0.1:*) echo '{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"pass\"}';;\n"
            "*) echo credentials not found in native keychain; exit 1;;\nesac\n");
        write_file(&s, "home/config.json", "{\"credsStore\":\"mine\"}");
        must_pull(&s, "basic");
        write_file(&s, "home/config.json", "{\"credsStore\":\"../mine\"}");
        assert_int_equal(pull(&s, "tokenbasic"), -EINVAL);
        write_file(&s, "home/docker-credential-broken", "#!/bin/sh\necho it is locked\nexit 3\n");
        write_file(&s, "home/config.json", "{\"credsStore\":\"broken\"}");
        assert_int_equal(pull(&s, "tokenbasic"), -EACCES);
        assert_non_null(strstr(s.err.text, "'broken': it ended with code 3: it is locked"));
        write_file(&s, "home/config.json", "{\"credsStore\":\"absent\"}");
        assert_int_equal(pull(&s, "tokenbasic"), -ENOENT);
        write_file(&s, "home/docker-credential-refresh",
                   "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"REFRESH\"}'\n");
        write_file(&s, "home/config.json", "{\"credsStore\":\"refresh\"}");
        must_pull(&s, "tokenbasic");
        assert_int_equal(count_lines(&s, "grant_type=refresh_token"), 1);
        stop(&s);
}

static void a_realm_elsewhere_gets_only_this_registrys_credentials(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        set_credentials(&s, s.other); /* those of the token server's host are not meant for it */
        must_fail(&s, "realm", -EACCES, "token server: 401");
        assert_int_equal(count_lines(&s, "Basic"), 0);
        set_credentials(&s, s.port);
        must_pull(&s, "realm");
        assert_int_equal(
            count_lines(&s,
                        "other GET /token/basic?service=test&scope=repository%3Arealm%2Fx%3Apull - Basic"),
            1);
        stop(&s);
}

static void no_credentials_follow_a_redirect_elsewhere(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "redirect");
        assert_int_equal(count_lines(&s, "other GET /elsewhere/"), 3);
        cleanup_free char *log = read_log(&s);
        for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                if (strncmp(line, "other", 5) == 0)
                        assert_string_equal(line + strlen(line) - 4, " - -");
        }
        must_pull(&s, "redirectsame");
        stop(&s);
}

static void a_broken_download_goes_on_where_it_broke(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "cut");
        assert_int_equal(count_lines(&s, " bytes="), 1);
        assert_non_null(strstr(buffer_content(&s.messages), "retrying in"));
        stop(&s);
}

static void a_server_without_ranges_makes_it_begin_again(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "cutwhole");
        assert_int_equal(count_lines(&s, " bytes="), 2);
        stop(&s);
}

static void a_download_in_many_pieces_arrives(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "cutmany", -ECONNRESET, ""); /* each piece is too small to count as progress */
        must_pull(&s, "ok");
        stop(&s);
}

static void another_part_than_asked_for_is_refused(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "cutlie", -EPROTO, "another part than was asked for");
        stop(&s);
}

static void a_busy_registry_is_asked_again(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "busy");
        stop(&s);
}

static void a_mirror_is_asked_first(void **state)
{
        struct server s;
        struct image_observer observer;
        (void)state;
        start(&s);
        observer = (struct image_observer){on_progress, &s};
        if (image_pull(s.store, "mirrored.invalid/x:1", NULL, &observer, &s.image, &s.err) < 0)
                fail_msg("%s", s.err.text);
        assert_string_equal(s.image->reference, "mirrored.invalid/x:1");
        assert_true(count_lines(&s, "/v2/missing/x/") > 0);
        assert_int_equal(count_lines(&s, "/v2/ok/x/manifests/1"), 0);
        stop(&s);
}

/* ---- what is refused ---- */

static void statuses_are_explained(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "s403", -EACCES, "403 forbidden (as told by the test): this account may not pull");
        must_fail(&s, "s404", -ENOENT, "404 not found (as told by the test): check the name and the tag");
        must_fail(&s, "s429", -EAGAIN, "429 too many requests");
        assert_int_equal(count_lines(&s, "/s429/"), 1);
        must_fail(&s, "s500", -EREMOTEIO, "it answered 500 (as told by the test): a fault of the registry");
        assert_int_equal(count_lines(&s, "/s500/"), 4);
        must_fail(&s, "missing", -ENOENT, "404 not found");
        stop(&s);
}

static void wrong_content_is_refused(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "wrongblob", -EBADMSG, "wrong content, its digest is");
        must_fail(&s, "shortblob", -EBADMSG, "bytes, not ");
        must_fail(&s, "longblob", -EBADMSG, "sends more than the");
        must_fail(&s, "wrongid", -EBADMSG, "");
        must_fail(&s, "idcount", -EBADMSG, "1 diff_ids for 2 layers");
        assert_int_equal(count_files(&s, "blobs/sha256"), 0); /* nothing of these stays */
        stop(&s);
}

static void a_manifest_of_another_digest_is_refused(void **state)
{
        struct server s;
        char name[256];
        (void)state;
        start(&s);
        must_pull(&s, "ok");
        (void)snprintf(name, sizeof(name), "127.0.0.1:%d/wrongmanifest/x@%s", s.port, s.image->digest);
        image_free(s.image);
        s.image = NULL;
        assert_int_equal(image_pull(s.store, name, NULL, NULL, &s.image, &s.err), -EBADMSG);
        assert_non_null(strstr(s.err.text, "wrong content"));
        stop(&s);
}

static void documents_out_of_bounds_are_refused(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "giant", -EFBIG, "longer than 4194304 bytes");
        must_fail(&s, "deep", -EBADMSG, "maximum parsing depth");
        must_fail(&s, "notjson", -EBADMSG, "parse manifest");
        must_fail(&s, "tokengiant", -EFBIG, "longer than");
        must_fail(&s, "tokencontrol", -EBADMSG, "not printable");
        must_fail(&s, "many", -E2BIG, "600 layers");
        stop(&s);
}

static void manifests_that_cannot_be_used_say_why(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "armindex", -ENOEXEC, "not there for linux/amd64, only for: linux/arm64 linux/s390x");
        must_fail(&s, "armconfig", -ENOEXEC, "for another architecture: linux/arm64");
        must_fail(&s, "schema1", -EPROTONOSUPPORT, "schema 1");
        must_fail(&s, "md5", -EPROTONOSUPPORT, "algorithm 'md5' is not supported");
        must_fail(&s, "traversal", -EINVAL, "not of the form sha256:");
        must_fail(&s, "negative", -EINVAL, "'size' is -1");
        must_fail(&s, "absurd", -EINVAL, "outside 0 to");
        must_fail(&s, "notanumber", -EINVAL, "not an integer");
        must_fail(&s, "foreign", -EPROTONOSUPPORT, "foreign layer");
        must_fail(&s, "urls", -EPROTONOSUPPORT, "foreign layer");
        must_fail(&s, "encrypted", -EPROTONOSUPPORT, "encrypted");
        must_fail(&s, "artifact", -EPROTONOSUPPORT, "an artifact, not a container image");
        stop(&s);
}

static void an_image_without_layers_can_be_pulled(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_pull(&s, "nolayers");
        assert_int_equal(s.image->size_bytes, 0);
        stop(&s);
}

static void a_stalling_server_is_given_up(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "slow", -ETIMEDOUT, "");
        stop(&s);
}

static void redirects_have_bounds(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        must_fail(&s, "loop", -ELOOP, "more than 10 redirects");
        must_fail(&s, "file", -EPROTO, "no web address");
        assert_int_equal(pull_from(&s, s.tls, "tls-to-http"), -EPROTONOSUPPORT);
        assert_non_null(strstr(s.err.text, "redirects from https to plain http"));
        assert_int_equal(pull_from(&s, s.tls, "tls-plain-realm"), -EPROTONOSUPPORT);
        assert_non_null(strstr(s.err.text, "which is not https"));
        assert_int_equal(count_lines(&s, "/token"), 0);
        stop(&s);
}

static void tls_is_verified(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        if (pull_from(&s, s.tls, "ok") < 0)
                fail_msg("%s", s.err.text);
        set_credentials(&s, s.tls);
        assert_int_equal(pull_from(&s, s.tls, "tls-basic"), 0);
        image_store_free(s.store);
        close(s.store_fd);
        write_file(&s, "registries.conf", "{\"retries\":0}");
        open_store(&s, "store2");
        assert_int_equal(pull_from(&s, s.tls, "ok"), -EKEYREJECTED);
        assert_non_null(strstr(s.err.text, "name its 'ca_file' in the registries file"));
        stop(&s);
}

static void a_registry_that_is_not_there_is_told(void **state)
{
        struct server s;
        (void)state;
        start(&s);
        assert_int_equal(pull_from(&s, 1, "ok"), -ECONNREFUSED);
        stop(&s);
}

/* ---- at once, and interrupted ---- */

static pid_t pull_in_child(struct server *s, const char *scenario)
{
        pid_t pid = fork();
        if (pid != 0)
                return pid;
        char reference[128];
        struct image_store *store;
        struct image *image;
        (void)snprintf(reference, sizeof(reference), "127.0.0.1:%d/%s/x", s->port, scenario);
        if (image_store_open(s->store_fd, NULL, &store, NULL) < 0)
                _exit(1);
        char config[512];
        (void)snprintf(config, sizeof(config), "%s/registries.conf", s->folder);
        image_store_free(store);
        if (image_store_open(s->store_fd, config, &store, NULL) < 0 ||
            image_pull(store, reference, NULL, NULL, &image, NULL) < 0)
                _exit(2);
        _exit(0);
}

static void pulls_at_once_do_the_work_once(void **state)
{
        struct server s;
        int status;
        (void)state;
        start(&s);
        for (int i = 0; i < 6; i++)
                assert_true(pull_in_child(&s, "ok") > 0);
        for (int i = 0; i < 6; i++) {
                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        assert_int_equal(count_lines(&s, "blobs"), 3);
        stop(&s);
}

static void a_killed_pull_leaves_nothing_in_the_way(void **state)
{
        struct server s;
        int status;
        (void)state;
        start(&s);
        pid_t pid = pull_in_child(&s, "slow");
        for (int i = 0; i < 500 && count_files(&s, "tmp") == 0; i++)
                usleep(10000); /* until it is at work; there is nothing to wait on */
        assert_true(count_files(&s, "tmp") > 0);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        image_store_free(s.store);
        close(s.store_fd);
        open_store(&s, "store");
        assert_int_equal(count_files(&s, "tmp"), 0);
        must_pull(&s, "ok");
        stop(&s);
}

static bool write_text(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");
        return f != NULL && fputs(text, f) >= 0 && fclose(f) == 0;
}

/* A file system of that size over a folder, for this process only. */
static bool mount_small(const char *path, const char *options)
{
        char map[64];
        (void)snprintf(map, sizeof(map), "0 %d 1", (int)geteuid());
        if (unshare(CLONE_NEWNS) < 0 &&
            (unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0 || !write_text("/proc/self/uid_map", map)))
                return false;
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
        /* too small for the layers, and for them but not for the root file system */
        static const char *const sizes[] = {"size=1m", "size=2m"};
        struct server s;
        char path[300];
        (void)state;
        start(&s);
        image_store_free(s.store);
        close(s.store_fd);
        (void)snprintf(path, sizeof(path), "%s/small", s.folder);
        assert_int_equal(mkdir(path, 0700), 0);
        bool mounted = mount_small(path, sizes[0]);
        open_store(&s, mounted ? "small" : "store");
        for (size_t i = 0; mounted && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT, sizes[i]), 0);
                must_fail(&s, "ok", -ENOSPC, "No space left on device");
                assert_int_equal(count_files(&s, "blobs/sha256"), 0);
        }
        if (mounted) {
                assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT, "size=16m"), 0);
                must_pull(&s, "ok");
        }
        stop(&s);
        if (!mounted)
                unit_skip("no file system can be mounted here");
        assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static int cancel(const struct image_progress *progress, void *data)
{
        (void)data;
        return progress->kind == IMAGE_PROGRESS_LAYER;
}

static void the_observer_can_stop_it(void **state)
{
        struct server s;
        struct image_observer observer = {cancel, NULL};
        char reference[128];
        (void)state;
        start(&s);
        (void)snprintf(reference, sizeof(reference), "127.0.0.1:%d/ok/x", s.port);
        assert_int_equal(image_pull(s.store, reference, NULL, &observer, &s.image, &s.err), -ECANCELED);
        assert_int_equal(count_files(&s, "tmp"), 0);
        must_pull(&s, "ok");
        stop(&s);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(an_image_is_pulled_and_an_unchanged_one_costs_one_request),
    cmocka_unit_test(layers_of_zstd_are_pulled),
    cmocka_unit_test(layers_are_fetched_at_once),
    cmocka_unit_test(a_digest_that_is_there_costs_nothing),
    cmocka_unit_test(an_index_gives_the_platform_asked_for),
    cmocka_unit_test(tokens_are_asked_for_and_used),
    cmocka_unit_test(credentials_of_the_file_are_used),
    cmocka_unit_test(wrong_credentials_are_told),
    cmocka_unit_test(a_credential_helper_is_asked),
    cmocka_unit_test(a_realm_elsewhere_gets_only_this_registrys_credentials),
    cmocka_unit_test(no_credentials_follow_a_redirect_elsewhere),
    cmocka_unit_test(a_broken_download_goes_on_where_it_broke),
    cmocka_unit_test(a_server_without_ranges_makes_it_begin_again),
    cmocka_unit_test(a_download_in_many_pieces_arrives),
    cmocka_unit_test(another_part_than_asked_for_is_refused),
    cmocka_unit_test(a_busy_registry_is_asked_again),
    cmocka_unit_test(a_mirror_is_asked_first),
    cmocka_unit_test(statuses_are_explained),
    cmocka_unit_test(wrong_content_is_refused),
    cmocka_unit_test(a_manifest_of_another_digest_is_refused),
    cmocka_unit_test(documents_out_of_bounds_are_refused),
    cmocka_unit_test(manifests_that_cannot_be_used_say_why),
    cmocka_unit_test(an_image_without_layers_can_be_pulled),
    cmocka_unit_test(a_stalling_server_is_given_up),
    cmocka_unit_test(redirects_have_bounds),
    cmocka_unit_test(tls_is_verified),
    cmocka_unit_test(a_registry_that_is_not_there_is_told),
    cmocka_unit_test(pulls_at_once_do_the_work_once),
    cmocka_unit_test(a_killed_pull_leaves_nothing_in_the_way),
    cmocka_unit_test(a_full_disk_is_told_and_leaves_nothing),
    cmocka_unit_test(the_observer_can_stop_it),
};

UNIT_TEST_MAIN(cases)
