/* The x86-64 host computes what the interpreter computes: random regions on both, with various
 * choices of pinned slots and CPU features, must leave the same state, memory, exit and
 * floating-point flags, and see the same state where a helper may fault.
 *
 * In a region that is not exact_fp an invalid operation traps: the state recovered at the trap must
 * then be that of the interpreter at the start of the same guest instruction.
 * Arguments: [regions [first seed]]. MENURA_TEST_VERBOSE prints the regions that fail. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "../tap.h"
#include "helpers.h"
#include "host/host.h"
#include "host/x86_64/x86_64.h"
#include "ir/build.h"
#include "ir/pass.h"
#include "ir/text.h"
#include "random_region.h"

enum { STATE_BYTES = 256, MEMORY_BYTES = 4096, CODE_BYTES = 1 << 20, STUB_BYTES = 1 << 16 };

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
    u8 *cache;
    Machine wanted, got, now;
    JumpEntry table[1 << JUMP_TABLE_BITS];
    HostBlock block;
    u8 *code;
    u64 trap_pc;
    FpEnv fp;      /* at the start */
    u32 too_large; /* regions that the allocator has too few spill slots for */
} Context;

static Context *context;

static void on_signal(int signal, siginfo_t *info, void *ucontext)
{
    Context *c = context;
    HostFault fault = {.ucontext = ucontext,
                       .code = c->code,
                       .side_table = c->block.side_table,
                       .side_table_size = c->block.side_table_size};
    (void)info;
    if (signal != SIGFPE || !host_x86_64.recover(c->now.cpu.state, &fault)) {
        abort();
    }
    host_x86_64.abandon(c->now.cpu.state, c->cache, ucontext);
    c->trap_pc = fault.pc;
    c->now.cpu.common.pc = fault.pc;
    c->now.cpu.common.exit_kind = CPU_EXIT_FP;
}

static void handle_signals(void)
{
    static u8 stack[65536];
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&alternative, NULL);
    sigaction(SIGFPE, &action, NULL);
}

/* Pinned slots that lie apart, that are parts of others, none. */
static const IrSlot ints[][6] = {
    {{"a", 0, IR_I64}, {"b", 8, IR_I64}, {"c", 24, IR_I64}, {"d", 36, IR_I32}, {"e", 40, IR_I64}},
    {{"a", 16, IR_I64}, {"b", 4, IR_I32}, {"c", 32, IR_I64}, {"d", 128, IR_I64}},
};
static const IrSlot vectors[][4] = {
    {{"v", 48, IR_V128}, {"w", 64, IR_V128}, {"x", 128, IR_V128}, {"y", 240, IR_V128}},
    {{"v", 48, IR_V128}, {"w", 80, IR_V128}},
};

static HostConfig config_of(u64 seed)
{
    HostConfig config = {.helpers = test_helpers,
                         .helper_count = TEST_HELPER_COUNT,
                         .code_shift = 2,
                         .fp_native = seed % 5 == 0};

    if (seed % 3) {
        config.hot_int = ints[seed % 3 - 1];
        config.hot_int_count = seed % 3 == 1 ? 5 : 4;
        config.hot_vector = vectors[seed % 3 - 1];
        config.hot_vector_count = seed % 3 == 1 ? 4 : 2;
    }
    return config;
}

/* Arm's floating point, or x86's in various modes. */
static FpEnv fp_of(u64 seed, bool native)
{
    return native ? (FpEnv){.rounding = seed / 5 & 3,
                            .flush_inputs = seed / 20 % 4 == 1,
                            .flush_outputs = seed / 20 % 8 == 1,
                            .tininess_after_rounding = true,
                            .default_nan_negative = true,
                            .nan_rule = FP_NAN_X86_SSE,
                            .denormal_operands = true}
                  : (FpEnv){.tininess_after_rounding = true};
}

/* For a look at it with objdump -D -b binary -m i386:x86-64. */
static void save_code(const Context *c, const Host *host)
{
    const char *path = getenv("MENURA_TEST_CODE");
    FILE *file = path && host == &host_x86_64 ? fopen(path, "w") : NULL;

    if (file) {
        fwrite(c->code, 1, c->block.size, file);
        fclose(file);
    }
}

/* Runs the region on a host. `now` is where the memory must be. */
static bool run(Context *c, const Host *host, const IrRegion *region, const Machine *start,
                Machine *end, const HostConfig *config)
{
    CpuCommon *common = &c->now.cpu.common;
    size_t stubs = host->begin_cache ? host->begin_cache(c->cache, STUB_BYTES, config) : 0;

    arena_reset(&c->run_arena);
    c->now = *start;
    common->fp = c->fp;
    if (host->cpu_init(common)) {
        abort();
    }
    host->set_fp(common);
    common->jump_table = c->table;
    common->helpers = test_helpers;
    c->now.trace = (TestTrace){.state_bytes = STATE_BYTES};
    test_trace = &c->now.trace;
    c->code = c->cache + ALIGN_UP(stubs, 64);
    c->trap_pc = 0;
    int error =
        host->compile(region, config, c->cache, c->code, CODE_BYTES, &c->run_arena, &c->block);
    if (error) {
        host->cpu_free(common);
        return false;
    }
    save_code(c, host);
    host->enter(c->now.cpu.state, c->cache, c->code);
    host->cpu_free(common);
    *end = c->now;
    return true;
}

/* Arm's flag for flushed inputs is none of MXCSR's. */
static const char *difference(const Machine *a, const Machine *b)
{
    const u8 flags_compared =
        a->cpu.common.fp.nan_rule == FP_NAN_ARM ? 0xff : 0xff & ~FP_INPUT_DENORMAL;
    const CpuCommon *x = &a->cpu.common, *y = &b->cpu.common;

    return memcmp(a->cpu.state, b->cpu.state, STATE_BYTES)               ? "state"
           : memcmp(a->memory, b->memory, sizeof(a->memory))             ? "memory"
           : x->exit_kind != y->exit_kind || x->pc != y->pc              ? "exit"
           : x->exit_kind == CPU_EXIT_IR && x->exit_code != y->exit_code ? "exit code"
           : (x->fp.flags ^ y->fp.flags) & flags_compared                ? "fp flags"
           : a->trace.hash != b->trace.hash                              ? "state at a fault"
                                                                         : NULL;
}

/* A copy that leaves just before the guest instruction at `pc`: for regions of one block. */
static IrRegion *cut_at(Context *c, const IrRegion *region, u64 pc)
{
    IrRegion *copy = region_copy(&c->region_arena, region);

    IR_FOR_EACH(copy, 0, value)
    {
        IrInsn *insn = ir_insn(copy, value);
        if (insn->op == IR_INSN && insn->imm == pc) {
            *insn = (IrInsn){.op = IR_EXIT, .imm = pc, .prev = insn->prev};
            copy->blocks[0].last = value;
            return copy;
        }
    }
    return NULL;
}

/* FLAGS_ADC wants 0 or 1 as carry. */
static void tame_carries(IrRegion *region)
{
    for (u32 b = 0; b < region->block_count; b++) {
        IR_FOR_EACH(region, b, value)
        {
            if (ir_insn(region, value)->op == IR_FLAGS_ADC) {
                IrVal one = ir_insert_before(region, b, value,
                                             &(IrInsn){.op = IR_CONST, .type = IR_I32, .imm = 1});
                IrVal carry = ir_insn(region, value)->arg[2];
                IrInsn low = {.op = IR_AND, .type = IR_I32, .arg = {carry, one}};
                carry = ir_insert_before(region, b, value, &low);
                ir_insn(region, value)->arg[2] = carry;
            }
        }
    }
}

/* Operations whose bits are each CPU's own. */
static bool is_approximate(IrOp op)
{
    return op == IR_FRCP || op == IR_FRSQRT;
}

static RandomRegionOptions random_options(Random *random, const Context *c)
{
    return (RandomRegionOptions){
        .pieces = random_below(random, 2) ? 1 : 1 + random_below(random, 6),
        .insns_per_block = 4 + random_below(random, 40),
        .state_bytes = random_below(random, 2) ? 64 : STATE_BYTES,
        .memory = random_below(random, 2) ? (u64)(uintptr_t)c->now.memory : 0,
        .memory_bytes = MEMORY_BYTES,
        .floats = random_below(random, 2),
        .vectors = random_below(random, 2),
        .helpers = random_below(random, 2),
        .exact_fp = random_below(random, 2),
        .without = is_approximate,
    };
}

static const char *check(Context *c, const IrRegion *region, const Machine *start, u64 seed,
                         bool calls)
{
    static const u32 features[] = {~0u, ~0u, 0, ~(u32)(X86_AVX2 | X86_BMI2 | X86_LZCNT)};
    HostConfig config = config_of(seed);

    x86_limit_features(features[seed / 3 % COUNT(features)]);
    c->fp = fp_of(seed, config.fp_native);
    if (!run(c, &host_x86_64, region, start, &c->got, &config)) {
        c->too_large++;
        return NULL;
    }
    if (c->trap_pc) {
        u64 pc = c->trap_pc;
        region = cut_at(c, region, pc);
        if (!region || calls) {
            return NULL; /* of several blocks, or effects of the cut instruction remain */
        }
        run(c, &host_interp, region, start, &c->wanted, &config);
        /* What the cut instruction stored before it trapped, it stores again. */
        memcpy(c->got.memory, c->wanted.memory, sizeof(c->got.memory));
        c->got.cpu.common.exit_kind = CPU_EXIT_IR;
        c->got.cpu.common.exit_code = 0;
        c->got.cpu.common.fp.flags = c->wanted.cpu.common.fp.flags; /* others may have run ahead */
    } else {
        run(c, &host_interp, region, start, &c->wanted, &config);
    }
    return difference(&c->wanted, &c->got);
}

int main(int argc, char **argv)
{
    u32 regions = argc > 1                     ? (u32)strtoul(argv[1], NULL, 0)
                  : getenv("MENURA_TEST_FULL") ? 300000
                                               : 6000;
    u64 first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    u32 wrong = 0, traps = 0;
    /* Below 4 GiB, for addresses of 32 bits. */
    Context *c = context = mmap(NULL, sizeof(Context), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    static Machine start;

    c->cache = mmap(NULL, STUB_BYTES + CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    c->table[0].pc = ~(u64)0; /* no address of that index; 0 is none of the others' */
    handle_signals();
    for (u64 seed = first; seed < first + regions; seed++) {
        Random random = {seed * 77};
        RandomRegionOptions options = random_options(&random, c);
        IrRegion *region = random_region(&c->region_arena, seed, &options);
        tame_carries(region);
        region->fp_native = seed % 5 == 0;
        random_bytes(&random, start.cpu.state, STATE_BYTES);
        random_bytes(&random, start.memory, MEMORY_BYTES);
        if (seed % 2) {
            ir_optimize(region, seed % 4 == 1);
        }
        if (getenv("MENURA_TEST_TRACE")) {
            printf("# seed %llu\n", (unsigned long long)seed);
            ir_print(region, stdout);
            fflush(stdout);
        }
        const char *error = check(c, region, &start, seed, options.helpers);
        traps += c->trap_pc != 0;
        if (error) {
            wrong++;
            printf("# seed %llu: %s\n", (unsigned long long)seed, error);
            if (getenv("MENURA_TEST_VERBOSE")) {
                ir_print(region, stdout);
                for (u32 i = 0; i < STATE_BYTES; i += 8) {
                    u64 a, b, s;
                    memcpy(&s, start.cpu.state + i, 8);
                    memcpy(&a, c->wanted.cpu.state + i, 8);
                    memcpy(&b, c->got.cpu.state + i, 8);
                    if (a != b) {
                        printf("# [0x%x] %016llx: wanted %016llx got %016llx\n", i,
                               (unsigned long long)s, (unsigned long long)a, (unsigned long long)b);
                    }
                }
                printf("# flags %x %x pc %llx %llx trap %llx\n", c->wanted.cpu.common.fp.flags,
                       c->got.cpu.common.fp.flags, (unsigned long long)c->wanted.cpu.common.pc,
                       (unsigned long long)c->got.cpu.common.pc, (unsigned long long)c->trap_pc);
            }
        }
        arena_reset(&c->region_arena);
    }
    OK(!wrong, "%u random regions mean the same on both hosts, %u of them trapping", regions,
       traps);
    OK(c->too_large <= regions / 500, "%u of them too large for the allocator", c->too_large);
    arena_free(&c->region_arena);
    arena_free(&c->run_arena);
    munmap(c->cache, STUB_BYTES + CODE_BYTES);
    munmap(c, sizeof(*c));
    return tap_done();
}
