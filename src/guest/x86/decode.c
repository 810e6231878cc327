/* The x86 decoder: prefixes, opcode, ModRM, displacement and immediates; which row of the opcode
 * tables the bytes are; and what each operand is (Intel SDM volume 2, chapter 2 and appendix A).
 *
 * A row is found by map, opcode and the middle field of ModRM; of the few candidates there the
 * first that the prefixes, ModRM, W, L, the mode and the CPU's features fit is it. Must not know
 * what instructions mean. */
#include <string.h>

#include "base/bytes.h"
#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/state.h"

/* Bits of REX, and of VEX in the same places. */
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

typedef struct Decoder {
    const u8 *bytes;
    unsigned available; /* bytes, no more than X86_INSN_MAX */
    const X86DecodeMode *mode;
    X86Insn *insn;
    unsigned at;       /* bytes consumed */
    bool out_of_bytes; /* something was read behind the available ones */
    u8 rex;            /* REX_* */
    bool any_rex;      /* a REX prefix, or VEX: SPL and the like instead of AH */
    bool vex, vex_long;
    u8 vvvv;
    u8 mandatory; /* X86_MANDATORY_*: the one that the prefixes amount to */
    u8 map;
    u8 segment; /* an override, or X86_NO_REGISTER */
    const X86Row *row;
} Decoder;

/* -- Bytes */

static u8 next_byte(Decoder *d)
{
    if (d->at >= d->available) {
        d->out_of_bytes = true;
        d->at++;
        return 0;
    }
    return d->bytes[d->at++];
}

static u8 peek_byte(Decoder *d, unsigned offset)
{
    u8 byte;

    d->at += offset;
    byte = next_byte(d);
    d->at -= offset + 1;
    return byte;
}

/* Little-endian, sign-extended. */
static s64 next_value(Decoder *d, unsigned size)
{
    unsigned unused = 64 - 8 * size;
    u64 value = 0;

    if (size == 4 && d->at + 4 <= d->available) {
        value = get_le(d->bytes + d->at, 4);
        d->at += 4;
    } else {
        for (unsigned i = 0; i < size; i++) {
            value |= (u64)next_byte(d) << (8 * i);
        }
    }
    return (s64)(value << unused) >> unused;
}

/* -- Prefixes */

static bool in_64_bit_code(const Decoder *d)
{
    return d->mode->code_size == 8;
}

/* In 64-bit mode only FS and GS may override. */
static void override_segment(Decoder *d, unsigned segment)
{
    d->insn->prefixes |= X86_PREFIX_SEGMENT;
    if (!in_64_bit_code(d) || segment >= X86_FS) {
        d->segment = (u8)segment;
    }
}

/* Takes one legacy prefix; false if the byte is none. Of F2 and F3 the last counts. */
static bool take_prefix(Decoder *d, u8 byte)
{
    X86Insn *insn = d->insn;

    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        override_segment(d, byte >> 3 & 3);
        return true;
    case 0x64:
    case 0x65:
        override_segment(d, X86_FS + (byte & 1u));
        return true;
    case 0x66:
        insn->prefixes |= X86_PREFIX_OPERAND;
        return true;
    case 0x67:
        insn->prefixes |= X86_PREFIX_ADDRESS;
        return true;
    case 0xf0:
        insn->prefixes |= X86_PREFIX_LOCK;
        return true;
    case 0xf2:
    case 0xf3:
        insn->prefixes &= (u8) ~(X86_PREFIX_REP | X86_PREFIX_REPNE);
        insn->prefixes |= byte == 0xf2 ? X86_PREFIX_REPNE : X86_PREFIX_REP;
        return true;
    default:
        return false;
    }
}

/* Legacy prefixes, and REX, which counts directly before the opcode only. Returns the first byte
 * of the opcode. */
static u8 take_prefixes(Decoder *d)
{
    for (;;) {
        u8 byte = next_byte(d);
        if (d->out_of_bytes) {
            return 0;
        }
        if (in_64_bit_code(d) && (byte & 0xf0) == 0x40) {
            d->rex = byte & 0xf;
            d->any_rex = true;
        } else if (take_prefix(d, byte)) {
            d->rex = 0;
            d->any_rex = false;
        } else {
            return byte;
        }
    }
}

/* -- Opcodes */

static void choose_mandatory(Decoder *d)
{
    u8 prefixes = d->insn->prefixes;

    d->mandatory = prefixes & X86_PREFIX_REP       ? X86_MANDATORY_F3
                   : prefixes & X86_PREFIX_REPNE   ? X86_MANDATORY_F2
                   : prefixes & X86_PREFIX_OPERAND ? X86_MANDATORY_66
                                                   : X86_MANDATORY_NONE;
}

/* The last byte of both VEX forms: vvvv, L, pp. */
static void take_vex_payload(Decoder *d, u8 byte)
{
    static const u8 mandatory[] = {X86_MANDATORY_NONE, X86_MANDATORY_66, X86_MANDATORY_F3,
                                   X86_MANDATORY_F2};

    d->vex = true;
    d->any_rex = true;
    d->vvvv = ~byte >> 3 & 0xf;
    d->vex_long = byte & 4;
    d->mandatory = mandatory[byte & 3];
    d->insn->vector_size = d->vex_long ? 32 : 16;
    if (!in_64_bit_code(d)) {
        d->rex &= REX_W;
    }
}

/* The rest of a VEX prefix; false if it may not stand here. */
static bool take_vex(Decoder *d, u8 first)
{
    bool allowed = !d->any_rex && !d->mode->real &&
                   !(d->insn->prefixes &
                     (X86_PREFIX_LOCK | X86_PREFIX_REP | X86_PREFIX_REPNE | X86_PREFIX_OPERAND));
    u8 byte = next_byte(d);

    d->rex = (u8)(~byte >> 5 & 4); /* R */
    if (first == 0xc5) {
        d->map = X86_MAP_VEX;
    } else {
        unsigned map = byte & 0x1f;
        u8 last = next_byte(d);
        d->rex = (u8)((~byte >> 5 & 7) | (last >> 4 & REX_W));
        d->map = (u8)(X86_MAP_VEX - 1 + map);
        allowed &= map >= 1 && map <= 3;
        byte = last;
    }
    take_vex_payload(d, byte);
    return allowed;
}

/* C4 and C5 are LES and LDS outside 64-bit mode, when their operand is in memory. */
static bool is_vex(Decoder *d, u8 byte)
{
    return (byte == 0xc4 || byte == 0xc5) &&
           (in_64_bit_code(d) || (!d->mode->real && peek_byte(d, 0) >= 0xc0));
}

/* Takes everything up to the last byte of the opcode. */
static bool take_opcode(Decoder *d)
{
    u8 byte = take_prefixes(d);

    choose_mandatory(d);
    if (is_vex(d, byte)) {
        if (!take_vex(d, byte)) {
            return false;
        }
        byte = next_byte(d);
    } else if (byte == 0x0f) {
        d->map = X86_MAP_0F;
        byte = next_byte(d);
        if (byte == 0x38 || byte == 0x3a) {
            d->map = byte == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
            byte = next_byte(d);
        }
    }
    d->insn->opcode = byte;
    return true;
}

/* What can be demanded of an encoding and holds for this one. */
static unsigned fulfilled(const Decoder *d)
{
    bool code64 = in_64_bit_code(d);

    return (d->insn->modrm < 0xc0 ? X86_DEMAND_MEMORY : 0) |
           (d->rex & REX_W ? X86_DEMAND_W1 : X86_DEMAND_W0) |
           (d->vex_long ? X86_DEMAND_L1 : X86_DEMAND_L0) |
           (code64 ? X86_DEMAND_CODE64 : X86_DEMAND_NOT_CODE64) |
           (d->rex & REX_B ? 0 : X86_DEMAND_NO_REX_B) | (d->mode->real ? 0 : X86_DEMAND_PROTECTED);
}

static bool has_feature(const Decoder *d, unsigned feature)
{
    return feature == X86_FEATURE_NONE || x86_has(d->mode->features, feature);
}

/* Takes ModRM, which must be there if any row of the opcode has it, and finds the row. */
static bool find_row(Decoder *d)
{
    const X86Opcode *entry = x86_opcodes[d->map][d->insn->opcode];
    unsigned fits;

    if (entry->modrm) {
        d->insn->modrm = peek_byte(d, 0);
        entry += d->insn->modrm >> 3 & 7;
    }
    fits = fulfilled(d);
    for (unsigned i = 0; i < entry->count; i++) {
        unsigned number = x86_candidates[entry->first + i];
        const X86Row *row = &x86_rows[number];
        if ((row->prefixes & d->mandatory) && !(row->demands & ~fits) &&
            (d->insn->modrm & row->modrm_mask) == row->modrm_bits && has_feature(d, row->need[0]) &&
            has_feature(d, row->need[1])) {
            d->row = row;
            d->insn->row = (u16)number;
            d->at += entry->modrm;
            return true;
        }
    }
    return false;
}

/* -- Sizes */

/* Prefixes that chose the row say nothing else. */
static void drop_mandatory(Decoder *d)
{
    u8 chosen = d->row->prefixes;

    if (d->vex || chosen & X86_MANDATORY_NONE) {
        return;
    }
    switch (d->mandatory) {
    case X86_MANDATORY_F3:
        d->insn->prefixes &= (u8)~X86_PREFIX_REP;
        break;
    case X86_MANDATORY_F2:
        d->insn->prefixes &= (u8)~X86_PREFIX_REPNE;
        break;
    default:
        d->insn->prefixes &= (u8)~X86_PREFIX_OPERAND;
        break;
    }
}

static void set_sizes(Decoder *d)
{
    X86Insn *insn = d->insn;
    bool operand = insn->prefixes & X86_PREFIX_OPERAND;
    bool address = insn->prefixes & X86_PREFIX_ADDRESS;

    if (in_64_bit_code(d)) {
        bool wide = d->rex & REX_W || d->row->attributes & X86_F64;
        bool narrow = operand && !wide;
        wide |= (d->row->attributes & X86_D64) != 0;
        insn->operand_size = narrow ? 2 : wide ? 8 : 4;
        insn->address_size = address ? 4 : 8;
    } else {
        insn->operand_size = (d->mode->code_size == 2) != operand ? 2 : 4;
        insn->address_size = (d->mode->code_size == 2) != address ? 2 : 4;
    }
}

static unsigned vector_size(const Decoder *d)
{
    return d->vex_long ? 32 : 16;
}

/* Bytes of an operand; `memory` decides where it differs. */
static unsigned size_of(const Decoder *d, unsigned size, bool memory)
{
    unsigned operand_size = d->insn->operand_size;

    switch ((X86OperandSize)size) {
    case X86_SIZE_none:
        return 0;
    case X86_SIZE_b:
        return 1;
    case X86_SIZE_w:
        return 2;
    case X86_SIZE_d:
    case X86_SIZE_ss:
    case X86_SIZE_dd:
        return 4;
    case X86_SIZE_q:
    case X86_SIZE_sd:
        return 8;
    case X86_SIZE_dq:
        return 16;
    case X86_SIZE_qq:
        return 32;
    case X86_SIZE_x:
        return vector_size(d);
    case X86_SIZE_xh:
        return vector_size(d) / 2;
    case X86_SIZE_xq:
        return vector_size(d) / 4;
    case X86_SIZE_xe:
        return vector_size(d) / 8;
    case X86_SIZE_v:
        return operand_size;
    case X86_SIZE_z:
        return MIN(operand_size, 4);
    case X86_SIZE_y:
        return in_64_bit_code(d) && (d->rex & REX_W || d->row->attributes & X86_F64) ? 8 : 4;
    case X86_SIZE_t:
        return 10;
    case X86_SIZE_s:
        return in_64_bit_code(d) ? 10 : 6;
    case X86_SIZE_p:
        return operand_size + 2;
    case X86_SIZE_a:
        return 2 * operand_size;
    case X86_SIZE_vw:
        return memory ? 2 : operand_size;
    case X86_SIZE_db:
        return memory ? 1 : 4;
    case X86_SIZE_dw:
        return memory ? 2 : 4;
    case X86_SIZE_qd:
        return memory ? 4 : 8;
    case X86_SIZE_512:
        return 512;
    case X86_SIZE_14_28:
        return operand_size == 2 ? 14 : 28;
    case X86_SIZE_94_108:
        return operand_size == 2 ? 94 : 108;
    }
    return 0;
}

/* -- Addresses */

static void set_default_segment(Decoder *d)
{
    X86Memory *m = &d->insn->memory;
    bool stack = m->base == X86_RSP || m->base == X86_RBP;

    m->segment = d->segment != X86_NO_REGISTER ? d->segment : stack ? X86_SS : X86_DS;
}

static void take_address_16(Decoder *d)
{
    static const u8 bases[] = {X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                               X86_RSI, X86_RDI, X86_RBP, X86_RBX};
    static const u8 indices[] = {X86_RSI, X86_RDI, X86_RSI, X86_RDI};
    X86Memory *m = &d->insn->memory;
    unsigned mod = d->insn->modrm >> 6, rm = d->insn->modrm & 7;

    m->index = rm < 4 ? indices[rm] : X86_NO_REGISTER;
    if (mod == 0 && rm == 6) {
        m->base = X86_NO_REGISTER;
        m->displacement = (s32)next_value(d, 2);
        return;
    }
    m->base = bases[rm];
    m->displacement = mod == 0 ? 0 : (s32)next_value(d, mod);
}

/* A SIB byte; a vector index may have number 4. */
static void take_sib(Decoder *d)
{
    X86Memory *m = &d->insn->memory;
    u8 sib = next_byte(d);

    m->base = (u8)((sib & 7) | (d->rex & REX_B ? 8 : 0));
    m->index = (u8)((sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0));
    m->scale = sib >> 6;
    if (m->index == 4 && !d->row->vsib) {
        m->index = X86_NO_REGISTER;
    }
}

static void take_address_32(Decoder *d)
{
    X86Memory *m = &d->insn->memory;
    unsigned mod = d->insn->modrm >> 6, rm = d->insn->modrm & 7;
    bool sib = rm == 4;

    m->index = X86_NO_REGISTER;
    if (sib) {
        take_sib(d);
    } else {
        m->base = (u8)(rm | (d->rex & REX_B ? 8 : 0));
    }
    if (mod == 0 && (m->base & 7) == 5) {
        m->base = X86_NO_REGISTER;
        m->rip = !sib && in_64_bit_code(d);
        m->displacement = (s32)next_value(d, 4);
    } else if (mod != 0) {
        m->displacement = (s32)next_value(d, mod == 1 ? 1 : 4);
    }
}

/* Takes SIB and displacement; false where a vector index is needed and there is none. */
static bool take_address(Decoder *d)
{
    if (d->insn->address_size == 2) {
        take_address_16(d);
    } else {
        take_address_32(d);
    }
    set_default_segment(d);
    return !d->row->vsib || (d->insn->address_size != 2 && (d->insn->modrm & 7) == 4);
}

/* [rBX] and the like; O has its displacement in place of a register. */
static void imply_address(Decoder *d, u8 base, u8 index)
{
    X86Memory *m = &d->insn->memory;

    m->base = base;
    m->index = index;
    m->segment = d->segment != X86_NO_REGISTER ? d->segment : X86_DS;
}

/* -- Operands */

static void set_operand(X86Operand *operand, unsigned kind, unsigned number)
{
    operand->kind = (u8)kind;
    operand->number = (u8)number;
}

/* Byte registers 4 to 7 are AH to BH unless there is a REX prefix. */
static void set_gpr(Decoder *d, X86Operand *operand, unsigned number)
{
    bool high = operand->size == 1 && number >= 4 && !d->any_rex;

    set_operand(operand, high ? X86_OPERAND_GPR_HIGH : X86_OPERAND_GPR, high ? number - 4 : number);
}

static unsigned reg_field(const Decoder *d)
{
    return (d->insn->modrm >> 3 & 7) | (d->rex & REX_R ? 8 : 0);
}

static unsigned rm_field(const Decoder *d)
{
    return (d->insn->modrm & 7) | (d->rex & REX_B ? 8 : 0);
}

static unsigned vvvv_field(const Decoder *d)
{
    return in_64_bit_code(d) ? d->vvvv : d->vvvv & 7;
}

/* Operands of ModRM's second part; `kind` is that of a register. */
static void set_rm(Decoder *d, X86Operand *operand, const X86RowOperand *spec, unsigned kind)
{
    bool memory = d->insn->modrm < 0xc0 && spec->code != X86_CODE_R;

    if (memory) {
        operand->size = (u16)size_of(d, spec->size, true);
        set_operand(operand, X86_OPERAND_MEMORY, 0);
    } else if (kind == X86_OPERAND_GPR) {
        set_gpr(d, operand, rm_field(d));
    } else {
        set_operand(operand, kind, kind == X86_OPERAND_VECTOR ? rm_field(d) : rm_field(d) & 7);
    }
}

static void set_immediate(Decoder *d, X86Operand *operand, const X86RowOperand *spec)
{
    unsigned bytes = spec->code == X86_CODE_sI ? 1 : operand->size;

    operand->kind = X86_OPERAND_IMMEDIATE;
    if (spec->code == X86_CODE_sI) {
        operand->size = d->insn->operand_size;
    } else if (spec->size == X86_SIZE_z) { /* never more than 4 bytes, but extended to 8 */
        operand->size = d->insn->operand_size;
    }
    operand->value = next_value(d, bytes);
    if (spec->size == X86_SIZE_b && spec->code == X86_CODE_I) {
        operand->value = (u8)operand->value;
    } else if (spec->size == X86_SIZE_w) {
        operand->value = (u16)operand->value;
    }
}

static void set_far(Decoder *d, X86Operand *operand)
{
    operand->kind = X86_OPERAND_FAR;
    operand->value = next_value(d, d->insn->operand_size);
    operand->value &= d->insn->operand_size == 2 ? 0xffff : 0xffffffff;
    d->insn->selector = (u16)next_value(d, 2);
}

/* Control registers 0, 2, 3, 4, 8; debug registers 0 to 7; segment registers, CS not to load. */
static bool set_system_register(Decoder *d, X86Operand *operand, unsigned code)
{
    unsigned number = reg_field(d);

    switch (code) {
    case X86_CODE_C:
        set_operand(operand, X86_OPERAND_CONTROL, number);
        return 0x11d >> number & 1;
    case X86_CODE_D:
        set_operand(operand, X86_OPERAND_DEBUG, number);
        return number < 8;
    default:
        number &= 7;
        set_operand(operand, X86_OPERAND_SEGMENT, number);
        return number <= X86_GS && !(number == X86_CS && operand->access & X86_WRITE);
    }
}

static void set_moffs(Decoder *d, X86Operand *operand)
{
    s64 offset = next_value(d, d->insn->address_size);

    imply_address(d, X86_NO_REGISTER, X86_NO_REGISTER);
    set_operand(operand, X86_OPERAND_MEMORY, 0);
    d->insn->memory.displacement = offset;
    operand->value = offset;
}

static bool set_fixed(Decoder *d, X86Operand *operand, unsigned code)
{
    switch (code) {
    case X86_CODE_AL:
    case X86_CODE_CL:
        operand->size = 1;
        set_operand(operand, X86_OPERAND_GPR, code == X86_CODE_AL ? X86_RAX : X86_RCX);
        return true;
    case X86_CODE_AX:
    case X86_CODE_DX:
        operand->size = 2;
        set_operand(operand, X86_OPERAND_GPR, code == X86_CODE_AX ? X86_RAX : X86_RDX);
        return true;
    case X86_CODE_rAX:
    case X86_CODE_eAX:
        operand->size =
            code == X86_CODE_rAX ? d->insn->operand_size : (u16)MIN(d->insn->operand_size, 4);
        set_operand(operand, X86_OPERAND_GPR, X86_RAX);
        return true;
    case X86_CODE_1:
        operand->size = 1;
        operand->value = 1;
        set_operand(operand, X86_OPERAND_CONSTANT, 0);
        return true;
    case X86_CODE_XMM0:
        operand->size = 16;
        set_operand(operand, X86_OPERAND_VECTOR, 0);
        return true;
    case X86_CODE_ST0:
        operand->size = 10;
        set_operand(operand, X86_OPERAND_ST, 0);
        return true;
    default:
        operand->size = d->insn->operand_size;
        set_operand(operand, X86_OPERAND_SEGMENT, code - X86_CODE_ES);
        return true;
    }
}

/* False if the operand cannot be as the bytes say. */
static bool take_operand(Decoder *d, X86Operand *operand, const X86RowOperand *spec)
{
    operand->access = spec->access;
    operand->size = (u16)size_of(d, spec->size, false);
    switch (spec->code) {
    case X86_CODE_A:
        set_far(d, operand);
        return true;
    case X86_CODE_B:
        set_gpr(d, operand, vvvv_field(d));
        return true;
    case X86_CODE_C:
    case X86_CODE_D:
    case X86_CODE_S:
        return set_system_register(d, operand, spec->code);
    case X86_CODE_E:
    case X86_CODE_M:
    case X86_CODE_R:
        set_rm(d, operand, spec, X86_OPERAND_GPR);
        return true;
    case X86_CODE_G:
        set_gpr(d, operand, reg_field(d));
        return true;
    case X86_CODE_H:
        set_operand(operand, X86_OPERAND_VECTOR, vvvv_field(d));
        return true;
    case X86_CODE_I:
    case X86_CODE_sI:
        set_immediate(d, operand, spec);
        return true;
    case X86_CODE_J:
        operand->kind = X86_OPERAND_RELATIVE;
        operand->value = next_value(d, operand->size);
        return true;
    case X86_CODE_L: {
        u8 byte = next_byte(d);
        set_operand(operand, X86_OPERAND_VECTOR, in_64_bit_code(d) ? byte >> 4 : byte >> 4 & 7);
        return true;
    }
    case X86_CODE_N:
    case X86_CODE_Q:
        set_rm(d, operand, spec, X86_OPERAND_MMX);
        return true;
    case X86_CODE_O:
        set_moffs(d, operand);
        return true;
    case X86_CODE_P:
        set_operand(operand, X86_OPERAND_MMX, reg_field(d) & 7);
        return true;
    case X86_CODE_U:
    case X86_CODE_W:
        set_rm(d, operand, spec, X86_OPERAND_VECTOR);
        return true;
    case X86_CODE_V:
        set_operand(operand, X86_OPERAND_VECTOR, reg_field(d));
        return true;
    case X86_CODE_X:
        imply_address(d, X86_RSI, X86_NO_REGISTER);
        set_operand(operand, X86_OPERAND_STRING_SOURCE, 0);
        return true;
    case X86_CODE_XB:
        imply_address(d, X86_RBX, X86_NO_REGISTER); /* plus AL */
        set_operand(operand, X86_OPERAND_MEMORY, 0);
        return true;
    case X86_CODE_Y:
        set_operand(operand, X86_OPERAND_STRING_DESTINATION, 0);
        return true;
    case X86_CODE_Z:
        set_gpr(d, operand, (d->insn->opcode & 7) | (d->rex & REX_B ? 8u : 0));
        return true;
    case X86_CODE_STi:
        operand->size = 10;
        set_operand(operand, X86_OPERAND_ST, d->insn->modrm & 7);
        return true;
    default:
        return set_fixed(d, operand, spec->code);
    }
}

static bool takes_address(const Decoder *d)
{
    if (d->insn->modrm >= 0xc0) {
        return false;
    }
    for (unsigned i = 0; i < d->row->operand_count; i++) {
        if (d->row->operand[i].code == X86_CODE_R && d->row->modrm_mask < 0xc0) {
            return false; /* moves of control registers ignore mod */
        }
    }
    return true;
}

static bool take_operands(Decoder *d)
{
    bool valid = true;

    if (x86_opcodes[d->map][d->insn->opcode]->modrm && takes_address(d)) {
        valid = take_address(d);
    }
    d->insn->operand_count = d->row->operand_count;
    for (unsigned i = 0; i < d->row->operand_count; i++) {
        valid &= take_operand(d, &d->insn->operand[i], &d->row->operand[i]);
    }
    return valid;
}

/* -- What is not allowed */

static bool lock_allowed(const Decoder *d)
{
    const X86Operand *operand = d->insn->operand;

    return d->row->lock != X86_LOCK_NONE &&
           (operand[0].kind == X86_OPERAND_MEMORY || operand[1].kind == X86_OPERAND_MEMORY);
}

/* vvvv must be all ones when it is no operand; a gather's three registers must differ. */
static bool vex_allowed(const Decoder *d)
{
    const X86Operand *operand = d->insn->operand;

    if (d->row->vsib) {
        u8 index = d->insn->memory.index;
        return operand[0].number != operand[2].number && operand[0].number != index &&
               operand[2].number != index;
    }
    for (unsigned i = 0; i < d->row->operand_count; i++) {
        if (d->row->operand[i].code == X86_CODE_H || d->row->operand[i].code == X86_CODE_B) {
            return true;
        }
    }
    return d->vvvv == 0;
}

static X86DecodeResult shortage(const Decoder *d)
{
    return d->at > X86_INSN_MAX ? X86_DECODE_TOO_LONG : X86_DECODE_SHORT;
}

X86DecodeResult x86_decode(const u8 *bytes, size_t available, const X86DecodeMode *mode,
                           X86Insn *insn)
{
    Decoder d = {.bytes = bytes,
                 .available = (unsigned)MIN(available, (size_t)X86_INSN_MAX),
                 .mode = mode,
                 .insn = insn,
                 .segment = X86_NO_REGISTER};
    bool valid;

    memset(insn, 0, sizeof(*insn));
    insn->memory.base = insn->memory.index = X86_NO_REGISTER;
    valid = take_opcode(&d) && !d.out_of_bytes && find_row(&d);
    if (valid && !d.out_of_bytes) {
        drop_mandatory(&d);
        set_sizes(&d);
        set_default_segment(&d); /* for implied addresses */
        valid = take_operands(&d);
        insn->prefixes |= d.any_rex && !d.vex ? X86_PREFIX_REX : 0;
    }
    insn->size = (u8)MIN(d.at, X86_INSN_MAX);
    if (d.out_of_bytes) {
        return shortage(&d);
    }
    if (!valid || (insn->prefixes & X86_PREFIX_LOCK && !lock_allowed(&d)) ||
        (d.vex && !vex_allowed(&d))) {
        return X86_DECODE_UNDEFINED;
    }
    return X86_DECODE_OK;
}
