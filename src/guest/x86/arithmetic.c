/* Addition, subtraction, logic, comparison, decimal adjustment (Intel SDM volume 2). */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"

static IrVal flags_of(Tr *t, IrOp op, IrVal x, IrVal y)
{
    return ir_emit(t->b, op, IR_I32, IR_VOID, 0, x, y, 0, 0, 0);
}

/* -- Sums and differences */

void tr_ADD(Tr *t)
{
    t->out = ir_add(t->b, t->src[0], t->src[1]);
    t->flags_out = flags_of(t, IR_FLAGS_ADD, t->src[0], t->src[1]);
}

void tr_SUB(Tr *t)
{
    t->out = ir_sub(t->b, t->src[0], t->src[1]);
    t->flags_out = flags_of(t, IR_FLAGS_SUB, t->src[0], t->src[1]);
}

void tr_CMP(Tr *t)
{
    t->flags_out = flags_of(t, IR_FLAGS_SUB, t->src[0], t->src[1]);
}

void tr_ADC(Tr *t)
{
    IrVal c = carry(t), x = t->src[0], y = t->src[1];

    t->out = ir_add(t->b, ir_add(t->b, x, y), resize(t, ir_type_of(t->b, x), c));
    t->flags_out = ir_emit(t->b, IR_FLAGS_ADC, IR_I32, IR_VOID, 0, x, y, c, 0, 0);
}

void tr_SBB(Tr *t)
{
    IrVal c = carry(t), x = t->src[0], y = t->src[1];

    t->out = ir_sub(t->b, ir_sub(t->b, x, y), resize(t, ir_type_of(t->b, x), c));
    t->flags_out = ir_emit(t->b, IR_FLAGS_SBB, IR_I32, IR_VOID, 0, x, y, c, 0, 0);
}

void tr_NEG(Tr *t)
{
    IrVal zero = ir_const(t->b, ir_type_of(t->b, t->src[0]), 0);

    t->out = ir_unary(t->b, IR_NEG, ir_type_of(t->b, t->src[0]), t->src[0]);
    t->flags_out = flags_of(t, IR_FLAGS_SUB, zero, t->src[0]);
}

/* INC and DEC leave the carry alone. */
static void step(Tr *t, IrOp op, IrOp flags_op)
{
    IrVal one = ir_const(t->b, ir_type_of(t->b, t->src[0]), 1);
    IrVal flags = flags_of(t, flags_op, t->src[0], one);

    t->out = ir_binary(t->b, op, t->src[0], one);
    t->flags_out = pick_flags(t, IR_FLAG_C, get_flags(t), flags);
}

void tr_INC(Tr *t)
{
    step(t, IR_ADD, IR_FLAGS_ADD);
}

void tr_DEC(Tr *t)
{
    step(t, IR_SUB, IR_FLAGS_SUB);
}

/* XADD: the destination is the first operand, the second gets its old value. */
void tr_XADD(Tr *t)
{
    tr_ADD(t);
    t->out2 = t->src[0];
}

/* -- Multi-word additions with two independent carries: CF, or OF in its place */

void tr_ADCX(Tr *t)
{
    tr_ADC(t);
    t->flags_out = pick_flags(t, IR_FLAG_C, t->flags_out, get_flags(t));
}

void tr_ADOX(Tr *t)
{
    IrVal old = get_flags(t), x = t->src[0], y = t->src[1];
    IrVal c = ir_cond(t->b, IR_COND_V, old);
    IrVal flags = ir_emit(t->b, IR_FLAGS_ADC, IR_I32, IR_VOID, 0, x, y, c, 0, 0);

    t->out = ir_add(t->b, ir_add(t->b, x, y), resize(t, ir_type_of(t->b, x), c));
    /* a condition's value, 0 or 1, is IR_FLAG_V */
    t->flags_out = pick_flags(t, IR_FLAG_V, ir_cond(t->b, IR_COND_C, flags), old);
}

/* -- Logic */

static void logic(Tr *t, IrOp op)
{
    t->out = ir_binary(t->b, op, t->src[0], t->src[1]);
    t->flags_out = ir_unary(t->b, IR_FLAGS_LOGIC, IR_I32, t->out);
}

void tr_AND(Tr *t)
{
    logic(t, IR_AND);
}

void tr_OR(Tr *t)
{
    logic(t, IR_OR);
}

void tr_XOR(Tr *t)
{
    logic(t, IR_XOR);
}

void tr_TEST(Tr *t)
{
    logic(t, IR_AND);
    t->out = 0;
}

void tr_NOT(Tr *t)
{
    t->out = ir_unary(t->b, IR_NOT, ir_type_of(t->b, t->src[0]), t->src[0]);
}

/* ANDN of BMI1: the first source is inverted. */
void tr_ANDN(Tr *t)
{
    t->out = ir_binary(t->b, IR_ANDN, t->src[1], t->src[0]);
    t->flags_out = ir_unary(t->b, IR_FLAGS_LOGIC, IR_I32, t->out);
}

/* -- Decimal adjustment */

static void decimal(Tr *t, unsigned operation, unsigned base)
{
    IrVal result = ir_call(t->b, IR_I64, HELPER_DECIMAL, const32(t, operation | base << 8),
                           get_gpr(t, IR_I16, X86_RAX), get_flags(t), 0);
    IrVal flags = ir_binary(t->b, IR_SHR, result, const32(t, 32));

    put_gpr(t, X86_RAX, ir_trunc(t->b, IR_I16, result));
    set_flags(t, ir_trunc(t->b, IR_I32, flags));
}

void tr_DAA(Tr *t)
{
    decimal(t, X86_DAA, 0);
}

void tr_DAS(Tr *t)
{
    decimal(t, X86_DAS, 0);
}

void tr_AAA(Tr *t)
{
    decimal(t, X86_AAA, 0);
}

void tr_AAS(Tr *t)
{
    decimal(t, X86_AAS, 0);
}

void tr_AAM(Tr *t)
{
    unsigned base = (u8)t->i->operand[0].value;

    if (base == 0) {
        end_exception(t, X86_DE, false, 0);
        return;
    }
    decimal(t, X86_AAM, base);
}

void tr_AAD(Tr *t)
{
    decimal(t, X86_AAD, (u8)t->i->operand[0].value);
}
