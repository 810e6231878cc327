/* The instruction-table generator's data: what parse.c makes of .isa files, what check.c proves
 * and what the emit_*.c files turn into C. docs/howto-instruction.md describes the notation.
 *
 * Everything is allocated in Isa.arena and lives until the program ends.
 * Must not know any guest: what is peculiar to one is in its tables and its own C functions. */
#ifndef GEN_ISA_ISA_H
#define GEN_ISA_ISA_H

#include <stdio.h>

#include "base/arena.h"
#include "base/types.h"

enum { ISA_WORD_BITS = 32, ISA_MAX_ROWS = 1024, ISA_MAX_ITEMS = 40, ISA_MAX_FEATURES = 32 };

typedef struct Place {
    const char *file;
    int line;
} Place;

typedef enum ExprKind {
    EXPR_NUMBER,
    EXPR_NAME,
    EXPR_UNARY,
    EXPR_BINARY,
    EXPR_CHOICE,
    EXPR_CALL
} ExprKind;

/* A C-like integer expression over the fields of one row. */
typedef struct Expr {
    ExprKind kind;
    s64 number;       /* EXPR_NUMBER */
    const char *text; /* the name, the called function, or the operator's spelling */
    int count;        /* operands in use */
    struct Expr *operand[6];
} Expr;

typedef enum TextKind { TEXT_LITERAL, TEXT_OPERAND, TEXT_CHOICE } TextKind;

/* Assembler text: a list of pieces. A choice is `{a|b|c}[expr]`, an operand `%name(expr, ...)`. */
typedef struct Text {
    TextKind kind;
    const char *text; /* the literal, or the operand's name */
    Expr *selector;   /* TEXT_CHOICE */
    int count;        /* alternatives or arguments */
    struct Text *choice[32];
    Expr *argument[6];
    struct Text *next;
} Text;

typedef struct Field {
    const char *name;
    int low, width; /* place in the word */
    int scale;      /* the value is shifted left by this much */
    bool is_signed;
} Field;

typedef struct Let {
    const char *name;
    Expr *value;
    Place at;
} Let;

/* `illegal if`, `unpredictable if`, `needs`, one attribute, `overrides`: a word and a condition. */
typedef struct Clause {
    const char *word;  /* the attribute, the feature, the overridden row; unused for conditions */
    const char *value; /* after `=`, or NULL */
    Expr *test;        /* NULL: always */
    Place at;
} Clause;

typedef struct Clauses {
    int count;
    Clause item[ISA_MAX_ITEMS];
} Clauses;

/* One `insn` line: the first whose test holds names the instruction. */
typedef struct Naming {
    Text *mnemonic, *operands;
    Expr *test;
} Naming;

/* One `format`: a layout, its arguments and its handler. */
typedef struct Row {
    const char *name;
    const char *macro; /* the enumeration constant */
    const char *class_name;
    Place at;
    u32 mask, value;         /* the bits that select the row */
    u32 advised, advised_to; /* bits drawn in parentheses: ignored when decoding */
    int field_count, let_count, naming_count;
    Field field[ISA_MAX_ITEMS]; /* in the order drawn, most significant first */
    Let let[ISA_MAX_ITEMS];
    Naming naming[ISA_MAX_ITEMS];
    Clauses illegal, unpredictable, needs, attributes, overrides;
    bool translated; /* a handler was found in the translator's sources */
} Row;

typedef struct Declared {
    const char *name;
    int arguments;
} Declared;

typedef struct Isa {
    Arena arena;
    const char *guest;                    /* aarch64 */
    const char *guest_type, *guest_macro; /* Aarch64, AARCH64 */
    const char *class_name;               /* of the rows that follow; parser state */
    int row_count, feature_count, include_count, function_count, operand_count, register_count;
    Row *row[ISA_MAX_ROWS];
    const char *feature[ISA_MAX_FEATURES];
    const char *feature_macro[ISA_MAX_FEATURES];
    const char *include[ISA_MAX_ITEMS];   /* headers that declare the functions */
    Declared function[ISA_MAX_ITEMS];     /* C functions that expressions may call */
    Declared operand[2 * ISA_MAX_ITEMS];  /* printers that assembler text may use */
    const char *registers[ISA_MAX_ITEMS]; /* names of fields that hold register numbers */
} Isa;

/* What `with` may say. Those with a bit become members of InsnAttribute (guest/insn.h); `role` ones
 * name a field or let and steer the random maker. */
typedef struct AttributeName {
    const char *word, *value;
    const char *bit; /* NULL: a role */
} AttributeName;

/* NULL when unknown. */
const AttributeName *attribute_find(const Clause *clause);

/* The value of the role (`base`, `index`, `offset`) in this row, or NULL. */
const char *row_role(const Row *row, const char *role);

/* Whether `row` says that it goes before `other`. */
bool row_overrides(const Row *row, const Row *other);

bool is_register(const Isa *isa, const char *field);

/* Prints `file:line: text` and exits with status 1. */
_Noreturn void isa_fail(Place at, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* parse.c: appends the rows and declarations of one file; exits with a message on errors. */
void isa_parse(Isa *isa, const char *path);

/* text.c: parses assembler text; `end` is where an unbalanced character or NUL stopped it. */
Text *text_parse(Isa *isa, Place at, const char *source);

/* expr.c: parses an expression. *end is set to the first character behind it. */
Expr *expr_parse(Isa *isa, Place at, const char *source, const char **end);

/* Calls `visit` for every name and every function call in the expression. */
void expr_visit(const Expr *expr, void (*visit)(void *context, const Expr *), void *context);

/* The value for one instruction word; false when it calls a function of the guest. */
bool expr_value(const Row *row, const Expr *expr, u32 word, s64 *value);

/* The bits of the word that the expression depends on; lets are followed. */
u32 expr_bits(const Row *row, const Expr *expr);

/* Prints the expression as C, with fields as members of `a`. */
void expr_print(FILE *out, const Expr *expr);

/* check.c: proves that the rows are consistent; exits with messages when not. */
void isa_check(const Isa *isa);

const Field *row_field(const Row *row, const char *name);
const Let *row_let(const Row *row, const char *name);

/* tree.c: prints the nested switches that find the row of a word. */
void tree_emit(FILE *out, const Isa *isa);

/* emit_*.c: one output file each. */
void emit_header(FILE *out, const Isa *isa);
void emit_decode(FILE *out, const Isa *isa);
void emit_disasm(FILE *out, const Isa *isa);
void emit_random(FILE *out, const Isa *isa);
void emit_translate(FILE *out, const Isa *isa);

/* One line a row: whether it has a handler, class, name, arguments. */
void emit_list(FILE *out, const Isa *isa);

/* Prints the comment that opens every output. */
void emit_banner(FILE *out, const Isa *isa, const char *purpose);

#endif
