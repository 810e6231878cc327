/* Proves what can be proved about a table before anything is generated from it: every name is
 * known, no two rows claim the same word, every row can be reached.
 *
 * Overlap is more than a comparison of fixed bits: words that the `illegal if` conditions exclude
 * do not count. All values of the fields in those conditions are tried, or a sample of them where
 * they are many, so that an overlap in a few words of a wide field can escape. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gen/isa/isa.h"

/* Conditions over more bits than this are tried on a sample of their values. */
enum { MAX_EXHAUSTIVE_BITS = 18, SAMPLES = 1 << MAX_EXHAUSTIVE_BITS };

typedef struct Check {
    const Isa *isa;
    const Row *row;
    Place at;
    bool in_text;  /* assembler text may use `pc` */
    int let_limit; /* lets that are already computed */
    int errors;
} Check;

static const AttributeName attributes[] = {
    {"loads", NULL, "INSN_LOADS"},
    {"stores", NULL, "INSN_STORES"},
    {"ends", NULL, "INSN_ENDS"},
    {"writeback", NULL, "INSN_WRITEBACK"},
    {"flags", "read", "INSN_READS_FLAGS"},
    {"flags", "write", "INSN_WRITES_FLAGS"},
    {"random", "no", "INSN_NOT_RANDOM"},
    {"base", NULL, NULL},
    {"index", NULL, NULL},
    {"offset", NULL, NULL},
};

const AttributeName *attribute_find(const Clause *clause)
{
    for (size_t i = 0; i < COUNT(attributes); i++) {
        const AttributeName *a = &attributes[i];
        if (strcmp(a->word, clause->word) != 0 || (a->bit && !a->value != !clause->value)) {
            continue;
        }
        if (!a->value || (clause->value && strcmp(a->value, clause->value) == 0)) {
            return a;
        }
    }
    return NULL;
}

const char *row_role(const Row *row, const char *role)
{
    for (int i = 0; i < row->attributes.count; i++) {
        if (strcmp(row->attributes.item[i].word, role) == 0) {
            return row->attributes.item[i].value;
        }
    }
    return NULL;
}

const Field *row_field(const Row *row, const char *name)
{
    for (int i = 0; i < row->field_count; i++) {
        if (strcmp(row->field[i].name, name) == 0) {
            return &row->field[i];
        }
    }
    return NULL;
}

const Let *row_let(const Row *row, const char *name)
{
    for (int i = 0; i < row->let_count; i++) {
        if (strcmp(row->let[i].name, name) == 0) {
            return &row->let[i];
        }
    }
    return NULL;
}

bool is_register(const Isa *isa, const char *field)
{
    for (int i = 0; i < isa->register_count; i++) {
        if (strcmp(isa->registers[i], field) == 0) {
            return true;
        }
    }
    return false;
}

static void complain(Check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(Check *c, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s:%d: ", c->at.file, c->at.line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    c->errors++;
}

static const Row *find_row(const Isa *isa, const char *name)
{
    for (int i = 0; i < isa->row_count; i++) {
        if (strcmp(isa->row[i]->name, name) == 0) {
            return isa->row[i];
        }
    }
    return NULL;
}

static const Declared *find_declared(const Declared *list, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

/* ---- names ---- */

static bool name_known(const Check *c, const char *name)
{
    if (row_field(c->row, name) || (c->in_text && strcmp(name, "pc") == 0)) {
        return true;
    }
    const Let *let = row_let(c->row, name);
    return let && let - c->row->let < c->let_limit;
}

static void check_name(void *context, const Expr *expr)
{
    Check *c = context;

    if (expr->kind == EXPR_NAME) {
        if (!name_known(c, expr->text)) {
            complain(c, "'%s' is not a field of '%s'", expr->text, c->row->name);
        }
        return;
    }
    const Declared *f = find_declared(c->isa->function, c->isa->function_count, expr->text);
    if (!f) {
        complain(c, "function '%s' is not declared", expr->text);
    } else if (f->arguments != expr->count) {
        complain(c, "function '%s' takes %d arguments, not %d", f->name, f->arguments, expr->count);
    }
}

static void check_expr(Check *c, Place at, const Expr *expr)
{
    c->at = at;
    if (expr) {
        expr_visit(expr, check_name, c);
    }
}

static void check_text(Check *c, const Text *text)
{
    for (; text; text = text->next) {
        if (text->kind == TEXT_CHOICE) {
            check_expr(c, c->at, text->selector);
            for (int i = 0; i < text->count; i++) {
                check_text(c, text->choice[i]);
            }
        } else if (text->kind == TEXT_OPERAND) {
            const Declared *o = find_declared(c->isa->operand, c->isa->operand_count, text->text);
            if (!o) {
                complain(c, "operand '%%%s' is not declared", text->text);
            } else if (o->arguments != text->count) {
                complain(c, "operand '%%%s' takes %d arguments, not %d", o->name, o->arguments,
                         text->count);
            }
            for (int i = 0; i < text->count; i++) {
                check_expr(c, c->at, text->argument[i]);
            }
        }
    }
}

static void check_namings(Check *c)
{
    const Row *row = c->row;

    c->at = row->at;
    if (row->naming_count == 0 || row->naming[row->naming_count - 1].test) {
        complain(c, "format '%s' needs an 'insn' line that always applies, as its last", row->name);
    }
    c->in_text = true;
    for (int i = 0; i < row->naming_count; i++) {
        check_text(c, row->naming[i].mnemonic);
        check_text(c, row->naming[i].operands);
        check_expr(c, row->at, row->naming[i].test);
    }
    c->in_text = false;
}

static void check_fields(Check *c)
{
    const Row *row = c->row;

    c->at = row->at;
    for (int i = 0; i < row->field_count; i++) {
        if (row_field(row, row->field[i].name) != &row->field[i]) {
            complain(c, "'%s' has two fields named '%s'", row->name, row->field[i].name);
        }
    }
    for (int i = 0; i < row->let_count; i++) {
        const Let *let = &row->let[i];
        c->let_limit = i;
        check_expr(c, let->at, let->value);
        if (row_field(row, let->name) || row_let(row, let->name) != let) {
            complain(c, "'%s' already has a value named '%s'", row->name, let->name);
        }
    }
    c->let_limit = row->let_count;
}

static void check_tests(Check *c, const Clauses *clauses)
{
    for (int i = 0; i < clauses->count; i++) {
        check_expr(c, clauses->item[i].at, clauses->item[i].test);
    }
}

static void check_attributes(Check *c)
{
    for (int i = 0; i < c->row->attributes.count; i++) {
        const Clause *clause = &c->row->attributes.item[i];
        const AttributeName *attribute = attribute_find(clause);
        c->at = clause->at;
        if (!attribute) {
            complain(c, "unknown attribute '%s'", clause->word);
        } else if (!attribute->bit && (!clause->value || !name_known(c, clause->value))) {
            complain(c, "'%s' must name a field of '%s'", clause->word, c->row->name);
        }
    }
}

static void check_clauses(Check *c)
{
    const Row *row = c->row;

    check_tests(c, &row->illegal);
    check_tests(c, &row->unpredictable);
    check_tests(c, &row->needs);
    check_tests(c, &row->attributes);
    check_attributes(c);
    for (int i = 0; i < row->needs.count; i++) {
        bool known = false;
        c->at = row->needs.item[i].at;
        for (int f = 0; f < c->isa->feature_count; f++) {
            known |= strcmp(c->isa->feature[f], row->needs.item[i].word) == 0;
        }
        if (!known) {
            complain(c, "feature '%s' is not declared", row->needs.item[i].word);
        }
    }
    for (int i = 0; i < row->overrides.count; i++) {
        c->at = row->overrides.item[i].at;
        if (!find_row(c->isa, row->overrides.item[i].word)) {
            complain(c, "'%s' overrides '%s', which does not exist", row->name,
                     row->overrides.item[i].word);
        }
    }
}

/* ---- words ---- */

/* A condition that calls a guest's function counts as not excluding the word. */
static bool matches(const Row *row, u32 word)
{
    if ((word & row->mask) != row->value) {
        return false;
    }
    for (int i = 0; i < row->illegal.count; i++) {
        s64 excluded;
        if (expr_value(row, row->illegal.item[i].test, word, &excluded) && excluded) {
            return false;
        }
    }
    return true;
}

static u32 condition_bits(const Row *row)
{
    u32 bits = row->mask;

    for (int i = 0; i < row->illegal.count; i++) {
        bits |= expr_bits(row, row->illegal.item[i].test);
    }
    return bits;
}

/* Spreads the low bits of `number` over the ones of `mask`. */
static u32 spread(u32 number, u32 mask)
{
    u32 word = 0;

    for (; mask; mask &= mask - 1, number >>= 1) {
        word |= number & 1 ? mask & -mask : 0;
    }
    return word;
}

/* The n-th of a sample of all numbers: every second is small, for limits mostly are. */
static u32 sample(u32 n)
{
    return n & 1 ? n * 0x9e3779b1u : n >> 1;
}

/* Looks for a word that `row` and `with` (if any) take and none of `without` does. */
static bool find_word(const Row *row, const Row *with, const Row *const *without, int count,
                      u32 *word)
{
    u32 fixed = row->mask | (with ? with->mask : 0);
    u32 value = row->value | (with ? with->value : 0);
    u32 open = condition_bits(row) | (with ? condition_bits(with) : 0);

    for (int i = 0; i < count; i++) {
        open |= condition_bits(without[i]);
    }
    open &= ~fixed;
    int bits = __builtin_popcount(open);
    u32 tries = bits > MAX_EXHAUSTIVE_BITS ? SAMPLES : 1u << bits;
    for (u32 i = 0; i < tries; i++) {
        *word = value | spread(bits > MAX_EXHAUSTIVE_BITS ? sample(i) : i, open);
        bool found = matches(row, *word) && (!with || matches(with, *word));
        for (int j = 0; j < count && found; j++) {
            found = !matches(without[j], *word);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

bool row_overrides(const Row *row, const Row *other)
{
    for (int i = 0; i < row->overrides.count; i++) {
        if (strcmp(row->overrides.item[i].word, other->name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_overlap(Check *c, const Row *row, const Row *other)
{
    u32 word;

    if (((row->value ^ other->value) & row->mask & other->mask) || row_overrides(row, other) ||
        row_overrides(other, row) || !find_word(row, other, NULL, 0, &word)) {
        return;
    }
    c->at = other->at;
    complain(c, "'%s' overlaps '%s' of %s:%d, for example at %#010x", other->name, row->name,
             row->at.file, row->at.line, word);
}

static void check_reachable(Check *c)
{
    const Row *without[ISA_MAX_ITEMS];
    int count = 0;
    u32 word;

    for (int i = 0; i < c->isa->row_count; i++) {
        const Row *other = c->isa->row[i];
        if (row_overrides(other, c->row) && count < ISA_MAX_ITEMS) {
            without[count++] = other;
        }
    }
    c->at = c->row->at;
    if (!find_word(c->row, NULL, NULL, 0, &word)) {
        complain(c, "'%s' is never legal", c->row->name);
    } else if (!find_word(c->row, NULL, without, count, &word)) {
        complain(c, "'%s' is unreachable behind the rows that override it", c->row->name);
    }
}

static void finish(const Check *c)
{
    if (c->errors) {
        exit(1);
    }
}

void isa_check(const Isa *isa)
{
    Check c = {.isa = isa};

    if (!isa->guest || isa->row_count == 0) {
        fprintf(stderr, "the tables name no guest or hold no format\n");
        exit(1);
    }
    for (int i = 0; i < isa->row_count; i++) {
        c.row = isa->row[i];
        check_fields(&c);
        check_clauses(&c);
        check_namings(&c);
        c.at = c.row->at;
        if (find_row(isa, c.row->name) != c.row) {
            complain(&c, "there are two formats named '%s'", c.row->name);
        }
    }
    finish(&c);
    for (int i = 0; i < isa->row_count; i++) {
        c.row = isa->row[i];
        check_reachable(&c);
        for (int j = i + 1; j < isa->row_count; j++) {
            check_overlap(&c, isa->row[i], isa->row[j]);
        }
    }
    finish(&c);
}
