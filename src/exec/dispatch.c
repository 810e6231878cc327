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
#include "exec/mmu.h"

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
            jumps_forget(vcpu, true);
        }
        if (vcpu->mmu && __atomic_exchange_n(&vcpu->mmu->forget, 0, __ATOMIC_SEQ_CST)) {
            mmu_flush(vcpu->state, true);
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
    bool global;      /* the code's page is */
    const void *site; /* a jump that wants to be linked, or NULL */
    Block *near;      /* the block that was entered before, which may hold the site, or NULL */
} Next;

/* The key of the block at pc in system mode; false: fetching raises vcpu->fetch_exception. Code
 * that is not in RAM is read anew each time. */
static bool make_key(Vcpu *vcpu, Next *next, BlockKey *key)
{
    enum { INSN_MAX = 15 };
    const GuestSystem *system = vcpu->engine->guest->system;
    u64 linear = system->code_address(vcpu->context, vcpu->mode, next->pc);
    const CodeTlbEntry *entry;

    vcpu->fetch_exception = mmu_code(vcpu, linear, &entry);
    if (vcpu->fetch_exception) {
        return false;
    }
    next->kind = entry->ram ? next->kind : BLOCK_ONCE;
    next->global = entry->global;
    *key = (BlockKey){
        .pc = next->pc,
        .mode = vcpu->mode,
        .kind = next->kind,
        .context = vcpu->context,
        .ram = entry->ram ? (u64)(uintptr_t)entry->ram + linear % CODE_PAGE : 0,
        .next_page = linear % CODE_PAGE > CODE_PAGE - INSN_MAX ? BLOCK_ANY_PAGE : 0,
    };
    return true;
}

/* The block of the key; of those that go across the page's end the one with the right second page,
 * both pages being global if *global stays true. */
static Block *find_block(Vcpu *vcpu, BlockKey *key, bool *global)
{
    Block *block = block_find(vcpu->engine, key);
    const CodeTlbEntry *entry;

    if (!block || !block->next_page) {
        return block;
    }
    if (mmu_code(vcpu, ALIGN_DOWN(block->linear, (u64)CODE_PAGE) + CODE_PAGE, &entry)) {
        return NULL;
    }
    *global &= entry->global;
    key->next_page = (u64)(uintptr_t)entry->ram;
    return block_find(vcpu->engine, key);
}

/* What the jump table knows already, where nothing is to be linked; NULL: nothing. */
static const u8 *find_jump(const Vcpu *vcpu, const Next *next)
{
    const JumpEntry *entry =
        &vcpu->jump_table[jump_index(next->pc, vcpu->engine->guest->code_shift)];
    bool wanted = vcpu->mmu && next->kind == BLOCK_NORMAL && !next->site;

    return wanted && __atomic_load_n(&entry->pc, __ATOMIC_SEQ_CST) == next->pc ? entry->code : NULL;
}

/* The block for `next`, made if it is missing; NULL when there is nothing to execute. */
static Block *find_or_translate(Vcpu *vcpu, Next *next)
{
    Block *block = NULL;
    BlockKey key = {
        .pc = next->pc, .mode = vcpu->mode, .kind = next->kind, .context = vcpu->context};

    if (vcpu->mmu && !make_key(vcpu, next, &key)) {
        return NULL;
    }
    if (next->kind != BLOCK_ONCE) {
        block = find_block(vcpu, &key, &next->global);
    }
    if (!block) {
        block = translate(vcpu, &key, next->kind == BLOCK_EXACT_STEP);
        next->global &= block && !block->next_page;
    }
    if (block && block->kind == BLOCK_NORMAL && (next->jump || vcpu->mmu)) {
        jumps_remember(vcpu, block, next->global);
    }
    if (block && next->site) {
        link_site(vcpu, next->site, next->near, block);
    }
    return block;
}

/* The same as code; *block is NULL when only that is known. */
static const u8 *find_code(Vcpu *vcpu, Next *next, Block **block)
{
    const u8 *code = find_jump(vcpu, next);

    *block = code ? NULL : find_or_translate(vcpu, next);
    return *block ? (*block)->code : code;
}

/* Looks at the bits of the state that translation depends on, which something may have changed. */
static void update_mode(Vcpu *vcpu)
{
    const Guest *guest = vcpu->engine->guest;
    u32 mode = guest->mode ? guest->mode(vcpu->state) : 0;
    const GuestSystem *system = guest->system;
    u64 context = system && system->context ? system->context(vcpu->state) : 0;

    if (mode != vcpu->mode || context != vcpu->context) {
        vcpu->mode = mode;
        vcpu->context = context;
        jumps_switch(vcpu);
    }
}

/* -- Exits */

/* -- System mode: the guest's state was changed at large, pc included */

static void go_on_with_state(Vcpu *vcpu, Next *next)
{
    *next = (Next){.pc = get_pc(vcpu)};
    update_mode(vcpu);
}

static u64 exception_word(const CpuCommon *common)
{
    u32 code = (u32)common->exit_code;

    return code ? code : common->exit_address;
}

static bool leave_for_exception(Vcpu *vcpu, Next *next, u64 code)
{
    set_pc(vcpu, next->pc);
    bool alive = system_deliver(vcpu, code);
    go_on_with_state(vcpu, next);
    if (!alive) {
        vcpu->common->exit_kind = CPU_EXIT_SHUTDOWN;
    }
    return !alive;
}

/* Waits for an interrupt, unless one is there. */
static bool leave_for_halt(Vcpu *vcpu, Next *next)
{
    set_pc(vcpu, next->pc);
    bool halted = true;
    while (halted && system_interrupt(vcpu)) { /* one may leave it waiting for another */
        halted = vcpu->engine->guest->system->halted(vcpu->state);
    }
    go_on_with_state(vcpu, next);
    if (halted) {
        vcpu->common->exit_kind = CPU_EXIT_HALT;
    }
    return halted;
}

/* C code, or a store that is to be repeated, writes translated code. */
static void drop_written_code(Vcpu *vcpu)
{
    Mmu *mmu = vcpu->mmu;
    u64 size = mmu->late_size;

    if (size) {
        mmu->late_size = 0;
        safepoint_leave(vcpu);
        engine_ram_written(vcpu->engine, mmu->late_write, size);
        safepoint_enter(vcpu);
    }
}

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
        coherence_code_changed(
            vcpu->engine, (BlockKey){.pc = next->pc, .mode = vcpu->mode, .context = vcpu->context});
        safepoint_enter(vcpu);
        return false;
    case IR_EXIT_YIELD:
        sched_yield();
        return false;
    case IR_EXIT_HALT:
        return leave_for_halt(vcpu, next);
    case IR_EXIT_EXCEPTION:
        return !vcpu->mmu || leave_for_exception(vcpu, next, exception_word(common));
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
    u64 linear =
        guest->system ? guest->system->code_address(vcpu->context, vcpu->mode, next->pc) : next->pc;
    if (repeat && fault->address - linear + 2 * CODE_PAGE < 4 * CODE_PAGE) {
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
        BlockKey key = block_key(block);
        translate(vcpu, &key, true);
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
    case CPU_EXIT_CODE_WRITE:
        update_mode(vcpu);
        next->kind = BLOCK_ONCE;
        return false;
    default:
        break;
    }
    fprintf(stderr, "menura: bug: unknown exit %u from generated code\n", common->exit_kind);
    abort();
}

/* `interrupt` was seen. Returns true if the caller has to act. */
static bool leave_for_interrupt(Vcpu *vcpu, Next *next)
{
    u64 pc = next->pc;
    BlockKind kind = next->kind;

    if (take_interrupt(vcpu)) {
        vcpu->common->exit_kind = CPU_EXIT_INTERRUPT;
        return true;
    }
    next->site = NULL;
    next->jump = false;
    if (vcpu->mmu && vcpu_lines(vcpu) && !vcpu->mmu->single_step) {
        set_pc(vcpu, next->pc);
        system_interrupt(vcpu);
        go_on_with_state(vcpu, next);
        next->kind = next->pc == pc ? kind : BLOCK_NORMAL;
    }
    return false;
}

/* There is nothing to execute. Returns true if the caller has to act. */
static bool leave_for_fetch(Vcpu *vcpu, Next *next)
{
    if (vcpu->mmu) {
        return leave_for_exception(vcpu, next, vcpu->fetch_exception);
    }
    vcpu->common->exit_kind = CPU_EXIT_FAULT;
    return true;
}

static void enter(Vcpu *vcpu, u64 pc, const u8 *code)
{
    const Engine *engine = vcpu->engine;

    if (log_on(LOG_EXEC)) {
        log_printf("exec 0x%llx\n", (unsigned long long)pc);
    }
    vcpu->fault_block = NULL;
    if (vcpu->mmu) {
        vcpu->mmu->running = true;
        vcpu->mmu->stopped = false;
    }
    engine->host->enter(vcpu->state, engine->cache.base, code);
    if (vcpu->mmu) {
        vcpu->mmu->running = false;
        drop_written_code(vcpu);
    }
}

static u64 linear_pc(const Vcpu *vcpu, u64 pc)
{
    return vcpu->engine->guest->system->code_address(vcpu->context, vcpu->mode, pc);
}

/* A breakpoint. */
static bool stops_for_debugger(Vcpu *vcpu, Next *next)
{
    bool alone = false;

    if (!vcpu->mmu || (!vcpu->mmu->single_step &&
                       !__atomic_load_n(&vcpu->engine->breakpoint_count, __ATOMIC_SEQ_CST))) {
        return false;
    }
    if (debug_stops(vcpu, linear_pc(vcpu, next->pc), &alone)) {
        vcpu->common->exit_kind = CPU_EXIT_DEBUG;
        return true;
    }
    next->kind = alone ? BLOCK_ONCE : next->kind;
    return false;
}

static bool is_step_done(Vcpu *vcpu)
{
    if (!vcpu->mmu || !vcpu->mmu->single_step) {
        return false;
    }
    vcpu->common->exit_kind = CPU_EXIT_DEBUG;
    return true;
}

/* Whether a CPU that was run again goes on waiting. */
static bool stays_halted(Vcpu *vcpu, Next *next)
{
    return vcpu->mmu && vcpu->engine->guest->system->halted(vcpu->state) &&
           leave_for_halt(vcpu, next);
}

CpuExitKind exec_run(Vcpu *vcpu)
{
    Engine *engine = vcpu->engine;
    CpuCommon *common = vcpu->common;
    Next next = {.pc = get_pc(vcpu)};

    safepoint_enter(vcpu);
    update_mode(vcpu);
    engine->host->set_fp(common);
    if (vcpu->mmu) {
        system_begin(vcpu);
    }
    bool done = stays_halted(vcpu, &next);
    while (!done && !stops_for_debugger(vcpu, &next)) {
        Block *block;
        const u8 *code = find_code(vcpu, &next, &block);
        if (interrupted(vcpu)) {
            done = leave_for_interrupt(vcpu, &next);
        } else if (!code) {
            done = leave_for_fetch(vcpu, &next) || is_step_done(vcpu);
        } else {
            enter(vcpu, next.pc, code);
            done = leave(vcpu, &next, block) || is_step_done(vcpu);
        }
    }
    safepoint_leave(vcpu);
    common->pc = common->exit_kind == CPU_EXIT_DEBUG ? linear_pc(vcpu, next.pc) : next.pc;
    set_pc(vcpu, next.pc);
    return (CpuExitKind)common->exit_kind;
}

const ExecFault *exec_fault(const Vcpu *vcpu)
{
    return &vcpu->fault;
}
