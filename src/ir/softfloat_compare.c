/* Soft float: comparison, minimum and maximum. */
#include "ir/softfloat_core.h"

/* Magnitudes as a pair to compare: zero below everything finite, infinity above. */
static int compare_magnitudes(FpValue a, FpValue b)
{
    if (a.kind != b.kind) {
        return a.kind < b.kind ? -1 : 1; /* the kinds of numbers are in this order */
    }
    if (a.kind != FP_KIND_FINITE) {
        return 0;
    }
    if (a.exponent != b.exponent) {
        return a.exponent < b.exponent ? -1 : 1;
    }
    return (a.significand > b.significand) - (a.significand < b.significand);
}

static FpRelation order(FpValue a, FpValue b)
{
    if (a.kind == FP_KIND_ZERO && b.kind == FP_KIND_ZERO) {
        return FP_EQUAL;
    }
    if (a.sign != b.sign) {
        return a.sign ? FP_LESS : FP_GREATER;
    }
    int difference = a.sign ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
    return difference < 0 ? FP_LESS : difference > 0 ? FP_GREATER : FP_EQUAL;
}

FpRelation fp_compare(FpEnv *env, FpValue a, FpValue b, bool signalling)
{
    if (fp_is_nan(a) || fp_is_nan(b)) {
        if (signalling || a.kind >= FP_KIND_SIGNALLING || b.kind >= FP_KIND_SIGNALLING) {
            env->flags |= FP_INVALID;
        }
        return FP_UNORDERED;
    }
    env->flags |= a.subnormal || b.subnormal ? FP_DENORMAL : 0;
    return order(a, b);
}

/* Which of min, max, minnum and maxnum. */
typedef struct FpExtremum {
    bool maximum;
    bool number_wins; /* over a quiet NaN */
} FpExtremum;

static FpValue extremum(FpEnv *env, FpValue a, FpValue b, FpExtremum which)
{
    if (fp_is_nan(a) || fp_is_nan(b)) {
        if (which.number_wins && a.kind == FP_KIND_QUIET && !fp_is_nan(b)) {
            return b;
        }
        if (which.number_wins && b.kind == FP_KIND_QUIET && !fp_is_nan(a)) {
            return a;
        }
        return fp_propagate_nan2(env, a, b);
    }
    if (a.kind == FP_KIND_ZERO && b.kind == FP_KIND_ZERO) {
        return fp_zero(which.maximum ? a.sign && b.sign : a.sign || b.sign);
    }
    return order(a, b) == (which.maximum ? FP_GREATER : FP_LESS) ? a : b;
}

FP_INLINE u128 extremum_of(const FpFormat *format, FpEnv *env, u128 a, u128 b, FpExtremum which)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue y = fp_unpack(format, env, b);
    return fp_pack(format, env, extremum(env, x, y, which));
}

/* x86's: a if it stands in the relation to b, else b. */
FP_INLINE u128 select(const FpFormat *format, FpEnv *env, u128 a, u128 b, FpRelation relation)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue y = fp_unpack(format, env, b);
    bool first = fp_compare(env, x, y, true) == relation;

    if ((first ? x : y).kind == FP_KIND_ZERO) { /* perhaps a subnormal operand, flushed */
        return fp_sign_bit(format, (first ? x : y).sign);
    }
    return first ? a : b;
}

/* The public functions of a format. */
#define EXTREMA(type, f)                                                                           \
    type f##_min(FpEnv *env, type a, type b)                                                       \
    {                                                                                              \
        return (type)extremum_of(&fp_##f, env, a, b, (FpExtremum){false, false});                  \
    }                                                                                              \
    type f##_max(FpEnv *env, type a, type b)                                                       \
    {                                                                                              \
        return (type)extremum_of(&fp_##f, env, a, b, (FpExtremum){true, false});                   \
    }                                                                                              \
    type f##_minnum(FpEnv *env, type a, type b)                                                    \
    {                                                                                              \
        return (type)extremum_of(&fp_##f, env, a, b, (FpExtremum){false, true});                   \
    }                                                                                              \
    type f##_maxnum(FpEnv *env, type a, type b)                                                    \
    {                                                                                              \
        return (type)extremum_of(&fp_##f, env, a, b, (FpExtremum){true, true});                    \
    }                                                                                              \
    type f##_min_x86(FpEnv *env, type a, type b)                                                   \
    {                                                                                              \
        return (type)select(&fp_##f, env, a, b, FP_LESS);                                          \
    }                                                                                              \
    type f##_max_x86(FpEnv *env, type a, type b)                                                   \
    {                                                                                              \
        return (type)select(&fp_##f, env, a, b, FP_GREATER);                                       \
    }

EXTREMA(u32, f32)
EXTREMA(u64, f64)

FP_INLINE FpRelation compare_of(const FpFormat *format, FpEnv *env, u128 a, u128 b, bool signalling)
{
    FpValue x = fp_unpack(format, env, a);
    FpValue y = fp_unpack(format, env, b);
    return fp_compare(env, x, y, signalling);
}

FpRelation f32_compare(FpEnv *env, u32 a, u32 b)
{
    return compare_of(&fp_f32, env, a, b, false);
}

FpRelation f32_compare_signalling(FpEnv *env, u32 a, u32 b)
{
    return compare_of(&fp_f32, env, a, b, true);
}

FpRelation f64_compare(FpEnv *env, u64 a, u64 b)
{
    return compare_of(&fp_f64, env, a, b, false);
}

FpRelation f64_compare_signalling(FpEnv *env, u64 a, u64 b)
{
    return compare_of(&fp_f64, env, a, b, true);
}
