/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "runtime/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char full_image[] =
    "{\"config\": {\"Entrypoint\": [\"/entry\"], \"Cmd\": [\"one\", \"two\"], \"Env\": [\"A=image\", "
    "\"B=image\"],"
    " \"User\": \"www\", \"WorkingDir\": \"/srv\", \"StopSignal\": \"SIGQUIT\","
    " \"Volumes\": {\"/var/lib/z\": {}, \"/data\": {}}, \"Labels\": {\"who\": \"image\", \"x\": \"1\"}}}";

static json_t *image(const char *text)
{
        json_t *json;
        struct error err = ERROR_INIT;
        assert_int_equal(json_parse(text, strlen(text), "image", &json, &err), 0);
        return json;
}

static int resolve(const char *image_text, const struct boxlet_box_options *o, struct spec *spec,
                   struct error *err)
{
        json_t *config = image(image_text);
        *err = (struct error)ERROR_INIT;
        int r = spec_resolve(config, o, "box", spec, err);
        json_decref(config);
        return r;
}

/* The member of the document at "a.b", printed. free() it. */
static char *member(const struct spec *spec, const char *first, const char *second)
{
        json_t *json = json_object_get(spec->document, first);
        if (second != NULL)
                json = json_object_get(json, second);
        return json_print(json, NULL);
}

static void expect(const char *image_text, const struct boxlet_box_options *o, const char *key,
                   const char *expected)
{
        struct spec spec;
        struct error err;
        if (resolve(image_text, o, &spec, &err) < 0)
                fail_msg("%s", err.text);
        char *text = member(&spec, "process", key);
        assert_string_equal(text, expected);
        free(text);
        spec_done(&spec);
}

/* The whole document of the least image, byte for byte: what every box of the default profile is. */
static const char golden[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":false,\"user\":{\"username\":\"0\"},\"args\":["
    "\"sh\"],"
    "\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
    "bin\",\"HOSTNAME=box\"],\"cwd\":\"/\","
    "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_"
    "KILL\","
    "\"CAP_SETGID\",\"CAP_SETUID\",\"CAP_SETPCAP\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_"
    "CHROOT\","
    "\"CAP_MKNOD\",\"CAP_AUDIT_WRITE\",\"CAP_SETFCAP\"],\"effective\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\","
    "\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_SETGID\",\"CAP_SETUID\",\"CAP_SETPCAP\","
    "\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_CHROOT\",\"CAP_MKNOD\",\"CAP_AUDIT_WRITE\",\"CAP_"
    "SETFCAP\"],"
    "\"permitted\":[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_FSETID\",\"CAP_KILL\",\"CAP_"
    "SETGID\","
    "\"CAP_SETUID\",\"CAP_SETPCAP\",\"CAP_NET_BIND_SERVICE\",\"CAP_NET_RAW\",\"CAP_SYS_CHROOT\",\"CAP_"
    "MKNOD\","
    "\"CAP_AUDIT_WRITE\",\"CAP_SETFCAP\"]},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":524288,\"soft\":"
    "1024}],"
    "\"noNewPrivileges\":false},\"root\":{\"path\":\"rootfs\",\"readonly\":false},\"hostname\":\"box\","
    "\"mounts\":["
    "{\"destination\":\"/"
    "proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
    "{\"destination\":\"/"
    "dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\","
    "\"mode=755\",\"size=65536k\"]},{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
    "\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
    "{\"destination\":\"/"
    "sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
    "\"ro\"]},{\"destination\":\"/sys/fs/"
    "cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\","
    "\"nosuid\",\"noexec\",\"nodev\"]},{\"destination\":\"/dev/"
    "mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\","
    "\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},{\"destination\":\"/dev/"
    "shm\",\"type\":\"tmpfs\",\"source\":"
    "\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=67108864\"]}],\"linux\":{"
    "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
    "{\"type\":\"cgroup\"}],\"maskedPaths\":[\"/proc/asound\",\"/proc/acpi\",\"/proc/kcore\",\"/proc/keys\","
    "\"/proc/latency_stats\",\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/proc/scsi\","
    "\"/sys/firmware\",\"/sys/devices/virtual/powercap\"],\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\","
    "\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}";

static void default_profile_to_the_byte(void **state)
{
        (void)state;
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        struct error err;
        assert_int_equal(resolve("{\"config\": {\"Cmd\": [\"sh\"]}}", &o, &spec, &err), 0);
        char *text = json_print(spec.document, NULL);
        assert_string_equal(text, golden);
        assert_int_equal(spec.stop_signal, 15);
        assert_int_equal(json_array_size(spec.volumes), 0);
        free(text);
        spec_done(&spec);
}

static void entrypoint_and_command(void **state)
{
        (void)state;
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        static const char *const command[] = {"x", "y", NULL};
        struct spec spec;
        struct error err;
        expect(full_image, &o, "args", "[\"/entry\",\"one\",\"two\"]");
        o.command = command;
        expect(full_image, &o, "args", "[\"/entry\",\"x\",\"y\"]");
        o.entrypoint = "/mine";
        expect(full_image, &o, "args", "[\"/mine\",\"x\",\"y\"]");
        o.entrypoint = "";
        expect(full_image, &o, "args", "[\"x\",\"y\"]");
        o.command = NULL;
        o.entrypoint = "/mine";
        expect(full_image, &o, "args", "[\"/mine\"]"); /* CMD goes with the image's ENTRYPOINT */
        o.entrypoint = "";
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EINVAL);
        assert_non_null(strstr(err.text, "no command specified"));
        o.entrypoint = NULL;
        assert_int_equal(resolve("{\"config\": {\"Cmd\": null}}", &o, &spec, &err), -EINVAL);
        assert_int_equal(resolve("{}", &o, &spec, &err), -EINVAL);
}

static void arguments_for_the_entry_point(void **state)
{
        (void)state;
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        static const char *const cmd[] = {"--level", "warn", NULL}, *const command[] = {"sh", "-i", NULL};
        struct spec spec;
        struct error err;
        o.cmd = cmd;
        o.terminal = 1;
        expect(full_image, &o, "args", "[\"/entry\",\"--level\",\"warn\"]");
        expect(full_image, &o, "terminal", "true");
        o.entrypoint = "/mine";
        expect(full_image, &o, "args", "[\"/mine\",\"--level\",\"warn\"]");
        o.command = command; /* is no argument now, but a process beside it */
        expect(full_image, &o, "args", "[\"/mine\",\"--level\",\"warn\"]");
        expect(full_image, &o, "terminal", "false");
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        char *text = json_print(spec.command, NULL);
        assert_string_equal(text, "{\"terminal\":true,\"args\":[\"sh\",\"-i\"],\"env\":[\"TERM=xterm\"]}");
        free(text);
        spec_done(&spec);
        o.entrypoint = "";
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EINVAL);
        assert_non_null(strstr(err.text, "--cmd gives arguments to an entry point"));
        o.entrypoint = NULL;
        assert_int_equal(resolve("{\"config\": {\"Cmd\": [\"sh\"]}}", &o, &spec, &err), -EINVAL);
}

static void environment(void **state)
{
        (void)state;
        static const char *const env[] = {"B=mine", "C=", "PATH=/bin", "HOSTNAME", "A", NULL};
        static const char *const wrong[] = {"=x", NULL};
        static const char *const binary[] = {"X=\xff\xfe", NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        struct error err;
        o.terminal = 1;
        expect(full_image, &o, "env",
               "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
               "bin\",\"HOSTNAME=box\",\"TERM=xterm\","
               "\"A=image\",\"B=image\"]");
        o.env = env;
        expect(full_image, &o, "env", "[\"PATH=/bin\",\"TERM=xterm\",\"B=mine\",\"C=\"]");
        o.env = wrong;
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EINVAL);
        o.env = binary;
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EILSEQ);
        assert_non_null(strstr(err.text, "UTF-8"));
}

static void large_environment(void **state)
{
        (void)state;
        enum { COUNT = 4096, SIZE = 64 };
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        static char texts[COUNT][SIZE + 1];
        static const char *env[COUNT + 1];
        for (int i = 0; i < COUNT; i++) {
                memset(texts[i], 'v', SIZE);
                (void)snprintf(texts[i], 16, "V%04d", i);
                texts[i][5] = '=';
                env[i] = texts[i];
        }
        o.env = env;
        struct spec spec;
        struct error err;
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        json_t *list = json_object_get(json_object_get(spec.document, "process"), "env");
        assert_int_equal(json_array_size(list), COUNT + 4);
        spec_done(&spec);
}

static void the_rest_of_the_image(void **state)
{
        (void)state;
        static const char *const labels[] = {"who=me", "flag", NULL};
        static const char *const tmpfs[] = {"/data", "/dev/shm:size=1m", NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        struct error err;
        expect(full_image, &o, "user", "{\"username\":\"www\"}");
        expect(full_image, &o, "cwd", "\"/srv\"");
        o.user = "1000:1000";
        o.working_dir = "/tmp";
        o.labels = labels;
        o.tmpfs = tmpfs;
        o.init = 1;
        o.read_only = 1;
        expect(full_image, &o, "user", "{\"username\":\"1000:1000\"}");
        expect(full_image, &o, "cwd", "\"/tmp\"");
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        assert_int_equal(spec.stop_signal, 3);
        char *volumes = json_print(spec.volumes, NULL), *kept = json_print(spec.labels, NULL);
        assert_string_equal(volumes, "[\"/var/lib/z\"]"); /* /data is a tmpfs */
        assert_string_equal(kept, "{\"who\":\"me\",\"x\":\"1\",\"flag\":\"\"}");
        free(volumes);
        free(kept);
        char *annotations = member(&spec, "annotations", NULL), *root = member(&spec, "root", "readonly");
        assert_string_equal(annotations, "{\"boxlet.init\":\"true\"}");
        assert_string_equal(root, "true");
        free(annotations);
        free(root);
        assert_int_equal(json_array_size(json_object_get(spec.document, "mounts")), 8); /* shm was replaced */
        spec_done(&spec);
}

static void hostile_images_are_refused(void **state)
{
        (void)state;
        static const char *const table[] = {
            "{\"config\": []}",
            "{\"config\": {\"Cmd\": \"sh\"}}",
            "{\"config\": {\"Cmd\": [1]}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Env\": [\"=x\"]}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Env\": {}}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"WorkingDir\": \"srv\"}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"User\": 5}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"StopSignal\": \"SIGNOT\"}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Volumes\": [\"/x\"]}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Volumes\": {\"x\": {}}}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Volumes\": {\"/../etc\": {}}}}",
            "{\"config\": {\"Cmd\": [\"sh\"], \"Volumes\": {\"/\": {}}}}",
        };
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct spec spec;
                struct error err;
                if (resolve(table[i], &o, &spec, &err) >= 0)
                        fail_msg("%s was taken", table[i]);
                assert_true(err.text[0] != '\0');
        }
}

static void exec_says_only_what_was_asked(void **state)
{
        (void)state;
        static const char *const command[] = {"ls", "-l", NULL};
        static const char *const env[] = {"A=1", NULL};
        struct boxlet_exec_options o = BOXLET_EXEC_OPTIONS_INIT;
        struct error err = ERROR_INIT;
        json_t *process;
        assert_int_equal(spec_exec_process(&o, &process, &err), -EINVAL);
        o.command = command;
        assert_int_equal(spec_exec_process(&o, &process, &err), 0);
        char *text = json_print(process, NULL);
        assert_string_equal(text, "{\"terminal\":false,\"args\":[\"ls\",\"-l\"]}");
        free(text);
        json_decref(process);
        o.env = env;
        o.user = "www";
        o.working_dir = "/x";
        o.terminal = 1;
        assert_int_equal(spec_exec_process(&o, &process, &err), 0);
        text = json_print(process, NULL);
        assert_string_equal(text, "{\"terminal\":true,\"cwd\":\"/x\",\"user\":{\"username\":\"www\"},"
                                  "\"args\":[\"ls\",\"-l\"],\"env\":[\"TERM=xterm\",\"A=1\"]}");
        free(text);
        json_decref(process);
        o.working_dir = "x";
        assert_int_equal(spec_exec_process(&o, &process, &err), -EINVAL);
}

static void annotations_go_into_the_document(void **state)
{
        (void)state;
        static const char *const good[] = {"a.b=c=d", "e=", NULL}, *const none[] = {"lone", NULL},
                                 *const ours[] = {"boxlet.init=true", NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        struct error err;
        o.annotations = good;
        o.init = 1;
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        char *text = member(&spec, "annotations", NULL);
        assert_string_equal(text, "{\"boxlet.init\":\"true\",\"a.b\":\"c=d\",\"e\":\"\"}");
        free(text);
        spec_done(&spec);
        o.annotations = none;
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EINVAL);
        assert_string_equal(err.text, "annotation 'lone': not KEY=VALUE");
        o.annotations = ours;
        assert_int_equal(resolve(full_image, &o, &spec, &err), -EINVAL);
}

static void limits_are_resources_of_the_container(void **state)
{
        (void)state;
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        struct error err;
        o.nano_cpus = 1500000000;
        o.pids_limit = 100;
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        char *text = member(&spec, "linux", "resources");
        assert_string_equal(text, "{\"cpu\":{\"quota\":150000,\"period\":100000},\"pids\":{\"limit\":100}}");
        free(text);
        spec_done(&spec);
        o.support_docker = 1; /* beside the profile's device rules */
        assert_int_equal(resolve(full_image, &o, &spec, &err), 0);
        text = member(&spec, "linux", "resources");
        assert_string_equal(text,
                            "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}],\"cpu\":{\"quota\":150000,"
                            "\"period\":100000},\"pids\":{\"limit\":100}}");
        free(text);
        spec_done(&spec);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(limits_are_resources_of_the_container),
    cmocka_unit_test(default_profile_to_the_byte),
    cmocka_unit_test(entrypoint_and_command),
    cmocka_unit_test(arguments_for_the_entry_point),
    cmocka_unit_test(environment),
    cmocka_unit_test(large_environment),
    cmocka_unit_test(the_rest_of_the_image),
    cmocka_unit_test(annotations_go_into_the_document),
    cmocka_unit_test(hostile_images_are_refused),
    cmocka_unit_test(exec_says_only_what_was_asked),
};
UNIT_TEST_MAIN(cases)
