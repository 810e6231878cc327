/* Integer data processing (C4.1.92 to C4.1.95): general registers and flags, no memory. */
#include "guest/aarch64/translate.h"

/* -- Arithmetic */

void tr_adr(Tr *t, const A_adr *a)
{
    u64 base = a->page ? ALIGN_DOWN(t->pc, 4096) : t->pc;

    put_r(t, a->rd, const_x(t, base + (u64)a->imm));
}

/* The end of all additions and subtractions: 31 is the stack pointer where flags are not set. */
static void put_addsub(Tr *t, bool sub, bool s, unsigned rd, IrVal x, IrVal y)
{
    IrVal result = sub ? ir_sub(t->b, x, y) : ir_add(t->b, x, y);

    if (!s) {
        put_r_sp(t, rd, result);
        return;
    }
    set_flags(t,
              ir_emit(t->b, sub ? IR_FLAGS_SUBN : IR_FLAGS_ADD, IR_I32, IR_VOID, 0, x, y, 0, 0, 0));
    put_r(t, rd, result);
}

void tr_addsub_imm(Tr *t, const A_addsub_imm *a)
{
    IrType type = width_type(a->sf);

    put_addsub(t, a->sub, a->s, a->rd, get_r_sp(t, type, a->rn), ir_const(t->b, type, (u64)a->imm));
}

void tr_addsub_ext(Tr *t, const A_addsub_ext *a)
{
    IrType type = width_type(a->sf);

    put_addsub(t, a->sub, a->s, a->rd, get_r_sp(t, type, a->rn),
               extend_reg(t, type, a->rm, a->option, a->amt));
}

void tr_addsub_sh(Tr *t, const A_addsub_sh *a)
{
    IrType type = width_type(a->sf);
    IrVal x = get_r(t, type, a->rn);
    IrVal y = shift_imm(t, get_r(t, type, a->rm), a->sh, a->amt);

    if (a->s || a->rd != REG_ZERO) { /* 31 is never the stack pointer here */
        put_addsub(t, a->sub, a->s, a->rd, x, y);
    }
}

void tr_adc(Tr *t, const A_adc *a)
{
    IrType type = width_type(a->sf);
    IrVal x = get_r(t, type, a->rn);
    IrVal y = get_r(t, type, a->rm);
    IrVal c = carry(t);
    IrVal result;

    if (a->sub) { /* x - y - !C = x + ~y + C */
        y = ir_unary(t->b, IR_NOT, type, y);
    }
    result = ir_add(t->b, ir_add(t->b, x, y), ir_zext(t->b, type, c));
    if (a->s) {
        set_flags(t, ir_emit(t->b, IR_FLAGS_ADC, IR_I32, IR_VOID, 0, x, y, c, 0, 0));
    }
    put_r(t, a->rd, result);
}

void tr_madd(Tr *t, const A_madd *a)
{
    IrType type = width_type(a->sf);
    IrVal product = ir_binary(t->b, IR_MUL, get_r(t, type, a->rn), get_r(t, type, a->rm));

    put_r(t, a->rd, ir_binary(t->b, a->sub ? IR_SUB : IR_ADD, get_r(t, type, a->ra), product));
}

void tr_maddl(Tr *t, const A_maddl *a)
{
    IrOp extend = a->u ? IR_ZEXT : IR_SEXT;
    IrVal x = ir_convert(t->b, extend, IR_I64, get_w(t, a->rn));
    IrVal y = ir_convert(t->b, extend, IR_I64, get_w(t, a->rm));
    IrVal product = ir_binary(t->b, IR_MUL, x, y);

    put_r(t, a->rd, ir_binary(t->b, a->sub ? IR_SUB : IR_ADD, get_x(t, a->ra), product));
}

void tr_mulh(Tr *t, const A_mulh *a)
{
    put_r(t, a->rd, ir_binary(t->b, a->u ? IR_MULHU : IR_MULHS, get_x(t, a->rn), get_x(t, a->rm)));
}

void tr_div(Tr *t, const A_div *a)
{
    IrType type = width_type(a->sf);

    put_r(t, a->rd,
          ir_binary(t->b, a->s ? IR_DIVS : IR_DIVU, get_r(t, type, a->rn), get_r(t, type, a->rm)));
}

void tr_crc32(Tr *t, const A_crc32 *a)
{
    IrVal data = get_r(t, lane_type(a->size), a->rm);

    put_r(t, a->rd, ir_emit(t->b, IR_CRC32, IR_I32, IR_VOID, a->c, get_w(t, a->rn), data, 0, 0, 0));
}

/* -- Logic and moves */

/* opc as in the encoding: AND ORR EOR ANDS. */
static IrVal logic(Tr *t, unsigned opc, IrVal x, IrVal y)
{
    static const u8 ops[] = {IR_AND, IR_OR, IR_XOR, IR_AND};
    IrVal result = ir_binary(t->b, (IrOp)ops[opc], x, y);

    if (opc == 3) {
        set_flags(t, ir_unary(t->b, IR_FLAGS_LOGIC, IR_I32, result));
    }
    return result;
}

void tr_log_imm(Tr *t, const A_log_imm *a)
{
    IrType type = width_type(a->sf);
    IrVal result = logic(t, a->opc, get_r(t, type, a->rn), ir_const(t->b, type, (u64)a->imm));

    if (a->opc == 3) {
        put_r(t, a->rd, result);
    } else {
        put_r_sp(t, a->rd, result);
    }
}

void tr_log_sh(Tr *t, const A_log_sh *a)
{
    IrType type = width_type(a->sf);
    IrVal x = get_r(t, type, a->rn);
    IrVal y = shift_imm(t, get_r(t, type, a->rm), a->sh, a->amt);

    if (a->n) {
        y = ir_unary(t->b, IR_NOT, type, y);
    }
    put_r(t, a->rd, logic(t, a->opc, x, y));
}

void tr_mov_wide(Tr *t, const A_mov_wide *a)
{
    enum { MOVN = 0, MOVK = 3 };
    IrType type = width_type(a->sf);
    u64 value = (u64)a->imm16 << a->shift;

    if (a->opc == MOVK) {
        put_r(t, a->rd,
              ir_emit(t->b, IR_DEP, type, IR_VOID, (u8)a->shift, get_r(t, type, a->rd),
                      ir_const(t->b, type, a->imm16), 0, 16, 0));
    } else {
        put_r(t, a->rd, ir_const(t->b, type, a->opc == MOVN ? ~value : value));
    }
}

/* -- Bits */

/* Bits [low, low + width) of x, extended; x itself where that is all of it. */
static IrVal extract(Tr *t, bool is_signed, IrVal x, unsigned low, unsigned width)
{
    IrType type = ir_type_of(t->b, x);
    unsigned bits = 8 * ir_type_size(type);

    if (low + width == bits) {
        return shift_imm(t, x, is_signed ? 2 : 1, low);
    }
    return ir_emit(t->b, is_signed ? IR_EXTS : IR_EXTU, type, IR_VOID, (u8)low, x, 0, 0, width, 0);
}

/* BFM: bits of x replace some of rd. imms >= immr takes bits immr..imms of x to the low end, else
 * bits 0..imms of x go up to bit -immr modulo the width. */
static IrVal bitfield_move(Tr *t, const A_bitfield *a, IrVal x)
{
    IrType type = ir_type_of(t->b, x);
    bool down = a->imms >= a->immr;
    unsigned width = down ? a->imms - a->immr + 1u : a->imms + 1u;
    unsigned place = down ? 0 : 8 * ir_type_size(type) - a->immr;
    IrVal bits = down ? shift_imm(t, x, 1, a->immr) : x;

    if (width == 8 * ir_type_size(type)) {
        return bits;
    }
    return ir_emit(t->b, IR_DEP, type, IR_VOID, (u8)place, get_r(t, type, a->rd), bits, 0, width,
                   0);
}

void tr_bitfield(Tr *t, const A_bitfield *a)
{
    enum { SBFM = 0, BFM = 1 };
    IrType type = width_type(a->sf);
    unsigned bits = 8 * ir_type_size(type);
    IrVal x = get_r(t, type, a->rn);
    IrVal result;

    if (a->opc == BFM) {
        result = bitfield_move(t, a, x);
    } else if (a->imms >= a->immr) {
        result = extract(t, a->opc == SBFM, x, a->immr, a->imms - a->immr + 1u);
    } else if (a->imms + 1 == a->immr) { /* LSL: nothing above to cut off */
        result = shift_imm(t, x, 0, bits - a->immr);
    } else {
        result = extract(t, a->opc == SBFM, x, 0, a->imms + 1u);
        result = shift_imm(t, result, 0, bits - a->immr);
    }
    put_r(t, a->rd, result);
}

void tr_extr(Tr *t, const A_extr *a)
{
    IrType type = width_type(a->sf);
    IrVal high = get_r(t, type, a->rn);
    IrVal result;

    if (a->rn == a->rm) {
        result = shift_imm(t, high, 3, a->imms);
    } else {
        result =
            ir_emit(t->b, IR_EXTR, type, IR_VOID, 0, high, get_r(t, type, a->rm), 0, a->imms, 0);
    }
    put_r(t, a->rd, result);
}

void tr_shift_reg(Tr *t, const A_shift_reg *a)
{
    static const u8 ops[] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};
    IrType type = width_type(a->sf);

    put_r(t, a->rd,
          ir_binary(t->b, (IrOp)ops[a->sh], get_r(t, type, a->rn), get_r(t, type, a->rm)));
}

void tr_rbit(Tr *t, const A_rbit *a)
{
    IrType type = width_type(a->sf);

    put_r(t, a->rd, ir_unary(t->b, IR_BITREV, type, get_r(t, type, a->rn)));
}

/* REV16: exchanges neighbouring bytes. */
static IrVal swap_byte_pairs(Tr *t, IrVal x)
{
    IrType type = ir_type_of(t->b, x);
    IrVal mask = ir_const(t->b, type, 0x00ff00ff00ff00ff);
    IrVal high = shift_imm(t, ir_and(t->b, x, mask), 0, 8);
    IrVal low = ir_and(t->b, shift_imm(t, x, 1, 8), mask);

    return ir_or(t->b, high, low);
}

void tr_rev(Tr *t, const A_rev *a)
{
    IrType type = width_type(a->sf);
    IrVal x = get_r(t, type, a->rn);

    if (a->size == 1) {
        x = swap_byte_pairs(t, x);
    } else {
        x = ir_unary(t->b, IR_BSWAP, type, x);
        if (a->sf && a->size == 2) { /* REV32: each half by itself */
            x = shift_imm(t, x, 3, 32);
        }
    }
    put_r(t, a->rd, x);
}

void tr_clz_cls(Tr *t, const A_clz_cls *a)
{
    IrType type = width_type(a->sf);
    IrVal x = get_r(t, type, a->rn);

    if (a->cls) { /* the number of bits that equal the one above them */
        x = ir_xor(t->b, x, shift_imm(t, x, 2, 1));
        x = ir_unary(t->b, IR_CLZ, type, x);
        x = ir_sub(t->b, x, ir_const(t->b, type, 1));
    } else {
        x = ir_unary(t->b, IR_CLZ, type, x);
    }
    put_r(t, a->rd, x);
}

/* -- Conditional */

/* The packed form of an immediate NZCV. */
static u32 packed_nzcv(unsigned nzcv)
{
    return (nzcv & 8 ? IR_FLAG_N : 0) | (nzcv & 4 ? IR_FLAG_Z : 0) | (nzcv & 2 ? IR_FLAG_C : 0) |
           (nzcv & 1 ? IR_FLAG_V : 0);
}

static void compare_if(Tr *t, bool sub, unsigned cond, unsigned nzcv, IrVal x, IrVal y)
{
    IrVal holds = condition(t, cond);
    IrVal flags =
        ir_emit(t->b, sub ? IR_FLAGS_SUBN : IR_FLAGS_ADD, IR_I32, IR_VOID, 0, x, y, 0, 0, 0);

    set_flags(t, ir_select(t->b, holds, flags, const_w(t, packed_nzcv(nzcv))));
}

void tr_ccmp_reg(Tr *t, const A_ccmp_reg *a)
{
    IrType type = width_type(a->sf);

    compare_if(t, a->sub, a->cond, a->nzcv, get_r(t, type, a->rn), get_r(t, type, a->rm));
}

void tr_ccmp_imm(Tr *t, const A_ccmp_imm *a)
{
    IrType type = width_type(a->sf);

    compare_if(t, a->sub, a->cond, a->nzcv, get_r(t, type, a->rn), ir_const(t->b, type, a->imm));
}

/* CSET and CSETM, whose condition is the inverse of the encoded one: 1 or all ones if it holds. */
static IrVal condition_value(Tr *t, const A_csel *a)
{
    IrType type = width_type(a->sf);
    IrVal value = ir_zext(t->b, type, condition(t, a->cond ^ 1u));

    return a->inv ? ir_unary(t->b, IR_NEG, type, value) : value;
}

void tr_csel(Tr *t, const A_csel *a)
{
    IrType type = width_type(a->sf);
    IrVal holds, x, y;

    if (a->rn == REG_ZERO && a->rm == REG_ZERO && a->inv != a->inc && a->cond < 14) {
        put_r(t, a->rd, condition_value(t, a));
        return;
    }
    holds = condition(t, a->cond);
    x = get_r(t, type, a->rn);
    y = get_r(t, type, a->rm);
    if (a->inv && a->inc) {
        y = ir_unary(t->b, IR_NEG, type, y);
    } else if (a->inv) {
        y = ir_unary(t->b, IR_NOT, type, y);
    } else if (a->inc) {
        y = ir_add(t->b, y, ir_const(t->b, type, 1));
    }
    put_r(t, a->rd, ir_select(t->b, holds, x, y));
}
