/* System instructions (C4.1.93): hints, barriers, system registers, cache maintenance. */
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/internal.h"
#include "guest/aarch64/sysreg.h"

/* WFE and WFI wait for others, which a hint to the scheduler serves best. YIELD, used inside short
 * spins, would cost far more that way than on a CPU. */
void tr_hint(Tr *t, const A_hint *a)
{
    enum { WFE = 2, WFI = 3 };

    if (a->imm == WFE || a->imm == WFI) {
        end_exit(t, IR_EXIT_YIELD, t->pc + AARCH64_INSN_SIZE, 0);
    }
}

/* DMB and DSB. crm<1:0> says which accesses are ordered; the domain makes no difference here. */
void tr_barrier(Tr *t, const A_barrier *a)
{
    static const u8 kinds[] = {0, 1, 2, 0}; /* FENCE: all, loads before all, stores */

    ir_emit(t->b, IR_FENCE, IR_VOID, IR_VOID, a->dmb ? kinds[a->crm & 3] : 0, 0, 0, 0, 0, 0);
}

/* Translations are dropped by IC IVAU at once, so that nothing stale is left to be discarded. */
void tr_isb(Tr *t, const A_isb *a)
{
    (void)t, (void)a;
}

void tr_msr_imm(Tr *t, const A_msr_imm *a)
{
    (void)a;
    tr_undefined(t); /* SPSel and DAIF are not for EL0 */
}

void tr_mrs(Tr *t, const A_mrs *a)
{
    const SystemRegister *reg = aarch64_system_register((unsigned)a->reg);

    if (reg) {
        put_r(t, a->rt, reg->read(t, reg, (unsigned)a->reg));
    } else {
        tr_undefined(t);
    }
}

void tr_msr(Tr *t, const A_msr *a)
{
    const SystemRegister *reg = aarch64_system_register((unsigned)a->reg);

    if (reg && reg->write) {
        reg->write(t, reg, get_x(t, a->rt));
    } else {
        tr_undefined(t);
    }
}

/* -- Cache maintenance */

/* DC ZVA: clears the block that holds the address. */
static void zero_block(Tr *t, IrVal address)
{
    IrVal mask = const_x(t, ~(u64)(AARCH64_ZVA_SIZE - 1));
    Address at = {.base = ir_and(t->b, address, mask)};
    IrVal zero = ir_const_v128(t->b, 0, 0);

    for (unsigned i = 0; i < AARCH64_ZVA_SIZE; i += 16) {
        store(t, address_plus(at, i), zero, 0);
    }
}

/* IC IVAU: the code in the line that holds the address may have changed. */
static void invalidate_line(Tr *t, IrVal address)
{
    ir_call(t->b, IR_VOID, HELPER_EXIT_ADDRESS, data_address(t, address), 0, 0, 0);
    end_exit(t, IR_EXIT_INVALIDATE, t->pc + AARCH64_INSN_SIZE, AARCH64_ICACHE_LINE);
}

void tr_sys(Tr *t, const A_sys *a)
{
#define OPERATION(op1, crn, crm, op2) ((op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
    switch (OPERATION(a->op1, a->crn, a->crm, a->op2)) {
    case OPERATION(3, 7, 4, 1):
        zero_block(t, get_x(t, a->rt));
        break;
    case OPERATION(3, 7, 5, 1):
        invalidate_line(t, get_x(t, a->rt));
        break;
    case OPERATION(3, 7, 10, 1): /* DC CVAC */
    case OPERATION(3, 7, 11, 1): /* DC CVAU */
    case OPERATION(3, 7, 14, 1): /* DC CIVAC: host caches are coherent */
        break;
    default:
        tr_undefined(t);
    }
}

void tr_sysl(Tr *t, const A_sysl *a)
{
    (void)a;
    tr_undefined(t);
}
