/* Reads .isa files line by line into Isa.
 *
 * A line that begins in the first column declares something or opens a row (`format`); an indented
 * one belongs to the row above. `#` begins a comment, outside assembler text.
 * Must not judge what it reads beyond its form: that is check.c's work. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gen/isa/isa.h"

typedef struct Line {
    Isa *isa;
    Row *row; /* the open row, or NULL */
    Place at;
    const char *next;
} Line;

static void skip_space(Line *line)
{
    while (isspace((unsigned char)*line->next)) {
        line->next++;
    }
}

/* The next run of characters other than blanks and those in `stop`; "" at the end of the line. */
static const char *word_until(Line *line, const char *stop)
{
    skip_space(line);
    const char *start = line->next;

    while (*line->next && !isspace((unsigned char)*line->next) && !strchr(stop, *line->next)) {
        line->next++;
    }
    return arena_printf(&line->isa->arena, "%.*s", (int)(line->next - start), start);
}

static const char *word(Line *line)
{
    return word_until(line, "");
}

/* A name: a letter, then letters, digits and underscores. */
static const char *name(Line *line)
{
    const char *text = word_until(line, "=,:");

    if (!isalpha((unsigned char)*text)) {
        isa_fail(line->at, "expected a name, found '%s'", text);
    }
    for (const char *c = text; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '_') {
            isa_fail(line->at, "'%s' is not a name", text);
        }
    }
    return text;
}

static int number(Line *line, const char *what)
{
    char *end;
    long value = strtol(line->next, &end, 10);

    if (end == line->next) {
        isa_fail(line->at, "expected %s before '%s'", what, line->next);
    }
    line->next = end;
    return (int)value;
}

static void end_of_line(Line *line)
{
    skip_space(line);
    if (*line->next) {
        isa_fail(line->at, "unexpected '%s'", line->next);
    }
}

static Expr *expression(Line *line)
{
    return expr_parse(line->isa, line->at, line->next, &line->next);
}

/* `if EXPR`, or NULL when the line does not go on with `if`. */
static Expr *condition(Line *line)
{
    skip_space(line);
    if (strncmp(line->next, "if ", 3) != 0) {
        return NULL;
    }
    line->next += 3;
    return expression(line);
}

/* Room for one more in a fixed list. */
static int more(Line *line, int *count, int limit)
{
    if (*count == limit) {
        isa_fail(line->at, "more than %d of these", limit);
    }
    return (*count)++;
}

static Clause *add_clause(Line *line, Clauses *list)
{
    Clause *clause = &list->item[more(line, &list->count, ISA_MAX_ITEMS)];

    clause->at = line->at;
    return clause;
}

/* A run of fixed bits. Those in parentheses are advice: not compared when decoding. */
static int fixed_bits(Line *line, Row *row, const char *bits, int low, bool advised)
{
    if (bits[strspn(bits, "01")]) {
        isa_fail(line->at, "'%s' is neither fixed bits nor a field", bits);
    }
    for (; *bits; bits++) {
        u32 bit = low > 0 ? 1u << --low : 0;
        u32 value = *bits == '1' ? bit : 0;
        *(advised ? &row->advised : &row->mask) |= bit;
        *(advised ? &row->advised_to : &row->value) |= value;
    }
    return low;
}

/* `name:width`, `name:sWIDTH`, with `<<N` behind. */
static int field(Line *line, Row *row, const char *piece, int low)
{
    Line part = {line->isa, row, line->at, piece};
    Field *f = &row->field[more(line, &row->field_count, ISA_MAX_ITEMS)];

    f->name = name(&part);
    part.next++; /* the colon */
    if (*part.next == 's') {
        f->is_signed = true;
        part.next++;
    }
    f->width = number(&part, "a width");
    if (strncmp(part.next, "<<", 2) == 0) {
        part.next += 2;
        f->scale = number(&part, "a shift");
    }
    end_of_line(&part);
    if (f->width < 1 || f->width > ISA_WORD_BITS || f->scale < 0 || f->scale > 31) {
        isa_fail(line->at, "field '%s' has an impossible width or shift", f->name);
    }
    f->low = low - f->width;
    return f->low;
}

static int piece_bits(const char *piece)
{
    const char *colon = strchr(piece, ':');

    if (colon) {
        return atoi(colon + (colon[1] == 's' ? 2 : 1));
    }
    return (int)strlen(piece) - (*piece == '(' ? 2 : 0);
}

static void parse_format(Line *line)
{
    Isa *isa = line->isa;
    Row *row = ARENA_NEW(&isa->arena, Row);
    int low = ISA_WORD_BITS, total = 0;

    row->name = name(line);
    row->class_name = isa->class_name;
    row->at = line->at;
    line->row = row;
    isa->row[more(line, &isa->row_count, ISA_MAX_ROWS)] = row;
    for (const char *piece = word(line); *piece; piece = word(line)) {
        size_t length = strlen(piece);
        total += piece_bits(piece);
        if (total > ISA_WORD_BITS) {
            continue; /* reported below with the sum */
        }
        if (strchr(piece, ':')) {
            low = field(line, row, piece, low);
        } else if (*piece == '(' && piece[length - 1] == ')') {
            char *inner = arena_strdup(&isa->arena, piece + 1);
            inner[length - 2] = '\0';
            low = fixed_bits(line, row, inner, low, true);
        } else {
            low = fixed_bits(line, row, piece, low, false);
        }
    }
    if (total != ISA_WORD_BITS) {
        isa_fail(line->at, "format '%s' has %d bits instead of %d", row->name, total,
                 ISA_WORD_BITS);
    }
}

static void parse_illegal(Line *line)
{
    Clause *clause = add_clause(line, &line->row->illegal);

    if (!(clause->test = condition(line))) {
        isa_fail(line->at, "expected 'if' and a condition");
    }
}

static void parse_unpredictable(Line *line)
{
    Clause *clause = add_clause(line, &line->row->unpredictable);

    if (!(clause->test = condition(line))) {
        isa_fail(line->at, "expected 'if' and a condition");
    }
}

static void parse_needs(Line *line)
{
    Clause *clause = add_clause(line, &line->row->needs);

    clause->word = name(line);
    clause->test = condition(line);
}

static void parse_overrides(Line *line)
{
    add_clause(line, &line->row->overrides)->word = name(line);
}

static void parse_let(Line *line)
{
    Row *row = line->row;
    Let *let = &row->let[more(line, &row->let_count, ISA_MAX_ITEMS)];

    let->at = line->at;
    let->name = name(line);
    skip_space(line);
    if (*line->next != '=') {
        isa_fail(line->at, "expected '=' after 'let %s'", let->name);
    }
    line->next++;
    let->value = expression(line);
}

/* `with word, word=value, word if EXPR, ...` */
static void parse_with(Line *line)
{
    for (;;) {
        Clause *clause = add_clause(line, &line->row->attributes);
        clause->word = name(line);
        if (*line->next == '=') {
            line->next++;
            clause->value = name(line);
        }
        clause->test = condition(line);
        skip_space(line);
        if (*line->next != ',') {
            return;
        }
        line->next++;
    }
}

/* The mnemonic ends at a blank outside of brackets. */
static const char *mnemonic(Line *line)
{
    int depth = 0;

    skip_space(line);
    const char *start = line->next;
    for (; *line->next && (depth > 0 || !isspace((unsigned char)*line->next)); line->next++) {
        depth += *line->next == '[' || *line->next == '(';
        depth -= *line->next == ']' || *line->next == ')';
    }
    return arena_printf(&line->isa->arena, "%.*s", (int)(line->next - start), start);
}

/* `insn MNEMONIC ["OPERANDS"] [if EXPR]` */
static void parse_insn(Line *line)
{
    Row *row = line->row;
    Naming *naming = &row->naming[more(line, &row->naming_count, ISA_MAX_ITEMS)];

    naming->mnemonic = text_parse(line->isa, line->at, mnemonic(line));
    skip_space(line);
    if (*line->next == '"') {
        const char *start = ++line->next;
        const char *end = strchr(start, '"');
        if (!end) {
            isa_fail(line->at, "assembler text lacks its closing quote");
        }
        line->next = end + 1;
        naming->operands =
            text_parse(line->isa, line->at,
                       arena_printf(&line->isa->arena, "%.*s", (int)(end - start), start));
    }
    naming->test = condition(line);
}

static void parse_guest(Line *line)
{
    line->isa->guest = name(line);
}

static void parse_class(Line *line)
{
    line->isa->class_name = name(line);
}

static void parse_feature(Line *line)
{
    Isa *isa = line->isa;
    int slot = more(line, &isa->feature_count, ISA_MAX_FEATURES);

    isa->feature[slot] = name(line);
}

static void parse_include(Line *line)
{
    Isa *isa = line->isa;
    int slot = more(line, &isa->include_count, ISA_MAX_ITEMS);

    isa->include[slot] = word(line);
}

/* `NAME(COUNT)` */
static Declared declaration(Line *line)
{
    Declared declared = {.name = word_until(line, "(")};

    if (*line->next != '(') {
        isa_fail(line->at, "expected '(' and the number of arguments after '%s'", declared.name);
    }
    line->next++;
    declared.arguments = number(line, "the number of arguments");
    if (*line->next != ')') {
        isa_fail(line->at, "expected ')' before '%s'", line->next);
    }
    line->next++;
    return declared;
}

static void parse_function(Line *line)
{
    Isa *isa = line->isa;
    int slot = more(line, &isa->function_count, COUNT(isa->function));

    isa->function[slot] = declaration(line);
}

static void parse_operand(Line *line)
{
    Isa *isa = line->isa;

    for (skip_space(line); *line->next; skip_space(line)) {
        int slot = more(line, &isa->operand_count, COUNT(isa->operand));
        isa->operand[slot] = declaration(line);
    }
}

static void parse_registers(Line *line)
{
    Isa *isa = line->isa;

    for (const char *text = word(line); *text; text = word(line)) {
        isa->registers[more(line, &isa->register_count, ISA_MAX_ITEMS)] = text;
    }
}

typedef struct Keyword {
    const char *name;
    bool in_row;
    void (*parse)(Line *line);
} Keyword;

static const Keyword keywords[] = {
    {"guest", false, parse_guest},
    {"class", false, parse_class},
    {"feature", false, parse_feature},
    {"include", false, parse_include},
    {"function", false, parse_function},
    {"operand", false, parse_operand},
    {"registers", false, parse_registers},
    {"format", false, parse_format},
    {"illegal", true, parse_illegal},
    {"unpredictable", true, parse_unpredictable},
    {"needs", true, parse_needs},
    {"overrides", true, parse_overrides},
    {"let", true, parse_let},
    {"with", true, parse_with},
    {"insn", true, parse_insn},
};

/* Cuts off a comment and the line's end. */
static void strip(char *text)
{
    bool quoted = false;
    char *end = text;

    for (char *c = text; *c && (*c != '#' || quoted); c++) {
        quoted ^= *c == '"';
        end = isspace((unsigned char)*c) ? end : c + 1;
    }
    *end = '\0';
}

static void parse_line(Line *line, bool indented)
{
    const char *text = word(line);

    for (size_t i = 0; i < COUNT(keywords); i++) {
        if (strcmp(keywords[i].name, text) != 0) {
            continue;
        }
        if (keywords[i].in_row != indented) {
            isa_fail(line->at, "'%s' must %sbe indented", text, indented ? "not " : "");
        }
        if (indented && !line->row) {
            isa_fail(line->at, "'%s' stands before any 'format'", text);
        }
        keywords[i].parse(line);
        end_of_line(line);
        return;
    }
    isa_fail(line->at, "unknown word '%s'", text);
}

void isa_parse(Isa *isa, const char *path)
{
    Line line = {isa, NULL, {arena_strdup(&isa->arena, path), 0}, NULL};
    FILE *in = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (!in) {
        isa_fail(line.at, "%s", strerror(errno));
    }
    isa->class_name = "other";
    while (getline(&text, &size, in) >= 0) {
        line.at.line++;
        strip(text);
        line.next = text;
        skip_space(&line);
        if (*line.next) {
            parse_line(&line, line.next != text);
        }
    }
    free(text);
    fclose(in);
}
