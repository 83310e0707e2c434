/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "vmm/qemu/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char no_words[] = "", some_words[] = "debug, -incoming exec:sh fd=99",
            qemu[] = "/usr/bin/qemu-system-x86_64";

static struct config basic(void)
{
        return (struct config){.accel = CONFIG_ACCEL_TCG,
                               .cpus = 2,
                               .memory_bytes = 512U << 20,
                               .kernel_fd = 20,
                               .initrd_fd = 21,
                               .kernel_arguments = no_words,
                               .net_fd = -1,
                               .console_fd = 22,
                               .qemu = qemu};
}

static const struct qemu_ends ends = {
    .memory = 29, .monitor = -1, .vsock = 30, .fs = -1, .console = 31, .words = 32};

static int find(const struct qemu_plan *p, const char *word)
{
        for (unsigned i = 0; i < p->word_count; i++) {
                if (strcmp(p->words[i], word) == 0)
                        return (int)i;
        }
        return -1;
}

static const char *value_of(const struct qemu_plan *p, const char *option)
{
        int i = find(p, option);
        assert_true(i >= 0);
        return p->words[i + 1];
}

static int given_as(const struct qemu_plan *p, int to)
{
        for (unsigned i = 0; i < p->fd_count; i++) {
                if (p->fds[i].to == to)
                        return p->fds[i].from;
        }
        return -1;
}

static void the_basic_machine(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        assert_string_equal(p.words[0], qemu);
        assert_null(p.words[p.word_count]);
        assert_string_equal(value_of(&p, "-accel"), "tcg,thread=multi");
        assert_string_equal(value_of(&p, "-smp"), "2");
        assert_string_equal(value_of(&p, "-m"), "524288k");
        assert_string_equal(value_of(&p, "-object"),
                            "memory-backend-file,id=mem,size=524288k,share=on,mem-path=/proc/self/fd/10");
        assert_string_equal(value_of(&p, "-kernel"), "/proc/self/fd/3");
        assert_string_equal(value_of(&p, "-initrd"), "/proc/self/fd/4");
        assert_true(strncmp(value_of(&p, "-sandbox"), "on,", 3) == 0);
        assert_true(find(&p, "-nodefaults") > 0 && find(&p, "-no-reboot") > 0 &&
                    find(&p, "-no-user-config") > 0);
        assert_int_equal(find(&p, "-netdev"), -1);
        assert_int_equal(find(&p, "-blockdev"), -1);
        assert_int_equal(find(&p, "-mon"), -1);
        assert_int_equal(find(&p, "-incoming"), -1);
        const char *append = value_of(&p, "-append");
        assert_non_null(strstr(append, " virtio_mmio.device=512@0xfeb00000:5"));
        assert_null(strstr(append, "virtio_mmio.device=512@0xfeb00200")); /* vsock is all there is */
        assert_int_equal(given_as(&p, 3), 20);
        assert_int_equal(given_as(&p, 4), 21);
        assert_int_equal(given_as(&p, 2), 32);
        assert_int_equal(given_as(&p, 5), 31);
        assert_int_equal(given_as(&p, 6), 30);
        assert_int_equal(given_as(&p, 10), 29);
        assert_int_equal(p.fd_count, 6);
        qemu_plan_done(&p);
}

static void disks_and_network_come_by_descriptor(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        c.accel = CONFIG_ACCEL_KVM;
        c.disk_count = 6; /* with network and vsock all slots there are */
        for (unsigned i = 0; i < c.disk_count; i++)
                c.disks[i] = (struct config_disk){.fd = 40 + (int)i, .readonly = i == 0};
        c.net_fd = 60;
        memcpy(c.mac, "02:00:00:00:00:01", 18);
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        assert_string_equal(value_of(&p, "-accel"), "kvm");
        assert_string_equal(value_of(&p, "-netdev"), "socket,id=net,fd=7");
        assert_int_equal(given_as(&p, 7), 60);
        int previous = 0;
        for (unsigned i = 0; i < c.disk_count; i++) {
                char word[96];
                (void)snprintf(word, sizeof(word), "virtio-blk-device,drive=disk%u,bus=virtio-mmio-bus.%u", i,
                               i);
                int at = find(&p, word);
                assert_true(at > previous); /* the order is what makes them vda, vdb, ... */
                previous = at;
                assert_int_equal(given_as(&p, 11 + (int)i), 40 + (int)i);
        }
        const char *first = value_of(&p, "-blockdev");
        assert_non_null(strstr(first, "filename=/dev/fdset/11,read-only=on"));
        assert_non_null(strstr(first, "locking=off"));
        assert_true(find(&p, "virtio-net-device,netdev=net,mac=02:00:00:00:00:01,bus=virtio-mmio-bus.6") >
                    previous);
        qemu_plan_done(&p);
}

static void shares_are_one_device(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_ends with_fs = ends;
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        with_fs.fs = 33;
        assert_int_equal(qemu_plan_make(&c, &with_fs, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        assert_true(
            find(&p, "vhost-user-fs-device,queue-size=256,tag=boxlet,chardev=fs,bus=virtio-mmio-bus.0") > 0);
        bool handed_over = false;
        for (unsigned i = 0; i < p.fd_count; i++)
                handed_over |= p.fds[i].from == 33;
        assert_true(handed_over);
        qemu_plan_done(&p);
}

static void more_devices_than_slots_are_refused_in_words(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        c.disk_count = CONFIG_DISKS_MAX;
        for (unsigned i = 0; i < c.disk_count; i++)
                c.disks[i] = (struct config_disk){.fd = 40 + (int)i};
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), -E2BIG);
        assert_string_equal(err.text, "the engine qemu has room for 8 devices, and this box needs 27: mount "
                                      "fewer volumes");
}

static void kernel_words_stay_one_word(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        c.kernel_arguments = some_words;
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0); /* "fd=99" in there is nobody's descriptor */
        const char *append = value_of(&p, "-append");
        assert_string_equal(append + strlen(append) - strlen(some_words), some_words);
        assert_int_equal(find(&p, "-incoming"), -1);
        assert_non_null(strstr(append, "panic=-1"));
        assert_non_null(strstr(append, "reboot=t"));
        assert_non_null(strstr(append, "rootfstype=ramfs"));
        qemu_plan_done(&p);
}

static void plans_that_do_not_hold_together_are_refused(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        c.initrd_fd = -1;
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), -EINVAL);
        qemu_plan_done(&p);
        c = basic();
        assert_int_equal(qemu_plan_make(&c, &ends, &p, &err), 0);
        int number = p.fds[0].to;
        p.fds[0].to = p.fds[1].to;
        assert_int_equal(qemu_plan_check(&p, &err), -EINVAL);
        p.fds[0].to = number;
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        for (unsigned i = 0; i < p.fd_count; i++)
                p.fds[i].to += p.fds[i].to == 5 ? 72 : 0;
        assert_int_equal(qemu_plan_check(&p, &err),
                         -EINVAL); /* a word names a descriptor that is not there */
        qemu_plan_done(&p);
}

static void a_template_has_slots_and_nothing_in_them(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        struct qemu_ends template_ends = {
            .memory = 29, .monitor = 28, .vsock = -1, .fs = -1, .console = 31, .words = 32};
        c.template = CONFIG_TEMPLATE_MAKE;
        c.template_memory_fd = 25;
        c.template_state_fd = 26;
        assert_int_equal(qemu_plan_make(&c, &template_ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        assert_int_equal(find(&p, "-device"), -1);
        assert_int_equal(find(&p, "-incoming"), -1);
        assert_string_equal(value_of(&p, "-mon"), "chardev=monitor,mode=control");
        assert_int_equal(given_as(&p, 9), 28);
        const char *append = value_of(&p, "-append");
        assert_non_null(
            strstr(append, " virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.kinds=19,0,0,0,0,0,0,26"));
        qemu_plan_done(&p);
}

static void a_copy_has_the_same_machine_and_its_own_devices(void **state)
{
        (void)state;
        struct config c = basic();
        struct qemu_plan p;
        struct error err = ERROR_INIT;
        struct qemu_ends copy_ends = ends;
        copy_ends.monitor = 28;
        copy_ends.fs = 33;
        c.template = CONFIG_TEMPLATE_USE;
        c.template_memory_fd = 25;
        c.template_state_fd = 26;
        c.kernel_fd = c.initrd_fd = -1; /* not asked for */
        c.disk_count = 2;
        c.disks[0] = (struct config_disk){.fd = 40, .readonly = true};
        c.disks[1] = (struct config_disk){.fd = 41};
        assert_int_equal(qemu_plan_make(&c, &copy_ends, &p, &err), 0);
        assert_int_equal(qemu_plan_check(&p, &err), 0);
        assert_int_equal(find(&p, "-kernel"), -1);
        assert_int_equal(find(&p, "-append"), -1);
        assert_string_equal(value_of(&p, "-incoming"), "defer");
        assert_int_equal(given_as(&p, QEMU_PLAN_STATE), 26);
        assert_true(
            find(&p, "vhost-user-blk,chardev=vsock,num-queues=3,queue-size=256,bus=virtio-mmio-bus.0") > 0);
        assert_true(find(&p, "virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.1") > 0);
        assert_true(find(&p, "virtio-blk-device,drive=disk1,bus=virtio-mmio-bus.2") > 0);
        assert_true(find(&p, "vhost-user-blk,chardev=fs,num-queues=2,queue-size=256,bus=virtio-mmio-bus.7") >
                    0);
        qemu_plan_done(&p);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(the_basic_machine),
    cmocka_unit_test(disks_and_network_come_by_descriptor),
    cmocka_unit_test(shares_are_one_device),
    cmocka_unit_test(more_devices_than_slots_are_refused_in_words),
    cmocka_unit_test(kernel_words_stay_one_word),
    cmocka_unit_test(a_template_has_slots_and_nothing_in_them),
    cmocka_unit_test(a_copy_has_the_same_machine_and_its_own_devices),
    cmocka_unit_test(plans_that_do_not_hold_together_are_refused),
};

UNIT_TEST_MAIN(cases)
