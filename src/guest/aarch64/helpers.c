/* C functions that translated AArch64 code calls: see helpers.h.
 * io[1..] are the arguments, io[0] the result. */
#include <time.h>

#include "guest/aarch64/helpers.h"
#include "guest/aarch64/state.h"

/* (address): where the exit that follows says what is wrong or what changed. */
static void exit_address(void *state, IrWord *io)
{
    cpu_common(state)->exit_address = io[1].i;
}

/* (address, expected v128, new v128) -> old v128: an atomic compare-and-swap of the 16 bytes at a
 * guest address, which is a host address as well and a multiple of 16. */
#ifdef __x86_64__
__attribute__((target("cx16"))) /* every CPU with x86-64-v2 has it */
#endif
static void
cas_pair(void *state, IrWord *io)
{
    u128 expected = (u128)io[2].v[1] << 64 | io[2].v[0];
    u128 value = (u128)io[3].v[1] << 64 | io[3].v[0];
    u128 old = __sync_val_compare_and_swap((u128 *)(uintptr_t)io[1].i, expected, value);

    (void)state;
    io[0].v[0] = (u64)old;
    io[0].v[1] = (u64)(old >> 64);
}

static u64 nanoseconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (u64)now.tv_sec * AARCH64_COUNTER_HZ + (u64)now.tv_nsec;
}

/* () -> i64: CNTVCT_EL0. Programs may rely on it being CLOCK_MONOTONIC: the vDSO does. */
static void counter(void *state, IrWord *io)
{
    (void)state;
    io[0].i = nanoseconds(CLOCK_MONOTONIC);
}

/* () -> i64: nanoseconds of CLOCK_REALTIME, for the vDSO. */
static void real_time(void *state, IrWord *io)
{
    (void)state;
    io[0].i = nanoseconds(CLOCK_REALTIME);
}

/* (i32): MSR FPCR. */
static void set_fpcr(void *state, IrWord *io)
{
    aarch64_set_fpcr(state, (u32)io[1].i);
}

/* () -> i32: MRS FPSR. */
static void get_fpsr(void *state, IrWord *io)
{
    io[0].i = aarch64_get_fpsr(state);
}

/* (i32): MSR FPSR. */
static void set_fpsr(void *state, IrWord *io)
{
    aarch64_set_fpsr(state, (u32)io[1].i);
}

const IrHelper aarch64_helpers[HELPER_COUNT] = {
#define HELPER(enumerator, function, flags) {#function, function, flags},
    AARCH64_HELPERS(HELPER)
#undef HELPER
};
