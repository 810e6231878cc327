/* What the files of the AArch64 guest share beside translate.h: the members of `guest_aarch64` and
 * the features offered to programs.
 * Must not be included outside this folder and its tests. */
#ifndef GUEST_AARCH64_INTERNAL_H
#define GUEST_AARCH64_INTERNAL_H

#include "guest/aarch64/aarch64_insn.h"
#include "guest/aarch64/state.h"
#include "guest/guest.h"

enum { AARCH64_INSN_SIZE = 4 };

/* Bits of the translation mode, beside GUEST_MODE_EXACT_FP. */
enum {
    AARCH64_MODE_AHP = 1,    /* FPCR.AHP: halves are of the alternative format */
    AARCH64_MODE_TAGGED = 2, /* Aarch64State.tagged */
};

/* The CPU's optional features: each needs handlers for all its rows. The ID registers and HWCAP
 * words follow from this (sysreg.c). */
enum {
    AARCH64_FEATURES = AARCH64_FEATURE_CRC32 | AARCH64_FEATURE_LSE | AARCH64_FEATURE_LOR |
                       AARCH64_FEATURE_LRCPC | AARCH64_FEATURE_AES | AARCH64_FEATURE_PMULL |
                       AARCH64_FEATURE_SHA1 | AARCH64_FEATURE_SHA256,
};

/* translate.c */
void aarch64_translate_block(GuestTranslation *g);
/* The instruction word at pc; false when it cannot be fetched. */
bool aarch64_fetch(GuestTranslation *g, u64 pc, u32 *word);

/* lookahead.c: Guest.flags_dead. */
bool aarch64_flags_dead(GuestTranslation *g, u64 pc);

/* state.c */
void aarch64_reset(void *state, CpuCommon *common);
u32 aarch64_mode(const void *state);
bool aarch64_invalid_address(void *state);

#endif
