/* Prints <guest>_insn.h: rows, argument structs, handlers' prototypes; and, for people, the list
 * of rows. */
#include <string.h>

#include "gen/isa/isa.h"

void emit_banner(FILE *out, const Isa *isa, const char *purpose)
{
    fprintf(out, "/* Generated from the %s instruction tables: %s\n * Do not edit. */\n",
            isa->guest, purpose);
}

static const char *field_type(const Field *field)
{
    int bits = field->width + field->scale;

    if (field->is_signed) {
        return bits <= 8 ? "s8" : bits <= 16 ? "s16" : bits <= 32 ? "s32" : "s64";
    }
    return bits <= 8 ? "u8" : bits <= 16 ? "u16" : bits <= 32 ? "u32" : "u64";
}

/* The members, neighbours of one type in one declaration, separated by `end`. */
static void print_members(FILE *out, const Row *row, const char *start, const char *end)
{
    const char *type = NULL;

    for (int i = 0; i < row->field_count; i++) {
        const char *next = field_type(&row->field[i]);
        if (type && strcmp(type, next) == 0) {
            fprintf(out, ", %s", row->field[i].name);
            continue;
        }
        fprintf(out, "%s%s%s %s", type ? end : "", start, next, row->field[i].name);
        type = next;
    }
    if (type) {
        fputs(end, out);
    }
    for (int i = 0; i < row->let_count; i++) {
        fprintf(out, "%s %s%s",
                i        ? ","
                : *start ? "    s64"
                         : "s64",
                row->let[i].name, i + 1 == row->let_count ? end : "");
    }
}

static void emit_struct(FILE *out, const Row *row)
{
    const char *file = strrchr(row->at.file, '/');

    fprintf(out, "\n/* %s:%d */\ntypedef struct A_%s {\n", file ? file + 1 : row->at.file,
            row->at.line, row->name);
    if (row->field_count == 0 && row->let_count == 0) {
        fputs("    u8 nothing;\n", out);
    }
    print_members(out, row, "    ", ";\n");
    fprintf(out, "} A_%s;\n", row->name);
}

static void emit_features(FILE *out, const Isa *isa)
{
    fprintf(out, "\n/* Optional extensions: bits for %s_decode(). */\nenum {\n", isa->guest);
    for (int i = 0; i < isa->feature_count; i++) {
        fprintf(out, "    %s = 1 << %d,\n", isa->feature_macro[i], i);
    }
    fprintf(out, "    %s_FEATURE_COUNT = %d,\n};\n", isa->guest_macro, isa->feature_count);
    fprintf(out, "extern const char *const %s_feature_names[%d];\n", isa->guest,
            isa->feature_count + 1);
}

static void emit_insn(FILE *out, const Isa *isa)
{
    fprintf(out, "\ntypedef enum %sRow {\n", isa->guest_type);
    for (int i = 0; i < isa->row_count; i++) {
        fprintf(out, "    %s,\n", isa->row[i]->macro);
    }
    fprintf(out, "    %s_ROW_COUNT,\n} %sRow;\n", isa->guest_macro, isa->guest_type);
    fprintf(out,
            "\n/* A decoded instruction: the member named like the row holds its arguments. */\n"
            "typedef struct %sInsn {\n    u16 row; /* %sRow */\n    u32 word;\n    union {\n",
            isa->guest_type, isa->guest_type);
    for (int i = 0; i < isa->row_count; i++) {
        fprintf(out, "        A_%s %s;\n", isa->row[i]->name, isa->row[i]->name);
    }
    fprintf(out, "    };\n} %sInsn;\n", isa->guest_type);
}

static void emit_functions(FILE *out, const Isa *isa)
{
    const char *g = isa->guest, *type = isa->guest_type;

    fprintf(out, "\nextern const InsnRow %s_rows[%s_ROW_COUNT];\n", g, isa->guest_macro);
    fprintf(out,
            "\n/* Decodes one word for a CPU with these features; false when undefined. */\n"
            "bool %s_decode(u32 word, u32 features, %sInsn *out);\n",
            g, type);
    fprintf(out,
            "\n/* InsnAttribute bits of this instruction. */\n"
            "u32 %s_attributes(const %sInsn *insn);\n",
            g, type);
    fprintf(out,
            "\n/* Calls the row's handler; false when there is none yet. */\n"
            "bool %s_translate(Tr *t, const %sInsn *insn);\n",
            g, type);
    fprintf(out,
            "\n/* Writes assembler text, ended by NUL and cut to `size`, for the word at address"
            " `pc`;\n * `.inst` for an undefined one. Returns the length of the text. */\n"
            "int %s_disasm(u32 word, u64 pc, char *buffer, size_t size);\n",
            g);
    fprintf(out,
            "\n/* A random valid instruction as `how` asks (guest/insn.h). */\n"
            "u32 %s_random(const InsnRandom *how);\n",
            g);
}

void emit_header(FILE *out, const Isa *isa)
{
    emit_banner(out, isa, "rows, arguments and handlers.");
    fprintf(out, "#ifndef %s_INSN_H\n#define %s_INSN_H\n\n#include \"guest/insn.h\"\n",
            isa->guest_macro, isa->guest_macro);
    fputs("\ntypedef struct Tr Tr; /* the guest's translator */\n", out);
    emit_features(out, isa);
    for (int i = 0; i < isa->row_count; i++) {
        emit_struct(out, isa->row[i]);
    }
    emit_insn(out, isa);
    emit_functions(out, isa);
    fputs("\n/* The handlers. Their linker names carry the guest, for all guests share a binary. "
          "*/\n",
          out);
    for (int i = 0; i < isa->row_count; i++) {
        const char *name = isa->row[i]->name;
        fprintf(out, "void tr_%s(Tr *t, const A_%s *a) __asm__(\"%s_tr_%s\");\n", name, name,
                isa->guest, name);
    }
    fputs("\n#endif\n", out);
}

void emit_list(FILE *out, const Isa *isa)
{
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        fprintf(out, "%c %-8s %-20s ", row->translated ? '+' : '-', row->class_name, row->name);
        print_members(out, row, "", "; ");
        fputc('\n', out);
    }
}
