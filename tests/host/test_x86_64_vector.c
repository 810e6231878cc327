/* Every operation on vectors, with every lane, sub operation and some immediates that the verifier
 * admits, in the x86-64 host's code against ir_eval(): on random and special operands, in
 * registers and in memory, with and without the CPU's extensions.
 *
 * An operation may trap where its evaluation is invalid or an operand is a NaN; then the state must
 * be untouched. The last lines say which forms have no code of their own and go through ir_eval.
 * MENURA_TEST_VERBOSE shows operands and results of those that fail; an argument selects an
 * operation by name. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "../random.h"
#include "../tap.h"
#include "host/x86_64/x86_64.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/text.h"

enum {
    STATE_BYTES = 256,
    RESULT = 0x30,      /* where results go: */
    RESULT_WIDE = 0x40, /* zero-extended to the slot */
    OPERAND_AGAIN = 0x50,
    CACHE_BYTES = 1 << 16,
    PC = 0x1000,
};

/* How a form's operands are made and its result is used. */
typedef enum Shape {
    SHAPE_PLAIN,
    SHAPE_SAME,       /* all operands of the same type are the same value */
    SHAPE_CLEAN,      /* v64 operands come from memory of 8 bytes, not as part of a v128 */
    SHAPE_LIVE,       /* operand 0 is used again */
    SHAPE_IN_PLACE,   /* the result goes to the slot of operand 0 */
    SHAPE_ACCUMULATE, /* or of the last operand */
    SHAPE_COUNT,
} Shape;

/* Slots that are pinned: none, those of operands and results, or as many others as there can be,
 * which leaves six temporaries. */
typedef enum Pins { PIN_NONE, PIN_OPERANDS, PIN_OTHERS } Pins;

static const struct {
    const char *name;
    u32 features;
    u8 pins;
} machines[] = {
    {"all features", ~0u, PIN_OPERANDS},
    {"all features, six temporaries", ~0u, PIN_OTHERS},
    {"all features, no pinned slots", ~0u, PIN_NONE},
    {"no AVX", X86_SHA | X86_AES | X86_PCLMUL, PIN_OPERANDS},
    {"no AVX, six temporaries", X86_SHA | X86_AES | X86_PCLMUL, PIN_OTHERS},
    {"no AVX or more", 0, PIN_NONE},
    {"AVX without more", X86_AVX, PIN_OPERANDS},
};

static const IrSlot slots[] = {
    {"q0", 0x00, IR_V128},  {"q1", 0x10, IR_V128},  {"q2", 0x20, IR_V128},  {"q3", 0x30, IR_V128},
    {"q4", 0x40, IR_V128},  {"q5", 0x50, IR_V128},  {"q6", 0x60, IR_V128},  {"q7", 0x70, IR_V128},
    {"q8", 0x80, IR_V128},  {"q9", 0x90, IR_V128},  {"q10", 0xa0, IR_V128}, {"q11", 0xb0, IR_V128},
    {"q12", 0xc0, IR_V128}, {"q13", 0xd0, IR_V128}, {"q14", 0xe0, IR_V128}, {"q15", 0xf0, IR_V128},
};
enum { OPERAND_SLOTS = 6 };

typedef struct Test {
    struct {
        CpuCommon common;
        u8 state[STATE_BYTES];
    } cpu __attribute__((aligned(64)));
    u8 *caches[COUNT(machines)];
    const u8 *cache, *code;
    Arena arena;
    HostBlock block;
    u64 random;
    u32 runs; /* per form and machine */
    bool trapped;
    u32 wrong, forms;
    u32 total[IR_OP_COUNT][IR_TYPE_COUNT][IR_TYPE_COUNT]; /* by operation, type, lane */
    u32 by_eval[IR_OP_COUNT][IR_TYPE_COUNT][IR_TYPE_COUNT];
} Test;

static Test *test; /* for the signal handler */

static void on_trap(int signal, siginfo_t *info, void *ucontext)
{
    HostFault fault = {.ucontext = ucontext,
                       .code = test->code,
                       .side_table = test->block.side_table,
                       .side_table_size = test->block.side_table_size};

    (void)signal;
    (void)info;
    if (!host_x86_64.recover(test->cpu.state, &fault) || fault.pc != PC) {
        abort();
    }
    host_x86_64.abandon(test->cpu.state, test->cache, ucontext);
    test->trapped = true;
}

/* -- Operands */

static u64 random_u64(Test *t)
{
    return random_next(&t->random);
}

static u64 random_int(Test *t, u32 bits)
{
    u64 sign = (u64)1 << (bits - 1);
    const u64 special[] = {0, 1, ~(u64)0, sign, sign - 1, sign + 1, bits, -(u64)bits};
    u64 r = random_u64(t);

    switch (r % 4) {
    case 0:
        return special[r / 4 % COUNT(special)];
    case 1:
        return (u64)(s64)(s8)(r / 4 % 160 - 80);
    default:
        return random_u64(t);
    }
}

static u64 random_float(Test *t, u32 bits)
{
    static const u32 f32[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000,
                              0x3fc00000, 0x40200000, 0xc0200000, 0x7f800000, 0xff800000,
                              0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x4f000000,
                              0xcf000000, 0x4effffff, 0x4b000001, 0x40000000, 0x34000000};
    static const u32 f32_nan[] = {0x7fc00000, 0xffc12345, 0x7fd00001, 0x7fa00000};
    u64 r = random_u64(t), mantissa = random_u64(t) & random_u64(t);
    bool nan = r % 64 == 0;
    u32 x = nan ? f32_nan[r / 64 % COUNT(f32_nan)] : f32[r / 64 % COUNT(f32)];

    if (!nan && r % 3 == 0) { /* of middling size */
        return bits == 32 ? (mantissa & 0x807fffff) + (0x3f800000 - ((r / 3 % 40 - 20) << 23))
                          : (mantissa & 0x800fffffffffffff) + 0x3ff0000000000000 -
                                ((r / 3 % 120 - 60) << 52);
    }
    if (bits == 32) {
        return x;
    }
    /* The same in the wider format, roughly: subnormals become normal, so add one now and then. */
    FpEnv env = {0};
    return r % 61 == 0 ? random_u64(t) >> 12 : nan ? (u64)x << 32 | 5 : f32_to_f64(&env, x);
}

static void random_operand(Test *t, const IrInsn *insn, u8 bytes[16])
{
    u32 size = MAX(ir_type_size((IrType)insn->lane), 1u);
    bool is_float = insn->lane == IR_F32 || insn->lane == IR_F64;
    u8 wide = (u8)(random_u64(t) % 4 == 0);

    if (!insn->lane && insn->op == IR_FCVT16) {
        size = 4;
        is_float = insn->type == IR_V64;
    }
    if (!is_float && wide && size < 8) { /* operands of double width */
        size *= 2;
    }
    for (u32 i = 0; i < 16; i += size) {
        u64 lane = is_float ? random_float(t, size * 8) : random_int(t, size * 8);
        memcpy(bytes + i, &lane, size);
    }
}

/* -- Regions */

static IrVal operand(IrBuilder *b, IrType type, u32 index, bool clean)
{
    u32 offset = index * 16;

    if (type == IR_V64 && !clean) {
        return ir_trunc(b, IR_V64, ir_get(b, IR_V128, offset));
    }
    return ir_get(b, type, offset);
}

static u32 result_slot(const IrInsn *form, const u8 types[3], Shape shape)
{
    bool wide = form->type == IR_V128;
    u32 last = types[2] ? 2 : types[1] ? 1 : 0;

    return shape == SHAPE_IN_PLACE && wide     ? 0
           : shape == SHAPE_ACCUMULATE && wide ? last * 16
                                               : RESULT;
}

static IrRegion *make_region(Test *t, const IrInsn *form, const u8 types[3], Shape shape)
{
    IrRegion *region = ir_region_new(&t->arena);
    IrBuilder builder = {region, ir_block_new(region)}, *b = &builder;
    IrInsn insn = *form;

    region->guest_pc = PC;
    ir_mark_insn(b, PC, 4);
    for (u32 i = 0; i < 3 && types[i]; i++) {
        insn.arg[i] = shape == SHAPE_SAME && i && types[i] == types[0]
                          ? insn.arg[0]
                          : operand(b, (IrType)types[i], i, shape == SHAPE_CLEAN);
    }
    IrVal result = ir_append(region, 0, &insn);
    if (shape == SHAPE_LIVE) {
        ir_put(b, OPERAND_AGAIN, insn.arg[0]);
    }
    ir_put(b, result_slot(form, types, shape), result);
    if (form->type == IR_V64 || form->type == IR_F32 || form->type == IR_F64) {
        ir_put(b, RESULT_WIDE, ir_zext(b, IR_V128, result));
    } else if (form->type != IR_V128) {
        ir_put(b, RESULT_WIDE, ir_zext(b, IR_I64, result));
    }
    ir_exit(b, IR_EXIT_SYSCALL, PC + 4, 0);
    ir_link_blocks(region);
    return region;
}

static bool calls_eval(const Test *t)
{
    const u8 *stub = t->cache + cache_header(t->cache)->stub[STUB_EVAL];

    for (u32 i = 0; i + 5 <= t->block.size; i++) {
        s32 distance;
        memcpy(&distance, t->code + i + 1, 4);
        if (t->code[i] == 0xe8 && t->code + i + 5 + distance == stub) {
            return true;
        }
    }
    return false;
}

/* -- Comparison */

/* Whether the lane is a NaN, or at least an infinity. */
static bool is_special(const u8 *bytes, u32 size, bool infinity)
{
    u64 lane = 0, limit = size == 4 ? 0x7f800000 : 0x7ff0000000000000;

    memcpy(&lane, bytes, size);
    lane &= ~((u64)1 << (size * 8 - 1));
    return lane > limit || (infinity && lane == limit);
}

/* Any operation may trap on what is invalid or NaN, some on infinities: those that know
 * 0 * infinity, and rounding with ties away. */
static bool may_trap(const IrInsn *form, const u8 types[3], const u8 *state, const FpEnv *env)
{
    u32 size = form->lane == IR_F64 ? 8 : 4;
    bool infinity = form->op == IR_FMULX || form->op == IR_FRECPS || form->op == IR_FROUND;

    for (u32 i = 0; i < 3 && types[i]; i++) {
        for (u32 at = 0; at < ir_type_size((IrType)types[i]); at += size) {
            if (is_special(state + i * 16 + at, size, infinity)) {
                return true;
            }
        }
    }
    return env->flags & FP_INVALID;
}

/* The state that the region must leave. */
static void evaluate(const IrInsn *form, const u8 types[3], Shape shape, const u8 *start, u8 *state,
                     FpEnv *env)
{
    IrWord args[3] = {{0}}, result;
    IrInsn insn = *form;
    u32 size = ir_type_size((IrType)form->type);

    for (u32 i = 0; i < 3 && types[i]; i++) {
        bool same = shape == SHAPE_SAME && types[i] == types[0];
        memcpy(&args[i], start + (same ? 0 : i * 16), ir_type_size((IrType)types[i]));
        insn.arg[i] = 1;
    }
    ir_eval(&insn, types, args, &result, env);
    memcpy(state, start, STATE_BYTES);
    if (shape == SHAPE_LIVE) {
        memcpy(state + OPERAND_AGAIN, start, ir_type_size((IrType)types[0]));
    }
    memcpy(state + result_slot(form, types, shape), &result, size);
    if (form->type == IR_V64 || form->type == IR_F32 || form->type == IR_F64) {
        memcpy(state + RESULT_WIDE, &result, 16);
    } else if (form->type != IR_V128) {
        memcpy(state + RESULT_WIDE, &result, 8);
    }
}

static void show(const char *what, const u8 *state, u32 offset)
{
    u64 x[2];

    memcpy(x, state + offset, 16);
    printf("#   %-8s [%02x] %016llx %016llx\n", what, offset, (unsigned long long)x[1],
           (unsigned long long)x[0]);
}

static void report(Test *t, u32 machine, const IrRegion *region, Shape shape, const u8 *start,
                   const u8 *wanted, const FpEnv *env)
{
    if (++t->wrong > 40) {
        return;
    }
    printf("# wrong: %s, shape %d, rounding %u%s, flags %x wanted %x\n", machines[machine].name,
           shape, env->rounding, t->trapped ? ", trapped" : "", t->cpu.common.fp.flags, env->flags);
    if (!getenv("MENURA_TEST_VERBOSE")) {
        return;
    }
    ir_print(region, stdout);
    for (u32 i = 0; i < 0x60; i += 16) {
        show("start", start, i);
        if (memcmp(t->cpu.state + i, wanted + i, 16)) {
            show("wanted", wanted, i);
            show("got", t->cpu.state, i);
        }
    }
}

/* Estimates differ between CPUs: both within 1.5 * 2^-12 of the truth, and what is hardly a normal
 * number may have become 0. */
static bool is_close(const u8 *got, const u8 *wanted)
{
    for (u32 i = 0; i < STATE_BYTES; i += 4) {
        float x, y;
        memcpy(&x, got + i, 4);
        memcpy(&y, wanted + i, 4);
        if (memcmp(&x, &y, 4) && !(fabsf(x - y) <= 3.0f / 4096 * fabsf(y) + 0x1p-125f)) {
            return false;
        }
    }
    return true;
}

static bool is_right(const Test *t, const IrInsn *form, const u8 *wanted, const FpEnv *env)
{
    bool estimate = form->op == IR_FRCP || form->op == IR_FRSQRT;
    bool same =
        estimate ? is_close(t->cpu.state, wanted) : !memcmp(t->cpu.state, wanted, STATE_BYTES);

    return same && t->cpu.common.fp.flags == env->flags;
}

static bool run_once(Test *t, u32 machine, const IrInsn *form, const u8 types[3], Shape shape,
                     const IrRegion *region)
{
    CpuCommon *common = &t->cpu.common;
    u8 start[STATE_BYTES], wanted[STATE_BYTES];
    FpEnv env = {.rounding = random_u64(t) % 4, .tininess_after_rounding = true};

    for (u32 i = 0; i < STATE_BYTES; i += 16) {
        random_operand(t, form, start + i);
    }
    memcpy(t->cpu.state, start, STATE_BYTES);
    common->fp = env;
    host_x86_64.set_fp(common);
    t->trapped = false;
    host_x86_64.enter(t->cpu.state, t->cache, t->code);
    evaluate(form, types, shape, start, wanted, &env);
    bool right;
    if (t->trapped) {
        right = may_trap(form, types, start, &env) && !memcmp(t->cpu.state, start, STATE_BYTES);
        memcpy(wanted, start, STATE_BYTES);
    } else {
        right = is_right(t, form, wanted, &env);
    }
    if (!right) {
        report(t, machine, region, shape, start, wanted, &env);
    }
    return right;
}

static HostConfig config_of(u32 machine)
{
    HostConfig config = {.code_shift = 2};

    if (machines[machine].pins == PIN_OPERANDS) {
        config.hot_vector = slots;
        config.hot_vector_count = OPERAND_SLOTS;
    } else if (machines[machine].pins == PIN_OTHERS) {
        config.hot_vector = slots + OPERAND_SLOTS;
        config.hot_vector_count = COUNT(slots) - OPERAND_SLOTS;
    }
    return config;
}

static void check_form(Test *t, const IrInsn *form, const u8 types[3])
{
    u32 types_seen = form->type > IR_F64 ? form->type : types[0];
    bool ok = true;

    t->forms++;
    for (u32 machine = 0; machine < COUNT(machines); machine++) {
        HostConfig config = config_of(machine);
        t->cache = t->caches[machine];
        t->code = t->cache + CACHE_BYTES / 2;
        for (Shape shape = 0; shape < SHAPE_COUNT && ok; shape++) {
            arena_reset(&t->arena);
            IrRegion *region = make_region(t, form, types, shape);
            memset((u8 *)(uintptr_t)t->code, 0, 4096); /* calls_eval() looks at padding, too */
            if (host_x86_64.compile(region, &config, (u8 *)(uintptr_t)t->cache,
                                    (u8 *)(uintptr_t)t->code, CACHE_BYTES / 2, &t->arena,
                                    &t->block)) {
                abort();
            }
            if (machine == 0 && shape == 0) {
                t->total[form->op][types_seen][form->lane]++;
                t->by_eval[form->op][types_seen][form->lane] += calls_eval(t);
            }
            for (u32 i = 0; i < t->runs && ok; i++) {
                ok = run_once(t, machine, form, types, shape, region);
            }
        }
    }
}

/* -- Enumeration */

static bool is_moved_by_others(IrOp op)
{
    return op == IR_CONST || op == IR_COPY || op == IR_TRUNC || op == IR_ZEXT || op == IR_BITCAST ||
           op == IR_SELECT || op == IR_PHI;
}

/* Whether the verifier admits the form, and a vector takes part. */
static bool is_valid(IrRegion *region, IrInsn *form, const u8 types[3])
{
    bool vector = form->type >= IR_V64;

    for (u32 i = 0; i < 3; i++) {
        form->arg[i] = types[i]; /* value n of the region has type n */
        vector |= types[i] >= IR_V64;
    }
    return vector && !ir_check_insn(region, form);
}

static void check_immediates(Test *t, IrRegion *region, IrInsn *form, const u8 types[3])
{
    static const u8 immediates[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  12, 14,
                                    15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 255};

    for (u32 sub = 0; sub < 32; sub++) {
        for (u32 i = 0; i < COUNT(immediates); i++) {
            form->sub = (u8)sub;
            form->imm = immediates[i];
            bool skip = (form->op == IR_FTOI || form->op == IR_ITOF) && i % 6;
            if (!skip && is_valid(region, form, types)) {
                check_form(t, form, types);
            }
        }
    }
}

static void check_types(Test *t, IrRegion *region, IrInsn *form)
{
    static const u8 all[] = {IR_I8, IR_I16, IR_I32, IR_I64, IR_F32, IR_F64, IR_V64, IR_V128};
    const char *args = ir_ops[form->op].rule + 2;
    u8 types[4] = {0};
    bool any[2] = {args[0] == 'X', args[0] && args[1] == 'X'};

    for (u32 i = 0; args[i]; i++) {
        types[i] = form->type;
    }
    for (u32 i = 0; i < (any[0] ? COUNT(all) : 1); i++) {
        types[0] = any[0] ? all[i] : types[0];
        for (u32 k = 0; k < (any[1] ? COUNT(all) : 1); k++) {
            types[1] = any[1] ? all[k] : types[1];
            check_immediates(t, region, form, types);
        }
    }
}

static void check_operation(Test *t, IrRegion *region, IrOp op)
{
    static const u8 lanes[] = {IR_VOID, IR_I8, IR_I16, IR_I32, IR_I64, IR_F32, IR_F64};
    u32 before = t->forms, wrong = t->wrong;

    for (IrType type = IR_I8; type <= IR_V128; type++) {
        for (u32 i = 0; i < COUNT(lanes); i++) {
            IrInsn form = {.op = (u8)op, .type = (u8)type, .lane = lanes[i]};
            check_types(t, region, &form);
        }
    }
    if (t->forms > before) {
        OK(t->wrong == wrong, "%s: %u forms", ir_ops[op].text, t->forms - before);
    }
}

/* A region in which value n has type n, for ir_check_insn(). */
static IrRegion *typed_values(Arena *arena)
{
    IrRegion *region = ir_region_new(arena);

    ir_block_new(region);
    for (IrType type = IR_I8; type <= IR_V128; type++) {
        ir_append(region, 0, &(IrInsn){.op = IR_GET, .type = (u8)type});
    }
    return region;
}

static void print_coverage(const Test *t)
{
    for (u32 op = 0; op < IR_OP_COUNT; op++) {
        for (u32 type = 0; type < IR_TYPE_COUNT; type++) {
            for (u32 lane = 0; lane < IR_TYPE_COUNT; lane++) {
                if (t->by_eval[op][type][lane]) {
                    printf("# by ir_eval: %s.%s%s%s, %u of %u forms\n", ir_ops[op].text,
                           ir_type_name((IrType)type), lane ? "." : "",
                           lane ? ir_type_name((IrType)lane) : "", t->by_eval[op][type][lane],
                           t->total[op][type][lane]);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    static Test the_test;
    static u8 stack[65536];
    static JumpEntry table[1 << JUMP_TABLE_BITS];
    Test *t = test = &the_test;
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    Arena types_arena = {0};

    t->runs = getenv("MENURA_TEST_FULL") ? 100 : 8;
    sigaltstack(&alternative, NULL);
    sigaction(SIGFPE, &action, NULL);
    if (host_x86_64.cpu_init(&t->cpu.common)) {
        abort();
    }
    t->cpu.common.jump_table = table;
    for (u32 i = 0; i < COUNT(machines); i++) {
        HostConfig config = config_of(i);
        t->caches[i] = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        x86_limit_features(machines[i].features);
        host_x86_64.begin_cache(t->caches[i], CACHE_BYTES / 2, &config);
    }
    IrRegion *region = typed_values(&types_arena);
    for (u32 op = 0; op < IR_OP_COUNT; op++) {
        bool pure = ir_ops[op].properties & IR_PROP_PURE;
        if (pure && !is_moved_by_others((IrOp)op) &&
            (argc < 2 || !strcmp(argv[1], ir_ops[op].text))) {
            check_operation(t, region, (IrOp)op);
        }
    }
    print_coverage(t);
    for (u32 i = 0; i < COUNT(machines); i++) {
        munmap(t->caches[i], CACHE_BYTES);
    }
    host_x86_64.cpu_free(&t->cpu.common);
    arena_free(&types_arena);
    arena_free(&t->arena);
    return tap_done();
}
