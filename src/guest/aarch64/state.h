/* AArch64 guest registers, as generated code and the Linux layer see them.
 *
 * Offsets into this struct are the IR's state slots. The first 256 bytes hold the general
 * registers, so that a host whose context pointer is biased by 128 reaches each of them with a
 * one-byte displacement.
 * Must not hold anything but guest-visible state: what the engine needs is in ir/cpu.h. */
#ifndef GUEST_AARCH64_STATE_H
#define GUEST_AARCH64_STATE_H

#include "base/types.h"

typedef struct Aarch64State {
    u64 x[31];
    u64 sp;
    u64 pc;
    u32 flags;  /* NZCV in the IR's packed form, IR_FLAG_* of ir/ir.h; C as the manual defines it */
    u16 btype;  /* unused until BTI is offered */
    u16 tagged; /* 1: a data address had a top byte that is to be ignored; more may come */
    u64 tpidr;  /* TPIDR_EL0 */
    u64 tpidrro; /* TPIDRRO_EL0 */
    u32 fpcr; /* bits that the guest wrote; rounding mode and modes are mirrored in CpuCommon.fp */
    u32 fpsr; /* QC only; the cumulative exception bits live in CpuCommon.fp */
    u64 exclusive_address; /* of the last load-exclusive, or EXCLUSIVE_NONE */
    u64 exclusive_value[2];
    _Alignas(16) u64 v[32][2]; /* V registers: low half first */
} Aarch64State;

#define AARCH64_EXCLUSIVE_NONE (~(u64)0)

/* PSTATE.NZCV in its architectural place (bits 31..28) from the state, and back. */
u32 aarch64_get_nzcv(const Aarch64State *state);
void aarch64_set_nzcv(Aarch64State *state, u32 nzcv);

/* FPCR and FPSR as MRS and MSR see them (C5.2.8, C5.2.9), kept in step with the engine's
 * floating-point environment. `state` must be the state of a live vCPU. */
u32 aarch64_get_fpcr(const Aarch64State *state);
void aarch64_set_fpcr(Aarch64State *state, u32 value);
u32 aarch64_get_fpsr(const Aarch64State *state);
void aarch64_set_fpsr(Aarch64State *state, u32 value);

/* The auxiliary vector's AT_HWCAP (word 0) and AT_HWCAP2 (word 1). */
u64 aarch64_hwcap(unsigned word);

#endif
