/* Exclusive, ordered and atomic memory access (C4.1.96).
 *
 * Exclusives: a load remembers address and value; a store succeeds if the address is the same and
 * memory still holds the value, by a compare-and-swap. So a store by another thread that puts the
 * old value back is not noticed, which the usual uses of exclusives bear.
 * All of these accesses must be naturally aligned, as on a CPU without FEAT_LSE2. */
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/translate.h"

/* A pair in memory is one value: two words as an i64, two doublewords as a v128. */

static IrVal join(Tr *t, IrVal low, IrVal high)
{
    IrBuilder *b = t->b;

    if (ir_type_of(b, low) == IR_I64) {
        return ir_emit(b, IR_VCAT, IR_V128, IR_VOID, 0, ir_bitcast(b, IR_V64, low),
                       ir_bitcast(b, IR_V64, high), 0, 0, 0);
    }
    return ir_or(b, ir_zext(b, IR_I64, low), shift_imm(t, ir_zext(b, IR_I64, high), 0, 32));
}

/* Half 0 or 1 of such a pair. */
static IrVal half(Tr *t, IrVal pair, unsigned index)
{
    if (ir_type_of(t->b, pair) == IR_V128) {
        return ir_vector(t->b, IR_VGET, IR_I64, IR_I64, 0, pair, 0, index);
    }
    return ir_trunc(t->b, IR_I32, shift_imm(t, pair, 1, 32 * index));
}

static IrVal compare_and_swap(Tr *t, IrVal address, IrVal expected, IrVal value)
{
    IrType type = ir_type_of(t->b, value);

    address = data_address(t, address);
    if (type == IR_V128) {
        return ir_call(t->b, IR_V128, HELPER_CAS_PAIR, address, expected, value, 0);
    }
    return ir_emit(t->b, IR_CAS, type, IR_VOID, 0, address, expected, value, 0, 0);
}

/* -- Exclusives */

static void remember(Tr *t, IrVal address, IrVal low, IrVal high)
{
    ir_put(t->b, SLOT(exclusive_address), address);
    ir_put(t->b, SLOT(exclusive_value[0]), ir_zext(t->b, IR_I64, low));
    if (high) {
        ir_put(t->b, SLOT(exclusive_value[1]), high);
    }
}

void tr_ldxr(Tr *t, const A_ldxr *a)
{
    Address at = address_imm(t, a->rn, 0);
    IrVal value;

    check_alignment(t, at.base, 1u << a->size);
    value = load(t, lane_type(a->size), at, a->acquire ? IR_MEM_ACQUIRE : 0);
    remember(t, at.base, value, 0);
    put_r(t, a->rt, value);
}

void tr_ldxp(Tr *t, const A_ldxp *a)
{
    u8 order = a->acquire ? IR_MEM_ACQUIRE : 0;
    Address at = address_imm(t, a->rn, 0);
    IrVal low, high;

    check_alignment(t, at.base, a->sf ? 16 : 8);
    if (a->sf) { /* not one access: but a store succeeds only if these two values are there */
        low = load(t, IR_I64, at, order);
        high = load(t, IR_I64, address_plus(at, 8), order);
        remember(t, at.base, low, high);
    } else {
        IrVal pair = load(t, IR_I64, at, order);
        low = half(t, pair, 0);
        high = half(t, pair, 1);
        remember(t, at.base, pair, 0);
    }
    put_r(t, a->rt, low);
    put_r(t, a->rt2, high);
}

/* The remembered value as something of the type of `value`. */
static IrVal remembered(Tr *t, IrType type)
{
    IrVal low = ir_get(t->b, IR_I64, SLOT(exclusive_value[0]));

    if (type == IR_V128) {
        return join(t, low, ir_get(t->b, IR_I64, SLOT(exclusive_value[1])));
    }
    return ir_trunc(t->b, type, low);
}

/* An i32: 0 if both are equal, else 1. */
static IrVal differ(Tr *t, IrVal x, IrVal y)
{
    if (ir_type_of(t->b, x) == IR_V128) {
        IrVal bits = ir_vector(t->b, IR_XOR, IR_V128, IR_I64, 0, x, y, 0);
        x = ir_or(t->b, half(t, bits, 0), half(t, bits, 1));
        y = const_x(t, 0);
    }
    return ir_cmp(t->b, IR_NE, x, y);
}

static void store_exclusive(Tr *t, unsigned rn, unsigned rs, IrVal value, u32 size)
{
    IrVal address = get_x_sp(t, rn);
    IrVal none = const_x(t, AARCH64_EXCLUSIVE_NONE);
    u32 try, fail, done;
    IrVal expected;

    check_alignment(t, address, size);
    try = new_block(t);
    fail = new_block(t);
    done = new_block(t);
    ir_branch(t->b, ir_cmp(t->b, IR_EQ, address, ir_get(t->b, IR_I64, SLOT(exclusive_address))),
              try, fail);
    enter_block(t, try);
    expected = remembered(t, ir_type_of(t->b, value));
    put_r(t, rs, differ(t, compare_and_swap(t, address, expected, value), expected));
    ir_jump(t->b, done);
    enter_block(t, fail);
    t->b->region->blocks[fail].cold = true;
    put_r(t, rs, const_w(t, 1));
    ir_jump(t->b, done);
    enter_block(t, done);
    ir_put(t->b, SLOT(exclusive_address), none);
}

void tr_stxr(Tr *t, const A_stxr *a)
{
    store_exclusive(t, a->rn, a->rs, get_r(t, lane_type(a->size), a->rt), 1u << a->size);
}

void tr_stxp(Tr *t, const A_stxp *a)
{
    IrType type = width_type(a->sf);
    IrVal pair = join(t, get_r(t, type, a->rt), get_r(t, type, a->rt2));

    store_exclusive(t, a->rn, a->rs, pair, a->sf ? 16 : 8);
}

void tr_clrex(Tr *t, const A_clrex *a)
{
    (void)a;
    ir_put(t->b, SLOT(exclusive_address), const_x(t, AARCH64_EXCLUSIVE_NONE));
}

/* -- Ordered */

static void load_acquire(Tr *t, unsigned size, unsigned rn, unsigned rt)
{
    Address at = address_imm(t, rn, 0);

    check_alignment(t, at.base, 1u << size);
    put_r(t, rt, load(t, lane_type(size), at, IR_MEM_ACQUIRE));
}

static void store_release(Tr *t, unsigned size, unsigned rn, unsigned rt)
{
    Address at = address_imm(t, rn, 0);

    check_alignment(t, at.base, 1u << size);
    store(t, at, get_r(t, lane_type(size), rt), IR_MEM_RELEASE);
}

void tr_ldar(Tr *t, const A_ldar *a)
{
    load_acquire(t, a->size, a->rn, a->rt);
}

void tr_ldlar(Tr *t, const A_ldlar *a)
{
    load_acquire(t, a->size, a->rn, a->rt);
}

void tr_ldapr(Tr *t, const A_ldapr *a)
{
    load_acquire(t, a->size, a->rn, a->rt);
}

void tr_stlr(Tr *t, const A_stlr *a)
{
    store_release(t, a->size, a->rn, a->rt);
}

void tr_stllr(Tr *t, const A_stllr *a)
{
    store_release(t, a->size, a->rn, a->rt);
}

/* -- Atomic: always sequentially consistent, which every host does at no extra cost */

void tr_cas(Tr *t, const A_cas *a)
{
    IrType type = lane_type(a->size);
    IrVal address = get_x_sp(t, a->rn);
    IrVal expected = get_r(t, type, a->rs);
    IrVal value = get_r(t, type, a->rt);

    check_alignment(t, address, 1u << a->size);
    put_r(t, a->rs, compare_and_swap(t, address, expected, value));
}

void tr_casp(Tr *t, const A_casp *a)
{
    IrType type = width_type(a->sf);
    IrVal address = get_x_sp(t, a->rn);
    IrVal expected = join(t, get_r(t, type, a->rs), get_r(t, type, a->rs + 1u));
    IrVal value = join(t, get_r(t, type, a->rt), get_r(t, type, a->rt + 1u));
    IrVal old;

    check_alignment(t, address, a->sf ? 16 : 8);
    old = compare_and_swap(t, address, expected, value);
    put_r(t, a->rs, half(t, old, 0));
    put_r(t, a->rs + 1u, half(t, old, 1));
}

static void atomic(Tr *t, IrRmw op, unsigned size, unsigned rn, unsigned rt, IrVal operand)
{
    IrVal address = get_x_sp(t, rn);

    check_alignment(t, address, 1u << size);
    address = data_address(t, address);
    put_r(t, rt, ir_emit(t->b, IR_RMW, lane_type(size), IR_VOID, 0, address, operand, 0, op, 0));
}

void tr_ldop(Tr *t, const A_ldop *a)
{
    enum { CLEAR = 1 };
    static const u8 ops[] = {IR_RMW_ADD,  IR_RMW_AND,  IR_RMW_XOR,  IR_RMW_OR,
                             IR_RMW_SMAX, IR_RMW_SMIN, IR_RMW_UMAX, IR_RMW_UMIN};
    IrType type = lane_type(a->size);
    IrVal operand = get_r(t, type, a->rs);

    if (a->op == CLEAR) {
        operand = ir_unary(t->b, IR_NOT, type, operand);
    }
    atomic(t, (IrRmw)ops[a->op], a->size, a->rn, a->rt, operand);
}

void tr_swp(Tr *t, const A_swp *a)
{
    atomic(t, IR_RMW_XCHG, a->size, a->rn, a->rt, get_r(t, lane_type(a->size), a->rs));
}
