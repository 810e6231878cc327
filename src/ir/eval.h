/* The meaning of every operation that computes a value from values: the reference that the
 * interpreter, constant folding and hosts without an own lowering share. Touches neither guest
 * state nor guest memory. */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/ir.h"

/* Evaluates insn (any operation with IR_PROP_PURE but GET-like ones, PHI) on args[0..2]; arg_types
 * gives their IR types (as conversions need them). The result is zero-extended to 32 bytes. `fp` is
 * used by IR_PROP_FP operations only. */
void ir_eval(const IrInsn *insn, const u8 arg_types[3], const IrWord args[3], IrWord *result,
             FpEnv *fp);

#endif
