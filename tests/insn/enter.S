// Entering and leaving a slot with every register under the test's control.
//
// One general register cannot be loaded before the jump: x0 waits in TPIDR_EL0, from which the slot's
// first instruction fetches it. C code must not run in between, as its thread pointer is gone.
#include "slot.h"

    .data
    .balign 16
saved:
    .skip 192 // x19-x30, d8-d15, sp, tpidr, fpcr, the state's address

    .text

// void enter(State *state, const void *code)
    .global enter
    .type enter, %function
enter:
    adrp x2, saved
    add x2, x2, :lo12:saved
    stp x19, x20, [x2]
    stp x21, x22, [x2, #16]
    stp x23, x24, [x2, #32]
    stp x25, x26, [x2, #48]
    stp x27, x28, [x2, #64]
    stp x29, x30, [x2, #80]
    stp d8, d9, [x2, #96]
    stp d10, d11, [x2, #112]
    stp d12, d13, [x2, #128]
    stp d14, d15, [x2, #144]
    mov x3, sp
    mrs x4, tpidr_el0
    stp x3, x4, [x2, #160]
    mrs x3, fpcr
    stp x3, x0, [x2, #176]

    add x2, x0, #STATE_V
    ldp q0, q1, [x2]
    ldp q2, q3, [x2, #32]
    ldp q4, q5, [x2, #64]
    ldp q6, q7, [x2, #96]
    ldp q8, q9, [x2, #128]
    ldp q10, q11, [x2, #160]
    ldp q12, q13, [x2, #192]
    ldp q14, q15, [x2, #224]
    ldp q16, q17, [x2, #256]
    ldp q18, q19, [x2, #288]
    ldp q20, q21, [x2, #320]
    ldp q22, q23, [x2, #352]
    ldp q24, q25, [x2, #384]
    ldp q26, q27, [x2, #416]
    ldp q28, q29, [x2, #448]
    ldp q30, q31, [x2, #480]
    ldr x2, [x0, #STATE_SP]
    mov sp, x2
    ldp x2, x3, [x0, #STATE_NZCV]
    msr nzcv, x2
    msr fpcr, x3
    ldr x2, [x0, #STATE_FPSR]
    msr fpsr, x2
    ldr x2, [x0]
    msr tpidr_el0, x2
    mov x2, x0
    mov x0, x1
    ldr x1, [x2, #8]
    ldp x3, x4, [x2, #24]
    ldp x5, x6, [x2, #40]
    ldp x7, x8, [x2, #56]
    ldp x9, x10, [x2, #72]
    ldp x11, x12, [x2, #88]
    ldp x13, x14, [x2, #104]
    ldp x15, x16, [x2, #120]
    ldp x17, x18, [x2, #136]
    ldp x19, x20, [x2, #152]
    ldp x21, x22, [x2, #168]
    ldp x23, x24, [x2, #184]
    ldp x25, x26, [x2, #200]
    ldp x27, x28, [x2, #216]
    ldp x29, x30, [x2, #232]
    ldr x2, [x2, #16]
    br x0

// Where slots end: stores all registers into the state and returns from enter().
    .global leave
    .type leave, %function
leave:
    msr tpidr_el0, x0
    adrp x0, saved
    add x0, x0, :lo12:saved
    ldr x0, [x0, #184]
    str x1, [x0, #8]
    stp x2, x3, [x0, #16]
    stp x4, x5, [x0, #32]
    stp x6, x7, [x0, #48]
    stp x8, x9, [x0, #64]
    stp x10, x11, [x0, #80]
    stp x12, x13, [x0, #96]
    stp x14, x15, [x0, #112]
    stp x16, x17, [x0, #128]
    stp x18, x19, [x0, #144]
    stp x20, x21, [x0, #160]
    stp x22, x23, [x0, #176]
    stp x24, x25, [x0, #192]
    stp x26, x27, [x0, #208]
    stp x28, x29, [x0, #224]
    mov x1, sp
    stp x30, x1, [x0, #240]
    mrs x1, tpidr_el0
    str x1, [x0]
    mrs x1, nzcv
    mrs x2, fpcr
    stp x1, x2, [x0, #STATE_NZCV]
    mrs x1, fpsr
    str x1, [x0, #STATE_FPSR]
    add x2, x0, #STATE_V
    stp q0, q1, [x2]
    stp q2, q3, [x2, #32]
    stp q4, q5, [x2, #64]
    stp q6, q7, [x2, #96]
    stp q8, q9, [x2, #128]
    stp q10, q11, [x2, #160]
    stp q12, q13, [x2, #192]
    stp q14, q15, [x2, #224]
    stp q16, q17, [x2, #256]
    stp q18, q19, [x2, #288]
    stp q20, q21, [x2, #320]
    stp q22, q23, [x2, #352]
    stp q24, q25, [x2, #384]
    stp q26, q27, [x2, #416]
    stp q28, q29, [x2, #448]
    stp q30, q31, [x2, #480]

    adrp x2, saved
    add x2, x2, :lo12:saved
    ldr x3, [x2, #176]
    msr fpcr, x3
    ldp x3, x4, [x2, #160]
    mov sp, x3
    msr tpidr_el0, x4
    ldp d14, d15, [x2, #144]
    ldp d12, d13, [x2, #128]
    ldp d10, d11, [x2, #112]
    ldp d8, d9, [x2, #96]
    ldp x29, x30, [x2, #80]
    ldp x27, x28, [x2, #64]
    ldp x25, x26, [x2, #48]
    ldp x23, x24, [x2, #32]
    ldp x21, x22, [x2, #16]
    ldp x19, x20, [x2]
    ret

    .section .note.GNU-stack, "", %progbits
