/* See x86_states.h. */
#include "x86_states.h"

#include <string.h>

#include "../random.h"
#include "guest/x86/state.h"

/* -- Random values */

static u64 next(u64 *seed)
{
    return random_next(seed);
}

/* Integers that lean to the extremes of all widths. */
static u64 random_integer(u64 *seed)
{
    u64 bits = next(seed), choice = bits >> 60;
    u64 value = next(seed);

    if (choice < 6) {
        return value;
    }
    if (choice < 9) {
        return value >> (bits & 63);
    }
    if (choice < 11) {
        return ~(value >> (bits & 63));
    }
    return ((u64)1 << (bits & 63)) - (bits >> 6 & 3) + 1;
}

static u32 random_float(u64 *seed)
{
    static const u32 values[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0x00000001,
                                 0x807fffff, 0x00800000, 0x7f7fffff, 0x4b000000, 0x4f000000,
                                 0xcf000000, 0x3f000000, 0x40490fdb};
    u64 bits = next(seed);
    u32 value = (u32)(bits >> 32);

    switch (bits & 7) {
    case 0:
    case 1:
        return values[value % COUNT(values)];
    case 2:
    case 3:
    case 4: /* exponents near each other */
        return (value & 0x807fffff) | (120 + (value >> 23) % 16) << 23;
    default:
        return value;
    }
}

static u64 random_double(u64 *seed)
{
    static const u64 values[] = {0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000,
                                 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
                                 0xfff8000000000123, 0x7ff0000000000001, 0x0000000000000001,
                                 0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
                                 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000200000,
                                 0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000};
    u64 bits = next(seed), value = next(seed);

    switch (bits & 7) {
    case 0:
    case 1:
        return values[value % COUNT(values)];
    case 2:
    case 3:
    case 4:
        return (value & 0x800fffffffffffff) | (1015 + (bits >> 8) % 16) << 52;
    case 5: /* a float's value exactly, or nearly */
        return (value & 0x800fffffe0000000) | (890 + (bits >> 8) % 260) << 52;
    default:
        return value;
    }
}

/* 64 bits of a vector or of memory. */
static u64 random_lane(u64 *seed)
{
    switch (next(seed) % 4) {
    case 0:
        return random_double(seed);
    case 1:
        return random_float(seed) | (u64)random_float(seed) << 32;
    default:
        return random_integer(seed);
    }
}

/* An x87 register, of all kinds that memory can hold. */
static void random_extended(u64 *seed, u8 out[10])
{
    u64 bits = next(seed), significand = next(seed) | (u64)1 << 63;
    u16 exponent = (u16)(bits & 0x8000);

    switch (bits >> 60) {
    case 0:
        significand = 0;
        break;
    case 1:
        exponent |= 0x7fff;
        significand = bits & 1 ? (u64)1 << 63 : significand;
        break;
    case 2: /* anything: denormals, unnormals, pseudo-infinities */
        exponent = (u16)bits;
        significand = random_integer(seed);
        break;
    case 3:
    case 4: /* integers */
        exponent |= (u16)(0x3fff + (bits >> 16) % 70);
        significand &= ~(u64)0 << (bits >> 24 & 63);
        significand |= (u64)1 << 63;
        break;
    case 5:
        exponent |= (u16)(bits >> 16) % 0x7fff;
        break;
    default:
        exponent |= (u16)(0x3ff0 + (bits >> 16) % 32);
        break;
    }
    memcpy(out, &significand, 8);
    memcpy(out + 8, &exponent, 2);
}

/* -- Random states */

static void random_x87(u64 *seed, u8 *fx)
{
    u64 bits = next(seed);
    u16 control = (u16)(0x7f | (bits & 0xf00)), status = (u16)(bits >> 16 & 0x7f00);
    u8 tags = bits >> 40 & 1 ? (u8)(bits >> 32) : 0xff;

    if ((control & 0x300) == 0x100) { /* a reserved precision */
        control |= 0x300;
    }
    if ((bits >> 48) % 8 == 0) {
        control &= (u16) ~(bits >> 52 & 0x3f);
    } else {
        status |= bits >> 56 & 0x3f; /* masked, so not pending */
    }
    memcpy(fx, &control, 2);
    memcpy(fx + 2, &status, 2);
    fx[4] = tags;
    for (unsigned i = 0; i < 8; i++) {
        random_extended(seed, fx + 32 + 16 * i);
    }
}

static void random_sse(u64 *seed, u8 *fx)
{
    u64 bits = next(seed);
    u32 mxcsr = 0x1f80 | (bits & 0x603f), mask = 0xffff;

    if (bits >> 56 & 1) {
        mxcsr |= bits >> 32 & 0x8040;
    }
    if ((bits >> 48) % 16 == 0) {
        mxcsr &= ~(u32)((bits >> 20 & 0x1f80));
    }
    memcpy(fx + 24, &mxcsr, 4);
    memcpy(fx + 28, &mask, 4);
    for (unsigned i = 0; i < 32; i++) {
        u64 lane = random_lane(seed);
        memcpy(fx + 160 + 8 * i, &lane, 8);
    }
}

/* Where the data lies, as offsets of registers count. */
static u64 data_offset(X86Environment environment)
{
    bool flat = environment == X86_FLAT64 || environment == X86_FLAT32;

    return flat ? X86_DATA : X86_DATA_OFFSET;
}

static void random_addresses(u64 *seed, X86Environment environment, X86Registers *r)
{
    u64 bits = next(seed), origin = data_offset(environment), middle = origin + X86_DATA_SIZE / 2;

    r->gpr[X86_BASE_REGISTER] = middle + (bits & 1 ? bits >> 1 & 31 : 0);
    r->gpr[X86_RSP] = middle + 8 * (bits >> 8 & 15);
    r->gpr[X86_RSI] = origin + (bits >> 12) % X86_DATA_SIZE;
    r->gpr[X86_RDI] = bits >> 63 ? r->gpr[X86_RSI] + (bits >> 24) % 64 - 32
                                 : origin + (bits >> 24) % X86_DATA_SIZE;
    if (bits >> 36 & 3) {
        r->gpr[X86_RCX] = next(seed) % 48;
    }
    r->gpr[x86_index_register(environment)] = next(seed) % 65 - 32;
    if (environment == X86_SEGMENTED16 && bits >> 38 & 1) { /* what 16-bit addresses don't see */
        for (unsigned i = 0; i < 8; i++) {
            r->gpr[i] |= next(seed) << 16;
        }
    }
}

void x86_random_registers(u64 *seed, X86Environment environment, X86Registers *r)
{
    u64 flags = next(seed);
    bool long_mode = environment == X86_FLAT64;

    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = random_integer(seed);
    }
    random_addresses(seed, environment, r);
    for (unsigned i = 0; !long_mode && i < 16; i++) {
        r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
    }
    r->eflags = 0x202 | (flags & X86_EFLAGS_STATUS);
    r->eflags |= flags >> 20 & 3 ? 0 : X86_EFLAGS_DF;
    r->eflags |= flags >> 24 & 31 ? 0 : X86_EFLAGS_TF;
    memset(r->fx, 0, sizeof(r->fx));
    random_x87(seed, r->fx);
    random_sse(seed, r->fx);
    for (unsigned i = 0; i < 32; i++) {
        r->ymmh[i / 2][i % 2] = random_lane(seed);
    }
    if (!long_mode) {
        memset(r->fx + 160 + 128, 0, 128); /* no XMM8 and up */
        memset(r->ymmh[8], 0, 128);
    }
}

void x86_random_memory(u64 *seed, u8 memory[X86_DATA_SIZE])
{
    u64 lanes[16];

    for (unsigned i = 0; i < COUNT(lanes); i++) {
        lanes[i] = random_lane(seed);
    }
    for (unsigned i = 0; i < X86_DATA_SIZE / 8; i++) {
        u64 lane = i % 5 ? lanes[i * 7 % COUNT(lanes)] + (i & 8) : random_integer(seed);
        memcpy(memory + 8 * i, &lane, 8);
    }
}

/* An image for XRSTOR of x87, SSE and AVX state, or sometimes one that is not valid. */
void x86_random_scratch(u64 *seed, u8 scratch[X86_SCRATCH_SIZE])
{
    enum { COMPONENTS = 512, FORMAT = 520, AVX = 576, AVX_END = AVX + 256 };
    u8 *image = scratch + (X86_IMAGE - X86_SCRATCH);
    u64 bits = next(seed);

    memset(scratch, 0, X86_SCRATCH_SIZE);
    scratch[0] = bits & 15;
    random_x87(seed, image);
    random_sse(seed, image);
    image[COMPONENTS] = bits >> 8 & 7;
    image[COMPONENTS + 4] = bits >> 16 & 31 ? 0 : 1;
    image[FORMAT + 2] = bits >> 24 & 31 ? 0 : 1;
    for (unsigned i = AVX; i < AVX_END; i += 8) {
        u64 lane = random_lane(seed);
        memcpy(image + i, &lane, 8);
    }
}
