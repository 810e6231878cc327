/* The portable interpreter as a host: its "code" is the region itself, written out for walking.
 *
 * Compiled code is a header, the steps (one for each operation, arguments renumbered densely), and
 * the lists of values that PHIs take on the edges between blocks. It holds no pointers. A link is
 * the distance from its own place to the code it leads to; 0: not linked.
 *
 * What computes a value is left to ir_eval(); here are control flow, state slots, guest memory and
 * helpers. Every slot is in memory all the time, PUTs and NOTEs are carried out at once, and
 * floating point is always exact, so that the precise state at a fault is simply there: recover()
 * only says at which guest instruction. Faults strike C code here, so access_site() tells the
 * engine which step is accessing guest memory, and abandon() makes the signal handler return into
 * a function that jumps back to enter().
 * Must not optimise: this is what the other hosts are compared with. */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "host/host.h"
#include "host/interp/memory.h"
#include "ir/eval.h"
#include "ir/graph.h"

/* Words of CpuCommon.host. */
enum {
    WORD_UNWIND,  /* sigjmp_buf *: where abandon() ends up */
    WORD_SITE,    /* const Step *: accessing guest memory now, or 0 */
    WORD_INSN_PC, /* guest pc of the current INSN */
    WORD_CODE,    /* const Code *: being run */
};

typedef struct Step {
    IrInsn insn;     /* arg: value numbers; prev: number of the result; of JUMP and BRANCH imm and
                        imm2: see edge() */
    u8 arg_types[4]; /* IrType */
    u32 unused;
    s64 link; /* GOTO: from here to the linked code; atomic */
} Step;

/* A value that takes another's place on an edge. Lists end with to = 0. */
typedef struct Move {
    u32 to, from;
} Move;

typedef struct Code {
    u32 step_count, value_count, move_count;
    u32 move_max; /* longest list */
    u32 code_shift;
    u64 guest_base;
    u8 order; /* IrMem bits that plain accesses have besides their own */
    u8 space; /* of memory accesses, with */
    bool soft_mmu;
    Step steps[]; /* then the moves */
} Code;

static const Move *moves_of(const Code *code)
{
    return (const Move *)(code->steps + code->step_count);
}

/* What accesses need on this machine to be in total store order. */
#ifdef __x86_64__
enum { host_order = 0 };
#else
enum { host_order = IR_MEM_ACQUIRE | IR_MEM_RELEASE };
#endif

/* -- Compiling */

typedef struct Compiler {
    const IrRegion *region;
    IrGraph graph;
    u32 *number;     /* by value: its dense number */
    u32 *first_step; /* by block */
    Code *code;
    Move *moves;
    HostBlock *out;
    u8 *start;
} Compiler;

/* Numbers values and steps, and sizes the lists. */
static void count(Compiler *c, Code *size)
{
    u32 phis = 0;

    size->value_count = 1; /* 0: absent arguments */
    for (u32 block = 0; block < c->region->block_count; block++) {
        u32 in_block = 0;
        c->first_step[block] = size->step_count;
        IR_FOR_EACH(c->region, block, value)
        {
            const IrInsn *insn = &c->region->insns[value];
            c->number[value] = ir_has_value(insn) ? size->value_count++ : 0;
            in_block += insn->op == IR_PHI;
            size->step_count += insn->op != IR_PHI;
            c->out->link_count += insn->op == IR_GOTO || insn->op == IR_GOTO_CALL;
        }
        phis += in_block * ir_predecessor_count(&c->graph, block);
        size->move_max = MAX(size->move_max, in_block);
        size->move_count += ir_predecessor_count(&c->graph, block); /* the ends */
    }
    size->move_count += phis;
}

/* The edge as one number: first step of the target in the low half, its moves in the high half. */
static u64 edge(Compiler *c, u32 from, u32 to)
{
    const IrRegion *region = c->region;
    u32 list = c->code->move_count, index = 0;

    while (c->graph.predecessors[c->graph.first_predecessor[to] + index] != from) {
        index++;
    }
    IR_FOR_EACH(region, to, value)
    {
        const IrInsn *insn = &region->insns[value];
        if (insn->op == IR_PHI) {
            IrVal arg = region->phi_args[insn->imm + index];
            c->moves[c->code->move_count++] = (Move){c->number[value], c->number[arg]};
        }
    }
    c->moves[c->code->move_count++] = (Move){0};
    return (u64)list << 32 | c->first_step[to];
}

static void add_link(Compiler *c, const Step *step)
{
    u32 site = (u32)((const u8 *)&step->link - c->start);

    c->out->links[c->out->link_count++] = (HostLink){step->insn.imm, site, site};
}

static void write_step(Compiler *c, u32 block, IrVal value)
{
    const IrRegion *region = c->region;
    Step *step = &c->code->steps[c->code->step_count++];

    *step = (Step){.insn = region->insns[value]};
    for (u32 i = 0; i < COUNT(step->insn.arg); i++) {
        IrVal arg = step->insn.arg[i];
        step->arg_types[i] = arg ? region->insns[arg].type : IR_VOID;
        step->insn.arg[i] = arg ? c->number[arg] : 0;
    }
    step->insn.prev = c->number[value];
    switch ((IrOp)step->insn.op) {
    case IR_BRANCH:
        step->insn.imm2 = edge(c, block, region->blocks[block].successor[1]);
        step->insn.imm = edge(c, block, region->blocks[block].successor[0]);
        break;
    case IR_JUMP:
        step->insn.imm = edge(c, block, region->blocks[block].successor[0]);
        break;
    case IR_GOTO:
    case IR_GOTO_CALL:
        add_link(c, step);
        break;
    default:
        break;
    }
}

static int compile(const IrRegion *region, const HostConfig *config, u8 *cache, u8 *code,
                   size_t room, Arena *arena, HostBlock *out)
{
    Code size = {.code_shift = config->code_shift,
                 .guest_base = config->guest_base,
                 .soft_mmu = config->soft_mmu,
                 .space = (u8)region->space,
                 .order = config->strong_order ? host_order : 0};
    Compiler c = {
        .region = region,
        .number = ARENA_ARRAY(arena, u32, region->insn_count),
        .first_step = ARENA_ARRAY(arena, u32, region->block_count),
        .code = (Code *)code,
        .out = out,
        .start = code,
    };

    (void)cache;
    *out = (HostBlock){0};
    ir_graph_make(region, &c.graph, arena);
    count(&c, &size);
    size_t bytes = sizeof(Code) + size.step_count * sizeof(Step) + size.move_count * sizeof(Move);
    if (bytes > room) {
        return -ENOSPC;
    }
    c.moves = (Move *)(c.code->steps + size.step_count);
    *c.code = size;
    c.code->step_count = c.code->move_count = 0;
    out->links = ARENA_ARRAY(arena, HostLink, out->link_count);
    out->link_count = 0;
    out->size = (u32)bytes;
    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            if (region->insns[value].op != IR_PHI) {
                write_step(&c, block, value);
            }
        }
    }
    return 0;
}

/* -- Running */

typedef struct Runner {
    void *state;
    CpuCommon *common;
    const Code *code;
    IrWord *values;
} Runner;

/* Tells the signal handler that a fault from here on is the step's; NULL: no more. */
static void set_site(CpuCommon *common, const Step *step)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(volatile u64 *)&common->host[WORD_SITE] = (u64)(uintptr_t)step;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void leave(CpuCommon *common, CpuExitKind kind, u64 pc, u64 code, const void *link)
{
    common->exit_kind = kind;
    common->pc = pc;
    common->exit_code = code;
    common->exit_link = link;
}

static bool interrupted(const CpuCommon *common)
{
    return __atomic_load_n(&common->interrupt, __ATOMIC_RELAXED) != 0;
}

static const JumpEntry *jump_entry(const Runner *r, u64 pc)
{
    const JumpEntry *table = __atomic_load_n(&r->common->jump_table, __ATOMIC_ACQUIRE);

    return &table[jump_index(pc, r->code->code_shift)];
}

/* Each of these returns the code to go on with, or NULL after leave(). */

static const u8 *run_goto(Runner *r, const Step *step)
{
    s64 link = __atomic_load_n(&step->link, __ATOMIC_ACQUIRE);

    if ((step->insn.sub & IR_POLL) && interrupted(r->common)) {
        leave(r->common, CPU_EXIT_INTERRUPT, step->insn.imm, 0, NULL);
        return NULL;
    }
    if (!link && r->code->soft_mmu) {
        const JumpEntry *entry = jump_entry(r, step->insn.imm);
        if (entry->pc == step->insn.imm) {
            return entry->code;
        }
    }
    if (!link) {
        leave(r->common, CPU_EXIT_LINK, step->insn.imm, 0, &step->link);
        return NULL;
    }
    return (const u8 *)&step->link + link;
}

static const u8 *run_igoto(Runner *r, u64 pc)
{
    const JumpEntry *entry = jump_entry(r, pc);

    if (interrupted(r->common)) {
        leave(r->common, CPU_EXIT_INTERRUPT, pc, 0, NULL);
        return NULL;
    }
    if (__atomic_load_n(&entry->pc, __ATOMIC_SEQ_CST) != pc || !entry->code) {
        leave(r->common, CPU_EXIT_LOOKUP, pc, 0, NULL);
        return NULL;
    }
    return entry->code;
}

/* Takes the edge: all moves at once. Returns the step to go on with. */
static const Step *follow(Runner *r, u64 edge)
{
    const Move *list = moves_of(r->code) + (edge >> 32);
    IrWord *taken = r->values + r->code->value_count;

    for (u32 i = 0; list[i].to; i++) {
        taken[i] = r->values[list[i].from];
    }
    for (u32 i = 0; list[i].to; i++) {
        r->values[list[i].to] = taken[i];
    }
    return r->code->steps + (u32)edge;
}

static IrWord *arg(Runner *r, const Step *step, u32 index)
{
    return &r->values[step->insn.arg[index]];
}

static void run_call(Runner *r, const Step *step)
{
    const IrHelper *helper = (const IrHelper *)r->common->helpers + step->insn.imm;
    IrWord *io = r->common->io;

    for (u32 i = 0; i < COUNT(step->insn.arg); i++) {
        io[i + 1] = *arg(r, step, i);
    }
    if (helper->flags & IR_HELPER_FAULTS) {
        set_site(r->common, step);
    }
    helper->function(r->state, io);
    set_site(r->common, NULL);
    if (step->insn.prev) {
        IrWord *result = &r->values[step->insn.prev];
        memset(result, 0, sizeof(*result));
        memcpy(result, &io[0], ir_type_size((IrType)step->insn.type));
    }
}

/* LOAD, STORE, CAS or RMW of memory at a host address. */
static void access_memory(Runner *r, const Step *step, u8 *at)
{
    const IrInsn *insn = &step->insn;
    u32 size = ir_type_size((IrType)insn->type);

    switch ((IrOp)insn->op) {
    case IR_LOAD:
        interp_load(at, size, insn->sub | r->code->order, &r->values[insn->prev]);
        break;
    case IR_STORE:
        interp_store(at, size, insn->sub | r->code->order, arg(r, step, 2));
        break;
    case IR_CAS:
        if (insn->type == IR_V128) {
            interp_cas16(at, arg(r, step, 1), arg(r, step, 2), &r->values[insn->prev]);
            break;
        }
        r->values[insn->prev] =
            (IrWord){.i = interp_cas(at, size, insn->sub, arg(r, step, 1)->i, arg(r, step, 2)->i)};
        break;
    default: /* IR_RMW */
        r->values[insn->prev] =
            (IrWord){.i = interp_rmw(at, size, insn->sub, (IrRmw)insn->imm, arg(r, step, 1)->i)};
        break;
    }
}

/* What the TLB doesn't settle. */
static bool access_slowly(Runner *r, const Step *step, u64 address)
{
    static const u8 operations[] = {
        [IR_LOAD] = MMU_LOAD, [IR_STORE] = MMU_STORE, [IR_CAS] = MMU_CAS, [IR_RMW] = MMU_RMW};
    const IrInsn *insn = &step->insn;
    MmuAccess access = {
        .address = address,
        .operation = operations[insn->op],
        .size = (u8)ir_type_size((IrType)insn->type),
        .space = r->code->space,
        .sub = insn->sub | r->code->order,
        .rmw = (u8)insn->imm,
        .site = (const u8 *)step,
    };

    switch (access.operation) {
    case MMU_STORE:
        access.value = *arg(r, step, 2);
        break;
    case MMU_CAS:
        access.expected = *arg(r, step, 1);
        access.value = *arg(r, step, 2);
        break;
    case MMU_RMW:
        access.value = *arg(r, step, 1);
        break;
    }
    if (!r->common->mmu_access(r->state, &access)) {
        return false;
    }
    if (insn->prev) {
        r->values[insn->prev] = access.result;
    }
    return true;
}

static bool access_translated(Runner *r, const Step *step, u64 address)
{
    u32 size = ir_type_size((IrType)step->insn.type);
    const TlbEntry *entry = tlb_entry(r->common, r->code->space, address);
    const u64 *tag = step->insn.op == IR_LOAD ? &entry->read : &entry->write;
    bool misaligned = step->insn.sub & IR_MEM_ALIGNED && address & 15;

    if (misaligned ||
        __atomic_load_n(tag, __ATOMIC_RELAXED) != ALIGN_DOWN(address + size - 1, (u64)TLB_PAGE)) {
        return access_slowly(r, step, address);
    }
    access_memory(r, step, (u8 *)(uintptr_t)(address + entry->addend));
    return true;
}

/* False: left. */
static bool run_memory(Runner *r, const Step *step)
{
    const IrInsn *insn = &step->insn;
    u64 index = insn->op == IR_LOAD || insn->op == IR_STORE
                    ? (arg(r, step, 1)->i << (insn->sub & IR_MEM_SCALE)) + insn->imm
                    : 0;
    u64 address = arg(r, step, 0)->i + index;

    address = insn->sub & IR_MEM_WRAP32 ? (u32)address : address;
    if (r->code->soft_mmu) {
        return access_translated(r, step, address);
    }
    set_site(r->common, step);
    access_memory(r, step, (u8 *)(uintptr_t)(address + r->code->guest_base));
    set_site(r->common, NULL);
    return true;
}

static void run_get(Runner *r, const Step *step)
{
    IrWord *result = &r->values[step->insn.prev];

    memset(result, 0, sizeof(*result));
    memcpy(result, (u8 *)r->state + step->insn.imm, ir_type_size((IrType)step->insn.type));
}

static void run_value(Runner *r, const Step *step)
{
    const IrWord args[3] = {*arg(r, step, 0), *arg(r, step, 1), *arg(r, step, 2)};

    ir_eval(&step->insn, step->arg_types, args, &r->values[step->insn.prev], &r->common->fp);
}

/* An operation that does not end its block; false: it left nevertheless. */
static bool run_step(Runner *r, const Step *step)
{
    switch ((IrOp)step->insn.op) {
    case IR_GET:
        run_get(r, step);
        break;
    case IR_PUT:
    case IR_NOTE: /* what a fault must find is simply stored */
        memcpy((u8 *)r->state + step->insn.imm, arg(r, step, 0),
               ir_type_size((IrType)step->insn.type));
        break;
    case IR_LOAD:
    case IR_STORE:
    case IR_CAS:
    case IR_RMW:
        return run_memory(r, step);
    case IR_FENCE:
        interp_fence();
        break;
    case IR_CALL:
        run_call(r, step);
        break;
    case IR_INSN:
        r->common->host[WORD_INSN_PC] = step->insn.imm;
        break;
    default:
        run_value(r, step);
        break;
    }
    return true;
}

/* Runs a block's code; returns the next code, or NULL when it left. */
static const u8 *run(void *state, const Code *code)
{
    IrWord values[code->value_count + code->move_max];
    Runner r = {state, cpu_common(state), code, values};
    const Step *step = code->steps;

    memset(&values[0], 0, sizeof(values[0]));
    r.common->host[WORD_CODE] = (u64)(uintptr_t)code;
    for (;;) {
        switch ((IrOp)step->insn.op) {
        case IR_JUMP:
            step = follow(&r, step->insn.imm);
            break;
        case IR_BRANCH:
            step = follow(&r, (u32)arg(&r, step, 0)->i ? step->insn.imm : step->insn.imm2);
            break;
        case IR_GOTO:
        case IR_GOTO_CALL:
            return run_goto(&r, step);
        case IR_IGOTO:
        case IR_IGOTO_CALL:
        case IR_IGOTO_RET:
            return run_igoto(&r, arg(&r, step, 0)->i);
        case IR_EXIT:
            leave(r.common, CPU_EXIT_IR, step->insn.imm,
                  (u64)step->insn.sub << 32 | (u32)step->insn.imm2, NULL);
            return NULL;
        default:
            if (!run_step(&r, step++)) {
                return NULL;
            }
            break;
        }
    }
}

static void run_all(void *state, const u8 *code)
{
    while (code) {
        code = run(state, (const Code *)code);
    }
}

static void enter(void *state, const u8 *cache, const u8 *code)
{
    CpuCommon *common = cpu_common(state);

    (void)cache;
    if (!sigsetjmp(*(sigjmp_buf *)(uintptr_t)common->host[WORD_UNWIND], 0)) {
        run_all(state, code);
    }
    set_site(common, NULL);
}

/* -- Links, faults, vCPUs */

static void link_site(u8 *site, const u8 *target)
{
    __atomic_store_n((s64 *)(void *)site, target - site, __ATOMIC_RELEASE);
}

static const u8 *access_site(const CpuCommon *common)
{
    return (const u8 *)(uintptr_t) * (const volatile u64 *)&common->host[WORD_SITE];
}

static const u8 *calling_code(const CpuCommon *common)
{
    return (const u8 *)(uintptr_t)common->host[WORD_CODE];
}

static bool recover(void *state, HostFault *fault)
{
    fault->pc = cpu_common(state)->host[WORD_INSN_PC];
    return true;
}

static _Noreturn void unwind(sigjmp_buf *where)
{
    siglongjmp(*where, 1);
}

/* As if the interrupted code had called unwind(): below its red zone, on an aligned stack. */
static void abandon(void *state, const u8 *cache, void *context)
{
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    u64 where = cpu_common(state)->host[WORD_UNWIND];

    (void)cache;
#if defined(__x86_64__)
    machine->gregs[REG_RIP] = (greg_t)(uintptr_t)unwind;
    machine->gregs[REG_RDI] = (greg_t)where;
    machine->gregs[REG_RSP] = ((machine->gregs[REG_RSP] - 256) & ~(greg_t)15) - 8;
#elif defined(__aarch64__)
    machine->pc = (u64)(uintptr_t)unwind;
    machine->regs[0] = where;
    machine->sp = (machine->sp - 256) & ~(u64)15;
#else
#error "say here how this host's signal context makes a call"
#endif
}

static int cpu_init(CpuCommon *common)
{
    sigjmp_buf *unwind_to = malloc(sizeof(sigjmp_buf));

    common->host[WORD_UNWIND] = (u64)(uintptr_t)unwind_to;
    common->host[WORD_SITE] = 0;
    return unwind_to ? 0 : -ENOMEM;
}

static void cpu_free(CpuCommon *common)
{
    free((void *)(uintptr_t)common->host[WORD_UNWIND]);
}

static bool usable(const char **why)
{
    *why = NULL;
    return true;
}

static size_t begin_cache(u8 *code, size_t room, const HostConfig *config)
{
    (void)code, (void)room, (void)config;
    return 0; /* no stubs */
}

/* Nothing is predicted, and common->fp is used as it is. */
static void no_switch(CpuCommon *common, u32 number)
{
    (void)common;
    (void)number;
}

static void nothing(CpuCommon *common)
{
    (void)common;
}

const Host host_interp = {
    .name = "interp",
    .usable = usable,
    .begin_cache = begin_cache,
    .compile = compile,
    .enter = enter,
    .link = link_site,
    .cpu_init = cpu_init,
    .cpu_free = cpu_free,
    .reset_returns = nothing,
    .switch_returns = no_switch,
    .trim_returns = nothing,
    .calling_code = calling_code,
    .set_fp = nothing,
    .recover = recover,
    .abandon = abandon,
    .access_site = access_site,
};
