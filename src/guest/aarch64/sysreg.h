/* System registers that EL0 may reach, and what of the CPU's features programs are told. */
#ifndef GUEST_AARCH64_SYSREG_H
#define GUEST_AARCH64_SYSREG_H

#include "guest/aarch64/translate.h"

typedef struct SystemRegister SystemRegister;
struct SystemRegister {
    u16 first, last; /* numbers: op0:op1:CRn:CRm:op2, as `reg` of MRS and MSR */
    /* Emits the read of register `number`; returns an i32 or i64. */
    IrVal (*read)(Tr *t, const SystemRegister *reg, unsigned number);
    /* Emits the write of an i64, and ends the block if what follows depends on it. NULL:
     * read-only. */
    void (*write)(Tr *t, const SystemRegister *reg, IrVal value);
    u32 slot;  /* of those that are just a slot */
    u64 value; /* of those that never change */
};

/* The register, or NULL if it does not exist or is not for EL0. */
const SystemRegister *aarch64_system_register(unsigned number);

/* Bytes around its address that IC IVAU declares changed: the line size that CTR_EL0 reports. A
 * page, as the engine drops translations by the page anyway. */
enum { AARCH64_ICACHE_LINE = 4096 };
/* Bytes that DC ZVA clears: what DCZID_EL0 reports. */
enum { AARCH64_ZVA_SIZE = 64 };

#endif
