/* Rows of a group: one operation's MMX, SSE and VEX encodings, or its packed and scalar ones. The
 * notation has the operands of the VEX encoding; the others follow from it here. */
#include <stdlib.h>
#include <string.h>

#include "gen/opcodes/opcodes.h"

typedef struct FormKind {
    const char *name;
    u8 prefix;
    bool vex, mmx;
    u32 demands;
    const char *suffix;     /* of the name */
    const char *float_size; /* what the size f means */
    const char *lane;       /* what $ means in the argument; @ is the integer as wide */
} FormKind;

static const FormKind kinds[] = {
    {"mmx", PREFIX_NP, false, true, 0, "", NULL, NULL},
    {"xmm", PREFIX_66, false, false, 0, "", NULL, NULL},
    {"vex", PREFIX_66, true, false, 0, "", NULL, NULL},
    {"vex0", PREFIX_66, true, false, DEMAND_L0, "", NULL, NULL},
    {"ps", PREFIX_NP, false, false, 0, "PS", "x", "F32"},
    {"pd", PREFIX_66, false, false, 0, "PD", "x", "F64"},
    {"ss", PREFIX_F3, false, false, 0, "SS", "ss", "F32"},
    {"sd", PREFIX_F2, false, false, 0, "SD", "sd", "F64"},
    {"cs", PREFIX_NP, false, false, 0, "SS", "ss", "F32"},
    {"cd", PREFIX_66, false, false, 0, "SD", "sd", "F64"},
    {"vps", PREFIX_NP, true, false, 0, "PS", "x", "F32"},
    {"vpd", PREFIX_66, true, false, 0, "PD", "x", "F64"},
    {"vss", PREFIX_F3, true, false, 0, "SS", "ss", "F32"},
    {"vsd", PREFIX_F2, true, false, 0, "SD", "sd", "F64"},
    {"vcs", PREFIX_NP, true, false, 0, "SS", "ss", "F32"},
    {"vcd", PREFIX_66, true, false, 0, "SD", "sd", "F64"},
    {"fps", PREFIX_66, true, false, DEMAND_W0, "PS", "x", "F32"},
    {"fpd", PREFIX_66, true, false, DEMAND_W1, "PD", "x", "F64"},
    {"fss", PREFIX_66, true, false, DEMAND_W0, "SS", "ss", "F32"},
    {"fsd", PREFIX_66, true, false, DEMAND_W1, "SD", "sd", "F64"},
};

static bool is_code(const Operand *operand, const char *code)
{
    return strcmp(operand->code, code) == 0;
}

/* Removes operand n. If it was used, the destination takes over its part: it is a source as well,
 * or, if n was the destination, the first source becomes it. */
static void drop_operand(Row *row, int n)
{
    Operand dropped = row->operand[n];

    row->operand_count--;
    memmove(&row->operand[n], &row->operand[n + 1],
            sizeof(Operand) * (size_t)(row->operand_count - n));
    row->operand[0].write |= dropped.write;
    row->operand[0].read |= dropped.read;
}

static void fit_operand(Operand *operand, const FormKind *kind, bool half_mmx)
{
    bool memory = is_code(operand, "W");

    if (kind->mmx) {
        static const char *const to_mmx[][2] = {{"V", "P"}, {"W", "Q"}, {"U", "N"}};
        for (unsigned i = 0; i < COUNT(to_mmx); i++) {
            if (is_code(operand, to_mmx[i][0])) {
                operand->code = to_mmx[i][1];
                operand->size = memory && half_mmx ? "qd" : "q";
                return;
            }
        }
    }
    if (operand->size && (strcmp(operand->size, "f") == 0 || strcmp(operand->size, "fs") == 0)) {
        operand->size = kind->float_size;
    }
}

static void fit_operands(Row *row, const FormKind *kind, bool half_mmx)
{
    for (int i = row->operand_count - 1; i >= 0; i--) {
        Operand *operand = &row->operand[i];
        bool scalar_only = operand->size && strcmp(operand->size, "fs") == 0;
        if (is_code(operand, "H") &&
            (!kind->vex || (scalar_only && strcmp(kind->float_size, "x") == 0))) {
            drop_operand(row, i);
        } else {
            fit_operand(operand, kind, half_mmx);
        }
    }
}

/* The argument with $ and @ replaced. */
static const char *fit_argument(Tables *tables, const Row *row, const FormKind *kind)
{
    const char *text = row->argument, *mark;

    while (text && (mark = strpbrk(text, "$@"))) {
        if (!kind->lane) {
            opcodes_fail(row->at, "form '%s' has no lane type for '%c'", kind->name, *mark);
        }
        text = arena_printf(&tables->arena, "%.*s%s%s%s", (int)(mark - text), text,
                            *mark == '@' ? "I" : "F", kind->lane + 1, mark + 1);
    }
    return text;
}

/* FEATURE+FEATURE */
static void set_need(Tables *tables, Row *row, const char *text, size_t length)
{
    const char *plus = memchr(text, '+', length);
    size_t first = plus ? (size_t)(plus - text) : length;

    row->need[0] = arena_printf(&tables->arena, "%.*s", (int)first, text);
    row->need[1] =
        plus ? arena_printf(&tables->arena, "%.*s", (int)(length - first - 1), plus + 1) : NULL;
}

static const FormKind *find_kind(const Row *row, const char *name)
{
    for (unsigned i = 0; i < COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    opcodes_fail(row->at, "unknown form '%s' in the row's group", name);
}

static void expand_form(Tables *tables, const Form *form, const Row *row, bool half_mmx)
{
    const FormKind *kind = find_kind(row, form->kind);
    size_t first = strcspn(form->feature, "/");
    Row copy = *row;

    copy.prefixes = kind->prefix;
    copy.demands |= kind->demands;
    copy.name =
        arena_printf(&tables->arena, "%s%s%s", kind->vex ? "V" : "", row->name, kind->suffix);
    copy.map += kind->vex ? MAP_VEX - MAP_0F : 0;
    copy.argument = fit_argument(tables, row, kind);
    fit_operands(&copy, kind, half_mmx);
    set_need(tables, &copy, form->feature, first);
    if (!form->feature[first]) {
        add_row(tables, &copy);
        return;
    }
    copy.demands |= DEMAND_L0; /* 128 and 256 bits need different features */
    add_row(tables, &copy);
    copy.demands ^= DEMAND_L0 | DEMAND_L1;
    set_need(tables, &copy, form->feature + first + 1, strlen(form->feature + first + 1));
    add_row(tables, &copy);
}

void group_expand(Tables *tables, const Group *group, const Row *row, bool half_mmx)
{
    if (row->map == MAP_ONE) {
        opcodes_fail(row->at, "a group's rows are of map 0F, 0F38 or 0F3A");
    }
    for (int i = 0; i < group->form_count; i++) {
        expand_form(tables, &group->form[i], row, half_mmx);
    }
}
