/* Instruction encodings: see emit.h. Intel SDM volume 2, chapter 2. */
#include "host/x86_64/emit.h"

#include <string.h>

void x86_byte(X86Asm *as, u8 byte)
{
    *as->at++ = byte;
}

void x86_u32(X86Asm *as, u32 value)
{
    memcpy(as->at, &value, 4);
    as->at += 4;
}

void x86_u64(X86Asm *as, u64 value)
{
    memcpy(as->at, &value, 8);
    as->at += 8;
}

static bool fits_s8(s64 value)
{
    return value == (s8)value;
}

/* ModRM, SIB and displacement. rsp and r12 as a base need a SIB byte, rbp and r13 a displacement;
 * without a base the displacement has four bytes. */
static void modrm(X86Asm *as, u8 reg, const X86Rm *rm, u8 trailing)
{
    u8 field = (u8)((reg & 7) << 3);

    if (!x86_is_memory(*rm)) {
        x86_byte(as, 0xc0 | field | (rm->reg & 7));
        return;
    }
    if (rm->base == X86_POOL) {
        x86_byte(as, field | 5);
        as->pool_uses[as->pool_use_count++] = (X86PoolUse){x86_offset(as), (u32)rm->disp, trailing};
        x86_u32(as, 0);
        return;
    }
    bool absolute = rm->base == X86_ABSOLUTE;
    u8 base = absolute ? 5 : rm->base & 7;
    u8 mode = absolute || (rm->disp == 0 && base != 5) ? 0 : fits_s8(rm->disp) ? 0x40 : 0x80;
    if (absolute || rm->index != X86_NO_INDEX || base == 4) {
        u8 index = rm->index == X86_NO_INDEX ? 4 : rm->index & 7;
        x86_byte(as, mode | field | 4);
        x86_byte(as, (u8)(rm->scale << 6 | index << 3 | base));
    } else {
        x86_byte(as, mode | field | base);
    }
    if (mode == 0x40) {
        x86_byte(as, (u8)rm->disp);
    } else if (mode == 0x80 || absolute) {
        x86_u32(as, (u32)rm->disp);
    }
}

/* The prefix for 32-bit addresses; before all others, where it does no harm. */
static void address_prefix(X86Asm *as, const X86Rm *rm)
{
    if (x86_is_memory(*rm) && rm->wrap32) {
        x86_byte(as, 0x67);
    }
}

/* The high bits of the three register fields, at their places in REX. */
static u8 rex_bits(u8 reg, const X86Rm *rm)
{
    u8 bits = (reg & 8) >> 1;

    if (!x86_is_memory(*rm)) {
        return bits | (rm->reg & 8) >> 3;
    }
    if (rm->index != X86_NO_INDEX) {
        bits |= (rm->index & 8) >> 2;
    }
    if (rm->base < X86_ABSOLUTE) {
        bits |= (rm->base & 8) >> 3;
    }
    return bits;
}

static void opcode_bytes(X86Asm *as, u32 opcode)
{
    u32 map = opcode >> 8 & 15;

    if (map != X86_MAP1) {
        x86_byte(as, 0x0f);
    }
    if (map == X86_0F38) {
        x86_byte(as, 0x38);
    } else if (map == X86_0F3A) {
        x86_byte(as, 0x3a);
    }
    x86_byte(as, (u8)opcode);
}

static void mandatory_prefix(X86Asm *as, u32 opcode)
{
    static const u8 bytes[] = {0, 0x66, 0xf3, 0xf2};
    u32 prefix = opcode >> 12 & 3;

    if (prefix) {
        x86_byte(as, bytes[prefix]);
    }
}

void x86_op(X86Asm *as, u32 opcode, u32 size, u8 reg, X86Rm rm, u8 trailing)
{
    u8 rex = rex_bits(reg, &rm) | (size == 8 || opcode & X86_W ? 8 : 0);

    address_prefix(as, &rm);
    if (size == 2) {
        x86_byte(as, 0x66);
    }
    mandatory_prefix(as, opcode);
    /* Byte registers 4..7 are spl..dil only with a REX prefix. */
    if (rex || (size == 1 && (reg >= 4 || (!x86_is_memory(rm) && rm.reg >= 4)))) {
        x86_byte(as, 0x40 | rex);
    }
    opcode_bytes(as, opcode);
    modrm(as, reg, &rm, trailing);
}

void x86_flags_op(X86Asm *as, u32 opcode, u32 size, u8 reg, X86Rm rm, u8 trailing)
{
    as->flags_of = 0;
    x86_op(as, opcode, size, reg, rm, trailing);
}

void x86_alu(X86Asm *as, X86Alu alu, u32 size, u8 reg, X86Rm rm)
{
    x86_flags_op(as, (u32)alu << 3 | (size == 1 ? 2 : 3), size, reg, rm, 0);
}

void x86_alu_to(X86Asm *as, X86Alu alu, u32 size, X86Rm rm, u8 reg)
{
    x86_flags_op(as, (u32)alu << 3 | (size == 1 ? 0 : 1), size, reg, rm, 0);
}

/* An immediate of an operand of `size` bytes; 8-byte operands take a sign-extended 4-byte one. */
static void immediate(X86Asm *as, u32 size, s32 imm)
{
    if (size == 1) {
        x86_byte(as, (u8)imm);
    } else if (size == 2) {
        x86_byte(as, (u8)imm);
        x86_byte(as, (u8)(imm >> 8));
    } else {
        x86_u32(as, (u32)imm);
    }
}

void x86_alu_imm(X86Asm *as, X86Alu alu, u32 size, X86Rm rm, s32 imm)
{
    if (size == 1 || !fits_s8(imm)) {
        x86_flags_op(as, size == 1 ? 0x80 : 0x81, size, (u8)alu, rm, (u8)MIN(size, 4));
        immediate(as, size, imm);
    } else {
        x86_flags_op(as, 0x83, size, (u8)alu, rm, 1);
        x86_byte(as, (u8)imm);
    }
}

void x86_test(X86Asm *as, u32 size, X86Rm rm, u8 reg)
{
    x86_flags_op(as, size == 1 ? 0x84 : 0x85, size, reg, rm, 0);
}

void x86_test_imm(X86Asm *as, u32 size, X86Rm rm, s32 imm)
{
    x86_flags_op(as, size == 1 ? 0xf6 : 0xf7, size, 0, rm, (u8)MIN(size, 4));
    immediate(as, size, imm);
}

void x86_shift_imm(X86Asm *as, X86Shift shift, u32 size, u8 reg, u8 count)
{
    x86_flags_op(as, size == 1 ? 0xc0 : 0xc1, size, (u8)shift, x86_reg(reg), 1);
    x86_byte(as, count);
}

void x86_shift_cl(X86Asm *as, X86Shift shift, u32 size, u8 reg)
{
    x86_flags_op(as, size == 1 ? 0xd2 : 0xd3, size, (u8)shift, x86_reg(reg), 0);
}

void x86_unary(X86Asm *as, X86Unary unary, u32 size, X86Rm rm)
{
    x86_flags_op(as, size == 1 ? 0xf6 : 0xf7, size, (u8)unary, rm, 0);
}

void x86_mov(X86Asm *as, u32 size, u8 to, u8 from)
{
    x86_op(as, 0x8b, MAX(size, 4), to, x86_reg(from), 0);
}

void x86_load(X86Asm *as, u32 size, u8 to, X86Rm from)
{
    if (size < 4) {
        x86_movzx(as, size, to, from);
    } else {
        x86_op(as, 0x8b, size, to, from, 0);
    }
}

void x86_store(X86Asm *as, u32 size, X86Rm to, u8 from)
{
    x86_op(as, size == 1 ? 0x88 : 0x89, size, from, to, 0);
}

void x86_store_imm(X86Asm *as, u32 size, X86Rm to, s32 imm)
{
    x86_op(as, size == 1 ? 0xc6 : 0xc7, size, 0, to, (u8)MIN(size, 4));
    immediate(as, size, imm);
}

void x86_mov_imm(X86Asm *as, u8 to, u64 imm)
{
    if (imm == (u32)imm) {
        if (to & 8) {
            x86_byte(as, 0x41);
        }
        x86_byte(as, 0xb8 | (to & 7));
        x86_u32(as, (u32)imm);
    } else if ((s64)imm == (s32)imm) {
        x86_op(as, 0xc7, 8, 0, x86_reg(to), 4);
        x86_u32(as, (u32)imm);
    } else {
        x86_byte(as, 0x48 | (to & 8) >> 3);
        x86_byte(as, 0xb8 | (to & 7));
        x86_u64(as, imm);
    }
}

void x86_lea(X86Asm *as, u32 size, u8 to, X86Rm address)
{
    x86_op(as, 0x8d, MAX(size, 4), to, address, 0);
}

void x86_movzx(X86Asm *as, u32 from_size, u8 to, X86Rm from)
{
    if (from_size >= 4) {
        x86_op(as, 0x8b, from_size, to, from, 0);
        return;
    }
    /* The size passed is the source's where that needs a REX prefix. */
    if (from_size == 1 && !x86_is_memory(from) && from.reg >= 4 && from.reg < 8 && to < 8) {
        x86_byte(as, 0x40);
    }
    x86_op(as, X86_OPCODE(0, X86_0F, from_size == 1 ? 0xb6 : 0xb7), 4, to, from, 0);
}

void x86_movsx(X86Asm *as, u32 from_size, u32 size, u8 to, X86Rm from)
{
    if (from_size == 4) {
        x86_op(as, 0x63, 8, to, from, 0);
        return;
    }
    if (size != 8 && from_size == 1 && !x86_is_memory(from) && from.reg >= 4 && from.reg < 8 &&
        to < 8) {
        x86_byte(as, 0x40);
    }
    x86_op(as, X86_OPCODE(0, X86_0F, from_size == 1 ? 0xbe : 0xbf), size == 8 ? 8 : 4, to, from, 0);
}

void x86_cmov(X86Asm *as, X86Cond cc, u32 size, u8 to, X86Rm from)
{
    x86_op(as, X86_OPCODE(0, X86_0F, 0x40 | cc), MAX(size, 4), to, from, 0);
}

void x86_setcc(X86Asm *as, X86Cond cc, u8 to)
{
    x86_op(as, X86_OPCODE(0, X86_0F, 0x90 | cc), 1, 0, x86_reg(to), 0);
}

void x86_push(X86Asm *as, u8 reg)
{
    if (reg & 8) {
        x86_byte(as, 0x41);
    }
    x86_byte(as, 0x50 | (reg & 7));
}

void x86_pop(X86Asm *as, u8 reg)
{
    if (reg & 8) {
        x86_byte(as, 0x41);
    }
    x86_byte(as, 0x58 | (reg & 7));
}

u8 *x86_jcc_short(X86Asm *as, X86Cond cc)
{
    x86_byte(as, 0x70 | cc);
    x86_byte(as, 0);
    return as->at - 1;
}

u8 *x86_jmp_short(X86Asm *as)
{
    x86_byte(as, 0xeb);
    x86_byte(as, 0);
    return as->at - 1;
}

void x86_bind_short(X86Asm *as, u8 *jump)
{
    *jump = (u8)(as->at - jump - 1);
    as->flags_of = 0;
}

u8 *x86_jmp(X86Asm *as)
{
    x86_byte(as, 0xe9);
    x86_u32(as, 0);
    return as->at - 4;
}

u8 *x86_jcc(X86Asm *as, X86Cond cc)
{
    x86_byte(as, 0x0f);
    x86_byte(as, 0x80 | cc);
    x86_u32(as, 0);
    return as->at - 4;
}

u8 *x86_call(X86Asm *as)
{
    x86_byte(as, 0xe8);
    x86_u32(as, 0);
    return as->at - 4;
}

void x86_bind(u8 *site, const u8 *target)
{
    s32 distance = (s32)(target - (site + 4));

    memcpy(site, &distance, 4);
}

/* REX.W, opcode, and a ModRM that means [rip + displacement]; returns the displacement's place. */
static u8 *relative_to_code(X86Asm *as, u8 opcode, u8 reg)
{
    x86_byte(as, (u8)(0x48 | (reg >> 3) << 2));
    x86_byte(as, opcode);
    x86_byte(as, (u8)((reg & 7) << 3 | 5));
    x86_u32(as, 0);
    return as->at - 4;
}

void x86_lea_code(X86Asm *as, u8 reg, const u8 *target)
{
    x86_bind(relative_to_code(as, 0x8d, reg), target);
}

u8 *x86_cmp_code(X86Asm *as, u8 reg)
{
    return relative_to_code(as, 0x3b, reg);
}

void x86_nop(X86Asm *as, u32 bytes)
{
    static const u8 nops[4][4] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}};

    memcpy(as->at, nops[bytes], bytes);
    as->at += bytes;
}

void x86_align_site(X86Asm *as, u32 opcode_bytes_count)
{
    uintptr_t place = ((uintptr_t)as->at + opcode_bytes_count) & 7;

    if (place > 4) {
        x86_nop(as, (u32)(8 - place));
    }
}

/* The VEX prefix and opcode: 2 bytes where map 0F, W and the X and B bits allow. */
static void vex_prefix(X86Asm *as, u32 opcode, u8 reg, u8 first, const X86Rm *rm)
{
    u8 rex = rex_bits(reg, rm), map = opcode >> 8 & 15, prefix = opcode >> 12 & 3;
    u8 tail = (u8)((~first & 15) << 3 | prefix);

    if (map == X86_0F && !(opcode & X86_W) && !(rex & 3)) {
        x86_byte(as, 0xc5);
        x86_byte(as, (rex & 4 ? 0 : 0x80) | tail);
    } else {
        x86_byte(as, 0xc4);
        x86_byte(as, (u8)((~rex & 7) << 5) | map);
        x86_byte(as, (opcode & X86_W ? 0x80 : 0) | tail);
    }
    x86_byte(as, (u8)opcode);
}

void x86_vex(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second, u8 trailing)
{
    address_prefix(as, &second);
    vex_prefix(as, opcode, to & 15, first & 15, &second);
    modrm(as, to & 15, &second, trailing);
}

static void vector(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second, u8 trailing)
{
    if (as->features & X86_AVX) {
        x86_vex(as, opcode, to, first, second, trailing);
    } else {
        x86_op(as, opcode, 4, to & 15, second, trailing);
    }
}

void x86_vector(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second)
{
    vector(as, opcode, to, first, second, 0);
}

void x86_vector_imm(X86Asm *as, u32 opcode, u8 to, u8 first, X86Rm second, u8 imm)
{
    vector(as, opcode, to, first, second, 1);
    x86_byte(as, imm);
}

void x86_vector2(X86Asm *as, u32 opcode, u8 to, X86Rm from)
{
    vector(as, opcode, to, 0, from, 0);
}

void x86_vector2_imm(X86Asm *as, u32 opcode, u8 to, X86Rm from, u8 imm)
{
    vector(as, opcode, to, 0, from, 1);
    x86_byte(as, imm);
}
