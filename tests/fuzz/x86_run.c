/* Fuzz target: any bytes as x86 code that a CPU in system mode executes, in every mode, with
 * segments, gates, tasks and page tables for it to misuse. The CPU is x86_machine.h's, which walks
 * the IR, so that what runs is the translator's output and the C code behind it.
 *
 * The first four bytes choose mode, control bits, CPU features and the seed of the registers; then
 * come four descriptors of the GDT, then the code. It runs until it halts, shuts down or has
 * executed LIMIT instructions. Whatever it does, the CPU's state must stay one that a CPU can have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../guest/x86_machine.h"
#include "../random.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RAM = 0x20000,
    HANDLER = 0x600, /* 256 HLTs */
    IDT = 0x1000,
    GDT = 0x2000,
    LDT = 0x2200,
    TSS = 0x3000, /* the current one, and two others behind it */
    TSS_SIZE = 0x100,
    TABLES = 0x4000,
    CODE = 0x8000,
    DATA = 0x9000,
    STACK0 = 0xc000,
    STACK3 = 0xd000,
    LIMIT = 200,
    LARGEST_INPUT = 256,
};

/* The GDT, by index; gates and system segments of 64-bit mode take two. */
enum {
    CODE32_0 = 1,
    DATA32_0,
    CODE32_3,
    DATA32_3,
    CODE16_0,
    DATA16_0,
    CODE64_0,
    CODE64_3,
    CONFORMING,
    EXPAND_DOWN,
    TSS32,
    TSS16,
    AN_LDT,
    CALL_GATE,
    TASK_GATE,
    TSS64,
    CALL_GATE64 = TSS64 + 2,
    FROM_INPUT = CALL_GATE64 + 2,
    DESCRIPTORS = FROM_INPUT + 4,
};

typedef enum Kind {
    REAL,
    VIRTUAL8086,
    PROTECTED16,
    PROTECTED32,
    PAGED32,
    PAE32,
    COMPATIBLE,
    LONG
} Kind;

/* Bits of the second byte. */
enum {
    RING3 = 1,
    IOPL3 = 2,
    TRAPPED = 4,
    ALIGNED = 8,
    IN_SMM = 16,
    BREAKPOINTS = 32,
    INTERRUPTED = 64,
    NO_FPU = 128,
};

static void put(Machine *m, u32 at, u64 value, unsigned size)
{
    memcpy(m->ram + at, &value, size);
}

static void put_descriptors(Machine *m, const u8 *from_input)
{
    static const u64 fixed[FROM_INPUT] = {
        [CODE32_0] = 0x00cf9b000000ffff,
        [DATA32_0] = 0x00cf93000000ffff,
        [CODE32_3] = 0x00cffb000000ffff,
        [DATA32_3] = 0x00cff3000000ffff,
        [CODE16_0] = 0x00009b000000ffff,
        [DATA16_0] = 0x000093000000ffff,
        [CODE64_0] = 0x00af9b000000ffff,
        [CODE64_3] = 0x00affb000000ffff,
        [CONFORMING] = 0x00cf9f000000ffff,
        [EXPAND_DOWN] = 0x004097000000bfff,
        [TSS32] = 0x00008900310000ff,
        [TSS16] = 0x00008100320000ff,
        [AN_LDT] = 0x000082002200007f,
        [CALL_GATE] = 0x0000ec0200080000 | HANDLER,
        [TASK_GATE] = 0x0000e50000000000 | TSS32 << 19,
        [TSS64] = 0x00008900300000ff,
        [CALL_GATE64] = 0x0000ec0000000000 | CODE64_0 << 19 | HANDLER,
    };

    memcpy(m->ram + GDT, fixed, sizeof(fixed));
    memcpy(m->ram + GDT + sizeof(fixed), from_input, 32);
    memcpy(m->ram + LDT, from_input, 32);
    m->cpu->gdt_base = GDT;
    m->cpu->gdt_limit = 8 * DESCRIPTORS - 1;
}

static void put_gates(Machine *m, Kind kind)
{
    bool wide = kind >= COMPATIBLE;
    u64 code = wide ? CODE64_0 : CODE32_0;

    memset(m->ram + HANDLER, 0xf4, 256);
    for (u32 n = 0; n < 256; n++) {
        u64 gate = (HANDLER + n) | code << 19 | (u64)0xee << 40;
        put(m, 4 * n, HANDLER + n, 4);
        if (wide) {
            put(m, IDT + 16 * n, gate, 8);
        } else {
            put(m, IDT + 8 * n, gate, 8);
        }
    }
    m->cpu->idt_base = kind == REAL ? 0 : IDT;
    m->cpu->idt_limit = kind == REAL ? 0x3ff : 0xfff;
}

static void put_task(Machine *m, Kind kind)
{
    bool wide = kind >= COMPATIBLE;

    put(m, TSS + 4, STACK0, 8);
    if (!wide) {
        put(m, TSS + 8, DATA32_0 << 3, 2);
    }
    for (u32 at = TSS + TSS_SIZE; at < TSS + 3 * TSS_SIZE; at += TSS_SIZE) {
        put(m, at + 0x20, CODE, 4);
        put(m, at + 0x38, STACK0, 4);
        put(m, at + 0x4c, CODE32_0 << 3, 2);
        put(m, at + 0x50, DATA32_0 << 3, 2);
    }
    m->cpu->segment[X86_TR] = (X86Segment){
        .base = TSS, .limit = TSS_SIZE - 1, .attributes = 0x8b, .selector = TSS64 << 3};
}

/* The first 4 MiB for all, what follows for the system only. */
static void put_tables(Machine *m, Kind kind)
{
    X86State *cpu = m->cpu;

    switch (kind) {
    case PAGED32:
        put(m, TABLES, 0x87, 4);
        put(m, TABLES + 4, 0x400083, 4);
        cpu->cr[4] |= X86_CR4_PSE;
        break;
    case PAE32:
        put(m, TABLES, (TABLES + 0x1000) | 1, 8);
        put(m, TABLES + 0x1000, 0x87, 8);
        cpu->pdpte[0] = (TABLES + 0x1000) | 1;
        cpu->cr[4] |= X86_CR4_PAE;
        break;
    case COMPATIBLE:
    case LONG:
        put(m, TABLES, (TABLES + 0x1000) | 7, 8);
        put(m, TABLES + 0x1000, (TABLES + 0x2000) | 7, 8);
        put(m, TABLES + 0x2000, 0x87, 8);
        put(m, TABLES + 0x2008, 0x8000000000200083, 8);
        cpu->cr[4] |= X86_CR4_PAE;
        cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
        break;
    default:
        return;
    }
    cpu->cr[0] |= X86_CR0_PG;
    cpu->cr[3] = TABLES;
}

static void set_segment(Machine *m, unsigned n, u16 index, bool ring3)
{
    u64 descriptor;

    memcpy(&descriptor, m->ram + GDT + 8 * index, 8);
    x86_set_segment(m->cpu, n, (u16)(index << 3 | (ring3 ? 3 : 0)), descriptor);
}

static void choose_segments(Machine *m, Kind kind, bool ring3)
{
    bool real = kind == REAL || kind == VIRTUAL8086;
    u16 code = ring3 ? CODE32_3 : CODE32_0, data = ring3 ? DATA32_3 : DATA32_0;

    if (kind == PROTECTED16) {
        ring3 = false;
        code = CODE16_0;
        data = DATA16_0;
    } else if (kind == LONG) {
        code = ring3 ? CODE64_3 : CODE64_0;
    }
    for (unsigned n = 0; n < 6; n++) {
        if (real) {
            x86_load_real(m->cpu, n, 0);
        } else {
            set_segment(m, n, n == X86_CS ? code : data, ring3);
        }
    }
    m->cpu->gpr[X86_RSP] = ring3 ? STACK3 : STACK0;
    m->cpu->rip = CODE;
}

/* Addresses, selectors, small and any numbers. */
static void choose_registers(X86State *cpu, u64 seed)
{
    for (unsigned n = 0; n < 16; n++) {
        u64 x = random_next(&seed);
        switch (x >> 61) {
        case 0:
        case 1:
        case 2:
            cpu->gpr[n] = DATA + x % 0x1000;
            break;
        case 3:
        case 4:
            cpu->gpr[n] = x % (8 * DESCRIPTORS);
            break;
        case 5:
            cpu->gpr[n] = (u64)0 - x % 16;
            break;
        default:
            cpu->gpr[n] = x;
            break;
        }
        cpu->xmm[n][0] = random_next(&seed);
        cpu->fpr[n % 8] = (X86Fpr){random_next(&seed), (u16)random_next(&seed), {0}};
    }
    cpu->ftag_empty = (u8)random_next(&seed);
}

static void choose_controls(X86State *cpu, Kind kind, u8 how, u8 features)
{
    cpu->cr[0] = X86_CR0_ET | (kind == REAL ? 0 : X86_CR0_PE) | (how & NO_FPU ? X86_CR0_TS : 0) |
                 (how & ALIGNED ? X86_CR0_AM | X86_CR0_WP : 0);
    cpu->cr[4] = (features & 1 ? X86_CR4_VME | X86_CR4_PVI : 0) |
                 (features & 2 ? X86_CR4_UMIP : 0) |
                 (features & 4 ? X86_CR4_FSGSBASE | X86_CR4_DE : 0) |
                 (features & 8 ? X86_CR4_SMEP | X86_CR4_SMAP : 0) |
                 (features & 16 ? 0 : X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT) |
                 (features & 32 ? X86_CR4_TSD | X86_CR4_PGE : 0);
    cpu->xcr0 = 7;
    x86_set_mxcsr(cpu, features & 64 ? 0 : 0x1f80);
    cpu->fcw = features & 128 ? 0x340 : 0x37f;
    cpu->eflags = X86_EFLAGS_FIXED | X86_EFLAGS_IF | (kind == VIRTUAL8086 ? X86_EFLAGS_VM : 0) |
                  (how & IOPL3 ? X86_EFLAGS_IOPL : 0) | (how & TRAPPED ? X86_EFLAGS_TF : 0) |
                  (how & ALIGNED ? X86_EFLAGS_AC : 0);
    cpu->in_smm = how & IN_SMM ? 1 : 0;
    if (how & BREAKPOINTS) {
        cpu->dr[0] = CODE + 4;
        cpu->dr[1] = DATA + 0x800;
        cpu->dr[7] = 0x00f00405;
    }
}

/* What a CPU can't be in, whatever a program does. */
static const char *impossible(const X86State *cpu)
{
    bool paged = cpu->cr[0] & X86_CR0_PG, is_long = cpu->efer & X86_EFER_LMA;

    return paged && !(cpu->cr[0] & X86_CR0_PE)               ? "paging without protection"
           : is_long && !(paged && cpu->cr[4] & X86_CR4_PAE) ? "long mode without paging"
           : cpu->eflags & X86_EFLAGS_STATUS                 ? "status flags in eflags"
           : !(cpu->eflags & X86_EFLAGS_FIXED)               ? "bit 1 of EFLAGS"
           : !(cpu->cr[0] & X86_CR0_PE) && cpu->eflags & X86_EFLAGS_VM
               ? "V86 mode without protection"
           : !x86_in_64_bit_mode(cpu) && cpu->rip >> 32 ? "a wide instruction pointer"
           : cpu->ftop > 7                              ? "TOP"
           : cpu->cr8 > 15                              ? "CR8"
                                                        : NULL;
}

/* Long repetitions in one piece would be one instruction: whenever memory is looked up, an
 * interrupt might have come. */
static u8 *(*plain_ram)(void *opaque, u64 address, unsigned size, bool write);

static u8 *interrupting_ram(void *opaque, u64 address, unsigned size, bool write)
{
    Machine *m = opaque;

    cpu_common(m->cpu)->interrupt = 1;
    return plain_ram(opaque, address, size, write);
}

static Machine *new_machine(void)
{
    Machine *m = machine_new(RAM);

    plain_ram = m->bus.ram;
    m->bus.ram = interrupting_ram;
    return m;
}

static void set_up(Machine *m, const u8 data[36])
{
    Kind kind = (Kind)(data[0] & 7);
    u64 seed = data[3];

    memset(m->ram, 0, RAM);
    guest_x86_64.reset(m->cpu, cpu_common(m->cpu));
    m->instructions = 0;
    for (u32 at = DATA; at < DATA + 0x1000; at += 8) {
        put(m, at, random_next(&seed), 8);
    }
    choose_registers(m->cpu, seed);
    choose_controls(m->cpu, kind, data[1], data[2]);
    put_descriptors(m, data + 4);
    put_gates(m, kind);
    put_task(m, kind);
    put_tables(m, kind);
    choose_segments(m, kind, data[1] & RING3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 36 };
    static Machine *m;
    const char *wrong = NULL;
    MachineStop stop = MACHINE_RUNS;

    if (size <= HEAD) {
        return 0;
    }
    m = m ? m : new_machine();
    set_up(m, data);
    memcpy(m->ram + CODE, data + HEAD, MIN(size - HEAD, (size_t)LARGEST_INPUT));
    for (unsigned n = 0; stop == MACHINE_RUNS && n < LIMIT && m->instructions < LIMIT; n++) {
        if (n == 8 && data[1] & INTERRUPTED) {
            m->vector = data[3];
            cpu_common(m->cpu)->lines |= CPU_LINE_IRQ;
            cpu_common(m->cpu)->interrupt = 1;
        }
        stop = machine_step(m, 1 + n % 8);
        wrong = impossible(m->cpu);
        if (wrong) {
            fprintf(stderr, "at %#llx: %s\n", (unsigned long long)m->cpu->rip, wrong);
            abort();
        }
    }
    return 0;
}
