/* AES, carry-less multiplication and SHA. */
#include "guest/x86/vector.h"

/* AESENC, AESIMC...: arg is an IrAes. AESIMC has one operand. */
void tr_aes(Tr *t)
{
    t->out = vop_sub(t, IR_AES, IR_VOID, (u8)t->arg, t->src[0], last_source(t));
}

void tr_AESKEYGENASSIST(Tr *t)
{
    t->out =
        vop3(t, IR_AES, IR_VOID, IR_AESKEYGENASSIST, vector_immediate(t), t->src[0], t->src[0], 0);
}

/* The immediate's bits 0 and 4 choose a half of each operand. */
void tr_PCLMULQDQ(Tr *t)
{
    t->out = vop_imm(t, IR_VCLMUL, IR_I64, t->src[0], t->src[1], vector_immediate(t) & 0x11);
}

/* SHA1NEXTE, SHA1MSG1...: arg is an IrSha; XMM0 is the third operand of SHA256RNDS2, which the
 * others ignore. */
void tr_sha(Tr *t)
{
    t->out = vop3(t, IR_SHA, IR_VOID, (u8)t->arg, 0, t->src[0], t->src[1],
                  t->src[2] ? t->src[2] : t->src[0]);
}

void tr_SHA1RNDS4(Tr *t)
{
    t->out = vop3(t, IR_SHA, IR_VOID, IR_SHA1RNDS4, vector_immediate(t) & 3, t->src[0], t->src[1],
                  t->src[0]);
}
