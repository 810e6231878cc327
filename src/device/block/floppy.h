/* Floppy disk controller with two drives. See floppy.c. */
#ifndef DEVICE_BLOCK_FLOPPY_H
#define DEVICE_BLOCK_FLOPPY_H

#include "device/block/disk.h"
#include "device/core/device.h"

enum { FLOPPY_DRIVES = 2, FLOPPY_SECTOR = 512 };

/* What is on a disk. Data rates in the controller's code: 0: 500, 1: 300, 2: 250, 3: 1000 kbit/s.
 */
typedef struct FloppyMedia {
    u8 cylinders, heads, sectors; /* sectors of a track */
    u8 rate;
    u8 drive; /* the CMOS memory's type of the drive that fits: 1: 360K, 2: 1.2M, 3: 720K, 4: 1.44M,
                 5: 2.88M */
} FloppyMedia;

/* By the size of the image in bytes: of the same size if there is one, else the next larger. NULL:
 * no floppy is that large. */
const FloppyMedia *floppy_media_find(u64 size);

/* Ties a drive to its disk, which may be empty and may be changed. 0, or -EFBIG when no floppy has
 * the image's size. */
int floppy_attach(void *device, unsigned drive, Disk *disk);

/* The CMOS memory's type of drive 0 or 1; 0: there is none. A drive without a disk is 1.44M. */
u8 floppy_drive_type(const void *device, unsigned drive);

#endif
