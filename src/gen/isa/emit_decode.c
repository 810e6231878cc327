/* Prints <guest>_decode.c, the decoder and the table of rows, and <guest>_translate.c. */
#include <string.h>

#include "gen/isa/isa.h"

static void emit_includes(FILE *out, const Isa *isa)
{
    fprintf(out, "#include \"guest/%s/%s_insn.h\"\n", isa->guest, isa->guest);
    for (int i = 0; i < isa->include_count; i++) {
        fprintf(out, "#include \"%s\"\n", isa->include[i]);
    }
}

static void emit_field(FILE *out, const Field *f)
{
    fprintf(out, "    a->%s = ", f->name);
    if (f->is_signed) {
        fprintf(out, "insn_shift_left(insn_signed(word, %d, %d), %d);\n", f->low, f->width,
                f->scale);
    } else if (f->scale) {
        fprintf(out, "(word >> %d & %#llx) << %d;\n", f->low, (1ull << f->width) - 1, f->scale);
    } else {
        fprintf(out, "word >> %d & %#llx;\n", f->low, (1ull << f->width) - 1);
    }
}

static const char *feature_macro(const Isa *isa, const char *name)
{
    for (int i = 0; i < isa->feature_count; i++) {
        if (strcmp(isa->feature[i], name) == 0) {
            return isa->feature_macro[i];
        }
    }
    return NULL; /* check.c has seen that it exists */
}

static void emit_needs(FILE *out, const Isa *isa, const Row *row)
{
    for (int i = 0; i < row->needs.count; i++) {
        const Clause *need = &row->needs.item[i];
        fprintf(out, "    if (!(features & %s)", feature_macro(isa, need->word));
        if (need->test) {
            fputs(" && (", out);
            expr_print(out, need->test);
            fputs(")", out);
        }
        fputs(") {\n        return false;\n    }\n", out);
    }
}

static void emit_get(FILE *out, const Isa *isa, const Row *row)
{
    fprintf(out, "\nstatic bool get_%s(u32 word, u32 features, %sInsn *out)\n{\n", row->name,
            isa->guest_type);
    if (row->field_count || row->let_count) {
        fprintf(out, "    A_%s *a = &out->%s;\n\n", row->name, row->name);
    }
    if (!row->needs.count) {
        fputs("    (void)features;\n", out);
    }
    fprintf(out, "    if ((word & %#x) != %#x) {\n        return false;\n    }\n", row->mask,
            row->value);
    for (int i = 0; i < row->field_count; i++) {
        emit_field(out, &row->field[i]);
    }
    for (int i = 0; i < row->let_count; i++) {
        fprintf(out, "    a->%s = ", row->let[i].name);
        expr_print(out, row->let[i].value);
        fputs(";\n", out);
    }
    emit_needs(out, isa, row);
    for (int i = 0; i < row->illegal.count; i++) {
        fputs("    if (", out);
        expr_print(out, row->illegal.item[i].test);
        fputs(") {\n        return false;\n    }\n", out);
    }
    fprintf(out, "    out->row = %s;\n    out->word = word;\n    return true;\n}\n", row->macro);
}

/* The bits that hold for the whole row, as an expression in C. */
static void emit_row_bits(FILE *out, const Isa *isa, const Row *row)
{
    fputs("0", out);
    for (int i = 0; i < row->needs.count; i++) {
        if (!row->needs.item[i].test) {
            fprintf(out, " | %s", feature_macro(isa, row->needs.item[i].word));
        }
    }
    fputs(", 0", out);
    for (int i = 0; i < row->attributes.count; i++) {
        const Clause *clause = &row->attributes.item[i];
        const AttributeName *attribute = attribute_find(clause);
        if (attribute->bit && !clause->test) {
            fprintf(out, " | %s", attribute->bit);
        }
    }
}

static void emit_rows(FILE *out, const Isa *isa)
{
    fprintf(out, "\nconst InsnRow %s_rows[%s_ROW_COUNT] = {\n", isa->guest, isa->guest_macro);
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        fprintf(out, "    {\"%s\", \"%s\", %#x, %#x, %#x, ", row->name, row->class_name, row->mask,
                row->value, row->advised_to);
        emit_row_bits(out, isa, row);
        fputs("},\n", out);
    }
    fprintf(out, "};\n\nconst char *const %s_feature_names[%d] = {\n", isa->guest,
            isa->feature_count + 1);
    for (int i = 0; i < isa->feature_count; i++) {
        fprintf(out, "    \"%s\",\n", isa->feature[i]);
    }
    fputs("};\n", out);
}

static int conditional_attributes(const Row *row)
{
    int count = 0;

    for (int i = 0; i < row->attributes.count; i++) {
        count += row->attributes.item[i].test != NULL;
    }
    return count;
}

static void emit_attributes(FILE *out, const Isa *isa)
{
    fprintf(out,
            "\nu32 %s_attributes(const %sInsn *insn)\n{\n"
            "    u32 bits = %s_rows[insn->row].attributes;\n\n    switch (insn->row) {\n",
            isa->guest, isa->guest_type, isa->guest);
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        if (!conditional_attributes(row)) {
            continue;
        }
        fprintf(out, "    case %s: {\n        const A_%s *a = &insn->%s;\n", row->macro, row->name,
                row->name);
        for (int j = 0; j < row->attributes.count; j++) {
            const Clause *clause = &row->attributes.item[j];
            if (clause->test) {
                fputs("        bits |= (", out);
                expr_print(out, clause->test);
                fprintf(out, ") ? %s : 0;\n", attribute_find(clause)->bit);
            }
        }
        fputs("        break;\n    }\n", out);
    }
    fputs("    default:\n        break;\n    }\n    return bits;\n}\n", out);
}

void emit_decode(FILE *out, const Isa *isa)
{
    emit_banner(out, isa, "the decoder.");
    emit_includes(out, isa);
    emit_rows(out, isa);
    for (int i = 0; i < isa->row_count; i++) {
        emit_get(out, isa, isa->row[i]);
    }
    fprintf(out, "\nbool %s_decode(u32 word, u32 features, %sInsn *out)\n{\n", isa->guest,
            isa->guest_type);
    tree_emit(out, isa);
    fputs("}\n", out);
    emit_attributes(out, isa);
}

void emit_translate(FILE *out, const Isa *isa)
{
    emit_banner(out, isa, "the way to the handlers.");
    fprintf(out, "#include \"guest/%s/%s_insn.h\"\n", isa->guest, isa->guest);
    fprintf(out,
            "\nbool %s_translate(Tr *t, const %sInsn *insn)\n{\n    (void)t;\n"
            "    switch (insn->row) {\n",
            isa->guest, isa->guest_type);
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        if (row->translated) {
            fprintf(out, "    case %s:\n        tr_%s(t, &insn->%s);\n        return true;\n",
                    row->macro, row->name, row->name);
        }
    }
    fputs("    default:\n        return false; /* a row without a handler */\n    }\n}\n", out);
}
