/* Immediates that A64 encodes in compressed form, expanded while decoding.
 * All functions are total: any field values give a result. */
#ifndef GUEST_AARCH64_IMMEDIATE_H
#define GUEST_AARCH64_IMMEDIATE_H

#include "base/types.h"

/* DecodeBitMasks() for the logical instructions: the mask, zero-extended from 32 bits when sf is 0;
 * 0, which no encoding stands for, when the encoding is reserved. */
static inline u64 aarch64_logical_immediate(unsigned sf, unsigned n, unsigned imms, unsigned immr)
{
    unsigned selector = n << 6 | (~imms & 0x3f);
    unsigned length = selector ? 31 - (unsigned)__builtin_clz(selector) : 0;
    unsigned size = 1u << length; /* of the repeated element */
    unsigned ones = (imms & (size - 1)) + 1;
    unsigned rotate = immr & (size - 1);

    if (length == 0 || ones == size || (n && !sf)) {
        return 0;
    }
    u64 element = ((u64)1 << ones) - 1;
    if (rotate) {
        element = element >> rotate | element << (size - rotate);
    }
    if (size < 64) {
        element &= ((u64)1 << size) - 1;
    }
    for (; size < 64; size *= 2) {
        element |= element << size;
    }
    return sf ? element : (u32)element;
}

/* VFPExpandImm(): the bits of the number of type 0 (single), 1 (double) or 3 (half). */
static inline u64 aarch64_fp_immediate(unsigned type, unsigned imm8)
{
    unsigned exponent_bits = type == 0 ? 8 : type == 1 ? 11 : 5;
    unsigned fraction_bits = type == 0 ? 23 : type == 1 ? 52 : 10;
    unsigned b = imm8 >> 6 & 1;
    u64 high_exponent = b ? ((u64)1 << (exponent_bits - 3)) - 1 : 0;
    u64 exponent = (u64)!b << (exponent_bits - 1) | high_exponent << 2 | (imm8 >> 4 & 3);
    u64 fraction = (u64)(imm8 & 0xf) << (fraction_bits - 4);

    return (u64)(imm8 >> 7) << (exponent_bits + fraction_bits) | exponent << fraction_bits |
           fraction;
}

/* Index of the lowest or highest one bit; 31 if there is none. */
static inline unsigned aarch64_lowest_bit(unsigned bits)
{
    return bits ? (unsigned)__builtin_ctz(bits) : 31;
}

static inline unsigned aarch64_highest_bit(unsigned bits)
{
    return bits ? 31 - (unsigned)__builtin_clz(bits) : 31;
}

static inline u64 aarch64_repeat(u64 value, unsigned bits)
{
    for (; bits < 64; bits *= 2) {
        value |= value << bits;
    }
    return value;
}

/* AdvSIMDExpandImm() without the inversion that MVNI, BIC and their kin imply: 64 bits of which a
 * vector holds one or two copies. */
static inline u64 aarch64_simd_immediate(unsigned op, unsigned cmode, unsigned imm8)
{
    u64 mask = 0;

    switch (cmode) {
    case 0 ... 7: /* 32-bit elements, shifted */
        return aarch64_repeat((u64)imm8 << 8 * (cmode >> 1), 32);
    case 8 ... 11: /* 16-bit elements, shifted */
        return aarch64_repeat((u64)imm8 << 8 * (cmode >> 1 & 1), 16);
    case 12: /* 32-bit elements, shifted, with ones shifted in */
        return aarch64_repeat((u64)imm8 << 8 | 0xff, 32);
    case 13:
        return aarch64_repeat((u64)imm8 << 16 | 0xffff, 32);
    case 14:
        if (!op) {
            return aarch64_repeat(imm8, 8);
        }
        for (unsigned i = 0; i < 8; i++) { /* each bit becomes a byte */
            mask |= (u64)(imm8 >> i & 1 ? 0xff : 0) << 8 * i;
        }
        return mask;
    default:
        return op ? aarch64_fp_immediate(1, imm8)
                  : aarch64_repeat(aarch64_fp_immediate(0, imm8), 32);
    }
}

#endif
