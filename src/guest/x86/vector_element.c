/* MMX, SSE and AVX: single elements: insertion, extraction, broadcast; and widening moves. */
#include "guest/x86/vector.h"

/* -- Insertion and extraction: arg is the lane type, I32 standing for the width of Ey */

static IrType element_type(const Tr *t, unsigned general)
{
    return t->arg != IR_I32 && t->arg != IR_F32 ? (IrType)t->arg
           : t->i->operand[general].size == 8   ? IR_I64
                                                : IR_I32;
}

static IrVal get_any(Tr *t, unsigned n)
{
    const X86Operand *operand = &t->i->operand[n];

    return operand->kind == X86_OPERAND_MMX ? get_mmx(t, IR_V64, operand->number)
                                            : get_vector(t, IR_V128, operand->number, 0);
}

/* The lane that the immediate names. */
static unsigned lane_number(Tr *t, IrVal v, IrType lane)
{
    unsigned lanes = ir_type_size(ir_type_of(t->b, v)) / ir_type_size(lane);

    return vector_immediate(t) & (lanes - 1);
}

/* PINSRB, PINSRW, PINSRD, PINSRQ: from a general register's low bits or memory. */
void tr_insert_lane(Tr *t)
{
    const X86Operand *d = &t->i->operand[0];
    unsigned source = t->i->operand_count - 2u;
    IrType lane = element_type(t, source);
    IrVal x = read_operand(t, source, lane), v = get_any(t, source - 1);

    v = vset(t, v, lane, lane_number(t, v, lane), x);
    if (d->kind == X86_OPERAND_MMX) {
        put_mmx(t, d->number, v);
    } else {
        write_halves(t, d->number, v, 0);
    }
}

/* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS: to memory, or zero-extended to a general register. */
void tr_extract_lane(Tr *t)
{
    bool to_memory = is_memory(t, 0);
    IrType lane = element_type(t, 0);
    IrVal v = get_any(t, 1);
    IrVal x =
        vget(t, to_memory || lane == IR_I64 ? lane : IR_I32, lane, v, lane_number(t, v, lane));

    if (to_memory) {
        store_memory(t, 0, x);
    } else {
        put_gpr(t, t->i->operand[0].number, x);
    }
    if (t->i->operand[1].kind == X86_OPERAND_MMX) {
        enter_mmx(t);
    }
}

/* INSERTPS: a source element (the only one in memory), its place, and places to clear. */
void tr_INSERTPS(Tr *t)
{
    unsigned last = t->i->operand_count - 2, first = is_vex(t) ? 1 : 0;
    unsigned control = vector_immediate(t);
    IrVal x = is_memory(t, last)
                  ? load_memory(t, IR_I32, 0)
                  : vget(t, IR_I32, IR_I32, get_vector(t, IR_V128, t->i->operand[last].number, 0),
                         control >> 6);
    IrVal v = get_vector(t, IR_V128, t->i->operand[first].number, 0);

    v = vset(t, v, IR_I32, control >> 4 & 3, x);
    if (control & 15) {
        v = vop_imm(t, IR_VBLEND, IR_I32, v, vzero(t), control & 15);
    }
    write_halves(t, t->i->operand[0].number, v, 0);
}

/* -- One element in every lane */

/* VBROADCASTSS, VPBROADCASTB, ..., VBROADCASTF128: arg is the type of what is repeated. */
void tr_broadcast(Tr *t)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    IrType lane = (IrType)t->arg;
    IrVal v = is_memory(t, 1) ? load_memory(t, lane, 0) : get_vector(t, lane, s->number, 0);

    if (lane != IR_V128) {
        v = vsplat(t, IR_V128, lane, v);
    }
    write_halves(t, d->number, v, d->size == 32 ? v : 0);
}

void tr_MOVSLDUP(Tr *t)
{
    t->out = vop(t, IR_VTRN1, IR_I32, t->src[0], t->src[0]);
}

void tr_MOVSHDUP(Tr *t)
{
    t->out = vop(t, IR_VTRN2, IR_I32, t->src[0], t->src[0]);
}

/* The low qword of each half; with 128 bits only 64 are read. */
void tr_MOVDDUP(Tr *t)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];

    if (d->size == 16) {
        IrVal x = is_memory(t, 1) ? load_memory(t, IR_I64, 0) : get_vector(t, IR_I64, s->number, 0);
        write_halves(t, d->number, vsplat(t, IR_V128, IR_I64, x), 0);
    } else {
        IrVal low = read_half(t, 1, 0), high = read_half(t, 1, 1);
        write_halves(t, d->number, vop(t, IR_VTRN1, IR_I64, low, low),
                     vop(t, IR_VTRN1, IR_I64, high, high));
    }
}

/* -- PMOVSX and PMOVZX: arg is LANES_SUB(VWIDEN, lane of the source, IR_SIGNED or 0); how often
 * lanes are widened follows from the operands' sizes. */
void tr_widen(Tr *t)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    unsigned halves = d->size / 16u, bytes = s->size / halves; /* of the source, for each half */
    IrVal x, out[2] = {0};

    if (!is_memory(t, 1)) {
        x = get_vector(t, IR_V128, s->number, 0);
    } else if (s->size == 16) {
        x = load_memory(t, IR_V128, 0);
    } else {
        x = ir_zext(t->b, IR_V128, load_memory(t, type_of_size(s->size), 0));
    }
    for (unsigned half = 0; half < halves; half++) {
        IrType lane = arg_lane(t);
        out[half] = vskip(t, x, bytes * half);
        for (unsigned size = bytes; size < 16; size *= 2, lane++) {
            out[half] = vop_sub(t, IR_VWIDEN, lane, arg_sub(t), out[half], 0);
        }
    }
    write_halves(t, d->number, out[0], out[1]);
}
