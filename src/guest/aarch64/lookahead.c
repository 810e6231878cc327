/* Looking ahead for dead flags: whether the code from an address on overwrites NZCV before anything
 * reads it, as compilers' code does nearly always after the branch that a comparison was for.
 *
 * Only the pages that the block itself lies in are looked at: see Guest.flags_dead. Faults on the
 * way count as not reading: a signal handler may see older flags there, which the interrupted code
 * does not use. */
#include "guest/aarch64/internal.h"

enum { PAGE_SIZE = 4096, MAX_STEPS = 24 };

typedef struct LookAhead {
    GuestTranslation *g;
    unsigned steps; /* instructions still to be looked at, on all paths together */
} LookAhead;

/* Whether `pc` is in a page of the bytes translated so far. */
static bool is_near(const GuestTranslation *g, u64 pc)
{
    u64 page = ALIGN_DOWN(pc, PAGE_SIZE);
    u64 last = g->pc + (u64)g->insn_count * AARCH64_INSN_SIZE;

    return page >= ALIGN_DOWN(g->pc, PAGE_SIZE) && page <= ALIGN_DOWN(last, PAGE_SIZE);
}

static bool path_dead(LookAhead *l, u64 pc);

/* The same behind an instruction at pc that ends a block. */
static bool branch_dead(LookAhead *l, u64 pc, const Aarch64Insn *insn)
{
    u64 next = pc + AARCH64_INSN_SIZE;

    switch (insn->row) {
    case AARCH64_B: /* BL as well: the callee is looked at, not trusted */
        return path_dead(l, pc + (u64)(s64)insn->b.imm);
    case AARCH64_CBZ:
        return path_dead(l, next) && path_dead(l, pc + (u64)(s64)insn->cbz.imm);
    case AARCH64_TBZ:
        return path_dead(l, next) && path_dead(l, pc + (u64)(s64)insn->tbz.imm);
    default:
        return false;
    }
}

static bool path_dead(LookAhead *l, u64 pc)
{
    for (;; pc += AARCH64_INSN_SIZE) {
        Aarch64Insn insn;
        u32 word, attributes;

        if (l->steps == 0 || !is_near(l->g, pc) || !aarch64_fetch(l->g, pc, &word) ||
            !aarch64_decode(word, AARCH64_FEATURES, &insn)) {
            return false;
        }
        l->steps--;
        attributes = aarch64_attributes(&insn);
        if (attributes & INSN_READS_FLAGS) {
            return false;
        }
        if (attributes & INSN_WRITES_FLAGS) {
            return true;
        }
        if (attributes & INSN_ENDS) {
            return branch_dead(l, pc, &insn);
        }
    }
}

bool aarch64_flags_dead(GuestTranslation *g, u64 pc)
{
    LookAhead l = {.g = g, .steps = MAX_STEPS};

    /* A block of one instruction is a single step: whoever asked for it wants to see the flags. */
    return g->max_insns > 1 && pc % AARCH64_INSN_SIZE == 0 && path_dead(&l, pc);
}
