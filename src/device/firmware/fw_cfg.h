/* fw_cfg: what the machine tells its firmware, by key and by file name. See fw_cfg.c. */
#ifndef DEVICE_FIRMWARE_FW_CFG_H
#define DEVICE_FIRMWARE_FW_CFG_H

#include "device/core/device.h"

/* Keys below the files' (QEMU's docs/specs/fw_cfg.rst). */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NO_GRAPHIC = 0x04,
    FW_CFG_CPU_COUNT = 0x05,
    FW_CFG_KERNEL_ADDRESS = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIRECTORY = 0x19,
    FW_CFG_FILES = 0x20,
    FW_CFG_E820 = 0x8003,
};

/* The item's bytes, copied. The same key again replaces it. */
void fw_cfg_set(void *device, u16 key, const void *bytes, size_t size);
/* Little-endian numbers. */
void fw_cfg_set_number(void *device, u16 key, u64 value, unsigned size);
/* A file, at most 55 characters of name; the same name again replaces it. Returns its bytes as the
 * device keeps them. */
u8 *fw_cfg_set_file(void *device, const char *name, const void *bytes, size_t size);

#endif
