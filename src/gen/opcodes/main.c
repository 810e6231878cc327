/* opcodes: makes C from the opcode tables of x86.
 *
 *   opcodes OUTPUT... -- TABLE.opcodes... [-- TRANSLATOR.c...]
 *   opcodes --list -- TABLE.opcodes... [-- TRANSLATOR.c...]    prints rows and which have handlers
 *
 * What an output holds follows from its name: *_insn.h, *_tables.c, *_translate.c. For the last,
 * the translator's sources are searched for handlers. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gen/opcodes/opcodes.h"

typedef struct Output {
    const char *suffix;
    void (*emit)(FILE *out, const Tables *tables);
} Output;

static const Output outputs[] = {
    {"_insn.h", emit_header}, {"_tables.c", emit_tables}, {"_translate.c", emit_translate}};

_Noreturn void opcodes_fail(Place at, const char *format, ...)
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

static void write_output(const Tables *tables, const char *path)
{
    size_t length = strlen(path);

    for (size_t i = 0; i < COUNT(outputs); i++) {
        size_t suffix = strlen(outputs[i].suffix);
        if (length <= suffix || strcmp(path + length - suffix, outputs[i].suffix) != 0) {
            continue;
        }
        FILE *out = fopen(path, "w");
        if (!out) {
            opcodes_fail((Place){path, 0}, "%s", strerror(errno));
        }
        outputs[i].emit(out, tables);
        if (fclose(out) != 0) {
            opcodes_fail((Place){path, 0}, "%s", strerror(errno));
        }
        return;
    }
    opcodes_fail((Place){path, 0}, "the name says nothing about what to write");
}

/* Marks the rows whose handlers are defined, as `void tr_NAME(` in the first column. */
static void find_handlers(Tables *tables, const char *path)
{
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;

    if (!in) {
        opcodes_fail((Place){path, 0}, "%s", strerror(errno));
    }
    while (getline(&line, &size, in) >= 0) {
        if (strncmp(line, "void tr_", 8) != 0) {
            continue;
        }
        line[8 + strcspn(line + 8, "(")] = '\0';
        for (int i = 0; i < tables->row_count; i++) {
            tables->row[i]->translated |= strcmp(tables->row[i]->handler, line + 8) == 0;
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
    static Tables tables;
    char **output, **table, **source;
    int next = MIN(1, argc);
    int output_count = section(argv, &next, &output);
    int table_count = section(argv, &next, &table);
    int source_count = section(argv, &next, &source);

    if (table_count == 0) {
        fputs("usage: opcodes OUTPUT... -- TABLE.opcodes... [-- TRANSLATOR.c...]\n", stderr);
        return 2;
    }
    for (int i = 0; i < table_count; i++) {
        opcodes_parse(&tables, table[i]);
    }
    opcodes_check(&tables);
    for (int i = 0; i < source_count; i++) {
        find_handlers(&tables, source[i]);
    }
    if (output_count == 1 && strcmp(output[0], "--list") == 0) {
        emit_list(stdout, &tables);
        output_count = 0;
    }
    for (int i = 0; i < output_count; i++) {
        write_output(&tables, output[i]);
    }
    arena_free(&tables.arena);
    return 0;
}
