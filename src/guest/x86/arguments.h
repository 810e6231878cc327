/* The parameters of handlers that serve several rows: `do=handler(ARGUMENT)` in the opcode tables
 * arrives as Tr.arg. Besides these an argument may be any constant of translate.h: an IrOp, a
 * segment register... */
#ifndef GUEST_X86_ARGUMENTS_H
#define GUEST_X86_ARGUMENTS_H

/* BT, BTS, BTR, BTC */
enum { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

#endif
