/* Local APICs, an I/O APIC and messages between them: priorities, the timer in its modes, IPIs in
 * all ways of addressing, levels and their end, x2APIC, the 8259s' way through. */
#include "device/interrupt/ioapic.h"
#include "device/interrupt/lapic.h"
#include "tests/device/bare.h"

enum { CPUS = 3 };
enum { TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100 };
enum { TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310, TIMER = 0x320 };
enum { LINT0 = 0x350, LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };

typedef struct Cpu {
    bool interrupt;
    unsigned nmis, smis, inits, startups;
    u8 startup;
} Cpu;

static Bare bare;
static ApicBus bus;
static void *apic[CPUS], *io;
static Cpu cpus[CPUS];

static void interrupt(void *opaque, bool level)
{
    ((Cpu *)opaque)->interrupt = level;
}

static void nmi(void *opaque)
{
    ((Cpu *)opaque)->nmis++;
}

static void smi(void *opaque)
{
    ((Cpu *)opaque)->smis++;
}

static void init(void *opaque)
{
    ((Cpu *)opaque)->inits++;
}

static void startup(void *opaque, u8 vector)
{
    ((Cpu *)opaque)->startups++;
    ((Cpu *)opaque)->startup = vector;
}

/* A TSC of 2 GHz. */
static u64 tsc_time(void *opaque, u64 tsc)
{
    (void)opaque;
    return tsc / 2;
}

static u32 get(unsigned cpu, unsigned offset)
{
    return (u32)lapic_read(apic[cpu], offset, 4);
}

static void set(unsigned cpu, unsigned offset, u32 value)
{
    lapic_write(apic[cpu], offset, 4, value);
}

/* The CPU takes its interrupt and ends it. */
static int serve(unsigned cpu)
{
    int vector = lapic_acknowledge(apic[cpu]);

    if (vector >= 0) {
        set(cpu, EOI, 0);
    }
    return vector;
}

static void start_all(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        device_reset(apic[i]);
        set(i, SVR, 0x1ff);
        set(i, LDR, 1u << (24 + i));
    }
    device_reset(io);
    memset(cpus, 0, sizeof cpus);
}

static void test_priorities(void)
{
    start_all();
    OK(get(1, 0x20) == 1 << 24 && get(1, 0x30) == 0x50014, "id and version");
    set(0, ICR, 0x40031 | 1 << 18);
    set(0, ICR, 0x40052 | 1 << 18);
    OK(cpus[0].interrupt && get(0, IRR + 0x10) == 0x20000 && get(0, IRR + 0x20) == 0x40000,
       "two IPIs to ourselves wait");
    OK(lapic_acknowledge(apic[0]) == 0x52 && !cpus[0].interrupt, "the higher comes first");
    OK(get(0, PPR) == 0x50 && get(0, ISR + 0x20) == 0x40000, "and is in service");
    set(0, ICR, 0x4005f | 1 << 18);
    OK(!cpus[0].interrupt, "one of the same class waits");
    set(0, ICR, 0x40061 | 1 << 18);
    OK(serve(0) == 0x61, "a higher class nests");
    set(0, EOI, 0);
    OK(serve(0) == 0x5f && serve(0) == 0x31 && serve(0) == -1, "the others after it");
    set(0, TPR, 0x45);
    set(0, ICR, 0x40045 | 1 << 18);
    OK(!cpus[0].interrupt && get(0, PPR) == 0x45, "the task priority holds it back");
    OK(lapic_priority(apic[0]) == 4, "CR8");
    lapic_set_priority(apic[0], 3);
    OK(cpus[0].interrupt && serve(0) == 0x45, "and lets it through");
    set(0, ICR, 0x40008 | 1 << 18);
    set(0, ESR, 0);
    OK(get(0, ESR) == 0x20, "an illegal vector is an error");
}

static void test_addressing(void)
{
    start_all();
    set(0, ICR_HIGH, 1 << 24);
    set(0, ICR, 0x4040);
    OK(!cpus[0].interrupt && cpus[1].interrupt && !cpus[2].interrupt && serve(1) == 0x40,
       "physical");
    set(0, ICR_HIGH, 6u << 24);
    set(0, ICR, 0x4841);
    OK(!cpus[0].interrupt && serve(1) == 0x41 && serve(2) == 0x41, "logical, flat");
    set(0, ICR, 0x4042 | 3 << 18);
    OK(!cpus[0].interrupt && serve(1) == 0x42 && serve(2) == 0x42, "all but self");
    set(0, ICR, 0x4043 | 2 << 18);
    OK(serve(0) == 0x43 && serve(1) == 0x43 && serve(2) == 0x43, "all");
    set(1, TPR, 0x50);
    set(0, ICR_HIGH, 6u << 24);
    set(0, ICR, 0x4961);
    OK(!cpus[1].interrupt && serve(2) == 0x61, "lowest priority");
    for (unsigned i = 0; i < CPUS; i++) {
        set(i, DFR, 0x0fffffff);
        set(i, LDR, (i / 2 << 28) | (1u << (24 + i % 2)));
    }
    set(0, ICR_HIGH, 0x11u << 24);
    set(0, ICR, 0x4866);
    OK(!cpus[0].interrupt && !cpus[1].interrupt && serve(2) == 0x66, "logical, clusters");
    set(0, ICR_HIGH, 1 << 24);
    set(0, ICR, 0x4400);
    set(0, ICR, 0x4200);
    set(0, ICR, 0xc500);
    set(0, ICR, 0x8500);
    set(0, ICR, 0x4612);
    OK(cpus[1].nmis == 1 && cpus[1].smis == 1 && cpus[1].inits == 1, "NMI, SMI, INIT");
    OK(cpus[1].startups == 1 && cpus[1].startup == 0x12, "STARTUP");
    OK(get(1, SVR) == 0xff && get(1, LDR) == 0, "INIT resets the APIC");
    set(0, ICR, 0x4040);
    OK(!cpus[1].interrupt && !(get(1, IRR + 0x20)), "which is off then");
    apic_bus_send_msi(&bus, 0xfee02000, 0x4055);
    OK(serve(2) == 0x55, "a message of a device");
    apic_bus_send_msi(&bus, 0xfef02000, 0x4055);
    OK(serve(2) == -1, "elsewhere it is none");
}

static void test_timer(void)
{
    start_all();
    set(0, DIVIDE, 0xb);
    set(0, TIMER, 0x50);
    set(0, INITIAL, 1000000);
    bare_wait(&bare, 400000);
    OK(get(0, CURRENT) == 600000 && !cpus[0].interrupt, "counts down");
    set(0, DIVIDE, 0);
    bare_wait(&bare, 400000);
    OK(get(0, CURRENT) == 400000, "slower");
    bare_wait(&bare, 800000);
    OK(get(0, CURRENT) == 0 && serve(0) == 0x50, "one shot");
    bare_wait(&bare, 10000000);
    OK(!cpus[0].interrupt, "is one");
    set(0, DIVIDE, 0xb);
    set(0, TIMER, 0x20050);
    set(0, INITIAL, 1000000);
    for (int i = 0; i < 10; i++) {
        bare_wait(&bare, 900000);
        if (cpus[0].interrupt) {
            OK(false, "too early");
        }
        bare_wait(&bare, 100000);
        if (serve(0) != 0x50) {
            OK(false, "too late");
        }
    }
    OK(get(0, CURRENT) == 1000000, "periodic, without drift");
    unsigned served = 0;
    clock_set(bare.board.clock, clock_now(bare.board.clock) + 5500000);
    for (int i = 0; i < 20; i++) {
        bare_wait(&bare, 20000);
        served += serve(0) == 0x50;
    }
    OK(served == 5, "what the host missed is made up for");
    set(0, TIMER, 0x30050);
    bare_wait(&bare, 2000000);
    OK(!cpus[0].interrupt, "masked");
    set(0, TIMER, 0x40051);
    OK(get(0, CURRENT) == 0, "deadline: no count");
    u64 tsc = 2 * clock_now(bare.board.clock);
    OK(lapic_msr_write(apic[0], 0x6e0, tsc + 200000), "set");
    bare_wait(&bare, 50000);
    OK(!cpus[0].interrupt, "not before");
    bare_wait(&bare, 50000);
    OK(serve(0) == 0x51, "at the TSC's value");
    OK(lapic_msr_read(apic[0], 0x6e0, &tsc) && tsc == 0, "which is spent");
}

static u32 io_get(u8 index)
{
    map_write(&bare.board.dma, 0xfec00000, 4, index, NULL);
    return (u32)map_read(&bare.board.dma, 0xfec00010, 4, NULL);
}

static void io_set(u8 index, u32 value)
{
    map_write(&bare.board.dma, 0xfec00000, 4, index, NULL);
    map_write(&bare.board.dma, 0xfec00010, 4, value, NULL);
}

static void test_io(void)
{
    start_all();
    OK(io_get(1) == 0x170020, "version, 24 inputs");
    OK(io_get(0x10) == 0x10000, "masked");
    io_set(0x13, 1u << 24);
    io_set(0x12, 0x61);
    ioapic_input(io, 1, true);
    OK(serve(1) == 0x61, "an edge");
    OK(serve(1) == -1, "once");
    ioapic_input(io, 1, false);
    io_set(0x12, 0x10061);
    ioapic_input(io, 1, true);
    io_set(0x12, 0x61);
    OK(serve(1) == -1, "lost while masked");
    io_set(0x15, 4u << 24);
    io_set(0x14, 0x8862);
    ioapic_input(io, 2, true);
    OK(cpus[2].interrupt && io_get(0x14) == 0xc862, "a level, with remote IRR");
    OK(lapic_acknowledge(apic[2]) == 0x62 && get(2, TMR + 0x30) == 4, "accepted as such");
    set(2, EOI, 0);
    OK(cpus[2].interrupt, "comes again at its end");
    lapic_acknowledge(apic[2]);
    ioapic_input(io, 2, false);
    set(2, EOI, 0);
    OK(!cpus[2].interrupt && io_get(0x14) == 0x8862, "until it is gone");
    ioapic_input(io, 2, true);
    lapic_acknowledge(apic[2]);
    ioapic_input(io, 2, false);
    map_write(&bare.board.dma, 0xfec00040, 4, 0x62, NULL);
    OK(io_get(0x14) == 0x8862, "the I/O APIC's own end of interrupt");
    set(2, EOI, 0);
    io_set(0x11, 0);
    io_set(0x10, 0x700);
    ioapic_input(io, 0, true);
    OK(lapic_acknowledge(apic[0]) == LAPIC_EXTERNAL && !cpus[0].interrupt, "external");
    io_set(0x11, 1u << 24);
    io_set(0x10, 0x400);
    ioapic_input(io, 0, false);
    ioapic_input(io, 0, true);
    OK(cpus[1].nmis == 1, "NMI");
    ioapic_input(io, 0, false);
}

static void test_external(void)
{
    u64 base;

    device_reset(apic[0]);
    lapic_input(apic[0], 0, true);
    OK(cpus[0].interrupt && lapic_acknowledge(apic[0]) == LAPIC_EXTERNAL,
       "the boot processor hears the 8259s after a reset");
    lapic_input(apic[0], 0, false);
    OK(!cpus[0].interrupt && lapic_acknowledge(apic[0]) == -1, "as long as they ask");
    set(0, SVR, 0x1ff);
    set(0, LINT0, 0x10700);
    lapic_input(apic[0], 0, true);
    OK(!cpus[0].interrupt, "masked");
    OK(lapic_msr_read(apic[0], 0x1b, &base) && base == 0xfee00900, "the base");
    OK(lapic_msr_write(apic[0], 0x1b, 0xfee00100) && cpus[0].interrupt, "off: the pin is INTR");
    OK(lapic_address(apic[0]) == ~0ull, "and there are no registers");
    lapic_input(apic[0], 0, false);
    OK(lapic_msr_write(apic[0], 0x1b, 0xfef00900) && lapic_address(apic[0]) == 0xfef00000, "moved");
}

static void test_x2apic(void)
{
    u64 value;

    start_all();
    OK(!lapic_msr_write(apic[1], 0x1b, 0xfee00400), "x2APIC without APIC is refused");
    OK(!lapic_msr_read(apic[1], 0x802, &value), "no registers before it is on");
    for (unsigned i = 0; i < CPUS; i++) {
        lapic_msr_write(apic[i], 0x1b, 0xfee00c00);
        lapic_msr_write(apic[i], 0x80f, 0x1ff);
    }
    OK(!lapic_msr_write(apic[1], 0x1b, 0xfee00800), "nor is there a way straight back");
    OK(lapic_msr_read(apic[1], 0x802, &value) && value == 1, "the id");
    OK(lapic_msr_read(apic[1], 0x80d, &value) && value == 2, "the logical id");
    OK(lapic_msr_write(apic[0], 0x830, 0x200000045) && cpus[2].interrupt, "an IPI");
    OK(lapic_msr_read(apic[2], 0x822, &value) && value == 0x20, "its request");
    lapic_acknowledge(apic[2]);
    OK(!lapic_msr_write(apic[2], 0x80b, 1) && lapic_msr_write(apic[2], 0x80b, 0), "its end");
    OK(lapic_msr_write(apic[0], 0x830, 0x600000846) && cpus[1].interrupt && cpus[2].interrupt,
       "logical");
    OK(lapic_msr_write(apic[0], 0x83f, 0x47) && lapic_acknowledge(apic[0]) == 0x47, "to itself");
    OK(!lapic_msr_write(apic[0], 0x80e, 0) && !lapic_msr_read(apic[0], 0x831, &value) &&
           !lapic_msr_write(apic[0], 0x808, 0x100) && !lapic_msr_write(apic[0], 0x802, 0),
       "what is reserved is refused");
    StateBuffer saved = {0};
    char *error = NULL;
    device_save(apic[1], &saved);
    device_reset(apic[1]);
    OK(!cpus[1].interrupt && device_load(apic[1], &saved, &error) == 0 && cpus[1].interrupt,
       "state is saved");
    state_buffer_free(&saved);
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    for (unsigned i = 0; i < CPUS; i++) {
        const LapicCpu cpu = {&cpus[i], interrupt, nmi, smi, init, startup, tsc_time};
        apic[i] = device_new(&device_apic, &bare.board, NULL);
        device_set_backend(apic[i], "bus", &bus, &error);
        device_set_u64(apic[i], "id", i);
        device_set_u64(apic[i], "bsp", i == 0);
        lapic_attach(apic[i], &cpu);
        device_start(apic[i], &error);
        device_reset(apic[i]);
    }
    io = device_new(&device_ioapic, &bare.board, NULL);
    device_set_backend(io, "bus", &bus, &error);
    device_start(io, &error);
    device_reset(io);
    device_map(io, 0, 0xfec00000);
    test_priorities();
    test_addressing();
    test_timer();
    test_io();
    test_external();
    test_x2apic();
    for (unsigned i = 0; i < CPUS; i++) {
        device_free(apic[i]);
    }
    device_free(io);
    OK(!bus.local[0] && !bus.io[0], "all have left the bus");
    bare_stop(&bare);
    return tap_done();
}
