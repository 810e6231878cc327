/* Operands of rows that are not raw: read what the row reads, call the handler, write what it
 * writes, so that a fault leaves everything as it was. See translate.h for the order.
 *
 * Under LOCK (and XCHG with memory, which is locked by itself) reading the memory operand is the
 * whole atomic operation; the handler then computes from the old value what would have been
 * written, for the flags' sake.
 * Must not know any single instruction but those that can be locked. */
#include "guest/x86/internal.h"
#include "guest/x86/rows.h"

/* -- Single operands */

IrVal read_operand(Tr *t, unsigned n, IrType type)
{
    const X86Operand *o = &t->i->operand[n];

    switch ((X86OperandKind)o->kind) {
    case X86_OPERAND_GPR:
        return get_gpr(t, type, o->number);
    case X86_OPERAND_GPR_HIGH:
        return get_gpr_high(t, o->number);
    case X86_OPERAND_MEMORY:
        return load_memory(t, type, 0);
    case X86_OPERAND_SEGMENT:
        return ir_zext(t->b, type, ir_get(t->b, IR_I16, SLOT(segment[o->number].selector)));
    default:
        return ir_const(t->b, type, (u64)o->value);
    }
}

void write_operand(Tr *t, unsigned n, IrVal value)
{
    const X86Operand *o = &t->i->operand[n];

    if (o->kind == X86_OPERAND_MEMORY) {
        store_memory(t, 0, value);
    } else if (o->kind == X86_OPERAND_GPR_HIGH) {
        put_gpr_high(t, o->number, value);
    } else {
        put_gpr(t, o->number, value);
    }
}

/* -- Atomic operations */

IrVal atomic(Tr *t, IrRmw op, IrVal address, IrVal operand)
{
    return ir_emit(t->b, IR_RMW, ir_type_of(t->b, operand), IR_VOID, 0, address, operand, 0, op, 0);
}

IrVal compare_and_swap(Tr *t, IrVal address, IrVal expected, IrVal value)
{
    return ir_emit(t->b, IR_CAS, ir_type_of(t->b, value), IR_VOID, 0, address, expected, value, 0,
                   0);
}

/* NEG is no atomic operation of IR's: another store in between makes the instruction start again.
 */
static IrVal atomic_negate(Tr *t, IrType type, IrVal address)
{
    IrVal old = load_linear(t, type, address, 0);
    IrVal seen = compare_and_swap(t, address, old, ir_unary(t->b, IR_NEG, type, old));
    u32 again = new_block(t), done = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, IR_NE, seen, old), again, done);
    enter_block(t, again);
    t->b->region->blocks[again].cold = true;
    emit_goto(t, t->pc);
    enter_block(t, done);
    return old;
}

/* Does the memory operand's part of a locked instruction; returns the old value. `other` is the
 * second operand, if there is one. */
static IrVal lock_operand(Tr *t, IrType type, IrVal other)
{
    IrVal address = operand_address(t, ir_type_size(type), ir_type_size(type), true);
    IrVal one = ir_const(t->b, type, 1);

    switch (t->lock) {
    case X86_LOCK_ADC:
    case X86_LOCK_SBB:
        other = ir_add(t->b, other, resize(t, type, carry(t)));
        if (t->lock == X86_LOCK_SBB) {
            other = ir_unary(t->b, IR_NEG, type, other);
        }
        return atomic(t, IR_RMW_ADD, address, other);
    case X86_LOCK_ADD:
    case X86_LOCK_XADD:
        return atomic(t, IR_RMW_ADD, address, other);
    case X86_LOCK_SUB:
        return atomic(t, IR_RMW_ADD, address, ir_unary(t->b, IR_NEG, type, other));
    case X86_LOCK_INC:
        return atomic(t, IR_RMW_ADD, address, one);
    case X86_LOCK_DEC:
        return atomic(t, IR_RMW_ADD, address, ir_const(t->b, type, ~(u64)0));
    case X86_LOCK_AND:
        return atomic(t, IR_RMW_AND, address, other);
    case X86_LOCK_OR:
        return atomic(t, IR_RMW_OR, address, other);
    case X86_LOCK_XOR:
        return atomic(t, IR_RMW_XOR, address, other);
    case X86_LOCK_NOT:
        return atomic(t, IR_RMW_XOR, address, ir_const(t->b, type, ~(u64)0));
    case X86_LOCK_XCHG:
        return atomic(t, IR_RMW_XCHG, address, other);
    default:
        return atomic_negate(t, type, address);
    }
}

/* -- Common code */

static bool is_locked(const Tr *t)
{
    return is_memory(t, 0) && (t->i->prefixes & X86_PREFIX_LOCK || t->lock == X86_LOCK_XCHG);
}

/* The type of operand n as a source: immediates are as wide as the first operand. */
static IrType source_type(const Tr *t, unsigned n)
{
    return type_of_operand(t, t->i->operand[n].kind == X86_OPERAND_IMMEDIATE ||
                                      t->i->operand[n].kind == X86_OPERAND_CONSTANT
                                  ? 0
                                  : n);
}

/* Whether operand n is the same register as the one before: XOR r,r and TEST r,r. */
static bool is_register_again(const Tr *t, unsigned n)
{
    const X86Operand *o = &t->i->operand[n];

    return n && o->kind == X86_OPERAND_GPR && o[-1].kind == X86_OPERAND_GPR &&
           o->number == o[-1].number && o->size == o[-1].size;
}

static void read_sources(Tr *t, bool locked)
{
    unsigned count = locked;

    for (unsigned n = locked; n < t->i->operand_count; n++) {
        if (t->i->operand[n].access & X86_READ) {
            bool again = count && is_register_again(t, n);
            t->src[count] = again ? t->src[count - 1] : read_operand(t, n, source_type(t, n));
            count++;
        }
    }
    if (locked) {
        t->src[0] = lock_operand(t, type_of_operand(t, 0), t->src[1]);
    }
}

/* Stores come first, as they may fault; of two registers the first operand wins. */
static void write_results(Tr *t, bool locked)
{
    IrVal results[2] = {t->out, t->out2};
    unsigned written[2], count = 0;

    for (unsigned n = 0; n < t->i->operand_count && count < COUNT(written); n++) {
        if (t->i->operand[n].access & X86_WRITE) {
            written[count++] = n;
        }
    }
    for (unsigned i = locked; i < count; i++) {
        if (results[i] && is_memory(t, written[i])) {
            write_operand(t, written[i], results[i]);
        }
    }
    for (unsigned i = count; i-- > locked;) {
        if (results[i] && !is_memory(t, written[i])) {
            write_operand(t, written[i], results[i]);
        }
    }
}

void translate_common(Tr *t, void (*handler)(Tr *t))
{
    bool locked = is_locked(t);

    read_sources(t, locked);
    handler(t);
    if (t->ended) {
        return;
    }
    write_results(t, locked);
    if (t->flags_out) {
        set_flags(t, t->flags_out);
    }
}
