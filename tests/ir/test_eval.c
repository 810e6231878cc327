/* The evaluator against independent answers: published vectors for AES, SHA and CRC, and for lanes
 * of 8 bits every pair of operands against arithmetic in int. */
#include <string.h>

#include "../tap.h"
#include "ir/eval.h"

static IrWord eval(IrInsn insn, u8 from, IrWord x, IrWord y, IrWord z)
{
    const u8 types[3] = {from, from, from};
    const IrWord args[3] = {x, y, z};
    IrWord result;
    FpEnv fp = {0};

    ir_eval(&insn, types, args, &result, &fp);
    return result;
}

static IrWord vector_op(IrOp op, IrType lane, u8 sub, u64 imm, IrWord x, IrWord y)
{
    return eval((IrInsn){.op = (u8)op, .type = IR_V128, .lane = (u8)lane, .sub = sub, .imm = imm},
                IR_V128, x, y, (IrWord){0});
}

static IrWord bytes(const char *hex)
{
    IrWord word = {0};

    for (u32 i = 0; hex[i * 2]; i++) {
        unsigned byte = 0;
        sscanf(hex + i * 2, "%2x", &byte);
        word.bytes[i] = (u8)byte;
    }
    return word;
}

static bool same(IrWord a, IrWord b)
{
    return memcmp(&a, &b, 16) == 0;
}

/* -- AES: FIPS 197, appendix B */

static IrWord aes(u8 sub, IrWord x, IrWord key)
{
    return eval((IrInsn){.op = IR_AES, .type = IR_V128, .sub = sub}, IR_V128, x, key, (IrWord){0});
}

static void test_aes(void)
{
    static const char *const keys[] = {
        "2b7e151628aed2a6abf7158809cf4f3c", "a0fafe1788542cb123a339392a6c7605",
        "f2c295f27a96b9435935807a7359f67f", "3d80477d4716fe3e1e237e446d7a883b",
        "ef44a541a8525b7fb671253bdb0bad00", "d4d1c6f87c839d87caf2b8bc11f915bc",
        "6d88a37a110b3efddbf98641ca0093fd", "4e54f70e5f5fc9f384a64fb24ea6dc4f",
        "ead27321b58dbad2312bf5607f8d292f", "ac7766f319fadc2128d12941575c006e",
        "d014f9a8c9ee2589e13f0cc8b6630ca6",
    };
    IrWord plain = bytes("3243f6a8885a308d313198a2e0370734"), x = plain, zero = {0};

    for (u32 i = 0; i < 10; i++) {
        x = aes(0, x, bytes(keys[i]));
        x = i < 9 ? aes(2, x, zero) : x;
    }
    x.v[0] ^= bytes(keys[10]).v[0];
    x.v[1] ^= bytes(keys[10]).v[1];
    OK(same(x, bytes("3925841d02dc09fbdc118597196a0b32")), "AES-128 encrypts as FIPS 197 says");
    x = aes(1, x, bytes(keys[10]));
    for (u32 i = 9; i > 0; i--) {
        x = aes(1, aes(3, x, zero), aes(3, bytes(keys[i]), zero));
    }
    x.v[0] ^= bytes(keys[0]).v[0];
    x.v[1] ^= bytes(keys[0]).v[1];
    OK(same(x, plain), "and decrypts again");
}

/* -- SHA of "abc": FIPS 180-4 examples. The message schedule is made with the operations. */

typedef union Block {
    u32 w[16];
    IrWord v[4];
} Block;

static IrWord load4(const u32 *w)
{
    IrWord word = {0};

    memcpy(&word, w, 16);
    return word;
}

static IrWord add4(IrWord x, IrWord y)
{
    return vector_op(IR_ADD, IR_I32, 0, 0, x, y);
}

static IrWord sha(IrSha sub, IrWord d, IrWord n, IrWord m)
{
    return eval((IrInsn){.op = IR_SHA, .type = IR_V128, .sub = (u8)sub}, IR_V128, d, n, m);
}

static void test_sha1(void)
{
    static const u32 constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    static const u8 rounds[] = {IR_SHA1C, IR_SHA1P, IR_SHA1M, IR_SHA1P};
    u32 start[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, message[16] = {0x61626380};
    IrWord w[4], abcd = load4(start), e = {.i = 0xc3d2e1f0}, zero = {0};

    message[15] = 24;
    for (u32 i = 0; i < 4; i++) {
        w[i] = load4(message + i * 4);
    }
    for (u32 i = 0; i < 20; i++) {
        u32 k[4] = {constants[i / 5], constants[i / 5], constants[i / 5], constants[i / 5]};
        IrWord next_e = sha(IR_SHA1H, (IrWord){.i = (u32)abcd.i}, zero, zero);
        abcd = sha((IrSha)rounds[i / 5], abcd, e, add4(w[0], load4(k)));
        e = next_e;
        IrWord next = sha(IR_SHA1SU1, sha(IR_SHA1SU0, w[0], w[1], w[2]), w[3], zero);
        memmove(w, w + 1, sizeof(w[0]) * 3);
        w[3] = next;
    }
    u32 expected[] = {0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c};
    OK(same(add4(abcd, load4(start)), load4(expected)) && (u32)e.i + 0xc3d2e1f0 == 0x9cd0d89d,
       "SHA-1 of abc");
}

static u32 prime_root(u32 n, u32 power) /* fraction bits of the root of the n-th prime */
{
    u32 prime = 2;

    while (n) {
        bool is_prime = true;
        prime++;
        for (u32 i = 2; i * i <= prime; i++) {
            is_prime &= prime % i != 0;
        }
        n -= is_prime;
    }
    u64 root = 0; /* root^power <= prime * 2^(32 * power) */
    for (u32 bit = 35; bit-- > 0;) {
        u64 next = root | (u64)1 << bit;
        u128 limit = (u128)prime << 64;
        u128 square = (u128)next * next;
        bool fits = power == 2 ? square <= limit : (square >> 20) * next <= (limit << 12);
        root = fits ? next : root;
    }
    return (u32)root;
}

static void test_sha256(void)
{
    u32 start[8], k[64], message[16] = {0x61626380};
    IrWord w[4], x, y, zero = {0};

    for (u32 i = 0; i < 64; i++) {
        k[i] = prime_root(i, 3);
        start[i % 8] = i < 8 ? prime_root(i, 2) : start[i % 8];
    }
    message[15] = 24;
    for (u32 i = 0; i < 4; i++) {
        w[i] = load4(message + i * 4);
    }
    x = load4(start);
    y = load4(start + 4);
    for (u32 i = 0; i < 16; i++) {
        IrWord wk = add4(w[0], load4(k + i * 4)), old = x;
        x = sha(IR_SHA256H, x, y, wk);
        y = sha(IR_SHA256H2, y, old, wk);
        IrWord next = sha(IR_SHA256SU1, sha(IR_SHA256SU0, w[0], w[1], zero), w[2], w[3]);
        memmove(w, w + 1, sizeof(w[0]) * 3);
        w[3] = next;
    }
    u32 high[] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223};
    u32 low[] = {0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad};
    OK(same(add4(x, load4(start)), load4(high)) && same(add4(y, load4(start + 4)), load4(low)),
       "SHA-256 of abc");
}

static void test_crc(void)
{
    static const u32 expected[] = {0xcbf43926, 0xe3069283};

    for (u8 sub = 0; sub < 2; sub++) {
        const u8 types[3] = {IR_I32, IR_I8};
        IrWord crc = {.i = 0xffffffff};
        for (const char *c = "123456789"; *c; c++) {
            IrWord args[3] = {crc, {.i = (u8)*c}};
            ir_eval(&(IrInsn){.op = IR_CRC32, .type = IR_I32, .sub = sub}, types, args, &crc, NULL);
        }
        OK((u32)~crc.i == expected[sub], "CRC-32%s of 123456789", sub ? "C" : "");
    }
}

/* -- Lanes of 8 bits */

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* value * 2^count with the halves rounded down or up. */
static int shift(int value, int count, bool rounding)
{
    if (count >= 0) {
        return count > 20 ? (value ? (value < 0 ? -1 : 1) * (1 << 28) : 0) : value * (1 << count);
    }
    if (count < -16) {
        return !rounding && value < 0 ? -1 : 0;
    }
    int divisor = 1 << -count, sum = value + (rounding ? divisor / 2 : 0);
    return (sum - ((sum % divisor) + divisor) % divisor) / divisor;
}

typedef struct LaneCase {
    const char *name;
    IrOp op;
    u8 sub;
    int (*expected)(int x, int y, int sub); /* x, y signed if sub has IR_SIGNED, else unsigned */
} LaneCase;

static int signed8(int x)
{
    return (s8)x;
}

static int expect_shlv(int x, int y, int sub)
{
    int count = signed8(y);

    return count >= 8 ? 0 : shift(x, count, sub & IR_ROUNDING);
}

static int expect_qshlv(int x, int y, int sub)
{
    bool to_signed = (sub & IR_SIGNED) && !(sub & IR_TO_UNSIGNED);

    return clamp(shift(x, signed8(y), sub & IR_ROUNDING), to_signed ? -128 : 0,
                 to_signed ? 127 : 255);
}

static int expect_hadd(int x, int y, int sub)
{
    return shift(x + signed8(y) * !!(sub & IR_SIGNED) + y * !(sub & IR_SIGNED), -1,
                 sub & IR_ROUNDING);
}

static int expect_hsub(int x, int y, int sub)
{
    return shift(x - (sub & IR_SIGNED ? signed8(y) : y), -1, sub & IR_ROUNDING);
}

static int expect_adds(int x, int y, int sub)
{
    (void)sub;
    return clamp(signed8(x) + signed8(y), -128, 127);
}

static int expect_subs(int x, int y, int sub)
{
    (void)sub;
    return clamp(signed8(x) - signed8(y), -128, 127);
}

static int expect_addu(int x, int y, int sub)
{
    (void)sub;
    return clamp(x + y, 0, 255);
}

static int expect_subu(int x, int y, int sub)
{
    (void)sub;
    return clamp(x - y, 0, 255);
}

static int expect_abds(int x, int y, int sub)
{
    (void)sub;
    int difference = signed8(x) - signed8(y);
    return difference < 0 ? -difference : difference;
}

static int expect_mins(int x, int y, int sub)
{
    (void)sub;
    return signed8(x) < signed8(y) ? x : y;
}

static int expect_mulp(int x, int y, int sub)
{
    int product = 0;

    (void)sub;
    for (int bit = 1; bit < 256; bit *= 2) {
        product ^= y & bit ? x * bit : 0;
    }
    return product;
}

static const LaneCase lane_cases[] = {
    {"ushl", IR_VSHLV, 0, expect_shlv},
    {"sshl", IR_VSHLV, IR_SIGNED, expect_shlv},
    {"urshl", IR_VSHLV, IR_ROUNDING, expect_shlv},
    {"srshl", IR_VSHLV, IR_SIGNED | IR_ROUNDING, expect_shlv},
    {"uqshl", IR_VQSHLV, 0, expect_qshlv},
    {"sqshl", IR_VQSHLV, IR_SIGNED, expect_qshlv},
    {"sqrshl", IR_VQSHLV, IR_SIGNED | IR_ROUNDING, expect_qshlv},
    {"sqshlu", IR_VQSHLV, IR_SIGNED | IR_TO_UNSIGNED, expect_qshlv},
    {"uhadd", IR_VHADD, 0, expect_hadd},
    {"srhadd", IR_VHADD, IR_SIGNED | IR_ROUNDING, expect_hadd},
    {"uhsub", IR_VHSUB, 0, expect_hsub},
    {"shsub", IR_VHSUB, IR_SIGNED, expect_hsub},
    {"sqadd", IR_VADDS, 0, expect_adds},
    {"uqadd", IR_VADDU, 0, expect_addu},
    {"sqsub", IR_VSUBS, 0, expect_subs},
    {"uqsub", IR_VSUBU, 0, expect_subu},
    {"sabd", IR_VABDS, 0, expect_abds},
    {"smin", IR_VMINS, 0, expect_mins},
    {"pmul", IR_VMULP, 0, expect_mulp},
};

static void test_lanes(const LaneCase *c)
{
    u32 wrong = 0;

    for (int x = 0; x < 256; x++) {
        for (int y = 0; y < 256; y += 16) {
            IrWord a = {0}, b = {0}, r;
            for (int i = 0; i < 16; i++) {
                a.bytes[i] = (u8)x;
                b.bytes[i] = (u8)(y + i);
            }
            r = vector_op(c->op, IR_I8, c->sub, 0, a, b);
            for (int i = 0; i < 16; i++) {
                int number = c->sub & IR_SIGNED ? signed8(x) : x;
                wrong += r.bytes[i] != (u8)c->expected(number, y + i, c->sub);
            }
        }
    }
    OK(!wrong, "%s of all pairs of bytes", c->name);
}

/* -- Moves of lanes, as the Arm manual draws them: lanes of a are 0..15, of b 16..31 */

static void test_permutations(void)
{
    static const struct {
        const char *name;
        IrOp op;
        IrType lane;
        u64 imm;
        const char *expected;
    } cases[] = {
        {"zip1", IR_VZIP1, IR_I32, 0, "00010203101112130405060714151617"},
        {"zip2", IR_VZIP2, IR_I32, 0, "08090a0b18191a1b0c0d0e0f1c1d1e1f"},
        {"uzp1", IR_VUZP1, IR_I16, 0, "0001040508090c0d1011141518191c1d"},
        {"uzp2", IR_VUZP2, IR_I16, 0, "020306070a0b0e0f121316171a1b1e1f"},
        {"trn1", IR_VTRN1, IR_I64, 0, "00010203040506071011121314151617"},
        {"trn2", IR_VTRN2, IR_I32, 0, "04050607141516170c0d0e0f1c1d1e1f"},
        {"ext", IR_VEXT, IR_I8, 3, "030405060708090a0b0c0d0e0f101112"},
        {"rev32", IR_VREV, IR_I16, 4, "02030001060704050a0b08090e0f0c0d"},
        {"rev64", IR_VREV, IR_I8, 8, "07060504030201000f0e0d0c0b0a0908"},
        {"addp", IR_VPADD, IR_I8, 0, "0105090d1115191d2125292d3135393d"},
        {"tbl", IR_VTBL, IR_VOID, 0, "00000000000000000000000000000000"},
    };
    IrWord a = bytes("000102030405060708090a0b0c0d0e0f");
    IrWord b = bytes("101112131415161718191a1b1c1d1e1f");

    for (u32 i = 0; i < COUNT(cases); i++) {
        bool tbl = cases[i].op == IR_VTBL; /* with indices that are all out of range */
        IrWord r = vector_op(cases[i].op, cases[i].lane, 0, cases[i].imm, tbl ? b : a, tbl ? a : b);
        OK(same(r, bytes(cases[i].expected)), "%s moves lanes", cases[i].name);
    }
    OK(same(vector_op(IR_VTBL, IR_VOID, 0, 0, a, b), b), "tbl looks up");
}

/* -- Flags: each condition after a subtraction is the comparison itself */

static void test_conditions(void)
{
    u32 wrong = 0;

    for (u32 x = 0; x < 256; x++) {
        for (u32 y = 0; y < 256; y++) {
            s8 sx = (s8)x, sy = (s8)y;
            IrWord a = {.i = x}, b = {.i = y}, zero = {0};
            IrWord arm = eval((IrInsn){.op = IR_FLAGS_SUBN, .type = IR_I32}, IR_I8, a, b, zero);
            IrWord x86 = eval((IrInsn){.op = IR_FLAGS_SUB, .type = IR_I32}, IR_I8, a, b, zero);
            IrWord not_y = {.i = (u8)~y}, one = {.i = 1};
            IrWord adc = eval((IrInsn){.op = IR_FLAGS_ADC, .type = IR_I32}, IR_I8, a, not_y, one);
            const struct {
                IrCond cond;
                IrWord flags;
                bool holds;
            } cases[] = {
                {IR_COND_Z, arm, x == y},
                {IR_COND_NZ, arm, x != y},
                {IR_COND_C, arm, x >= y},
                {IR_COND_C, x86, x < y},
                {IR_COND_C, adc, x >= y},
                {IR_COND_HI, arm, x > y},
                {IR_COND_LS, arm, x <= y},
                {IR_COND_A, x86, x > y},
                {IR_COND_BE, x86, x <= y},
                {IR_COND_GE, arm, sx >= sy},
                {IR_COND_LT, adc, sx < sy},
                {IR_COND_GT, x86, sx > sy},
                {IR_COND_LE, arm, sx <= sy},
                {IR_COND_N, adc, (s8)(x - y) < 0},
                {IR_COND_V, arm, sx - sy != (s8)(x - y)},
                {IR_COND_P, x86, !(__builtin_popcount((u8)(x - y)) & 1)},
            };
            for (u32 i = 0; i < COUNT(cases); i++) {
                IrInsn cond = {.op = IR_COND, .type = IR_I32, .sub = (u8)cases[i].cond};
                wrong += (bool)eval(cond, IR_I32, cases[i].flags, zero, zero).i != cases[i].holds;
            }
        }
    }
    OK(!wrong, "conditions after a subtraction of all pairs of bytes");
}

static u64 scalar(IrOp op, IrType type, u64 x, u64 y)
{
    return eval((IrInsn){.op = (u8)op, .type = (u8)type}, type, (IrWord){.i = x}, (IrWord){.i = y},
                (IrWord){0})
        .i;
}

static void test_scalars(void)
{
    const u64 least = (u64)1 << 63, ones = ~(u64)0;

    OK(scalar(IR_DIVS, IR_I64, least, ones) == least, "least / -1");
    OK(scalar(IR_DIVS, IR_I32, 0xfffffff9, 2) == 0xfffffffd, "division rounds to zero");
    OK(scalar(IR_DIVU, IR_I64, 5, 0) == 0 && scalar(IR_DIVS, IR_I32, 5, 0) == 0, "division by 0");
    OK(scalar(IR_MULHS, IR_I64, ones, ones) == 0, "high half of -1 * -1");
    OK(scalar(IR_MULHU, IR_I64, ones, ones) == ones - 1, "and of the unsigned product");
    OK(scalar(IR_CLZ, IR_I16, 1, 0) == 15 && scalar(IR_CTZ, IR_I8, 0, 0) == 8, "zeros");
    OK(scalar(IR_SAR, IR_I8, 0x80, 7) == 0xff && scalar(IR_SHL, IR_I8, 1, 9) == 2, "shifts");
    OK(scalar(IR_ROR, IR_I16, 0x1234, 4) == 0x4123, "rotation");
    OK(scalar(IR_BSWAP, IR_I32, 0x12345678, 0) == 0x78563412, "byte order");
    OK(scalar(IR_BITREV, IR_I8, 0x13, 0) == 0xc8, "bit order");
}

int main(void)
{
    test_aes();
    test_sha1();
    test_sha256();
    test_crc();
    for (u32 i = 0; i < COUNT(lane_cases); i++) {
        test_lanes(&lane_cases[i]);
    }
    test_permutations();
    test_conditions();
    test_scalars();
    return tap_done();
}
