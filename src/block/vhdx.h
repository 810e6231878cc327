/* What the files of the VHDX format share: its structures' places and checksums, and the log.
 *
 * Facts: Microsoft's [MS-VHDX]. Numbers are little-endian; GUIDs are compared as bytes. */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include "block/driver.h"

enum {
    VHDX_HEADER_1 = 64 << 10, /* places in the file */
    VHDX_HEADER_2 = 128 << 10,
    VHDX_HEADER_BYTES = 4096,
    VHDX_MIB = 1 << 20,
    VHDX_SECTOR = 4096, /* of the log and of metadata */
    VHDX_GUID = 16,
};

/* Offsets of fields of a header. */
enum {
    VHDX_CHECKSUM = 4,
    VHDX_SEQUENCE = 8,
    VHDX_FILE_GUID = 16,
    VHDX_DATA_GUID = 32,
    VHDX_LOG_GUID = 48,
    VHDX_LOG_VERSION = 64,
    VHDX_VERSION = 66,
    VHDX_LOG_LENGTH = 68,
    VHDX_LOG_OFFSET = 72,
};

/* CRC-32C of the bytes, the four at `field` taken as zero. */
u32 vhdx_checksum(const u8 *bytes, size_t size, size_t field);

/* Applies what the log of the current header holds, if anything. The file must be writable; the
 * header stays as it is. Returns 0, or -errno with the reason. */
int vhdx_replay(BlockNode *file, const u8 *header, BlockError *error);

#endif
