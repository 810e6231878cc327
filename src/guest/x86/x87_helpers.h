/* The list of x87 helpers, part of the guest's table of helpers.
 *
 * HELPER(enumerator, function, flags). What io[1..] hold is said at the functions. All of them read
 * and write the x87's slots; none can fault. */
#ifndef GUEST_X86_X87_HELPERS_H
#define GUEST_X86_X87_HELPERS_H

#include "ir/cpu.h"

#define X87_HELPER_FLAGS (IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE | IR_HELPER_X87)

#define X87_HELPERS(HELPER)                                                                        \
    /* x87_arith.c */                                                                              \
    HELPER(X87_ADD, x87_add, X87_HELPER_FLAGS)                                                     \
    HELPER(X87_MUL, x87_mul, X87_HELPER_FLAGS)                                                     \
    HELPER(X87_SUB, x87_sub, X87_HELPER_FLAGS)                                                     \
    HELPER(X87_DIV, x87_div, X87_HELPER_FLAGS)                                                     \
    HELPER(X87_ADD_F32, x87_add_f32, X87_HELPER_FLAGS)                                             \
    HELPER(X87_MUL_F32, x87_mul_f32, X87_HELPER_FLAGS)                                             \
    HELPER(X87_COM_F32, x87_com_f32, X87_HELPER_FLAGS)                                             \
    HELPER(X87_SUB_F32, x87_sub_f32, X87_HELPER_FLAGS)                                             \
    HELPER(X87_SUBR_F32, x87_subr_f32, X87_HELPER_FLAGS)                                           \
    HELPER(X87_DIV_F32, x87_div_f32, X87_HELPER_FLAGS)                                             \
    HELPER(X87_DIVR_F32, x87_divr_f32, X87_HELPER_FLAGS)                                           \
    HELPER(X87_ADD_F64, x87_add_f64, X87_HELPER_FLAGS)                                             \
    HELPER(X87_MUL_F64, x87_mul_f64, X87_HELPER_FLAGS)                                             \
    HELPER(X87_COM_F64, x87_com_f64, X87_HELPER_FLAGS)                                             \
    HELPER(X87_SUB_F64, x87_sub_f64, X87_HELPER_FLAGS)                                             \
    HELPER(X87_SUBR_F64, x87_subr_f64, X87_HELPER_FLAGS)                                           \
    HELPER(X87_DIV_F64, x87_div_f64, X87_HELPER_FLAGS)                                             \
    HELPER(X87_DIVR_F64, x87_divr_f64, X87_HELPER_FLAGS)                                           \
    HELPER(X87_SQRT, x87_sqrt, X87_HELPER_FLAGS)                                                   \
    HELPER(X87_RNDINT, x87_rndint, X87_HELPER_FLAGS)                                               \
    HELPER(X87_COM, x87_com, X87_HELPER_FLAGS)                                                     \
    HELPER(X87_COMI, x87_comi, X87_HELPER_FLAGS)                                                   \
    HELPER(X87_TST, x87_tst, X87_HELPER_FLAGS)                                                     \
    /* x87_function.c */                                                                           \
    HELPER(X87_FUNCTION, x87_function, X87_HELPER_FLAGS)                                           \
    /* x87_move.c */                                                                               \
    HELPER(X87_LOAD_F32, x87_load_f32, X87_HELPER_FLAGS)                                           \
    HELPER(X87_LOAD_F64, x87_load_f64, X87_HELPER_FLAGS)                                           \
    HELPER(X87_LOAD_F80, x87_load_f80, X87_HELPER_FLAGS)                                           \
    HELPER(X87_LOAD_INTEGER, x87_load_integer, X87_HELPER_FLAGS)                                   \
    HELPER(X87_LOAD_BCD, x87_load_bcd, X87_HELPER_FLAGS)                                           \
    HELPER(X87_LOAD_CONSTANT, x87_load_constant, X87_HELPER_FLAGS)                                 \
    HELPER(X87_LOAD_ST, x87_load_st, X87_HELPER_FLAGS)                                             \
    HELPER(X87_STORE, x87_store, X87_HELPER_FLAGS)                                                 \
    HELPER(X87_STORE_ST, x87_store_st, X87_HELPER_FLAGS)                                           \
    HELPER(X87_EXCHANGE, x87_exchange, X87_HELPER_FLAGS)                                           \
    HELPER(X87_CHANGE_SIGN, x87_change_sign, X87_HELPER_FLAGS)                                     \
    HELPER(X87_CONDITIONAL_MOVE, x87_conditional_move, X87_HELPER_FLAGS)                           \
    HELPER(X87_EXAMINE, x87_examine, X87_HELPER_FLAGS)                                             \
    /* x87_control.c */                                                                            \
    HELPER(X87_CONTROL, x87_control, X87_HELPER_FLAGS)                                             \
    HELPER(X87_LOAD_CONTROL, x87_load_control, X87_HELPER_FLAGS)                                   \
    HELPER(X87_SAVE_PART, x87_save_part, X87_HELPER_FLAGS)                                         \
    HELPER(X87_RESTORE_PART, x87_restore_part, X87_HELPER_FLAGS)

#define HELPER(enumerator, function, flags) IrHelperFn function;
X87_HELPERS(HELPER)
#undef HELPER

/* What X87_STORE makes of ST(0): io[1].i, with X87_STORE_POPS or not. */
typedef enum X87Format {
    X87_STORE_F32,
    X87_STORE_F64,
    X87_STORE_F80,
    X87_STORE_BCD,
    X87_STORE_S16,
    X87_STORE_S32,
    X87_STORE_S64,
    X87_TRUNCATE_S16, /* FISTTP */
    X87_TRUNCATE_S32,
    X87_TRUNCATE_S64,
    X87_STORE_POPS = 16,
} X87Format;

/* X87_STORE changes nothing, as the store that follows may fault. Its v128 result has the value in
 * its low 80 bits, then what to write to the state afterwards, at these bits of the high half. */
enum {
    X87_STORED_FSW = 16,
    X87_STORED_FTOP = 32,
    X87_STORED_FTAG = 40,
    X87_STORED_LOST = 48, /* 1: an unmasked exception, store nothing */
};

/* X87_CONTROL, io[1].i */
typedef enum X87Control {
    X87_DO_INIT,         /* FNINIT */
    X87_DO_CLEAR,        /* FNCLEX */
    X87_DO_INCREMENT,    /* FINCSTP */
    X87_DO_DECREMENT,    /* FDECSTP */
    X87_DO_FREE,         /* FFREE: io[2].i says which */
    X87_DO_FREE_AND_POP, /* FFREEP */
} X87Control;

/* What X87_SAVE_PART and X87_RESTORE_PART deal with: one of the images of x87.h in parts of 16
 * bytes. io[1].i: X87Image | part << 8. */
typedef enum X87Image {
    X87_ENVIRONMENT = 0, /* FNSTENV, FLDENV; plus X87_IMAGE_32 and X87_IMAGE_REAL */
    X87_ALL = 4,         /* FNSAVE, FRSTOR; plus those */
} X87Image;

#endif
