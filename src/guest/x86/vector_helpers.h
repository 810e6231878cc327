/* The list of helpers for vector instructions and saved states, part of the guest's table.
 *
 * HELPER(enumerator, function, flags). What io[1..] hold is said at the functions, in
 * vector_helpers.c, string_compare.c and xsave.c. */
#ifndef GUEST_X86_VECTOR_HELPERS_H
#define GUEST_X86_VECTOR_HELPERS_H

#include "ir/cpu.h"

#define X86_SAVE_FLAGS (IR_HELPER_READS_STATE | IR_HELPER_FP | IR_HELPER_X87 | IR_HELPER_FAULTS)
#define X86_RESTORE_FLAGS (X86_SAVE_FLAGS | IR_HELPER_WRITES_STATE)

#define X86_VECTOR_HELPERS(HELPER)                                                                 \
    HELPER(BEGIN_FLOAT, x86_begin_float, IR_HELPER_FP)                                             \
    HELPER(END_FLOAT, x86_end_float, IR_HELPER_READS_STATE | IR_HELPER_FP)                         \
    HELPER(TO_HALF_PRECISION, x86_to_half_precision, IR_HELPER_FP)                                 \
    HELPER(COMPARE_STRINGS, x86_compare_strings, IR_HELPER_PURE)                                   \
    HELPER(GET_MXCSR, x86_stmxcsr, IR_HELPER_READS_STATE | IR_HELPER_FP)                           \
    HELPER(SET_MXCSR, x86_ldmxcsr, IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_FP)  \
    HELPER(FXSAVE, x86_fxsave, X86_SAVE_FLAGS)                                                     \
    HELPER(FXRSTOR, x86_fxrstor, X86_RESTORE_FLAGS)                                                \
    HELPER(XSAVE, x86_xsave, X86_SAVE_FLAGS)                                                       \
    HELPER(XRSTOR, x86_xrstor, X86_RESTORE_FLAGS)                                                  \
    HELPER(XGETBV, x86_xgetbv, IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE)

#define HELPER(enumerator, function, flags) IrHelperFn function;
X86_VECTOR_HELPERS(HELPER)
#undef HELPER

/* COMPARE_STRINGS: (v128, v128, i32 control, i32 lengths: of the first in bits 7..0, the second in
 * bits 15..8) -> i64: a bit for each element found, and the packed flags in the high half. The same
 * without the host's instructions for it: */
void x86_compare_strings_soft(IrWord *io);

/* The control word of COMPARE_STRINGS: the instruction's immediate (Intel SDM volume 2, 4.1), and
 * whether there are explicit lengths. */
enum {
    STRING_WORDS = 1 << 0,
    STRING_SIGNED = 1 << 1,
    STRING_AGGREGATION_SHIFT = 2,
    STRING_NEGATE = 1 << 4,
    STRING_NEGATE_VALID = 1 << 5, /* only elements of the second operand that exist */
    STRING_LAST = 1 << 6,         /* index: of the last element found, not the first */
    STRING_SPREAD = 1 << 6,       /* mask: whole elements, not bits */
    STRING_LENGTHS = 1 << 8,
};

/* MXCSR: exception flags in bits 5..0, their masks in bits 12..7. */
enum {
    X86_MXCSR_BEFORE = 7, /* exceptions found before computing: invalid, denormal, divide by 0 */
    X86_MXCSR_EXCEPTIONS = 0x3f,
    X86_MXCSR_MASK_SHIFT = 7,
    X86_MXCSR_DEFAULT = 0x1f80,
    X86_MXCSR_VALID = 0xffff,
};

#endif
