/* The parameters of handlers that serve several rows: `do=handler(ARGUMENT)` in the opcode tables
 * arrives as Tr.arg. Besides these an argument may be any constant of translate.h and vector.h: an
 * IrOp, an IrType, a segment register... */
#ifndef GUEST_X86_ARGUMENTS_H
#define GUEST_X86_ARGUMENTS_H

/* BT, BTS, BTR, BTC */
enum { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/* FMA: a * b + c and its variants; ADDSUB subtracts in even lanes and adds in odd ones. */
enum { FMA_ADD, FMA_SUB, FMA_NEGATED_ADD, FMA_NEGATED_SUB, FMA_ADDSUB, FMA_SUBADD };

/* x87 arithmetic in the order of its encoding; the reversed ones are source - destination, source /
 * destination. */
enum { X87_ADD, X87_MUL, X87_COM, X87_COMP, X87_SUB, X87_SUBR, X87_DIV, X87_DIVR };

/* FLD1, FLDL2T, ... in the order of their encoding */
enum { X87_ONE, X87_L2T, X87_L2E, X87_PI, X87_LG2, X87_LN2, X87_ZERO };

/* FCOMI and its like: QNaN is no error; the stack is popped. */
enum { X87_QUIET = 1, X87_POP = 2 };

#endif
