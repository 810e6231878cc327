/* The text form of each operation, as one table that printer and parser share.
 *
 * A line is   [vN =] name[.type[.lane]][.sub names...] operands
 * where the operands depend on the operation's form. Everything in an IrInsn that verified IR may
 * hold has a text, so that text round-trips.
 * Private to print.c, parse.c. */
#ifndef IR_SYNTAX_H
#define IR_SYNTAX_H

#include "ir/ir.h"

typedef enum IrForm {
    FORM_PLAIN,  /* values, then the immediates of `show` in its order */
    FORM_CONST,  /* the value; vectors: low and high half */
    FORM_PHI,    /* predecessor: value, ... */
    FORM_SLOT,   /* [slot], value if there is one */
    FORM_MEMORY, /* base + index * scale + displacement, value if there is one */
    FORM_CALL,   /* helper, values */
    FORM_X87,    /* opcode, then an address or a value */
    FORM_BLOCKS, /* values, then successor blocks */
} IrForm;

/* Names of values of `sub` (or, for RMW, of imm): the bits in `mask` equal `value`. */
typedef struct IrSubName {
    const char *name; /* NULL ends a list */
    u8 mask, value;
} IrSubName;

typedef struct IrSyntax {
    u8 form;              /* IrForm */
    const char *show;     /* FORM_PLAIN: 's' sub, 'i' imm, 'j' imm2, in print order; NULL: none */
    const IrSubName *sub; /* names for sub; NULL: none */
    const IrSubName *imm; /* names for imm; NULL: none */
} IrSyntax;

extern const IrSyntax ir_syntax[IR_OP_COUNT];

/* Whether the text carries the type after the operation's name. */
static inline bool ir_shows_type(IrOp op)
{
    return ir_ops[op].rule[0] == 'T' || op == IR_PUT || op == IR_NOTE || op == IR_STORE;
}

#endif
