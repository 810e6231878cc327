/* "ide-hd" and "ide-cd": drives as users plug them into a controller. They only say what the drive
 * is; its registers and state are the controller's (ide.h), for they are a channel's. */
#include "device/devices.h"
#include "device/ide/ide.h"

typedef struct Drive {
    Device device;
    Disk *disk;
    char *serial, *model;
    IdeConfig config;
} Drive;

const IdeConfig *ide_drive_config(const void *device)
{
    return &((const Drive *)device)->config;
}

static void fill(Drive *d, bool cdrom)
{
    d->config = (IdeConfig){d->disk, cdrom, d->serial, d->model};
}

static int start_disk(void *device, char **error)
{
    Drive *d = device;

    if (!d->disk) {
        device_error(error, "ide-hd needs drive=ID");
        return -1;
    }
    fill(d, false);
    return 0;
}

static int start_cd(void *device, char **error)
{
    (void)error;
    fill(device, true);
    return 0;
}

#define TEXTS                                                                                      \
    {                                                                                              \
        "serial",                                                                                  \
        PROPERTY_STRING,                                                                           \
        offsetof(Drive, serial),                                                                   \
        "serial number, up to 20 characters",                                                      \
        NULL,                                                                                      \
        NULL},                                                                                     \
    {                                                                                              \
        "model", PROPERTY_STRING, offsetof(Drive, model), "model, up to 40 characters", NULL, NULL \
    }

static const Property disk_properties[] = {
    {"drive", PROPERTY_BACKEND, offsetof(Drive, disk), "the disk", NULL, "disk"},
    TEXTS,
    PROPERTY_END,
};

static const Property cd_properties[] = {
    {"drive", PROPERTY_BACKEND, offsetof(Drive, disk), "the CD or DVD", NULL, "medium"},
    TEXTS,
    PROPERTY_END,
};

const DeviceDef device_ide_hd = {
    .name = "ide-hd",
    .summary = "IDE or SATA disk",
    .size = sizeof(Drive),
    .bus_kind = BUS_IDE,
    .version = 1,
    .properties = disk_properties,
    .start = start_disk,
};

const DeviceDef device_ide_cd = {
    .name = "ide-cd",
    .summary = "IDE or SATA CD and DVD drive",
    .size = sizeof(Drive),
    .bus_kind = BUS_IDE,
    .version = 1,
    .properties = cd_properties,
    .start = start_cd,
};
