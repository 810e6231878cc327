/* String instructions: MOVS, STOS, LODS, CMPS, SCAS, once or repeated.
 *
 * A repeated one does one element and goes to itself, through a block end, until the count is 0:
 * so every iteration is precise and may be interrupted. REP MOVS and REP STOS in segments that need
 * no checks are done by helpers, many elements at a time. INS and OUTS are in system_io.c. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"

/* -- Elements */

/* What pointers change by, an i64: the element's size, negative if DF is set. DF is no part of the
 * mode, as code that moves memory downwards sets and clears it each time. */
static IrVal step(Tr *t)
{
    enum { DF_SHIFT = 10 };
    u32 size = t->i->operand[0].size, log = (u32)__builtin_ctz(size);
    IrVal down = ir_and(t->b, ir_get(t->b, IR_I32, SLOT(eflags)), const32(t, X86_EFLAGS_DF));
    IrVal twice = ir_binary(t->b, IR_SHR, down, const32(t, DF_SHIFT - 1 - log));

    return ir_sub(t->b, const64(t, size), ir_zext(t->b, IR_I64, twice));
}

static IrVal pointer(Tr *t, unsigned segment, unsigned n, bool write)
{
    return linear_address(t, segment, get_gpr(t, address_type(t), n), t->i->operand[0].size, write);
}

static IrVal load_source(Tr *t)
{
    IrVal at = pointer(t, t->i->memory.segment, X86_RSI, false);

    return load_linear(t, type_of_operand(t, 0), at, 0);
}

static IrVal load_destination(Tr *t)
{
    return load_linear(t, type_of_operand(t, 0), pointer(t, X86_ES, X86_RDI, false), 0);
}

static void store_destination(Tr *t, IrVal value)
{
    store_linear(t, pointer(t, X86_ES, X86_RDI, true), 0, value);
}

static void advance(Tr *t, unsigned n)
{
    IrType type = address_type(t);

    put_gpr(t, n, ir_add(t->b, get_gpr(t, type, n), ir_trunc(t->b, type, step(t))));
}

static void move(Tr *t)
{
    store_destination(t, load_source(t));
    advance(t, X86_RSI);
    advance(t, X86_RDI);
}

static void fill(Tr *t)
{
    store_destination(t, get_gpr(t, type_of_operand(t, 0), X86_RAX));
    advance(t, X86_RDI);
}

static void take(Tr *t)
{
    put_gpr(t, X86_RAX, load_source(t));
    advance(t, X86_RSI);
}

/* CMPS and SCAS leave their flags in t->flags_out. */

static void difference(Tr *t, IrVal x, IrVal y)
{
    t->flags_out = ir_emit(t->b, IR_FLAGS_SUB, IR_I32, IR_VOID, 0, x, y, 0, 0, 0);
}

static void compare(Tr *t)
{
    IrVal source = load_source(t);

    difference(t, source, load_destination(t));
    advance(t, X86_RSI);
    advance(t, X86_RDI);
}

static void scan(Tr *t)
{
    difference(t, get_gpr(t, type_of_operand(t, 0), X86_RAX), load_destination(t));
    advance(t, X86_RDI);
}

/* -- Repetition */

/* Goes on in a block where the count is not 0; with 0 nothing happens. Returns the count. */
static IrVal begin_repetition(Tr *t)
{
    IrType type = address_type(t);
    IrVal count = get_gpr(t, type, X86_RCX);
    u32 some = new_block(t), none = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, IR_NE, count, ir_const(t->b, type, 0)), some, none);
    enter_block(t, none);
    end_goto(t, t->next);
    enter_block(t, some);
    return count;
}

/* RF is set between elements, so that the instruction's own breakpoint does not hit again, also
 * after an interrupt (Intel SDM volume 3, 17.3.1.1). */
void mark_repetition(Tr *t, bool on)
{
    IrVal eflags;

    if (t->mode & X86_MODE_SYSTEM) {
        eflags = ir_get(t->b, IR_I32, SLOT(eflags));
        eflags = on ? ir_or(t->b, eflags, const32(t, X86_EFLAGS_RF))
                    : ir_and(t->b, eflags, const32(t, ~(u32)X86_EFLAGS_RF));
        ir_put(t->b, SLOT(eflags), eflags);
    }
}

/* Again if `more`, else on behind the instruction, where `flags`, unless 0, are the flags. */
static void end_repetition(Tr *t, IrVal more, IrVal flags)
{
    u32 again = new_block(t), done = new_block(t);

    ir_branch(t->b, more, again, done);
    enter_block(t, again);
    mark_repetition(t, true);
    end_goto(t, t->pc);
    enter_block(t, done);
    mark_repetition(t, false);
    if (flags) {
        set_flags(t, flags);
    }
    end_goto(t, t->next);
}

static bool is_repeated(const Tr *t)
{
    return t->i->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE);
}

static void string(Tr *t, void (*element)(Tr *t))
{
    IrVal left, more;

    if (!is_repeated(t)) {
        element(t);
        if (t->flags_out) {
            set_flags(t, t->flags_out);
        }
        return;
    }
    left = begin_repetition(t);
    element(t);
    left = ir_sub(t->b, left, ir_const(t->b, address_type(t), 1));
    put_gpr(t, X86_RCX, left);
    more = ir_cmp(t->b, IR_NE, left, ir_const(t->b, address_type(t), 0));
    if (t->flags_out) {
        bool while_equal = t->i->prefixes & X86_PREFIX_REP;
        IrCond condition = while_equal ? IR_COND_Z : IR_COND_NZ;
        more = ir_and(t->b, more, ir_cond(t->b, condition, t->flags_out));
    }
    end_repetition(t, more, t->flags_out);
}

/* -- Many elements at once */

/* Whether a repetition is one that the helpers know: neither segments nor alignment need checks,
 * nobody looks at single elements, addresses are as wide as the code's. */
static bool is_simple(const Tr *t)
{
    u32 looked_at = X86_MODE_TF | X86_MODE_BREAK | X86_MODE_AC;

    return is_repeated(t) && !(t->mode & looked_at) && is_unchecked_segment(t, X86_ES, true) &&
           is_unchecked_segment(t, t->i->memory.segment, false) &&
           t->i->address_size == (in_64_bit_mode(t) ? 8 : 4);
}

static u64 counter_mask(const Tr *t)
{
    return in_64_bit_mode(t) ? ~(u64)0 : 0xffffffff;
}

static IrVal elements_left(Tr *t)
{
    return ir_and(t->b, get_gpr(t, IR_I64, X86_RCX), const64(t, counter_mask(t)));
}

/* With a helper of user mode the block goes on behind it, unless an interrupt is to be noticed in
 * between. */
static IrVal repeat_here(Tr *t, u32 helper, IrVal base)
{
    return ir_call(t->b, IR_I64, helper, step(t), const64(t, counter_mask(t)), base, 0);
}

/* One of system mode may raise, and ends the block as it may have written code. */
static IrVal repeat_in_system(Tr *t, u32 helper, IrVal base)
{
    call_raising(t, helper, step(t), const64(t, counter_mask(t)), base, 0);
    return elements_left(t);
}

static void repeat_with_helper(Tr *t, u32 here, u32 system, unsigned segment)
{
    bool in_system = t->mode & X86_MODE_SYSTEM;
    IrVal zero = const64(t, 0), left, base;
    u32 some = new_block(t), again = new_block(t), done = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, IR_NE, elements_left(t), zero), some, done);
    enter_block(t, some);
    base = linear_address(t, segment, const64(t, 0), 1, false);
    left = in_system ? repeat_in_system(t, system, base) : repeat_here(t, here, base);
    ir_branch(t->b, ir_cmp(t->b, IR_NE, left, zero), again, done);
    enter_block(t, again);
    t->b->region->blocks[again].cold = true;
    mark_repetition(t, true);
    emit_goto(t, t->pc);
    enter_block(t, done);
    mark_repetition(t, false);
    if (in_system) {
        end_polling(t);
    }
}

void tr_MOVS(Tr *t)
{
    if (is_simple(t)) {
        repeat_with_helper(t, HELPER_REP_MOVS, HELPER_SYSTEM_MOVS, t->i->memory.segment);
    } else {
        string(t, move);
    }
}

void tr_STOS(Tr *t)
{
    if (is_simple(t)) {
        repeat_with_helper(t, HELPER_REP_STOS, HELPER_SYSTEM_STOS, X86_ES);
    } else {
        string(t, fill);
    }
}

void tr_LODS(Tr *t)
{
    string(t, take);
}

void tr_CMPS(Tr *t)
{
    string(t, compare);
}

void tr_SCAS(Tr *t)
{
    string(t, scan);
}
