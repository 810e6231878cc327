/* What x86 instructions are made of, as IR: general registers, segmented memory, the stack, status
 * flags. See translate.h for what each function takes and returns.
 *
 * Memory: with flat segments an address goes into LOAD's and STORE's own addressing form. A segment
 * that the mode doesn't vouch for is checked first: limit and rights inline as far as they are
 * those of ordinary data, the rest in a helper.
 * Must not know any single instruction. */
#include "guest/flags.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/translate.h"

/* -- General registers */

IrVal get_gpr(Tr *t, IrType type, unsigned n)
{
    return ir_trunc(t->b, type, ir_get(t->b, IR_I64, SLOT_GPR(n)));
}

IrVal get_gpr_high(Tr *t, unsigned n)
{
    IrVal whole = ir_get(t->b, IR_I64, SLOT_GPR(n));

    return ir_trunc(t->b, IR_I8, ir_emit(t->b, IR_EXTU, IR_I64, IR_VOID, 8, whole, 0, 0, 8, 0));
}

/* Replaces bits low.. of register n by a narrow value. */
static void put_part(Tr *t, unsigned n, unsigned low, IrVal value)
{
    unsigned width = 8 * ir_type_size(ir_type_of(t->b, value));
    IrVal whole = ir_get(t->b, IR_I64, SLOT_GPR(n));

    value = ir_zext(t->b, IR_I64, value);
    ir_put(t->b, SLOT_GPR(n),
           ir_emit(t->b, IR_DEP, IR_I64, IR_VOID, (u8)low, whole, value, 0, width, 0));
}

void put_gpr(Tr *t, unsigned n, IrVal value)
{
    if (ir_type_size(ir_type_of(t->b, value)) < 4) {
        put_part(t, n, 0, value);
    } else {
        ir_put(t->b, SLOT_GPR(n), ir_zext(t->b, IR_I64, value));
    }
}

void put_gpr_high(Tr *t, unsigned n, IrVal value)
{
    put_part(t, n, 8, value);
}

/* -- Segments */

typedef enum Segmentation {
    SEGMENT_PLAIN,   /* base 0, nothing to check */
    SEGMENT_BASED,   /* a base, nothing to check */
    SEGMENT_CHECKED, /* a base; limit and rights must be checked */
} Segmentation;

static Segmentation segmentation(const Tr *t, unsigned segment, bool write)
{
    bool is_fs = segment == X86_FS, is_gs = segment == X86_GS;

    if (in_64_bit_mode(t)) {
        return is_fs || is_gs ? SEGMENT_BASED : SEGMENT_PLAIN;
    }
    if (is_fs || is_gs) {
        return t->mode & (is_fs ? X86_MODE_OPEN_FS : X86_MODE_OPEN_GS) ? SEGMENT_BASED
                                                                       : SEGMENT_CHECKED;
    }
    return t->mode & X86_MODE_FLAT && !(write && segment == X86_CS) ? SEGMENT_PLAIN
                                                                    : SEGMENT_CHECKED;
}

bool is_unchecked_segment(const Tr *t, unsigned segment, bool write)
{
    return segmentation(t, segment, write) != SEGMENT_CHECKED;
}

static IrVal segment_base(Tr *t, unsigned segment)
{
    return ir_get(t->b, IR_I64, SLOT(segment[segment].base));
}

/* `size` bytes at an offset (i64) must be within the segment, and of the right kind. The helper
 * decides where it is not an ordinary, ascending data segment. */
static void check_segment(Tr *t, unsigned segment, IrVal offset, unsigned size, bool write)
{
    IrBuilder *b = t->b;
    u32 wanted = X86_SEGMENT_P | X86_SEGMENT_S | (write ? 2 : 0);
    u32 mask = wanted | 8 | 4; /* code, expand-down */
    u32 slow = new_block(t), good = new_block(t);
    IrVal limit = ir_zext(b, IR_I64, ir_get(b, IR_I32, SLOT(segment[segment].limit)));
    IrVal bad = ir_cmp(b, IR_UGT, ir_add(b, offset, const64(t, size - 1)), limit);

    if (!(t->mode & X86_MODE_REAL)) {
        IrVal rights = ir_zext(b, IR_I32, ir_get(b, IR_I16, SLOT(segment[segment].attributes)));
        rights = ir_and(b, rights, const32(t, mask));
        bad = ir_or(b, bad, ir_cmp(b, IR_NE, rights, const32(t, wanted)));
    }
    ir_branch(b, bad, slow, good);
    enter_block(t, slow);
    b->region->blocks[slow].cold = true;
    call_raising(t, HELPER_CHECK_SEGMENT, const32(t, segment | size << 8 | (u32)write << 16),
                 offset, 0, 0);
    ir_jump(b, good);
    enter_block(t, good);
}

IrVal linear_address(Tr *t, unsigned segment, IrVal offset, unsigned size, bool write)
{
    Segmentation kind = segmentation(t, segment, write);
    IrVal linear = ir_zext(t->b, IR_I64, offset);

    if (kind == SEGMENT_CHECKED) {
        check_segment(t, segment, linear, size, write);
    }
    if (kind != SEGMENT_PLAIN) {
        linear = ir_add(t->b, segment_base(t, segment), linear);
        if (!in_64_bit_mode(t)) {
            linear = ir_zext(t->b, IR_I64, ir_trunc(t->b, IR_I32, linear));
        }
    }
    return linear;
}

static u8 linear_wrap(const Tr *t)
{
    return in_64_bit_mode(t) ? 0 : IR_MEM_WRAP32;
}

/* -- Accesses that are looked at: alignment checks, and breakpoints on data. */

/* The linear address of an access as a number. */
static IrVal whole_address(Tr *t, const X86Address *a)
{
    IrVal sum = a->base;

    if (a->index) {
        u32 scale = a->sub & IR_MEM_SCALE;
        sum = ir_add(t->b, sum, ir_binary(t->b, IR_SHL, a->index, const32(t, scale)));
    }
    if (a->offset) {
        sum = ir_add(t->b, sum, const64(t, (u64)a->offset));
    }
    return a->sub & IR_MEM_WRAP32 ? ir_zext(t->b, IR_I64, ir_trunc(t->b, IR_I32, sum)) : sum;
}

/* What the address of an operand must be a multiple of where alignment is checked (Intel SDM volume
 * 3, table 6-7). For 16 bytes that may be anywhere it is up to the CPU: AMD's check them. */
static unsigned alignment_of(unsigned size)
{
    return size == 10 ? 8 : size;
}

/* An i32. An address that is not canonical is not looked at, nor one that runs over 4 GiB: its
 * access is another fault. */
static IrVal is_misaligned(Tr *t, IrVal linear, unsigned size, unsigned alignment)
{
    unsigned bits = t->mode & X86_MODE_LA57 ? X86_LINEAR_BITS_57 : X86_LINEAR_BITS;
    IrVal low_bits = ir_trunc(t->b, IR_I32, linear), possible;
    IrVal misaligned = ir_cmp(t->b, IR_TST, low_bits, const32(t, alignment - 1));

    if (in_64_bit_mode(t)) {
        IrVal canonical = ir_emit(t->b, IR_EXTS, IR_I64, IR_VOID, 0, linear, 0, 0, bits, 0);
        possible = ir_cmp(t->b, IR_EQ, canonical, linear);
    } else {
        possible = ir_cmp(t->b, IR_ULE, linear, const64(t, ((u64)1 << 32) - size));
    }
    return ir_and(t->b, misaligned, possible);
}

/* Before `size` bytes are accessed. */
static void watch_access(Tr *t, X86Address a, unsigned size, unsigned alignment, bool write)
{
    bool aligned = t->mode & X86_MODE_AC && alignment > 1;
    IrVal linear;

    if (!aligned && !(t->mode & X86_MODE_BREAK)) {
        return;
    }
    linear = whole_address(t, &a);
    if (aligned) {
        fault_if(t, is_misaligned(t, linear, size, alignment), X86_AC, true, 0);
    }
    if (t->mode & X86_MODE_BREAK) {
        ir_call(t->b, IR_VOID, HELPER_DATA_BREAKPOINT, linear, const32(t, size | (u32)write << 8),
                0, 0);
    }
}

static X86Address linear_operand(const Tr *t, IrVal linear, s64 offset)
{
    return (X86Address){.base = linear, .sub = linear_wrap(t), .offset = offset};
}

void watch_linear(Tr *t, IrVal linear, unsigned size, bool write)
{
    watch_access(t, linear_operand(t, linear, 0), size, alignment_of(size), write);
}

static IrVal load_from(Tr *t, IrType type, IrVal linear, s64 offset, unsigned alignment)
{
    watch_access(t, linear_operand(t, linear, offset), ir_type_size(type), alignment, false);
    return ir_load(t->b, type, linear_wrap(t), linear, offset);
}

static void store_to(Tr *t, IrVal linear, s64 offset, IrVal value, unsigned alignment)
{
    unsigned size = ir_type_size(ir_type_of(t->b, value));

    watch_access(t, linear_operand(t, linear, offset), size, alignment, true);
    ir_store(t->b, linear_wrap(t), linear, offset, value);
}

IrVal load_linear(Tr *t, IrType type, IrVal linear, s64 offset)
{
    return load_from(t, type, linear, offset, alignment_of(ir_type_size(type)));
}

void store_linear(Tr *t, IrVal linear, s64 offset, IrVal value)
{
    store_to(t, linear, offset, value, alignment_of(ir_type_size(ir_type_of(t->b, value))));
}

IrVal load_part_of(Tr *t, IrType type, IrVal linear, s64 offset)
{
    return load_from(t, type, linear, offset, 1);
}

void store_part_of(Tr *t, IrVal linear, s64 offset, IrVal value)
{
    store_to(t, linear, offset, value, 1);
}

void touch_linear(Tr *t, IrType type, IrVal linear, s64 offset)
{
    linear = ir_add(t->b, linear, const64(t, (u64)offset));
    if (!in_64_bit_mode(t)) {
        linear = ir_zext(t->b, IR_I64, ir_trunc(t->b, IR_I32, linear));
    }
    atomic(t, IR_RMW_OR, linear, ir_const(t->b, type, 0));
}

/* -- The memory operand */

/* Base and displacement, the latter counted from the next instruction where it is so. 0: no base.
 */
static IrVal memory_base(Tr *t, IrType type, s64 *displacement)
{
    const X86Memory *m = &t->i->memory;

    *displacement = m->displacement + (m->rip ? (s64)t->next : 0);
    return m->base != X86_NO_REGISTER ? get_gpr(t, type, m->base) : 0;
}

IrVal effective_address(Tr *t)
{
    const X86Memory *m = &t->i->memory;
    IrType type = address_type(t);
    s64 displacement;
    IrVal sum = memory_base(t, type, &displacement);

    if (m->index != X86_NO_REGISTER) {
        IrVal index = get_gpr(t, type, m->index);
        if (m->scale) {
            index = ir_binary(t->b, IR_SHL, index, const32(t, m->scale));
        }
        sum = sum ? ir_add(t->b, sum, index) : index;
    }
    if (!sum || displacement) {
        IrVal constant = ir_const(t->b, type, (u64)displacement);
        sum = sum ? ir_add(t->b, sum, constant) : constant;
    }
    return sum;
}

/* The operand's address in LOAD's form, with a segment that needs no check. Registers of any width
 * go into it whole, as the sum is cut to 32 bits where the address size says so. */
static void compute_address(Tr *t, Segmentation kind)
{
    const X86Memory *m = &t->i->memory;
    X86Address *a = &t->address;
    bool wide = t->i->address_size == 8;

    if (a->base) {
        return;
    }
    if (t->i->address_size == 2 || (kind == SEGMENT_BASED && !wide && in_64_bit_mode(t))) {
        a->base = linear_address(t, m->segment, effective_address(t), 1, false);
        a->sub = linear_wrap(t);
        return;
    }
    a->base = memory_base(t, IR_I64, &a->offset);
    a->sub = wide ? 0 : IR_MEM_WRAP32;
    if (m->index != X86_NO_REGISTER) {
        a->index = get_gpr(t, IR_I64, m->index);
        a->sub |= m->scale;
    }
    if (kind == SEGMENT_BASED) {
        IrVal base = segment_base(t, m->segment);
        if (a->base && a->index) {
            base = ir_add(t->b, base, a->base);
        } else if (a->base) {
            a->index = a->base;
        }
        a->base = base;
    }
    if (!a->base) {
        a->base = const64(t, wide ? (u64)a->offset : (u32)a->offset);
        a->offset = 0;
    }
}

static X86Address address_at(Tr *t, s64 offset, unsigned size, unsigned alignment, bool write)
{
    unsigned segment = t->i->memory.segment;
    Segmentation kind = segmentation(t, segment, write);
    X86Address a;

    if (kind == SEGMENT_CHECKED) {
        IrVal at = effective_address(t);
        if (offset) {
            at = ir_add(t->b, at, ir_const(t->b, ir_type_of(t->b, at), (u64)offset));
        }
        a = linear_operand(t, linear_address(t, segment, at, size, write), 0);
    } else {
        compute_address(t, kind);
        a = t->address;
        a.offset += offset;
    }
    watch_access(t, a, size, alignment, write);
    return a;
}

X86Address memory_address(Tr *t, s64 offset, unsigned size, bool write)
{
    return address_at(t, offset, size, alignment_of(size), write);
}

/* Whether the memory operand is one to write: then it must be writable before it is read. */
static bool is_for_writing(const Tr *t)
{
    for (unsigned n = 0; n < t->i->operand_count; n++) {
        if (is_memory(t, n) && t->i->operand[n].access & X86_WRITE) {
            return true;
        }
    }
    return false;
}

/* With IR_MEM_ALIGNED an alignment is always checked, by another exception. */
static unsigned alignment_as(unsigned size, u8 sub)
{
    return sub & IR_MEM_ALIGNED ? 1 : alignment_of(size);
}

static IrVal load_as(Tr *t, IrType type, s64 offset, u8 sub)
{
    unsigned size = ir_type_size(type);
    X86Address a = address_at(t, offset, size, alignment_as(size, sub), is_for_writing(t));

    return ir_emit(t->b, IR_LOAD, type, IR_VOID, a.sub | sub, a.base, a.index, 0, (u64)a.offset, 0);
}

static void store_as(Tr *t, s64 offset, IrVal value, u8 sub)
{
    IrType type = ir_type_of(t->b, value);
    unsigned size = ir_type_size(type);
    X86Address a = address_at(t, offset, size, alignment_as(size, sub), true);

    ir_emit(t->b, IR_STORE, type, IR_VOID, a.sub | sub, a.base, a.index, value, (u64)a.offset, 0);
}

IrVal load_memory(Tr *t, IrType type, s64 offset)
{
    return load_as(t, type, offset, 0);
}

void store_memory(Tr *t, s64 offset, IrVal value)
{
    store_as(t, offset, value, 0);
}

IrVal load_aligned(Tr *t, s64 offset)
{
    return load_as(t, IR_V128, offset, IR_MEM_ALIGNED);
}

void store_aligned(Tr *t, s64 offset, IrVal value)
{
    store_as(t, offset, value, IR_MEM_ALIGNED);
}

IrVal operand_address(Tr *t, unsigned size, unsigned alignment, bool write)
{
    IrVal linear = linear_address(t, t->i->memory.segment, effective_address(t), size, write);

    watch_access(t, linear_operand(t, linear, 0), size, alignment, write);
    return linear;
}

void touch_operand(Tr *t)
{
    unsigned size = t->i->operand[0].size, part = MIN(size, 8u);
    IrVal linear = operand_address(t, size, alignment_of(size), true);

    for (unsigned at = 0; at < size; at += part) {
        part = MIN(part, size - at);
        touch_linear(t, type_of_size(part), linear, at);
    }
}

/* -- The stack */

IrType stack_type(const Tr *t)
{
    return in_64_bit_mode(t) ? IR_I64 : t->mode & X86_MODE_STACK32 ? IR_I32 : IR_I16;
}

/* Address of `size` bytes at rSP + offset. */
static X86Address stack_address(Tr *t, s64 offset, unsigned size, bool write)
{
    IrType type = stack_type(t);
    IrVal at;

    if (type != IR_I16 && segmentation(t, X86_SS, write) == SEGMENT_PLAIN) {
        return (X86Address){
            .base = get_gpr(t, IR_I64, X86_RSP), .sub = linear_wrap(t), .offset = offset};
    }
    at = get_gpr(t, type, X86_RSP);
    if (offset) {
        at = ir_add(t->b, at, ir_const(t->b, type, (u64)offset));
    }
    return (X86Address){.base = linear_address(t, X86_SS, at, size, write), .sub = linear_wrap(t)};
}

IrVal stack_peek(Tr *t, IrType type, s64 offset)
{
    X86Address a = stack_address(t, offset, ir_type_size(type), false);

    watch_access(t, a, ir_type_size(type), ir_type_size(type), false);
    return ir_load(t->b, type, a.sub, a.base, a.offset);
}

void stack_poke(Tr *t, s64 offset, IrVal value)
{
    unsigned size = ir_type_size(ir_type_of(t->b, value));
    X86Address a = stack_address(t, offset, size, true);

    watch_access(t, a, size, size, true);
    ir_store(t->b, a.sub, a.base, a.offset, value);
}

void move_stack(Tr *t, s64 bytes)
{
    IrType type = stack_type(t);

    put_gpr(t, X86_RSP, ir_add(t->b, get_gpr(t, type, X86_RSP), ir_const(t->b, type, (u64)bytes)));
}

void push(Tr *t, IrVal value)
{
    s64 size = ir_type_size(ir_type_of(t->b, value));

    stack_poke(t, -size, value);
    move_stack(t, -size);
}

/* -- Flags that nobody reads */

void drop_flags_put(Tr *t)
{
    if (t->flags_put) {
        guest_drop_put(t->b, t->flags_put);
        t->flags_put = 0;
    }
}

/* -- Flags and conditions */

void set_flags(Tr *t, IrVal flags)
{
    drop_flags_put(t);
    t->flags = flags;
    ir_put(t->b, SLOT(flags), flags);
    t->flags_put = t->b->region->blocks[t->b->block].last;
}

IrVal get_flags(Tr *t)
{
    if (!t->flags) {
        t->flags = ir_get(t->b, IR_I32, SLOT(flags));
    }
    return t->flags;
}

IrVal condition(Tr *t, unsigned code)
{
    /* In the order of the encoding (Intel SDM volume 2, B.1.4.7). */
    static const u8 conditions[] = {
        IR_COND_V,  IR_COND_NV, IR_COND_C,  IR_COND_NC, IR_COND_Z, IR_COND_NZ,
        IR_COND_BE, IR_COND_A,  IR_COND_N,  IR_COND_NN, IR_COND_P, IR_COND_NP,
        IR_COND_LT, IR_COND_GE, IR_COND_LE, IR_COND_GT,
    };

    return ir_cond(t->b, (IrCond)conditions[code & 15], get_flags(t));
}

IrVal carry(Tr *t)
{
    return ir_cond(t->b, IR_COND_C, get_flags(t));
}

IrVal pick_flags(Tr *t, u32 mask, IrVal changed, IrVal from)
{
    return ir_emit(t->b, IR_FLAGS_PICK, IR_I32, IR_VOID, 0, changed, from, 0, mask, 0);
}

/* -- IR blocks inside an instruction */

u32 new_block(Tr *t)
{
    return ir_block_new(t->b->region);
}

void enter_block(Tr *t, u32 block)
{
    t->b->block = block;
    t->flags_put = 0; /* the blocks between may leave, and need it */
}

void fault_if(Tr *t, IrVal condition, unsigned vector, bool has_error, unsigned error)
{
    u32 bad = new_block(t), good = new_block(t);

    ir_branch(t->b, condition, bad, good);
    enter_block(t, bad);
    t->b->region->blocks[bad].cold = true;
    ir_exit(t->b, IR_EXIT_EXCEPTION, t->pc, x86_exception_word(vector, has_error, error));
    enter_block(t, good);
}

/* -- Helpers */

void call_raising(Tr *t, u32 index, IrVal w, IrVal x, IrVal y, IrVal z)
{
    IrVal word = ir_call(t->b, IR_I32, index, w, x, y, z);
    u32 raise = new_block(t), good = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, IR_NE, word, const32(t, 0)), raise, good);
    enter_block(t, raise);
    t->b->region->blocks[raise].cold = true;
    ir_call(t->b, IR_VOID, HELPER_RAISE, word, 0, 0, 0);
    ir_exit(t->b, IR_EXIT_EXCEPTION, t->pc, 0);
    enter_block(t, good);
}
