/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "runtime/profile.h"
#include "runtime/spec.h"
#include "runtime/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int resolve(const char *image_text, const struct boxlet_box_options *o, struct spec *spec)
{
        struct error err = ERROR_INIT;
        json_t *image;
        assert_int_equal(json_parse(image_text, strlen(image_text), "image", &image, &err), 0);
        int r = spec_resolve(image, o, "box", spec, &err);
        json_decref(image);
        return r;
}

static const json_t *find(const json_t *list, const char *key, const char *value)
{
        size_t i;
        json_t *item;
        json_array_foreach ((json_t *)list, i, item) {
                const char *text = json_string_value(json_object_get(item, key));
                if (text != NULL && strcmp(text, value) == 0)
                        return item;
        }
        return NULL;
}

/* The mount's options as printed; "" when there is no such mount. free() it. */
static char *options_of(const struct spec *spec, const char *destination)
{
        const json_t *mount = find(json_object_get(spec->document, "mounts"), "destination", destination);
        return mount == NULL ? strdup("") : json_print(json_object_get(mount, "options"), NULL);
}

static void expect_options(const struct spec *spec, const char *destination, const char *expected)
{
        char *text = options_of(spec, destination);
        assert_string_equal(text, expected);
        free(text);
}

/* The member "linux" of every docker box, byte for byte. */
static const char docker_linux[] =
    "{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
    "{\"type\":\"cgroup\"}],\"devices\":["
    "{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,\"minor\":229,\"fileMode\":438},"
    "{\"path\":\"/dev/net/tun\",\"type\":\"c\",\"major\":10,\"minor\":200,\"fileMode\":438},"
    "{\"path\":\"/dev/kmsg\",\"type\":\"c\",\"major\":1,\"minor\":11,\"fileMode\":384},"
    "{\"path\":\"/dev/loop-control\",\"type\":\"c\",\"major\":10,\"minor\":237,\"fileMode\":384},"
    "{\"path\":\"/dev/loop0\",\"type\":\"b\",\"major\":7,\"minor\":0,\"fileMode\":384},"
    "{\"path\":\"/dev/loop1\",\"type\":\"b\",\"major\":7,\"minor\":1,\"fileMode\":384},"
    "{\"path\":\"/dev/loop2\",\"type\":\"b\",\"major\":7,\"minor\":2,\"fileMode\":384},"
    "{\"path\":\"/dev/loop3\",\"type\":\"b\",\"major\":7,\"minor\":3,\"fileMode\":384}],"
    "\"sysctl\":{\"kernel.keys.root_maxkeys\":\"1000000\",\"kernel.keys.root_maxbytes\":\"25000000\","
    "\"fs.inotify.max_user_instances\":\"8192\"},"
    "\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]},\"rootfsPropagation\":\"rshared\"}";

static void docker_profile(void **state)
{
        (void)state;
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        uint64_t set;
        static const char *const all[] = {"ALL", NULL};
        struct error err = ERROR_INIT;
        o.support_docker = 1;
        assert_int_equal(resolve("{\"config\":{\"Cmd\":[\"dockerd\"],\"Volumes\":{\"/data\":{}}}}", &o,
                                 &spec),
                         0);
        const json_t *process = json_object_get(spec.document, "process");
        const json_t *capabilities = json_object_get(process, "capabilities");
        assert_int_equal(words_capabilities(0, all, NULL, &set, &err), 0);
        assert_true(set == 0x1ffffffffffULL);
        json_t *names = words_capability_names(set);
        static const char *const sets[] = {"bounding", "effective", "permitted"};
        for (size_t i = 0; i < 3; i++)
                assert_true(json_equal(json_object_get(capabilities, sets[i]), names));
        json_decref(names);
        assert_true(json_is_false(json_object_get(process, "noNewPrivileges")));
        char *limits = json_print(json_object_get(process, "rlimits"), NULL);
        assert_string_equal(limits, "[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1048576,\"soft\":1048576},"
                                    "{\"type\":\"RLIMIT_NPROC\",\"hard\":-1,\"soft\":-1},"
                                    "{\"type\":\"RLIMIT_CORE\",\"hard\":-1,\"soft\":-1}]");
        free(limits);
        char *part = json_print(json_object_get(spec.document, "linux"), NULL);
        assert_string_equal(part, docker_linux);
        free(part);
        char *volumes = json_print(spec.volumes, NULL);
        assert_string_equal(volumes, "[\"/data\",\"/var/lib/docker\"]");
        free(volumes);
        expect_options(&spec, "/sys/fs/cgroup", "[\"nosuid\",\"noexec\",\"nodev\"]");
        expect_options(&spec, "/sys", "[\"nosuid\",\"noexec\",\"nodev\"]");
        expect_options(&spec, "/run", "[\"nosuid\",\"nodev\",\"tmpcopyup\"]");
        assert_non_null(find(json_object_get(spec.document, "mounts"), "destination", "/dev/mqueue"));
        spec_done(&spec);
}

static void what_the_client_says_stays(void **state)
{
        (void)state;
        static const char *const ulimits[] = {"nproc=100", NULL};
        static const char *const tmpfs[] = {"/run:size=1m", NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct spec spec;
        o.support_docker = 1;
        o.ulimits = ulimits;
        o.tmpfs = tmpfs;
        assert_int_equal(resolve("{\"config\":{\"Cmd\":[\"dockerd\"]}}", &o, &spec), 0);
        char *limits =
            json_print(json_object_get(json_object_get(spec.document, "process"), "rlimits"), NULL);
        assert_string_equal(limits, "[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1048576,\"soft\":1048576},"
                                    "{\"type\":\"RLIMIT_CORE\",\"hard\":-1,\"soft\":-1},"
                                    "{\"type\":\"RLIMIT_NPROC\",\"hard\":100,\"soft\":100}]");
        free(limits);
        char *run = options_of(&spec, "/run");
        assert_null(strstr(run, "tmpcopyup"));
        assert_non_null(strstr(run, "size=1m"));
        free(run);
        spec_done(&spec);
}

static void run_gives_way_to_a_volume_in_it(void **state)
{
        (void)state;
        static const struct {
                const char *volume;
                bool gives_way;
        } table[] = {
            {"/run", true},     {"/run/data", true}, {"/var/run/data", true},
            {"/runner", false}, {"/var/lib", false}, {"/srv/run", false},
        };
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        o.support_docker = 1;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char text[128];
                struct spec spec;
                (void)snprintf(text, sizeof(text), "{\"config\":{\"Cmd\":[\"x\"],\"Volumes\":{\"%s\":{}}}}",
                               table[i].volume);
                assert_int_equal(resolve(text, &o, &spec), 0);
                char *run = options_of(&spec, "/run");
                if ((run[0] == '\0') != table[i].gives_way)
                        fail_msg("VOLUME %s: /run is %s", table[i].volume, run);
                free(run);
                spec_done(&spec);
        }
}

static void expect_refused(const struct boxlet_box_options *o, const char *words)
{
        struct error err = ERROR_INIT;
        assert_int_equal(profile_check(o, &err), -EINVAL);
        if (strstr(err.text, words) == NULL || strchr(err.text, '\n') != NULL)
                fail_msg("'%s' instead of '%s'", err.text, words);
        struct boxlet_box_options plain = *o;
        plain.support_docker = 0;
        assert_int_equal(profile_check(&plain, &err), 0);
}

static void contradictions_are_refused(void **state)
{
        (void)state;
        static const char *const drop[] = {"NET_RAW", NULL};
        static const char *const hiding[] = {"/var/lib/docker",
                                             "/var/lib/docker/:size=1g",
                                             "/var",
                                             "/",
                                             "/proc",
                                             "/sys/fs/cgroup",
                                             "/var/lib//docker",
                                             "/var/lib/./docker",
                                             "/var/x/../lib",
                                             "/run/..",
                                             "/sys/./fs/cgroup",
                                             "/dev/net",
                                             "/dev//fuse:size=1m"};
        static const char *const fine[] = {"/tmp",          "/run",     "/var/lib/docker/tmp",
                                           "/var/lib/dock", "/dev/shm", NULL};
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct error err = ERROR_INIT;
        o.support_docker = 1;
        assert_int_equal(profile_check(&o, &err), 0);
        o.cap_add = drop; /* there is nothing to add, which does no harm */
        o.tmpfs = fine;
        o.init = 1;
        o.user = "nobody";
        o.memory_bytes = 256ULL << 20;
        o.disk_bytes = 1ULL << 30;
        assert_int_equal(profile_check(&o, &err), 0);
        struct boxlet_box_options other = o;
        other.cap_drop = drop;
        expect_refused(&other, "--support-docker and --cap-drop contradict each other");
        other = o;
        other.read_only = 1;
        expect_refused(&other, "--support-docker and --read-only contradict each other");
        other = o;
        other.memory_bytes--;
        expect_refused(&other, "at least 256 MiB of memory");
        other = o;
        other.disk_bytes--;
        expect_refused(&other, "a disk of at least 1 GiB");
        for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++) {
                const char *const list[] = {"/tmp", hiding[i], NULL};
                other = o;
                other.tmpfs = list;
                expect_refused(&other, "contradict each other: it would hide /");
        }
}

/* NULL when the list is fine; else the message. */
static const char *check_mounts(const char *const *volumes, const char *const *mounts, struct error *err)
{
        struct mount_list list;
        if (mounts_parse(volumes, mounts, "/here", &list, err) < 0)
                fail_msg("%s", err->text);
        int r = profile_check_mounts(&list, err);
        mounts_done(&list);
        return r < 0 ? err->text : NULL;
}

static void mounts_that_contradict_are_refused(void **state)
{
        (void)state;
        static const struct {
                const char *volume, *mount, *words;
        } table[] = {
            {"/host:/var/lib/docker", NULL, "folder of the host on /var/lib/docker"},
            {"/host:/var", NULL, "folder of the host on /var contradict"},
            {"data:/var/lib/docker:ro", NULL, "read-only volume on /var/lib/docker"},
            {NULL, "type=tmpfs,target=/var/lib/docker", "tmpfs on /var/lib/docker"},
            {NULL, "type=tmpfs,target=/var/lib", "a disk it can write to, such as -v NAME:/var/lib/docker"},
            {NULL, "type=volume,source=data,target=/var/lib/docker,readonly", "read-only volume"},
            {"x1:/proc/sys", NULL, "would hide /proc/sys"},
            {"/host:/proc", NULL, "would hide /proc/sys"},
            {"x1:/sys/fs/cgroup", NULL, "would hide /sys/fs/cgroup"},
            {"/host:/dev", NULL, "would hide /dev/pts"},
        };
        static const char *const fine[] = {"data:/var/lib/docker", "/host:/var/lib/docker/host",
                                           "/host:/srv:ro",        "more:/run",
                                           "/host:/var/lib/other", NULL};
        static const char *const disk_above[] = {"data:/var", "/anonymous", NULL};
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct error err = ERROR_INIT;
                const char *const volumes[] = {table[i].volume, NULL}, *const mounts[] = {table[i].mount,
                                                                                          NULL};
                const char *text = check_mounts(volumes, mounts, &err);
                if (text == NULL || strstr(text, table[i].words) == NULL || strchr(text, '\n') != NULL)
                        fail_msg("'%s' instead of '%s'", text == NULL ? "nothing" : text, table[i].words);
        }
        struct error err = ERROR_INIT;
        assert_null(check_mounts(fine, NULL, &err));
        assert_null(check_mounts(disk_above, NULL, &err));
}

static void a_mount_on_run_takes_its_place(void **state)
{
        (void)state;
        static const char *const table[] = {"data:/run", "/run", "/host:/run"};
        static const char *const types[] = {"bind", NULL, "bind"};
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
                struct spec spec;
                struct mount_list list;
                struct error err = ERROR_INIT;
                const char *const volumes[] = {table[i], NULL};
                o.support_docker = 1;
                assert_int_equal(resolve("{\"config\":{\"Cmd\":[\"x\"]}}", &o, &spec), 0);
                assert_int_equal(mounts_parse(volumes, NULL, "/", &list, &err), 0);
                if (mounts_apply(&list, spec.document, spec.volumes, &err) < 0)
                        fail_msg("-v %s: %s", table[i], err.text);
                const json_t *run = find(json_object_get(spec.document, "mounts"), "destination", "/run");
                if (types[i] == NULL)
                        assert_null(run); /* it lies on the box's disk, and nothing covers it */
                else
                        assert_string_equal(json_string_value(json_object_get(run, "type")), types[i]);
                mounts_done(&list);
                spec_done(&spec);
        }
}

static void flavours(void **state)
{
        (void)state;
        assert_string_equal(profile_get(false)->kernel_flavour, "lean");
        assert_true(profile_get(false)->memory_bytes == 512ULL << 20);
        assert_int_equal(profile_get(false)->stop_timeout_ms, 10000);
        assert_int_equal(profile_get(true)->stop_timeout_ms, 120000);
        assert_string_equal(profile_get(true)->kernel_flavour, "docker");
        assert_string_equal(profile_get(true)->kernel_remedy, "make kernel-docker");
        assert_true(profile_get(true)->memory_bytes == 2ULL << 30);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(docker_profile),
    cmocka_unit_test(what_the_client_says_stays),
    cmocka_unit_test(run_gives_way_to_a_volume_in_it),
    cmocka_unit_test(contradictions_are_refused),
    cmocka_unit_test(mounts_that_contradict_are_refused),
    cmocka_unit_test(a_mount_on_run_takes_its_place),
    cmocka_unit_test(flavours),
};
UNIT_TEST_MAIN(cases)
