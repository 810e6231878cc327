/* The privileged side of the x86 guest, by itself: page-table walks in every paging mode, checked
 * segment loads, far transfers through gates, interrupts between privilege levels and modes, tasks.
 *
 * The machine is an array of RAM that holds a GDT, an IDT, task segments and page tables, and a CPU
 * state; what the manual says must happen to them is written out here. */
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/feature.h"
#include "guest/x86/system.h"
#include "ir/cpu.h"

enum {
    RAM = 1 << 20,
    GDT = 0x1000,
    IDT = 0x2000,
    TSS_A = 0x3000,
    TSS_B = 0x3200,
    TABLES = 0x10000, /* page tables, one page each */
    STACK0 = 0x8000,
    STACK3 = 0x9000,
};

/* Selectors: index << 3. */
enum {
    CODE0 = 0x08,
    DATA0 = 0x10,
    CODE3 = 0x1b,
    DATA3 = 0x23,
    TASK_A = 0x28,
    TASK_B = 0x30,
    CALL_GATE = 0x38,
    READ_ONLY = 0x40,
    ABSENT = 0x48,
    CONFORMING = 0x50,
    TASK_GATE = 0x58,
    CODE64 = 0x60,
    WIDE_TASK = 0x68, /* 16 bytes */
    GDT_LIMIT = 0x7f,
};

typedef struct Machine {
    CpuCommon common;
    X86State cpu;
} Machine;

static u8 ram[RAM];
static Machine machine;
static unsigned flushes;

/* -- The bus */

static u8 *bus_ram(void *opaque, u64 address, unsigned size, bool write)
{
    (void)opaque, (void)write;
    return address <= RAM - size ? ram + address : NULL;
}

static u64 bus_read(void *opaque, u64 address, unsigned size)
{
    (void)opaque, (void)address;
    return ~(u64)0 >> (64 - 8 * size);
}

static void bus_write(void *opaque, u64 address, unsigned size, u64 value)
{
    (void)opaque, (void)address, (void)size, (void)value;
}

static void bus_flush(void *state, bool global)
{
    (void)state, (void)global;
    flushes++;
}

static const GuestBus bus = {
    .ram = bus_ram, .read = bus_read, .write = bus_write, .flush = bus_flush};

/* -- Setting up */

static void put(u32 at, u64 value, unsigned size)
{
    memcpy(ram + at, &value, size);
}

static u64 get(u32 at, unsigned size)
{
    u64 value = 0;

    memcpy(&value, ram + at, size);
    return value;
}

/* A segment descriptor of 4 GiB unless it is a system one; access: P DPL S type. */
static void put_descriptor(u16 selector, u32 base, u32 limit, u8 access, u8 flags)
{
    u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
            (u64)(limit >> 16 & 0xf) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;

    put(GDT + (selector & ~7u), d, 8);
}

static void put_gate(u32 at, u16 selector, u32 offset, u8 access)
{
    put(at, (offset & 0xffff) | (u64)selector << 16 | (u64)access << 40 | (u64)(offset >> 16) << 48,
        8);
}

static void load_flat(X86State *cpu, unsigned segment, u16 selector, u8 access)
{
    cpu->segment[segment] = (X86Segment){
        .limit = 0xffffffff, .selector = selector, .attributes = (u16)(access | 0xc000)};
}

/* 32-bit protected mode at privilege `cpl`, without paging. */
static X86State *begin(unsigned cpl)
{
    X86State *cpu = &machine.cpu;

    memset(ram, 0, sizeof ram);
    memset(&machine, 0, sizeof machine);
    cpu->system = (void *)(uintptr_t)&bus;
    cpu->a20_mask = ~(u64)0;
    memset(cpu->features, 0xff, sizeof cpu->features);
    cpu->cr[0] = X86_CR0_PE | X86_CR0_ET;
    cpu->gdt_base = GDT;
    cpu->gdt_limit = GDT_LIMIT;
    cpu->idt_base = IDT;
    cpu->idt_limit = 0x7ff;
    cpu->eflags = X86_EFLAGS_FIXED;
    put_descriptor(CODE0, 0, 0xfffff, 0x9a, 0xc);
    put_descriptor(DATA0, 0, 0xfffff, 0x92, 0xc);
    put_descriptor(CODE3, 0, 0xfffff, 0xfa, 0xc);
    put_descriptor(DATA3, 0, 0xfffff, 0xf2, 0xc);
    put_descriptor(READ_ONLY, 0, 0xfffff, 0x90, 0xc);
    put_descriptor(ABSENT, 0, 0xfffff, 0x12, 0xc);
    put_descriptor(CONFORMING, 0, 0xfffff, 0x9e, 0xc);
    put_descriptor(CODE64, 0, 0xfffff, 0x9a, 0xa);
    put_descriptor(TASK_A, TSS_A, 0x67, 0x8b, 0);
    put_descriptor(TASK_B, TSS_B, 0x67, 0x89, 0);
    put_gate(GDT + CALL_GATE, CODE0, 0x4000, 0xec);
    put_gate(GDT + TASK_GATE, TASK_B, 0, 0xe5);
    put(TSS_A + 4, STACK0, 4);
    put(TSS_A + 8, DATA0, 2);
    cpu->segment[X86_TR] =
        (X86Segment){.base = TSS_A, .limit = 0x67, .selector = TASK_A, .attributes = 0x8b};
    load_flat(cpu, X86_CS, cpl ? CODE3 : CODE0, cpl ? 0xfb : 0x9b);
    load_flat(cpu, X86_SS, cpl ? DATA3 : DATA0, cpl ? 0xf3 : 0x93);
    load_flat(cpu, X86_DS, cpl ? DATA3 : DATA0, cpl ? 0xf3 : 0x93);
    cpu->gpr[X86_RSP] = cpl ? STACK3 : STACK0;
    cpu->rip = 0x5000;
    return cpu;
}

static bool raises(u32 raised, unsigned vector, unsigned error)
{
    return (raised & 0xff) == vector && raised & X86_EXCEPTION_HAS_ERROR && raised >> 16 == error;
}

/* -- Paging */

enum { P = 1, RW = 2, US = 4, ACCESSED = 0x20, DIRTY = 0x40, PS = 0x80 };

static void test_32_bit_paging(void)
{
    X86State *cpu = begin(0);
    X86Translation t;

    cpu->cr[0] |= X86_CR0_PG;
    cpu->cr[3] = TABLES;
    put(TABLES + 4, (TABLES + 0x1000) | P | RW | US, 4); /* linear 4 MiB.. */
    put(TABLES + 0x1000 + 8, 0x7000 | P | US, 4);        /* 0x402000, read-only */
    OK(!x86_walk(cpu, 0x402123, X86_WALK_USER, &t) && t.physical == 0x7123, "32-bit: translated");
    OK(get(TABLES + 4, 4) & ACCESSED && get(TABLES + 0x1008, 4) & ACCESSED,
       "accessed bits are set");
    OK(!(get(TABLES + 0x1008, 4) & DIRTY) && !t.writable, "no dirty bit for a read");
    OK(raises(x86_walk(cpu, 0x402123, X86_WALK_USER | X86_WALK_WRITE, &t), X86_PF, 7) &&
           cpu->cr[2] == 0x402123,
       "a user's write to a read-only page: error 7, address in CR2");
    OK(!x86_walk(cpu, 0x402000, X86_WALK_WRITE, &t), "the supervisor may, without CR0.WP");
    cpu->cr[0] |= X86_CR0_WP;
    OK(raises(x86_walk(cpu, 0x402000, X86_WALK_WRITE, &t), X86_PF, 3), "and not with it");
    OK(raises(x86_walk(cpu, 0x403000, 0, &t), X86_PF, 0), "not present: error 0");
    put(TABLES + 8, 0x00400000 | P | RW | PS, 4);
    OK(raises(x86_walk(cpu, 0x800000, 0, &t), X86_PF, 0) || t.page_bits == 12,
       "PS means nothing without CR4.PSE");
    cpu->cr[4] |= X86_CR4_PSE;
    OK(!x86_walk(cpu, 0x812345, 0, &t) && t.physical == 0x412345 && t.page_bits == 22,
       "a page of 4 MiB");
    OK(raises(x86_walk(cpu, 0x812345, X86_WALK_USER, &t), X86_PF, 5), "which is the supervisor's");
}

static void test_pae_paging(void)
{
    X86State *cpu = begin(0);
    X86Translation t;

    cpu->cr[3] = TABLES;
    cpu->cr[4] |= X86_CR4_PAE;
    put(TABLES, (TABLES + 0x1000) | P, 8);
    put(TABLES + 0x1000, (TABLES + 0x2000) | P | RW | US, 8);
    put(TABLES + 0x2000 + 8 * 5, ((u64)1 << 63) | 0x6000 | P | RW | US, 8);
    OK(!x86_write_cr0(cpu, cpu->cr[0] | X86_CR0_PG), "PAE: paging on");
    OK(raises(x86_walk(cpu, 0x5000, 0, &t), X86_PF, 9), "bit 63 is reserved without NXE");
    cpu->efer |= X86_EFER_NXE;
    OK(!x86_walk(cpu, 0x5abc, 0, &t) && t.physical == 0x6abc && !t.executable, "translated");
    OK(raises(x86_walk(cpu, 0x5000, X86_WALK_FETCH, &t), X86_PF, 0x11), "not to be executed");
    put(TABLES, 0, 8);
    OK(!x86_walk(cpu, 0x5abc, 0, &t), "the PDPTE registers keep what they loaded");
    OK(!x86_write_cr3(cpu, TABLES) && raises(x86_walk(cpu, 0x5abc, 0, &t), X86_PF, 0),
       "until CR3 is written");
    put(TABLES, 0x1e0 | P, 8);
    OK(raises(x86_write_cr3(cpu, TABLES), X86_GP, 0), "reserved bits in a PDPTE: #GP");
}

static void test_4_level_paging(void)
{
    X86State *cpu = begin(0);
    X86Translation t;
    u64 linear = (u64)0xffff8000 << 32 | 0x40003000;

    cpu->cr[0] |= X86_CR0_PG | X86_CR0_WP;
    cpu->cr[4] |= X86_CR4_PAE | X86_CR4_PGE;
    cpu->efer = X86_EFER_LMA | X86_EFER_LME | X86_EFER_NXE;
    cpu->cr[3] = TABLES;
    put(TABLES + 8 * 256, (TABLES + 0x1000) | P | RW | US, 8);
    put(TABLES + 0x1000 + 8, (TABLES + 0x2000) | P | RW | US, 8);
    put(TABLES + 0x2000, (TABLES + 0x3000) | P | RW | US, 8);
    put(TABLES + 0x3000 + 8 * 3, 0x7000 | P | RW | US | 1 << 8, 8);
    OK(!x86_walk(cpu, linear | 0x10, X86_WALK_WRITE, &t) && t.physical == 0x7010 && t.global &&
           t.writable,
       "4-level: translated");
    OK(get(TABLES + 0x3018, 8) & DIRTY, "dirty");
    cpu->cr[4] |= X86_CR4_SMEP | X86_CR4_SMAP;
    OK(raises(x86_walk(cpu, linear, X86_WALK_FETCH, &t), X86_PF, 0x11), "SMEP");
    OK(raises(x86_walk(cpu, linear, 0, &t), X86_PF, 1), "SMAP");
    cpu->eflags |= X86_EFLAGS_AC;
    OK(!x86_walk(cpu, linear, 0, &t), "SMAP is off while AC is set");
    OK(raises(x86_walk(cpu, linear, X86_WALK_IMPLICIT, &t), X86_PF, 1),
       "but not for the CPU's own accesses");
    put(TABLES + 0x1000, (u64)0x40000000 | P | RW | PS, 8);
    OK(!x86_walk(cpu, (u64)0xffff8000 << 32 | 0x12345678, 0, &t) && t.page_bits == 30 &&
           t.physical == 0x40000000 + 0x12345678,
       "a page of 1 GiB");
    put(TABLES + 0x1000, (u64)0x40002000 | P | RW | PS, 8);
    OK(raises(x86_walk(cpu, (u64)0xffff8000 << 32, 0, &t), X86_PF, 9), "with reserved bits");
    put(TABLES + 8 * 256, (TABLES + 0x1000) | P | RW | PS, 8);
    OK(raises(x86_walk(cpu, linear, 0, &t), X86_PF, 9), "PS in the top table is reserved");
}

static void test_linear_memory(void)
{
    X86State *cpu = begin(0);
    u8 bytes[8];

    cpu->cr[0] |= X86_CR0_PG;
    cpu->cr[3] = TABLES;
    put(TABLES, (TABLES + 0x1000) | P | RW, 4);
    put(TABLES + 0x1000 + 4, 0x5000 | P | RW, 4);
    put(TABLES + 0x1000 + 8, 0x9000 | P | RW, 4);
    OK(!x86_write_linear(cpu, 0x1ffe, "abcd", 4, 0) && !memcmp(ram + 0x5ffe, "ab", 2) &&
           !memcmp(ram + 0x9000, "cd", 2),
       "a write across pages that do not follow each other");
    OK(!x86_read_linear(cpu, 0x1ffe, bytes, 4, 0) && !memcmp(bytes, "abcd", 4), "read back");
    OK(raises(x86_write_linear(cpu, 0x2ffe, "wxyz", 4, 0), X86_PF, 2) && ram[0x9ffe] == 0,
       "nothing is written when the second page is missing");
}

/* -- Segments */

static void test_segments(void)
{
    X86State *cpu = begin(3);

    OK(!x86_load_segment(cpu, X86_ES, DATA3) && cpu->segment[X86_ES].limit == 0xffffffff,
       "data segment loaded");
    OK(get(GDT + (DATA3 & ~7) + 5, 1) & 1, "its accessed bit is set in memory");
    OK(raises(x86_load_segment(cpu, X86_ES, DATA0), X86_GP, DATA0), "a supervisor's: #GP");
    OK(raises(x86_load_segment(cpu, X86_SS, 0), X86_GP, 0), "null SS: #GP(0)");
    OK(!x86_load_segment(cpu, X86_FS, 0) && !(cpu->segment[X86_FS].attributes & X86_SEGMENT_P),
       "null FS is fine, and unusable");
    OK(raises(x86_load_segment(cpu, X86_DS, 0x80), X86_GP, 0x80), "beyond the table: #GP");
    cpu = begin(0);
    OK(raises(x86_load_segment(cpu, X86_DS, ABSENT), X86_NP, ABSENT), "not present: #NP");
    OK(raises(x86_load_segment(cpu, X86_SS, READ_ONLY), X86_GP, READ_ONLY), "read-only SS: #GP");
    cpu->cr[0] &= ~(u64)X86_CR0_PE;
    OK(!x86_load_segment(cpu, X86_DS, 0x1234) && cpu->segment[X86_DS].base == 0x12340,
       "real mode: selector times 16");
}

static void test_limits(void)
{
    X86Segment up = {.limit = 0xfff, .attributes = 0x93};
    X86Segment down = {.limit = 0xfff, .attributes = 0x97};
    X86Segment big_down = {.limit = 0xfff, .attributes = 0x97 | X86_SEGMENT_DB};

    OK(x86_within_limit(&up, 0xffc, 4) && !x86_within_limit(&up, 0xffd, 4), "limit");
    OK(!x86_within_limit(&down, 0xfff, 1) && x86_within_limit(&down, 0x1000, 4), "expand-down");
    OK(x86_within_limit(&down, 0xfffc, 4) && !x86_within_limit(&down, 0xfffd, 4),
       "16-bit expand-down ends at 64 KiB");
    OK(x86_within_limit(&big_down, 0xfffffffc, 4), "32-bit expand-down at 4 GiB");
}

/* -- Far transfers */

static void test_far_jumps(void)
{
    X86State *cpu = begin(3);

    OK(raises(x86_far_jump(cpu, CODE0, 0x1000, 4), X86_GP, CODE0), "jump inward: #GP");
    OK(!x86_far_jump(cpu, CONFORMING, 0x1234, 4) && cpu->rip == 0x1234 &&
           cpu->segment[X86_CS].selector == (CONFORMING | 3),
       "a conforming segment keeps the privilege");
    cpu = begin(0);
    OK(!x86_far_jump(cpu, CODE0, 0x12345, 2) && cpu->rip == 0x2345, "the offset has its size");
}

static void test_call_gate(void)
{
    X86State *cpu = begin(3);
    u32 top;

    OK(!x86_far_call(cpu, CALL_GATE, 0xdead, 4) && cpu->rip == 0x4000 && x86_cpl(cpu) == 0,
       "a call gate leads to privilege 0");
    top = (u32)cpu->gpr[X86_RSP];
    OK(top == STACK0 - 16 && get(top, 4) == 0x5000 && get(top + 4, 4) == CODE3 &&
           get(top + 8, 4) == STACK3 && get(top + 12, 4) == DATA3,
       "with return address and stack on the task's stack");
    OK(!x86_far_return(cpu, 4, 0) && x86_cpl(cpu) == 3 && cpu->rip == 0x5000 &&
           cpu->gpr[X86_RSP] == STACK3,
       "and RETF back");
    cpu = begin(3);
    put_gate(GDT + CALL_GATE, CODE0, 0x4000, 0x8c);
    OK(raises(x86_far_call(cpu, CALL_GATE, 0, 4), X86_GP, CALL_GATE), "not for everyone: #GP");
    cpu = begin(3);
    put(GDT + CALL_GATE + 4, 2, 1); /* two parameters */
    put(STACK3, 0x22222222, 4);
    put(STACK3 + 4, 0x11111111, 4);
    OK(!x86_far_call(cpu, CALL_GATE, 0, 4) && get(STACK0 - 12, 4) == 0x11111111 &&
           get(STACK0 - 16, 4) == 0x22222222,
       "parameters are copied in order");
    OK(!x86_far_return(cpu, 4, 8) && cpu->gpr[X86_RSP] == STACK3 + 8, "and released on both");
}

static void test_return_outward(void)
{
    X86State *cpu = begin(0);

    cpu->gpr[X86_RSP] -= 20;
    put(STACK0 - 20, 0x7777, 4);
    put(STACK0 - 16, CODE3, 4);
    put(STACK0 - 12, X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_FIXED, 4);
    put(STACK0 - 8, STACK3, 4);
    put(STACK0 - 4, DATA3, 4);
    OK(!x86_interrupt_return(cpu, 4) && x86_cpl(cpu) == 3 && cpu->rip == 0x7777, "IRET outward");
    OK((x86_get_eflags(cpu) & 0xfff) == (X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_FIXED),
       "with the flags");
    OK(cpu->segment[X86_DS].selector == 0, "DS of privilege 0 becomes null");
}

/* -- Interrupts */

static void test_interrupts(void)
{
    X86State *cpu = begin(3);
    u32 top;

    put_gate(IDT + 8 * 14, CODE0, 0x6000, 0x8e);
    x86_set_eflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_ZF);
    OK(x86_deliver(cpu, x86_fault_error(X86_PF, 6)) && cpu->rip == 0x6000 && x86_cpl(cpu) == 0,
       "an exception goes through its gate");
    top = (u32)cpu->gpr[X86_RSP];
    OK(top == STACK0 - 24 && get(top, 4) == 6 && get(top + 4, 4) == 0x5000 &&
           get(top + 16, 4) == STACK3,
       "error code, return address and stack are pushed");
    OK(get(top + 12, 4) == (X86_EFLAGS_IF | X86_EFLAGS_ZF | X86_EFLAGS_FIXED | X86_EFLAGS_RF) &&
           !(cpu->eflags & X86_EFLAGS_IF),
       "flags with RF; an interrupt gate clears IF");
    cpu = begin(3);
    put_gate(IDT + 8 * 0x80, CODE0, 0x6000, 0x8e);
    put_gate(IDT + 8 * X86_GP, CODE0, 0x6100, 0x8e);
    OK(x86_deliver(cpu, 0x80 | X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_RAISED) &&
           cpu->rip == 0x6100 && get((u32)cpu->gpr[X86_RSP], 4) == 0x80 * 8 + 2,
       "INT through a gate that is not the program's: #GP with its number");
    cpu = begin(0);
    put_gate(IDT + 8 * X86_DF, CODE0, 0x6200, 0x8e);
    OK(x86_deliver(cpu, x86_fault_error(X86_GP, 0)) && cpu->rip == 0x6200,
       "a missing handler for #GP: double fault");
    cpu = begin(0);
    OK(!x86_deliver(cpu, x86_fault_error(X86_GP, 0)), "and without one for that: shutdown");
}

static void test_real_mode_interrupt(void)
{
    X86State *cpu = begin(0);

    cpu->cr[0] &= ~(u64)X86_CR0_PE;
    cpu->idt_base = 0;
    cpu->idt_limit = 0x3ff;
    put(0x21 * 4, 0x12345678, 4);
    cpu->segment[X86_SS] = (X86Segment){.limit = 0xffff, .attributes = 0x93};
    cpu->segment[X86_CS] =
        (X86Segment){.selector = 0x100, .base = 0x1000, .limit = 0xffff, .attributes = 0x93};
    cpu->gpr[X86_RSP] = 0x2000;
    OK(x86_deliver(cpu, 0x21 | X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_RAISED) &&
           cpu->rip == 0x5678 && cpu->segment[X86_CS].base == 0x12340,
       "real mode: through the vector table");
    OK(!x86_interrupt_return(cpu, 2) && cpu->rip == 0x5000 && cpu->segment[X86_CS].base == 0x1000 &&
           cpu->gpr[X86_RSP] == 0x2000,
       "and IRET back");
}

static void test_virtual_8086(void)
{
    X86State *cpu = begin(3);

    cpu->eflags |= X86_EFLAGS_VM;
    for (unsigned n = 0; n < 6; n++) {
        x86_load_real(cpu, n, (u16)(0x100 + n));
    }
    cpu->rip = 0x77;
    cpu->gpr[X86_RSP] = 0x1000;
    put_gate(IDT + 8 * X86_GP, CODE0, 0x6000, 0x8e);
    OK(x86_deliver(cpu, x86_fault_error(X86_GP, 0)) && x86_cpl(cpu) == 0 &&
           !(cpu->eflags & X86_EFLAGS_VM) && get(STACK0 - 4, 4) == 0x100 + X86_GS &&
           get(STACK0 - 16, 4) == 0x100 + X86_ES && cpu->segment[X86_DS].selector == 0,
       "an exception in virtual-8086 mode saves all segments");
    cpu->gpr[X86_RSP] += 4; /* the error code */
    OK(!x86_interrupt_return(cpu, 4) && cpu->eflags & X86_EFLAGS_VM && cpu->rip == 0x77 &&
           cpu->segment[X86_GS].selector == 0x100 + X86_GS && cpu->gpr[X86_RSP] == 0x1000,
       "and IRET restores them");
    OK(raises(x86_interrupt_return(cpu, 2), X86_GP, 0), "IRET there needs IOPL 3");
}

static void test_long_mode_interrupt(void)
{
    X86State *cpu = begin(0);
    u32 top;

    cpu->efer = X86_EFER_LMA | X86_EFER_LME;
    cpu->segment[X86_CS].attributes = 0x9b | X86_SEGMENT_L;
    put_descriptor(WIDE_TASK, TSS_A, 0x67, 0x89, 0);
    OK(!x86_load_tr(cpu, WIDE_TASK), "LTR of a 64-bit task segment");
    put(TSS_A + 0x24 + 8, 0x9ff8, 8); /* IST2 */
    put_gate(IDT + 16 * 3, CODE64, 0x6000, 0x8f);
    put(IDT + 16 * 3 + 4, 2, 1);
    cpu->gpr[X86_RSP] = 0x7123;
    OK(x86_deliver(cpu, 3 | X86_EXCEPTION_SOFTWARE | X86_EXCEPTION_RAISED) && cpu->rip == 0x6000,
       "long mode: through a 16-byte gate");
    top = (u32)cpu->gpr[X86_RSP];
    OK(top == 0x9ff0 - 40 && get(top, 8) == 0x5000 && get(top + 24, 8) == 0x7123 &&
           get(top + 8, 8) == CODE0,
       "on the aligned interrupt stack, with SS:RSP always");
    put(top + 8, CODE64, 8);
    OK(!x86_interrupt_return(cpu, 8) && cpu->rip == 0x5000 && cpu->gpr[X86_RSP] == 0x7123,
       "and IRETQ back");
}

/* -- Tasks */

static void fill_task(u32 tss, u32 eip, u32 esp)
{
    static const u16 segments[] = {DATA0, CODE0, DATA0, DATA0, DATA0, DATA0};

    put(tss + 32, eip, 4);
    put(tss + 36, X86_EFLAGS_FIXED, 4);
    put(tss + 56, esp, 4);
    put(tss + 40, 0xa0a0a0a0, 4);
    for (unsigned n = 0; n < 6; n++) {
        put(tss + 72 + 4 * n, segments[n], 2);
    }
}

static void test_tasks(void)
{
    X86State *cpu = begin(0);

    fill_task(TSS_B, 0x6666, 0x7000);
    cpu->gpr[X86_RBX] = 0x1b1b;
    OK(!x86_far_call(cpu, TASK_GATE, 0, 4) && cpu->rip == 0x6666 && cpu->gpr[X86_RAX] == 0xa0a0a0a0,
       "a call through a task gate switches tasks");
    OK(cpu->eflags & X86_EFLAGS_NT && get(TSS_B, 2) == TASK_A && cpu->cr[0] & X86_CR0_TS,
       "nested, linked back, TS set");
    OK(get(TSS_A + 32, 4) == 0x5000 && get(TSS_A + 52, 4) == 0x1b1b, "the old task is saved");
    OK(get(GDT + TASK_B + 5, 1) & 2 && get(GDT + TASK_A + 5, 1) & 2, "both are busy");
    OK(!x86_interrupt_return(cpu, 4) && cpu->rip == 0x5000 && cpu->gpr[X86_RBX] == 0x1b1b &&
           !(cpu->eflags & X86_EFLAGS_NT),
       "IRET goes back");
    OK(!(get(GDT + TASK_B + 5, 1) & 2), "and the other is available again");
    put(TSS_B + 72 + 8, ABSENT, 2); /* SS */
    put_gate(IDT + 8 * X86_TS, CODE0, 0x6100, 0x8e);
    put_gate(IDT + 8 * X86_DF, CODE0, 0x6200, 0x8e);
    OK(!x86_far_jump(cpu, TASK_B, 0, 4) && cpu->shutdown,
       "a task without a stack can't even take its exception: shutdown");
}

static void test_port_permissions(void)
{
    X86State *cpu = begin(3);

    cpu->segment[X86_TR].limit = 0x67 + 0x2001;
    put(TSS_A + 102, 0x68, 2);
    put(TSS_A + 0x68 + 0x3f8 / 8, 0xfe, 1);
    OK(!x86_check_port(cpu, 0x3f8, 1), "a clear bit allows the port");
    OK(raises(x86_check_port(cpu, 0x3f8, 2), X86_GP, 0), "a wider access needs all bits clear");
    cpu->eflags |= X86_EFLAGS_IOPL;
    OK(!x86_check_port(cpu, 0x3f9, 1), "IOPL 3 allows everything");
}

static void test_control_registers(void)
{
    X86State *cpu = begin(0);

    OK(raises(x86_write_cr0(cpu, X86_CR0_PG), X86_GP, 0), "PG without PE: #GP");
    cpu->efer |= X86_EFER_LME;
    OK(raises(x86_write_cr0(cpu, cpu->cr[0] | X86_CR0_PG), X86_GP, 0), "LME without PAE: #GP");
    OK(!x86_write_cr4(cpu, X86_CR4_PAE), "PAE");
    flushes = 0;
    OK(!x86_write_cr0(cpu, cpu->cr[0] | X86_CR0_PG) && cpu->efer & X86_EFER_LMA && flushes == 1,
       "paging with LME is IA-32e mode");
    OK(raises(x86_write_cr4(cpu, 0), X86_GP, 0), "PAE must stay in it");
    OK(!x86_write_msr(cpu, 0xc0000082, (u64)1 << 48) &&
           raises(x86_write_msr(cpu, 0xc0000082, (u64)1 << 56), X86_GP, 0),
       "LSTAR takes canonical addresses of 57 bits if the CPU has them at all");
    x86_set_model(cpu, x86_default_model());
    OK(raises(x86_write_msr(cpu, 0xc0000082, (u64)1 << 47), X86_GP, 0), "otherwise of 48 bits");
    OK(raises(x86_write_msr(cpu, 0x277, 0x0202020202020202), X86_GP, 0), "PAT: no type 2");
}

int main(void)
{
    test_32_bit_paging();
    test_pae_paging();
    test_4_level_paging();
    test_linear_memory();
    test_segments();
    test_limits();
    test_far_jumps();
    test_call_gate();
    test_return_outward();
    test_interrupts();
    test_real_mode_interrupt();
    test_virtual_8086();
    test_long_mode_interrupt();
    test_tasks();
    test_port_permissions();
    test_control_registers();
    return tap_done();
}
