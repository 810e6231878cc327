/* Far transfers of control: JMP, CALL, RET and IRET to other segments, through call gates, to other
 * privilege levels, tasks and modes (Intel SDM volume 3, 5.8; volume 2, the instructions).
 *
 * Each works on copies (X86Stack, descriptors) and commits CS, SS, rIP and rSP together at the end.
 * On entry the state's rip is that of the next instruction: what a call pushes.
 * Must not deliver interrupts: interrupt.c does. */
#include "guest/x86/system.h"

enum { SELECTOR_RPL = 3 };

typedef X86Descriptor Descriptor;

static u16 selector_error(u16 selector)
{
    return selector & (u16)~SELECTOR_RPL;
}

static u64 size_mask(unsigned size)
{
    return size == 8 ? ~(u64)0 : ((u64)1 << 8 * size) - 1;
}

static bool is_code(const Descriptor *d)
{
    unsigned type = x86_descriptor_type(d);

    return (type & X86_TYPE_SEGMENT) && (type & X86_TYPE_CODE);
}

static bool is_conforming(const Descriptor *d)
{
    return x86_descriptor_type(d) & X86_TYPE_CONFORMING;
}

static bool is_64_bit_code(const X86State *state, const Descriptor *d)
{
    return x86_long_mode_active(state) && d->high >> 8 & X86_SEGMENT_L;
}

/* -- Code segments */

/* Presence, the L and D bits of long mode, and the offset's limit: common to all transfers. */
static u32 check_code(const X86State *state, u16 selector, const Descriptor *d, u64 offset)
{
    X86Segment segment = {0};
    X86State probe;

    if (!x86_descriptor_present(d)) {
        return x86_fault_error(X86_NP, selector_error(selector));
    }
    if (is_64_bit_code(state, d)) {
        if (d->high >> 8 & X86_SEGMENT_DB) {
            return x86_fault_error(X86_GP, selector_error(selector));
        }
        return x86_canonical(state, offset) ? 0 : x86_fault_error(X86_GP, 0);
    }
    x86_load_cache(&probe, X86_CS, selector, d);
    segment = probe.segment[X86_CS];
    return offset <= segment.limit ? 0 : x86_fault_error(X86_GP, 0);
}

/* Reads and checks the code segment of a direct far jump or call, or of the gate's target. `rpl`:
 * that counts (0 for gates). inner: a CALL through a gate may go to a more privileged segment. */
static u32 find_code(X86State *state, u16 selector, unsigned rpl, bool inner, Descriptor *d)
{
    unsigned cpl = x86_cpl(state);
    u16 error = selector_error(selector);
    unsigned dpl;

    if (error == 0) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, d));
    dpl = x86_descriptor_dpl(d);
    if (!is_code(d)) {
        return x86_fault_error(X86_GP, error);
    }
    if (is_conforming(d) || inner) {
        return dpl <= cpl ? 0 : x86_fault_error(X86_GP, error);
    }
    return rpl <= cpl && dpl == cpl ? 0 : x86_fault_error(X86_GP, error);
}

/* Makes it the current code segment at privilege `cpl`. */
static u32 enter_code(X86State *state, u16 selector, Descriptor *d, u64 offset, unsigned cpl)
{
    X86_TRY(x86_mark_accessed(state, d));
    x86_load_cache(state, X86_CS, (u16)((selector & ~SELECTOR_RPL) | cpl), d);
    state->rip = offset;
    return 0;
}

/* -- Gates */

typedef struct Gate {
    u16 selector;
    u64 offset;
    unsigned size;       /* bytes that a call pushes for each value */
    unsigned parameters; /* values to copy */
} Gate;

/* The checks of a call gate (5.8.3) and what it says; `d` is its descriptor. */
static u32 open_gate(X86State *state, u16 selector, Descriptor *d, Gate *gate)
{
    u16 error = selector_error(selector);
    bool wide = x86_long_mode_active(state);
    unsigned type = x86_descriptor_type(d);

    if (x86_descriptor_dpl(d) < MAX(x86_cpl(state), selector & SELECTOR_RPL)) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(d)) {
        return x86_fault_error(X86_NP, error);
    }
    if (wide) {
        X86_TRY(x86_read_descriptor(state, selector, true, X86_GP, d));
    }
    *gate = (Gate){
        .selector = (u16)(d->low >> 16),
        .offset = (d->low & 0xffff) | (d->high & 0xffff0000) | (u64)d->top << 32,
        .size = wide                           ? 8
                : type == X86_TYPE_CALL_GATE16 ? 2
                                               : 4,
        .parameters = wide ? 0 : d->high & 0x1f,
    };
    if (gate->size == 2) {
        gate->offset &= 0xffff;
    }
    return 0;
}

static u32 check_gate_target(X86State *state, const Gate *gate, const Descriptor *code)
{
    if (x86_long_mode_active(state) && !is_64_bit_code(state, code)) {
        return x86_fault_error(X86_GP, selector_error(gate->selector));
    }
    return check_code(state, gate->selector, code, gate->offset);
}

static u32 jump_through_gate(X86State *state, u16 selector, Descriptor *d)
{
    Descriptor code;
    Gate gate;

    X86_TRY(open_gate(state, selector, d, &gate));
    X86_TRY(find_code(state, gate.selector, 0, false, &code));
    X86_TRY(check_gate_target(state, &gate, &code));
    return enter_code(state, gate.selector, &code, gate.offset, x86_cpl(state));
}

/* The stack for a more privileged level, and the old one pushed on it with the parameters. */
static u32 enter_inner_stack(X86State *state, const Gate *gate, unsigned cpl, X86Stack *inner,
                             Descriptor *ss, u16 *ss_selector)
{
    X86Stack outer = x86_current_stack(state);
    u16 old_selector = state->segment[X86_SS].selector;
    u64 parameters[31];
    u64 old_pointer = outer.pointer;
    u32 esp;

    if (x86_long_mode_active(state)) {
        *ss_selector = (u16)cpl;
        *inner = (X86Stack){.mask = ~(u64)0, .wide = true};
        X86_TRY(x86_task_stack64(state, cpl, &inner->pointer));
    } else {
        X86State probe;
        X86_TRY(x86_task_stack(state, cpl, ss_selector, &esp));
        X86_TRY(x86_check_stack(state, *ss_selector, cpl, X86_TS, ss));
        x86_load_cache(&probe, X86_SS, *ss_selector, ss);
        *inner = (X86Stack){.segment = probe.segment[X86_SS],
                            .mask = probe.segment[X86_SS].attributes & X86_SEGMENT_DB ? 0xffffffff
                                                                                      : 0xffff};
        inner->pointer = esp & inner->mask;
    }
    for (unsigned n = 0; n < gate->parameters; n++) {
        X86_TRY(x86_stack_pop(state, &outer, &parameters[n], gate->size));
    }
    X86_TRY(x86_stack_push(state, inner, old_selector, gate->size));
    X86_TRY(x86_stack_push(state, inner, old_pointer, gate->size));
    for (unsigned n = gate->parameters; n-- > 0;) {
        X86_TRY(x86_stack_push(state, inner, parameters[n], gate->size));
    }
    return 0;
}

static void commit_stack(X86State *state, const X86Stack *stack, u16 selector, Descriptor *ss)
{
    if (stack->wide) {
        state->segment[X86_SS] =
            (X86Segment){.selector = selector,
                         .attributes = (u16)((selector & SELECTOR_RPL) << X86_SEGMENT_DPL_SHIFT)};
    } else {
        x86_load_cache(state, X86_SS, selector, ss);
    }
    x86_set_stack_pointer(state, stack);
}

static u32 call_through_gate(X86State *state, u16 selector, Descriptor *d)
{
    u16 old_cs = state->segment[X86_CS].selector;
    unsigned cpl = x86_cpl(state), target_cpl;
    Descriptor code, ss = {0};
    u16 ss_selector = 0;
    X86Stack stack;
    bool inner;
    Gate gate;

    X86_TRY(open_gate(state, selector, d, &gate));
    X86_TRY(find_code(state, gate.selector, 0, true, &code));
    X86_TRY(check_gate_target(state, &gate, &code));
    inner = !is_conforming(&code) && x86_descriptor_dpl(&code) < cpl;
    target_cpl = inner ? x86_descriptor_dpl(&code) : cpl;
    if (inner) {
        X86_TRY(enter_inner_stack(state, &gate, target_cpl, &stack, &ss, &ss_selector));
    } else {
        stack = x86_current_stack(state);
        if (gate.size == 8) {
            stack.wide = true;
            stack.mask = ~(u64)0;
        }
    }
    X86_TRY(x86_stack_push(state, &stack, old_cs, gate.size));
    X86_TRY(x86_stack_push(state, &stack, state->rip, gate.size));
    if (inner && !stack.wide) {
        X86_TRY(x86_mark_accessed(state, &ss));
    }
    X86_TRY(enter_code(state, gate.selector, &code, gate.offset, target_cpl));
    if (inner) {
        commit_stack(state, &stack, ss_selector, &ss);
    } else {
        x86_set_stack_pointer(state, &stack);
    }
    return 0;
}

/* A far jump or call whose selector names no code segment: gates and tasks. */
static u32 through_system_descriptor(X86State *state, u16 selector, Descriptor *d, bool call)
{
    X86TaskReason reason = call ? X86_TASK_CALL : X86_TASK_JUMP;
    bool wide = x86_long_mode_active(state);
    u16 error = selector_error(selector);
    unsigned type = x86_descriptor_type(d);

    if (type == X86_TYPE_CALL_GATE32 || (type == X86_TYPE_CALL_GATE16 && !wide)) {
        return call ? call_through_gate(state, selector, d) : jump_through_gate(state, selector, d);
    }
    if (wide || (type != X86_TYPE_TASK_GATE && (type & ~8u) != X86_TYPE_TSS16)) {
        return x86_fault_error(X86_GP, error);
    }
    if (x86_descriptor_dpl(d) < MAX(x86_cpl(state), selector & SELECTOR_RPL)) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(d)) {
        return x86_fault_error(X86_NP, error);
    }
    if (type == X86_TYPE_TASK_GATE) {
        selector = (u16)(d->low >> 16);
        if (selector & 4) {
            return x86_fault_error(X86_GP, selector_error(selector));
        }
        X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, d));
        if ((x86_descriptor_type(d) & ~8u) != X86_TYPE_TSS16) {
            return x86_fault_error(X86_GP, selector_error(selector));
        }
        if (!x86_descriptor_present(d)) {
            return x86_fault_error(X86_NP, selector_error(selector));
        }
    }
    return x86_switch_task(state, selector, d, reason, -1);
}

/* -- JMP and CALL */

static u32 real_far_jump(X86State *state, u16 selector, u64 offset)
{
    if (offset > state->segment[X86_CS].limit) {
        return x86_fault_error(X86_GP, 0);
    }
    x86_load_real(state, X86_CS, selector);
    state->rip = offset;
    return 0;
}

u32 x86_far_jump(X86State *state, u16 selector, u64 offset, unsigned size)
{
    Descriptor d;

    offset &= size_mask(size);
    if (!x86_protected_mode(state)) {
        return real_far_jump(state, selector, offset);
    }
    if (selector_error(selector) == 0) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, &d));
    if (!(x86_descriptor_type(&d) & X86_TYPE_SEGMENT)) {
        return through_system_descriptor(state, selector, &d, false);
    }
    X86_TRY(find_code(state, selector, selector & SELECTOR_RPL, false, &d));
    X86_TRY(check_code(state, selector, &d, offset));
    return enter_code(state, selector, &d, offset, x86_cpl(state));
}

u32 x86_far_call(X86State *state, u16 selector, u64 offset, unsigned size)
{
    X86Stack stack = x86_current_stack(state);
    u16 old_cs = state->segment[X86_CS].selector;
    u64 old_rip = state->rip;
    Descriptor d;

    offset &= size_mask(size);
    if (x86_protected_mode(state)) {
        if (selector_error(selector) == 0) {
            return x86_fault_error(X86_GP, 0);
        }
        X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, &d));
        if (!(x86_descriptor_type(&d) & X86_TYPE_SEGMENT)) {
            return through_system_descriptor(state, selector, &d, true);
        }
        X86_TRY(find_code(state, selector, selector & SELECTOR_RPL, false, &d));
        X86_TRY(check_code(state, selector, &d, offset));
    }
    X86_TRY(x86_stack_push(state, &stack, old_cs, size));
    X86_TRY(x86_stack_push(state, &stack, old_rip, size));
    if (x86_protected_mode(state)) {
        X86_TRY(enter_code(state, selector, &d, offset, x86_cpl(state)));
    } else {
        X86_TRY(real_far_jump(state, selector, offset));
    }
    x86_set_stack_pointer(state, &stack);
    return 0;
}

/* -- RET and IRET */

/* The code segment to return to (RPL not below CPL). */
static u32 find_return_code(X86State *state, u16 selector, u64 offset, Descriptor *d)
{
    unsigned rpl = selector & SELECTOR_RPL;
    u16 error = selector_error(selector);

    if (error == 0) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, d));
    if (!is_code(d) || rpl < x86_cpl(state) ||
        (is_conforming(d) ? x86_descriptor_dpl(d) > rpl : x86_descriptor_dpl(d) != rpl)) {
        return x86_fault_error(X86_GP, error);
    }
    return check_code(state, selector, d, offset);
}

/* The stack segment to return to at privilege `rpl`; null is allowed for 64-bit code below 3. */
static u32 find_return_stack(X86State *state, u16 selector, unsigned rpl, bool to_64_bit,
                             Descriptor *d, bool *null)
{
    *null =
        selector_error(selector) == 0 && to_64_bit && rpl < 3 && (selector & SELECTOR_RPL) == rpl;
    return *null ? 0 : x86_check_stack(state, selector, rpl, X86_GP, d);
}

/* What both returns do at the end: CS:rIP, and SS:rSP when they were popped. */
typedef struct Return {
    u64 rip, rsp;
    u16 cs, ss;
    bool pops_stack;
    u16 release; /* bytes of parameters on the outer stack */
} Return;

static u32 commit_return(X86State *state, const Return *r, X86Stack *inner)
{
    unsigned rpl = r->cs & SELECTOR_RPL;
    Descriptor code, ss;
    X86Stack outer;
    bool null, to_64_bit;

    X86_TRY(find_return_code(state, r->cs, r->rip, &code));
    to_64_bit = is_64_bit_code(state, &code);
    if (!r->pops_stack) {
        X86_TRY(enter_code(state, r->cs, &code, r->rip, rpl));
        x86_set_stack_pointer(state, inner);
        return 0;
    }
    X86_TRY(find_return_stack(state, r->ss, rpl, to_64_bit, &ss, &null));
    if (!null) {
        X86_TRY(x86_mark_accessed(state, &ss));
    }
    X86_TRY(enter_code(state, r->cs, &code, r->rip, rpl));
    if (null) {
        commit_stack(state, &(X86Stack){.wide = true, .mask = ~(u64)0}, r->ss, NULL);
    } else {
        x86_load_cache(state, X86_SS, r->ss, &ss);
    }
    outer = x86_current_stack(state);
    outer.pointer = (r->rsp + r->release) & outer.mask;
    if (outer.mask == 0xffffffff) {
        state->gpr[X86_RSP] = 0;
    }
    x86_set_stack_pointer(state, &outer);
    x86_drop_segments(state, rpl);
    return 0;
}

static u32 real_return(X86State *state, X86Stack *stack, u64 rip, u16 cs)
{
    if (rip > state->segment[X86_CS].limit) {
        return x86_fault_error(X86_GP, 0);
    }
    x86_load_real(state, X86_CS, cs);
    state->rip = rip;
    x86_set_stack_pointer(state, stack);
    return 0;
}

u32 x86_far_return(X86State *state, unsigned size, u16 release)
{
    X86Stack stack = x86_current_stack(state);
    Return r = {.release = release};
    u64 cs, ss = 0;

    X86_TRY(x86_stack_pop(state, &stack, &r.rip, size));
    X86_TRY(x86_stack_pop(state, &stack, &cs, size));
    stack.pointer = (stack.pointer + release) & stack.mask;
    if (!x86_protected_mode(state)) {
        return real_return(state, &stack, r.rip, (u16)cs);
    }
    r.cs = (u16)cs;
    r.pops_stack = (r.cs & SELECTOR_RPL) > x86_cpl(state);
    if (r.pops_stack) {
        X86_TRY(x86_stack_pop(state, &stack, &r.rsp, size));
        X86_TRY(x86_stack_pop(state, &stack, &ss, size));
        r.ss = (u16)ss;
    }
    return commit_return(state, &r, &stack);
}

/* EFLAGS as an IRET of `size` at privilege `cpl` may change them. */
static void restore_eflags(X86State *state, u64 popped, unsigned size, unsigned cpl)
{
    u64 mask = X86_EFLAGS_STATUS | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT;

    if (size > 2) {
        mask |= X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID;
    }
    if (cpl <= x86_iopl(state)) {
        mask |= X86_EFLAGS_IF;
    }
    if (cpl == 0) {
        mask |= X86_EFLAGS_IOPL;
        if (size > 2) {
            mask |= X86_EFLAGS_VIF | X86_EFLAGS_VIP;
        }
    }
    x86_set_eflags(state, (x86_get_eflags(state) & ~mask) | (popped & mask));
}

static u32 return_to_vm86(X86State *state, X86Stack *stack, u64 rip, u64 cs, u64 eflags)
{
    static const u8 order[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    u64 esp, ss, data[COUNT(order)];

    X86_TRY(x86_stack_pop(state, stack, &esp, 4));
    X86_TRY(x86_stack_pop(state, stack, &ss, 4));
    for (size_t n = 0; n < COUNT(order); n++) {
        X86_TRY(x86_stack_pop(state, stack, &data[n], 4));
    }
    x86_set_eflags(state, eflags & 0x3f7fd7);
    x86_load_real(state, X86_CS, (u16)cs);
    x86_load_real(state, X86_SS, (u16)ss);
    for (size_t n = 0; n < COUNT(order); n++) {
        x86_load_real(state, order[n], (u16)data[n]);
    }
    state->rip = rip & 0xffff;
    state->gpr[X86_RSP] = (u32)esp;
    return 0;
}

/* NT is set: back to the task that the current TSS's link names. */
static u32 return_from_task(X86State *state)
{
    const X86Segment *tr = &state->segment[X86_TR];
    X86Descriptor d;
    u16 link = 0;

    X86_TRY(x86_read_linear(state, tr->base, &link, 2, X86_WALK_IMPLICIT));
    if (link & 4) {
        return x86_fault_error(X86_TS, selector_error(link));
    }
    X86_TRY(x86_read_descriptor(state, link, false, X86_TS, &d));
    if ((x86_descriptor_type(&d) & ~8u) != (X86_TYPE_TSS16 | X86_TYPE_BUSY)) {
        return x86_fault_error(X86_TS, selector_error(link));
    }
    if (!x86_descriptor_present(&d)) {
        return x86_fault_error(X86_NP, selector_error(link));
    }
    return x86_switch_task(state, link, &d, X86_TASK_IRET, -1);
}

/* IRET of 16 bits in virtual-8086 mode with IOPL below 3 and CR4.VME (20.3.3): IF is VIF. */
static u32 virtual_interrupt_flag(X86State *state, u64 eflags)
{
    if (eflags & X86_EFLAGS_TF || (eflags & X86_EFLAGS_IF && state->eflags & X86_EFLAGS_VIP)) {
        return x86_fault_error(X86_GP, 0);
    }
    state->eflags &= ~(u32)X86_EFLAGS_VIF;
    state->eflags |= eflags & X86_EFLAGS_IF ? X86_EFLAGS_VIF : 0;
    return 0;
}

/* Real and virtual-8086 mode: IP, CS and FLAGS, without checks of privilege. */
static u32 real_interrupt_return(X86State *state, unsigned size)
{
    X86Stack stack = x86_current_stack(state);
    bool vm86 = state->eflags & X86_EFLAGS_VM;
    bool virtual_if = vm86 && x86_iopl(state) < 3;
    u64 mask = size == 2 ? 0x7fd5 : 0x257fd5;
    u64 rip, cs, eflags;

    if (virtual_if && (!(state->cr[4] & X86_CR4_VME) || size != 2)) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(x86_stack_pop(state, &stack, &rip, size));
    X86_TRY(x86_stack_pop(state, &stack, &cs, size));
    X86_TRY(x86_stack_pop(state, &stack, &eflags, size));
    if (virtual_if) {
        X86_TRY(virtual_interrupt_flag(state, eflags));
        mask &= ~(u64)X86_EFLAGS_IF;
    }
    if (vm86) {
        mask &= ~(u64)X86_EFLAGS_IOPL;
    }
    X86_TRY(real_return(state, &stack, rip, (u16)cs));
    x86_set_eflags(state, (x86_get_eflags(state) & ~mask) | (eflags & mask));
    return 0;
}

u32 x86_interrupt_return(X86State *state, unsigned size)
{
    X86Stack stack = x86_current_stack(state);
    unsigned cpl = x86_cpl(state);
    Return r = {0};
    u64 cs, ss = 0, eflags;

    if (!x86_protected_mode(state)) {
        return real_interrupt_return(state, size);
    }
    if (state->eflags & X86_EFLAGS_NT) {
        return x86_long_mode_active(state) ? x86_fault_error(X86_GP, 0) : return_from_task(state);
    }
    X86_TRY(x86_stack_pop(state, &stack, &r.rip, size));
    X86_TRY(x86_stack_pop(state, &stack, &cs, size));
    X86_TRY(x86_stack_pop(state, &stack, &eflags, size));
    if (size == 4 && eflags & X86_EFLAGS_VM && cpl == 0 && !x86_long_mode_active(state)) {
        return return_to_vm86(state, &stack, r.rip, cs, eflags);
    }
    r.cs = (u16)cs;
    r.pops_stack = (r.cs & SELECTOR_RPL) > cpl || x86_in_64_bit_mode(state);
    if (r.pops_stack) {
        X86_TRY(x86_stack_pop(state, &stack, &r.rsp, size));
        X86_TRY(x86_stack_pop(state, &stack, &ss, size));
        r.ss = (u16)ss;
    }
    X86_TRY(commit_return(state, &r, &stack));
    restore_eflags(state, eflags, size, cpl);
    return 0;
}
