/* Prints the generated C: x86_insn.h (rows, handlers' prototypes), x86_tables.c (the rows and the
 * opcode maps, in the structs of guest/x86/rows.h), x86_translate.c (the way to the handlers); and,
 * for people, the list of rows. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gen/opcodes/opcodes.h"

static void emit_banner(FILE *out, const char *purpose)
{
    fprintf(out, "/* Generated from the opcode tables of x86: %s\n * Do not edit. */\n", purpose);
}

/* Calls `visit` for each handler once. */
static void each_handler(const Tables *tables, FILE *out, const char *format, bool translated)
{
    for (int i = 0; i < tables->row_count; i++) {
        const Row *row = tables->row[i];
        int j = 0;
        while (j < i && strcmp(tables->row[j]->handler, row->handler) != 0) {
            j++;
        }
        if (j == i && (row->translated || !translated)) {
            fprintf(out, format, row->handler, row->handler);
        }
    }
}

void emit_header(FILE *out, const Tables *tables)
{
    emit_banner(out, "rows and handlers.");
    fputs("#ifndef X86_INSN_H\n#define X86_INSN_H\n\n#include \"base/types.h\"\n"
          "\ntypedef struct Tr Tr;\n",
          out);
    fprintf(out, "\nenum { X86_ROW_COUNT = %d };\n", tables->row_count);
    fputs("\n/* By row: the handler, NULL when there is none yet, and its argument. */\n"
          "extern void (*const x86_handlers[X86_ROW_COUNT])(Tr *t);\n"
          "extern const u32 x86_arguments[X86_ROW_COUNT];\n",
          out);
    fputs("\n/* X86Row.handler */\ntypedef enum X86Do {\n", out);
    each_handler(tables, out, "    X86_DO_%s,\n", false);
    fputs("} X86Do;\n\n/* The handlers. Their linker names carry the guest, for all guests share a "
          "binary. */\n",
          out);
    each_handler(tables, out, "void tr_%s(Tr *t) __asm__(\"x86_tr_%s\");\n", false);
    fputs("\n#endif\n", out);
}

/* -- Tables */

static void emit_operands(FILE *out, const Row *row)
{
    for (int i = 0; i < row->operand_count; i++) {
        const Operand *operand = &row->operand[i];
        char size[16] = "none";
        if (operand->size) {
            snprintf(size, sizeof(size), "%s", operand->size);
        }
        if (strchr(size, '/')) {
            *strchr(size, '/') = '_';
        }
        fprintf(out, "{X86_CODE_%s, X86_SIZE_%s, %d}, ", operand->code, size,
                operand->read | operand->write << 1);
    }
}

static void emit_lower(FILE *out, const char *text)
{
    for (; *text; text++) {
        fputc(tolower((unsigned char)*text), out);
    }
}

/* Operand codes of vector and MMX registers, and of those that may be in them. */
static bool uses_vectors(const Row *row)
{
    for (int i = 0; i < row->operand_count; i++) {
        const char *code = row->operand[i].code;
        if ((strchr("HLNPQUVW", *code) && !code[1]) || strcmp(code, "XMM0") == 0) {
            return true;
        }
    }
    return false;
}

static void emit_row(FILE *out, const Row *row)
{
    const char *file = strrchr(row->at.file, '/');

    fprintf(out, "    /* %s:%d */\n    {\"", file ? file + 1 : row->at.file, row->at.line);
    emit_lower(out, row->name);
    fprintf(out, "\", \"%s\", X86_DO_%s, %#x, %d, %#x, %d, %d, %#x, %#x, ", row->class_name,
            row->handler, row->demands, row->map, row->opcode, row->opcode_count, row->prefixes,
            row->modrm_mask, row->modrm_bits);
    fprintf(out, "{X86_FEATURE_%s, X86_FEATURE_%s}, ", row->need[0] ? row->need[0] : "NONE",
            row->need[1] ? row->need[1] : "NONE");
    fprintf(out, "X86_LOCK_%s, X86_SIZE_%s, %s%s%s, %s, %d, {", row->lock ? row->lock : "NONE",
            row->vsib ? row->vsib : "none", row->attributes,
            uses_vectors(row) ? " | X86_VECTOR" : "",
            strcmp(row->class_name, "x87") == 0 ? " | X86_X87" : "", row->undefined,
            row->operand_count);
    emit_operands(out, row);
    fputs("}},\n", out);
}

typedef struct Opcode {
    int first, count;
    bool modrm;
} Opcode;

/* Rows of fewer encodings, the exceptions, go first. */
static int compare_extent(const void *a, const void *b, void *context)
{
    const Tables *tables = context;
    u64 x = row_extent(tables->row[*(const int *)a]), y = row_extent(tables->row[*(const int *)b]);

    return x < y ? -1 : x > y ? 1 : *(const int *)a - *(const int *)b;
}

/* Prints the candidates of one opcode and, if reg >= 0, one value of ModRM's middle field. */
static Opcode emit_candidates(FILE *out, const Tables *tables, int map, int opcode, int reg,
                              int *next)
{
    int list[MAX_ROWS];
    Opcode entry = {.first = *next};

    for (int i = 0; i < tables->row_count; i++) {
        const Row *row = tables->row[i];
        bool here =
            row->map == map && opcode >= row->opcode && opcode < row->opcode + row->opcode_count;
        if (here && (reg < 0 || (reg << 3 & row->modrm_mask) == (row->modrm_bits & 0x38))) {
            list[entry.count++] = i;
            entry.modrm |= row->has_modrm;
        }
    }
    qsort_r(list, (size_t)entry.count, sizeof(*list), compare_extent, (void *)tables);
    for (int i = 0; i < entry.count; i++) {
        fprintf(out, "%s%d,", i ? " " : "\n    ", list[i]);
    }
    *next += entry.count;
    return entry;
}

static void emit_opcode(FILE *out, Opcode entry)
{
    fprintf(out, "{%d, %d, %d}, ", entry.first, entry.count, entry.modrm);
}

/* Lists of candidates, by map, opcode and reg; opcodes without ModRM have the same list for all. */
static void emit_maps(FILE *out, const Tables *tables)
{
    static Opcode entries[MAPS][256][8];
    int next = 0;

    fputs("\nstatic const u16 candidates[] = {", out);
    for (int map = 0; map < MAPS; map++) {
        for (int opcode = 0; opcode < 256; opcode++) {
            Opcode *entry = entries[map][opcode];
            entry[0] = emit_candidates(out, tables, map, opcode, -1, &next);
            for (int reg = 1; reg < 8; reg++) {
                entry[reg] = entry[0];
            }
            for (int reg = 0; entry[0].modrm && entry[reg].count > 2 && reg < 8; reg++) {
                entry[reg] = emit_candidates(out, tables, map, opcode, reg, &next);
                entry[reg].modrm = true;
            }
        }
    }
    fprintf(out,
            "\n};\n\nconst u16 *const x86_candidates = candidates;\n"
            "\nconst X86Opcode x86_opcodes[%d][256][8] = {\n",
            MAPS);
    for (int map = 0; map < MAPS; map++) {
        fputs("    {\n", out);
        for (int opcode = 0; opcode < 256; opcode++) {
            fputs("        {", out);
            for (int reg = 0; reg < 8; reg++) {
                emit_opcode(out, entries[map][opcode][reg]);
            }
            fputs("},\n", out);
        }
        fputs("    },\n", out);
    }
    fputs("};\n", out);
}

void emit_tables(FILE *out, const Tables *tables)
{
    emit_banner(out, "the rows and the opcode maps.");
    fputs("#include \"guest/x86/rows.h\"\n#include \"guest/x86/state.h\"\n"
          "\nconst X86Row x86_rows[X86_ROW_COUNT] = {\n",
          out);
    for (int i = 0; i < tables->row_count; i++) {
        emit_row(out, tables->row[i]);
    }
    fputs("};\n", out);
    emit_maps(out, tables);
}

/* -- The way to the handlers */

void emit_translate(FILE *out, const Tables *tables)
{
    emit_banner(out, "the way to the handlers.");
    fputs("#include \"guest/x86/arguments.h\"\n#include \"guest/x86/vector.h\"\n"
          "#include \"guest/x86/x86_insn.h\"\n"
          "\nvoid (*const x86_handlers[X86_ROW_COUNT])(Tr *t) = {\n",
          out);
    for (int i = 0; i < tables->row_count; i++) {
        if (tables->row[i]->translated) {
            fprintf(out, "    [%d] = tr_%s,\n", i, tables->row[i]->handler);
        }
    }
    fputs("};\n\nconst u32 x86_arguments[X86_ROW_COUNT] = {\n", out);
    for (int i = 0; i < tables->row_count; i++) {
        const Row *row = tables->row[i];
        if (row->argument && row->translated) {
            fprintf(out, "    [%d] = %s,\n", i, row->argument);
        }
    }
    fputs("};\n", out);
}

/* -- The list */

void emit_list(FILE *out, const Tables *tables)
{
    static const char *const maps[MAPS] = {"",       "0F",       "0F38",    "0F3A",
                                           "VEX 0F", "VEX 0F38", "VEX 0F3A"};
    static const char *const prefixes[] = {"NP", "66", "F3", "F2"};

    for (int i = 0; i < tables->row_count; i++) {
        const Row *row = tables->row[i];
        fprintf(out, "%c %-12s ", row->translated ? '+' : '-', row->class_name);
        for (int j = 0; row->prefixes != PREFIX_ANY && j < 4; j++) {
            fprintf(out, "%s", row->prefixes >> j & 1 ? prefixes[j] : "");
        }
        fprintf(out, "\t%s %02X\t%-24s %-16s", maps[row->map], row->opcode, row->name,
                row->handler);
        for (int j = 0; j < row->operand_count; j++) {
            fprintf(out, "%c%s%s", j ? ',' : ' ', row->operand[j].code,
                    row->operand[j].size ? row->operand[j].size : "");
        }
        fputc('\n', out);
    }
}
