/* Firmware of x86 boards: its file, and what it reads of fw_cfg whatever the board. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/firmware/fw_cfg.h"
#include "machine/x86/board.h"

enum { LARGEST = 16 << 20, ROM_ALIGN = 0x10000 };

RamBlock *x86_load_firmware(const MachineOptions *options, const char *const *places, char **error)
{
    const char *path = options->firmware;
    RamBlock *rom = NULL;
    size_t size;
    u8 *bytes;

    for (; !path && *places; places++) {
        path = access(*places, R_OK) == 0 ? *places : NULL;
    }
    if (!path) {
        device_error(error, "there is no firmware: install the package seabios, or name a file "
                            "with --firmware");
        return NULL;
    }
    bytes = machine_read_file(path, &size, error);
    if (!bytes) {
        return NULL;
    }
    if (size == 0 || size > LARGEST) {
        device_error(error, "%s: its size is no firmware's", path);
    } else {
        rom = ram_new("bios", MAX(ALIGN_UP((u64)size, (u64)ROM_ALIGN), (u64)X86_LOW_ROM));
        if (!rom) {
            device_error(error, "out of memory");
        } else {
            memcpy(rom->host + rom->size - size, bytes, size);
        }
    }
    free(bytes);
    return rom;
}

void x86_tell_boot(const MachineOptions *options, void *fw_cfg)
{
    enum { MENU_WAIT = 3000, FOR_EVER = -1 };
    u8 wait[4];

    fw_cfg_set_number(fw_cfg, FW_CFG_BOOT_MENU, options->boot_menu, 2);
    if (options->boot_menu) {
        put_le(wait, options->boot_wait ? options->boot_wait : MENU_WAIT, 2);
        fw_cfg_set_file(fw_cfg, "etc/boot-menu-wait", wait, 2);
    }
    put_le(wait, options->boot_retry ? options->boot_retry : (u32)FOR_EVER, 4);
    fw_cfg_set_file(fw_cfg, "etc/boot-fail-wait", wait, 4);
}

/* Address, size, type of each range. RAM is type 1. */
void x86_tell_memory(const X86Board *board, void *fw_cfg)
{
    u8 entries[2 * 20];
    u64 high = board->machine->ram->size - board->low_size;

    put_le(entries, 0, 8);
    put_le(entries + 8, board->low_size, 8);
    put_le(entries + 16, 1, 4);
    put_le(entries + 20, 1ull << 32, 8);
    put_le(entries + 28, high, 8);
    put_le(entries + 36, 1, 4);
    fw_cfg_set_file(fw_cfg, "etc/e820", entries, high ? 40 : 20);
}

void x86_tell_acpi(const AcpiTables *tables, void *fw_cfg)
{
    size_t size;
    u8 *script = acpi_loader_script(tables, &size);

    fw_cfg_set_file(fw_cfg, "etc/acpi/tables", tables->bytes, tables->size);
    fw_cfg_set_file(fw_cfg, "etc/acpi/rsdp", tables->rsdp, sizeof tables->rsdp);
    fw_cfg_set_file(fw_cfg, "etc/table-loader", script, size);
    free(script);
}
