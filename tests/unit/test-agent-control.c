/* SPDX-License-Identifier: Apache-2.0 */
/* The control connection, the container's profile in its less usual forms, and what happens when resources
 * run out. */
#include "harness.h"

#include "agent-host.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRIPT(text) "\"args\": [\"sh\", \"-c\", \"" text "\"]"

/* Sends a request on the control connection; the next frame's text goes to ret_text. */
static enum frame_type ask(struct agent_host *host, const char *request, char *ret_text, size_t size)
{
        struct frame frame;
        if (request != NULL)
                send_text(host->control, FRAME_REQUEST, request);
        if (!next_frame(host->control, &host->input, &frame))
                fail_msg("the connection ended");
        (void)snprintf(ret_text, size, "%.*s", (int)frame.size, (const char *)frame.payload);
        frame_release(&host->input, &frame);
        return frame.type;
}

static void check_ended(const struct outcome *o, int code, const char *out)
{
        if (o->refused != 0)
                fail_msg("refused with %d: %s", o->refused, o->message);
        assert_string_equal(buffer_content(&o->out), out);
        assert_true(o->exited);
        assert_int_equal(o->signal, 0);
        assert_int_equal(o->code, code);
}

static void requests_are_answered(void **state)
{
        (void)state;
        struct agent_host host;
        char text[1024];
        agent_host_start(&host);
        assert_int_equal(ask(&host, "{\"op\": \"ping\"}", text, sizeof(text)), FRAME_REPLY);
        assert_string_equal(text, "{}");
        assert_int_equal(ask(&host, "{\"op\": \"stats\"}", text, sizeof(text)), FRAME_ERROR);
        assert_int_equal(ask(&host, "{\"op\": \"nonsense\"}", text, sizeof(text)), FRAME_ERROR);
        assert_string_equal(text, "{\"errno\":95,\"message\":\"unknown request 'nonsense'\"}");
        assert_int_equal(ask(&host, "{", text, sizeof(text)), FRAME_ERROR);
        assert_int_equal(ask(&host, "{\"op\": \"boot\"}", text, sizeof(text)),
                         FRAME_ERROR); /* it was done before */
        int init = start_sleeper(&host);
        assert_int_equal(ask(&host, "{\"op\": \"stats\"}", text, sizeof(text)), FRAME_REPLY);
        assert_non_null(strstr(text, "\"cpu_us\":"));
        assert_non_null(strstr(text, "\"agent_bytes\":"));
        (void)close(init);
        agent_host_stop(&host);
}

/* KiB of the agent's own memory: what it has not in common with the file it was started from. */
static long own_kib(const struct agent_host *host)
{
        char path[64], text[4096];
        cleanup_free char *children = NULL;
        long kib = -1, pid;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", host->pid, host->pid);
        assert_int_equal(path_read_at(AT_FDCWD, path, sizeof(text), &children, NULL), 0);
        assert_int_equal(sscanf(children, "%ld", &pid), 1);
        (void)snprintf(path, sizeof(path), "/proc/%ld/status", pid);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        while (kib < 0 && fgets(text, sizeof(text), file) != NULL)
                (void)sscanf(text, "RssAnon: %ld kB", &kib);
        (void)fclose(file);
        assert_true(kib > 0);
        return kib;
}

/* bench/run memory runs this in the plain build and adds the size of the static program, all of it taken as
 * resident. The sanitizer keeps what is freed: with it, nothing is said of the memory. */
static void a_thousand_execs_leave_the_agent_small(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        for (int i = 0; i < 1000; i++) {
                exec_script(&host, "true", "", &o);
                check_ended(&o, 0, "");
                outcome_done(&o);
        }
        long kib = own_kib(&host);
        (void)printf("agent-own-kib %ld\n", kib);
#ifndef __SANITIZE_ADDRESS__
        assert_true(kib < 1024);
#endif
        (void)close(init);
        agent_host_stop(&host);
}

static void shutdown_ends_the_stubborn_and_says_so(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        char text[1024];
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        cleanup_free char *request = start_request(
            SCRIPT("trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & while true; do sleep 1000; done"), "",
            "");
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, request);
        await_reply(fd, &input, &o);
        outcome_done(&o);
        assert_int_equal(ask(&host, "{\"op\": \"shutdown\"}", text, sizeof(text)), FRAME_EVENT);
        assert_string_equal(text, "{\"event\":\"halted\"}");
        finish(fd, &o);
        assert_int_equal(o.signal, SIGKILL); /* told before the end */
        outcome_done(&o);
        agent_host_stop(&host);
}

static void a_host_that_leaves_during_the_shutdown_does_not_cut_it_short(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        send_text(host.control, FRAME_REQUEST, "{\"op\": \"shutdown\"}");
        assert_int_equal(shutdown(host.control, SHUT_RDWR), 0);
        finish(init, &o);
        assert_int_equal(o.signal, SIGKILL); /* which is told only by an agent that has waited for it */
        outcome_done(&o);
        agent_host_stop(&host);
}

static void a_frame_out_of_place_ends_the_machine_in_order(void **state)
{
        (void)state;
        struct agent_host host;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        send_frame(host.control, FRAME_STDIN, "x", 1);
        (void)close(init);
        agent_host_stop(&host); /* checks that the agent ended by itself, with 0 */
}

static void run(const char *process, const char *linux_extra, const char *extra, struct outcome *ret_outcome)
{
        struct agent_host host;
        agent_host_start(&host);
        cleanup_free char *request = start_request(process, linux_extra, extra);
        converse(&host, request, NULL, ret_outcome);
        agent_host_stop(&host);
}

static void a_read_only_root_is_one(void **state)
{
        (void)state;
        struct outcome o;
        run(SCRIPT("touch /x 2>/dev/null || echo no; touch /dev/shm/x && echo yes; echo more >> /etc/hosts "
                   "&& echo yes"),
            "", ", \"root\": {\"path\": \"rootfs\", \"readonly\": true}", &o);
        check_ended(&o, 0, "no\nyes\nyes\n");
        outcome_done(&o);
}

static void devices_are_those_of_the_rules(void **state)
{
        (void)state;
        struct outcome o;
        if (access("/dev/net/tun", F_OK) < 0)
                unit_skip("needs /dev/net/tun");
        run(SCRIPT("mknod /tmp/zero c 1 5 && head -c 3 /tmp/zero | wc -c; mknod /tmp/mem c 1 1 && echo made;"
                   "(: < /tmp/mem) 2>/dev/null || echo denied; (: < /dev/extra/tun) && echo allowed"),
            ", \"devices\": [{\"path\": \"/dev/extra/tun\", \"type\": \"c\", \"major\": 10, \"minor\": 200}]",
            "", &o);
        check_ended(&o, 0, "3\nmade\ndenied\nallowed\n");
        outcome_done(&o);
}

static void a_delegated_cgroup_can_be_divided(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        cleanup_free char *request = start_request(SCRIPT("cat; grep ^0:: /proc/self/cgroup"), "", "");
        char *ro =
            strstr(request, "[\"ro\", \"nosuid\", \"noexec\", \"nodev\"]},{\"destination\": \"/dev/mqueue\"");
        assert_non_null(ro);
        memcpy(ro, "[\"rw\"", 5);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, request);
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        await_reply(fd, &input, &o);
        outcome_done(&o);
        exec_script(&host,
                    "grep ^0:: /proc/self/cgroup; mkdir /sys/fs/cgroup/mine && echo $$ > "
                    "/sys/fs/cgroup/mine/cgroup.procs && "
                    "grep ^0:: /proc/self/cgroup",
                    "", &o);
        check_ended(&o, 0, "0::/exec-1\n0::/mine\n");
        outcome_done(&o);
        send_frame(fd, FRAME_STDIN, NULL, 0);
        finish(fd, &o);
        check_ended(&o, 0, "0::/init\n");
        outcome_done(&o);
        agent_host_stop(&host);
}

/* "end" sends a signal to who listens, and does not wait for who does not. */
static void a_deaf_init_is_ended_at_once(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        send_text(init, FRAME_REQUEST, "{\"op\": \"end\", \"signal\": 15}");
        finish(init, &o);
        assert_int_equal(o.signal, SIGKILL);
        outcome_done(&o);
        agent_host_stop(&host);
}

static void a_listening_init_is_asked_to_end(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct frame frame;
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        cleanup_free char *request =
            start_request(SCRIPT("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"), "", "");
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, request);
        await_reply(fd, &input, &o);
        outcome_done(&o);
        assert_true(next_frame(fd, &input, &frame));
        assert_int_equal(frame.type, FRAME_STDOUT);
        frame_release(&input, &frame);
        send_text(fd, FRAME_REQUEST, "{\"op\": \"end\", \"signal\": 15}");
        finish(fd, &o);
        check_ended(&o, 9, "");
        outcome_done(&o);
        agent_host_stop(&host);
}

static void an_exec_says_whether_it_ended_with_init(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct frame_signal signal;
        cleanup_buffer struct buffer input = BUFFER_INIT(1U << 20);
        agent_host_start(&host);
        int init = start_sleeper(&host);
        exec_script(&host, "kill -9 $$", "", &o);
        assert_int_equal(o.signal, SIGKILL);
        assert_int_equal(o.flags & FRAME_EXIT_WITH_INIT, 0);
        outcome_done(&o);
        int fd = agent_host_connect(&host);
        send_text(fd, FRAME_REQUEST, "{\"op\": \"exec\", \"process\": {\"args\": [\"sleep\", \"1000\"]}}");
        await_reply(fd, &input, &o);
        assert_int_equal(o.refused, 0);
        outcome_done(&o);
        frame_signal_make(SIGKILL, &signal);
        send_frame(init, FRAME_SIGNAL, &signal, sizeof(signal));
        finish(fd, &o);
        assert_int_equal(o.signal, SIGKILL);
        assert_int_equal(o.flags & FRAME_EXIT_WITH_INIT, FRAME_EXIT_WITH_INIT);
        outcome_done(&o);
        exec_script(&host, "true", "", &o);
        assert_int_equal(o.refused, ESRCH);
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

static void a_large_environment_arrives(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        static char value[90001];
        cleanup_free char *request = NULL;
        memset(value, 'v', sizeof(value) - 1);
        assert_true(
            asprintf(&request,
                     "{\"op\": \"exec\", \"process\": {\"env\": [\"A=%s\", \"B=%s\", \"C=%s\"], " SCRIPT(
                         "env | wc -c") "}}",
                     value, value, value) > 0);
        agent_host_start(&host);
        int init = start_sleeper(&host);
        converse(&host, request, NULL, &o);
        assert_int_equal(o.refused, 0);
        assert_true(atoi(buffer_content(&o.out)) > 3 * (int)sizeof(value));
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

static void settings_of_the_kernel_are_the_containers(void **state)
{
        (void)state;
        struct outcome o;
        run(SCRIPT("cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/queues_max"),
            ", \"sysctl\": {\"kernel.shmmni\": \"77\", \"fs.mqueue.queues_max\": \"5\"}", "", &o);
        check_ended(&o, 0, "77\n5\n");
        outcome_done(&o);
}

static void a_missing_terminal_device_is_told(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        cleanup_free char *request = start_request("\"terminal\": true, " SCRIPT("true"), "", "");
        char *type = strstr(request, "\"type\": \"devpts\"");
        assert_non_null(type);
        memcpy(type, "\"type\": \"tmpfs\" ", 16);
        char *options = strstr(request, "\"newinstance\", \"ptmxmode=0666\", \"mode=0620\", \"gid=5\"");
        assert_non_null(options);
        memset(options, ' ', strlen("\"newinstance\", \"ptmxmode=0666\", "));
        converse(&host, request, NULL, &o);
        assert_int_equal(o.refused, EINVAL); /* the command itself was not looked for: not 127 */
        assert_non_null(strstr(o.message, "open a terminal"));
        outcome_done(&o);
        agent_host_stop(&host);
}

/* Writes to a file of the container's cgroup as the agent sees it. */
static void set_in_box(const struct agent_host *host, const char *file, const char *value)
{
        char path[512];
        (void)snprintf(path, sizeof(path), "/proc/%d/root%s/cgroup%s/box/%s", (int)host->pid, host->path,
                       strrchr(host->path, '/'), file);
        cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || fd_write_full(fd, value, strlen(value)) < 0)
                fail_msg("%s: %s", path, strerror(errno));
}

static void no_room_for_another_exec_is_told(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        set_in_box(&host, "cgroup.max.descendants", "0");
        exec_script(&host, "true", "", &o);
        assert_int_equal(o.refused, EAGAIN); /* what the kernel says to mkdir */
        assert_non_null(strstr(o.message, "make cgroup 'exec-1'"));
        outcome_done(&o);
        set_in_box(&host, "cgroup.max.descendants", "max");
        exec_script(&host, "echo again", "", &o);
        check_ended(&o, 0, "again\n");
        outcome_done(&o);
        (void)close(init);
        agent_host_stop(&host);
}

static void an_exec_while_init_ends_is_told(void **state)
{
        (void)state;
        struct agent_host host;
        struct outcome o;
        struct frame_signal number;
        agent_host_start(&host);
        int init = start_sleeper(&host);
        int fds[16];
        frame_signal_make(SIGKILL, &number);
        for (size_t i = 0; i < 16; i++) {
                fds[i] = agent_host_connect(&host);
                send_text(fds[i], FRAME_REQUEST,
                          "{\"op\": \"exec\", \"process\": {\"args\": [\"sleep\", \"1000\"]}}");
                if (i == 8)
                        send_frame(init, FRAME_SIGNAL, &number, sizeof(number));
        }
        for (size_t i = 0; i < 16; i++) {
                finish(fds[i], &o);
                assert_true(o.refused != 0 || (o.exited && o.signal == SIGKILL));
                outcome_done(&o);
        }
        finish(init, &o);
        assert_int_equal(o.signal, SIGKILL);
        outcome_done(&o);
        agent_host_stop(&host);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(requests_are_answered),
    cmocka_unit_test(a_thousand_execs_leave_the_agent_small),
    cmocka_unit_test(shutdown_ends_the_stubborn_and_says_so),
    cmocka_unit_test(a_host_that_leaves_during_the_shutdown_does_not_cut_it_short),
    cmocka_unit_test(a_frame_out_of_place_ends_the_machine_in_order),
    cmocka_unit_test(a_read_only_root_is_one),
    cmocka_unit_test(devices_are_those_of_the_rules),
    cmocka_unit_test(a_delegated_cgroup_can_be_divided),
    cmocka_unit_test(a_deaf_init_is_ended_at_once),
    cmocka_unit_test(a_listening_init_is_asked_to_end),
    cmocka_unit_test(an_exec_says_whether_it_ended_with_init),
    cmocka_unit_test(a_large_environment_arrives),
    cmocka_unit_test(settings_of_the_kernel_are_the_containers),
    cmocka_unit_test(a_missing_terminal_device_is_told),
    cmocka_unit_test(no_room_for_another_exec_is_told),
    cmocka_unit_test(an_exec_while_init_ends_is_told),
};

UNIT_TEST_MAIN(cases)
