/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine on KVM, with guests of a few instructions (kvm-payload.S): they run even where the host's KVM
 * cannot boot Linux. The kernel is an ELF file made here with the payload as its one segment.
 */
#include "vmm/kvm/kvm.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "harness.h"
#include "virtio-driver.h"
#include "vmm/kvm/layout.h"
#include "vmm/virtio/mmio.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_GPA UINT64_C(0x100000)
#define SCRIPT_GPA  UINT64_C(0x200000)
#define RINGS_GPA   UINT64_C(0x210000)
#define MEMORY      (UINT64_C(32) << 20)

extern const uint8_t payload_start[], payload_end[];
extern const uint8_t payload_params[], payload_initrd[], payload_memory[], payload_ports[], payload_reset[],
    payload_triple_fault[], payload_timer[], payload_timer_flood[], payload_stores[], payload_storm[],
    payload_hang[], payload_spin[], payload_serial[], payload_mmio[], payload_virtio[], payload_interrupt[],
    payload_smp[], payload_cpuid[], payload_pvh[];

/* A device that answers each chain with the bytes of it, backwards. */
struct echo {
        struct device device;
        unsigned kicks;
        int drain_ms;        /* how long its requests under way take: a slow disk */
        struct source *stop; /* a timer that is due while they are waited for, or NULL */
        unsigned drains, stops;
};

static void echo_config_read(struct device *d, uint32_t offset, void *bytes, size_t size)
{
        memset(bytes, 0, size);
}

static void echo_kick(struct device *d, unsigned queue)
{
        static struct chain chain;
        uint8_t bytes[64], back[64];
        ((struct echo *)d)->kicks++;
        while (queue_next(&d->queues[queue], &chain) > 0) {
                size_t n = iov_read(chain.iov, chain.out_count, 0, bytes, sizeof(bytes));
                for (size_t i = 0; i < n; i++)
                        back[i] = bytes[n - 1 - i];
                n = iov_write(chain.iov + chain.out_count, chain.in_count, 0, back, n);
                queue_put(&d->queues[queue], &chain, (uint32_t)n);
        }
        queue_publish(&d->queues[queue]);
}

static void echo_drain(struct device *d)
{
        struct echo *e = (struct echo *)d;
        if (e->stop != NULL)
                (void)source_arm(e->stop, 0);
        (void)poll(NULL, 0, e->drain_ms);
        e->drains++;
}

static void echo_stop(struct device *d)
{
        ((struct echo *)d)->stops++;
}

static const struct device_ops echo_ops = {.name = "echo",
                                           .id = 77,
                                           .queue_count = 1,
                                           .config_read = echo_config_read,
                                           .kick = echo_kick,
                                           .drain = echo_drain,
                                           .stop = echo_stop};

struct bench {
        struct loop *loop;
        struct config config;
        struct echo echo;
        struct device *devices[1];
        struct machine *machine;
        bool running, ended;
        enum machine_end end;
        char detail[ERROR_TEXT_MAX];
};

static void on_running(void *data)
{
        ((struct bench *)data)->running = true;
}

static void on_ended(void *data, enum machine_end end, const char *detail)
{
        struct bench *b = data;
        assert_false(b->ended);
        b->ended = true;
        b->end = end;
        (void)snprintf(b->detail, sizeof(b->detail), "%s", detail);
        loop_quit(b->loop, 0);
}

static int file_of(const void *bytes, size_t size)
{
        int fd = memfd_create("test", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, size), size);
        return fd;
}

/* An ELF file: header, one LOAD at a page of its own, and a PVH note when pvh is given (then e_entry is
 * nowhere). */
static int kernel_file(const uint8_t *entry, bool pvh)
{
        size_t size = (size_t)(payload_end - payload_start);
        uint64_t at = PAYLOAD_GPA + (uint64_t)(entry - payload_start);
        cleanup_free uint8_t *file = calloc(1, 4096 + size);
        assert_non_null(file);
        Elf64_Ehdr h = {.e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_entry = pvh ? 0xffffffff81000000 : at,
                        .e_phoff = sizeof(h),
                        .e_phentsize = sizeof(Elf64_Phdr),
                        .e_phnum = 2};
        memcpy(h.e_ident, ELFMAG "\2\1\1", 7);
        Elf64_Phdr p[2] = {{.p_type = PT_LOAD,
                            .p_flags = PF_R | PF_W | PF_X,
                            .p_offset = 4096,
                            .p_paddr = PAYLOAD_GPA,
                            .p_filesz = size,
                            .p_memsz = size + 65536},
                           {.p_type = PT_NOTE, .p_offset = 512, .p_filesz = 20}};
        uint32_t note[5] = {4, 4, 18, 0, (uint32_t)at};
        memcpy(&note[3], "Xen", 4);
        memcpy(file, &h, sizeof(h));
        memcpy(file + sizeof(h), p, sizeof(p));
        memcpy(file + 512, note, sizeof(note));
        memcpy(file + 4096, payload_start, size);
        return file_of(file, 4096 + size);
}

static void bench_init(struct bench *b, const uint8_t *entry, bool pvh)
{
        memset(b, 0, sizeof(*b));
        log_init("test", -1, LOG_LEVEL_ERROR);
        b->config = (struct config){.engine = CONFIG_ENGINE_KVM,
                                    .cpus = 1,
                                    .memory_bytes = MEMORY,
                                    .kernel_arguments = (char *)"",
                                    .net_fd = -1,
                                    .console_fd = -1,
                                    .log_fd = -1};
        b->config.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (b->config.kvm_fd < 0)
                unit_skip("no /dev/kvm that can be opened");
        b->config.kernel_fd = kernel_file(entry, pvh);
        b->config.initrd_fd = file_of("initramfs", 9);
        b->echo.device.ops = &echo_ops;
        b->devices[0] = &b->echo.device;
        assert_int_equal(loop_new(&b->loop), 0);
        struct kvm_options options = {.config = &b->config, .devices = b->devices, .device_count = 1};
        struct machine_events events = {.running = on_running, .ended = on_ended, .data = b};
        assert_int_equal(kvm_machine_new(b->loop, &options, &events, &b->machine), 0);
}

static void bench_start(struct bench *b)
{
        struct error err = ERROR_INIT;
        int r = b->machine->ops->start(b->machine, &err);
        if (r < 0)
                fail_msg("start: %s", err.text);
        assert_false(b->running);
}

static void bench_run(struct bench *b)
{
        b->machine->ops->run(b->machine);
        assert_true(b->running);
        assert_int_equal(loop_run(b->loop), 0);
        assert_true(b->ended);
}

static void bench_done(struct bench *b)
{
        b->machine->ops->free(b->machine);
        loop_free(b->loop);
        close_fd(&b->config.kvm_fd);
        close_fd(&b->config.kernel_fd);
        close_fd(&b->config.initrd_fd);
        close_fd(&b->config.console_fd);
}

/* Runs the payload to its end by the exit port; the byte it ended with. */
static unsigned run_payload(const uint8_t *entry, bool pvh, unsigned cpus)
{
        struct bench b;
        unsigned code = 0;
        bench_init(&b, entry, pvh);
        b.config.cpus = cpus;
        bench_start(&b);
        bench_run(&b);
        if (b.end != MACHINE_GUEST_SHUTDOWN || sscanf(b.detail, "the exit port got %u", &code) != 1)
                fail_msg("ended by %d: %s", (int)b.end, b.detail);
        bench_done(&b);
        return code;
}

static void finds_its_command_line(void **state)
{
        struct bench b;
        unsigned code = 0;
        bench_init(&b, payload_params, false);
        b.config.kernel_arguments = (char *)"one=1";
        bench_start(&b);
        bench_run(&b);
        assert_int_equal(sscanf(b.detail, "the exit port got %u", &code), 1);
        /* the whole line's length, by its lowest byte: with the own words at the end it is longer by 6 */
        unsigned without = run_payload(payload_params, false, 1);
        assert_int_equal(code, (without + 6) % 256);
        bench_done(&b);
}

static void finds_its_initramfs(void **state)
{
        assert_int_equal(run_payload(payload_initrd, false, 1), 'i');
}

static void memory_behind_the_file_is_zero(void **state)
{
        assert_int_equal(run_payload(payload_memory, false, 1), 7);
}

static void empty_ports_read_as_ones(void **state)
{
        assert_int_equal(run_payload(payload_ports, false, 1), 1);
}

static void enters_by_pvh(void **state)
{
        assert_int_equal(run_payload(payload_pvh, true, 1), 8);
}

static void says_what_it_is_by_cpuid(void **state)
{
        assert_int_equal(run_payload(payload_cpuid, false, 1), 4);
}

static void starts_a_second_processor(void **state)
{
        assert_int_equal(run_payload(payload_smp, false, 2), 2);
}

static void device_registers(void **state)
{
        assert_int_equal(run_payload(payload_mmio, false, 1), 77);
}

static void boot_timer_does_not_end_it(void **state)
{
        assert_int_equal(run_payload(payload_timer, false, 1), 6);
}

static void boot_timer_fills_no_log(void **state)
{
        struct bench b;
        char text[8192];
        int log = memfd_create("log", MFD_CLOEXEC);
        bench_init(&b, payload_timer_flood, false);
        log_init("test", log, LOG_LEVEL_INFO);
        bench_start(&b);
        bench_run(&b);
        assert_string_equal(b.detail, "the exit port got 6");
        bench_done(&b);
        ssize_t n = pread(log, text, sizeof(text) - 1, 0);
        assert_in_range(n, 1, 16 * 128);
        text[n] = '\0';
        assert_non_null(strstr(text, "boot timer 160: ")); /* the first: 100,000 in its lowest byte */
        assert_non_null(strstr(text, "boot timer 145: ")); /* the 16th */
        assert_null(strstr(text, "boot timer 144: "));
        (void)close(log);
}

static void reset_is_told_from_a_crash(void **state)
{
        struct bench b;
        bench_init(&b, payload_reset, false);
        bench_start(&b);
        bench_run(&b);
        assert_int_equal(b.end, MACHINE_GUEST_RESET);
        bench_done(&b);
        bench_init(&b, payload_triple_fault, false);
        bench_start(&b);
        bench_run(&b);
        if (b.end != MACHINE_GUEST_CRASHED)
                fail_msg("ended by %d: %s", (int)b.end, b.detail);
        assert_non_null(strstr(b.detail, "triple fault on vCPU 0: rip="));
        bench_done(&b);
}

static void stop_later(struct source *s, void *data)
{
        struct bench *b = data;
        b->machine->ops->stop(b->machine);
}

/* The guest runs until we say stop; the loop's own timer says it when it gets there. */
static void stop_while(const uint8_t *entry, enum machine_end end)
{
        struct bench b;
        struct source *timer;
        bench_init(&b, entry, false);
        b.config.cpus = 2;
        bench_start(&b);
        assert_int_equal(loop_add_timer(b.loop, stop_later, &b, &timer), 0);
        assert_int_equal(source_arm(timer, 100), 0);
        bench_run(&b);
        source_free(timer);
        if (b.end != end)
                fail_msg("ended by %d: %s", (int)b.end, b.detail);
        bench_done(&b);
}

static void stops_a_guest_that_spins(void **state)
{
        stop_while(payload_spin, MACHINE_STOPPED);
}

static void says_that_a_guest_had_halted_for_good(void **state)
{
        stop_while(payload_hang, MACHINE_GUEST_HUNG);
}

/* What this process, its vCPUs with it, uses of the CPU in 200 ms of the loop. */
static int64_t cpu_ns_of_200_ms(struct bench *b)
{
        struct timespec before, after;
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
        for (unsigned i = 0; i < 20; i++)
                assert_true(loop_step(b->loop, 10) >= 0);
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
        return (int64_t)(after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
}

static void a_paused_guest_uses_no_processor(void **state)
{
        struct bench b;
        bench_init(&b, payload_spin, false);
        b.config.cpus = 2;
        bench_start(&b);
        b.machine->ops->run(b.machine);
        int64_t used = 0;
        while (used < 20000000) /* it gets there, however busy the host is */
                used += cpu_ns_of_200_ms(&b);
        assert_int_equal(b.machine->ops->pause(b.machine, true), 0);
        assert_int_equal(b.machine->ops->pause(b.machine, true), 0);
        (void)cpu_ns_of_200_ms(&b); /* on its way out */
        assert_true(cpu_ns_of_200_ms(&b) < 10000000);
        assert_int_equal(b.machine->ops->pause(b.machine, false), 0);
        for (used = 0; used < 20000000;)
                used += cpu_ns_of_200_ms(&b);
        assert_int_equal(b.machine->ops->pause(b.machine, true), 0);
        assert_false(b.ended);
        b.machine->ops->stop(b.machine);
        assert_int_equal(loop_run(b.loop), 0);
        assert_true(b.ended);
        assert_int_equal(b.end, MACHINE_STOPPED);
        assert_int_equal(b.machine->ops->pause(b.machine, false), -ESRCH);
        bench_done(&b);
}

static void never_run_is_freed(void **state)
{
        struct bench b;
        bench_init(&b, payload_spin, false);
        b.config.cpus = 4;
        bench_start(&b);
        bench_done(&b);
        assert_false(b.ended);
}

static void serial_port_speaks(void **state)
{
        struct bench b;
        char text[8] = "";
        bench_init(&b, payload_serial, false);
        b.config.debug_console = true;
        b.config.console_fd = memfd_create("console", MFD_CLOEXEC);
        bench_start(&b);
        bench_run(&b);
        assert_string_equal(b.detail, "the exit port got 3");
        assert_int_equal(pread(b.config.console_fd, text, sizeof(text), 0), 3);
        assert_string_equal(text, "hi\n");
        bench_done(&b);
}

/* ---- a virtqueue, driven by guest code ---- */

struct script {
        uint32_t words[64];
        unsigned count;
};

static void store(struct script *s, uint32_t offset, uint32_t value)
{
        s->words[s->count++] = offset;
        s->words[s->count++] = value;
}

/* Writes rings with one chain, and the stores that bring the device up and kick it. Guest memory is found in
 * our own mappings through the device's queue. */
static void write_script(struct bench *b, bool reset)
{
        const struct memory *memory = b->echo.device.queues[0].memory;
        uint8_t *rings = memory_translate(memory, RINGS_GPA, 8192);
        struct ring_desc chain[2] = {{RINGS_GPA + 4096, 5, DESC_NEXT, 1},
                                     {RINGS_GPA + 6144, 16, DESC_WRITE, 0}};
        uint16_t available[3] = {0, 1, 0};
        struct script s = {.count = 0};
        assert_non_null(rings);
        memcpy(rings, chain, sizeof(chain));
        memcpy(rings + 1024, available, sizeof(available));
        memcpy(rings + 4096, "abcde", 5);
        store(&s, MMIO_STATUS, 1);
        store(&s, MMIO_STATUS, 3);
        store(&s, MMIO_DRIVER_FEATURES_SEL, 1);
        store(&s, MMIO_DRIVER_FEATURES, 1);
        store(&s, MMIO_STATUS, 11);
        store(&s, MMIO_QUEUE_SEL, 0);
        store(&s, MMIO_QUEUE_NUM, 8);
        store(&s, MMIO_QUEUE_DESC_LOW, (uint32_t)RINGS_GPA);
        store(&s, MMIO_QUEUE_DRIVER_LOW, (uint32_t)RINGS_GPA + 1024);
        store(&s, MMIO_QUEUE_DEVICE_LOW, (uint32_t)RINGS_GPA + 2048);
        store(&s, MMIO_QUEUE_READY, 1);
        store(&s, MMIO_STATUS, 15);
        store(&s, MMIO_QUEUE_NOTIFY, 0);
        if (reset)
                store(&s, MMIO_STATUS, 0);
        store(&s, (uint32_t)RINGS_GPA + 2048, UINT32_MAX);
        /* the payload reads the offset first, then the value; the end is told by the value */
        memcpy(memory_translate(memory, SCRIPT_GPA, sizeof(s.words)), s.words, sizeof(s.words));
}

static void guest_drives_a_virtqueue(void **state)
{
        struct bench b;
        bench_init(&b, payload_virtio, false);
        bench_start(&b);
        write_script(&b, false);
        const struct memory *memory = b.echo.device.queues[0].memory;
        bench_run(&b);
        assert_string_equal(b.detail, "the exit port got 5");
        assert_memory_equal(memory_translate(memory, RINGS_GPA + 6144, 5), "edcba", 5);
        assert_true(b.echo.kicks >= 1);
        bench_done(&b);
}

static void interrupt_arrives(void **state)
{
        struct bench b;
        bench_init(&b, payload_interrupt, false);
        bench_start(&b);
        write_script(&b, false);
        bench_run(&b);
        assert_string_equal(b.detail, "the exit port got 48");
        bench_done(&b);
}

static void tick(struct source *s, void *data)
{
        ++*(unsigned *)data;
        (void)source_arm(s, 5);
}

/* A guest that does nothing but notify: the loop gets to see other events, and no notification is an exit of
 * its own for a queue that is there. */
static void a_storm_of_notifications_is_survived(void **state)
{
        struct bench b;
        struct source *timer;
        unsigned ticks = 0;
        bench_init(&b, payload_storm, false);
        bench_start(&b);
        write_script(&b, false);
        assert_int_equal(loop_add_timer(b.loop, tick, &ticks, &timer), 0);
        assert_int_equal(source_arm(timer, 1), 0);
        const struct memory *memory = b.echo.device.queues[0].memory;
        bench_run(&b);
        assert_string_equal(b.detail, "the exit port got 12");
        assert_true(ticks > 3);
        assert_in_range(b.echo.kicks, 1, 100002);
        assert_memory_equal(memory_translate(memory, RINGS_GPA + 6144, 5), "edcba", 5);
        source_free(timer);
        bench_done(&b);
}

static int64_t now_ms(void)
{
        struct timespec now;
        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A slow disk's reset: the store returns when nothing of the device's touches memory any more, and not
 * before. Who stops the machine meanwhile gets it stopped then. */
static void a_reset_waits_for_requests_and_stop_still_works(void **state)
{
        for (int stop = 0; stop < 2; stop++) {
                struct bench b;
                struct source *timer;
                bench_init(&b, payload_stores, false);
                b.echo.drain_ms = 400;
                bench_start(&b);
                write_script(&b, true);
                assert_int_equal(loop_add_timer(b.loop, stop_later, &b, &timer), 0);
                b.echo.stop = stop ? timer : NULL;
                int64_t begun = now_ms();
                bench_run(&b);
                assert_true(now_ms() - begun >= 400);
                assert_true(b.end == MACHINE_GUEST_SHUTDOWN || (stop && b.end == MACHINE_STOPPED));
                if (!stop)
                        assert_string_equal(b.detail, "the exit port got 11");
                assert_int_equal(b.echo.drains, 1);
                assert_int_equal(b.echo.stops, 1);
                source_free(timer);
                bench_done(&b);
        }
}

static void start_fails_with_a_reason(void **state)
{
        struct bench b;
        struct error err = ERROR_INIT;
        bench_init(&b, payload_spin, false);
        b.config.cpus = LAYOUT_CPUS_MAX + 1;
        assert_true(b.machine->ops->start(b.machine, &err) < 0);
        assert_non_null(strstr(err.text, "33 CPUs"));
        bench_done(&b);
        bench_init(&b, payload_spin, false);
        b.config.memory_bytes = LAYOUT_MEMORY_MAX + 4096;
        assert_true(b.machine->ops->start(b.machine, &err) < 0);
        assert_non_null(strstr(err.text, "64 GiB"));
        bench_done(&b);
        bench_init(&b, payload_spin, false);
        assert_int_equal(ftruncate(b.config.kernel_fd, 5000), 0);
        assert_int_equal(b.machine->ops->start(b.machine, &err), -ENOEXEC);
        bench_done(&b);
        bench_init(&b, payload_spin, false);
        assert_int_equal(close(b.config.kvm_fd), 0);
        b.config.kvm_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_true(b.machine->ops->start(b.machine, &err) < 0);
        bench_done(&b);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(finds_its_command_line),
    cmocka_unit_test(finds_its_initramfs),
    cmocka_unit_test(memory_behind_the_file_is_zero),
    cmocka_unit_test(empty_ports_read_as_ones),
    cmocka_unit_test(enters_by_pvh),
    cmocka_unit_test(says_what_it_is_by_cpuid),
    cmocka_unit_test(starts_a_second_processor),
    cmocka_unit_test(device_registers),
    cmocka_unit_test(boot_timer_does_not_end_it),
    cmocka_unit_test(boot_timer_fills_no_log),
    cmocka_unit_test(reset_is_told_from_a_crash),
    cmocka_unit_test(stops_a_guest_that_spins),
    cmocka_unit_test(says_that_a_guest_had_halted_for_good),
    cmocka_unit_test(a_paused_guest_uses_no_processor),
    cmocka_unit_test(never_run_is_freed),
    cmocka_unit_test(serial_port_speaks),
    cmocka_unit_test(guest_drives_a_virtqueue),
    cmocka_unit_test(interrupt_arrives),
    cmocka_unit_test(a_storm_of_notifications_is_survived),
    cmocka_unit_test(a_reset_waits_for_requests_and_stop_still_works),
    cmocka_unit_test(start_fails_with_a_reason),
};
UNIT_TEST_MAIN(cases)
