/* A device is one const description and a few functions.
 *
 * The description lists registers with their backing fields, reset values, masks and hooks; other
 * state to be saved; properties that a user or board may set; interrupt outputs. From it core code
 * decodes accesses, resets, saves and loads, lists the device for users and monitors, and tests
 * that every device does these things right.
 *
 * Life: device_new() - properties - device_start() - reset, use, save, load - device_free().
 * Functions of a device are called under the machine lock (board.h). A guest can never make one
 * assert, overflow or loop: guest mistakes go to device_guest_error() and act as hardware would.
 *
 * To add a device see docs/howto-device.md. */
#ifndef DEVICE_CORE_DEVICE_H
#define DEVICE_CORE_DEVICE_H

#include "device/core/board.h"
#include "device/core/irq.h"

typedef struct Device Device;
typedef struct DeviceDef DeviceDef;

/* -- Registers */

/* One register, or `count` equal ones `stride` bytes apart. Hooks get the device's struct. */
typedef struct Register {
    u32 at; /* offset in the bank, bytes */
    const char *name;
    u32 offset; /* of the backing field */
    u8 size;    /* of the backing field: 1, 2, 4, 8; 0: none */
    u8 width;   /* of the register; 0: the bank's */
    u64 reset;
    u64 mask;                               /* bits that a write stores */
    u64 clear;                              /* bits that a written 1 clears */
    u64 (*read)(void *device);              /* instead of the field */
    void (*write)(void *device, u64 value); /* after the field is stored; value as written */
    u32 count, stride;
    /* The same of arrays, told which. */
    u64 (*read_at)(void *device, u32 index);
    void (*write_at)(void *device, u32 index, u64 value);
} Register;

/* Backing fields for the `offset`, `size` pair of a Register. */
#define REG_FIELD(type, member) offsetof(type, member), sizeof(((type *)0)->member)
#define REG_NONE 0, 0
/* at, name, backing, reset, mask, read, write */
#define REG(at_, name_, backing, reset_, mask_, read_, write_)                                     \
    {                                                                                              \
        at_, name_, backing, 0, reset_, mask_, 0, read_, write_, 0, 0, NULL, NULL                  \
    }

/* Registers at consecutive addresses, or raw functions, in a region of memory or ports. */
typedef struct RegisterBank {
    const char *name;
    u64 size;   /* of the region in bytes */
    u32 region; /* offset of the Region in the device's struct */
    bool ports; /* in I/O space */
    u8 width;   /* of most registers, bytes: 1, 2, 4 or 8 */
    ByteOrder order;
    const Register *registers;
    u32 count;
    const RegionOps *raw; /* instead of registers; opaque is the device */
} RegisterBank;

/* -- State that is saved beside the registers' fields */

typedef struct StateField {
    const char *name;
    u32 offset;
    u32 size;  /* of an element: 1, 2, 4, 8 bytes; any number for bytes that have no order */
    u32 count; /* elements */
    /* Or: at `offset` is a struct of the described kind (of `count`, `size` bytes apart)... */
    const struct StateField *fields;
    /* ...or a pointer to bytes, `size` of them, or a RamBlock *; or a Timer. */
    enum { STATE_VALUE, STATE_POINTER, STATE_RAM, STATE_TIMER } kind;
} StateField;

#define STATE(type, member)                                                                        \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member), 1, NULL, STATE_VALUE         \
    }
#define STATE_ARRAY(type, member)                                                                  \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member[0]),                           \
            sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), NULL, STATE_VALUE        \
    }
#define STATE_STRUCTS(type, member, fields_)                                                       \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member[0]),                           \
            sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), fields_, STATE_VALUE     \
    }
#define STATE_ONE_TIMER(type, member)                                                              \
    {                                                                                              \
#member, offsetof(type, member), 0, 1, NULL, STATE_TIMER                                   \
    }
#define STATE_END                                                                                  \
    {                                                                                              \
        0                                                                                          \
    }

/* -- Properties */

typedef enum PropertyKind {
    PROPERTY_BOOL,   /* bool: on, off */
    PROPERTY_U32,    /* u32: decimal or 0x... */
    PROPERTY_U64,    /* u64 */
    PROPERTY_SIZE,   /* u64 with K M G T P suffixes, powers of 1024 */
    PROPERTY_STRING, /* const char *, owned by the device */
    PROPERTY_MAC,    /* u8[6] */
    PROPERTY_BACKEND /* void *: a disk, character port, network... by its id; see `type` */
} PropertyKind;

typedef struct Property {
    const char *name;
    PropertyKind kind;
    u32 offset;
    const char *text;    /* one line for users */
    const char *initial; /* value when not set; NULL: zero */
    const char *type;    /* PROPERTY_BACKEND: "disk", "char", "net", "audio" */
} Property;

#define PROPERTY_END                                                                               \
    {                                                                                              \
        0                                                                                          \
    }

/* -- Outputs */

typedef struct IrqOutput {
    const char *name;
    u32 offset; /* of an Irq, or of `count` in a row */
    u32 count;
} IrqOutput;

#define IRQ_OUTPUT_END                                                                             \
    {                                                                                              \
        0                                                                                          \
    }

/* -- Descriptions */

typedef enum BusKind {
    BUS_NONE,         /* wired by its board */
    BUS_ISA,          /* fixed ports and lines, but may be added by users */
    BUS_PCI,          /* `bus` is a PciInfo, unless start() finds another (device/pci/pci.h) */
    BUS_IDE,          /* a drive */
    BUS_VIRTIO,       /* `bus` is a VirtioInfo (device/virtio/virtio.h) */
    BUS_VIRTIO_SERIAL /* a port */
} BusKind;

/* Buses that a device offers to others, which users name ID.0, ID.1... */
typedef struct DeviceBus {
    BusKind kind; /* of the devices that fit */
    u32 count;
    /* Takes a started device in, at that place of the bus (-1: the first that is free). 0 or -errno
     * with a line in *error; -EBUSY: it is full. */
    int (*plug)(void *device, u32 bus, const void *child, int unit, char **error);
} DeviceBus;

/* What devices have whose structs begin alike, beside what each of them has. */
typedef struct DeviceFamily {
    const StateField *state; /* saved before their own */
    const Property *properties;
} DeviceFamily;

struct DeviceDef {
    const char *name;    /* as users write it: QEMU's name where there is one */
    const char *summary; /* one line */
    size_t size;         /* of the struct, which begins with a Device */
    BusKind bus_kind;
    const void *bus;           /* more about it for that bus */
    const RegisterBank *banks; /* bank_count of them */
    u32 bank_count;
    u32 version;             /* of the saved state */
    const StateField *state; /* ended by STATE_END; NULL: only registers */
    const Property *properties;
    const IrqOutput *outputs;
    /* Properties are set: checks them, opens what it needs. Its regions are placed by the board or
     * bus, or here with device_map(). Returns 0 or -errno with one line in *error (to be freed). */
    int (*start)(void *device, char **error);
    void (*stop)(void *device); /* undoes start() */
    /* After the registers have their reset values and other saved fields are zero. */
    void (*reset)(void *device);
    /* After a reset or load: derive what follows from the state (levels of lines, timers...). */
    void (*settle)(void *device);
    /* Saved like `state`, but not zeroed by a reset. */
    const StateField *kept;
    const DeviceBus *offers;    /* NULL: nothing can be plugged into it */
    const DeviceFamily *family; /* NULL: none */
};

/* What the bus that a device sits on does about it: reset() before, settle() before the device's
 * own; detach() when it goes. */
typedef struct DeviceBusOps {
    void (*reset)(void *device);
    void (*settle)(void *device);
    void (*detach)(void *device);
} DeviceBusOps;

enum { DEVICE_BANKS = 8 }; /* at most */

/* The head of every device's struct. */
struct Device {
    const DeviceDef *def;
    Board *board;
    const DeviceBusOps *bus_ops; /* NULL: none */
    char *id;                    /* for messages and monitors; never NULL; owned */
    bool started;
    Device *next; /* on the board's list */
    /* The machine's: the device that it was plugged into, and its place there; what users want it
     * to be in the boot order, counted from 1 (0: nothing). */
    Device *owner;
    u32 owner_bus, owner_unit, boot_index;
    struct BankUse {
        Device *device;
        const RegisterBank *bank;
    } uses[DEVICE_BANKS]; /* core's: what the regions of the banks are called with */
};

/* -- Functions */

/* Every device that users may name, NULL-terminated (device/devices.c). */
extern const DeviceDef *const device_defs[];
const DeviceDef *device_find(const char *name);

/* The index-th property, its own ones first; NULL: there are not so many. */
const Property *device_property_at(const DeviceDef *def, u32 index);
/* The property of that name; NULL if there is none. */
const Property *device_property(const DeviceDef *def, const char *name);

/* A device with initial properties; aborts when memory runs out. */
void *device_new(const DeviceDef *def, Board *board, const char *id);
/* 0 or -errno: -ENOENT no such property, -EINVAL not a value of it; *error gets a line. */
int device_set(void *device, const char *property, const char *value, char **error);
/* Back ends are set as pointers. */
int device_set_backend(void *device, const char *property, void *backend, char **error);
/* Sets properties without text, for boards; the property must exist. */
void device_set_u64(void *device, const char *property, u64 value);
int device_start(void *device, char **error);
void device_free(void *device);
void device_reset(void *device);

/* Connects output `index` of that name. Both must exist. */
void device_connect(void *device, const char *output, unsigned index, IrqInput *input,
                    void *receiver, unsigned line);

/* Places, or moves, a bank (by its number) in the board's memory or ports; device_unmap() takes it
 * away. */
void device_map(void *device, unsigned bank, u64 address);
void device_unmap(void *device, unsigned bank);

/* A guest did what it should not: a line under -d guest_errors. */
void device_guest_error(const void *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* asprintf for `char **error`. */
void device_error(char **error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -- Saved state: little-endian, self-describing enough to refuse what does not fit (state.c) */

typedef struct StateBuffer {
    u8 *bytes;
    size_t size, room;
    size_t at; /* for reading */
} StateBuffer;

void state_buffer_free(StateBuffer *buffer);
/* Appends the device's state. */
void device_save(const void *device, StateBuffer *buffer);
/* Loads it and settles. 0, or -EINVAL with a line in *error: the device is then as after a reset.
 */
int device_load(void *device, StateBuffer *buffer, char **error);

#endif
