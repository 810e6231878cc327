/* Descriptor tables, system segments, and what programs may ask of descriptors: SGDT and LGDT and
 * their kin, SLDT, STR, LLDT, LTR, LAR, LSL, VERR, VERW, ARPL. Loads of ordinary segment registers
 * are in move.c. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/user_descriptors.h"

void check_umip(Tr *t)
{
    IrVal cr4;

    if (t->mode & X86_MODE_SYSTEM && t->mode & X86_MODE_CPL) {
        cr4 = ir_trunc(t->b, IR_I32, ir_get(t->b, IR_I64, SLOT(cr[4])));
        fault_if(t, ir_cmp(t->b, IR_TST, cr4, const32(t, X86_CR4_UMIP)), X86_GP, true, 0);
    }
}

/* -- Tables: a limit of 16 bits, then the base */

static void store_table(Tr *t, u32 limit, u32 base)
{
    IrVal bytes = ir_get(t->b, IR_I64, base);

    check_umip(t);
    if (t->ended) {
        return;
    }
    store_memory(t, 2, in_64_bit_mode(t) ? bytes : ir_trunc(t->b, IR_I32, bytes));
    store_memory(t, 0, ir_trunc(t->b, IR_I16, ir_get(t->b, IR_I32, limit)));
}

void tr_SGDT(Tr *t)
{
    store_table(t, SLOT(gdt_limit), SLOT(gdt_base));
}

void tr_SIDT(Tr *t)
{
    store_table(t, SLOT(idt_limit), SLOT(idt_base));
}

/* With 16-bit operands the base has 24 bits. */
static void load_table(Tr *t, u32 limit_slot, u32 base_slot)
{
    bool wide = in_64_bit_mode(t);
    IrVal limit = ir_zext(t->b, IR_I32, load_memory(t, IR_I16, 0));
    IrVal base = load_memory(t, wide ? IR_I64 : IR_I32, 2);

    if (wide) {
        fault_unless_base(t, base);
    } else {
        u32 mask = t->i->operand_size == 2 ? 0xffffff : 0xffffffff;
        base = ir_zext(t->b, IR_I64, ir_and(t->b, base, const32(t, mask)));
    }
    ir_put(t->b, limit_slot, limit);
    ir_put(t->b, base_slot, base);
}

void tr_LGDT(Tr *t)
{
    load_table(t, SLOT(gdt_limit), SLOT(gdt_base));
}

void tr_LIDT(Tr *t)
{
    load_table(t, SLOT(idt_limit), SLOT(idt_base));
}

/* -- System segments */

/* SLDT and STR; t->arg is the register. */
void tr_store_selector(Tr *t)
{
    check_umip(t);
    write_operand(
        t, 0,
        resize(t, type_of_operand(t, 0), ir_get(t->b, IR_I16, SLOT(segment[t->arg].selector))));
}

static void load_system(Tr *t, unsigned segment)
{
    IrVal selector = ir_zext(t->b, IR_I32, read_operand(t, 0, IR_I16));

    call_raising(t, HELPER_LOAD_SYSTEM_SEGMENT, const32(t, segment), selector, 0, 0);
}

void tr_LLDT(Tr *t)
{
    load_system(t, X86_LDTR);
}

void tr_LTR(Tr *t)
{
    load_system(t, X86_TR);
}

/* (X86_LDTR or X86_TR, selector) -> word. */
void x86_load_system_segment(void *state, IrWord *io)
{
    u16 selector = (u16)io[2].i;

    io[0].i = io[1].i == X86_TR ? x86_load_tr(state, selector) : x86_load_ldtr(state, selector);
}

/* -- Descriptors as programs see them (5.10): the answer is in ZF */

/* A null selector and one outside its table name nothing; page faults are raised. */
static u32 find_descriptor(X86State *state, u16 selector, X86Descriptor *d, bool *found)
{
    u32 raised;

    *found = false;
    if (!(selector & ~3)) {
        return 0;
    }
    if (state->user_mode) {
        u64 descriptor = x86_user_descriptor(state->system, selector);
        *d = (X86Descriptor){.low = (u32)descriptor, .high = (u32)(descriptor >> 32)};
        *found = descriptor;
        return 0;
    }
    raised = x86_read_descriptor(state, selector, false, X86_GP, d);
    if (raised && (raised & 0xff) == X86_PF) {
        return raised;
    }
    *found = !raised;
    return 0;
}

static bool is_conforming(unsigned type)
{
    unsigned conforming = X86_TYPE_SEGMENT | X86_TYPE_CODE | X86_TYPE_CONFORMING;

    return (type & conforming) == conforming;
}

/* Whether the query applies to a descriptor of that type, as a set of the system types. */
static bool has_answer(const X86State *state, X86Query query, unsigned type)
{
    enum {
        TSS16 = 1 << 1 | 1 << 3,
        LDT = 1 << 2,
        GATES16 = 1 << 4 | 1 << 5,
        TSS32 = 1 << 9 | 1 << 11,
        CALL_GATE32 = 1 << 12,
    };
    bool wide = x86_long_mode_active(state);
    bool readable = !(type & X86_TYPE_CODE) || type & X86_TYPE_READABLE;
    unsigned system = wide ? LDT | TSS32 : TSS16 | LDT | TSS32;

    if (query == X86_QUERY_RIGHTS) {
        system |= wide ? CALL_GATE32 : GATES16 | CALL_GATE32;
    }
    switch (query) {
    case X86_QUERY_READ:
        return type & X86_TYPE_SEGMENT && readable;
    case X86_QUERY_WRITE:
        return (type & (X86_TYPE_SEGMENT | X86_TYPE_CODE | X86_TYPE_WRITABLE)) ==
               (X86_TYPE_SEGMENT | X86_TYPE_WRITABLE);
    default:
        return type & X86_TYPE_SEGMENT || system >> type & 1;
    }
}

static bool is_visible(const X86State *state, u16 selector, const X86Descriptor *d)
{
    unsigned privilege = MAX(x86_cpl(state), selector & 3u);

    return is_conforming(x86_descriptor_type(d)) || x86_descriptor_dpl(d) >= privilege;
}

static u32 limit_of(const X86Descriptor *d)
{
    u32 limit = (d->low & 0xffff) | (d->high & 0xf0000);

    return d->high >> 8 & X86_SEGMENT_G ? limit << 12 | 0xfff : limit;
}

/* The register of LAR and LSL, of `size` bytes. */
static void answer(X86State *state, unsigned n, unsigned size, u32 value)
{
    if (size == 2) {
        state->gpr[n] = (state->gpr[n] & ~(u64)0xffff) | (u16)value;
    } else {
        state->gpr[n] = value;
    }
}

/* (X86Query | register << 8 | its size << 16, selector) -> word; ZF, and the register, tell. */
void x86_query_descriptor(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    X86Query query = io[1].i & 0xff;
    unsigned n = io[1].i >> 8 & 0xff, size = io[1].i >> 16 & 0xff;
    u16 selector = (u16)io[2].i;
    X86Descriptor d;
    bool found;

    io[0].i = find_descriptor(state, selector, &d, &found);
    if (io[0].i) {
        return;
    }
    if (!found || !has_answer(state, query, x86_descriptor_type(&d)) ||
        !is_visible(state, selector, &d)) {
        state->flags &= ~(u32)IR_FLAG_Z;
        return;
    }
    state->flags |= IR_FLAG_Z;
    if (query == X86_QUERY_RIGHTS) {
        answer(state, n, size, d.high & 0x00ffff00);
    } else if (query == X86_QUERY_LIMIT) {
        answer(state, n, size, limit_of(&d));
    }
}

static void query(Tr *t, X86Query query, unsigned selector_operand)
{
    u32 what = query | (u32)t->i->operand[0].number << 8 | (u32)t->i->operand[0].size << 16;
    IrVal selector = ir_zext(t->b, IR_I32, read_operand(t, selector_operand, IR_I16));

    call_raising(t, HELPER_QUERY_DESCRIPTOR, const32(t, what), selector, 0, 0);
    t->flags = 0; /* they are in the slot */
}

void tr_LAR(Tr *t)
{
    query(t, X86_QUERY_RIGHTS, 1);
}

void tr_LSL(Tr *t)
{
    query(t, X86_QUERY_LIMIT, 1);
}

/* VERR and VERW; t->arg tells which. */
void tr_verify_segment(Tr *t)
{
    query(t, t->arg ? X86_QUERY_WRITE : X86_QUERY_READ, 0);
}

/* The operand that ARPL may write: checked for reading only. */
static IrVal read_unwritten(Tr *t)
{
    return is_memory(t, 0) ? load_linear(t, IR_I16, operand_address(t, 2, 2, false), 0)
                           : read_operand(t, 0, IR_I16);
}

/* RPL of the first operand becomes at least that of the second; it is written only if it changes.
 */
void tr_ARPL(Tr *t)
{
    enum { RPL_BITS = 2 };
    IrVal first = ir_zext(t->b, IR_I32, read_unwritten(t));
    IrVal second = ir_zext(t->b, IR_I32, read_operand(t, 1, IR_I16));
    IrVal wanted = ir_and(t->b, second, const32(t, 3));
    IrVal less = ir_cmp(t->b, IR_ULT, ir_and(t->b, first, const32(t, 3)), wanted);
    IrVal raised = ir_emit(t->b, IR_DEP, IR_I32, IR_VOID, 0, first, wanted, 0, RPL_BITS, 0);
    IrVal zero = ir_select(t->b, less, const32(t, IR_FLAG_Z), const32(t, 0));
    IrVal flags = pick_flags(t, IR_FLAG_Z, zero, get_flags(t));
    u32 change = new_block(t), done = new_block(t);

    ir_branch(t->b, less, change, done);
    enter_block(t, change);
    write_operand(t, 0, ir_trunc(t->b, IR_I16, raised));
    ir_jump(t->b, done);
    enter_block(t, done);
    set_flags(t, flags);
}
