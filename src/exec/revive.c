/* Bringing back translations of code that did not change after all.
 *
 * Much of what invalidates code leaves most of its bytes as they were: a JIT that makes its memory
 * writable, adds a function and makes it executable again; data next to code; a library that is
 * unmapped and mapped again. So a killed block is kept as long as its place in the cache is, with a
 * copy of all guest bytes its translation depended on. Before a block is translated, such a copy is
 * compared with the guest's memory, which costs a small part of translating. */
#include <string.h>

#include "exec/job.h"

/* Versions of a block that are compared, and killed blocks that are looked at to find one. */
enum { CANDIDATES = 4, PROBES = 32 };

static Block **grave(const Engine *engine, u64 pc)
{
    return &engine->buried[hash_u64(pc, BURIED_BITS)];
}

void revive_bury(Engine *engine, Block *block)
{
    Block **head = grave(engine, block->pc);

    block->buried_next = *head;
    block->buried_prev = head;
    if (block->buried_next) {
        block->buried_next->buried_prev = &block->buried_next;
    }
    __atomic_store_n(head, block, __ATOMIC_RELAXED);
}

void revive_forget(Block *block)
{
    if (block->buried_prev) {
        __atomic_store_n(block->buried_prev, block->buried_next, __ATOMIC_RELAXED);
        if (block->buried_next) {
            block->buried_next->buried_prev = block->buried_prev;
        }
        block->buried_prev = NULL;
    }
}

static u32 extent_size(const CodeExtent *extent)
{
    return (u32)(extent->end - extent->start);
}

/* What is needed of a candidate while the lock is not held. */
typedef struct Candidate {
    Block *block;
    bool checked;
    CodeExtent extents[BLOCK_EXTENTS];
    u8 source[JOB_MAIN_BYTES + JOB_AHEAD_BYTES];
} Candidate;

/* Copies the candidate number `skip`; false if there are not so many. The lock is held. */
static bool find_candidate(const Job *job, u32 skip, Candidate *candidate)
{
    Block *block = *grave(job->vcpu->engine, job->key.pc);

    for (u32 i = 0; block && i < PROBES; i++, block = block->buried_next) {
        if (block_has_key(block, &job->key) && (block->exact_fp || !job->exact_fp) && skip-- == 0) {
            candidate->block = block;
            candidate->checked = block->checked;
            memcpy(candidate->extents, block->extents, sizeof candidate->extents);
            memcpy(candidate->source, block->source,
                   extent_size(&block->extents[0]) + extent_size(&block->extents[1]));
            return true;
        }
    }
    return false;
}

/* Reads again what the candidate depended on. */
static void read_extents(Job *job)
{
    const Candidate *candidate = job->candidate;
    u8 bytes[JOB_MAIN_BYTES];

    for (u32 i = 0; i < BLOCK_EXTENTS; i++) {
        const CodeExtent *extent = &candidate->extents[i];
        if (extent_size(extent) &&
            !job_read_bytes(job, extent->start, bytes, extent_size(extent))) {
            return;
        }
    }
}

static bool same_source(const Job *job, const Candidate *candidate)
{
    u32 main = extent_size(&candidate->extents[0]), ahead = extent_size(&candidate->extents[1]);

    return !memcmp(job->extents, candidate->extents, sizeof job->extents) &&
           !memcmp(job->main_bytes, candidate->source, main) &&
           !memcmp(job->ahead_bytes, candidate->source + main, ahead);
}

/* Makes the block live again, unless it or the guest's code went meanwhile. */
static Block *dig_up(Job *job, const Candidate *candidate, u32 evictions)
{
    Vcpu *vcpu = job->vcpu;
    Engine *engine = vcpu->engine;
    Block *block = candidate->block;
    BlockKey key = block_key(block);

    pthread_mutex_lock(&engine->lock);
    if (engine->cache.evictions != evictions || !block->buried_prev || !job_is_current(job) ||
        block_find(engine, &key)) {
        pthread_mutex_unlock(&engine->lock);
        return NULL;
    }
    revive_forget(block);
    job_fill_dependencies(job, block);
    __atomic_store_n(&block->dead, false, __ATOMIC_SEQ_CST);
    coherence_add_block(block);
    block_insert(engine, block);
    safepoint_enter(vcpu);
    pthread_mutex_unlock(&engine->lock);
    return block;
}

Block *revive(Job *job, u64 pc)
{
    Engine *engine = job->vcpu->engine;

    if (!__atomic_load_n(grave(engine, pc), __ATOMIC_RELAXED)) {
        return NULL;
    }
    for (u32 i = 0; i < CANDIDATES; i++) {
        Candidate candidate;
        pthread_mutex_lock(&engine->lock);
        bool found = find_candidate(job, i, &candidate);
        u32 evictions = engine->cache.evictions;
        pthread_mutex_unlock(&engine->lock);
        if (!found) {
            return NULL;
        }
        job_restart(job, pc);
        job->candidate = &candidate;
        if (job_read(job, read_extents) && same_source(job, &candidate) &&
            (candidate.checked || !job->checked)) {
            Block *block = dig_up(job, &candidate, evictions);
            if (block) {
                return block;
            }
        }
    }
    return NULL;
}
