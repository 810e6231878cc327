/* Random x86 instructions on Menura against the host's own CPU.
 *
 *   x86-oracle [--count N] [--seed S] [--accel dbt|interp] [--bits 16|32|64] [--name NAME]
 *              [--length L] [--log KINDS] [--keep-going] [--single-step]
 *
 * A case is a sequence of 1 to L items, which are instructions or short combinations of some
 * (x86_sequence.c), that starts with random registers and ends with INT3, with a fault or with a
 * single-step trap. It runs as 64-bit code, as 32-bit code in flat segments, or as 32-bit or 16-bit
 * code in segments with bases, limits and rights. Registers, segments, defined flags, x87, vectors,
 * MXCSR, memory, and the fault must be the same. A difference is reduced to the fewest items that
 * show it and printed with what is needed to repeat it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "accel/vcpu.h"
#include "base/log.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/state.h"
#include "guest/x86/user_descriptors.h"
#include "x86_case.h"
#include "x86_segments.h"
#include "x86_sequence.h"

typedef struct Options {
    u64 count, seed;
    const char *accel, *name, *log;
    unsigned bits; /* 0: all */
    unsigned length;
    bool keep_going, single_step;
} Options;

typedef struct Side {
    Engine *engine;
    Vcpu *vcpu;
    X86State *state;
} Side;

typedef struct Oracle {
    Options options;
    X86SequenceOptions sequences;
    u64 features[X86_FEATURE_WORDS];
    X86UserDescriptors descriptors;
    u64 ldt[X86_LDT_ENTRIES];
    X86Native *native;
    Side side[2]; /* 32, 64 bits */
    u64 slot;     /* the next one to use */
    u64 differences;
} Oracle;

static void open_side(Oracle *o, bool long_mode);

/* Each slot is used once by an engine: it treats code that changes often otherwise. */
static u32 new_slot(Oracle *o)
{
    if (o->slot == X86_CODE_SLOTS) {
        for (unsigned i = 0; i < COUNT(o->side); i++) {
            vcpu_free(o->side[i].vcpu);
            engine_free(o->side[i].engine);
            open_side(o, i);
        }
        mprotect((void *)(uintptr_t)X86_CODE, X86_CODE_SLOTS * X86_CODE_SLOT,
                 PROT_READ | PROT_WRITE);
        o->slot = 0;
    }
    return X86_CODE + (u32)o->slot++ * X86_CODE_SLOT;
}

/* -- Menura's side */

static Vcpu *running;

static void on_signal(int number, siginfo_t *info, void *context)
{
    if (!vcpu_host_signal(running, number, info, context)) {
        signal(number, SIG_DFL);
    }
}

static void catch_signals(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    static u8 stack[1 << 16];
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    for (unsigned i = 0; i < COUNT(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void map_fixed(u64 address, size_t size)
{
    void *wanted = (void *)(uintptr_t)address;

    if (mmap(wanted, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != wanted) {
        perror("x86 oracle: cannot map memory");
        exit(1);
    }
}

static bool is_code(void *opaque, u64 page)
{
    (void)opaque;
    return page - X86_CODE < X86_CODE_SLOTS * X86_CODE_SLOT;
}

static void open_side(Oracle *o, bool long_mode)
{
    Side *side = &o->side[long_mode];
    const char *error = "out of memory";

    side->engine = engine_new(&(EngineOptions){.guest = long_mode ? "x86_64" : "i386",
                                               .accel = o->options.accel,
                                               .page_executable = is_code,
                                               .single_step = o->options.single_step},
                              &error);
    side->vcpu = side->engine ? vcpu_new(side->engine) : NULL;
    if (!side->vcpu) {
        fprintf(stderr, "x86 oracle: %s\n", error);
        exit(1);
    }
    side->state = vcpu_state(side->vcpu);
    side->state->system = &o->descriptors;
}

static void set_vector(const Side *side, const VcpuExit *exit, X86Result *r)
{
    enum { NO_EXCEPTION = 255 };

    r->vector = NO_EXCEPTION;
    if (exit->kind == VCPU_EXCEPTION) {
        r->vector = exit->code & 0xff;
        r->error = exit->code & X86_EXCEPTION_HAS_ERROR ? exit->code >> 16 : 0;
    } else if (exit->kind == VCPU_FAULT) {
        r->vector = exec_fault(side->vcpu)->invalid ? X86_GP : X86_PF;
        r->address = r->vector == X86_PF ? exit->address : 0;
    }
}

static void load_registers(X86State *state, bool long_mode, const X86Registers *r)
{
    x86_enter_user(state, long_mode);
    memcpy(state->gpr, r->gpr, sizeof(state->gpr));
    state->rip = r->rip;
    x86_set_eflags(state, r->eflags);
    x86_restore_fx(state, r->fx, true);
    memcpy(state->ymmh, r->ymmh, sizeof(state->ymmh));
    for (unsigned i = 0; i < COUNT(r->segment.selector); i++) {
        u16 selector = r->segment.selector[i];
        if (selector) {
            x86_set_segment(state, i, selector, x86_user_descriptor(state->system, selector));
        }
    }
    if (long_mode) {
        x86_set_segment_base(state, X86_FS, r->fs_base);
        x86_set_segment_base(state, X86_GS, r->gs_base);
    }
}

static void store_registers(const X86State *state, X86Registers *r)
{
    memcpy(r->gpr, state->gpr, sizeof(state->gpr));
    r->rip = state->rip;
    r->eflags = x86_get_eflags(state);
    x86_save_fx(state, r->fx, true);
    memcpy(r->ymmh, state->ymmh, sizeof(state->ymmh));
    for (unsigned i = 0; i < COUNT(r->segment.selector); i++) {
        r->segment.selector[i] = state->segment[i].selector;
    }
    r->fs_base = state->segment[X86_FS].base;
    r->gs_base = state->segment[X86_GS].base;
}

static void run_menura(Oracle *o, const X86Case *c, X86Result *r)
{
    Side *side = &o->side[c->long_mode];
    VcpuExit exit;

    memset(r, 0, sizeof(*r));
    for (unsigned i = 0; i < COUNT(o->side); i++) { /* each protects what it has translated */
        engine_prepare_write(o->side[i].engine, c->address, X86_CODE_SLOT);
    }
    memcpy((u8 *)(uintptr_t)c->address, c->code, X86_CODE_SLOT);
    engine_invalidate(side->engine, c->address, X86_CODE_SLOT);
    memcpy((u8 *)(uintptr_t)X86_DATA, c->memory, X86_DATA_SIZE);
    memcpy((u8 *)(uintptr_t)X86_SCRATCH, c->scratch, X86_SCRATCH_SIZE);
    load_registers(side->state, c->long_mode, &c->registers);
    running = side->vcpu;
    vcpu_run(side->vcpu, &exit);
    store_registers(side->state, &r->registers);
    memcpy(r->memory, (u8 *)(uintptr_t)X86_DATA, X86_DATA_SIZE);
    memcpy(r->scratch, (u8 *)(uintptr_t)X86_SCRATCH, X86_SCRATCH_SIZE);
    set_vector(side, &exit, r);
}

/* -- Comparison */

/* The last x87 instruction's pointers, and reserved bytes. */
static void clear_pointers(u8 *fx)
{
    memset(fx + 5, 0, 19);
    memset(fx + 28, 0, 4);
}

/* What is not compared: x87's pointers, also in images, reserved bytes, registers that there are
 * none of. */
static void clear_uncompared(X86Registers *r, bool long_mode)
{
    clear_pointers(r->fx);
    for (unsigned i = 0; i < 8; i++) {
        memset(r->fx + 32 + 16 * i + 10, 0, 6);
    }
    memset(r->fx + 416, 0, 96);
    for (unsigned i = 0; !long_mode && i < 16; i++) {
        r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
    }
    if (!long_mode) {
        memset(r->fx + 160 + 128, 0, 128);
        memset(r->ymmh[8], 0, 128);
        r->fs_base = r->gs_base = 0;
    }
    for (unsigned i = 0; i < COUNT(r->segment.selector); i++) { /* kernels forget what null is */
        u16 *selector = &r->segment.selector[i];
        *selector = *selector < 4 ? 0 : *selector;
    }
}

/* The instruction at which the case ended; false if it is none of its own. */
static bool last_insn(const Oracle *o, const X86Sequence *s, u64 rip, X86Insn *insn)
{
    for (unsigned i = 0; i < s->count; i++) {
        const X86Piece *piece = &s->insn[i];
        if (!s->skipped[piece->item] && s->c.registers.rip + piece->at == rip) {
            X86DecodeMode mode = x86_sequence_mode(o->features, piece->code_bytes);
            return x86_decode(piece->bytes, X86_INSN_MAX, &mode, insn) == X86_DECODE_OK;
        }
    }
    return false;
}

static bool is_repeated(const X86Insn *insn)
{
    return x86_rows[insn->row].attributes & (X86_REP | X86_REPZ) &&
           insn->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE);
}

static bool has_mmx(const X86Insn *insn)
{
    return insn->operand[0].kind == X86_OPERAND_MMX || insn->operand[1].kind == X86_OPERAND_MMX;
}

static void clear_x87(X86Result *r)
{
    memset(r->registers.fx + 2, 0, 3);
    memset(r->registers.fx + 32, 0, 128);
}

/* What processors do differently when an instruction faults in the middle. */
static void clear_after_fault(X86Result *r, const X86Insn *insn)
{
    enum { UNDERFLOW_MASK = 1 << 11, OVERFLOW_MASK = 1 << 10, INEXACT = 1 << 5 };
    u8 unmasked = (u8) ~(r->registers.fx[25]);

    if (is_repeated(insn)) { /* CMPS, SCAS: flags of the last comparison, or as before the first */
        r->registers.eflags &= ~(u64)X86_EFLAGS_STATUS;
        r->address &= ~(u64)0xfff; /* several elements at once may be touched */
    }
    if (insn->operand[0].kind >= X86_OPERAND_STRING_SOURCE &&
        insn->operand[1].kind >= X86_OPERAND_STRING_SOURCE) {
        r->address = 0; /* which of the two is touched first */
        if (r->vector == X86_PF || r->vector == X86_STACK || r->vector == X86_AC) {
            r->vector = X86_GP;
        }
    }
    if (has_mmx(insn) && r->vector != X86_MF) {
        clear_x87(r); /* its registers may have become MMX registers */
    }
    if (r->vector == X86_XM && unmasked & (UNDERFLOW_MASK | OVERFLOW_MASK) >> 8) {
        r->registers.fx[24] &= (u8)~INEXACT; /* of a result that there is none of */
    }
}

/* Flags at a fault are those of the last instruction that set them, unless that ended a block and
 * it is certain that nothing will read them: repeated string instructions end blocks. */
static bool has_block_end(const Oracle *o, const X86Sequence *s, u64 end)
{
    X86Insn insn;

    for (unsigned i = 0; i < s->count && s->c.registers.rip + s->insn[i].at < end; i++) {
        if (last_insn(o, s, s->c.registers.rip + s->insn[i].at, &insn) &&
            (is_repeated(&insn) || x86_rows[insn.row].attributes & INSN_ENDS)) {
            return true;
        }
    }
    return s->branches;
}

/* Stores of more than 8 bytes may be done in parts, of which some are seen although another faults
 * (Intel SDM volume 3, 9.1.1): where memory ends. */
static void clear_partial_store(X86Result *r, const X86Insn *insn)
{
    enum { LARGEST = 32 };
    u8 *ends[] = {r->memory, r->memory + X86_DATA_SIZE - LARGEST, r->scratch,
                  r->scratch + X86_SCRATCH_SIZE - LARGEST};

    for (unsigned n = 0; n < insn->operand_count; n++) {
        const X86Operand *o = &insn->operand[n];
        if (o->kind == X86_OPERAND_MEMORY && o->access & X86_WRITE && o->size > 8 &&
            x86_rows[insn->row].attributes & X86_VECTOR) {
            for (unsigned i = 0; i < COUNT(ends); i++) {
                memset(ends[i], 0, LARGEST);
            }
        }
    }
}

static void clear_undefined(const Oracle *o, const X86Sequence *s, X86Result *r, u64 rip)
{
    enum { COMPONENTS = 512 }; /* of an XSAVE image: what counts as in use depends */
    u32 undefined = x86_sequence_undefined(s, o->features, rip) | X86_EFLAGS_RF;
    X86Insn insn;

    if (r->vector == X86_PF && r->address <= 0xffffffff && (u32)(r->address + 64) < 128) {
        r->vector =
            X86_GP; /* beyond a segment's limit of 4 GiB, which user mode does not look at */
        r->address = 0;
    }
    if (last_insn(o, s, rip, &insn)) {
        clear_after_fault(r, &insn);
        clear_partial_store(r, &insn);
        undefined |= has_block_end(o, s, rip) ? X86_EFLAGS_STATUS : 0;
    } else if (s->branches && r->vector != X86_BP) {
        undefined |= X86_EFLAGS_STATUS; /* in code that an instruction has written over its own */
    }
    r->registers.eflags &= ~(u64)undefined;
    if (r->vector == X86_STACK && s->environment <= X86_FLAT32) {
        r->vector = X86_GP; /* beyond all addresses, through rSP or rBP */
    }
    clear_pointers(r->scratch + (X86_IMAGE - X86_SCRATCH));
    r->scratch[X86_IMAGE - X86_SCRATCH + COMPONENTS] = 0;
    clear_uncompared(&r->registers, s->c.long_mode);
}

static bool is_masked_move(const X86Insn *insn)
{
    unsigned handler = x86_rows[insn->row].handler;

    return handler == X86_DO_load_masked || handler == X86_DO_store_masked;
}

/* MASKMOVDQU may fault or not where it writes nothing, and write or not where it faults. */
static bool ended_in_masked_store(const Oracle *o, const X86Sequence *s, u64 rip)
{
    X86Insn insn;

    return last_insn(o, s, rip, &insn) && x86_rows[insn.row].handler == X86_DO_store_masked_bytes;
}

/* A random return address, or one in another segment, that leads into other code than this case's:
 * what is there depends. */
static bool strayed(const X86Sequence *s, const X86Result *r)
{
    const u16 *start = s->c.registers.segment.selector, *end = r->registers.segment.selector;
    u64 at = r->registers.rip - s->c.registers.rip;

    if (s->environment > X86_FLAT32 && start[X86_CS] != end[X86_CS]) {
        return true;
    }
    return s->branches && at > X86_CODE_SLOT &&
           s->c.address + at - X86_CODE < X86_CODE_SLOTS * X86_CODE_SLOT;
}

/* A repeated string instruction that has written over code, its own as well: an interrupt decides
 * after which element the new bytes are executed. */
static bool wrote_code(const Oracle *o, const X86Sequence *s, const X86Result *r)
{
    u64 at = r->registers.gpr[X86_RDI] - X86_CODE;
    X86Insn insn;

    for (unsigned i = 0; s->branches && at < X86_CODE_SLOTS * X86_CODE_SLOT && i < s->count; i++) {
        if (last_insn(o, s, s->c.registers.rip + s->insn[i].at, &insn) && is_repeated(&insn)) {
            return true;
        }
    }
    return false;
}

/* A branch to an address that is not canonical: Menura faults where it leads, not at itself. */
static bool went_nowhere(const X86Sequence *s, const X86Result *ours, const X86Result *theirs)
{
    u64 rip = ours->registers.rip;

    return s->c.long_mode && (ours->vector == X86_GP || ours->vector == X86_DB) &&
           theirs->vector == X86_GP && (u64)((s64)(rip << 16) >> 16) != rip;
}

/* Whether the order of an instruction's checks, or whether it makes one, depends on the CPU. */
static bool depends_on_cpu(const Oracle *o, const X86Sequence *s, const X86Result *ours,
                           const X86Result *theirs)
{
    bool segmented = s->environment > X86_FLAT32;
    X86Insn insn;

    if (ended_in_masked_store(o, s, theirs->registers.rip) ||
        ended_in_masked_store(o, s, ours->registers.rip)) {
        return true;
    }
    if (went_nowhere(s, ours, theirs)) {
        return true;
    }
    if (ours->vector == X86_GP && last_insn(o, s, ours->registers.rip, &insn) &&
        x86_rows[insn.row].handler == X86_DO_LDMXCSR) {
        return true; /* MXCSR's bit 17: AMD's CPUs have it, for others it is reserved */
    }
    if (!s->c.long_mode && ours->vector != X86_BP && last_insn(o, s, ours->registers.rip, &insn) &&
        is_masked_move(&insn)) {
        return true; /* elements that are masked out may be beyond the limit */
    }
    if (!last_insn(o, s, theirs->registers.rip, &insn)) {
        return false;
    }
    if (x86_rows[insn.row].vsib && theirs->vector == X86_DB) {
        return true; /* a single-step trap between a gather's elements */
    }
    if (ours->vector == X86_STACK && theirs->vector == X86_GP) { /* the limit, or alignment */
        return segmented && x86_rows[insn.row].attributes & X86_VECTOR;
    }
    return false;
}

/* Components that XSAVEC leaves out as they are not in use, which is only one CPU's opinion. */
static void clear_unused(const X86Sequence *s, X86Result *r, X86Result *other)
{
    static const u16 components[][2] = {{160, 128}, {288, 128}, {576, 128}, {704, 128}};
    static const u8 zeros[128];
    enum { IMAGE = X86_IMAGE - X86_SCRATCH };

    for (unsigned i = 0; i < COUNT(components); i++) {
        u32 at = IMAGE + components[i][0], size = components[i][1];
        if (memcmp(r->scratch + at, zeros, size) == 0 &&
            memcmp(other->scratch + at, s->c.scratch + at, size) == 0) {
            memset(other->scratch + at, 0, size);
        }
    }
}

static bool same(const Oracle *o, const X86Sequence *s, X86Result *ours, X86Result *theirs)
{
    u64 rip = theirs->registers.rip;

    if (depends_on_cpu(o, s, ours, theirs) || strayed(s, ours) || strayed(s, theirs) ||
        wrote_code(o, s, ours) || wrote_code(o, s, theirs)) {
        return true;
    }

    clear_undefined(o, s, ours, rip);
    clear_undefined(o, s, theirs, rip);
    clear_unused(s, ours, theirs);
    clear_unused(s, theirs, ours);
    return memcmp(ours, theirs, sizeof(*ours)) == 0;
}

static bool run_both(Oracle *o, const X86Sequence *s, X86Result *ours, X86Result *theirs)
{
    x86_native_run(o->native, &s->c, theirs, 1);
    run_menura(o, &s->c, ours);
    return same(o, s, ours, theirs);
}

/* -- Reports */

static void print_difference(const char *name, u64 start, u64 ours, u64 theirs)
{
    if (ours != theirs) {
        printf("# %-12s %016llx  menura %016llx  host %016llx\n", name, (unsigned long long)start,
               (unsigned long long)ours, (unsigned long long)theirs);
    }
}

static void print_bytes(const char *name, const u8 *start, const u8 *ours, const u8 *theirs,
                        unsigned size, unsigned step)
{
    for (unsigned at = 0; at < size; at += step) {
        char label[32];
        u64 x = 0, y = 0, z = 0;
        memcpy(&x, start + at, step);
        memcpy(&y, ours + at, step);
        memcpy(&z, theirs + at, step);
        snprintf(label, sizeof(label), "%s+%#x", name, at);
        print_difference(label, x, y, z);
    }
}

static void print_registers(const X86Registers *start, const X86Registers *ours,
                            const X86Registers *theirs)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs"};

    for (unsigned i = 0; i < 16; i++) {
        print_difference(names[i], start->gpr[i], ours->gpr[i], theirs->gpr[i]);
    }
    print_difference("rip", start->rip, ours->rip, theirs->rip);
    print_difference("eflags", start->eflags, ours->eflags, theirs->eflags);
    for (unsigned i = 0; i < COUNT(segments); i++) {
        print_difference(segments[i], start->segment.selector[i], ours->segment.selector[i],
                         theirs->segment.selector[i]);
    }
    print_difference("fs base", start->fs_base, ours->fs_base, theirs->fs_base);
    print_difference("gs base", start->gs_base, ours->gs_base, theirs->gs_base);
    print_bytes("x87 control", start->fx, ours->fx, theirs->fx, 6, 2);
    print_bytes("mxcsr", start->fx + 24, ours->fx + 24, theirs->fx + 24, 4, 4);
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = 32 + 16 * i;
        char name[16];
        snprintf(name, sizeof(name), "st%u", i);
        print_bytes(name, start->fx + at, ours->fx + at, theirs->fx + at, 16, 8);
    }
    for (unsigned i = 0; i < 16; i++) {
        unsigned at = 160 + 16 * i;
        char name[16];
        snprintf(name, sizeof(name), "xmm%u", i);
        print_bytes(name, start->fx + at, ours->fx + at, theirs->fx + at, 16, 8);
        snprintf(name, sizeof(name), "ymmh%u", i);
        print_bytes(name, (const u8 *)start->ymmh[i], (const u8 *)ours->ymmh[i],
                    (const u8 *)theirs->ymmh[i], 16, 8);
    }
}

static void print_insn(const Oracle *o, const X86Piece *piece, u64 rip)
{
    X86DecodeMode mode = x86_sequence_mode(o->features, piece->code_bytes);
    X86Insn insn;
    char text[128] = "(bad)";

    if (x86_decode(piece->bytes, X86_INSN_MAX, &mode, &insn) == X86_DECODE_OK) {
        x86_disassemble(&insn, &mode, rip, text, sizeof(text));
    }
    printf("#   %8llx  ", (unsigned long long)rip);
    for (unsigned i = 0; i < X86_INSN_MAX; i++) {
        printf(i < piece->size ? "%02x " : "   ", piece->bytes[i]);
    }
    printf(" %s\n", text);
}

static void print_code(const Oracle *o, const X86Sequence *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (!s->skipped[s->insn[i].item]) {
            print_insn(o, &s->insn[i], s->c.registers.rip + s->insn[i].at);
        }
    }
}

/* Registers that the code reads are among these. */
static void print_start(const X86Case *c)
{
    u32 mxcsr;
    u16 control;

    memcpy(&mxcsr, c->registers.fx + 24, 4);
    memcpy(&control, c->registers.fx, 2);
    printf(
        "#   rax %llx rcx %llx rdx %llx rbx %llx rsp %llx rbp %llx rsi %llx rdi %llx eflags %llx "
        "mxcsr %x fcw %x\n",
        (unsigned long long)c->registers.gpr[0], (unsigned long long)c->registers.gpr[1],
        (unsigned long long)c->registers.gpr[2], (unsigned long long)c->registers.gpr[3],
        (unsigned long long)c->registers.gpr[4], (unsigned long long)c->registers.gpr[5],
        (unsigned long long)c->registers.gpr[6], (unsigned long long)c->registers.gpr[7],
        (unsigned long long)c->registers.eflags, mxcsr, control);
}

/* What does not matter for the difference, to be left out. */
static u32 reduce(Oracle *o, X86Sequence *s)
{
    u32 skip = 0;
    X86Result ours, theirs;

    for (unsigned i = 0; i < s->items; i++) {
        x86_sequence_assemble(s, new_slot(o), skip | 1u << i);
        if (s->c.code_size > 1 && !run_both(o, s, &ours, &theirs)) {
            skip |= 1u << i;
        }
    }
    return skip;
}

static void report(Oracle *o, X86Sequence *s, u64 seed, const X86Result *our_first,
                   const X86Result *their_first)
{
    static const unsigned environment_bits[] = {64, 32, 32, 16};
    X86Result ours, theirs;
    const char *wrong;

    u32 skip = reduce(o, s);
    log_parse(o->options.log, &wrong);
    x86_sequence_assemble(s, new_slot(o), skip);
    bool agreed = run_both(o, s, &ours, &theirs);
    log_mask = 0;
    if (agreed) {
        printf("# seed %#llx: a difference that does not come again\n", (unsigned long long)seed);
        x86_sequence_assemble(s, s->c.address, 0);
        ours = *our_first;
        theirs = *their_first;
    }
    printf("# %u bits, --seed %#llx --count 1:\n", environment_bits[s->environment],
           (unsigned long long)seed);
    print_code(o, s);
    print_start(&s->c);
    print_difference("exception", 0, ours.vector, theirs.vector);
    print_difference("error code", 0, ours.error, theirs.error);
    print_difference("address", 0, ours.address, theirs.address);
    print_registers(&s->c.registers, &ours.registers, &theirs.registers);
    print_bytes("memory", s->c.memory, ours.memory, theirs.memory, X86_DATA_SIZE, 8);
    print_bytes("scratch", s->c.scratch, ours.scratch, theirs.scratch, X86_SCRATCH_SIZE, 8);
    fflush(stdout);
}

/* -- The test */

static void run_batch(Oracle *o, u64 first_seed, unsigned count)
{
    static X86Sequence sequences[X86_BATCH];
    static X86Case cases[X86_BATCH];
    static X86Result theirs[X86_BATCH];
    X86Result ours;

    for (unsigned i = 0; i < count; i++) {
        x86_sequence_make(&o->sequences, first_seed + i, new_slot(o), &sequences[i]);
        cases[i] = sequences[i].c;
    }
    x86_native_run(o->native, cases, theirs, count);
    for (unsigned i = 0; i < count; i++) {
        run_menura(o, &cases[i], &ours);
        if (!same(o, &sequences[i], &ours, &theirs[i])) {
            o->differences++;
            report(o, &sequences[i], first_seed + i, &ours, &theirs[i]);
        }
    }
}

/* Rows that never ran, of those that could. */
static unsigned uncovered(const Oracle *o)
{
    unsigned count = 0;

    for (unsigned i = 0; i < X86_ROW_COUNT; i++) {
        u32 special = INSN_NOT_RANDOM | INSN_ENDS | X86_CPL0 | X86_IO;
        count += !o->sequences.covered[i] && !(x86_rows[i].attributes & special);
    }
    return count;
}

static bool parse_flag(Options *options, const char *flag)
{
    if (strcmp(flag, "--keep-going") == 0) {
        options->keep_going = true;
    } else if (strcmp(flag, "--single-step") == 0) {
        options->single_step = true;
    } else {
        return false;
    }
    return true;
}

static bool parse_option(Options *options, const char *name, const char *value)
{
    if (strcmp(name, "--count") == 0) {
        options->count = strtoull(value, NULL, 0);
    } else if (strcmp(name, "--seed") == 0) {
        options->seed = strtoull(value, NULL, 0);
    } else if (strcmp(name, "--accel") == 0) {
        options->accel = value;
    } else if (strcmp(name, "--log") == 0) {
        options->log = value;
    } else if (strcmp(name, "--bits") == 0) {
        options->bits = (unsigned)strtoul(value, NULL, 0);
    } else if (strcmp(name, "--name") == 0) {
        options->name = value;
    } else if (strcmp(name, "--length") == 0) {
        options->length = MIN(MAX((unsigned)strtoul(value, NULL, 0), 1), (unsigned)X86_ITEMS_MAX);
    } else {
        return false;
    }
    return true;
}

static void parse_options(Options *options, char **argv)
{
    while (*++argv) {
        if (parse_flag(options, *argv)) {
            continue;
        }
        if (!argv[1] || !parse_option(options, argv[0], argv[1])) {
            fprintf(stderr, "usage: x86-oracle [--count N] [--seed S] [--accel dbt|interp] "
                            "[--bits 16|32|64] [--name NAME] [--length L] [--log KINDS] "
                            "[--keep-going] [--single-step]\n");
            exit(2);
        }
        argv++;
    }
}

static bool host_is_able(void)
{
    enum { FSGSBASE = 1 << 1 }; /* of AT_HWCAP2: what the native side sets bases with */

    return getauxval(AT_HWCAP2) & FSGSBASE && x86_segments_install();
}

static void prepare(Oracle *o)
{
    X86Cpu cpu;
    char message[100];

    x86_parse_cpu("max", &cpu, message, sizeof(message));
    memcpy(o->features, cpu.features, sizeof(o->features));
    o->sequences = (X86SequenceOptions){
        .features = o->features,
        .name = o->options.name,
        .bits = o->options.bits,
        .length = o->options.length,
        .accurate = strcmp(o->options.accel, "dbt") == 0,
        .covered = calloc(X86_ROW_COUNT, sizeof(u64)),
    };
    o->native = x86_native_new();
    catch_signals();
    map_fixed(X86_CODE, X86_CODE_SLOTS * X86_CODE_SLOT);
    map_fixed(X86_DATA, X86_DATA_SIZE);
    map_fixed(X86_SCRATCH, X86_SCRATCH_SIZE);
    x86_segments_read(o->ldt);
    o->descriptors.ldt = o->ldt;
    open_side(o, false);
    open_side(o, true);
}

int main(int argc, char **argv)
{
    static Oracle o = {
        .options = {.count = 20000, .seed = 1, .accel = "dbt", .log = "", .length = 6}};
    Options *options = &o.options;

    (void)argc;
    parse_options(options, argv);
    if (!host_is_able()) {
        printf("1..0 # SKIP the kernel offers no FSGSBASE or no modify_ldt\n");
        return 0;
    }
    prepare(&o);
    for (u64 done = 0; done < options->count; done += X86_BATCH) {
        run_batch(&o, options->seed + done, (unsigned)MIN(options->count - done, X86_BATCH));
        if (o.differences && !options->keep_going) {
            break;
        }
    }
    printf("# %llu differences; %u rows not covered\n", (unsigned long long)o.differences,
           uncovered(&o));
    printf("%sok 1 - %llu random sequences on %s\n1..1\n", o.differences ? "not " : "",
           (unsigned long long)options->count, options->accel);
    x86_native_free(o.native);
    return o.differences != 0;
}
