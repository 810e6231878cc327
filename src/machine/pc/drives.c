/* Drives of the PC: which disk goes where. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device/devices.h"
#include "machine/pc/pc.h"

enum { IDE_DRIVES = 4, SATA_DRIVES = 6 };

/* Makes the drive that has the disk, and plugs it in; a bus of NULL: it goes to the PCI bus. */
static int add_device(Pc *pc, const DeviceDef *def, const char *id, Disk *disk, const char *bus,
                      int unit, char **error)
{
    Device *device = machine_add(pc->machine, device_new(def, &pc->machine->board, id));
    int result = device_set_backend(device, "drive", disk, error);

    if (result == 0) {
        result = device_start(device, error);
    }
    if (result < 0) {
        return result;
    }
    return bus ? machine_plug(pc->machine, device, bus, unit, error)
               : pci_attach(pc->pci, device, -1, 0, error);
}

/* The place of its kind that a drive has: what the user said, or else the first that is free from
 * `first` on. -1 with *error: there is none. */
static int find_place(const DriveRequest *drive, u32 taken, int places, int first, char **error)
{
    first = drive->index >= 0 ? drive->index : first;
    for (int i = 0; i < places; i++) {
        int place = (first + i) % places;
        if (!(taken & 1u << place)) {
            if (drive->index >= 0 && place != drive->index) {
                break;
            }
            return place;
        }
    }
    device_error(error, "the machine has no place left for a drive of the kind '%s'",
                 drive->interface);
    return -1;
}

static Disk *make_disk(Pc *pc, DriveRequest *drive, const char *id, bool removable, char **error)
{
    if (!drive->node && !removable) {
        device_error(error, "a disk needs an image");
        return NULL;
    }
    return machine_add_drive(pc->machine, drive, id, error);
}

/* Disks come first at 0, CD drives at 2 (the second channel's first) as people expect. */
static int add_ide(Pc *pc, DriveRequest *drive, char **error)
{
    int place = find_place(drive, pc->ide_places, IDE_DRIVES, drive->cdrom ? 2 : 0, error);
    char id[32], bus[32];
    Disk *disk;

    snprintf(id, sizeof id, "ide%d-%s%d", place / 2, drive->cdrom ? "cd" : "hd", place % 2);
    snprintf(bus, sizeof bus, "%s.%d", pc->ide->id, place / 2);
    disk = place < 0 ? NULL : make_disk(pc, drive, id, drive->cdrom, error);
    if (!disk) {
        return -EINVAL;
    }
    pc->ide_places |= 1u << place;
    return add_device(pc, drive->cdrom ? &device_ide_cd : &device_ide_hd, id, disk, bus, place % 2,
                      error);
}

/* The controller comes with the first drive. */
static int add_sata(Pc *pc, DriveRequest *drive, char **error)
{
    int place = find_place(drive, pc->sata_places, SATA_DRIVES, 0, error);
    char id[32], bus[32];
    Disk *disk;

    snprintf(id, sizeof id, "sata%d", place);
    snprintf(bus, sizeof bus, "sata.%d", place);
    disk = place < 0 ? NULL : make_disk(pc, drive, id, drive->cdrom, error);
    if (!disk || (!pc->sata_places && !pc_add_pci(pc, &device_ahci, "sata", -1, 0, error))) {
        return -EINVAL;
    }
    pc->sata_places |= 1u << place;
    return add_device(pc, drive->cdrom ? &device_ide_cd : &device_ide_hd, id, disk, bus, 0, error);
}

static int add_floppy(Pc *pc, DriveRequest *drive, char **error)
{
    int place = find_place(drive, pc->floppy_places, FLOPPY_DRIVES, 0, error);
    char id[32];
    Disk *disk;

    snprintf(id, sizeof id, "floppy%d", place);
    disk = place < 0 ? NULL : make_disk(pc, drive, id, true, error);
    if (!disk) {
        return -EINVAL;
    }
    if (floppy_attach(pc->floppy, (unsigned)place, disk) < 0) {
        device_error(error, "%s: larger than any floppy disk", block_filename(drive->node));
        return -EFBIG;
    }
    pc->floppy_places |= 1u << place;
    return 0;
}

static int add_virtio(Pc *pc, DriveRequest *drive, char **error)
{
    char id[32];
    Disk *disk;

    snprintf(id, sizeof id, "virtio%u", pc->virtio_drives++);
    disk = make_disk(pc, drive, id, false, error);
    return disk ? add_device(pc, &device_virtio_blk_pci, id, disk, NULL, 0, error) : -EINVAL;
}

/* For a --device that names it. */
static int add_none(Pc *pc, DriveRequest *drive, char **error)
{
    char id[32];

    snprintf(id, sizeof id, "none%u", pc->other_drives++);
    return make_disk(pc, drive, id, true, error) ? 0 : -EINVAL;
}

/* The firmware has them already. */
static int add_flash(Pc *pc, DriveRequest *drive, char **error)
{
    (void)pc, (void)drive, (void)error;
    return 0;
}

static const struct {
    const char *interface;
    int (*add)(Pc *pc, DriveRequest *drive, char **error);
} interfaces[] = {
    {"ide", add_ide},       {"sata", add_sata}, {"floppy", add_floppy},
    {"virtio", add_virtio}, {"none", add_none}, {"pflash", add_flash},
};

static int add_drive(Pc *pc, DriveRequest *drive, char **error)
{
    for (size_t i = 0; i < COUNT(interfaces); i++) {
        if (!strcmp(drive->interface, interfaces[i].interface)) {
            return interfaces[i].add(pc, drive, error);
        }
    }
    device_error(error, "this machine has no drives of the kind '%s'", drive->interface);
    return -EINVAL;
}

int pc_add_drives(Pc *pc, const MachineOptions *options, char **error)
{
    int result = 0;

    for (DriveRequest *drive = options->drives; drive && result == 0; drive = drive->next) {
        result = add_drive(pc, drive, error);
    }
    return result;
}
