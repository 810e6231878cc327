/* The translator of the made-up guest: it adds up arguments. */
#ifndef GUEST_TINY_TINY_H
#define GUEST_TINY_TINY_H

#include "guest/tiny/tiny_insn.h"

struct Tr {
    s64 sum;
};

#endif
