/* PCMPESTRM and its like (Intel SDM volume 2, 4.1): by the host's own instructions where it has
 * them, which SSE4.2 is enough for, or element by element. vector_string.c makes the rest of them.
 */
#include "guest/x86/vector_helpers.h"
#include "ir/ir.h"

/* -- Element by element */

typedef struct Strings {
    unsigned count; /* elements in a register: 8 or 16 */
    unsigned length[2];
    s32 element[2][16];
} Strings;

static Strings read_strings(const IrWord *io, unsigned control)
{
    Strings s = {.count = control & STRING_WORDS ? 8 : 16};
    unsigned bits = 128 / s.count;

    for (unsigned n = 0; n < 2; n++) {
        s.length[n] = s.count;
        for (unsigned i = s.count; i-- > 0;) {
            u64 word = io[1 + n].v[i * bits / 64] >> i * bits % 64;
            u32 element = (u32)word & ((1u << bits) - 1);
            s.element[n][i] = control & STRING_SIGNED ? (s32)(element << (32 - bits)) >> (32 - bits)
                                                      : (s32)element;
            s.length[n] = element == 0 ? i : s.length[n];
        }
        if (control & STRING_LENGTHS) {
            s.length[n] = MIN((unsigned)(io[4].i >> 8 * n & 0xff), s.count);
        }
    }
    return s;
}

/* Whether element j of the second string is in the set that the first one lists. */
static bool is_any(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i < s->length[0]; i++) {
        if (s->element[0][i] == s->element[1][j]) {
            return true;
        }
    }
    return false;
}

/* In one of the ranges that pairs of elements of the first one are. */
static bool is_in_range(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i + 1 < s->length[0]; i += 2) {
        if (s->element[0][i] <= s->element[1][j] && s->element[1][j] <= s->element[0][i + 1]) {
            return true;
        }
    }
    return false;
}

/* Equal to the other string's, or neither exists. */
static bool is_same(const Strings *s, unsigned j)
{
    bool exists0 = j < s->length[0], exists1 = j < s->length[1];

    return exists0 == exists1 && (!exists0 || s->element[0][j] == s->element[1][j]);
}

/* The first string begins at j, as far as the register goes. */
static bool is_substring(const Strings *s, unsigned j)
{
    for (unsigned i = 0; i < s->length[0] && i + j < s->count; i++) {
        if (i + j >= s->length[1] || s->element[0][i] != s->element[1][i + j]) {
            return false;
        }
    }
    return true;
}

static bool is_found(const Strings *s, unsigned aggregation, unsigned j)
{
    switch (aggregation) {
    case 0:
        return j < s->length[1] && is_any(s, j);
    case 1:
        return j < s->length[1] && is_in_range(s, j);
    case 2:
        return is_same(s, j);
    default:
        return is_substring(s, j);
    }
}

void x86_compare_strings_soft(IrWord *io)
{
    unsigned control = (unsigned)io[3].i, found = 0;
    Strings s = read_strings(io, control);
    u32 flags = 0;

    for (unsigned j = 0; j < s.count; j++) {
        found |= (unsigned)is_found(&s, control >> STRING_AGGREGATION_SHIFT & 3, j) << j;
    }
    if (control & STRING_NEGATE) {
        found ^= (1u << (control & STRING_NEGATE_VALID ? s.length[1] : s.count)) - 1;
    }
    flags |= found ? IR_FLAG_C : 0;
    flags |= s.length[1] < s.count ? IR_FLAG_Z : 0;
    flags |= s.length[0] < s.count ? IR_FLAG_N : 0;
    flags |= found & 1 ? IR_FLAG_V : 0;
    io[0].i = found | (u64)flags << 32;
}

/* -- The host's instructions */

#ifdef __x86_64__

typedef long long Vector __attribute__((vector_size(16)));

/* What an instruction leaves: XMM0, a bit for each element found, ZF and SF. */
typedef struct Found {
    Vector mask;
    bool second_ends, first_ends;
} Found;

#define EIGHT(CASE, n)                                                                             \
    CASE(n) CASE(n + 1) CASE(n + 2) CASE(n + 3) CASE(n + 4) CASE(n + 5) CASE(n + 6) CASE(n + 7)
#define SIXTY_FOUR(CASE)                                                                           \
    EIGHT(CASE, 0)                                                                                 \
    EIGHT(CASE, 8)                                                                                 \
    EIGHT(CASE, 16) EIGHT(CASE, 24) EIGHT(CASE, 32) EIGHT(CASE, 40) EIGHT(CASE, 48) EIGHT(CASE, 56)

/* The control is an immediate. */
static Found compare_implicit(Vector x, Vector y, unsigned control)
{
    Found f = {0};

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpistrm %5, %4, %3"                                                             \
                : "=Yz"(f.mask), "=@ccz"(f.second_ends), "=@ccs"(f.first_ends)                     \
                : "x"(x), "x"(y), "i"(n));                                                         \
        break;
    switch (control) {
        SIXTY_FOUR(CASE)
    }
#undef CASE
    return f;
}

static Found compare_explicit(Vector x, Vector y, unsigned control, u32 first, u32 second)
{
    Found f = {0};

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        __asm__("pcmpestrm %5, %4, %3"                                                             \
                : "=Yz"(f.mask), "=@ccz"(f.second_ends), "=@ccs"(f.first_ends)                     \
                : "x"(x), "x"(y), "i"(n), "a"(first), "d"(second));                                \
        break;
    switch (control) {
        SIXTY_FOUR(CASE)
    }
#undef CASE
    return f;
}

void x86_compare_strings(void *state, IrWord *io)
{
    enum { IMMEDIATE = 0x3f }; /* without what is made of the bits found */
    Vector x = {(s64)io[1].v[0], (s64)io[1].v[1]}, y = {(s64)io[2].v[0], (s64)io[2].v[1]};
    unsigned control = io[3].i & IMMEDIATE;
    u32 lengths = (u32)io[4].i, flags;

    (void)state;
    Found f = io[3].i & STRING_LENGTHS
                  ? compare_explicit(x, y, control, lengths & 0xff, lengths >> 8 & 0xff)
                  : compare_implicit(x, y, control);
    u64 found = (u64)f.mask[0];
    flags = (found ? IR_FLAG_C : 0) | (f.second_ends ? IR_FLAG_Z : 0) |
            (f.first_ends ? IR_FLAG_N : 0) | (found & 1 ? IR_FLAG_V : 0);
    io[0].i = found | (u64)flags << 32;
}

#else

void x86_compare_strings(void *state, IrWord *io)
{
    (void)state;
    x86_compare_strings_soft(io);
}

#endif
