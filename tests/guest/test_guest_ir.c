/* What instructions translate to: code in, optimised IR out, compared with a file.
 *
 *   test_guest_ir GUEST FILE           compares
 *   test_guest_ir GUEST FILE --bless   rewrites the file with what the translator makes now
 *
 * GUEST is a guest's name, or x86_64-system: 64-bit code of privilege level 0 under SMAP.
 * FILE is a list of cases:
 *     case NAME
 *     CODE  assembler text, for the reader
 *     ...
 *     ir
 *     the optimised IR of the block that begins at the first instruction
 *     end
 * and lines in between that begin with # or are empty. CODE is one instruction: a 32-bit word, or
 * two digits for each byte, with blanks in between. The code lies at CODE_ADDRESS; behind it
 * nothing can be fetched. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "guest/guest.h"
#include "guest/x86/system.h"
#include "ir/pass.h"
#include "ir/text.h"

enum { CODE_ADDRESS = 0x10000, MAX_CODE = 256, MAX_INSNS = 32 };

typedef struct Case {
    char name[80];
    u8 code[MAX_CODE];
    u32 size;
} Case;

static const Guest *guest;
static void *state; /* a program's at its start; behind a CpuCommon */

/* Appends the code of a line: a word, or bytes. */
static void parse_code(Case *c, const char *line)
{
    char *end = (char *)line;

    for (u32 i = 0; end == line || (isxdigit((u8)end[1]) && isxdigit((u8)end[2])); i++) {
        const char *digits = end + (i > 0);
        u32 value = (u32)strtoul(digits, &end, 16), bytes = end - digits > 2 ? 4 : 1;
        assert(c->size + bytes <= MAX_CODE && "too much code in a case");
        memcpy(c->code + c->size, &value, bytes);
        c->size += bytes;
        if (bytes == 4) {
            return;
        }
    }
}

static bool fetch(GuestTranslation *t, u64 pc, void *bytes, u32 size)
{
    const Case *c = t->opaque;

    if (pc < CODE_ADDRESS || pc >= CODE_ADDRESS + c->size) {
        return false;
    }
    memset(bytes, 0, size);
    memcpy(bytes, c->code + (pc - CODE_ADDRESS), MIN(size, CODE_ADDRESS + c->size - pc));
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
    GuestTranslation t = {.pc = CODE_ADDRESS,
                          .mode = guest->mode(state),
                          .max_insns = MAX_INSNS,
                          .fetch = fetch,
                          .opaque = (void *)c,
                          .state = state};
    IrRegion *region = ir_region_new(&arena);
    const char *error;
    char *text = NULL;
    size_t size;

    region->guest_pc = CODE_ADDRESS;
    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    region->x87 = guest->x87;
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

static void print_code(FILE *out, const u8 *code, u32 size)
{
    if (guest->code_shift == 2) {
        u32 word;
        memcpy(&word, code, sizeof(word));
        fprintf(out, "%08x  ", word);
        return;
    }
    for (u32 i = 0; i < size; i++) {
        fprintf(out, "%02x ", code[i]);
    }
    fputc(' ', out);
}

static void print_case(FILE *out, const Case *c, const char *text)
{
    fprintf(out, "case %s\n", c->name);
    for (u32 at = 0; at < c->size;) {
        char line[128] = "";
        int size =
            guest->disassemble(c->code + at, c->size - at, CODE_ADDRESS + at, line, sizeof(line));
        assert(size > 0 && "a case with code that does not exist");
        print_code(out, c->code + at, (u32)size);
        fprintf(out, "%s\n", line);
        at += (u32)size;
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

    c->size = 0;
    while (fgets(line, sizeof(line), in) && strcmp(line, "ir\n") != 0) {
        parse_code(c, line);
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

/* 64-bit code of an operating system. */
static void enter_system(X86State *cpu)
{
    x86_enter_user(cpu, true);
    cpu->user_mode = 0;
    cpu->cr[4] |= X86_CR4_SMAP;
    cpu->segment[X86_CS].attributes &= (u16) ~(3 << X86_SEGMENT_DPL_SHIFT);
    cpu->segment[X86_SS].attributes &= (u16) ~(3 << X86_SEGMENT_DPL_SHIFT);
}

/* The state of a program at its start, or of a system. */
static void make_state(bool system)
{
    CpuCommon *common = aligned_alloc(64, sizeof(CpuCommon) + guest->state_size);

    memset(common, 0, sizeof(CpuCommon) + guest->state_size);
    state = cpu_state(common);
    guest->reset(state, common);
    if (system) {
        enter_system(state);
    } else if (guest == &guest_x86_64 || guest == &guest_i386) {
        x86_enter_user(state, guest == &guest_x86_64);
    }
}

int main(int argc, char **argv)
{
    FILE *in = argc > 2 ? fopen(argv[2], "r") : NULL;
    bool system = argc > 1 && strcmp(argv[1], "x86_64-system") == 0;

    guest = system ? &guest_x86_64 : argc > 1 ? guest_find(argv[1]) : NULL;
    if (!in || !guest) {
        fprintf(stderr, "usage: test_guest_ir GUEST FILE [--bless]\n");
        return 2;
    }
    make_state(system);
    if (argc > 3 && strcmp(argv[3], "--bless") == 0) {
        return bless(argv[2], in);
    }
    run_file(in, NULL);
    fclose(in);
    free(cpu_common(state));
    return tap_done();
}
