/* Moves: between registers and memory, extended, conditional, exchanged, byte-swapped; addresses;
 * segment registers. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"

void tr_MOV(Tr *t)
{
    t->out = t->src[0];
}

void tr_MOVZX(Tr *t)
{
    t->out = ir_zext(t->b, type_of_operand(t, 0), t->src[0]);
}

/* MOVSXD with 16-bit operands copies them. */
void tr_MOVSX(Tr *t)
{
    IrType type = type_of_operand(t, 0);

    t->out = ir_type_of(t->b, t->src[0]) > type ? ir_trunc(t->b, type, t->src[0])
                                                : ir_sext(t->b, type, t->src[0]);
}

void tr_XCHG(Tr *t)
{
    t->out = t->src[1];
    t->out2 = t->src[0];
}

/* A 32-bit destination is written, and so extended, in any case. */
void tr_CMOVcc(Tr *t)
{
    t->out = ir_select(t->b, condition(t, t->i->opcode & 15), t->src[1], t->src[0]);
}

void tr_SETcc(Tr *t)
{
    t->out = ir_trunc(t->b, IR_I8, condition(t, t->i->opcode & 15));
}

/* BSWAP of 16 bits is undefined; CPUs give 0. */
void tr_BSWAP(Tr *t)
{
    IrType type = ir_type_of(t->b, t->src[0]);

    t->out = type == IR_I16 ? ir_const(t->b, type, 0) : ir_unary(t->b, IR_BSWAP, type, t->src[0]);
}

void tr_MOVBE(Tr *t)
{
    IrType type = ir_type_of(t->b, t->src[0]);

    t->out = type == IR_I16 ? ir_binary(t->b, IR_ROR, t->src[0], const32(t, 8))
                            : ir_unary(t->b, IR_BSWAP, type, t->src[0]);
}

void tr_LEA(Tr *t)
{
    put_gpr(t, t->i->operand[0].number, resize(t, operand_type(t), effective_address(t)));
}

/* AL from the table at the operand, whose address AL is added to. */
void tr_XLAT(Tr *t)
{
    IrType type = address_type(t);
    IrVal index = ir_zext(t->b, type, get_gpr(t, IR_I8, X86_RAX));
    IrVal base = get_gpr(t, type, X86_RBX);
    IrVal linear = linear_address(t, t->i->memory.segment, ir_add(t->b, base, index), 1, false);

    put_gpr(t, X86_RAX, load_linear(t, IR_I8, linear, 0));
}

/* -- Segment registers */

/* Into memory always 16 bits; into a register as many as the operand has. */
void tr_MOV_from_segment(Tr *t)
{
    write_operand(t, 0, read_operand(t, 1, is_memory(t, 0) ? IR_I16 : operand_type(t)));
}

void move_to_segment(Tr *t, unsigned segment, IrVal selector)
{
    call_raising(t, HELPER_MOVE_TO_SEGMENT, const32(t, segment), ir_zext(t->b, IR_I32, selector), 0,
                 0);
}

/* In real-address mode there is nothing to check, and the mode does not depend on what changes. */
static bool is_real_mode(const Tr *t)
{
    return (t->mode & (X86_MODE_REAL | X86_MODE_VM86)) == X86_MODE_REAL;
}

void load_segment(Tr *t, unsigned segment, IrVal selector)
{
    if (is_real_mode(t)) {
        IrVal base = ir_zext(t->b, IR_I64, selector);
        ir_put(t->b, SLOT(segment[segment].selector), selector);
        ir_put(t->b, SLOT(segment[segment].base), ir_binary(t->b, IR_SHL, base, const32(t, 4)));
    } else {
        move_to_segment(t, segment, selector);
    }
}

/* After SS, which comes before rSP, neither interrupts nor debug traps get in between. In a block
 * that goes on none would be noticed. */
void end_segment_load(Tr *t, unsigned segment)
{
    bool shadow = segment == X86_SS && t->mode & X86_MODE_SYSTEM;

    if (shadow && is_real_mode(t) && !(t->mode & (X86_MODE_TF | X86_MODE_BREAK))) {
        begin_shadow(t, 0);
    } else if (shadow) {
        ir_put(t->b, SLOT(interrupt_shadow), ir_const(t->b, IR_I8, X86_SHADOW_TRAPS));
        end_resync_quietly(t);
    } else if (!is_real_mode(t)) {
        end_resync(t);
    }
}

void tr_MOV_to_segment(Tr *t)
{
    unsigned segment = t->i->operand[0].number;

    if (segment == X86_CS || segment >= X86_LDTR) {
        tr_undefined(t, NULL);
        return;
    }
    load_segment(t, segment, read_operand(t, 1, IR_I16));
    end_segment_load(t, segment);
}

/* LDS, LES, LSS, LFS, LGS: offset, then selector. t->arg is the segment register. */
void tr_load_far_pointer(Tr *t)
{
    IrType type = operand_type(t);
    IrVal offset = load_memory(t, type, 0);
    IrVal selector = load_memory(t, IR_I16, ir_type_size(type));

    load_segment(t, t->arg, selector);
    put_gpr(t, t->i->operand[0].number, offset);
    if (!is_real_mode(t)) {
        end_resync(t);
    }
}
