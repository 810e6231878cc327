/* x87 helpers against the host's x87: each instruction on random states, among them full and empty
 * stacks, stack faults, unmasked exceptions; then the whole of the state is compared.
 *
 * Built twice: with helpers that use the host's x87 themselves, and with X87_SOFT.
 * Usage: test_x86_x87 [N], N times as many states as by default. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/x86/x87.h"
#include "guest/x86/x87_helpers.h"

#include "../tap.h"

#ifdef __x86_64__

#include "../ir/softfloat80_operands.h"

enum { STATES_PER_INSTRUCTION = 4000, FAILURES_SHOWN = 3, FORMAT = X87_IMAGE_32, MEMORY = 16 };
enum { STATUS_FLAGS = 0x8d5 }; /* of RFLAGS */

/* An instruction: two bytes, the second a ModRM byte. */
typedef struct Instruction {
    u8 opcode, modrm;
} Instruction;

static bool has_memory(Instruction i)
{
    return i.modrm < 0xc0;
}

/* -- The host */

typedef struct Host {
    u8 *code; /* a function (image, memory): FRSTOR, the instruction, FNSAVE */
} Host;

typedef void HostCode(u8 *image, u8 *memory, u64 *rflags);

static void host_run(const Host *host, Instruction insn, u8 image[X87_IMAGE_MAX], u8 memory[MEMORY],
                     u64 *rflags)
{
    /* push [rdx]; popf; frstor [rdi]; insn [rsi]; fnsave [rdi]; pushf; pop [rdx]; ret */
    u8 code[] = {0xff, 0x32, 0x9d, 0xdd, 0x27, insn.opcode, insn.modrm,
                 0xdd, 0x37, 0x9c, 0x8f, 0x02, 0xc3};

    if (has_memory(insn)) {
        code[6] = (u8)(insn.modrm | 6);
    }
    memcpy(host->code, code, sizeof(code));
    ((HostCode *)(void *)host->code)(image, memory, rflags);
}

/* -- The helpers: what translated code calls for an instruction */

static void call(X86State *s, IrWord *io, IrHelperFn *helper, u64 a, u64 b)
{
    io[1].i = a;
    io[2].i = b;
    helper(s, io);
}

static u64 bits_of(double x)
{
    u64 bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static void store(X86State *s, X87Format format, bool pops, u8 *memory, size_t size)
{
    IrWord io[5] = {{0}};

    call(s, io, x87_store, format | (pops ? X87_STORE_POPS : 0), 0);
    u64 after = io[0].v[1];
    if (!(after >> X87_STORED_LOST & 1)) {
        memcpy(memory, io[0].bytes, size);
    }
    s->fsw = (u16)(after >> X87_STORED_FSW);
    s->ftop = (u8)(after >> X87_STORED_FTOP);
    s->ftag_empty = (u8)(after >> X87_STORED_FTAG);
}

/* What a helper gets of an operand in memory. Integers that an f64 holds exactly come as such. */
typedef enum OperandForm { AS_F32, AS_64, AS_80, S16_AS_F64, S32_AS_F64, AS_16 } OperandForm;

static void call_with_memory(X86State *s, IrHelperFn *helper, OperandForm form,
                             const u8 memory[MEMORY], u64 pops)
{
    IrWord io[5] = {{0}};
    u64 bits[2];

    memcpy(bits, memory, sizeof(bits));
    switch (form) {
    case AS_F32:
        call(s, io, helper, (u32)bits[0], pops);
        return;
    case AS_64:
        call(s, io, helper, bits[0], pops);
        return;
    case AS_80:
        call(s, io, helper, bits[0], (u16)bits[1]);
        return;
    case S16_AS_F64:
        call(s, io, helper, bits_of((s16)bits[0]), pops);
        return;
    case S32_AS_F64:
        call(s, io, helper, bits_of((s32)bits[0]), pops);
        return;
    case AS_16:
        call(s, io, helper, (u16)bits[0], pops);
        return;
    }
}

/* D8, DA, DC, DE with memory */
static void run_memory_arithmetic(X86State *s, Instruction insn, const u8 memory[MEMORY])
{
    static IrHelperFn *const f32[] = {x87_add_f32, x87_mul_f32,  x87_com_f32, x87_com_f32,
                                      x87_sub_f32, x87_subr_f32, x87_div_f32, x87_divr_f32};
    static IrHelperFn *const f64[] = {x87_add_f64, x87_mul_f64,  x87_com_f64, x87_com_f64,
                                      x87_sub_f64, x87_subr_f64, x87_div_f64, x87_divr_f64};
    static const OperandForm forms[] = {AS_F32, S32_AS_F64, AS_64, S16_AS_F64};
    unsigned digit = insn.modrm >> 3 & 7;
    OperandForm form = forms[(insn.opcode - 0xd8) / 2];

    call_with_memory(s, form == AS_F32 ? f32[digit] : f64[digit], form, memory, digit == 3);
}

static void run_memory(X86State *s, Instruction insn, u8 memory[MEMORY])
{
    static const struct {
        u16 code; /* opcode and digit */
        OperandForm form;
        IrHelperFn *helper;
    } loads[] = {
        {0xd90, AS_F32, x87_load_f32},     {0xdd0, AS_64, x87_load_f64},
        {0xdb5, AS_80, x87_load_f80},      {0xdf0, S16_AS_F64, x87_load_f64},
        {0xdb0, S32_AS_F64, x87_load_f64}, {0xdf5, AS_64, x87_load_integer},
        {0xdf4, AS_80, x87_load_bcd},      {0xd95, AS_16, x87_load_control},
    };
    static const struct {
        u16 code;
        X87Format format;
        bool pops;
        u8 size;
    } stores[] = {
        {0xd92, X87_STORE_F32, false, 4},   {0xd93, X87_STORE_F32, true, 4},
        {0xdd2, X87_STORE_F64, false, 8},   {0xdd3, X87_STORE_F64, true, 8},
        {0xdb7, X87_STORE_F80, true, 10},   {0xdf6, X87_STORE_BCD, true, 10},
        {0xdf2, X87_STORE_S16, false, 2},   {0xdf3, X87_STORE_S16, true, 2},
        {0xdb2, X87_STORE_S32, false, 4},   {0xdb3, X87_STORE_S32, true, 4},
        {0xdf7, X87_STORE_S64, true, 8},    {0xdf1, X87_TRUNCATE_S16, true, 2},
        {0xdb1, X87_TRUNCATE_S32, true, 4}, {0xdd1, X87_TRUNCATE_S64, true, 8},
    };
    u16 code = (u16)(insn.opcode << 4 | (insn.modrm >> 3 & 7));

    if (insn.opcode % 2 == 0) {
        run_memory_arithmetic(s, insn, memory);
    }
    for (unsigned i = 0; i < COUNT(loads); i++) {
        if (loads[i].code == code) {
            call_with_memory(s, loads[i].helper, loads[i].form, memory, 0);
        }
    }
    for (unsigned i = 0; i < COUNT(stores); i++) {
        if (stores[i].code == code) {
            store(s, stores[i].format, stores[i].pops, memory, stores[i].size);
        }
    }
}

/* D8, DC, DE with registers */
static void run_arithmetic(X86State *s, Instruction insn, unsigned digit, u64 i)
{
    static IrHelperFn *const helpers[] = {x87_add, x87_mul, NULL,    NULL,
                                          x87_sub, x87_sub, x87_div, x87_div};
    IrWord io[5] = {{0}};
    u64 to = insn.opcode == 0xd8 ? 0 : i, pops = insn.opcode == 0xde;
    /* The digit's low bit says: the operands are ST(i), ST(0) and not the reverse. */
    u64 a = digit & 1 ? i : 0, b = digit & 1 ? 0 : i;

    call(s, io, helpers[digit], to | a << 4 | b << 8 | pops << 12, 0);
}

/* FCOMI and the like: of the packed flags only their places in EFLAGS are needed here. */
static void run_compare_flags(X86State *s, Instruction insn, u64 *rflags)
{
    IrWord io[5] = {{0}};
    bool quiet = (insn.modrm >> 3 & 7) == 5, pops = insn.opcode == 0xdf;

    call(s, io, x87_comi, (insn.modrm & 7) | (u64)quiet << 4 | (u64)pops << 8, 0);
    u64 flags = io[0].i;
    *rflags = (*rflags & ~(u64)STATUS_FLAGS) | (flags >> 8 & 1) | (flags >> 10 & 1) << 2 |
              (flags >> 14 & 1) << 6;
}

/* The helper of a range of instructions: its arguments, to the first of which i or the whole of the
 * second opcode byte is added. */
static const struct Call {
    u16 first, last;
    IrHelperFn *helper;
    u64 a, b;
    enum { ADD_NOTHING, ADD_I, ADD_I_TO_B, ADD_BYTE } adds;
} calls[] = {
    {0xd8d0, 0xd8d7, x87_com, 0, 0, ADD_I},
    {0xd8d8, 0xd8df, x87_com, 1 << 8, 0, ADD_I},
    {0xdde0, 0xdde7, x87_com, 1 << 4, 0, ADD_I},
    {0xdde8, 0xddef, x87_com, 1 << 4 | 1 << 8, 0, ADD_I},
    {0xdae9, 0xdae9, x87_com, 1 | 1 << 4 | 2 << 8, 0, ADD_NOTHING},
    {0xded9, 0xded9, x87_com, 1 | 2 << 8, 0, ADD_NOTHING},
    {0xd9c0, 0xd9c7, x87_load_st, 0, 0, ADD_I},
    {0xd9c8, 0xd9cf, x87_exchange, 0, 0, ADD_I},
    {0xddd0, 0xddd7, x87_store_st, 0, 0, ADD_I},
    {0xddd8, 0xdddf, x87_store_st, 0, 1, ADD_I},
    {0xd9e0, 0xd9e0, x87_change_sign, 0, F80_SIGN, ADD_NOTHING},
    {0xd9e1, 0xd9e1, x87_change_sign, F80_SIGN, 0, ADD_NOTHING},
    {0xd9e4, 0xd9e4, x87_tst, 0, 0, ADD_NOTHING},
    {0xd9e5, 0xd9e5, x87_examine, 0, 0, ADD_NOTHING},
    {0xd9e8, 0xd9ee, x87_load_constant, 0, 0, ADD_I},
    {0xd9f6, 0xd9f6, x87_control, X87_DO_DECREMENT, 0, ADD_NOTHING},
    {0xd9f7, 0xd9f7, x87_control, X87_DO_INCREMENT, 0, ADD_NOTHING},
    {0xd9fa, 0xd9fa, x87_sqrt, 0, 0, ADD_NOTHING},
    {0xd9fc, 0xd9fc, x87_rndint, 0, 0, ADD_NOTHING},
    {0xd9f0, 0xd9ff, x87_function, 0, 0, ADD_BYTE},
    {0xddc0, 0xddc7, x87_control, X87_DO_FREE, 0, ADD_I_TO_B},
    {0xdfc0, 0xdfc7, x87_control, X87_DO_FREE_AND_POP, 0, ADD_I_TO_B},
    {0xdbe2, 0xdbe2, x87_control, X87_DO_CLEAR, 0, ADD_NOTHING},
    {0xdbe3, 0xdbe3, x87_control, X87_DO_INIT, 0, ADD_NOTHING},
};

static void run_call(X86State *s, const struct Call *row, u64 byte)
{
    IrWord io[5] = {{0}};
    u64 i = byte & 7;
    u64 a = row->a + (row->adds == ADD_I ? i : row->adds == ADD_BYTE ? byte & 15 : 0);

    call(s, io, row->helper, a, row->b + (row->adds == ADD_I_TO_B ? i : 0));
}

static void run_register(X86State *s, Instruction insn, u64 *rflags)
{
    IrWord io[5] = {{0}};
    unsigned digit = insn.modrm >> 3 & 7;
    u64 i = insn.modrm & 7;

    switch (insn.opcode << 8 | insn.modrm) {
    case 0xd8c0 ... 0xd8cf:
    case 0xd8e0 ... 0xd8ff:
    case 0xdcc0 ... 0xdccf:
    case 0xdce0 ... 0xdcff:
    case 0xdec0 ... 0xdecf:
    case 0xdee0 ... 0xdeff:
        run_arithmetic(s, insn, digit, i);
        return;
    case 0xdbe8 ... 0xdbf7:
    case 0xdfe8 ... 0xdff7:
        run_compare_flags(s, insn, rflags);
        return;
    case 0xdac0 ... 0xdac7: /* if CF */
        call(s, io, x87_conditional_move, i, *rflags & 1);
        return;
    case 0xdbc8 ... 0xdbcf: /* if not ZF */
        call(s, io, x87_conditional_move, i, !(*rflags & 0x40));
        return;
    }
    for (unsigned n = 0; n < COUNT(calls); n++) {
        u16 code = (u16)(insn.opcode << 8 | insn.modrm);
        if (code >= calls[n].first && code <= calls[n].last) {
            run_call(s, &calls[n], insn.modrm);
            return;
        }
    }
}

/* -- States */

static void random_state(Operands *o, X86State *s)
{
    memset(s, 0, sizeof(*s));
    F80 previous = {0};
    for (unsigned i = 0; i < 8; i++) {
        previous = random_f80(o, previous);
        s->fpr[i] =
            (X86Fpr){.significand = previous.significand, .sign_exponent = previous.sign_exponent};
    }
    s->ftop = random_u64(o) & 7;
    switch (random_below(o, 4)) {
    case 0:
        s->ftag_empty = (u8)random_u64(o);
        break;
    case 1: /* full */
        break;
    default: /* a few registers */
        for (u64 i = 2 + random_below(o, 4); i < 8; i++) {
            s->ftag_empty |= (u8)(1u << ((s->ftop + i) & 7));
        }
        break;
    }
    static const u16 precisions[] = {0 << 8, 2 << 8, 3 << 8};
    u16 masks = random_below(o, 2) ? 0x3f : random_u64(o) & 0x3f;
    u16 control = masks | precisions[random_below(o, 3)] | (u16)(random_below(o, 4) << 10);
    x87_set_control(s, random_below(o, 4) ? control : X87_CONTROL_DEFAULT);
    /* Nothing pending, or the instruction would not be reached. */
    u16 exceptions = (u16)random_u64(o) & s->fcw & X87_EXCEPTIONS;
    exceptions |= exceptions & X87_INVALID && random_below(o, 2) ? X87_STACK_FAULT : 0;
    s->fsw = exceptions | ((u16)random_u64(o) & X87_CONDITIONS);
}

static void random_memory(Operands *o, Instruction insn, u8 memory[MEMORY])
{
    F80 value = random_f80(o, (F80){0});
    u64 bits[2] = {value.significand, value.sign_exponent};

    switch (insn.opcode) {
    case 0xd8:
    case 0xd9:
        bits[0] = next_operand(o, &operand_f32);
        break;
    case 0xdc:
    case 0xdd:
        bits[0] = next_operand(o, &operand_f64);
        break;
    case 0xdf:
        for (unsigned i = 0; i < 9; i++) { /* perhaps BCD digits */
            bits[i / 8] = bits[i / 8] << 8 | random_below(o, 10) << 4 | random_below(o, 10);
        }
        bits[1] |= random_below(o, 2) << 15;
        break;
    default:
        break;
    }
    memcpy(memory, bits, MEMORY);
}

static void show(const char *what, const X86State *s, const u8 memory[MEMORY], u64 rflags)
{
    u64 bits[2];

    memcpy(bits, memory, sizeof(bits));
    printf("#  %s control %04x status %04x empty %02x memory %04lx %016lx flags %03lx\n#    ", what,
           s->fcw, x87_status(s), s->ftag_empty, bits[1] & 0xffff, bits[0], rflags & STATUS_FLAGS);
    for (unsigned i = 0; i < 8; i++) {
        F80 r = x87_get(s, i);
        printf(" %04x %016lx", r.sign_exponent, r.significand);
    }
    printf("\n");
}

static bool same_state(const X86State *a, const X86State *b)
{
    for (unsigned i = 0; i < 8; i++) {
        if (a->fpr[i].significand != b->fpr[i].significand ||
            a->fpr[i].sign_exponent != b->fpr[i].sign_exponent) {
            return false;
        }
    }
    return x87_status(a) == x87_status(b) && a->ftag_empty == b->ftag_empty && a->fcw == b->fcw;
}

static bool agrees(const Host *host, Instruction insn, Operands *o)
{
    X86State before, soft, after;
    u8 image[X87_IMAGE_MAX], memory[2][MEMORY], start[MEMORY];
    u64 rflags[2];

    random_state(o, &before);
    random_memory(o, insn, start);
    memcpy(memory[0], start, MEMORY);
    memcpy(memory[1], start, MEMORY);
    u64 flags = rflags[0] = rflags[1] = (random_u64(o) & STATUS_FLAGS) | 0x202;

    x87_write_image(&before, FORMAT, image);
    host_run(host, insn, image, memory[0], &rflags[0]);
    after = before;
    x87_read_image(&after, FORMAT, image);

    soft = before;
    has_memory(insn) ? run_memory(&soft, insn, memory[1]) : run_register(&soft, insn, &rflags[1]);
    if (same_state(&after, &soft) && memcmp(memory[0], memory[1], MEMORY) == 0 &&
        ((rflags[0] ^ rflags[1]) & STATUS_FLAGS) == 0) {
        return true;
    }
    printf("# %02x %02x\n", insn.opcode, insn.modrm);
    show("before", &before, start, flags);
    show("host  ", &after, memory[0], rflags[0]);
    show("helper", &soft, memory[1], rflags[1]);
    return false;
}

/* -- Images: what the host restores from one format and saves in the other */

static bool images_agree(const Host *host, Operands *o, unsigned from, unsigned to)
{
    /* [o16] frstor [rdi]; [o16] fnsave [rsi]; ret: the last of equal prefixes counts like one */
    u8 code[] = {from & X87_IMAGE_32 ? 0x40 : 0x66,
                 0xdd,
                 0x27,
                 to & X87_IMAGE_32 ? 0x40 : 0x66,
                 0xdd,
                 0x36,
                 0xc3};
    u8 before[X87_IMAGE_MAX] = {0}, after[X87_IMAGE_MAX] = {0}, expected[X87_IMAGE_MAX] = {0};
    X86State s, restored = {0};
    u64 unused = 0;

    random_state(o, &s);
    s.fip = random_u64(o) & 0xffff;
    s.fdp = random_u64(o) & 0xffff;
    s.fop = random_u64(o) & 0x7ff;
    x87_write_image(&s, from, before);
    memcpy(host->code, code, sizeof(code));
    x87_read_image(&restored, from, before);
    x87_write_image(&restored, to, expected);
    /* AMD's processors lose the pointers when the thread is rescheduled in between. */
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        ((HostCode *)(void *)host->code)(before, after, &unused);
        if (memcmp(after, expected, sizeof(after)) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < sizeof(after); i++) {
        if (after[i] != expected[i]) {
            printf("# byte %u: host %02x, image %02x\n", i, after[i], expected[i]);
        }
    }
    return false;
}

static bool compare_images(const Host *host, unsigned from, unsigned to)
{
    Operands random = {.state = 0x9e3779b97f4a7c15};
    unsigned failures = 0;

    for (unsigned i = 0; i < STATES_PER_INSTRUCTION && failures < FAILURES_SHOWN; i++) {
        failures += !images_agree(host, &random, from, to);
    }
    return failures == 0;
}

/* Real-address formats hold linear addresses; what else they hold is as in the others. */
static bool real_image_keeps(unsigned format)
{
    X86State s = {.fcw = 0x37f, .ftag_empty = 0xff, .fop = 0x5a5, .fip = 0xabcde, .fdp = 0x12345};
    X86State restored = {0};
    u8 image[X87_IMAGE_MAX] = {0};

    x87_write_image(&s, format, image);
    x87_read_image(&restored, format, image);
    return restored.fip == 0xabcde && restored.fdp == 0x12345 && restored.fop == 0x5a5;
}

/* FXSAVE of what FXRSTOR restored. AMD's processors leave the pointers out unless an exception is
 * pending. */
static bool fx_agrees(Operands *o)
{
    u8 before[512] __attribute__((aligned(16))) = {0}, after[512] __attribute__((aligned(16)));
    u8 expected[512] = {0}, usual[512] __attribute__((aligned(16)));
    X86State s;

    random_state(o, &s);
    __asm__ volatile("fxsave64 %0" : "=m"(usual));
    memcpy(before, usual, sizeof(before));
    x87_write_fx(&s, true, before);
    __asm__ volatile("fxrstor64 %1\n\tfxsave64 %0\n\tfxrstor64 %2"
                     : "=m"(after)
                     : "m"(before), "m"(usual));
    X86State restored = {0};
    x87_read_fx(&restored, true, after);
    restored.fop = s.fop;
    restored.fip = s.fip;
    restored.fdp = s.fdp;
    memcpy(expected, usual, sizeof(expected));
    x87_write_fx(&restored, true, expected);
    return memcmp(before, expected, 160) == 0 && same_state(&s, &restored);
}

static bool compare_fx(void)
{
    Operands random = {.state = 0x9e3779b97f4a7c15};

    for (unsigned i = 0; i < STATES_PER_INSTRUCTION; i++) {
        if (!fx_agrees(&random)) {
            return false;
        }
    }
    return true;
}

/* Instructions by opcode and a range of ModRM bytes; memory operands stand for a digit. */
static const struct {
    const char *name;
    u8 opcode, first, last;
} ranges[] = {
    {"arithmetic, m32", 0xd8, 0x00, 0x3f},
    {"arithmetic, m64", 0xdc, 0x00, 0x3f},
    {"arithmetic, s32", 0xda, 0x00, 0x3f},
    {"arithmetic, s16", 0xde, 0x00, 0x3f},
    {"arithmetic", 0xd8, 0xc0, 0xff},
    {"arithmetic to ST(i)", 0xdc, 0xc0, 0xcf},
    {"arithmetic to ST(i)", 0xdc, 0xe0, 0xff},
    {"arithmetic, pop", 0xde, 0xc0, 0xcf},
    {"arithmetic, pop", 0xde, 0xe0, 0xff},
    {"FLD m32", 0xd9, 0x00, 0x00},
    {"FLD m64", 0xdd, 0x00, 0x00},
    {"FLD m80", 0xdb, 0x28, 0x28},
    {"FILD m16", 0xdf, 0x00, 0x00},
    {"FILD m32", 0xdb, 0x00, 0x00},
    {"FILD m64", 0xdf, 0x28, 0x28},
    {"FBLD", 0xdf, 0x20, 0x20},
    {"FST, FSTP m32", 0xd9, 0x10, 0x1f},
    {"FST, FSTP m64", 0xdd, 0x10, 0x1f},
    {"FSTP m80", 0xdb, 0x38, 0x38},
    {"FBSTP", 0xdf, 0x30, 0x30},
    {"FIST, FISTP m16", 0xdf, 0x10, 0x1f},
    {"FIST, FISTP m32", 0xdb, 0x10, 0x1f},
    {"FISTP m64", 0xdf, 0x38, 0x38},
    {"FISTTP m16", 0xdf, 0x08, 0x08},
    {"FISTTP m32", 0xdb, 0x08, 0x08},
    {"FISTTP m64", 0xdd, 0x08, 0x08},
    {"FLDCW", 0xd9, 0x28, 0x28},
    {"FUCOM, FUCOMP", 0xdd, 0xe0, 0xef},
    {"FUCOMPP", 0xda, 0xe9, 0xe9},
    {"FCOMPP", 0xde, 0xd9, 0xd9},
    {"FUCOMI, FCOMI", 0xdb, 0xe8, 0xf7},
    {"FUCOMIP, FCOMIP", 0xdf, 0xe8, 0xf7},
    {"FLD ST(i)", 0xd9, 0xc0, 0xc7},
    {"FXCH", 0xd9, 0xc8, 0xcf},
    {"FST, FSTP ST(i)", 0xdd, 0xd0, 0xdf},
    {"FCHS, FABS", 0xd9, 0xe0, 0xe1},
    {"FTST, FXAM", 0xd9, 0xe4, 0xe5},
    {"constants", 0xd9, 0xe8, 0xee},
    {"FXTRACT, FPREM1", 0xd9, 0xf4, 0xf5},
    {"FDECSTP, FINCSTP, FPREM", 0xd9, 0xf6, 0xf8},
    {"FSQRT", 0xd9, 0xfa, 0xfa},
    {"FRNDINT, FSCALE", 0xd9, 0xfc, 0xfd},
    {"FCMOVB", 0xda, 0xc0, 0xc7},
    {"FCMOVNE", 0xdb, 0xc8, 0xcf},
    {"FFREE", 0xdd, 0xc0, 0xc7},
    {"FFREEP", 0xdf, 0xc0, 0xc7},
    {"FNCLEX, FNINIT", 0xdb, 0xe2, 0xe3},
#ifdef X87_HOST /* the soft ones give other last bits */
    {"F2XM1 to FPATAN", 0xd9, 0xf0, 0xf3},
    {"FYL2XP1", 0xd9, 0xf9, 0xf9},
    {"FSINCOS", 0xd9, 0xfb, 0xfb},
    {"FSIN, FCOS", 0xd9, 0xfe, 0xff},
#endif
};

static bool compare_range(const Host *host, unsigned r, u64 count)
{
    Operands random = {.state = 0x9e3779b97f4a7c15 + r};
    unsigned failures = 0;
    unsigned step = ranges[r].first < 0xc0 ? 8 : 1;

    for (unsigned modrm = ranges[r].first; modrm <= ranges[r].last; modrm += step) {
        Instruction insn = {ranges[r].opcode, (u8)modrm};
        for (u64 i = 0; i < count && failures < FAILURES_SHOWN; i++) {
            failures += !agrees(host, insn, &random);
        }
    }
    return failures == 0;
}

int main(int argc, char **argv)
{
    u64 count = STATES_PER_INSTRUCTION * (argc > 1 ? strtoul(argv[1], NULL, 0) : 1);
    Host host = {.code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};

    if (host.code == MAP_FAILED) {
        printf("1..0 # SKIP no memory that is writable and executable\n");
        return 0;
    }
    for (unsigned r = 0; r < COUNT(ranges); r++) {
        OK(compare_range(&host, r, count), "%s", ranges[r].name);
    }
    OK(compare_images(&host, X87_IMAGE_32, X87_IMAGE_32), "FNSAVE, 32 bits");
    OK(compare_images(&host, X87_IMAGE_32, 0), "FNSAVE, 16 bits");
    OK(compare_images(&host, 0, X87_IMAGE_32), "FRSTOR, 16 bits");
    OK(real_image_keeps(X87_IMAGE_REAL) && real_image_keeps(X87_IMAGE_REAL | X87_IMAGE_32),
       "real-address images");
    OK(compare_fx(), "FXSAVE");
    return tap_done();
}

#else

int main(void)
{
    printf("1..0 # SKIP compares with the x87 of an x86-64 host\n");
    return 0;
}

#endif
