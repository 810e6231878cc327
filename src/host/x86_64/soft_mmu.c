/* Guest memory behind a soft MMU: the probe of the TLB (ir/tlb.h) in front of each access, and the
 * slow way of what it misses.
 *
 * The probe takes the address in a register and leaves the host's address as register + register:
 *     index = (address >> 12 & (entries - 1)) * 32
 *     tag   = page of (address + size - 1), or with the low bits that must be 0 where the access
 *             must be aligned
 *     cmp   tag, [context + index + table]
 *     jne   miss
 *     index = [context + index + table's addends]
 * Loads in loops and those of programs (IrRegion.steady) look at an entry of the near cache first,
 * and do the above out of line:
 *     tag   = page of address, with the low bits that are 0 where the access is aligned
 *     cmp   tag, [context + entry]
 *     jne   near miss
 *     index = [context + entry's addend]
 * Accesses that lie close together (access_group.c) share the probe of the first, which is of all
 * their bytes and leaves the addend in a word; the others do
 *     index = [context + word]
 *     test  index, index
 *     jz    a probe of their own, out of line
 * A miss goes out of line: `call STUB_MMU; test eax, description; jmp back`. The instruction behind
 * the call does nothing; its immediate tells x86_mmu_access() the operation and in which registers
 * the address and the values are. The stub saves every register into a frame on the C stack and
 * loads them from there again, so that a miss clobbers nothing but its result. The target of the
 * jump back is the access's place in the side table.
 *
 * Must not know what the slow way does: that is CpuCommon.mmu_access's business. */
#include <assert.h>
#include <string.h>

#include "host/x86_64/x86_64.h"

/* Behind a slow call: test eax, immediate (5 bytes); jmp back (5 bytes). */
enum { TEST_EAX = 0xa9, JUMP_BACK_END = 10 };

enum {
    OP_RORX = X86_OPCODE(X86_PF2, X86_0F3A, 0xf0),
    OP_MOVUPS_LOAD = X86_OPCODE(0, X86_0F, 0x10),
    OP_MOVUPS_STORE = X86_OPCODE(0, X86_0F, 0x11),
    OP_LDMXCSR = X86_OPCODE(0, X86_0F, 0xae), /* /2; /3 is stmxcsr */
};

/* -- Descriptions: fields of the 32-bit immediate */

typedef struct Field {
    u8 shift, bits;
} Field;

static const Field field_operation = {0, 2}, field_size = {2, 3}, field_vector = {5, 1},
                   field_address = {6, 4}, field_value = {10, 4}, field_result = {14, 4},
                   field_sign = {18, 2}, field_big_endian = {20, 1}, field_aligned = {21, 1},
                   field_wrap32 = {22, 1},
                   field_parameter = {23, 4}, /* IrRmw, or the register with `expected` */
    field_discard = {27, 1}, field_space = {28, 2}, field_finds_only = {30, 1};

static u32 set(Field field, u32 value)
{
    assert(value >> field.bits == 0);
    return value << field.shift;
}

static u32 get(Field field, u32 description)
{
    return description >> field.shift & ((1u << field.bits) - 1);
}

/* -- Emitting the probe */

static s32 table_offset(const Compiler *c, size_t member)
{
    size_t before = sizeof(CpuCommon) + tlb_bytes(c->region->space + 1);

    return (s32)member - (s32)before - CONTEXT_BIAS;
}

static void index_of(Compiler *c, u8 index, u8 address)
{
    enum { SHIFT = TLB_PAGE_BITS - TLB_ENTRY_BITS };

    if (c->as.features & X86_BMI2) {
        x86_vex(&c->as, OP_RORX, index, 0, x86_reg(address), 1);
        x86_byte(&c->as, SHIFT);
    } else {
        x86_mov(&c->as, 4, index, address);
        x86_shift_imm(&c->as, SHIFT_SHR, 4, index, SHIFT);
    }
    x86_alu_imm(&c->as, ALU_AND, 4, x86_reg(index), (TLB_ENTRIES - 1) << TLB_ENTRY_BITS);
}

/* The page of the last byte, with bits of the first that must be 0. */
static void tag_of(Compiler *c, const Place *place)
{
    u32 mask = TLB_PAGE - 1;

    if (place->size == 1) {
        x86_mov(&c->as, 8, place->tag, place->address);
    } else if (place->sub & IR_MEM_ALIGNED) {
        x86_mov(&c->as, 8, place->tag, place->address);
        mask &= ~(place->size - 1);
    } else {
        x86_lea(&c->as, 8, place->tag, x86_at(place->address, (s32)place->size - 1));
    }
    x86_alu_imm(&c->as, ALU_AND, 8, x86_reg(place->tag), ~(s32)mask);
}

/* The address in one register, zero-extended where it has 32 bits; the operands are given back. */
static u8 address_register(Compiler *c, const IrInsn *insn)
{
    bool wrap32 = insn->sub & IR_MEM_WRAP32;
    RegSet locked = c->ra.locked;
    X86Rm rm = guest_address(c, insn);
    IrVal base = address_operand(c, insn, 0);
    bool whole = !wrap32 || (insn_of(c, base)->type != IR_I64 && c->clean[base]);

    if (rm.index == X86_NO_INDEX && rm.disp == 0 && whole) {
        return rm.base;
    }
    u8 sum = scratch_int(c);
    rm.wrap32 = false;
    if (rm.index == X86_NO_INDEX && rm.disp == 0) {
        x86_mov(&c->as, 4, sum, rm.base);
    } else {
        x86_lea(&c->as, wrap32 ? 4 : 8, sum, rm);
    }
    c->ra.locked = locked | (RegSet)1 << sum;
    return sum;
}

static void find_group(const Compiler *c, const IrInsn *insn, Place *place)
{
    s64 offset;

    place->group = group_of_access(c, insn, &offset);
    if (place->group) {
        place->first = (s32)(place->group->low - offset);
        place->last = (s32)(place->group->high - 1 - offset);
    }
}

Place begin_access(Compiler *c, const IrInsn *insn, bool borrow)
{
    Place place = {.size = ir_type_size((IrType)insn->type),
                   .sub = insn->sub,
                   .is_write = insn->op != IR_LOAD};

    if (!c->config->soft_mmu) {
        place.rm = guest_address(c, insn);
        return place;
    }
    place.address = address_register(c, insn);
    place.index = scratch_int(c);
    place.borrows = borrow && !(c->header->machine.temporaries[REG_INT] >> RBX & 1);
    place.tag = place.borrows ? RBX : scratch_int(c);
    place.rm = x86_indexed(place.address, place.index, 0, 0);
    find_group(c, insn, &place);
    return place;
}

Place access_at(Compiler *c, const IrInsn *insn, u8 address, u8 index, u8 tag)
{
    X86Rm rm = c->config->soft_mmu ? x86_indexed(address, index, 0, 0) : x86_at(address, 0);

    return (Place){.rm = rm,
                   .size = ir_type_size((IrType)insn->type),
                   .sub = insn->sub,
                   .is_write = insn->op != IR_LOAD,
                   .address = address,
                   .index = index,
                   .tag = tag};
}

/* Leaves the addend in place->index. */
static void probe(Compiler *c, Place *place)
{
    X86Rm saved = x86_at(RBP, WORD(WORD_SCRATCH));
    size_t tag = place->is_write ? offsetof(TlbEntry, write) : offsetof(TlbEntry, read);

    index_of(c, place->index, place->address);
    if (place->borrows) {
        x86_store(&c->as, 8, saved, RBX);
    }
    tag_of(c, place);
    x86_alu(&c->as, ALU_CMP, 8, place->tag,
            x86_indexed(RBP, place->index, 0, table_offset(c, tag)));
    if (place->borrows) {
        x86_load(&c->as, 8, RBX, saved);
    }
    place->miss = x86_jcc(&c->as, CC_NE);
    x86_load(&c->as, 8, place->index,
             x86_indexed(RBP, place->index, 0, table_offset(c, offsetof(TlbEntry, addend))));
}

/* Neighbours in the code have different entries. */
static s32 near_entry(Compiler *c)
{
    u32 n = ((u32)(c->region->guest_pc >> 2) + c->near_count++) % NEAR_ENTRIES;
    size_t before = sizeof(CpuCommon) + sizeof(u64) * SHARED_ADDENDS +
                    sizeof(NearEntry) * (NEAR_ENTRIES * (c->region->space + 1) - n);

    return -(s32)before - CONTEXT_BIAS;
}

static void probe_near(Compiler *c, Place *place)
{
    u32 mask = (TLB_PAGE - 1) & ~(place->size - 1);

    place->near = near_entry(c);
    x86_mov(&c->as, 8, place->index, place->address);
    x86_alu_imm(&c->as, ALU_AND, 8, x86_reg(place->index), ~(s32)mask);
    x86_alu(&c->as, ALU_CMP, 8, place->index,
            x86_at(RBP, place->near + (s32)offsetof(NearEntry, page)));
    place->miss = x86_jcc(&c->as, CC_NE);
    x86_load(&c->as, 8, place->index, x86_at(RBP, place->near + (s32)offsetof(NearEntry, addend)));
    place->access = c->as.at;
}

static X86Rm shared_word(const Place *place)
{
    s32 before = (s32)(sizeof(CpuCommon) + sizeof(u64) * (SHARED_ADDENDS - place->group->word));

    return x86_at(RBP, -before - CONTEXT_BIAS);
}

/* For all of the group. */
static void probe_group(Compiler *c, Place *place)
{
    size_t tag = place->group->writes ? offsetof(TlbEntry, write) : offsetof(TlbEntry, read);
    u8 low = place->address;

    if (place->first) {
        low = place->index;
        x86_lea(&c->as, 8, low, x86_at(place->address, place->first));
    }
    index_of(c, place->index, low);
    x86_lea(&c->as, 8, place->tag, x86_at(place->address, place->last));
    x86_alu_imm(&c->as, ALU_AND, 8, x86_reg(place->tag), ~(s32)(TLB_PAGE - 1));
    x86_alu(&c->as, ALU_CMP, 8, place->tag,
            x86_indexed(RBP, place->index, 0, table_offset(c, tag)));
    place->miss = x86_jcc(&c->as, CC_NE);
    x86_load(&c->as, 8, place->index,
             x86_indexed(RBP, place->index, 0, table_offset(c, offsetof(TlbEntry, addend))));
    x86_store(&c->as, 8, shared_word(place), place->index);
    place->access = c->as.at;
    place->group->begun = true;
}

static void take_shared(Compiler *c, Place *place)
{
    x86_load(&c->as, 8, place->index, shared_word(place));
    x86_test(&c->as, 8, x86_reg(place->index), place->index);
    place->miss = x86_jcc(&c->as, CC_E);
    place->access = c->as.at;
}

X86Rm reach_memory(Compiler *c, Place *place)
{
    fault_point(c);
    if (!c->config->soft_mmu) {
        return place->rm;
    }
    if (place->group && place->group->begun) {
        take_shared(c, place);
    } else if (place->group) {
        probe_group(c, place);
    } else if (uses_near(c) && !place->is_write) {
        probe_near(c, place);
    } else {
        probe(c, place);
    }
    return place->rm;
}

/* -- What a miss does */

static void add_slow_stub(Compiler *c, const SlowStub *stub)
{
    if (c->slow_count == c->slow_capacity) {
        u32 capacity = c->slow_capacity ? c->slow_capacity * 2 : 32;
        SlowStub *larger = arena_alloc(c->arena, capacity * sizeof(SlowStub), 8);
        if (c->slow_count) {
            memcpy(larger, c->slow, c->slow_count * sizeof(SlowStub));
        }
        c->slow = larger;
        c->slow_capacity = capacity;
    }
    c->slow[c->slow_count++] = *stub;
}

void end_access(Compiler *c, const Place *place, AccessValues values)
{
    bool vector = values.operation == MMU_LOAD    ? values.result >= VECTOR
                  : values.operation == MMU_STORE ? values.value >= VECTOR && !values.constant
                                                  : place->size == 16;
    u8 parameter = values.operation == MMU_CAS ? values.expected & 15 : values.rmw;
    u8 value = values.constant ? place->tag : values.value;

    if (!c->config->soft_mmu) {
        return;
    }
    u32 description =
        set(field_operation, values.operation) | set(field_size, (u32)__builtin_ctz(place->size)) |
        set(field_vector, vector) | set(field_address, place->address) |
        set(field_value, value & 15) | set(field_result, values.result & 15) |
        set(field_discard, values.operation == MMU_STORE || values.result == REG_NONE) |
        set(field_sign, values.sign) | set(field_parameter, parameter) |
        set(field_big_endian, place->sub & IR_MEM_BIG_ENDIAN && 1) |
        set(field_aligned, place->sub & IR_MEM_ALIGNED && 1) |
        set(field_wrap32, place->sub & IR_MEM_WRAP32 && 1) | set(field_space, c->region->space);
    add_slow_stub(c, &(SlowStub){.site = (u32)(place->miss - c->as.start),
                                 .back = x86_offset(&c->as),
                                 .description = description,
                                 .immediate_to = values.constant ? place->tag : REG_NONE,
                                 .immediate = values.immediate,
                                 .access = place->access ? (u32)(place->access - c->as.start) : 0,
                                 .place = *place});
}

X86Rm reach_directly(Compiler *c, const IrInsn *insn, u32 size, bool is_write)
{
    Place place = {.size = size, .sub = insn->sub, .is_write = is_write};

    place.address = address_register(c, insn);
    place.index = scratch_int(c);
    place.tag = scratch_int(c);
    fault_point(c);
    x86_nop(&c->as, 1); /* the access's place is before where the jump back leads */
    u32 again = x86_offset(&c->as);
    probe(c, &place);
    add_slow_stub(
        c, &(SlowStub){.site = (u32)(place.miss - c->as.start),
                       .back = again,
                       .description = set(field_operation, is_write ? MMU_STORE : MMU_LOAD) |
                                      set(field_size, (u32)__builtin_ctz(size)) |
                                      set(field_address, place.address) | set(field_discard, 1) |
                                      set(field_wrap32, insn->sub & IR_MEM_WRAP32 && 1) |
                                      set(field_space, c->region->space) | set(field_finds_only, 1),
                       .immediate_to = REG_NONE});
    return x86_indexed(place.address, place.index, 0, 0);
}

/* The entry that hit is near from now on. The page of a tag that hits is that of the whole access.
 */
static void remember_near(Compiler *c, const Place *place)
{
    X86Rm page = x86_at(RBP, place->near + (s32)offsetof(NearEntry, page));

    x86_store(&c->as, 8, page, place->tag);
    page.disp += (s32)offsetof(NearEntry, addend);
    x86_store(&c->as, 8, page, place->index);
}

/* The access's own probe of the TLB, behind a near miss or where there is nothing shared. */
static void emit_second_probe(Compiler *c, SlowStub *stub)
{
    Place *place = &stub->place;

    x86_bind(c->as.start + stub->site, c->as.at);
    if (place->group) {
        x86_store_imm(&c->as, 8, shared_word(place), 0);
    }
    probe(c, place);
    if (place->near) {
        remember_near(c, place);
    }
    x86_bind(x86_jmp(&c->as), c->as.start + stub->access);
    stub->site = (u32)(place->miss - c->as.start);
}

void emit_slow_stubs(Compiler *c)
{
    enum { ROOM = 160 };

    for (u32 i = 0; i < c->slow_count && x86_room(&c->as, ROOM); i++) {
        SlowStub *stub = &c->slow[i];
        if (stub->access) {
            emit_second_probe(c, stub);
        }
        x86_bind(c->as.start + stub->site, c->as.at);
        if (stub->immediate_to != REG_NONE) {
            x86_mov_imm(&c->as, stub->immediate_to, (u64)(s64)stub->immediate);
        }
        emit_call_stub(c, STUB_MMU);
        x86_byte(&c->as, TEST_EAX);
        x86_u32(&c->as, stub->description);
        x86_bind(x86_jmp(&c->as), c->as.start + stub->back);
    }
}

/* -- The stub: saves all registers, calls x86_mmu_access(), loads them all again */

typedef struct Frame {
    u64 general[16];
    u8 vector[16][16];
    u32 mxcsr;
    u32 pad[3]; /* the C stack stays aligned */
} Frame;

const u8 *x86_frame_register(const void *frame, u8 reg)
{
    const Frame *f = frame;

    return reg >= VECTOR ? f->vector[reg - VECTOR] : (const u8 *)&f->general[reg];
}

static void transfer_frame(X86Asm *as, bool load)
{
    for (u8 i = 0; i < 16; i++) {
        X86Rm at = x86_at(RSP, (s32)(offsetof(Frame, general) + i * sizeof(u64)));
        if (i == RSP || i == RBP) {
            continue;
        }
        if (load) {
            x86_load(as, 8, i, at);
        } else {
            x86_store(as, 8, at, i);
        }
    }
    for (u8 i = 0; i < 16; i++) {
        X86Rm at = x86_at(RSP, (s32)(offsetof(Frame, vector) + i * 16));
        x86_vector2(as, load ? OP_MOVUPS_LOAD : OP_MOVUPS_STORE, i, at);
    }
    x86_op(as, OP_LDMXCSR, 4, load ? 2 : 3, x86_at(RSP, offsetof(Frame, mxcsr)), 0);
}

void x86_emit_mmu_stub(X86Asm *as, CacheHeader *header)
{
    X86Rm returns = x86_at(RBP, WORD(WORD_RETURN_STACK));

    header->stub[STUB_MMU] = x86_offset(as);
    x86_store(as, 8, returns, RSP);
    x86_load(as, 8, RSP, x86_at(RBP, WORD(WORD_C_STACK)));
    x86_alu_imm(as, ALU_SUB, 8, x86_reg(RSP), sizeof(Frame));
    transfer_frame(as, false);
    x86_op(as, OP_LDMXCSR, 4, 2, x86_at(RBP, WORD(WORD_MXCSR) + 4), 0);
    x86_lea(as, 8, RDI, x86_at(RBP, -CONTEXT_BIAS));
    x86_mov(as, 8, RSI, RSP);
    x86_load(as, 8, RDX, returns);
    x86_load(as, 8, RDX, x86_at(RDX, 0));
    x86_op(as, 0xff, 4, 2, x86_at(RBP, WORD(WORD_MMU)), 0); /* call */
    x86_test(as, 1, x86_reg(RAX), RAX);
    u8 *left = x86_jcc(as, CC_E);
    transfer_frame(as, true);
    x86_load(as, 8, RSP, returns);
    x86_byte(as, 0xc3);
    x86_bind(left, as->at);
    x86_op(as, OP_LDMXCSR, 4, 2, x86_at(RSP, offsetof(Frame, mxcsr)), 0);
    x86_alu_imm(as, ALU_ADD, 8, returns, 8); /* the call's own entry */
    u8 *leave = x86_jmp(as);
    x86_bind(leave, as->start + header->stub[STUB_LEAVE]);
}

/* -- What it calls */

/* In place: to copy the word as a whole would wait for the pieces that it was made of. */
static void take_value(IrWord *word, const Frame *frame, u32 reg, bool vector, u32 size)
{
    if (vector) {
        memcpy(word, frame->vector[reg], size);
    } else {
        word->i = frame->general[reg] & ir_mask(size * 8);
    }
}

static u64 sign_extend(u64 value, u32 size, u32 to)
{
    u32 unused = 64 - size * 8;
    s64 wide = (s64)(value << unused) >> unused;

    return to == 4 ? (u32)wide : (u64)wide;
}

static void give_result(Frame *frame, u32 description, const MmuAccess *access)
{
    u32 reg = get(field_result, description), sign = get(field_sign, description);

    if (get(field_discard, description)) {
        return;
    }
    if (get(field_vector, description)) {
        memcpy(frame->vector[reg], &access->result, 16);
    } else {
        frame->general[reg] =
            sign ? sign_extend(access->result.i, access->size, 1u << sign) : access->result.i;
    }
}

bool x86_mmu_access(void *state, void *frame, const u8 *after_call)
{
    u32 description;
    s32 back;
    Frame *f = frame;

    memcpy(&description, after_call + 1, 4); /* behind the opcode of test */
    memcpy(&back, after_call + 6, 4);        /* behind that of jmp */
    u32 size = 1u << get(field_size, description);
    bool vector = get(field_vector, description);
    MmuAccess access = {
        .address = f->general[get(field_address, description)],
        .operation = (u8)get(field_operation, description),
        .size = (u8)size,
        .space = (u8)get(field_space, description),
        .sub = (u8)((get(field_big_endian, description) ? IR_MEM_BIG_ENDIAN : 0) |
                    (get(field_aligned, description) ? IR_MEM_ALIGNED : 0) |
                    (get(field_wrap32, description) ? IR_MEM_WRAP32 : 0)),
        .rmw = (u8)get(field_parameter, description),
        .finds_only = get(field_finds_only, description),
        .site = after_call + JUMP_BACK_END + back - 1,
        .host = frame,
    };
    if (access.operation != MMU_LOAD && !access.finds_only) {
        take_value(&access.value, f, get(field_value, description), vector, size);
    }
    if (access.operation == MMU_CAS) {
        take_value(&access.expected, f, get(field_parameter, description), vector, size);
    }
    if (!cpu_common(state)->mmu_access(state, &access)) {
        return false;
    }
    give_result(f, description, &access);
    return true;
}
