/* PUSH, POP and their kin, stack frames. Near calls and returns are in branch.c. */
#include "guest/x86/internal.h"

void tr_PUSH(Tr *t)
{
    IrType type = operand_type(t);
    bool immediate = t->i->operand[0].kind == X86_OPERAND_IMMEDIATE;

    push(t, immediate ? read_operand(t, 0, type) : resize(t, type, t->src[0]));
}

/* An address in which rSP is the base counts from where it is after the pop. */
void tr_POP(Tr *t)
{
    IrVal value = stack_peek(t, operand_type(t), 0);
    s64 size = t->i->operand_size;

    if (is_memory(t, 0)) {
        store_memory(t, t->i->memory.base == X86_RSP ? size : 0, value);
        move_stack(t, size);
    } else {
        move_stack(t, size);
        write_operand(t, 0, value);
    }
}

void tr_POP_segment(Tr *t)
{
    load_segment(t, t->i->operand[0].number, stack_peek(t, IR_I16, 0));
    move_stack(t, t->i->operand_size);
    end_segment_load(t, t->i->operand[0].number);
}

/* -- All registers */

void tr_PUSHA(Tr *t)
{
    s64 size = t->i->operand_size;

    for (unsigned n = 0; n < 8; n++) {
        stack_poke(t, -(s64)(n + 1) * size, get_gpr(t, operand_type(t), n));
    }
    move_stack(t, -8 * size);
}

void tr_POPA(Tr *t)
{
    s64 size = t->i->operand_size;
    IrVal value[8];

    for (unsigned n = 8; n-- > 0;) { /* RDI comes first */
        value[n] = stack_peek(t, operand_type(t), (s64)(7 - n) * size);
    }
    move_stack(t, 8 * size);
    for (unsigned n = 0; n < 8; n++) {
        if (n != X86_RSP) {
            put_gpr(t, n, value[n]);
        }
    }
}

/* -- Frames */

/* The value at SS:rBP + offset. */
static IrVal frame_peek(Tr *t, IrType type, s64 offset)
{
    IrType width = stack_type(t);
    IrVal at = ir_add(t->b, get_gpr(t, width, X86_RBP), ir_const(t->b, width, (u64)offset));
    IrVal linear = linear_address(t, X86_SS, at, ir_type_size(type), false);

    return load_linear(t, type, linear, 0);
}

/* rSP + offset, at the operand size: what goes into a frame pointer. Of a 16-bit stack pointer only
 * the low half moves. */
static IrVal frame_pointer(Tr *t, s64 offset)
{
    IrType width = stack_type(t), type = operand_type(t);
    IrVal sum = ir_add(t->b, get_gpr(t, width, X86_RSP), ir_const(t->b, width, (u64)offset));

    if (width < type) {
        return ir_emit(t->b, IR_DEP, type, IR_VOID, 0, get_gpr(t, type, X86_RSP),
                       ir_zext(t->b, type, sum), 0, 8 * ir_type_size(width), 0);
    }
    return resize(t, type, sum);
}

/* Operands: bytes of the new frame, nesting level. Each level copies one of the outer frames'
 * pointers; the innermost is the new one's own. */
void tr_ENTER(Tr *t)
{
    IrType type = operand_type(t);
    s64 size = t->i->operand_size, bytes = (u16)t->i->operand[0].value;
    s64 level = t->i->operand[1].value & 31;
    IrVal frame = frame_pointer(t, -size);

    stack_poke(t, -size, get_gpr(t, type, X86_RBP));
    for (s64 i = 1; i < level; i++) {
        stack_poke(t, -(i + 1) * size, frame_peek(t, type, -i * size));
    }
    if (level) {
        stack_poke(t, -(level + 1) * size, frame);
    }
    if (bytes) { /* faults unless the new top can be written, which leaves it alone */
        s64 top = -(level + 1) * size - bytes;
        IrVal at = ir_add(t->b, get_gpr(t, stack_type(t), X86_RSP),
                          ir_const(t->b, stack_type(t), (u64)top));
        IrVal linear = linear_address(t, X86_SS, at, (unsigned)size, true);
        watch_linear(t, linear, (unsigned)size, true);
        touch_linear(t, type, linear, 0);
    }
    move_stack(t, -(level + 1) * size - bytes);
    put_gpr(t, X86_RBP, frame);
}

void tr_LEAVE(Tr *t)
{
    IrType type = operand_type(t), width = stack_type(t);
    IrVal saved = frame_peek(t, type, 0);
    IrVal frame = get_gpr(t, width, X86_RBP);

    put_gpr(t, X86_RSP, ir_add(t->b, frame, ir_const(t->b, width, ir_type_size(type))));
    put_gpr(t, X86_RBP, saved);
}
