/* "PIIX4_PM": power management of the PIIX4 (82371AB data sheet, chapter 7): the ACPI event,
 * control and timer registers, general purpose events, and the SMI command port, which switches
 * ACPI on and off. Sleep types are ours to choose: see piix4_pm.h and the machine's ACPI tables.
 *
 * Outputs: "sci"; "smi", which is pulsed. Asleep (S3), the machine waits for the power button, for
 * the clock's alarm if that is enabled, or for piix4_pm_wake(). */
#include "device/pci/piix4_pm.h"

#include "device/devices.h"

enum {
    PMBASE = 0x40,
    DEVACTB = 0x58,
    DEVACTB_APMC = 1 << 25,
    GLOBAL_SMI = 1 << 0, /* GLBCTL: SMI_EN */
    PMREGMISC = 0x80,
    SMBBASE = 0x90,
    SMBHSTCFG = 0xd2,
    TIMER_HZ = 3579545,
    TIMER_BITS = 24,
    STS_TIMER = 1 << 0,
    STS_POWER_BUTTON = 1 << 8,
    STS_RTC = 1 << 10,
    STS_WAKE = 1 << 15,
    STS_CLEARABLE = STS_TIMER | 1 << 4 | 1 << 5 | STS_POWER_BUTTON | 1 << 9 | STS_RTC | STS_WAKE,
    EN_WRITABLE = STS_TIMER | 1 << 5 | STS_POWER_BUTTON | 1 << 9 | STS_RTC,
    CNT_SCI = 1,
    CNT_SLEEP = 1 << 13,
    CNT_TYPE_SHIFT = 10,
};

typedef struct Piix4Pm {
    PciFunction pci;
    Region pm_region, gpe_region, smi_region, smbus_region;
    u16 status, enable, control;
    u16 gpe_status, gpe_enable;
    u32 global_control;
    u8 smi_command, smi_data;
    u8 asleep;
    Timer overflow; /* when the timer's top bit changes */
    Irq sci, smi;
    u16 base; /* as moved() was told of last */
    void (*moved)(void *opaque);
    void *opaque;
} Piix4Pm;

/* -- Events */

static void update(Piix4Pm *p)
{
    bool up = (p->status & p->enable) || (p->gpe_status & p->gpe_enable);

    irq_set(&p->sci, up && p->control & CNT_SCI);
}

static u64 timer_ticks(const Piix4Pm *p)
{
    return scale_u64(clock_now(p->pci.d.board->clock), TIMER_HZ, NANOSECONDS);
}

/* The status bit is set whenever bit 23 changes; a timer is needed only while that interrupts. */
static void set_overflow(Piix4Pm *p)
{
    u64 half = 1 << (TIMER_BITS - 1), next = (timer_ticks(p) / half + 1) * half;

    if (p->enable & STS_TIMER) {
        timer_set(&p->overflow, scale_u64(next, NANOSECONDS, TIMER_HZ) + 1);
    } else {
        timer_cancel(&p->overflow);
    }
}

static void overflow(void *opaque)
{
    Piix4Pm *p = opaque;

    p->status |= STS_TIMER;
    set_overflow(p);
    update(p);
}

static void wake(Piix4Pm *p)
{
    if (p->asleep) {
        p->asleep = 0;
        p->status |= STS_WAKE;
        p->pci.d.board->event(p->pci.d.board, BOARD_WAKE, 0);
    }
}

void piix4_pm_power_button(void *device)
{
    Piix4Pm *p = device;

    p->status |= STS_POWER_BUTTON;
    wake(p);
    update(p);
}

void piix4_pm_wake(void *device)
{
    wake(device);
}

void piix4_pm_rtc_input(void *device, unsigned line, bool level)
{
    Piix4Pm *p = device;

    (void)line;
    if (!level) {
        return;
    }
    p->status |= STS_RTC;
    if (p->enable & STS_RTC) {
        wake(p);
    }
    update(p);
}

/* -- Registers at PMBASE */

static u64 read_timer(void *device)
{
    return timer_ticks(device) & ((1 << TIMER_BITS) - 1);
}

static void write_status(void *device, u64 value)
{
    (void)value;
    update(device);
}

static void write_enable(void *device, u64 value)
{
    (void)value;
    set_overflow(device);
    update(device);
}

static void write_control(void *device, u64 value)
{
    Piix4Pm *p = device;
    Board *board = p->pci.d.board;
    unsigned type = value >> CNT_TYPE_SHIFT & 7;

    if (value & CNT_SLEEP && type == PIIX4_SLEEP_S5) {
        board->event(board, BOARD_POWER_OFF, 0);
    } else if (value & CNT_SLEEP && type == PIIX4_SLEEP_S3) {
        p->asleep = 1;
        board->event(board, BOARD_SUSPEND, 0);
    }
    update(p);
}

static const Register pm_registers[] = {
    {.at = 0,
     .name = "PMSTS",
     REG_FIELD(Piix4Pm, status),
     .clear = STS_CLEARABLE,
     .write = write_status},
    {.at = 2,
     .name = "PMEN",
     REG_FIELD(Piix4Pm, enable),
     .mask = EN_WRITABLE,
     .write = write_enable},
    {.at = 4,
     .name = "PMCNTRL",
     REG_FIELD(Piix4Pm, control),
     .mask = 0x1c03,
     .write = write_control},
    {.at = 8, .name = "PMTMR", .width = 4, .read = read_timer},
    {.at = 0x28,
     .name = "GLBCTL",
     REG_FIELD(Piix4Pm, global_control),
     .width = 4,
     .mask = GLOBAL_SMI},
};

static const Register gpe_registers[] = {
    {.at = 0,
     .name = "GPSTS",
     REG_FIELD(Piix4Pm, gpe_status),
     .clear = 0xffff,
     .write = write_status},
    {.at = 2,
     .name = "GPEN",
     REG_FIELD(Piix4Pm, gpe_enable),
     .mask = 0xffff,
     .write = write_status},
};

/* -- SMI command port (APMC, APMS) */

static void write_smi_command(void *device, u64 value)
{
    Piix4Pm *p = device;

    if (value == PIIX4_ACPI_ENABLE) {
        p->control |= CNT_SCI;
    } else if (value == PIIX4_ACPI_DISABLE) {
        p->control &= (u16)~CNT_SCI;
    }
    update(p);
    if (pci_get(&p->pci, DEVACTB, 4) & DEVACTB_APMC && p->global_control & GLOBAL_SMI) {
        irq_pulse(&p->smi);
    }
}

static const Register smi_registers[] = {
    REG(0, "APMC", REG_FIELD(Piix4Pm, smi_command), 0, 0xff, NULL, write_smi_command),
    REG(1, "APMS", REG_FIELD(Piix4Pm, smi_data), 0, 0xff, NULL, NULL),
};

/* -- Placing */

u16 piix4_pm_base(const void *device)
{
    const Piix4Pm *p = device;

    return p->pci.config[PMREGMISC] & 1 ? (u16)(pci_get(&p->pci, PMBASE, 4) & 0xffc0) : 0;
}

void piix4_pm_on_move(void *device, void (*moved)(void *opaque), void *opaque)
{
    Piix4Pm *p = device;

    p->moved = moved;
    p->opaque = opaque;
}

static void place(Piix4Pm *p)
{
    u16 base = piix4_pm_base(p);

    if (base) {
        device_map(p, 0, base);
    } else {
        device_unmap(p, 0);
    }
    if (base && base != p->base && p->moved) {
        p->base = base;
        p->moved(p->opaque);
    }
}

static void config_written(void *device, u32 at, u32 size)
{
    if (at + size > PMBASE && at <= PMREGMISC) {
        place(device);
    }
}

static void config_reset(void *device)
{
    PciFunction *f = device;

    pci_put(f, 0x06, 2, 0x0280);
    pci_put(f, PMBASE, 4, 1);
    pci_put(f, SMBBASE, 4, 1);
    pci_make_writable(f, 0x04, 2, 0x0001);
    pci_make_writable(f, PMBASE, 4, 0xffc0);
    pci_make_writable(f, 0x48, 4, 0xffffffff);
    pci_make_writable(f, DEVACTB, 4, 0xffffffff);
    pci_make_writable(f, 0x5c, 4, 0xffffffff);
    pci_make_writable(f, 0x60, 4, 0xffffffff);
    pci_make_writable(f, PMREGMISC, 1, 0x01);
    pci_make_writable(f, SMBBASE, 4, 0xfff0);
    pci_make_writable(f, SMBHSTCFG, 1, 0x0f);
}

void piix4_pm_enable(void *device)
{
    Piix4Pm *p = device;

    pci_put(&p->pci, PMBASE, 4, PIIX4_PM_BASE | 1);
    pci_put(&p->pci, PMREGMISC, 1, 1);
    place(p);
}

static int start(void *device, char **error)
{
    Piix4Pm *p = device;

    (void)error;
    timer_init(&p->overflow, p->pci.d.board->clock, overflow, p);
    device_map(p, 1, PIIX4_GPE_BASE);
    device_map(p, 2, PIIX4_SMI_PORT);
    return 0;
}

static void stop(void *device)
{
    Piix4Pm *p = device;

    timer_cancel(&p->overflow);
}

static void settle(void *device)
{
    place(device);
    set_overflow(device);
    update(device);
}

static const PciInfo info = {
    .vendor = 0x8086,
    .device = 0x7113,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_code = 0x068000,
    .revision = 3,
    .interrupt_pin = 1,
    .config_written = config_written,
    .config_reset = config_reset,
};

static const RegisterBank banks[] = {
    {.name = "acpi-pm",
     .size = 64,
     .region = offsetof(Piix4Pm, pm_region),
     .ports = true,
     .width = 2,
     .registers = pm_registers,
     .count = COUNT(pm_registers)},
    {.name = "acpi-gpe",
     .size = 4,
     .region = offsetof(Piix4Pm, gpe_region),
     .ports = true,
     .width = 2,
     .registers = gpe_registers,
     .count = COUNT(gpe_registers)},
    {.name = "apm",
     .size = 2,
     .region = offsetof(Piix4Pm, smi_region),
     .ports = true,
     .width = 1,
     .registers = smi_registers,
     .count = COUNT(smi_registers)},
};

static const StateField state[] = {
    PCI_STATE(Piix4Pm),
    STATE(Piix4Pm, asleep),
    STATE_END,
};

static const IrqOutput outputs[] = {
    {"sci", offsetof(Piix4Pm, sci), 1},
    {"smi", offsetof(Piix4Pm, smi), 1},
    IRQ_OUTPUT_END,
};

const DeviceDef device_piix4_pm = {
    .name = "PIIX4_PM",
    .summary = "power management of the PC: ACPI events, timer, sleep",
    .size = sizeof(Piix4Pm),
    .bus_kind = BUS_PCI,
    .bus = &info,
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .outputs = outputs,
    .start = start,
    .stop = stop,
    .settle = settle,
};
