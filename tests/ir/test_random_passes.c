/* Every pass keeps the meaning of random regions: the interpreter runs each region before and after
 * and must leave the same state, memory, exit and floating-point flags, having seen the same state
 * at every place that may fault. Arguments: [regions [first seed]]. */
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "helpers.h"
#include "host/host.h"
#include "ir/pass.h"
#include "ir/text.h"
#include "random_region.h"

enum { STATE_BYTES = 256, MEMORY_BYTES = 4096, CODE_BYTES = 1 << 20 };

/* A vCPU, its memory, and what comes of a run. */
typedef struct Machine {
    struct {
        CpuCommon common;
        u8 state[STATE_BYTES];
    } cpu __attribute__((aligned(64)));
    u8 memory[MEMORY_BYTES + 64];
    TestTrace trace;
} Machine;

typedef struct Context {
    Arena region_arena, run_arena;
    u8 *code;
    Machine before, after, now;
    JumpEntry table[1 << JUMP_TABLE_BITS];
} Context;

static void quick(IrRegion *region)
{
    ir_optimize(region, false);
}

static void full(IrRegion *region)
{
    ir_optimize(region, true);
}

static const struct {
    const char *name;
    IrPassFn *run;
} passes[] = {
    {"fold", ir_pass_fold},
    {"forward", ir_pass_forward},
    {"cse", ir_pass_cse},
    {"flags", ir_pass_flags},
    {"dead", ir_pass_dead},
    {"deadput", ir_pass_deadput},
    {"address", ir_pass_address},
    {"sink", ir_pass_sink},
    {"quick", quick},
    {"full", full},
};

/* The memory is where `now` has it, so that addresses in the region stay right. */
static void run(Context *c, const IrRegion *region, const Machine *start, Machine *end)
{
    HostConfig config = {.helpers = test_helpers, .helper_count = TEST_HELPER_COUNT};
    HostBlock block;
    CpuCommon *common = &c->now.cpu.common;

    arena_reset(&c->run_arena);
    c->now = *start;
    host_interp.cpu_init(common);
    common->jump_table = c->table;
    common->helpers = test_helpers;
    c->now.trace = (TestTrace){.state_bytes = STATE_BYTES};
    test_trace = &c->now.trace;
    if (host_interp.compile(region, &config, c->code, c->code, CODE_BYTES, &c->run_arena, &block)) {
        abort();
    }
    host_interp.enter(c->now.cpu.state, c->code, c->code);
    host_interp.cpu_free(common);
    *end = c->now;
}

static const char *difference(const Machine *a, const Machine *b)
{
    const CpuCommon *x = &a->cpu.common, *y = &b->cpu.common;

    return memcmp(a->cpu.state, b->cpu.state, STATE_BYTES)               ? "state"
           : memcmp(a->memory, b->memory, sizeof(a->memory))             ? "memory"
           : x->exit_kind != y->exit_kind || x->pc != y->pc              ? "exit"
           : x->exit_kind == CPU_EXIT_IR && x->exit_code != y->exit_code ? "exit code"
           : x->fp.flags != y->fp.flags                                  ? "fp flags"
           : a->trace.hash != b->trace.hash                              ? "state at a fault"
                                                                         : NULL;
}

static RandomRegionOptions random_options(Random *random, const Context *c)
{
    return (RandomRegionOptions){
        .pieces = 1 + random_below(random, 6),
        .insns_per_block = 4 + random_below(random, 40),
        .state_bytes = random_below(random, 2) ? 64 : STATE_BYTES,
        .memory = random_below(random, 2) ? (u64)(uintptr_t)c->now.memory : 0,
        .memory_bytes = MEMORY_BYTES,
        .floats = random_below(random, 2),
        .vectors = random_below(random, 2),
        .helpers = random_below(random, 2),
        .exact_fp = random_below(random, 2),
    };
}

static bool check_pass(Context *c, u32 pass, const IrRegion *region, const Machine *start, u64 seed)
{
    IrRegion *changed = region_copy(&c->region_arena, region);
    const char *wrong;

    passes[pass].run(changed);
    wrong = ir_verify(changed);
    if (!wrong) {
        run(c, changed, start, &c->after);
        wrong = difference(&c->before, &c->after);
    }
    if (wrong) {
        printf("# %s, seed %llu: %s\n", passes[pass].name, (unsigned long long)seed, wrong);
        if (getenv("MENURA_TEST_VERBOSE")) {
            ir_print(region, stdout);
            ir_print(changed, stdout);
        }
    }
    return !wrong;
}

int main(int argc, char **argv)
{
    u32 regions = argc > 1                     ? (u32)strtoul(argv[1], NULL, 0)
                  : getenv("MENURA_TEST_FULL") ? 100000
                                               : 3000;
    u64 first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    u32 invalid = 0, wrong[COUNT(passes)] = {0};
    Context *c = aligned_alloc(64, ALIGN_UP(sizeof(Context), (size_t)64));
    static Machine start;

    memset(c, 0, sizeof(*c));
    c->code = aligned_alloc(64, CODE_BYTES);
    for (u64 seed = first; seed < first + regions; seed++) {
        Random random = {seed * 77};
        RandomRegionOptions options = random_options(&random, c);
        IrRegion *region = random_region(&c->region_arena, seed, &options);
        const char *error = ir_verify(region);
        if (error) {
            printf("# seed %llu: %s\n", (unsigned long long)seed, error);
            invalid++;
            continue;
        }
        random_bytes(&random, start.cpu.state, STATE_BYTES);
        random_bytes(&random, start.memory, MEMORY_BYTES);
        run(c, region, &start, &c->before);
        for (u32 i = 0; i < COUNT(passes); i++) {
            wrong[i] += !check_pass(c, i, region, &start, seed);
        }
        arena_reset(&c->region_arena);
    }
    OK(!invalid, "%u random regions verify", regions);
    for (u32 i = 0; i < COUNT(passes); i++) {
        OK(!wrong[i], "%s keeps their meaning", passes[i].name);
    }
    arena_free(&c->region_arena);
    arena_free(&c->run_arena);
    free(c->code);
    free(c);
    return tap_done();
}
