/* Prints <guest>_disasm.c. Operands are printed by functions <guest>_print_NAME(), which the guest
 * supplies in guest/<guest>/operands.h. */
#include "gen/isa/isa.h"

static void emit_text(FILE *out, const Isa *isa, const Text *text, int depth);

static void indent(FILE *out, int depth)
{
    fprintf(out, "%*s", depth * 4, "");
}

static void emit_choice(FILE *out, const Isa *isa, const Text *text, int depth)
{
    indent(out, depth);
    fputs("switch ((int)(", out);
    expr_print(out, text->selector);
    fputs(")) {\n", out);
    for (int i = 0; i < text->count; i++) {
        indent(out, depth);
        fprintf(out, "case %d:\n", i);
        emit_text(out, isa, text->choice[i], depth + 1);
        indent(out, depth + 1);
        fputs("break;\n", out);
    }
    indent(out, depth);
    fputs("default:\n", out);
    indent(out, depth + 1);
    fputs("text_printf(text, \"?\");\n", out);
    indent(out, depth);
    fputs("}\n", out);
}

static void emit_operand(FILE *out, const Isa *isa, const Text *text, int depth)
{
    indent(out, depth);
    fprintf(out, "%s_print_%s(text", isa->guest, text->text);
    for (int i = 0; i < text->count; i++) {
        fputs(", ", out);
        expr_print(out, text->argument[i]);
    }
    fputs(");\n", out);
}

static void emit_text(FILE *out, const Isa *isa, const Text *text, int depth)
{
    for (; text; text = text->next) {
        switch (text->kind) {
        case TEXT_LITERAL:
            indent(out, depth);
            fprintf(out, "text_printf(text, \"%s\");\n", text->text);
            break;
        case TEXT_OPERAND:
            emit_operand(out, isa, text, depth);
            break;
        case TEXT_CHOICE:
            emit_choice(out, isa, text, depth);
            break;
        }
    }
}

static void emit_row(FILE *out, const Isa *isa, const Row *row)
{
    fprintf(out, "\nstatic void print_%s(Text *text, u64 pc, const A_%s *a)\n{\n", row->name,
            row->name);
    fputs("    (void)pc;\n    (void)a;\n", out);
    for (int i = 0; i < row->naming_count; i++) {
        const Naming *naming = &row->naming[i];
        int depth = 1;
        if (naming->test) {
            fputs("    if (", out);
            expr_print(out, naming->test);
            fputs(") {\n", out);
            depth = 2;
        }
        emit_text(out, isa, naming->mnemonic, depth);
        if (naming->operands) {
            indent(out, depth);
            fputs("text_printf(text, \"\\t\");\n", out);
            emit_text(out, isa, naming->operands, depth);
        }
        if (naming->test) {
            fputs("        return;\n    }\n", out);
        }
    }
    fputs("}\n", out);
}

void emit_disasm(FILE *out, const Isa *isa)
{
    emit_banner(out, isa, "the disassembler.");
    fprintf(out, "#include \"guest/%s/%s_insn.h\"\n#include \"guest/%s/operands.h\"\n", isa->guest,
            isa->guest, isa->guest);
    for (int i = 0; i < isa->row_count; i++) {
        emit_row(out, isa, isa->row[i]);
    }
    fprintf(out,
            "\nint %s_disasm(u32 word, u64 pc, char *buffer, size_t size)\n{\n"
            "    Text to = {buffer, size, 0};\n    Text *text = &to;\n    %sInsn insn;\n\n"
            "    if (!%s_decode(word, ~0u, &insn)) {\n"
            "        text_printf(text, \".inst\\t%%#010x\", word);\n"
            "        return (int)text->length;\n    }\n    switch (insn.row) {\n",
            isa->guest, isa->guest_type, isa->guest);
    for (int i = 0; i < isa->row_count; i++) {
        const Row *row = isa->row[i];
        fprintf(out, "    case %s:\n        print_%s(text, pc, &insn.%s);\n        break;\n",
                row->macro, row->name, row->name);
    }
    fputs("    }\n    return (int)text->length;\n}\n", out);
}
