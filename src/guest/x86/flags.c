/* Instructions on EFLAGS. The status flags are one slot, in the IR's packed form, whose bits 15..8
 * are EFLAGS's low byte; all other flags are another. See state.h. */
#include "guest/x86/internal.h"

enum { STATUS_LOW = X86_EFLAGS_STATUS & 0xff, OF_SHIFT = 11 };

/* -- Carry */

void tr_CLC(Tr *t)
{
    set_flags(t, pick_flags(t, IR_FLAG_C, const32(t, 0), get_flags(t)));
}

void tr_STC(Tr *t)
{
    set_flags(t, pick_flags(t, IR_FLAG_C, const32(t, IR_FLAG_C), get_flags(t)));
}

void tr_CMC(Tr *t)
{
    set_flags(t, ir_xor(t->b, get_flags(t), const32(t, IR_FLAG_C)));
}

/* AL = 0 or FFh */
void tr_SALC(Tr *t)
{
    put_gpr(t, X86_RAX, ir_unary(t->b, IR_NEG, IR_I8, ir_trunc(t->b, IR_I8, carry(t))));
}

/* -- The low byte and AH */

void tr_LAHF(Tr *t)
{
    IrVal low = ir_binary(t->b, IR_SHR, get_flags(t), const32(t, 8));

    low = ir_or(t->b, low, const32(t, X86_EFLAGS_FIXED));
    put_gpr_high(t, X86_RAX, ir_trunc(t->b, IR_I8, low));
}

void tr_SAHF(Tr *t)
{
    IrVal low = ir_and(t->b, get_gpr(t, IR_I32, X86_RAX), const32(t, STATUS_LOW << 8));

    set_flags(t, pick_flags(t, IR_FLAG_V, get_flags(t), low));
}

/* -- All of it */

IrVal get_eflags(Tr *t)
{
    IrBuilder *b = t->b;
    IrVal flags = get_flags(t);
    IrVal others = ir_and(b, ir_get(b, IR_I32, SLOT(eflags)),
                          const32(t, ~(u32)(X86_EFLAGS_RF | X86_EFLAGS_VM)));
    IrVal low = ir_binary(b, IR_SHR, flags, const32(t, 8));
    IrVal overflow = ir_and(b, flags, const32(t, IR_FLAG_V));

    overflow = ir_binary(b, IR_SHL, overflow, const32(t, OF_SHIFT));
    return ir_or(b, others, ir_or(b, low, overflow));
}

/* In virtual-8086 mode PUSHF and POPF are the monitor's business unless IOPL is 3. */
static bool is_sensitive(const Tr *t)
{
    return t->mode & X86_MODE_VM86 && !(t->mode & X86_MODE_IOPL);
}

void tr_PUSHF(Tr *t)
{
    if (is_sensitive(t)) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    push(t, resize(t, operand_type(t), get_eflags(t)));
}

/* The flags that POPF may change besides the status flags. */
static u32 changeable(const Tr *t)
{
    u32 mask = X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT | X86_EFLAGS_AC | X86_EFLAGS_ID;

    if (t->mode & X86_MODE_IOPL) {
        mask |= X86_EFLAGS_IF;
    }
    if (!(t->mode & (X86_MODE_CPL | X86_MODE_VM86))) {
        mask |= X86_EFLAGS_IOPL;
    }
    return t->i->operand_size == 2 ? mask & 0xffff : mask;
}

void tr_POPF(Tr *t)
{
    IrBuilder *b = t->b;
    u32 mask = changeable(t);
    IrVal value, kept, low, overflow;

    if (is_sensitive(t)) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    value = resize(t, IR_I32, stack_peek(t, operand_type(t), 0));
    kept = ir_and(b, ir_get(b, IR_I32, SLOT(eflags)), const32(t, ~(mask | X86_EFLAGS_RF)));
    low = ir_binary(b, IR_SHL, ir_and(b, value, const32(t, STATUS_LOW)), const32(t, 8));
    overflow = ir_and(b, ir_binary(b, IR_SHR, value, const32(t, OF_SHIFT)), const32(t, IR_FLAG_V));
    move_stack(t, t->i->operand_size);
    ir_put(b, SLOT(eflags), ir_or(b, kept, ir_and(b, value, const32(t, mask))));
    set_flags(t, ir_or(b, low, overflow));
    end_resync(t);
}

/* -- Direction: part of the mode, so that setting what is set costs nothing. A block goes on in the
 * other mode, as the string instruction that it is set for is near, and its end as well. */

static void set_direction(Tr *t, bool down)
{
    IrVal eflags;

    if (down == !!(t->mode & X86_MODE_DF)) {
        return;
    }
    eflags = ir_get(t->b, IR_I32, SLOT(eflags));
    ir_put(t->b, SLOT(eflags), ir_xor(t->b, eflags, const32(t, X86_EFLAGS_DF)));
    t->mode ^= X86_MODE_DF;
}

void tr_CLD(Tr *t)
{
    set_direction(t, false);
}

void tr_STD(Tr *t)
{
    set_direction(t, true);
}

/* -- Interrupts */

/* CLI and STI need a CPL of at most IOPL. */
static void set_interrupts(Tr *t, bool enable)
{
    IrVal eflags;

    if (!(t->mode & X86_MODE_IOPL)) {
        end_exception(t, X86_GP, true, 0);
        return;
    }
    eflags = ir_get(t->b, IR_I32, SLOT(eflags));
    eflags = enable ? ir_or(t->b, eflags, const32(t, X86_EFLAGS_IF))
                    : ir_and(t->b, eflags, const32(t, ~(u32)X86_EFLAGS_IF));
    ir_put(t->b, SLOT(eflags), eflags);
    end_resync(t);
}

void tr_CLI(Tr *t)
{
    set_interrupts(t, false);
}

void tr_STI(Tr *t)
{
    set_interrupts(t, true);
}
