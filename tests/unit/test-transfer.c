/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers with an agent that is not trusted: this test plays it, behind a vsock.sock of its own. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/copy.h"
#include "runtime/transfer.h"
#include "wire/frame.h"
#include "wire/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
        int folder, listener;
        pid_t agent;
        struct error err;
};

static void say(int fd, enum frame_type type, const void *payload, size_t size)
{
        struct buffer b = BUFFER_INIT(8U << 20);
        if (frame_append(&b, type, payload, size) == 0)
                (void)fd_write_full(fd, buffer_content(&b), b.length); /* the other side may have left */
        buffer_done(&b);
}

static void say_text(int fd, enum frame_type type, const char *text)
{
        say(fd, type, text, strlen(text));
}

/* Takes the caller's line and its first frames; greets. */
static int accept_caller(int listener)
{
        struct frame_hello hello;
        char line[sizeof("CONNECT 1025\n") - 1], header[FRAME_HEADER_SIZE + sizeof(hello)];
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || fd_read_full(fd, line, sizeof(line)) != (ssize_t)sizeof(line) ||
            memcmp(line, "CONNECT 1025\n", sizeof(line)) != 0)
                _exit(9);
        (void)fd_write_full(fd, "OK 77\n", 6);
        frame_hello_make(&hello);
        say(fd, FRAME_HELLO, &hello, sizeof(hello));
        (void)fd_read_full(fd, header, sizeof(header)); /* its hello; the request stays in the socket */
        return fd;
}

static void begin(struct world *w, void (*play)(int fd))
{
        *w = (struct world){.folder = -1};
        (void)unit_folder(&w->folder);
        w->listener = unix_listen_at(w->folder, "vsock.sock", SOCK_STREAM, 8);
        assert_true(w->listener >= 0);
        w->agent = fork();
        if (w->agent == 0) {
                (void)alarm(50);
                play(accept_caller(w->listener));
                _exit(0);
        }
}

static void end(struct world *w)
{
        (void)close(w->listener);
        (void)kill(w->agent, SIGKILL);
        assert_int_equal(waitpid(w->agent, NULL, 0), w->agent);
}

static int open_one(struct world *w, const struct transfer_watch *watch, struct transfer **ret,
                    json_t **ret_reply)
{
        cleanup_json json_t *request = json_pack("{s:s}", "op", "archive");
        return transfer_open(w->folder, request, watch, ret, ret_reply, &w->err);
}

/* ---- agents ---- */

static void refuses(int fd)
{
        say_text(fd, FRAME_ERROR, "{\"errno\": 2, \"message\": \"find '/x\\u001b[0m': there is none\"}");
        (void)pause();
}

static void talks_nonsense(int fd)
{
        say_text(fd, FRAME_EXIT, "....");
        (void)pause();
}

static void replies_with_nonsense(int fd)
{
        say_text(fd, FRAME_REPLY, "{\"a\": ");
        (void)pause();
}

static void hangs_up(int fd)
{
        (void)close(fd);
}

static void says_nothing_more(int fd)
{
        say_text(fd, FRAME_REPLY, "{}");
        (void)pause();
}

/* More than anybody wants: the caller must not keep it all. */
static void floods(int fd)
{
        static const char bytes[FRAME_STREAM_MAX];
        say_text(fd, FRAME_REPLY, "{}");
        for (int i = 0; i < 1600; i++) /* 100 MiB */
                say(fd, FRAME_STDOUT, bytes, sizeof(bytes));
        say(fd, FRAME_STDOUT, NULL, 0);
        say_text(fd, FRAME_REPLY, "{}");
}

static void ends_early_with_a_reason(int fd)
{
        say_text(fd, FRAME_REPLY, "{\"folder\": true}");
        say_text(fd, FRAME_STDOUT, "half a ta");
        say(fd, FRAME_STDOUT, NULL, 0);
        say_text(fd, FRAME_ERROR, "{\"errno\": 5, \"message\": \"read '/x': broken\"}");
        (void)pause();
}

static void ends_early_without_one(int fd)
{
        say_text(fd, FRAME_REPLY, "{}");
        say_text(fd, FRAME_STDOUT, "half a ta");
        say(fd, FRAME_STDOUT, NULL, 0);
        say_text(fd, FRAME_REPLY, "{}");
        (void)pause();
}

static void fails_while_it_is_written_to(int fd)
{
        char bytes[4096];
        say_text(fd, FRAME_REPLY, "{}");
        (void)fd_read_full(fd, bytes, sizeof(bytes)); /* a little of it */
        say_text(fd, FRAME_ERROR, "{\"errno\": 28, \"message\": \"write '/x': No space left on device\"}");
        while (read(fd, bytes, sizeof(bytes)) > 0)
                ;
}

static void leads_out(int fd)
{
        struct buffer tar = BUFFER_INIT(1U << 20);
        struct tar_entry folder = {.type = TAR_FOLDER, .name = ".", .link = ""},
                         file = {.type = TAR_FILE, .name = "../out", .link = ""};
        if (tar_encode(&folder, &tar) < 0 || tar_encode(&file, &tar) < 0 || tar_encode_end(&tar) < 0)
                _exit(9);
        say_text(fd, FRAME_REPLY, "{}");
        say(fd, FRAME_STDOUT, buffer_content(&tar), tar.length);
        say(fd, FRAME_STDOUT, NULL, 0);
        say_text(fd, FRAME_REPLY, "{}");
        (void)pause();
}

/* ---- cases ---- */

static void first_words_that_are_no_answer(void **state)
{
        static const struct {
                void (*play)(int fd);
                int code;
        } cases[] = {{refuses, -ENOENT},
                     {talks_nonsense, -EPROTO},
                     {replies_with_nonsense, -EBADMSG},
                     {hangs_up, -ECONNRESET}};
        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct world w;
                struct transfer *t;
                begin(&w, cases[i].play);
                int r = open_one(&w, NULL, &t, NULL);
                if (r != cases[i].code)
                        fail_msg("case %zu gives %d: %s", i, r, w.err.text);
                assert_null(strchr(w.err.text, '\033'));
                end(&w);
                (void)close(w.folder);
        }
        (void)unit_folder(NULL); /* the harness closes the last one it gave out */
}

static void nobody_there_is_told(void **state)
{
        (void)state;
        struct world w = {.folder = -1};
        struct transfer *t;
        (void)unit_folder(&w.folder);
        assert_int_equal(open_one(&w, NULL, &t, NULL), -ENOENT);
}

static int cancel(const struct boxlet_progress *progress, void *data)
{
        int *asked = data;
        assert_string_equal(progress->item, "files");
        return ++*asked > 3;
}

static void silence_can_be_cancelled(void **state)
{
        (void)state;
        struct world w;
        cleanup_transfer struct transfer *t = NULL;
        int asked = 0;
        char byte;
        struct transfer_watch watch = {cancel, &asked, "files", 0};
        begin(&w, says_nothing_more);
        assert_int_equal(open_one(&w, &watch, &t, NULL), 0);
        assert_int_equal(transfer_read(t, &byte, 1, &w.err), -ECANCELED);
        assert_int_equal(asked, 4);
        end(&w);
}

static void a_flood_is_taken_as_it_is_read(void **state)
{
        (void)state;
        struct world w;
        cleanup_transfer struct transfer *t = NULL;
        char *bytes = NULL;
        size_t size;
        begin(&w, floods);
        assert_int_equal(open_one(&w, NULL, &t, NULL), 0);
        assert_int_equal(transfer_read_all(t, 1U << 20, &bytes, &size, &w.err), -EMSGSIZE);
        assert_null(bytes);
        end(&w);
        (void)close(w.folder);
        begin(&w, floods);
        transfer_free(t);
        t = NULL;
        assert_int_equal(open_one(&w, NULL, &t, NULL), 0);
        assert_int_equal(transfer_finish(t, &w.err), 0); /* thrown away */
        end(&w);
}

static void an_early_end_is_an_error(void **state)
{
        (void)state;
        struct world w;
        char bytes[TAR_BLOCK];
        cleanup_transfer struct transfer *t = NULL;
        cleanup_json json_t *reply = NULL;
        begin(&w, ends_early_with_a_reason);
        assert_int_equal(open_one(&w, NULL, &t, &reply), 0);
        assert_true(json_is_true(json_object_get(reply, "folder")));
        assert_int_equal(transfer_read(t, bytes, sizeof(bytes), &w.err), -EIO);
        assert_string_equal(w.err.text, "read '/x': broken");
        end(&w);
        (void)close(w.folder);
        transfer_free(t);
        t = NULL;
        begin(&w, ends_early_without_one);
        assert_int_equal(open_one(&w, NULL, &t, NULL), 0);
        assert_int_equal(transfer_read(t, bytes, sizeof(bytes), &w.err), -EBADMSG);
        end(&w);
}

static void a_failure_while_writing_stops_the_writing(void **state)
{
        (void)state;
        static const char bytes[1U << 20];
        struct world w;
        cleanup_transfer struct transfer *t = NULL;
        int r = 0, i = 0;
        begin(&w, fails_while_it_is_written_to);
        assert_int_equal(open_one(&w, NULL, &t, NULL), 0);
        for (; r == 0 && i < 100; i++)
                r = transfer_write(t, bytes, sizeof(bytes), &w.err);
        if (r == 0)
                r = transfer_finish(t, &w.err);
        assert_int_equal(r, -ENOSPC);
        assert_string_equal(w.err.text, "write '/x': No space left on device");
        end(&w);
}

static void a_tar_that_leads_out_is_not_handed_on(void **state)
{
        (void)state;
        struct world w;
        cleanup_transfer struct transfer *t = NULL;
        cleanup_tar_reader struct tar_reader *reader = NULL;
        begin(&w, leads_out);
        cleanup_fd int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
        struct pack_sink sink = {copy_to_fd, &out};
        assert_int_equal(open_one(&w, NULL, &t, NULL), 0);
        struct tar_source source = {transfer_read, t};
        assert_int_equal(tar_reader_new(&source, &reader), 0);
        assert_int_equal(copy_tar_on(reader, "top", &sink, &w.err), -EBADMSG);
        assert_non_null(strstr(w.err.text, "'../out'"));
        end(&w);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(first_words_that_are_no_answer),
    cmocka_unit_test(nobody_there_is_told),
    cmocka_unit_test(silence_can_be_cancelled),
    cmocka_unit_test(a_flood_is_taken_as_it_is_read),
    cmocka_unit_test(an_early_end_is_an_error),
    cmocka_unit_test(a_failure_while_writing_stops_the_writing),
    cmocka_unit_test(a_tar_that_leads_out_is_not_handed_on),
};
UNIT_TEST_MAIN(cases)
