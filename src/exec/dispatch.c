/* The loop that runs a vCPU: find the code of a guest address, enter it, see why it came back.
 *
 * Most of the time nothing comes back: blocks are linked to each other, and indirect jumps find
 * their target in the vCPU's jump table. What does come back is either settled here (a link to
 * make, a jump to look up, a write to code, a floating-point trap, changed modes) or handed to the
 * caller.
 *
 * The thread is inside (safepoint.c) for the whole loop but for translating. After it has been
 * outside, `interrupt` must be looked at before code is entered: that order makes kicks and
 * evictions safe. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "exec/engine.h"

/* Traps after which a block is translated with exact floating point. */
enum { FP_TRAPS_TOLERATED = 16 };

/* -- The guest's program counter */

static u64 get_pc(const Vcpu *vcpu)
{
    const Guest *guest = vcpu->engine->guest;
    const u8 *slot = (const u8 *)vcpu->state + guest->pc_offset;

    return guest->pc_type == IR_I32 ? *(const u32 *)(const void *)slot
                                    : *(const u64 *)(const void *)slot;
}

static void set_pc(Vcpu *vcpu, u64 pc)
{
    const Guest *guest = vcpu->engine->guest;
    u8 *slot = (u8 *)vcpu->state + guest->pc_offset;

    if (guest->pc_type == IR_I32) {
        *(u32 *)(void *)slot = (u32)pc;
    } else {
        *(u64 *)(void *)slot = pc;
    }
}

/* -- Interrupts */

void vcpu_kick(Vcpu *vcpu)
{
    CpuCommon *common = vcpu->common;

    __atomic_store_n(&vcpu->kicked, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&common->jump_table, vcpu->engine->no_jumps, __ATOMIC_SEQ_CST);
    __atomic_store_n(&common->interrupt, 1, __ATOMIC_SEQ_CST);
}

static bool interrupted(const Vcpu *vcpu)
{
    const CpuCommon *common = vcpu->common;

    return __atomic_load_n(&common->interrupt, __ATOMIC_SEQ_CST) ||
           __atomic_load_n(&common->jump_table, __ATOMIC_SEQ_CST) != vcpu->jump_table;
}

static void forget_jumps(Vcpu *vcpu)
{
    for (u32 i = 0; i < 1u << JUMP_TABLE_BITS; i++) {
        __atomic_store_n(&vcpu->jump_table[i].pc, jump_never(i), __ATOMIC_RELAXED);
    }
    vcpu->engine->host->reset_returns(vcpu->common);
}

/* Deals with what made interrupted() true: lets an evictor work, forgets what it evicted. Returns
 * whether it was a kick. What comes in meanwhile sets `interrupt` again. */
static bool take_interrupt(Vcpu *vcpu)
{
    CpuCommon *common = vcpu->common;

    do {
        safepoint_leave(vcpu);
        safepoint_enter(vcpu);
        __atomic_store_n(&common->jump_table, vcpu->jump_table, __ATOMIC_SEQ_CST);
        __atomic_store_n(&common->interrupt, 0, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&vcpu->stale, 0, __ATOMIC_SEQ_CST)) {
            forget_jumps(vcpu);
        }
        /* An evictor that came meanwhile may have had half of its request overwritten. */
    } while (__atomic_load_n(&vcpu->engine->stopping, __ATOMIC_SEQ_CST));
    return __atomic_exchange_n(&vcpu->kicked, 0, __ATOMIC_SEQ_CST);
}

/* -- Finding code */

/* What the loop does next. */
typedef struct Next {
    u64 pc;
    BlockKind kind;
    bool jump;        /* an indirect jump missed the jump table */
    const void *site; /* a jump that wants to be linked, or NULL */
    Block *near;      /* the block that was entered before, which may hold the site */
} Next;

/* Only this thread adds entries, but others clear those of a block that they kill: either they see
 * the new entry, or this thread sees that the block is dead (both orders are sequentially
 * consistent). */
static void remember_jump(Vcpu *vcpu, Block *block)
{
    u32 index = jump_index(vcpu->engine, block->pc);
    JumpEntry *entry = &vcpu->jump_table[index];

    __atomic_store_n(&entry->code, block->code, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->pc, block->pc, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&block->dead, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&entry->pc, jump_never(index), __ATOMIC_RELAXED);
    }
}

/* The code for `next`, made if it is missing; NULL when there is nothing to execute. */
static Block *find_code(Vcpu *vcpu, const Next *next)
{
    Block *block = NULL;

    if (next->kind != BLOCK_ONCE) {
        block = block_find(vcpu->engine, next->pc, vcpu->mode, next->kind);
    }
    if (!block) {
        block = translate(vcpu, next->pc, next->kind, next->kind == BLOCK_EXACT_STEP);
    }
    if (block && next->jump) {
        remember_jump(vcpu, block);
    }
    if (block && next->site) {
        link_site(vcpu, next->site, next->near, block);
    }
    return block;
}

/* Looks at the mode bits of the state, which something may have changed. */
static void update_mode(Vcpu *vcpu)
{
    u32 mode = vcpu->engine->guest->mode ? vcpu->engine->guest->mode(vcpu->state) : 0;

    if (mode != vcpu->mode) {
        vcpu->mode = mode;
        forget_jumps(vcpu);
    }
}

/* -- Exits */

/* An EXIT operation. Returns true if the caller of exec_run() has to act. */
static bool leave_for_ir(Vcpu *vcpu, Next *next)
{
    CpuCommon *common = vcpu->common;

    u64 size = (u32)common->exit_code; /* IR_EXIT_INVALIDATE */

    switch ((IrExit)(common->exit_code >> 32)) {
    case IR_EXIT_INVALIDATE:
        safepoint_leave(vcpu);
        coherence_flush(vcpu, ALIGN_DOWN(common->exit_address, size), size);
        safepoint_enter(vcpu);
        return false;
    case IR_EXIT_RESYNC:
        if ((u32)common->exit_code) {
            next->pc = get_pc(vcpu);
        }
        update_mode(vcpu);
        return false;
    case IR_EXIT_FETCH:
        return false; /* translating what is there will say what is wrong */
    case IR_EXIT_CODE_CHANGED:
        safepoint_leave(vcpu);
        coherence_code_changed(vcpu->engine, next->pc, vcpu->mode);
        safepoint_enter(vcpu);
        return false;
    case IR_EXIT_YIELD:
        sched_yield();
        return false;
    default:
        return true;
    }
}

/* A guest access faulted. Returns true if it really is a fault for the guest; a write to a page
 * that holds code is repeated, and if that code is what runs, then without keeping it. */
static bool leave_for_fault(Vcpu *vcpu, Next *next)
{
    const ExecFault *fault = &vcpu->fault;
    const Guest *guest = vcpu->engine->guest;

    if (fault->invalid && guest->invalid_address && guest->invalid_address(vcpu->state)) {
        update_mode(vcpu);
        return false;
    }
    if (fault->access != ACCESS_WRITE || fault->signal != SIGSEGV || fault->code != SEGV_ACCERR) {
        return true;
    }
    safepoint_leave(vcpu);
    bool repeat = coherence_write_fault(vcpu->engine, fault->address);
    safepoint_enter(vcpu);
    /* Within two pages of pc: the page may hold this very instruction. */
    if (repeat && fault->address - next->pc + 2 * CODE_PAGE < 4 * CODE_PAGE) {
        next->kind = BLOCK_ONCE;
    }
    return !repeat;
}

/* A floating-point operation trapped: its instruction is run with exact arithmetic; a block where
 * that keeps happening is replaced by one that is exact as a whole. */
static void leave_for_fp(Vcpu *vcpu, Next *next)
{
    Block *block = vcpu->fault_block;

    if (block && block->exact_fp) {
        fprintf(stderr, "menura: bug: exact floating-point code trapped at 0x%llx\n",
                (unsigned long long)next->pc);
        abort();
    }
    next->kind = BLOCK_EXACT_STEP;
    if (block && __atomic_add_fetch(&block->fp_traps, 1, __ATOMIC_RELAXED) == FP_TRAPS_TOLERATED) {
        translate(vcpu, block->pc, BLOCK_NORMAL, true);
    }
}

/* Decides how to go on after generated code came back. Returns true if the caller has to act. */
static bool leave(Vcpu *vcpu, Next *next, Block *block)
{
    CpuCommon *common = vcpu->common;

    *next = (Next){.pc = common->pc};
    switch ((CpuExitKind)common->exit_kind) {
    case CPU_EXIT_LINK:
        next->site = common->exit_link;
        next->near = block;
        return false;
    case CPU_EXIT_LOOKUP:
        next->jump = true;
        next->site = common->exit_link;
        next->near = block;
        return false;
    case CPU_EXIT_INTERRUPT:
        return false;
    case CPU_EXIT_IR:
        return leave_for_ir(vcpu, next);
    case CPU_EXIT_FAULT: /* a block may change the mode before its end */
        update_mode(vcpu);
        return leave_for_fault(vcpu, next);
    case CPU_EXIT_FP:
        leave_for_fp(vcpu, next);
        update_mode(vcpu);
        return false;
    }
    fprintf(stderr, "menura: bug: unknown exit %u from generated code\n", common->exit_kind);
    abort();
}

CpuExitKind exec_run(Vcpu *vcpu)
{
    Engine *engine = vcpu->engine;
    CpuCommon *common = vcpu->common;
    Next next = {.pc = get_pc(vcpu)};

    safepoint_enter(vcpu);
    update_mode(vcpu);
    engine->host->set_fp(common);
    for (;;) {
        Block *block = find_code(vcpu, &next);
        if (interrupted(vcpu)) {
            if (take_interrupt(vcpu)) {
                common->exit_kind = CPU_EXIT_INTERRUPT;
                break;
            }
            next.site = NULL;
            continue;
        }
        if (!block) {
            common->exit_kind = CPU_EXIT_FAULT;
            break;
        }
        if (log_on(LOG_EXEC)) {
            log_printf("exec 0x%llx\n", (unsigned long long)block->pc);
        }
        vcpu->fault_block = NULL;
        engine->host->enter(vcpu->state, engine->cache.base, block->code);
        if (leave(vcpu, &next, block)) {
            break;
        }
    }
    safepoint_leave(vcpu);
    common->pc = next.pc;
    set_pc(vcpu, next.pc);
    return (CpuExitKind)common->exit_kind;
}

const ExecFault *exec_fault(const Vcpu *vcpu)
{
    return &vcpu->fault;
}
