/* The vDSOs of x86-64 and i386: machine code of their functions. Two clocks are read without a
 * system call, by RDPMC (guest/x86/user_descriptors.h); what that does not serve is left to the
 * call. */
#include "user/x86/abi.h"

/* clang-format off: code reads better a line per instruction */

/* mov $number, %eax; syscall; ret */
#define CALL64(number)                                                                             \
    {                                                                                              \
        0xb8, (u8)(number), (u8)((number) >> 8), 0, 0, 0x0f, 0x05, 0xc3                            \
    }

/* 32 bits as bytes. */
#define WORD(value) (u8)(value), (u8)((value) >> 8), (u8)((value) >> 16), (u8)((value) >> 24)
#define BILLION WORD(1000000000)

/* mov $clock, %ecx; rdpmc; shl $32, %rdx; or %rdx, %rax: nanoseconds */
#define READ64(clock)                                                                              \
    0xb9, WORD(X86_USER_CLOCKS + (clock)), 0x0f, 0x33, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0

/* xor %edx, %edx; mov $divisor, %ecx; div %rcx */
#define DIVIDE64(...) 0x31, 0xd2, 0xb9, __VA_ARGS__, 0x48, 0xf7, 0xf1

static const VdsoFunction functions64[] = {
    /* What a handler returns to if its program gave no restorer. */
    {"__kernel_rt_sigreturn", CALL64(15)},
    {"__vdso_clock_gettime",
     {
         0x83,
         0xff,
         0x01, /*    cmp $1, %edi */
         0x77,
         0x23, /*    ja 1f */
         0x8d,
         0x8f,
         WORD(X86_USER_CLOCKS), /*    lea CLOCKS(%rdi), %ecx */
         0x0f,
         0x33, /*    rdpmc */
         0x48,
         0xc1,
         0xe2,
         0x20, /*    shl $32, %rdx */
         0x48,
         0x09,
         0xd0, /*    or %rdx, %rax */
         DIVIDE64(BILLION),
         0x48,
         0x89,
         0x06, /*    mov %rax, (%rsi) */
         0x48,
         0x89,
         0x56,
         0x08, /*    mov %rdx, 8(%rsi) */
         0x31,
         0xc0, /*    xor %eax, %eax */
         0xc3, /*    ret */
         0xb8,
         WORD(228),
         0x0f,
         0x05,
         0xc3, /* 1: the call */
     }},
    {"__vdso_gettimeofday",
     {
         0x48,
         0x85,
         0xf6, /*    test %rsi, %rsi; the time zone is the kernel's */
         0x75,
         0x31, /*    jne 2f */
         0x48,
         0x85,
         0xff, /*    test %rdi, %rdi */
         0x74,
         0x29, /*    je 1f */
         READ64(0),
         DIVIDE64(WORD(1000)),
         DIVIDE64(WORD(1000000)),
         0x48,
         0x89,
         0x07, /*    mov %rax, (%rdi) */
         0x48,
         0x89,
         0x57,
         0x08, /*    mov %rdx, 8(%rdi) */
         0x31,
         0xc0, /* 1: xor %eax, %eax */
         0xc3, /*    ret */
         0xb8,
         WORD(96),
         0x0f,
         0x05,
         0xc3, /* 2: the call */
     }},
    {"__vdso_time",
     {
         READ64(0), DIVIDE64(BILLION), 0x48, 0x85, 0xff, /*    test %rdi, %rdi */
         0x74, 0x03,                                     /*    je 1f */
         0x48, 0x89, 0x07,                               /*    mov %rax, (%rdi) */
         0xc3,                                           /* 1: ret */
     }},
    {"__vdso_clock_getres", CALL64(229)},
    {"__vdso_getcpu", CALL64(309)},
};

/* push %ebx; mov 8(%esp), %ebx; mov 12(%esp), %ecx; mov 16(%esp), %edx; mov $number, %eax;
 * int $0x80; pop %ebx; ret */
#define CODE32(number)                                                                             \
    0x53, 0x8b, 0x5c, 0x24, 0x08, 0x8b, 0x4c, 0x24, 0x0c, 0x8b, 0x54, 0x24, 0x10, 0xb8,            \
        WORD(number), 0xcd, 0x80, 0x5b, 0xc3
#define CALL32(number)                                                                             \
    {                                                                                              \
        CODE32(number)                                                                             \
    }

/* mov 4(%esp), %ecx; cmp $1, %ecx; ja so far; add $CLOCKS, %ecx; rdpmc; mov $10^9, %ecx;
 * div %ecx; mov 8(%esp), %ecx: seconds and nanoseconds, and where they go */
#define READ32(far)                                                                                \
    0x8b, 0x4c, 0x24, 0x04, 0x83, 0xf9, 0x01, 0x77, far, 0x81, 0xc1, WORD(X86_USER_CLOCKS), 0x0f,  \
        0x33, 0xb9, BILLION, 0xf7, 0xf1, 0x8b, 0x4c, 0x24, 0x08

/* The first four are where abi.h says. Unwinders know the two trampolines by their bytes. */
static const VdsoFunction functions32[] = {
    {"__kernel_sigreturn",
     {
         0x58,               /* pop %eax */
         0xb8, 119, 0, 0, 0, /* mov $119, %eax */
         0xcd, 0x80,         /* int $0x80 */
     }},
    {"__kernel_rt_sigreturn",
     {
         0xb8, 173, 0, 0, 0, /* mov $173, %eax */
         0xcd, 0x80,         /* int $0x80 */
     }},
    {"__kernel_vsyscall",
     {
         0xcd, 0x80, /* int $0x80 */
         0xc3,       /* ret */
     }},
    /* A program that executes SYSENTER itself has pushed ecx, edx and ebp, in this order; its call
     * restarts as INT 80h. */
    {"__kernel_sysenter_return",
     {
         0xcd, 0x80, /* int $0x80 */
         0x5d,       /* pop %ebp */
         0x5a,       /* pop %edx */
         0x59,       /* pop %ecx */
         0xc3,       /* ret */
     }},
    {"__vdso_clock_gettime",
     {
         READ32(0x1b), 0x89, 0x01, /*    mov %eax, (%ecx) */
         0x89, 0x51, 0x04,         /*    mov %edx, 4(%ecx) */
         0x31, 0xc0,               /*    xor %eax, %eax */
         0xc3,                     /*    ret */
         CODE32(265),              /* 1: */
     }},
    {"__vdso_clock_gettime64",
     {
         READ32(0x21), 0x89, 0x01, /*    mov %eax, (%ecx) */
         0x31, 0xc0,               /*    xor %eax, %eax */
         0x89, 0x41, 0x04,         /*    mov %eax, 4(%ecx) */
         0x89, 0x51, 0x08,         /*    mov %edx, 8(%ecx) */
         0x89, 0x41, 0x0c,         /*    mov %eax, 12(%ecx) */
         0xc3,                     /*    ret */
         CODE32(403),              /* 1: */
     }},
    {"__vdso_gettimeofday", CALL32(78)},
    {"__vdso_time", CALL32(13)},
    {"__vdso_clock_getres", CALL32(266)},
    {"__vdso_getcpu", CALL32(318)},
};

/* clang-format on */

size_t x86_64_make_vdso(u8 *page, u64 base)
{
    (void)base;
    vdso_make(&abi_x86_64, page, functions64, COUNT(functions64));
    return vdso_offset(0);
}

size_t i386_make_vdso(u8 *page, u64 base)
{
    (void)base;
    vdso_make(&abi_i386, page, functions32, COUNT(functions32));
    return I386_VDSO_RT_SIGRETURN;
}
