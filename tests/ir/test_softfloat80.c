/* x87 soft float against the host's x87: registers, memory operand, all of the status word, under
 * random control words with unmasked exceptions among them.
 * Usage: test_softfloat80 [N], N times as many operands as by default. */
#include <stdlib.h>
#include <string.h>

#include "ir/softfloat80.h"

#include "../tap.h"
#include "softfloat80_operands.h"

#ifdef __x86_64__

enum {
    OPERANDS_PER_OPERATION = 30000,
    FAILURES_SHOWN = 5,
    STATUS_C0 = 1 << 8,
    STATUS_C1 = 1 << 9,
    STATUS_C2 = 1 << 10,
    STATUS_C3 = 1 << 14,
    STATUS_TOP_ONE = 1 << 11,
    STATUS_ERROR = 0x8080, /* ES and B */
    EMPTY = 3,             /* of two tag bits */
};

/* What an instruction sees and leaves: two registers on the stack, memory, status. */
typedef struct Machine {
    F80 st[2];
    u8 memory[16];
    u16 control, status;
} Machine;

typedef void Operation(Machine *m);

/* The layout of FNSAVE outside of 16-bit code. */
typedef struct __attribute__((packed)) SavedX87 {
    u32 control, status, tag, pointers[4];
    struct __attribute__((packed)) {
        u64 significand;
        u16 sign_exponent;
    } st[8];
} SavedX87;

/* In one asm statement, so that no other instruction sees this control word. Loads of 80 bits raise
 * nothing. The code may use %[memory] and, to keep the exponent of FXTRACT in ST1, FXCH. */
#define HOST(function, code)                                                                       \
    static void function(Machine *m)                                                               \
    {                                                                                              \
        SavedX87 saved;                                                                            \
        __asm__ volatile("fninit\n\tfldt %[b]\n\tfldt %[a]\n\tfldcw %[control]\n\t" code           \
                         "\n\tfnsave %[saved]"                                                     \
                         : [saved] "=m"(saved), [memory] "+m"(m->memory)                           \
                         : [a] "m"(m->st[0]), [b] "m"(m->st[1]), [control] "m"(m->control)         \
                         : "cc", "st");                                                            \
        m->status = (u16)saved.status;                                                             \
        for (unsigned i = 0; i < 2; i++) {                                                         \
            unsigned tag = saved.tag >> 2 * ((saved.status / STATUS_TOP_ONE + i) % 8) & 3;         \
            m->st[i] = tag == EMPTY ? (F80){0}                                                     \
                                    : (F80){saved.st[i].significand, saved.st[i].sign_exponent};   \
        }                                                                                          \
    }

HOST(host_add, "fadd %%st(1), %%st")
HOST(host_add_f32, "fadds %[memory]")
HOST(host_add_f64, "faddl %[memory]")
HOST(host_add_s16, "fiadds %[memory]")
HOST(host_sub, "fsub %%st(1), %%st")
HOST(host_subr_f64, "fsubrl %[memory]")
HOST(host_mul, "fmul %%st(1), %%st")
HOST(host_mul_f32, "fmuls %[memory]")
HOST(host_div, "fdiv %%st(1), %%st")
HOST(host_div_f64, "fdivl %[memory]")
HOST(host_divr_s32, "fidivrl %[memory]")
HOST(host_sqrt, "fsqrt")
HOST(host_round, "frndint")
HOST(host_scale, "fscale")
HOST(host_extract, "fstp %%st(1)\n\tfxtract")
HOST(host_prem, "fprem")
HOST(host_prem1, "fprem1")
HOST(host_com, "fcom %%st(1)")
HOST(host_ucom, "fucom %%st(1)")
HOST(host_com_f32, "fcoms %[memory]")
HOST(host_tst, "ftst")
HOST(host_load_f32, "flds %[memory]")
HOST(host_load_f64, "fldl %[memory]")
HOST(host_load_s64, "fildll %[memory]")
HOST(host_load_bcd, "fbld %[memory]")
HOST(host_store_f32, "fstps %[memory]")
HOST(host_store_f64, "fstpl %[memory]")
HOST(host_store_s16, "fistps %[memory]")
HOST(host_store_s32, "fistpl %[memory]")
HOST(host_store_s64, "fistpll %[memory]")
HOST(host_truncate_s16, "fisttps %[memory]")
HOST(host_truncate_s64, "fisttpll %[memory]")
HOST(host_store_bcd, "fbstp %[memory]")

static u16 status_of_flags(u8 flags)
{
    return (u16)((flags & FP_INVALID ? 1 : 0) | (flags & FP_DENORMAL ? 2 : 0) |
                 (flags & FP_DIVZERO ? 4 : 0) | (flags & FP_OVERFLOW ? 8 : 0) |
                 (flags & FP_UNDERFLOW ? 16 : 0) | (flags & FP_INEXACT ? 32 : 0));
}

static u8 flags_of_control(u16 control)
{
    return (u8)((control & 1 ? FP_INVALID : 0) | (control & 2 ? FP_DENORMAL : 0) |
                (control & 4 ? FP_DIVZERO : 0) | (control & 8 ? FP_OVERFLOW : 0) |
                (control & 16 ? FP_UNDERFLOW : 0) | (control & 32 ? FP_INEXACT : 0));
}

static F80Env env_of(const Machine *m)
{
    static const u8 roundings[] = {FP_NEAREST_EVEN, FP_DOWN, FP_UP, FP_TO_ZERO};
    static const u8 precisions[] = {24, 0, 53, 64};
    return f80_env(roundings[m->control >> 10 & 3], precisions[m->control >> 8 & 3],
                   (u8)~flags_of_control(m->control));
}

/* The status word after an operation, without conditions. */
static void finish(Machine *m, const F80Env *env, unsigned depth)
{
    m->status = (u16)(status_of_flags(env->fp.flags) | (env->rounded_up ? STATUS_C1 : 0) |
                      ((8 - depth) % 8) * STATUS_TOP_ONE);
    if (env->fp.flags & env->unmasked) {
        m->status |= STATUS_ERROR;
    }
}

static void set_top(Machine *m, const F80Env *env, F80 result)
{
    if (!f80_result_lost(env, F80_REGISTER)) {
        m->st[0] = result;
    }
    finish(m, env, 2);
}

static void push(Machine *m, const F80Env *env, F80 result)
{
    bool lost = f80_result_lost(env, F80_LOADED);
    if (!lost) {
        m->st[1] = m->st[0];
        m->st[0] = result;
    }
    finish(m, env, lost ? 2 : 3);
}

static void store(Machine *m, const F80Env *env, const void *value, size_t size)
{
    bool lost = f80_result_lost(env, F80_MEMORY);
    if (!lost) {
        memcpy(m->memory, value, size);
        m->st[0] = m->st[1];
        m->st[1] = (F80){0};
    }
    finish(m, env, lost ? 2 : 1);
}

static u32 memory32(const Machine *m)
{
    u32 value;
    memcpy(&value, m->memory, sizeof(value));
    return value;
}

static u64 memory64(const Machine *m)
{
    u64 value;
    memcpy(&value, m->memory, sizeof(value));
    return value;
}

/* Operands, as the expressions below name them. */
#define ST0 f80_unpack(m->st[0])
#define ST1 f80_unpack(m->st[1])
#define M_F32 f80_unpack_f32(memory32(m))
#define M_F64 f80_unpack_f64(memory64(m))
#define M_S16 f80_unpack_integer((s16)memory32(m))
#define M_S32 f80_unpack_integer((s32)memory32(m))
#define M_S64 f80_unpack_integer((s64)memory64(m))

/* How a result gets where it belongs, by the function that does it. */
#define SOFT(function, deliver, expression)                                                        \
    static void function(Machine *m)                                                               \
    {                                                                                              \
        F80Env env = env_of(m), *e = &env;                                                         \
        F80 result = expression;                                                                   \
        deliver(m, e, result);                                                                     \
    }
#define SOFT_STORE(function, type, expression)                                                     \
    static void function(Machine *m)                                                               \
    {                                                                                              \
        F80Env env = env_of(m), *e = &env;                                                         \
        type result = (type)expression;                                                            \
        store(m, e, &result, sizeof(result));                                                      \
    }

SOFT(soft_add, set_top, f80_add(e, ST0, ST1))
SOFT(soft_add_f32, set_top, f80_add(e, ST0, M_F32))
SOFT(soft_add_f64, set_top, f80_add(e, ST0, M_F64))
SOFT(soft_add_s16, set_top, f80_add(e, ST0, M_S16))
SOFT(soft_sub, set_top, f80_sub(e, ST0, ST1))
SOFT(soft_subr_f64, set_top, f80_sub(e, M_F64, ST0))
SOFT(soft_mul, set_top, f80_mul(e, ST0, ST1))
SOFT(soft_mul_f32, set_top, f80_mul(e, ST0, M_F32))
SOFT(soft_div, set_top, f80_div(e, ST0, ST1))
SOFT(soft_div_f64, set_top, f80_div(e, ST0, M_F64))
SOFT(soft_divr_s32, set_top, f80_div(e, M_S32, ST0))
SOFT(soft_sqrt, set_top, f80_sqrt(e, ST0))
SOFT(soft_round, set_top, f80_round_to_integral(e, ST0))
SOFT(soft_scale, set_top, f80_scale(e, ST0, ST1))
SOFT(soft_load_f32, push, f80_load(e, M_F32))
SOFT(soft_load_f64, push, f80_load(e, M_F64))
SOFT(soft_load_s64, push, f80_load(e, M_S64))
SOFT(soft_load_bcd, push, f80_load(e, f80_unpack_bcd(m->memory)))
SOFT_STORE(soft_store_f32, u32, f80_to_f32(e, ST0))
SOFT_STORE(soft_store_f64, u64, f80_to_f64(e, ST0))
SOFT_STORE(soft_store_s16, s16, f80_to_integer(e, ST0, e->fp.rounding, 16))
SOFT_STORE(soft_store_s32, s32, f80_to_integer(e, ST0, e->fp.rounding, 32))
SOFT_STORE(soft_store_s64, s64, f80_to_integer(e, ST0, e->fp.rounding, 64))
SOFT_STORE(soft_truncate_s16, s16, f80_to_integer(e, ST0, FP_TO_ZERO, 16))
SOFT_STORE(soft_truncate_s64, s64, f80_to_integer(e, ST0, FP_TO_ZERO, 64))

static void soft_store_bcd(Machine *m)
{
    F80Env env = env_of(m);
    u8 bcd[10];

    f80_to_bcd(&env, ST0, bcd);
    store(m, &env, bcd, sizeof(bcd));
}

/* The host's code discards ST1 first. */
static void soft_extract(Machine *m)
{
    F80Env env = env_of(m);
    F80 exponent, fraction = f80_extract(&env, ST0, &exponent);
    bool lost = f80_result_lost(&env, F80_REGISTER);

    if (!lost) {
        m->st[0] = fraction;
        m->st[1] = exponent;
    } else {
        m->st[1] = (F80){0};
    }
    finish(m, &env, lost ? 1 : 2);
}

static void remainder_of(Machine *m, bool nearest)
{
    F80Env env = env_of(m);
    F80Quotient quotient;

    set_top(m, &env, f80_remainder(&env, ST0, ST1, nearest, &quotient));
    m->status |= quotient.low_bits & 1 ? STATUS_C1 : 0;
    m->status |= quotient.low_bits & 2 ? STATUS_C3 : 0;
    m->status |= quotient.low_bits & 4 ? STATUS_C0 : 0;
    m->status |= quotient.partial ? STATUS_C2 : 0;
}

static void soft_prem(Machine *m)
{
    remainder_of(m, false);
}

static void soft_prem1(Machine *m)
{
    remainder_of(m, true);
}

static void compare(Machine *m, FpValue b, bool signalling)
{
    static const u16 conditions[] = {[FP_LESS] = STATUS_C0,
                                     [FP_EQUAL] = STATUS_C3,
                                     [FP_GREATER] = 0,
                                     [FP_UNORDERED] = STATUS_C0 | STATUS_C2 | STATUS_C3};
    F80Env env = env_of(m);
    FpRelation relation = f80_compare(&env, ST0, b, signalling);

    finish(m, &env, 2);
    m->status |= conditions[relation];
}

static void soft_com(Machine *m)
{
    compare(m, ST1, true);
}

static void soft_ucom(Machine *m)
{
    compare(m, ST1, false);
}

static void soft_com_f32(Machine *m)
{
    compare(m, M_F32, true);
}

static void soft_tst(Machine *m)
{
    compare(m, fp_zero(false), true);
}

#define ROW(name, memory)                                                                          \
    {                                                                                              \
#name, soft_##name, host_##name, memory                                                    \
    }

static const struct Row {
    const char *name;
    Operation *soft, *host;
    const OperandType *memory;
} rows[] = {
    ROW(add, NULL),
    ROW(add_f32, &operand_f32),
    ROW(add_f64, &operand_f64),
    ROW(add_s16, &operand_integer),
    ROW(sub, NULL),
    ROW(subr_f64, &operand_f64),
    ROW(mul, NULL),
    ROW(mul_f32, &operand_f32),
    ROW(div, NULL),
    ROW(div_f64, &operand_f64),
    ROW(divr_s32, &operand_integer),
    ROW(sqrt, NULL),
    ROW(round, NULL),
    ROW(scale, NULL),
    ROW(extract, NULL),
    ROW(prem, NULL),
    ROW(prem1, NULL),
    ROW(com, NULL),
    ROW(ucom, NULL),
    ROW(com_f32, &operand_f32),
    ROW(tst, NULL),
    ROW(load_f32, &operand_f32),
    ROW(load_f64, &operand_f64),
    ROW(load_s64, &operand_integer),
    ROW(load_bcd, NULL),
    ROW(store_f32, NULL),
    ROW(store_f64, NULL),
    ROW(store_s16, NULL),
    ROW(store_s32, NULL),
    ROW(store_s64, NULL),
    ROW(truncate_s16, NULL),
    ROW(truncate_s64, NULL),
    ROW(store_bcd, NULL),
};

static Machine random_machine(Operands *o, const struct Row *row)
{
    static const u16 precisions[] = {0 << 8, 2 << 8, 3 << 8};
    Machine m = {.control = 0};

    m.st[1] = random_f80(o, m.st[1]);
    m.st[0] = random_f80(o, m.st[1]);
    u64 memory[2] = {random_u64(o), random_u64(o)};
    if (row->memory) {
        memory[0] = next_operand(o, row->memory);
    }
    memcpy(m.memory, memory, sizeof(m.memory));
    if (strcmp(row->name, "load_bcd") == 0) { /* digits above 9 are undefined */
        for (unsigned i = 0; i < 9; i++) {
            m.memory[i] = (u8)(random_below(o, 10) | random_below(o, 10) << 4);
        }
    }
    u16 masks = random_below(o, 2) ? 0x3f : random_u64(o) & 0x3f;
    m.control = masks | precisions[random_below(o, 3)] | (u16)(random_below(o, 4) << 10);
    return m;
}

static bool same(const Machine *a, const Machine *b)
{
    for (unsigned i = 0; i < 2; i++) {
        if (a->st[i].significand != b->st[i].significand ||
            a->st[i].sign_exponent != b->st[i].sign_exponent) {
            return false;
        }
    }
    return a->status == b->status && memcmp(a->memory, b->memory, sizeof(a->memory)) == 0;
}

static void show(const char *what, const Machine *m)
{
    printf("#   %s st0 %04x %016lx st1 %04x %016lx memory %016lx status %04x\n", what,
           m->st[0].sign_exponent, m->st[0].significand, m->st[1].sign_exponent,
           m->st[1].significand, memory64(m), m->status);
}

static bool compare_row(const struct Row *row, u64 count)
{
    Operands random = {.state = 0x9e3779b97f4a7c15};
    unsigned failures = 0;

    for (u64 i = 0; i < count && failures < FAILURES_SHOWN; i++) {
        Machine start = random_machine(&random, row), host = start, soft = start;
        row->host(&host);
        row->soft(&soft);
        if (!same(&host, &soft)) {
            failures++;
            printf("# %s, control %04x\n", row->name, start.control);
            show("before", &start);
            show("host  ", &host);
            show("soft  ", &soft);
        }
    }
    return failures == 0;
}

int main(int argc, char **argv)
{
    u64 count = OPERANDS_PER_OPERATION * (argc > 1 ? strtoul(argv[1], NULL, 0) : 1);

    for (unsigned i = 0; i < COUNT(rows); i++) {
        OK(compare_row(&rows[i], count), "x87 %s", rows[i].name);
    }
    return tap_done();
}

#else

int main(void)
{
    printf("1..0 # SKIP compares with the x87 of an x86-64 host\n");
    return 0;
}

#endif
