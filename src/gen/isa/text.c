/* Assembler text of .isa tables: literals, operands `%name(expr, ...)` and choices
 * `{one|other}[expr]`, which nest.
 * Invariant: a parsed text is a linked list; an empty text is NULL. */
#include <ctype.h>
#include <string.h>

#include "gen/isa/isa.h"

typedef struct Parser {
    Isa *isa;
    Place at;
    const char *next;
} Parser;

static Text *pieces(Parser *p, const char *stop);

static Text *new_text(Parser *p, TextKind kind)
{
    Text *text = ARENA_NEW(&p->isa->arena, Text);

    text->kind = kind;
    return text;
}

static void need(Parser *p, char character)
{
    if (*p->next != character) {
        isa_fail(p->at, "expected '%c' in assembler text before '%s'", character, p->next);
    }
    p->next++;
}

static Text *literal(Parser *p, const char *stop)
{
    Text *text = new_text(p, TEXT_LITERAL);
    const char *start = p->next;

    while (*p->next && !strchr("{%", *p->next) && !strchr(stop, *p->next)) {
        p->next++;
    }
    text->text = arena_printf(&p->isa->arena, "%.*s", (int)(p->next - start), start);
    return text;
}

static Text *choices(Parser *p)
{
    Text *text = new_text(p, TEXT_CHOICE);

    do {
        p->next++; /* the opening brace or a bar */
        if (text->count == (int)COUNT(text->choice)) {
            isa_fail(p->at, "more than %d choices in assembler text", (int)COUNT(text->choice));
        }
        text->choice[text->count++] = pieces(p, "|}");
    } while (*p->next == '|');
    need(p, '}');
    need(p, '[');
    text->selector = expr_parse(p->isa, p->at, p->next, &p->next);
    need(p, ']');
    return text;
}

static Text *operand(Parser *p)
{
    Text *text = new_text(p, TEXT_OPERAND);
    const char *start = ++p->next;

    while (isalnum((unsigned char)*p->next) || *p->next == '_') {
        p->next++;
    }
    text->text = arena_printf(&p->isa->arena, "%.*s", (int)(p->next - start), start);
    need(p, '(');
    for (;;) {
        if (text->count == (int)COUNT(text->argument)) {
            isa_fail(p->at, "too many arguments for '%%%s'", text->text);
        }
        text->argument[text->count++] = expr_parse(p->isa, p->at, p->next, &p->next);
        if (*p->next != ',') {
            break;
        }
        p->next++;
    }
    need(p, ')');
    return text;
}

static Text *pieces(Parser *p, const char *stop)
{
    Text *first = NULL;
    Text **link = &first;

    while (*p->next && !strchr(stop, *p->next)) {
        *link = *p->next == '{' ? choices(p) : *p->next == '%' ? operand(p) : literal(p, stop);
        link = &(*link)->next;
    }
    return first;
}

Text *text_parse(Isa *isa, Place at, const char *source)
{
    Parser p = {isa, at, source};

    return pieces(&p, "");
}
