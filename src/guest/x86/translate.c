/* The x86 translator's loop: fetch, decode, hand to the instruction's handler, until the block
 * ends; and how blocks end.
 *
 * A guest block is one basic block of at most MAX_INSNS instructions; it runs across a page's end
 * when the next page can be fetched. It is one IR block plus those of its exits, and more where an
 * instruction itself branches.
 *
 * Flags: each setter puts all status flags into the slot, and the put is taken back when a later
 * setter of the block or, at the block's end, every successor overwrites them first (flags_dead());
 * where only one way out of a conditional branch needs them, they are put there. A fault between
 * the two setters in one block still finds the right flags, through a NOTE.
 *
 * The program counter is rIP, so without the code segment's base; bytes are fetched at linear
 * addresses, up to the segment's limit.
 *
 * Single steps (EFLAGS.TF): a block is one instruction, and wherever it goes it leaves with a trap.
 * Where only the state knows where that is, `trap_pending` makes a block of its own of the trap.
 * An instruction in an interrupt shadow, or while breakpoints are on, is alone in its block as
 * well.
 *
 * Must not know single instructions: those are in the handlers' files. */
#include "base/log.h"
#include "guest/x86/helpers.h"
#include "guest/x86/internal.h"
#include "guest/x86/rows.h"
#include "guest/x86/vector.h"

enum { MAX_INSNS = 64, PAGE_SIZE = 4096 };

X86DecodeResult x86_fetch_insn(GuestTranslation *g, const X86DecodeMode *mode, u64 pc,
                               X86Insn *insn)
{
    u8 bytes[X86_INSN_MAX];
    u64 linear = x86_code_address(g->context, g->mode, pc), limit = x86_code_limit(g);
    /* Bytes below the segment's limit; if there is none, one is fetched nevertheless. */
    u32 room = pc > limit ? 1 : (u32)MIN((u64)X86_INSN_MAX - 1, limit - pc) + 1;
    u32 first = MIN(room, (u32)(PAGE_SIZE - linear % PAGE_SIZE));
    X86DecodeResult result;

    if (!g->fetch(g, linear, bytes, first)) {
        return X86_DECODE_SHORT;
    }
    if (pc > limit) {
        return X86_DECODE_TOO_LONG;
    }
    result = x86_decode(bytes, first, mode, insn);
    if (result == X86_DECODE_SHORT && first < room) {
        linear = x86_code_address(g->context, g->mode, pc + first);
        if (!g->fetch(g, linear, bytes + first, room - first)) {
            return X86_DECODE_SHORT;
        }
        result = x86_decode(bytes, room, mode, insn);
    }
    return result == X86_DECODE_SHORT ? X86_DECODE_TOO_LONG : result;
}

X86DecodeMode x86_decode_mode(u32 mode, const u64 *features)
{
    return (X86DecodeMode){.code_size = mode & X86_MODE_CODE64   ? 8
                                        : mode & X86_MODE_CODE32 ? 4
                                                                 : 2,
                           .real = mode & X86_MODE_REAL,
                           .features = features};
}

/* -- Block ends */

static bool is_single_step(const Tr *t)
{
    return t->mode & X86_MODE_TF;
}

/* Whether an instruction of this block changed the mode, so that other blocks are in another one,
 * or may have done so by its accesses, which met breakpoints. */
static bool is_mode_changed(const Tr *t)
{
    return t->mode != t->g->mode || t->mode & X86_MODE_BREAK;
}

/* The code word of a single step's trap. */
static u32 step_word(const Tr *t)
{
    return x86_exception_word(X86_DB, false, 0) |
           (t->mode & X86_MODE_SYSTEM ? X86_EXCEPTION_STEP : 0);
}

void leave_shadow(Tr *t)
{
    if (t->g->mode & X86_MODE_SHADOW) {
        ir_put(t->b, SLOT(interrupt_shadow), ir_const(t->b, IR_I8, 0));
        ir_call(t->b, IR_VOID, HELPER_LOOK_AGAIN, 0, 0, 0, 0);
    }
}

void emit_goto(Tr *t, u64 target)
{
    leave_shadow(t);
    if (is_single_step(t)) {
        ir_exit(t->b, IR_EXIT_EXCEPTION, target, step_word(t));
    } else if (is_mode_changed(t)) {
        ir_exit(t->b, IR_EXIT_RESYNC, target, 0);
    } else {
        ir_goto(t->b, target, target <= t->pc);
    }
}

void end_goto(Tr *t, u64 target)
{
    if (t->flags_put && x86_flags_dead(t->g, target)) {
        drop_flags_put(t);
    }
    emit_goto(t, target);
    t->ended = true;
}

/* One way out of a conditional branch. `flags`, unless 0, are put on this way only. */
static void exit_branch(Tr *t, u32 block, u64 target, IrVal flags)
{
    enter_block(t, block);
    if (flags) {
        ir_put(t->b, SLOT(flags), flags);
    }
    emit_goto(t, target);
}

void end_branch(Tr *t, IrVal condition, u64 target)
{
    u32 taken = new_block(t), otherwise = new_block(t);
    bool dead_taken = t->flags_put && x86_flags_dead(t->g, target);
    bool dead_next = t->flags_put && x86_flags_dead(t->g, t->next);
    IrVal flags = t->flags;

    if (dead_taken || dead_next) {
        drop_flags_put(t);
    }
    ir_branch(t->b, condition, taken, otherwise);
    exit_branch(t, taken, target, dead_next && !dead_taken ? flags : 0);
    exit_branch(t, otherwise, t->next, dead_taken && !dead_next ? flags : 0);
    t->ended = true;
}

void end_call(Tr *t, u64 target)
{
    if (is_single_step(t) || is_mode_changed(t)) {
        end_goto(t, target);
        return;
    }
    if (t->flags_put && x86_flags_dead(t->g, target)) {
        drop_flags_put(t);
    }
    ir_emit(t->b, IR_GOTO_CALL, IR_VOID, IR_VOID, target <= t->pc ? IR_POLL : 0, 0, 0, 0, target,
            t->next);
    t->ended = true;
}

void end_indirect(Tr *t, IrOp op, IrVal target)
{
    target = ir_zext(t->b, IR_I64, target);
    if (is_single_step(t) || is_mode_changed(t)) {
        ir_put(t->b, SLOT(rip), target);
        end_redirect(t);
        return;
    }
    ir_emit(t->b, op, IR_VOID, IR_VOID, 0, target, 0, 0, 0, op == IR_IGOTO_CALL ? t->next : 0);
    t->ended = true;
}

void end_exit(Tr *t, IrExit kind, u64 pc, u64 code)
{
    ir_exit(t->b, kind, pc, code);
    t->ended = true;
}

void emit_resync(Tr *t)
{
    if (is_single_step(t)) {
        emit_goto(t, t->next);
    } else {
        leave_shadow(t);
        ir_exit(t->b, IR_EXIT_RESYNC, t->next, 0);
    }
}

void end_resync(Tr *t)
{
    emit_resync(t);
    t->ended = true;
}

void end_resync_quietly(Tr *t)
{
    leave_shadow(t);
    end_exit(t, IR_EXIT_RESYNC, t->next, 0);
}

void emit_polling(Tr *t)
{
    if (t->mode & X86_MODE_SYSTEM && !is_single_step(t) && !is_mode_changed(t)) {
        IrVal interrupted = ir_call(t->b, IR_I32, HELPER_INTERRUPTED, 0, 0, 0, 0);
        u32 leave = new_block(t), go_on = new_block(t);

        ir_branch(t->b, interrupted, leave, go_on);
        enter_block(t, leave);
        t->b->region->blocks[leave].cold = true;
        ir_exit(t->b, IR_EXIT_RESYNC, t->next, 0);
        enter_block(t, go_on);
    }
    emit_goto(t, t->next);
}

void end_polling(Tr *t)
{
    emit_polling(t);
    t->ended = true;
}

void begin_shadow(Tr *t, IrVal when)
{
    IrVal waiting = ir_call(t->b, IR_I32, HELPER_LINES, 0, 0, 0, 0);
    u32 shadow = new_block(t), none = new_block(t);

    ir_branch(t->b, when ? ir_and(t->b, waiting, when) : waiting, shadow, none);
    enter_block(t, shadow);
    t->b->region->blocks[shadow].cold = true;
    ir_put(t->b, SLOT(interrupt_shadow), ir_const(t->b, IR_I8, X86_SHADOW_INTERRUPTS));
    ir_exit(t->b, is_single_step(t) ? IR_EXIT_EXCEPTION : IR_EXIT_RESYNC, t->next,
            is_single_step(t) ? step_word(t) : 0);
    enter_block(t, none);
}

void end_redirect(Tr *t)
{
    leave_shadow(t);
    if (is_single_step(t)) {
        ir_put(t->b, SLOT(trap_pending), ir_const(t->b, IR_I8, 1));
    }
    end_exit(t, IR_EXIT_RESYNC, t->pc, 1);
}

void end_exception(Tr *t, unsigned vector, bool has_error, unsigned error)
{
    end_exit(t, IR_EXIT_EXCEPTION, t->pc, x86_exception_word(vector, has_error, error));
}

void tr_undefined(Tr *t, const char *why)
{
    if (why && log_on(LOG_UNIMP)) {
        log_printf("x86: %s at %#llx\n", why, (unsigned long long)t->pc);
    }
    end_exception(t, X86_UD, false, 0);
}

/* -- The loop */

/* The block counts as one of an instruction, though it only comes before it: there may be none. In
 * system mode blocks go by where their code lies. */
static void end_with_pending_trap(Tr *t)
{
    u8 byte;
    IrVal stepped;

    if (t->mode & X86_MODE_SYSTEM &&
        !t->g->fetch(t->g, x86_code_address(t->g->context, t->mode, t->pc), &byte, 1)) {
        end_exit(t, IR_EXIT_FETCH, t->pc, 0);
        return;
    }
    t->g->end = t->pc + 1;
    t->g->insn_count = 1;
    stepped = ir_zext(t->b, IR_I32, ir_get(t->b, IR_I8, SLOT(trap_pending)));
    ir_put(t->b, SLOT(trap_pending), ir_const(t->b, IR_I8, 0));
    ir_call(t->b, IR_VOID, HELPER_RAISE,
            ir_select(t->b, stepped, const32(t, step_word(t)),
                      const32(t, x86_exception_word(X86_DB, false, 0))),
            0, 0, 0);
    end_exit(t, IR_EXIT_EXCEPTION, t->pc, 0);
}

/* The operands and results of the instruction before are of no use to this one. */
static void forget_insn(Tr *t)
{
    for (unsigned n = 0; n < COUNT(t->src); n++) {
        t->src[n] = 0;
    }
    t->out = t->out2 = t->flags_out = 0;
    t->address = (X86Address){0};
    t->half = 0;
}

static void translate_decoded(Tr *t)
{
    const X86Row *row = &x86_rows[t->i->row];
    X86Handler *handler = x86_handlers[t->i->row];
    bool may_use_ports = t->mode & (X86_MODE_SYSTEM | X86_MODE_IOPL);

    t->arg = x86_arguments[t->i->row];
    t->lock = row->lock;
    if (row->attributes & X86_X87) {
        t->x87_quiet = false;
    }
    if ((row->attributes & X86_CPL0 && t->mode & X86_MODE_CPL) ||
        (row->attributes & X86_IO && !may_use_ports)) {
        end_exception(t, X86_GP, true, 0);
    } else if (!handler) {
        tr_undefined(t, row->name);
    } else if (row->attributes & X86_VECTOR && !vector_available(t)) {
        return; /* that was an exception */
    } else if (row->attributes & X86_RAW) {
        handler(t);
    } else if (row->attributes & X86_VECTOR) {
        translate_vector(t, handler);
    } else {
        translate_common(t, handler);
    }
}

static void check_code_breakpoint(Tr *t)
{
    u64 linear = x86_code_address(t->g->context, t->mode, t->pc);

    call_raising(t, HELPER_CODE_BREAKPOINT, const64(t, linear), 0, 0, 0);
}

/* Translates the instruction at pc; false if it could not be fetched. */
static bool translate_insn(Tr *t, const X86DecodeMode *mode, u64 pc)
{
    X86Insn insn = {0};
    X86DecodeResult result = x86_fetch_insn(t->g, mode, pc, &insn);

    if (result == X86_DECODE_SHORT) {
        return false;
    }
    if (insn.size == 0) {
        insn.size = 1;
    }
    t->i = &insn;
    t->pc = pc;
    t->next = t->pc + insn.size;
    if (!in_64_bit_mode(t)) {
        t->next = (u32)t->next;
    }
    forget_insn(t);
    ir_mark_insn(t->b, t->pc, insn.size);
    if (t->mode & X86_MODE_BREAK) {
        check_code_breakpoint(t);
    }
    if (result == X86_DECODE_OK) {
        translate_decoded(t);
    } else if (result == X86_DECODE_TOO_LONG) {
        end_exception(t, X86_GP, true, 0);
    } else {
        tr_undefined(t, "undefined instruction");
    }
    t->g->insn_count++;
    t->g->end = t->pc + insn.size;
    return true;
}

void x86_translate_block(GuestTranslation *g)
{
    const X86State *state = g->state;
    X86DecodeMode mode = x86_decode_mode(g->mode, state->features);
    Tr t = {.b = &g->b,
            .g = g,
            .pc = g->pc,
            .mode = g->mode & ~(u32)X86_MODE_SHADOW,
            .features = state->features};
    bool alone = g->mode & (X86_MODE_TF | X86_MODE_SHADOW | X86_MODE_BREAK);
    u32 limit = alone ? 1 : MIN(g->max_insns, MAX_INSNS);

    g->insn_count = 0;
    g->end = g->pc;
    if (t.mode & X86_MODE_TRAP) {
        end_with_pending_trap(&t);
    } else if (!translate_insn(&t, &mode, t.pc)) {
        end_exit(&t, IR_EXIT_FETCH, t.pc, 0);
    }
    while (!t.ended) {
        if (g->insn_count >= limit || !translate_insn(&t, &mode, t.next)) {
            end_goto(&t, t.next);
        }
    }
}
