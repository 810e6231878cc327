/* Vectors. */
#include "host/x86_64/x86_64.h"

bool lower_vector(Compiler *c, IrVal value, const IrInsn *insn)
{
    (void)c;
    (void)value;
    (void)insn;
    return false;
}
