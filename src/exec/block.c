/* The table of blocks: which code runs the guest at an address in a mode (BlockKey).
 *
 * A hash table of chains that doubles as it fills, so that a short program touches little memory.
 * Readers take no lock: a block is complete before it is linked in with a release store, and an
 * unlinked block keeps its own chain pointer and its memory until every thread has been outside
 * (eviction). Writers hold the engine's lock. A reader that a doubling overtakes may miss a block
 * that is there, never go round in circles: a moved block leads to blocks moved earlier only. Who
 * misses a block goes to translate(), which looks again under the lock. */
#include <stdlib.h>

#include "exec/job.h"

enum { FIRST_BITS = 11, LAST_BITS = 20 };

struct BlockTable {
    BlockTable
        *smaller; /* that it replaced; freed with the engine, for readers that still use it */
    u32 bits;
    u32 count;      /* blocks in it */
    Block *heads[]; /* atomic */
};

static u32 block_hash(u64 pc, u32 mode, u32 kind, u64 ram, u32 bits)
{
    return hash_u64((pc << 2 | kind) ^ (u64)mode << 48 ^ ram * 0x9e3779b1u, bits);
}

BlockKey block_key(const Block *block)
{
    return (BlockKey){
        .pc = block->pc,
        .mode = block->mode,
        .kind = (BlockKind)block->kind,
        .context = block->context,
        .ram = block->ram,
        .next_page = block->next_page,
    };
}

bool block_has_key(const Block *block, const BlockKey *key)
{
    return block->pc == key->pc && block->mode == key->mode && block->kind == key->kind &&
           block->context == key->context && block->ram == key->ram &&
           (block->next_page == key->next_page || key->next_page == BLOCK_ANY_PAGE);
}

static BlockTable *new_table(u32 bits, BlockTable *smaller)
{
    BlockTable *table = calloc(1, sizeof *table + (sizeof(Block *) << bits));

    if (table) {
        table->bits = bits;
        table->smaller = smaller;
    }
    return table;
}

int blocks_init(Engine *engine)
{
    engine->blocks = new_table(FIRST_BITS, NULL);
    return engine->blocks ? 0 : -1;
}

void blocks_free(Engine *engine)
{
    while (engine->blocks) {
        BlockTable *smaller = engine->blocks->smaller;
        free(engine->blocks);
        engine->blocks = smaller;
    }
}

static Block **chain_of(BlockTable *table, const Block *block)
{
    return &table->heads[block_hash(block->pc, block->mode, block->kind, block->ram, table->bits)];
}

Block *block_find(const Engine *engine, const BlockKey *key)
{
    BlockTable *table = __atomic_load_n(&engine->blocks, __ATOMIC_ACQUIRE);
    Block **head = &table->heads[block_hash(key->pc, key->mode, key->kind, key->ram, table->bits)];

    for (Block *block = __atomic_load_n(head, __ATOMIC_ACQUIRE); block;
         block = __atomic_load_n(&block->hash_next, __ATOMIC_ACQUIRE)) {
        if (block_has_key(block, key)) {
            return block;
        }
    }
    return NULL;
}

static void add(BlockTable *table, Block *block)
{
    Block **head = chain_of(table, block);

    __atomic_store_n(&block->hash_next, *head, __ATOMIC_RELEASE);
    __atomic_store_n(head, block, __ATOMIC_RELEASE);
    table->count++;
}

/* Without memory the chains just grow longer. */
static void double_table(Engine *engine)
{
    BlockTable *old = engine->blocks, *table = new_table(old->bits + 1, old);
    Block *next;

    if (!table) {
        return;
    }
    for (u32 i = 0; i < 1u << old->bits; i++) {
        for (Block *block = old->heads[i]; block; block = next) {
            next = block->hash_next;
            add(table, block);
        }
    }
    __atomic_store_n(&engine->blocks, table, __ATOMIC_RELEASE);
}

void block_insert(Engine *engine, Block *block)
{
    if (engine->blocks->count >> engine->blocks->bits && engine->blocks->bits < LAST_BITS) {
        double_table(engine);
    }
    add(engine->blocks, block);
}

static void remove_from_table(Engine *engine, Block *block)
{
    Block **at = chain_of(engine->blocks, block);

    while (*at != block) {
        at = &(*at)->hash_next;
    }
    __atomic_store_n(at, block->hash_next, __ATOMIC_RELEASE);
    engine->blocks->count--;
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
    jumps_remove(engine, block);
    link_remove_all(engine, block);
    coherence_remove_block(block);
    if (keep) {
        revive_bury(engine, block);
    }
}
