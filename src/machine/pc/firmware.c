/* The PC's firmware: in flash chips if drives are some; else a file that the user names or that is
 * found in Debian's packages; and what fw_cfg tells it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/devices.h"
#include "device/firmware/fw_cfg.h"
#include "device/firmware/pflash_cfi01.h"
#include "device/pci/piix4_pm.h"
#include "device/timer/mc146818.h"
#include "machine/boot_order.h"
#include "machine/pc/pc.h"

enum { MAX_FLASH = 8 << 20, FLASH_CHIPS = 2 };

static const char *const places[] = {
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-256k.bin",
    "/usr/share/seabios/bios.bin",
    NULL,
};

/* A machine that starts a kernel by itself does without: its firmware is empty. */
static int load_nothing(Pc *pc, char **error)
{
    pc->bios = pc->rom = ram_new("bios", X86_LOW_ROM);
    if (!pc->rom) {
        device_error(error, "out of memory");
        return -ENOMEM;
    }
    memset(pc->rom->host, 0xf4, pc->rom->size); /* HLT */
    return 0;
}

static int load_file(Pc *pc, const MachineOptions *options, char **error)
{
    pc->bios = pc->rom = x86_load_firmware(options, places, error);
    return pc->rom ? 0 : -ENOENT;
}

/* -- Flash chips: --drive if=pflash. The first ends at 4 GiB, the second below the first. */

/* The drive for a chip: the one with that index, or of those without the next. */
static DriveRequest *find_flash(const MachineOptions *options, int chip)
{
    int next = 0;

    for (DriveRequest *drive = options->drives; drive; drive = drive->next) {
        if (strcmp(drive->interface, "pflash") != 0) {
            continue;
        }
        if (drive->index < 0 ? next++ == chip : drive->index == chip) {
            return drive;
        }
    }
    return NULL;
}

static void *add_flash(Pc *pc, DriveRequest *drive, const char *id, u64 end, char **error)
{
    Disk *disk = drive->node ? machine_add_drive(pc->machine, drive, id, error) : NULL;
    void *flash;

    if (!disk) {
        if (!drive->node) {
            device_error(error, "a flash chip needs an image");
        }
        return NULL;
    }
    if (disk_size(disk) > MAX_FLASH) {
        device_error(error, "%s: larger than a flash chip of %d MiB", block_filename(drive->node),
                     MAX_FLASH >> 20);
        return NULL;
    }
    flash = machine_add(pc->machine, device_new(&device_cfi_pflash01, &pc->machine->board, id));
    device_set_u64(flash, "address", end - disk_size(disk));
    return device_set_backend(flash, "drive", disk, error) < 0 || device_start(flash, error) < 0
               ? NULL
               : flash;
}

static int load_flash(Pc *pc, const MachineOptions *options, char **error)
{
    static const char *const ids[FLASH_CHIPS] = {"pflash0", "pflash1"};
    u64 end = 1ull << 32;

    if (options->firmware || options->kernel) {
        device_error(error, "firmware in flash chips (if=pflash) leaves no place for %s",
                     options->firmware ? "another" : "a kernel that starts without");
        return -EINVAL;
    }
    for (int chip = 0; chip < FLASH_CHIPS && find_flash(options, chip); chip++) {
        void *flash = add_flash(pc, find_flash(options, chip), ids[chip], end, error);
        if (!flash) {
            return -EINVAL;
        }
        end -= pflash_ram(flash)->size;
        pc->bios = chip == 0 ? pflash_ram(flash) : pc->bios;
    }
    if (!pc->bios || pc->bios->size < X86_LOW_ROM) {
        device_error(error, "the first flash chip (if=pflash) is to have the firmware");
        return -EINVAL;
    }
    return 0;
}

int pc_load_firmware(Pc *pc, const MachineOptions *options, char **error)
{
    for (const DriveRequest *drive = options->drives; drive; drive = drive->next) {
        if (!strcmp(drive->interface, "pflash")) {
            return load_flash(pc, options, error);
        }
    }
    return options->kernel && !options->firmware ? load_nothing(pc, error)
                                                 : load_file(pc, options, error);
}

/* -- fw_cfg */

/* Types of floppy drives; the equipment byte: their number, a mouse, an FPU. */
static void set_floppies(Pc *pc)
{
    u8 a = floppy_drive_type(pc->floppy, 0), b = floppy_drive_type(pc->floppy, 1);

    mc146818_set(pc->rtc, 0x10, (u8)(a << 4 | b));
    mc146818_set(pc->rtc, 0x14, (u8)(b ? 0x47 : 0x07));
}

/* What SeaBIOS reads of the CMOS memory: sizes of RAM. */
static void fill_cmos(Pc *pc)
{
    u64 low = pc->x86.low_size, above_16 = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;
    u64 above_1 = MIN((low - (1 << 20)) >> 10, (u64)0xfc00);
    u64 high = (pc->machine->ram->size - low) >> 16;

    mc146818_set(pc->rtc, 0x15, 640 & 0xff);
    mc146818_set(pc->rtc, 0x16, 640 >> 8);
    for (u8 at = 0x17; at <= 0x30; at += 0x19) { /* 0x17 and 0x30 */
        mc146818_set(pc->rtc, at, (u8)above_1);
        mc146818_set(pc->rtc, (u8)(at + 1), (u8)(above_1 >> 8));
    }
    mc146818_set(pc->rtc, 0x34, (u8)above_16);
    mc146818_set(pc->rtc, 0x35, (u8)(above_16 >> 8));
    for (u8 i = 0; i < 3; i++) {
        mc146818_set(pc->rtc, (u8)(0x5b + i), (u8)(high >> 8 * i));
    }
    set_floppies(pc);
    mc146818_set(pc->rtc, 0x5f, (u8)(pc->machine->processor_count - 1));
}

/* SeaBIOS takes the order of kinds of devices from CMOS memory, a nibble each, and that of devices
 * from a file; OVMF knows the file only. Without a word of the user's OVMF keeps its own order. */
void pc_set_boot_order(Pc *pc, const char *order)
{
    static const char letters[] = "acdn";
    u8 kinds[3] = {0};
    size_t size;
    char *text;

    order = order ? order : "cda";
    for (size_t i = 0; i < COUNT(kinds) && order[i]; i++) {
        const char *letter = strchr(letters, order[i]);
        kinds[i] = letter ? (u8)(letter - letters + 1) : 0;
    }
    mc146818_set(pc->rtc, 0x3d, (u8)(kinds[0] | kinds[1] << 4));
    mc146818_set(pc->rtc, 0x38, (u8)(kinds[2] << 4 | 1)); /* 1: don't check floppies */
    if (boot_order_is_given(pc->machine)) {
        text = boot_order_text(pc->machine, order, &size);
        fw_cfg_set_file(pc->fw_cfg, "bootorder", text, size);
        free(text);
    }
}

/* UEFI firmware has its own place for power management's registers. */
static void say_acpi_again(void *opaque)
{
    pc_acpi_to_firmware(opaque);
}

void pc_fill_fw_cfg(Pc *pc, const MachineOptions *options)
{
    enum { IS_THERE = 0x80 }; /* else: the sleep type */
    static const u8 states[] = {IS_THERE, 0, 0, IS_THERE | PIIX4_SLEEP_S3, 0, IS_THERE};
    void *f = pc->fw_cfg;

    fw_cfg_set_number(f, FW_CFG_RAM_SIZE, pc->machine->ram->size, 8);
    fw_cfg_set_number(f, FW_CFG_CPU_COUNT, options->cpus, 2);
    fw_cfg_set_number(f, FW_CFG_MAX_CPUS, options->cpus, 2);
    fw_cfg_set_number(f, FW_CFG_NO_GRAPHIC, 0, 2);
    x86_tell_boot(options, f);
    fw_cfg_set_file(f, "etc/system-states", states, sizeof states);
    fw_cfg_set_file(f, "etc/smbios/smbios-anchor", pc->smbios.entry, SMBIOS_ENTRY);
    fw_cfg_set_file(f, "etc/smbios/smbios-tables", pc->smbios.bytes, pc->smbios.size);
    x86_tell_memory(&pc->x86, f);
    pc_acpi_to_firmware(pc);
    piix4_pm_on_move(pc->pm, say_acpi_again, pc);
    fill_cmos(pc);
}
