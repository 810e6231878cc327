/* Drives of the PC: which disk goes where. */
#include <errno.h>
#include <string.h>

#include "device/ide/piix3_ide.h"
#include "machine/pc/pc.h"

enum { IDE_DRIVES = 4 };

/* The Disk of an image; NULL with *error. */
static Disk *make_disk(Pc *pc, const DriveRequest *drive, char **error)
{
    BlockError why;
    Disk *disk;

    if (pc->disk_count == PC_DISKS) {
        device_error(error, "a PC has at most %d disks", PC_DISKS);
        return NULL;
    }
    disk = disk_new(&pc->machine->board, drive->node, drive->cdrom, &why);
    if (!disk) {
        device_error(error, "%s", why.text);
        return NULL;
    }
    pc->disk_ids[pc->disk_count] = drive->id;
    pc->disks[pc->disk_count++] = disk;
    return disk;
}

/* Disks come first at 0, CD drives at 2 (the second channel's first) as people expect. */
static int find_ide_place(const Pc *pc, const DriveRequest *drive)
{
    int first = drive->index >= 0 ? drive->index : drive->cdrom ? 2 : 0;

    for (int i = 0; i < IDE_DRIVES; i++) {
        int place = (first + i) % IDE_DRIVES;
        if (!piix3_ide_channel(pc->ide, (unsigned)place / 2)->drive[place % 2].present) {
            return drive->index >= 0 && place != drive->index ? -1 : place;
        }
    }
    return -1;
}

static int add_ide(Pc *pc, const DriveRequest *drive, char **error)
{
    int place = find_ide_place(pc, drive);
    Disk *disk = drive->node ? make_disk(pc, drive, error) : NULL;

    if (drive->node && !disk) {
        return -ENOMEM;
    }
    if (place < 0 || (!disk && !drive->cdrom)) {
        device_error(error, disk ? "the IDE controller has no place left for a drive"
                                 : "a disk needs an image");
        return -EBUSY;
    }
    ide_attach(piix3_ide_channel(pc->ide, (unsigned)place / 2), (unsigned)place % 2, disk,
               drive->cdrom, NULL);
    return 0;
}

/* The first drive that is empty, unless an index says which. */
static int add_floppy(Pc *pc, const DriveRequest *drive, char **error)
{
    unsigned place = 0;
    Disk *disk = drive->node ? make_disk(pc, drive, error) : NULL;

    if (drive->node && !disk) {
        return -ENOMEM;
    }
    while (drive->index < 0 && place < FLOPPY_DRIVES && pc->floppies[place]) {
        place++;
    }
    place = drive->index < 0 ? place : (unsigned)drive->index;
    if (place >= FLOPPY_DRIVES || pc->floppies[place]) {
        device_error(error, "there are %d floppy drives, each for one disk", FLOPPY_DRIVES);
        return -EBUSY;
    }
    if (floppy_insert(pc->floppy, place, disk) < 0) {
        device_error(error, "%s: larger than any floppy disk", block_filename(drive->node));
        return -EFBIG;
    }
    pc->floppies[place] = disk;
    return 0;
}

static int add_virtio(Pc *pc, const DriveRequest *drive, char **error)
{
    Disk *disk;

    if (!drive->node) {
        device_error(error, "a virtio disk needs an image");
        return -EINVAL;
    }
    disk = make_disk(pc, drive, error);
    return disk ? pc_add_virtio_disk(pc, disk, error) : -ENOMEM;
}

int pc_add_drives(Pc *pc, const MachineOptions *options, char **error)
{
    for (const DriveRequest *drive = options->drives; drive; drive = drive->next) {
        int result;
        if (!strcmp(drive->interface, "ide")) {
            result = add_ide(pc, drive, error);
        } else if (!strcmp(drive->interface, "floppy")) {
            result = add_floppy(pc, drive, error);
        } else if (!strcmp(drive->interface, "virtio")) {
            result = add_virtio(pc, drive, error);
        } else if (!strcmp(drive->interface, "none")) {
            result = drive->node && !make_disk(pc, drive, error) ? -ENOMEM : 0;
        } else {
            device_error(error, "this machine has no drives of the kind '%s'", drive->interface);
            result = -EINVAL;
        }
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

Disk *pc_find_disk(Pc *pc, const char *id)
{
    for (u32 i = 0; i < pc->disk_count; i++) {
        if (pc->disk_ids[i] && !strcmp(pc->disk_ids[i], id)) {
            return pc->disks[i];
        }
    }
    return NULL;
}

void pc_free_drives(Pc *pc)
{
    for (u32 i = 0; i < pc->disk_count; i++) {
        disk_free(pc->disks[i]);
    }
}
