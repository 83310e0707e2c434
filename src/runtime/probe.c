/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe. A /dev/kvm that answers every ioctl may still be unable to run a kernel (there are hosts that
 * interpret the guest's kernel mode, and know some instructions only), and the host's CPU flags say nothing
 * about it. So a VM is made with one processor, 64 KiB of memory, and probe-payload.S in it:
 *
 *     0x0500  GDT            0x1000  page tables (one huge page)     0x8000  end of the stack
 *     0x0600  IDT            0x4000  the code                       0x9000  state area     0xa000  step
 * number
 *
 * What it does is bounded: the code has no loops, and whatever goes wrong in it leaves KVM_RUN, at the latest
 * by a triple fault. It is under 2 ms where KVM is good.
 *
 * The outcome holds for one boot of the host, kernel and processor (a suspended machine may wake up
 * elsewhere), and is written to a file of the home folder; permission to open /dev/kvm is looked at each
 * time.
 */
#include "runtime/probe.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#define DEVICE     "/dev/kvm"
#define CACHE_NAME "kvm-probe"
#define CACHE_MAX  4096
#define KEY_MAX    512

#if defined(__x86_64__)
#include <cpuid.h>

#define MEMORY_SIZE 0x10000U
#define GDT_GPA     0x500U
#define PML4_GPA    0x1000U
#define PDPT_GPA    0x2000U
#define PD_GPA      0x3000U
#define CODE_GPA    0x4000U
#define STACK_GPA   0x8000U
#define STEP_GPA    0xa000U
#define EXIT_PORT   0xf4U
#define CODE_MAX    (STACK_GPA - CODE_GPA - 0x1000U)
#define EXITS_MAX   16
#define CPUID_MAX   256

extern const uint8_t probe_payload[], probe_payload_end[];

static const char *const steps[] = {"the first instruction", "lock cmpxchg16b",
                                    "fxsave and fxrstor",    "xsave and xrstor",
                                    "int3 and iretq",        "stac and clac",
                                    "wrmsr and swapgs",      "mov to cr3 and invlpg",
                                    "rep stos and lock xadd"};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

struct machine {
        int vm, vcpu;
        uint8_t *memory;
        struct kvm_run *run;
        size_t run_size;
};

static void machine_done(struct machine *m)
{
        if (m->run != NULL)
                (void)munmap(m->run, m->run_size); /* ours, here and below: cannot fail */
        close_fd(&m->vcpu);
        close_fd(&m->vm);
        if (m->memory != NULL)
                (void)munmap(m->memory, MEMORY_SIZE);
}

static void store64(struct machine *m, uint32_t gpa, uint64_t value)
{
        memcpy(m->memory + gpa, &value, sizeof(value));
}

static void fill_memory(struct machine *m)
{
        store64(m, PML4_GPA, PDPT_GPA | 3);
        store64(m, PDPT_GPA, PD_GPA | 3);
        store64(m, PD_GPA, 0x83); /* 2 MiB at 0 */
        store64(m, GDT_GPA + 16, UINT64_C(0x00af9b000000ffff));
        store64(m, GDT_GPA + 24, UINT64_C(0x00cf93000000ffff));
        memcpy(m->memory + CODE_GPA, probe_payload, (size_t)(probe_payload_end - probe_payload));
}

static int set_registers(const struct machine *m)
{
        struct kvm_segment code = {
            .limit = UINT32_MAX, .selector = 16, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
        struct kvm_segment data = {
            .limit = UINT32_MAX, .selector = 24, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
        struct kvm_regs regs = {.rip = CODE_GPA, .rsp = STACK_GPA, .rflags = 2};
        struct kvm_sregs sregs;
        if (ioctl(m->vcpu, KVM_GET_SREGS, &sregs) < 0)
                return -errno;
        sregs.cs = code;
        sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
        sregs.gdt = (struct kvm_dtable){.base = GDT_GPA, .limit = 31};
        sregs.idt.limit = 0;
        sregs.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
        sregs.cr3 = PML4_GPA;
        sregs.cr4 = 0x20;   /* PAE */
        sregs.efer = 0x500; /* LMA LME */
        if (ioctl(m->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(m->vcpu, KVM_SET_REGS, &regs) < 0)
                return -errno;
        return 0;
}

static int set_cpuid(int kvm, const struct machine *m)
{
        struct {
                uint32_t count, padding;
                struct kvm_cpuid_entry2 entries[CPUID_MAX];
        } table = {.count = CPUID_MAX};
        if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &table) < 0 || ioctl(m->vcpu, KVM_SET_CPUID2, &table) < 0)
                return -errno;
        return 0;
}

static int make_vcpu(int kvm, struct machine *m)
{
        int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
        if (size < (int)sizeof(*m->run))
                return -EPROTO;
        m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0UL);
        if (m->vcpu < 0)
                return -errno;
        m->run_size = (size_t)size;
        void *run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
        if (run == MAP_FAILED)
                return -errno;
        m->run = run;
        int r = set_cpuid(kvm, m);
        return r < 0 ? r : set_registers(m);
}

static int make_memory(struct machine *m)
{
        void *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return -errno;
        m->memory = memory;
        struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE,
                                                     .userspace_addr = (uintptr_t)memory};
        if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
                return -errno;
        fill_memory(m);
        return 0;
}

/* Runs the payload to its end: 0 with its byte, or what KVM said, in why. */
static int run_payload(struct machine *m, uint8_t *ret_code, const char **ret_why)
{
        *ret_why = "it does not end";
        for (unsigned i = 0; i < EXITS_MAX; i++) {
                if (ioctl(m->vcpu, KVM_RUN, 0) < 0) {
                        if (errno == EINTR || errno == EAGAIN)
                                continue;
                        *ret_why = strerror(errno);
                        return -EIO;
                }
                switch (m->run->exit_reason) {
                case KVM_EXIT_IO:
                        if (m->run->io.port != EXIT_PORT)
                                return -EIO;
                        *ret_code = *((uint8_t *)m->run + m->run->io.data_offset);
                        return 0;
                case KVM_EXIT_INTR:
                        break;
                case KVM_EXIT_SHUTDOWN:
                        *ret_why = "a triple fault";
                        return -EIO;
                case KVM_EXIT_INTERNAL_ERROR:
                        *ret_why = "an internal error of KVM";
                        return -EIO;
                case KVM_EXIT_FAIL_ENTRY:
                        *ret_why = "the processor refuses to enter";
                        return -EIO;
                default:
                        *ret_why = "an unexpected exit";
                        return -EIO;
                }
        }
        return -EIO;
}

static void judge(struct machine *m, struct probe *p)
{
        uint8_t code = 0;
        const char *why;
        uint32_t step;
        int r = run_payload(m, &code, &why);
        memcpy(&step, m->memory + STEP_GPA, sizeof(step));
        p->usable = r == 0 && code == 0;
        if (p->usable)
                (void)snprintf(p->reason, sizeof(p->reason), DEVICE " runs 64-bit kernel code");
        else
                (void)snprintf(p->reason, sizeof(p->reason),
                               DEVICE " answers, but cannot run a kernel: '%s' in kernel mode %s%s",
                               step < STEPS ? steps[step] : "an instruction",
                               r == 0 ? "gives a wrong result" : "ends in ", r == 0 ? "" : why);
}

static void try_payload(int kvm, int vm, struct probe *p)
{
        struct machine m = {.vm = vm, .vcpu = -1};
        int r = make_memory(&m);
        if (r == 0)
                r = make_vcpu(kvm, &m);
        if (r == 0)
                judge(&m, p);
        else
                (void)snprintf(p->reason, sizeof(p->reason), DEVICE " cannot make a machine: %s",
                               strerror(-r));
        machine_done(&m);
}

static void name_cpu(char *text, size_t size)
{
        unsigned a = 0, b = 0, c = 0, d = 0;
        unsigned long long flags = 0;
        (void)__get_cpuid(1, &a, &b, &c, &d); /* zeros name a CPU, too */
        flags = (unsigned long long)c << 32 | d;
        (void)snprintf(text, size, "%08x %016llx", a, flags);
}
#else
static void try_payload(int kvm, int vm, struct probe *p)
{
        (void)close(vm);
        (void)snprintf(p->reason, sizeof(p->reason), "the kvm engine is for x86-64 only");
}

static void name_cpu(char *text, size_t size)
{
        (void)snprintf(text, size, "other");
}
#endif

/* ---- the device ---- */

static void describe_failure(const char *path, int error, struct probe *p)
{
        const char *advice = "";
        if (error == ENOENT || error == ENODEV || error == ENXIO)
                advice =
                    ": switch on virtualisation in the firmware and load the module kvm_intel or kvm_amd";
        else if (error == EACCES || error == EPERM)
                advice = ": add yourself to the device's group (usermod -aG kvm $USER, then log in again)";
        (void)snprintf(p->reason, sizeof(p->reason), "open '%s': %s%s", path, strerror(error), advice);
}

/* An open device that makes VMs; the VM, or below 0 with the reason in p. */
static int open_device(const char *path, int *ret_kvm, struct probe *p)
{
        cleanup_fd int kvm = open(path, O_RDWR | O_CLOEXEC);
        if (kvm < 0) {
                describe_failure(path, errno, p);
                return -errno;
        }
        int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
        if (version != KVM_API_VERSION) {
                (void)snprintf(p->reason, sizeof(p->reason), "%s speaks version %d, not %d", path, version,
                               KVM_API_VERSION);
                return -EPROTO;
        }
        int vm = ioctl(kvm, KVM_CREATE_VM, 0);
        if (vm < 0) {
                int r = -errno;
                (void)snprintf(p->reason, sizeof(p->reason), "%s cannot create a VM: %s", path, strerror(-r));
                return r;
        }
        *ret_kvm = take_fd(&kvm);
        return vm;
}

void probe_device(const char *path, struct probe *ret_probe)
{
        cleanup_fd int kvm = -1;
        *ret_probe = (struct probe){.opens = false};
        int vm = open_device(path, &kvm, ret_probe);
        if (vm < 0)
                return;
        ret_probe->opens = true;
        try_payload(kvm, vm, ret_probe);
}

/* ---- what is known from before ---- */

/* What the outcome depends on, as text. */
static int make_key(char key[KEY_MAX])
{
        struct utsname host;
        char boot[37], cpu[64];
        int r = process_boot_id(boot);
        if (r < 0 || uname(&host) < 0)
                return r < 0 ? r : -errno;
        name_cpu(cpu, sizeof(cpu));
        (void)snprintf(key, KEY_MAX, "%s %s %s %s", boot, host.release, host.version, cpu); /* all bounded */
        return 0;
}

static bool recall(int home_fd, const char *key, struct probe *p)
{
        cleanup_free char *text = NULL;
        cleanup_json json_t *json = NULL;
        const char *known, *reason;
        size_t size;
        bool usable;
        if (path_read_at(home_fd, CACHE_NAME, CACHE_MAX, &text, &size) < 0 ||
            json_parse(text, size, CACHE_NAME, &json, NULL) < 0 ||
            json_get_string(json, "key", &known, NULL) < 0 || strcmp(known, key) != 0 ||
            json_get_string(json, "reason", &reason, NULL) < 0 ||
            json_get_bool_or(json, "usable", false, &usable, NULL) < 0)
                return false;
        p->usable = usable;
        (void)snprintf(p->reason, sizeof(p->reason), "%s", reason);
        return true;
}

/* Replaced in one step; not synced to the disk, since it means nothing to the next boot of the host. */
static void write_cache(int home_fd, const char *text, size_t size)
{
        char name[64];
        (void)snprintf(name, sizeof(name), CACHE_NAME ".%d.tmp", (int)getpid()); /* fits */
        cleanup_fd int fd =
            openat(home_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return;
        if (fd_write_full(fd, text, size) < 0 || renameat(home_fd, name, home_fd, CACHE_NAME) < 0)
                (void)unlinkat(home_fd, name, 0); /* as if it had not been tried */
}

static void remember(int home_fd, const char *key, const struct probe *p)
{
        cleanup_json json_t *json =
            json_pack("{s:s, s:b, s:s}", "key", key, "usable", p->usable, "reason", p->reason);
        size_t size;
        cleanup_free char *text = json == NULL ? NULL : json_print(json, &size);
        if (text != NULL)
                write_cache(home_fd, text, size); /* without it, it is probed again */
}

void probe_kvm(int home_fd, struct probe *ret_probe)
{
        char key[KEY_MAX];
        bool has_key = home_fd >= 0 && make_key(key) == 0;
        *ret_probe = (struct probe){.opens = false};
        if (has_key && access(DEVICE, R_OK | W_OK) == 0 && recall(home_fd, key, ret_probe)) {
                ret_probe->opens = true;
                return;
        }
        probe_device(DEVICE, ret_probe);
        if (has_key && ret_probe->opens)
                remember(home_fd, key, ret_probe);
}
