/* Random x86 instructions on Menura against the host's own CPU.
 *
 *   x86-oracle [--count N] [--seed S] [--accel dbt|interp] [--bits 32|64] [--name NAME]
 *              [--length L] [--log KINDS] [--keep-going] [--single-step]
 *
 * A case is a sequence of 1 to L instructions that starts with random registers and ends with INT3
 * or with a fault. Registers, defined flags, x87, vectors, MXCSR, memory, and the fault must be the
 * same. Instructions that read flags an earlier one leaves undefined are not generated. A
 * difference is reduced to the fewest instructions that show it and printed with what is needed to
 * repeat it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../random.h"
#include "accel/vcpu.h"
#include "base/log.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/insn.h"
#include "guest/x86/rows.h"
#include "guest/x86/state.h"
#include "x86_case.h"

enum { LENGTH_MAX = 12 };

typedef struct Options {
    u64 count, seed;
    const char *accel, *name, *log;
    unsigned bits; /* 0: both */
    unsigned length;
    bool keep_going, single_step;
} Options;

/* A case as instructions. */
typedef struct Sequence {
    X86Case c;
    unsigned count;
    u8 insn[LENGTH_MAX][X86_INSN_MAX];
    u8 size[LENGTH_MAX];
} Sequence;

typedef struct Side {
    Engine *engine;
    Vcpu *vcpu;
    X86State *state;
} Side;

typedef struct Oracle {
    Options options;
    u64 features[X86_FEATURE_WORDS];
    X86Native *native;
    Side side[2]; /* 32, 64 bits */
    u64 *covered; /* by row */
    u64 slot;     /* the next one to use */
    u64 differences;
} Oracle;

/* -- Random values */

static u64 next(u64 *seed)
{
    return random_next(seed);
}

/* Integers that lean to the extremes of all widths. */
static u64 random_integer(u64 *seed)
{
    u64 bits = next(seed), choice = bits >> 60;
    u64 value = next(seed);

    if (choice < 6) {
        return value;
    }
    if (choice < 9) {
        return value >> (bits & 63);
    }
    if (choice < 11) {
        return ~(value >> (bits & 63));
    }
    return ((u64)1 << (bits & 63)) - (bits >> 6 & 3) + 1;
}

static u32 random_float(u64 *seed)
{
    static const u32 values[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0x00000001,
                                 0x807fffff, 0x00800000, 0x7f7fffff, 0x4b000000, 0x4f000000,
                                 0xcf000000, 0x3f000000, 0x40490fdb};
    u64 bits = next(seed);
    u32 value = (u32)(bits >> 32);

    switch (bits & 7) {
    case 0:
    case 1:
        return values[value % COUNT(values)];
    case 2:
    case 3:
    case 4: /* exponents near each other */
        return (value & 0x807fffff) | (120 + (value >> 23) % 16) << 23;
    default:
        return value;
    }
}

static u64 random_double(u64 *seed)
{
    static const u64 values[] = {0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000,
                                 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
                                 0xfff8000000000123, 0x7ff0000000000001, 0x0000000000000001,
                                 0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
                                 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000200000,
                                 0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000};
    u64 bits = next(seed), value = next(seed);

    switch (bits & 7) {
    case 0:
    case 1:
        return values[value % COUNT(values)];
    case 2:
    case 3:
    case 4:
        return (value & 0x800fffffffffffff) | (1015 + (bits >> 8) % 16) << 52;
    case 5: /* a float's value exactly, or nearly */
        return (value & 0x800fffffe0000000) | (890 + (bits >> 8) % 260) << 52;
    default:
        return value;
    }
}

/* 64 bits of a vector or of memory. */
static u64 random_lane(u64 *seed)
{
    switch (next(seed) % 4) {
    case 0:
        return random_double(seed);
    case 1:
        return random_float(seed) | (u64)random_float(seed) << 32;
    default:
        return random_integer(seed);
    }
}

/* An x87 register, of all kinds that memory can hold. */
static void random_extended(u64 *seed, u8 out[10])
{
    u64 bits = next(seed), significand = next(seed) | (u64)1 << 63;
    u16 exponent = (u16)(bits & 0x8000);

    switch (bits >> 60) {
    case 0:
        significand = 0;
        break;
    case 1:
        exponent |= 0x7fff;
        significand = bits & 1 ? (u64)1 << 63 : significand;
        break;
    case 2: /* anything: denormals, unnormals, pseudo-infinities */
        exponent = (u16)bits;
        significand = random_integer(seed);
        break;
    case 3:
    case 4: /* integers */
        exponent |= (u16)(0x3fff + (bits >> 16) % 70);
        significand &= ~(u64)0 << (bits >> 24 & 63);
        significand |= (u64)1 << 63;
        break;
    case 5:
        exponent |= (u16)(bits >> 16) % 0x7fff;
        break;
    default:
        exponent |= (u16)(0x3ff0 + (bits >> 16) % 32);
        break;
    }
    memcpy(out, &significand, 8);
    memcpy(out + 8, &exponent, 2);
}

/* -- Random states */

static void random_x87(u64 *seed, u8 *fx)
{
    u64 bits = next(seed);
    u16 control = (u16)(0x7f | (bits & 0xf00)), status = (u16)(bits >> 16 & 0x7f00);
    u8 tags = bits >> 40 & 1 ? (u8)(bits >> 32) : 0xff;

    if ((control & 0x300) == 0x100) { /* a reserved precision */
        control |= 0x300;
    }
    if ((bits >> 48) % 8 == 0) {
        control &= (u16) ~(bits >> 52 & 0x3f);
    } else {
        status |= bits >> 56 & 0x3f; /* masked, so not pending */
    }
    memcpy(fx, &control, 2);
    memcpy(fx + 2, &status, 2);
    fx[4] = tags;
    for (unsigned i = 0; i < 8; i++) {
        random_extended(seed, fx + 32 + 16 * i);
    }
}

static void random_sse(u64 *seed, X86Registers *r)
{
    u64 bits = next(seed);
    u32 mxcsr = 0x1f80 | (bits & 0x603f), mask = 0xffff;

    if (bits >> 56 & 1) {
        mxcsr |= bits >> 32 & 0x8040;
    }
    if ((bits >> 48) % 16 == 0) {
        mxcsr &= ~(u32)((bits >> 20 & 0x1f80));
    }
    memcpy(r->fx + 24, &mxcsr, 4);
    memcpy(r->fx + 28, &mask, 4);
    for (unsigned i = 0; i < 32; i++) {
        u64 lane = random_lane(seed);
        memcpy(r->fx + 160 + 8 * i, &lane, 8);
        r->ymmh[i / 2][i % 2] = random_lane(seed);
    }
}

/* Registers that random instructions use for addresses. */
static u8 base_register(void)
{
    return X86_RBX;
}

static u8 index_register(bool long_mode)
{
    return long_mode ? 9 : X86_RBP;
}

static void random_registers(u64 *seed, X86Case *c)
{
    X86Registers *r = &c->registers;
    u64 flags = next(seed), middle = X86_DATA + X86_DATA_SIZE / 2;

    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = random_integer(seed);
    }
    r->gpr[X86_RBX] = middle + (flags >> 32 & 1 ? flags >> 33 & 31 : 0);
    r->gpr[X86_RSP] = middle + 8 * (flags >> 40 & 15);
    r->gpr[X86_RSI] = X86_DATA + (flags >> 44) % X86_DATA_SIZE;
    r->gpr[X86_RDI] = X86_DATA + (flags >> 52) % X86_DATA_SIZE;
    if (flags >> 60 & 3) {
        r->gpr[X86_RCX] = next(seed) % 48;
    }
    r->gpr[index_register(c->long_mode)] = next(seed) % 65 - 32;
    for (unsigned i = 0; !c->long_mode && i < 16; i++) {
        r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
    }
    r->eflags = 0x202 | (flags & X86_EFLAGS_STATUS);
    r->eflags |= flags >> 20 & 3 ? 0 : X86_EFLAGS_DF;
    memset(r->fx, 0, sizeof(r->fx));
    random_x87(seed, r->fx);
    random_sse(seed, r);
    if (!c->long_mode) {
        memset(r->fx + 160 + 128, 0, 128); /* no XMM8 and up */
        memset(r->ymmh[8], 0, 128);
    }
}

static void random_memory(u64 *seed, u8 *memory)
{
    u64 lanes[16];

    for (unsigned i = 0; i < COUNT(lanes); i++) {
        lanes[i] = random_lane(seed);
    }
    for (unsigned i = 0; i < X86_DATA_SIZE / 8; i++) {
        u64 lane = i % 5 ? lanes[i * 7 % COUNT(lanes)] + (i & 8) : random_integer(seed);
        memcpy(memory + 8 * i, &lane, 8);
    }
}

/* -- Random sequences */

static X86DecodeMode decode_mode(const Oracle *o, bool long_mode)
{
    return (X86DecodeMode){.code_size = long_mode ? 8 : 4, .features = o->features};
}

/* Whether the outcome depends on the CPU, or the row has no handler yet (opcodes --list shows
 * those). */
static bool is_vague(const Oracle *o, const X86Insn *insn)
{
    const X86Row *row = &x86_rows[insn->row];

    if (row->attributes & X86_APPROXIMATE && strcmp(o->options.accel, "dbt") != 0) {
        return true;
    }
    if (row->need[0] == X86_FEATURE_SHA && insn->operand[1].kind == X86_OPERAND_MEMORY) {
        return true; /* whether memory must be aligned */
    }
    if (!x86_handlers[insn->row]) {
        return true;
    }
    return (row->handler == X86_DO_SHLD || row->handler == X86_DO_SHRD) &&
           insn->operand_size == 2; /* for counts above 16 */
}

/* Whether it shows all flags, also those that conditions cannot test. */
static bool shows_flags(const X86Row *row)
{
    return row->handler == X86_DO_PUSHF || row->handler == X86_DO_LAHF ||
           row->handler == X86_DO_AAA || row->handler == X86_DO_AAS || row->handler == X86_DO_DAA ||
           row->handler == X86_DO_DAS;
}

/* Whether the instruction may follow when `undefined` flags are; what is undefined after it. */
static bool flags_fit(const X86Row *row, u32 *undefined)
{
    if (row->attributes & INSN_READS_FLAGS &&
        *undefined & ~(shows_flags(row) ? 0u : (u32)X86_EFLAGS_AF)) {
        return false;
    }
    if (row->attributes & INSN_WRITES_FLAGS) {
        *undefined = 0;
    }
    *undefined |= row->undefined;
    return true;
}

/* FNSTENV and FNSAVE store selectors that some processors have and others no longer do. */
static bool stores_selectors(const X86Insn *insn)
{
    return x86_rows[insn->row].handler == X86_DO_FNSTENV ||
           x86_rows[insn->row].handler == X86_DO_FNSAVE;
}

static void add_insn(Oracle *o, Sequence *s, u64 *seed, u32 *undefined)
{
    X86DecodeMode mode = decode_mode(o, s->c.long_mode);
    X86Random how = {
        .next = random_next,
        .context = seed,
        .name = o->options.name,
        .mode = mode,
        .avoid_gpr = (u16)(1u << X86_RBX | 1u << X86_RSP | 1u << index_register(s->c.long_mode)),
        .base = base_register(),
        .index = index_register(s->c.long_mode),
        .displacement_min = -X86_DATA_SIZE / 2 + 64,
        .displacement_max = X86_DATA_SIZE / 2 - 128,
    };

    for (int tries = 0; tries < 100; tries++) {
        X86Insn insn;
        u8 *bytes = s->insn[s->count];
        size_t size = x86_random(&how, bytes);
        if (size == 0) {
            fprintf(stderr, "x86 oracle: nothing is called '%s'\n", how.name ? how.name : "");
            exit(2);
        }
        x86_decode(bytes, size, &mode, &insn);
        if (insn.prefixes & X86_PREFIX_SEGMENT || is_vague(o, &insn) ||
            (stores_selectors(&insn) && s->count) || !flags_fit(&x86_rows[insn.row], undefined)) {
            continue;
        }
        s->size[s->count++] = (u8)size;
        o->covered[insn.row]++;
        return;
    }
}

/* Puts the instructions together; `skip` has a bit for each to leave out. */
static void assemble(Sequence *s, unsigned slot, u32 skip)
{
    u32 at = 0;

    for (unsigned i = 0; i < s->count; i++) {
        if (!(skip >> i & 1)) {
            memcpy(s->c.code + at, s->insn[i], s->size[i]);
            at += s->size[i];
        }
    }
    memset(s->c.code + at, 0xcc, sizeof(s->c.code) - at);
    s->c.code_size = at + 1;
    s->c.registers.rip = X86_CODE + slot * X86_CODE_SLOT;
}

static void open_side(Oracle *o, bool long_mode);

/* Each slot is used once by an engine: it treats code that changes often otherwise. */
static unsigned new_slot(Oracle *o)
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
    return (unsigned)o->slot++;
}

static void make_sequence(Oracle *o, Sequence *s, u64 seed, unsigned slot)
{
    u32 undefined = 0;
    unsigned length = 1 + (unsigned)(next(&seed) % o->options.length);
    bool long_mode = next(&seed) & 1;

    memset(s, 0, sizeof(*s));
    s->c.long_mode = o->options.bits ? o->options.bits == 64 : long_mode;
    random_registers(&seed, &s->c);
    random_memory(&seed, s->c.memory);
    for (unsigned i = 0; i < length; i++) {
        add_insn(o, s, &seed, &undefined);
    }
    assemble(s, slot, 0);
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

static void open_side(Oracle *o, bool long_mode)
{
    Side *side = &o->side[long_mode];
    const char *error = "out of memory";

    side->engine = engine_new(&(EngineOptions){.guest = long_mode ? "x86_64" : "i386",
                                               .accel = o->options.accel,
                                               .single_step = o->options.single_step},
                              &error);
    side->vcpu = side->engine ? vcpu_new(side->engine) : NULL;
    if (!side->vcpu) {
        fprintf(stderr, "x86 oracle: %s\n", error);
        exit(1);
    }
    side->state = vcpu_state(side->vcpu);
    x86_enter_user(side->state, long_mode);
    side->state->segment[X86_DS].selector = X86_DATA_SELECTOR;
    side->state->segment[X86_ES].selector = X86_DATA_SELECTOR;
}

static u32 exception_vector(const Side *side, const VcpuExit *exit)
{
    enum { NO_EXCEPTION = 255 };

    switch (exit->kind) {
    case VCPU_EXCEPTION:
        return exit->code & 0xff;
    case VCPU_FAULT:
        return exec_fault(side->vcpu)->invalid ? X86_GP : X86_PF;
    default:
        return NO_EXCEPTION;
    }
}

static void run_menura(Oracle *o, const X86Case *c, X86Result *r)
{
    Side *side = &o->side[c->long_mode];
    X86State *state = side->state;
    u8 *code = (u8 *)(uintptr_t)c->registers.rip;
    VcpuExit exit;

    memset(r, 0, sizeof(*r));
    for (unsigned i = 0; i < COUNT(o->side); i++) { /* each protects what it has translated */
        engine_prepare_write(o->side[i].engine, c->registers.rip, X86_CODE_SLOT);
    }
    memcpy(code, c->code, X86_CODE_SLOT);
    engine_invalidate(side->engine, c->registers.rip, X86_CODE_SLOT);
    memcpy((u8 *)(uintptr_t)X86_DATA, c->memory, X86_DATA_SIZE);
    memcpy(state->gpr, c->registers.gpr, sizeof(state->gpr));
    state->rip = c->registers.rip;
    x86_set_eflags(state, c->registers.eflags);
    x86_restore_fx(state, c->registers.fx, true);
    memcpy(state->ymmh, c->registers.ymmh, sizeof(state->ymmh));
    running = side->vcpu;
    vcpu_run(side->vcpu, &exit);
    memcpy(r->registers.gpr, state->gpr, sizeof(state->gpr));
    r->registers.rip = state->rip;
    r->registers.eflags = x86_get_eflags(state);
    x86_save_fx(state, r->registers.fx, true);
    memcpy(r->registers.ymmh, state->ymmh, sizeof(state->ymmh));
    memcpy(r->memory, (u8 *)(uintptr_t)X86_DATA, X86_DATA_SIZE);
    r->vector = exception_vector(side, &exit);
    r->address = r->vector == X86_PF ? exit.address : 0;
}

/* -- Comparison */

/* Flags that are undefined at the end, as far as execution came. */
static u32 undefined_flags(const Oracle *o, const X86Case *c, u64 end)
{
    X86DecodeMode mode = decode_mode(o, c->long_mode);
    u32 undefined = 0, at = 0;

    while (at + 1 < c->code_size && c->registers.rip + at < end) {
        X86Insn insn;
        if (x86_decode(c->code + at, X86_INSN_MAX, &mode, &insn) != X86_DECODE_OK) {
            break;
        }
        flags_fit(&x86_rows[insn.row], &undefined);
        at += insn.size;
    }
    return undefined;
}

/* What is not compared: the last x87 instruction's pointers, reserved bytes, registers that there
 * are none of. */
static void clear_uncompared(X86Registers *r, bool long_mode)
{
    memset(r->fx + 5, 0, 19);
    memset(r->fx + 28, 0, 4);
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
    }
}

/* The instruction at which the case ended; false if it is the last. */
static bool last_insn(const Oracle *o, const X86Case *c, u64 rip, X86Insn *insn)
{
    X86DecodeMode mode = decode_mode(o, c->long_mode);
    u64 at = rip - c->registers.rip;

    return at + 1 < c->code_size &&
           x86_decode(c->code + at, X86_INSN_MAX, &mode, insn) == X86_DECODE_OK;
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
static bool has_block_end(const Oracle *o, const X86Case *c, u64 end)
{
    X86DecodeMode mode = decode_mode(o, c->long_mode);
    X86Insn insn;

    for (u32 at = 0; c->registers.rip + at < end; at += insn.size) {
        if (x86_decode(c->code + at, X86_INSN_MAX, &mode, &insn) != X86_DECODE_OK) {
            break;
        }
        if (is_repeated(&insn) || x86_rows[insn.row].attributes & INSN_ENDS) {
            return true;
        }
    }
    return false;
}

static void clear_undefined(const Oracle *o, const X86Case *c, X86Result *r, u64 rip)
{
    u32 undefined = undefined_flags(o, c, rip) | X86_EFLAGS_RF;
    X86Insn insn;

    if (!c->long_mode && r->vector == X86_PF && r->address > 0xffffffc0) {
        r->vector = X86_GP; /* beyond the segment's limit, which user mode does not look at */
        r->address = 0;
    }
    if (last_insn(o, c, rip, &insn)) {
        clear_after_fault(r, &insn);
        undefined |= has_block_end(o, c, rip) ? X86_EFLAGS_STATUS : 0;
    }
    r->registers.eflags &= ~(u64)undefined;
    if (r->vector == X86_STACK) { /* an address that is not canonical is one through rSP or rBP */
        r->vector = X86_GP;
    }
    clear_uncompared(&r->registers, c->long_mode);
}

/* MASKMOVDQU may fault or not where it writes nothing, and write or not where it faults. */
static bool ended_in_masked_store(const Oracle *o, const X86Case *c, u64 rip)
{
    X86Insn insn;

    return last_insn(o, c, rip, &insn) && x86_rows[insn.row].handler == X86_DO_store_masked_bytes;
}

static bool same(const Oracle *o, const X86Case *c, X86Result *ours, X86Result *theirs)
{
    u64 rip = theirs->registers.rip;

    if (ended_in_masked_store(o, c, rip) || ended_in_masked_store(o, c, ours->registers.rip)) {
        return true;
    }

    clear_undefined(o, c, ours, rip);
    clear_undefined(o, c, theirs, rip);
    return memcmp(ours, theirs, sizeof(*ours)) == 0;
}

static bool run_both(Oracle *o, const X86Case *c, X86Result *ours, X86Result *theirs)
{
    x86_native_run(o->native, c, theirs, 1);
    run_menura(o, c, ours);
    return same(o, c, ours, theirs);
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

    for (unsigned i = 0; i < 16; i++) {
        print_difference(names[i], start->gpr[i], ours->gpr[i], theirs->gpr[i]);
    }
    print_difference("rip", start->rip, ours->rip, theirs->rip);
    print_difference("eflags", start->eflags, ours->eflags, theirs->eflags);
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

static void print_code(const Oracle *o, const X86Case *c)
{
    X86DecodeMode mode = decode_mode(o, c->long_mode);

    for (u32 at = 0; at + 1 < c->code_size;) {
        X86Insn insn;
        char text[128];
        if (x86_decode(c->code + at, X86_INSN_MAX, &mode, &insn) != X86_DECODE_OK) {
            break;
        }
        x86_disassemble(&insn, &mode, c->registers.rip + at, text, sizeof(text));
        printf("#   %8llx  ", (unsigned long long)c->registers.rip + at);
        for (unsigned i = 0; i < X86_INSN_MAX; i++) {
            printf(i < insn.size ? "%02x " : "   ", c->code[at + i]);
        }
        printf(" %s\n", text);
        at += insn.size;
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
static u32 reduce(Oracle *o, Sequence *s)
{
    u32 skip = 0;
    X86Result ours, theirs;

    for (unsigned i = 0; i < s->count; i++) {
        assemble(s, new_slot(o), skip | 1u << i);
        if (s->c.code_size > 1 && !run_both(o, &s->c, &ours, &theirs)) {
            skip |= 1u << i;
        }
    }
    return skip;
}

static void report(Oracle *o, Sequence *s, u64 seed)
{
    X86Result ours, theirs;
    const char *wrong;

    u32 skip = reduce(o, s);
    log_parse(o->options.log, &wrong);
    assemble(s, new_slot(o), skip);
    bool agreed = run_both(o, &s->c, &ours, &theirs);
    log_mask = 0;
    if (agreed) {
        printf("# seed %#llx: a difference that does not come again\n", (unsigned long long)seed);
        return;
    }
    printf("# %u bits, --seed %#llx --count 1:\n", s->c.long_mode ? 64 : 32,
           (unsigned long long)seed);
    print_code(o, &s->c);
    print_start(&s->c);
    print_difference("exception", 0, ours.vector, theirs.vector);
    print_difference("address", 0, ours.address, theirs.address);
    print_registers(&s->c.registers, &ours.registers, &theirs.registers);
    print_bytes("memory", s->c.memory, ours.memory, theirs.memory, X86_DATA_SIZE, 8);
    fflush(stdout);
}

/* -- The test */

static void run_batch(Oracle *o, u64 first_seed, unsigned count)
{
    static Sequence sequences[X86_BATCH];
    static X86Case cases[X86_BATCH];
    static X86Result theirs[X86_BATCH];
    X86Result ours;

    for (unsigned i = 0; i < count; i++) {
        make_sequence(o, &sequences[i], first_seed + i, new_slot(o));
        cases[i] = sequences[i].c;
    }
    x86_native_run(o->native, cases, theirs, count);
    for (unsigned i = 0; i < count; i++) {
        run_menura(o, &cases[i], &ours);
        if (!same(o, &cases[i], &ours, &theirs[i])) {
            o->differences++;
            report(o, &sequences[i], first_seed + i);
        }
    }
}

/* Rows that never ran, of those that could. */
static unsigned uncovered(const Oracle *o)
{
    unsigned count = 0;

    for (unsigned i = 0; i < X86_ROW_COUNT; i++) {
        u32 special = INSN_NOT_RANDOM | INSN_ENDS | X86_CPL0 | X86_IO;
        count += !o->covered[i] && !(x86_rows[i].attributes & special);
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
        options->length = MIN(MAX((unsigned)strtoul(value, NULL, 0), 1), (unsigned)LENGTH_MAX);
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
                            "[--bits 32|64] [--name NAME] [--length L] [--log KINDS] "
                            "[--keep-going] [--single-step]\n");
            exit(2);
        }
        argv++;
    }
}

int main(int argc, char **argv)
{
    static Oracle o = {
        .options = {.count = 20000, .seed = 1, .accel = "dbt", .log = "", .length = 6}};
    Options *options = &o.options;
    X86Cpu cpu;
    char message[100];

    (void)argc;
    parse_options(options, argv);
    x86_parse_cpu("max", &cpu, message, sizeof(message));
    memcpy(o.features, cpu.features, sizeof(o.features));
    o.covered = calloc(X86_ROW_COUNT, sizeof(*o.covered));
    o.native = x86_native_new();
    catch_signals();
    map_fixed(X86_CODE, X86_CODE_SLOTS * X86_CODE_SLOT);
    map_fixed(X86_DATA, X86_DATA_SIZE);
    open_side(&o, false);
    open_side(&o, true);
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
