/* The compiler's driver: blocks in order, instruction by instruction through the lowering table;
 * data movement for the register allocator; state slots; calls; the constant pool.
 *
 * A compiled block is: code, out-of-line stubs, constants. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "host/x86_64/x86_64.h"

enum {
    OP_MOVAPS = X86_OPCODE(0, X86_0F, 0x28),
    OP_MOVUPS_LOAD = X86_OPCODE(0, X86_0F, 0x10),
    OP_MOVUPS_STORE = X86_OPCODE(0, X86_0F, 0x11),
    OP_MOVSS_LOAD = X86_OPCODE(X86_PF3, X86_0F, 0x10),
    OP_MOVSS_STORE = X86_OPCODE(X86_PF3, X86_0F, 0x11),
    OP_MOVQ_LOAD = X86_OPCODE(X86_PF3, X86_0F, 0x7e),
    OP_MOVQ_STORE = X86_OPCODE(X86_P66, X86_0F, 0xd6),
    OP_XORPS = X86_OPCODE(0, X86_0F, 0x57),
    OP_PCMPEQD = X86_OPCODE(X86_P66, X86_0F, 0x76),
};

/* No IR instruction takes more code than this, out-of-line part not included; see x86_room(). */
enum { INSN_ROOM = 1024, EDGE_ROOM = 4096, COLD_ROOM = 80 };

void append_bytes(Compiler *c, ByteBuffer *buffer, const void *bytes, u32 size)
{
    if (buffer->size + size > buffer->capacity) {
        u32 capacity = MAX(buffer->capacity * 2, buffer->size + size + 256);
        u8 *larger = arena_alloc(c->arena, capacity, 16);
        if (buffer->size) {
            memcpy(larger, buffer->bytes, buffer->size);
        }
        buffer->bytes = larger;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

/* -- Constants */

X86Rm pool_rm(Compiler *c, const void *bytes, u32 size)
{
    static const u8 zeros[16] = {0};

    for (u32 at = 0; size == 16 && at + 16 <= c->pool.size; at += 16) {
        if (!memcmp(c->pool.bytes + at, bytes, 16)) {
            return (X86Rm){X86_MEMORY, X86_POOL, X86_NO_INDEX, 0, (s32)at};
        }
    }
    u32 at = c->pool.size;
    append_bytes(c, &c->pool, bytes, size);
    append_bytes(c, &c->pool, zeros, -size & 15);
    return (X86Rm){X86_MEMORY, X86_POOL, X86_NO_INDEX, 0, (s32)at};
}

X86Rm pool_u64_pair(Compiler *c, u64 low, u64 high)
{
    u64 pair[2] = {low, high};

    return pool_rm(c, pair, sizeof(pair));
}

bool is_constant(const Compiler *c, IrVal value, u64 *constant)
{
    const IrInsn *insn = insn_of(c, ra_root(&c->ra, value));
    u32 size = ir_type_size((IrType)insn_of(c, value)->type);

    if (insn->op != IR_CONST) {
        return false;
    }
    *constant = size < 8 ? insn->imm & (((u64)1 << size * 8) - 1) : insn->imm;
    return true;
}

bool is_immediate(const Compiler *c, IrVal value, IrType type, s32 *imm)
{
    u64 constant;

    if (!is_constant(c, value, &constant)) {
        return false;
    }
    switch (type) {
    case IR_I8:
        *imm = (s8)constant;
        return true;
    case IR_I16:
        *imm = (s16)constant;
        return true;
    case IR_I32:
        *imm = (s32)constant;
        return true;
    default:
        *imm = (s32)constant;
        return (s64)constant == *imm;
    }
}

/* -- What the allocator asks for */

X86Rm home_rm(RegHome home)
{
    if (home.kind == HOME_SPILL) {
        return x86_at(RBP, COMMON(spill) + home.where * (s32)sizeof(IrWord));
    }
    return x86_at(RBP, home.where - CONTEXT_BIAS);
}

void move_register(void *compiler, u8 to, u8 from)
{
    Compiler *c = compiler;

    if (to == from) {
        return;
    }
    if (to >= VECTOR) {
        x86_vector2(&c->as, OP_MOVAPS, to & 15, x86_reg(from));
    } else {
        x86_mov(&c->as, 8, to, from);
    }
}

static void load_vector_constant(Compiler *c, u8 to, const IrInsn *insn)
{
    if (!insn->imm && !insn->imm2) {
        x86_vector(&c->as, OP_XORPS, to, to, x86_reg(to));
    } else if (!~insn->imm && !~insn->imm2) {
        x86_vector(&c->as, OP_PCMPEQD, to, to, x86_reg(to));
    } else if (!insn->imm2) {
        x86_vector2(&c->as, OP_MOVQ_LOAD, to, pool_u64_pair(c, insn->imm, 0));
    } else {
        x86_vector2(&c->as, OP_MOVAPS, to, pool_u64_pair(c, insn->imm, insn->imm2));
    }
}

void load_vector(Compiler *c, u32 size, u8 to, X86Rm from)
{
    x86_vector2(&c->as,
                size == 4   ? OP_MOVSS_LOAD
                : size == 8 ? OP_MOVQ_LOAD
                            : OP_MOVUPS_LOAD,
                to, from);
}

void store_vector(Compiler *c, u32 size, X86Rm to, u8 from)
{
    x86_vector2(&c->as,
                size == 4   ? OP_MOVSS_STORE
                : size == 8 ? OP_MOVQ_STORE
                            : OP_MOVUPS_STORE,
                from, to);
}

void machine_load(void *compiler, u8 to, RegHome home, IrVal constant)
{
    Compiler *c = compiler;

    if (home.kind == HOME_CONST) {
        const IrInsn *insn = insn_of(c, constant);
        if (to >= VECTOR) {
            load_vector_constant(c, to & 15, insn);
        } else {
            x86_mov_imm(&c->as, to, insn->imm);
        }
    } else if (to >= VECTOR) {
        load_vector(c, home.size, to & 15, home_rm(home));
    } else {
        x86_load(&c->as, home.size, to, home_rm(home));
    }
}

void machine_store(void *compiler, RegHome home, u8 from)
{
    Compiler *c = compiler;

    if (from >= VECTOR) {
        store_vector(c, home.size, home_rm(home), from & 15);
    } else {
        x86_store(&c->as, home.size, home_rm(home), from);
    }
}

/* Memory to memory by way of the return stack, whose free part is never in use. */
static void copy_word(Compiler *c, X86Rm to, X86Rm from)
{
    x86_op(&c->as, 0xff, 4, 6, from, 0); /* push */
    x86_op(&c->as, 0x8f, 4, 0, to, 0);   /* pop */
}

static void zero_rest(Compiler *c, X86Rm to, u32 valid, u32 size)
{
    for (u32 step; valid < size; valid += step) {
        step = valid & 1 ? 1 : valid & 2 ? 2 : 4;
        X86Rm at = to;
        at.disp += (s32)valid;
        x86_store_imm(&c->as, step, at, 0);
    }
}

void machine_copy(void *compiler, RegHome to, RegHome from, IrVal constant, RegClass class)
{
    Compiler *c = compiler;
    X86Rm target = home_rm(to);
    u32 words = class == REG_VECTOR ? 2 : 1;

    if (from.kind == HOME_CONST) {
        u64 parts[2] = {insn_of(c, constant)->imm, insn_of(c, constant)->imm2};
        for (u32 i = 0; i < words * 2; i++) {
            x86_store_imm(&c->as, 4, target, (s32)(parts[i / 2] >> i % 2 * 32));
            target.disp += 4;
        }
        return;
    }
    X86Rm source = home_rm(from);
    for (u32 i = 0; i < words; i++) {
        copy_word(c, target, source);
        target.disp += 8;
        source.disp += 8;
    }
    to.size = class == REG_VECTOR ? 16 : 8;
    zero_rest(c, home_rm(to), from.size, to.size);
}

X86Rm use_rm(Compiler *c, IrVal value, u32 size)
{
    RegHome home;
    const IrInsn *insn = insn_of(c, ra_root(&c->ra, value));

    if (ra_where(&c->ra, value) == REG_NONE && insn->op == IR_CONST && insn->type >= IR_I128 &&
        (insn->imm || insn->imm2)) {
        return pool_u64_pair(c, insn->imm, insn->imm2);
    }
    if (ra_from_memory(&c->ra, value, size, &home)) {
        return home_rm(home);
    }
    return x86_reg(use(c, value));
}

/* -- State slots */

static s32 slot_disp(u32 offset)
{
    return (s32)offset - CONTEXT_BIAS;
}

static bool is_vector_type(IrType type)
{
    return type >= IR_I128;
}

/* Pinned registers that overlap the slot in a way that no register operation serves go through
 * memory: stored, stored since the memory will be changed, loaded again. */
typedef enum Overlap { OVERLAP_STORE, OVERLAP_CHANGE, OVERLAP_LOAD } Overlap;

static void transfer_overlapping(Compiler *c, u32 offset, u32 size, Overlap how)
{
    const RegPins *pins = &c->header->pins;

    for (u32 i = 0; i < pins->count; i++) {
        const RegPin *pin = &pins->pin[i];
        if (pin->offset >= offset + size || offset >= pin->offset + pin->size) {
            continue;
        }
        RegHome slot = {HOME_SLOT, pin->size, (s32)pin->offset};
        if (how == OVERLAP_LOAD) {
            machine_load(c, pin->reg, slot, 0);
            continue;
        }
        if (how == OVERLAP_CHANGE) {
            ra_pin_changes(&c->ra, (u8)i);
        }
        machine_store(c, slot, pin->reg);
    }
}

bool lower_get(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 offset = (u32)insn->imm, size = ir_type_size((IrType)insn->type);
    bool overlaps;
    u8 pin = ra_pin_of(&c->header->pins, offset, size, &overlaps);
    RegHome slot = {HOME_SLOT, (u8)size, (s32)offset};

    if (is_x87_slot(c, offset, size)) {
        x87_to_slots(c);
    }
    if (pin != REG_PIN_NONE &&
        (c->header->pins.pin[pin].reg >= VECTOR) == is_vector_type((IrType)insn->type)) {
        ra_define_pinned(&c->ra, value, pin);
    } else if (pin != REG_PIN_NONE || overlaps) {
        transfer_overlapping(c, offset, size, OVERLAP_STORE);
        u8 to = ra_define(&c->ra, value, 0);
        machine_load(c, to, slot, 0);
    } else {
        ra_define_home(&c->ra, value, slot);
    }
    return true;
}

static void store_value(Compiler *c, X86Rm to, IrVal value, IrType type)
{
    u32 size = ir_type_size(type);
    s32 imm;

    if (is_vector_type(type)) {
        u64 constant;
        if (is_constant(c, value, &constant) && size <= 8 && ra_where(&c->ra, value) == REG_NONE &&
            (size == 4 || (s64)constant == (s32)constant)) {
            x86_store_imm(&c->as, size, to, (s32)constant);
        } else {
            store_vector(c, size, to, use(c, value));
        }
    } else if (is_immediate(c, value, type, &imm) && ra_where(&c->ra, value) == REG_NONE) {
        x86_store_imm(&c->as, size, to, imm);
    } else {
        x86_store(&c->as, size, to, use(c, value));
    }
}

/* Whether the value is at home in just this slot, or in its pinned register: nothing to store. */
static bool is_in_slot(const Compiler *c, IrVal value, u32 offset, u32 size)
{
    const RegHome *home = &ra_value(&c->ra, value)->home;

    return home->kind == HOME_SLOT && (u32)home->where == offset && home->size == size;
}

static void put(Compiler *c, IrVal value, IrType type, u32 offset)
{
    u32 size = ir_type_size(type);
    bool overlaps;
    u8 pin = ra_pin_of(&c->header->pins, offset, size, &overlaps);
    const RegPin *pinned = pin != REG_PIN_NONE ? &c->header->pins.pin[pin] : NULL;

    if (pinned && pinned->size == size && (pinned->reg >= VECTOR) == is_vector_type(type)) {
        ra_put_pinned(&c->ra, pin, value);
        if (size == 8 && is_constant(c, value, &c->constant)) {
            c->constant_pin = pinned->reg;
        } else if (c->constant_pin == pinned->reg) {
            c->constant_pin = REG_NONE;
        }
    } else if (pinned || overlaps) {
        transfer_overlapping(c, offset, size, OVERLAP_CHANGE);
        ra_slot_changes(&c->ra, offset, size);
        store_value(c, x86_at(RBP, slot_disp(offset)), value, type);
        transfer_overlapping(c, offset, size, OVERLAP_LOAD);
    } else if (!is_in_slot(c, value, offset, size)) {
        ra_slot_changes(&c->ra, offset, size);
        store_value(c, x86_at(RBP, slot_disp(offset)), value, type);
        ra_put_memory(&c->ra, value, offset, size);
    }
}

/* Stores a noted value; one narrower than the slot is zero-extended. */
static void store_note(Compiler *c, const Note *note)
{
    const RegValue *v = &c->ra.values[note->value];
    bool vector = v->class == REG_VECTOR;
    bool overlaps;
    u8 pin = ra_pin_of(&c->header->pins, note->offset, note->size, &overlaps);
    X86Rm slot = x86_at(RBP, slot_disp(note->offset));

    if (pin != REG_PIN_NONE && v->reg == c->header->pins.pin[pin].reg &&
        note->valid == note->size) {
        return;
    }
    u8 reg = ra_use(&c->ra, note->value) & 15;
    transfer_overlapping(c, note->offset, note->size, OVERLAP_CHANGE);
    ra_slot_changes(&c->ra, note->offset, note->size);
    reg = ra_use(&c->ra, note->value) & 15;
    if (vector) {
        store_vector(c, note->valid, slot, reg);
    } else {
        x86_store(&c->as, note->valid, slot, reg);
    }
    ra_unlock(&c->ra, vector ? reg + VECTOR : reg);
    zero_rest(c, slot, note->valid, note->size);
    transfer_overlapping(c, note->offset, note->size, OVERLAP_LOAD);
}

/* The slot gets another value: notes of it end. One that reaches beyond the slot is stored. */
static void end_notes(Compiler *c, u32 offset, u32 size)
{
    u32 kept = 0;

    for (u32 i = 0; i < c->note_count; i++) {
        const Note *note = &c->notes[i];
        if (note->offset >= offset + size || offset >= note->offset + note->size) {
            c->notes[kept++] = *note;
        } else if (!note->made &&
                   (note->offset < offset || note->offset + note->size > offset + size) &&
                   ra_live_after(&c->ra, note->value)) {
            store_note(c, note);
        }
    }
    c->note_count = kept;
}

bool lower_put(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    if (is_x87_slot(c, (u32)insn->imm, ir_type_size((IrType)insn->type))) {
        x87_to_slots(c);
    }
    end_notes(c, (u32)insn->imm, ir_type_size((IrType)insn->type));
    put(c, insn->arg[0], (IrType)insn->type, (u32)insn->imm);
    return true;
}

/* With no room left, an older one that is somewhere is stored. */
static void add_note(Compiler *c, const Note *note)
{
    u32 oldest = 0;

    if (c->note_count == NOTE_MAX) {
        while (c->notes[oldest].made) {
            oldest++;
        }
        store_note(c, &c->notes[oldest]);
        c->notes[oldest] = c->notes[--c->note_count];
    }
    c->notes[c->note_count++] = *note;
}

bool lower_note(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 offset = (u32)insn->imm, size = ir_type_size((IrType)insn->type);

    if (is_x87_slot(c, offset, size)) {
        x87_to_slots(c);
    }
    end_notes(c, offset, size);
    if (c->fused[value] == FUSE_MADE) {
        add_note(c, &(Note){offset, (u8)size, (u8)size, true, insn->arg[0]});
        return true;
    }
    IrVal root = c->ra.uses[value].value[0];
    u32 valid = MIN(size, c->ra.values[root].width);
    if (root != ra_root(&c->ra, insn->arg[0])) { /* prepare.c saw through a zero-extension */
        IrVal narrow = insn_of(c, insn->arg[0])->arg[0];
        valid = MIN(valid, ir_type_size((IrType)insn_of(c, narrow)->type));
    }
    add_note(c, &(Note){offset, (u8)size, (u8)valid, false, root});
    return true;
}

/* Those that are made end with their slot's next put, before any call: what follows the block does
 * not see them. */
void store_notes(Compiler *c)
{
    for (u32 i = 0; i < c->note_count; i++) {
        if (!c->notes[i].made) {
            store_note(c, &c->notes[i]);
        }
    }
    c->note_count = 0;
}

bool lower_const(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)insn;
    ra_define_home(&c->ra, value, (RegHome){.kind = HOME_CONST});
    return true;
}

/* The edges into the block have brought it. */
bool lower_phi(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)c;
    (void)value;
    (void)insn;
    return true;
}

/* -- Calls */

static X86Rm io_rm(u32 index)
{
    return x86_at(RBP, COMMON(io) + (s32)(index * sizeof(IrWord)));
}

/* Stores an argument for C code: integers zero-extended to 64 bits, the others to 128. */
static void pass_argument(Compiler *c, u32 index, IrVal value)
{
    IrType type = (IrType)insn_of(c, value)->type;
    u32 size = ir_type_size(type);
    X86Rm to = io_rm(index);

    if (is_vector_type(type)) {
        u8 reg = use(c, value);
        store_vector(c, size, to, reg);
        zero_rest(c, to, size, 16);
        ra_unlock(&c->ra, reg + VECTOR);
        return;
    }
    u8 reg = use(c, value);
    x86_store(&c->as, size, to, reg);
    zero_rest(c, to, size, 8);
    ra_unlock(&c->ra, reg);
}

static void take_result(Compiler *c, IrVal value, IrType type)
{
    if (type == IR_VOID || !ra_live_after(&c->ra, value)) {
        return;
    }
    u8 to = ra_define(&c->ra, value, 0);
    machine_load(c, to,
                 (RegHome){HOME_SLOT, (u8)ir_type_size(type), (s32)COMMON(io) + CONTEXT_BIAS}, 0);
}

void emit_jump_stub(Compiler *c, Stub stub)
{
    u8 *site = x86_jmp(&c->as);

    x86_bind(site, c->cache + c->header->stub[stub]);
}

void emit_call_stub(Compiler *c, Stub stub)
{
    u8 *site = x86_call(&c->as);

    c->as.flags_of = 0;
    x86_bind(site, c->cache + c->header->stub[stub]);
}

static void evict_temporaries(Compiler *c)
{
    ra_evict(&c->ra, c->header->machine.temporaries[0] | c->header->machine.temporaries[1]);
}

void emit_eval(Compiler *c, IrVal value)
{
    const IrInsn *insn = insn_of(c, value);
    struct {
        IrInsn insn;
        u8 arg_types[8];
    } copy = {.insn = *insn};

    c->ra.values[value].next_use = c->ra.values[value].first_use;
    for (u32 i = 0; i < 3; i++) {
        copy.insn.arg[i] = insn->arg[i] != 0;
        if (insn->arg[i]) {
            copy.arg_types[i] = insn_of(c, insn->arg[i])->type;
            pass_argument(c, i + 1, insn->arg[i]);
        }
    }
    copy.insn.prev = copy.insn.next = copy.insn.scratch = 0;
    evict_temporaries(c);
    x86_lea(&c->as, 8, RDI, pool_rm(c, &copy, sizeof(copy)));
    emit_call_stub(c, STUB_EVAL);
    take_result(c, value, (IrType)insn->type);
}

bool lower_call(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 flags = c->config->helpers[insn->imm].flags;
    u32 stub_flags = flags & (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_FP);
    X86Rm busy = x86_at(RBP, WORD(WORD_HELPER_BUSY));

    c->ra.values[value].next_use = c->ra.values[value].first_use;
    if (flags & IR_HELPER_X87) {
        x87_to_slots(c);
    }
    if (flags & (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_FAULTS)) {
        store_notes(c);
    }
    for (u32 i = 0; i < 4; i++) {
        if (insn->arg[i]) {
            pass_argument(c, i + 1, insn->arg[i]);
        }
    }
    if (flags & IR_HELPER_WRITES_STATE) {
        ra_all_slots_change(&c->ra);
    }
    evict_temporaries(c);
    if (flags & IR_HELPER_FAULTS) {
        stub_flags |= IR_HELPER_READS_STATE;
        x86_mov_imm(&c->as, RAX, c->pc);
        x86_store(&c->as, 8, x86_at(RBP, WORD(WORD_HELPER_PC)), RAX);
        x86_store_imm(&c->as, 4, busy, 1);
    }
    x86_mov_imm(&c->as, RAX, insn->imm * sizeof(IrHelper));
    emit_call_stub(c, (Stub)(STUB_HELPER + stub_flags));
    if (flags & IR_HELPER_FAULTS) {
        x86_store_imm(&c->as, 4, busy, 0);
    }
    take_result(c, value, (IrType)insn->type);
    return true;
}

/* -- Blocks */

/* Hot blocks in an order in which every block follows one that reaches it, then the cold ones. */
static u32 order_blocks(const Compiler *c, u32 *order)
{
    const IrRegion *region = c->region;
    u32 n = region->block_count, count = 0, depth = 0, cold_depth = 0;
    u32 *stack = arena_alloc(c->arena, (size_t)(2 * n + 2) * sizeof(u32), 4);
    u32 *cold = arena_alloc(c->arena, (size_t)(2 * n + 2) * sizeof(u32), 4);
    u8 *seen = ARENA_ARRAY(c->arena, u8, n);

    stack[depth++] = 0;
    while (depth || cold_depth) {
        u32 b = depth ? stack[--depth] : cold[--cold_depth];
        if (seen[b]) {
            continue;
        }
        seen[b] = 1;
        order[count++] = b;
        for (u32 i = 0; i < ra_successors(region, b); i++) {
            u32 successor = region->blocks[b].successor[i];
            if (region->blocks[successor].cold) {
                cold[cold_depth++] = successor;
            } else {
                stack[depth++] = successor;
            }
        }
    }
    return count;
}

/* Whether the CPU's own instruction is just what a guest with x86's floating point means: not what
 * only Arm has, whose code relies on traps. */
static bool is_native(const IrInsn *insn)
{
    switch ((IrOp)insn->op) {
    case IR_FMIN:
    case IR_FMAX:
        return insn->sub & IR_X86;
    case IR_FTOI:
        return insn->sub & IR_INDEFINITE && !insn->imm;
    case IR_ITOF:
        return !(insn->sub & IR_UNSIGNED) && !insn->imm;
    case IR_FROUND:
        return (insn->sub & 7) != FP_NEAREST_AWAY;
    case IR_FCVT:
    case IR_FCVT16:
        return !insn->sub;
    case IR_FADD:
    case IR_FSUB:
    case IR_FADDSUB:
    case IR_FMUL:
    case IR_FDIV:
    case IR_FSQRT:
    case IR_FMA:
    case IR_FCMP:
    case IR_VFCMP:
    case IR_FLAGS_COMI:
        return true;
    default:
        return false;
    }
}

static bool needs_eval(const Compiler *c, const IrInsn *insn)
{
    return ir_ops[insn->op].properties & IR_PROP_FP &&
           (c->region->exact_fp || (c->region->fp_native && !is_native(insn)));
}

static void emit_insn(Compiler *c, IrVal value, u32 position)
{
    const IrInsn *insn = insn_of(c, value);

    if (!(c->ra.traits[value] & REG_EMITTED)) {
        if (insn->op == IR_INSN) {
            c->pc = insn->imm;
        }
        return;
    }
    if (!x86_room(&c->as, INSN_ROOM)) {
        return;
    }
    ra_begin(&c->ra, value, position);
    c->fault_points = 0;
    Lower *lower = lowerings[insn->op];
    if (needs_eval(c, insn) || !lower || !lower(c, value, insn)) {
        emit_eval(c, value);
    }
    ra_end(&c->ra, value);
}

static void emit_block(Compiler *c, u32 b, u32 next_block)
{
    u32 position = 0;

    c->next_block = next_block;
    c->block = b;
    c->pc = c->block_pc[b];
    c->constant_pin = REG_NONE;
    c->block_code[b] = x86_offset(&c->as);
    c->as.flags_of = 0;
    c->note_count = 0;
    ra_enter_block(&c->ra, b);
    x87_begin_block(c, b);
    IR_FOR_EACH(c->region, b, value)
    {
        emit_insn(c, value, ++position);
    }
    x87_end_block(c, b);
}

/* The guest address of the instruction that a block's first code belongs to, for blocks that do
 * not start with INSN: that of the block before in the flow. */
static void inherit_pc(Compiler *c, const u32 *order, u32 count)
{
    c->block_pc = ARENA_ARRAY(c->arena, u64, c->region->block_count);
    c->block_pc[0] = c->region->guest_pc;
    for (u32 i = 0; i < count; i++) {
        u64 pc = c->block_pc[order[i]];
        IR_FOR_EACH(c->region, order[i], value)
        {
            if (insn_of(c, value)->op == IR_INSN) {
                pc = insn_of(c, value)->imm;
            }
        }
        for (u32 s = 0; s < ra_successors(c->region, order[i]); s++) {
            c->block_pc[c->region->blocks[order[i]].successor[s]] = pc;
        }
    }
}

/* Where the jump to `target` goes to, as a linear address. */
static u64 linear_target(const Compiler *c, u64 target)
{
    return c->region->linear + (target - c->region->guest_pc);
}

static bool leaves_page(const Compiler *c, u64 target)
{
    return (c->region->linear ^ linear_target(c, target)) >> TLB_PAGE_BITS != 0;
}

/* Whether an instruction there may go across the page's end, so that it is never linked to. */
static bool ends_page(const Compiler *c, u64 target)
{
    enum { INSN_MAX = 15 };

    return linear_target(c, target) % TLB_PAGE > TLB_PAGE - INSN_MAX;
}

/* The jump table probe for a target that is known and in rax; falls through on a miss. */
static void probe_for(Compiler *c, u64 target)
{
    s32 entry = (s32)(jump_index(target, c->config->code_shift) * sizeof(JumpEntry));

    x86_load(&c->as, 8, RCX, x86_at(RBP, COMMON(jump_table)));
    x86_alu_to(&c->as, ALU_CMP, 8, x86_at(RCX, entry + (s32)offsetof(JumpEntry, pc)), RAX);
    u8 *miss = x86_jcc_short(&c->as, CC_NE);
    x86_op(&c->as, 0xff, 4, 4, x86_at(RCX, entry + (s32)offsetof(JumpEntry, code)), 0);
    x86_bind_short(&c->as, miss);
}

static void emit_interrupt_or_x87(Compiler *c, const ColdStub *cold, const u8 *site)
{
    x86_alu_imm(&c->as, ALU_CMP, 4, x86_at(RBP, COMMON(interrupt)), 0);
    u8 *quiet = x86_jcc_short(&c->as, CC_E);
    x86_mov_imm(&c->as, RAX, cold->pc);
    emit_jump_stub(c, STUB_EXIT_INTERRUPT);
    x86_bind_short(&c->as, quiet);
    emit_call_stub(c, STUB_X87_LOAD);
    x86_bind(x86_jmp(&c->as), site + sizeof(u32));
}

static void emit_cold(Compiler *c)
{
    for (u32 i = 0; i < c->cold_count && x86_room(&c->as, COLD_ROOM); i++) {
        const ColdStub *cold = &c->cold[i];
        u8 *site = c->as.start + cold->site;
        x86_bind(site, c->as.at);
        if (cold->kind == COLD_INTERRUPT_X87) {
            emit_interrupt_or_x87(c, cold, site);
            continue;
        }
        if (cold->kind == COLD_INTERRUPT) {
            x86_mov_imm(&c->as, RAX, cold->pc);
            emit_jump_stub(c, STUB_EXIT_INTERRUPT);
            continue;
        }
        if (cold->kind == COLD_X87_LOAD || cold->kind == COLD_X87_SAVE) {
            emit_call_stub(c, cold->kind == COLD_X87_LOAD ? STUB_X87_LOAD : STUB_X87_SAVE);
            x86_bind(x86_jmp(&c->as), site + sizeof(u32));
            continue;
        }
        c->links[cold->link].stub = x86_offset(&c->as);
        x86_mov_imm(&c->as, RAX, cold->pc);
        bool leaves = c->config->soft_mmu && leaves_page(c, cold->pc);
        if (leaves || (c->config->soft_mmu && ends_page(c, cold->pc))) {
            probe_for(c, cold->pc);
        }
        if (leaves) {
            emit_jump_stub(c, STUB_EXIT_LOOKUP); /* it is never linked */
            continue;
        }
        x86_lea_code(&c->as, RCX, site);
        emit_jump_stub(c, STUB_EXIT_LINK);
    }
}

void add_cold(Compiler *c, ColdKind kind, const u8 *site, u64 pc)
{
    assert(c->cold_count < c->limit);
    c->cold[c->cold_count++] =
        (ColdStub){.kind = (u8)kind, .site = (u32)(site - c->as.start), .pc = pc};
}

void add_link(Compiler *c, const u8 *site, u64 target)
{
    add_cold(c, COLD_LINK, site, target);
    c->cold[c->cold_count - 1].link = c->link_count;
    assert(c->link_count < c->limit);
    c->links[c->link_count++] = (HostLink){.target = target, .site = (u32)(site - c->as.start)};
}

void add_guarded_link(Compiler *c, const u8 *site, const u8 *stub, const u8 *guard)
{
    assert(c->link_count < c->limit);
    c->links[c->link_count++] = (HostLink){.site = (u32)(site - c->as.start),
                                           .stub = (u32)(stub - c->as.start),
                                           .guard = (u32)(guard - c->as.start)};
}

static void emit_pool(Compiler *c)
{
    c->as.at = c->as.start + ALIGN_UP(x86_offset(&c->as), 16);
    u8 *pool = c->as.at;
    if (c->pool.size) {
        memcpy(pool, c->pool.bytes, c->pool.size);
    }
    c->as.at += c->pool.size;
    for (u32 i = 0; i < c->as.pool_use_count; i++) {
        const X86PoolUse *pool_use = &c->as.pool_uses[i];
        x86_bind(c->as.start + pool_use->site, pool + pool_use->pool - pool_use->trailing);
    }
}

static void bind_jumps(Compiler *c)
{
    for (u32 i = 0; i < c->jump_count; i++) {
        x86_bind(c->as.start + c->jumps[i].site, c->as.start + c->block_code[c->jumps[i].block]);
    }
}

/* -- Polls: a region that leaves by a back edge checks for interrupts at its entry, which every
 * loop over that edge passes, so that the back edge itself is a plain jump. */

static bool has_back_edge(const IrRegion *region)
{
    for (u32 b = 0; b < region->block_count; b++) {
        const IrInsn *last = ir_insn(region, region->blocks[b].last);
        if ((last->op == IR_GOTO || last->op == IR_GOTO_CALL) && last->sub & IR_POLL) {
            return true;
        }
    }
    return false;
}

static void emit_poll(Compiler *c)
{
    if (x87_is_first(c)) { /* both 32-bit words at once */
        x86_alu_imm(&c->as, ALU_CMP, 8, x86_at(RBP, COMMON(host_unit)), 1);
        add_cold(c, COLD_INTERRUPT_X87, x86_jcc(&c->as, CC_NE), c->region->guest_pc);
        c->x87_at_entry = X87_ON_HOST;
        return;
    }
    x86_alu_imm(&c->as, ALU_CMP, 4, x86_at(RBP, COMMON(interrupt)), 0);
    add_cold(c, COLD_INTERRUPT, x86_jcc(&c->as, CC_NE), c->region->guest_pc);
}

/* A block that does nothing but leave by GOTO: branches to it leave themselves. */
const IrInsn *only_goto(const Compiler *c, u32 block)
{
    IrVal value = c->region->blocks[block].first;

    while (value && insn_of(c, value)->op == IR_INSN) {
        value = insn_of(c, value)->next;
    }
    return value && insn_of(c, value)->op == IR_GOTO && block != 0 ? insn_of(c, value) : NULL;
}

static void emit_blocks(Compiler *c)
{
    u32 n = c->region->block_count, kept = 0;
    u32 *order = arena_alloc(c->arena, (n + 1) * sizeof(u32), 4);
    u32 count = order_blocks(c, order);

    inherit_pc(c, order, count);
    for (u32 i = 0; i < count; i++) {
        if (!only_goto(c, order[i])) {
            order[kept++] = order[i];
        }
    }
    order[kept] = NO_BLOCK;
    if (c->loops) {
        emit_poll(c);
    }
    c->ra.entries[0].known = true;
    for (u32 i = 0; i < kept && !c->as.full; i++) {
        emit_block(c, order[i], order[i + 1]);
    }
}

static void start(Compiler *c, u8 *code, size_t room)
{
    u32 n = c->region->block_count;

    c->as = (X86Asm){.start = code,
                     .at = code,
                     .end = code + room,
                     .features = c->header->features,
                     .pool_uses = arena_alloc(c->arena, X86_POOL_USES * sizeof(X86PoolUse), 8)};
    c->limit = 4 * n + 8;
    c->jumps = arena_alloc(c->arena, c->limit * sizeof(BlockJump), 8);
    c->cold = arena_alloc(c->arena, c->limit * sizeof(ColdStub), 8);
    c->links = arena_alloc(c->arena, c->limit * sizeof(HostLink), 8);
    c->block_code = arena_alloc(c->arena, n * sizeof(u32), 8);
    c->x87_after = ARENA_ARRAY(c->arena, u8, n);
    ra_init(&c->ra, c->region, &c->header->machine, &c->header->pins, c, c->arena);
}

int x86_compile(const IrRegion *region, const HostConfig *config, u8 *cache, u8 *code, size_t room,
                Arena *arena, HostBlock *out)
{
    Compiler c = {.region = region,
                  .config = config,
                  .header = cache_header(cache),
                  .cache = cache,
                  .arena = arena};

    start(&c, code, room);
    prepare_region(&c);
    c.loops = has_back_edge(region);
    if (config->soft_mmu) {
        find_access_groups(&c);
    }
    ra_plan(&c.ra);
    emit_blocks(&c);
    if (c.as.full) {
        return -ENOSPC;
    }
    if (c.ra.out_of_spills) {
        return -ENOSPC; /* as for lack of room: fewer guest instructions will fit */
    }
    bind_jumps(&c);
    emit_cold(&c);
    emit_slow_stubs(&c);
    if (!x86_room(&c.as, c.pool.size + 16)) {
        return -ENOSPC;
    }
    u32 code_size = x86_offset(&c.as);
    emit_pool(&c);
    *out = (HostBlock){.size = x86_offset(&c.as),
                       .code_size = code_size,
                       .links = c.links,
                       .link_count = c.link_count,
                       .side_table = c.side_table.bytes,
                       .side_table_size = c.side_table.size};
    return 0;
}
