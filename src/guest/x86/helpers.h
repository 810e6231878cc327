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
    HELPER(USER_CLOCK, x86_user_clock, 0)                                                          \
    HELPER(RANDOM, x86_random_number, 0)

/* Of the system_*.c files, debug.c, smm.c and system.c. */
#define X86_SYSTEM_HELPERS(HELPER)                                                                 \
    HELPER(SYSTEM_MOVS, x86_system_movs, X86_HELPER_STATE)                                         \
    HELPER(SYSTEM_STOS, x86_system_stos, X86_HELPER_STATE)                                         \
    HELPER(LOOK_AGAIN, x86_look_for_interrupts, 0)                                                 \
    HELPER(LINES, x86_any_lines, 0)                                                                \
    HELPER(INTERRUPTED, x86_is_interrupted, 0)                                                     \
    HELPER(LOAD_SYSTEM_SEGMENT, x86_load_system_segment, X86_HELPER_STATE)                         \
    HELPER(QUERY_DESCRIPTOR, x86_query_descriptor, X86_HELPER_STATE)                               \
    HELPER(READ_PRIORITY, x86_read_priority, IR_HELPER_READS_STATE)                                \
    HELPER(WRITE_CONTROL, x86_write_control, X86_HELPER_STATE)                                     \
    HELPER(SET_XCR, x86_set_xcr, X86_HELPER_STATE)                                                 \
    HELPER(CHECK_DEBUG, x86_check_debug, X86_HELPER_STATE)                                         \
    HELPER(WRITE_DEBUG, x86_write_debug, X86_HELPER_STATE)                                         \
    HELPER(READ_MSR, x86_rdmsr, X86_HELPER_STATE)                                                  \
    HELPER(WRITE_MSR, x86_wrmsr, X86_HELPER_STATE)                                                 \
    HELPER(INVALIDATE_PAGE, x86_invalidate_page, X86_HELPER_STATE)                                 \
    HELPER(MONITOR, x86_monitor, X86_HELPER_STATE)                                                 \
    HELPER(MWAIT, x86_mwait, X86_HELPER_STATE)                                                     \
    HELPER(INVALIDATE_CONTEXT, x86_invalidate_context, X86_HELPER_STATE)                           \
    HELPER(CHECK_PORT, x86_check_port_access, X86_HELPER_STATE)                                    \
    HELPER(PORT_READ, x86_port_read, X86_HELPER_STATE)                                             \
    HELPER(PORT_WRITE, x86_port_write, X86_HELPER_STATE)                                           \
    HELPER(PORT_STRING, x86_port_string, X86_HELPER_STATE)                                         \
    HELPER(CODE_BREAKPOINT, x86_code_breakpoint, X86_HELPER_STATE)                                 \
    HELPER(DATA_BREAKPOINT, x86_data_breakpoint, 0)                                                \
    HELPER(LEAVE_SMM, x86_leave_smm, X86_HELPER_STATE)

#define HELPER(enumerator, function, flags) IrHelperFn function;
X86_CORE_HELPERS(HELPER)
X86_SYSTEM_HELPERS(HELPER)
#undef HELPER

enum {
#define HELPER(enumerator, function, flags) HELPER_##enumerator,
    X86_CORE_HELPERS(HELPER) X86_SYSTEM_HELPERS(HELPER) X86_VECTOR_HELPERS(HELPER)
        X87_HELPERS(HELPER)
#undef HELPER
            HELPER_COUNT
};

extern const IrHelper x86_helpers[HELPER_COUNT];

/* FAR_TRANSFER's kinds. */
enum { X86_FAR_JUMP, X86_FAR_CALL, X86_FAR_RETURN, X86_FAR_IRET };

/* DECIMAL's operations. */
enum { X86_DAA, X86_DAS, X86_AAA, X86_AAS, X86_AAM, X86_AAD };

#endif
