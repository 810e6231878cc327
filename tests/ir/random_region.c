/* See random_region.h. */
#include <assert.h>
#include <string.h>

#include "helpers.h"
#include "ir/build.h"
#include "ir/text.h"
#include "random_region.h"

enum { MAX_TRIES = 40, POOL = 24 };

typedef struct Maker {
    const RandomRegionOptions *options;
    Random random;
    IrBuilder b;
    IrVal pool[IR_TYPE_COUNT]
              [POOL]; /* values that can be used here; a later one replaces another */
    u32 count[IR_TYPE_COUNT];
    u64 pc;
    bool put; /* since the last INSN: nothing may fault now */
} Maker;

u64 random_next(Random *random)
{
    random->state += 0x9e3779b97f4a7c15;
    u64 x = random->state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

u32 random_below(Random *random, u32 limit)
{
    return (u32)((random_next(random) >> 32) * limit >> 32);
}

static u64 interesting(Random *random)
{
    static const u64 some[] = {
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x7fffffffffffffff,
        0x8000000000000000,
        ~(u64)0,
        0x3ff0000000000000, /* 1.0 */
        0x7ff0000000000000, /* infinity, NaNs, the least number, as f64 and f32 */
        0x7ff8000000000000,
        0x7ff0000000000001,
        1,
        0x3f8000003f800000,
        0x7f8000007fc00000,
        0xff80000080000000,
    };
    u64 bits = random_next(random);

    switch (random_below(random, 8)) {
    case 0:
    case 1:
        return some[random_below(random, COUNT(some))];
    case 2:
        return bits >> random_below(random, 64);
    case 3:
        return ~(bits >> random_below(random, 64));
    case 4: /* numbers of ordinary size as floats */
        return (bits & 0x800fffffffffffff) | (u64)(0x3f0 + random_below(random, 0x20)) << 52;
    case 5:
        return (bits & 0x807fffff807fffff) | (u64)(0x78 + random_below(random, 0x10)) << 55 |
               (u64)(0x78 + random_below(random, 0x10)) << 23;
    default:
        return bits;
    }
}

void random_bytes(Random *random, void *bytes, u32 size)
{
    for (u32 i = 0; i < size; i += 8) {
        u64 value = interesting(random);
        memcpy((u8 *)bytes + i, &value, MIN(8u, size - i));
    }
}

/* -- Values */

static void add_value(Maker *m, IrVal value)
{
    IrType type = ir_type_of(&m->b, value);
    u32 count = m->count[type];

    if (count < POOL) {
        m->pool[type][m->count[type]++] = value;
    } else {
        m->pool[type][random_below(&m->random, POOL)] = value;
    }
}

static IrVal new_constant(Maker *m, IrType type)
{
    u32 size = ir_type_size(type);
    u64 low = interesting(&m->random);

    return ir_emit(&m->b, IR_CONST, type, IR_VOID, 0, 0, 0, 0,
                   size < 8 ? low & ir_mask(size * 8) : low,
                   size > 8 ? interesting(&m->random) : 0);
}

/* Slots are aligned to their size, often the same ones, sometimes parts of others. */
static u32 random_slot(Maker *m, IrType type)
{
    u32 size = ir_type_size(type), slots = m->options->state_bytes / MAX(size, 8u);
    u32 slot = random_below(&m->random, random_below(&m->random, 2) ? slots : MIN(slots, 4u));
    u32 part = size < 8 && random_below(&m->random, 4) == 0
                   ? random_below(&m->random, 8 / size) * size
                   : 0;

    return slot * MAX(size, 8u) + part;
}

static IrVal value_of(Maker *m, IrType type)
{
    u32 draw = random_below(&m->random, 8);

    if (type == IR_I128) {
        return new_constant(m, type);
    }
    if (m->count[type] && draw < 6) {
        return m->pool[type][random_below(&m->random, m->count[type])];
    }
    return draw & 1 ? new_constant(m, type) : ir_get(&m->b, type, random_slot(m, type));
}

/* -- Operations */

static IrType random_type(Maker *m, const char *classes)
{
    static const u8 ints[] = {IR_I64, IR_I32, IR_I64, IR_I32, IR_I8, IR_I16};
    static const u8 floats[] = {IR_F64, IR_F32};
    static const u8 vectors[] = {IR_V128, IR_V64, IR_V128};
    char class = classes[random_below(&m->random, (u32)strlen(classes))];

    switch (class) {
    case 'W':
        return (IrType)ints[random_below(&m->random, 2)];
    case 'F':
        return (IrType)floats[random_below(&m->random, COUNT(floats))];
    case 'V':
        return (IrType)vectors[random_below(&m->random, COUNT(vectors))];
    default:
        return (IrType)ints[random_below(&m->random, COUNT(ints))];
    }
}

static bool type_wanted(const Maker *m, IrType type)
{
    return (m->options->floats || !ir_type_is_float(type)) &&
           (m->options->vectors || !ir_type_is_vector(type));
}

static IrType arg_type_for(Maker *m, char letter, IrType own, IrType first)
{
    switch (letter) {
    case 'T':
        return own;
    case 'U':
        return first;
    case 'B':
        return IR_I32;
    case 'A':
        return IR_I64;
    case 'N':
        return random_below(&m->random, 2) ? IR_I32 : IR_I64;
    default:
        return random_type(m, m->options->vectors ? "IIFVVV" : "IIF");
    }
}

static u8 random_lane(Maker *m)
{
    static const u8 lanes[] = {IR_VOID, IR_I8, IR_I16, IR_I32, IR_I64, IR_F32, IR_F64};

    return lanes[random_below(&m->random, COUNT(lanes))];
}

/* Draws the rest of an operation once; true when the verifier likes it. */
static bool draw(Maker *m, IrInsn *insn)
{
    const IrOpInfo *info = &ir_ops[insn->op];
    IrType first = random_type(m, info->types);
    bool has_own = strchr(info->rule, 'T') != NULL, vector;

    insn->type = (u8)(has_own ? first : info->rule[0] == 'B' ? IR_I32 : IR_VOID);
    vector = ir_type_is_vector(insn->type);
    for (u32 i = 0; i < info->arg_count; i++) {
        IrType type = arg_type_for(m, info->rule[2 + i], insn->type, first);
        if (!type_wanted(m, type)) {
            return false;
        }
        vector |= ir_type_is_vector(type);
        insn->arg[i] = value_of(m, type);
    }
    insn->lane = vector ? random_lane(m) : IR_VOID;
    insn->sub = random_below(&m->random, 2) ? (u8)random_below(&m->random, 64) : 0;
    insn->imm = random_below(&m->random, 3) ? random_below(&m->random, 65) : 0;
    return type_wanted(m, insn->type) && !ir_check_insn(m->b.region, insn);
}

/* Takes back what a draw that failed has appended for its arguments. */
static void take_back(Maker *m, u32 insn_count)
{
    while (m->b.region->insn_count > insn_count) {
        ir_remove(m->b.region, m->b.block, --m->b.region->insn_count);
    }
}

/* A random operation that makes a value from values. */
static void add_operation(Maker *m)
{
    IrInsn insn;

    for (u32 i = 0; i < MAX_TRIES; i++) {
        insn = (IrInsn){.op = (u8)random_below(&m->random, IR_OP_COUNT)};
        u8 properties = ir_ops[insn.op].properties;
        if (!(properties & IR_PROP_PURE) || insn.op == IR_PHI || insn.op == IR_CONST ||
            ((properties & IR_PROP_FP) && (m->put || !m->options->floats)) ||
            (m->options->without && m->options->without((IrOp)insn.op))) {
            continue;
        }
        for (u32 t = 0; t < MAX_TRIES; t++) {
            IrInsn drawn = insn;
            u32 insn_count = m->b.region->insn_count;
            if (draw(m, &drawn)) {
                add_value(m, ir_append(m->b.region, m->b.block, &drawn));
                return;
            }
            take_back(m, insn_count);
        }
    }
}

/* An address inside the memory with room for any access, as guests compute them. */
static IrVal random_address(Maker *m, u64 *displacement)
{
    IrBuilder *b = &m->b;
    u64 mask = m->options->memory_bytes - 1;
    IrVal offset = ir_and(b, value_of(m, IR_I64), ir_const(b, IR_I64, (mask >> 2) & ~(u64)15));

    *displacement = random_below(&m->random, 3) ? random_below(&m->random, 16) * 8 : 0;
    if (random_below(&m->random, 2)) {
        offset = ir_binary(b, IR_SHL, offset, ir_const(b, IR_I32, random_below(&m->random, 2)));
    }
    IrVal at = ir_add(b, ir_const(b, IR_I64, m->options->memory), offset);
    if (random_below(&m->random, 2)) {
        at = ir_add(b, at, ir_const(b, IR_I64, random_below(&m->random, 16) * 8));
    }
    return at;
}

/* The same computed in 32 bits, for memory below 4 GiB; `wrap` whatever is added to it wraps. */
static IrVal narrow_address(Maker *m, bool *wrap)
{
    IrBuilder *b = &m->b;
    u64 mask = (m->options->memory_bytes - 1) >> 2 & ~(u64)15;
    u32 excess = (u32)random_next(&m->random);
    IrVal at = ir_and(b, value_of(m, IR_I32), ir_const(b, IR_I32, mask));

    if (random_below(&m->random, 2)) {
        at = ir_binary(b, IR_SHL, at, ir_const(b, IR_I32, random_below(&m->random, 2)));
    }
    if (random_below(&m->random, 2)) { /* wraps on the way */
        at = ir_add(b, at, ir_const(b, IR_I32, -excess & 0xffffffff));
        at = ir_add(b, ir_const(b, IR_I32, (u32)m->options->memory + excess), at);
    } else {
        at = ir_add(b, ir_const(b, IR_I32, (u32)m->options->memory), at);
    }
    *wrap = random_below(&m->random, 2);
    return ir_zext(b, IR_I64, at);
}

static void add_access(Maker *m)
{
    static const u8 atomics[] = {IR_CAS, IR_RMW};
    IrBuilder *b = &m->b;
    u32 kind = random_below(&m->random, 8);
    IrType type = random_type(m, kind < 2 || !m->options->floats ? "I"
                                 : m->options->vectors           ? "IIFV"
                                                                 : "IIF");
    u64 displacement;
    IrVal at = random_address(m, &displacement);
    u8 order = random_below(&m->random, 4) ? 0 : IR_MEM_BIG_ENDIAN;
    u8 wrap32 = 0;

    if (m->options->memory + m->options->memory_bytes <= 0xffffffff &&
        random_below(&m->random, 2)) {
        bool wrap;
        at = narrow_address(m, &wrap);
        wrap32 = wrap ? IR_MEM_WRAP32 : 0;
    }

    if (kind == 1 && m->options->vectors && random_below(&m->random, 3) == 0) {
        IrVal aligned = ir_and(b, at, ir_const(b, IR_I64, ~(u64)15));
        IrVal x =
            random_below(&m->random, 2) ? value_of(m, IR_V128) : ir_load(b, IR_V128, 0, aligned, 0);
        add_value(m,
                  ir_emit(b, IR_CAS, IR_V128, IR_VOID, 0, aligned, x, value_of(m, IR_V128), 0, 0));
    } else if (kind < 2) {
        IrVal x = value_of(m, type), y = kind == 0 ? value_of(m, type) : 0;
        add_value(m, ir_emit(b, (IrOp)atomics[kind], type, IR_VOID, wrap32, at, x, y,
                             kind ? random_below(&m->random, IR_RMW_UMIN + 1) : 0, 0));
    } else if (kind < 5) {
        ir_store(b, order | wrap32, at, (s64)displacement, value_of(m, type));
    } else {
        add_value(m, ir_load(b, type, order | wrap32, at, (s64)displacement));
    }
}

static void add_call(Maker *m)
{
    u32 index = random_below(&m->random, TEST_HELPER_COUNT);

    if (m->put && (test_helpers[index].flags & IR_HELPER_FAULTS)) {
        return;
    }
    add_value(m, ir_call(&m->b, IR_I64, index, value_of(m, IR_I64), value_of(m, IR_I64), 0, 0));
}

static void add_put(Maker *m)
{
    IrType type = random_type(m, m->options->vectors ? "IIIFV" : m->options->floats ? "IIF" : "I");

    if (type_wanted(m, type)) {
        ir_put(&m->b, random_slot(m, type), value_of(m, type));
        m->put = true;
    }
}

static void mark_insn(Maker *m)
{
    ir_mark_insn(&m->b, m->pc, 4);
    m->pc += 4;
    m->put = false;
}

/* A division as x86 has it: quotient and remainder of a number of double width, often just a
 * number with its sign or with 0 above, and whether they fit. */
static void add_division(Maker *m)
{
    IrBuilder *b = &m->b;
    bool is_signed = random_below(&m->random, 2);
    IrType type = random_type(m, "W");
    IrVal low = value_of(m, type), divisor = value_of(m, type), high, fits;

    switch (random_below(&m->random, 4)) {
    case 0:
        high = value_of(m, type);
        break;
    case 1:
        high = ir_const(b, type, 0);
        break;
    default:
        high = ir_binary(b, IR_SAR, low, ir_const(b, IR_I32, ir_type_size(type) * 8 - 1));
        break;
    }
    fits = ir_emit(b, is_signed ? IR_DIVFITS : IR_DIVFITU, IR_I32, IR_VOID, 0, high, low, divisor,
                   0, 0);
    IrVal quotient =
        ir_emit(b, is_signed ? IR_DIVS2 : IR_DIVU2, type, IR_VOID, 0, high, low, divisor, 0, 0);
    if (random_below(&m->random, 4)) {
        add_value(m, ir_emit(b, is_signed ? IR_REMS2 : IR_REMU2, type, IR_VOID, 0, high, low,
                             divisor, 0, 0));
    }
    add_value(m, quotient);
    add_value(m, fits);
}

/* What guests make most: flags and a condition on them. */
static void add_condition(Maker *m)
{
    static const u8 makers[] = {IR_FLAGS_ADD, IR_FLAGS_SUB, IR_FLAGS_SUBN, IR_FLAGS_LOGIC};
    IrOp op = (IrOp)makers[random_below(&m->random, COUNT(makers))];
    IrType type = random_type(m, "W");
    IrVal x = value_of(m, type), y = op == IR_FLAGS_LOGIC ? 0 : value_of(m, type);
    IrVal flags = ir_emit(&m->b, op, IR_I32, IR_VOID, 0, x, y, 0, 0, 0);

    if (random_below(&m->random, 3) == 0) { /* or constant flags, as Arm's CCMP */
        IrVal other = ir_const(&m->b, IR_I32, random_below(&m->random, 2) ? IR_FLAG_Z : IR_FLAG_C);
        flags = ir_select(&m->b, value_of(m, IR_I32), flags, other);
    }

    add_value(m, ir_cond(&m->b, (IrCond)random_below(&m->random, IR_COND_NP + 1), flags));
    ir_put(&m->b, random_slot(m, IR_I32), flags);
    m->put = true;
}

/* An instruction as x86 has them: a result, put, and its flags beside it. Returns the flags. */
static IrVal add_flag_setter(Maker *m, IrVal old)
{
    static const struct {
        u8 op, flags;
    } pairs[] = {
        {IR_ADD, IR_FLAGS_ADD},  {IR_SUB, IR_FLAGS_SUB},   {IR_AND, IR_FLAGS_LOGIC},
        {IR_OR, IR_FLAGS_LOGIC}, {IR_XOR, IR_FLAGS_LOGIC}, {IR_ADC, IR_FLAGS_ADC},
        {IR_SBB, IR_FLAGS_SBB},  {IR_SHL, IR_FLAGS_SHL},   {IR_SHR, IR_FLAGS_SHR},
        {IR_SAR, IR_FLAGS_SAR},  {IR_MUL, IR_FLAGS_MUL},   {IR_SUB, IR_FLAGS_SUB},
    };
    IrBuilder *b = &m->b;
    u32 pair = random_below(&m->random, COUNT(pairs));
    IrOp op = (IrOp)pairs[pair].op, flags_op = (IrOp)pairs[pair].flags;
    bool is_shift = op == IR_SHL || op == IR_SHR || op == IR_SAR;
    bool carry = op == IR_ADC || op == IR_SBB, multiply = op == IR_MUL;
    IrType type = random_type(m, "I");
    IrVal x = value_of(m, type), y, z = 0, flags, result;

    y = !is_shift                     ? value_of(m, type)
        : random_below(&m->random, 3) ? ir_const(b, IR_I32, random_below(&m->random, 5))
                                      : value_of(m, IR_I32);
    if (carry) {
        z = ir_cond(b, IR_COND_C, old);
    }
    result = ir_emit(b, op, type, IR_VOID, 0, x, y, z, 0, 0);
    if (random_below(&m->random, 4)) {
        ir_put(b, random_slot(m, type), result);
        m->put = true;
    }
    add_value(m, result);
    if (op == IR_SUB && random_below(&m->random, 8) == 0) {
        flags_op = IR_FLAGS_SUBN;
    }
    flags = ir_emit(b, flags_op, IR_I32, IR_VOID, multiply ? IR_SIGNED : 0,
                    flags_op == IR_FLAGS_LOGIC ? result : x, flags_op == IR_FLAGS_LOGIC ? 0 : y,
                    is_shift ? old : z, 0, 0);
    if (random_below(&m->random, 4) == 0) {
        flags = ir_flags_pick(b, random_below(&m->random, 2) ? IR_FLAGS & ~IR_FLAG_C : IR_FLAG_C,
                              flags, old);
    }
    return flags;
}

static void add_flag_setters(Maker *m)
{
    u32 slot = random_slot(m, IR_I32), count = 1 + random_below(&m->random, 3);
    IrBuilder *b = &m->b;

    for (u32 i = 0; i < count; i++) {
        IrVal flags = add_flag_setter(m, ir_get(b, IR_I32, slot));
        ir_put(b, slot, flags);
        m->put = true;
        if (random_below(&m->random, 2)) {
            IrVal cond = ir_cond(b, (IrCond)random_below(&m->random, IR_COND_NP + 1), flags);
            IrVal x = value_of(m, IR_I64), y = value_of(m, IR_I64);
            add_value(m, random_below(&m->random, 2) ? cond : ir_select(b, cond, x, y));
        }
        if (random_below(&m->random, 3) == 0) {
            mark_insn(m);
        }
    }
}

static void add_straight(Maker *m)
{
    u32 count =
        m->options->insns_per_block / 2 + random_below(&m->random, m->options->insns_per_block + 1);

    mark_insn(m);
    for (u32 i = 0; i < count; i++) {
        switch (random_below(&m->random, 12)) {
        case 0:
        case 1:
            add_put(m);
            break;
        case 2:
            mark_insn(m);
            break;
        case 3:
            switch (random_below(&m->random, 5)) {
            case 0:
            case 1:
                add_condition(m);
                break;
            case 2:
                add_division(m);
                break;
            default:
                add_flag_setters(m);
                break;
            }
            break;
        case 4:
            if (m->options->memory && !m->put) {
                add_access(m);
            }
            break;
        case 5:
            if (m->options->helpers && random_below(&m->random, 2)) {
                add_call(m);
            }
            break;
        default:
            add_operation(m);
            break;
        }
    }
}

/* -- Control flow. Values made inside a branch or loop body are forgotten at its end. */

static IrVal condition(Maker *m)
{
    if (random_below(&m->random, 3) == 0) {
        IrVal flags = add_flag_setter(m, ir_get(&m->b, IR_I32, random_slot(m, IR_I32)));
        ir_put(&m->b, random_slot(m, IR_I32), flags);
        return ir_cond(&m->b, (IrCond)random_below(&m->random, IR_COND_NP + 1), flags);
    }
    return ir_cmp(&m->b, (IrCmp)random_below(&m->random, IR_TSTZ + 1), value_of(m, IR_I64),
                  value_of(m, IR_I64));
}

/* A PHI of two values on edges from blocks `first` < `second`. */
static IrVal add_phi(Maker *m, IrType type, IrVal first, IrVal second)
{
    IrRegion *region = m->b.region;
    u32 args = ir_phi_args_new(region, 2);

    region->phi_args[args] = first;
    region->phi_args[args + 1] = second;
    return ir_emit(&m->b, IR_PHI, type, IR_VOID, 0, 0, 0, 0, args, 0);
}

static void forget(Maker *m, const Maker *before)
{
    memcpy(m->pool, before->pool, sizeof(m->pool));
    memcpy(m->count, before->count, sizeof(m->count));
}

static void add_diamond(Maker *m)
{
    IrRegion *region = m->b.region;
    Maker before;
    IrVal c = condition(m), x, y;
    u32 taken = ir_block_new(region), other = ir_block_new(region), join = ir_block_new(region);

    ir_branch(&m->b, c, random_below(&m->random, 2) ? taken : other, 0);
    IrBlock *from = &region->blocks[m->b.block];
    from->successor[1] = from->successor[0] == taken ? other : taken;
    before = *m;
    m->b.block = taken;
    add_straight(m);
    x = value_of(m, IR_I64);
    ir_jump(&m->b, join);
    forget(m, &before);
    m->b.block = other;
    add_straight(m);
    y = value_of(m, IR_I64);
    ir_jump(&m->b, join);
    forget(m, &before);
    m->b.block = join;
    add_value(m, add_phi(m, IR_I64, x, y));
    m->put = true; /* whatever the branches did */
}

static void add_loop(Maker *m)
{
    IrRegion *region = m->b.region;
    Maker before;
    IrVal times = ir_const(&m->b, IR_I32, 1 + random_below(&m->random, 4));
    IrVal one = ir_const(&m->b, IR_I32, 1), carried = value_of(m, IR_I64);
    u32 from = m->b.block, body = ir_block_new(region), after = ir_block_new(region);

    ir_jump(&m->b, body);
    before = *m;
    m->b.block = body;
    IrVal count = add_phi(m, IR_I32, times, 0), phi = add_phi(m, IR_I64, carried, 0);
    assert(from < body);
    add_value(m, phi);
    add_straight(m);
    IrVal left = ir_sub(&m->b, count, one), next = value_of(m, IR_I64);
    region->phi_args[ir_insn(region, count)->imm + 1] = left;
    region->phi_args[ir_insn(region, phi)->imm + 1] = next;
    ir_branch(&m->b, ir_cmp(&m->b, IR_NE, left, ir_const(&m->b, IR_I32, 0)), body, after);
    forget(m, &before);
    m->b.block = after;
    add_value(m, phi);
    m->put = true;
}

static void add_exit(Maker *m)
{
    switch (random_below(&m->random, 4)) {
    case 0:
        ir_goto(&m->b, m->pc, random_below(&m->random, 2));
        break;
    case 1:
        ir_emit(&m->b, IR_IGOTO, IR_VOID, IR_VOID, 0, value_of(m, IR_I64), 0, 0, 0, 0);
        break;
    default:
        ir_exit(&m->b, (IrExit)random_below(&m->random, IR_EXIT_YIELD + 1), m->pc,
                random_below(&m->random, 100));
        break;
    }
}

static void add_early_exit(Maker *m)
{
    IrVal c = condition(m);
    u32 leave = ir_block_new(m->b.region), stay = ir_block_new(m->b.region);

    ir_branch(&m->b, c, leave, stay);
    m->b.region->blocks[leave].cold = true;
    m->b.block = leave;
    add_exit(m);
    m->b.block = stay;
}

IrRegion *random_region(Arena *arena, u64 seed, const RandomRegionOptions *options)
{
    Maker m = {.options = options, .random = {seed}, .pc = 0x1000};

    m.b.region = ir_region_new(arena);
    m.b.region->helpers = test_helpers;
    m.b.region->helper_count = TEST_HELPER_COUNT;
    m.b.region->guest_pc = m.pc;
    m.b.region->exact_fp = options->exact_fp;
    m.b.block = ir_block_new(m.b.region);
    add_straight(&m);
    for (u32 i = 1; i < options->pieces; i++) {
        switch (random_below(&m.random, 4)) {
        case 0:
            add_diamond(&m);
            break;
        case 1:
            add_loop(&m);
            break;
        case 2:
            add_early_exit(&m);
            break;
        default:
            break;
        }
        add_straight(&m);
    }
    add_exit(&m);
    ir_link_blocks(m.b.region);
    return m.b.region;
}

IrRegion *region_copy(Arena *arena, const IrRegion *region)
{
    IrRegion *copy = ARENA_NEW(arena, IrRegion);

    *copy = *region;
    copy->arena = arena;
    copy->graph = NULL;
    copy->insns = arena_alloc(arena, region->insn_capacity * sizeof(IrInsn), 16);
    copy->blocks = arena_alloc(arena, region->block_capacity * sizeof(IrBlock), 16);
    copy->phi_args = arena_alloc(arena, region->phi_arg_capacity * sizeof(IrVal) + 1, 16);
    memcpy(copy->insns, region->insns, region->insn_count * sizeof(IrInsn));
    memcpy(copy->blocks, region->blocks, region->block_count * sizeof(IrBlock));
    if (region->phi_arg_count) {
        memcpy(copy->phi_args, region->phi_args, region->phi_arg_count * sizeof(IrVal));
    }
    return copy;
}
