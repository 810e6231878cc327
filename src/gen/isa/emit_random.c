/* Prints <guest>_random.c: what guest/insn.c needs to make random instructions of this guest. */
#include <string.h>

#include "gen/isa/isa.h"

static const char *field_kind(const Isa *isa, const Row *row, const Field *field)
{
    const char *base = row_role(row, "base");
    const char *index = row_role(row, "index");

    if (base && strcmp(base, field->name) == 0) {
        return "INSN_FIELD_BASE";
    }
    if (index && strcmp(index, field->name) == 0) {
        return "INSN_FIELD_INDEX";
    }
    return is_register(isa, field->name) ? "INSN_FIELD_REGISTER" : "INSN_FIELD_VALUE";
}

static void emit_fields(FILE *out, const Isa *isa)
{
    fputs("\nstatic const InsnField fields[] = {\n", out);
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        for (int f = 0; f < row->field_count; f++) {
            fprintf(out, "    {%s, %d, %d, %s},\n", row->macro, row->field[f].low,
                    row->field[f].width, field_kind(isa, row, &row->field[f]));
        }
    }
    fputs("    {INSN_FIELD_END, 0, 0, 0},\n};\n", out);
}

static void emit_case(FILE *out, const Row *row)
{
    const char *offset = row_role(row, "offset");

    if (!offset && !row->unpredictable.count) {
        return;
    }
    fprintf(out, "    case %s: {\n        const A_%s *a = &insn.%s;\n", row->macro, row->name,
            row->name);
    for (int i = 0; i < row->unpredictable.count; i++) {
        fputs("        if (", out);
        expr_print(out, row->unpredictable.item[i].test);
        fputs(") {\n            return false;\n        }\n", out);
    }
    if (offset) {
        fprintf(out, "        return insn_offset_fits(how, a->%s);\n    }\n", offset);
    } else {
        fputs("        return true;\n    }\n", out);
    }
}

void emit_random(FILE *out, const Isa *isa)
{
    emit_banner(out, isa, "the maker of random instructions.");
    fprintf(out, "#include \"guest/%s/%s_insn.h\"\n", isa->guest, isa->guest);
    emit_fields(out, isa);
    fprintf(out,
            "\nstatic bool acceptable(const InsnRandom *how, unsigned row, u32 word)\n{\n"
            "    %sInsn insn;\n\n"
            "    if (!%s_decode(word, how->features, &insn) || insn.row != row) {\n"
            "        return false;\n    }\n    switch (row) {\n",
            isa->guest_type, isa->guest);
    for (int i = 0; i < isa->row_count; i++) {
        emit_case(out, isa->row[i]);
    }
    fputs("    default:\n        return true;\n    }\n}\n", out);
    fprintf(out,
            "\nu32 %s_random(const InsnRandom *how)\n{\n"
            "    static const InsnTable table = {%s_rows, %s_ROW_COUNT, fields, acceptable};\n\n"
            "    return insn_random(&table, how);\n}\n",
            isa->guest, isa->guest, isa->guest_macro);
}
