/* Loads and stores of vector registers: single ones, pairs, and structures of 1 to 4 elements
 * (C4.1.96, "Advanced SIMD load/store" and the register forms with V = 1). */
#include "guest/aarch64/memory.h"

/* -- Single registers and pairs; size is log2 of the bytes */

static IrType scalar_type(unsigned size)
{
    static const u8 types[] = {IR_I8, IR_I16, IR_F32, IR_F64, IR_V128};

    return (IrType)types[size];
}

static void access_one(Tr *t, unsigned size, bool is_load, unsigned rt, Address a)
{
    IrType type = scalar_type(size);

    if (is_load) {
        put_v(t, rt, load(t, type, a, 0));
    } else {
        store(t, a, get_v(t, type, rt), 0);
    }
}

void tr_ldst_v_imm9(Tr *t, const A_ldst_v_imm9 *a)
{
    Address at = address_mode(t, a->rn, a->mode, a->imm);

    access_one(t, (unsigned)a->size, a->load, a->rt, at);
    write_back(t, a->rn, a->mode, at, a->imm);
}

void tr_ldst_v_uimm(Tr *t, const A_ldst_v_uimm *a)
{
    access_one(t, (unsigned)a->size, a->load, a->rt, address_imm(t, a->rn, a->imm));
}

void tr_ldst_v_reg(Tr *t, const A_ldst_v_reg *a)
{
    access_one(t, (unsigned)a->size, a->load, a->rt,
               address_index(t, a->rn, a->rm, a->option, (unsigned)a->shift));
}

void tr_ldr_v_lit(Tr *t, const A_ldr_v_lit *a)
{
    Address at = {.base = const_x(t, t->pc + (u64)(s64)a->imm)};

    put_v(t, a->rt, load(t, scalar_type(a->opc + 2u), at, 0));
}

void tr_ldst_v_pair(Tr *t, const A_ldst_v_pair *a)
{
    IrType type = scalar_type((unsigned)a->size);
    Address first = address_mode(t, a->rn, a->mode, a->imm);
    Address second = address_plus(first, ir_type_size(type));

    if (a->load) {
        IrVal x = load(t, type, first, 0);
        IrVal y = load(t, type, second, 0);
        put_v(t, a->rt, x);
        put_v(t, a->rt2, y);
    } else {
        store(t, first, get_v(t, type, a->rt), 0);
        store(t, second, get_v(t, type, a->rt2), 0);
    }
    write_back(t, a->rn, a->mode, first, a->imm);
}

/* -- Structures: memory holds the elements of the first structure, then those of the second... */

enum { MAX_REGISTERS = 4 };

/* What all forms end with: the base grows by register m, or by the bytes accessed if m is 31. */
static void advance_base(Tr *t, bool post, unsigned n, unsigned m, Address a, unsigned bytes)
{
    if (post) {
        IrVal step = m == REG_ZERO ? const_x(t, bytes) : get_x(t, m);
        put_r_sp(t, n, ir_add(t->b, a.base, step));
    }
}

static IrVal shuffle(Tr *t, IrOp op, IrType lane, IrVal x, IrVal y)
{
    return ir_vector(t->b, op, ir_type_of(t->b, x), lane, 0, x, y, 0);
}

/* The `count` (2 or 4) consecutive vectors as streams of elements 0, count, 2 * count...; 1,
 * count + 1...; and so on, in place. */
static void deinterleave(Tr *t, IrType lane, unsigned count, IrVal v[])
{
    IrVal even = shuffle(t, IR_VUZP1, lane, v[0], v[1]);
    IrVal odd = shuffle(t, IR_VUZP2, lane, v[0], v[1]);

    if (count == 4) {
        IrVal even2 = shuffle(t, IR_VUZP1, lane, v[2], v[3]);
        IrVal odd2 = shuffle(t, IR_VUZP2, lane, v[2], v[3]);
        v[2] = shuffle(t, IR_VUZP2, lane, even, even2);
        v[3] = shuffle(t, IR_VUZP2, lane, odd, odd2);
        even = shuffle(t, IR_VUZP1, lane, even, even2);
        odd = shuffle(t, IR_VUZP1, lane, odd, odd2);
    }
    v[0] = even;
    v[1] = odd;
}

/* The reverse. */
static void interleave(Tr *t, IrType lane, unsigned count, IrVal v[])
{
    IrVal x = v[0], y = v[1];

    if (count == 4) {
        IrVal even = shuffle(t, IR_VZIP1, lane, v[0], v[2]);
        IrVal even2 = shuffle(t, IR_VZIP2, lane, v[0], v[2]);
        IrVal odd = shuffle(t, IR_VZIP1, lane, v[1], v[3]);
        IrVal odd2 = shuffle(t, IR_VZIP2, lane, v[1], v[3]);
        v[2] = shuffle(t, IR_VZIP1, lane, even2, odd2);
        v[3] = shuffle(t, IR_VZIP2, lane, even2, odd2);
        x = even;
        y = odd;
    }
    v[0] = shuffle(t, IR_VZIP1, lane, x, y);
    v[1] = shuffle(t, IR_VZIP2, lane, x, y);
}

/* Three vectors reordered by byte look-ups: byte i of result r is byte from(r * width + i) of the
 * three taken as one array. */
static void permute3(Tr *t, unsigned lane_size, unsigned (*from)(unsigned, unsigned, unsigned),
                     IrVal v[])
{
    IrType type = ir_type_of(t->b, v[0]);
    unsigned width = ir_type_size(type);
    IrVal tables[3], results[3];

    for (unsigned i = 0; i < 3; i++) {
        tables[i] = ir_zext(t->b, IR_V128, v[i]);
    }
    for (unsigned r = 0; r < 3; r++) {
        IrVal result = 0;
        for (unsigned source = 0; source < 3; source++) {
            u64 index[2] = {0, 0};
            for (unsigned i = 0; i < width; i++) {
                unsigned byte = from(r * width + i, lane_size, width);
                u64 lookup = byte / width == source ? byte % width : 0xff; /* 0xff gives 0 */
                index[i / 8] |= lookup << 8 * (i % 8);
            }
            IrVal indices = ir_emit(t->b, IR_CONST, type, IR_VOID, 0, 0, 0, 0, index[0], index[1]);
            IrVal part = shuffle(t, IR_VTBL, IR_I8, indices, tables[source]);
            result = result ? shuffle(t, IR_OR, IR_I64, result, part) : part;
        }
        results[r] = result;
    }
    for (unsigned r = 0; r < 3; r++) {
        v[r] = results[r];
    }
}

/* Where byte i of the registers comes from in memory, and the reverse. */
static unsigned load3(unsigned i, unsigned lane_size, unsigned width)
{
    unsigned r = i / width, element = i % width / lane_size;

    return (element * 3 + r) * lane_size + i % lane_size;
}

static unsigned store3(unsigned i, unsigned lane_size, unsigned width)
{
    unsigned r = i / lane_size % 3, element = i / lane_size / 3;

    return r * width + element * lane_size + i % lane_size;
}

void tr_ldst_multi(Tr *t, const A_ldst_multi *a)
{
    IrType type = vector_type(a->q), lane = lane_type(a->size);
    unsigned regs = (unsigned)a->regs, width = ir_type_size(type);
    Address at = address_imm(t, a->rn, 0);
    IrVal v[MAX_REGISTERS];

    for (unsigned i = 0; i < regs; i++) {
        v[i] = a->load ? load(t, type, address_plus(at, i * width), 0)
                       : get_v(t, type, (a->rt + i) % 32);
    }
    if (a->elems == 3) {
        permute3(t, 1u << a->size, a->load ? load3 : store3, v);
    } else if (a->elems > 1) {
        (a->load ? deinterleave : interleave)(t, lane, regs, v);
    }
    for (unsigned i = 0; i < regs; i++) {
        if (a->load) {
            put_v(t, (a->rt + i) % 32, v[i]);
        } else {
            store(t, address_plus(at, i * width), v[i], 0);
        }
    }
    advance_base(t, a->post, a->rn, a->rm, at, regs * width);
}

void tr_ldst_lane(Tr *t, const A_ldst_lane *a)
{
    IrType lane = lane_type((unsigned)a->size);
    unsigned elems = (unsigned)a->elems, width = ir_type_size(lane);
    Address at = address_imm(t, a->rn, 0);
    IrVal v[MAX_REGISTERS];

    for (unsigned i = 0; i < elems; i++) {
        Address place = address_plus(at, i * width);
        IrVal whole = get_v128(t, (a->rt + i) % 32);
        if (a->load) {
            v[i] = ir_vector(t->b, IR_VSET, IR_V128, lane, 0, whole, load(t, lane, place, 0),
                             (u64)a->index);
        } else {
            store(t, place, ir_vector(t->b, IR_VGET, lane, lane, 0, whole, 0, (u64)a->index), 0);
        }
    }
    for (unsigned i = 0; i < elems && a->load; i++) {
        put_v(t, (a->rt + i) % 32, v[i]);
    }
    advance_base(t, a->post, a->rn, a->rm, at, elems * width);
}

void tr_ld_rep(Tr *t, const A_ld_rep *a)
{
    IrType lane = lane_type(a->size);
    unsigned elems = (unsigned)a->elems, width = ir_type_size(lane);
    Address at = address_imm(t, a->rn, 0);
    IrVal v[MAX_REGISTERS];

    for (unsigned i = 0; i < elems; i++) {
        v[i] = load(t, lane, address_plus(at, i * width), 0);
    }
    for (unsigned i = 0; i < elems; i++) {
        put_v(t, (a->rt + i) % 32,
              ir_vector(t->b, IR_VSPLAT, vector_type(a->q), lane, 0, v[i], 0, 0));
    }
    advance_base(t, a->post, a->rn, a->rm, at, elems * width);
}
