/* x87 helpers: arithmetic and comparison.
 *
 * Operands in memory come as bits of an f32 or f64; integers are f64 already, in which all that
 * instructions take (16 and 32 bits) are exact. */
#include "guest/x86/x87_helpers.h"
#include "guest/x86/x87_host.h"
#include "ir/ir.h"

typedef F80 SoftBinary(F80Env *env, FpValue a, FpValue b);
typedef FpValue SoftOperand(u64 bits);

static F80 f80_subr(F80Env *env, FpValue a, FpValue b)
{
    return f80_sub(env, b, a);
}

static F80 f80_divr(F80Env *env, FpValue a, FpValue b)
{
    return f80_div(env, b, a);
}

static FpValue operand_f32(u64 bits)
{
    return f80_unpack_f32((u32)bits);
}

static FpValue operand_f64(u64 bits)
{
    return f80_unpack_f64(bits);
}

static void pop(X86State *s, unsigned count)
{
    while (count-- > 0) {
        x87_pop(s);
    }
}

/* The end of a soft operation whose result goes to ST(to). */
static void write_result(X86State *s, const F80Env *env, unsigned to, F80 result, unsigned pops)
{
    x87_finish(s, env);
    if (!f80_result_lost(env, F80_REGISTER)) {
        x87_set(s, to, result);
        pop(s, pops);
    }
}

static void underflow(X86State *s, unsigned to, unsigned pops)
{
    if (x87_stack_fault(s, false)) {
        x87_set(s, to, f80_indefinite());
        pop(s, pops);
    }
}

/* -- Between registers. io[1].i: result to ST(bits 2..0), operands ST(bits 6..4), ST(bits 10..8),
 * pops: bit 12. */

static void soft_binary(X86State *s, unsigned to, unsigned a, unsigned b, unsigned pops,
                        SoftBinary *operation)
{
    if (x87_is_empty(s, a) || x87_is_empty(s, b)) {
        underflow(s, to, pops);
        return;
    }
    F80Env env = x87_env(s);
    F80 result = operation(&env, x87_value(s, a), x87_value(s, b));
    write_result(s, &env, to, result, pops);
}

#ifdef X87_HOST
#define BINARY(name, instruction)                                                                  \
    X87_HOST_BINARY(host_##name, instruction)                                                      \
    void x87_##name(void *state, IrWord *io)                                                       \
    {                                                                                              \
        host_binary(state, io[1].i, host_##name, f80_##name);                                      \
    }

FP_INLINE void host_binary(X86State *s, u64 what, X87HostBinary *host, SoftBinary *soft)
{
    unsigned to = what & 7, a = what >> 4 & 7, b = what >> 8 & 7, pops = what >> 12 & 1;
    X86Fpr *result = x87_register(s, to);
    F80 before = x87_get(s, to);

    if (likely(x87_host_usable(s) && !x87_is_empty(s, a) && !x87_is_empty(s, b))) {
        x87_host_begin(s);
        u16 status = host(result, x87_register(s, a), x87_register(s, b));
        x87_host_end(s);
        if (likely(x87_host_accept(s, status, X87_C1))) {
            pop(s, pops);
            return;
        }
        x87_restore(result, before);
    }
    soft_binary(s, to, a, b, pops, soft);
}
#else
#define BINARY(name, instruction)                                                                  \
    void x87_##name(void *state, IrWord *io)                                                       \
    {                                                                                              \
        u64 what = io[1].i;                                                                        \
        soft_binary(state, what & 7, what >> 4 & 7, what >> 8 & 7, what >> 12 & 1, f80_##name);    \
    }
#endif

BINARY(add, "fadd %%st(1), %%st")
BINARY(mul, "fmul %%st(1), %%st")
BINARY(sub, "fsub %%st(1), %%st")
BINARY(div, "fdiv %%st(1), %%st")

/* -- Of ST(0) and memory. io[1].i: the operand's bits. */

static void soft_memory(X86State *s, FpValue operand, SoftBinary *operation)
{
    if (x87_is_empty(s, 0)) {
        underflow(s, 0, 0);
        return;
    }
    F80Env env = x87_env(s);
    F80 result = operation(&env, x87_value(s, 0), operand);
    write_result(s, &env, 0, result, 0);
}

#ifdef X87_HOST
#define MEMORY(name, type, instruction)                                                            \
    X87_HOST_MEMORY(host_##name##_##type, instruction)                                             \
    void x87_##name##_##type(void *state, IrWord *io)                                              \
    {                                                                                              \
        host_memory(state, io[1].i, host_##name##_##type, operand_##type, f80_##name);             \
    }

FP_INLINE void host_memory(X86State *s, u64 bits, X87HostMemory *host, SoftOperand *unpack,
                           SoftBinary *soft)
{
    X86Fpr *top = x87_register(s, 0);
    F80 before = x87_get(s, 0);

    if (likely(x87_host_usable(s) && !x87_is_empty(s, 0))) {
        x87_host_begin(s);
        u16 status = host(top, top, bits);
        x87_host_end(s);
        if (likely(x87_host_accept(s, status, X87_C1))) {
            return;
        }
        x87_restore(top, before);
    }
    soft_memory(s, unpack(bits), soft);
}
#else
#define MEMORY(name, type, instruction)                                                            \
    void x87_##name##_##type(void *state, IrWord *io)                                              \
    {                                                                                              \
        soft_memory(state, operand_##type(io[1].i), f80_##name);                                   \
    }
#endif

MEMORY(add, f32, "fadds")
MEMORY(mul, f32, "fmuls")
MEMORY(sub, f32, "fsubs")
MEMORY(subr, f32, "fsubrs")
MEMORY(div, f32, "fdivs")
MEMORY(divr, f32, "fdivrs")
MEMORY(add, f64, "faddl")
MEMORY(mul, f64, "fmull")
MEMORY(sub, f64, "fsubl")
MEMORY(subr, f64, "fsubrl")
MEMORY(div, f64, "fdivl")
MEMORY(divr, f64, "fdivrl")

/* -- Of ST(0) alone */

typedef F80 SoftUnary(F80Env *env, FpValue a);

static void soft_unary(X86State *s, SoftUnary *operation)
{
    if (x87_is_empty(s, 0)) {
        underflow(s, 0, 0);
        return;
    }
    F80Env env = x87_env(s);
    F80 result = operation(&env, x87_value(s, 0));
    write_result(s, &env, 0, result, 0);
}

#ifdef X87_HOST
X87_HOST_UNARY(host_sqrt, "fsqrt")
X87_HOST_UNARY(host_rndint, "frndint")

FP_INLINE bool host_unary(X86State *s, X87HostUnary *host)
{
    X86Fpr *top = x87_register(s, 0);
    F80 before = x87_get(s, 0);

    if (!x87_host_usable(s) || x87_is_empty(s, 0)) {
        return false;
    }
    x87_host_begin(s);
    u16 status = host(top, top);
    x87_host_end(s);
    if (likely(x87_host_accept(s, status, X87_C1))) {
        return true;
    }
    x87_restore(top, before);
    return false;
}
#else
#define host_unary(s, host) false
#endif

void x87_sqrt(void *state, IrWord *io)
{
    (void)io;
    if (!host_unary(state, host_sqrt)) {
        soft_unary(state, f80_sqrt);
    }
}

void x87_rndint(void *state, IrWord *io)
{
    (void)io;
    if (!host_unary(state, host_rndint)) {
        soft_unary(state, f80_round_to_integral);
    }
}

/* -- Comparison. A value is compared with ST(0); the conditions become the relation (8.3.6). */

static const u16 conditions_of[] = {[FP_LESS] = X87_C0,
                                    [FP_EQUAL] = X87_C3,
                                    [FP_GREATER] = 0,
                                    [FP_UNORDERED] = X87_C0 | X87_C2 | X87_C3};

static void set_relation(X86State *s, FpRelation relation)
{
    s->fsw = (u16)((s->fsw & ~(X87_C0 | X87_C2 | X87_C3)) | conditions_of[relation]);
}

/* Then pops, unless an unmasked exception keeps the stack as it is. The conditions are set in any
 * case, as on AMD's processors. */
static void soft_compare(X86State *s, FpValue b, bool empty, bool quiet, unsigned pops)
{
    if (empty) {
        set_relation(s, FP_UNORDERED);
        pop(s, x87_stack_fault(s, false) ? pops : 0);
        return;
    }
    F80Env env = x87_env(s);
    set_relation(s, f80_compare(&env, x87_value(s, 0), b, !quiet));
    x87_finish(s, &env);
    pop(s, f80_result_lost(&env, F80_REGISTER) ? 0 : pops);
}

#ifdef X87_HOST
X87_HOST_COMPARE(host_com, "fcom %%st(1)", "fldt %2\n\t", "\n\tfstp %%st(0)", X86Fpr)
X87_HOST_COMPARE(host_ucom, "fucom %%st(1)", "fldt %2\n\t", "\n\tfstp %%st(0)", X86Fpr)
X87_HOST_COMPARE(host_com_f32, "fcoms %2", "", "", u64)
X87_HOST_COMPARE(host_com_f64, "fcoml %2", "", "", u64)

/* After the host's comparison; false if it has to be done again. */
FP_INLINE bool accept_comparison(X86State *s, u16 status, unsigned pops)
{
    if (unlikely(!x87_host_accept(s, status, X87_CONDITIONS))) {
        return false;
    }
    pop(s, pops);
    return true;
}

static bool host_compare(X86State *s, unsigned i, bool quiet, unsigned pops)
{
    const X86Fpr *a = x87_register(s, 0), *b = x87_register(s, i);

    return accept_comparison(s, quiet ? host_ucom(a, b) : host_com(a, b), pops);
}

#define host_compare_f32(s, bits, pops)                                                            \
    accept_comparison(s, host_com_f32(x87_register(s, 0), &(bits)), pops)
#define host_compare_f64(s, bits, pops)                                                            \
    accept_comparison(s, host_com_f64(x87_register(s, 0), &(bits)), pops)
#else
#define host_compare(s, i, quiet, pops) false
#define host_compare_f32(s, bits, pops) false
#define host_compare_f64(s, bits, pops) false
#endif

/* Of registers. what: i | quiet << 4 | pops << 8 */
static void compare(X86State *s, u64 what)
{
    unsigned i = what & 7, quiet = what >> 4 & 1, pops = what >> 8 & 3;
    bool empty = x87_is_empty(s, 0) || x87_is_empty(s, i);

    if (unlikely(empty) || !host_compare(s, i, quiet, pops)) {
        soft_compare(s, x87_value(s, i), empty, quiet, pops);
    }
}

/* (what, see compare()): FCOM, FCOMP, FCOMPP, FUCOM, FUCOMP, FUCOMPP */
void x87_com(void *state, IrWord *io)
{
    compare(state, io[1].i);
}

/* (the operand's bits, pops) */
void x87_com_f32(void *state, IrWord *io)
{
    bool empty = x87_is_empty(state, 0);

    if (unlikely(empty) || !host_compare_f32(state, io[1].i, (unsigned)io[2].i)) {
        soft_compare(state, operand_f32(io[1].i), empty, false, (unsigned)io[2].i);
    }
}

void x87_com_f64(void *state, IrWord *io)
{
    bool empty = x87_is_empty(state, 0);

    if (unlikely(empty) || !host_compare_f64(state, io[1].i, (unsigned)io[2].i)) {
        soft_compare(state, operand_f64(io[1].i), empty, false, (unsigned)io[2].i);
    }
}

void x87_tst(void *state, IrWord *io)
{
    (void)io;
    soft_compare(state, fp_zero(false), x87_is_empty(state, 0), false, 0);
}

/* (what, see compare()) -> packed flags: FCOMI, FCOMIP, FUCOMI, FUCOMIP. The conditions stay, C1
 * only if there is no stack fault. */
void x87_comi(void *state, IrWord *io)
{
    X86State *s = state;
    bool empty = x87_is_empty(s, 0) || x87_is_empty(s, io[1].i & 7);
    u16 kept = s->fsw & X87_CONDITIONS & ~(empty ? X87_C1 : 0);

    compare(s, io[1].i);
    io[0].i = (s->fsw & X87_C0 ? IR_FLAG_C : 0) | (s->fsw & X87_C2 ? IR_FLAG_P : 0) |
              (s->fsw & X87_C3 ? IR_FLAG_Z : 0);
    s->fsw = (u16)((s->fsw & ~X87_CONDITIONS) | kept);
}
