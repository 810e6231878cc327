/* Commands about drives, and what is in them. */
#include <errno.h>
#include <string.h>

#include "control/control.h"

int control_change(Machine *machine, char **words, u32 count, const char *rest, ControlReply *reply,
                   char **error)
{
    const char *file = rest + strcspn(rest, " ");

    (void)reply;
    if (count < 3) {
        device_error(error, "change %s FILE", words[1]);
        return -EINVAL;
    }
    return machine_insert(machine, words[1], file + 1, error);
}

int control_eject(Machine *machine, char **words, u32 count, const char *rest, ControlReply *reply,
                  char **error)
{
    bool force = !strcmp(words[1], "-f");

    (void)rest, (void)reply;
    if (count != (force ? 3 : 2)) {
        device_error(error, "eject [-f] DRIVE");
        return -EINVAL;
    }
    return machine_eject(machine, words[count - 1], force, error);
}

void control_info_block(Machine *machine, ControlReply *reply)
{
    for (const Drive *drive = machine->drives; drive; drive = drive->next) {
        const BlockNode *node = disk_node(drive->disk);
        reply_line(reply, "%s%s: %s", drive->id,
                   disk_is_removable(drive->disk) ? " (removable)" : "",
                   node ? block_filename(node) : "empty");
    }
}
