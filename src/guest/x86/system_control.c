/* Control, debug and model-specific registers, the TLB, SMAP's override, waiting: instructions of
 * operating systems on the CPU's own state. What they check is in control.c and msr.c. */
#include <string.h>

#include "guest/x86/feature.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"

/* -- Control registers */

/* There are CR0, CR2, CR3, CR4 and, with 64-bit mode, CR8. */
static bool exists(unsigned number)
{
    return number == 0 || (number >= 2 && number <= 4) || number == 8;
}

void tr_MOV_from_control(Tr *t)
{
    unsigned number = t->i->operand[1].number;
    IrVal value;

    if (!exists(number)) {
        tr_undefined(t, NULL);
        return;
    }
    value = number == 8 ? ir_call(t->b, IR_I64, HELPER_READ_PRIORITY, 0, 0, 0, 0)
                        : ir_get(t->b, IR_I64, SLOT(cr[number]));
    write_operand(t, 0, ir_trunc(t->b, type_of_operand(t, 0), value));
}

/* () -> i64: CR8. */
void x86_read_priority(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    const GuestBus *bus = x86_bus(state);

    io[0].i = bus->priority_read ? bus->priority_read(bus->opaque) : state->cr8;
}

static void write_control(Tr *t, unsigned number, IrVal value)
{
    call_raising(t, HELPER_WRITE_CONTROL, const32(t, number), ir_zext(t->b, IR_I64, value), 0, 0);
}

void tr_MOV_to_control(Tr *t)
{
    unsigned number = t->i->operand[0].number;

    if (!exists(number)) {
        tr_undefined(t, NULL);
        return;
    }
    write_control(t, number, read_operand(t, 1, type_of_operand(t, 1)));
    if (number == 2) {
        return;
    }
    if (number == 8) {
        end_polling(t);
    } else {
        end_resync(t);
    }
}

/* (number, value) -> word. */
void x86_write_control(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 value = io[2].i;

    switch (io[1].i) {
    case 0:
        io[0].i = x86_write_cr0(state, value);
        break;
    case 2:
        state->cr[2] = value;
        io[0].i = 0;
        break;
    case 3:
        io[0].i = x86_write_cr3(state, value);
        break;
    case 4:
        io[0].i = x86_write_cr4(state, value);
        break;
    default:
        io[0].i = x86_write_cr8(state, value);
        break;
    }
}

/* Of CR0, all bits that the operand has, in memory 16. */
void tr_SMSW(Tr *t)
{
    check_umip(t);
    write_operand(t, 0, ir_trunc(t->b, type_of_operand(t, 0), ir_get(t->b, IR_I64, SLOT(cr[0]))));
}

/* PE, which can only be set, MP, EM and TS. */
void tr_LMSW(Tr *t)
{
    u64 all = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;
    IrVal old = ir_get(t->b, IR_I64, SLOT(cr[0]));
    IrVal low = ir_zext(t->b, IR_I64, read_operand(t, 0, IR_I16));

    old = ir_and(t->b, old, const64(t, ~(all & ~(u64)X86_CR0_PE)));
    write_control(t, 0, ir_or(t->b, old, ir_and(t->b, low, const64(t, all))));
    end_resync(t);
}

void tr_CLTS(Tr *t)
{
    if (t->mode & X86_MODE_TS) {
        IrVal cr0 = ir_get(t->b, IR_I64, SLOT(cr[0]));
        ir_put(t->b, SLOT(cr[0]), ir_and(t->b, cr0, const64(t, ~(u64)X86_CR0_TS)));
        end_resync(t);
    }
}

void tr_XSETBV(Tr *t)
{
    call_raising(t, HELPER_SET_XCR, 0, 0, 0, 0);
    end_resync(t);
}

/* () -> word: EDX:EAX into the extended control register ECX, of which there is XCR0: x87 always,
 * AVX only with SSE (vol. 1, 13.3). */
void x86_set_xcr(void *opaque, IrWord *io)
{
    enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4 };
    X86State *state = opaque;
    u64 value = (u32)state->gpr[X86_RAX] | state->gpr[X86_RDX] << 32;
    u64 known = XCR0_X87 | XCR0_SSE;

    if (x86_has(state->features, X86_FEATURE_AVX)) {
        known |= XCR0_AVX;
    }
    if (!(state->cr[4] & X86_CR4_OSXSAVE)) {
        io[0].i = x86_fault(X86_UD);
    } else if ((u32)state->gpr[X86_RCX] || !(value & XCR0_X87) || value & ~known ||
               (value & (XCR0_SSE | XCR0_AVX)) == XCR0_AVX) {
        io[0].i = x86_fault_error(X86_GP, 0);
    } else {
        state->xcr0 = value;
        io[0].i = 0;
    }
}

/* -- Debug registers */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set: the helper says so. */
static unsigned debug_number(unsigned number)
{
    return number == 4 || number == 5 ? number + 2 : number;
}

void tr_MOV_from_debug(Tr *t)
{
    unsigned number = t->i->operand[1].number;

    call_raising(t, HELPER_CHECK_DEBUG, const32(t, number), 0, 0, 0);
    write_operand(t, 0,
                  ir_trunc(t->b, type_of_operand(t, 0),
                           ir_get(t->b, IR_I64, SLOT(dr[debug_number(number) & 7]))));
}

void tr_MOV_to_debug(Tr *t)
{
    unsigned number = t->i->operand[0].number;
    IrVal value = read_operand(t, 1, type_of_operand(t, 1));

    call_raising(t, HELPER_CHECK_DEBUG, const32(t, number), 0, 0, 0);
    call_raising(t, HELPER_WRITE_DEBUG, const32(t, debug_number(number)),
                 ir_zext(t->b, IR_I64, value), 0, 0);
    end_resync(t);
}

/* (number) -> word: whether the register can be accessed. */
void x86_check_debug(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 number = io[1].i;

    io[0].i = 0;
    if (number > 7 || ((number == 4 || number == 5) && state->cr[4] & X86_CR4_DE)) {
        io[0].i = x86_fault(X86_UD);
    } else if (state->dr[7] & X86_DR7_GD) {
        state->dr[6] |= X86_DR6_BD;
        io[0].i = x86_fault(X86_DB);
    }
}

/* (number, value) -> word. */
void x86_write_debug(void *state, IrWord *io)
{
    io[0].i = x86_write_dr(state, (unsigned)io[1].i, io[2].i);
}

/* -- Model-specific registers: ECX names one, EDX:EAX is its value */

void tr_RDMSR(Tr *t)
{
    call_raising(t, HELPER_READ_MSR, 0, 0, 0, 0);
}

/* None that the mode depends on can be written. */
void tr_WRMSR(Tr *t)
{
    call_raising(t, HELPER_WRITE_MSR, 0, 0, 0, 0);
    end_polling(t);
}

/* () -> word */
void x86_rdmsr(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 value = 0;

    io[0].i = x86_read_msr(state, (u32)state->gpr[X86_RCX], &value);
    if (!io[0].i) {
        state->gpr[X86_RAX] = (u32)value;
        state->gpr[X86_RDX] = value >> 32;
    }
}

/* () -> word */
void x86_wrmsr(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u64 value = (u32)state->gpr[X86_RAX] | state->gpr[X86_RDX] << 32;

    io[0].i = x86_write_msr(state, (u32)state->gpr[X86_RCX], value);
}

void tr_SWAPGS(Tr *t)
{
    IrVal current = ir_get(t->b, IR_I64, SLOT(segment[X86_GS].base));
    IrVal other = ir_get(t->b, IR_I64, SLOT(kernel_gs_base));

    ir_put(t->b, SLOT(segment[X86_GS].base), other);
    ir_put(t->b, SLOT(kernel_gs_base), current);
}

/* -- SMAP: EFLAGS.AC lets supervisor code access user pages, which is another mode */

static void set_override(Tr *t, bool on)
{
    IrVal eflags;

    if (t->mode & X86_MODE_CPL) {
        tr_undefined(t, NULL);
        return;
    }
    if (t->mode & X86_MODE_SMAP && !on) {
        return;
    }
    eflags = ir_get(t->b, IR_I32, SLOT(eflags));
    eflags = on ? ir_or(t->b, eflags, const32(t, X86_EFLAGS_AC))
                : ir_and(t->b, eflags, const32(t, ~(u32)X86_EFLAGS_AC));
    ir_put(t->b, SLOT(eflags), eflags);
    if (!on || t->mode & X86_MODE_SMAP) {
        end_resync(t);
    }
}

void tr_CLAC(Tr *t)
{
    set_override(t, false);
}

void tr_STAC(Tr *t)
{
    set_override(t, true);
}

/* -- Caches and the TLB */

/* There is no cache to be seen. */
void tr_WBINVD(Tr *t)
{
    (void)t;
}

void tr_INVLPG(Tr *t)
{
    IrVal address = linear_address(t, t->i->memory.segment, effective_address(t), 1, false);

    ir_call(t->b, IR_VOID, HELPER_INVALIDATE_PAGE, address, 0, 0, 0);
    end_resync(t);
}

/* (linear address) */
void x86_invalidate_page(void *state, IrWord *io)
{
    x86_bus(state)->flush_page(state, io[1].i);
}

void tr_INVPCID(Tr *t)
{
    IrVal type = ir_zext(t->b, IR_I64, read_operand(t, 0, type_of_operand(t, 0)));
    IrVal pcid = load_memory(t, IR_I64, 0), address = load_memory(t, IR_I64, 8);

    call_raising(t, HELPER_INVALIDATE_CONTEXT, type, pcid, address, 0);
    end_resync(t);
}

/* (type, low and high half of the descriptor) -> word. The soft MMU does not tell contexts apart:
 * what is asked of one is done to the current one. */
void x86_invalidate_context(void *opaque, IrWord *io)
{
    enum { ONE_ADDRESS, ONE_CONTEXT, EVERYTHING, ALL_CONTEXTS };
    X86State *state = opaque;
    u64 type = io[1].i, pcid = io[2].i, address = io[3].i;
    bool names_context = type == ONE_ADDRESS || type == ONE_CONTEXT;

    io[0].i = x86_fault_error(X86_GP, 0);
    if (type > ALL_CONTEXTS || pcid >> 12 ||
        (names_context && pcid && !(state->cr[4] & X86_CR4_PCIDE)) ||
        (type == ONE_ADDRESS && !x86_canonical_base(state, address))) {
        return;
    }
    io[0].i = 0;
    if (type == ONE_ADDRESS) {
        x86_bus(state)->flush_page(state, address);
    } else {
        x86_bus(state)->flush(state, type == EVERYTHING);
    }
}

/* -- Waiting */

void tr_HLT(Tr *t)
{
    if (t->mode & X86_MODE_TF) {
        end_goto(t, t->next);
        return;
    }
    leave_shadow(t);
    ir_put(t->b, SLOT(halted), ir_const(t->b, IR_I8, X86_HALTED));
    end_exit(t, IR_EXIT_HALT, t->next, 0);
}

/* MONITOR and MWAIT. A store to the line is not noticed but looked for, in pauses that grow: the
 * wait ends at the end of each, which it may at any time. The first is short, for a CPU that is
 * given work at once; the longest lets an idle one use nearly no time. Nanoseconds. */
enum { LINE = 64, FIRST_REST = 20000, LONGEST_REST = 1000000 };

/* No extension is there, and hints have no meaning. */
void tr_MONITOR(Tr *t)
{
    IrVal at = get_gpr(t, address_type(t), X86_RAX);

    fault_if(t, get_gpr(t, IR_I32, X86_RCX), X86_GP, true, 0);
    at = linear_address(t, X86_DS, at, 1, false);
    load_linear(t, IR_I8, at, 0);
    call_raising(t, HELPER_MONITOR, at, 0, 0, 0);
}

/* (linear address) -> word */
void x86_monitor(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    unsigned flags = x86_cpl(state) == 3 ? X86_WALK_USER : 0;

    state->monitor_at = io[1].i & ~(u64)(LINE - 1);
    io[0].i = x86_read_linear(state, state->monitor_at, state->monitored, LINE, flags);
    state->monitor_armed = !io[0].i;
}

void tr_MWAIT(Tr *t)
{
    fault_if(t, get_gpr(t, IR_I32, X86_RCX), X86_GP, true, 0);
    if (!(t->mode & (X86_MODE_TF | X86_MODE_BREAK))) {
        leave_shadow(t);
        ir_call(t->b, IR_VOID, HELPER_MWAIT, 0, 0, 0, 0);
    }
    end_polling(t);
}

static bool is_line_unchanged(X86State *state)
{
    u64 now[COUNT(state->monitored)];

    return !x86_read_linear(state, state->monitor_at, now, LINE, X86_WALK_PROBE) &&
           memcmp(now, state->monitored, LINE) == 0;
}

/* () */
void x86_mwait(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    const GuestBus *bus = x86_bus(state);
    u32 ignored = state->eflags & X86_EFLAGS_IF ? 0 : CPU_LINE_IRQ;
    bool idle = false;

    (void)io;
    if (state->monitor_armed && bus->rest && is_line_unchanged(state)) {
        state->monitor_rest = MAX(state->monitor_rest, (u32)FIRST_REST);
        bus->rest(bus->opaque, state->monitor_rest, ignored);
        idle = !(cpu_common(state)->lines & ~ignored) && is_line_unchanged(state);
    }
    state->monitor_rest = idle ? MIN(2 * state->monitor_rest, (u32)LONGEST_REST) : FIRST_REST;
    state->monitor_armed = 0;
}

/* -- System management mode */

void tr_RSM(Tr *t)
{
    if (!(t->mode & X86_MODE_SMM)) {
        tr_undefined(t, NULL);
        return;
    }
    call_raising(t, HELPER_LEAVE_SMM, 0, 0, 0, 0);
    end_redirect(t);
}
