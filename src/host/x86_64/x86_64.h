/* Private to the x86-64 host: the cache's header, the context's host words, and the compiler's
 * state that its files share.
 *
 * Registers in generated code:
 *   rbp            context: guest state + 128, so that one-byte displacements reach its first 256
 *   rsp            return predictor's stack (see control.c); C code runs on the C stack
 *   rax rcx rdx rdi, xmm0-xmm5   temporaries
 *   the others     pinned to the guest's hottest slots (those left over are temporaries as well)
 *
 * A value of an integer type i8..i32 occupies a 64-bit register whose higher bits are unspecified
 * unless prepare.c calls the value clean: then they are zero. The same for f32, f64 and v64 in a
 * vector register.
 *
 * MXCSR in generated code has Invalid unmasked, other exceptions masked: an invalid operation is a
 * fault point like a load (see fault.c). With fp_native it has the guest's modes, all exceptions
 * masked, and nothing traps.
 *
 * The x87 in generated code is the guest's or, as the ABI has it, empty: see lower_x87.c. */
#ifndef HOST_X86_64_X86_64_H
#define HOST_X86_64_X86_64_H

#include "host/host.h"
#include "host/regalloc.h"
#include "host/x86_64/emit.h"

enum { CONTEXT_BIAS = 128, VECTOR = 16 /* first vector register in the allocator's numbering */ };

/* CpuCommon.host words. */
enum {
    WORD_C_STACK,      /* rsp of the C code that entered */
    WORD_RETURN_STACK, /* rsp of the return predictor while outside generated code */
    WORD_MXCSR,        /* two u32: for generated code; of the C code that entered */
    WORD_EVAL,         /* address of ir_eval */
    WORD_SET_FP,       /* address of x86_set_fp */
    WORD_HELPER_PC,    /* guest pc of a helper call that may fault, while it runs */
    WORD_HELPER_BUSY,  /* non-zero during such a call: all slots are in memory */
    WORD_STACK_BASE,   /* the return stack, with its guard page */
    WORD_STACK_TOP,    /* its highest entry, which matches no return */
    WORD_STACKS,       /* mapping of all return stacks */
    WORD_SAVED,        /* rsp of each of those not in use */
    WORD_SAVED_END = WORD_SAVED + HOST_RETURN_STACKS - 1,
    WORD_CACHE, /* cache entered last */
    WORD_MMU,   /* address of x86_mmu_access */
    WORD_SCRATCH,
    WORD_X87_LOAD, /* addresses of x86_x87_load, x86_x87_save */
    WORD_X87_SAVE,
};

#define WORD(index) (CPU_COMMON_OFFSET(host) + 8 * (s32)(index)-CONTEXT_BIAS)
/* CpuCommon.host_unit: 1 while the guest's x87 is in the host's, not in its slots. */
#define COMMON(member) (CPU_COMMON_OFFSET(member) - CONTEXT_BIAS)

/* Shared code at the start of a cache, by what generated code jumps or calls to. */
typedef enum Stub {
    STUB_ENTER,          /* C function (context, code) */
    STUB_EXIT_LINK,      /* rax = target, rcx = site */
    STUB_EXIT_LOOKUP,    /* rax = target */
    STUB_EXIT_SITE,      /* the same for an inline cache: rcx = site */
    STUB_EXIT_INTERRUPT, /* rax = pc */
    STUB_EXIT_IR,        /* rax = pc, rcx = exit code */
    STUB_LEAVE,          /* the end of every exit: pinned slots are in memory */
    STUB_RETURN_MISS,    /* rax = target, which the top of the return stack does not match */
    STUB_EVAL,           /* call: rdi = IrInsn followed by u8 arg_types[3] */
    STUB_X87_LOAD,       /* call: the guest's x87 into the host's; no register changes */
    STUB_X87_SAVE,       /* call: back into its slots */
    STUB_MMU,            /* call: an access goes the slow way; see soft_mmu.c */
    STUB_HELPER,         /* call: eax = offset of the helper's function in the table; + flags & 7 */
    STUB_COUNT = STUB_HELPER + 8,
} Stub;

/* At the start of every cache: what all its blocks share. */
typedef struct CacheHeader {
    u32 features;
    u32 size;       /* bytes of header and stubs */
    bool fp_native; /* HostConfig's */
    bool has_x87;   /* the guest has one: */
    IrX87 x87;
    u32 stub[STUB_COUNT];
    RegPins pins;
    RegMachine machine;
} CacheHeader;

static inline const CacheHeader *cache_header(const u8 *cache)
{
    return (const CacheHeader *)cache;
}

/* -- features.c */

/* CPUID features, limited by x86_limit_features(). */
u32 x86_features(void);
/* For tests: features not in `mask` count as missing for caches begun from now on. */
void x86_limit_features(u32 mask);
bool x86_usable(const char **why);

/* -- stubs.c */
size_t x86_begin_cache(u8 *code, size_t room, const HostConfig *config);
void x86_enter(void *state, const u8 *cache, const u8 *code);
int x86_cpu_init(CpuCommon *common);
void x86_cpu_free(CpuCommon *common);
void x86_reset_returns(CpuCommon *common);
void x86_switch_returns(CpuCommon *common, u32 number);
void x86_trim_returns(CpuCommon *common);
const u8 *x86_calling_code(const CpuCommon *common);
void x86_set_fp(CpuCommon *common);
void x86_link(u8 *site, const u8 *target);
/* Size of the return stack's mapping, its guard page included. */
enum {
    RETURN_STACK_GUARD = 4096,
    RETURN_STACK_SIZE = 32 * 4096 + RETURN_STACK_GUARD,
    RETURN_STACK_MARK = 64, /* above the entries */
};

/* -- The compiler */

/* A jump out of line: emitted after the block's body. */
typedef enum ColdKind {
    COLD_LINK,
    COLD_INTERRUPT,
    COLD_X87_LOAD,
    COLD_X87_SAVE,
    COLD_INTERRUPT_X87
} ColdKind;
typedef struct ColdStub {
    u8 kind;
    u32 site; /* offset of the jump's displacement */
    u32 link; /* COLD_LINK: number of the link */
    u64 pc;
} ColdStub;

typedef struct AccessGroup AccessGroup;

/* -- soft_mmu.c: accesses to guest memory, behind a soft MMU or not.
 *
 * An access is emitted in steps:
 *     place = begin_access(): makes the address, and takes scratch registers;
 *     the lowering gets all other registers it needs;
 *     rm = reach_memory(): the fault point and the probe. From here to the end no register may be
 *     asked for, as a miss passes over the code in between;
 *     one or more instructions use rm;
 *     end_access() says in which registers a miss finds and leaves values. */
typedef struct Place {
    X86Rm rm;
    u32 size; /* of the access */
    u8 sub;   /* IR_MEM_* */
    bool is_write;
    bool borrows;   /* rbx serves as `tag`, its value being in a word of the context meanwhile */
    u8 address;     /* register with the guest address */
    u8 index, tag;  /* scratch registers; `index` is a part of rm */
    const u8 *miss; /* place of the jump's displacement */
    u8 *access; /* the access, where what misses is to be probed for once more; otherwise NULL */
    s32 near;   /* entry of the near cache that was looked at, from rbp; 0: none */
    AccessGroup *group; /* that it shares a probe with, or NULL */
    s32 first, last;    /* of the group's first access: its first and last byte from `address` */
} Place;

/* An access that missed, out of line. */
typedef struct SlowStub {
    u32 site;        /* offset of the jump's displacement */
    u32 back;        /* offset of the code that follows the access */
    u32 description; /* see soft_mmu.c */
    u8 immediate_to; /* register that gets `immediate` first, or REG_NONE */
    s32 immediate;
    u32 access;  /* offset of the access, where it is to be probed for first; otherwise 0 */
    Place place; /* of such an access */
} SlowStub;

typedef struct BlockJump {
    u32 site;
    u32 block;
} BlockJump;

/* A slot whose precise value is not in its place: see NOTE. */
typedef struct Note {
    u32 offset;
    u8 size;     /* of the slot access */
    u8 valid;    /* bytes of the value that count; the rest of the slot is zero */
    bool made;   /* by the fault handler: see FUSE_MADE */
    IrVal value; /* root */
} Note;

/* What a NOTE that is made at the fault does with a value: makes it, or names its place. */
enum { NOTE_MADE = ~0u, NOTE_OPERAND = ~0u - 1 };
enum { NOTE_MAX = 64 };
enum { NO_BLOCK = ~0u };

typedef struct ByteBuffer {
    u8 *bytes;
    u32 size, capacity;
} ByteBuffer;

/* Where the guest's x87 is at this place in the code. */
typedef enum X87Place { X87_ANYWHERE, X87_ON_HOST, X87_IN_SLOTS } X87Place;

typedef struct Compiler {
    X86Asm as;
    RegAlloc ra;
    const IrRegion *region;
    const HostConfig *config;
    const CacheHeader *header;
    const u8 *cache;
    Arena *arena;
    u8 *clean;       /* by IR value: bits above its type are zero wherever the value is */
    u8 *fused;       /* by IR value: Fusion */
    IrVal *note_of;  /* by IR value, for NOTEs of FUSE_MADE: NOTE_MADE, NOTE_OPERAND, or the result
                        beside the flags that stands for arg0 */
    u32 *block_code; /* by block: offset of its code, or ~0 */
    u64 pc;          /* guest address of the current instruction */
    u64 *block_pc;   /* by block: guest address that its first code belongs to */
    u32 block;       /* being emitted */
    X87Place x87, x87_at_entry;
    u8 *x87_after;   /* by block: X87Place at its end; X87_ANYWHERE while it is not emitted */
    u32 next_block;  /* the one whose code follows, or NO_BLOCK */
    u8 constant_pin; /* pinned register known to hold `constant`; REG_NONE */
    u64 constant;
    u8 *compare_at; /* code of the last comparison: to be kept adjacent to its jump */
    BlockJump *jumps;
    ColdStub *cold;
    SlowStub *slow;
    u32 slow_count, slow_capacity;
    bool loops;             /* the region leaves by a back edge, perhaps to itself */
    u32 near_count;         /* loads by way of the near cache */
    AccessGroup **group_of; /* by IR value; see access_group.c */
    HostLink *links;
    u32 jump_count, cold_count, link_count, limit; /* of these three arrays */
    ByteBuffer pool;
    ByteBuffer side_table;
    u32 side_offset; /* of the last entry */
    u64 side_pc;
    u32 side_notes;   /* of the last entry */
    u32 fault_points; /* of the current instruction */
    Note notes[NOTE_MAX];
    u32 note_count;
} Compiler;

/* How prepare.c combined instructions. */
typedef enum Fusion {
    FUSE_NONE,
    FUSE_CONDITION,   /* SELECT, BRANCH: the compare in arg[0] is emitted here; COND: that of its
                         FLAGS_* */
    FUSE_PACKED,      /* SELECT, BRANCH: the COND of packed flags in arg[0] is emitted here */
    FUSE_EFLAGS,      /* these, CMP, FLAGS_*: EFLAGS have the answer from an instruction before;
                         ADC, SBB: the carry */
    FUSE_SETS_EFLAGS, /* arithmetic: must leave EFLAGS for such a one */
    FUSE_SIGN32,      /* LOAD: sign-extends as its only user SEXT wants */
    FUSE_SIGN64,
    FUSE_SETS_SUB_EFLAGS, /* ADD of -c: must leave those of the subtraction of c */
    FUSE_KEEPS_EFLAGS,    /* ADD between the two: by lea */
    FUSE_SHIFT,           /* ADD: arg[1] is a SHL by 1..3, done by the address unit */
    FUSE_MADE,            /* NOTE: of flags that are made at the fault, from operands */
    FUSE_PAIR,            /* DIVU2, DIVS2: the remainder, next, is computed here */
    FUSE_PAIRED,          /* that one */
    FUSE_CTZ,             /* CLZ of BITREV */
} Fusion;

/* -- prepare.c: aliases, fusions, operands; fills ra.root, ra.uses, ra.traits, clean, fused. */
void prepare_region(Compiler *c);
/* The code under which `cond` holds when EFLAGS are those of a FLAGS_* operation; false if there
 * is none, or the operation has no code that leaves them there. */
bool condition_of_flags(const Compiler *c, const IrInsn *flags, IrCond cond, X86Cond *cc);

/* -- Access to values; in compile.c */

static inline const IrInsn *insn_of(const Compiler *c, IrVal value)
{
    return ir_insn(c->region, value);
}

/* Size of an operand of the integer type in an instruction: i8 and i16 count as 4. */
static inline u32 op_size(IrType type)
{
    return type == IR_I64 ? 8 : 4;
}

/* Whether the result is an integer in a general register. */
static inline bool is_scalar_int(const IrInsn *insn)
{
    return insn->type >= IR_I8 && insn->type <= IR_I64;
}

/* Whether the result had better be computed over operand y than x, both orders being right. */
bool prefers_second(const Compiler *c, IrVal value, IrVal x, IrVal y);
/* Whether the value is an integer constant that fits a sign-extended 32-bit immediate. */
bool is_immediate(const Compiler *c, IrVal value, IrType type, s32 *imm);
bool is_constant(const Compiler *c, IrVal value, u64 *constant);

/* A fault in the code from here to the next fault point belongs to the current instruction. */
void fault_point(Compiler *c);
/* The same, where the value of register `reg`, if it is pinned, is kept in the 8 bytes at offset
 * `where` from the guest state. */
void fault_point_saving(Compiler *c, u8 reg, s32 where);

/* After the allocator was asked for something: when that moved a value which an earlier fault point
 * of the instruction names the place of, the code from here needs another. */
static inline u8 settled(Compiler *c, u8 reg)
{
    if (c->fault_points && c->ra.disturbed) {
        c->ra.disturbed = false;
        fault_point(c);
    }
    return reg & 15;
}

static inline u8 use(Compiler *c, IrVal value)
{
    return settled(c, ra_use(&c->ra, value));
}

static inline u8 define(Compiler *c, IrVal value, u32 flags)
{
    return settled(c, ra_define(&c->ra, value, flags));
}

static inline u8 define_over(Compiler *c, IrVal value, IrVal first, u32 flags)
{
    return settled(c, ra_define_over(&c->ra, value, first, flags));
}

static inline u8 scratch_int(Compiler *c)
{
    return settled(c, ra_scratch(&c->ra, REG_INT));
}

static inline u8 scratch_vector(Compiler *c)
{
    return settled(c, ra_scratch(&c->ra, REG_VECTOR));
}

/* The operand as register or memory of at least `size` bytes; vector constants come from the pool.
 */
X86Rm use_rm(Compiler *c, IrVal value, u32 size);
X86Rm home_rm(RegHome home);
/* The constant pool: bytes aligned to 16; returns an operand. */
X86Rm pool_rm(Compiler *c, const void *bytes, u32 size);
X86Rm pool_u64_pair(Compiler *c, u64 low, u64 high);
/* The value goes through ir_eval. */
void emit_eval(Compiler *c, IrVal value);
/* Whether floating-point instructions trap where the guest would see something else. */
static inline bool fp_traps(const Compiler *c)
{
    return !c->region->exact_fp && !c->region->fp_native;
}

/* A fault point for floating-point operations: only when Invalid may trap. */
static inline void fp_point(Compiler *c)
{
    if (fp_traps(c)) {
        fault_point(c);
    }
}
/* Whether floating-point lowering must leave results out of pinned registers until the end. */
static inline u32 fp_flags(const Compiler *c)
{
    return c->as.features & X86_AVX ? 0 : RA_NO_PIN;
}
/* Stores the precise values of all noted slots. */
void store_notes(Compiler *c);

/* Jump table probe with the target in rax; falls through on a miss. Clobbers rcx and rdx. */
void x86_probe(X86Asm *as, u32 code_shift);

/* RegMachine. */
void move_register(void *compiler, u8 to, u8 from);
void machine_load(void *compiler, u8 to, RegHome home, IrVal constant);
void machine_store(void *compiler, RegHome home, u8 from);
void machine_copy(void *compiler, RegHome to, RegHome from, IrVal constant, RegClass class);

/* Operand `index` of an address. One that is extended to 64 bits is used without that where the
 * address is taken modulo 2^32. */
static inline IrVal address_operand(const Compiler *c, const IrInsn *access, u32 index)
{
    IrVal value = access->arg[index];
    const IrInsn *insn = insn_of(c, value);
    bool narrow = access->sub & IR_MEM_WRAP32 && insn->op == IR_ZEXT &&
                  insn_of(c, insn->arg[0])->type == IR_I32;

    return narrow ? insn->arg[0] : value;
}

/* What DEP puts into its field: behind extensions of at least its length. */
static inline IrVal field_operand(const Compiler *c, const IrInsn *dep)
{
    IrVal value = dep->arg[1];
    const IrInsn *insn = insn_of(c, value);
    bool extension = insn->op == IR_ZEXT || insn->op == IR_SEXT;

    if (extension && ir_type_is_int((IrType)insn_of(c, insn->arg[0])->type) &&
        ir_type_size((IrType)insn_of(c, insn->arg[0])->type) * 8 >= dep->imm) {
        return insn->arg[0];
    }
    return value;
}

/* Address of LOAD, STORE; the operands are locked. */
X86Rm guest_address(Compiler *c, const IrInsn *insn);

/* Values in and out of a slow access: registers, or REG_NONE. */
typedef struct AccessValues {
    u8 operation; /* MmuOperation */
    u8 value, expected, result;
    u8 sign;       /* log2 of the size that a loaded integer is sign-extended to; 0: none */
    u8 rmw;        /* IrRmw */
    bool constant; /* the value is `immediate` */
    s32 immediate;
} AccessValues;

/* borrow: leave a temporary to the lowering by borrowing rbx, which must not hold a value that the
 * access takes. */
Place begin_access(Compiler *c, const IrInsn *insn, bool borrow);
/* The same where the address is in a register already, and the scratch registers are taken. */
Place access_at(Compiler *c, const IrInsn *insn, u8 address, u8 index, u8 tag);
X86Rm reach_memory(Compiler *c, Place *place);
/* Under a soft MMU: all of that for an instruction without a slow way, as the x87's are. Where the
 * page cannot be accessed directly the block is left as if floating point had trapped. */
X86Rm reach_directly(Compiler *c, const IrInsn *insn, u32 size, bool is_write);
void end_access(Compiler *c, const Place *place, AccessValues values);
/* The out-of-line part of all of them. */
void emit_slow_stubs(Compiler *c);

/* Whether loads go by the near cache: where they are repeated, and the cache lasts. */
static inline bool uses_near(const Compiler *c)
{
    return c->loops || c->region->steady;
}

/* -- access_group.c */

/* Accesses of a block that share a probe of all bytes from the lowest to the highest. */
struct AccessGroup {
    IrVal base, index; /* roots; the address is base + (index << scale) + offset */
    u8 scale;
    bool writes;
    bool begun;    /* the first one was emitted */
    u32 count;     /* accesses */
    s64 low, high; /* offsets of the first byte and behind the last */
    u32 word;      /* of shared_addends() */
};

/* Fills c->group_of. */
void find_access_groups(Compiler *c);
/* The group of the access, or NULL; *offset: of the access from the group's base. */
AccessGroup *group_of_access(const Compiler *c, const IrInsn *access, s64 *offset);

void x86_emit_mmu_stub(X86Asm *as, CacheHeader *header);
/* What that stub calls: `frame` holds the registers, the call returns to `after_call`. False: the
 * code is to be left. */
bool x86_mmu_access(void *state, void *frame, const u8 *after_call);
/* General register (0..15) or vector register (16..31) in a frame. */
const u8 *x86_frame_register(const void *frame, u8 reg);

/* -- Lowering. Each function emits one IR instruction; returns false, having emitted and asked for
 * nothing, when it has no code for this form: then ir_eval does it. */
typedef bool Lower(Compiler *c, IrVal value, const IrInsn *insn);
extern Lower *const lowerings[IR_OP_COUNT];

Lower lower_const, lower_phi, lower_select, lower_get, lower_put, lower_note;
Lower lower_alu, lower_mul, lower_mulh, lower_div, lower_unary, lower_andn, lower_shift, lower_extr,
    lower_ext, lower_dep, lower_clz, lower_ctz, lower_popcnt, lower_bswap, lower_bitrev,
    lower_crc32, lower_cmp, lower_flags, lower_flags_make, lower_flags_nzcv, lower_flags_pick,
    lower_flags_shift, lower_cond, lower_convert, lower_carry, lower_div2, lower_divfits,
    lower_bit_deposit, lower_double_shift, lower_rotate_carry, lower_flags_rotate;
Lower lower_load, lower_store, lower_cas, lower_rmw, lower_fence;
Lower lower_call;
Lower lower_jump, lower_branch, lower_goto, lower_goto_call, lower_igoto, lower_igoto_call,
    lower_igoto_ret, lower_exit;
Lower lower_fp_binary, lower_fp_sqrt, lower_fma, lower_frecps, lower_fp_sign, lower_fp_minmax,
    lower_fp_mask, lower_fp_estimate, lower_flags_comi, lower_fcmp, lower_flags_fcmp, lower_fround,
    lower_fcvt, lower_ftoi, lower_itof;
Lower lower_vector;
Lower lower_x87;

/* lower_divide.c: whether `high`:`low` is `low`, sign-extended. */
bool is_sign_of(const Compiler *c, IrVal high, IrVal low);

/* eflags.c: leaves the flags of a FLAGS_* operation, of the kinds in flags_operands(), in EFLAGS;
 * c->compare_at is set. */
void emit_flags(Compiler *c, const IrInsn *flags);
/* Which operands of a FLAGS_* operation that takes: how many, from arg[0] on; 0: it has no code. */
u32 flags_operands(const Compiler *c, const IrInsn *flags);
/* Carry or borrow from bit 0 of the operand into CF. */
void emit_carry(Compiler *c, IrVal carry);

/* Emits the comparison of the condition of a SELECT or BRANCH (CMP, FCMP, COND of flags or of
 * FLAGS_*, or any i32 value's test) and returns the code that holds when it is true. *parity: PF
 * set makes an otherwise true condition false (with CC_E) or a false one true (with CC_NE). */
X86Cond emit_condition(Compiler *c, IrVal value, bool *parity);
X86Cond emit_fp_compare(Compiler *c, IrVal fcmp, bool *parity);

/* The GOTO of a block that does nothing else; NULL for other blocks. */
const IrInsn *only_goto(const Compiler *c, u32 block);
/* Vector register and memory, `size` 4, 8 or 16 bytes; a load zeroes the rest. */
void load_vector(Compiler *c, u32 size, u8 to, X86Rm from);
void store_vector(Compiler *c, u32 size, X86Rm to, u8 from);
void emit_jump_stub(Compiler *c, Stub stub);
void emit_call_stub(Compiler *c, Stub stub);
/* Records the jump whose displacement is at `site` as a link to guest pc `target`. */
void add_link(Compiler *c, const u8 *site, u64 target);
/* The same for an inline cache: `stub` is its probe, `guard` its guard's place. */
void add_guarded_link(Compiler *c, const u8 *site, const u8 *stub, const u8 *guard);
void add_cold(Compiler *c, ColdKind kind, const u8 *site, u64 pc);
void append_bytes(Compiler *c, ByteBuffer *buffer, const void *bytes, u32 size);

int x86_compile(const IrRegion *region, const HostConfig *config, u8 *cache, u8 *code, size_t room,
                Arena *arena, HostBlock *out);

/* -- lower_x87.c */
/* Whether the region is better entered with the x87 on the host: it is needed there first. */
bool x87_is_first(const Compiler *c);
/* The block's code starts: where the x87 is follows from its predecessors. */
void x87_begin_block(Compiler *c, u32 block);
void x87_end_block(Compiler *c, u32 block);
/* Whether the access is to slots that may be stale while the x87 is on the host. */
bool is_x87_slot(const Compiler *c, u32 offset, u32 size);
/* Emits what makes the x87's slots right. Changes EFLAGS. */
void x87_to_slots(Compiler *c);

/* -- x87.c: C functions that generated code calls. */
void x86_x87_load(void *state);
void x86_x87_save(void *state);
bool x86_take_x87(void *state);

/* -- fault.c */
bool x86_recover(void *state, HostFault *fault);
const u8 *x86_access_site(const CpuCommon *common);
void x86_abandon(void *state, const u8 *cache, void *ucontext);
bool x86_stub_fault(void *state, const u8 *cache, void *ucontext, u64 address);

#endif
