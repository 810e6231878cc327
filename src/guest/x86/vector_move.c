/* MMX, SSE and AVX: moves between registers and memory, whole, in part or under a mask. */
#include "guest/x86/internal.h"
#include "guest/x86/vector.h"

/* -- Whole vectors */

static void move_vector(Tr *t, bool aligned)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    unsigned halves = d->size / 16;
    IrVal x[2] = {0};

    if (aligned && halves == 2 && (is_memory(t, 0) || is_memory(t, 1))) {
        check_vector_alignment(t, 32);
    }
    for (unsigned half = 0; half < halves; half++) {
        x[half] = !is_memory(t, 1) ? get_vector(t, IR_V128, s->number, half)
                  : aligned        ? load_aligned(t, 16 * (s64)half)
                                   : load_memory(t, IR_V128, 16 * (s64)half);
    }
    if (!is_memory(t, 0)) {
        write_halves(t, d->number, x[0], x[1]);
        return;
    }
    if (halves == 2) { /* what is beyond the segment's limit faults before anything is stored */
        linear_address(t, t->i->memory.segment, effective_address(t), d->size, true);
    }
    for (unsigned half = 0; half < halves; half++) {
        (aligned ? store_aligned : store_memory)(t, 16 * (s64)half, x[half]);
    }
}

/* MOVUPS, MOVDQU, LDDQU... */
void tr_move_unaligned(Tr *t)
{
    move_vector(t, false);
}

/* MOVAPS, MOVDQA, MOVNTPS, MOVNTDQA... */
void tr_move_aligned(Tr *t)
{
    move_vector(t, true);
}

/* -- Parts */

/* The type in which so many bytes move between vector registers and memory. */
static IrType scalar_type(unsigned size)
{
    return size == 4 ? IR_F32 : IR_F64;
}

/* MOVD, MOVQ, MOVQ2DQ, MOVDQ2Q: the low bits of one register or memory to another,
 * zero-extended. */
void tr_move_low_bits(Tr *t)
{
    const X86Operand *d = &t->i->operand[0], *s = &t->i->operand[1];
    unsigned size = MIN(d->size, s->size);
    bool in_vectors = (is_memory(t, 1) || s->kind == X86_OPERAND_VECTOR) &&
                      (is_memory(t, 0) || d->kind == X86_OPERAND_VECTOR);
    IrType type = in_vectors ? scalar_type(size) : type_of_size(size);
    IrVal x = s->kind == X86_OPERAND_VECTOR ? get_vector(t, type, s->number, 0)
              : s->kind == X86_OPERAND_MMX  ? get_mmx(t, type, s->number)
                                            : read_operand(t, 1, type);

    if (d->kind == X86_OPERAND_VECTOR) {
        write_halves(t, d->number, x, 0);
    } else if (d->kind == X86_OPERAND_MMX) {
        put_mmx(t, d->number, ir_zext(t->b, IR_I64, x));
    } else {
        write_operand(t, 0, x);
    }
    if (s->kind == X86_OPERAND_MMX) {
        enter_mmx(t);
    }
}

/* MOVSS, MOVSD from memory clear the rest of the register, */
void tr_load_scalar(Tr *t)
{
    IrVal x = load_memory(t, scalar_type(t->i->operand[1].size), 0);

    write_halves(t, t->i->operand[0].number, x, 0);
}

/* from a register they keep that of the destination or of VEX's first source. */
void tr_merge_scalar(Tr *t)
{
    const X86Operand *operand = t->i->operand;
    unsigned last = t->i->operand_count - 1u;
    IrVal x = get_vector(t, scalar_type(operand[last].size), operand[last].number, 0);

    write_scalar(t, operand[0].number, operand[last - 1].number, x);
}

void tr_store_scalar(Tr *t)
{
    IrType type = scalar_type(t->i->operand[0].size);

    store_memory(t, 0, get_vector(t, type, t->i->operand[1].number, 0));
}

/* Makes qword `index` of the last source but one `x`, to the destination. */
static void replace_qword(Tr *t, unsigned index, IrVal x)
{
    const X86Operand *operand = t->i->operand;
    IrVal v = get_vector(t, IR_V128, operand[t->i->operand_count - 2].number, 0);

    write_halves(t, operand[0].number, vset(t, v, IR_I64, index, x), 0);
}

/* Qword `index` of the last operand, a register. */
static IrVal last_qword(Tr *t, unsigned index)
{
    unsigned n = t->i->operand[t->i->operand_count - 1].number;

    return vget(t, IR_F64, IR_F64, get_vector(t, IR_V128, n, 0), index);
}

/* MOVLPS, MOVLPD, MOVHPS, MOVHPD, MOVHLPS, MOVLHPS */

void tr_load_low(Tr *t)
{
    replace_qword(t, 0, load_memory(t, IR_F64, 0));
}

void tr_load_high(Tr *t)
{
    replace_qword(t, 1, load_memory(t, IR_F64, 0));
}

void tr_store_low(Tr *t)
{
    store_memory(t, 0, last_qword(t, 0));
}

void tr_store_high(Tr *t)
{
    store_memory(t, 0, last_qword(t, 1));
}

void tr_move_high_to_low(Tr *t)
{
    replace_qword(t, 0, last_qword(t, 1));
}

void tr_move_low_to_high(Tr *t)
{
    replace_qword(t, 1, last_qword(t, 0));
}

/* -- Under a mask: elements whose mask is negative. Others are not touched in memory, where they
 * may not even exist: a branch for each element. Alignment is not checked, as AMD's CPUs do not. */

/* The sign bit of the element in its register: 0 or not. */
static IrVal is_chosen(Tr *t, IrVal mask, IrType lane, unsigned index)
{
    IrVal element = vget(t, IR_I64, lane, mask, index);
    IrVal sign = const64(t, (u64)1 << (8 * ir_type_size(lane) - 1));

    return ir_cmp(t->b, IR_TST, element, sign);
}

/* A PHI at the current block's start: `x` from the block `from_x`, `y` from `from_y`. */
static IrVal join(Tr *t, u32 from_x, IrVal x, u32 from_y, IrVal y)
{
    IrRegion *region = t->b->region;
    u32 args = ir_phi_args_new(region, 2);

    region->phi_args[args] = from_x < from_y ? x : y;
    region->phi_args[args + 1] = from_x < from_y ? y : x;
    return ir_emit(t->b, IR_PHI, ir_type_of(t->b, x), IR_VOID, 0, 0, 0, 0, args, 0);
}

/* `v`, with the lanes that `mask` chooses loaded from `linear` on. */
static IrVal load_chosen(Tr *t, IrVal v, IrType lane, IrVal mask, IrVal linear)
{
    for (unsigned i = 0; i < 16 / ir_type_size(lane); i++) {
        u32 before = t->b->block, access = new_block(t), after = new_block(t);
        IrVal old = v;

        ir_branch(t->b, is_chosen(t, mask, lane, i), access, after);
        enter_block(t, access);
        IrVal x = load_part_of(t, lane, linear, ir_type_size(lane) * (s64)i);
        IrVal changed = vset(t, old, lane, i, x);
        access = t->b->block; /* the load may have needed blocks of its own */
        ir_jump(t->b, after);
        enter_block(t, after);
        v = join(t, before, old, access, changed);
    }
    return v;
}

static void store_chosen(Tr *t, IrVal v, IrType lane, IrVal mask, IrVal linear)
{
    unsigned size = ir_type_size(lane), lanes = ir_type_size(ir_type_of(t->b, mask)) / size;

    for (unsigned i = 0; i < lanes; i++) {
        u32 access = new_block(t), after = new_block(t);

        ir_branch(t->b, is_chosen(t, mask, lane, i), access, after);
        enter_block(t, access);
        store_part_of(t, linear, size * (s64)i, vget(t, lane, lane, v, i));
        ir_jump(t->b, after);
        enter_block(t, after);
    }
}

/* Where half `half` of the memory operand is. */
static IrVal half_address(Tr *t, unsigned half, unsigned size, bool write)
{
    IrVal linear = linear_address(t, t->i->memory.segment, effective_address(t), size, write);

    return half ? ir_add(t->b, linear, const64(t, 16)) : linear;
}

/* VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ: arg is the lane type, the second operand the
 * mask. */
void tr_load_masked(Tr *t)
{
    const X86Operand *operand = t->i->operand;
    IrVal out[2] = {0};

    for (unsigned half = 0; half < operand[0].size / 16u; half++) {
        IrVal mask = get_vector(t, IR_V128, operand[1].number, half);
        out[half] = load_chosen(t, vzero(t), (IrType)t->arg, mask,
                                half_address(t, half, operand[0].size, false));
    }
    write_halves(t, operand[0].number, out[0], out[1]);
}

void tr_store_masked(Tr *t)
{
    const X86Operand *operand = t->i->operand;

    for (unsigned half = 0; half < operand[2].size / 16u; half++) {
        IrVal mask = get_vector(t, IR_V128, operand[1].number, half);
        IrVal x = get_vector(t, IR_V128, operand[2].number, half);
        store_chosen(t, x, (IrType)t->arg, mask, half_address(t, half, operand[2].size, true));
    }
}

/* MASKMOVDQU and MASKMOVQ: bytes of a register to [rDI], in DS or the segment of the prefix. */
void tr_store_masked_bytes(Tr *t)
{
    const X86Operand *x = &t->i->operand[0], *m = &t->i->operand[1];
    bool mmx = x->kind == X86_OPERAND_MMX;
    IrVal v = mmx ? get_mmx(t, IR_V64, x->number) : get_vector(t, IR_V128, x->number, 0);
    IrVal mask = mmx ? get_mmx(t, IR_V64, m->number) : get_vector(t, IR_V128, m->number, 0);
    IrVal linear = linear_address(t, t->i->memory.segment, get_gpr(t, address_type(t), X86_RDI),
                                  mmx ? 8 : 16, true);

    store_chosen(t, v, IR_I8, mask, linear);
    if (mmx) {
        enter_mmx(t);
    }
}

/* -- Gathers: VGATHERDPS, VPGATHERQD and so on */

/* base + (index << scale) + displacement, the index sign-extended to the address size. */
static IrVal element_address(Tr *t, IrVal index)
{
    const X86Memory *m = &t->i->memory;
    IrType type = address_type(t);
    IrVal offset = ir_type_of(t->b, index) == type
                       ? index
                       : ir_convert(t->b, type == IR_I64 ? IR_SEXT : IR_TRUNC, type, index);

    offset = ir_binary(t->b, IR_SHL, offset, const32(t, m->scale));
    offset = ir_add(t->b, offset, ir_const(t->b, type, (u64)m->displacement));
    return m->base == X86_NO_REGISTER ? offset : ir_add(t->b, offset, get_gpr(t, type, m->base));
}

/* One element, if its mask says so: written at once, and its mask cleared in any case, so that a
 * later fault leaves the instruction to be continued. For the IR each element is an instruction of
 * its own, at the same address. */
static void gather_element(Tr *t, IrType lane, unsigned i, IrType index_type)
{
    unsigned d = t->i->operand[0].number, m = t->i->operand[2].number;
    unsigned lanes = 16 / ir_type_size(lane), indices = 16 / ir_type_size(index_type);
    u32 access = new_block(t), skip = new_block(t), after = new_block(t);
    IrVal index, x, mask, done, v;

    ir_mark_insn(t->b, t->pc, t->i->size);
    mask = get_vector(t, IR_V128, m, i / lanes);
    done = vset(t, mask, lane, i % lanes, ir_const(t->b, lane, 0));
    ir_branch(t->b, is_chosen(t, mask, lane, i % lanes), access, skip);
    enter_block(t, skip);
    put_vector(t, m, i / lanes, done);
    ir_jump(t->b, after);
    enter_block(t, access);
    index = vget(t, index_type, index_type, get_vector(t, IR_V128, t->i->memory.index, i / indices),
                 i % indices);
    x = linear_address(t, t->i->memory.segment, element_address(t, index), ir_type_size(lane),
                       false);
    x = load_part_of(t, lane, x, 0);
    v = get_vector(t, IR_V128, d, i / lanes);
    put_vector(t, d, i / lanes, vset(t, v, lane, i % lanes, x));
    put_vector(t, m, i / lanes, done);
    ir_jump(t->b, after);
    enter_block(t, after);
}

/* arg is the type of the indices, the memory operand's size that of the elements; destination,
 * mask and index must be three registers. */
void tr_gather(Tr *t)
{
    const X86Operand *operand = t->i->operand;
    unsigned d = operand[0].number, m = operand[2].number, index = t->i->memory.index;
    IrType lane = type_of_size(operand[1].size), index_type = (IrType)t->arg;
    unsigned bytes = ir_type_size(lane);
    unsigned count = t->i->vector_size / MAX(bytes, ir_type_size(index_type));
    bool two_halves = count * bytes == 32;

    if (d == index || d == m || index == m) {
        tr_undefined(t, NULL);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        gather_element(t, lane, i, index_type);
    }
    if (count * bytes == 8) {
        put_vector(t, d, 0, ir_zext(t->b, IR_V128, get_vector(t, IR_V64, d, 0)));
    }
    if (!two_halves) {
        put_vector(t, d, 1, vzero(t));
    }
    put_vector(t, m, 0, vzero(t));
    put_vector(t, m, 1, vzero(t));
}

/* -- Whole register files */

static void zero_registers(Tr *t, unsigned half)
{
    for (unsigned n = 0; n < (in_64_bit_mode(t) ? 16 : 8); n++) {
        put_vector(t, n, half, vzero(t));
    }
}

void tr_VZEROUPPER(Tr *t)
{
    if (vector_available(t)) {
        zero_registers(t, 1);
    }
}

void tr_VZEROALL(Tr *t)
{
    if (vector_available(t)) {
        zero_registers(t, 0);
        zero_registers(t, 1);
    }
}

/* Makes the registers free for x87. */
void tr_EMMS(Tr *t)
{
    if (t->mode & (X86_MODE_NO_FPU | X86_MODE_TS)) {
        end_exception(t, t->mode & X86_MODE_TS ? X86_NM : X86_UD, false, 0);
        return;
    }
    check_x87(t);
    ir_put(t->b, SLOT(ftop), ir_const(t->b, IR_I8, 0));
    ir_put(t->b, SLOT(ftag_empty), ir_const(t->b, IR_I8, 0xff));
}
