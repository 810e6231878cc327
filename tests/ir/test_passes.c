/* Runs the text cases given as arguments: IR in, passes, IR out.
 *
 * A case is a file of three parts:
 *     # passes: fold dead       names of pass.h without ir_pass_, or `quick`, `full`, or nothing
 *     region ... (input)
 *     # expect
 *     region ... (what it prints afterwards)
 * or, in place of the expected text, `# error: TEXT`, a message that ir_parse() or ir_verify()
 * gives. With MENURA_BLESS=1 in the environment each file's last part is replaced by what came out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "helpers.h"
#include "ir/pass.h"
#include "ir/text.h"

static const struct {
    const char *name;
    IrPassFn *run;
} passes[] = {
    {"fold", ir_pass_fold},       {"forward", ir_pass_forward}, {"cse", ir_pass_cse},
    {"flags", ir_pass_flags},     {"dead", ir_pass_dead},       {"deadput", ir_pass_deadput},
    {"address", ir_pass_address}, {"sink", ir_pass_sink},
};

/* The contents of a file, with a final NUL, in the arena. Exits when it can't be read. */
static char *read_text(Arena *arena, const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = arena_alloc(arena, 1 << 16, 1);

    if (!file) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        exit(1);
    }
    text[fread(text, 1, (1 << 16) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static bool run_named(IrRegion *region, const char *name)
{
    if (strcmp(name, "quick") == 0 || strcmp(name, "full") == 0) {
        ir_optimize(region, name[0] == 'f');
        return true;
    }
    for (u32 i = 0; i < COUNT(passes); i++) {
        if (strcmp(name, passes[i].name) == 0) {
            passes[i].run(region);
            return true;
        }
    }
    return false;
}

/* Runs the passes of the `# passes:` line; NULL or what went wrong. */
static const char *run_passes(IrRegion *region, Arena *arena, const char *text)
{
    const char *prefix = "# passes:", *at = strstr(text, prefix);
    char *names, *rest = NULL;

    if (!at) {
        return "no line '# passes:'";
    }
    names = arena_printf(arena, "%.*s", (int)strcspn(at, "\n"), at);
    for (char *name = strtok_r(names + strlen(prefix), " ", &rest); name;
         name = strtok_r(NULL, " ", &rest)) {
        const char *error = run_named(region, name) ? ir_verify(region) : "no such pass";
        if (error) {
            return arena_printf(arena, "after %s: %s", name, error);
        }
    }
    return NULL;
}

static const char *print(Arena *arena, const IrRegion *region)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    ir_print(region, out);
    fclose(out);
    char *copy = arena_strdup(arena, text);
    free(text);
    return copy;
}

/* What comes of the input: the printed region, or an error as a comment. */
static const char *outcome(Arena *arena, const char *text, const char *input)
{
    const char *error;
    IrRegion *region = ir_parse(arena, input, test_helpers, TEST_HELPER_COUNT, test_slots,
                                TEST_SLOT_COUNT, &error);

    if (region) {
        error = ir_verify(region);
    }
    if (!error) {
        error = run_passes(region, arena, text);
    }
    return error ? arena_printf(arena, "# error: %s\n", error) : print(arena, region);
}

/* Printing what was parsed must give the same again, whatever the numbers in the text. */
static bool round_trips(Arena *arena, const char *input)
{
    const char *error;
    IrRegion *once = ir_parse(arena, input, test_helpers, TEST_HELPER_COUNT, test_slots,
                              TEST_SLOT_COUNT, &error);

    if (!once) {
        return true; /* the case expects an error */
    }
    const char *first = print(arena, once);
    IrRegion *twice = ir_parse(arena, first, test_helpers, TEST_HELPER_COUNT, test_slots,
                               TEST_SLOT_COUNT, &error);
    return twice && strcmp(first, print(arena, twice)) == 0;
}

static void bless(const char *name, const char *head, const char *output)
{
    FILE *file = fopen(name, "w");

    if (file) {
        fputs(head, file);
        fputs(output, file);
        fclose(file);
    }
}

static void run_case(const char *name)
{
    const char *mark = "# expect\n", *error_mark = "# error:";
    Arena arena = {0};
    char *text = read_text(&arena, name), *expected = strstr(text, mark);

    if (expected) {
        expected += strlen(mark);
    } else {
        expected = strstr(text, error_mark);
    }
    if (!expected) {
        OK(0, "%s: neither '# expect' nor '# error:'", name);
        arena_free(&arena);
        return;
    }
    char *head = arena_printf(&arena, "%.*s", (int)(expected - text), text);
    const char *output = outcome(&arena, text, head);
    bool same = strcmp(output, expected) == 0;

    if (!same && getenv("MENURA_BLESS")) {
        bless(name, head, output);
        same = true;
    }
    OK(same, "%s", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
    if (!same) {
        printf("# got:\n%s", output);
    }
    OK(round_trips(&arena, head), "and its input round-trips");
    arena_free(&arena);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        run_case(argv[i]);
    }
    return tap_done();
}
