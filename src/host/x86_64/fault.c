/* Faults in generated code: the side table, and the precise state from it.
 *
 * A side table is a list of entries in the order of the code. An entry holds from its host offset
 * to the next entry's: which guest instruction the code belongs to, and the slots whose precise
 * value is not in its place, with where it is (NOTE). All other slots are right where they belong:
 * pinned ones in their registers, the others in memory.
 *
 * Entry, numbers in LEB128: host offset - previous one; guest pc - previous one (signed; the first
 * is absolute); number of notes; per note: slot offset, slot size, bytes valid, kind, and by kind
 * the spill slot, the state offset, 16 bytes of constant, or an operation that makes the value.
 * Kind 0..31 is a register. */
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "host/x86_64/x86_64.h"
#include "ir/eval.h"

enum { NOTE_SPILL = 0x40, NOTE_SLOT, NOTE_CONSTANT, NOTE_OPERATION };

/* -- Writing */

static void put_number(Compiler *c, u64 number)
{
    u8 bytes[10];
    u32 count = 0;

    do {
        bytes[count++] = (u8)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
        number >>= 7;
    } while (number);
    append_bytes(c, &c->side_table, bytes, count);
}

static void put_signed(Compiler *c, s64 number)
{
    put_number(c, (u64)number << 1 ^ (u64)(number >> 63));
}

static void put_place(Compiler *c, IrVal value);

/* How to make an integer: operation, sub, type, imm, and the number of operands, which follow: each
 * one's type and, as the value itself, its place. */
static void put_operation(Compiler *c, const IrInsn *insn, u32 count)
{
    put_number(c, NOTE_OPERATION);
    put_number(c, insn->op);
    put_number(c, insn->sub);
    put_number(c, insn->type);
    put_number(c, insn->imm);
    put_number(c, count);
}

static void put_operand(Compiler *c, IrVal value)
{
    put_number(c, insn_of(c, value)->type);
    put_place(c, value);
}

/* arg0 of flags beside whose sum or difference `result` they are. */
static void put_inverse(Compiler *c, const IrInsn *flags, IrVal result)
{
    u8 type = insn_of(c, result)->type;

    put_number(c, type);
    put_operation(c, &(IrInsn){.op = flags->op == IR_FLAGS_ADD ? IR_SUB : IR_ADD, .type = type}, 2);
    put_operand(c, result);
    put_operand(c, flags->arg[1]);
}

static void put_made(Compiler *c, IrVal value)
{
    const IrInsn *insn = insn_of(c, value);
    u32 count = ir_ops[insn->op].arg_count;

    put_operation(c, insn, count);
    for (u32 i = 0; i < count; i++) {
        IrVal arg = insn->arg[i];
        if (i == 0 && c->note_of[value] != NOTE_MADE) {
            put_inverse(c, insn, c->note_of[value]);
        } else if (c->note_of[arg] == NOTE_OPERAND) {
            put_operand(c, arg);
        } else {
            put_number(c, insn_of(c, arg)->type);
            put_made(c, arg);
        }
    }
}

static void put_note(Compiler *c, const Note *note)
{
    put_number(c, note->offset);
    put_number(c, note->size);
    put_number(c, note->valid);
    if (note->made) {
        put_made(c, note->value);
    } else {
        put_place(c, note->value);
    }
}

static void put_place(Compiler *c, IrVal value)
{
    const RegValue *v = ra_value(&c->ra, value);
    const IrInsn *insn = insn_of(c, ra_root(&c->ra, value));

    if (insn->op == IR_CONST) {
        put_number(c, NOTE_CONSTANT);
        append_bytes(c, &c->side_table, &insn->imm, 8);
        append_bytes(c, &c->side_table, &insn->imm2, 8);
    } else if (v->reg != REG_NONE) {
        put_number(c, v->reg);
    } else {
        put_number(c, v->home.kind == HOME_SPILL ? NOTE_SPILL : NOTE_SLOT);
        put_number(c, (u64)v->home.where);
    }
}

/* Starts an entry for the code from here. */
static void begin_entry(Compiler *c, u32 notes)
{
    u32 offset = x86_offset(&c->as);

    put_number(c, offset - c->side_offset);
    put_signed(c, (s64)(c->pc - c->side_pc));
    put_number(c, notes);
    for (u32 i = 0; i < c->note_count; i++) {
        put_note(c, &c->notes[i]);
    }
    c->side_offset = offset;
    c->side_pc = c->pc;
    c->side_notes = notes;
}

void fault_point_saving(Compiler *c, u8 reg, s32 where)
{
    const RegPins *pins = &c->header->pins;

    for (u32 i = 0; i < pins->count && c->note_count < NOTE_MAX; i++) {
        if (pins->pin[i].reg == reg) {
            begin_entry(c, c->note_count + 1);
            put_number(c, pins->pin[i].offset);
            put_number(c, pins->pin[i].size);
            put_number(c, pins->pin[i].size);
            put_number(c, NOTE_SLOT);
            put_number(c, (u64)(s64)where);
            return;
        }
    }
    fault_point(c);
}

void fault_point(Compiler *c)
{
    c->fault_points++;
    c->ra.disturbed = false;
    if (c->side_table.size && c->side_pc == c->pc && !c->note_count && !c->side_notes) {
        return; /* the last entry goes on */
    }
    begin_entry(c, c->note_count);
}

/* -- Reading */

typedef struct Reader {
    const u8 *at, *end;
} Reader;

static u64 get_number(Reader *reader)
{
    u64 number = 0;

    for (u32 shift = 0; reader->at < reader->end; shift += 7) {
        u8 byte = *reader->at++;
        number |= (u64)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            break;
        }
    }
    return number;
}

static s64 get_signed(Reader *reader)
{
    u64 number = get_number(reader);

    return (s64)(number >> 1) ^ -(s64)(number & 1);
}

static const u8 *signal_register(const ucontext_t *context, u8 reg)
{
    static const u8 greg[] = {
        [RAX] = REG_RAX, [RCX] = REG_RCX, [RDX] = REG_RDX, [RBX] = REG_RBX,
        [RSP] = REG_RSP, [RBP] = REG_RBP, [RSI] = REG_RSI, [RDI] = REG_RDI,
        [R8] = REG_R8,   [R9] = REG_R9,   [R10] = REG_R10, [R11] = REG_R11,
        [R12] = REG_R12, [R13] = REG_R13, [R14] = REG_R14, [R15] = REG_R15,
    };

    if (reg >= VECTOR) {
        return (const u8 *)&context->uc_mcontext.fpregs->_xmm[reg - VECTOR];
    }
    return (const u8 *)&context->uc_mcontext.gregs[greg[reg]];
}

typedef struct Recovered {
    u32 offset, size;
    u8 bytes[16];
} Recovered;

/* Where values are at a fault. */
typedef struct Places {
    const u8 *state; /* NULL: nothing is wanted but to skip what is read */
    const ucontext_t *context;
    const MmuAccess *access; /* if not NULL, it has the registers */
} Places;

static const u8 *register_bytes(const Places *places, u8 reg)
{
    return places->access ? x86_frame_register(places->access->host, reg)
                          : signal_register(places->context, reg);
}

static IrWord get_place(Reader *reader, const Places *places);

static IrWord get_operation(Reader *reader, const Places *places)
{
    IrInsn insn = {.op = (u8)get_number(reader)};
    IrWord args[3] = {0}, result = {0};
    u8 types[3] = {0};

    insn.sub = (u8)get_number(reader);
    insn.type = (u8)get_number(reader);
    insn.imm = get_number(reader);
    u64 count = get_number(reader);
    for (u64 i = 0; i < count && i < COUNT(args); i++) {
        types[i] = (u8)get_number(reader);
        IrWord word = get_place(reader, places);
        args[i].i = word.i & ir_mask(ir_type_size((IrType)types[i]) * 8);
    }
    if (places->state) {
        ir_eval(&insn, types, args, &result, NULL);
    }
    return result;
}

/* Reads where a value is, and the value; bits above its type are anything. */
static IrWord get_place(Reader *reader, const Places *places)
{
    u64 kind = get_number(reader), where = 0;
    const u8 *from = reader->at;
    IrWord word = {0};

    if (kind == NOTE_OPERATION) {
        return get_operation(reader, places);
    }
    if (kind == NOTE_CONSTANT) {
        reader->at += 16;
    } else if (kind == NOTE_SPILL || kind == NOTE_SLOT) {
        where = get_number(reader);
    }
    if (!places->state) {
        return word;
    }
    if (kind == NOTE_SPILL) {
        from = (const u8 *)&cpu_common((void *)(uintptr_t)places->state)->spill[where];
    } else if (kind == NOTE_SLOT) {
        from = places->state + where;
    } else if (kind != NOTE_CONSTANT) {
        from = register_bytes(places, (u8)kind);
    }
    memcpy(&word, from, kind < VECTOR ? 8 : 16);
    return word;
}

/* Reads one note; without `to` it only skips it. */
static void get_note(Reader *reader, const Places *places, Recovered *to)
{
    u64 offset = get_number(reader), size = get_number(reader), valid = get_number(reader);
    IrWord word = get_place(reader, places);

    if (to) {
        *to = (Recovered){.offset = (u32)offset, .size = (u32)size};
        memcpy(to->bytes, &word, MIN(valid, sizeof(to->bytes)));
    }
}

/* Finds the entry for a host offset: leaves the reader at its notes. */
static bool find_entry(Reader *reader, u64 offset, u64 *pc, u64 *notes)
{
    u64 entry_offset = 0, entry_pc = 0;
    Reader found = {0};

    while (reader->at < reader->end) {
        entry_offset += get_number(reader);
        entry_pc += (u64)get_signed(reader);
        u64 count = get_number(reader);
        if (entry_offset > offset) {
            break;
        }
        found = *reader;
        *pc = entry_pc;
        *notes = count;
        for (u64 i = 0; i < count; i++) {
            get_note(reader, &(Places){NULL, NULL, NULL}, NULL);
        }
    }
    *reader = found;
    return found.at != NULL;
}

static u64 fault_address(const HostFault *fault)
{
    const ucontext_t *context = fault->ucontext;

    return fault->access ? (u64)(uintptr_t)fault->access->site
                         : (u64)context->uc_mcontext.gregs[REG_RIP];
}

bool x86_recover(void *state, HostFault *fault)
{
    const Places places = {state, fault->ucontext, fault->access};
    CpuCommon *common = cpu_common(state);
    const CacheHeader *header = cache_header((const u8 *)(uintptr_t)common->host[WORD_CACHE]);
    Reader reader = {fault->side_table, fault->side_table + fault->side_table_size};
    Recovered notes[NOTE_MAX];
    u64 offset = fault_address(fault) - (u64)(uintptr_t)fault->code, count;

    if (common->host[WORD_HELPER_BUSY]) { /* all slots are in memory */
        fault->pc = common->host[WORD_HELPER_PC];
        return true;
    }
    if (!find_entry(&reader, offset, &fault->pc, &count)) {
        return false;
    }
    for (u32 i = 0; i < count; i++) {
        get_note(&reader, &places, &notes[i]);
    }
    for (u32 i = 0; i < header->pins.count; i++) {
        const RegPin *pin = &header->pins.pin[i];
        memcpy((u8 *)state + pin->offset, register_bytes(&places, pin->reg), pin->size);
    }
    for (u32 i = 0; i < count; i++) {
        memcpy((u8 *)state + notes[i].offset, notes[i].bytes, notes[i].size);
    }
    return true;
}

const u8 *x86_access_site(const CpuCommon *common)
{
    if (!common->host[WORD_HELPER_BUSY]) {
        return NULL;
    }
    /* The call's return address lies on top of the return stack: in the block, or behind it. */
    return *(const u8 *const *)(uintptr_t)common->host[WORD_RETURN_STACK] - 1;
}

static bool on_return_stack(const CpuCommon *common, u64 address)
{
    return address - common->host[WORD_STACK_BASE] < RETURN_STACK_SIZE;
}

/* Bits of MXCSR. */
enum { MXCSR_INVALID = 1 << 0, MXCSR_INVALID_MASK = 1 << 7 };

void x86_abandon(void *state, const u8 *cache, void *ucontext)
{
    ucontext_t *context = ucontext;
    CpuCommon *common = cpu_common(state);
    greg_t *gregs = context->uc_mcontext.gregs;

    if (common->host[WORD_HELPER_BUSY]) {
        common->host[WORD_HELPER_BUSY] = 0;
        x86_reset_returns(common); /* the call of the helper is still on it */
    } else if (on_return_stack(common, (u64)gregs[REG_RSP])) {
        common->host[WORD_RETURN_STACK] = (u64)gregs[REG_RSP];
    }
    /* An invalid operation that trapped has not happened yet; where it does not trap, it has. */
    if (!(context->uc_mcontext.fpregs->mxcsr & MXCSR_INVALID_MASK)) {
        context->uc_mcontext.fpregs->mxcsr &= ~(u32)MXCSR_INVALID;
    }
    gregs[REG_RBP] = (greg_t)((uintptr_t)state + CONTEXT_BIAS);
    gregs[REG_RIP] = (greg_t)(uintptr_t)(cache + cache_header(cache)->stub[STUB_LEAVE]);
    /* The stub switches stacks at once; until then the pointer must just be valid. */
    gregs[REG_RSP] = (greg_t)common->host[WORD_C_STACK];
}

bool x86_stub_fault(void *state, const u8 *cache, void *ucontext, u64 address)
{
    ucontext_t *context = ucontext;
    CpuCommon *common = cpu_common(state);
    u64 rsp = (u64)context->uc_mcontext.gregs[REG_RSP];
    u64 base = common->host[WORD_STACK_BASE];

    (void)cache;
    /* A push or call at the end of the return stack. */
    if (address - base >= RETURN_STACK_GUARD || rsp - base > RETURN_STACK_GUARD + 16) {
        return false;
    }
    x86_reset_returns(common);
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)common->host[WORD_RETURN_STACK];
    return true;
}
