/* Transfers of control: near and far jumps, calls, returns; software interrupts; BOUND. */
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/user_descriptors.h"

/* -- Near */

/* Where a relative branch goes; rIP is cut to the operand size. */
static u64 relative_target(const Tr *t)
{
    u64 target = t->next + (u64)t->i->operand[0].value;

    return t->i->operand_size == 2 ? (u16)target : in_64_bit_mode(t) ? target : (u32)target;
}

/* A jump beyond the code segment's limit faults where it is. `taken`: the condition, or 0. To be
 * called before anything changes; false if the instruction ends with that. */
static bool check_target(Tr *t, IrVal taken, u64 target)
{
    if (target <= x86_code_limit(t->g)) {
        return true;
    }
    if (!taken) {
        end_exception(t, X86_GP, true, 0);
        return false;
    }
    fault_if(t, taken, X86_GP, true, 0);
    return true;
}

/* The same of a target that only the program knows. */
static void check_indirect(Tr *t, IrVal target)
{
    u64 limit = x86_code_limit(t->g);

    if (limit < ir_mask(8 * ir_type_size(ir_type_of(t->b, target)))) {
        target = ir_zext(t->b, IR_I64, target);
        fault_if(t, ir_cmp(t->b, IR_UGT, target, const64(t, limit)), X86_GP, true, 0);
    }
}

static void branch(Tr *t, IrVal taken)
{
    u64 target = relative_target(t);

    check_target(t, taken, target);
    end_branch(t, taken, target);
}

void tr_Jcc(Tr *t)
{
    branch(t, condition(t, t->i->opcode & 15));
}

void tr_JMP(Tr *t)
{
    if (check_target(t, 0, relative_target(t))) {
        end_goto(t, relative_target(t));
    }
}

void tr_JMP_indirect(Tr *t)
{
    IrVal target = read_operand(t, 0, operand_type(t));

    check_indirect(t, target);
    end_indirect(t, IR_IGOTO, target);
}

static void push_return_address(Tr *t)
{
    push(t, ir_const(t->b, operand_type(t), t->next));
}

void tr_CALL(Tr *t)
{
    if (check_target(t, 0, relative_target(t))) {
        push_return_address(t);
        end_call(t, relative_target(t));
    }
}

void tr_CALL_indirect(Tr *t)
{
    IrVal target = read_operand(t, 0, operand_type(t));

    check_indirect(t, target);
    push_return_address(t);
    end_indirect(t, IR_IGOTO_CALL, target);
}

/* The bytes that RET and RETF release besides what they pop. */
static unsigned released(const Tr *t)
{
    return t->i->operand_count ? (u16)t->i->operand[0].value : 0;
}

void tr_RET(Tr *t)
{
    IrVal target = stack_peek(t, operand_type(t), 0);

    check_indirect(t, target);
    move_stack(t, t->i->operand_size + (s64)released(t));
    end_indirect(t, IR_IGOTO_RET, target);
}

/* -- Loops */

/* LOOP, LOOPE, LOOPNE: count down, and if the counter is not 0 (and `also`, unless that is 0, is
 * not 0) jump. */
static void loop(Tr *t, IrVal also)
{
    IrType type = address_type(t);
    IrVal count = ir_sub(t->b, get_gpr(t, type, X86_RCX), ir_const(t->b, type, 1));
    IrVal more = ir_cmp(t->b, IR_NE, count, ir_const(t->b, type, 0));

    more = also ? ir_and(t->b, more, also) : more;
    check_target(t, more, relative_target(t));
    put_gpr(t, X86_RCX, count);
    end_branch(t, more, relative_target(t));
}

void tr_LOOP(Tr *t)
{
    loop(t, 0);
}

void tr_LOOPE(Tr *t)
{
    loop(t, ir_cond(t->b, IR_COND_Z, get_flags(t)));
}

void tr_LOOPNE(Tr *t)
{
    loop(t, ir_cond(t->b, IR_COND_NZ, get_flags(t)));
}

void tr_JCXZ(Tr *t)
{
    IrType type = address_type(t);

    branch(t, ir_cmp(t->b, IR_EQ, get_gpr(t, type, X86_RCX), ir_const(t->b, type, 0)));
}

/* -- Far */

/* kind: X86_FAR_*; offset: for returns, the bytes to release. */
static void transfer(Tr *t, unsigned kind, IrVal selector, IrVal offset)
{
    call_raising(t, HELPER_FAR_TRANSFER, const32(t, kind | (unsigned)t->i->operand_size << 8),
                 selector, offset, const64(t, t->next));
    end_redirect(t);
}

static void transfer_to_operand(Tr *t, unsigned kind)
{
    IrType type = operand_type(t);
    IrVal selector, offset;

    if (is_memory(t, 0)) {
        offset = ir_zext(t->b, IR_I64, load_memory(t, type, 0));
        selector = ir_zext(t->b, IR_I32, load_memory(t, IR_I16, ir_type_size(type)));
    } else {
        offset = const64(t, (u64)t->i->operand[0].value);
        selector = const32(t, t->i->selector);
    }
    transfer(t, kind, selector, offset);
}

void tr_JMPF(Tr *t)
{
    transfer_to_operand(t, X86_FAR_JUMP);
}

void tr_CALLF(Tr *t)
{
    transfer_to_operand(t, X86_FAR_CALL);
}

void tr_RETF(Tr *t)
{
    transfer(t, X86_FAR_RETURN, const32(t, 0), const64(t, released(t)));
}

void tr_IRET(Tr *t)
{
    transfer(t, X86_FAR_IRET, const32(t, 0), const64(t, 0));
}

/* -- Software interrupts: traps, which leave rIP behind the instruction */

/* In system mode the word tells the instruction's size, as what goes wrong in the delivery is a
 * fault of this instruction. */
static void interrupt(Tr *t, unsigned vector, unsigned more)
{
    u32 word = x86_exception_word(vector, false, 0) | more;

    if (t->mode & X86_MODE_SYSTEM && more & X86_EXCEPTION_SOFTWARE) {
        word |= (u32)t->i->size << X86_EXCEPTION_LENGTH_SHIFT;
    }
    leave_shadow(t);
    end_exit(t, IR_EXIT_EXCEPTION, t->next, word);
}

void tr_INT3(Tr *t)
{
    interrupt(t, X86_BP, X86_EXCEPTION_SOFTWARE);
}

void tr_INT1(Tr *t)
{
    interrupt(t, X86_DB, 0);
}

/* Of Linux's gates programs may use those of INT 3 and INT 4, and 80h for system calls; all others
 * are a general protection fault, whose error code names the gate. */
void tr_INT(Tr *t)
{
    unsigned vector = (u8)t->i->operand[0].value;
    enum { SYSTEM_CALL = 0x80, IN_IDT = 2 };

    if (t->mode & X86_MODE_SYSTEM || vector == X86_BP || vector == X86_OF) {
        interrupt(t, vector, X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_INT_N);
    } else if (vector == SYSTEM_CALL) {
        end_exit(t, IR_EXIT_SYSCALL, t->next, X86_CALL_INT80);
    } else {
        end_exception(t, X86_GP, true, vector << 3 | IN_IDT);
    }
}

void tr_INTO(Tr *t)
{
    u32 overflow = new_block(t), none = new_block(t);

    ir_branch(t->b, ir_cond(t->b, IR_COND_V, get_flags(t)), overflow, none);
    enter_block(t, overflow);
    interrupt(t, X86_OF, X86_EXCEPTION_SOFTWARE);
    enter_block(t, none);
    end_goto(t, t->next);
}

/* An index, and in memory the least and the greatest that it may be. */
void tr_BOUND(Tr *t)
{
    IrType type = operand_type(t);
    IrVal index = read_operand(t, 0, type);
    IrVal least = load_memory(t, type, 0), greatest = load_memory(t, type, ir_type_size(type));
    IrVal outside =
        ir_or(t->b, ir_cmp(t->b, IR_SLT, index, least), ir_cmp(t->b, IR_SGT, index, greatest));

    fault_if(t, outside, X86_BR, false, 0);
}
