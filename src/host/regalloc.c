/* Registers, homes, evictions and edges: see regalloc.h. */
#include "host/regalloc.h"

#include <assert.h>
#include <string.h>

/* The last spill slot is for breaking cycles of parallel moves. */
enum { SPILL_SLOTS = CPU_SPILL_SLOTS - 1, SPILL_SCRATCH = CPU_SPILL_SLOTS - 1 };

static RegSet bit(u8 reg)
{
    return (RegSet)1 << reg;
}

void ra_init(RegAlloc *ra, const IrRegion *region, const RegMachine *machine, const RegPins *pins,
             void *context, Arena *arena)
{
    u32 n = region->insn_count;

    *ra = (RegAlloc){.region = region,
                     .machine = machine,
                     .pins = pins,
                     .context = context,
                     .arena = arena,
                     .values = arena_alloc(arena, n * sizeof(RegValue), 8),
                     .uses = arena_alloc(arena, n * sizeof(RegUses), 8),
                     .root = ARENA_ARRAY(arena, IrVal, n),
                     .traits = ARENA_ARRAY(arena, u8, n),
                     .entries = ARENA_ARRAY(arena, RegEntry, region->block_count),
                     .live_in = ARENA_ARRAY(arena, RegLiveIn *, region->block_count),
                     .slot_homes = ARENA_ARRAY(arena, IrVal, n)};
    for (u32 i = 0; i < n; i++) {
        IrType type = (IrType)region->insns[i].type;
        ra->values[i] = (RegValue){.reg = REG_NONE,
                                   .class = type >= IR_I128 ? REG_VECTOR : REG_INT,
                                   .width = (u8)ir_type_size(type),
                                   .target = REG_PIN_NONE,
                                   .next_use = REG_NEVER,
                                   .first_use = REG_NEVER};
        ra->uses[i].count = 0;
    }
}

u8 ra_pin_of(const RegPins *pins, u32 offset, u32 size, bool *overlaps)
{
    *overlaps = false;
    for (u32 at = offset / 4; at <= (offset + size - 1) / 4 && at < REG_PIN_BYTES / 4; at++) {
        u8 pin = pins->at[at];
        if (pin != REG_PIN_NONE) {
            if (pins->pin[pin].offset == offset && size <= pins->pin[pin].size) {
                return pin;
            }
            *overlaps = true;
        }
    }
    return REG_PIN_NONE;
}

/* -- Lists of the values in a register */

static void attach(RegAlloc *ra, IrVal value, u8 reg)
{
    ra->values[value].reg = reg;
    ra->values[value].next_in_reg = ra->in_reg[reg];
    ra->in_reg[reg] = value;
}

static void detach(RegAlloc *ra, IrVal value)
{
    u8 reg = ra->values[value].reg;

    if (reg == REG_NONE) {
        return;
    }
    IrVal *link = &ra->in_reg[reg];
    while (*link && *link != value) {
        link = &ra->values[*link].next_in_reg;
    }
    if (*link) {
        *link = ra->values[value].next_in_reg;
    }
    ra->values[value].reg = REG_NONE;
}

static u8 home_size(RegClass class)
{
    return class == REG_INT ? 8 : 16;
}

static void drop_home(RegAlloc *ra, IrVal value)
{
    RegHome *home = &ra->values[value].home;

    if (home->kind == HOME_SPILL) {
        ra->spills_used &= ~((u64)1 << home->where);
    }
    if (home->kind != HOME_CONST) {
        home->kind = HOME_NONE;
    }
}

static void release(RegAlloc *ra, IrVal value)
{
    detach(ra, value);
    drop_home(ra, value);
}

static bool live(const RegAlloc *ra, IrVal value)
{
    const RegValue *v = &ra->values[value];

    return v->next_use != REG_NEVER || v->keep_until > ra->position;
}

/* Whether the value must not be lost: it is live, or an operand of the current instruction. */
static bool needed(const RegAlloc *ra, IrVal value)
{
    for (u32 i = 0; i < ra->current->count; i++) {
        if (ra->current->value[i] == value) {
            return true;
        }
    }
    return live(ra, value);
}

static RegHome new_spill(RegAlloc *ra, u64 *used, RegClass class)
{
    u32 slot = ~*used ? (u32)__builtin_ctzll(~*used) : SPILL_SLOTS;

    if (slot >= SPILL_SLOTS) {
        ra->out_of_spills = true;
        slot = SPILL_SLOTS - 1;
    }
    *used |= (u64)1 << slot;
    return (RegHome){HOME_SPILL, home_size(class), (s32)slot};
}

/* Gives the value a home in memory, if it has none, and takes it out of its register. */
static void send_home(RegAlloc *ra, IrVal value)
{
    RegValue *v = &ra->values[value];

    if (v->home.kind == HOME_NONE && needed(ra, value)) {
        v->home = new_spill(ra, &ra->spills_used, v->class);
        ra->machine->store(ra->context, v->home, v->reg);
    }
    ra->disturbed = true;
    detach(ra, value);
}

/* -- Taking registers */

static RegSet occupied(const RegAlloc *ra, RegSet of)
{
    RegSet set = 0;

    for (RegSet rest = of; rest; rest &= rest - 1) {
        u8 reg = (u8)__builtin_ctz(rest);
        if (ra->in_reg[reg]) {
            set |= bit(reg);
        }
    }
    return set;
}

/* When the values in the register are needed next; those with a home count as later, since to evict
 * them costs nothing. */
static u64 distance(const RegAlloc *ra, u8 reg)
{
    u64 nearest = ~(u64)0;

    for (IrVal value = ra->in_reg[reg]; value; value = ra->values[value].next_in_reg) {
        const RegValue *v = &ra->values[value];
        u64 next = v->next_use;
        if (v->home.kind != HOME_NONE) {
            next += 4;
        }
        nearest = MIN(nearest, next);
    }
    return nearest;
}

static void empty(RegAlloc *ra, u8 reg)
{
    while (ra->in_reg[reg]) {
        send_home(ra, ra->in_reg[reg]);
    }
}

/* A register of the set that no value occupies, or REG_NONE. */
static u8 free_register(const RegAlloc *ra, RegSet set)
{
    RegSet candidates = set & ~ra->locked;

    candidates &= ~occupied(ra, candidates);
    return candidates ? (u8)__builtin_ctz(candidates) : REG_NONE;
}

static u8 take(RegAlloc *ra, RegClass class)
{
    RegSet candidates = ra->machine->temporaries[class] & ~ra->locked;
    u8 best = free_register(ra, candidates);

    if (best != REG_NONE) {
        return best;
    }
    assert(candidates && "an instruction locks every temporary");
    u64 furthest = 0;
    for (RegSet rest = candidates; rest; rest &= rest - 1) {
        u8 reg = (u8)__builtin_ctz(rest);
        u64 d = distance(ra, reg);
        if (d >= furthest) {
            furthest = d;
            best = reg;
        }
    }
    empty(ra, best);
    return best;
}

static bool is_pinned(const RegAlloc *ra, u8 reg)
{
    return !(bit(reg) & (ra->machine->temporaries[0] | ra->machine->temporaries[1]));
}

/* The value must leave its register: to another one if one is free, else home. */
static void displace(RegAlloc *ra, IrVal value)
{
    RegValue *v = &ra->values[value];
    u8 from = v->reg;

    if (v->home.kind == HOME_NONE && needed(ra, value)) {
        u8 to = free_register(ra, ra->machine->temporaries[v->class]);
        if (to != REG_NONE) {
            ra->machine->move(ra->context, to, from);
            ra->disturbed = true;
            detach(ra, value);
            attach(ra, value, to);
            return;
        }
    }
    send_home(ra, value);
}

/* -- Around each instruction */

void ra_begin(RegAlloc *ra, IrVal insn, u32 position)
{
    const RegUses *uses = &ra->uses[insn];

    ra->position = position;
    ra->locked = 0;
    ra->disturbed = false;
    ra->current = uses;
    for (u32 i = 0; i < uses->count; i++) {
        ra->values[uses->value[i]].next_use = uses->next[i];
    }
}

void ra_end(RegAlloc *ra, IrVal insn)
{
    const RegUses *uses = &ra->uses[insn];

    ra->locked = 0;
    for (u32 i = 0; i < uses->count; i++) {
        if (!live(ra, uses->value[i])) {
            release(ra, uses->value[i]);
        }
    }
    if (ra->root[insn] == insn && ra->values[insn].reg != REG_NONE && !live(ra, insn)) {
        release(ra, insn);
    }
}

/* -- Verbs */

u8 ra_where(const RegAlloc *ra, IrVal value)
{
    return ra_value(ra, value)->reg;
}

u8 ra_use(RegAlloc *ra, IrVal value)
{
    IrVal root = ra_root(ra, value);
    RegValue *v = &ra->values[root];

    if (v->reg == REG_NONE) {
        u8 reg = take(ra, v->class);
        assert(v->home.kind != HOME_NONE && "a value is used that is nowhere");
        ra->machine->load(ra->context, reg, v->home, root);
        attach(ra, root, reg);
    }
    ra->locked |= bit(v->reg);
    return v->reg;
}

bool ra_from_memory(RegAlloc *ra, IrVal value, u32 size, RegHome *home)
{
    const RegValue *v = ra_value(ra, value);

    if (v->reg != REG_NONE || v->home.size < size ||
        (v->home.kind != HOME_SPILL && v->home.kind != HOME_SLOT)) {
        return false;
    }
    if (v->next_use < REG_ELSEWHERE &&
        free_register(ra, ra->machine->temporaries[v->class]) != REG_NONE) {
        return false;
    }
    *home = v->home;
    return true;
}

void ra_claim(RegAlloc *ra, u8 reg)
{
    assert(!(ra->locked & bit(reg)));
    ra->locked |= bit(reg);
    while (ra->in_reg[reg]) {
        displace(ra, ra->in_reg[reg]);
    }
}

void ra_use_fixed(RegAlloc *ra, IrVal value, u8 reg)
{
    IrVal root = ra_root(ra, value);
    RegValue *v = &ra->values[root];

    assert(!(ra->locked & bit(reg)));
    ra->locked |= bit(reg);
    if (v->reg == reg) {
        /* The content stays for the caller; a value needed later leaves with a copy. */
        u32 mentions = 0;
        for (u32 i = 0; i < ra->current->count; i++) {
            mentions += ra->current->value[i] == root;
        }
        if (!live(ra, root) && mentions <= 1) {
            detach(ra, root);
        }
        while (ra->in_reg[reg]) {
            displace(ra, ra->in_reg[reg]);
        }
        return;
    }
    while (ra->in_reg[reg]) {
        displace(ra, ra->in_reg[reg]);
    }
    if (v->reg != REG_NONE) {
        ra->machine->move(ra->context, reg, v->reg);
    } else {
        ra->machine->load(ra->context, reg, v->home, root);
    }
}

u8 ra_scratch(RegAlloc *ra, RegClass class)
{
    u8 reg = take(ra, class);

    ra->locked |= bit(reg);
    return reg;
}

void ra_release(RegAlloc *ra, u8 reg)
{
    ra->locked &= ~bit(reg);
}

static void defined(RegAlloc *ra, IrVal value, u8 reg)
{
    RegValue *v = &ra->values[value];

    v->next_use = v->first_use;
    v->home.kind = HOME_NONE;
    attach(ra, value, reg);
    ra->locked |= bit(reg);
}

/* Whether no value in the register is needed after this instruction. */
static bool dies(const RegAlloc *ra, u8 reg)
{
    for (IrVal value = ra->in_reg[reg]; value; value = ra->values[value].next_in_reg) {
        if (live(ra, value)) {
            return false;
        }
    }
    return true;
}

/* The pinned register the value may be computed into, or REG_NONE. */
static u8 target_of(const RegAlloc *ra, IrVal value, u32 flags)
{
    u8 pin = ra->values[value].target;

    if (pin == REG_PIN_NONE || flags & RA_NO_PIN) {
        return REG_NONE;
    }
    u8 reg = ra->pins->pin[pin].reg;
    if (!dies(ra, reg) || (flags & RA_EARLY && ra->locked & bit(reg))) {
        return REG_NONE;
    }
    return reg;
}

static void empty_dead(RegAlloc *ra, u8 reg)
{
    while (ra->in_reg[reg]) {
        release(ra, ra->in_reg[reg]);
    }
}

u8 ra_define(RegAlloc *ra, IrVal value, u32 flags)
{
    RegClass class = (RegClass)ra->values[value].class;
    u8 reg = target_of(ra, value, flags);

    if (reg == REG_NONE && !(flags & RA_EARLY)) {
        /* An operand that ends here gives its temporary. Scratch registers hold no value. */
        RegSet shared = ra->locked & ra->machine->temporaries[class];
        for (; shared && reg == REG_NONE; shared &= shared - 1) {
            u8 candidate = (u8)__builtin_ctz(shared);
            if (ra->in_reg[candidate] && dies(ra, candidate)) {
                reg = candidate;
            }
        }
    }
    if (reg == REG_NONE) {
        reg = take(ra, class);
    }
    empty_dead(ra, reg);
    defined(ra, value, reg);
    return reg;
}

u8 ra_define_over(RegAlloc *ra, IrVal value, IrVal first, u32 flags)
{
    IrVal root = ra_root(ra, first);
    RegValue *operand = &ra->values[root];
    u8 from = operand->reg;
    u8 reg = target_of(ra, value, flags | (from == REG_NONE ? RA_EARLY : 0));

    /* The target must not be another operand's register. */
    if (reg != REG_NONE && reg != from && ra->locked & bit(reg)) {
        reg = REG_NONE;
    }
    if (reg == REG_NONE && from != REG_NONE && !is_pinned(ra, from) && dies(ra, from) &&
        !(flags & RA_EARLY && ra->locked & bit(from))) {
        reg = from;
    }
    if (reg == REG_NONE) {
        if (from != REG_NONE) {
            bool was_locked = ra->locked & bit(from);
            ra->locked |= bit(from);
            reg = take(ra, (RegClass)ra->values[value].class);
            if (!was_locked) {
                ra->locked &= ~bit(from);
            }
        } else {
            reg = take(ra, (RegClass)ra->values[value].class);
        }
    }
    if (from == REG_NONE) {
        assert(operand->home.kind != HOME_NONE && "a value is used that is nowhere");
        ra->machine->load(ra->context, reg, operand->home, root);
    } else if (from != reg) {
        ra->machine->move(ra->context, reg, from);
    }
    empty_dead(ra, reg);
    defined(ra, value, reg);
    return reg;
}

void ra_define_in(RegAlloc *ra, IrVal value, u8 reg)
{
    empty_dead(ra, reg);
    defined(ra, value, reg);
}

void ra_define_pinned(RegAlloc *ra, IrVal value, u8 pin)
{
    RegValue *v = &ra->values[value];

    v->next_use = v->first_use;
    v->home.kind = HOME_NONE;
    attach(ra, value, ra->pins->pin[pin].reg);
}

void ra_define_home(RegAlloc *ra, IrVal value, RegHome home)
{
    RegValue *v = &ra->values[value];

    v->next_use = v->first_use;
    v->home = home;
    v->reg = REG_NONE;
    if (home.kind == HOME_SLOT) {
        ra->slot_homes[ra->slot_home_count++] = value;
    }
}

/* -- State slots */

/* The value's slot home is about to go. */
static void leave_home(RegAlloc *ra, IrVal value)
{
    RegValue *v = &ra->values[value];

    if (v->reg == REG_NONE && needed(ra, value)) {
        u8 reg = free_register(ra, ra->machine->temporaries[v->class]);
        if (reg != REG_NONE) {
            ra->machine->load(ra->context, reg, v->home, value);
            attach(ra, value, reg);
        } else {
            RegHome spill = new_spill(ra, &ra->spills_used, (RegClass)v->class);
            if (v->class == REG_INT && v->home.size < 8) {
                spill.size = v->home.size;
            }
            spill.size = MIN(spill.size, v->home.size);
            ra->machine->copy(ra->context, spill, v->home, value, (RegClass)v->class);
            v->home = spill;
            return;
        }
    }
    v->home.kind = HOME_NONE;
}

void ra_slot_changes(RegAlloc *ra, u32 offset, u32 size)
{
    u32 kept = 0;

    for (u32 i = 0; i < ra->slot_home_count; i++) {
        IrVal value = ra->slot_homes[i];
        const RegValue *v = &ra->values[value];
        if (v->home.kind != HOME_SLOT || !(needed(ra, value) || v->reg != REG_NONE)) {
            continue;
        }
        if ((u32)v->home.where < offset + size && offset < (u32)v->home.where + v->home.size) {
            leave_home(ra, value);
        } else {
            ra->slot_homes[kept++] = value;
        }
    }
    ra->slot_home_count = kept;
}

void ra_pin_changes(RegAlloc *ra, u8 pin)
{
    u8 reg = ra->pins->pin[pin].reg;

    while (ra->in_reg[reg]) {
        displace(ra, ra->in_reg[reg]);
    }
}

void ra_all_slots_change(RegAlloc *ra)
{
    ra_slot_changes(ra, 0, 1u << 30);
    for (u32 i = 0; i < ra->pins->count; i++) {
        ra_pin_changes(ra, (u8)i);
    }
}

void ra_put_pinned(RegAlloc *ra, u8 pin, IrVal value)
{
    IrVal root = ra_root(ra, value);
    RegValue *v = &ra->values[root];
    u8 reg = ra->pins->pin[pin].reg;
    /* Of a wider value the register keeps only what the slot has. */
    bool stays =
        v->home.kind != HOME_CONST && live(ra, root) && ra->pins->pin[pin].size >= v->width;

    if (v->reg == reg) {
        return;
    }
    if (v->reg != REG_NONE) {
        ra->locked |= bit(v->reg);
    }
    while (ra->in_reg[reg]) {
        displace(ra, ra->in_reg[reg]);
    }
    if (v->reg == REG_NONE) {
        ra->machine->load(ra->context, reg, v->home, root);
        if (stays && v->home.kind != HOME_CONST) {
            attach(ra, root, reg);
        }
        return;
    }
    ra->machine->move(ra->context, reg, v->reg);
    if (!is_pinned(ra, v->reg) && stays) {
        detach(ra, root);
        attach(ra, root, reg);
    }
}

void ra_put_memory(RegAlloc *ra, IrVal value, u32 offset, u32 size)
{
    IrVal root = ra_root(ra, value);
    RegValue *v = &ra->values[root];

    if (v->home.kind != HOME_CONST && live(ra, root) && size >= v->width) {
        if (v->home.kind == HOME_SLOT) {
            v->home = (RegHome){HOME_SLOT, (u8)size, (s32)offset}; /* it is listed already */
            return;
        }
        drop_home(ra, root);
        v->home = (RegHome){HOME_SLOT, (u8)size, (s32)offset};
        ra->slot_homes[ra->slot_home_count++] = root;
    }
}

void ra_evict(RegAlloc *ra, RegSet set)
{
    for (; set; set &= set - 1) {
        empty(ra, (u8)__builtin_ctz(set));
    }
}

/* -- Blocks */

void ra_enter_block(RegAlloc *ra, u32 block)
{
    static const RegUses none = {0};
    const RegEntry *entry = &ra->entries[block];
    const RegLiveIn *live_in = ra->live_in[block];

    memset(ra->in_reg, 0, sizeof(ra->in_reg));
    ra->locked = 0;
    ra->current = &none;
    ra->position = 0;
    ra->spills_used = 0;
    ra->slot_home_count = 0;
    for (u32 i = 0; i < entry->count; i++) {
        const RegPlace *place = &entry->places[i];
        RegValue *v = &ra->values[place->value];
        v->reg = REG_NONE;
        v->home = place->home;
        v->next_use = live_in[i].next_use;
        if (place->reg != REG_NONE) {
            attach(ra, place->value, place->reg);
        }
        if (place->home.kind == HOME_SPILL) {
            ra->spills_used |= (u64)1 << place->home.where;
        } else if (place->home.kind == HOME_SLOT) {
            ra->slot_homes[ra->slot_home_count++] = place->value;
        }
    }
}

/* The value that the edge brings for a live-in value: itself, or a PHI's argument. */
static IrVal edge_source(const RegAlloc *ra, u32 block, IrVal value, u32 predecessor)
{
    const IrInsn *insn = ir_insn(ra->region, value);

    if (insn->op == IR_PHI) {
        for (IrVal phi = ra->region->blocks[block].first;
             phi && ir_insn(ra->region, phi)->op == IR_PHI; phi = ir_insn(ra->region, phi)->next) {
            if (phi == value) {
                return ra_root(ra, ra->region->phi_args[insn->imm + predecessor]);
            }
        }
    }
    return value;
}

/* Fixes the places at entry to a block with several predecessors: temporaries as the values have
 * them now, then free ones, then spill slots. */
static void fix_merged_entry(RegAlloc *ra, u32 to, u32 predecessor)
{
    RegEntry *entry = &ra->entries[to];
    RegSet used = 0;
    u64 spills = 0;

    for (u32 i = 0; i < entry->count; i++) {
        RegPlace *place = &entry->places[i];
        const RegValue *now = &ra->values[edge_source(ra, to, place->value, predecessor)];
        if (now->reg != REG_NONE && !is_pinned(ra, now->reg) && !(used & bit(now->reg))) {
            place->reg = now->reg;
            used |= bit(now->reg);
        } else if (now->home.kind == HOME_CONST &&
                   ir_insn(ra->region, place->value)->op != IR_PHI) {
            place->home = now->home;
        } else if (now->home.kind == HOME_SPILL && now->home.size == home_size(now->class) &&
                   !(spills >> now->home.where & 1)) {
            place->home = now->home;
            spills |= (u64)1 << now->home.where;
        }
    }
    for (u32 i = 0; i < entry->count; i++) {
        RegPlace *place = &entry->places[i];
        RegClass class = (RegClass)ra->values[place->value].class;
        if (place->reg != REG_NONE || place->home.kind != HOME_NONE) {
            continue;
        }
        RegSet left = ra->machine->temporaries[class] & ~used;
        if (left) {
            place->reg = (u8)__builtin_ctz(left);
            used |= bit(place->reg);
        } else {
            place->home = new_spill(ra, &spills, class);
        }
    }
}

static void fix_entry(RegAlloc *ra, u32 to, u32 predecessor)
{
    RegEntry *entry = &ra->entries[to];
    const RegLiveIn *live_in = ra->live_in[to];

    entry->known = true;
    while (live_in[entry->count].value) {
        entry->count++;
    }
    entry->places = ARENA_ARRAY(ra->arena, RegPlace, entry->count);
    for (u32 i = 0; i < entry->count; i++) {
        entry->places[i] = (RegPlace){.value = live_in[i].value, .reg = REG_NONE};
    }
    if (ra_merges(ra->region, to)) {
        fix_merged_entry(ra, to, predecessor);
        return;
    }
    for (u32 i = 0; i < entry->count; i++) {
        const RegValue *now = &ra->values[entry->places[i].value];
        entry->places[i].reg = now->reg;
        entry->places[i].home = now->home;
    }
}

/* -- Parallel moves. A place is a register or a home; only registers and spill slots are ever
 * destinations. */

typedef struct Move {
    u8 to_reg, from_reg; /* REG_NONE: the home counts */
    RegHome to_home, from_home;
    IrVal value; /* moved; for constants */
    u8 class;
} Move;

static bool reads_place(const Move *move, const Move *written)
{
    if (written->to_reg != REG_NONE) {
        return move->from_reg == written->to_reg;
    }
    return move->from_reg == REG_NONE && move->from_home.kind == HOME_SPILL &&
           move->from_home.where == written->to_home.where;
}

static void emit_move(RegAlloc *ra, const Move *m)
{
    const RegMachine *machine = ra->machine;

    if (m->to_reg != REG_NONE && m->from_reg != REG_NONE) {
        machine->move(ra->context, m->to_reg, m->from_reg);
    } else if (m->to_reg != REG_NONE) {
        machine->load(ra->context, m->to_reg, m->from_home, m->value);
    } else if (m->from_reg != REG_NONE) {
        machine->store(ra->context, m->to_home, m->from_reg);
    } else {
        machine->copy(ra->context, m->to_home, m->from_home, m->value, (RegClass)m->class);
    }
}

/* Emits moves in an order in which none destroys what another still reads. */
static void emit_parallel(RegAlloc *ra, Move *moves, u32 count)
{
    while (count) {
        u32 ready = count;
        for (u32 i = 0; i < count && ready == count; i++) {
            bool blocked = false;
            for (u32 j = 0; j < count && !blocked; j++) {
                blocked = j != i && reads_place(&moves[j], &moves[i]);
            }
            if (!blocked) {
                ready = i;
            }
        }
        if (ready == count) {
            /* A cycle: its first source goes to the scratch slot. */
            Move save = moves[0];
            save.to_reg = REG_NONE;
            save.to_home = (RegHome){HOME_SPILL, home_size((RegClass)save.class), SPILL_SCRATCH};
            emit_move(ra, &save);
            moves[0].from_reg = REG_NONE;
            moves[0].from_home = save.to_home;
            continue;
        }
        emit_move(ra, &moves[ready]);
        moves[ready] = moves[--count];
    }
}

/* Lists the moves of an edge to a block with a fixed entry. */
static u32 edge_moves(RegAlloc *ra, u32 to, u32 predecessor, Move *moves)
{
    const RegEntry *entry = &ra->entries[to];
    u32 count = 0;

    for (u32 i = 0; i < entry->count; i++) {
        const RegPlace *place = &entry->places[i];
        IrVal source = edge_source(ra, to, place->value, predecessor);
        const RegValue *now = &ra->values[source];
        if (place->reg == REG_NONE && place->home.kind != HOME_SPILL) {
            continue;
        }
        if (place->reg != REG_NONE
                ? now->reg == place->reg
                : now->home.kind == HOME_SPILL && now->home.where == place->home.where) {
            continue;
        }
        moves[count++] = (Move){.to_reg = place->reg,
                                .from_reg = now->reg,
                                .to_home = place->home,
                                .from_home = now->home,
                                .value = source,
                                .class = now->class};
    }
    return count;
}

bool ra_edge_is_free(RegAlloc *ra, u32 to, u32 predecessor)
{
    RegEntry *entry = &ra->entries[to];

    if (!entry->known) {
        fix_entry(ra, to, predecessor);
    }
    return !ra_merges(ra->region, to) ||
           !edge_moves(ra, to, predecessor, ARENA_ARRAY(ra->arena, Move, entry->count + 1));
}

void ra_edge(RegAlloc *ra, u32 to, u32 predecessor)
{
    RegEntry *entry = &ra->entries[to];

    if (!entry->known) {
        fix_entry(ra, to, predecessor);
    }
    if (ra_merges(ra->region, to)) {
        Move *moves = ARENA_ARRAY(ra->arena, Move, entry->count + 1);
        emit_parallel(ra, moves, edge_moves(ra, to, predecessor, moves));
    }
}
