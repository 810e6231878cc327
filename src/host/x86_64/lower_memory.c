/* Guest memory: loads, stores, atomics, fences.
 *
 * Weaker guest orders are free on x86-64: loads are acquire and stores release by themselves. What
 * x86 lets pass is a later load before an earlier store, and Arm's STLR followed by LDAR is not
 * allowed to: so a release store that is part of such a pair (IR_MEM_RELEASE) is an xchg, or a
 * store and mfence where the value is in a vector register. */
#include <assert.h>

#include "host/x86_64/vector.h"

enum {
    OP_MOVBE_LOAD = X86_OPCODE(0, X86_0F38, 0xf0),
    OP_MOVBE_STORE = X86_OPCODE(0, X86_0F38, 0xf1),
    OP_XADD = X86_OPCODE(0, X86_0F, 0xc1),
    OP_CMPXCHG = X86_OPCODE(0, X86_0F, 0xb1),
    OP_CMPXCHG16B = X86_OPCODE(0, X86_0F, 0xc7) | X86_W, /* /1 */
    OP_MOVQ_STORE = X86_OPCODE(X86_P66, X86_0F, 0x7e) | X86_W,
    OP_MOVQ_LOAD = X86_OPCODE(X86_P66, X86_0F, 0x6e) | X86_W,
    OP_PEXTRQ = X86_OPCODE(X86_P66, X86_0F3A, 0x16) | X86_W,
    OP_PINSRQ = X86_OPCODE(X86_P66, X86_0F3A, 0x22) | X86_W,
};

static bool is_vector_type(IrType type)
{
    return type >= IR_I128;
}

/* Guest address + guest_base where that is not 0: through a scratch register. */
static X86Rm with_base(Compiler *c, X86Rm rm, bool wrap32)
{
    u64 base = c->config->guest_base;

    if (!base) {
        rm.wrap32 = wrap32;
        return rm;
    }
    u8 reg = scratch_int(c);
    if (wrap32) {
        u8 sum = scratch_int(c);
        x86_lea(&c->as, 4, sum, rm);
        x86_mov_imm(&c->as, reg, base);
        return x86_indexed(reg, sum, 0, 0);
    }
    x86_mov_imm(&c->as, reg, base + (u64)(s64)rm.disp);
    if (rm.index != X86_NO_INDEX) {
        u8 sum = scratch_int(c);
        rm.disp = 0;
        x86_lea(&c->as, 8, sum, rm);
        return x86_indexed(reg, sum, 0, 0);
    }
    return x86_indexed(reg, rm.base, 0, 0);
}

/* Whether constant + displacement is a displacement by itself, which then needs no base. */
static bool is_absolute(const Compiler *c, const IrInsn *insn, s64 *disp)
{
    bool wrap32 = insn->sub & IR_MEM_WRAP32;
    u64 base;

    if (c->config->guest_base || c->config->soft_mmu ||
        !is_constant(c, address_operand(c, insn, 0), &base)) {
        return false;
    }
    s64 sum = (s64)(base + (u64)*disp);
    *disp = wrap32 ? (s32)sum : sum;
    return *disp == (s32)*disp;
}

X86Rm guest_address(Compiler *c, const IrInsn *insn)
{
    s64 disp = (s64)insn->imm;
    bool indexed = insn->op != IR_RMW && insn->op != IR_CAS && insn->arg[1];
    bool wrap32 = insn->sub & IR_MEM_WRAP32;

    if (insn->op == IR_RMW || insn->op == IR_CAS) {
        disp = 0;
    }
    if (wrap32) {
        disp = (s32)disp;
    }
    s64 place = disp;
    if (is_absolute(c, insn, &place)) {
        u8 index = indexed ? use(c, address_operand(c, insn, 1)) : X86_NO_INDEX;
        X86Rm rm = x86_indexed(X86_ABSOLUTE, index, insn->sub & IR_MEM_SCALE, (s32)place);
        rm.wrap32 = wrap32;
        return rm;
    }
    u8 base = use(c, address_operand(c, insn, 0));
    X86Rm rm = indexed ? x86_indexed(base, use(c, address_operand(c, insn, 1)),
                                     insn->sub & IR_MEM_SCALE, 0)
                       : x86_at(base, 0);
    if (disp == (s32)disp) {
        rm.disp = (s32)disp;
        return with_base(c, rm, wrap32);
    }
    u8 sum = scratch_int(c);
    x86_mov_imm(&c->as, sum, (u64)disp);
    if (indexed) {
        x86_lea(&c->as, 8, sum, x86_indexed(sum, rm.index, rm.scale, 0));
        ra_unlock(&c->ra, rm.index);
        return with_base(c, x86_indexed(base, sum, 0, 0), false);
    }
    return with_base(c, x86_indexed(base, sum, 0, 0), false);
}

static void swap_bytes(Compiler *c, u32 size, u8 reg)
{
    if (size == 2) {
        x86_shift_imm(&c->as, SHIFT_ROL, 2, reg, 8);
        return;
    }
    if (size == 8 || reg >= 8) {
        x86_byte(&c->as, (u8)(0x40 | (size == 8 ? 8 : 0) | (reg >= 8)));
    }
    x86_byte(&c->as, 0x0f);
    x86_byte(&c->as, 0xc8 | (reg & 7));
}

/* Scratch registers of an access are free for its result once all else is fetched. */
static void release_scratch(Compiler *c, const Place *place)
{
    if (c->config->soft_mmu) {
        ra_release(&c->ra, place->index);
        if (!place->borrows) {
            ra_release(&c->ra, place->tag);
        }
    }
}

static void load_int(Compiler *c, IrVal value, const IrInsn *insn, u32 size)
{
    u8 sign = c->fused[value] == FUSE_SIGN32 ? 2 : c->fused[value] == FUSE_SIGN64 ? 3 : 0;
    Place place = begin_access(c, insn, false);

    release_scratch(c, &place);
    u8 to = define(c, value, insn->sub & IR_MEM_BIG_ENDIAN ? RA_NO_PIN : 0);
    X86Rm address = reach_memory(c, &place);
    if (insn->sub & IR_MEM_BIG_ENDIAN && size > 1) {
        if (c->as.features & X86_MOVBE && size >= 4) {
            x86_op(&c->as, OP_MOVBE_LOAD, size, to, address, 0);
        } else {
            x86_load(&c->as, size, to, address);
            swap_bytes(c, size, to);
        }
    } else if (c->fused[value] == FUSE_SIGN32) {
        x86_movsx(&c->as, size, 4, to, address);
    } else if (c->fused[value] == FUSE_SIGN64) {
        x86_movsx(&c->as, size, 8, to, address);
    } else {
        x86_load(&c->as, size, to, address);
    }
    end_access(c, &place, (AccessValues){.operation = MMU_LOAD, .result = to, .sign = sign});
}

/* All bytes of a vector register's value in reverse order. */
static void swap_vector(Compiler *c, u32 size, u8 to)
{
    u8 order[16];

    for (u32 i = 0; i < 16; i++) {
        order[i] = (u8)(i < size ? size - 1 - i : 0x80);
    }
    x86_vector(&c->as, X86_OPCODE(X86_P66, X86_0F38, 0x00), to, to, pool_rm(c, order, 16));
}

bool lower_load(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);

    assert(insn->type != IR_V256 && "no guest needs it yet");
    if (!is_vector_type((IrType)insn->type)) {
        load_int(c, value, insn, size);
        return true;
    }
    Place place = begin_access(c, insn, false);
    bool swap = insn->sub & IR_MEM_BIG_ENDIAN;
    u8 to = define(c, value, swap ? RA_NO_PIN : 0);
    X86Rm address = reach_memory(c, &place);
    if (insn->sub & IR_MEM_ALIGNED) {
        x86_vector2(&c->as, V_MOVAPS, to, address);
    } else {
        load_vector(c, size, to, address);
    }
    if (swap) {
        swap_vector(c, size, to);
    }
    end_access(c, &place, (AccessValues){.operation = MMU_LOAD, .result = to + VECTOR});
    return true;
}

static void fence(Compiler *c)
{
    /* lock or dword [rsp - 8], 0: the return stack's free part; faster than mfence. */
    x86_byte(&c->as, 0xf0);
    x86_alu_imm(&c->as, ALU_OR, 4, x86_at(RSP, -8), 0);
}

bool lower_fence(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)value;
    if (insn->sub == 0) {
        fence(c);
    }
    return true;
}

static void store_vector_value(Compiler *c, const IrInsn *insn, u32 size)
{
    Place place = begin_access(c, insn, false);
    u8 value = use(c, insn->arg[2]), from = value;

    if (insn->sub & IR_MEM_BIG_ENDIAN) {
        from = scratch_vector(c);
        move_register(c, from + VECTOR, value + VECTOR);
        swap_vector(c, size, from);
    }
    X86Rm address = reach_memory(c, &place);
    if (insn->sub & IR_MEM_ALIGNED) {
        x86_vector2(&c->as, V_MOVAPS_STORE, from, address);
    } else {
        store_vector(c, size, address, from);
    }
    end_access(c, &place, (AccessValues){.operation = MMU_STORE, .value = value + VECTOR});
    if (insn->sub & IR_MEM_RELEASE) {
        fence(c);
    }
}

/* In another byte order, or by xchg; the value itself stays for a slow access. */
static void store_copy(Compiler *c, const IrInsn *insn, u32 size)
{
    bool borrow = c->config->soft_mmu; /* address, index, value, copy */
    Place place = begin_access(c, insn, borrow);
    u8 from = use(c, insn->arg[2]), copy = scratch_int(c);

    x86_mov(&c->as, 8, copy, from);
    if (insn->sub & IR_MEM_BIG_ENDIAN && size > 1) {
        swap_bytes(c, size, copy);
    }
    X86Rm address = reach_memory(c, &place);
    if (insn->sub & IR_MEM_RELEASE) {
        x86_op(&c->as, size == 1 ? 0x86 : 0x87, size, copy, address, 0);
    } else {
        x86_store(&c->as, size, address, copy);
    }
    end_access(c, &place, (AccessValues){.operation = MMU_STORE, .value = from});
}

bool lower_store(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);
    s32 imm;

    (void)value;
    assert(insn->type != IR_V256 && "no guest needs it yet");
    if (is_vector_type((IrType)insn->type)) {
        store_vector_value(c, insn, size);
        return true;
    }
    if (insn->sub & IR_MEM_RELEASE || (insn->sub & IR_MEM_BIG_ENDIAN && size > 1)) {
        store_copy(c, insn, size);
        return true;
    }
    bool constant = ra_where(&c->ra, insn->arg[2]) == REG_NONE &&
                    is_immediate(c, insn->arg[2], (IrType)insn->type, &imm);
    Place place = begin_access(c, insn, false);
    AccessValues values = {.operation = MMU_STORE, .constant = constant};
    if (constant) {
        values.immediate = imm;
        x86_store_imm(&c->as, size, reach_memory(c, &place), imm);
    } else {
        values.value = use(c, insn->arg[2]);
        x86_store(&c->as, size, reach_memory(c, &place), values.value);
    }
    end_access(c, &place, values);
    return true;
}

/* -- Atomics; all are sequentially consistent, as a locked instruction is */

static void locked(Compiler *c, u32 opcode, u32 size, u8 reg, X86Rm address)
{
    /* The byte forms are one below. */
    x86_byte(&c->as, 0xf0);
    x86_flags_op(&c->as, size == 1 ? opcode - 1 : opcode, size, reg, address, 0);
}

/* cmpxchg16b wants rdx:rax and rcx:rbx. rbx is pinned as a rule: meanwhile its value is in a word
 * of the context, and the side table says so. */
static bool lower_cas16(Compiler *c, IrVal value, const IrInsn *insn)
{
    s32 word = CPU_COMMON_OFFSET(host) + 8 * WORD_SCRATCH;
    X86Rm saved = x86_at(RBP, WORD(WORD_SCRATCH));

    ra_claim(&c->ra, RDI);
    X86Rm address = guest_address(c, insn);
    x86_lea(&c->as, address.wrap32 ? 4 : 8, RDI, address);
    ra_unlock_all(&c->ra);
    u8 expected = use(c, insn->arg[1]), desired = use(c, insn->arg[2]);
    c->ra.locked |= (RegSet)1 << RDI;
    ra_claim(&c->ra, RAX);
    ra_claim(&c->ra, RDX);
    ra_claim(&c->ra, RCX);
    u8 to = define(c, value, RA_EARLY | RA_NO_PIN);
    Place place = access_at(c, insn, RDI, RCX, RDX);
    X86Rm rm = reach_memory(c, &place);
    if (c->config->soft_mmu) {
        x86_lea(&c->as, 8, RDI, rm);
    }
    x86_store(&c->as, 8, saved, RBX);
    fault_point_saving(c, RBX, word);
    x86_vector2(&c->as, OP_MOVQ_STORE, expected, x86_reg(RAX));
    x86_vector2_imm(&c->as, OP_PEXTRQ, expected, x86_reg(RDX), 1);
    x86_vector2(&c->as, OP_MOVQ_STORE, desired, x86_reg(RBX));
    x86_vector2_imm(&c->as, OP_PEXTRQ, desired, x86_reg(RCX), 1);
    x86_byte(&c->as, 0xf0);
    x86_flags_op(&c->as, OP_CMPXCHG16B, 8, 1, x86_at(RDI, 0), 0);
    x86_load(&c->as, 8, RBX, saved);
    fault_point(c);
    x86_vector2(&c->as, OP_MOVQ_LOAD, to, x86_reg(RAX));
    x86_vector_imm(&c->as, OP_PINSRQ, to, to, x86_reg(RDX), 1);
    end_access(c, &place,
               (AccessValues){.operation = MMU_CAS,
                              .value = desired + VECTOR,
                              .expected = expected + VECTOR,
                              .result = to + VECTOR});
    return true;
}

bool lower_cas(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);

    assert(!(insn->sub & IR_MEM_BIG_ENDIAN) && "no guest needs it yet");
    if (size == 16) {
        return lower_cas16(c, value, insn);
    }
    ra_use_fixed(&c->ra, insn->arg[1], RAX);
    Place place = begin_access(c, insn, true);
    u8 from = use(c, insn->arg[2]);
    X86Rm address = reach_memory(c, &place);
    locked(c, OP_CMPXCHG, size, from, address);
    end_access(c, &place,
               (AccessValues){.operation = MMU_CAS, .value = from, .expected = RAX, .result = RAX});
    ra_define_in(&c->ra, value, RAX);
    return true;
}

/* [address] = op([address], operand) by compare and exchange; the old value is in rax. */
static void rmw_loop(Compiler *c, const IrInsn *insn, u32 size, X86Rm address, u8 operand,
                     u8 result)
{
    static const struct {
        u8 alu, take; /* X86Alu; or X86Cond: of old - operand, under which old stays */
    } how[] = {
        [IR_RMW_AND] = {ALU_AND, 0}, [IR_RMW_OR] = {ALU_OR, 0}, [IR_RMW_XOR] = {ALU_XOR, 0},
        [IR_RMW_SMAX] = {0, CC_G},   [IR_RMW_SMIN] = {0, CC_L}, [IR_RMW_UMAX] = {0, CC_A},
        [IR_RMW_UMIN] = {0, CC_B},
    };

    x86_load(&c->as, size, RAX, address);
    u8 *again = c->as.at;
    x86_mov(&c->as, 8, result, operand);
    if (how[insn->imm].take) {
        x86_alu(&c->as, ALU_CMP, size, RAX, x86_reg(operand));
        x86_cmov(&c->as, (X86Cond)how[insn->imm].take, 8, result, x86_reg(RAX));
    } else {
        x86_alu(&c->as, (X86Alu)how[insn->imm].alu, 8, result, x86_reg(RAX));
    }
    locked(c, OP_CMPXCHG, size, result, address);
    u8 *retry = x86_jcc_short(&c->as, CC_NE);
    *retry = (u8)(again - retry - 1);
}

static void rmw_by_loop(Compiler *c, IrVal value, const IrInsn *insn, u32 size)
{
    ra_claim(&c->ra, RAX);
    Place place = begin_access(c, insn, true);
    u8 operand = use(c, insn->arg[1]);
    if (c->config->soft_mmu) { /* the address goes into its index */
        ra_unlock(&c->ra, place.address);
    }
    u8 result = scratch_int(c);
    X86Rm address = reach_memory(c, &place);
    if (c->config->soft_mmu) {
        x86_lea(&c->as, 8, place.index, address);
        address = x86_at(place.index, 0);
    }
    rmw_loop(c, insn, size, address, operand, result);
    end_access(c, &place,
               (AccessValues){
                   .operation = MMU_RMW, .value = operand, .result = RAX, .rmw = (u8)insn->imm});
    ra_define_in(&c->ra, value, RAX);
}

bool lower_rmw(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 alus[] = {[IR_RMW_AND] = ALU_AND, [IR_RMW_OR] = ALU_OR, [IR_RMW_XOR] = ALU_XOR};
    u32 size = ir_type_size((IrType)insn->type);
    IrRmw rmw = (IrRmw)insn->imm;
    AccessValues values = {.operation = MMU_RMW, .rmw = (u8)rmw};

    assert(!(insn->sub & IR_MEM_BIG_ENDIAN) && "no guest needs it yet");
    if (rmw == IR_RMW_ADD || rmw == IR_RMW_XCHG) {
        Place place = begin_access(c, insn, true);
        u8 to = define_over(c, value, insn->arg[1], RA_EARLY | RA_NO_PIN);
        X86Rm address = reach_memory(c, &place);
        if (rmw == IR_RMW_ADD) {
            locked(c, OP_XADD, size, to, address);
        } else {
            x86_op(&c->as, size == 1 ? 0x86 : 0x87, size, to, address, 0);
        }
        values.value = values.result = to;
        end_access(c, &place, values);
    } else if (rmw <= IR_RMW_XOR && c->ra.values[value].first_use == REG_NEVER) {
        Place place = begin_access(c, insn, true);
        u8 operand = use(c, insn->arg[1]);
        X86Rm address = reach_memory(c, &place);
        x86_byte(&c->as, 0xf0);
        x86_alu_to(&c->as, (X86Alu)alus[rmw], size, address, operand);
        values.value = operand;
        values.result = REG_NONE;
        end_access(c, &place, values);
        c->ra.values[value].next_use = REG_NEVER;
    } else {
        rmw_by_loop(c, value, insn, size);
    }
    return true;
}
