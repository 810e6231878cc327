/* Jump tables: where indirect jumps, and in system mode jumps to other pages, find their target.
 *
 * A vCPU has a few tables of the same size, one for each translation mode that it was in last, so
 * that going to the kernel and back forgets nothing. Predicted returns go by the same number. What
 * was entered since a table was last empty is listed, so that emptying it costs little.
 *
 * Only the vCPU's thread adds entries; others clear those of blocks that they kill. */
#include <sys/mman.h>

#include "exec/mmu.h"

static const size_t entries_size = sizeof(JumpEntry) << JUMP_TABLE_BITS;

int jumps_init(Vcpu *vcpu)
{
    u8 *map = mmap(NULL, JUMP_TABLES * entries_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        return -1;
    }
    for (u32 i = 0; i < JUMP_TABLES; i++) {
        vcpu->jumps[i].entries = (JumpEntry *)(void *)(map + i * entries_size);
        vcpu->jumps[i].entries[0].pc = jump_never(0);
    }
    vcpu->jump_table = vcpu->jumps[0].entries;
    vcpu->common->jump_table = vcpu->jump_table;
    return 0;
}

void jumps_free(Vcpu *vcpu)
{
    if (vcpu->jump_table) {
        munmap(vcpu->jumps[0].entries, JUMP_TABLES * entries_size);
    }
}

/* Either who kills the block sees the new entry, or this thread sees that the block is dead (both
 * orders are sequentially consistent). */
void jumps_remember(Vcpu *vcpu, Block *block, bool global)
{
    JumpTable *table = &vcpu->jumps[vcpu->jump_current];
    u32 index = jump_index(block->pc, vcpu->engine->guest->code_shift);
    JumpEntry *entry = &table->entries[index];

    JumpList *list = &table->lists[global];

    if (list->count < JUMP_LIST) {
        list->entry[list->count] = (u16)index;
    }
    list->count += list->count <= JUMP_LIST;
    __atomic_store_n(&entry->code, block->code, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->pc, block->pc, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&block->dead, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&entry->pc, jump_never(index), __ATOMIC_RELAXED);
    }
}

void jumps_remove(Engine *engine, const Block *block)
{
    u32 index = jump_index(block->pc, engine->guest->code_shift);

    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        for (u32 i = 0; i < JUMP_TABLES; i++) {
            JumpEntry *entry = &vcpu->jumps[i].entries[index];
            if (__atomic_load_n(&entry->pc, __ATOMIC_SEQ_CST) == block->pc) {
                __atomic_store_n(&entry->pc, jump_never(index), __ATOMIC_RELAXED);
            }
        }
    }
}

static void forget_entry(JumpTable *table, u32 index)
{
    __atomic_store_n(&table->entries[index].pc, jump_never(index), __ATOMIC_RELAXED);
}

static void forget_listed(JumpTable *table, JumpList *list)
{
    for (u32 i = 0; i < list->count; i++) {
        forget_entry(table, list->entry[i]);
    }
    list->count = 0;
}

static void empty(JumpTable *table, bool global)
{
    JumpList *local = &table->lists[false], *all = &table->lists[true];

    if (local->count <= JUMP_LIST && (all->count <= JUMP_LIST || !global)) {
        forget_listed(table, local);
        if (global) {
            forget_listed(table, all);
        }
        return;
    }
    for (u32 index = 0; index < 1u << JUMP_TABLE_BITS; index++) {
        forget_entry(table, index);
    }
    local->count = all->count = 0;
}

void jumps_forget(Vcpu *vcpu, bool global)
{
    const Host *host = vcpu->engine->host;

    for (u32 i = 0; i < JUMP_TABLES; i++) {
        empty(&vcpu->jumps[i], global);
    }
    if (vcpu->mmu && vcpu->mmu->running) {
        host->trim_returns(vcpu->common);
    } else {
        host->reset_returns(vcpu->common);
    }
}

static u32 find_table(Vcpu *vcpu)
{
    for (u32 i = 0; i < JUMP_TABLES; i++) {
        if (vcpu->jumps[i].mode == vcpu->mode && vcpu->jumps[i].context == vcpu->context) {
            return i;
        }
    }
    u32 i = vcpu->jump_next;
    vcpu->jump_next = (i + 1) % JUMP_TABLES;
    empty(&vcpu->jumps[i], true);
    vcpu->engine->host->reset_returns(vcpu->common); /* those of the other mode among them */
    vcpu->jumps[i].mode = vcpu->mode;
    vcpu->jumps[i].context = vcpu->context;
    return i;
}

void jumps_switch(Vcpu *vcpu)
{
    JumpEntry *before = vcpu->jump_table;

    vcpu->jump_current = find_table(vcpu);
    vcpu->jump_table = vcpu->jumps[vcpu->jump_current].entries;
    /* Who wants the thread out has put the empty table there, which stays. */
    __atomic_compare_exchange_n(&vcpu->common->jump_table, &before, vcpu->jump_table, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    vcpu->engine->host->switch_returns(vcpu->common, vcpu->jump_current);
}
