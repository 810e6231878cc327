/* What the files of the x86 guest's privileged side share: memory as the CPU itself accesses it,
 * descriptors, and the state changes that far transfers, interrupts and tasks are made of.
 *
 * Functions return 0, or the code word of the exception to raise (state.h: vector, error code),
 * after which nothing that the manual keeps has changed. For #PF the address is in CR2 already.
 * Section numbers are the Intel SDM's, volume 3 unless said.
 * Must not be included outside this folder and its tests. */
#ifndef GUEST_X86_SYSTEM_H
#define GUEST_X86_SYSTEM_H

#include "guest/bus.h"
#include "guest/x86/state.h"

/* Passes an exception on to the caller. */
#define X86_TRY(expression)                                                                        \
    do {                                                                                           \
        u32 raised_ = (expression);                                                                \
        if (raised_) {                                                                             \
            return raised_;                                                                        \
        }                                                                                          \
    } while (0)

/* -- Exceptions */

static inline u32 x86_fault(unsigned vector)
{
    /* Vector 0 (#DE) needs a word that is not 0: bit 10 says that this is one. */
    return vector | X86_EXCEPTION_RAISED;
}

static inline u32 x86_fault_error(unsigned vector, u16 error)
{
    return vector | X86_EXCEPTION_RAISED | X86_EXCEPTION_HAS_ERROR | (u32)error << 16;
}

/* -- Control register bits (2.5) */

enum {
    X86_CR0_PE = 1 << 0,
    X86_CR0_MP = 1 << 1,
    X86_CR0_EM = 1 << 2,
    X86_CR0_TS = 1 << 3,
    X86_CR0_ET = 1 << 4,
    X86_CR0_NE = 1 << 5,
    X86_CR0_WP = 1 << 16,
    X86_CR0_AM = 1 << 18,
    X86_CR0_NW = 1 << 29,
    X86_CR0_CD = 1 << 30,
    X86_CR4_VME = 1 << 0,
    X86_CR4_PVI = 1 << 1,
    X86_CR4_TSD = 1 << 2,
    X86_CR4_DE = 1 << 3,
    X86_CR4_PSE = 1 << 4,
    X86_CR4_PAE = 1 << 5,
    X86_CR4_MCE = 1 << 6,
    X86_CR4_PGE = 1 << 7,
    X86_CR4_PCE = 1 << 8,
    X86_CR4_OSFXSR = 1 << 9,
    X86_CR4_OSXMMEXCPT = 1 << 10,
    X86_CR4_UMIP = 1 << 11,
    X86_CR4_LA57 = 1 << 12,
    X86_CR4_FSGSBASE = 1 << 16,
    X86_CR4_PCIDE = 1 << 17,
    X86_CR4_OSXSAVE = 1 << 18,
    X86_CR4_SMEP = 1 << 20,
    X86_CR4_SMAP = 1 << 21,
    X86_EFER_SCE = 1 << 0,
    X86_EFER_LME = 1 << 8,
    X86_EFER_LMA = 1 << 10,
    X86_EFER_NXE = 1 << 11,
};

#define X86_CR0_PG (1u << 31)

/* Debug registers (17.2). */
enum {
    X86_DR6_BD = 1 << 13,
    X86_DR6_BS = 1 << 14,
    X86_DR6_BT = 1 << 15,
    X86_DR7_ENABLED = 0xff, /* L0, G0, ... L3, G3 */
    X86_DR7_GD = 1 << 13,
};

/* NULL in user mode. */
static inline const GuestBus *x86_bus(const X86State *state)
{
    return state->user_mode ? NULL : state->system;
}

static inline bool x86_protected_mode(const X86State *state)
{
    return (state->cr[0] & X86_CR0_PE) && !(state->eflags & X86_EFLAGS_VM);
}

static inline bool x86_long_mode_active(const X86State *state)
{
    return state->efer & X86_EFER_LMA;
}

/* 64-bit mode proper, that is, not compatibility mode. */
static inline bool x86_in_64_bit_mode(const X86State *state)
{
    return x86_long_mode_active(state) && (state->segment[X86_CS].attributes & X86_SEGMENT_L);
}

/* Current privilege level: SS.DPL (protected mode), 3 in virtual-8086 mode, 0 in real mode. */
static inline unsigned x86_cpl(const X86State *state)
{
    if (!(state->cr[0] & X86_CR0_PE)) {
        return 0;
    }
    return state->eflags & X86_EFLAGS_VM ? 3 : state->segment[X86_SS].attributes >> 5 & 3;
}

static inline unsigned x86_iopl(const X86State *state)
{
    return state->eflags >> 12 & 3;
}

/* -- Paging (paging.c) */

typedef struct X86Translation {
    u64 physical;  /* of the address asked for, A20 applied */
    u8 page_bits;  /* log2 of the page's size */
    bool writable; /* a store by the same privilege needs no further walk: dirty is set */
    bool user;     /* user-mode code may access it */
    bool global;
    bool executable;
} X86Translation;

enum {
    X86_WALK_WRITE = 1,
    X86_WALK_USER = 2, /* an access at CPL 3 */
    X86_WALK_FETCH = 4,
    X86_WALK_IMPLICIT = 8, /* a supervisor access to a system structure: SMAP ignores AC */
    X86_WALK_PROBE = 16,   /* for debuggers: no accessed and dirty bits, no CR2 */
};

/* Spaces of memory as the engine knows them. */
enum {
    X86_SPACE_SUPERVISOR,
    X86_SPACE_USER,
    X86_SPACE_GUARDED, /* the supervisor's under SMAP: no user pages */
    X86_SPACES,
};

/* Translates a linear address (4.3 to 4.6), setting accessed and dirty bits. */
u32 x86_walk(X86State *state, u64 linear, unsigned flags, X86Translation *out);
/* Loads the four PDPTE registers from CR3 (4.4.1), as MOV to CR0, CR3 and CR4 do when PAE paging
 * without IA-32e mode is on. */
u32 x86_load_pdptes(X86State *state);

/* Memory at linear addresses, across pages; flags as for x86_walk(). Devices are accessed, too. */
u32 x86_read_linear(X86State *state, u64 linear, void *bytes, unsigned size, unsigned flags);
u32 x86_write_linear(X86State *state, u64 linear, const void *bytes, unsigned size, unsigned flags);

/* Where `size` bytes of one page are in the host's memory, if it is RAM that the engine remembers;
 * *ram is NULL otherwise. Raises as x86_walk() does, unless it is NULL. */
u32 x86_find_ram(X86State *state, u64 linear, unsigned size, unsigned flags, u8 **ram);

/* -- Descriptors (3.4.5, segment.c) */

typedef struct X86Descriptor {
    u32 low, high;
    u64 address; /* linear, of the descriptor */
    u32 top;     /* third word of 16-byte system descriptors in long mode: base bits 63..32 */
} X86Descriptor;

static inline unsigned x86_descriptor_type(const X86Descriptor *d)
{
    return d->high >> 8 & 0x1f; /* with S as bit 4 */
}
static inline unsigned x86_descriptor_dpl(const X86Descriptor *d)
{
    return d->high >> 13 & 3;
}
static inline bool x86_descriptor_present(const X86Descriptor *d)
{
    return d->high >> 15 & 1;
}

enum {
    X86_TYPE_ACCESSED = 1,
    X86_TYPE_WRITABLE = 2,   /* data */
    X86_TYPE_READABLE = 2,   /* code */
    X86_TYPE_DOWN = 4,       /* data: expand-down */
    X86_TYPE_CONFORMING = 4, /* code */
    X86_TYPE_CODE = 8,
    X86_TYPE_SEGMENT = 16, /* S: code or data */
    X86_TYPE_TSS16 = 1,    /* system types (table 3-2); busy is bit 1 */
    X86_TYPE_LDT = 2,
    X86_TYPE_CALL_GATE16 = 4,
    X86_TYPE_TASK_GATE = 5,
    X86_TYPE_INTERRUPT_GATE16 = 6,
    X86_TYPE_TRAP_GATE16 = 7,
    X86_TYPE_TSS32 = 9, /* 64-bit in long mode, like those below */
    X86_TYPE_CALL_GATE32 = 12,
    X86_TYPE_INTERRUPT_GATE32 = 14,
    X86_TYPE_TRAP_GATE32 = 15,
    X86_TYPE_BUSY = 2,
};

/* Reads the descriptor of a selector from GDT or LDT; outside the table: `vector` with the
 * selector as error code. `wide`: the 16 bytes of a system descriptor in long mode. */
u32 x86_read_descriptor(X86State *state, u16 selector, bool wide, unsigned vector,
                        X86Descriptor *out);
/* Sets the accessed bit in memory unless it is set. */
u32 x86_mark_accessed(X86State *state, X86Descriptor *d);
/* Fills the descriptor cache of a segment register, without checks. */
void x86_load_cache(X86State *state, unsigned segment, u16 selector, const X86Descriptor *d);
/* Real and virtual-8086 mode: base = selector * 16; limit and rights stay (real) or are the fixed
 * ones (virtual-8086). */
void x86_load_real(X86State *state, unsigned segment, u16 selector);
/* MOV, POP and LxS to ES SS DS FS GS with all checks. */
u32 x86_load_segment(X86State *state, unsigned segment, u16 selector);
/* Checks and loads SS for a stack of privilege `cpl`; errors raise `vector`. */
u32 x86_check_stack(X86State *state, u16 selector, unsigned cpl, unsigned vector, X86Descriptor *d);
/* Makes DS, ES, FS, GS null where privilege `cpl` may no longer use them (returns outward). */
void x86_drop_segments(X86State *state, unsigned cpl);
u32 x86_load_ldtr(X86State *state, u16 selector);
u32 x86_load_tr(X86State *state, u16 selector);

/* Whether `size` bytes at an offset are within the segment (3.5, 5.3), expand-down included. */
bool x86_within_limit(const X86Segment *segment, u64 offset, unsigned size);
/* Bits of linear addresses with four and five levels of paging. */
enum { X86_LINEAR_BITS = 48, X86_LINEAR_BITS_57 = 57 };
/* Whether an address is canonical for the paging mode in force. */
bool x86_canonical(const X86State *state, u64 address);
/* Whether a register that addresses are taken from may hold it: what counts is how many bits the
 * CPU can have, not whether it does so now. */
bool x86_canonical_base(const X86State *state, u64 address);

/* -- Stacks: a copy of SS:rSP to push to and pop from until a transfer is certain */

typedef struct X86Stack {
    X86Segment segment;
    u64 pointer;
    u64 mask;       /* of the stack pointer: 16, 32 or 64 bits */
    unsigned flags; /* X86_WALK_USER or 0 */
    bool wide;      /* 64-bit mode: no limit, canonical instead */
} X86Stack;

X86Stack x86_current_stack(const X86State *state);
/* 2, 4 or 8 bytes; #SS when outside. */
u32 x86_stack_push(X86State *state, X86Stack *stack, u64 value, unsigned size);
u32 x86_stack_pop(X86State *state, X86Stack *stack, u64 *value, unsigned size);
/* rSP becomes the stack's pointer, with only the bits of its size. */
void x86_set_stack_pointer(X86State *state, const X86Stack *stack);

/* -- Transfers (transfer.c); rip in the state is that of the next instruction when they begin.
 * `size` is the operand size in bytes. */

u32 x86_far_jump(X86State *state, u16 selector, u64 offset, unsigned size);
u32 x86_far_call(X86State *state, u16 selector, u64 offset, unsigned size);
u32 x86_far_return(X86State *state, unsigned size, u16 release);
u32 x86_interrupt_return(X86State *state, unsigned size);

/* -- Tasks (chapter 8, task.c) */

typedef enum X86TaskReason { X86_TASK_JUMP, X86_TASK_CALL, X86_TASK_IRET } X86TaskReason;

/* Switches to the task of an available (IRET: busy) TSS, d being its descriptor. An exception
 * after the point of no return is delivered in the new task. error: pushed there unless negative.
 */
u32 x86_switch_task(X86State *state, u16 selector, const X86Descriptor *d, X86TaskReason reason,
                    s64 error);
/* Stack segment and pointer for privilege `cpl` from a TSS of 16 or 32 bits (8.2.1). */
u32 x86_task_stack(X86State *state, unsigned cpl, u16 *ss, u32 *esp);
/* In long mode: RSP0..2 (index 0..2) or IST1..7 (index 4..10 = IST number + 3). */
u32 x86_task_stack64(X86State *state, unsigned index, u64 *rsp);

/* -- Interrupts and exceptions (chapter 6, interrupt.c) */

/* Delivers an exception or interrupt; `code` as in state.h. Software interrupts push the rip in the
 * state, which their caller has moved past the instruction; so do external ones. An exception
 * while delivering becomes a double fault, then shutdown: then it returns false. */
bool x86_deliver(X86State *state, u32 code);

/* -- Interrupt lines (system.c) */

/* To be called when an interrupt that could not be taken may be now: makes the engine look at the
 * lines if one is up. */
void x86_look_again(X86State *state);

/* X86State.nmi_blocked */
enum { X86_NMI_BLOCKED = 1, X86_NMI_BLOCKED_BY_SMM = 2 };

/* The INIT signal (table 10-1): what RESET does but for the x87, vector and model-specific
 * registers. A processor other than the first one then waits for a start-up IPI. */
void x86_init(X86State *state);
/* That IPI. */
void x86_start_up(X86State *state, u8 vector);

/* -- System management mode (smm.c) */

void x86_enter_smm(X86State *state);

/* -- Debug registers (debug.c): accesses that breakpoints may be for */

void x86_data_breakpoint_at(X86State *state, u64 linear, unsigned size, bool write);
void x86_port_breakpoint(X86State *state, u16 port, unsigned size);

/* -- What programs ask of descriptors: LAR, LSL, VERR, VERW (system_segment.c) */

typedef enum X86Query {
    X86_QUERY_RIGHTS,
    X86_QUERY_LIMIT,
    X86_QUERY_READ,
    X86_QUERY_WRITE,
} X86Query;

/* -- Control and model-specific registers (control.c, msr.c) */

u32 x86_write_cr0(X86State *state, u64 value);
u32 x86_write_cr3(X86State *state, u64 value);
u32 x86_write_cr4(X86State *state, u64 value);
u32 x86_write_cr8(X86State *state, u64 value);
u32 x86_write_dr(X86State *state, unsigned number, u64 value);
u32 x86_read_msr(X86State *state, u32 index, u64 *value);
u32 x86_write_msr(X86State *state, u32 index, u64 value);
/* The time stamp counter, the guest's offset added (17.17). */
u64 x86_read_tsc(const X86State *state);
/* Whether CPL and the I/O permission map (vol. 1, 19.5) allow access to the ports. */
u32 x86_check_port(X86State *state, u16 port, unsigned size);

#endif
