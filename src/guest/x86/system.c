/* The x86 CPU in system mode as the engine sees it: spaces of memory, exceptions, interrupts.
 *
 * Interrupts are looked at when CpuCommon.interrupt says so. Whatever makes it possible to take one
 * that waits calls x86_look_again().
 * Must not emit IR. */
#include "guest/x86/system.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"

/* -- Memory */

static void attach(void *state, GuestBus *bus)
{
    ((X86State *)state)->system = bus;
}

static u32 space(u32 mode)
{
    if ((mode & X86_MODE_CPL) == X86_MODE_CPL) {
        return X86_SPACE_USER;
    }
    return mode & X86_MODE_SMAP ? X86_SPACE_GUARDED : X86_SPACE_SUPERVISOR;
}

static u64 context(const void *state)
{
    const X86State *s = state;
    const X86Segment *cs = &s->segment[X86_CS];
    bool ordinary = s->user_mode && cs->base == 0 && cs->limit == 0xffffffff;

    return x86_in_64_bit_mode(s) || ordinary ? 0 : (u32)cs->base | (u64)cs->limit << 32;
}

static u64 walk(void *state, u64 address, GuestAccess access, u32 space, GuestPage *page)
{
    unsigned flags = (access == GUEST_WRITE ? X86_WALK_WRITE : 0) |
                     (access == GUEST_FETCH ? X86_WALK_FETCH : 0) |
                     (access == GUEST_PEEK ? X86_WALK_PROBE : 0) |
                     (space == X86_SPACE_USER      ? X86_WALK_USER
                      : space == X86_SPACE_GUARDED ? X86_WALK_IMPLICIT
                                                   : 0);
    X86Translation t;

    if (x86_long_mode_active(state) && !x86_canonical(state, address)) {
        return x86_fault_error(X86_GP, 0) | (access == GUEST_FETCH ? 0 : X86_EXCEPTION_ADDRESS);
    }
    X86_TRY(x86_walk(state, address, flags, &t));
    *page = (GuestPage){.physical = t.physical,
                        .page_bits = t.page_bits,
                        .writable = t.writable,
                        .global = t.global};
    return 0;
}

/* -- Lines */

void x86_look_again(X86State *state)
{
    CpuCommon *common = cpu_common(state);

    if (__atomic_load_n(&common->lines, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&common->interrupt, 1, __ATOMIC_SEQ_CST);
    }
}

/* () */
void x86_look_for_interrupts(void *state, IrWord *io)
{
    (void)io;
    x86_look_again(state);
}

/* () -> i32: whether any line is up. */
void x86_any_lines(void *state, IrWord *io)
{
    io[0].i = __atomic_load_n(&cpu_common(state)->lines, __ATOMIC_RELAXED) != 0;
}

/* () -> i32: whether there is something to look at before the next instruction. */
void x86_is_interrupted(void *state, IrWord *io)
{
    x86_look_again(state);
    io[0].i = __atomic_load_n(&cpu_common(state)->interrupt, __ATOMIC_RELAXED);
}

static void lower(X86State *state, u32 line)
{
    __atomic_fetch_and(&cpu_common(state)->lines, ~line, __ATOMIC_SEQ_CST);
}

/* -- Exceptions */

/* What DR6 tells a debug exception's handler, and DR7 loses (17.2.3, 17.2.4). */
static void note_debug(X86State *state, u32 code)
{
    state->dr[6] |= state->debug_hits | (code & X86_EXCEPTION_STEP ? X86_DR6_BS : 0);
    state->dr[7] &= ~(u64)X86_DR7_GD;
}

/* Whether the instruction at rIP, one of 64-bit code, accesses the stack's segment: by its memory
 * operand or, without one, as it pushes or pops. */
static bool accesses_stack(X86State *state)
{
    X86DecodeMode mode = x86_decode_mode(x86_mode(state), state->features);
    u8 bytes[X86_INSN_MAX];
    size_t size = 0;
    X86Insn insn;

    while (size < sizeof(bytes) &&
           !x86_read_linear(state, state->rip + size, &bytes[size], 1, X86_WALK_PROBE)) {
        size++;
    }
    if (x86_decode(bytes, size, &mode, &insn) != X86_DECODE_OK) {
        return false;
    }
    for (unsigned n = 0; n < insn.operand_count; n++) {
        switch ((X86OperandKind)insn.operand[n].kind) {
        case X86_OPERAND_MEMORY:
            return insn.memory.segment == X86_SS;
        case X86_OPERAND_STRING_SOURCE:
        case X86_OPERAND_STRING_DESTINATION:
            return false;
        default:
            break;
        }
    }
    return true;
}

/* The accesses of translated code do not say which segment they are to. */
static u32 with_segment(X86State *state, u32 code)
{
    if (!(code & X86_EXCEPTION_ADDRESS)) {
        return code;
    }
    return x86_fault_error(accesses_stack(state) ? X86_STACK : X86_GP, 0);
}

static bool deliver(void *opaque, u64 word)
{
    X86State *state = opaque;
    u32 code = with_segment(state, (u32)word);
    unsigned vector = code & 0xff;
    bool own = !(code & (X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_EXTERNAL));

    if (state->shutdown) {
        return false;
    }
    if (own && vector == X86_MF && !(state->cr[0] & X86_CR0_NE)) {
        const GuestBus *bus = x86_bus(state);
        if (bus->fp_error) { /* the instruction waits for what that interrupt does */
            bus->fp_error(bus->opaque);
        }
        return true;
    }
    if (own && vector == X86_DB) {
        note_debug(state, code);
    }
    if (own) { /* a trap that waited in the shadow of MOV SS comes after INT n */
        state->debug_hits = 0;
    }
    state->interrupt_shadow = 0;
    if (!x86_deliver(state, code)) {
        state->shutdown = 1;
    }
    x86_look_again(state);
    return !state->shutdown;
}

/* -- Interrupts, by priority (table 6-2) */

static void accept(X86State *state, u32 vector)
{
    state->halted = 0;
    if (!x86_deliver(state, vector | X86_EXCEPTION_EXTERNAL | X86_EXCEPTION_RAISED)) {
        state->shutdown = 1; /* which the mode leads to */
    }
}

static bool take_irq(X86State *state)
{
    const GuestBus *bus = x86_bus(state);
    int vector = state->eflags & X86_EFLAGS_IF ? bus->acknowledge(bus->opaque) : -1;

    if (vector < 0) {
        return false;
    }
    accept(state, (u32)vector);
    return true;
}

/* A processor that waits for its start-up IPI notices nothing else. */
static bool take_startup(X86State *state, u32 lines)
{
    if (!(lines & CPU_LINE_STARTUP)) {
        return false;
    }
    lower(state, CPU_LINE_STARTUP | 0xffu << CPU_LINE_VECTOR_SHIFT);
    if (state->halted != X86_WAITS_FOR_STARTUP) {
        return false;
    }
    x86_start_up(state, (u8)(lines >> CPU_LINE_VECTOR_SHIFT));
    return true;
}

static bool take_most_urgent(X86State *state, u32 lines)
{
    if (state->trap_pending || state->debug_hits || state->interrupt_shadow || state->shutdown) {
        return false; /* first come the trap, the next instruction */
    }
    if (lines & CPU_LINE_SMI && !state->in_smm && state->halted != X86_WAITS_FOR_STARTUP) {
        lower(state, CPU_LINE_SMI);
        x86_enter_smm(state);
        return true;
    }
    if (lines & CPU_LINE_INIT && !state->in_smm) {
        lower(state, CPU_LINE_INIT);
        x86_init(state);
        return true;
    }
    if (lines & CPU_LINE_STARTUP || state->halted == X86_WAITS_FOR_STARTUP) {
        return take_startup(state, lines);
    }
    if (lines & CPU_LINE_NMI && !state->nmi_blocked) {
        lower(state, CPU_LINE_NMI);
        state->nmi_blocked |= X86_NMI_BLOCKED;
        accept(state, X86_NMI);
        return true;
    }
    return lines & CPU_LINE_IRQ && take_irq(state);
}

static bool interrupt(void *opaque, u32 lines)
{
    X86State *state = opaque;
    bool taken = take_most_urgent(state, lines);

    if (taken) {
        x86_look_again(state);
    }
    return taken;
}

static bool halted(const void *state)
{
    return ((const X86State *)state)->halted;
}

const GuestSystem x86_system = {
    .attach = attach,
    .space_count = X86_SPACES,
    .space = space,
    .program_space = X86_SPACE_USER,
    .context = context,
    .code_address = x86_code_address,
    .walk = walk,
    .unaligned = X86_GP | X86_EXCEPTION_RAISED | X86_EXCEPTION_HAS_ERROR,
    .deliver = deliver,
    .interrupt = interrupt,
    .halted = halted,
};
