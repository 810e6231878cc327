/* IR as text, and its checks.
 *
 * The form round-trips: ir_parse(ir_print(region)) prints the same again. A line is
 *     v5 = add.i64 v3, v4
 *     v9 = add.v128.i16 v7, v8          lane type after the value type
 *     v6 = cmp.ult v1, v2               sub operations by name where they have one, else .#N
 *     v7 = load.i32 v5 + v6 * 4 + 0x10
 *     put.i64 [0x10], v7                state slots by offset (a known slot's name is accepted:
 * [x2]) branch v6, 1, 2                   block numbers goto 0x400100 poll under headings `block
 * N:` (`block N cold:`); `#` starts a comment. */
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

/* NULL when the invariants of ir.h hold; else what is wrong, in the region's arena. */
const char *ir_verify(const IrRegion *region);

#endif
