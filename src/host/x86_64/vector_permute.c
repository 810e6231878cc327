/* Lanes that move: between scalars and vectors, and about in vectors. */
#include "host/x86_64/vector.h"

static bool is_vector_class(IrType type)
{
    return type > IR_I64;
}

static bool same_value(const Compiler *c, IrVal x, IrVal y)
{
    return ra_root(&c->ra, x) == ra_root(&c->ra, y);
}

/* -- Scalars */

static bool splat_constant(Compiler *c, IrVal value, u32 log, u64 constant)
{
    if (!(constant << (64 - (8u << log)))) {
        return lower_zero(c, value);
    }
    x86_vector2(&c->as, V_MOVAPS, define(c, value, 0), pool_lanes(c, log, constant));
    return true;
}

/* Spreads the lowest lane of `from`; `to` may be the same. */
static void spread(Compiler *c, u32 log, u8 to, u8 from)
{
    static const u32 broadcast[4] = {P38(0x78), P38(0x79), P38(0x58), P38(0x59)};

    if (has_feature(c, X86_AVX2)) {
        x86_vex(&c->as, broadcast[log], to, 0, x86_reg(from), 0);
    } else if (log >= 2) {
        vector_shuffle(c, to, from, log == 2 ? 0x00 : 0x44);
    } else if (log == 1) {
        x86_vector2_imm(&c->as, X86_OPCODE(X86_PF2, X86_0F, 0x70), to, x86_reg(from), 0);
        vector_shuffle(c, to, to, 0x44); /* after pshuflw */
    } else {
        u8 zero = scratch_vector(c);
        vector_zero(c, zero);
        vector_op(c, V_PSHUFB, to, from, zero);
    }
}

bool vector_splat(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn);
    u64 constant;

    if (is_constant(c, insn->arg[0], &constant)) {
        return splat_constant(c, value, log, constant);
    }
    u8 from = use(c, insn->arg[0]);
    u8 to = define(c, value, 0);
    if (!is_vector_class((IrType)insn_of(c, insn->arg[0])->type)) {
        x86_vector2(&c->as, V_MOVD_FROM_INT | (log == 3 ? X86_W : 0), to, x86_reg(from));
        from = to;
    }
    spread(c, log, to, from);
    return true;
}

static void extract_int(Compiler *c, u32 log, u8 to, u8 from, u8 index)
{
    static const u32 extract[4] = {P3A(0x14), 0, P3A(0x16), P3A(0x16) | X86_W};

    if (log == 1) { /* pextrw has its registers the other way round */
        x86_vector2_imm(&c->as, PD(0xc5), to, x86_reg(from), index);
    } else if (log >= 2 && index == 0) {
        x86_vector2(&c->as, V_MOVD_TO_INT | (log == 3 ? X86_W : 0), from, x86_reg(to));
    } else {
        x86_vector2_imm(&c->as, extract[log], from, x86_reg(to), index);
    }
}

/* The rest of the register becomes zero: results of VGET are clean. */
static void extract_float(Compiler *c, u32 log, u8 to, u8 from, u8 index)
{
    if (log == 2) {
        vector3_imm(c, V_INSERTPS, to, from, x86_reg(from), (u8)(index << 6 | 0x0e));
    } else if (index == 0) {
        x86_vector2(&c->as, V_MOVQ, to, x86_reg(from));
    } else {
        vector_shift_bytes(c, VECTOR_SHR, to, from, 8);
    }
}

bool vector_get(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn);
    bool is_int = !is_vector_class((IrType)insn->type);
    X86Rm from = use_rm(c, insn->arg[0], ir_type_size((IrType)insn_of(c, insn->arg[0])->type));

    if (!is_int && log < 2) {
        return false;
    }
    u8 to = define(c, value, 0);
    if (x86_is_memory(from)) {
        from.disp += (s32)(insn->imm << log);
        if (is_int) {
            x86_load(&c->as, 1u << log, to, from);
        } else {
            load_vector(c, 1u << log, to, from);
        }
    } else {
        (is_int ? extract_int : extract_float)(c, log, to, from.reg, (u8)insn->imm);
    }
    return true;
}

/* Replaces lane `index` of arg0 by the low part of a vector register. */
static bool insert_float(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 index = (u8)insn->imm;

    if (lane_log(insn) == 2) {
        return lower_binary_imm(c, value, V_INSERTPS, insn->arg[0], insn->arg[1], (u8)(index << 4));
    }
    return index ? lower_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1])
                 : lower_binary_imm(c, value, V_PBLENDW, insn->arg[0], insn->arg[1], 0x0f);
}

bool vector_set(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 insert[4] = {P3A(0x20), PD(0xc4), P3A(0x22), P3A(0x22) | X86_W};
    u32 log = lane_log(insn);

    if (is_vector_class((IrType)insn_of(c, insn->arg[1])->type)) {
        return log >= 2 && insert_float(c, value, insn);
    }
    u8 x = use(c, insn->arg[1]);
    u8 to, from = 0;
    if (has_feature(c, X86_AVX)) {
        from = use(c, insn->arg[0]);
        to = define(c, value, 0);
    } else {
        to = from = define_over(c, value, insn->arg[0], 0);
    }
    x86_vector_imm(&c->as, insert[log], to, from, x86_reg(x), (u8)insn->imm);
    return true;
}

/* -- Pairs of vectors interleaved and separated. A v64 of one lane is left to the evaluator. */

static bool is_single_lane(const IrInsn *insn)
{
    return insn->type == IR_V64 && lane_log(insn) == 3;
}

bool vector_zip(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 low[4] = {V_PUNPCKLBW, V_PUNPCKLWD, V_PUNPCKLDQ, V_PUNPCKLQDQ};
    static const u32 high[4] = {PD(0x68), V_PUNPCKHWD, PD(0x6a), V_PUNPCKHQDQ};
    bool second = insn->op == IR_VZIP2, half = insn->type == IR_V64;
    u32 log = lane_log(insn);

    if (is_single_lane(insn)) {
        return false;
    }
    u8 to =
        define_binary(c, value, second && !half ? high[log] : low[log], insn->arg[0], insn->arg[1]);
    if (second && half) {
        vector_shift_bytes(c, VECTOR_SHR, to, to, 8);
    }
    return true;
}

/* The even (or odd) lanes of 1 or 2 bytes of one register, then those again. */
static X86Rm alternate_lanes(Compiler *c, u32 log, bool odd)
{
    u8 bytes[16];

    for (u32 i = 0; i < 16; i++) {
        u32 lane = i >> log, within = i & ((1u << log) - 1);
        bytes[i] = (u8)((((lane * 2 + odd) << log) | within) & 15);
    }
    return pool_rm(c, bytes, 16);
}

/* Both sources are one register: that of a v64's operands joined, or the same operand twice. */
static bool separate_one(Compiler *c, IrVal value, const IrInsn *insn, u32 log, bool odd)
{
    u8 from, to;

    if (insn->type == IR_V64) {
        from = to = define_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1]);
    } else {
        from = use(c, insn->arg[0]);
        to = define(c, value, 0);
    }
    vector3(c, V_PSHUFB, to, from, alternate_lanes(c, log, odd));
    return true;
}

/* Cuts the lanes to their half of the pair and packs them. */
static bool separate_by_packing(Compiler *c, IrVal value, const IrInsn *insn, u32 log, bool odd)
{
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    if (odd) {
        vector_shift(c, VECTOR_SHR, log + 1, to, x, 8u << log);
        vector_shift(c, VECTOR_SHR, log + 1, other, y, 8u << log);
    } else {
        X86Rm mask = pool_lanes(c, log + 1, log == 0 ? 0xff : 0xffff);
        vector3(c, V_PAND, to, x, mask);
        vector3(c, V_PAND, other, y, mask);
    }
    vector_op(c, log == 0 ? V_PACKUSWB : V_PACKUSDW, to, to, other);
    return true;
}

bool vector_uzp(Compiler *c, IrVal value, const IrInsn *insn)
{
    bool odd = insn->op == IR_VUZP2, half = insn->type == IR_V64;
    u32 log = lane_log(insn);

    if (is_single_lane(insn)) {
        return false;
    }
    if (log == 3) {
        return lower_binary(c, value, odd ? V_PUNPCKHQDQ : V_PUNPCKLQDQ, insn->arg[0],
                            insn->arg[1]);
    }
    if (log == 2 && !half) {
        return lower_binary_imm(c, value, V_SHUFPS, insn->arg[0], insn->arg[1], odd ? 0xdd : 0x88);
    }
    if (log == 2) {
        u8 to = define_binary(c, value, V_PUNPCKLDQ, insn->arg[0], insn->arg[1]);
        if (odd) {
            vector_shift_bytes(c, VECTOR_SHR, to, to, 8);
        }
        return true;
    }
    return half || same_value(c, insn->arg[0], insn->arg[1])
               ? separate_one(c, value, insn, log, odd)
               : separate_by_packing(c, value, insn, log, odd);
}

/* TRN1: even lanes of y move up beside those of x; TRN2: odd lanes of x move down. */
bool vector_trn(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u8 odd_words[4] = {0, 0xaa, 0xcc, 0};
    bool second = insn->op == IR_VTRN2;
    u32 log = lane_log(insn);

    if (is_single_lane(insn)) {
        return false;
    }
    if (log == 3) {
        return lower_binary(c, value, second ? V_PUNPCKHQDQ : V_PUNPCKLQDQ, insn->arg[0],
                            insn->arg[1]);
    }
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), moved = scratch_vector(c);
    vector_shift(c, second ? VECTOR_SHR : VECTOR_SHL, log + 1, moved, second ? x : y, 8u << log);
    if (log == 0) {
        vector3(c, V_PAND, to, second ? y : x, pool_lanes(c, 1, second ? 0xff00 : 0x00ff));
        vector_op(c, V_POR, to, to, moved);
    } else {
        vector3_imm(c, V_PBLENDW, to, second ? moved : x, x86_reg(second ? y : moved),
                    odd_words[log]);
    }
    return true;
}

bool vector_ext(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 size = ir_type_size((IrType)insn->type);

    if (insn->imm == 0 || insn->imm == size) {
        return lower_same(c, value, insn->arg[insn->imm != 0]);
    }
    if (insn->type == IR_V128) {
        return lower_binary_imm(c, value, V_PALIGNR, insn->arg[1], insn->arg[0], (u8)insn->imm);
    }
    u8 to = define_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1]);
    vector_shift_bytes(c, VECTOR_SHR, to, to, (u32)insn->imm);
    return true;
}

bool vector_rev(Compiler *c, IrVal value, const IrInsn *insn)
{
    u32 log = lane_log(insn), group = (u32)insn->imm;
    u8 bytes[16];

    if (group == 1u << log) {
        return lower_same(c, value, insn->arg[0]);
    }
    if (log == 2 && group == 8) {
        return lower_single_imm(c, value, V_PSHUFD, insn->arg[0], 0xb1);
    }
    for (u32 i = 0; i < 16; i++) { /* the lane's number in its group is flipped */
        bytes[i] = (u8)(i ^ ((group - 1) & ~((1u << log) - 1)));
    }
    return lower_shuffle_bytes(c, value, insn->arg[0], bytes);
}

/* Indices above 15 become negative, which the CPU's look-up turns to 0. */
bool vector_tbl(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (insn->sub & IR_X86) {
        return insn->type == IR_V128 &&
               lower_binary(c, value, V_PSHUFB, insn->arg[1], insn->arg[0]);
    }
    u8 index = use(c, insn->arg[0]), table = use(c, insn->arg[1]);
    u8 limited = scratch_vector(c);
    u8 to = define(c, value, 0);

    vector3(c, PD(0xdc), limited, index, pool_lanes(c, 0, 0x70)); /* paddusb */
    vector_op(c, V_PSHUFB, to, table, limited);
    return true;
}

/* -- Pairwise sums */

/* Sums of neighbouring bytes, in the even ones. */
static void add_byte_pairs(Compiler *c, u8 to, u8 from)
{
    vector_shift(c, VECTOR_SHR, 1, to, from, 8);
    vector_op(c, V_PADDB, to, to, from);
}

static bool add_bytes(Compiler *c, IrVal value, const IrInsn *insn)
{
    X86Rm mask = pool_lanes(c, 1, 0xff);
    u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);

    if (insn->type == IR_V64 || same_value(c, insn->arg[0], insn->arg[1])) {
        if (insn->type == IR_V64) {
            vector_op(c, V_PUNPCKLQDQ, other, x, y);
            x = other;
        }
        add_byte_pairs(c, to, x);
        vector3(c, V_PSHUFB, to, to, alternate_lanes(c, 0, false));
        return true;
    }
    add_byte_pairs(c, to, x);
    add_byte_pairs(c, other, y);
    vector3(c, V_PAND, to, to, mask);
    vector3(c, V_PAND, other, other, mask);
    vector_op(c, V_PACKUSWB, to, to, other);
    return true;
}

bool vector_padd(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 horizontal[4] = {0, P38(0x01), P38(0x02), 0};
    u32 log = lane_log(insn);

    if (log == 0) {
        return add_bytes(c, value, insn);
    }
    if (is_single_lane(insn)) {
        return lower_binary(c, value, V_PADDQ, insn->arg[0], insn->arg[1]);
    }
    if (log == 3) {
        u8 x = use(c, insn->arg[0]), y = use(c, insn->arg[1]);
        u8 to = define(c, value, RA_EARLY), other = scratch_vector(c);
        vector_op(c, V_PUNPCKLQDQ, to, x, y);
        vector_op(c, V_PUNPCKHQDQ, other, x, y);
        vector_op(c, V_PADDQ, to, to, other);
    } else if (insn->type == IR_V128) {
        return lower_binary(c, value, horizontal[log], insn->arg[0], insn->arg[1]);
    } else {
        u8 to = define_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1]);
        vector_op(c, horizontal[log], to, to, to);
    }
    return true;
}

/* -- Halves */

bool vector_cat(Compiler *c, IrVal value, const IrInsn *insn)
{
    return lower_binary(c, value, V_PUNPCKLQDQ, insn->arg[0], insn->arg[1]);
}

bool vector_high(Compiler *c, IrVal value, const IrInsn *insn)
{
    X86Rm from = use_rm(c, insn->arg[0], 16);
    u8 to = define(c, value, 0);

    if (x86_is_memory(from)) {
        from.disp += 8;
        x86_vector2(&c->as, V_MOVQ, to, from);
    } else {
        vector_shift_bytes(c, VECTOR_SHR, to, from.reg, 8);
    }
    return true;
}
