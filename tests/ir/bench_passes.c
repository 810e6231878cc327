/* How long the passes take: cycles of the host's time stamp counter for each IR instruction, on
 * random regions of guest-like size or on the IR text files given. Not a test; run by hand:
 *     meson compile bench-ir-passes && tests/ir/bench-ir-passes [FILE...] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "helpers.h"
#include "ir/pass.h"
#include "ir/text.h"
#include "random_region.h"

enum { REGIONS = 400, ROUNDS = 20 };

static const struct {
    const char *name;
    IrPassFn *run;
} passes[] = {
    {"forward", ir_pass_forward}, {"deadput", ir_pass_deadput}, {"flags", ir_pass_flags},
    {"fold", ir_pass_fold},       {"cse", ir_pass_cse},         {"address", ir_pass_address},
    {"dead", ir_pass_dead},       {"sink", ir_pass_sink},
};

static u64 now(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
#endif
}

static u32 live_count(const IrRegion *region)
{
    u32 count = 0;

    for (u32 block = 0; block < region->block_count; block++) {
        IR_FOR_EACH(region, block, value)
        {
            count++;
        }
    }
    return count;
}

/* The smallest time over the rounds, of all regions together: each pass, and the rest. */
static void measure(IrRegion **regions, u32 count)
{
    u64 best[COUNT(passes)], total = 0;
    u32 before = 0, after = 0;
    Arena arena = {0};

    memset(best, 0xff, sizeof(best));
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 sum[COUNT(passes)] = {0};
        before = after = 0;
        for (u32 i = 0; i < count; i++) {
            arena_reset(&arena);
            IrRegion *region = region_copy(&arena, regions[i]);
            before += live_count(region);
            for (u32 p = 0; p < COUNT(passes); p++) {
                u64 start = now();
                passes[p].run(region);
                sum[p] += now() - start;
            }
            after += live_count(region);
        }
        for (u32 p = 0; p < COUNT(passes); p++) {
            best[p] = MIN(best[p], sum[p]);
        }
    }
    for (u32 p = 0; p < COUNT(passes); p++) {
        printf("%-8s %6.1f\n", passes[p].name, (double)best[p] / before);
        total += best[p];
    }
    printf("all      %6.1f cycles per IR instruction; %.1f instructions a region, %.1f left\n",
           (double)total / before, (double)before / count, (double)after / count);
    arena_free(&arena);
}

static IrRegion *read_region(Arena *arena, const char *name)
{
    char *text = arena_zalloc(arena, 1 << 20, 1);
    const char *error = "cannot be read";
    FILE *file = fopen(name, "r");
    IrRegion *region = NULL;

    if (file) {
        text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
        fclose(file);
        region = ir_parse(arena, text, test_helpers, TEST_HELPER_COUNT, test_slots, TEST_SLOT_COUNT,
                          &error);
    }
    if (!region || (error = ir_verify(region))) {
        fprintf(stderr, "%s: %s\n", name, error);
        exit(1);
    }
    return region;
}

int main(int argc, char **argv)
{
    static IrRegion *regions[REGIONS];
    Arena arena = {0};
    u32 count = MIN((u32)argc - 1, (u32)REGIONS);

    for (u32 i = 0; i < count; i++) {
        regions[i] = read_region(&arena, argv[i + 1]);
    }
    for (; argc == 1 && count < REGIONS; count++) {
        RandomRegionOptions options = {.pieces = 1,
                                       .insns_per_block = 20 + count % 40,
                                       .state_bytes = 256,
                                       .memory = 0x10000,
                                       .memory_bytes = 4096,
                                       .vectors = count % 2,
                                       .floats = count % 2};
        regions[count] = random_region(&arena, count, &options);
    }
    measure(regions, count);
    arena_free(&arena);
    return 0;
}
