/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests of a few instructions, for test-kvm.c: 64-bit code at PAYLOAD_GPA, entered as a kernel is. Each ends the
 * machine by its exit port, with a byte that says what it found.
 */
#define PAYLOAD_GPA 0x100000
#define GPA(label)  (label - payload_start + PAYLOAD_GPA)
#define EXIT_PORT   0xf4
#define DEVICES     0xd0000000
#define LAPIC       0xfee00000
#define IOAPIC      0xfec00000

        .section .rodata
        .balign 4096
        .globl payload_start, payload_end
payload_start:
        .code64

/* ends with al */
        .macro leave
        outb    %al, $EXIT_PORT
1:      hlt
        jmp     1b
        .endm

/* the page tables map the first GiB only: the one with the devices as well */
        .macro map_devices
        movl    $(GPA(device_tables) + 3), %eax
        movq    %rax, 0xa018
        .endm

/* the command line's length in bytes, as the kernel would find it */
        .globl payload_params
payload_params:
        movl    0x228(%rsi), %edi
        xorl    %eax, %eax
1:      cmpb    $0, (%rdi,%rax)
        je      2f
        incl    %eax
        jmp     1b
2:      leave

/* the first byte of the initramfs, by boot_params */
        .globl payload_initrd
payload_initrd:
        movl    0x218(%rsi), %edi
        movb    (%rdi), %al
        leave

/* bss is zero, and is memory: 7 */
        .globl payload_memory
payload_memory:
        movl    $GPA(payload_end), %edi
        movl    (%rdi), %eax
        movl    $7, (%rdi)
        addl    (%rdi), %eax
        leave

/* a port where nobody is reads as ones, of every width; a string of them too: 1 */
        .globl payload_ports
payload_ports:
        movw    $0x1234, %dx
        inl     %dx, %eax
        cmpl    $-1, %eax
        jne     9f
        inw     %dx, %ax
        movl    $0x9000, %esp
        movl    $GPA(payload_end), %edi
        movl    $5, %ecx
        rep insb
        cmpl    $-1, -4(%rdi)
        jne     9f
        movb    $1, %al
        leave
9:      movb    $99, %al
        leave

        .globl payload_reset
payload_reset:
1:      inb     $0x64, %al
        testb   $2, %al
        jnz     1b
        movb    $0xfe, %al
        outb    %al, $0x64
        hlt

        .globl payload_triple_fault
payload_triple_fault:
        ud2

        .globl payload_timer
payload_timer:
        movb    $5, %al
        outb    %al, $0xf5
        movb    $6, %al
        leave

/* 100,000 values for the boot timer */
        .globl payload_timer_flood
payload_timer_flood:
        movl    $100000, %ecx
1:      movb    %cl, %al
        outb    %al, $0xf5
        decl    %ecx
        jnz     1b
        movb    $6, %al
        leave

/* halts for good */
        .globl payload_hang
payload_hang:
        cli
1:      hlt
        jmp     1b

        .globl payload_spin
payload_spin:
        jmp     payload_spin

/* says "hi" on the serial port */
        .globl payload_serial
payload_serial:
        movw    $0x3fd, %dx
        inb     %dx, %al
        testb   $0x20, %al
        jz      9f
        movw    $0x3f8, %dx
        movl    $GPA(hello), %esi
        movl    $3, %ecx
        rep outsb
        movb    $3, %al
        leave
9:      movb    $99, %al
        leave
hello:  .ascii  "hi\n"

/* the device's magic number, and an address where no device is */
        .globl payload_mmio
payload_mmio:
        map_devices
        movl    $DEVICES, %ebx
        cmpl    $0x74726976, (%rbx)
        jne     9f
        cmpl    $-1, 0x100000(%rbx)
        jne     9f
        movl    $1, 0x100000(%rbx)
        movb    0x8(%rbx), %al
        cmpb    $0, %al
        jne     9f
        movl    0x8(%rbx), %eax
        leave
9:      movb    $99, %al
        leave

/*
 * Drives a device: pairs {offset, value} from 2 MiB on are stored to its registers until the value is 0xffffffff; then
 * waits until the used index at that offset, an address, is not 0, acknowledges the interrupt, and ends with the used length.
 */
        .globl payload_virtio
payload_virtio:
        map_devices
        movl    $DEVICES, %ebx
        movl    $0x200000, %esi
1:      lodsl
        movl    %eax, %edx
        lodsl
        cmpl    $-1, %eax
        je      2f
        movl    %eax, (%rbx,%rdx)
        jmp     1b
2:      movl    %edx, %edi
3:      pause
        cmpw    $0, 2(%rdi)
        je      3b
4:      movl    0x60(%rbx), %eax
        testl   %eax, %eax
        jz      4b
        movl    %eax, 0x64(%rbx)
        movl    0x60(%rbx), %eax
        testl   %eax, %eax
        jnz     9f
        movl    8(%rdi), %eax
        leave
9:      movb    $99, %al
        leave

/* Those stores, then 200,000 notifications of queues that are there and that are not: ends with 12. */
        .globl payload_storm
payload_storm:
        map_devices
        movl    $DEVICES, %ebx
        movl    $0x200000, %esi
1:      lodsl
        movl    %eax, %edx
        lodsl
        cmpl    $-1, %eax
        je      2f
        movl    %eax, (%rbx,%rdx)
        jmp     1b
2:      movl    $100000, %ecx
3:      movl    $0, 0x50(%rbx)
        movl    %ecx, 0x50(%rbx)
        decl    %ecx
        jnz     3b
        movb    $12, %al
        leave

/* The same stores, and nothing else: ends with 11. */
        .globl payload_stores
payload_stores:
        map_devices
        movl    $DEVICES, %ebx
        movl    $0x200000, %esi
1:      lodsl
        movl    %eax, %edx
        lodsl
        cmpl    $-1, %eax
        je      2f
        movl    %eax, (%rbx,%rdx)
        jmp     1b
2:      movb    $11, %al
        leave

/*
 * As above, but with line 5 of the IOAPIC going to vector 0x30 here: ends with 0x30 when that is pending at the local
 * APIC. Interrupts stay off, because where kernel code is interpreted they cannot be delivered.
 */
        .globl payload_interrupt
payload_interrupt:
        map_devices
        movl    $LAPIC, %ebx
        movl    $0x1ff, 0xf0(%rbx)
        movl    $IOAPIC, %ebx
        movl    $(0x10 + 5 * 2), (%rbx)
        movl    $0x30, 0x10(%rbx)
        movl    $(0x11 + 5 * 2), (%rbx)
        movl    $0, 0x10(%rbx)
        movl    $DEVICES, %ebx
        movl    $0x200000, %esi
1:      lodsl
        movl    %eax, %edx
        lodsl
        cmpl    $-1, %eax
        je      2f
        movl    %eax, (%rbx,%rdx)
        jmp     1b
2:      movl    $LAPIC, %ebx
3:      pause
        testl   $0x10000, 0x210(%rbx)
        jz      3b
        movb    $0x30, %al
        leave

/* Starts the second processor, which ends the machine with 2. */
        .globl payload_smp
payload_smp:
        map_devices
        movl    $GPA(trampoline), %esi
        movl    $0x8000, %edi
        movl    $(trampoline_end - trampoline), %ecx
        rep movsb
        movl    $LAPIC, %ebx
        movl    $0x1ff, 0xf0(%rbx)
        movl    $0x01000000, 0x310(%rbx)
        movl    $0x4500, 0x300(%rbx)
        movl    $0x01000000, 0x310(%rbx)
        movl    $0x4608, 0x300(%rbx)
1:      pause
        jmp     1b
        .code16
trampoline:
        movb    $2, %al
        outb    %al, $EXIT_PORT
1:      hlt
        jmp     1b
trampoline_end:
        .code64

/* CPUID: hypervisor bit, KVM's name, own APIC id, ARAT: 4 when all are there */
        .globl payload_cpuid
payload_cpuid:
        xorl    %edi, %edi
        movl    $1, %eax
        cpuid
        shrl    $31, %ecx
        addl    %ecx, %edi
        shrl    $24, %ebx
        cmpl    $1, %ebx
        adcl    $0, %edi
        movl    $0x40000000, %eax
        cpuid
        cmpl    $0x4b4d564b, %ebx
        jne     1f
        incl    %edi
1:      movl    $6, %eax
        xorl    %ecx, %ecx
        cpuid
        shrl    $2, %eax
        andl    $1, %eax
        addl    %edi, %eax
        leave

/* PVH's entry: 32-bit, %ebx is the start information */
        .code32
        .globl payload_pvh
payload_pvh:
        movb    $99, %al
        cmpl    $0x336ec578, (%ebx)
        jne     1f
        movb    $8, %al
1:      outb    %al, $EXIT_PORT
2:      hlt
        jmp     2b
        .code64

        .balign 4096
device_tables:
        .set    address, 0xc0000083
        .rept   512
        .quad   address
        .set    address, address + 0x200000
        .endr
payload_end:
        .section .note.GNU-stack, "", @progbits
