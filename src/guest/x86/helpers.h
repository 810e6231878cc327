/* C functions that translated x86 code calls for what IR cannot say. */
#ifndef GUEST_X86_HELPERS_H
#define GUEST_X86_HELPERS_H

#include "guest/x86/vector_helpers.h"
#include "guest/x86/x87_helpers.h"
#include "ir/cpu.h"

enum {
    X86_HELPER_STATE = IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE,
    X86_HELPER_MEMORY = X86_HELPER_STATE | IR_HELPER_FAULTS,
};

/* HELPER(enumerator, function, flags): arguments and result as the functions say. They are in
 * helpers.c, but for the segments' (segment_helpers.c) and the strings'
 * (string_helpers.c). */
#define X86_CORE_HELPERS(HELPER)                                                                   \
    HELPER(RAISE, x86_raise_exception, 0)                                                          \
    HELPER(CHECK_SEGMENT, x86_check_segment, IR_HELPER_READS_STATE)                                \
    HELPER(MOVE_TO_SEGMENT, x86_move_to_segment, X86_HELPER_STATE)                                 \
    HELPER(FAR_TRANSFER, x86_far_transfer, X86_HELPER_MEMORY)                                      \
    HELPER(REP_MOVS, x86_rep_movs, X86_HELPER_MEMORY)                                              \
    HELPER(REP_STOS, x86_rep_stos, X86_HELPER_MEMORY)                                              \
    HELPER(DECIMAL, x86_decimal, IR_HELPER_PURE)                                                   \
    HELPER(CPUID, x86_cpuid_instruction, X86_HELPER_STATE)                                         \
    HELPER(TIME_STAMP, x86_time_stamp, IR_HELPER_READS_STATE)                                      \
    HELPER(RANDOM, x86_random_number, 0)

#define HELPER(enumerator, function, flags) IrHelperFn function;
X86_CORE_HELPERS(HELPER)
#undef HELPER

enum {
#define HELPER(enumerator, function, flags) HELPER_##enumerator,
    X86_CORE_HELPERS(HELPER) X86_VECTOR_HELPERS(HELPER) X87_HELPERS(HELPER)
#undef HELPER
        HELPER_COUNT
};

extern const IrHelper x86_helpers[HELPER_COUNT];

/* FAR_TRANSFER's kinds. */
enum { X86_FAR_JUMP, X86_FAR_CALL, X86_FAR_RETURN, X86_FAR_IRET };

/* DECIMAL's operations. */
enum { X86_DAA, X86_DAS, X86_AAA, X86_AAS, X86_AAM, X86_AAD };

#endif
