/* SPDX-License-Identifier: Apache-2.0 */
/* Containers made by the agent on this machine: see agent-host.h. */
#include "harness.h"

#include "agent-host.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_ended(const struct outcome *o, int code, const char *out)
{
        if (o->refused != 0)
                fail_msg("refused with %d: %s", o->refused, o->message);
        if (o->code != code || o->signal != 0)
                fail_msg("code %d, signal %d, stdout '%s', stderr '%s'", o->code, o->signal,
                         buffer_content(&o->out), buffer_content(&o->err));
        assert_true(o->exited);
        if (out != NULL)
                assert_string_equal(buffer_content(&o->out), out);
}

/* Starts a container with these members and takes all of it to the end. */
static void run(const char *process, const char *linux_extra, const char *extra, const char *input,
                struct outcome *ret_outcome)
{
        struct agent_host host;
        agent_host_start(&host);
        cleanup_free char *request = start_request(process, linux_extra, extra);
        converse(&host, request, input, ret_outcome);
        agent_host_stop(&host);
}

#define SCRIPT(text) "\"args\": [\"sh\", \"-c\", \"" text "\"]"

static void runs_and_tells_output_and_code(void **state)
{
        (void)state;
        struct outcome o;
        run(SCRIPT("echo out; echo err >&2; cat; exit 7"), "", "", "input\n", &o);
        check_ended(&o, 7, "out\ninput\n");
        assert_string_equal(buffer_content(&o.err), "err\n");
        assert_int_equal(o.pid, 1);
        outcome_done(&o);
}

static void profile_is_as_asked(void **state)
{
        (void)state;
        struct outcome o;
        run(SCRIPT("hostname; pwd; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status "
                   "| tr '\\t' ' ';"
                   "grep ^0:: /proc/self/cgroup; ls /secret; ls / | tr '\\n' ' ';"
                   "echo 1 2>/dev/null > /proc/sys/kernel/hostname || echo proc ro;"
                   "touch /sys/fs/cgroup/x 2>/dev/null || echo cgroup ro; cat /etc/hosts;"
                   "ls /dev | tr '\\n' ' '; cat /proc/kcore | wc -c; echo $HOME; ls /proc/self/fd | wc -l"),
            "", "", NULL, &o);
        check_ended(&o, 0,
                    "unit\n/\n"
                    "CapInh: 0000000000000000\nCapPrm: 00000000080000e3\nCapEff: 00000000080000e3\n"
                    "CapBnd: 00000000080000e3\nCapAmb: 0000000000000000\nNoNewPrivs: 0\nSeccomp: 2\n"
                    "0::/\nbin dev etc home proc secret sys tmp "
                    "proc ro\ncgroup ro\n127.0.0.1\tlocalhost\n"
                    "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
                    "0\n/root\n4\n");
        outcome_done(&o);
}

static void user_is_looked_up_in_the_image(void **state)
{
        (void)state;
        struct outcome o;
        run("\"user\": {\"username\": \"alice\"}, \"noNewPrivileges\": true, "
            "\"rlimits\": [{\"type\": \"RLIMIT_NOFILE\", \"soft\": 123, \"hard\": 456}], " SCRIPT(
                "id; echo $HOME; grep -E 'CapEff|NoNewPrivs' /proc/self/status | tr '\\t' ' '; ulimit -n; "
                "ulimit -Hn;"
                "echo again > /dev/stdout"),
            "", "", NULL, &o);
        check_ended(&o, 0,
                    "uid=1000(alice) gid=100(users) groups=10(wheel),29(audio),100(users)\n/home/alice\n"
                    "CapEff: 0000000000000000\nNoNewPrivs: 1\n123\n456\nagain\n");
        outcome_done(&o);
}

static void missing_things_are_told_apart(void **state)
{
        (void)state;
        static const struct {
                const char *process;
                int code;
                const char *message;
        } table[] = {
            {"\"args\": [\"nothing-here\"]", ENOENT,
             "exec 'nothing-here': executable file not found in $PATH"},
            {"\"args\": [\"/nothing\"]", ENOENT, "exec '/nothing': No such file or directory"},
            {"\"args\": [\"not-executable\"]", EACCES, "exec 'not-executable': Permission denied"},
            {"\"args\": [\"/bin\"]", EACCES, "exec '/bin': Permission denied"},
            {"\"args\": [\"not-a-program\"]", ENOEXEC, "exec 'not-a-program': Exec format error"},
            {"\"args\": [\"true\"], \"user\": {\"username\": \"nobody\"}", EINVAL,
             "find user 'nobody': no such entry in the image's /etc/passwd"},
        };
        struct agent_host host;
        agent_host_start(&host);
        int fd = start_sleeper(&host);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct outcome o;
                cleanup_free char *request = NULL;
                assert_true(asprintf(&request, "{\"op\": \"exec\", \"process\": {%s}}", table[i].process) >
                            0);
                converse(&host, request, NULL, &o);
                assert_string_equal(o.message, table[i].message);
                assert_int_equal(o.refused, table[i].code);
                outcome_done(&o);
        }
        (void)close(fd);
        agent_host_stop(&host);
}

static void start_of_nothing_is_refused(void **state)
{
        (void)state;
        struct outcome o;
        run("\"args\": [\"nothing-here\"]", "", "", NULL, &o);
        assert_int_equal(o.refused, ENOENT);
        assert_string_equal(o.message, "exec 'nothing-here': executable file not found in $PATH");
        outcome_done(&o);
}

static void exec_joins_the_container(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int fd = start_sleeper(&host);
        exec_script(
            &host,
            "hostname; cat /proc/1/cmdline | tr '\\\\0' ' '; echo; grep ^0:: /proc/self/cgroup; exit 3", "",
            &o);
        check_ended(&o, 3, "unit\nsleep 1000 \n0::/exec-1\n");
        outcome_done(&o);
        exec_script(&host, "kill -9 $$", "", &o);
        assert_int_equal(o.signal, SIGKILL);
        outcome_done(&o);
        converse(&host, "{\"op\": \"exec\", \"process\": {\"args\": [\"nothing-here\"]}}", NULL, &o);
        assert_int_equal(o.refused, ENOENT);
        outcome_done(&o);
        (void)close(fd);
        agent_host_stop(&host);
}

/* ---- streams ---- */

/* Sends and receives at once; returns how many bytes came back, checked against the pattern. */
static size_t pump(int fd, size_t total)
{
        static char chunk[FRAME_STREAM_MAX];
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        cleanup_buffer struct buffer output = BUFFER_INIT(1U << 20);
        size_t sent = 0, received = 0;
        bool ended = false;
        for (size_t i = 0; i < sizeof(chunk); i++)
                chunk[i] = (char)(i * 7);
        while (!ended) {
                struct pollfd p = {.fd = fd,
                                   .events = POLLIN | (sent < total || output.length > 0 ? POLLOUT : 0)};
                assert_true(poll(&p, 1, -1) > 0);
                if (output.length == 0 && sent < total) {
                        assert_int_equal(frame_append(&output, FRAME_STDIN, chunk, sizeof(chunk)), 0);
                        sent += sizeof(chunk);
                        if (sent >= total)
                                assert_int_equal(frame_append(&output, FRAME_STDIN, NULL, 0), 0);
                }
                if (p.revents & POLLOUT) {
                        ssize_t n =
                            send(fd, buffer_content(&output), output.length, MSG_DONTWAIT | MSG_NOSIGNAL);
                        if (n > 0)
                                buffer_consume(&output, (size_t)n);
                }
                if (!(p.revents & (POLLIN | POLLHUP)))
                        continue;
                struct frame frame;
                assert_true(next_frame(fd, &input, &frame));
                if (frame.type == FRAME_STDOUT) {
                        for (uint32_t i = 0; i < frame.size; i++) {
                                if ((char)frame.payload[i] != chunk[(received + i) % sizeof(chunk)])
                                        fail_msg("byte %zu is wrong", received + i);
                        }
                        received += frame.size;
                }
                ended = frame.type == FRAME_EXIT || frame.type == FRAME_ERROR;
                frame_release(&input, &frame);
        }
        return received;
}

static void much_data_goes_both_ways_at_once(void **state)
{
        (void)state;
        struct agent_host host;
        const size_t total = 48U << 20;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST,
                  "{\"op\": \"exec\", \"process\": {\"args\": [\"cat\"]}, \"stdin\": true}");
        assert_int_equal(pump(fd, total), total);
        (void)close(fd);
        (void)close(init);
        agent_host_stop(&host);
}

static void output_of_a_fast_command_is_whole(void **state)
{
        (void)state;
        struct agent_host host;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        for (int i = 0; i < 50; i++) {
                struct outcome o;
                exec_script(&host, "echo out; echo err >&2", "", &o);
                check_ended(&o, 0, "out\n");
                assert_string_equal(buffer_content(&o.err), "err\n");
                outcome_done(&o);
        }
        struct outcome o;
        exec_script(&host, "head -c 10000000 /dev/zero >&2", "", &o);
        check_ended(&o, 0, "");
        assert_int_equal(o.err.length, 10000000);
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

/* Waits until so many processes have these words as their arguments. */
static void await_processes(struct agent_host *host, const char *words, int expected)
{
        int count = -1;
        for (int i = 0; i < 200 && count != expected; i++) {
                struct outcome o;
                char script[128];
                (void)snprintf(script, sizeof(script), "ps -o args | grep -c '^%s'", words);
                exec_script(host, script, "", &o);
                count = atoi(buffer_content(&o.out));
                outcome_done(&o);
        }
        assert_int_equal(count, expected);
}

static void a_child_left_behind_does_not_hold_up_the_exit(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        exec_script(&host, "sleep 1000 & yes & echo $!", "", &o);
        assert_true(o.exited);
        assert_int_equal(o.code, 0);
        outcome_done(&o);
        await_processes(&host, "sleep 1000", 2); /* init, and the one left behind */
        (void)close(init);
        agent_host_stop(&host);
}

static void input_nobody_reads_does_no_harm(void **state)
{
        (void)state;
        static char chunk[FRAME_STREAM_MAX];
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST,
                  "{\"op\": \"exec\", \"process\": {\"args\": [\"true\"]}, \"stdin\": true}");
        for (int i = 0; i < 20; i++)
                send_frame(fd, FRAME_STDIN, chunk, sizeof(chunk));
        finish(fd, &o);
        assert_true(o.exited);
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

static void an_exec_ends_with_its_connection(void **state)
{
        (void)state;
        static char chunk[FRAME_STREAM_MAX];
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        for (int flood = 0; flood < 2; flood++) {
                cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
                int fd = agent_host_connect(&host);
                send_text(fd, FRAME_REQUEST,
                          "{\"op\": \"exec\", \"stdin\": true, \"process\": {\"args\": [\"sh\", \"-c\", "
                          "\"sleep 2001 & sleep "
                          "2001 & sleep 2001\"]}}");
                await_reply(fd, &input, &o);
                outcome_done(&o);
                for (int i = 0; flood && i < 6;
                     i++) /* more than the pipe takes, so that the channel is paused */
                        send_frame(fd, FRAME_STDIN, chunk, sizeof(chunk));
                (void)close(fd);
                await_processes(&host, "sleep 2001", 0);
        }
        (void)close(init);
        agent_host_stop(&host);
}

static void time_out_ends_all_of_an_exec(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        exec_script(&host, "echo begun; sleep 2002 & sleep 2002", ", \"timeout_ms\": 100", &o);
        assert_int_equal(o.signal, SIGKILL);
        assert_int_equal(o.flags, FRAME_EXIT_TIMED_OUT);
        assert_string_equal(buffer_content(&o.out), "begun\n");
        outcome_done(&o);
        await_processes(&host, "sleep 2002", 0);
        (void)close(init);
        agent_host_stop(&host);
}

static void a_detached_exec_goes_on(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        int init = start_sleeper(&host);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST,
                  "{\"op\": \"exec\", \"detached\": true, \"process\": {\"args\": [\"sh\", \"-c\", \"echo x; "
                  "sleep 2003; true\"]}}");
        await_reply(fd, &input, &o);
        assert_true(o.pid > 1);
        outcome_done(&o);
        (void)close(fd);
        await_processes(&host, "sleep 2003", 1);
        (void)close(init);
        agent_host_stop(&host);
}

static void signals_reach_the_process(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct frame_signal number;
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        cleanup_free char *request =
            start_request(SCRIPT("trap 'echo got; exit 5' USR1; while true; do sleep 0.01; done"), "", "");
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, request);
        await_reply(fd, &input, &o);
        outcome_done(&o);
        exec_script(&host, "sleep 0.2", "", &o); /* until the trap is set */
        outcome_done(&o);
        frame_signal_make(SIGUSR1, &number);
        send_frame(fd, FRAME_SIGNAL, &number, sizeof(number));
        finish(fd, &o);
        check_ended(&o, 5, "got\n");
        outcome_done(&o);
        agent_host_stop(&host);
}

static void tiny_init_reaps_and_passes_on(void **state)
{
        (void)state;
        struct outcome o;
        run(SCRIPT("echo pid $$; (sleep 0.01 & ) ; sleep 0.1; ps -o args | grep -c '^.sleep. sleep 0.01'; "
                   "read x < "
                   "/proc/1/comm; echo $x;"
                   "trap 'exit 9' TERM; kill -TERM 1; sleep 5; exit 1"),
            "", ", \"annotations\": {\"boxlet.init\": \"true\"}", NULL, &o);
        check_ended(&o, 9, "pid 2\n0\nboxlet-init\n");
        assert_int_equal(o.pid, 1);
        outcome_done(&o);
}

/* ---- terminals ---- */

static void a_terminal_is_one(void **state)
{
        (void)state;
        struct outcome o;
        struct agent_host host;
        agent_host_start(&host);
        cleanup_free char *request =
            start_request("\"terminal\": true, \"consoleSize\": {\"height\": 33, \"width\": 77}, " SCRIPT(
                              "tty; stty size; tty < /dev/console; [ -c /dev/console ] && echo char; echo "
                              "err >&2; read line; echo got $line; cat"),
                          "", "");
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, request);
        send_text(fd, FRAME_STDIN, "words\nlast\n");
        send_frame(fd, FRAME_STDIN, NULL, 0);
        finish(fd, &o);
        assert_int_equal(o.refused, 0);
        /* the echo of the input may come anywhere before it is read */
        assert_non_null(strstr(buffer_content(&o.out), "/dev/pts/0\r\n"));
        assert_non_null(strstr(buffer_content(&o.out), "33 77\r\n"));
        assert_non_null(strstr(buffer_content(&o.out), "char\r\n"));
        assert_non_null(strstr(buffer_content(&o.out), "err\r\n"));
        assert_non_null(strstr(buffer_content(&o.out), "got words\r\n"));
        assert_int_equal(o.code, 0);
        assert_int_equal(o.err.length, 0);
        outcome_done(&o);
        agent_host_stop(&host);
}

static void a_terminal_changes_size_and_interrupts(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct frame_resize size;
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        int init = start_sleeper(&host);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST,
                  "{\"op\": \"exec\", \"stdin\": true, \"process\": {\"terminal\": true, \"args\": [\"sh\", "
                  "\"-c\", \"read x; stty "
                  "size; tty; echo go; exec sleep 1000\"]}}");
        await_reply(fd, &input, &o);
        outcome_done(&o);
        frame_resize_make(44, 99, &size);
        send_frame(fd, FRAME_RESIZE, &size, sizeof(size));
        send_text(fd, FRAME_STDIN, "\n");
        struct frame frame;
        cleanup_buffer struct buffer seen = BUFFER_INIT(1U << 20);
        while (strstr(buffer_content(&seen), "go\r\n") == NULL) {
                assert_true(next_frame(fd, &input, &frame));
                if (frame.type == FRAME_STDOUT)
                        assert_int_equal(buffer_append(&seen, frame.payload, frame.size), 0);
                frame_release(&input, &frame);
        }
        assert_non_null(strstr(buffer_content(&seen), "44 99\r\n"));
        assert_non_null(strstr(buffer_content(&seen), "/dev/pts/0\r\n"));
        send_text(fd, FRAME_STDIN, "\003");
        finish(fd, &o);
        assert_int_equal(o.signal, SIGINT);
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

/* ---- many ---- */

static void sixty_four_execs_at_once(void **state)
{
        (void)state;
        struct agent_host host;
        int fds[64];
        agent_host_start(&host);
        int init = start_sleeper(&host);
        for (size_t i = 0; i < 64; i++) {
                fds[i] = agent_host_connect(&host);
                send_text(fds[i], FRAME_REQUEST,
                          "{\"op\": \"exec\", \"process\": {\"args\": [\"sh\", \"-c\", \"echo $$; head -c "
                          "100000 /dev/zero\"]}}");
        }
        for (size_t i = 0; i < 64; i++) {
                struct outcome o;
                finish(fds[i], &o);
                check_ended(&o, 0, NULL);
                assert_true(o.out.length > 100000);
                outcome_done(&o);
        }
        (void)close(init);
        agent_host_stop(&host);
}

/* What the agent (pid 1 of its namespace, our child's child) holds open. */
static int count_agent_fds(const struct agent_host *host)
{
        char path[64];
        FILE *f;
        int pid, count = 0;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)host->pid, (int)host->pid);
        f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%d", &pid), 1);
        (void)fclose(f);
        (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        cleanup_dir DIR *dir = opendir(path);
        assert_non_null(dir);
        while (readdir(dir) != NULL)
                count++;
        return count;
}

static void a_thousand_execs_leave_nothing(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        exec_script(&host, "true", "", &o);
        outcome_done(&o);
        int before = count_agent_fds(&host);
        for (int i = 0; i < 1000; i++) {
                converse(&host, "{\"op\": \"exec\", \"process\": {\"args\": [\"true\"]}}", NULL, &o);
                check_ended(&o, 0, "");
                outcome_done(&o);
        }
        for (int i = 0; i < 50; i++) { /* failures leave nothing either */
                converse(&host, "{\"op\": \"exec\", \"process\": {\"args\": [\"nothing\"]}}", NULL, &o);
                assert_int_equal(o.refused, ENOENT);
                outcome_done(&o);
        }
        exec_script(&host, "ls -d /sys/fs/cgroup/exec-* | wc -l; ps | wc -l", "", &o);
        assert_string_equal(buffer_content(&o.out), "1\n5\n");
        outcome_done(&o);
        /* the agent may not have seen the end of the last connection yet */
        for (int i = 0; i < 500 && count_agent_fds(&host) > before; i++)
                (void)usleep(10000);
        assert_true(count_agent_fds(&host) <= before);
        (void)close(init);
        agent_host_stop(&host);
}

/* ---- what is wrong ---- */

static void frames_that_lie_end_only_their_connection(void **state)
{
        (void)state;
        static const struct {
                const char *bytes;
                size_t size;
        } lies[] = {
            {"\xff\xff\xff\xff\x02\0\0\0", 8}, {"\0\0\0\0\x63\0\0\0", 8},    {"\x04\0\0\0\x0a\0\0\x01", 8},
            {"\0\0\0\0\x06\0\0\0", 8},         {"\x01\0\0\0\x02\0\0\0[", 9}, {"\x02\0\0\0\x02\0\0\0{}", 10},
            {"\0\0\0\0\x0b\0\0\0", 8},
        };
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
                int fd = agent_host_connect(&host);
                assert_int_equal(send(fd, lies[i].bytes, lies[i].size, 0), (ssize_t)lies[i].size);
                finish(fd, &o);
                assert_false(o.exited);
                outcome_done(&o);
        }
        int silent = agent_host_connect(&host);
        exec_script(&host, "echo alive", "", &o);
        check_ended(&o, 0, "alive\n");
        outcome_done(&o);
        (void)close(silent);
        (void)close(init);
        agent_host_stop(&host);
}

static void what_cannot_be_carried_out_is_refused_by_name(void **state)
{
        (void)state;
        static const struct {
                const char *linux_extra, *extra;
                const char *message;
        } table[] = {
            {", \"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\"}", "",
             "read spec: 'linux.seccomp' is not supported"},
            {", \"resources\": {\"blockIO\": {\"weight\": 10}}", "",
             "read spec: 'linux.resources.blockIO' is not supported"},
            {"", ", \"hooks\": {\"prestart\": [{\"path\": \"/x\"}]}",
             "read spec: 'hooks.prestart' is not supported"},
        };
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                cleanup_free char *request =
                    start_request("\"args\": [\"true\"]", table[i].linux_extra, table[i].extra);
                converse(&host, request, NULL, &o);
                assert_int_equal(o.refused, EOPNOTSUPP);
                assert_string_equal(o.message, table[i].message);
                outcome_done(&o);
        }
        cleanup_free char *good =
            start_request(SCRIPT("exit 4"), "", ""); /* none of these counted as the one start */
        converse(&host, good, NULL, &o);
        check_ended(&o, 4, "");
        outcome_done(&o);
        converse(&host, good, NULL, &o);
        assert_int_equal(o.refused, EALREADY);
        outcome_done(&o);
        exec_script(&host, "true", "", &o);
        assert_int_equal(o.refused, ESRCH);
        outcome_done(&o);
        agent_host_stop(&host);
}

static void mounts_stay_inside_the_root(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        char outside[300];
        (void)snprintf(outside, sizeof(outside), "%s/outside", host.path);
        assert_int_equal(mkdir(outside, 0755), 0);
        assert_int_equal(symlinkat(outside, host.folder, "run/root/way-out"), 0);
        assert_int_equal(symlinkat("../../../../../../../../tmp", host.folder, "run/root/up"), 0);
        cleanup_free char *request = start_request(SCRIPT("true"), "", "");
        /* the mounts come before the others, by hand */
        cleanup_free char *more = NULL;
        char *at = strstr(request, "\"mounts\": [");
        assert_non_null(at);
        at += strlen("\"mounts\": [");
        assert_true(
            asprintf(&more,
                     "%.*s{\"destination\": \"/way-out/m\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"},"
                     "{\"destination\": \"/up/m/n\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"},"
                     "{\"destination\": \"/made/by/../us\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"},%s",
                     (int)(at - request), request, at) > 0);
        converse(&host, more, NULL, &o);
        check_ended(&o, 0, NULL);
        assert_int_equal(rmdir(outside), 0); /* empty: nothing was made there */
        assert_int_equal(faccessat(host.folder, "run/root/tmp/m/n", F_OK, 0), 0);
        outcome_done(&o);
        agent_host_stop(&host);
}

static void vsock_is_not_for_the_container(void **state)
{
        (void)state;
        struct outcome o;
        /* no tool of busybox opens such a socket: the filter is seen in the status, the rest in
         * test-agent-seccomp */
        run(SCRIPT("grep Seccomp_filters: /proc/self/status | tr '\\t' ' '"), "", "", NULL, &o);
        check_ended(&o, 0, "Seccomp_filters: 1\n");
        outcome_done(&o);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(runs_and_tells_output_and_code),
    cmocka_unit_test(profile_is_as_asked),
    cmocka_unit_test(user_is_looked_up_in_the_image),
    cmocka_unit_test(missing_things_are_told_apart),
    cmocka_unit_test(start_of_nothing_is_refused),
    cmocka_unit_test(exec_joins_the_container),
    cmocka_unit_test(much_data_goes_both_ways_at_once),
    cmocka_unit_test(output_of_a_fast_command_is_whole),
    cmocka_unit_test(a_child_left_behind_does_not_hold_up_the_exit),
    cmocka_unit_test(input_nobody_reads_does_no_harm),
    cmocka_unit_test(an_exec_ends_with_its_connection),
    cmocka_unit_test(time_out_ends_all_of_an_exec),
    cmocka_unit_test(a_detached_exec_goes_on),
    cmocka_unit_test(signals_reach_the_process),
    cmocka_unit_test(tiny_init_reaps_and_passes_on),
    cmocka_unit_test(a_terminal_is_one),
    cmocka_unit_test(a_terminal_changes_size_and_interrupts),
    cmocka_unit_test(sixty_four_execs_at_once),
    cmocka_unit_test(a_thousand_execs_leave_nothing),
    cmocka_unit_test(frames_that_lie_end_only_their_connection),
    cmocka_unit_test(what_cannot_be_carried_out_is_refused_by_name),
    cmocka_unit_test(mounts_stay_inside_the_root),
    cmocka_unit_test(vsock_is_not_for_the_container),
};

UNIT_TEST_MAIN(cases)
