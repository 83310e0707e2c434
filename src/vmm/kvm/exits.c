/* SPDX-License-Identifier: Apache-2.0 */
/* The names are those of KVM_EXIT_* in linux/kvm.h, in words; the numbers mean what KVM's api.rst section 5
 * says. */
#include "vmm/kvm/exits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const names[EXITS_REASONS_MAX] = {
    [KVM_EXIT_UNKNOWN] = "exit unknown to KVM",
    [KVM_EXIT_EXCEPTION] = "exception",
    [KVM_EXIT_IO] = "I/O port",
    [KVM_EXIT_HYPERCALL] = "hypercall",
    [KVM_EXIT_DEBUG] = "debug event",
    [KVM_EXIT_HLT] = "halt",
    [KVM_EXIT_MMIO] = "MMIO",
    [KVM_EXIT_IRQ_WINDOW_OPEN] = "interrupt window",
    [KVM_EXIT_SHUTDOWN] = "triple fault",
    [KVM_EXIT_FAIL_ENTRY] = "failed entry",
    [KVM_EXIT_INTR] = "signal",
    [KVM_EXIT_SET_TPR] = "TPR",
    [KVM_EXIT_TPR_ACCESS] = "TPR access",
    [KVM_EXIT_NMI] = "NMI",
    [KVM_EXIT_INTERNAL_ERROR] = "internal error",
    [KVM_EXIT_WATCHDOG] = "watchdog",
    [KVM_EXIT_SYSTEM_EVENT] = "system event",
    [KVM_EXIT_IOAPIC_EOI] = "IOAPIC EOI",
    [KVM_EXIT_HYPERV] = "Hyper-V",
    [KVM_EXIT_X86_RDMSR] = "rdmsr",
    [KVM_EXIT_X86_WRMSR] = "wrmsr",
    [KVM_EXIT_DIRTY_RING_FULL] = "dirty ring full",
    [KVM_EXIT_X86_BUS_LOCK] = "bus lock",
    [KVM_EXIT_XEN] = "Xen",
#ifdef KVM_EXIT_NOTIFY
    [KVM_EXIT_NOTIFY] = "no interrupt window (notify)",
#endif
};

const char *exits_name(uint32_t reason)
{
        return reason < EXITS_REASONS_MAX && names[reason] != NULL ? names[reason] : "unknown";
}

static const char *internal_error_name(uint32_t suberror)
{
        switch (suberror) {
        case KVM_INTERNAL_ERROR_EMULATION:
                return "it cannot emulate an instruction";
        case KVM_INTERNAL_ERROR_SIMUL_EX:
                return "an exception while it delivered another";
        case KVM_INTERNAL_ERROR_DELIVERY_EV:
                return "an event could not be delivered";
        case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
                return "an exit of the processor that it does not know";
        default:
                return "of an unknown kind";
        }
}

/* Bytes of the instruction that could not be emulated, if KVM gives them: after a word of flags and a length.
 */
static void describe_internal(const struct kvm_run *run, char *text, size_t size)
{
        uint32_t count = run->internal.ndata;
        int n = snprintf(text, size, "KVM's internal error %" PRIu32 ": %s", run->internal.suberror,
                         internal_error_name(run->internal.suberror));
        if (count > sizeof(run->internal.data) / sizeof(run->internal.data[0]))
                count = sizeof(run->internal.data) / sizeof(run->internal.data[0]);
        for (uint32_t i = 0; i < count && n > 0 && (size_t)n < size; i++)
                n += snprintf(text + n, size - (size_t)n, "%s0x%llx", i == 0 ? ", data " : " ",
                              run->internal.data[i]);
}

void exits_describe(const struct kvm_run *run, char *text, size_t size)
{
        switch (run->exit_reason) {
        case KVM_EXIT_INTERNAL_ERROR:
                describe_internal(run, text, size);
                return;
        case KVM_EXIT_FAIL_ENTRY:
                (void)snprintf(text, size, "the processor refused to enter the guest, hardware reason 0x%llx",
                               run->fail_entry.hardware_entry_failure_reason);
                return;
        case KVM_EXIT_UNKNOWN:
                (void)snprintf(text, size, "KVM does not know hardware exit reason 0x%llx",
                               run->hw.hardware_exit_reason);
                return;
        case KVM_EXIT_EXCEPTION:
                (void)snprintf(text, size, "exception %" PRIu32 ", error code 0x%" PRIx32, run->ex.exception,
                               run->ex.error_code);
                return;
        case KVM_EXIT_SYSTEM_EVENT:
                (void)snprintf(text, size, "system event %" PRIu32, run->system_event.type);
                return;
        default:
                (void)snprintf(text, size, "exit %" PRIu32 " (%s)", run->exit_reason,
                               exits_name(run->exit_reason));
        }
}

void exits_registers(const struct kvm_regs *regs, const struct kvm_sregs *sregs, char *text, size_t size)
{
        (void)snprintf(
            text, size,
            "rip=%04x:%016llx rflags=%08llx rsp=%016llx rax=%llx rbx=%llx rcx=%llx rdx=%llx rsi=%llx "
            "rdi=%llx cr0=%llx cr2=%llx cr3=%llx cr4=%llx efer=%llx idt=%llx+%x",
            sregs->cs.selector, regs->rip, regs->rflags, regs->rsp, regs->rax, regs->rbx, regs->rcx,
            regs->rdx, regs->rsi, regs->rdi, sregs->cr0, sregs->cr2, sregs->cr3, sregs->cr4, sregs->efer,
            sregs->idt.base, sregs->idt.limit);
}
