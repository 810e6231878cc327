/* x87 helpers: loads, stores, and moves between registers. */
#include <string.h>

#include "guest/x86/x87_helpers.h"
#include "guest/x86/x87_host.h"

/* -- Loads */

/* Pushes a memory operand; a signalling NaN and a subnormal number are exceptions. */
static void load(X86State *s, FpValue operand)
{
    if (!x87_is_empty(s, 7)) {
        x87_push_checked(s, f80_indefinite());
        return;
    }
    F80Env env = x87_env(s);
    F80 result = f80_load(&env, operand);
    x87_finish(s, &env);
    if (!f80_result_lost(&env, F80_LOADED)) {
        x87_push(s, result);
    }
}

/* Pushes a normal number of a format with so many fraction bits. */
static void load_normal(X86State *s, u64 sign, s32 exponent, u64 fraction, unsigned fraction_bits)
{
    F80 value = {(u64)1 << 63 | fraction << (63 - fraction_bits),
                 (u16)(sign << 15 | (u32)(exponent + F80_BIAS))};
    x87_push_checked(s, value);
}

/* (bits): FLD m32 */
void x87_load_f32(void *state, IrWord *io)
{
    u32 bits = (u32)io[1].i, field = bits >> 23 & 0xff;

    if (likely(field - 1 < 0xfe)) {
        load_normal(state, bits >> 31, (s32)field - 127, bits & 0x7fffff, 23);
    } else {
        load(state, f80_unpack_f32(bits));
    }
}

/* (bits): FLD m64; FILD m16 and m32, whose operands are exact in f64 */
void x87_load_f64(void *state, IrWord *io)
{
    u64 bits = io[1].i;
    u32 field = bits >> 52 & 0x7ff;

    if (likely(field - 1 < 0x7fe)) {
        load_normal(state, bits >> 63, (s32)field - 1023, bits & (((u64)1 << 52) - 1), 52);
    } else {
        load(state, f80_unpack_f64(bits));
    }
}

/* (s64): FILD m64 */
void x87_load_integer(void *state, IrWord *io)
{
    load(state, f80_unpack_integer((s64)io[1].i));
}

/* (low 64 bits, high 16 bits): FLD m80 */
void x87_load_f80(void *state, IrWord *io)
{
    x87_push_checked(state, (F80){io[1].i, (u16)io[2].i});
}

/* (low 64 bits, high 16 bits): FBLD */
void x87_load_bcd(void *state, IrWord *io)
{
    u8 bcd[10];

    memcpy(bcd, &io[1].i, 8);
    memcpy(bcd + 8, &io[2].i, 2);
    load(state, f80_unpack_bcd(bcd));
}

/* (0..6): FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ, rounded as the control word says. */
void x87_load_constant(void *state, IrWord *io)
{
    static const struct {
        F80 truncated;
        bool inexact, nearest_is_up;
    } constants[] = {
        {{(u64)1 << 63, 0x3fff}, false, false},      /* 1 */
        {{0xd49a784bcd1b8afe, 0x4000}, true, false}, /* log2(10) */
        {{0xb8aa3b295c17f0bb, 0x3fff}, true, true},  /* log2(e) */
        {{0xc90fdaa22168c234, 0x4000}, true, true},  /* pi */
        {{0x9a209a84fbcff798, 0x3ffd}, true, true},  /* log10(2) */
        {{0xb17217f7d1cf79ab, 0x3ffe}, true, true},  /* ln(2) */
        {{0, 0}, false, false},                      /* 0 */
    };
    X86State *s = state;
    unsigned i = io[1].i % COUNT(constants);
    F80 value = constants[i].truncated;

    if (constants[i].inexact) {
        u8 rounding = x87_env(s).fp.rounding;
        value.significand +=
            rounding == FP_UP || (rounding == FP_NEAREST_EVEN && constants[i].nearest_is_up);
    }
    x87_push_checked(s, value);
}

/* (i): FLD ST(i) */
void x87_load_st(void *state, IrWord *io)
{
    X86State *s = state;
    unsigned i = io[1].i & 7;

    if (likely(!x87_is_empty(s, i))) {
        x87_push_checked(s, x87_get(s, i));
    } else if (x87_stack_fault(s, false)) {
        x87_push(s, f80_indefinite());
    }
}

/* -- Stores */

/* What X87_STORE returns, apart from the value. */
static u64 stored_state(const X86State *s, u16 fsw, bool pops, bool lost)
{
    u8 top = s->ftop, tags = s->ftag_empty;

    if (pops && !lost) {
        tags |= (u8)(1u << top);
        top = (top + 1) & 7;
    }
    return (u64)fsw << X87_STORED_FSW | (u64)top << X87_STORED_FTOP | (u64)tags << X87_STORED_FTAG |
           (u64)lost << X87_STORED_LOST;
}

/* Converts by soft float to a format other than F80, which needs no conversion. */
static void convert(F80Env *env, FpValue a, X87Format format, u64 value[2])
{
    static const u8 bits[] = {16, 32, 64};
    u8 bcd[10];

    switch (format) {
    case X87_STORE_F32:
        value[0] = f80_to_f32(env, a);
        return;
    case X87_STORE_F64:
        value[0] = f80_to_f64(env, a);
        return;
    case X87_STORE_BCD:
        f80_to_bcd(env, a, bcd);
        memcpy(value, bcd, sizeof(bcd));
        return;
    case X87_STORE_S16:
    case X87_STORE_S32:
    case X87_STORE_S64:
        value[0] = (u64)f80_to_integer(env, a, env->fp.rounding, bits[format - X87_STORE_S16]);
        return;
    default:
        value[0] = (u64)f80_to_integer(env, a, FP_TO_ZERO, bits[format - X87_TRUNCATE_S16]);
        return;
    }
}

static void soft_store(X86State *s, X87Format format, bool pops, u64 value[2])
{
    u16 fsw = s->fsw;
    F80Env env = x87_env(s);
    bool lost, empty = x87_is_empty(s, 0);

    value[1] = 0;
    if (format == X87_STORE_F80) {
        F80 top = empty ? f80_indefinite() : x87_get(s, 0);
        value[0] = top.significand;
        value[1] = top.sign_exponent;
    } else {
        convert(&env, empty ? f80_unpack(f80_indefinite()) : x87_value(s, 0), format, value);
    }
    if (empty) {
        lost = !x87_stack_fault(s, false);
    } else {
        x87_finish(s, &env);
        lost = f80_result_lost(&env, F80_MEMORY);
    }
    value[1] |= stored_state(s, s->fsw, pops, lost);
    s->fsw = fsw;
}

#ifdef X87_HOST
X87_HOST_STORE(host_store_f32, "fstps")
X87_HOST_STORE(host_store_f64, "fstpl")
X87_HOST_STORE(host_store_s16, "fistps")
X87_HOST_STORE(host_store_s32, "fistpl")
X87_HOST_STORE(host_store_s64, "fistpll")
X87_HOST_STORE(host_truncate_s16, "fisttps")
X87_HOST_STORE(host_truncate_s32, "fisttpl")
X87_HOST_STORE(host_truncate_s64, "fisttpll")

static X87HostStore *const host_stores[] = {
    [X87_STORE_F32] = host_store_f32,       [X87_STORE_F64] = host_store_f64,
    [X87_STORE_S16] = host_store_s16,       [X87_STORE_S32] = host_store_s32,
    [X87_STORE_S64] = host_store_s64,       [X87_TRUNCATE_S16] = host_truncate_s16,
    [X87_TRUNCATE_S32] = host_truncate_s32, [X87_TRUNCATE_S64] = host_truncate_s64,
};

static bool host_store(X86State *s, X87Format format, bool pops, u64 value[2])
{
    u16 fsw = s->fsw;

    if (!x87_host_usable(s) || x87_is_empty(s, 0) || !host_stores[format]) {
        return false;
    }
    x87_host_begin(s);
    u16 status = host_stores[format](&value[0], x87_register(s, 0));
    x87_host_end(s);
    if (!x87_host_accept(s, status, X87_C1)) {
        return false;
    }
    value[1] = stored_state(s, s->fsw, pops, false);
    s->fsw = fsw;
    return true;
}
#else
#define host_store(s, format, pops, value) false
#endif

/* (X87Format and perhaps X87_STORE_POPS) -> v128: see X87_STORED_FSW */
void x87_store(void *state, IrWord *io)
{
    X87Format format = (X87Format)(io[1].i & ~(u64)X87_STORE_POPS);
    bool pops = io[1].i & X87_STORE_POPS;

    if (!host_store(state, format, pops, io[0].v)) {
        soft_store(state, format, pops, io[0].v);
    }
}

/* -- Between registers */

/* (i, pops): FST ST(i), FSTP ST(i) */
void x87_store_st(void *state, IrWord *io)
{
    X86State *s = state;
    unsigned i = io[1].i & 7;

    if (likely(!x87_is_empty(s, 0))) {
        x87_set_c1(s, false);
        x87_set(s, i, x87_get(s, 0));
    } else if (x87_stack_fault(s, false)) {
        x87_set(s, i, f80_indefinite());
    } else {
        return;
    }
    if (io[2].i) {
        x87_pop(s);
    }
}

/* (i): FXCH */
void x87_exchange(void *state, IrWord *io)
{
    X86State *s = state;
    unsigned i = io[1].i & 7;
    F80 top = x87_get(s, 0), other = x87_get(s, i);

    if (unlikely(x87_is_empty(s, 0) || x87_is_empty(s, i))) {
        if (!x87_stack_fault(s, false)) {
            return;
        }
        top = x87_is_empty(s, 0) ? f80_indefinite() : top;
        other = x87_is_empty(s, i) ? f80_indefinite() : other;
    } else {
        x87_set_c1(s, false);
    }
    x87_set(s, 0, other);
    x87_set(s, i, top);
}

/* (bits of the sign to clear, to invert): FABS 0x8000 0, FCHS 0 0x8000 */
void x87_change_sign(void *state, IrWord *io)
{
    X86State *s = state;
    X86Fpr *top = x87_register(s, 0);

    if (likely(!x87_is_empty(s, 0))) {
        x87_set_c1(s, false);
        top->sign_exponent = (u16)((top->sign_exponent & ~io[1].i) ^ io[2].i);
    } else if (x87_stack_fault(s, false)) {
        x87_set(s, 0, f80_indefinite());
    }
}

/* (i, condition): FCMOVcc */
void x87_conditional_move(void *state, IrWord *io)
{
    X86State *s = state;
    unsigned i = io[1].i & 7;

    if (unlikely(x87_is_empty(s, 0) || x87_is_empty(s, i))) {
        if (x87_stack_fault(s, false)) {
            x87_set(s, 0, f80_indefinite());
        }
        return;
    }
    if (io[2].i) {
        x87_set(s, 0, x87_get(s, i));
    }
}

/* FXAM */
void x87_examine(void *state, IrWord *io)
{
    static const u16 classes[] = {
        [FP_KIND_ZERO] = X87_C3,
        [FP_KIND_FINITE] = X87_C2,
        [FP_KIND_INFINITY] = X87_C2 | X87_C0,
        [FP_KIND_QUIET] = X87_C0,
        [FP_KIND_SIGNALLING] = X87_C0,
        [FP_KIND_UNSUPPORTED] = 0,
    };
    X86State *s = state;
    FpValue top = x87_value(s, 0);
    u16 class = classes[top.kind];

    (void)io;
    if (x87_is_empty(s, 0)) {
        class = X87_C3 | X87_C0;
    } else if (top.subnormal) {
        class = X87_C3 | X87_C2;
    }
    s->fsw = (u16)((s->fsw & ~X87_CONDITIONS) | class | (top.sign ? X87_C1 : 0));
}
