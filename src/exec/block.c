/* The table of blocks: which code runs the guest at (pc, mode).
 *
 * A hash table with a fixed number of chains. Readers take no lock: a block is complete before it
 * is linked in with a release store, and an unlinked block keeps its own chain pointer and its
 * memory until every thread has been outside (eviction). Writers hold the engine's lock. */
#include "exec/job.h"

static u32 block_hash(u64 pc, u32 mode, BlockKind kind)
{
    return hash_u64((pc << 2 | kind) ^ (u64)mode << 48, BLOCK_TABLE_BITS);
}

Block *block_find(const Engine *engine, u64 pc, u32 mode, BlockKind kind)
{
    Block **head = &engine->blocks[block_hash(pc, mode, kind)];

    for (Block *block = __atomic_load_n(head, __ATOMIC_ACQUIRE); block;
         block = __atomic_load_n(&block->hash_next, __ATOMIC_ACQUIRE)) {
        if (block->pc == pc && block->mode == mode && block->kind == kind) {
            return block;
        }
    }
    return NULL;
}

void block_insert(Engine *engine, Block *block)
{
    Block **head = &engine->blocks[block_hash(block->pc, block->mode, (BlockKind)block->kind)];

    block->hash_next = *head;
    __atomic_store_n(head, block, __ATOMIC_RELEASE);
}

static void remove_from_table(Engine *engine, Block *block)
{
    Block **at = &engine->blocks[block_hash(block->pc, block->mode, (BlockKind)block->kind)];

    while (*at != block) {
        at = &(*at)->hash_next;
    }
    __atomic_store_n(at, block->hash_next, __ATOMIC_RELEASE);
}

/* Other threads probe their tables without a lock, but only they add entries. One that adds this
 * block just now checks `dead` afterwards (dispatch.c), so either it or this loop clears the entry.
 */
static void remove_from_jump_tables(Engine *engine, const Block *block)
{
    u32 index = jump_index(engine, block->pc);

    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        JumpEntry *entry = &vcpu->jump_table[index];
        if (__atomic_load_n(&entry->pc, __ATOMIC_SEQ_CST) == block->pc) {
            __atomic_store_n(&entry->pc, JUMP_NEVER, __ATOMIC_RELAXED);
        }
    }
}

void block_kill(Engine *engine, Block *block, bool keep)
{
    if (block->dead) {
        if (!keep) {
            revive_forget(block);
        }
        return;
    }
    __atomic_store_n(&block->dead, true, __ATOMIC_SEQ_CST);
    remove_from_table(engine, block);
    remove_from_jump_tables(engine, block);
    link_remove_all(engine, block);
    coherence_remove_block(block);
    if (keep) {
        revive_bury(engine, block);
    }
}
