/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done once for a machine, in KVM's order: VM, the pages that Intel's processors need for real mode,
 * the interrupt chips (PIC, IOAPIC, local APICs in the kernel; no PIT: the guest's clock is its local APIC's
 * timer), then memory and events. See Documentation/virt/kvm/api.rst in Linux.
 */
#include "vmm/kvm/vm.h"

#include "base/cleanup.h"
#include "vmm/kvm/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static const struct need {
        int capability;
        const char *what;
} needs[] = {
    {KVM_CAP_USER_MEMORY, "memory of our own"},
    {KVM_CAP_IRQCHIP, "interrupt chips"},
    {KVM_CAP_IOEVENTFD, "ioeventfd"},
    {KVM_CAP_IRQFD, "irqfd"},
    {KVM_CAP_EXT_CPUID, "CPUID"},
    {KVM_CAP_SET_TSS_ADDR, "a place for the TSS"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate_exit (Linux 4.12)"},
};

static int check_needs(const struct vm *vm, struct error *err)
{
        int version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0);
        if (version != KVM_API_VERSION)
                return error_set(err, -EOPNOTSUPP, "/dev/kvm speaks version %d, not %d", version,
                                 KVM_API_VERSION);
        for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
                if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, needs[i].capability) <= 0)
                        return error_set(err, -EOPNOTSUPP, "/dev/kvm of this host has no %s", needs[i].what);
        }
        return 0;
}

static int set_up(struct vm *vm, struct error *err)
{
        uint64_t identity = LAYOUT_IDENTITY;
        int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
        if (size < (int)sizeof(struct kvm_run))
                return error_set(err, -EOPNOTSUPP, "/dev/kvm has vCPUs of %d bytes", size);
        vm->run_size = (size_t)size;
        vm->tsc_deadline = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
        vm->supported.count = CPUID_ENTRIES_MAX;
        if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &vm->supported) < 0)
                return error_errno(err, -errno, "ask KVM for its CPUID");
        vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
        if (vm->fd < 0)
                return error_errno(err, -errno, "make a KVM machine");
        if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
            ioctl(vm->fd, KVM_SET_TSS_ADDR, LAYOUT_TSS) < 0)
                return error_errno(err, -errno, "place KVM's own pages");
        if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
                return error_errno(err, -errno, "make KVM's interrupt chips");
        return 0;
}

int vm_init(struct vm *vm, int kvm_fd, struct error *err)
{
        memset(vm, 0, sizeof(*vm));
        vm->kvm_fd = kvm_fd;
        vm->fd = -1;
        int r = check_needs(vm, err);
        if (r == 0)
                r = set_up(vm, err);
        if (r < 0)
                vm_done(vm);
        return r;
}

void vm_done(struct vm *vm)
{
        close_fd(&vm->fd);
}

int vm_add_ram(struct vm *vm, const struct ram *ram, struct error *err)
{
        for (unsigned i = 0; i < ram->memory.count; i++) {
                const struct memory_region *m = &ram->memory.regions[i];
                struct kvm_userspace_memory_region region = {.slot = vm->slots,
                                                             .guest_phys_addr = m->gpa,
                                                             .memory_size = m->size,
                                                             .userspace_addr = (uintptr_t)m->host};
                if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
                        return error_errno(err, -errno, "give the guest its memory");
                vm->slots++;
        }
        return 0;
}

int vm_add_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t match, int fd, struct error *err)
{
        struct kvm_ioeventfd event = {
            .datamatch = match, .addr = gpa, .len = 4, .fd = fd, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
        return ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0 ? error_errno(err, -errno, "make an ioeventfd") : 0;
}

int vm_add_irqfd(struct vm *vm, unsigned line, int fd, struct error *err)
{
        struct kvm_irqfd irq = {.fd = (uint32_t)fd, .gsi = line};
        return ioctl(vm->fd, KVM_IRQFD, &irq) < 0 ? error_errno(err, -errno, "make an irqfd") : 0;
}
