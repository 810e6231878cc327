/* The disks and drives of a machine, by their ids, and what is in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

static Drive *find(const Machine *machine, const char *id)
{
    for (Drive *drive = machine->drives; drive; drive = drive->next) {
        if (!strcmp(drive->id, id)) {
            return drive;
        }
    }
    return NULL;
}

static bool is_read_only(const BlockNode *node)
{
    return node && !block_writable(node);
}

Disk *machine_add_drive(Machine *machine, DriveRequest *request, const char *id, char **error)
{
    Drive **at = &machine->drives, *drive;
    BlockError why;
    Disk *disk;

    id = request->id ? request->id : id;
    if (find(machine, id)) {
        device_error(error, "there are two drives with the id '%s'", id);
        return NULL;
    }
    disk = disk_new(&machine->board, request->node, is_read_only(request->node), &why);
    if (!disk) {
        device_error(error, "%s", why.text);
        return NULL;
    }
    while (*at) {
        at = &(*at)->next;
    }
    drive = calloc(1, sizeof *drive);
    if (!drive) {
        abort();
    }
    *drive = (Drive){strdup(id), disk, request, NULL};
    *at = drive;
    return disk;
}

Disk *machine_find_disk(const Machine *machine, const char *id)
{
    const Drive *drive = find(machine, id);

    return drive ? drive->disk : NULL;
}

void machine_free_drives(Machine *machine)
{
    while (machine->drives) {
        Drive *drive = machine->drives;
        machine->drives = drive->next;
        disk_free(drive->disk);
        free(drive->id);
        free(drive);
    }
}

/* The drive of that id, if its medium can be changed; NULL with *error. */
static Drive *find_removable(const Machine *machine, const char *id, char **error)
{
    Drive *drive = find(machine, id);

    if (!drive) {
        device_error(error, "there is no drive '%s'; `info block` names them", id);
    } else if (!disk_is_removable(drive->disk)) {
        device_error(error, "what is in %s cannot be taken out", id);
        return NULL;
    }
    return drive;
}

/* The node becomes the drive's. */
static int change(Drive *drive, BlockNode *node, bool force, char **error)
{
    int result = disk_change(drive->disk, node, is_read_only(node), force);

    if (result == -EBUSY) {
        device_error(error, "the guest has locked %s, and was asked to let go", drive->id);
    } else if (result < 0) {
        device_error(error, "%s does not fit into %s", block_filename(node), drive->id);
    } else {
        block_close(drive->request->node);
        drive->request->node = node;
    }
    return result;
}

int machine_eject(Machine *machine, const char *id, bool force, char **error)
{
    Drive *drive = find_removable(machine, id, error);

    return drive ? change(drive, NULL, force, error) : -ENOENT;
}

int machine_insert(Machine *machine, const char *id, const char *file, char **error)
{
    Drive *drive = find_removable(machine, id, error);
    BlockError why = {0};
    BlockNode *node;
    int result;

    if (!drive) {
        return -ENOENT;
    }
    result = block_open(&node, file, NULL, drive->request->cdrom ? 0 : BLOCK_WRITE, &why);
    if (result == -EACCES || result == -EROFS) {
        result = block_open(&node, file, NULL, 0, &why);
    }
    if (result < 0) {
        device_error(error, "%s", why.text);
        return result;
    }
    result = change(drive, node, false, error);
    if (result < 0) {
        block_close(node);
    }
    return result;
}
