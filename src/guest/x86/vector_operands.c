/* Operands of MMX, SSE and AVX instructions: registers by halves, memory with its alignment rules,
 * and the common code around handlers of rows that are not raw.
 *
 * Invariant: everything that may fault (loads, stores, floating point with unmasked exceptions)
 * is emitted before the first put. */
#include <string.h>

#include "guest/x86/helpers.h"
#include "guest/x86/vector.h"
#include "guest/x86/x87.h"

/* -- Registers */

IrVal get_vector(Tr *t, IrType type, unsigned n, unsigned half)
{
    return ir_get(t->b, type, half ? SLOT_YMMH(n) : SLOT_XMM(n));
}

void put_vector(Tr *t, unsigned n, unsigned half, IrVal value)
{
    ir_put(t->b, half ? SLOT_YMMH(n) : SLOT_XMM(n), value);
}

/* MMX registers have fixed places in the x87 register file, whatever TOP is. */
static u32 mmx_slot(unsigned n)
{
    return SLOT(fpr) + (u32)sizeof(X86Fpr) * n;
}

IrVal get_mmx(Tr *t, IrType type, unsigned n)
{
    return ir_get(t->b, type, mmx_slot(n));
}

void enter_mmx(Tr *t)
{
    ir_put(t->b, SLOT(ftop), ir_const(t->b, IR_I8, 0));
    ir_put(t->b, SLOT(ftag_empty), ir_const(t->b, IR_I8, 0));
}

void put_mmx(Tr *t, unsigned n, IrVal value)
{
    ir_put(t->b, mmx_slot(n), value);
    ir_put(t->b, mmx_slot(n) + (u32)offsetof(X86Fpr, sign_exponent),
           ir_const(t->b, IR_I16, 0xffff));
    enter_mmx(t);
}

void write_halves(Tr *t, unsigned n, IrVal low, IrVal high)
{
    put_vector(t, n, 0, ir_zext(t->b, IR_V128, low));
    if (high || is_vex(t)) {
        put_vector(t, n, 1, high ? high : vzero(t));
    }
}

void write_scalar(Tr *t, unsigned n, unsigned merge, IrVal value)
{
    IrType lane = ir_type_of(t->b, value);

    write_halves(t, n, vset(t, get_vector(t, IR_V128, merge, 0), lane, 0, value), 0);
}

/* -- What the instruction uses */

static bool has_operand(const Tr *t, X86OperandKind kind)
{
    for (unsigned n = 0; n < t->i->operand_count; n++) {
        if (t->i->operand[n].kind == kind) {
            return true;
        }
    }
    return false;
}

static bool is_mmx(const Tr *t)
{
    return has_operand(t, X86_OPERAND_MMX);
}

/* Halves that a row which is not raw works on. */
static unsigned half_count(const Tr *t)
{
    for (unsigned n = 0; n < t->i->operand_count; n++) {
        if (t->i->operand[n].size == 32) {
            return 2;
        }
    }
    return 1;
}

void check_x87(Tr *t)
{
    if (!t->x87_quiet && t->mode & X86_MODE_X87_UNMASKED) {
        IrVal status = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I16, SLOT(fsw)));
        fault_if(t, ir_and(t->b, status, const32(t, X87_ERROR)), X86_MF, false, 0);
        t->x87_quiet = true;
    }
}

bool vector_available(Tr *t)
{
    bool undefined;

    if (is_mmx(t) && !has_operand(t, X86_OPERAND_VECTOR)) {
        undefined = (t->mode & X86_MODE_NO_FPU) && !(t->mode & X86_MODE_TS);
    } else {
        undefined = t->mode & (is_vex(t) ? X86_MODE_NO_AVX : X86_MODE_NO_SSE);
    }
    if (undefined) {
        end_exception(t, X86_UD, false, 0);
    } else if (t->mode & X86_MODE_TS) {
        end_exception(t, X86_NM, false, 0);
    } else if (is_mmx(t)) {
        check_x87(t);
    }
    return !t->ended;
}

/* -- Memory */

void check_vector_alignment(Tr *t, unsigned size)
{
    IrVal linear = linear_address(t, t->i->memory.segment, effective_address(t), size, false);
    IrVal low_bits = ir_trunc(t->b, IR_I32, linear);

    fault_if(t, ir_cmp(t->b, IR_TST, low_bits, const32(t, size - 1)), X86_GP, true, 0);
}

IrVal read_half(Tr *t, unsigned n, unsigned half)
{
    return is_memory(t, n) ? load_memory(t, IR_V128, 16 * (s64)half)
                           : get_vector(t, IR_V128, t->i->operand[n].number, half);
}

IrVal read_checked_half(Tr *t, unsigned n, unsigned half)
{
    return is_memory(t, n) && !is_vex(t) ? load_aligned(t, 16 * (s64)half) : read_half(t, n, half);
}

/* A memory operand, or one half of it. Legacy encodings want 16 bytes to be aligned. An MMX operand
 * may be only half as wide in memory. */
static IrVal read_vector_memory(Tr *t, unsigned size, unsigned half)
{
    if (size >= 16) {
        return is_vex(t) ? load_memory(t, IR_V128, size == 32 ? 16 * (s64)half : 0)
                         : load_aligned(t, 0);
    }
    if (is_mmx(t)) {
        return size == 8 ? load_memory(t, IR_V64, 0)
                         : ir_zext(t->b, IR_V64, load_memory(t, IR_I32, 0));
    }
    return load_memory(t, size == 4 ? IR_F32 : IR_F64, 0);
}

static IrVal read_source(Tr *t, unsigned n, unsigned half)
{
    const X86Operand *operand = &t->i->operand[n];
    unsigned size = operand->size;

    switch (operand->kind) {
    case X86_OPERAND_VECTOR:
        return get_vector(t,
                          size == 4   ? IR_F32
                          : size == 8 ? IR_F64
                                      : IR_V128,
                          operand->number, size == 32 ? half : 0);
    case X86_OPERAND_MMX:
        return get_mmx(t, IR_V64, operand->number);
    case X86_OPERAND_MEMORY:
        return read_vector_memory(t, size, half);
    default:
        return read_operand(t, n, type_of_operand(t, n));
    }
}

/* Operands that the row marks as read, without immediates, to t->src and on. */
static void read_sources(Tr *t, unsigned half, IrVal src[COUNT(t->src)])
{
    unsigned count = 0;

    for (unsigned n = 0; n < t->i->operand_count; n++) {
        const X86Operand *operand = &t->i->operand[n];
        if ((operand->access & X86_READ) && operand->kind != X86_OPERAND_IMMEDIATE) {
            src[count++] = read_source(t, n, half);
        }
    }
}

/* -- Exceptions of floating-point operations */

IrVal begin_float(Tr *t)
{
    return t->mode & X86_MODE_XM ? ir_call(t->b, IR_I32, HELPER_BEGIN_FLOAT, 0, 0, 0, 0) : 0;
}

void end_float(Tr *t, IrVal begun)
{
    if (begun) {
        call_raising(t, HELPER_END_FLOAT, begun, 0, 0, 0);
    }
}

/* -- Common code */

/* The register that a scalar result's other lanes come from: the destination if it is a source,
 * else the first source of VEX encodings. */
static unsigned merge_register(const Tr *t, unsigned n)
{
    const X86Operand *operand = t->i->operand;
    bool separate =
        is_vex(t) && !(operand[n].access & X86_READ) && operand[n + 1].kind == X86_OPERAND_VECTOR;

    return operand[separate ? n + 1 : n].number;
}

static void write_result(Tr *t, unsigned n, const IrVal out[2])
{
    const X86Operand *operand = &t->i->operand[n];

    switch (operand->kind) {
    case X86_OPERAND_VECTOR:
        if (ir_type_is_float(ir_type_of(t->b, out[0]))) {
            write_scalar(t, operand->number, merge_register(t, n), out[0]);
        } else {
            write_halves(t, operand->number, out[0], out[1]);
        }
        break;
    case X86_OPERAND_MMX:
        put_mmx(t, operand->number, out[0]);
        break;
    default:
        write_operand(t, n, out[0]);
        break;
    }
}

static unsigned written_operand(const Tr *t)
{
    unsigned n = 0;

    while (n < t->i->operand_count && !(t->i->operand[n].access & X86_WRITE)) {
        n++;
    }
    return n;
}

void translate_vector(Tr *t, VectorHandler *handler)
{
    unsigned halves = half_count(t), written = written_operand(t);
    IrVal src[2][COUNT(t->src)] = {{0}}, out[2] = {0}, begun;

    for (unsigned half = 0; half < halves; half++) {
        read_sources(t, half, src[half]);
    }
    begun = begin_float(t);
    for (t->half = 0; t->half < halves; t->half++) {
        memcpy(t->src, src[t->half], sizeof(t->src));
        handler(t);
        out[t->half] = t->out;
    }
    end_float(t, begun);
    if (written < t->i->operand_count) {
        write_result(t, written, out);
    }
    if (is_mmx(t)) {
        enter_mmx(t);
    }
    if (t->flags_out) {
        set_flags(t, t->flags_out);
    }
}
