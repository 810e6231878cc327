/* The machine that runs x86 system code: see board.h. */
#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/x86/system.h"

static u8 *bus_ram(void *opaque, u64 address, unsigned size, bool write)
{
    Board *board = ((BoardCpu *)opaque)->board;
    u64 high = ((u64)1 << 32) - board->rom_size;

    if (board->rom_size && address >= high && !write) {
        address -= high - (0x100000 - board->rom_size);
    }
    if (address + size > BOARD_RAM) {
        return NULL;
    }
    if (write) {
        __atomic_store_n(&board->dirty[address / 4096], 1, __ATOMIC_RELAXED);
    }
    return board->ram + address;
}

static bool bus_dirty(void *opaque, u64 address)
{
    const Board *board = ((BoardCpu *)opaque)->board;

    return !board->track_dirty || __atomic_load_n(&board->dirty[address / 4096], __ATOMIC_RELAXED);
}

static u64 bus_read(void *opaque, u64 address, unsigned size)
{
    Board *board = ((BoardCpu *)opaque)->board;

    if (address >> 12 != BOARD_DEVICE >> 12) {
        return ~(u64)0 >> (64 - 8 * size);
    }
    board->device_address = address;
    board->device_size = size;
    board->device_reads++;
    return board->device_value & ~(u64)0 >> (64 - 8 * size);
}

static void bus_write(void *opaque, u64 address, unsigned size, u64 value)
{
    Board *board = ((BoardCpu *)opaque)->board;

    if (address >> 12 == BOARD_DEVICE >> 12) {
        board->device_address = address;
        board->device_size = size;
        board->device_value = value;
        board->device_writes++;
    }
}

static u32 bus_port_read(void *opaque, u16 port, unsigned size)
{
    (void)opaque, (void)port;
    return ~(u32)0 >> (32 - 8 * size);
}

static void bus_port_write(void *opaque, u16 port, unsigned size, u32 value)
{
    BoardCpu *cpu = opaque;
    Board *board = cpu->board;

    (void)size;
    if (port == BOARD_DONE) {
        vcpu_kick(cpu->vcpu);
    } else if (board->port_write) {
        board->port_write(board, port, value);
    } else {
        u32 n = __atomic_fetch_add(&board->out_count, 1, __ATOMIC_SEQ_CST) % BOARD_PORTS;
        board->out[n].port = port;
        board->out[n].value = value;
    }
}

static int bus_acknowledge(void *opaque)
{
    BoardCpu *cpu = opaque;

    vcpu_lower(cpu->vcpu, CPU_LINE_IRQ);
    return __atomic_exchange_n(&cpu->board->vector, -1, __ATOMIC_SEQ_CST);
}

static void add_cpu(Board *board)
{
    BoardCpu *cpu = &board->cpu[board->cpu_count++];

    cpu->board = board;
    cpu->vcpu = vcpu_new(board->engine);
    if (!cpu->vcpu) {
        abort();
    }
    cpu->state = vcpu_state(cpu->vcpu);
    cpu->bus = (GuestBus){.opaque = cpu,
                          .ram = bus_ram,
                          .dirty = bus_dirty,
                          .read = bus_read,
                          .write = bus_write,
                          .port_read = bus_port_read,
                          .port_write = bus_port_write,
                          .acknowledge = bus_acknowledge};
    vcpu_set_bus(cpu->vcpu, &cpu->bus);
}

Board *board_new(const Host *host, u32 cpus, size_t cache_size)
{
    Board *board = calloc(1, sizeof *board);
    const char *error = "out of memory";

    board->ram = mmap(NULL, BOARD_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    board->engine = exec_engine_new(
        &(ExecOptions){
            .guest = &guest_x86_64, .host = host, .cache_size = cache_size, .system = true},
        &error);
    if (!board->engine || board->ram == MAP_FAILED) {
        fprintf(stderr, "cannot make a machine: %s\n", error);
        abort();
    }
    board->vector = -1;
    while (board->cpu_count < cpus) {
        add_cpu(board);
    }
    return board;
}

void board_free(Board *board)
{
    for (u32 i = 0; i < board->cpu_count; i++) {
        vcpu_free(board->cpu[i].vcpu);
    }
    engine_free(board->engine);
    munmap(board->ram, BOARD_RAM);
    free(board);
}

static void set_flat_segments(X86State *s, bool wide)
{
    for (unsigned i = X86_ES; i <= X86_GS; i++) {
        x86_set_segment(s, i, i == X86_CS ? 8 : 16,
                        i != X86_CS ? 0x00cf93000000ffff
                        : wide      ? 0x00af9b000000ffff
                                    : 0x00cf9b000000ffff);
    }
    s->cr[0] = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
    s->cr[4] = X86_CR4_OSFXSR;
    s->gpr[X86_RSP] = 0x9000;
}

void board_enter_32(Board *board, u32 cpu, u32 pc)
{
    X86State *s = board->cpu[cpu].state;

    set_flat_segments(s, false);
    s->rip = pc;
}

void board_enter_64(Board *board, u32 cpu, u64 pc)
{
    enum { PML4 = 0x10000, PDPT = 0x11000, PD = 0x12000, RIGHTS = 7, LARGE = 0x80 };
    X86State *s = board->cpu[cpu].state;
    u64 *tables = (u64 *)(void *)(board->ram + PML4);

    tables[0] = PDPT | RIGHTS;
    tables[512] = PD | RIGHTS;
    for (u64 i = 0; i < 512; i++) {
        tables[1024 + i] = i << 21 | RIGHTS | LARGE;
    }
    set_flat_segments(s, true);
    s->cr[0] |= X86_CR0_PG;
    s->cr[3] = PML4;
    s->cr[4] |= X86_CR4_PAE | X86_CR4_PGE;
    s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
    s->rip = pc;
}

void board_map_small(Board *board, u64 linear, u64 physical)
{
    enum { PD = 0x12000, PT = 0x13000, RIGHTS = 7 };
    u64 *directory = (u64 *)(void *)(board->ram + PD), *table = (u64 *)(void *)(board->ram + PT);

    directory[3] = PT | RIGHTS;
    table[linear >> 12 & 511] = physical;
}

CpuExitKind board_run(Board *board, u32 cpu)
{
    return exec_run(board->cpu[cpu].vcpu);
}
