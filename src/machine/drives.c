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

int machine_change_medium(Machine *machine, const char *id, BlockNode *node, bool force,
                          char **error)
{
    Drive *drive = find(machine, id);
    int result;

    if (!drive || !disk_is_removable(drive->disk)) {
        device_error(error,
                     drive ? "%s holds a disk that cannot be taken out"
                           : "there is no drive '%s'; `info block` names them",
                     id);
        return drive ? -EINVAL : -ENOENT;
    }
    result = disk_change(drive->disk, node, is_read_only(node), force);
    if (result == -EBUSY) {
        device_error(
            error, "the guest has locked %s, and was asked to let go; try again, or force it", id);
    } else if (result < 0) {
        device_error(error, "%s: no such medium fits into %s", block_filename(node), id);
    } else {
        block_close(drive->request->node);
        drive->request->node = node;
    }
    return result;
}
