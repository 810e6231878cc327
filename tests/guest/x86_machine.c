/* A CPU in system mode without an engine: see x86_machine.h. */
#include "x86_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/x86/system.h"
#include "ir/eval.h"

/* -- The bus */

static u8 *bus_ram(void *opaque, u64 address, unsigned size, bool write)
{
    Machine *m = opaque;

    (void)write;
    if (m->rom_size && address >= m->rom_start) {
        address -= m->rom_start - (0x100000 - m->rom_size);
    }
    return address + size <= m->ram_size ? m->ram + address : NULL;
}

static u64 bus_read(void *opaque, u64 address, unsigned size)
{
    (void)opaque, (void)address;
    return ~(u64)0 >> (64 - 8 * size);
}

static void bus_write(void *opaque, u64 address, unsigned size, u64 value)
{
    (void)opaque, (void)address, (void)size, (void)value;
}

static u32 bus_port_read(void *opaque, u16 port, unsigned size)
{
    (void)opaque, (void)port;
    return ~(u32)0 >> (32 - 8 * size);
}

static void bus_port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    (void)opaque, (void)port, (void)size, (void)value;
}

static int bus_acknowledge(void *opaque)
{
    Machine *m = opaque;
    int vector = m->vector;

    __atomic_fetch_and(&cpu_common(m->cpu)->lines, ~(u32)CPU_LINE_IRQ, __ATOMIC_SEQ_CST);
    m->vector = -1;
    return vector;
}

static Machine *machine_of(void *state)
{
    return ((const GuestBus *)((X86State *)state)->system)->opaque;
}

static void bus_flush_page(void *state, u64 address)
{
    (void)address;
    machine_of(state)->flushes++;
}

static void bus_flush(void *state, bool global)
{
    (void)global;
    machine_of(state)->flushes++;
}

Machine *machine_around(X86State *cpu, u64 ram_size)
{
    Machine *m = calloc(1, sizeof(*m));

    if (!m || !(m->ram = aligned_alloc(4096, ram_size))) {
        abort();
    }
    memset(m->ram, 0, ram_size);
    m->cpu = cpu;
    m->ram_size = ram_size;
    m->vector = -1;
    m->bus = (GuestBus){.opaque = m,
                        .ram = bus_ram,
                        .read = bus_read,
                        .write = bus_write,
                        .port_read = bus_port_read,
                        .port_write = bus_port_write,
                        .acknowledge = bus_acknowledge,
                        .flush_page = bus_flush_page,
                        .flush = bus_flush};
    return m;
}

Machine *machine_new(u64 ram_size)
{
    size_t size = ALIGN_UP(sizeof(CpuCommon) + guest_x86_64.state_size, 64);
    CpuCommon *common = aligned_alloc(64, size);
    Machine *m;

    if (!common) {
        abort();
    }
    memset(common, 0, size);
    m = machine_around(cpu_state(common), ram_size);
    m->owns_cpu = true;
    common->helpers = guest_x86_64.helpers;
    guest_x86_64.reset(m->cpu, common);
    guest_x86_64.system->attach(m->cpu, &m->bus);
    return m;
}

void machine_free(Machine *m)
{
    arena_free(&m->arena);
    if (m->owns_cpu) {
        free(cpu_common(m->cpu));
    }
    free(m->ram);
    free(m);
}

/* -- Memory, as generated code accesses it */

static u64 access(Machine *m, u32 space, u64 address, void *bytes, u32 size, GuestAccess kind)
{
    const GuestSystem *system = guest_x86_64.system;
    u8 *at[16];

    for (u32 i = 0; i < size; i++) {
        GuestPage page;
        u64 word = system->walk(m->cpu, address + i, kind, space, &page);
        if (word) {
            return word;
        }
        at[i] = bus_ram(m, page.physical, 1, kind == GUEST_WRITE);
    }
    for (u32 i = 0; i < size; i++) {
        u8 *byte = (u8 *)bytes + i;
        if (kind == GUEST_WRITE && at[i]) {
            *at[i] = *byte;
        } else if (kind != GUEST_WRITE) {
            *byte = at[i] ? *at[i] : 0xff;
        }
    }
    return 0;
}

typedef struct Fetch {
    Machine *m;
    u32 space;
    u64 word; /* of the exception */
} Fetch;

static bool fetch(GuestTranslation *t, u64 address, void *bytes, u32 size)
{
    Fetch *f = t->opaque;

    f->word = access(f->m, f->space, address, bytes, size, GUEST_FETCH);
    return !f->word;
}

/* -- Walking a region */

typedef struct Walk {
    Machine *m;
    const IrRegion *region;
    IrWord *values;
    u32 space;
    u32 from; /* the block that control came from */
    u64 insn_pc;
    u64 word; /* exception raised; 0: none */
    u64 next; /* where to go on */
    bool exits;
    bool halts;
} Walk;

static u8 *slot(const Walk *w, const IrInsn *insn)
{
    return (u8 *)w->m->cpu + insn->imm;
}

static u64 address_of(const Walk *w, const IrInsn *insn)
{
    bool indexed = insn->op == IR_LOAD || insn->op == IR_STORE;
    u64 address = w->values[insn->arg[0]].i;

    if (indexed) {
        address += insn->imm;
        if (insn->arg[1]) {
            address += w->values[insn->arg[1]].i << (insn->sub & IR_MEM_SCALE);
        }
    }
    return insn->sub & IR_MEM_WRAP32 && indexed ? (u32)address : address;
}

static u64 modify(IrRmw op, u64 old, u64 operand)
{
    switch (op) {
    case IR_RMW_ADD:
        return old + operand;
    case IR_RMW_AND:
        return old & operand;
    case IR_RMW_OR:
        return old | operand;
    case IR_RMW_XOR:
        return old ^ operand;
    default:
        return operand;
    }
}

/* Addresses wrap at 4 GiB byte by byte: none of these tests gets there. */
static void walk_memory(Walk *w, const IrInsn *insn, IrWord *result)
{
    u32 size = ir_type_size((IrType)insn->type);
    u64 address = address_of(w, insn);
    IrWord old = {0}, new = {0};

    if (insn->op == IR_STORE) {
        w->word = access(w->m, w->space, address, &w->values[insn->arg[2]], size, GUEST_WRITE);
        return;
    }
    if (insn->op != IR_LOAD) { /* rights first */
        GuestPage page;
        w->word = guest_x86_64.system->walk(w->m->cpu, address, GUEST_WRITE, w->space, &page);
    }
    if (!w->word) {
        w->word = access(w->m, w->space, address, &old, size, GUEST_READ);
    }
    if (w->word || insn->op == IR_LOAD) {
        *result = old;
        return;
    }
    if (insn->op == IR_RMW) {
        new.i = modify((IrRmw)insn->imm, old.i, w->values[insn->arg[1]].i);
    } else {
        bool same = memcmp(&old, &w->values[insn->arg[1]], size) == 0;
        new = same ? w->values[insn->arg[2]] : old;
    }
    w->word = access(w->m, w->space, address, &new, size, GUEST_WRITE);
    *result = old;
}

static void walk_call(Walk *w, const IrInsn *insn, IrWord *result)
{
    CpuCommon *common = cpu_common(w->m->cpu);

    for (u32 i = 0; i < 4; i++) {
        common->io[i + 1] = insn->arg[i] ? w->values[insn->arg[i]] : (IrWord){0};
    }
    guest_x86_64.helpers[insn->imm].function(w->m->cpu, common->io);
    if (insn->type != IR_VOID) {
        memset(result, 0, sizeof(*result));
        memcpy(result, &common->io[0], ir_type_size((IrType)insn->type));
    }
}

static void walk_exit(Walk *w, const IrInsn *insn)
{
    w->exits = true;
    w->next = insn->imm;
    switch ((IrExit)insn->sub) {
    case IR_EXIT_RESYNC:
        w->next = insn->imm2 ? w->m->cpu->rip : insn->imm;
        break;
    case IR_EXIT_EXCEPTION:
        w->word = insn->imm2 ? insn->imm2 : cpu_common(w->m->cpu)->exit_address;
        break;
    case IR_EXIT_HALT:
        w->halts = true;
        break;
    default:
        break;
    }
}

/* The value that a PHI of `block` has: arguments are in order of the blocks that lead there. */
static IrWord phi_value(const Walk *w, const IrInsn *insn, u32 block)
{
    u32 n = 0;

    for (u32 i = 0; i < w->from; i++) {
        const u32 *successor = w->region->blocks[i].successor;
        n += successor[0] == block || successor[1] == block;
    }
    return w->values[w->region->phi_args[insn->imm + n]];
}

/* Executes one operation; returns the block to go on in. */
static u32 walk_insn(Walk *w, u32 block, IrVal v)
{
    const IrInsn *insn = ir_insn(w->region, v);
    IrWord *result = &w->values[v], args[3] = {{0}};
    u8 types[3] = {0};

    switch ((IrOp)insn->op) {
    case IR_INSN:
        w->insn_pc = insn->imm;
        w->m->instructions++;
        break;
    case IR_GET:
        memset(result, 0, sizeof(*result));
        memcpy(result, slot(w, insn), ir_type_size((IrType)insn->type));
        break;
    case IR_PUT:
    case IR_NOTE:
        memcpy(slot(w, insn), &w->values[insn->arg[0]], ir_type_size((IrType)insn->type));
        break;
    case IR_LOAD:
    case IR_STORE:
    case IR_CAS:
    case IR_RMW:
        walk_memory(w, insn, result);
        break;
    case IR_CALL:
        walk_call(w, insn, result);
        break;
    case IR_PHI:
        *result = phi_value(w, insn, block);
        break;
    case IR_FENCE:
        break;
    case IR_JUMP:
        return w->region->blocks[block].successor[0];
    case IR_BRANCH:
        return w->region->blocks[block].successor[(u32)w->values[insn->arg[0]].i == 0];
    case IR_GOTO:
    case IR_GOTO_CALL:
        w->exits = true;
        w->next = insn->imm;
        break;
    case IR_IGOTO:
    case IR_IGOTO_CALL:
    case IR_IGOTO_RET:
        w->exits = true;
        w->next = w->values[insn->arg[0]].i;
        break;
    case IR_EXIT:
        walk_exit(w, insn);
        break;
    default:
        for (u32 i = 0; i < 3; i++) {
            args[i] = w->values[insn->arg[i]];
            types[i] = insn->arg[i] ? ir_insn(w->region, insn->arg[i])->type : IR_VOID;
        }
        ir_eval(insn, types, args, result, &cpu_common(w->m->cpu)->fp);
        break;
    }
    return block;
}

static void walk_region(Walk *w)
{
    u32 block = 0;
    IrVal v = w->region->blocks[0].first;

    while (!w->exits && !w->word) {
        u32 next = walk_insn(w, block, v);
        u8 op = ir_insn(w->region, v)->op;
        bool moves = op == IR_JUMP || op == IR_BRANCH;
        w->from = moves ? block : w->from;
        v = moves ? w->region->blocks[next].first : ir_insn(w->region, v)->next;
        block = next;
    }
}

/* -- Steps */

static MachineStop finish(Machine *m, const Walk *w)
{
    m->cpu->rip = w->exits ? w->next : w->insn_pc;
    if (w->word && !guest_x86_64.system->deliver(m->cpu, w->word)) {
        return MACHINE_SHUTDOWN;
    }
    return MACHINE_RUNS;
}

static MachineStop execute(Machine *m, u32 count)
{
    const Guest *guest = &guest_x86_64;
    u32 mode = guest->mode(m->cpu);
    Fetch source = {.m = m, .space = guest->system->space(mode)};
    GuestTranslation t = {.pc = m->cpu->rip,
                          .mode = mode,
                          .context = guest->system->context(m->cpu),
                          .max_insns = count,
                          .fetch = fetch,
                          .opaque = &source,
                          .state = m->cpu};
    IrRegion *region;
    Walk w;

    arena_reset(&m->arena);
    region = ir_region_new(&m->arena);
    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    t.b = (IrBuilder){.region = region, .block = ir_block_new(region)};
    guest->translate(&t);
    w = (Walk){.m = m, .region = region, .space = source.space, .insn_pc = t.pc};
    if (source.word && t.insn_count == 0) {
        w.word = source.word;
        return finish(m, &w);
    }
    w.values = arena_alloc(&m->arena, sizeof(IrWord) * region->insn_count, _Alignof(IrWord));
    memset(&w.values[0], 0, sizeof(w.values[0]));
    walk_region(&w);
    return finish(m, &w);
}

MachineStop machine_step(Machine *m, u32 count)
{
    const GuestSystem *system = guest_x86_64.system;
    CpuCommon *common = cpu_common(m->cpu);

    if (__atomic_exchange_n(&common->interrupt, 0, __ATOMIC_SEQ_CST) && common->lines &&
        system->interrupt(m->cpu, common->lines)) {
        return m->cpu->shutdown ? MACHINE_SHUTDOWN : MACHINE_RUNS;
    }
    return system->halted(m->cpu) ? MACHINE_HALTED : execute(m, count);
}

MachineStop machine_run(Machine *m, u64 count)
{
    u64 end = m->instructions + count;
    MachineStop stop = MACHINE_RUNS;

    while (stop == MACHINE_RUNS && m->instructions < end) {
        stop = machine_step(m, 64);
    }
    return stop;
}
