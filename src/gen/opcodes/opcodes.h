/* The opcode-table generator's data: what parse.c makes of .opcodes files, what check.c proves, and
 * what emit.c turns into C. docs/howto-x86-instruction.md describes the notation.
 *
 * Everything is allocated in Tables.arena and lives until the program ends.
 * It knows the encoding of x86 instructions, not their meaning: operand codes, sizes, features and
 * lock operations are passed on by name. */
#ifndef GEN_OPCODES_OPCODES_H
#define GEN_OPCODES_OPCODES_H

#include <stdio.h>

#include "base/arena.h"
#include "base/types.h"

enum { MAX_ROWS = 4000, MAX_GROUPS = 64, MAX_FORMS = 12, MAX_OPERANDS = 4, MAX_NEEDS = 2 };

typedef struct Place {
    const char *file;
    int line;
} Place;

/* Opcode maps, in the order of the decoder's tables: one-byte, 0F, 0F38, 0F3A, then with VEX. */
enum { MAP_ONE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_VEX, MAPS = MAP_VEX + 3 };

/* Mandatory prefixes as a set; a row that names none goes with all. */
enum { PREFIX_NP = 1, PREFIX_66 = 2, PREFIX_F3 = 4, PREFIX_F2 = 8, PREFIX_ANY = 15 };

/* What else a row demands of an encoding: bits of X86Row.demands, by the same names there. */
enum {
    DEMAND_MEMORY = 1 << 0, /* mod != 3 */
    DEMAND_W0 = 1 << 1,
    DEMAND_W1 = 1 << 2,
    DEMAND_L0 = 1 << 3,
    DEMAND_L1 = 1 << 4,
    DEMAND_CODE64 = 1 << 5,
    DEMAND_NOT_CODE64 = 1 << 6,
    DEMAND_NO_REX_B = 1 << 7,
    DEMAND_PROTECTED = 1 << 8,
};

typedef struct Operand {
    const char *code, *size; /* of Intel's opcode maps: "E", "v"; a fixed register has no size */
    bool read, write;
} Operand;

typedef struct Row {
    Place at;
    const char *class_name;
    const char *name; /* or three, separated by bars */
    int map, opcode, opcode_count;
    u8 prefixes;               /* accepted ones */
    u8 modrm_mask, modrm_bits; /* fixed bits of ModRM */
    bool has_modrm;
    u32 demands; /* DEMAND_* */
    int operand_count;
    Operand operand[MAX_OPERANDS];
    const char *need[MAX_NEEDS];
    const char *handler, *argument; /* argument: a C constant, or NULL */
    const char *lock;               /* NULL: not lockable */
    const char *attributes;         /* C: names or-ed together */
    const char *undefined;          /* C: the flags that are undefined afterwards */
    const char *vsib;               /* size of the index register, or NULL */
    bool translated;                /* a handler was found in the translator's sources */
} Row;

/* One encoding that the rows of a group stand for. */
typedef struct Form {
    const char *kind;    /* "mmx", "ps"...: an index into the table in group.c */
    const char *feature; /* with /FEATURE for 256 bits, +FEATURE for a second one */
} Form;

typedef struct Group {
    const char *name;
    int form_count;
    Form form[MAX_FORMS];
} Group;

typedef struct Tables {
    Arena arena;
    const char *class_name; /* of the rows that follow; parser state */
    int row_count, group_count;
    Row *row[MAX_ROWS];
    Group group[MAX_GROUPS];
} Tables;

/* Prints `file:line: text` and exits with status 1. */
_Noreturn void opcodes_fail(Place at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* parse.c: appends the rows of one file; exits with a message on errors. */
void opcodes_parse(Tables *tables, const char *path);

/* Adds a copy of the row; fails when there are too many. */
void add_row(Tables *tables, const Row *row);

/* group.c: adds the rows that a group's row stands for. In `row` the operands are those of the VEX
 * encoding; `half_mmx`: the MMX form reads half of its memory operand. */
void group_expand(Tables *tables, const Group *group, const Row *row, bool half_mmx);

/* check.c: proves that no two rows claim the same encoding, unless one is the exception of the
 * other, and that the one-byte map is complete; exits with messages when not. */
void opcodes_check(const Tables *tables);
/* How many encodings a row matches: what is an exception of another row matches fewer. */
u64 row_extent(const Row *row);

/* emit.c: one output file each. */
void emit_header(FILE *out, const Tables *tables);
void emit_tables(FILE *out, const Tables *tables);
void emit_translate(FILE *out, const Tables *tables);
/* One line a row: whether it has a handler, its encoding, name and operands. */
void emit_list(FILE *out, const Tables *tables);

#endif
