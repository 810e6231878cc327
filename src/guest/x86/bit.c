/* Bits: tests, scans, counts, and the bit fields of BMI1 and BMI2. */
#include "guest/x86/arguments.h"
#include "guest/x86/internal.h"

static unsigned width_of(Tr *t, IrVal x)
{
    return 8 * ir_type_size(ir_type_of(t->b, x));
}

static IrVal logic_flags(Tr *t, IrVal x)
{
    return ir_unary(t->b, IR_FLAGS_LOGIC, IR_I32, x);
}

/* Flags whose C says whether x is less than 1, that is, 0. */
static IrVal carry_if_zero(Tr *t, IrVal x)
{
    return ir_emit(t->b, IR_FLAGS_SUB, IR_I32, IR_VOID, 0, x,
                   ir_const(t->b, ir_type_of(t->b, x), 1), 0, 0, 0);
}

/* -- BT, BTS, BTR, BTC: t->arg is BIT_TEST... */

/* x with the bit of `mask` changed. */
static IrVal change_bit(Tr *t, IrVal x, IrVal mask)
{
    switch (t->arg) {
    case BIT_SET:
        return ir_or(t->b, x, mask);
    case BIT_RESET:
        return ir_binary(t->b, IR_ANDN, x, mask);
    default:
        return ir_xor(t->b, x, mask);
    }
}

static IrVal change_bit_atomically(Tr *t, IrVal address, IrVal mask)
{
    switch (t->arg) {
    case BIT_SET:
        return atomic(t, IR_RMW_OR, address, mask);
    case BIT_RESET:
        return atomic(t, IR_RMW_AND, address, ir_unary(t->b, IR_NOT, ir_type_of(t->b, mask), mask));
    default:
        return atomic(t, IR_RMW_XOR, address, mask);
    }
}

/* 1 << bit modulo the width. */
static IrVal bit_mask(Tr *t, IrType type, IrVal bit)
{
    return ir_binary(t->b, IR_SHL, ir_const(t->b, type, 1), bit);
}

/* The address of the word in memory that holds the bit: a register counts on from the operand, in
 * both directions. */
static IrVal bit_address(Tr *t, IrType type, IrVal bit, bool write)
{
    unsigned size = ir_type_size(type), log2 = (unsigned)__builtin_ctz(8 * size);
    IrVal address = effective_address(t);
    IrType address_width = ir_type_of(t->b, address);
    IrVal words;

    if (t->i->operand[1].kind == X86_OPERAND_GPR) {
        words = ir_binary(t->b, IR_SAR, bit, const32(t, log2));
        words = ir_type_of(t->b, words) < address_width ? ir_sext(t->b, address_width, words)
                                                        : ir_trunc(t->b, address_width, words);
        words = ir_binary(t->b, IR_SHL, words, const32(t, log2 - 3));
        address = ir_add(t->b, address, words);
    }
    return linear_address(t, t->i->memory.segment, address, size, write);
}

/* The bit's number as a type that counts may have. */
static IrVal as_count(Tr *t, IrVal bit)
{
    return ir_type_of(t->b, bit) < IR_I32 ? ir_zext(t->b, IR_I32, bit) : bit;
}

void tr_bit_test(Tr *t)
{
    IrType type = type_of_operand(t, 0);
    IrVal bit = read_operand(t, 1, type), count = as_count(t, bit), old, address = 0;
    bool locked = t->i->prefixes & X86_PREFIX_LOCK;

    if (is_memory(t, 0)) {
        address = bit_address(t, type, bit, t->arg != BIT_TEST);
    }
    if (locked) {
        watch_linear(t, address, ir_type_size(type), true);
        old = change_bit_atomically(t, address, bit_mask(t, type, count));
    } else {
        old = address ? load_linear(t, type, address, 0) : read_operand(t, 0, type);
    }
    if (t->arg != BIT_TEST && !locked) {
        IrVal changed = change_bit(t, old, bit_mask(t, type, count));
        if (address) {
            store_linear(t, address, 0, changed);
        } else {
            write_operand(t, 0, changed);
        }
    }
    set_flags(t, pick_flags(t, IR_FLAG_C,
                            ir_emit(t->b, IR_FLAGS_BT, IR_I32, IR_VOID, 0, old, count, 0, 0, 0),
                            get_flags(t)));
}

/* -- Scans and counts */

/* The number of the highest one, of x that is not 0. */
static IrVal highest_bit(Tr *t, IrVal x)
{
    IrType type = ir_type_of(t->b, x);

    return ir_xor(t->b, ir_unary(t->b, IR_CLZ, type, x), ir_const(t->b, type, width_of(t, x) - 1));
}

/* A source of 0 leaves the destination alone: all 64 bits of it. */
static void scan(Tr *t, IrVal number)
{
    IrVal x = t->src[1];
    IrVal found = ir_cmp(t->b, IR_NE, x, ir_const(t->b, ir_type_of(t->b, x), 0));
    unsigned n = t->i->operand[0].number;

    if (t->i->operand_size == 2) {
        t->out = ir_select(t->b, found, number, t->src[0]);
    } else {
        t->out = ir_select(t->b, found, ir_zext(t->b, IR_I64, number), get_gpr(t, IR_I64, n));
    }
    t->flags_out = logic_flags(t, x);
}

void tr_BSF(Tr *t)
{
    scan(t, ir_unary(t->b, IR_CTZ, ir_type_of(t->b, t->src[1]), t->src[1]));
}

void tr_BSR(Tr *t)
{
    scan(t, highest_bit(t, t->src[1]));
}

static void count_zeros(Tr *t, IrOp op)
{
    IrVal x = t->src[0];

    t->out = ir_unary(t->b, op, ir_type_of(t->b, x), x);
    t->flags_out = pick_flags(t, IR_FLAG_C, carry_if_zero(t, x), logic_flags(t, t->out));
}

void tr_TZCNT(Tr *t)
{
    count_zeros(t, IR_CTZ);
}

void tr_LZCNT(Tr *t)
{
    count_zeros(t, IR_CLZ);
}

void tr_POPCNT(Tr *t)
{
    IrVal x = t->src[0];

    t->out = ir_unary(t->b, IR_POPCNT, ir_type_of(t->b, x), x);
    t->flags_out = pick_flags(t, IR_FLAG_Z, logic_flags(t, x), const32(t, 0));
}

/* -- Lowest ones */

static IrVal minus_one(Tr *t, IrVal x)
{
    return ir_sub(t->b, x, ir_const(t->b, ir_type_of(t->b, x), 1));
}

void tr_BLSR(Tr *t)
{
    IrVal x = t->src[0];

    t->out = ir_and(t->b, x, minus_one(t, x));
    t->flags_out = pick_flags(t, IR_FLAG_C, carry_if_zero(t, x), logic_flags(t, t->out));
}

void tr_BLSMSK(Tr *t)
{
    IrVal x = t->src[0];

    t->out = ir_xor(t->b, x, minus_one(t, x));
    t->flags_out = pick_flags(t, IR_FLAG_C, carry_if_zero(t, x), logic_flags(t, t->out));
}

void tr_BLSI(Tr *t)
{
    IrVal x = t->src[0], zero = ir_const(t->b, ir_type_of(t->b, x), 0);
    IrVal negated = ir_sub(t->b, zero, x);
    IrVal flags = ir_emit(t->b, IR_FLAGS_SUB, IR_I32, IR_VOID, 0, zero, x, 0, 0, 0);

    t->out = ir_and(t->b, x, negated);
    t->flags_out = pick_flags(t, IR_FLAG_C, flags, logic_flags(t, t->out));
}

/* -- Fields */

/* The low `count` (i32, below 256) bits of x; all of it where there are no more. */
static IrVal low_bits(Tr *t, IrVal x, IrVal count)
{
    IrType type = ir_type_of(t->b, x);
    IrVal ones = ir_binary(t->b, IR_SHL, ir_const(t->b, type, ~(u64)0), count);
    IrVal less = ir_cmp(t->b, IR_ULT, count, const32(t, width_of(t, x)));

    return ir_select(t->b, less, ir_binary(t->b, IR_ANDN, x, ones), x);
}

static IrVal byte_of(Tr *t, IrVal x, unsigned low)
{
    IrVal word = ir_trunc(t->b, IR_I32, x);

    return ir_emit(t->b, IR_EXTU, IR_I32, IR_VOID, (u8)low, word, 0, 0, 8, 0);
}

void tr_BZHI(Tr *t)
{
    IrVal x = t->src[0], count = byte_of(t, t->src[1], 0);
    IrVal limit = const32(t, width_of(t, x) - 1);
    IrVal beyond =
        ir_emit(t->b, IR_FLAGS_SUB, IR_I32, IR_VOID, 0, limit, count, 0, 0, 0); /* borrows */

    t->out = low_bits(t, x, count);
    t->flags_out = pick_flags(t, IR_FLAG_C, beyond, logic_flags(t, t->out));
}

void tr_BEXTR(Tr *t)
{
    IrVal x = t->src[0], start = byte_of(t, t->src[1], 0), length = byte_of(t, t->src[1], 8);
    IrVal inside = ir_cmp(t->b, IR_ULT, start, const32(t, width_of(t, x)));
    IrVal zero = ir_const(t->b, ir_type_of(t->b, x), 0);
    IrVal shifted = ir_select(t->b, inside, ir_binary(t->b, IR_SHR, x, start), zero);

    t->out = low_bits(t, shifted, length);
    t->flags_out = logic_flags(t, t->out);
}

void tr_PDEP(Tr *t)
{
    t->out = ir_binary(t->b, IR_PDEP, t->src[0], t->src[1]);
}

void tr_PEXT(Tr *t)
{
    t->out = ir_binary(t->b, IR_PEXT, t->src[0], t->src[1]);
}

/* CRC32C of a byte up to a quadword. */
void tr_CRC32(Tr *t)
{
    IrVal sum = ir_trunc(t->b, IR_I32, t->src[0]);

    t->out = ir_emit(t->b, IR_CRC32, IR_I32, IR_VOID, 1, sum, t->src[1], 0, 0, 0);
}
