/* The vDSOs of x86-64 and i386: machine code of their functions. The clocks are system calls: the
 * C library reads them through here, so that is the place to make them faster. */
#include "user/x86/abi.h"

/* clang-format off: code reads better a line per instruction */

/* mov $number, %eax; syscall; ret */
#define CALL64(number)                                                                             \
    {                                                                                              \
        0xb8, (u8)(number), (u8)((number) >> 8), 0, 0, 0x0f, 0x05, 0xc3                            \
    }

static const VdsoFunction functions64[] = {
    /* What a handler returns to if its program gave no restorer. */
    {"__kernel_rt_sigreturn", CALL64(15)}, {"__vdso_clock_gettime", CALL64(228)},
    {"__vdso_gettimeofday", CALL64(96)},   {"__vdso_time", CALL64(201)},
    {"__vdso_clock_getres", CALL64(229)},  {"__vdso_getcpu", CALL64(309)},
};

/* push %ebx; mov 8(%esp), %ebx; mov 12(%esp), %ecx; mov 16(%esp), %edx; mov $number, %eax;
 * int $0x80; pop %ebx; ret */
#define CALL32(number)                                                                             \
    {                                                                                              \
        0x53, 0x8b, 0x5c, 0x24, 0x08, 0x8b, 0x4c, 0x24, 0x0c, 0x8b, 0x54, 0x24, 0x10, 0xb8,        \
            (u8)(number), (u8)((number) >> 8), 0, 0, 0xcd, 0x80, 0x5b, 0xc3                        \
    }

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
    {"__vdso_clock_gettime", CALL32(265)},
    {"__vdso_clock_gettime64", CALL32(403)},
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
