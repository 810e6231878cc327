/* The smallest machine with an x86 CPU on the engine: RAM, a ROM that is the end of its first
 * megabyte and of the first 4 GiB, one device, ports that remember what was written. */
#ifndef TESTS_EXEC_BOARD_H
#define TESTS_EXEC_BOARD_H

#include "exec/exec.h"
#include "guest/bus.h"
#include "guest/guest.h"
#include "guest/x86/state.h"
#include "host/host.h"

enum {
    BOARD_RAM = 16 << 20,
    BOARD_CPUS = 4,
    BOARD_PORTS = 64,
    BOARD_DEVICE = 0x20000000, /* a page that remembers the last access */
    BOARD_DONE = 0xf4,         /* port: makes vcpu_run() return */
};

typedef struct Board Board;

typedef struct BoardCpu {
    Board *board;
    Vcpu *vcpu;
    X86State *state;
    GuestBus bus;
} BoardCpu;

struct Board {
    Engine *engine;
    BoardCpu cpu[BOARD_CPUS];
    u32 cpu_count;
    u8 *ram;
    u32 rom_size;
    /* Written to ports, in order. */
    struct {
        u16 port;
        u32 value;
    } out[BOARD_PORTS];
    u32 out_count;                                         /* atomic */
    void (*port_write)(Board *board, u16 port, u32 value); /* instead, if not NULL */
    /* The device. */
    u64 device_address, device_value;
    u32 device_size, device_reads, device_writes;
    int vector; /* atomic: of the interrupt to be acknowledged; -1: none */
    u8 dirty[BOARD_RAM / 4096];
    bool track_dirty;
};

/* A machine whose CPUs are reset. Aborts on failure. */
Board *board_new(const Host *host, u32 cpus, size_t cache_size);
void board_free(Board *board);
/* Puts CPU 0 into flat 32-bit protected mode at `pc`, paging off, stack at 0x9000, interrupts off.
 */
void board_enter_32(Board *board, u32 cpu, u32 pc);
/* The same in 64-bit mode with the first GiB mapped one to one; page tables from 0x10000 on. */
void board_enter_64(Board *board, u32 cpu, u64 pc);
/* Maps a 4 KiB page in 64-bit mode: linear addresses from 0x600000 to 0x7fffff; `physical` with the
 * entry's rights. */
void board_map_small(Board *board, u64 linear, u64 physical);
/* Runs CPU 0 until it writes to BOARD_DONE, halts or shuts down. */
CpuExitKind board_run(Board *board, u32 cpu);

#endif
