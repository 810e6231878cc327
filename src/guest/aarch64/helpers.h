/* C functions that translated AArch64 code calls for what IR cannot say. */
#ifndef GUEST_AARCH64_HELPERS_H
#define GUEST_AARCH64_HELPERS_H

#include "ir/cpu.h"

/* HELPER(enumerator, function, flags): arguments and result as the functions in helpers.c say. */
#define AARCH64_HELPERS(HELPER)                                                                    \
    HELPER(EXIT_ADDRESS, exit_address, 0)                                                          \
    HELPER(CAS_PAIR, cas_pair, IR_HELPER_FAULTS)                                                   \
    HELPER(COUNTER, counter, 0)                                                                    \
    HELPER(REAL_TIME, real_time, 0)                                                                \
    HELPER(SET_FPCR, set_fpcr, IR_HELPER_WRITES_STATE | IR_HELPER_FP)                              \
    HELPER(GET_FPSR, get_fpsr, IR_HELPER_READS_STATE | IR_HELPER_FP)                               \
    HELPER(SET_FPSR, set_fpsr, IR_HELPER_WRITES_STATE | IR_HELPER_FP)

enum {
#define HELPER(enumerator, function, flags) HELPER_##enumerator,
    AARCH64_HELPERS(HELPER)
#undef HELPER
        HELPER_COUNT
};

extern const IrHelper aarch64_helpers[HELPER_COUNT];

/* Ticks of CNTVCT_EL0 a second: Armv8.6 and later fix it at 1 GHz. */
enum { AARCH64_COUNTER_HZ = 1000000000 };

#endif
