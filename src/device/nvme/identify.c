/* IDENTIFY (5.15): the controller, its namespace, and lists of namespaces. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "device/nvme/nvme.h"

enum {
    IDENTIFY_NAMESPACE = 0x00,
    IDENTIFY_CONTROLLER = 0x01,
    IDENTIFY_ACTIVE = 0x02,
    IDENTIFY_DESCRIPTORS = 0x03,
    IDENTIFY_ALLOCATED = 0x10,
    IDENTIFY_ALLOCATED_NAMESPACE = 0x11,
    EUI64 = 1, /* a type of descriptor */
};

/* Text is padded with blanks. */
static void put_text(u8 *at, size_t size, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < size; i++) {
        at[i] = i < length ? (u8)text[i] : ' ';
    }
}

/* Of a locally administered range, made of the serial number: the same in each run. */
static u64 unique_id(const Nvme *n)
{
    u64 hash = 0xcbf29ce484222325;

    for (const char *c = n->serial; *c; c++) {
        hash = (hash ^ (u8)*c) * 0x100000001b3;
    }
    return (u64)0x525400 << 40 | (hash & 0xffffffffff);
}

/* Figure 247. */
static void fill_controller(const Nvme *n, u8 *b)
{
    put_le(b, 0x1b36, 2); /* vendor, subsystem's vendor */
    put_le(b + 2, 0x1af4, 2);
    put_text(b + 4, 20, n->serial);
    put_text(b + 24, 40, "Menura NVMe disk");
    put_text(b + 64, 8, "1.0");
    b[72] = 6; /* recommended arbitration burst */
    put_le(b + 73, 0x525400, 3);
    b[77] = NVME_TRANSFER_SHIFT;
    put_le(b + 80, 0x00010400, 4);
    b[111] = 1;            /* an I/O controller */
    put_le(b + 256, 2, 2); /* FORMAT NVM */
    b[258] = 3;            /* aborts at once - 1 */
    b[259] = NVME_EVENT_REQUESTS - 1;
    b[260] = 3; /* one firmware slot, read-only */
    b[261] = 6; /* log of effects; offsets into logs */
    b[262] = NVME_ERRORS - 1;
    put_le(b + 266, NVME_TEMPERATURE + 30, 2); /* warning, critical */
    put_le(b + 268, NVME_TEMPERATURE + 60, 2);
    b[512] = 0x66; /* log2 of the sizes of queue entries */
    b[513] = 0x44;
    put_le(b + 516, 1, 4);    /* namespaces */
    put_le(b + 520, 0x1d, 2); /* COMPARE, DATASET MANAGEMENT, WRITE ZEROES, select of features */
    b[524] = 1;               /* FORMAT is of all namespaces */
    b[525] = 7;               /* a write cache, flushed for all namespaces too */
    put_le(b + 536, 1, 4);    /* SGLs */
    snprintf((char *)b + 768, 256, "nqn.2014.08.org.nvmexpress:1b361af4%.20s", n->serial);
    put_le(b + 2048, 2500, 2); /* its one power state: 25 W */
}

/* Figure 245. */
static void fill_namespace(const Nvme *n, u8 *b)
{
    u64 blocks = nvme_blocks(n);

    put_le(b, blocks, 8); /* size, capacity, in use */
    put_le(b + 8, blocks, 8);
    put_le(b + 16, blocks, 8);
    b[24] = 1; /* blocks can be deallocated */
    b[33] = 8; /* WRITE ZEROES can, too */
    put_le(b + 48, blocks * n->block_size, 8);
    put_be(b + 120, unique_id(n), 8);
    b[130] = (u8)__builtin_ctz(n->block_size);
}

static void fill_descriptors(const Nvme *n, u8 *b)
{
    b[0] = EUI64;
    b[1] = 8;
    put_be(b + 4, unique_id(n), 8);
}

static bool is_namespace(const NvmeRequest *r)
{
    return r->command.namespace == NVME_NAMESPACE;
}

u16 nvme_identify(Nvme *n, NvmeRequest *r)
{
    u8 bytes[NVME_PAGE] = {0};

    switch (r->command.dword[0] & 0xff) {
    case IDENTIFY_NAMESPACE:
    case IDENTIFY_ALLOCATED_NAMESPACE:
        if (!is_namespace(r) && r->command.namespace != (u32)NVME_ALL_NAMESPACES) {
            return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
        }
        fill_namespace(n, bytes);
        break;
    case IDENTIFY_CONTROLLER:
        fill_controller(n, bytes);
        break;
    case IDENTIFY_ACTIVE:
    case IDENTIFY_ALLOCATED: /* those above the one that is given */
        if (r->command.namespace >= (u32)NVME_ALL_NAMESPACES - 1) {
            return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
        }
        put_le(bytes, r->command.namespace < NVME_NAMESPACE ? NVME_NAMESPACE : 0, 4);
        break;
    case IDENTIFY_DESCRIPTORS:
        if (!is_namespace(r)) {
            return NVME_INVALID_NAMESPACE | NVME_NO_RETRY;
        }
        fill_descriptors(n, bytes);
        break;
    default:
        return NVME_INVALID_FIELD | NVME_NO_RETRY;
    }
    return nvme_copy_in(n, r, bytes, sizeof bytes);
}
