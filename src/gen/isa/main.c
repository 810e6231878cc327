/* isa: makes the C code of one guest's instruction tables.
 *
 *   isa OUTPUT... -- TABLE.isa... [-- TRANSLATOR.c...]
 *   isa --list -- TABLE.isa... [-- TRANSLATOR.c...]    prints rows, arguments, handlers
 *
 * What an output holds follows from its name: *_insn.h, *_decode.c, *_disasm.c, *_random.c,
 * *_translate.c. For the last, the translator's sources are searched for handlers. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gen/isa/isa.h"

typedef struct Output {
    const char *suffix;
    void (*emit)(FILE *out, const Isa *isa);
} Output;

static const Output outputs[] = {
    {"_insn.h", emit_header},   {"_decode.c", emit_decode},       {"_disasm.c", emit_disasm},
    {"_random.c", emit_random}, {"_translate.c", emit_translate},
};

_Noreturn void isa_fail(Place at, const char *format, ...)
{
    va_list arguments;

    if (at.file) {
        fprintf(stderr, "%s:", at.file);
        fprintf(stderr, at.line ? "%d: " : " ", at.line);
    }
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static const char *upper(Isa *isa, const char *text)
{
    char *copy = arena_strdup(&isa->arena, text);

    for (char *c = copy; *c; c++) {
        *c = (char)toupper((unsigned char)*c);
    }
    return copy;
}

/* The names that the generated code uses besides those in the tables. */
static void make_names(Isa *isa)
{
    char *type = arena_strdup(&isa->arena, isa->guest);

    *type = (char)toupper((unsigned char)*type);
    isa->guest_type = type;
    isa->guest_macro = upper(isa, isa->guest);
    for (int i = 0; i < isa->row_count; i++) {
        isa->row[i]->macro =
            arena_printf(&isa->arena, "%s_%s", isa->guest_macro, upper(isa, isa->row[i]->name));
    }
    for (int i = 0; i < isa->feature_count; i++) {
        isa->feature_macro[i] = arena_printf(&isa->arena, "%s_FEATURE_%s", isa->guest_macro,
                                             upper(isa, isa->feature[i]));
    }
}

static void write_output(const Isa *isa, const char *path)
{
    size_t length = strlen(path);

    for (size_t i = 0; i < COUNT(outputs); i++) {
        size_t suffix = strlen(outputs[i].suffix);
        if (length <= suffix || strcmp(path + length - suffix, outputs[i].suffix) != 0) {
            continue;
        }
        FILE *out = fopen(path, "w");
        if (!out) {
            isa_fail((Place){path, 0}, "%s", strerror(errno));
        }
        outputs[i].emit(out, isa);
        if (fclose(out) != 0) {
            isa_fail((Place){path, 0}, "%s", strerror(errno));
        }
        return;
    }
    isa_fail((Place){path, 0}, "the name says nothing about what to write");
}

/* Marks the rows whose handlers are defined, as `void tr_NAME(` in the first column. */
static void find_handlers(Isa *isa, const char *path)
{
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;

    if (!in) {
        isa_fail((Place){path, 0}, "%s", strerror(errno));
    }
    while (getline(&line, &size, in) >= 0) {
        if (strncmp(line, "void tr_", 8) != 0) {
            continue;
        }
        line[8 + strcspn(line + 8, "(")] = '\0';
        for (int i = 0; i < isa->row_count; i++) {
            isa->row[i]->translated |= strcmp(isa->row[i]->name, line + 8) == 0;
        }
    }
    free(line);
    fclose(in);
}

/* The arguments up to the next "--", which *next is moved behind. */
static int section(char **argv, int *next, char ***first)
{
    int count = 0;

    *first = &argv[*next];
    while (argv[*next] && strcmp(argv[*next], "--") != 0) {
        ++*next;
        count++;
    }
    *next += argv[*next] != NULL;
    return count;
}

int main(int argc, char **argv)
{
    static Isa isa;
    char **output, **table, **source;
    int next = MIN(1, argc);
    int output_count = section(argv, &next, &output);
    int table_count = section(argv, &next, &table);
    int source_count = section(argv, &next, &source);

    if (table_count == 0) {
        fputs("usage: isa OUTPUT... -- TABLE.isa... [-- TRANSLATOR.c...]\n", stderr);
        return 2;
    }
    for (int i = 0; i < table_count; i++) {
        isa_parse(&isa, table[i]);
    }
    isa_check(&isa);
    make_names(&isa);
    for (int i = 0; i < source_count; i++) {
        find_handlers(&isa, source[i]);
    }
    if (output_count == 1 && strcmp(output[0], "--list") == 0) {
        emit_list(stdout, &isa);
        output_count = 0;
    }
    for (int i = 0; i < output_count; i++) {
        write_output(&isa, output[i]);
    }
    arena_free(&isa.arena);
    return 0;
}
