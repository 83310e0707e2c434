/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "monitor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct logfile *open_log(int dir_fd, int64_t maximum, int64_t files)
{
        struct logfile *log;
        assert_int_equal(logfile_new(dir_fd, maximum, files, &log, NULL), 0);
        return log;
}

/* Puts a log's entries back together: lines with their newlines, partial ones without. */
static char *read_text(int dir_fd, const char *name, bool is_stderr)
{
        cleanup_free char *log = NULL;
        struct buffer text = BUFFER_INIT(8 << 20);
        assert_int_equal(path_read_at(dir_fd, name, 8 << 20, &log, NULL), 0);
        for (char *line = log, *end; *line != '\0'; line = end + 1) {
                cleanup_json json_t *json = NULL;
                end = strchr(line, '\n');
                assert_non_null(end);
                assert_int_equal(json_parse(line, (size_t)(end - line), "entry", &json, NULL), 0);
                const char *stream = json_string_value(json_object_get(json, "s"));
                if ((strcmp(stream, "stderr") == 0) != is_stderr)
                        continue;
                assert_int_equal(buffer_append_text(&text, json_string_value(json_object_get(json, "l"))), 0);
                if (!json_is_true(json_object_get(json, "p")))
                        assert_int_equal(buffer_append_text(&text, "\n"), 0);
        }
        return buffer_take(&text);
}

static void streams_are_split_into_lines(void **state)
{
        (void)state;
        int dir_fd;
        (void)unit_folder(&dir_fd);
        struct logfile *log = open_log(dir_fd, 1 << 20, 2);
        assert_int_equal(logfile_write(log, false, "on", 2), 0);
        assert_int_equal(logfile_write(log, true, "err\n\nlast", 9), 0);
        assert_int_equal(logfile_write(log, false, "e\ntwo\nthr", 9), 0);
        assert_int_equal(logfile_write(log, false, "ee\n", 3), 0);
        assert_int_equal(logfile_finish(log, true), 0);
        logfile_free(log);
        cleanup_free char *out = read_text(dir_fd, "log", false), *err = read_text(dir_fd, "log", true);
        assert_string_equal(out, "one\ntwo\nthree\n");
        assert_string_equal(err, "err\n\nlast");
}

static void long_lines_come_in_parts(void **state)
{
        (void)state;
        int dir_fd;
        size_t size = 5 * LOGFILE_LINE_MAX + 77;
        cleanup_free char *sent = malloc(size + 1);
        (void)unit_folder(&dir_fd);
        for (size_t i = 0; i < size; i += 2)
                memcpy(sent + i, "\xc3\xa9", i + 1 < size ? 2 : 1);
        sent[size - 1] = '\n';
        sent[size] = '\0';
        for (size_t step = 1; step < size; step = step * 7 + 1) {
                assert_true(unlinkat(dir_fd, "log", 0) == 0 || errno == ENOENT);
                struct logfile *log = open_log(dir_fd, 8 << 20, 1);
                for (size_t i = 0; i < size; i += step)
                        assert_int_equal(logfile_write(log, false, sent + i,
                                                       step < size - i ? step : size - i),
                                         0);
                logfile_free(log);
                cleanup_free char *got = read_text(dir_fd, "log", false);
                assert_string_equal(got, sent);
        }
}

static void files_rotate_within_their_limit(void **state)
{
        (void)state;
        int dir_fd;
        struct stat st;
        char line[64];
        (void)unit_folder(&dir_fd);
        struct logfile *log = open_log(dir_fd, 8192, 2);
        for (int i = 0; i < 1000; i++) {
                int n = snprintf(line, sizeof(line), "line %d\n", i);
                assert_int_equal(logfile_write(log, false, line, (size_t)n), 0);
        }
        logfile_free(log);
        assert_int_equal(fstatat(dir_fd, "log", &st, 0), 0);
        assert_true(st.st_size > 0 && st.st_size <= 4096);
        assert_int_equal(fstatat(dir_fd, "log.1", &st, 0), 0);
        assert_true(st.st_size > 2048 && st.st_size <= 4096);
        assert_int_equal(fstatat(dir_fd, "log.2", &st, 0), -1);
        cleanup_free char *one = read_text(dir_fd, "log.1", false), *two = read_text(dir_fd, "log", false);
        int last, first;
        assert_int_equal(sscanf(strrchr(one, 'l'), "line %d", &last), 1);
        assert_int_equal(sscanf(two, "line %d", &first), 1);
        assert_int_equal(first, last + 1);
}

static void one_file_only_starts_anew(void **state)
{
        (void)state;
        int dir_fd;
        struct stat st;
        (void)unit_folder(&dir_fd);
        struct logfile *log = open_log(dir_fd, 4096, 1);
        for (int i = 0; i < 200; i++)
                assert_int_equal(logfile_write(log, false, "something to say\n", 17), 0);
        logfile_free(log);
        assert_int_equal(fstatat(dir_fd, "log", &st, 0), 0);
        assert_true(st.st_size <= 4096);
        assert_int_equal(fstatat(dir_fd, "log.1", &st, 0), -1);
}

static void half_written_entries_are_cut_off(void **state)
{
        (void)state;
        int dir_fd;
        static const char before[] = "{\"t\":\"x\",\"s\":\"stdout\",\"l\":\"old\"}\n{\"t\":\"x\",\"s\":\"std";
        (void)unit_folder(&dir_fd);
        assert_int_equal(path_write_atomic_at(dir_fd, "log", before, sizeof(before) - 1, 0600), 0);
        struct logfile *log = open_log(dir_fd, 1 << 20, 2);
        assert_int_equal(logfile_write(log, false, "new\n", 4), 0);
        logfile_free(log);
        cleanup_free char *text = read_text(dir_fd, "log", false);
        assert_string_equal(text, "old\nnew\n");
}

static void a_failed_write_leaves_whole_entries(void **state)
{
        (void)state;
        int dir_fd;
        const struct rlimit small = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
        const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
        (void)unit_folder(&dir_fd);
        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        struct logfile *log = open_log(dir_fd, 1 << 20, 2);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int failed = 0;
        for (int i = 0; i < 50; i++)
                failed += logfile_write(log, false, "twenty characters ..\n", 21) == -EFBIG;
        assert_true(failed > 30);
        if (setrlimit(RLIMIT_FSIZE, &none) == 0)
                assert_int_equal(logfile_write(log, false, "again\n", 6), 0);
        logfile_free(log);
        cleanup_free char *text = read_text(dir_fd, "log", false); /* checks every entry */
        assert_non_null(strstr(text, "again"));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(streams_are_split_into_lines),     cmocka_unit_test(long_lines_come_in_parts),
    cmocka_unit_test(files_rotate_within_their_limit),  cmocka_unit_test(one_file_only_starts_anew),
    cmocka_unit_test(half_written_entries_are_cut_off), cmocka_unit_test(a_failed_write_leaves_whole_entries),
};

UNIT_TEST_MAIN(cases)
