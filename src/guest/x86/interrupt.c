/* Delivery of exceptions and interrupts in every mode (Intel SDM volume 3, chapter 6; 20.2 for
 * virtual-8086 mode).
 *
 * One delivery either completes or raises an exception with nothing changed but what was pushed
 * below the stack pointer; x86_deliver() turns the second exception into the right one.
 * Must not decide when an interrupt is taken. */
#include "guest/x86/system.h"

enum { ERROR_EXT = 1, ERROR_IDT = 2 };

typedef struct Delivery {
    X86State *state;
    u32 code;
    unsigned vector;
    bool software;
    u16 external; /* ERROR_EXT unless software: for the error codes of what goes wrong */
    u64 eflags;   /* as pushed */
} Delivery;

typedef struct InterruptGate {
    u16 selector;
    u64 offset;
    unsigned size; /* bytes of each value pushed */
    bool trap;     /* leaves IF alone */
    unsigned ist;  /* long mode: 0 or the number of the interrupt stack */
} InterruptGate;

/* -- Real mode, and INT n that virtual-8086 mode redirects to the program's own table */

static u32 deliver_real(const Delivery *d, u64 table)
{
    X86State *state = d->state;
    X86Stack stack = x86_current_stack(state);
    u32 vector = 0;

    X86_TRY(x86_read_linear(state, table + 4 * d->vector, &vector, 4,
                            state->eflags & X86_EFLAGS_VM ? X86_WALK_USER : 0));
    X86_TRY(x86_stack_push(state, &stack, d->eflags, 2));
    X86_TRY(x86_stack_push(state, &stack, state->segment[X86_CS].selector, 2));
    X86_TRY(x86_stack_push(state, &stack, state->rip, 2));
    x86_set_stack_pointer(state, &stack);
    x86_load_real(state, X86_CS, (u16)(vector >> 16));
    state->rip = vector & 0xffff;
    return 0;
}

static u32 deliver_in_real_mode(const Delivery *d)
{
    X86State *state = d->state;

    if (4 * d->vector + 3 > state->idt_limit) {
        return x86_fault_error(X86_GP, 0);
    }
    X86_TRY(deliver_real(d, state->idt_base));
    state->eflags &= ~(u32)(X86_EFLAGS_IF | X86_EFLAGS_TF | X86_EFLAGS_AC | X86_EFLAGS_RF);
    return 0;
}

/* 20.3.3: whether the task's bit map sends INT n to the program's own interrupt table. */
static u32 is_redirected(const Delivery *d, bool *redirected)
{
    X86State *state = d->state;
    const X86Segment *tr = &state->segment[X86_TR];
    u16 map = 0;
    u8 bits = 0;

    *redirected = false;
    if (!(d->code & X86_EXCEPTION_INT_N) || !(state->eflags & X86_EFLAGS_VM) ||
        !(state->cr[4] & X86_CR4_VME) || tr->limit < 103) {
        return 0;
    }
    X86_TRY(x86_read_linear(state, tr->base + 102, &map, 2, X86_WALK_IMPLICIT));
    if (map < 32 || map - 32u + d->vector / 8 > tr->limit) {
        return 0;
    }
    X86_TRY(
        x86_read_linear(state, tr->base + map - 32 + d->vector / 8, &bits, 1, X86_WALK_IMPLICIT));
    *redirected = !(bits >> d->vector % 8 & 1);
    return 0;
}

static u32 deliver_redirected(Delivery *d)
{
    X86State *state = d->state;
    bool own_if = x86_iopl(state) == 3;

    if (!own_if) {
        /* The program sees VIF in the place of IF, and IOPL 3. */
        d->eflags &= ~(u64)X86_EFLAGS_IF;
        d->eflags |= (state->eflags & X86_EFLAGS_VIF ? X86_EFLAGS_IF : 0) | X86_EFLAGS_IOPL;
    }
    X86_TRY(deliver_real(d, 0));
    state->eflags &= ~(u32)(X86_EFLAGS_TF | (own_if ? X86_EFLAGS_IF : X86_EFLAGS_VIF));
    return 0;
}

/* -- Protected and long mode */

static u16 vector_error(const Delivery *d)
{
    return (u16)(d->vector * 8 | ERROR_IDT | d->external);
}

/* Reads and checks the IDT entry; a task gate leaves gate->size 0. */
static u32 read_gate(const Delivery *d, InterruptGate *gate)
{
    X86State *state = d->state;
    bool wide = x86_long_mode_active(state);
    unsigned bytes = wide ? 16 : 8;
    u32 words[4] = {0};
    X86Descriptor entry;
    unsigned type;

    if (d->vector * bytes + bytes - 1 > state->idt_limit) {
        return x86_fault_error(X86_GP, vector_error(d));
    }
    X86_TRY(x86_read_linear(state, state->idt_base + d->vector * bytes, words, bytes,
                            X86_WALK_IMPLICIT));
    entry = (X86Descriptor){.low = words[0], .high = words[1], .top = words[2]};
    type = x86_descriptor_type(&entry);
    if ((type & ~9u) != X86_TYPE_INTERRUPT_GATE16 && (wide || type != X86_TYPE_TASK_GATE)) {
        return x86_fault_error(X86_GP, vector_error(d));
    }
    if (wide && !(type & 8)) {
        return x86_fault_error(X86_GP, vector_error(d));
    }
    if (d->software && x86_descriptor_dpl(&entry) < x86_cpl(state)) {
        return x86_fault_error(X86_GP, vector_error(d));
    }
    if (!x86_descriptor_present(&entry)) {
        return x86_fault_error(X86_NP, vector_error(d));
    }
    *gate = (InterruptGate){
        .selector = (u16)(words[0] >> 16),
        .offset = (words[0] & 0xffff) | (words[1] & 0xffff0000) | (u64)words[2] << 32,
        .size = type == X86_TYPE_TASK_GATE ? 0
                : wide                     ? 8
                : type & 8                 ? 4
                                           : 2,
        .trap = type & 1,
        .ist = wide ? words[1] & 7 : 0,
    };
    if (gate->size == 2) {
        gate->offset &= 0xffff;
    }
    return 0;
}

static u32 deliver_to_task(const Delivery *d, u16 selector)
{
    X86State *state = d->state;
    u16 error = (u16)((selector & ~3u) | d->external);
    X86Descriptor tss;

    if (selector & 4) {
        return x86_fault_error(X86_GP, error);
    }
    X86_TRY(x86_read_descriptor(state, selector, false, X86_GP, &tss));
    if ((x86_descriptor_type(&tss) & ~8u) != X86_TYPE_TSS16) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(&tss)) {
        return x86_fault_error(X86_NP, error);
    }
    return x86_switch_task(state, selector, &tss, X86_TASK_CALL,
                           d->code & X86_EXCEPTION_HAS_ERROR ? (s64)(d->code >> 16) : -1);
}

/* The handler's code segment; *cpl: the privilege it runs at. */
static u32 find_handler(const Delivery *d, const InterruptGate *gate, X86Descriptor *code,
                        unsigned *cpl)
{
    X86State *state = d->state;
    u16 error = (u16)((gate->selector & ~3u) | d->external);
    bool vm86 = state->eflags & X86_EFLAGS_VM;
    unsigned current = x86_cpl(state);
    unsigned type, dpl;

    if ((gate->selector & ~3u) == 0) {
        return x86_fault_error(X86_GP, d->external);
    }
    X86_TRY(x86_read_descriptor(state, gate->selector, false, X86_GP, code));
    type = x86_descriptor_type(code);
    dpl = x86_descriptor_dpl(code);
    if (!(type & X86_TYPE_SEGMENT) || !(type & X86_TYPE_CODE) || dpl > current) {
        return x86_fault_error(X86_GP, error);
    }
    if (!x86_descriptor_present(code)) {
        return x86_fault_error(X86_NP, error);
    }
    if (x86_long_mode_active(state) &&
        (code->high >> 8 & (X86_SEGMENT_L | X86_SEGMENT_DB)) != X86_SEGMENT_L) {
        return x86_fault_error(X86_GP, error);
    }
    *cpl = type & X86_TYPE_CONFORMING ? current : dpl;
    return vm86 && *cpl != 0 ? x86_fault_error(X86_GP, error) : 0;
}

/* The handler's stack: the current one, an interrupt stack, or the task's for its privilege. */
static u32 find_stack(const Delivery *d, const InterruptGate *gate, unsigned cpl, X86Stack *stack,
                      u16 *selector, X86Descriptor *ss)
{
    X86State *state = d->state;
    bool inner = cpl < x86_cpl(state);
    X86State probe;
    u32 esp;

    *stack = x86_current_stack(state);
    *selector = state->segment[X86_SS].selector;
    if (gate->size == 8) {
        stack->wide = true;
        stack->mask = ~(u64)0;
        stack->pointer = state->gpr[X86_RSP];
        stack->flags = cpl == 3 ? X86_WALK_USER : 0;
        if (gate->ist || inner) {
            X86_TRY(x86_task_stack64(state, gate->ist ? gate->ist + 3 : cpl, &stack->pointer));
        }
        if (inner) {
            *selector = (u16)cpl;
        }
        stack->pointer &= ~(u64)15;
        return 0;
    }
    if (!inner) {
        return 0;
    }
    X86_TRY(x86_task_stack(state, cpl, selector, &esp));
    X86_TRY(x86_check_stack(state, *selector, cpl, X86_TS, ss));
    x86_load_cache(&probe, X86_SS, *selector, ss);
    stack->segment = probe.segment[X86_SS];
    stack->mask = stack->segment.attributes & X86_SEGMENT_DB ? 0xffffffff : 0xffff;
    stack->pointer = esp & stack->mask;
    stack->flags = cpl == 3 ? X86_WALK_USER : 0;
    return 0;
}

/* Everything that goes on the handler's stack, in order. */
static u32 push_frame(const Delivery *d, const InterruptGate *gate, bool inner, X86Stack *stack)
{
    X86State *state = d->state;
    static const u8 vm86_order[] = {X86_GS, X86_FS, X86_DS, X86_ES};

    if (state->eflags & X86_EFLAGS_VM) {
        for (size_t n = 0; n < COUNT(vm86_order); n++) {
            X86_TRY(
                x86_stack_push(state, stack, state->segment[vm86_order[n]].selector, gate->size));
        }
    }
    if (inner || gate->size == 8) {
        X86_TRY(x86_stack_push(state, stack, state->segment[X86_SS].selector, gate->size));
        X86_TRY(x86_stack_push(state, stack, state->gpr[X86_RSP], gate->size));
    }
    X86_TRY(x86_stack_push(state, stack, d->eflags, gate->size));
    X86_TRY(x86_stack_push(state, stack, state->segment[X86_CS].selector, gate->size));
    X86_TRY(x86_stack_push(state, stack, state->rip, gate->size));
    return d->code & X86_EXCEPTION_HAS_ERROR
               ? x86_stack_push(state, stack, d->code >> 16, gate->size)
               : 0;
}

static void leave_vm86(X86State *state)
{
    static const u8 data_segments[] = {X86_ES, X86_DS, X86_FS, X86_GS};

    for (size_t n = 0; n < COUNT(data_segments); n++) {
        state->segment[data_segments[n]] = (X86Segment){.selector = 0};
    }
    state->eflags &= ~(u32)X86_EFLAGS_VM;
}

static u32 deliver_protected(const Delivery *d)
{
    X86State *state = d->state;
    X86Descriptor code, ss = {0};
    InterruptGate gate;
    X86Stack stack;
    unsigned cpl;
    u16 selector;
    bool inner;

    X86_TRY(read_gate(d, &gate));
    if (gate.size == 0) {
        return deliver_to_task(d, gate.selector);
    }
    X86_TRY(find_handler(d, &gate, &code, &cpl));
    if (gate.size == 8 ? !x86_canonical(state, gate.offset) : 0) {
        return x86_fault_error(X86_GP, d->external);
    }
    inner = cpl < x86_cpl(state);
    X86_TRY(find_stack(d, &gate, cpl, &stack, &selector, &ss));
    X86_TRY(push_frame(d, &gate, inner, &stack));
    X86_TRY(x86_mark_accessed(state, &code));
    if (inner && gate.size != 8) {
        X86_TRY(x86_mark_accessed(state, &ss));
    }
    if (state->eflags & X86_EFLAGS_VM) {
        leave_vm86(state);
    }
    if (inner && gate.size == 8) {
        state->segment[X86_SS] =
            (X86Segment){.selector = selector, .attributes = (u16)(cpl << X86_SEGMENT_DPL_SHIFT)};
    } else if (inner) {
        x86_load_cache(state, X86_SS, selector, &ss);
    }
    x86_set_stack_pointer(state, &stack);
    x86_load_cache(state, X86_CS, (u16)((gate.selector & ~3u) | cpl), &code);
    state->rip = gate.offset;
    state->eflags &= ~(u32)(X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF | X86_EFLAGS_VM |
                            (gate.trap ? 0 : X86_EFLAGS_IF));
    return 0;
}

/* -- One delivery, and what becomes of an exception in the middle of it */

/* Faults push RF set, so that an instruction breakpoint does not hit again on return. */
static bool is_fault(u32 code)
{
    unsigned vector = code & 0xff;

    return !(code & (X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_EXTERNAL)) && vector != X86_DB &&
           vector != X86_NMI && vector != X86_BP && vector != X86_OF && vector != X86_DF;
}

static u32 deliver_once(X86State *state, u32 code)
{
    bool software = code & X86_EXCEPTION_SOFTWARE;
    Delivery d = {.state = state,
                  .code = code,
                  .vector = code & 0xff,
                  .software = software,
                  .external = software ? 0 : ERROR_EXT,
                  .eflags = x86_get_eflags(state)};
    bool redirected, virtual = state->eflags & X86_EFLAGS_VM && x86_iopl(state) < 3;

    if (is_fault(code)) {
        d.eflags |= X86_EFLAGS_RF;
    }
    if (!(state->cr[0] & X86_CR0_PE)) {
        return deliver_in_real_mode(&d);
    }
    X86_TRY(is_redirected(&d, &redirected));
    if (code & X86_EXCEPTION_INT_N && virtual && !redirected) {
        return x86_fault_error(X86_GP, 0); /* the monitor's business */
    }
    return redirected ? deliver_redirected(&d) : deliver_protected(&d);
}

/* Table 6-4. */
static bool is_contributory(u32 code)
{
    unsigned vector = code & 0xff;

    return !(code & (X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_EXTERNAL)) &&
           (vector == X86_DE || (vector >= X86_TS && vector <= X86_GP));
}

static bool is_page_fault(u32 code)
{
    return !(code & (X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_EXTERNAL)) && (code & 0xff) == X86_PF;
}

bool x86_deliver(X86State *state, u32 code)
{
    u32 second;

    while ((second = deliver_once(state, code))) {
        if (code & X86_EXCEPTION_SOFTWARE) { /* a fault of the instruction */
            state->rip -= code >> X86_EXCEPTION_LENGTH_SHIFT & 15;
        }
        if ((code & 0xff) == X86_DF && !(code & X86_EXCEPTION_SOFTWARE)) {
            return false;
        }
        if ((is_contributory(code) && is_contributory(second)) ||
            (is_page_fault(code) && (is_contributory(second) || is_page_fault(second)))) {
            second = x86_fault_error(X86_DF, 0);
        }
        code = second;
    }
    return true;
}
