/* IR as text, and its checks.
 *
 * The form round-trips: ir_parse(ir_print(region)) prints the same again. Lines look like
 *     region 0x400000 exact_fp fp_native    the first; may be left out
 *     block 1 cold:                     a heading; `cold` where it is
 *     v5 = add.i64 v3, v4
 *     v9 = add.v128.i16 v7, v8          lane type after the value type
 *     v6 = cmp.ult v1, v2               sub operations by name where they have one, else .#N
 *     v7 = load.i32 v5 + v6 * 4 + 0x10
 *     put.i64 [0x10], v7                state slots by offset, or by a known slot's name: [x2]
 *     v3 = phi.i64 0: v1, 2: v8         predecessor blocks in ascending order
 *     v2 = call.i64 helper, v1          helpers by name, or #N
 *     branch v6, 1, 2                   block numbers
 *     goto.poll 0x400100
 * and `#` starts a comment. A value's number is its index. */
#ifndef IR_TEXT_H
#define IR_TEXT_H

#include <stdio.h>

#include "ir/ir.h"

void ir_print(const IrRegion *region, FILE *out);

/* Parses text into a new region. NULL on error, with a message naming the line in *error (in the
 * arena). `helpers` and `slots` of the result are those given (may be NULL). Hostile text is safe.
 */
IrRegion *ir_parse(Arena *arena, const char *text, const IrHelper *helpers, u32 helper_count,
                   const IrSlot *slots, u32 slot_count, const char **error);

/* The part of ir_verify() that looks at one instruction alone, whose arguments exist: types, lanes,
 * sub operation, immediates. NULL or what is wrong (a constant string). */
const char *ir_check_insn(const IrRegion *region, const IrInsn *insn);

/* NULL when the invariants of ir.h hold; else what is wrong, in the region's arena. */
const char *ir_verify(const IrRegion *region);

#endif
