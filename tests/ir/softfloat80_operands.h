/* x87 register operands for tests. Deterministic for a seed; knows nothing of the code under test.
 */
#ifndef TESTS_IR_SOFTFLOAT80_OPERANDS_H
#define TESTS_IR_SOFTFLOAT80_OPERANDS_H

#include "ir/softfloat80.h"

#include "softfloat_operands.h"

/* A register: exponents near those where something happens, and unsupported encodings. */
static inline F80 random_f80(Operands *o, F80 previous)
{
    u64 significand = random_pattern(o) | (u64)1 << 63;
    u64 exponent = random_u64(o) & F80_TOP_EXPONENT;
    u16 sign = random_below(o, 2) ? F80_SIGN : 0;

    switch (random_below(o, 16)) {
    case 0: /* zero, infinity, a power of two */
        exponent = (const u64[]){0, 0x7fff, 0x3fff, 1, 0x7ffe, 0x4000}[random_below(o, 6)];
        significand = exponent ? (u64)1 << 63 : 0;
        break;
    case 1: /* NaN */
        exponent = F80_TOP_EXPONENT;
        break;
    case 2: /* subnormal or pseudo-denormal */
        exponent = 0;
        significand = random_pattern(o) >> random_below(o, 64);
        break;
    case 3: /* near the limits */
        exponent = random_below(o, 2) ? random_below(o, 70) : 0x7ffe - random_below(o, 70);
        break;
    case 4: /* unsupported, mostly */
        significand = random_pattern(o) >> 1;
        exponent = random_below(o, 2) ? F80_TOP_EXPONENT : exponent;
        break;
    case 5:
    case 6: /* near the previous one */
        exponent = (previous.sign_exponent + random_below(o, 140) - 70) & F80_TOP_EXPONENT;
        significand = random_below(o, 2) ? previous.significand : significand;
        break;
    case 7: /* near the limits of other formats */
        exponent = F80_BIAS +
                   (const u64[]){-149, -126, 128, -1074, -1022, 1024}[random_below(o, 6)] +
                   random_below(o, 6) - 3;
        break;
    default: /* integers and fractions */
        exponent = F80_BIAS - 10 + random_below(o, 80);
        break;
    }
    return (F80){significand, (u16)(sign | exponent)};
}

#endif
