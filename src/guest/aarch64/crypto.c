/* Cryptographic instructions (C4.1.96: Cryptographic AES, SHA): one IR operation each. */
#include "guest/aarch64/simd.h"

void tr_aes(Tr *t, const A_aes *a)
{
    /* AES's sub has the order of op; the column mixes (2, 3) take rn only. */
    IrVal n = get_v128(t, a->rn);
    IrVal d = a->op < 2 ? get_v128(t, a->rd) : n;

    put_v(t, a->rd, vop_sub(t, IR_AES, IR_I8, a->op, d, n));
}

/* The operations take rd, rn, rm whole; what they ignore is 0 in the registers' narrower views. */
static void sha(Tr *t, IrSha kind, unsigned d, unsigned n, unsigned m)
{
    put_v(t, d,
          vop3(t, IR_SHA, IR_I32, (u8)kind, 0, get_v128(t, d), get_v128(t, n), get_v128(t, m)));
}

void tr_sha1_hash(Tr *t, const A_sha1_hash *a)
{
    sha(t, (IrSha)(IR_SHA1C + a->op), a->rd, a->rn, a->rm);
}

void tr_sha1su0(Tr *t, const A_sha1su0 *a)
{
    sha(t, IR_SHA1SU0, a->rd, a->rn, a->rm);
}

void tr_sha1su1(Tr *t, const A_sha1su1 *a)
{
    sha(t, IR_SHA1SU1, a->rd, a->rn, a->rn);
}

/* SHA1H rotates one word: plain integer code. */
void tr_sha1h(Tr *t, const A_sha1h *a)
{
    put_v(t, a->rd, ir_binary(t->b, IR_ROR, get_v(t, IR_I32, a->rn), const_w(t, 2)));
}

void tr_sha256_hash(Tr *t, const A_sha256_hash *a)
{
    sha(t, a->second ? IR_SHA256H2 : IR_SHA256H, a->rd, a->rn, a->rm);
}

void tr_sha256su0(Tr *t, const A_sha256su0 *a)
{
    sha(t, IR_SHA256SU0, a->rd, a->rn, a->rn);
}

void tr_sha256su1(Tr *t, const A_sha256su1 *a)
{
    sha(t, IR_SHA256SU1, a->rd, a->rn, a->rm);
}
