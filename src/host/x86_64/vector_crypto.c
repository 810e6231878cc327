/* AES, SHA-1, SHA-256 and carry-less products, by the CPU's instructions for them.
 *
 * The SHA extensions have no VEX forms: their operands are registers, the first one is written.
 * Arm numbers the words of a state from the low end, the SHA extensions from the high end. */
#include "host/x86_64/vector.h"

enum {
    V_AESIMC = P38(0xdb),
    V_AESENC = P38(0xdc),
    V_AESENCLAST = P38(0xdd),
    V_AESDEC = P38(0xde),
    V_AESDECLAST = P38(0xdf),
    V_AESKEYGENASSIST = P3A(0xdf),
    V_PCLMULQDQ = P3A(0x44),
    V_SHA1RNDS4 = X86_OPCODE(X86_P0, X86_0F3A, 0xcc),
    V_SHA1NEXTE = X86_OPCODE(X86_P0, X86_0F38, 0xc8),
    V_SHA1MSG1 = X86_OPCODE(X86_P0, X86_0F38, 0xc9),
    V_SHA1MSG2 = X86_OPCODE(X86_P0, X86_0F38, 0xca),
    V_SHA256RNDS2 = X86_OPCODE(X86_P0, X86_0F38, 0xcb), /* words from xmm0 */
    V_SHA256MSG1 = X86_OPCODE(X86_P0, X86_0F38, 0xcc),
    V_SHA256MSG2 = X86_OPCODE(X86_P0, X86_0F38, 0xcd),
    REVERSE = 0x1b, /* order of pshufd */
};

/* Arm adds the round key first, x86 last: there it is zero. MixColumns alone is a round with all
 * else undone before. */
bool vector_aes(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 x86_rounds[] = {[IR_AESENC] = V_AESENC,
                                     [IR_AESENCLAST] = V_AESENCLAST,
                                     [IR_AESDEC] = V_AESDEC,
                                     [IR_AESDECLAST] = V_AESDECLAST};

    if (!has_feature(c, X86_AES)) {
        return false;
    }
    if (insn->sub == IR_AESKEYGENASSIST) {
        return lower_single_imm(c, value, V_AESKEYGENASSIST, insn->arg[0], (u8)insn->imm);
    }
    if (insn->sub >= IR_AESENC) {
        return lower_binary(c, value, x86_rounds[insn->sub], insn->arg[0], insn->arg[1]);
    }
    if (insn->sub == IR_AESIMC) {
        return lower_single(c, value, V_AESIMC, insn->arg[0]);
    }
    X86Rm no_key = pool_u64_pair(c, 0, 0);
    if (insn->sub == IR_AESMC) {
        u8 from = use(c, insn->arg[0]);
        u8 to = define(c, value, 0);
        vector3(c, V_AESDECLAST, to, from, no_key);
        vector3(c, V_AESENC, to, to, no_key);
        return true;
    }
    u8 to = define_binary(c, value, V_PXOR, insn->arg[0], insn->arg[1]);
    vector3(c, insn->sub == IR_AESE ? V_AESENCLAST : V_AESDECLAST, to, to, no_key);
    return true;
}

bool vector_clmul(Compiler *c, IrVal value, const IrInsn *insn)
{
    return has_feature(c, X86_PCLMUL) &&
           lower_binary_imm(c, value, V_PCLMULQDQ, insn->arg[0], insn->arg[1], (u8)insn->imm);
}

bool vector_mullp(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (lane_log(insn) != 3 || !has_feature(c, X86_PCLMUL)) {
        return false;
    }
    return lower_binary_imm(c, value, V_PCLMULQDQ, insn->arg[0], insn->arg[1],
                            insn->sub & IR_HIGH ? 0x11 : 0x00);
}

static void sha_op(Compiler *c, u32 opcode, u8 to, u8 second)
{
    x86_op(&c->as, opcode, 4, to, x86_reg(second), 0);
}

/* Four rounds of SHA-1 on a..d in arg0, e in arg1, schedule plus constant in arg2. The CPU adds the
 * constant itself, so it is subtracted before. */
static void sha1_rounds(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 constants[3] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc};
    u8 rounds = insn->sub - IR_SHA1C;
    u8 state = use(c, insn->arg[0]), e = use(c, insn->arg[1]), m = use(c, insn->arg[2]);
    u8 words = scratch_vector(c), top = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY);

    vector_shuffle(c, words, m, REVERSE);
    vector3(c, V_PSUBD, words, words, pool_lanes(c, 2, constants[rounds]));
    vector_shift_bytes(c, VECTOR_SHL, top, e, 12);
    vector_op(c, V_PADDD, words, words, top);
    vector_shuffle(c, to, state, REVERSE);
    x86_op(&c->as, V_SHA1RNDS4, 4, to, x86_reg(words), 1);
    x86_byte(&c->as, rounds);
    vector_shuffle(c, to, to, REVERSE);
}

/* d ^ m ^ (the middle of d:n) */
static void sha1_schedule0(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 d = use(c, insn->arg[0]), n = use(c, insn->arg[1]), m = use(c, insn->arg[2]);
    u8 to = define(c, value, RA_EARLY), middle = scratch_vector(c);

    vector3_imm(c, V_SHUFPD, middle, d, x86_reg(n), 1);
    vector_op(c, V_PXOR, to, d, m);
    vector_op(c, V_PXOR, to, to, middle);
}

static void rotate_words_by_one(Compiler *c, u8 reg, u8 other)
{
    vector_shift(c, VECTOR_SHR, 2, other, reg, 31);
    vector_shift(c, VECTOR_SHL, 2, reg, reg, 1);
    vector_op(c, V_POR, reg, reg, other);
}

/* Words d[i] ^ n[i + 1] rotated by one; the first one, once more rotated, goes into the last. */
static void sha1_schedule1(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 d = use(c, insn->arg[0]), n = use(c, insn->arg[1]);
    u8 to = define(c, value, RA_EARLY), other = scratch_vector(c), last = scratch_vector(c);

    vector_shift_bytes(c, VECTOR_SHR, to, n, 4);
    vector_op(c, V_PXOR, to, to, d);
    rotate_words_by_one(c, to, other);
    vector_shift_bytes(c, VECTOR_SHL, last, to, 12);
    rotate_words_by_one(c, last, other);
    vector_op(c, V_PXOR, to, to, last);
}

/* Four rounds of SHA-256 on a..d and e..h, of which `want_first` selects a result. The CPU keeps
 * a b e f and c d g h together, and makes two rounds at once, after which the former abef is the
 * next cdgh. */
static void sha256_rounds(Compiler *c, IrVal value, const IrInsn *insn, bool want_first)
{
    enum { XMM0 };
    ra_use_fixed(&c->ra, insn->arg[2], VECTOR + XMM0);
    u8 abcd = use(c, insn->arg[!want_first]), efgh = use(c, insn->arg[want_first]);
    u8 p = scratch_vector(c), q = scratch_vector(c);
    u8 to = define(c, value, RA_EARLY);

    vector_shuffle(c, to, abcd, REVERSE);
    vector_shuffle(c, q, efgh, REVERSE);
    vector_op(c, V_PUNPCKHQDQ, p, q, to); /* abef */
    vector_op(c, V_PUNPCKLQDQ, q, q, to); /* cdgh */
    sha_op(c, V_SHA256RNDS2, q, p);
    vector_shuffle(c, XMM0, XMM0, 0x0e);
    sha_op(c, V_SHA256RNDS2, p, q);
    vector_op(c, want_first ? V_PUNPCKHQDQ : V_PUNPCKLQDQ, to, q, p);
    vector_shuffle(c, to, to, REVERSE);
}

static void sha256_schedule0(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 n = use(c, insn->arg[1]);

    sha_op(c, V_SHA256MSG1, define_over(c, value, insn->arg[0], 0), n);
}

static void sha256_schedule1(Compiler *c, IrVal value, const IrInsn *insn)
{
    u8 d = use(c, insn->arg[0]), n = use(c, insn->arg[1]), m = use(c, insn->arg[2]);
    u8 to = define(c, value, RA_EARLY);

    vector3_imm(c, V_PALIGNR, to, m, x86_reg(n), 4);
    vector_op(c, V_PADDD, to, to, d);
    sha_op(c, V_SHA256MSG2, to, m);
}

/* The x86 instructions themselves. */
static bool x86_sha(Compiler *c, IrVal value, const IrInsn *insn)
{
    static const u32 opcodes[] = {
        [IR_SHA1RNDS4] = V_SHA1RNDS4,     [IR_SHA1NEXTE] = V_SHA1NEXTE,
        [IR_SHA1MSG1] = V_SHA1MSG1,       [IR_SHA1MSG2] = V_SHA1MSG2,
        [IR_SHA256RNDS2] = V_SHA256RNDS2, [IR_SHA256MSG1] = V_SHA256MSG1,
        [IR_SHA256MSG2] = V_SHA256MSG2,
    };
    bool immediate = insn->sub == IR_SHA1RNDS4;

    if (insn->sub == IR_SHA256RNDS2) {
        ra_use_fixed(&c->ra, insn->arg[2], VECTOR + 0);
    }
    u8 second = use(c, insn->arg[1]);
    u8 to = define_over(c, value, insn->arg[0], RA_EARLY);
    x86_op(&c->as, opcodes[insn->sub], 4, to, x86_reg(second), immediate);
    if (immediate) {
        x86_byte(&c->as, (u8)insn->imm);
    }
    return true;
}

bool vector_sha(Compiler *c, IrVal value, const IrInsn *insn)
{
    if (!has_feature(c, X86_SHA)) {
        return false;
    }
    switch ((IrSha)insn->sub) {
    case IR_SHA1C:
    case IR_SHA1P:
    case IR_SHA1M:
        sha1_rounds(c, value, insn);
        return true;
    case IR_SHA1SU0:
        sha1_schedule0(c, value, insn);
        return true;
    case IR_SHA1SU1:
        sha1_schedule1(c, value, insn);
        return true;
    case IR_SHA256H:
    case IR_SHA256H2:
        sha256_rounds(c, value, insn, insn->sub == IR_SHA256H);
        return true;
    case IR_SHA256SU0:
        sha256_schedule0(c, value, insn);
        return true;
    case IR_SHA256SU1:
        sha256_schedule1(c, value, insn);
        return true;
    case IR_SHA1H:
        return false;
    default:
        return x86_sha(c, value, insn);
    }
}
