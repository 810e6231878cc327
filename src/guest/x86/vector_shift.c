/* MMX, SSE and AVX: shifts. Those with a count for each lane are rows of
 * tr_vector_binary(). */
#include "guest/x86/vector.h"

/* PSLLW and its like by the low 64 bits of the last operand. */
void tr_vector_shift(Tr *t)
{
    t->out = vop(t, arg_op(t), arg_lane(t), t->src[0], t->src[1]);
}

/* By an immediate. */
void tr_vector_shift_immediate(Tr *t)
{
    t->out = vop_imm(t, arg_op(t), arg_lane(t), t->src[0], 0, vector_immediate(t));
}

/* PSLLDQ and PSRLDQ: by bytes within each half. */
void tr_PSLLDQ(Tr *t)
{
    unsigned count = MIN(vector_immediate(t), 16u);

    t->out = vop_imm(t, IR_VEXT, IR_I8, vzero(t), t->src[0], 16 - count);
}

void tr_PSRLDQ(Tr *t)
{
    t->out = vskip(t, t->src[0], MIN(vector_immediate(t), 16u));
}
