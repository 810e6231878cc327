/* The x86 CPU in system mode, executing: interrupts and their shadow, single steps, breakpoints,
 * alignment checks, system calls, ports, virtual interrupts, system management mode, INIT.
 *
 * The CPU is x86_machine.h's, which walks the IR. Code lies at CODE; a handler is a HLT, found at
 * HANDLER + its vector, so that the machine stops there. */
#include <string.h>

#include "../tap.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/system.h"
#include "x86_machine.h"

enum {
    RAM = 1 << 20,
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    TABLES = 0x10000,
    CODE = 0x5000,
    DATA = 0x6000,
    HANDLER = 0x7000,
    STACK0 = 0x9000,
    STACK3 = 0xa000,
    CODE0_SELECTOR = 0x08,
    DATA0_SELECTOR = 0x10,
    CODE3_SELECTOR = 0x1b,
    DATA3_SELECTOR = 0x23,
};

static Machine *m;
static X86State *cpu;
static struct {
    u16 port;
    unsigned size;
    u32 value;
} last_port;

/* -- Setting up */

static void put(u32 at, u64 value, unsigned size)
{
    memcpy(m->ram + at, &value, size);
}

static u64 get(u32 at, unsigned size)
{
    u64 value = 0;

    memcpy(&value, m->ram + at, size);
    return value;
}

static void code(const char *bytes, size_t size)
{
    memcpy(m->ram + CODE, bytes, size);
}
#define CODE_IS(bytes) code(bytes, sizeof(bytes) - 1)

static void port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    (void)opaque;
    last_port.port = port;
    last_port.size = size;
    last_port.value = value;
}

static u32 port_read(void *opaque, u16 port, unsigned size)
{
    (void)opaque, (void)size;
    return 0xa0b0c000u + port;
}

static void begin(void)
{
    if (m) {
        machine_free(m);
    }
    m = machine_new(RAM);
    cpu = m->cpu;
    m->bus.port_write = port_write;
    m->bus.port_read = port_read;
    for (unsigned n = 0; n < 256; n++) {
        m->ram[HANDLER + n] = 0xf4; /* HLT */
    }
}

static void begin_real_mode(void)
{
    begin();
    for (unsigned n = 0; n < 256; n++) {
        put(4 * n, HANDLER + n, 4);
    }
    for (unsigned n = 0; n < 6; n++) {
        x86_load_real(cpu, n, 0);
    }
    cpu->gpr[X86_RSP] = STACK0;
    cpu->rip = CODE;
}

static void flat(unsigned segment, u16 selector, u16 attributes)
{
    cpu->segment[segment] =
        (X86Segment){.limit = 0xffffffff, .selector = selector, .attributes = attributes};
}

static void enter_level(unsigned cpl, u16 size_bits)
{
    u16 code3 = cpl ? CODE3_SELECTOR : CODE0_SELECTOR,
        data3 = cpl ? DATA3_SELECTOR : DATA0_SELECTOR;
    u16 dpl = (u16)(cpl << X86_SEGMENT_DPL_SHIFT);

    flat(X86_CS, code3, X86_SEGMENT_G | size_bits | 0x9b | dpl);
    for (unsigned n = 0; n < 6; n++) {
        if (n != X86_CS) {
            flat(n, data3, X86_SEGMENT_G | X86_SEGMENT_DB | 0x93 | dpl);
        }
    }
    cpu->gpr[X86_RSP] = cpl ? STACK3 : STACK0;
    cpu->rip = CODE;
}

static void put_tables(bool wide)
{
    u64 code_bits = wide ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
    unsigned size = wide ? 16 : 8;

    put(GDT + CODE0_SELECTOR, code_bits, 8);
    put(GDT + DATA0_SELECTOR, 0x00cf93000000ffff, 8);
    put(GDT + (CODE3_SELECTOR & ~3), code_bits | (u64)3 << 45, 8);
    put(GDT + (DATA3_SELECTOR & ~3), 0x00cff3000000ffff, 8);
    for (unsigned n = 0; n < 256; n++) {
        put(IDT + size * n, (HANDLER + n) | CODE0_SELECTOR << 16 | (u64)0xee << 40, 8);
    }
    cpu->gdt_base = GDT;
    cpu->gdt_limit = 0x7f;
    cpu->idt_base = IDT;
    cpu->idt_limit = 0xfff;
    cpu->segment[X86_TR] = (X86Segment){.base = TSS, .limit = 0x2100, .attributes = 0x8b};
    put(TSS + 4, STACK0, wide ? 8 : 4);
    if (!wide) {
        put(TSS + 8, DATA0_SELECTOR, 2);
    }
}

/* 32-bit protected mode without paging. */
static void begin_protected(unsigned cpl)
{
    begin();
    cpu->cr[0] = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
    put_tables(false);
    enter_level(cpl, X86_SEGMENT_DB);
}

/* 64-bit mode; the lowest GiB is mapped to itself, for all. */
static void begin_64(unsigned cpl)
{
    begin();
    put(TABLES, (TABLES + 0x1000) | 7, 8);
    put(TABLES + 0x1000, 0x87, 8);
    cpu->cr[0] = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
    cpu->cr[3] = TABLES;
    cpu->cr[4] = X86_CR4_PAE;
    cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
    put_tables(true);
    enter_level(cpl, X86_SEGMENT_L);
}

static void raise_irq(int vector)
{
    m->vector = vector;
    cpu_common(cpu)->lines |= CPU_LINE_IRQ;
    cpu_common(cpu)->interrupt = 1;
}

/* Runs to a HLT; the vector of the handler that it is in, or -1. */
static int run(void)
{
    MachineStop stop = machine_run(m, 1000);
    u64 at = cpu->rip - 1 + cpu->segment[X86_CS].base;

    return stop == MACHINE_HALTED && at >= HANDLER && at < HANDLER + 256 ? (int)(at - HANDLER) : -1;
}

/* -- Interrupts */

static void test_sti_shadow(void)
{
    begin_real_mode();
    CODE_IS("\xfb\x40\x40\x40\xf4"); /* sti; inc ax (three times); hlt */
    raise_irq(0x20);
    OK(run() == 0x20 && (u16)cpu->gpr[X86_RAX] == 1 && get((u32)cpu->gpr[X86_RSP], 2) == CODE + 2,
       "after STI one more instruction is executed");
    begin_real_mode();
    CODE_IS("\xfb\xfa\x40\xf4"); /* sti; cli; inc ax; hlt */
    raise_irq(0x20);
    OK(run() == -1 && (u16)cpu->gpr[X86_RAX] == 1, "STI and CLI let nothing in");
}

static void test_stack_shadow(void)
{
    begin_real_mode();
    cpu->eflags |= X86_EFLAGS_IF;
    CODE_IS("\x8e\xd0\xbc\x00\x80\x43\xf4"); /* mov ss,ax; mov sp,8000h; inc bx; hlt */
    raise_irq(0x21);
    cpu_common(cpu)->interrupt = 0; /* it comes just when the first instruction has begun */
    OK(run() == 0x21 && cpu->gpr[X86_RSP] == 0x8000 - 6, "an interrupt comes after MOV SP");
    begin_real_mode();
    cpu->eflags |= X86_EFLAGS_TF;
    CODE_IS("\x8e\xd0\xbc\x00\x80\x43\xf4");
    OK(run() == 1 && cpu->gpr[X86_RSP] == 0x8000 - 6, "and so does a single step's trap");
}

static void test_halt(void)
{
    begin_real_mode();
    cpu->eflags |= X86_EFLAGS_IF;
    CODE_IS("\xf4\x40\xf4");
    OK(machine_run(m, 10) == MACHINE_HALTED && cpu->rip == CODE + 1, "HLT waits");
    raise_irq(0x22);
    OK(run() == 0x22 && get((u32)cpu->gpr[X86_RSP], 2) == CODE + 1, "an interrupt wakes it");
    begin_real_mode();
    CODE_IS("\xf4\x40\xf4");
    machine_run(m, 10);
    raise_irq(0x22);
    OK(machine_run(m, 10) == MACHINE_HALTED && cpu->rip == CODE + 1, "not with IF clear");
    cpu_common(cpu)->lines |= CPU_LINE_NMI;
    cpu_common(cpu)->interrupt = 1;
    OK(run() == 2, "but an NMI does");
}

static unsigned rests;

static void rest(void *opaque, u64 nanoseconds, u32 ignored)
{
    (void)opaque, (void)nanoseconds, (void)ignored;
    rests++;
}

static void begin_waiting(void)
{
    X86Cpu model;

    begin_64(0);
    m->bus.rest = rest;
    rests = 0;
    x86_parse_cpu("max,+monitor", &model, NULL, 0);
    x86_set_cpu(cpu, &model);
    cpu->gpr[X86_RAX] = DATA + 8;
    CODE_IS("\x0f\x01\xc8\x90\x0f\x01\xc9\xf4"); /* monitor; nop; mwait; hlt */
}

static void test_waiting(void)
{
    begin_waiting();
    OK(run() == -1 && rests == 1, "MWAIT rests");
    begin_waiting();
    memcpy(m->ram + CODE + 3, "\x40\x88\x00\x0f\x01\xc9\xf4", 7); /* mov [rax],al; mwait; hlt */
    cpu->gpr[X86_RAX] |= 1;
    OK(run() == -1 && rests == 0, "but not behind a store to the line that MONITOR named");
    begin_waiting();
    memcpy(m->ram + CODE, "\x90\x90\x90", 3);
    OK(run() == -1 && rests == 0, "nor without MONITOR");
}

static void test_nmi_blocking(void)
{
    begin_real_mode();
    m->ram[HANDLER + 2] = 0xcf; /* IRET */
    CODE_IS("\x90\x90\x90\xf4");
    cpu_common(cpu)->lines |= CPU_LINE_NMI;
    cpu_common(cpu)->interrupt = 1;
    machine_step(m, 1);
    OK(cpu->rip == HANDLER + 2 && cpu->nmi_blocked, "an NMI blocks others");
    cpu_common(cpu)->lines |= CPU_LINE_NMI;
    cpu_common(cpu)->interrupt = 1;
    machine_step(m, 1);
    OK(!cpu->nmi_blocked && cpu->rip == CODE, "until IRET");
    machine_step(m, 1);
    OK(cpu->rip == HANDLER + 2, "then the next comes");
}

/* -- Exceptions */

static void test_software_interrupt_fault(void)
{
    begin_protected(3);
    put(IDT + 8 * 0x40 + 5, 0x8e, 1); /* DPL 0 */
    CODE_IS("\x90\xcd\x40");
    OK(run() == X86_GP && get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE + 1 &&
           get((u32)cpu->gpr[X86_RSP], 4) == 0x40 * 8 + 2,
       "INT of another's gate faults at the INT");
}

static void test_shutdown(void)
{
    begin_protected(0);
    cpu->idt_limit = 0;
    CODE_IS("\x0f\x0b");
    OK(machine_run(m, 10) == MACHINE_SHUTDOWN, "a triple fault shuts down");
}

static void test_code_limit(void)
{
    begin_protected(0);
    cpu->segment[X86_CS].limit = CODE + 3;
    CODE_IS("\x90\xb8\x01\x00\x00\x00"); /* nop; mov eax,1, which ends beyond */
    OK(run() == X86_GP && get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE + 1,
       "an instruction beyond the code segment's limit: #GP");
    begin_protected(0);
    cpu->segment[X86_CS].limit = CODE + 0xff;
    CODE_IS("\x31\xc9\xe2\x7e\x49\xe9\x00\x10\x00\x00"); /* xor ecx,ecx; loop; dec; jmp beyond */
    put(CODE + 3, 0, 1);
    OK(run() == X86_GP && get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE + 5,
       "a jump beyond it faults where it is");
    begin_protected(0);
    cpu->segment[X86_CS] = (X86Segment){
        .base = CODE, .limit = 0xfff, .selector = CODE0_SELECTOR, .attributes = 0x9b | 0x4000};
    cpu->rip = 0;
    CODE_IS("\xe8\x01\x00\x00\x00\xf4\x58\xf4"); /* call $+1; hlt; pop eax; hlt */
    OK(machine_run(m, 10) == MACHINE_HALTED && cpu->gpr[X86_RAX] == 5 && cpu->rip == 8,
       "code counts from its segment's base");
}

static void test_canonical(void)
{
    begin_64(3);
    CODE_IS("\x48\xbc\0\0\0\0\0\0\0\x80\x50"); /* mov rsp,8000...h; push rax */
    OK(run() == X86_STACK, "a stack at an address that is not canonical: #SS");
    begin_64(3);
    CODE_IS("\x48\xa1\0\0\0\0\0\0\0\x80"); /* mov rax,[8000...h] */
    OK(run() == X86_GP, "anything else there: #GP");
}

/* A fifth level above the other four. */
static void test_57_bits(void)
{
    X86Cpu model;

    begin_64(0);
    CODE_IS("\x48\xbb\0\0\0\0\0\0\x55\0\x48\x8b\x03"); /* mov rbx,55...h; mov rax,[rbx] */
    OK(run() == X86_GP, "four levels have 48 bits");
    begin_64(0);
    CODE_IS("\x48\xbb\0\0\0\0\0\0\x55\0\x48\x8b\x03");
    put(TABLES + 0x4000, TABLES | 7, 8);
    cpu->cr[3] = TABLES + 0x4000;
    cpu->cr[4] |= X86_CR4_LA57;
    OK(run() == X86_PF && cpu->cr[2] == (u64)0x55 << 48, "five have 57");
    begin_64(0);
    cpu->cr[4] |= X86_CR4_FSGSBASE;
    OK(x86_parse_cpu("max,+la57", &model, NULL, 0), "a CPU with LA57");
    x86_set_cpu(cpu, &model);
    CODE_IS("\x48\xbb\0\0\0\0\0\0\x55\0\xf3\x48\x0f\xae\xd3\xf4"); /* wrfsbase rbx; hlt */
    OK(run() == -1 && cpu->segment[X86_FS].base == (u64)0x55 << 48, "has bases of 57 bits");
}

static void test_alignment(void)
{
    begin_protected(3);
    cpu->cr[0] |= X86_CR0_AM;
    cpu->eflags |= X86_EFLAGS_AC;
    CODE_IS("\xa1\x00\x60\x00\x00\xa1\x02\x60\x00\x00"); /* mov eax,[6000h]; mov eax,[6002h] */
    OK(run() == X86_AC && get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE + 5, "#AC");
    begin_protected(0);
    cpu->cr[0] |= X86_CR0_AM;
    cpu->eflags |= X86_EFLAGS_AC;
    CODE_IS("\xa1\x02\x60\x00\x00\xf4");
    OK(run() == -1 && cpu->rip == CODE + 6, "not at privilege level 0");
}

/* -- Debugging */

static void test_single_step(void)
{
    begin_protected(0);
    cpu->eflags |= X86_EFLAGS_TF;
    CODE_IS("\x40\x40");
    OK(run() == X86_DB && cpu->gpr[X86_RAX] == 1 && cpu->dr[6] & X86_DR6_BS, "a single step: BS");
    begin_protected(0);
    cpu->eflags |= X86_EFLAGS_TF;
    CODE_IS("\xea\x08\x50\x00\x00\x08\x00\x90\x90"); /* jmp 8:5008h */
    OK(run() == X86_DB && get((u32)cpu->gpr[X86_RSP], 4) == CODE + 8, "of a far jump: at its end");
    begin_protected(0);
    CODE_IS("\xf1\x90");
    OK(run() == X86_DB && !(cpu->dr[6] & X86_DR6_BS), "INT1 is none");
}

static void test_breakpoints(void)
{
    begin_protected(0);
    cpu->dr[0] = CODE + 1;
    cpu->dr[7] = 0x402;
    CODE_IS("\x40\x40\x40\xf4");
    OK(run() == X86_DB && cpu->gpr[X86_RAX] == 1 && (cpu->dr[6] & 15) == 1,
       "a breakpoint is before its instruction");
    cpu->halted = 0;
    cpu->rip = CODE + 1;
    enter_level(0, X86_SEGMENT_DB);
    cpu->rip = CODE + 1;
    cpu->eflags |= X86_EFLAGS_RF;
    OK(run() == -1 && cpu->gpr[X86_RAX] == 3, "RF spares one instruction");
    begin_protected(0);
    cpu->dr[1] = DATA;
    cpu->dr[7] = 0x400 | 1 << 3 | 1 << 20 | 3 << 22; /* write, 4 bytes */
    CODE_IS("\xa1\x00\x60\x00\x00\xa3\x02\x60\x00\x00\x40\xf4");
    OK(run() == X86_DB && (cpu->dr[6] & 15) == 2 && get((u32)cpu->gpr[X86_RSP], 4) == CODE + 10,
       "one on data follows the store");
    begin_protected(0);
    cpu->cr[4] |= X86_CR4_DE;
    cpu->dr[2] = 0x80;
    cpu->dr[7] = 0x400 | 1 << 5 | 2 << 24;
    CODE_IS("\xe6\x80\x40\xf4");
    OK(run() == X86_DB && (cpu->dr[6] & 15) == 4 && last_port.port == 0x80, "one on a port");
    begin_protected(0);
    cpu->dr[7] |= X86_DR7_GD;
    CODE_IS("\x0f\x21\xc0");
    OK(run() == X86_DB && cpu->dr[6] & X86_DR6_BD && !(cpu->dr[7] & X86_DR7_GD),
       "DR7.GD guards the registers once");
}

static void begin_watched_stack_load(void)
{
    begin_protected(0);
    put(DATA, DATA0_SELECTOR, 2);
    cpu->dr[1] = DATA;
    cpu->dr[7] = 0x400 | 1 << 3 | 3 << 20; /* any access, one byte */
}

static void test_breakpoint_in_shadow(void)
{
    begin_watched_stack_load();
    CODE_IS("\x8e\x15\x00\x60\x00\x00\x40\x40"); /* mov ss,[6000h]; inc eax; inc eax */
    OK(run() == X86_DB && cpu->gpr[X86_RAX] == 1 && cpu->dr[6] & 2,
       "one that MOV SS meets waits for the next instruction");
    begin_watched_stack_load();
    CODE_IS("\x8e\x15\x00\x60\x00\x00\xcd\x20"); /* mov ss,[6000h]; int 20h */
    OK(run() == X86_DB && get((u32)cpu->gpr[X86_RSP], 4) == HANDLER + 0x20,
       "also if that is INT: the trap is in its handler");
}

static void test_breakpoint_on_repetition(void)
{
    begin_protected(0);
    cpu->dr[0] = CODE;
    cpu->dr[7] = 0x402;
    cpu->gpr[X86_RCX] = 3;
    cpu->gpr[X86_RSI] = cpu->gpr[X86_RDI] = DATA;
    cpu->eflags |= X86_EFLAGS_RF;
    CODE_IS("\xf3\xa6\xf4"); /* repe cmpsb; hlt */
    OK(run() == -1 && cpu->gpr[X86_RCX] == 0 && !(cpu->eflags & X86_EFLAGS_RF),
       "RF spares all of a repeated instruction");
    begin_protected(0);
    cpu->gpr[X86_RCX] = 3;
    cpu->gpr[X86_RSI] = cpu->gpr[X86_RDI] = DATA;
    cpu->eflags |= X86_EFLAGS_IF;
    CODE_IS("\xf3\xa6\xf4");
    machine_step(m, 1);
    raise_irq(0x20);
    OK(run() == 0x20 && cpu->gpr[X86_RCX] == 2 &&
           get((u32)cpu->gpr[X86_RSP] + 8, 4) & X86_EFLAGS_RF,
       "an interrupt between elements saves RF set");
}

/* -- System calls */

static void test_syscall(void)
{
    begin_64(3);
    cpu->star = (u64)0x10 << 48 | (u64)CODE0_SELECTOR << 32;
    cpu->lstar = CODE + 0x100;
    cpu->sfmask = X86_EFLAGS_IF | X86_EFLAGS_CF;
    x86_set_eflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_ZF);
    CODE_IS("\x0f\x05\xf4");
    memcpy(m->ram + CODE + 0x100, "\x0f\x01\xf8\x48\x0f\x07", 6); /* swapgs; sysretq */
    cpu->kernel_gs_base = 0x1234;
    machine_step(m, 1);
    OK(cpu->rip == CODE + 0x100 && x86_cpl(cpu) == 0 && cpu->gpr[X86_RCX] == CODE + 2 &&
           (cpu->gpr[11] & 0xfff) == (X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_ZF | 2) &&
           (x86_get_eflags(cpu) & 0xfff) == (X86_EFLAGS_ZF | 2),
       "SYSCALL, with flags masked");
    machine_step(m, 1);
    OK(cpu->segment[X86_GS].base == 0x1234 && cpu->kernel_gs_base == 0, "SWAPGS");
    machine_step(m, 1);
    OK(cpu->rip == CODE + 2 && x86_cpl(cpu) == 3 && cpu->eflags & X86_EFLAGS_IF &&
           cpu->segment[X86_CS].selector == 0x23 && cpu->segment[X86_SS].selector == 0x1b,
       "SYSRET");
    OK(run() == X86_GP, "HLT is not the program's");
}

static void test_syscall_steps(void)
{
    begin_64(3);
    cpu->star = (u64)0x10 << 48 | (u64)CODE0_SELECTOR << 32;
    cpu->lstar = CODE + 0x100;
    cpu->sfmask = X86_EFLAGS_TF;
    cpu->eflags |= X86_EFLAGS_TF;
    CODE_IS("\x0f\x05\x90\x90");
    memcpy(m->ram + CODE + 0x100, "\x90\x48\x0f\x07", 4); /* nop; sysretq */
    OK(run() == X86_DB && get((u32)cpu->gpr[X86_RSP], 8) == CODE + 2 &&
           get((u32)cpu->gpr[X86_RSP] + 8, 8) == 0x23,
       "SYSCALL masks TF before it could trap; SYSRET traps by the TF that it restores");
    begin_64(3);
    cpu->star = (u64)0x10 << 48 | (u64)CODE0_SELECTOR << 32;
    cpu->lstar = CODE + 0x100;
    cpu->eflags |= X86_EFLAGS_TF;
    CODE_IS("\x0f\x05\x90\x90");
    OK(run() == X86_DB && get((u32)cpu->gpr[X86_RSP], 8) == CODE + 0x100, "or SYSCALL, unmasked");
}

static void test_sysenter(void)
{
    begin_protected(3);
    cpu->sysenter_cs = CODE0_SELECTOR;
    cpu->sysenter_esp = STACK0;
    cpu->sysenter_eip = CODE + 0x100;
    cpu->eflags |= X86_EFLAGS_IF;
    CODE_IS("\x0f\x34");
    memcpy(m->ram + CODE + 0x100, "\x0f\x35", 2);
    machine_step(m, 1);
    OK(cpu->rip == CODE + 0x100 && x86_cpl(cpu) == 0 && cpu->gpr[X86_RSP] == STACK0 &&
           !(cpu->eflags & X86_EFLAGS_IF),
       "SYSENTER");
    cpu->gpr[X86_RDX] = CODE + 0x50;
    cpu->gpr[X86_RCX] = STACK3;
    machine_step(m, 1);
    OK(cpu->rip == CODE + 0x50 && x86_cpl(cpu) == 3 && cpu->gpr[X86_RSP] == STACK3, "SYSEXIT");
}

static void test_registers(void)
{
    begin_64(0);
    CODE_IS("\xb9\x00\x01\x00\xc0\xb8\x78\x56\x34\x12\x31\xd2\x0f\x30\x31\xc0\x0f\x32\xf4");
    OK(run() == -1 && cpu->segment[X86_FS].base == 0x12345678 && cpu->gpr[X86_RAX] == 0x12345678,
       "WRMSR and RDMSR of the base of FS");
    begin_64(0);
    CODE_IS("\xb9\xff\xff\x00\x00\x0f\x32");
    OK(run() == X86_GP, "an MSR that does not exist: #GP");
    begin_64(0);
    CODE_IS("\x0f\x20\xe0\x48\x0d\x04\x00\x00\x00\x0f\x22\xe0\xf4"); /* cr4 |= TSD */
    OK(run() == -1 && cpu->cr[4] & X86_CR4_TSD, "MOV to and from CR4");
    enter_level(3, X86_SEGMENT_L);
    cpu->halted = 0;
    CODE_IS("\x0f\x31");
    OK(run() == X86_GP, "CR4.TSD: no RDTSC for programs");
    begin_64(3);
    cpu->cr[4] |= X86_CR4_UMIP;
    CODE_IS("\x0f\x01\x24\x25\x00\x60\x00\x00"); /* smsw [6000h] */
    OK(run() == X86_GP, "CR4.UMIP: no SMSW either");
}

/* -- Ports */

/* Steps through three elements. */
static void test_port_steps(const char *bytes, size_t size, unsigned pointer, const char *what)
{
    bool right = true;

    begin_protected(0);
    cpu->gpr[X86_RCX] = 3;
    cpu->gpr[X86_RDX] = 0x44;
    cpu->gpr[pointer] = DATA;
    code(bytes, size);
    for (unsigned n = 1; n <= 3; n++) {
        u32 after = n == 3 ? CODE + 2 : CODE;
        cpu->eflags |= X86_EFLAGS_TF;
        right &= run() == X86_DB && cpu->gpr[X86_RCX] == 3 - n && cpu->gpr[pointer] == DATA + n &&
                 cpu->dr[6] & X86_DR6_BS && get((u32)cpu->gpr[X86_RSP], 4) == after &&
                 !(get((u32)cpu->gpr[X86_RSP] + 8, 4) & X86_EFLAGS_RF) == (n == 3);
        enter_level(0, X86_SEGMENT_DB);
        cpu->rip = after;
        cpu->halted = 0;
        cpu->dr[6] = 0;
    }
    OK(right, "a single step of %s is one element", what);
    OK(run() == -1 && cpu->gpr[X86_RAX] == 1, "%s: and then what follows", what);
}

static void test_ports(void)
{
    begin_protected(3);
    put(TSS + 102, 0x68, 2);
    put(TSS + 0x68 + 0x80 / 8, 0xfe, 1);
    put(TSS + 0x68 + 0x80 / 8 + 1, 0xff, 1);
    CODE_IS("\xb0\x77\xe6\x80\xe5\x80");
    OK(run() == X86_GP && last_port.port == 0x80 && last_port.value == 0x77 &&
           get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE + 4,
       "the permission map allows OUT 80h of a byte only");
    begin_protected(3);
    put(TSS + 102, 0x68, 2);
    put(TSS + 0x68, 0xff, 2);
    cpu->gpr[X86_RDX] = 0;
    CODE_IS("\xf3\x6c\xf4");
    OK(run() == X86_GP && get((u32)cpu->gpr[X86_RSP] + 4, 4) == CODE,
       "REP INSB of no elements is refused as well");
    begin_real_mode();
    cpu->gpr[X86_RCX] = 3;
    cpu->gpr[X86_RDX] = 0x44;
    cpu->gpr[X86_RDI] = DATA;
    CODE_IS("\xf3\x6d\xf4");
    OK(run() == -1 && get(DATA, 4) == 0xc044c044 && get(DATA + 4, 4) == 0xc044 &&
           (u16)cpu->gpr[X86_RCX] == 0 && (u16)cpu->gpr[X86_RDI] == DATA + 6,
       "REP INSW");
    begin_real_mode();
    cpu->gpr[X86_RCX] = 2;
    cpu->gpr[X86_RDX] = 0x46;
    cpu->gpr[X86_RSI] = DATA;
    put(DATA, 0x22221111, 4);
    CODE_IS("\xf3\x6f\xf4");
    OK(run() == -1 && last_port.value == 0x2222 && last_port.port == 0x46, "REP OUTSW");
    test_port_steps("\xf3\x6c\x40\xf4", 4, X86_RDI, "REP INSB"); /* rep insb; inc eax; hlt */
    test_port_steps("\xf3\x6e\x40\xf4", 4, X86_RSI, "REP OUTSB");
}

/* -- The x87 and the system */

static unsigned fp_errors;

static void fp_error(void *opaque)
{
    (void)opaque;
    fp_errors++;
}

static void test_fp_errors(void)
{
    for (unsigned own = 0; own < 2; own++) {
        begin_real_mode();
        m->bus.fp_error = fp_error;
        cpu->cr[0] |= own ? X86_CR0_NE : 0;
        fp_errors = 0;
        put(DATA, 0x37b, 2); /* division by zero is unmasked */
        CODE_IS("\xdb\xe3\xd9\x2e\x00\x60\xd9\xe8\xd9\xee\xde\xf9\x9b\xf4"); /* 1 / 0; fwait */
        if (own) {
            OK(run() == X86_MF && fp_errors == 0, "with CR0.NE an x87 error is an exception");
        } else {
            machine_run(m, 20);
            OK(cpu->rip == CODE + 12 && fp_errors > 0, "without, FERR# and FWAIT waits");
        }
    }
    begin_real_mode();
    cpu->cr[0] |= X86_CR0_TS;
    CODE_IS("\x9b\xf4");
    OK(run() == -1 && cpu->halted, "CR0.TS means nothing to FWAIT");
    begin_real_mode();
    cpu->cr[0] |= X86_CR0_TS | X86_CR0_MP;
    CODE_IS("\x9b\xf4");
    OK(run() == X86_NM, "without CR0.MP");
}

/* -- Virtual-8086 mode */

static void begin_vm86(void)
{
    begin_protected(3);
    cpu->eflags |= X86_EFLAGS_VM;
    for (unsigned n = 0; n < 6; n++) {
        x86_load_real(cpu, n, 0);
    }
}

static void test_virtual_interrupts(void)
{
    begin_vm86();
    CODE_IS("\xfa");
    OK(run() == X86_GP, "CLI in virtual-8086 mode: #GP");
    begin_vm86();
    cpu->cr[4] |= X86_CR4_VME;
    cpu->eflags |= X86_EFLAGS_VIF;
    CODE_IS("\xfa\x9c\x58\xf4"); /* cli; pushf; pop ax; hlt */
    OK(run() == X86_GP && !(cpu->eflags & X86_EFLAGS_VIF) &&
           ((u16)cpu->gpr[X86_RAX] & (X86_EFLAGS_IF | X86_EFLAGS_IOPL)) == X86_EFLAGS_IOPL,
       "with CR4.VME it clears VIF, and PUSHF shows that");
    begin_vm86();
    cpu->cr[4] |= X86_CR4_VME;
    cpu->eflags |= X86_EFLAGS_VIP;
    CODE_IS("\xfb");
    OK(run() == X86_GP, "STI while one is pending: #GP");
    begin_vm86();
    cpu->cr[4] |= X86_CR4_VME;
    put(TSS + 102, 0x88, 2);
    put(4 * 0x30, CODE + 0x20, 4);
    CODE_IS("\xcd\x30");
    machine_step(m, 1);
    OK(cpu->rip == CODE + 0x20 && cpu->eflags & X86_EFLAGS_VM, "INT through the program's table");
    begin_vm86();
    CODE_IS("\xcd\x30");
    OK(run() == X86_GP, "without CR4.VME it is the monitor's");
}

/* -- System management mode, INIT */

static void test_smm(void)
{
    enum { SMBASE = 0x30000 };

    begin_64(3);
    cpu->gpr[15] = 0x1515;
    CODE_IS("\x90\xf4");
    /* mov dword cs:[ff00h],40000h; rsm */
    memcpy(m->ram + SMBASE + 0x8000, "\x2e\x66\xc7\x06\x00\xff\x00\x00\x04\x00\x0f\xaa", 12);
    cpu_common(cpu)->lines |= CPU_LINE_SMI;
    cpu_common(cpu)->interrupt = 1;
    machine_step(m, 1);
    OK(cpu->in_smm && cpu->rip == 0x8000 && cpu->segment[X86_CS].base == SMBASE &&
           !(cpu->cr[0] & X86_CR0_PE) && cpu->efer == 0,
       "SMI");
    OK(get(SMBASE + 0xff78, 8) == CODE && get(SMBASE + 0xff80, 8) == 0x1515 &&
           get(SMBASE + 0xfefc, 4) == 0x20064,
       "saves the state");
    machine_step(m, 2);
    OK(!cpu->in_smm && cpu->rip == CODE && x86_cpl(cpu) == 3 && x86_in_64_bit_mode(cpu) &&
           cpu->smbase == 0x40000 && cpu->gpr[15] == 0x1515,
       "RSM returns to it, with SMBASE moved");
    begin_64(0);
    CODE_IS("\x0f\xaa");
    OK(run() == X86_UD, "RSM elsewhere: #UD");
}

static void test_init(void)
{
    begin_64(0);
    cpu->apic_base &= ~(u64)(1 << 8); /* not the bootstrap processor */
    cpu->pat = 0;
    CODE_IS("\xf4");
    cpu_common(cpu)->lines |= CPU_LINE_INIT;
    cpu_common(cpu)->interrupt = 1;
    OK(machine_run(m, 10) == MACHINE_HALTED && !(cpu->cr[0] & X86_CR0_PE) && cpu->pat == 0,
       "INIT: as after reset, but not all of it");
    cpu_common(cpu)->lines |= CPU_LINE_STARTUP | 5u << CPU_LINE_VECTOR_SHIFT;
    cpu_common(cpu)->interrupt = 1;
    machine_step(m, 1);
    OK(cpu->segment[X86_CS].base == CODE && cpu->rip == 0 && !cpu->halted,
       "a start-up IPI says where to begin");
}

int main(void)
{
    test_sti_shadow();
    test_stack_shadow();
    test_halt();
    test_waiting();
    test_nmi_blocking();
    test_software_interrupt_fault();
    test_shutdown();
    test_code_limit();
    test_canonical();
    test_57_bits();
    test_alignment();
    test_single_step();
    test_breakpoints();
    test_breakpoint_in_shadow();
    test_breakpoint_on_repetition();
    test_syscall();
    test_syscall_steps();
    test_sysenter();
    test_registers();
    test_ports();
    test_fp_errors();
    test_virtual_interrupts();
    test_smm();
    test_init();
    machine_free(m);
    return tap_done();
}
