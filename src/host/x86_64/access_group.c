/* Which accesses of a block share a probe of the soft MMU: loads and stores at constant distances
 * from each other, as of a stack's or a structure's, where the distances are short enough that all
 * lie in one page as a rule.
 *
 * The first one's probe is of all bytes of the group; it leaves the addend in a word of
 * shared_addends() for the others, or 0 where they do not lie in one page, or may not all be
 * accessed, or the TLB doesn't have it; each then makes its own probe. So nothing is accessed, and
 * no exception raised, earlier than the guest's program does.
 * Emits nothing. */
#include "host/x86_64/x86_64.h"

/* Bytes that a group extends over at most. */
enum { GROUP_BYTES = 512 };

typedef struct Grouping {
    Compiler *c;
    AccessGroup *open[SHARED_ADDENDS]; /* by the word that they have */
    u32 next;                          /* word that is taken next */
} Grouping;

/* Ordered ones and those that check their alignment go alone, as do 32-bit addresses; and loads
 * that have the near cache. */
static bool may_share(const Compiler *c, const IrInsn *insn)
{
    enum { ALONE = IR_MEM_WRAP32 | IR_MEM_ALIGNED | IR_MEM_BIG_ENDIAN | IR_MEM_RELEASE };

    return (insn->op == IR_STORE || (insn->op == IR_LOAD && !uses_near(c))) && !(insn->sub & ALONE);
}

/* The base of an access behind additions of constants, and the sum of these. */
static IrVal find_base(const Compiler *c, const IrInsn *access, s64 *offset)
{
    IrVal base = ra_root(&c->ra, access->arg[0]);
    const IrInsn *add;
    u64 sum = access->imm;

    while ((add = insn_of(c, base))->op == IR_ADD && insn_of(c, add->arg[1])->op == IR_CONST) {
        sum += insn_of(c, add->arg[1])->imm;
        base = ra_root(&c->ra, add->arg[0]);
    }
    *offset = (s64)sum;
    return base;
}

AccessGroup *group_of_access(const Compiler *c, const IrInsn *access, s64 *offset)
{
    AccessGroup *group = c->group_of[access - c->region->insns];

    if (!group || group->count == 1) {
        return NULL;
    }
    find_base(c, access, offset);
    return group;
}

/* Takes the access into the group if it belongs there. */
static bool join(AccessGroup *group, const AccessGroup *access)
{
    s64 low = MIN(group->low, access->low), high = MAX(group->high, access->high);

    if (group->base != access->base || group->index != access->index ||
        group->scale != access->scale || high - low > GROUP_BYTES) {
        return false;
    }
    group->low = low;
    group->high = high;
    group->writes |= access->writes;
    group->count++;
    return true;
}

static void group_access(Grouping *g, IrVal value, const IrInsn *insn)
{
    Compiler *c = g->c;
    AccessGroup access = {.index = insn->arg[1] ? ra_root(&c->ra, insn->arg[1]) : 0,
                          .scale = insn->sub & IR_MEM_SCALE,
                          .writes = insn->op == IR_STORE,
                          .count = 1};

    access.base = find_base(c, insn, &access.low);
    access.high = access.low + (s64)ir_type_size((IrType)insn->type);
    for (u32 i = 0; i < SHARED_ADDENDS; i++) {
        if (g->open[i] && join(g->open[i], &access)) {
            c->group_of[value] = g->open[i];
            return;
        }
    }
    access.word = g->next++ % SHARED_ADDENDS;
    g->open[access.word] = c->group_of[value] = ARENA_NEW(c->arena, AccessGroup);
    *g->open[access.word] = access;
}

void find_access_groups(Compiler *c)
{
    c->group_of = ARENA_ARRAY(c->arena, AccessGroup *, c->region->insn_count);
    for (u32 b = 0; b < c->region->block_count; b++) {
        Grouping g = {.c = c};
        IR_FOR_EACH(c->region, b, value)
        {
            const IrInsn *insn = insn_of(c, value);
            if (may_share(c, insn)) {
                group_access(&g, value, insn);
            }
        }
    }
}
