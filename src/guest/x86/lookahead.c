/* Looking ahead for dead flags: whether the code from an address on overwrites all status flags
 * before anything reads one, as compilers' code does nearly always after the branch that a
 * comparison was for.
 *
 * In system mode only the pages that the block itself lies in are looked at: see Guest.flags_dead.
 * Programs call other pages all the time; there, fetching makes the block depend on what was looked
 * at. Faults on the way count as not reading: a signal handler may see older flags there, which the
 * interrupted code does not use. */
#include "guest/x86/internal.h"
#include "guest/x86/rows.h"

enum { PAGE_SIZE = 4096, MAX_STEPS = 16 };

typedef struct LookAhead {
    GuestTranslation *g;
    X86DecodeMode mode;
    unsigned steps; /* instructions still to be looked at, on all paths together */
} LookAhead;

static u64 page_of(const GuestTranslation *g, u64 pc)
{
    return ALIGN_DOWN(x86_code_address(g->context, g->mode, pc), PAGE_SIZE);
}

/* Whether code at `pc` may be looked at: in system mode it is in a page of the bytes translated so
 * far. */
static bool is_near(const GuestTranslation *g, u64 pc)
{
    u64 page = page_of(g, pc);

    if (!(g->mode & X86_MODE_SYSTEM)) {
        return true;
    }
    return page >= page_of(g, g->pc) && page <= page_of(g, g->end);
}

static bool path_dead(LookAhead *l, u64 pc);

/* The same behind an instruction that ends a block; `next` is the address after it. */
static bool branch_dead(LookAhead *l, u64 next, const X86Insn *insn)
{
    u64 target = next + (u64)insn->operand[0].value;

    if (insn->operand_count == 0 || insn->operand[0].kind != X86_OPERAND_RELATIVE ||
        insn->operand_size == 2) {
        return false;
    }
    if (l->mode.code_size != 8) {
        target = (u32)target;
    }
    switch (insn->opcode) {
    case 0xe8: /* CALL: the callee is looked at, not trusted */
    case 0xe9:
    case 0xeb:
        return path_dead(l, target);
    case 0xe2: /* LOOP */
    case 0xe3: /* JCXZ */
        return path_dead(l, next) && path_dead(l, target);
    default:
        return false;
    }
}

static bool path_dead(LookAhead *l, u64 pc)
{
    for (;;) {
        X86Insn insn;
        u32 attributes;

        if (l->steps == 0 || !is_near(l->g, pc) ||
            x86_fetch_insn(l->g, &l->mode, pc, &insn) != X86_DECODE_OK) {
            return false;
        }
        l->steps--;
        pc += insn.size;
        attributes = x86_rows[insn.row].attributes;
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

bool x86_flags_dead(GuestTranslation *g, u64 pc)
{
    const X86State *state = g->state;
    LookAhead l = {.g = g, .mode = x86_decode_mode(g->mode, state->features), .steps = MAX_STEPS};

    /* A block of one instruction is a single step: whoever asked for it wants to see the flags. */
    return g->max_insns > 1 && !(g->mode & X86_MODE_TF) && path_dead(&l, pc);
}
