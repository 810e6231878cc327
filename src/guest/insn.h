/* What the code generated from instruction tables shares between guests: rows and their
 * attributes, bit helpers, assembler text, and the maker of random instructions.
 * Must not know any guest. */
#ifndef GUEST_INSN_H
#define GUEST_INSN_H

#include <stdio.h>

#include "base/types.h"

/* What the engine and the testers must know of an instruction without translating it. */
typedef enum InsnAttribute {
    INSN_LOADS = 1 << 0,        /* may read memory */
    INSN_STORES = 1 << 1,       /* may write memory */
    INSN_ENDS = 1 << 2,         /* ends a block: may go elsewhere, trap, or change how to decode */
    INSN_READS_FLAGS = 1 << 3,  /* reads any of the condition flags */
    INSN_WRITES_FLAGS = 1 << 4, /* always writes all of them */
    INSN_WRITEBACK = 1 << 5,    /* writes its base register */
    INSN_NOT_RANDOM = 1 << 6,   /* never made by insn_random() */
} InsnAttribute;

/* One row of a table, in the order of the guest's row enumeration. */
typedef struct InsnRow {
    const char *name;
    const char *class_name;
    u32 mask, value; /* the fixed bits */
    u32 advised;     /* value of the bits that should, but need not, have one */
    u32 needs;       /* features without which no instruction of the row exists */
    u32 attributes;  /* InsnAttribute that hold for the whole row; others depend on the fields */
} InsnRow;

/* ---- helpers of generated decoders ---- */

/* The sign-extended field of `width` bits at `low`. */
static inline s64 insn_signed(u32 word, int low, int width)
{
    return (s64)((u64)(word >> low) << (64 - width)) >> (64 - width);
}

/* Shifts of 64 bits, arithmetic to the right, by `count` modulo 64. */
static inline s64 insn_shift_left(s64 value, s64 count)
{
    return (s64)((u64)value << (count & 63));
}

static inline s64 insn_shift_right(s64 value, s64 count)
{
    return value >> (count & 63);
}

/* ---- assembler text ---- */

/* A bounded buffer that text is appended to; what does not fit is dropped. */
typedef struct Text {
    char *buffer;
    size_t size;
    size_t length; /* as if everything had fit in */
} Text;

void text_printf(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- random instructions ---- */

/* How to make one. All members but `next` may be zero, except where stated. */
typedef struct InsnRandom {
    u64 (*next)(void *context); /* 64 random bits */
    void *context;
    const char *class_name;     /* a class of rows, or one row's name; NULL for all */
    u32 features;               /* of the CPU that must accept it */
    bool confine;               /* the members below apply */
    u8 base;                    /* the number of the register that loads and stores use as base */
    u8 index;                   /* and as index */
    u32 avoid;                  /* bit set of register numbers that no other operand may be */
    s64 offset_min, offset_max; /* of the immediate offset, in bytes */
} InsnRandom;

enum { INSN_FIELD_VALUE, INSN_FIELD_REGISTER, INSN_FIELD_BASE, INSN_FIELD_INDEX };
enum { INSN_FIELD_END = 0xffff };

/* A field of a row, as the random maker fills it. */
typedef struct InsnField {
    u16 row;
    u8 low, width;
    u8 kind;
} InsnField;

/* A guest's tables as generated. */
typedef struct InsnTable {
    const InsnRow *rows;
    unsigned count;
    const InsnField *fields; /* grouped by row, in order; ended by INSN_FIELD_END */
    bool (*acceptable)(const InsnRandom *how, unsigned row, u32 word);
} InsnTable;

static inline bool insn_offset_fits(const InsnRandom *how, s64 offset)
{
    return !how->confine || (offset >= how->offset_min && offset <= how->offset_max);
}

/* A random instruction of the table; rows are equally likely, their values lean to the extremes.
 * Asserts that a row fits the request. Generated code wraps this as <guest>_random(). */
u32 insn_random(const InsnTable *table, const InsnRandom *how);

/* ---- coverage ---- */

/* Prints each row with its count, those never decoded first; `counts` has one element a row. */
void insn_report_coverage(FILE *out, const InsnRow *rows, unsigned count, const u64 *counts);

#endif
