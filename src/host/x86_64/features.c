/* What the CPU can do: CPUID, once per cache. */
#include <cpuid.h>

#include "host/x86_64/x86_64.h"

/* A per-process switch for tests only; nothing else writes it. */
static u32 feature_limit = ~0u;

void x86_limit_features(u32 mask)
{
    feature_limit = mask;
}

/* AVX needs the kernel to save the registers: XCR0 bits 1 and 2 (Intel SDM volume 1, 14.3). */
static bool avx_enabled(u32 ecx)
{
    u32 low, high;

    if (!(ecx & bit_OSXSAVE) || !(ecx & bit_AVX)) {
        return false;
    }
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

static u32 flag(bool present, u32 feature)
{
    return present ? feature : 0;
}

u32 x86_features(void)
{
    u32 a, b, c, d, features = 0;

    __cpuid(1, a, b, c, d);
    bool avx = avx_enabled(c);
    features |= flag(avx, X86_AVX) | flag(avx && c & bit_FMA, X86_FMA) |
                flag(avx && c & bit_F16C, X86_F16C) | flag(c & bit_MOVBE, X86_MOVBE) |
                flag(c & bit_AES, X86_AES) | flag(c & bit_PCLMUL, X86_PCLMUL);
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        features |= flag(avx && b & bit_AVX2, X86_AVX2) | flag(avx && b & bit_BMI, X86_BMI1) |
                    flag(avx && b & bit_BMI2, X86_BMI2) | flag(b & bit_SHA, X86_SHA);
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        features |= flag(c & bit_LZCNT, X86_LZCNT);
    }
    return features & feature_limit;
}

bool x86_usable(const char **why)
{
    u32 a, b, c, d, extended = 0;

    __cpuid(1, a, b, c, d);
    __get_cpuid(0x80000001, &a, &b, &extended, &d);
    __cpuid(1, a, b, c, d);
    if (!(c & bit_SSE4_2) || !(c & bit_POPCNT)) {
        *why = "the CPU lacks SSE4.2 or POPCNT";
        return false;
    }
    if (!(c & bit_CMPXCHG16B)) {
        *why = "the CPU lacks CMPXCHG16B";
        return false;
    }
    if (!(extended & bit_LAHF_LM)) {
        *why = "the CPU lacks LAHF in 64-bit mode";
        return false;
    }
    return true;
}
