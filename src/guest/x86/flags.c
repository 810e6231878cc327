/* Instructions on EFLAGS. The status flags are one slot, in the IR's packed form, whose bits 15..8
 * are EFLAGS's low byte; all other flags are another. See state.h. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"

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

/* In virtual-8086 mode with IOPL below 3 PUSHF and POPF are the monitor's business, but for 16 bits
 * with CR4.VME (20.3.3). Returns whether it is such a case, having checked that. */
static bool is_virtual(Tr *t)
{
    if (!(t->mode & X86_MODE_VM86) || t->mode & X86_MODE_IOPL) {
        return false;
    }
    if (t->i->operand_size != 2) {
        end_exception(t, X86_GP, true, 0);
    } else {
        check_virtual_interrupts(t, X86_CR4_VME);
    }
    return true;
}

/* VIF in the place of IF, and IOPL 3. */
static IrVal virtual_eflags(Tr *t)
{
    enum { VIF_SHIFT = 19, IF_SHIFT = 9 };
    IrVal eflags = get_eflags(t);
    IrVal vif = ir_emit(t->b, IR_EXTU, IR_I32, IR_VOID, VIF_SHIFT, eflags, 0, 0, 1, 0);

    eflags = ir_or(t->b, eflags, const32(t, X86_EFLAGS_IOPL));
    return ir_emit(t->b, IR_DEP, IR_I32, IR_VOID, IF_SHIFT, eflags, vif, 0, 1, 0);
}

void tr_PUSHF(Tr *t)
{
    bool is_other = is_virtual(t);

    if (!t->ended) {
        push(t, resize(t, operand_type(t), is_other ? virtual_eflags(t) : get_eflags(t)));
    }
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

/* Of what POPF popped, the virtual interrupt flag; TF, and IF while an interrupt is pending, are
 * faults. */
static void pop_virtual(Tr *t, IrVal value)
{
    enum { VIF_SHIFT = 19, IF_SHIFT = 9 };
    IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));
    IrVal enables = ir_emit(t->b, IR_EXTU, IR_I32, IR_VOID, IF_SHIFT, value, 0, 0, 1, 0);
    IrVal pending = ir_emit(t->b, IR_EXTU, IR_I32, IR_VOID, VIF_SHIFT + 1, eflags, 0, 0, 1, 0);
    IrVal bad =
        ir_or(t->b, ir_and(t->b, value, const32(t, X86_EFLAGS_TF)), ir_and(t->b, enables, pending));

    fault_if(t, bad, X86_GP, true, 0);
    ir_put(t->b, SLOT(eflags),
           ir_emit(t->b, IR_DEP, IR_I32, IR_VOID, VIF_SHIFT, eflags, enables, 0, 1, 0));
}

/* Leaves POPF: to the next instruction, unless the mode depends on a flag that changed. */
static void end_popf(Tr *t, IrVal old, IrVal new)
{
    u32 in_mode = X86_EFLAGS_TF | X86_EFLAGS_IOPL | X86_EFLAGS_AC;
    IrVal changed = ir_xor(t->b, old, new);
    u32 other = new_block(t), same = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, IR_TST, changed, const32(t, in_mode)), other, same);
    enter_block(t, other);
    t->b->region->blocks[other].cold = true;
    ir_call(t->b, IR_VOID, HELPER_LOOK_AGAIN, 0, 0, 0, 0);
    end_resync(t);
    enter_block(t, same);
    if (changeable(t) & X86_EFLAGS_IF && t->mode & X86_MODE_SYSTEM) {
        u32 enabled = new_block(t), last = new_block(t);
        ir_branch(t->b, ir_cmp(t->b, IR_TST, new, const32(t, X86_EFLAGS_IF)), enabled, last);
        enter_block(t, enabled);
        emit_polling(t);
        enter_block(t, last);
    }
    end_goto(t, t->next);
}

void tr_POPF(Tr *t)
{
    IrBuilder *b = t->b;
    bool is_other = is_virtual(t);
    u32 mask = changeable(t);
    IrVal value, old, new, low, overflow;

    if (t->ended) {
        return;
    }
    value = resize(t, IR_I32, stack_peek(t, operand_type(t), 0));
    if (is_other) {
        pop_virtual(t, value);
    }
    old = ir_get(b, IR_I32, SLOT(eflags));
    new = ir_and(b, old, const32(t, ~(mask | X86_EFLAGS_RF)));
    new = ir_or(b, new, ir_and(b, value, const32(t, mask)));
    low = ir_binary(b, IR_SHL, ir_and(b, value, const32(t, STATUS_LOW)), const32(t, 8));
    overflow = ir_and(b, ir_binary(b, IR_SHR, value, const32(t, OF_SHIFT)), const32(t, IR_FLAG_V));
    move_stack(t, t->i->operand_size);
    ir_put(b, SLOT(eflags), new);
    set_flags(t, ir_or(b, low, overflow));
    end_popf(t, old, new);
}

/* -- Other flags */

static void put_eflag(Tr *t, u32 flag, bool set)
{
    IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));

    eflags = set ? ir_or(t->b, eflags, const32(t, flag)) : ir_and(t->b, eflags, const32(t, ~flag));
    ir_put(t->b, SLOT(eflags), eflags);
}

void tr_CLD(Tr *t)
{
    put_eflag(t, X86_EFLAGS_DF, false);
}

void tr_STD(Tr *t)
{
    put_eflag(t, X86_EFLAGS_DF, true);
}

/* -- Interrupts */

void check_virtual_interrupts(Tr *t, u32 feature)
{
    IrVal cr4 = ir_trunc(t->b, IR_I32, ir_get(t->b, IR_I64, SLOT(cr[4])));

    fault_if(t, ir_cmp(t->b, IR_TSTZ, cr4, const32(t, feature)), X86_GP, true, 0);
}

/* CLI and STI need a CPL of at most IOPL; where that is not so VIF may take IF's place, in
 * virtual-8086 mode and at privilege level 3 (20.3.3, 20.4). True if it is so. */
static bool may_set_interrupts(Tr *t)
{
    bool is_program = (t->mode & X86_MODE_CPL) == X86_MODE_CPL;

    if (t->mode & X86_MODE_IOPL) {
        return true;
    }
    if (is_program && t->mode & X86_MODE_SYSTEM) {
        check_virtual_interrupts(t, t->mode & X86_MODE_VM86 ? X86_CR4_VME : X86_CR4_PVI);
    } else {
        end_exception(t, X86_GP, true, 0);
    }
    return false;
}

void tr_CLI(Tr *t)
{
    if (may_set_interrupts(t)) {
        put_eflag(t, X86_EFLAGS_IF, false);
    } else if (!t->ended) {
        put_eflag(t, X86_EFLAGS_VIF, false);
    }
}

/* The next instruction is executed before an interrupt that waits, if IF was clear. */
void tr_STI(Tr *t)
{
    if (may_set_interrupts(t)) {
        IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));
        IrVal was_clear = ir_cmp(t->b, IR_TSTZ, eflags, const32(t, X86_EFLAGS_IF));
        put_eflag(t, X86_EFLAGS_IF, true);
        if (t->mode & X86_MODE_SYSTEM) {
            begin_shadow(t, was_clear);
        }
    } else if (!t->ended) {
        IrVal eflags = ir_get(t->b, IR_I32, SLOT(eflags));
        IrVal pending = ir_cmp(t->b, IR_TST, eflags, const32(t, X86_EFLAGS_VIP));
        fault_if(t, pending, X86_GP, true, 0);
        put_eflag(t, X86_EFLAGS_VIF, true);
    }
}
