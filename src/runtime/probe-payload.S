/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel does in its first milliseconds, as 64-bit code for probe.c: entered in ring 0 with paging on, at
 * CODE_GPA. Before each step its number is stored at STEP_GPA, so that the host knows which one did not come back.
 * Ends with a byte to port 0xf4: 0, or the number of the step whose result was wrong.
 * The places and numbers are those of probe.c.
 */
#define CODE_GPA  0x4000
#define IDT_GPA   0x600
#define AREA_GPA  0x9000
#define STEP_GPA  0xa000
#define WORD_GPA  0xa010
#define EXIT_PORT 0xf4
#define GPA(label) (label - probe_payload + CODE_GPA)

#define MSR_KERNEL_GS_BASE 0xc0000102
#define CR4_OSFXSR_OSXMMEXCPT 0x600
#define CR4_OSXSAVE (1 << 18)
#define CR4_SMAP    (1 << 21)

        .macro step number
        movl    $\number, STEP_GPA
        .endm

        .section .rodata
        .balign 16
        .globl probe_payload, probe_payload_end
        .hidden probe_payload, probe_payload_end
        .code64
probe_payload:
        /* 1: a 16-byte compare and exchange, as the slab allocator does */
        step    1
        movl    $WORD_GPA, %edi
        xorl    %eax, %eax
        xorl    %edx, %edx
        movl    $7, %ebx
        movl    $9, %ecx
        lock cmpxchg16b (%rdi)
        jnz     failed
        cmpq    $7, (%rdi)
        jne     failed
        cmpq    $9, 8(%rdi)
        jne     failed

        /* 2: SSE state */
        step    2
        movq    %cr4, %rax
        orl     $CR4_OSFXSR_OSXMMEXCPT, %eax
        movq    %rax, %cr4
        movl    $AREA_GPA, %edi
        movq    %rdi, %xmm0
        fxsave64 (%rdi)
        pxor    %xmm0, %xmm0
        fxrstor64 (%rdi)
        movq    %xmm0, %rax
        cmpq    %rdi, %rax
        jne     failed

        /* 3: xsave and xrstor, if the processor says that it has them */
        step    3
        movl    $1, %eax
        cpuid
        btl     $26, %ecx
        jnc     1f
        movq    %cr4, %rax
        orl     $CR4_OSXSAVE, %eax
        movq    %rax, %cr4
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        movl    $3, %eax
        xsetbv
        movl    $AREA_GPA, %edi
        movq    %rdi, %xmm0
        xsave64 (%rdi)
        pxor    %xmm0, %xmm0
        movl    $3, %eax
        xorl    %edx, %edx
        xrstor64 (%rdi)
        movq    %xmm0, %rax
        cmpq    %rdi, %rax
        jne     failed
1:
        /* 4: an exception and the way back from it */
        step    4
        movl    $GPA(on_breakpoint), %eax
        movw    %ax, IDT_GPA + 3 * 16
        movl    $0x8e000010, IDT_GPA + 3 * 16 + 2
        movl    $GPA(idt_pointer), %eax
        lidt    (%rax)
        xorl    %esi, %esi
        int3
        cmpl    $1, %esi
        jne     failed

        /* 5: supervisor mode access prevention, if it is there */
        step    5
        xorl    %eax, %eax
        cpuid
        cmpl    $7, %eax
        jb      1f
        movl    $7, %eax
        xorl    %ecx, %ecx
        cpuid
        btl     $20, %ebx
        jnc     1f
        movq    %cr4, %rax
        orl     $CR4_SMAP, %eax
        movq    %rax, %cr4
        stac
        clac
1:
        /* 6: MSRs and swapgs */
        step    6
        movl    $MSR_KERNEL_GS_BASE, %ecx
        movl    $0x1234, %eax
        xorl    %edx, %edx
        wrmsr
        swapgs
        rdmsr
        testl   %eax, %eax
        jnz     failed
        swapgs
        rdmsr
        cmpl    $0x1234, %eax
        jne     failed

        /* 7: page tables: new ones, and one page less */
        step    7
        movq    %cr3, %rax
        movq    %rax, %cr3
        movl    $AREA_GPA, %eax
        invlpg  (%rax)

        /* 8: strings and atomics */
        step    8
        movl    $AREA_GPA, %edi
        movl    $512, %ecx
        xorl    %eax, %eax
        rep stosq
        movl    $WORD_GPA, %edi
        movl    $1, %eax
        lock xaddl %eax, (%rdi)
        cmpl    $7, %eax
        jne     failed
        lock btsl $3, (%rdi)
        jc      1f
failed: movl    STEP_GPA, %eax
        jmp     2f
1:      xorl    %eax, %eax
2:      outb    %al, $EXIT_PORT
3:      hlt
        jmp     3b

on_breakpoint:
        incl    %esi
        iretq
        .balign 8
idt_pointer:
        .word   4 * 16 - 1
        .quad   IDT_GPA
probe_payload_end:
        .section .note.GNU-stack, "", @progbits
