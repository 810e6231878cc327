/* The x87 in system mode, where it may be on the host while generated code runs: each host's
 * results are the interpreter's, which has helpers do it all. Operands anywhere in pages and across
 * them, on devices, next to code, and where nothing is mapped. */
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "guest/x86/system.h"
#include "tests/tap.h"

enum {
    CODE = 0x4000,
    LINEAR = 0x600000, /* two pages, */
    FIRST = 0x580000,  /* which are here and there */
    SECOND = 0x500000,
};

/* The same bytes in 32- and 64-bit mode: edi or rdi is where, esi how often. */
static const u8 formats[] = {
    0xdb, 0xe3,             /* fninit */
    0xdd, 0x07,             /* fld QWORD PTR [edi] */
    0xdc, 0x47, 0x08,       /* fadd QWORD PTR [edi+0x8] */
    0xd8, 0x4f, 0x10,       /* fmul DWORD PTR [edi+0x10] */
    0xde, 0x47, 0x14,       /* fiadd WORD PTR [edi+0x14] */
    0xdb, 0x47, 0x16,       /* fild DWORD PTR [edi+0x16] */
    0xde, 0xf9,             /* fdivp st(1),st */
    0xdf, 0x6f, 0x1a,       /* fild QWORD PTR [edi+0x1a] */
    0xde, 0xe1,             /* fsubrp st(1),st */
    0xdb, 0x57, 0x22,       /* fist DWORD PTR [edi+0x22] */
    0xd9, 0x57, 0x26,       /* fst DWORD PTR [edi+0x26] */
    0xdd, 0x57, 0x2a,       /* fst QWORD PTR [edi+0x2a] */
    0xd9, 0xc0,             /* fld st(0) */
    0xdb, 0x7f, 0x32,       /* fstp TBYTE PTR [edi+0x32] */
    0xdb, 0x6f, 0x32,       /* fld TBYTE PTR [edi+0x32] */
    0xdf, 0x7f, 0x3c,       /* fistp QWORD PTR [edi+0x3c] */
    0xd9, 0xeb,             /* fldpi */
    0xdf, 0x77, 0x44,       /* fbstp TBYTE PTR [edi+0x44] */
    0xdf, 0x67, 0x44,       /* fbld TBYTE PTR [edi+0x44] */
    0xdc, 0x57, 0x4e,       /* fcom QWORD PTR [edi+0x4e] */
    0xdf, 0xe0,             /* fnstsw ax */
    0x66, 0x89, 0x47, 0x56, /* mov WORD PTR [edi+0x56],ax */
    0xdf, 0x5f, 0x58,       /* fistp WORD PTR [edi+0x58] */
    0xd9, 0xe8,             /* fld1 */
    0xff, 0xc7,             /* inc edi */
    0xff, 0xce,             /* dec esi */
    0x75, 0xbb,             /* jne 0x2 */
    0xe6, 0xf4,             /* out 0xf4,al */
    0xeb, 0xfe,             /* jmp . */
};

static const u8 fault[] = {
    0xdb, 0xe3, /* fninit */
    0xd9, 0xe8, /* fld1 */
    0xdd, 0x1f, /* fstp QWORD PTR [edi] */
};

static const u8 count[] = {
    0xdb, 0xe3, /* fninit */
    0xdb, 0x07, /* fild DWORD PTR [edi] */
    0xd9, 0xe8, /* fld1 */
    0xe6, 0x80, /* out 0x80,al */
    0xde, 0xc1, /* faddp st(1),st */
    0xdb, 0x1f, /* fistp DWORD PTR [edi] */
    0xff, 0xce, /* dec esi */
    0x75, 0xf2, /* jne 0x2 */
    0xe6, 0xf4, /* out 0xf4,al */
    0xeb, 0xfe, /* jmp . */
};

#define LOAD(board, at, code) memcpy((board)->ram + (at), code, sizeof(code))

static void begin_64(Board *board, u64 second)
{
    board_enter_64(board, 0, CODE);
    board_map_small(board, LINEAR, FIRST | 7);
    board_map_small(board, LINEAR + 4096, second);
}

/* What one run leaves in memory and in the unit. */
typedef struct Outcome {
    u8 pages[2][4096];
    X86Fpr registers[8];
    u16 status;
    u8 top, empty;
} Outcome;

static Outcome *run_formats(const Host *host, bool wide)
{
    enum { ROUNDS = 256 };
    u32 places[2] = {wide ? FIRST : LINEAR, wide ? SECOND : LINEAR + 4096};
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    Outcome *outcome = calloc(1, sizeof *outcome);
    u64 seed = 7;

    LOAD(board, CODE, formats);
    if (wide) {
        begin_64(board, SECOND | 7);
    } else {
        board_enter_32(board, 0, CODE);
    }
    for (u32 i = 0; i < 2 * 4096; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        board->ram[places[i / 4096] + i % 4096] = (u8)(seed >> 33);
    }
    s->gpr[X86_RDI] = LINEAR + 4096 - ROUNDS + 64;
    s->gpr[X86_RSI] = ROUNDS;
    board_run(board, 0);
    OK(s->gpr[X86_RSI] == 0 && s->gpr[X86_RDI] == LINEAR + 4096 + 64,
       "%s: all rounds were done (%d-bit)", host->name, wide ? 64 : 32);
    memcpy(outcome->pages[0], board->ram + places[0], 4096);
    memcpy(outcome->pages[1], board->ram + places[1], 4096);
    memcpy(outcome->registers, s->fpr, sizeof s->fpr);
    outcome->status = s->fsw;
    outcome->top = s->ftop;
    outcome->empty = s->ftag_empty;
    board_free(board);
    return outcome;
}

static void test_formats(const Host *host, bool wide, const Outcome *right)
{
    Outcome *outcome = run_formats(host, wide);

    OK(!memcmp(outcome->pages, right->pages, sizeof right->pages),
       "%s: operands of every format, at every place in a page and across it", host->name);
    OK(!memcmp(outcome->registers, right->registers, sizeof right->registers) &&
           outcome->status == right->status && outcome->top == right->top &&
           outcome->empty == right->empty,
       "%s: what is left in the x87", host->name);
    free(outcome);
}

/* The shutdown, there being no table of handlers, shows the state. */
static void test_fault(const Host *host)
{
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;

    LOAD(board, CODE, fault);
    begin_64(board, SECOND | 5); /* read-only */
    s->gpr[X86_RDI] = LINEAR + 4096;
    OK(board_run(board, 0) == CPU_EXIT_SHUTDOWN && s->rip == CODE + 4 && s->ftop == 7 &&
           s->ftag_empty == 0x7f && s->cr[2] == LINEAR + 4096,
       "%s: a store that faults pops nothing", host->name);
    board_free(board);
}

/* Counts up by the x87 more often than it takes to give a block's operands up. */
static void test_count(const Host *host, u32 at, const char *where)
{
    enum { ROUNDS = 50 };
    Board *board = board_new(host, 1, 0);
    X86State *s = board->cpu[0].state;
    u32 number;

    LOAD(board, CODE, count);
    board_enter_32(board, 0, CODE);
    s->gpr[X86_RDI] = at;
    s->gpr[X86_RSI] = ROUNDS;
    board_run(board, 0);
    memcpy(&number, board->ram + (at < BOARD_RAM ? at : 0), sizeof number);
    number = at < BOARD_RAM ? number : (u32)board->device_value;
    OK(number == ROUNDS && board->out_count == ROUNDS, "%s: numbers %s (%u)", host->name, where,
       number);
    board_free(board);
}

int main(void)
{
    Outcome *right[2] = {run_formats(&host_interp, false), run_formats(&host_interp, true)};

    for (const Host *const *host = hosts; *host; host++) {
        test_formats(*host, false, right[0]);
        test_formats(*host, true, right[1]);
        test_fault(*host);
        test_count(*host, BOARD_DEVICE, "in a device");
        test_count(*host, CODE + 0x100, "next to code");
        test_count(*host, 0x6ffe, "across pages");
    }
    free(right[0]);
    free(right[1]);
    return tap_done();
}
