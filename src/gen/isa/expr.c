/* Expressions of .isa tables: C's integer operators over field names, parsed, evaluated for the
 * checks, and printed as C for the generated code.
 * Invariant: evaluation and the printed C agree; arithmetic is 64 bits wide and signed. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gen/isa/isa.h"

typedef struct Parser {
    Isa *isa;
    Place at;
    const char *next;
} Parser;

/* Binary operators by falling precedence; within a level, longer spellings first. */
static const char *const operators[][5] = {
    {"*", "/", "%"}, {"+", "-"}, {"<<", ">>"}, {"<=", ">=", "<", ">"}, {"==", "!="}, {"&"}, {"^"},
    {"|"},           {"&&"},     {"||"},
};

static Expr *choice(Parser *p);

static void skip_space(Parser *p)
{
    while (*p->next == ' ' || *p->next == '\t') {
        p->next++;
    }
}

/* Takes the token if it comes next. `&` is not taken from `&&`, nor `<` from `<<`, and so on. */
static bool take(Parser *p, const char *token)
{
    size_t length = strlen(token);

    skip_space(p);
    if (strncmp(p->next, token, length) != 0) {
        return false;
    }
    if (length == 1 && strchr("&|<>", *token) && p->next[1] == *token) {
        return false;
    }
    if (strcmp(token, "!") == 0 && p->next[1] == '=') {
        return false;
    }
    p->next += length;
    return true;
}

static void need(Parser *p, const char *token)
{
    if (!take(p, token)) {
        isa_fail(p->at, "expected '%s' before '%s'", token, p->next);
    }
}

static Expr *new_expr(Parser *p, ExprKind kind, const char *text)
{
    Expr *expr = ARENA_NEW(&p->isa->arena, Expr);

    expr->kind = kind;
    expr->text = text;
    return expr;
}

static void add_operand(Parser *p, Expr *expr, Expr *operand)
{
    if (expr->count == (int)COUNT(expr->operand)) {
        isa_fail(p->at, "too many arguments for '%s'", expr->text);
    }
    expr->operand[expr->count++] = operand;
}

static Expr *number(Parser *p)
{
    Expr *expr = new_expr(p, EXPR_NUMBER, NULL);
    bool binary = p->next[0] == '0' && p->next[1] == 'b';
    char *end;

    expr->number = (s64)strtoull(p->next + (binary ? 2 : 0), &end, binary ? 2 : 0);
    p->next = end;
    return expr;
}

static Expr *name_or_call(Parser *p)
{
    const char *start = p->next;

    while (isalnum((unsigned char)*p->next) || *p->next == '_') {
        p->next++;
    }
    Expr *expr =
        new_expr(p, EXPR_NAME, arena_printf(&p->isa->arena, "%.*s", (int)(p->next - start), start));
    if (*p->next != '(') {
        return expr;
    }
    p->next++;
    expr->kind = EXPR_CALL;
    do {
        add_operand(p, expr, choice(p));
    } while (take(p, ","));
    need(p, ")");
    return expr;
}

static Expr *primary(Parser *p)
{
    static const char *const unary[] = {"!", "-", "~"};

    for (size_t i = 0; i < COUNT(unary); i++) {
        if (take(p, unary[i])) {
            Expr *expr = new_expr(p, EXPR_UNARY, unary[i]);
            add_operand(p, expr, primary(p));
            return expr;
        }
    }
    if (take(p, "(")) {
        Expr *expr = choice(p);
        need(p, ")");
        return expr;
    }
    if (isdigit((unsigned char)*p->next)) {
        return number(p);
    }
    if (isalpha((unsigned char)*p->next) || *p->next == '_') {
        return name_or_call(p);
    }
    isa_fail(p->at, "expected a number or a name before '%s'", p->next);
}

static const char *take_operator(Parser *p, size_t level)
{
    for (size_t i = 0; i < COUNT(operators[level]) && operators[level][i]; i++) {
        if (take(p, operators[level][i])) {
            return operators[level][i];
        }
    }
    return NULL;
}

static Expr *binary(Parser *p, size_t level)
{
    Expr *left = level == 0 ? primary(p) : binary(p, level - 1);
    const char *operator;

    while ((operator= take_operator(p, level)) != NULL) {
        Expr *expr = new_expr(p, EXPR_BINARY, operator);
        add_operand(p, expr, left);
        add_operand(p, expr, level == 0 ? primary(p) : binary(p, level - 1));
        left = expr;
    }
    return left;
}

static Expr *choice(Parser *p)
{
    Expr *test = binary(p, COUNT(operators) - 1);

    if (!take(p, "?")) {
        return test;
    }
    Expr *expr = new_expr(p, EXPR_CHOICE, "?");
    add_operand(p, expr, test);
    add_operand(p, expr, choice(p));
    need(p, ":");
    add_operand(p, expr, choice(p));
    return expr;
}

Expr *expr_parse(Isa *isa, Place at, const char *source, const char **end)
{
    Parser p = {isa, at, source};
    Expr *expr = choice(&p);

    skip_space(&p);
    *end = p.next;
    return expr;
}

void expr_visit(const Expr *expr, void (*visit)(void *, const Expr *), void *context)
{
    if (expr->kind == EXPR_NAME || expr->kind == EXPR_CALL) {
        visit(context, expr);
    }
    for (int i = 0; i < expr->count; i++) {
        expr_visit(expr->operand[i], visit, context);
    }
}

static s64 field_value(const Field *field, u32 word)
{
    u64 raw = (word >> field->low) & ((1ull << field->width) - 1);

    if (field->is_signed) {
        raw = (u64)((s64)(raw << (64 - field->width)) >> (64 - field->width));
    }
    return (s64)(raw << field->scale);
}

static s64 apply(const char *operator, s64 x, s64 y)
{
    switch (operator[0] | operator[1] << 8) {
    case '*':
        return x * y;
    case '/':
        return y == 0 ? 0 : x / y;
    case '%':
        return y == 0 ? 0 : x % y;
    case '+':
        return x + y;
    case '-':
        return x - y;
    case '<' | '<' << 8:
        return (s64)((u64)x << (y & 63));
    case '>' | '>' << 8:
        return x >> (y & 63);
    case '<' | '=' << 8:
        return x <= y;
    case '>' | '=' << 8:
        return x >= y;
    case '<':
        return x < y;
    case '>':
        return x > y;
    case '=' | '=' << 8:
        return x == y;
    case '!' | '=' << 8:
        return x != y;
    case '&':
        return x & y;
    case '^':
        return x ^ y;
    case '|':
        return x | y;
    case '&' | '&' << 8:
        return x && y;
    default:
        return x || y;
    }
}

static bool name_value(const Row *row, const char *name, u32 word, s64 *value)
{
    const Field *field = row_field(row, name);

    if (field) {
        *value = field_value(field, word);
        return true;
    }
    const Let *let = row_let(row, name);
    return let && expr_value(row, let->value, word, value);
}

bool expr_value(const Row *row, const Expr *expr, u32 word, s64 *value)
{
    s64 v[3] = {0};

    if (expr->kind == EXPR_CALL) {
        return false;
    }
    if (expr->kind == EXPR_NAME) {
        return name_value(row, expr->text, word, value);
    }
    for (int i = 0; i < expr->count; i++) {
        if (!expr_value(row, expr->operand[i], word, &v[i])) {
            return false;
        }
    }
    switch (expr->kind) {
    case EXPR_NUMBER:
        *value = expr->number;
        break;
    case EXPR_UNARY:
        *value = *expr->text == '!' ? !v[0] : *expr->text == '-' ? -v[0] : ~v[0];
        break;
    case EXPR_CHOICE:
        *value = v[0] ? v[1] : v[2];
        break;
    default:
        *value = apply(expr->text, v[0], v[1]);
        break;
    }
    return true;
}

u32 expr_bits(const Row *row, const Expr *expr)
{
    u32 bits = 0;

    if (expr->kind == EXPR_NAME) {
        const Field *field = row_field(row, expr->text);
        const Let *let = row_let(row, expr->text);
        if (field) {
            return (u32)(((1ull << field->width) - 1) << field->low);
        }
        return let ? expr_bits(row, let->value) : 0;
    }
    for (int i = 0; i < expr->count; i++) {
        bits |= expr_bits(row, expr->operand[i]);
    }
    return bits;
}

static void print_list(FILE *out, const Expr *expr, const char *opening)
{
    fputs(opening, out);
    for (int i = 0; i < expr->count; i++) {
        fputs(i ? ", " : "", out);
        expr_print(out, expr->operand[i]);
    }
    fputc(')', out);
}

/* With parentheses where it is made of several operands. */
static void print_operand(FILE *out, const Expr *expr)
{
    bool compound = expr->kind == EXPR_BINARY || expr->kind == EXPR_CHOICE;

    fputs(compound ? "(" : "", out);
    expr_print(out, expr);
    fputs(compound ? ")" : "", out);
}

void expr_print(FILE *out, const Expr *expr)
{
    switch (expr->kind) {
    case EXPR_NUMBER:
        fprintf(out, "%lld", (long long)expr->number);
        break;
    case EXPR_NAME:
        fprintf(out, "%s%s", strcmp(expr->text, "pc") == 0 ? "(s64)" : "a->", expr->text);
        break;
    case EXPR_UNARY:
        fputs(expr->text, out);
        print_operand(out, expr->operand[0]);
        break;
    case EXPR_CALL:
        fputs(expr->text, out);
        print_list(out, expr, "(");
        break;
    case EXPR_CHOICE:
        print_operand(out, expr->operand[0]);
        fputs(" ? ", out);
        print_operand(out, expr->operand[1]);
        fputs(" : ", out);
        print_operand(out, expr->operand[2]);
        break;
    case EXPR_BINARY:
        if (strcmp(expr->text, "<<") == 0) { /* C leaves too much undefined in shifts */
            print_list(out, expr, "insn_shift_left(");
            break;
        }
        if (strcmp(expr->text, ">>") == 0) {
            print_list(out, expr, "insn_shift_right(");
            break;
        }
        print_operand(out, expr->operand[0]);
        fprintf(out, " %s ", expr->text);
        print_operand(out, expr->operand[1]);
        break;
    }
}
