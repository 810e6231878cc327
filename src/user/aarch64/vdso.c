/* The arm64 vDSO's functions. The kernel's return trampoline is __kernel_rt_sigreturn. */
#include "user/vdso.h"
#include "user/aarch64/abi.h"

/* A64 code. The clocks are read without a system call from two counters of nanoseconds:
 * CNTVCT_EL0, which is CLOCK_MONOTONIC here, and S3_3_C15_C0_0, an IMPLEMENTATION DEFINED register
 * that is CLOCK_REALTIME. What they don't serve is left to the system call. */
#define MOV_X8(number) (0xd2800008u | (u32)(number) << 5)
enum { SVC = 0xd4000001u, RET = 0xd65f03c0u };

/* An instruction as bytes. */
#define WORD(word) (u8)(word), (u8)((word) >> 8), (u8)((word) >> 16), (u8)((word) >> 24)

static const VdsoFunction functions[] = {
    {"__kernel_rt_sigreturn", {WORD(MOV_X8(139)), WORD(SVC)}},
    {"__kernel_clock_gettime",
     {
         WORD(0x7100041f), /*    cmp w0, #1 */
         WORD(0x54000080), /*    b.eq 1f */
         WORD(0x35000160), /*    cbnz w0, 3f */
         WORD(0xd53bf002), /*    mrs x2, S3_3_C15_C0_0 */
         WORD(0x14000002), /*    b 2f */
         WORD(0xd53be042), /* 1: mrs x2, CNTVCT_EL0 */
         WORD(0xd2994003), /* 2: mov x3, #0xca00 */
         WORD(0xf2a77343), /*    movk x3, #0x3b9a, lsl #16; 10^9 */
         WORD(0x9ac30844), /*    udiv x4, x2, x3 */
         WORD(0x9b038885), /*    msub x5, x4, x3, x2 */
         WORD(0xa9001424), /*    stp x4, x5, [x1] */
         WORD(0x52800000), /*    mov w0, #0 */
         WORD(RET),
         WORD(MOV_X8(113)), /* 3: */
         WORD(SVC),
         WORD(RET),
     }},
    {"__kernel_gettimeofday",
     {
         WORD(0xb5000181), /*    cbnz x1, 2f; the time zone is the kernel's */
         WORD(0xb4000120), /*    cbz x0, 1f */
         WORD(0xd53bf002), /*    mrs x2, S3_3_C15_C0_0 */
         WORD(0xd2807d03), /*    mov x3, #1000 */
         WORD(0x9ac30842), /*    udiv x2, x2, x3 */
         WORD(0xd2884803), /*    mov x3, #0x4240 */
         WORD(0xf2a001e3), /*    movk x3, #0xf, lsl #16; 10^6 */
         WORD(0x9ac30844), /*    udiv x4, x2, x3 */
         WORD(0x9b038885), /*    msub x5, x4, x3, x2 */
         WORD(0xa9001404), /*    stp x4, x5, [x0] */
         WORD(0x52800000), /* 1: mov w0, #0 */
         WORD(RET),
         WORD(MOV_X8(169)), /* 2: */
         WORD(SVC),
         WORD(RET),
     }},
    {"__kernel_clock_getres", {WORD(MOV_X8(114)), WORD(SVC), WORD(RET)}},
};

size_t aarch64_make_vdso(u8 *page, u64 base)
{
    (void)base;
    vdso_make(&abi_aarch64, page, functions, COUNT(functions));
    return vdso_offset(0);
}
