/* "i6300esb": the watchdog timer of Intel's 6300ESB. Intel 6300ESB I/O Controller Hub data sheet
 * (300641-004), chapter 16; names of registers as there.
 *
 * It counts two stages; at the end of the first it may interrupt, at the end of the second the
 * watchdog has run out (or, in free-running mode, the first begins again). A write to a register
 * that matters must follow 0x80 and 0x86, written to RELOAD. */
#include "device/devices.h"
#include "device/pci/pci.h"

enum { CONFIG = 0x60, LOCK = 0x68 }; /* configuration space */
enum ConfigBits {
    CONFIG_INTERRUPT = 0x03, /* 0: the pin */
    CONFIG_FAST = 0x04,      /* 2^5 ticks a count, not 2^15 */
    CONFIG_NO_OUTPUT = 0x20, /* nothing happens when it runs out */
};
enum LockBits { LOCK_LOCKED = 0x01, LOCK_ENABLE = 0x02, LOCK_FREE = 0x04, LOCK_ALL = 0x07 };
enum ReloadBits { RELOAD = 0x100, TIMEOUT = 0x200 };
enum { PRELOAD_MASK = 0xfffff, INTERRUPT_ACTIVE = 0x01, CLOCK = 33000000 };
enum { UNLOCK_1 = 0x80, UNLOCK_2 = 0x86 };
/* No stage is shorter, or one that begins again and again would keep the host busy. Nanoseconds. */
enum { SHORTEST = 20000 };

typedef struct Watchdog {
    PciFunction pci;
    Region registers;
    u32 preload[2];
    u32 interrupt; /* GINT_SR */
    u8 unlock;     /* how many of the two values have come */
    u8 timed_out;  /* stays over the reset that it causes */
    u8 stage;      /* 0 or 1 */
    u8 enabled;    /* as LOCK says; to see changes */
    Timer timer;
} Watchdog;

static void start_stage(Watchdog *w, u8 stage)
{
    unsigned shift = pci_get(&w->pci, CONFIG, 2) & CONFIG_FAST ? 5 : 15;
    u64 ticks = (u64)(w->preload[stage] + 1) << shift, time = scale_u64(ticks, NANOSECONDS, CLOCK);

    w->stage = stage;
    timer_set(&w->timer, clock_now(w->pci.d.board->clock) + MAX(time, (u64)SHORTEST));
}

static void run_out(Watchdog *w)
{
    Board *board = w->pci.d.board;

    if (pci_get(&w->pci, LOCK, 1) & LOCK_FREE) {
        start_stage(w, 0);
        return;
    }
    w->timed_out = true;
    if (!(pci_get(&w->pci, CONFIG, 2) & CONFIG_NO_OUTPUT)) {
        board->event(board, BOARD_WATCHDOG, 0);
    }
}

static void fire(void *opaque)
{
    Watchdog *w = opaque;

    if (w->stage == 1) {
        run_out(w);
        return;
    }
    if ((pci_get(&w->pci, CONFIG, 2) & CONFIG_INTERRUPT) == 0) {
        w->interrupt = INTERRUPT_ACTIVE;
        pci_set_interrupt(w, true);
    }
    start_stage(w, 1);
}

/* -- Configuration space */

static void apply_lock(Watchdog *w)
{
    u32 lock = pci_get(&w->pci, LOCK, 1);
    bool enabled = lock & LOCK_ENABLE;

    w->pci.writable[LOCK] = lock & LOCK_LOCKED ? 0 : LOCK_ALL;
    if (enabled && !w->enabled) {
        start_stage(w, 0);
    } else if (!enabled) {
        timer_cancel(&w->timer);
    }
    w->enabled = enabled;
}

static void config_written(void *device, u32 at, u32 size)
{
    if (at <= LOCK && at + size > LOCK) {
        apply_lock(device);
    }
}

static void config_reset(void *device)
{
    pci_make_writable(device, CONFIG, 2, CONFIG_INTERRUPT | CONFIG_FAST | CONFIG_NO_OUTPUT);
    pci_make_writable(device, LOCK, 1, LOCK_ALL);
}

/* -- Registers */

/* Whether the write was unlocked, which it uses up. */
static bool is_unlocked(Watchdog *w)
{
    bool unlocked = w->unlock == 2;

    w->unlock = 0;
    if (!unlocked) {
        device_guest_error(w, "write to a locked register");
    }
    return unlocked;
}

static u64 read_preload(void *device, u32 stage)
{
    return ((Watchdog *)device)->preload[stage];
}

static void write_preload(void *device, u32 stage, u64 value)
{
    Watchdog *w = device;

    if (is_unlocked(w)) {
        w->preload[stage] = value & PRELOAD_MASK;
    }
}

static void write_interrupt(void *device, u64 value)
{
    (void)value;
    pci_set_interrupt(device, ((Watchdog *)device)->interrupt);
}

static u64 read_reload(void *device)
{
    return ((Watchdog *)device)->timed_out ? TIMEOUT : 0;
}

static void write_reload(void *device, u64 value)
{
    Watchdog *w = device;

    if (value == UNLOCK_1) {
        w->unlock = 1;
    } else if (value == UNLOCK_2 && w->unlock == 1) {
        w->unlock = 2;
    } else if (is_unlocked(w)) {
        if (value & TIMEOUT) {
            w->timed_out = false;
        }
        if (value & RELOAD && w->enabled) {
            start_stage(w, 0);
        }
    }
}

/* -- The device */

static int start(void *device, char **error)
{
    Watchdog *w = device;

    (void)error;
    timer_init(&w->timer, w->pci.d.board->clock, fire, w);
    return 0;
}

static void stop(void *device)
{
    timer_cancel(&((Watchdog *)device)->timer);
}

static void settle(void *device)
{
    Watchdog *w = device;

    w->stage &= 1;
    w->preload[0] &= PRELOAD_MASK;
    w->preload[1] &= PRELOAD_MASK;
    w->pci.writable[LOCK] = pci_get(&w->pci, LOCK, 1) & LOCK_LOCKED ? 0 : LOCK_ALL;
    pci_set_interrupt(w, w->interrupt);
}

static const Register registers[] = {
    {.at = 0x00,
     .name = "PRELOAD",
     REG_FIELD(Watchdog, preload[0]),
     .reset = PRELOAD_MASK,
     .count = 2,
     .stride = 4,
     .read_at = read_preload,
     .write_at = write_preload},
    {.at = 0x08,
     .name = "GINT_SR",
     REG_FIELD(Watchdog, interrupt),
     .clear = INTERRUPT_ACTIVE,
     .write = write_interrupt},
    REG(0x0c, "RELOAD", REG_NONE, 0, 0, read_reload, write_reload),
};

static const RegisterBank banks[] = {
    {.name = "i6300esb",
     .size = 16,
     .region = offsetof(Watchdog, registers),
     .width = 4,
     .registers = registers,
     .count = COUNT(registers)},
};

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x25ab,
    .class_code = 0x088000,
    .interrupt_pin = 1,
    .bars = {{PCI_BAR_MEMORY, 0}},
    .config_written = config_written,
    .config_reset = config_reset,
};

static const StateField state[] = {
    PCI_STATE(Watchdog),      STATE(Watchdog, unlock),          STATE(Watchdog, stage),
    STATE(Watchdog, enabled), STATE_ONE_TIMER(Watchdog, timer), STATE_END,
};

static const StateField kept[] = {STATE(Watchdog, timed_out), STATE_END};

const DeviceDef device_i6300esb = {
    .name = "i6300esb",
    .summary = "Intel 6300ESB watchdog timer",
    .size = sizeof(Watchdog),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .kept = kept,
    .start = start,
    .stop = stop,
    .settle = settle,
};
