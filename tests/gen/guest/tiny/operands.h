/* What the tables of the made-up guest of these tests call. */
#ifndef GUEST_TINY_OPERANDS_H
#define GUEST_TINY_OPERANDS_H

#include "guest/insn.h"

static inline s64 tiny_half(s64 value)
{
    return value / 2;
}

void tiny_print_reg(Text *text, s64 n);
void tiny_print_num(Text *text, s64 value);

#endif
