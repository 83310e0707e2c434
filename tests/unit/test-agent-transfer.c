/* SPDX-License-Identifier: Apache-2.0 */
/* Files and reports through the agent: the container is a real one, the host this test. */
#include "harness.h"

#include "agent-host.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "wire/channel.h"
#include "wire/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct world {
        struct agent_host host;
        int init, root; /* the container's root, as this test sees it */
};

/* How a transfer went. */
struct result {
        int code; /* errno of ERROR, 0 for a second REPLY, -1 when there was neither */
        char message[ERROR_TEXT_MAX];
        char first[1024]; /* the first REPLY, "" for none */
        struct buffer out;
};

static void begin(struct world *w)
{
        agent_host_start(&w->host);
        w->init = start_sleeper(&w->host);
        w->root = openat(w->host.folder, "run/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(w->root >= 0);
}

static void end(struct world *w)
{
        (void)close(w->root);
        if (w->init >= 0)
                (void)close(w->init);
        agent_host_stop(&w->host);
}

static void result_done(struct result *r)
{
        buffer_done(&r->out);
}

static void take_error(const struct frame *frame, struct result *r)
{
        struct error err = ERROR_INIT;
        r->code = -channel_read_error(frame, &err);
        (void)snprintf(r->message, sizeof(r->message), "%s", err.text);
}

/* What comes after the first REPLY. */
static void take_rest(int fd, struct buffer *input, struct result *r)
{
        struct frame frame;
        while (next_frame(fd, input, &frame)) {
                if (frame.type == FRAME_STDOUT)
                        assert_int_equal(buffer_append(&r->out, frame.payload, frame.size), 0);
                else if (frame.type == FRAME_ERROR)
                        take_error(&frame, r);
                else
                        r->code = frame.type == FRAME_REPLY ? 0 : -2;
                frame_release(input, &frame);
        }
}

static void send_all(int fd, const struct buffer *input)
{
        for (size_t at = 0; input != NULL && at < input->length; at += FRAME_STREAM_MAX) {
                size_t part = input->length - at;
                send_frame(fd, FRAME_STDIN, buffer_content(input) + at,
                           part < FRAME_STREAM_MAX ? part : FRAME_STREAM_MAX);
        }
        send_frame(fd, FRAME_STDIN, NULL, 0);
}

/* A whole conversation; input may be NULL. */
static void ask(struct world *w, const char *request, const struct buffer *input, struct result *r)
{
        struct buffer replies = BUFFER_INIT(8U << 20);
        struct frame frame;
        *r = (struct result){.code = -1};
        buffer_init(&r->out, 64U << 20);
        int fd = agent_host_connect(&w->host);
        send_text(fd, FRAME_REQUEST, request);
        do {
                if (!next_frame(fd, &replies, &frame))
                        fail_msg("no answer to %s", request);
                if (frame.type == FRAME_HELLO)
                        frame_release(&replies, &frame);
        } while (frame.type == FRAME_HELLO);
        if (frame.type == FRAME_ERROR) {
                take_error(&frame, r);
        } else {
                assert_int_equal(frame.type, FRAME_REPLY);
                (void)snprintf(r->first, sizeof(r->first), "%.*s", (int)frame.size, frame.payload);
                frame_release(&replies, &frame);
                send_all(fd, input);
                take_rest(fd, &replies, r);
        }
        buffer_done(&replies);
        (void)close(fd);
}

/* ---- tars ---- */

static int read_buffer(void *data, void *bytes, size_t size, struct error *err)
{
        struct buffer *b = data;
        if (size > b->length)
                return error_set(err, -EPIPE, "the end");
        memcpy(bytes, buffer_content(b), size);
        buffer_consume(b, size);
        return 0;
}

/* "TYPE name[=link]" of every entry, a line each, in the order they are in. free() it. */
static char *list(struct buffer *tar)
{
        struct tar_source source = {read_buffer, tar};
        cleanup_tar_reader struct tar_reader *reader = NULL;
        struct buffer text = BUFFER_INIT(1U << 20);
        struct error err = ERROR_INIT;
        struct tar_entry e;
        int r;
        assert_int_equal(tar_reader_new(&source, &reader), 0);
        while ((r = tar_reader_next(reader, &e, &err)) > 0)
                assert_int_equal(buffer_printf(&text, "%c %s%s%s\n", e.type, e.name,
                                               e.link[0] != '\0' ? "=" : "", e.link),
                                 0);
        if (r < 0)
                fail_msg("%s", err.text);
        return buffer_take(&text);
}

static void add(struct buffer *b, enum tar_type type, const char *name, const char *link, const char *content)
{
        static const char zeros[TAR_BLOCK];
        size_t size = content != NULL ? strlen(content) : 0;
        struct tar_entry e = {
            .type = type, .name = name, .link = link, .mode = 0755, .size = size, .uid = 1000, .gid = 100};
        assert_int_equal(tar_encode(&e, b), 0);
        assert_int_equal(buffer_append(b, content != NULL ? content : "", size), 0);
        assert_int_equal(buffer_append(b, zeros, tar_padding(size)), 0);
}

static void put_text(int dir, const char *name, const char *text)
{
        cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void expect_text(int dir, const char *name, const char *text)
{
        cleanup_free char *got = NULL;
        size_t size;
        int r = path_read_at(dir, name, 65536, &got, &size);
        if (r < 0)
                fail_msg("'%s': %s", name, strerror(-r));
        assert_string_equal(got, text);
}

/* ---- out ---- */

static void a_folder_comes_out_as_a_tar(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        begin(&w);
        assert_int_equal(mkdirat(w.root, "tmp/out", 0755), 0);
        put_text(w.root, "tmp/out/file", "inside");
        ask(&w, "{\"op\": \"archive\", \"path\": \"/tmp/out\"}", NULL, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        assert_non_null(strstr(r.first, "\"folder\":true"));
        cleanup_free char *text = list(&r.out);
        assert_string_equal(text, "5 .\n0 file\n");
        result_done(&r);
        ask(&w, "{\"op\": \"archive\", \"path\": \"/bin/sh\"}", NULL, &r); /* a link is itself */
        cleanup_free char *link = list(&r.out);
        assert_string_equal(link, "2 .=busybox\n");
        result_done(&r);
        ask(&w, "{\"op\": \"archive\", \"path\": \"/bin/sh\", \"follow\": true}", NULL, &r);
        cleanup_free char *file = list(&r.out);
        assert_string_equal(file, "0 .\n");
        result_done(&r);
        end(&w);
}

static void paths_are_the_containers(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        begin(&w);
        /* links that would lead somewhere else on this machine lead somewhere in the container */
        assert_int_equal(symlinkat("../../../../../../etc/passwd", w.root, "tmp/up"), 0);
        assert_int_equal(symlinkat("/etc/group", w.root, "tmp/away"), 0);
        static const char *const paths[] = {"/tmp/up", "/tmp/away", "/../../etc/passwd"};
        for (size_t i = 0; i < 3; i++) {
                char request[256];
                (void)snprintf(request, sizeof(request),
                               "{\"op\": \"archive\", \"path\": \"%s\", \"follow\": true}", paths[i]);
                ask(&w, request, NULL, &r);
                if (r.code != 0)
                        fail_msg("%s", r.message);
                assert_non_null(memmem(buffer_content(&r.out), r.out.length,
                                       i == 1 ? "wheel:x:10:alice,bob" : "alice:x:1000:100:Alice", 20));
                result_done(&r);
        }
        ask(&w, "{\"op\": \"archive\", \"path\": \"/proc/1/root/etc\"}", NULL, &r); /* a magic link is none */
        assert_int_not_equal(r.code, 0);
        result_done(&r);
        ask(&w, "{\"op\": \"archive\", \"path\": \"/missing\"}", NULL, &r);
        assert_int_equal(r.code, ENOENT);
        assert_non_null(strstr(r.message, "'/missing'"));
        result_done(&r);
        end(&w);
}

static void a_host_that_leaves_ends_the_work(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        begin(&w);
        int fd = agent_host_connect(&w.host);
        send_text(fd, FRAME_REQUEST, "{\"op\": \"archive\", \"path\": \"/\"}");
        (void)close(fd); /* in the middle: the rest of this case would hang or leak if it went on */
        fd = agent_host_connect(&w.host);
        send_text(fd, FRAME_REQUEST, "{\"op\": \"extract\", \"path\": \"/tmp\"}");
        (void)close(fd);
        ask(&w, "{\"op\": \"archive\", \"path\": \"/etc/passwd\"}", NULL, &r);
        assert_int_equal(r.code, 0);
        result_done(&r);
        end(&w);
}

static void a_stop_ends_the_work_and_says_so(void **state)
{
        (void)state;
        struct world w;
        struct buffer input = BUFFER_INIT(8U << 20);
        struct result r = {.code = -1};
        struct frame frame;
        begin(&w);
        buffer_init(&r.out, 1U << 20);
        int fd = agent_host_connect(&w.host);
        send_text(fd, FRAME_REQUEST, "{\"op\": \"extract\", \"path\": \"/tmp\"}");
        do {
                assert_true(next_frame(fd, &input, &frame));
                enum frame_type type = frame.type;
                frame_release(&input, &frame);
                if (type == FRAME_REPLY)
                        break;
        } while (true);
        end(&w); /* the work waits for a tar that never comes */
        take_rest(fd, &input, &r);
        assert_int_equal(r.code, ESHUTDOWN);
        (void)close(fd);
        buffer_done(&input);
        result_done(&r);
}

/* ---- in ---- */

static void files_go_in_with_or_without_their_owner(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        struct stat st;
        begin(&w);
        struct buffer tar = BUFFER_INIT(1U << 20);
        add(&tar, TAR_FOLDER, ".", "", NULL);
        add(&tar, TAR_FILE, "f", "", "inside");
        add(&tar, TAR_SYMLINK, "l", "f", NULL);
        assert_int_equal(tar_encode_end(&tar), 0);
        ask(&w,
            "{\"op\": \"extract\", \"path\": \"/tmp\", \"keep_owner\": true, \"source\": {\"folder\": true, "
            "\"name\": \"new\"}}",
            &tar, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        result_done(&r);
        expect_text(w.root, "tmp/new/f", "inside");
        assert_int_equal(fstatat(w.root, "tmp/new/l", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_uid, 1000);
        ask(&w,
            "{\"op\": \"extract\", \"path\": \"/tmp/other\", \"source\": {\"folder\": true, \"name\": "
            "\"new\"}}",
            &tar, &r);
        assert_int_equal(r.code, 0);
        result_done(&r);
        assert_int_equal(fstatat(w.root, "tmp/other/f", &st, 0), 0);
        assert_int_equal(st.st_uid, 0);
        buffer_done(&tar);
        end(&w);
}

static void what_goes_in_stays_in_the_container(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        begin(&w);
        struct buffer tar = BUFFER_INIT(1U << 20);
        add(&tar, TAR_FILE, ".", "", "inside");
        assert_int_equal(tar_encode_end(&tar), 0);
        assert_int_equal(symlinkat("../../../../../../home/target", w.root, "tmp/up"), 0);
        assert_int_equal(symlinkat("/home", w.root, "tmp/home"), 0);
        ask(&w, "{\"op\": \"extract\", \"path\": \"/tmp/up\", \"source\": {\"name\": \"f\"}}", &tar, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        result_done(&r);
        expect_text(w.root, "home/target", "inside");
        ask(&w, "{\"op\": \"extract\", \"path\": \"/tmp/home/../tmp/home\", \"source\": {\"name\": \"f\"}}",
            &tar, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        result_done(&r);
        expect_text(w.root, "home/f", "inside");
        static const char *const bad[] = {"a/b", "..", ".", ""};
        for (size_t i = 0; i < 4; i++) {
                char request[256];
                (void)snprintf(request, sizeof(request),
                               "{\"op\": \"extract\", \"path\": \"/tmp\", \"source\": {\"name\": \"%s\"}}",
                               bad[i]);
                ask(&w, request, NULL, &r);
                assert_int_equal(r.code, EINVAL);
                result_done(&r);
        }
        buffer_done(&tar);
        end(&w);
}

static void a_place_that_cannot_be_written_is_told(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        struct buffer tar = BUFFER_INIT(1U << 20);
        begin(&w);
        add(&tar, TAR_FILE, ".", "", "inside");
        assert_int_equal(tar_encode_end(&tar), 0);
        ask(&w, "{\"op\": \"extract\", \"path\": \"/proc/sys/new\", \"source\": {\"name\": \"f\"}}", &tar,
            &r);
        assert_true(r.code > 0);
        assert_non_null(strstr(r.message, "new"));
        result_done(&r);
        ask(&w, "{\"op\": \"extract\", \"path\": \"/missing/new\", \"source\": {\"name\": \"f\"}}", &tar, &r);
        assert_true(r.code > 0);
        assert_string_equal(r.first, "");
        result_done(&r);
        tar.length -= 700; /* cut off */
        ask(&w, "{\"op\": \"extract\", \"path\": \"/tmp/cut\", \"source\": {\"name\": \"f\"}}", &tar, &r);
        assert_true(r.code > 0);
        result_done(&r);
        buffer_done(&tar);
        end(&w);
}

/* ---- the whole box ---- */

static void the_root_is_exported(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        begin(&w);
        ask(&w, "{\"op\": \"export\"}", NULL, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        cleanup_free char *text = list(&r.out);
        assert_non_null(strstr(text, "\n0 etc/passwd\n"));
        assert_non_null(strstr(text, "\n2 bin/sh=busybox\n"));
        assert_non_null(strstr(text, "\n5 proc\n"));
        assert_null(strstr(text, "proc/")); /* what is mounted in the container is not its root's */
        result_done(&r);
        end(&w);
}

static void mark(int dir, const char *name, const char *attribute, const char *value)
{
        cleanup_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fsetxattr(fd, attribute, value, strlen(value), 0) < 0)
                unit_skip("this file system takes no trusted attributes");
}

/* An upper and a lower folder as overlayfs leaves them; "root" is what both are together, as far as it is
 * looked at. */
static void make_layers(struct world *w)
{
        static const char *const folders[] = {"run/lower", "run/disk/upper"}; /* run/disk is there */
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(mkdirat(w->host.folder, folders[i], 0755), 0);
        cleanup_fd int lower = openat(w->host.folder, "run/lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cleanup_fd int upper = openat(w->host.folder, "run/disk/upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        static const char *const of_lower[] = {"etc", "opaque", "same", "moved", "moded"};
        static const char *const of_upper[] = {"etc",   "opaque", "same", "renamed",
                                               "moded", "added",  "mnt",  "etc/made"};
        for (size_t i = 0; i < sizeof(of_lower) / sizeof(of_lower[0]); i++)
                assert_int_equal(mkdirat(lower, of_lower[i], 0755), 0);
        for (size_t i = 0; i < sizeof(of_upper) / sizeof(of_upper[0]); i++)
                assert_int_equal(mkdirat(upper, of_upper[i], 0755), 0);
        put_text(lower, "etc/conf", "old");
        put_text(lower, "etc/gone", "old");
        put_text(lower, "opaque/old", "old");
        put_text(lower, "opaque/both", "old");
        put_text(lower, "moved/file", "old");
        put_text(upper, "etc/conf", "new");
        assert_int_equal(mknodat(upper, "etc/gone", S_IFCHR, 0), 0);
        assert_int_equal(mknodat(upper, "moved", S_IFCHR, 0), 0);
        put_text(upper, "etc/hosts", "");
        put_text(upper, "opaque/both", "new");
        put_text(upper, "opaque/new", "new");
        put_text(upper, "added/file", "new");
        assert_int_equal(linkat(upper, "added/file", upper, "added/second", 0), 0);
        assert_int_equal(fchmodat(upper, "moded", 0700, 0), 0);
        mark(upper, "opaque", "trusted.overlay.opaque", "y");
        mark(upper, "renamed", "trusted.overlay.redirect", "/moved");
        assert_int_equal(mkdirat(w->root, "renamed", 0755), 0);
        put_text(w->root, "renamed/file", "old");
        struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        assert_int_equal(utimensat(lower, "same", times, 0), 0);
        assert_int_equal(utimensat(upper, "same", times, 0), 0);
}

static int by_line(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void changes_are_told_as_docker_tells_them(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        if (geteuid() != 0)
                unit_skip("needs root");
        begin(&w);
        make_layers(&w);
        ask(&w, "{\"op\": \"changes\", \"hidden\": [\"/etc/hosts\", \"/mnt\"]}", NULL, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        const char *lines[64];
        size_t count = 0;
        for (const char *at = buffer_content(&r.out); at < buffer_content(&r.out) + r.out.length;
             at += strlen(at) + 1)
                lines[count++] = at;
        qsort(lines, count, sizeof(lines[0]), by_line);
        static const char *const expected[] = {"A/added",        "A/added/file", "A/added/second",
                                               "A/etc/made",     "A/opaque/new", "A/renamed",
                                               "A/renamed/file", "C/etc",        "C/etc/conf",
                                               "C/moded",        "C/opaque",     "C/opaque/both",
                                               "D/etc/gone",     "D/moved",      "D/opaque/old"};
        for (size_t i = 0; i < count || i < sizeof(expected) / sizeof(expected[0]); i++) {
                assert_true(i < sizeof(expected) / sizeof(expected[0]));
                assert_true(i < count);
                assert_string_equal(lines[i], expected[i]);
        }
        result_done(&r);
        end(&w);
}

static void changes_are_told_as_a_layer(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        if (geteuid() != 0)
                unit_skip("needs root");
        begin(&w);
        make_layers(&w);
        ask(&w,
            "{\"op\": \"changes\", \"layer\": true, \"pause\": true, \"hidden\": [\"/etc/hosts\", \"/mnt\"]}",
            NULL, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        cleanup_free char *text = list(&r.out);
        static const char *const members[] = {"5 etc\n",
                                              "0 etc/conf\n",
                                              "0 etc/.wh.gone\n",
                                              "5 etc/made\n",
                                              "0 .wh.moved\n",
                                              "5 opaque\n",
                                              "0 opaque/.wh..wh..opq\n",
                                              "0 opaque/both\n",
                                              "5 renamed\n",
                                              "0 renamed/file\n",
                                              "5 moded\n"};
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
                if (strstr(text, members[i]) == NULL)
                        fail_msg("no '%s' in:\n%s", members[i], text);
        }
        assert_true(strstr(text, "5 etc\n") <
                    strstr(text, "0 etc/conf\n")); /* a folder before what is in it */
        assert_true(strstr(text, "1 added/file=added/second\n") != NULL ||
                    strstr(text, "1 added/second=added/file\n") != NULL);
        static const char *const others[] = {"hosts", "mnt", "same", "opaque/.wh.old", "3 "};
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                assert_null(strstr(text, others[i]));
        result_done(&r);
        end(&w);
}

/* ---- reports ---- */

static void processes_are_those_of_the_container(void **state)
{
        (void)state;
        struct world w;
        struct result r;
        struct error err = ERROR_INIT;
        begin(&w);
        ask(&w, "{\"op\": \"processes\"}", NULL, &r);
        if (r.code != 0)
                fail_msg("%s", r.message);
        cleanup_json json_t *document = NULL;
        assert_int_equal(json_parse(buffer_content(&r.out), r.out.length, "report", &document, &err), 0);
        const json_t *processes = json_object_get(document, "processes");
        assert_int_equal(json_array_size(processes), 1);
        const json_t *one = json_array_get(processes, 0);
        assert_int_equal(json_integer_value(json_object_get(one, "pid")), 1);
        assert_int_equal(json_integer_value(json_object_get(one, "ppid")), 0);
        assert_non_null(strstr(json_string_value(json_object_get(one, "command")), "sleep"));
        result_done(&r);
        ask(&w, "{\"op\": \"stats\"}", NULL, &r);
        assert_int_equal(r.code, 0);
        assert_non_null(memmem(buffer_content(&r.out), r.out.length, "\"machine_bytes\":", 16));
        result_done(&r);
        end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_folder_comes_out_as_a_tar),
    cmocka_unit_test(paths_are_the_containers),
    cmocka_unit_test(a_host_that_leaves_ends_the_work),
    cmocka_unit_test(a_stop_ends_the_work_and_says_so),
    cmocka_unit_test(files_go_in_with_or_without_their_owner),
    cmocka_unit_test(what_goes_in_stays_in_the_container),
    cmocka_unit_test(a_place_that_cannot_be_written_is_told),
    cmocka_unit_test(the_root_is_exported),
    cmocka_unit_test(changes_are_told_as_docker_tells_them),
    cmocka_unit_test(changes_are_told_as_a_layer),
    cmocka_unit_test(processes_are_those_of_the_container),
};
UNIT_TEST_MAIN(cases)
