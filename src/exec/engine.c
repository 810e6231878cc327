/* Engines and vCPUs: making and freeing them, and fork(). */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "exec/mmu.h"

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
        .soft_mmu = engine->options.system,
    };
    free(common);
    return true;
}

Engine *exec_engine_new(const ExecOptions *options, const char **error)
{
    Engine *engine = calloc(1, sizeof *engine);

    if (options->system && !options->guest->system) {
        *error = "this guest CPU runs programs only, no machine can be made of it";
        free(engine);
        return NULL;
    }
    *error = "not enough memory for the translation engine";
    if (!engine) {
        return NULL;
    }
    engine->options = *options;
    engine->guest = options->guest;
    engine->host = options->host;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->bus_lock, NULL);
    pthread_mutex_init(&engine->breakpoint_lock, NULL);
    engine->buried = calloc((size_t)1 << BURIED_BITS, sizeof *engine->buried);
    engine->no_jumps = new_jump_table();
    if (!engine->buried || blocks_init(engine) || !engine->no_jumps || !make_config(engine) ||
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
    blocks_free(engine);
    free(engine->buried);
    if (engine->no_jumps) {
        munmap(engine->no_jumps, jump_table_size);
    }
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->breakpoint_lock);
    pthread_mutex_destroy(&engine->bus_lock);
    free(engine);
}

/* -- vCPUs */

/* What stands before the CpuCommon. */
static size_t bytes_before(const Engine *engine)
{
    return engine->options.system ? tlb_bytes(engine->guest->system->space_count) : 0;
}

static void free_common(const Engine *engine, CpuCommon *common)
{
    if (common) {
        engine->host->cpu_free(common);
        free((u8 *)common - bytes_before(engine));
    }
}

static CpuCommon *new_common(const Engine *engine)
{
    size_t before = bytes_before(engine);
    size_t size = before + sizeof(CpuCommon) + ALIGN_UP(engine->guest->state_size, (size_t)64);
    u8 *memory = aligned_alloc(64, size);

    if (!memory) {
        return NULL;
    }
    memset(memory, 0, size);
    CpuCommon *common = (CpuCommon *)(void *)(memory + before);
    if (engine->host->cpu_init(common)) {
        free(memory);
        return NULL;
    }
    return common;
}

static void free_vcpu(Vcpu *vcpu)
{
    signals_detach(vcpu);
    jumps_free(vcpu);
    free_common(vcpu->engine, vcpu->common);
    mmu_free(vcpu);
    arena_free(&vcpu->arena);
    free(vcpu);
}

/* With all its memory, or NULL. */
static Vcpu *alloc_vcpu(Engine *engine)
{
    Vcpu *vcpu = calloc(1, sizeof *vcpu);

    if (!vcpu) {
        return NULL;
    }
    vcpu->engine = engine;
    vcpu->common = new_common(engine);
    if (!vcpu->common || jumps_init(vcpu) || (engine->options.system && mmu_init(vcpu))) {
        free_vcpu(vcpu);
        return NULL;
    }
    return vcpu;
}

Vcpu *vcpu_new(Engine *engine)
{
    Vcpu *vcpu = alloc_vcpu(engine);

    if (!vcpu) {
        return NULL;
    }
    vcpu->common->engine = engine;
    vcpu->common->vcpu = vcpu;
    vcpu->common->helpers = engine->guest->helpers;
    vcpu->state = cpu_state(vcpu->common);
    engine->guest->reset(vcpu->state, vcpu->common);

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
    free_vcpu(vcpu);
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
