/* IR text of any kind: the parser and the verifier cope, what they accept prints and parses to the
 * same again, and the passes keep it valid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/pass.h"
#include "ir/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TEXT = 8192 };

static void nothing(void *state, IrWord *io)
{
    (void)state, (void)io;
}

static const IrHelper helpers[] = {
    {"pure", nothing, IR_HELPER_PURE},
    {"effect", nothing, 0},
    {"writes", nothing, IR_HELPER_READS_STATE | IR_HELPER_WRITES_STATE},
};

static const IrSlot slots[] = {
    {"x0", 0, IR_I64}, {"x1", 8, IR_I64}, {"nzcv", 32, IR_I32}, {"q0", 48, IR_V128}};

static IrRegion *parse(Arena *arena, const char *text)
{
    const char *error;

    return ir_parse(arena, text, helpers, COUNT(helpers), slots, COUNT(slots), &error);
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

static void check(bool good, const char *what, const char *text)
{
    if (!good) {
        fprintf(stderr, "%s:\n%s", what, text);
        abort();
    }
}

static void check_region(Arena *arena, IrRegion *region, bool full)
{
    const char *text = print(arena, region);
    IrRegion *again = parse(arena, text);

    check(again && !ir_verify(again), "printed text is not valid", text);
    check(!strcmp(text, print(arena, again)), "printed text changes", text);
    ir_optimize(again, full);
    check(!ir_verify(again), "not valid after the passes", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena = {0};
    char text[MAX_TEXT + 1];

    size = size < MAX_TEXT ? size : MAX_TEXT;
    memcpy(text, data, size);
    text[size] = '\0';
    IrRegion *region = parse(&arena, text);
    if (region && !ir_verify(region)) {
        check_region(&arena, region, false);
        check_region(&arena, region, true);
    }
    arena_free(&arena);
    return 0;
}
