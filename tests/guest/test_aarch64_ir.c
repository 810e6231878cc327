/* What instructions translate to: code in, optimised IR out, compared with a file.
 *
 *   test_aarch64_ir FILE           compares
 *   test_aarch64_ir FILE --bless   rewrites the file with what the translator makes now
 *
 * FILE is a list of cases:
 *     case NAME
 *     WORD  assembler text, for the reader
 *     ...
 *     ir
 *     the optimised IR of the block that begins at the first word
 *     end
 * and lines in between that begin with # or are empty. The words lie at CODE_ADDRESS; behind them
 * nothing can be fetched. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "guest/guest.h"
#include "ir/pass.h"
#include "ir/text.h"

enum { CODE_ADDRESS = 0x10000, MAX_WORDS = 32 };

typedef struct Case {
    char name[80];
    u32 words[MAX_WORDS];
    u32 count;
} Case;

static bool fetch(GuestTranslation *t, u64 pc, void *bytes, u32 size)
{
    const Case *c = t->opaque;

    if (pc < CODE_ADDRESS || pc + size > CODE_ADDRESS + 4 * c->count) {
        return false;
    }
    memcpy(bytes, (const u8 *)c->words + (pc - CODE_ADDRESS), size);
    return true;
}

/* As TAP comments. */
static void print_lines(const char *heading, const char *text)
{
    printf("# %s:\n", heading);
    while (*text) {
        int length = (int)strcspn(text, "\n");
        printf("#   %.*s\n", length, text);
        text += length + (text[length] == '\n');
    }
}

/* The optimised IR as text, allocated; NULL, with the reason printed, when it does not verify. */
static char *translate(const Case *c)
{
    Arena arena = {0};
    GuestTranslation t = {
        .pc = CODE_ADDRESS, .max_insns = MAX_WORDS, .fetch = fetch, .opaque = (void *)c};
    const Guest *guest = &guest_aarch64;
    IrRegion *region = ir_region_new(&arena);
    const char *error;
    char *text = NULL;
    size_t size;

    region->guest_pc = CODE_ADDRESS;
    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    region->slots = guest->slots;
    region->slot_count = guest->slot_count;
    t.b = (IrBuilder){.region = region, .block = ir_block_new(region)};
    guest->translate(&t);
    ir_link_blocks(region);
    error = ir_verify(region);
    if (!error) {
        ir_optimize(region, false);
        error = ir_verify(region);
    }
    FILE *out = open_memstream(&text, &size);
    ir_print(region, out);
    fclose(out);
    if (error) {
        print_lines(error, text);
        free(text);
        text = NULL;
    }
    arena_free(&arena);
    return text;
}

static void print_case(FILE *out, const Case *c, const char *text)
{
    fprintf(out, "case %s\n", c->name);
    for (u32 i = 0; i < c->count; i++) {
        char line[128];
        guest_aarch64.disassemble((const u8 *)&c->words[i], 4, CODE_ADDRESS + 4 * i, line,
                                  sizeof(line));
        fprintf(out, "%08x  %s\n", c->words[i], line);
    }
    fprintf(out, "ir\n%send\n", text ? text : "");
}

static void report(const Case *c, const char *expected, const char *text)
{
    bool same = text && strcmp(expected, text) == 0;

    OK(same, "%s", c->name);
    if (!same) {
        print_lines("expected", expected);
        print_lines("is now", text ? text : "");
    }
}

/* Reads lines up to "end" as one string, allocated. */
static char *read_ir(FILE *in)
{
    char *text = NULL, line[256];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    while (fgets(line, sizeof(line), in) && strcmp(line, "end\n") != 0) {
        fputs(line, out);
    }
    fclose(out);
    return text;
}

static void run_case(FILE *in, Case *c, FILE *blessed)
{
    char line[256];

    c->count = 0;
    while (fgets(line, sizeof(line), in) && strcmp(line, "ir\n") != 0) {
        assert(c->count < MAX_WORDS && "too many words in a case");
        c->words[c->count++] = (u32)strtoul(line, NULL, 16);
    }
    char *expected = read_ir(in);
    char *text = translate(c);
    if (blessed) {
        print_case(blessed, c, text);
    } else {
        report(c, expected, text);
    }
    free(expected);
    free(text);
}

static void run_file(FILE *in, FILE *blessed)
{
    char line[256];

    while (fgets(line, sizeof(line), in)) {
        Case c;
        if (sscanf(line, "case %79[^\n]", c.name) == 1) {
            run_case(in, &c, blessed);
        } else if (blessed) {
            fputs(line, blessed);
        }
    }
}

static int bless(const char *path, FILE *in)
{
    char *text = NULL;
    size_t size;
    FILE *blessed = open_memstream(&text, &size);
    FILE *out;

    run_file(in, blessed);
    fclose(blessed);
    out = fopen(path, "w");
    if (!out || fwrite(text, 1, size, out) != size || fclose(out) != 0) {
        perror(path);
        return 2;
    }
    free(text);
    return 0;
}

int main(int argc, char **argv)
{
    FILE *in = argc > 1 ? fopen(argv[1], "r") : NULL;

    if (!in) {
        fprintf(stderr, "usage: test_aarch64_ir FILE [--bless]\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "--bless") == 0) {
        return bless(argv[1], in);
    }
    run_file(in, NULL);
    fclose(in);
    return tap_done();
}
