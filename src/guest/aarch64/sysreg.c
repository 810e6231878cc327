/* The table of system registers for EL0, and the one list of CPU features from which the auxiliary
 * vector's HWCAP words and the ID registers are made.
 *
 * The ID registers look as Linux shows them to programs (its documentation
 * arm64/cpu-feature-registers): fields that are not for programs read as "not implemented". */
#include "guest/aarch64/sysreg.h"

#include "guest/aarch64/helpers.h"
#include "guest/aarch64/internal.h"

#define NUMBER(op0, op1, crn, crm, op2)                                                            \
    ((u16)((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2)))

enum {
    ID_PFR0 = NUMBER(3, 0, 0, 4, 0),
    ID_ISAR0 = NUMBER(3, 0, 0, 6, 0),
    ID_ISAR1 = NUMBER(3, 0, 0, 6, 1),
};

enum { ALWAYS = 0 };

/* What a feature means to programs: a bit of AT_HWCAP, and an ID register field's value. The field
 * of a register gets the greatest value that a row asks for. */
static const struct {
    u32 feature; /* AARCH64_FEATURE_*; ALWAYS */
    u8 hwcap;    /* bit of AT_HWCAP */
    u16 id;      /* 0: in no ID register */
    u8 shift, value;
} features[] = {
    {ALWAYS, 0, ID_PFR0, 16, 0}, /* FP: 0 is "implemented" */
    {ALWAYS, 1, ID_PFR0, 20, 0}, /* ASIMD */
    {AARCH64_FEATURE_AES, 3, ID_ISAR0, 4, 1},
    {AARCH64_FEATURE_PMULL, 4, ID_ISAR0, 4, 2},
    {AARCH64_FEATURE_SHA1, 5, ID_ISAR0, 8, 1},
    {AARCH64_FEATURE_SHA256, 6, ID_ISAR0, 12, 1},
    {AARCH64_FEATURE_CRC32, 7, ID_ISAR0, 16, 1},
    {AARCH64_FEATURE_LSE, 8, ID_ISAR0, 20, 2},
    {AARCH64_FEATURE_FP16, 9, ID_PFR0, 16, 1},
    {AARCH64_FEATURE_FP16, 10, ID_PFR0, 20, 1},
    {ALWAYS, 11, 0, 0, 0}, /* CPUID: the ID registers may be read */
    {AARCH64_FEATURE_RDM, 12, ID_ISAR0, 28, 1},
    {AARCH64_FEATURE_LRCPC, 15, ID_ISAR1, 20, 1},
    {AARCH64_FEATURE_DOTPROD, 20, ID_ISAR0, 44, 1},
};

static bool offered(u32 feature)
{
    return feature == ALWAYS || AARCH64_FEATURES & feature;
}

u64 aarch64_hwcap(unsigned word)
{
    u64 bits = 0;

    for (size_t i = 0; i < COUNT(features) && word == 0; i++) {
        bits |= offered(features[i].feature) ? (u64)1 << features[i].hwcap : 0;
    }
    return bits;
}

/* The features' fields of an ID register. */
static u64 id_fields(unsigned number)
{
    u64 bits = 0;

    for (size_t i = 0; i < COUNT(features); i++) {
        u64 field = (u64)features[i].value << features[i].shift;
        u64 mask = (u64)15 << features[i].shift;
        if (features[i].id == number && offered(features[i].feature) && field > (bits & mask)) {
            bits = (bits & ~mask) | field;
        }
    }
    return bits;
}

/* -- Reads and writes */

static IrVal read_slot32(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)number;
    return ir_get(t->b, IR_I32, reg->slot);
}

static IrVal read_slot(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)number;
    return ir_get(t->b, IR_I64, reg->slot);
}

static void write_slot(Tr *t, const SystemRegister *reg, IrVal value)
{
    ir_put(t->b, reg->slot, value);
}

static IrVal read_constant(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)number;
    return const_x(t, reg->value);
}

static IrVal read_id(Tr *t, const SystemRegister *reg, unsigned number)
{
    return const_x(t, reg->value | id_fields(number));
}

static IrVal read_nzcv(Tr *t, const SystemRegister *reg, unsigned number)
{
    IrVal nzcv = ir_unary(t->b, IR_FLAGS_NZCV, IR_I32, get_flags(t));

    (void)reg, (void)number;
    return shift_imm(t, nzcv, 0, 28);
}

static void write_nzcv(Tr *t, const SystemRegister *reg, IrVal value)
{
    IrVal nzcv =
        ir_emit(t->b, IR_EXTU, IR_I32, IR_VOID, 28, ir_trunc(t->b, IR_I32, value), 0, 0, 4, 0);

    (void)reg;
    set_flags(t, ir_unary(t->b, IR_FLAGS_MAKE, IR_I32, nzcv));
}

static void write_fpcr(Tr *t, const SystemRegister *reg, IrVal value)
{
    (void)reg;
    ir_call(t->b, IR_VOID, HELPER_SET_FPCR, ir_trunc(t->b, IR_I32, value), 0, 0, 0);
    end_exit(t, IR_EXIT_RESYNC, t->pc + AARCH64_INSN_SIZE, 0);
}

static IrVal read_fpsr(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)reg, (void)number;
    return ir_call(t->b, IR_I32, HELPER_GET_FPSR, 0, 0, 0, 0);
}

static void write_fpsr(Tr *t, const SystemRegister *reg, IrVal value)
{
    (void)reg;
    ir_call(t->b, IR_VOID, HELPER_SET_FPSR, ir_trunc(t->b, IR_I32, value), 0, 0, 0);
}

static IrVal read_counter(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)reg, (void)number;
    return ir_call(t->b, IR_I64, HELPER_COUNTER, 0, 0, 0, 0);
}

static IrVal read_real_time(Tr *t, const SystemRegister *reg, unsigned number)
{
    (void)reg, (void)number;
    return ir_call(t->b, IR_I64, HELPER_REAL_TIME, 0, 0, 0, 0);
}

/* -- The table */

/* CTR_EL0: data cache lines and granules of 64 bytes (log2 of words: 4), caches physically tagged;
 * IDC: nothing to do for data, but instruction cache maintenance is needed. */
enum {
    CTR_ILINE = 10,
    CTR = 1u << 28 | 4 << 24 | 4 << 20 | 4 << 16 | 3 << 14 | CTR_ILINE,
    DCZID = 4,
};
#define CTR_RES1 ((u64)1 << 31)
_Static_assert(4 << CTR_ILINE == AARCH64_ICACHE_LINE, "CTR_EL0.IminLine");
_Static_assert(4 << DCZID == AARCH64_ZVA_SIZE, "DCZID_EL0.BS");

/* MIDR_EL1: implementer 0 (reserved for software), architecture "see the ID registers". */
#define MIDR 0x000f0010
#define MPIDR 0x80000000
#define PFR0_BOTH_AARCH64 0x11 /* EL0 and EL1 */

#define ONE(number) (number), (number)

static const SystemRegister registers[] = {
    {ONE(NUMBER(3, 3, 4, 2, 0)), read_nzcv, write_nzcv, 0, 0},
    {ONE(NUMBER(3, 3, 4, 4, 0)), read_slot32, write_fpcr, SLOT(fpcr), 0},
    {ONE(NUMBER(3, 3, 4, 4, 1)), read_fpsr, write_fpsr, 0, 0},
    {ONE(NUMBER(3, 3, 13, 0, 2)), read_slot, write_slot, SLOT(tpidr), 0},
    {ONE(NUMBER(3, 3, 13, 0, 3)), read_slot, NULL, SLOT(tpidrro), 0},
    {ONE(NUMBER(3, 3, 0, 0, 1)), read_constant, NULL, 0, CTR_RES1 | CTR},
    {ONE(NUMBER(3, 3, 0, 0, 7)), read_constant, NULL, 0, DCZID},
    {ONE(NUMBER(3, 3, 14, 0, 0)), read_constant, NULL, 0, AARCH64_COUNTER_HZ},
    {ONE(NUMBER(3, 3, 14, 0, 2)), read_counter, NULL, 0, 0},   /* CNTVCT_EL0 */
    {ONE(NUMBER(3, 3, 15, 0, 0)), read_real_time, NULL, 0, 0}, /* IMPLEMENTATION DEFINED */
    {ONE(NUMBER(3, 0, 0, 0, 0)), read_constant, NULL, 0, MIDR},
    {ONE(NUMBER(3, 0, 0, 0, 5)), read_constant, NULL, 0, MPIDR},
    {ONE(NUMBER(3, 0, 0, 0, 6)), read_constant, NULL, 0, 0}, /* REVIDR_EL1 */
    {ONE(ID_PFR0), read_id, NULL, 0, PFR0_BOTH_AARCH64},
    /* The space of ID registers that Linux lets programs read. */
    {NUMBER(3, 0, 0, 4, 0), NUMBER(3, 0, 0, 7, 7), read_id, NULL, 0, 0},
};

const SystemRegister *aarch64_system_register(unsigned number)
{
    for (size_t i = 0; i < COUNT(registers); i++) {
        if (number >= registers[i].first && number <= registers[i].last) {
            return &registers[i];
        }
    }
    return NULL;
}
