/* fw_cfg on a PC: selector at port 0x510, data at 0x511, DMA at 0x514 (QEMU's
 * docs/specs/fw_cfg.rst, which SeaBIOS, OVMF and Linux know).
 *
 * Items never change while the guest runs, but a firmware may write those files that it is allowed
 * to: none here. A read beyond an item's end gives zeroes. */
#include "device/firmware/fw_cfg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "device/devices.h"

enum {
    ITEMS = 128,
    NAME = 56,
    SELECTOR = 0,
    DATA = 1,
    DMA = 4,
    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
    ID_TRADITIONAL = 1,
    ID_DMA = 2,
    KEY_MASK = 0x3fff | 0x8000,
};

typedef struct Item {
    u16 key;
    char name[NAME]; /* of a file; empty otherwise */
    u8 *bytes;       /* owned */
    u32 size;
} Item;

typedef struct FwCfg {
    Device d;
    Region region;
    u16 key;
    u32 at; /* in the item */
    u32 dma_high;
    Item items[ITEMS];
    u32 item_count, file_count;
} FwCfg;

/* -- Items */

static Item *find(FwCfg *f, u16 key)
{
    for (u32 i = 0; i < f->item_count; i++) {
        if (f->items[i].key == key) {
            return &f->items[i];
        }
    }
    return NULL;
}

static Item *make(FwCfg *f, u16 key)
{
    Item *item = find(f, key);

    if (!item) {
        assert(f->item_count < ITEMS && "there is room for the items of all boards");
        item = &f->items[f->item_count++];
        item->key = key;
    }
    return item;
}

void fw_cfg_set(void *device, u16 key, const void *bytes, size_t size)
{
    Item *item = make(device, key);
    u8 *copy = malloc(size + 1);

    if (!copy) {
        abort();
    }
    memcpy(copy, bytes, size);
    free(item->bytes);
    item->bytes = copy;
    item->size = (u32)size;
}

void fw_cfg_set_number(void *device, u16 key, u64 value, unsigned size)
{
    u8 bytes[8];

    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (u8)(value >> 8 * i);
    }
    fw_cfg_set(device, key, bytes, size);
}

/* The directory: a count, then size, key, 0 and name of each file, big-endian. */
static void update_directory(FwCfg *f)
{
    u8 bytes[4 + ITEMS * 64] = {0};
    u32 n = 0;

    for (u32 i = 0; i < f->item_count; i++) {
        const Item *item = &f->items[i];
        if (item->name[0]) {
            u8 *entry = bytes + 4 + 64 * n++;
            put_be(entry, item->size, 4);
            put_be(entry + 4, item->key, 2);
            memcpy(entry + 8, item->name, NAME);
        }
    }
    put_be(bytes, n, 4);
    fw_cfg_set(f, FW_CFG_FILE_DIRECTORY, bytes, 4 + 64 * n);
}

u8 *fw_cfg_set_file(void *device, const char *name, const void *bytes, size_t size)
{
    FwCfg *f = device;
    Item *item = NULL;

    assert(strlen(name) < NAME && "names are short");
    for (u32 i = 0; i < f->item_count; i++) {
        if (!strcmp(f->items[i].name, name)) {
            item = &f->items[i];
        }
    }
    if (!item) {
        item = make(f, (u16)(FW_CFG_FILES + f->file_count++));
        strcpy(item->name, name);
    }
    fw_cfg_set(f, item->key, bytes, size);
    update_directory(f);
    return find(f, item->key)->bytes;
}

/* -- Reading */

static u8 next_byte(FwCfg *f)
{
    const Item *item = find(f, f->key);

    return item && f->at < item->size ? item->bytes[f->at++] : 0;
}

static void select_item(FwCfg *f, u16 key)
{
    f->key = key & KEY_MASK;
    f->at = 0;
}

/* Copies what there is of the item, zeroes for the rest. */
static bool dma_item(FwCfg *f, u64 address, u32 length)
{
    const Item *item = find(f, f->key);
    u32 left = item && f->at < item->size ? item->size - f->at : 0, part = MIN(left, length);
    static const u8 zeroes[4096];
    bool whole = true;

    if (part) {
        whole = dma_write(&f->d.board->dma, address, item->bytes + f->at, part);
        f->at += part;
    }
    for (u32 done = part, step; whole && done < length; done += step) {
        step = MIN(length - done, (u32)sizeof zeroes);
        whole = dma_write(&f->d.board->dma, address + done, zeroes, step);
    }
    return whole;
}

/* A descriptor: control, length (32 bits), address (64), big-endian; control becomes the result. */
static void run_dma(FwCfg *f, u64 descriptor)
{
    u8 bytes[16];
    u32 control, length;
    u64 address;
    bool good;

    good = dma_read(&f->d.board->dma, descriptor, bytes, sizeof bytes);
    control = __builtin_bswap32(*(u32 *)(void *)bytes);
    length = __builtin_bswap32(*(u32 *)(void *)(bytes + 4));
    address = __builtin_bswap64(*(u64 *)(void *)(bytes + 8));
    if (control & DMA_SELECT) {
        select_item(f, (u16)(control >> 16));
    }
    if (control & DMA_READ) {
        good &= dma_item(f, address, length);
    } else if (control & DMA_SKIP) {
        f->at = f->at + length < f->at ? ~0u : f->at + length;
    } else if (control & DMA_WRITE) {
        good = false;
    }
    put_be(bytes, good ? 0 : DMA_ERROR, 4);
    dma_write(&f->d.board->dma, descriptor, bytes, 4);
}

static u64 port_read(void *opaque, u64 offset, unsigned size)
{
    static const char signature[] = "QEMU CFG";

    if (offset == DATA && size == 1) {
        return next_byte(opaque);
    }
    if (offset >= DMA) {
        u64 value = 0;
        for (unsigned i = 0; i < size; i++) {
            value |= (u64)(u8)signature[offset - DMA + i] << 8 * i;
        }
        return value;
    }
    return 0;
}

static void port_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    FwCfg *f = opaque;

    if (offset == SELECTOR && size == 2) {
        select_item(f, (u16)value);
    } else if (offset == DMA && size == 4) {
        f->dma_high = __builtin_bswap32((u32)value);
    } else if (offset == DMA + 4 && size == 4) {
        u64 high = f->dma_high;
        f->dma_high = 0;
        run_dma(f, high << 32 | __builtin_bswap32((u32)value));
    }
}

static const RegionOps port_ops = {port_read, port_write, 1, 4, true, false, LITTLE};

static int start(void *device, char **error)
{
    (void)error;
    fw_cfg_set(device, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_number(device, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
    update_directory(device);
    return 0;
}

static void stop(void *device)
{
    FwCfg *f = device;

    for (u32 i = 0; i < f->item_count; i++) {
        free(f->items[i].bytes);
    }
}

static const RegisterBank banks[] = {
    {.name = "fw_cfg",
     .size = 12,
     .region = offsetof(FwCfg, region),
     .ports = true,
     .raw = &port_ops},
};

static const StateField state[] = {
    STATE(FwCfg, key),
    STATE(FwCfg, at),
    STATE(FwCfg, dma_high),
    STATE_END,
};

const DeviceDef device_fw_cfg = {
    .name = "fw_cfg",
    .summary = "what the machine tells its firmware",
    .size = sizeof(FwCfg),
    .banks = banks,
    .bank_count = COUNT(banks),
    .version = 1,
    .state = state,
    .start = start,
    .stop = stop,
};
