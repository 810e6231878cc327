/* Evaluation of CRC32, AES (FIPS 197) and SHA (FIPS 180-4) operations, from their definitions. */
#include "ir/eval_private.h"

static void crc32(const Eval *e)
{
    u32 polynomial = e->insn->sub ? 0x82f63b78 : 0xedb88320; /* bit-reflected */
    u32 crc = (u32)e->args[0].i;

    for (u32 i = 0; i < ir_type_size(e->types[1]); i++) {
        crc ^= e->args[1].bytes[i];
        for (u32 bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        }
    }
    e->result->i = crc;
}

/* -- AES. The state is a column-major 4 x 4 matrix of bytes. */

/* Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
static u8 gf_mul(u8 x, u8 y)
{
    u8 product = 0;

    for (; y; y >>= 1) {
        product ^= y & 1 ? x : 0;
        x = (u8)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
    }
    return product;
}

/* x^254 = x^2 * x^4 * ... * x^128: the inverse, and 0 of 0. */
static u8 gf_inverse(u8 x)
{
    u8 power = 1;

    for (u32 i = 0; i < 7; i++) {
        x = gf_mul(x, x);
        power = gf_mul(power, x);
    }
    return power;
}

static u8 rotate_byte(u8 x, u32 count)
{
    return (u8)(x << count | x >> (8 - count));
}

static u8 sub_byte(u8 x)
{
    u8 i = gf_inverse(x);

    return i ^ rotate_byte(i, 1) ^ rotate_byte(i, 2) ^ rotate_byte(i, 3) ^ rotate_byte(i, 4) ^ 0x63;
}

static u8 inverse_sub_byte(u8 x)
{
    return gf_inverse(rotate_byte(x, 1) ^ rotate_byte(x, 3) ^ rotate_byte(x, 6) ^ 0x05);
}

typedef struct AesState {
    u8 bytes[16];
} AesState;

static AesState add_key(AesState state, const IrWord *key)
{
    for (u32 i = 0; i < 16; i++) {
        state.bytes[i] ^= key->bytes[i];
    }
    return state;
}

/* Row r of every column moves by r columns. */
static AesState substitute_and_shift(AesState state, bool inverse)
{
    AesState result;

    for (u32 i = 0; i < 16; i++) {
        u32 row = i % 4, column = i / 4;
        u8 x = state.bytes[row + 4 * ((inverse ? column - row : column + row) % 4)];
        result.bytes[i] = inverse ? inverse_sub_byte(x) : sub_byte(x);
    }
    return result;
}

static AesState mix_columns(AesState state, bool inverse)
{
    static const u8 factors[2][4] = {{2, 3, 1, 1}, {14, 11, 13, 9}};
    AesState result = {{0}};

    for (u32 i = 0; i < 16; i++) {
        for (u32 k = 0; k < 4; k++) {
            u8 x = state.bytes[(i & ~3u) + (i + k) % 4];
            result.bytes[i] ^= gf_mul(x, factors[inverse][k]);
        }
    }
    return result;
}

/* x86's instruction of that name: of words 1 and 3. */
static AesState key_assist(AesState state, u8 round_constant)
{
    AesState result;

    for (u32 i = 0; i < 16; i++) {
        u32 word = i / 8 * 8 + 4; /* the source's odd word of the same half */
        bool rotated = i & 4;
        result.bytes[i] = sub_byte(state.bytes[word + (rotated ? i + 1 : i) % 4]);
        result.bytes[i] ^= rotated && i % 4 == 0 ? round_constant : 0;
    }
    return result;
}

static void aes(const Eval *e)
{
    const IrWord *key = &e->args[1];
    AesState s;

    memcpy(&s, &e->args[0], sizeof(s));
    switch ((IrAes)e->insn->sub) {
    case IR_AESE:
    case IR_AESD:
        s = substitute_and_shift(add_key(s, key), e->insn->sub == IR_AESD);
        break;
    case IR_AESMC:
    case IR_AESIMC:
        s = mix_columns(s, e->insn->sub == IR_AESIMC);
        break;
    case IR_AESENC:
    case IR_AESDEC:
        s = substitute_and_shift(s, e->insn->sub == IR_AESDEC);
        s = add_key(mix_columns(s, e->insn->sub == IR_AESDEC), key);
        break;
    case IR_AESENCLAST:
    case IR_AESDECLAST:
        s = add_key(substitute_and_shift(s, e->insn->sub == IR_AESDECLAST), key);
        break;
    case IR_AESKEYGENASSIST:
        s = key_assist(s, (u8)e->insn->imm);
        break;
    }
    memcpy(e->result, &s, sizeof(s));
}

/* -- SHA */

typedef struct Words {
    u32 w[4];
} Words;

static Words words(const IrWord *word)
{
    Words words;

    memcpy(&words, word, sizeof(words));
    return words;
}

static u32 rol(u32 x, u32 count)
{
    return x << count | x >> (32 - count);
}

static u32 ror(u32 x, u32 count)
{
    return rol(x, 32 - count);
}

static u32 choose(u32 x, u32 y, u32 z)
{
    return (x & y) | (~x & z);
}

static u32 parity(u32 x, u32 y, u32 z)
{
    return x ^ y ^ z;
}

static u32 majority(u32 x, u32 y, u32 z)
{
    return (x & y) | (x & z) | (y & z);
}

/* Four rounds: a..d in d, e in n, schedule plus constant in m. */
static Words sha1_rounds(Words d, Words n, Words m, u32 (*mix)(u32, u32, u32))
{
    u32 e = n.w[0];

    for (u32 i = 0; i < 4; i++) {
        u32 a = e + rol(d.w[0], 5) + mix(d.w[1], d.w[2], d.w[3]) + m.w[i];
        e = d.w[3];
        d = (Words){{a, d.w[0], rol(d.w[1], 30), d.w[2]}};
    }
    return d;
}

static Words sha1_schedule0(Words d, Words n, Words m)
{
    return (Words){{d.w[2] ^ d.w[0] ^ m.w[0], d.w[3] ^ d.w[1] ^ m.w[1], n.w[0] ^ d.w[2] ^ m.w[2],
                    n.w[1] ^ d.w[3] ^ m.w[3]}};
}

static Words sha1_schedule1(Words d, Words n)
{
    u32 first = rol(d.w[0] ^ n.w[1], 1);

    return (Words){
        {first, rol(d.w[1] ^ n.w[2], 1), rol(d.w[2] ^ n.w[3], 1), rol(d.w[3], 1) ^ rol(first, 1)}};
}

/* One round on a..d in x and e..h in y, schedule plus constant in m. */
static void sha256_round(Words *x, Words *y, u32 m)
{
    u32 sum1 = ror(y->w[0], 6) ^ ror(y->w[0], 11) ^ ror(y->w[0], 25);
    u32 sum0 = ror(x->w[0], 2) ^ ror(x->w[0], 13) ^ ror(x->w[0], 22);
    u32 t = y->w[3] + sum1 + choose(y->w[0], y->w[1], y->w[2]) + m;
    u32 e = x->w[3] + t, a = t + sum0 + majority(x->w[0], x->w[1], x->w[2]);

    *x = (Words){{a, x->w[0], x->w[1], x->w[2]}};
    *y = (Words){{e, y->w[0], y->w[1], y->w[2]}};
}

/* Four rounds; returns the new x or y. */
static Words sha256_rounds(Words x, Words y, Words m, bool want_x)
{
    for (u32 i = 0; i < 4; i++) {
        sha256_round(&x, &y, m.w[i]);
    }
    return want_x ? x : y;
}

static Words sha256_schedule0(Words d, Words n)
{
    Words next = {{d.w[1], d.w[2], d.w[3], n.w[0]}};

    for (u32 i = 0; i < 4; i++) {
        u32 x = next.w[i];
        d.w[i] += ror(x, 7) ^ ror(x, 18) ^ x >> 3;
    }
    return d;
}

static Words sha256_schedule1(Words d, Words n, Words m)
{
    Words next = {{n.w[1], n.w[2], n.w[3], m.w[0]}};

    for (u32 i = 0; i < 4; i++) {
        u32 x = i < 2 ? m.w[i + 2] : d.w[i - 2];
        d.w[i] += next.w[i] + (ror(x, 17) ^ ror(x, 19) ^ x >> 10);
    }
    return d;
}

/* -- x86's instructions have the words of SHA-1, and pairs of SHA-256's, in the reverse order. */

static Words reversed(Words x)
{
    return (Words){{x.w[3], x.w[2], x.w[1], x.w[0]}};
}

/* n holds the schedule with e added to its first word; the constant comes here. */
static Words x86_sha1_rounds(Words d, Words n, u32 function)
{
    static const u32 constants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    Words m = reversed(n);

    for (u32 i = 0; i < 4; i++) {
        m.w[i] += constants[function];
    }
    return reversed(sha1_rounds(reversed(d), (Words){{0}}, m,
                                function == 0   ? choose
                                : function == 2 ? majority
                                                : parity));
}

static Words x86_sha1_schedule2(Words d, Words n)
{
    u32 w16 = rol(d.w[3] ^ n.w[2], 1), w17 = rol(d.w[2] ^ n.w[1], 1), w18 = rol(d.w[1] ^ n.w[0], 1);

    return (Words){{rol(d.w[0] ^ w16, 1), w18, w17, w16}};
}

/* Two rounds on c d g h in d and a b e f in n. */
static Words x86_sha256_rounds(Words d, Words n, Words m)
{
    Words x = {{n.w[3], n.w[2], d.w[3], d.w[2]}}, y = {{n.w[1], n.w[0], d.w[1], d.w[0]}};

    sha256_round(&x, &y, m.w[0]);
    sha256_round(&x, &y, m.w[1]);
    return (Words){{y.w[1], y.w[0], x.w[1], x.w[0]}};
}

static Words x86_sha256_schedule2(Words d, Words n)
{
    Words m = {{n.w[2], n.w[3], 0, 0}};

    for (u32 i = 0; i < 4; i++) {
        u32 x = i < 2 ? m.w[i] : d.w[i - 2];
        d.w[i] += ror(x, 17) ^ ror(x, 19) ^ x >> 10;
    }
    return d;
}

static void sha(const Eval *e)
{
    Words d = words(&e->args[0]), n = words(&e->args[1]), m = words(&e->args[2]), r = {{0}};

    switch ((IrSha)e->insn->sub) {
    case IR_SHA1C:
        r = sha1_rounds(d, n, m, choose);
        break;
    case IR_SHA1P:
        r = sha1_rounds(d, n, m, parity);
        break;
    case IR_SHA1M:
        r = sha1_rounds(d, n, m, majority);
        break;
    case IR_SHA1SU0:
        r = sha1_schedule0(d, n, m);
        break;
    case IR_SHA1SU1:
        r = sha1_schedule1(d, n);
        break;
    case IR_SHA1H: /* of its only operand, argument 0 */
        r.w[0] = rol(d.w[0], 30);
        break;
    case IR_SHA256H:
        r = sha256_rounds(d, n, m, true);
        break;
    case IR_SHA256H2:
        r = sha256_rounds(n, d, m, false);
        break;
    case IR_SHA256SU0:
        r = sha256_schedule0(d, n);
        break;
    case IR_SHA256SU1:
        r = sha256_schedule1(d, n, m);
        break;
    case IR_SHA1RNDS4:
        r = x86_sha1_rounds(d, n, (u32)e->insn->imm & 3);
        break;
    case IR_SHA1NEXTE:
        r = n;
        r.w[3] += rol(d.w[3], 30);
        break;
    case IR_SHA1MSG1:
        r = reversed(sha1_schedule0(reversed(d), reversed(n), (Words){{0}}));
        break;
    case IR_SHA1MSG2:
        r = x86_sha1_schedule2(d, n);
        break;
    case IR_SHA256RNDS2:
        r = x86_sha256_rounds(d, n, m);
        break;
    case IR_SHA256MSG1:
        r = sha256_schedule0(d, n);
        break;
    case IR_SHA256MSG2:
        r = x86_sha256_schedule2(d, n);
        break;
    }
    memcpy(e->result, &r, sizeof(r));
}

WordFn *const eval_crypto_words[IR_OP_COUNT] = {
    [IR_CRC32] = crc32,
    [IR_AES] = aes,
    [IR_SHA] = sha,
};
