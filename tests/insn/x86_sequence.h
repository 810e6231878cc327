/* Random sequences of x86 instructions with the state that they start in. */
#ifndef TESTS_INSN_X86_SEQUENCE_H
#define TESTS_INSN_X86_SEQUENCE_H

#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "x86_case.h"
#include "x86_segments.h"

enum {
    X86_ITEMS_MAX = 12, /* of a sequence */
    X86_ITEM_INSNS = 12,
    X86_INSNS_MAX = X86_ITEMS_MAX * X86_ITEM_INSNS,
};

/* What is to be put into an instruction once addresses are known. */
typedef enum X86Fixup {
    X86_FIX_NONE,
    X86_FIX_RELATIVE, /* distance to the target, in the last bytes */
    X86_FIX_ADDRESS,  /* the target's rip */
} X86Fixup;

typedef struct X86Piece {
    u8 bytes[X86_INSN_MAX];
    u8 size;
    u8 code_bytes; /* default operand size where it runs */
    u8 item;       /* instructions that belong together: an item is left out as a whole */
    u8 fixup;      /* X86_FIX_* */
    u8 place, width;
    u8 target;         /* an item, the number of all for the end */
    u8 ahead;          /* unless 0: not an item but so many instructions on */
    u8 selector_place; /* unless 0: where CS is to be put */
    u32 at;            /* offset in the case's code, once assembled */
} X86Piece;

typedef struct X86Sequence {
    X86Case c;
    X86Environment environment;
    bool branches; /* flags may come from anywhere */
    unsigned items, count;
    X86Piece insn[X86_INSNS_MAX];
    u8 skipped[X86_ITEMS_MAX];
} X86Sequence;

typedef struct X86SequenceOptions {
    const u64 *features;
    const char *name; /* of instructions; NULL: all */
    unsigned bits;    /* 16, 32, 64; 0: any */
    unsigned length;  /* items at most */
    bool accurate;    /* rows whose last bits depend on the CPU are wanted, too */
    u64 *covered;     /* by row: counted up */
} X86SequenceOptions;

X86DecodeMode x86_sequence_mode(const u64 *features, unsigned code_bytes);

void x86_sequence_make(const X86SequenceOptions *options, u64 seed, u32 address, X86Sequence *s);

/* Puts the code together; `skip` has a bit for each item to leave out. */
void x86_sequence_assemble(X86Sequence *s, u32 address, u32 skip);

/* Status flags that are undefined when execution has come to rip. */
u32 x86_sequence_undefined(const X86Sequence *s, const u64 *features, u64 rip);

#endif
