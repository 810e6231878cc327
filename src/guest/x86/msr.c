/* Model-specific registers (Intel SDM volume 4): those of the CPU itself. What belongs to a device,
 * as the local APIC's, is asked of the bus; all others do not exist (#GP).
 *
 * Add one as a row of `registers`, or as a case where writing has an effect.
 * Must not emit IR. */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/feature.h"
#include "guest/x86/system.h"

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49,
    MSR_MICROCODE = 0x8b,
    MSR_MTRR_CAP = 0xfe,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_VARIABLE = 0x200, /* base and mask in turn */
    MSR_MTRR_FIXED_64K = 0x250,
    MSR_MTRR_FIXED_16K = 0x258,
    MSR_MTRR_FIXED_4K = 0x268,
    MSR_MTRR_DEFAULT = 0x2ff,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_PAT = 0x277,
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083,
    MSR_SFMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_TSC_AUX = 0xc0000103,
    MSR_AMD_COUNTERS = 0xc0010000, /* what each of four counts, then their values */
    AMD_COUNTERS = 8,
};

typedef enum Check { CHECK_NONE, CHECK_CANONICAL, CHECK_32_BITS, CHECK_PAT } Check;

/* A register that is nothing but a member of the state. */
typedef struct Register {
    u32 index;
    u16 offset;
    u8 check;
    u8 feature;
} Register;

#define AT(member) (u16) offsetof(X86State, member)

/* The most used ones first. */
static const Register registers[] = {
    {MSR_FS_BASE, AT(segment[X86_FS].base), CHECK_CANONICAL, X86_FEATURE_LM},
    {MSR_GS_BASE, AT(segment[X86_GS].base), CHECK_CANONICAL, X86_FEATURE_LM},
    {MSR_KERNEL_GS_BASE, AT(kernel_gs_base), CHECK_CANONICAL, X86_FEATURE_LM},
    {MSR_SYSENTER_CS, AT(sysenter_cs), CHECK_32_BITS, X86_FEATURE_SEP},
    {MSR_SYSENTER_ESP, AT(sysenter_esp), CHECK_CANONICAL, X86_FEATURE_SEP},
    {MSR_SYSENTER_EIP, AT(sysenter_eip), CHECK_CANONICAL, X86_FEATURE_SEP},
    {MSR_MISC_ENABLE, AT(misc_enable), CHECK_NONE, X86_FEATURE_MSR},
    {MSR_SPEC_CTRL, AT(spec_ctrl), CHECK_32_BITS, X86_FEATURE_SPEC_CTRL},
    {MSR_DEBUGCTL, AT(debugctl), CHECK_32_BITS, X86_FEATURE_MSR},
    {MSR_MCG_STATUS, AT(machine_check_status), CHECK_32_BITS, X86_FEATURE_MCA},
    {MSR_MTRR_DEFAULT, AT(mtrr_default), CHECK_32_BITS, X86_FEATURE_MTRR},
    {MSR_PAT, AT(pat), CHECK_PAT, X86_FEATURE_PAT},
    {MSR_STAR, AT(star), CHECK_NONE, X86_FEATURE_SYSCALL},
    {MSR_LSTAR, AT(lstar), CHECK_CANONICAL, X86_FEATURE_LM},
    {MSR_CSTAR, AT(cstar), CHECK_CANONICAL, X86_FEATURE_LM},
    {MSR_SFMASK, AT(sfmask), CHECK_32_BITS, X86_FEATURE_LM},
    {MSR_TSC_AUX, AT(tsc_aux), CHECK_32_BITS, X86_FEATURE_RDTSCP},
};

static const Register *find(const X86State *state, u32 index)
{
    for (size_t n = 0; n < COUNT(registers); n++) {
        if (registers[n].index == index && x86_has(state->features, registers[n].feature)) {
            return &registers[n];
        }
    }
    return NULL;
}

static u64 *member(X86State *state, const Register *r)
{
    return (u64 *)((u8 *)state + r->offset);
}

/* Each byte of IA32_PAT is a memory type: 0, 1, 4, 5, 6 or 7. */
static bool valid_pat(u64 value)
{
    for (unsigned n = 0; n < 8; n++) {
        u8 type = (u8)(value >> 8 * n);
        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

static bool valid(const X86State *state, const Register *r, u64 value)
{
    switch ((Check)r->check) {
    case CHECK_CANONICAL:
        return x86_canonical_base(state, value);
    case CHECK_32_BITS:
        return value >> 32 == 0;
    case CHECK_PAT:
        return valid_pat(value);
    case CHECK_NONE:
        break;
    }
    return true;
}

/* -- Memory type range registers (11.11): they only keep what is written */

static u64 *mtrr(X86State *state, u32 index)
{
    if (!x86_has(state->features, X86_FEATURE_MTRR)) {
        return NULL;
    }
    switch (index) {
    case MSR_MTRR_VARIABLE ... MSR_MTRR_VARIABLE + COUNT(state->mtrr_variable) - 1:
        return &state->mtrr_variable[index - MSR_MTRR_VARIABLE];
    case MSR_MTRR_FIXED_64K:
        return &state->mtrr_fixed[0];
    case MSR_MTRR_FIXED_16K ... MSR_MTRR_FIXED_16K + 1:
        return &state->mtrr_fixed[1 + index - MSR_MTRR_FIXED_16K];
    case MSR_MTRR_FIXED_4K ... MSR_MTRR_FIXED_4K + 7:
        return &state->mtrr_fixed[3 + index - MSR_MTRR_FIXED_4K];
    default:
        return NULL;
    }
}

/* -- Registers that say what the CPU is; writes to them are refused unless noted */

/* IA32_ARCH_CAPABILITIES: translated code does not speculate, so it has none of the known leaks. */
enum {
    RDCL_NO = 1 << 0,
    IBRS_ALL = 1 << 1,
    SKIP_L1D_FLUSH = 1 << 3,
    SSB_NO = 1 << 4,
    MDS_NO = 1 << 5,
    PAGE_SIZE_CHANGE_NO = 1 << 6,
    TAA_NO = 1 << 8,
    MMIO_STALE_NO = 7 << 13,
    BHI_NO = 1 << 20,
    GATHER_NO = 1 << 26,
    REGISTER_FILE_NO = 1 << 27,
};
#define INDIRECT_TARGET_NO ((u64)1 << 62)

/* All CPUs of AMD with 64-bit mode have four performance counters, which CPUID does not mention
 * (AMD APM volume 2, 13.2.1): ours count nothing and keep nothing. */
static bool is_amd(const X86State *state)
{
    return strcmp(state->model->vendor, "AuthenticAMD") == 0;
}

static bool read_constant(const X86State *state, u32 index, u64 *value)
{
    enum { MTRR_CAPABILITIES = 8 | 1 << 8 | 1 << 10 }; /* eight variable, fixed, WC */

    switch (index) {
    case MSR_PLATFORM_ID:
    case MSR_MCG_CAP: /* no banks */
        *value = 0;
        return true;
    case MSR_AMD_COUNTERS ... MSR_AMD_COUNTERS + AMD_COUNTERS - 1:
        *value = 0;
        return is_amd(state);
    case MSR_MICROCODE: /* the revision is in the high half; writing 0 asks for it */
        *value = (u64)1 << 32;
        return true;
    case MSR_MTRR_CAP:
        *value = MTRR_CAPABILITIES;
        return x86_has(state->features, X86_FEATURE_MTRR);
    case MSR_ARCH_CAPABILITIES:
        *value = RDCL_NO | IBRS_ALL | SKIP_L1D_FLUSH | SSB_NO | MDS_NO | PAGE_SIZE_CHANGE_NO |
                 TAA_NO | MMIO_STALE_NO | BHI_NO | GATHER_NO | REGISTER_FILE_NO |
                 INDIRECT_TARGET_NO;
        return x86_has(state->features, X86_FEATURE_ARCH_CAPABILITIES);
    default:
        return false;
    }
}

/* Writes that have no effect. */
static bool ignores_write(const X86State *state, u32 index)
{
    return index == MSR_MICROCODE ||
           (index >= MSR_AMD_COUNTERS && index < MSR_AMD_COUNTERS + AMD_COUNTERS &&
            is_amd(state)) ||
           (index == MSR_PRED_CMD && x86_has(state->features, X86_FEATURE_SPEC_CTRL));
}

u32 x86_read_msr(X86State *state, u32 index, u64 *value)
{
    const GuestBus *bus = x86_bus(state);
    const Register *r = find(state, index);

    if (r || mtrr(state, index)) {
        *value = r ? *member(state, r) : *mtrr(state, index);
        return 0;
    }
    if (read_constant(state, index, value)) {
        return 0;
    }
    switch (index) {
    case MSR_TSC:
        *value = x86_read_tsc(state);
        return 0;
    case MSR_EFER:
        *value = state->efer;
        return 0;
    default:
        return bus->msr_read && bus->msr_read(bus->opaque, index, value)
                   ? 0
                   : x86_fault_error(X86_GP, 0);
    }
}

static u32 write_efer(X86State *state, u64 value)
{
    u64 allowed = X86_EFER_LMA;

    allowed |= x86_has(state->features, X86_FEATURE_SYSCALL) ? X86_EFER_SCE : 0;
    allowed |= x86_has(state->features, X86_FEATURE_LM) ? X86_EFER_LME : 0;
    allowed |= x86_has(state->features, X86_FEATURE_NX) ? X86_EFER_NXE : 0;
    if (value & ~allowed || (state->cr[0] & X86_CR0_PG && (value ^ state->efer) & X86_EFER_LME)) {
        return x86_fault_error(X86_GP, 0);
    }
    value = (value & ~(u64)X86_EFER_LMA) | (state->efer & X86_EFER_LMA);
    if ((value ^ state->efer) & X86_EFER_NXE) {
        x86_bus(state)->flush(state, true);
    }
    state->efer = value;
    return 0;
}

static u32 write_device(X86State *state, u32 index, u64 value)
{
    const GuestBus *bus = x86_bus(state);

    if ((index == MSR_APIC_BASE && value & X86_APIC_BASE_X2APIC &&
         !x86_has(state->features, X86_FEATURE_X2APIC)) ||
        !bus->msr_write || !bus->msr_write(bus->opaque, index, value)) {
        return x86_fault_error(X86_GP, 0);
    }
    if (index == MSR_APIC_BASE) {
        state->apic_base = value; /* for CPUID */
    }
    return 0;
}

u32 x86_write_msr(X86State *state, u32 index, u64 value)
{
    const Register *r = find(state, index);

    if (r) {
        if (!valid(state, r, value)) {
            return x86_fault_error(X86_GP, 0);
        }
        *member(state, r) = value;
        return 0;
    }
    if (mtrr(state, index)) {
        *mtrr(state, index) = value;
        return 0;
    }
    if (ignores_write(state, index)) {
        return 0;
    }
    switch (index) {
    case MSR_TSC:
        state->tsc_offset += value - x86_read_tsc(state);
        return 0;
    case MSR_EFER:
        return write_efer(state, value);
    default:
        return write_device(state, index, value);
    }
}
