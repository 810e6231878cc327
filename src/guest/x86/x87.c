/* x87 instructions (D8 to DF, FWAIT): checks, memory operands and pointers as IR.
 *
 * There are two ways to do what they do. Where the host executes IR_X87 and no exception is
 * unmasked, nearly all of them become that, each the same instruction of the host. Otherwise it is
 * done by helpers (x87_helpers.h), with the same results: operands in memory are loaded before,
 * results stored after the helper is called, so that a fault finds the x87 as it was. FCS and FDS
 * are not kept: as on processors that deprecate them, zero is saved. */
#include "guest/x86/x87.h"
#include "guest/x86/arguments.h"
#include "guest/x86/feature.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/system.h"
#include "guest/x86/translate.h"
#include "guest/x86/x87_helpers.h"

/* -- What instructions begin with */

/* Raises #NM where the x87 is not to be used; true if the instruction goes on. */
static bool available(Tr *t)
{
    if (t->mode & X86_MODE_NO_FPU) {
        end_exception(t, X86_NM, false, 0);
    }
    return !t->ended;
}

/* Raises #MF if an earlier instruction left an unmasked exception pending. */
static void check_pending(Tr *t)
{
    if (t->mode & X86_MODE_X87_UNMASKED) {
        IrVal status = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I16, SLOT(fsw)));
        fault_if(t, ir_and(t->b, status, const32(t, X87_ERROR)), X86_MF, false, 0);
    }
}

/* What all but some control instructions begin with; true if the instruction goes on. */
static bool begin_waiting(Tr *t)
{
    if (!available(t)) {
        return false;
    }
    check_pending(t);
    return true;
}

/* Whether FOP and FDP are those of the last instruction with an unmasked exception: newer
 * processors do not keep them for any other (8.1.8, 8.1.9). */
static bool remembers_errors_only(const Tr *t)
{
    return x86_has(t->features, X86_FEATURE_FDP_EXCPTN_ONLY);
}

/* Puts a value where the pointers of this instruction are to be remembered. */
static void put_pointer(Tr *t, u32 slot, IrVal value)
{
    if (remembers_errors_only(t)) {
        IrVal status = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I16, SLOT(fsw)));
        IrVal before = ir_get(t->b, ir_type_of(t->b, value), slot);
        value = ir_select(t->b, ir_and(t->b, status, const32(t, X87_ERROR)), value, before);
    }
    ir_put(t->b, slot, value);
}

/* Remembers the instruction and its operand, as all but control instructions do. To be called when
 * it is done. */
static void put_pointers(Tr *t)
{
    u32 opcode = (t->i->opcode & 7u) << 8 | t->i->modrm;

    ir_put(t->b, SLOT(fip), const64(t, t->pc));
    if (remembers_errors_only(t) && !(t->mode & X86_MODE_X87_UNMASKED)) {
        return;
    }
    put_pointer(t, SLOT(fop), ir_const(t->b, IR_I16, opcode));
    if (t->i->operand_count && is_memory(t, 0)) {
        put_pointer(t, SLOT(fdp), ir_zext(t->b, IR_I64, effective_address(t)));
    }
}

/* -- Instructions that the host's x87 executes */

/* Control instructions as IR_X87 has them. */
enum { HOST_FNCLEX = 0xdbe2, HOST_FNSTSW = 0xdfe0, HOST_FLDCW = 0xd928 };

static bool is_on_host(const Tr *t)
{
    return t->b->region->x87 && !(t->mode & X86_MODE_X87_UNMASKED);
}

/* An instruction without a memory operand, given as IR_X87 takes it. */
static IrVal host_register_form(Tr *t, u32 instruction, IrType type, IrVal condition)
{
    return ir_emit(t->b, IR_X87, type, IR_VOID, 0, 0, 0, condition, 0, instruction);
}

/* This instruction, condition (FCMOVcc) and result (a void one: 0) as IR_X87 says. */
static IrVal run_on_host(Tr *t, IrType type, IrVal condition)
{
    u32 instruction = (u32)t->i->opcode << 8 | t->i->modrm;
    IrVal result = 0;

    if (t->i->operand_count && is_memory(t, 0)) {
        const X86Operand *operand = &t->i->operand[0];
        X86Address a = memory_address(t, 0, operand->size, operand->access & X86_WRITE);
        ir_emit(t->b, IR_X87, IR_VOID, IR_VOID, a.sub, a.base, a.index, 0, (u64)a.offset,
                instruction & 0xff38);
    } else {
        result = host_register_form(t, instruction, type, condition);
    }
    put_pointers(t);
    return result;
}

/* Begins an instruction; true if it is for helpers to do, false if there is no more to it. */
static bool begin(Tr *t)
{
    if (!begin_waiting(t)) {
        return false;
    }
    if (is_on_host(t)) {
        run_on_host(t, IR_VOID, 0);
        return false;
    }
    return true;
}

/* Number i of ST(i). */
static u32 register_number(const Tr *t)
{
    return t->i->modrm & 7;
}

/* The usual instruction: calls a helper with up to two arguments. */
static void call(Tr *t, u32 helper, IrVal x, IrVal y)
{
    ir_call(t->b, IR_VOID, helper, x, y, 0, 0);
    put_pointers(t);
}

/* -- Arithmetic */

/* Of ST(0) and the bits of an f32 or f64. */
static void arithmetic_memory(Tr *t, IrVal operand, bool is_double)
{
    static const u16 helpers[][2] = {
        [X87_ADD] = {HELPER_X87_ADD_F32, HELPER_X87_ADD_F64},
        [X87_MUL] = {HELPER_X87_MUL_F32, HELPER_X87_MUL_F64},
        [X87_COM] = {HELPER_X87_COM_F32, HELPER_X87_COM_F64},
        [X87_COMP] = {HELPER_X87_COM_F32, HELPER_X87_COM_F64},
        [X87_SUB] = {HELPER_X87_SUB_F32, HELPER_X87_SUB_F64},
        [X87_SUBR] = {HELPER_X87_SUBR_F32, HELPER_X87_SUBR_F64},
        [X87_DIV] = {HELPER_X87_DIV_F32, HELPER_X87_DIV_F64},
        [X87_DIVR] = {HELPER_X87_DIVR_F32, HELPER_X87_DIVR_F64},
    };
    bool compares = t->arg == X87_COM || t->arg == X87_COMP;

    call(t, helpers[t->arg][is_double], operand, compares ? const32(t, t->arg == X87_COMP) : 0);
}

/* FADD m32, m64... */
void tr_x87_real(Tr *t)
{
    bool is_double = t->i->operand[0].size == 8;

    if (begin(t)) {
        arithmetic_memory(t, load_memory(t, is_double ? IR_I64 : IR_I32, 0), is_double);
    }
}

/* The bits of an f64 with the value of the integer of 16 or 32 bits in memory. */
static IrVal load_integer(Tr *t)
{
    IrVal integer = ir_sext(t->b, IR_I32, load_memory(t, type_of_operand(t, 0), 0));

    return ir_bitcast(t->b, IR_I64, ir_unary(t->b, IR_ITOF, IR_F64, integer));
}

/* FIADD m16, m32... */
void tr_x87_integer(Tr *t)
{
    if (begin(t)) {
        arithmetic_memory(t, load_integer(t), true);
    }
}

/* ST(to) op ST(from) to ST(to); the reversed operations exchange the operands. */
static void arithmetic(Tr *t, u32 to, u32 from, bool pops)
{
    static const struct {
        u16 helper;
        bool reversed;
    } operations[] = {
        [X87_ADD] = {HELPER_X87_ADD, false}, [X87_MUL] = {HELPER_X87_MUL, false},
        [X87_SUB] = {HELPER_X87_SUB, false}, [X87_SUBR] = {HELPER_X87_SUB, true},
        [X87_DIV] = {HELPER_X87_DIV, false}, [X87_DIVR] = {HELPER_X87_DIV, true},
    };
    bool reversed = operations[t->arg].reversed;
    u32 a = reversed ? from : to, b = reversed ? to : from;

    if (begin(t)) {
        call(t, operations[t->arg].helper, const32(t, to | a << 4 | b << 8 | (u32)pops << 12), 0);
    }
}

/* FCOM and the like, see compare() in x87_arith.c. */
static void compare(Tr *t, u32 i, bool quiet, u32 pops)
{
    if (begin(t)) {
        call(t, HELPER_X87_COM, const32(t, i | (u32)quiet << 4 | pops << 8), 0);
    }
}

void tr_x87_arithmetic(Tr *t)
{
    if (t->arg == X87_COM || t->arg == X87_COMP) {
        compare(t, register_number(t), false, t->arg == X87_COMP);
    } else {
        arithmetic(t, 0, register_number(t), false);
    }
}

void tr_x87_arithmetic_to(Tr *t)
{
    arithmetic(t, register_number(t), 0, false);
}

void tr_x87_arithmetic_pop(Tr *t)
{
    arithmetic(t, register_number(t), 0, true);
}

/* FUCOM, FUCOMP, FUCOMPP; the argument says how many to pop */
void tr_x87_compare_quiet(Tr *t)
{
    compare(t, register_number(t), true, t->arg);
}

/* FCOMPP */
void tr_x87_compare_pop(Tr *t)
{
    compare(t, 1, false, 2);
}

/* FCOMI and the like */
void tr_x87_compare_flags(Tr *t)
{
    bool quiet = t->arg & X87_QUIET, pops = t->arg & X87_POP;

    if (!begin_waiting(t)) {
        return;
    }
    if (is_on_host(t)) {
        set_flags(t, run_on_host(t, IR_I32, 0));
    } else {
        IrVal what = const32(t, register_number(t) | (u32)quiet << 4 | (u32)pops << 8);
        set_flags(t, ir_call(t->b, IR_I32, HELPER_X87_COMI, what, 0, 0, 0));
        put_pointers(t);
    }
}

void tr_FTST(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_TST, 0, 0);
    }
}

void tr_FXAM(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_EXAMINE, 0, 0);
    }
}

void tr_FSQRT(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_SQRT, 0, 0);
    }
}

void tr_FRNDINT(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_RNDINT, 0, 0);
    }
}

void tr_FCHS(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_CHANGE_SIGN, const32(t, 0), const32(t, F80_SIGN));
    }
}

void tr_FABS(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_CHANGE_SIGN, const32(t, F80_SIGN), const32(t, 0));
    }
}

/* D9 F0 to D9 FF, those that x87_function() does. */
static void function(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_FUNCTION, const32(t, t->i->modrm & 15), 0);
    }
}

void tr_F2XM1(Tr *t)
{
    function(t);
}

void tr_FYL2X(Tr *t)
{
    function(t);
}

void tr_FPTAN(Tr *t)
{
    function(t);
}

void tr_FPATAN(Tr *t)
{
    function(t);
}

void tr_FXTRACT(Tr *t)
{
    function(t);
}

void tr_FPREM1(Tr *t)
{
    function(t);
}

void tr_FPREM(Tr *t)
{
    function(t);
}

void tr_FYL2XP1(Tr *t)
{
    function(t);
}

void tr_FSINCOS(Tr *t)
{
    function(t);
}

void tr_FSCALE(Tr *t)
{
    function(t);
}

void tr_FSIN(Tr *t)
{
    function(t);
}

void tr_FCOS(Tr *t)
{
    function(t);
}

/* -- Loads */

void tr_x87_load_real(Tr *t)
{
    bool is_double = t->i->operand[0].size == 8;

    if (begin(t)) {
        IrVal operand = load_memory(t, is_double ? IR_I64 : IR_I32, 0);
        call(t, is_double ? HELPER_X87_LOAD_F64 : HELPER_X87_LOAD_F32, operand, 0);
    }
}

/* FLD m80 and FBLD */
static void load_ten_bytes(Tr *t, u32 helper)
{
    if (begin(t)) {
        IrVal low = load_memory(t, IR_I64, 0);
        call(t, helper, low, load_memory(t, IR_I16, 8));
    }
}

void tr_x87_load_extended(Tr *t)
{
    load_ten_bytes(t, HELPER_X87_LOAD_F80);
}

void tr_x87_load_bcd(Tr *t)
{
    load_ten_bytes(t, HELPER_X87_LOAD_BCD);
}

void tr_x87_load_integer(Tr *t)
{
    bool wide = t->i->operand[0].size == 8;

    if (begin(t)) {
        IrVal operand = wide ? load_memory(t, IR_I64, 0) : load_integer(t);
        call(t, wide ? HELPER_X87_LOAD_INTEGER : HELPER_X87_LOAD_F64, operand, 0);
    }
}

void tr_x87_load_register(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_LOAD_ST, const32(t, register_number(t)), 0);
    }
}

void tr_x87_load_constant(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_LOAD_CONSTANT, const32(t, t->arg), 0);
    }
}

/* -- Stores */

static IrVal bits_from(Tr *t, IrType type, IrVal x, unsigned low)
{
    return ir_trunc(t->b, type, ir_binary(t->b, IR_SHR, x, const32(t, low)));
}

/* Stores ST(0) in a format, then makes the changes of X87_STORE to the state. */
static void store(Tr *t, u32 format, bool pops)
{
    IrBuilder *b = t->b;

    if (!begin(t)) {
        return;
    }
    if (t->mode & X86_MODE_X87_UNMASKED) { /* what is not stored is touched all the same */
        touch_operand(t);
    }
    u32 stored = new_block(t), done = new_block(t);
    IrVal what = const32(t, format | (pops ? X87_STORE_POPS : 0));
    IrVal made = ir_call(b, IR_V128, HELPER_X87_STORE, what, 0, 0, 0);
    IrVal value = ir_trunc(b, IR_I64, made);
    IrVal after = ir_emit(b, IR_VGET, IR_I64, IR_I64, 0, made, 0, 0, 1, 0);

    ir_branch(b, bits_from(t, IR_I32, after, X87_STORED_LOST), done, stored);
    enter_block(t, stored);
    if (t->i->operand[0].size == 10) {
        store_memory(t, 0, value);
        store_memory(t, 8, ir_trunc(b, IR_I16, after));
    } else {
        store_memory(t, 0, ir_trunc(b, type_of_operand(t, 0), value));
    }
    ir_jump(b, done);
    enter_block(t, done);
    ir_put(b, SLOT(fsw), bits_from(t, IR_I16, after, X87_STORED_FSW));
    ir_put(b, SLOT(ftop), bits_from(t, IR_I8, after, X87_STORED_FTOP));
    ir_put(b, SLOT(ftag_empty), bits_from(t, IR_I8, after, X87_STORED_FTAG));
    put_pointers(t);
}

void tr_x87_store_real(Tr *t)
{
    store(t, t->i->operand[0].size == 8 ? X87_STORE_F64 : X87_STORE_F32, t->arg);
}

void tr_x87_store_extended(Tr *t)
{
    store(t, X87_STORE_F80, true);
}

void tr_x87_store_bcd(Tr *t)
{
    store(t, X87_STORE_BCD, true);
}

/* The format of an integer of the operand's size, given that of 16 bits. */
static u32 integer_format(const Tr *t, u32 narrowest)
{
    unsigned size = t->i->operand[0].size;

    return narrowest + (size == 2 ? 0 : size == 4 ? 1 : 2);
}

void tr_x87_store_integer(Tr *t)
{
    store(t, integer_format(t, X87_STORE_S16), t->arg);
}

void tr_x87_store_truncated(Tr *t)
{
    store(t, integer_format(t, X87_TRUNCATE_S16), true);
}

/* -- Between registers */

void tr_x87_store_register(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_STORE_ST, const32(t, register_number(t)), const32(t, t->arg));
    }
}

void tr_x87_exchange(Tr *t)
{
    if (begin(t)) {
        call(t, HELPER_X87_EXCHANGE, const32(t, register_number(t)), 0);
    }
}

/* The argument is the condition. */
void tr_x87_conditional_move(Tr *t)
{
    if (!begin_waiting(t)) {
        return;
    }
    if (is_on_host(t)) {
        run_on_host(t, IR_VOID, condition(t, t->arg));
    } else {
        call(t, HELPER_X87_CONDITIONAL_MOVE, const32(t, register_number(t)), condition(t, t->arg));
    }
}

/* -- Control instructions */

/* CR0.EM does not matter to it, and CR0.TS only with CR0.MP. */
void tr_FWAIT(Tr *t)
{
    if (t->mode & X86_MODE_TS) {
        IrVal cr0 = ir_trunc(t->b, IR_I32, ir_get(t->b, IR_I64, SLOT(cr[0])));
        fault_if(t, ir_cmp(t->b, IR_TST, cr0, const32(t, X86_CR0_MP)), X86_NM, false, 0);
    }
    check_pending(t);
}

void tr_FNOP(Tr *t)
{
    begin_waiting(t);
}

/* What the 8087 and the 80287 knew. */
void tr_x87_ignored(Tr *t)
{
    available(t);
}

static void control(Tr *t, X87Control what, u32 i)
{
    ir_call(t->b, IR_VOID, HELPER_X87_CONTROL, const32(t, what), const32(t, i), 0, 0);
}

/* Behind what may have changed the control word: leaves if exceptions are unmasked now that were
 * not, or the other way round. */
static void leave_changed_mode(Tr *t, IrVal control)
{
    IrVal masks = ir_and(t->b, ir_zext(t->b, IR_I32, control), const32(t, X87_EXCEPTIONS));
    bool unmasked = t->mode & X86_MODE_X87_UNMASKED;
    u32 leave = new_block(t), stay = new_block(t);

    ir_branch(t->b, ir_cmp(t->b, unmasked ? IR_EQ : IR_NE, masks, const32(t, X87_EXCEPTIONS)),
              leave, stay);
    enter_block(t, leave);
    t->b->region->blocks[leave].cold = true;
    emit_resync(t);
    enter_block(t, stay);
}

/* The same where all are masked now. */
static void leave_unmasked_mode(Tr *t)
{
    if (t->mode & X86_MODE_X87_UNMASKED) {
        end_resync(t);
    }
}

void tr_FNCLEX(Tr *t)
{
    if (!available(t)) {
        return;
    }
    if (is_on_host(t)) {
        host_register_form(t, HOST_FNCLEX, IR_VOID, 0);
    } else {
        control(t, X87_DO_CLEAR, 0);
    }
}

void tr_FNINIT(Tr *t)
{
    if (available(t)) {
        control(t, X87_DO_INIT, 0);
        leave_unmasked_mode(t);
    }
}

/* The rest wait, and count as no control instructions where the pointers are concerned. */
static void waiting_control(Tr *t, X87Control what)
{
    if (begin(t)) {
        put_pointers(t);
        control(t, what, register_number(t));
    }
}

void tr_FINCSTP(Tr *t)
{
    waiting_control(t, X87_DO_INCREMENT);
}

void tr_FDECSTP(Tr *t)
{
    waiting_control(t, X87_DO_DECREMENT);
}

void tr_FFREE(Tr *t)
{
    waiting_control(t, X87_DO_FREE);
}

void tr_FFREEP(Tr *t)
{
    waiting_control(t, X87_DO_FREE_AND_POP);
}

static void load_control(Tr *t, IrVal control)
{
    ir_call(t->b, IR_VOID, HELPER_X87_LOAD_CONTROL, control, 0, 0, 0);
}

/* What masks all exceptions goes to the slot and the host's x87. */
static void load_host_control(Tr *t, IrVal control)
{
    IrBuilder *b = t->b;
    IrVal wide = ir_zext(b, IR_I32, control);
    IrVal masks = ir_and(b, wide, const32(t, X87_EXCEPTIONS));
    u32 masked = new_block(t), unmasked = new_block(t);

    ir_branch(b, ir_cmp(b, IR_EQ, masks, const32(t, X87_EXCEPTIONS)), masked, unmasked);
    enter_block(t, unmasked);
    b->region->blocks[unmasked].cold = true;
    load_control(t, control);
    emit_resync(t);
    enter_block(t, masked);
    wide = ir_and(b, wide, const32(t, X87_CONTROL_WRITABLE));
    wide = ir_or(b, wide, const32(t, X87_CONTROL_FIXED));
    ir_put(b, SLOT(fcw), ir_trunc(b, IR_I16, wide));
    host_register_form(t, HOST_FLDCW, IR_VOID, 0);
}

void tr_FLDCW(Tr *t)
{
    if (!begin_waiting(t)) {
        return;
    }
    IrVal control = load_memory(t, IR_I16, 0);
    if (is_on_host(t)) {
        load_host_control(t, control);
    } else {
        load_control(t, control);
        leave_changed_mode(t, control);
    }
}

void tr_FNSTCW(Tr *t)
{
    if (available(t)) {
        store_memory(t, 0, ir_get(t->b, IR_I16, SLOT(fcw)));
    }
}

void tr_FNSTSW(Tr *t)
{
    if (!available(t)) {
        return;
    }
    if (is_on_host(t)) {
        write_operand(t, 0, host_register_form(t, HOST_FNSTSW, IR_I16, 0));
        return;
    }
    IrVal status = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I16, SLOT(fsw)));
    IrVal top = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I8, SLOT(ftop)));
    top = ir_binary(t->b, IR_SHL, top, const32(t, X87_TOP_SHIFT));
    write_operand(t, 0, ir_trunc(t->b, IR_I16, ir_or(t->b, status, top)));
}

/* -- Images, in parts of 16 bytes; the last one may be shorter. */

static u32 image_format(const Tr *t)
{
    return (t->i->operand_size == 2 ? 0 : X87_IMAGE_32) |
           (t->mode & X86_MODE_REAL ? X87_IMAGE_REAL : 0);
}

static void store_part(Tr *t, IrVal image, u32 at, u32 end, IrVal part)
{
    for (u32 offset = 0; offset < MIN(end - at, 16);) {
        u32 left = end - at - offset, size = left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : 2;
        IrType type = size == 16 ? IR_V128 : type_of_size(size);
        IrVal piece = part;
        if (size < 16) {
            piece = ir_emit(t->b, IR_VGET, type, type, 0, part, 0, 0, offset / size, 0);
        }
        store_part_of(t, image, at + offset, piece);
        offset += size;
    }
}

static IrVal load_part(Tr *t, IrVal image, u32 at, u32 end)
{
    IrVal part = ir_const(t->b, IR_V128, 0);

    for (u32 offset = 0; offset < MIN(end - at, 16);) {
        u32 left = end - at - offset, size = left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : 2;
        IrType type = size == 16 ? IR_V128 : type_of_size(size);
        IrVal piece = load_part_of(t, type, image, at + offset);
        part = size == 16
                   ? piece
                   : ir_emit(t->b, IR_VSET, IR_V128, type, 0, part, piece, 0, offset / size, 0);
        offset += size;
    }
    return part;
}

/* Nothing of an image is written if a part of it can't be. */
static void save_image(Tr *t, u32 image, u32 size)
{
    unsigned word = t->i->operand_size == 2 ? 2 : 4;
    IrVal linear = operand_address(t, size, word, true);

    touch_linear(t, type_of_size(word), linear, 0);
    touch_linear(t, IR_I8, linear, size - 1);
    for (u32 at = 0; at < size; at += 16) {
        IrVal what = const32(t, image | at / 16 << 8);
        store_part(t, linear, at, size,
                   ir_call(t->b, IR_V128, HELPER_X87_SAVE_PART, what, 0, 0, 0));
    }
}

/* The ends first, as above. */
static void restore_image(Tr *t, u32 image, u32 size)
{
    unsigned word = t->i->operand_size == 2 ? 2 : 4;
    IrVal linear = operand_address(t, size, word, false);
    IrVal parts[X87_IMAGE_MAX / 16 + 1];

    load_part_of(t, type_of_size(word), linear, 0);
    load_part_of(t, IR_I8, linear, size - 1);
    for (u32 at = 0; at < size; at += 16) {
        parts[at / 16] = load_part(t, linear, at, size);
    }
    for (u32 at = 0; at < size; at += 16) {
        IrVal what = const32(t, image | at / 16 << 8);
        ir_call(t->b, IR_VOID, HELPER_X87_RESTORE_PART, what, parts[at / 16], 0, 0);
    }
}

void tr_FNSTENV(Tr *t)
{
    u32 format = image_format(t);

    if (available(t)) {
        save_image(t, X87_ENVIRONMENT | format, x87_environment_size(format));
        if (t->mode & X86_MODE_X87_UNMASKED) {
            IrVal masks = ir_const(t->b, IR_I16, X87_EXCEPTIONS);
            load_control(t, ir_or(t->b, ir_get(t->b, IR_I16, SLOT(fcw)), masks));
            end_resync(t);
        }
    }
}

void tr_FLDENV(Tr *t)
{
    u32 format = image_format(t);

    if (begin_waiting(t)) {
        restore_image(t, X87_ENVIRONMENT | format, x87_environment_size(format));
        leave_changed_mode(t, ir_get(t->b, IR_I16, SLOT(fcw)));
    }
}

void tr_FNSAVE(Tr *t)
{
    u32 format = image_format(t);

    if (available(t)) {
        save_image(t, X87_ALL | format, x87_environment_size(format) + 80);
        control(t, X87_DO_INIT, 0);
        leave_unmasked_mode(t);
    }
}

void tr_FRSTOR(Tr *t)
{
    u32 format = image_format(t);

    if (begin_waiting(t)) {
        restore_image(t, X87_ALL | format, x87_environment_size(format) + 80);
        leave_changed_mode(t, ir_get(t->b, IR_I16, SLOT(fcw)));
    }
}
