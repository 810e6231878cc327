/* I/O ports: IN, OUT, INS, OUTS.
 *
 * Where CPL and IOPL do not allow all ports the permission map is asked first. Repeated string
 * forms are done by a helper, as many elements at a time as lie in one page: the place in memory is
 * looked up before a port is read, so that nothing is lost in a fault.
 * A device may do anything to the rest of the machine: blocks end behind these instructions, where
 * interrupts are noticed. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"

enum { PAGE_SIZE = 4096 };

/* -- Ports */

/* (port, size) -> word */
void x86_check_port_access(void *state, IrWord *io)
{
    io[0].i = x86_check_port(state, (u16)io[1].i, (unsigned)io[2].i);
}

static u32 port_read(X86State *state, u16 port, unsigned size)
{
    const GuestBus *bus = x86_bus(state);

    x86_port_breakpoint(state, port, size);
    return bus->port_read(bus->opaque, port, size);
}

static void port_write(X86State *state, u16 port, unsigned size, u32 value)
{
    const GuestBus *bus = x86_bus(state);

    x86_port_breakpoint(state, port, size);
    bus->port_write(bus->opaque, port, size, value);
}

/* (port, size) -> i32 */
void x86_port_read(void *state, IrWord *io)
{
    io[0].i = port_read(state, (u16)io[1].i, (unsigned)io[2].i);
}

/* (port, size, value) */
void x86_port_write(void *state, IrWord *io)
{
    port_write(state, (u16)io[1].i, (unsigned)io[2].i, (u32)io[3].i);
}

static bool is_checked(const Tr *t)
{
    return !(t->mode & X86_MODE_IOPL) || t->mode & X86_MODE_VM86;
}

/* The port, i32, that operand n names, with the checks done. */
static IrVal port_operand(Tr *t, unsigned n, unsigned size)
{
    bool immediate = t->i->operand[n].kind == X86_OPERAND_IMMEDIATE;
    IrVal port = immediate ? const32(t, (u8)t->i->operand[n].value)
                           : ir_zext(t->b, IR_I32, get_gpr(t, IR_I16, X86_RDX));

    if (is_checked(t)) {
        call_raising(t, HELPER_CHECK_PORT, port, const32(t, size), 0, 0);
    }
    return port;
}

/* Programs get as far as this with an I/O privilege level that they do not have. */
static bool is_refused(Tr *t)
{
    if (!(t->mode & X86_MODE_SYSTEM)) {
        end_exception(t, X86_GP, true, 0);
    }
    return t->ended;
}

void tr_IN(Tr *t)
{
    unsigned size = t->i->operand[0].size;
    IrVal port, value;

    if (is_refused(t)) {
        return;
    }
    port = port_operand(t, 1, size);
    value = ir_call(t->b, IR_I32, HELPER_PORT_READ, port, const32(t, size), 0, 0);
    put_gpr(t, X86_RAX, resize(t, type_of_size(size), value));
    end_polling(t);
}

void tr_OUT(Tr *t)
{
    unsigned size = t->i->operand[1].size;
    IrVal port, value;

    if (is_refused(t)) {
        return;
    }
    port = port_operand(t, 0, size);
    value = ir_zext(t->b, IR_I32, get_gpr(t, type_of_size(size), X86_RAX));
    ir_call(t->b, IR_VOID, HELPER_PORT_WRITE, port, const32(t, size), value, 0);
    end_polling(t); /* an SMI that it asked for comes before the next instruction, perhaps HLT */
}

/* -- Strings */

/* What the instruction's first helper argument holds. */
enum {
    STRING_SIZE = 0xff, /* of an element */
    STRING_ADDRESS_SHIFT = 8,
    STRING_SEGMENT_SHIFT = 16,
    STRING_REPEATED = 1 << 24,
    STRING_OUT = 1 << 25,
};

typedef struct PortString {
    X86State *state;
    unsigned size;
    bool out;
    unsigned pointer; /* rSI or rDI */
    unsigned segment;
    u64 mask; /* of the address size */
    s64 step;
    u16 port;
} PortString;

/* Adds to a register at the address size. */
static void add_to(const PortString *s, unsigned n, s64 amount)
{
    u64 *r = &s->state->gpr[n];
    u64 sum = (*r + (u64)amount) & s->mask;

    *r = s->mask == 0xffff ? (*r & ~s->mask) | sum : sum;
}

/* The linear address of the next element, checked; the room that its page has for elements. */
static u32 find_element(const PortString *s, u64 *linear, unsigned *room)
{
    X86State *state = s->state;
    u64 offset = state->gpr[s->pointer] & s->mask;
    IrWord io[5] = {0};
    unsigned in_page;

    *linear = offset + state->segment[s->segment].base;
    if (x86_in_64_bit_mode(state)) {
        *linear = s->segment == X86_FS || s->segment == X86_GS ? *linear : offset;
        if (!x86_canonical(state, *linear)) {
            return x86_fault_error(X86_GP, 0);
        }
    } else {
        io[1].i = s->segment | s->size << 8 | (u32)!s->out << 16;
        io[2].i = offset;
        x86_check_segment(state, io);
        X86_TRY((u32)io[0].i);
        *linear = (u32)*linear;
    }
    in_page = (unsigned)(*linear % PAGE_SIZE);
    *room = s->step < 0 ? in_page / s->size + 1 : (PAGE_SIZE - in_page) / s->size;
    return 0;
}

static u32 move_element(const PortString *s, u64 linear)
{
    X86State *state = s->state;
    unsigned user = x86_cpl(state) == 3 ? X86_WALK_USER : 0;
    X86Translation page;
    u32 value = 0;

    if (s->out) {
        X86_TRY(x86_read_linear(state, linear, &value, s->size, user));
        x86_data_breakpoint_at(state, linear, s->size, false);
        port_write(state, s->port, s->size, value);
        return 0;
    }
    X86_TRY(x86_walk(state, linear, user | X86_WALK_WRITE, &page));
    if (linear % PAGE_SIZE + s->size > PAGE_SIZE) {
        X86_TRY(x86_walk(state, linear + s->size - 1, user | X86_WALK_WRITE, &page));
    }
    value = port_read(state, s->port, s->size);
    x86_data_breakpoint_at(state, linear, s->size, true);
    return x86_write_linear(state, linear, &value, s->size, user);
}

static bool interrupted(X86State *state)
{
    return __atomic_load_n(&cpu_common(state)->interrupt, __ATOMIC_RELAXED) ||
           state->eflags & X86_EFLAGS_TF || state->debug_hits;
}

/* Elements until something is to be looked at; they are in one page, whose limit checks hold for
 * all but where the segment ends in it. */
static u32 move_elements(const PortString *s, bool repeated)
{
    unsigned room;
    u64 linear;

    do {
        X86_TRY(find_element(s, &linear, &room));
        X86_TRY(move_element(s, linear));
        add_to(s, s->pointer, s->step);
        if (repeated) {
            add_to(s, X86_RCX, -1);
        }
    } while (repeated && s->state->gpr[X86_RCX] & s->mask && !interrupted(s->state));
    return 0;
}

/* (STRING_*, port) -> word. With REP rCX is not 0; registers say how far it came. */
void x86_port_string(void *opaque, IrWord *io)
{
    X86State *state = opaque;
    u32 what = (u32)io[1].i;
    unsigned size = what & STRING_SIZE, address_size = what >> STRING_ADDRESS_SHIFT & 0xff;
    bool down = state->eflags & X86_EFLAGS_DF;
    PortString s = {.state = state,
                    .size = size,
                    .out = what & STRING_OUT,
                    .pointer = what & STRING_OUT ? X86_RSI : X86_RDI,
                    .segment = what >> STRING_SEGMENT_SHIFT & 0xff,
                    .mask = ~(u64)0 >> (64 - 8 * address_size),
                    .step = down ? -(s64)size : (s64)size,
                    .port = (u16)io[2].i};

    io[0].i = move_elements(&s, what & STRING_REPEATED);
}

static bool is_repeated(const Tr *t)
{
    return t->i->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE);
}

static void string(Tr *t, unsigned segment, bool out)
{
    unsigned size = t->i->operand[out].size;
    u32 what = size | (u32)t->i->address_size << STRING_ADDRESS_SHIFT |
               segment << STRING_SEGMENT_SHIFT | (out ? STRING_OUT : 0) |
               (is_repeated(t) ? STRING_REPEATED : 0);
    IrType type = address_type(t);
    IrVal zero = ir_const(t->b, type, 0), port;
    u32 again, done;

    if (is_refused(t)) {
        return;
    }
    port = port_operand(t, out ? 0 : 1, size); /* checked even if there are no elements */
    if (is_repeated(t)) {
        u32 some = new_block(t), none = new_block(t);
        ir_branch(t->b, ir_cmp(t->b, IR_NE, get_gpr(t, type, X86_RCX), zero), some, none);
        enter_block(t, none);
        emit_goto(t, t->next);
        enter_block(t, some);
    }
    call_raising(t, HELPER_PORT_STRING, const32(t, what), port, 0, 0);
    if (is_repeated(t)) {
        again = new_block(t), done = new_block(t);
        ir_branch(t->b, ir_cmp(t->b, IR_NE, get_gpr(t, type, X86_RCX), zero), again, done);
        enter_block(t, again);
        mark_repetition(t, true);
        emit_goto(t, t->pc);
        enter_block(t, done);
        mark_repetition(t, false);
    }
    end_polling(t);
}

void tr_INS(Tr *t)
{
    string(t, X86_ES, false);
}

void tr_OUTS(Tr *t)
{
    string(t, t->i->memory.segment, true);
}
