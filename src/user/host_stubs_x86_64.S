/* host_stubs.h for x86-64 hosts. Labels between *_begin and *_end are what host_stubs.c compares
 * with an interrupted program counter: keep each sequence free of other instructions. */
    .text

/* s64 interruptible_syscall(pending, number, arguments) */
    .globl interruptible_syscall
    .type interruptible_syscall, @function
interruptible_syscall:
    mov %rdi, %rcx
    mov %rsi, %rax
    mov %rdx, %r11
    mov 0(%r11), %rdi
    mov 8(%r11), %rsi
    mov 16(%r11), %rdx
    mov 24(%r11), %r10
    mov 32(%r11), %r8
    mov 40(%r11), %r9
    .globl stub_syscall_begin, stub_syscall_end
    .globl stub_syscall_abort, stub_syscall_interrupted
stub_syscall_begin:
    cmpl $0, (%rcx)
    jne stub_syscall_abort
    syscall
stub_syscall_end:
    ret
stub_syscall_abort:
    mov $-512, %rax
    ret
stub_syscall_interrupted:
    mov $-513, %rax
    ret
    .size interruptible_syscall, . - interruptible_syscall

/* s64 plain_syscall(number, arguments) */
    .globl plain_syscall
    .type plain_syscall, @function
plain_syscall:
    mov %rdi, %rax
    mov %rsi, %r11
    mov 0(%r11), %rdi
    mov 8(%r11), %rsi
    mov 16(%r11), %rdx
    mov 24(%r11), %r10
    mov 32(%r11), %r8
    mov 40(%r11), %r9
    syscall
    ret
    .size plain_syscall, . - plain_syscall

/* size_t guarded_copy(to, from, size): rcx counts down, also when an access faults. */
    .globl guarded_copy, stub_copy_begin, stub_copy_end
    .type guarded_copy, @function
guarded_copy:
    mov %rdx, %rcx
stub_copy_begin:
    rep movsb
stub_copy_end:
    mov %rcx, %rax
    ret
    .size guarded_copy, . - guarded_copy

/* int guarded_touch(at) */
    .globl guarded_touch, stub_touch_begin, stub_touch_end, stub_touch_abort
    .type guarded_touch, @function
guarded_touch:
stub_touch_begin:
    lock orb $0, (%rdi)
stub_touch_end:
    xor %eax, %eax
    ret
stub_touch_abort:
    mov $1, %eax
    ret
    .size guarded_touch, . - guarded_touch

/* rt_sigreturn for handlers installed by the bare system call */
    .globl host_signal_return
    .type host_signal_return, @function
host_signal_return:
    mov $15, %eax
    syscall
    .size host_signal_return, . - host_signal_return

    .section .note.GNU-stack, "", @progbits
