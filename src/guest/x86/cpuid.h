/* CPU models as sets of features, how users name them, and what CPUID says.
 *
 * Models form a line: each has the features of those before it (features.def). Must not know what
 * features do: the decoder refuses instructions of features that a CPU lacks. */
#ifndef GUEST_X86_CPUID_H
#define GUEST_X86_CPUID_H

#include "guest/x86/feature.h"
#include "guest/x86/state.h"

typedef struct X86Model {
    const char *name, *text; /* the name users write; a description */
    u8 level;                /* X86_LEVEL_*: the features */
    const char *vendor;      /* 12 characters */
    const char *brand;       /* at most 47 characters */
    u8 family, model, stepping;
    u32 last_leaf; /* highest basic leaf */
} X86Model;

/* A model with features added and removed. */
typedef struct X86Cpu {
    const X86Model *model;
    u64 features[X86_FEATURE_WORDS];
} X86Cpu;

/* All models, ended by one without a name. */
extern const X86Model x86_models[];

/* The model of all implemented features. */
const X86Model *x86_default_model(void);

/* MODEL[,+FEATURE][,-FEATURE]...: features as Linux, QEMU or the manuals spell them. Features whose
 * foundations are missing are left out (AVX2 without AVX). False with one line in `message`,
 * without newline, when the text is wrong. */
bool x86_parse_cpu(const char *text, X86Cpu *cpu, char *message, size_t size);

/* Makes the vCPU one of that kind. */
void x86_set_cpu(X86State *state, const X86Cpu *cpu);
void x86_set_model(X86State *state, const X86Model *model);

/* The CPUID instruction: eax, ebx, ecx, edx into `out`. Unknown leaves are zero. */
void x86_cpuid(const X86State *state, u32 leaf, u32 subleaf, u32 out[4]);

#endif
