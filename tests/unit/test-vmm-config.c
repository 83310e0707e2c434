/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/json.h"
#include "vmm/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char good[] =
    "{\"engine\":\"qemu\",\"accel\":\"tcg\",\"cpus\":2,\"memory_bytes\":536870912,\"kernel_fd\":5,\"initrd_"
    "fd\":6,"
    "\"kernel_arguments\":\"debug\",\"disks\":[{\"fd\":7,\"readonly\":true},{\"fd\":8,\"readonly\":false}],"
    "\"net\":{\"fd\":9,\"mac\":\"02:00:00:aa:Bb:01\"},\"console_fd\":10,\"vsock_fd\":11,\"monitor_fd\":12,"
    "\"log_fd\":2,\"qemu\":\"/usr/bin/qemu-system-x86_64\"}";

static void a_good_document_is_read(void **state)
{
        (void)state;
        struct config c;
        struct error err = ERROR_INIT;
        assert_int_equal(config_parse(good, strlen(good), &c, &err), 0);
        assert_int_equal(c.accel, CONFIG_ACCEL_TCG);
        assert_int_equal(c.cpus, 2);
        assert_int_equal(c.memory_bytes, 536870912);
        assert_int_equal(c.disk_count, 2);
        assert_true(c.disks[0].readonly);
        assert_int_equal(c.disks[1].fd, 8);
        assert_false(c.disks[1].readonly);
        assert_int_equal(c.net_fd, 9);
        assert_string_equal(c.mac, "02:00:00:aa:Bb:01");
        assert_string_equal(c.kernel_arguments, "debug");
        config_done(&c);
}

/* A document with one member replaced (value NULL: removed). */
static void refuse_in(const char *whole, const char *key, const char *value)
{
        struct config c;
        struct error err = ERROR_INIT;
        json_t *document = json_loads(whole, 0, NULL);
        if (value == NULL)
                assert_int_equal(json_object_del(document, key), 0);
        else
                assert_int_equal(json_object_set_new(document, key, json_loads(value, JSON_DECODE_ANY, NULL)),
                                 0);
        char *text = json_dumps(document, 0);
        int r = config_parse(text, strlen(text), &c, &err);
        if (r >= 0 || err.text[0] == '\0')
                fail_msg("taken: %s", text);
        free(text);
        json_decref(document);
}

static void refuse(const char *key, const char *value)
{
        refuse_in(good, key, value);
}

static void bad_documents_are_refused(void **state)
{
        (void)state;
        static const char *const needed[] = {"engine",     "accel",     "cpus",       "memory_bytes",
                                             "kernel_fd",  "initrd_fd", "console_fd", "vsock_fd",
                                             "monitor_fd", "log_fd",    "qemu"};
        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
                refuse(needed[i], NULL);
                refuse(needed[i], "null");
                refuse(needed[i], "[]");
                refuse(needed[i], "-1");
        }
        refuse("engine", "\"xen\"");
        refuse("accel", "\"hvf\"");
        refuse("cpus", "0");
        refuse("cpus", "65");
        refuse("memory_bytes", "1024");
        refuse("memory_bytes", "9223372036854775807");
        refuse("kernel_fd", "1024");
        refuse("kernel_fd", "7"); /* a disk's */
        refuse("net", "{\"fd\":9,\"mac\":\"02:00:00:aa:bb:01,script=x\"}");
        refuse("net", "{\"fd\":9,\"mac\":\"02:00:00:aa:bb\"}");
        refuse("net", "{\"fd\":9}");
        refuse("net", "{\"fd\":10,\"mac\":\"02:00:00:aa:bb:01\"}");
        refuse("net", "7");
        refuse("disks", "{}");
        refuse("disks", "[{}]");
        refuse("disks", "[7]");
        char disks[(CONFIG_DISKS_MAX + 1) * 12 + 4] = "[";
        for (int i = 0; i <= CONFIG_DISKS_MAX; i++)
                (void)snprintf(disks + strlen(disks), 12, "%s{\"fd\":%d}", i == 0 ? "" : ",", 20 + i);
        (void)strcat(disks, "]");
        refuse("disks", disks);
        refuse("kernel_arguments", "\"a\\nb\"");
        refuse("kernel_arguments", "7");
        refuse("qemu", "\"\"");
        struct config c;
        struct error err = ERROR_INIT;
        assert_true(config_parse("[]", 2, &c, &err) < 0);
        assert_true(config_parse("", 0, &c, &err) < 0);
        assert_true(config_parse(good, strlen(good) - 1, &c, &err) < 0);
}

static const char template[] =
    "{\"engine\":\"qemu\",\"accel\":\"tcg\",\"cpus\":2,\"memory_bytes\":536870912,\"kernel_fd\":5,"
    "\"initrd_fd\":6,\"console_fd\":10,\"monitor_fd\":12,\"log_fd\":2,\"qemu\":\"qemu\","
    "\"template\":{\"make\":true,\"memory_fd\":13,\"state_fd\":14}}";

static void a_template_is_made_without_devices(void **state)
{
        (void)state;
        struct config c;
        struct error err = ERROR_INIT;
        assert_int_equal(config_parse(template, strlen(template), &c, &err), 0);
        assert_int_equal(c.template, CONFIG_TEMPLATE_MAKE);
        assert_int_equal(c.template_memory_fd, 13);
        assert_int_equal(c.template_state_fd, 14);
        assert_int_equal(c.vsock_fd, -1);
        config_done(&c);
        static const char *const wrong[][2] = {
            {"disks", "[{\"fd\":7}]"},
            {"net", "{\"fd\":9,\"mac\":\"02:00:00:aa:bb:01\"}"},
            {"shares", "[{\"fd\":64}]"},
            {"accel", "\"kvm\""},
            {"template", "{\"make\":true,\"memory_fd\":13}"},
            {"template", "{\"make\":true,\"memory_fd\":13,\"state_fd\":13}"},
            {"template", "{\"make\":true,\"memory_fd\":5,\"state_fd\":14}"},
            {"template", "{\"make\":false,\"memory_fd\":13,\"state_fd\":14}"}, /* a copy has a vsock device */
            {"template", "7"},
        };
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                refuse_in(template, wrong[i][0], wrong[i][1]);
}

static void engine_kvm_wants_its_device(void **state)
{
        (void)state;
        struct config c;
        struct error err = ERROR_INIT;
        json_t *document = json_loads(good, 0, NULL);
        assert_int_equal(json_object_set_new(document, "engine", json_string("kvm")), 0);
        assert_int_equal(json_object_del(document, "qemu"), 0);
        assert_int_equal(json_object_del(document, "accel"), 0);
        for (int with = 0; with < 2; with++) {
                char *text = json_dumps(document, 0);
                assert_int_equal(config_parse(text, strlen(text), &c, &err), with ? 0 : -ENOENT);
                free(text);
                assert_int_equal(json_object_set_new(document, "kvm_fd", json_integer(13)), 0);
                assert_int_equal(json_object_set_new(document, "debug_console", json_true()), 0);
        }
        json_decref(document);
        assert_int_equal(c.engine, CONFIG_ENGINE_KVM);
        assert_int_equal(c.kvm_fd, 13);
        assert_true(c.debug_console);
        assert_null(c.qemu);
        config_done(&c);
        assert_int_equal(config_parse(good, strlen(good), &c, &err), 0);
        assert_int_equal(c.engine, CONFIG_ENGINE_QEMU);
        assert_int_equal(c.kvm_fd, -1);
        config_done(&c);
}

static void the_jail_may_be_required(void **state)
{
        (void)state;
        static const char *const words[] = {"auto", "require", "perhaps"};
        struct config c;
        struct error err = ERROR_INIT;
        assert_int_equal(config_parse(good, strlen(good), &c, &err), 0);
        assert_false(c.jail_required);
        config_done(&c);
        json_t *document = json_loads(good, 0, NULL);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(json_object_set_new(document, "jail", json_string(words[i])), 0);
                char *text = json_dumps(document, 0);
                assert_int_equal(config_parse(text, strlen(text), &c, &err), i < 2 ? 0 : -EINVAL);
                free(text);
                if (i < 2) {
                        assert_int_equal(c.jail_required, i == 1);
                        config_done(&c);
                }
        }
        assert_non_null(strstr(err.text, "'perhaps' is neither auto nor require"));
        json_decref(document);
}

static void long_kernel_arguments_are_refused(void **state)
{
        (void)state;
        char value[CONFIG_ARGUMENTS_MAX + 8];
        memset(value, 'a', sizeof(value));
        value[0] = '"';
        value[CONFIG_ARGUMENTS_MAX + 2] = '"';
        value[CONFIG_ARGUMENTS_MAX + 3] = '\0';
        refuse("kernel_arguments", value);
}

static void descriptors_must_be_what_they_are_for(void **state)
{
        (void)state;
        struct config c;
        struct error err = ERROR_INIT;
        assert_int_equal(config_parse(good, strlen(good), &c, &err), 0);
        c.kernel_fd = 900; /* not open */
        assert_true(config_check_fds(&c, &err) < 0);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        c.kernel_fd = null;
        assert_int_equal(config_check_fds(&c, &err), -EINVAL);
        assert_non_null(strstr(err.text, "kernel"));
        assert_non_null(strstr(err.text, "not open for reading"));
        config_done(&c);
        (void)close(null);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(a_good_document_is_read),
    cmocka_unit_test(bad_documents_are_refused),
    cmocka_unit_test(a_template_is_made_without_devices),
    cmocka_unit_test(engine_kvm_wants_its_device),
    cmocka_unit_test(the_jail_may_be_required),
    cmocka_unit_test(long_kernel_arguments_are_refused),
    cmocka_unit_test(descriptors_must_be_what_they_are_for),
};

UNIT_TEST_MAIN(cases)
