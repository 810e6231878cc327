/* C functions that translated x86 code calls: see helpers.h.
 * io[1..] are the arguments, io[0] the result. Those that raise return 0 or the code word of the
 * exception. */
#include "guest/x86/helpers.h"

#include <sys/random.h>
#include <time.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/state.h"
#include "guest/x86/system.h"
#include "ir/ir.h"

/* (word): where the exit that follows finds its exception. */
void x86_raise_exception(void *state, IrWord *io)
{
    cpu_common(state)->exit_address = (u32)io[1].i;
}

/* -- Time and chance */

static u64 host_counter(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
#endif
}

u64 x86_read_tsc(const X86State *state)
{
    enum { MILLISECOND = 1000000 };
    const GuestBus *bus = x86_bus(state);
    u64 now;

    if (bus && bus->time) {
        now = bus->time(bus->opaque);
        now = now / MILLISECOND * state->tsc_khz + now % MILLISECOND * state->tsc_khz / MILLISECOND;
    } else {
        now = host_counter();
    }
    return now + state->tsc_offset;
}

/* () -> i64: the time-stamp counter. */
void x86_time_stamp(void *state, IrWord *io)
{
    io[0].i = x86_read_tsc(state);
}

/* (number of the clock) -> i64: nanoseconds. */
void x86_user_clock(void *state, IrWord *io)
{
    enum { NANOSECONDS = 1000000000 };
    struct timespec now;

    (void)state;
    clock_gettime((clockid_t)io[1].i, &now);
    io[0].i = (u64)now.tv_sec * NANOSECONDS + (u64)now.tv_nsec;
}

/* () -> i64: 64 random bits. */
void x86_random_number(void *state, IrWord *io)
{
    u64 bits = 0;

    (void)state;
    while (getrandom(&bits, sizeof(bits), 0) != sizeof(bits)) {
    }
    io[0].i = bits;
}

/* CPUID: eax and ecx in, eax, ebx, ecx, edx out. */
void x86_cpuid_instruction(void *state, IrWord *io)
{
    static const u8 registers[] = {X86_RAX, X86_RBX, X86_RCX, X86_RDX};
    X86State *s = state;
    u32 out[4];

    (void)io;
    x86_cpuid(s, (u32)s->gpr[X86_RAX], (u32)s->gpr[X86_RCX], out);
    for (unsigned i = 0; i < COUNT(out); i++) {
        s->gpr[registers[i]] = out[i];
    }
}

/* -- Decimal arithmetic (volume 2, the instructions) */

enum { FLAG_C = IR_FLAG_C, FLAG_A = IR_FLAG_A };

static u32 result_flags(u8 result)
{
    return (result & 0x80 ? IR_FLAG_N : 0) | (result == 0 ? IR_FLAG_Z : 0) |
           (__builtin_parity(result) ? 0 : IR_FLAG_P);
}

/* DAA and DAS: 6 is added or subtracted to a digit that left 0..9. */
static u64 adjust_packed(u16 ax, u32 flags, bool subtract)
{
    u8 al = (u8)ax, old = al;
    int sign = subtract ? -1 : 1;
    bool carry = flags & FLAG_C, low = (old & 15) > 9 || flags & FLAG_A;
    bool high = old > 0x99 || carry;
    bool borrow = subtract && low && (carry || old < 6);

    if (low) {
        al = (u8)(al + sign * 6);
    }
    if (high) {
        al = (u8)(al + sign * 0x60);
    }
    flags = result_flags(al) | (low ? FLAG_A : 0) | (high || borrow ? FLAG_C : 0);
    return (ax & 0xff00) | al | (u64)flags << 32;
}

/* AAA and AAS */
static u64 adjust_ascii(u16 ax, u32 flags, bool subtract)
{
    bool adjust = (ax & 15) > 9 || flags & FLAG_A;

    if (adjust) {
        ax = (u16)(subtract ? ax - 0x106 : ax + 0x106);
    }
    ax &= 0xff0f;
    return ax | (u64)(result_flags((u8)ax) | (adjust ? FLAG_A | FLAG_C : 0)) << 32;
}

/* (X86_DAA... | base << 8, ax, flags) -> ax | flags << 32. */
void x86_decimal(void *state, IrWord *io)
{
    u16 ax = (u16)io[2].i;
    u32 flags = (u32)io[3].i;
    unsigned operation = io[1].i & 0xff;
    u8 base = (u8)(io[1].i >> 8), al = (u8)ax, ah = (u8)(ax >> 8);

    (void)state;
    switch (operation) {
    case X86_AAM:
        ah = al / base;
        al = al % base;
        io[0].i = (u64)(ah << 8 | al) | (u64)result_flags(al) << 32;
        break;
    case X86_AAD:
        al = (u8)(al + ah * base);
        io[0].i = (u64)al | (u64)result_flags(al) << 32;
        break;
    case X86_AAA:
    case X86_AAS:
        io[0].i = adjust_ascii(ax, flags, operation == X86_AAS);
        break;
    default:
        io[0].i = adjust_packed(ax, flags, operation == X86_DAS);
        break;
    }
}

const IrHelper x86_helpers[HELPER_COUNT] = {
#define HELPER(enumerator, function, flags) {#function, function, flags},
    X86_CORE_HELPERS(HELPER) X86_SYSTEM_HELPERS(HELPER) X86_VECTOR_HELPERS(HELPER)
        X87_HELPERS(HELPER)
#undef HELPER
};
