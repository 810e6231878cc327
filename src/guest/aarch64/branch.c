/* Branches and exception-generating instructions (C4.1.93). */
#include "guest/aarch64/internal.h"
#include "guest/aarch64/translate.h"

enum { LINK_REGISTER = 30 };

static void put_link(Tr *t)
{
    put_r(t, LINK_REGISTER, const_x(t, t->pc + AARCH64_INSN_SIZE));
}

void tr_b(Tr *t, const A_b *a)
{
    u64 target = t->pc + (u64)(s64)a->imm;

    if (a->link) {
        put_link(t);
        end_call(t, target);
    } else {
        end_goto(t, target);
    }
}

void tr_b_cond(Tr *t, const A_b_cond *a)
{
    u64 target = t->pc + (u64)(s64)a->imm;

    if (a->cond >= 14) {
        end_goto(t, target);
    } else {
        end_branch(t, condition(t, a->cond), target);
    }
}

void tr_cbz(Tr *t, const A_cbz *a)
{
    IrType type = width_type(a->sf);
    IrVal zero = ir_const(t->b, type, 0);

    end_branch(t, ir_cmp(t->b, a->nz ? IR_NE : IR_EQ, get_r(t, type, a->rt), zero),
               t->pc + (u64)(s64)a->imm);
}

void tr_tbz(Tr *t, const A_tbz *a)
{
    IrType type = width_type(a->b5);
    IrVal bit = ir_const(t->b, type, (u64)1 << a->bit);

    end_branch(t, ir_cmp(t->b, a->nz ? IR_TST : IR_TSTZ, get_r(t, type, a->rt), bit),
               t->pc + (u64)(s64)a->imm);
}

void tr_br(Tr *t, const A_br *a)
{
    static const u8 ops[] = {IR_IGOTO, IR_IGOTO_CALL, IR_IGOTO_RET};
    IrVal target = get_x(t, a->rn);

    if (ops[a->opc] == IR_IGOTO_CALL) {
        put_link(t);
    }
    end_indirect(t, (IrOp)ops[a->opc], target);
}

/* -- Exceptions. What only higher exception levels may execute is undefined at EL0. */

void tr_svc(Tr *t, const A_svc *a)
{
    end_exit(t, IR_EXIT_SYSCALL, t->pc + AARCH64_INSN_SIZE, a->imm);
}

void tr_brk(Tr *t, const A_brk *a)
{
    end_exit(t, IR_EXIT_BREAKPOINT, t->pc, a->imm);
}

void tr_hlt(Tr *t, const A_hlt *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_hvc(Tr *t, const A_hvc *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_smc(Tr *t, const A_smc *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_dcps(Tr *t, const A_dcps *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_eret(Tr *t, const A_eret *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_drps(Tr *t, const A_drps *a)
{
    (void)a;
    tr_undefined(t);
}

void tr_udf(Tr *t, const A_udf *a)
{
    (void)a;
    tr_undefined(t);
}
