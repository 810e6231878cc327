/* The order of the passes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "ir/graph.h"
#include "ir/pass.h"
#include "ir/text.h"

typedef struct Pass {
    const char *name;
    IrPassFn *run;
} Pass;

/* For a block that is compiled alone, perhaps to run once. forward comes first, as it exposes what
 * the others simplify; deadput before flags, so that flags nobody stores can be replaced. */
static const Pass quick[] = {
    {"forward", ir_pass_forward}, {"deadput", ir_pass_deadput}, {"flags", ir_pass_flags},
    {"fold", ir_pass_fold},       {"cse", ir_pass_cse},         {"address", ir_pass_address},
    {"dead", ir_pass_dead},       {"sink", ir_pass_sink},
};

/* For regions: merged values open new chances in a second round. */
static const Pass thorough[] = {
    {"forward", ir_pass_forward}, {"flags", ir_pass_flags},     {"fold", ir_pass_fold},
    {"cse", ir_pass_cse},         {"forward", ir_pass_forward}, {"deadput", ir_pass_deadput},
    {"flags", ir_pass_flags},     {"fold", ir_pass_fold},       {"cse", ir_pass_cse},
    {"address", ir_pass_address}, {"dead", ir_pass_dead},       {"sink", ir_pass_sink},
};

#ifdef IR_VERIFY_PASSES
enum { verify_passes = 1 };
#else
enum { verify_passes = 0 };
#endif

/* A pass that breaks the IR is our bug. */
static void check(const IrRegion *region, const char *after)
{
    const char *error = ir_verify(region);

    if (error) {
        ir_print(region, stderr);
        fprintf(stderr, "IR is wrong after %s: %s\n", after, error);
        assert(!"IR is wrong");
    }
}

static void log_region(const IrRegion *region, const char *after)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out) {
        ir_print(region, out);
        fclose(out);
        log_printf("-- after %s\n%s", after, text);
        free(text);
    }
}

static void run(IrRegion *region, const Pass *passes, u32 count)
{
    if (verify_passes) {
        check(region, "translation");
    }
    for (u32 i = 0; i < count; i++) {
        /* What cannot be reached obeys no order: a value there may even be made of itself. */
        ir_remove_unreachable(region);
        passes[i].run(region);
        if (log_on(LOG_PASSES)) {
            log_region(region, passes[i].name);
        }
        if (verify_passes || log_on(LOG_PASSES)) {
            check(region, passes[i].name);
        }
    }
}

void ir_optimize(IrRegion *region, bool full)
{
    if (full) {
        run(region, thorough, COUNT(thorough));
    } else {
        run(region, quick, COUNT(quick));
    }
}
