/* The AArch64 translator's loop: fetch, decode, hand to the instruction's handler, until the block
 * ends; and how blocks end.
 *
 * A guest block is one basic block of at most MAX_INSNS instructions; it runs across a page's end
 * when the next page can be fetched. It is one IR block plus those of its exits, and more where an
 * instruction itself branches.
 *
 * Flags: each setter puts its NZCV into the slot, and the put is taken back when a later setter of
 * the block or, at the block's end, every successor overwrites them first (flags_dead()); where
 * only one way out of a conditional branch needs them, they are put there. A fault between the two
 * setters in one block still finds the right flags, through a NOTE.
 *
 * Must not know single instructions: those are in the handlers' files. */
#include "guest/aarch64/translate.h"
#include "base/log.h"
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/internal.h"
#include "guest/flags.h"

enum { MAX_INSNS = 64 };

bool aarch64_fetch(GuestTranslation *g, u64 pc, u32 *word)
{
    u8 bytes[AARCH64_INSN_SIZE];

    if (!g->fetch(g, pc, bytes, AARCH64_INSN_SIZE)) {
        return false;
    }
    *word = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (u32)bytes[3] << 24;
    return true;
}

/* -- IR blocks */

u32 new_block(Tr *t)
{
    return ir_block_new(t->b->region);
}

void enter_block(Tr *t, u32 block)
{
    t->b->block = block;
    t->flags_put = 0; /* the blocks between may leave, and need it */
}

void check_alignment(Tr *t, IrVal address, u32 size)
{
    u32 bad, good;

    if (size == 1) {
        return;
    }
    bad = new_block(t);
    good = new_block(t);
    ir_branch(t->b, ir_cmp(t->b, IR_TST, address, const_x(t, size - 1)), bad, good);
    enter_block(t, bad);
    t->b->region->blocks[bad].cold = true;
    ir_call(t->b, IR_VOID, HELPER_EXIT_ADDRESS, data_address(t, address), 0, 0, 0);
    ir_exit(t->b, IR_EXIT_UNALIGNED, t->pc, 0);
    enter_block(t, good);
}

/* -- Flags that nobody reads */

void drop_flags_put(Tr *t)
{
    if (t->flags_put) {
        guest_drop_put(t->b, t->flags_put);
        t->flags_put = 0;
    }
}

/* -- Block ends */

/* A GOTO in the current IR block; interrupts are noticed where control may go round in a loop. */
static void emit_goto(Tr *t, u64 target)
{
    ir_goto(t->b, target, target <= t->pc);
}

void end_goto(Tr *t, u64 target)
{
    if (t->flags_put && aarch64_flags_dead(t->g, target)) {
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
    u32 taken = new_block(t);
    u32 otherwise = new_block(t);
    u64 next = t->pc + AARCH64_INSN_SIZE;
    bool dead_taken = t->flags_put && aarch64_flags_dead(t->g, target);
    bool dead_next = t->flags_put && aarch64_flags_dead(t->g, next);
    IrVal flags = t->flags;

    if (dead_taken || dead_next) {
        drop_flags_put(t);
    }
    ir_branch(t->b, condition, taken, otherwise);
    exit_branch(t, taken, target, dead_next && !dead_taken ? flags : 0);
    exit_branch(t, otherwise, next, dead_taken && !dead_next ? flags : 0);
    t->ended = true;
}

void end_call(Tr *t, u64 target)
{
    if (t->flags_put && aarch64_flags_dead(t->g, target)) {
        drop_flags_put(t);
    }
    ir_emit(t->b, IR_GOTO_CALL, IR_VOID, IR_VOID, target <= t->pc ? IR_POLL : 0, 0, 0, 0, target,
            t->pc + AARCH64_INSN_SIZE);
    t->ended = true;
}

void end_exit(Tr *t, IrExit kind, u64 pc, u64 code)
{
    ir_exit(t->b, kind, pc, code);
    t->ended = true;
}

void end_indirect(Tr *t, IrOp op, IrVal target)
{
    u64 return_address = op == IR_IGOTO_CALL ? t->pc + AARCH64_INSN_SIZE : 0;

    ir_emit(t->b, op, IR_VOID, IR_VOID, 0, target, 0, 0, 0, return_address);
    t->ended = true;
}

void tr_undefined(Tr *t)
{
    if (log_on(LOG_UNIMP)) {
        log_printf("aarch64: undefined instruction %08x at %#llx\n", t->word,
                   (unsigned long long)t->pc);
    }
    end_exit(t, IR_EXIT_UNDEFINED, t->pc, t->word);
}

/* -- The loop */

/* Translates the instruction at t->pc. */
static void translate_insn(Tr *t)
{
    Aarch64Insn insn;

    ir_mark_insn(t->b, t->pc, AARCH64_INSN_SIZE);
    if (!aarch64_decode(t->word, AARCH64_FEATURES, &insn) || !aarch64_translate(t, &insn)) {
        tr_undefined(t);
    }
    t->g->insn_count++;
    t->pc += AARCH64_INSN_SIZE;
}

void aarch64_translate_block(GuestTranslation *g)
{
    Tr t = {.b = &g->b, .g = g, .pc = g->pc};
    u32 limit = MIN(g->max_insns, MAX_INSNS);

    g->insn_count = 0;
    if (t.pc % AARCH64_INSN_SIZE) {
        end_exit(&t, IR_EXIT_PC_ALIGN, t.pc, 0);
    } else if (!aarch64_fetch(g, t.pc, &t.word)) {
        end_exit(&t, IR_EXIT_FETCH, t.pc, 0);
    }
    while (!t.ended) {
        translate_insn(&t);
        if (!t.ended && (g->insn_count >= limit || !aarch64_fetch(g, t.pc, &t.word))) {
            end_goto(&t, t.pc);
        }
    }
    g->end = t.pc;
}
