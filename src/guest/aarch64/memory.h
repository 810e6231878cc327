/* Addressing modes that loads and stores of general and of vector registers share (C1.3.3). */
#ifndef GUEST_AARCH64_MEMORY_H
#define GUEST_AARCH64_MEMORY_H

#include "guest/aarch64/translate.h"

/* Addressing modes as the tables number them: odd ones write the base back. */
enum { MODE_OFFSET = 0, MODE_POST = 1, MODE_PRE = 3 };

/* [Xn|SP, #offset], or [Xn|SP] for post-index. */
Address address_mode(Tr *t, unsigned n, unsigned mode, s64 offset) AARCH64_NAME(address_mode);
/* [Xn|SP, Rm, extended as option says and shifted by 0..4] */
Address address_index(Tr *t, unsigned n, unsigned m, unsigned option, unsigned shift)
    AARCH64_NAME(address_index);
/* After the access at `a`: base register n becomes its old value plus offset, if mode says so. */
void write_back(Tr *t, unsigned n, unsigned mode, Address a, s64 offset) AARCH64_NAME(write_back);

#endif
