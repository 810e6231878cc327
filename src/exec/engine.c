/* Engines and vCPUs: making and freeing them, and fork(). */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "exec/engine.h"

static const size_t jump_table_size = sizeof(JumpEntry) << JUMP_TABLE_BITS;

static void *map_zeroed(size_t size)
{
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return map == MAP_FAILED ? NULL : map;
}

/* A jump table without entries. */
static JumpEntry *new_jump_table(void)
{
    JumpEntry *table = map_zeroed(jump_table_size);

    if (table) {
        table[0].pc = jump_never(0);
    }
    return table;
}

/* What all code of the engine has in common. The guest's NaN rule is known from its reset state. */
static bool make_config(Engine *engine)
{
    const Guest *guest = engine->guest;
    size_t size = sizeof(CpuCommon) + ALIGN_UP(guest->state_size, (size_t)64);
    CpuCommon *common = aligned_alloc(64, size);

    if (!common) {
        return false;
    }
    memset(common, 0, size);
    guest->reset(cpu_state(common), common);
    engine->config = (HostConfig){
        .hot_int = guest->hot_int,
        .hot_int_count = guest->hot_int_count,
        .hot_vector = guest->hot_vector,
        .hot_vector_count = guest->hot_vector_count,
        .code_shift = guest->code_shift,
        .helpers = guest->helpers,
        .helper_count = guest->helper_count,
        .strong_order = guest->strong_order,
        .fp_native = common->fp.nan_rule == FP_NAN_X86_SSE,
        .x87 = guest->x87,
    };
    free(common);
    return true;
}

Engine *exec_engine_new(const ExecOptions *options, const char **error)
{
    Engine *engine = calloc(1, sizeof *engine);

    *error = "not enough memory for the translation engine";
    if (!engine) {
        return NULL;
    }
    engine->options = *options;
    engine->guest = options->guest;
    engine->host = options->host;
    pthread_mutex_init(&engine->lock, NULL);
    engine->buried = calloc((size_t)1 << BURIED_BITS, sizeof *engine->buried);
    engine->no_jumps = new_jump_table();
    if (!engine->buried || block_table_init(engine) || !engine->no_jumps || !make_config(engine) ||
        coherence_init(engine)) {
        engine_free(engine);
        return NULL;
    }
    mprotect(engine->no_jumps, jump_table_size, PROT_READ);
    if (cache_init(engine, options->cache_size)) {
        *error = "cannot map memory for translated code (writable and executable)";
        engine_free(engine);
        return NULL;
    }
    return engine;
}

void engine_free(Engine *engine)
{
    cache_free(engine);
    coherence_free(engine);
    arena_free(&engine->arena);
    block_table_free(engine);
    free(engine->buried);
    if (engine->no_jumps) {
        munmap(engine->no_jumps, jump_table_size);
    }
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* -- vCPUs */

static CpuCommon *new_common(const Engine *engine)
{
    size_t size = sizeof(CpuCommon) + ALIGN_UP(engine->guest->state_size, (size_t)64);
    CpuCommon *common = aligned_alloc(64, size);

    if (!common) {
        return NULL;
    }
    memset(common, 0, size);
    if (engine->host->cpu_init(common)) {
        free(common);
        return NULL;
    }
    return common;
}

Vcpu *vcpu_new(Engine *engine)
{
    Vcpu *vcpu = calloc(1, sizeof *vcpu);
    CpuCommon *common = vcpu ? new_common(engine) : NULL;
    JumpEntry *table = common ? new_jump_table() : NULL;

    if (!table) {
        if (common) {
            engine->host->cpu_free(common);
        }
        free(common);
        free(vcpu);
        return NULL;
    }
    common->engine = engine;
    common->vcpu = vcpu;
    common->helpers = engine->guest->helpers;
    common->jump_table = table;
    vcpu->engine = engine;
    vcpu->common = common;
    vcpu->state = cpu_state(common);
    vcpu->jump_table = table;
    engine->guest->reset(vcpu->state, common);

    pthread_mutex_lock(&engine->lock);
    vcpu->next = engine->vcpus;
    vcpu->prev = &engine->vcpus;
    if (vcpu->next) {
        vcpu->next->prev = &vcpu->next;
    }
    engine->vcpus = vcpu;
    pthread_mutex_unlock(&engine->lock);
    return vcpu;
}

/* Takes it out of the list and frees it. The lock is held. */
static void remove_vcpu(Vcpu *vcpu)
{
    *vcpu->prev = vcpu->next;
    if (vcpu->next) {
        vcpu->next->prev = vcpu->prev;
    }
    munmap(vcpu->jump_table, jump_table_size);
    vcpu->engine->host->cpu_free(vcpu->common);
    arena_free(&vcpu->arena);
    free(vcpu->common);
    free(vcpu);
}

void vcpu_free(Vcpu *vcpu)
{
    Engine *engine = vcpu->engine;

    pthread_mutex_lock(&engine->lock);
    remove_vcpu(vcpu);
    pthread_mutex_unlock(&engine->lock);
}

void *vcpu_state(Vcpu *vcpu)
{
    return vcpu->state;
}

/* -- fork(): the lock is held across it, so that the child finds everything consistent. */

void engine_fork_prepare(Engine *engine)
{
    pthread_mutex_lock(&engine->lock);
}

void engine_fork_parent(Engine *engine)
{
    pthread_mutex_unlock(&engine->lock);
}

void engine_fork_child(Engine *engine, Vcpu *survivor)
{
    Vcpu *next;

    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = next) {
        next = vcpu->next;
        if (vcpu != survivor) {
            remove_vcpu(vcpu);
        }
    }
    pthread_mutex_unlock(&engine->lock);
}
