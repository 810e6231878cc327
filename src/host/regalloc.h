/* Register allocation while code is emitted, shared by the hosts.
 *
 * One forward walk over the region. The host's lowering asks for registers with a few verbs: use an
 * operand, define the result, take a scratch register, claim a fixed one. The allocator answers at
 * once and emits the moves, loads and stores that this needs through RegMachine. What it knows
 * beforehand, from one backward walk of the host's pre-pass (ra_plan_block), is each operand's next
 * use, so that it frees registers exactly, evicts the value used furthest in the future, and
 * computes a value straight into the pinned register of the state slot it is put to.
 *
 * Registers 0..31: the low 16 are integer, the high 16 vector registers. Some are pinned: outside
 * of what follows they always hold their state slot's current value. A value got from a pinned slot
 * lives in the pinned register itself until the slot is put; a value that will be put to one may be
 * computed into it early when nothing between can see the slot (plan's `target`).
 *
 * A value is in a register, or at home in memory (spill slot, or a state slot that holds the same
 * value), or both, or is a constant. Values are SSA: a home, once written, stays right until the
 * slot is put.
 *
 * Between blocks the places of live values are fixed by the first edge that is emitted to a block;
 * other edges conform by parallel moves. Where edges merge, values are in temporaries or spill
 * slots only, since pinned registers and state slots may be put on the other way round a loop.
 *
 * Must not know any host's instructions, nor what IR operations mean. */
#ifndef HOST_REGALLOC_H
#define HOST_REGALLOC_H

#include "ir/ir.h"

typedef u32 RegSet;
enum { REG_COUNT = 32, REG_NONE = 0xff, REG_PIN_NONE = 0xff, REG_PINS = 32, REG_PIN_BYTES = 4096 };
typedef enum RegClass { REG_INT, REG_VECTOR } RegClass;

/* A pinned register. */
typedef struct RegPin {
    u32 offset; /* of its state slot */
    u8 size;    /* of the slot, in bytes */
    u8 reg;
} RegPin;

/* Which slots are pinned: the same for all code of a cache. */
typedef struct RegPins {
    u32 count;
    RegPin pin[REG_PINS];
    u8 at[REG_PIN_BYTES / 4]; /* pin that covers the 4 state bytes, or REG_PIN_NONE */
} RegPins;

typedef enum RegHomeKind { HOME_NONE, HOME_SPILL, HOME_SLOT, HOME_CONST } RegHomeKind;

/* Where a value can be found besides registers. */
typedef struct RegHome {
    u8 kind;   /* RegHomeKind */
    u8 size;   /* bytes that are valid there; a load zero-extends from that */
    s32 where; /* spill slot number or state offset */
} RegHome;

/* How the host's code moves data; `context` is RegAlloc.context. None of these may change condition
 * flags. */
typedef struct RegMachine {
    RegSet temporaries[2]; /* by class: registers free for values, pinned ones not included */
    void (*move)(void *context, u8 to, u8 from);
    void (*load)(void *context, u8 to, RegHome home, IrVal constant);
    void (*store)(void *context, RegHome home, u8 from);
    /* Between homes (the source may be a constant), without a free register. */
    void (*copy)(void *context, RegHome to, RegHome from, IrVal constant, RegClass class);
} RegMachine;

enum { REG_NEVER = ~0u, REG_ELSEWHERE = ~0u - 1, /* in another block */ REG_OPERANDS = 5 };

/* What the plan says of an instruction: the values it uses (aliases resolved, operands of
 * instructions fused into it included), and for each the position of its next use after this. */
typedef struct RegUses {
    u32 count;
    IrVal value[REG_OPERANDS];
    u32 next[REG_OPERANDS];
} RegUses;

/* What the plan must know of an instruction's code. */
enum {
    REG_EMITTED = 1,     /* it has code of its own, or is a GET, PUT, NOTE or PHI that matters */
    REG_FAULTS = 2,      /* it may fault: pinned registers and NOTEs must be right there */
    REG_READS_STATE = 4, /* it reads state slots at large (calls) */
};

typedef struct RegValue {
    u8 reg;    /* REG_NONE when in none */
    u8 class;  /* RegClass */
    u8 width;  /* bytes that its widest user means */
    u8 target; /* pin this value is to be computed into, or REG_PIN_NONE */
    RegHome home;
    u32 next_use;   /* position; REG_NEVER: dead */
    u32 first_use;  /* next use after the definition */
    u32 keep_until; /* a NOTE needs it until this position */
    IrVal next_in_reg;
} RegValue;

/* A live-in value of a block, with its first use there. */
typedef struct RegLiveIn {
    IrVal value;
    u32 next_use;
} RegLiveIn;

/* A value's place at a block's entry. */
typedef struct RegPlace {
    IrVal value;
    u8 reg;
    RegHome home;
} RegPlace;

typedef struct RegEntry {
    bool known;
    u32 count;
    RegPlace *places;
} RegEntry;

typedef struct RegAlloc {
    const IrRegion *region;
    const RegMachine *machine;
    const RegPins *pins;
    void *context;
    Arena *arena;
    RegValue *values;        /* by IR value */
    RegUses *uses;           /* by IR value */
    IrVal *root;             /* by IR value: the value whose register and home it shares */
    u8 *traits;              /* by IR value: REG_EMITTED ... */
    RegEntry *entries;       /* by block */
    RegLiveIn **live_in;     /* by block: live-in values and PHIs, ended by value 0 */
    IrVal in_reg[REG_COUNT]; /* list of the values in a register, by next_in_reg */
    RegSet locked;           /* in use by the current instruction */
    const RegUses *current;  /* of the current instruction */
    u32 position;            /* of the current instruction */
    bool disturbed;          /* a value left its register for the current instruction's sake */
    u64 spills_used;
    bool out_of_spills;
    IrVal *slot_homes; /* values that may have HOME_SLOT */
    u32 slot_home_count;
} RegAlloc;

/* -- The plan, made by the host's pre-pass before emission */

/* Prepares `ra` for the region; root, uses are zeroed and filled by the host. */
void ra_init(RegAlloc *ra, const IrRegion *region, const RegMachine *machine, const RegPins *pins,
             void *context, Arena *arena);
/* regplan.c: after root, uses and traits are filled, works out next uses, targets of values that
 * will be put to pinned slots, how long NOTEs need their values, and what lives into which block.
 */
void ra_plan(RegAlloc *ra);
/* Number of successors inside the region: of BRANCH 2, of JUMP 1, else 0. */
u32 ra_successors(const IrRegion *region, u32 block);
/* Whether the places at the block's entry are fixed for several edges: edges to it may need moves.
 */
bool ra_merges(const IrRegion *region, u32 block);
/* Index among its target's predecessors of the edge from block `from` to its given successor. */
u32 ra_predecessor_index(const IrRegion *region, u32 from, u32 successor);

static inline IrVal ra_root(const RegAlloc *ra, IrVal value)
{
    return ra->root[value];
}

static inline RegValue *ra_value(const RegAlloc *ra, IrVal value)
{
    return &ra->values[ra->root[value]];
}

/* The pin whose register is the slot [offset, offset+size) or its low part; REG_PIN_NONE if none.
 * *overlaps is set when some pin overlaps without that. */
u8 ra_pin_of(const RegPins *pins, u32 offset, u32 size, bool *overlaps);

/* -- Around each instruction */

void ra_begin(RegAlloc *ra, IrVal insn, u32 position);
void ra_end(RegAlloc *ra, IrVal insn);

/* -- Verbs. Operands are to be fetched before the result is defined; fixed registers are claimed
 * before anything else. */

/* The operand in some register of its class, unchanged until the instruction ends. */
u8 ra_use(RegAlloc *ra, IrVal value);
/* The register it is in already, or REG_NONE. Does not lock. */
u8 ra_where(const RegAlloc *ra, IrVal value);
/* Whether it should be used from memory, from its home, of which `size` bytes are wanted. False:
 * use ra_use(). */
bool ra_from_memory(RegAlloc *ra, IrVal value, u32 size, RegHome *home);
/* Copies the operand into a fixed register for the instruction to destroy. */
void ra_use_fixed(RegAlloc *ra, IrVal value, u8 reg);
/* Empties a fixed register for the instruction's use. */
void ra_claim(RegAlloc *ra, u8 reg);
u8 ra_scratch(RegAlloc *ra, RegClass class);
/* Gives a scratch register back before the instruction ends. */
void ra_release(RegAlloc *ra, u8 reg);
/* Gives back the lock of an operand fetched with ra_use() that no longer matters. */
static inline void ra_unlock(RegAlloc *ra, u8 reg)
{
    ra->locked &= ~((RegSet)1 << reg);
}

/* The same for all operands fetched so far. */
static inline void ra_unlock_all(RegAlloc *ra)
{
    ra->locked = 0;
}

enum {
    RA_EARLY = 1,  /* written before the last operand is read: shares no operand's register */
    RA_NO_PIN = 2, /* written before the last point that may fault: not into a pinned register */
};
/* A register for the instruction's result. */
u8 ra_define(RegAlloc *ra, IrVal value, u32 flags);
/* The same, already holding operand `first` (which the caller has not fetched): for instructions
 * that overwrite it. */
u8 ra_define_over(RegAlloc *ra, IrVal value, IrVal first, u32 flags);
/* The result is in this register, which was claimed or taken as scratch. */
void ra_define_in(RegAlloc *ra, IrVal value, u8 reg);
/* The result needs no code: it is the content of a state slot, or a constant. */
void ra_define_pinned(RegAlloc *ra, IrVal value, u8 pin);
void ra_define_home(RegAlloc *ra, IrVal value, RegHome home);

/* Whether the value is needed after the current instruction. */
static inline bool ra_live_after(const RegAlloc *ra, IrVal value)
{
    const RegValue *v = ra_value(ra, value);
    return v->next_use != REG_NEVER || v->keep_until > ra->position;
}

/* -- State slots */

/* [offset, offset+size) of the state in memory is about to change: values at home there move. */
void ra_slot_changes(RegAlloc *ra, u32 offset, u32 size);
/* The same for every slot (a call that writes state), pinned registers included. */
void ra_all_slots_change(RegAlloc *ra);
/* A pinned register is about to change otherwise than by ra_put_pinned(). */
void ra_pin_changes(RegAlloc *ra, u8 pin);
/* Puts the value to a pinned slot. */
void ra_put_pinned(RegAlloc *ra, u8 pin, IrVal value);
/* The value was just stored to a state slot: its home from now on. */
void ra_put_memory(RegAlloc *ra, IrVal value, u32 offset, u32 size);

/* Moves live values out of the registers of the set (calls). */
void ra_evict(RegAlloc *ra, RegSet set);

/* -- Blocks */

/* Sets the places of values as the block's entry has them. */
void ra_enter_block(RegAlloc *ra, u32 block);
/* Emits what the edge needs for the places of `to` to be as its entry wants, which the first edge
 * fixes. `predecessor` is the index of this edge among the block's predecessors (for PHI). The
 * allocator's own state does not change, so that several edges can leave from one place. */
void ra_edge(RegAlloc *ra, u32 to, u32 predecessor);
/* Whether that takes no code. Fixes the entry as well. */
bool ra_edge_is_free(RegAlloc *ra, u32 to, u32 predecessor);

#endif
