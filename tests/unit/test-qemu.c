/* SPDX-License-Identifier: Apache-2.0 */
/* How a machine's end is told, with programs in QEMU's place that end in all ways before a guest runs. */
#include "harness.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "vmm/qemu/qemu.h"
#include "wire/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void nothing_to_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        memset(bytes, 0, size);
}
static void no_kick(struct device *d, unsigned queue)
{
}
static void no_stop(struct device *d)
{
}
static const struct device_ops no_ops = {
    .name = "none", .queue_count = 2, .config_read = nothing_to_read, .kick = no_kick, .stop = no_stop};

static struct device device = {.ops = &no_ops};
static struct loop *loop;
static unsigned ended, running;
static enum machine_end end;
static char detail[1024];

static void on_running(void *data)
{
        running++;
}

static void on_ended(void *data, enum machine_end e, const char *text)
{
        ended++;
        end = e;
        (void)snprintf(detail, sizeof(detail), "%s", text);
        loop_quit(loop, 0);
}

/* The state of the process whose pid the script left in "pid", as /proc shows it: T when it is stopped. */
static char process_state(int folder)
{
        char path[64], state = '?';
        cleanup_free char *pid = NULL, *stat = NULL;
        for (unsigned i = 0; i < 500 && path_read_at(folder, "pid", 32, &pid, NULL) < 0; i++)
                (void)usleep(10000);
        assert_non_null(pid);
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", atoi(pid));
        assert_int_equal(path_read_at(AT_FDCWD, path, 4096, &stat, NULL), 0);
        assert_int_equal(sscanf(strrchr(stat, ')') + 1, " %c", &state), 1);
        return state;
}

static void pause_and_resume(struct machine *machine, int folder)
{
        (void)process_state(folder); /* it is there */
        assert_int_equal(machine->ops->pause(machine, true), 0);
        for (unsigned i = 0; i < 500 && process_state(folder) != 'T'; i++)
                (void)usleep(10000);
        assert_int_equal(process_state(folder), 'T');
        assert_int_equal(machine->ops->pause(machine, true), 0);
        assert_int_equal(machine->ops->pause(machine, false), 0);
        for (unsigned i = 0; i < 500 && process_state(folder) == 'T'; i++)
                (void)usleep(10000);
        assert_int_not_equal(process_state(folder), 'T');
        assert_int_equal(machine->ops->pause(machine, true), 0);
        assert_int_equal(ended, 0);
}

static enum config_template template;

/* Runs a shell script as QEMU; returns what start() said. stop_it: the monitor wants the end at once. */
static int run(const char *script, bool stop_it)
{
        static int folder = -1; /* one for all runs of a case */
        static const char *name;
        char path[256], text[1024], arguments[] = "";
        if (name == NULL)
                name = unit_folder(&folder);
        (void)snprintf(path, sizeof(path), "%s/qemu", name);
        (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
        if (script[0] != '\0')
                assert_int_equal(path_write_atomic_at(folder, "qemu", text, strlen(text), 0700), 0);
        cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        cleanup_fd int other = open("/dev/null", O_RDWR | O_CLOEXEC);
        cleanup_fd int console_fd = openat(folder, "console", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cleanup_fd int memory_fd = openat(folder, "memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cleanup_fd int state_fd = openat(folder, "state", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        cleanup_fd int log_fd = openat(folder, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct config config = {.cpus = 1,
                                .memory_bytes = 64 << 20,
                                .kernel_fd = null,
                                .initrd_fd = other,
                                .kernel_arguments = arguments,
                                .net_fd = -1,
                                .template = template,
                                .template_memory_fd = memory_fd,
                                .template_state_fd = state_fd,
                                .console_fd = console_fd,
                                .log_fd = log_fd,
                                .qemu = path};
        struct machine_events events = {.running = on_running, .ended = on_ended};
        struct machine *machine;
        struct error err = ERROR_INIT;
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(qemu_machine_new(loop, &config, template == CONFIG_TEMPLATE_MAKE ? NULL : &device,
                                          NULL, &events, &machine),
                         0);
        int r = machine->ops->start(machine, &err);
        if (r == 0 && stop_it && strstr(script, "pid") != NULL)
                pause_and_resume(machine, folder);
        if (r == 0 && stop_it)
                machine->ops->stop(machine);
        if (r == 0)
                assert_int_equal(loop_run(loop), 0);
        machine->ops->free(machine);
        loop_free(loop);
        return r;
}

static void a_missing_engine_is_told_at_once(void **state)
{
        (void)state;
        assert_int_equal(run("", false), -ENOENT);
        assert_int_equal(ended, 0);
}

static void an_engine_that_ends_early_leaves_its_words(void **state)
{
        (void)state;
        assert_int_equal(run("echo 'qemu: no such machine' >&2; exit 3", false), 0);
        assert_int_equal(ended, 1);
        assert_int_equal(running, 0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_string_equal(detail, "QEMU ended with status 3: qemu: no such machine");
}

static void status_0_before_the_guest_ran_is_a_failed_start(void **state)
{
        (void)state;
        assert_int_equal(run("exit 0", false), 0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_string_equal(detail, "QEMU ended with status 0");
}

static void a_killed_engine_is_told_by_its_signal(void **state)
{
        (void)state;
        assert_int_equal(run("kill -9 $$", false), 0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_non_null(strstr(detail, "killed by signal 9"));
}

static void nonsense_on_vhost_user_is_a_device_error(void **state)
{
        (void)state;
        assert_int_equal(run("printf 'something of twelve bytes' >&6; exec sleep 100", false), 0);
        assert_int_equal(end, MACHINE_DEVICE_ERROR);
        assert_non_null(strstr(detail, "unknown request"));
}

static void a_stopped_engine_is_gone(void **state)
{
        (void)state;
        assert_int_equal(run("exec sleep 100", true), 0);
        assert_int_equal(ended, 1);
}

static void a_paused_engine_is_stopped_and_ends_when_told(void **state)
{
        (void)state;
        assert_int_equal(
            run("echo $$ >\"${0%/*}/pid.new\"; mv \"${0%/*}/pid.new\" \"${0%/*}/pid\"; exec sleep 100", true),
            0);
        assert_int_equal(ended, 1);
}

static void a_flood_of_words_is_bounded(void **state)
{
        (void)state;
        assert_int_equal(run("yes words | head -c 1000000 >&2; head -c 5000000 /dev/zero >&5; exit 1", false),
                         0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_true(strlen(detail) < 600);
        assert_non_null(strstr(detail, "status 1: words"));
}

#define READ_COMMANDS(last) "while read -r line <&9; do case $line in *" last "*) break;; esac; done; "

static void a_template_is_made_when_the_agent_is_there(void **state)
{
        (void)state;
        template = CONFIG_TEMPLATE_MAKE;
        assert_int_equal(
            run("echo 'a kernel speaks' >&5; echo '" TEMPLATE_READY "' >&5; " READ_COMMANDS(
                    "fd:state") "echo '{\"QMP\":{}}' >&9; echo '{\"return\":{}}' >&9; "
                                "echo '{\"event\":\"MIGRATION\",\"data\":{\"status\":\"setup\"}}' >&9; "
                                "echo '{\"event\":\"MIGRATION\",\"data\":{\"status\":\"completed\"}}' >&9; "
                                "exec sleep 100",
                false),
            0);
        assert_int_equal(end, MACHINE_TEMPLATE_MADE);
        assert_string_equal(detail, "");
        ended = 0;
        assert_int_equal(run("echo 'this kernel is too old' >&5; exit 0", false), 0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_string_equal(detail, "QEMU ended with status 0: this kernel is too old");
        assert_int_equal(
            run("echo '" TEMPLATE_READY "' >&5; " READ_COMMANDS(
                    "fd:state") "echo '{\"event\":\"MIGRATION\",\"data\":{\"status\":\"failed\"}}' >&9; exec "
                                "sleep 100",
                false),
            0);
        assert_int_equal(end, MACHINE_DEVICE_ERROR);
        assert_string_equal(detail, "make a template: QEMU cannot move the machine's state");
}

static void a_copy_that_qemu_refuses_says_why(void **state)
{
        (void)state;
        template = CONFIG_TEMPLATE_USE;
        assert_int_equal(
            run(READ_COMMANDS(
                    "fd:8") "echo '{\"error\":{\"desc\":\"no such capability\"}}' >&9; exec sleep 100",
                false),
            0);
        assert_int_equal(end, MACHINE_DEVICE_ERROR);
        assert_string_equal(detail, "begin as a copy: QEMU refuses: no such capability");
        assert_int_equal(run(READ_COMMANDS("fd:8") "echo 'not json' >&9; exec sleep 100", false), 0);
        assert_int_equal(end, MACHINE_DEVICE_ERROR);
        assert_int_equal(run(READ_COMMANDS("fd:8") "head -c 9000 /dev/zero >&9; exec sleep 100", false), 0);
        assert_int_equal(end, MACHINE_DEVICE_ERROR);
        assert_string_equal(detail, "begin as a copy: QEMU's monitor says too much");
        assert_int_equal(run("echo 'load of migration failed' >&2; exit 1", false), 0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_string_equal(detail, "QEMU ended with status 1: load of migration failed");
        /* once the guest runs, nothing more is heard from there */
        assert_int_equal(
            run(READ_COMMANDS("fd:8") "echo '{\"event\":\"RESUME\"}' >&9; read -r line <&9; exit 3", false),
            0);
        assert_int_equal(end, MACHINE_START_FAILED);
        assert_string_equal(detail, "QEMU ended with status 3");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_missing_engine_is_told_at_once),
    cmocka_unit_test(an_engine_that_ends_early_leaves_its_words),
    cmocka_unit_test(status_0_before_the_guest_ran_is_a_failed_start),
    cmocka_unit_test(a_killed_engine_is_told_by_its_signal),
    cmocka_unit_test(nonsense_on_vhost_user_is_a_device_error),
    cmocka_unit_test(a_stopped_engine_is_gone),
    cmocka_unit_test(a_paused_engine_is_stopped_and_ends_when_told),
    cmocka_unit_test(a_template_is_made_when_the_agent_is_there),
    cmocka_unit_test(a_copy_that_qemu_refuses_says_why),
    cmocka_unit_test(a_flood_of_words_is_bounded),
};

UNIT_TEST_MAIN(cases)
