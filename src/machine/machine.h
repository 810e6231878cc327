/* A machine: vCPUs, memory, devices and time, put together by a board and run until the guest or
 * the user ends it.
 *
 *     Machine *m = machine_new(&options, &error);
 *     machine_start(m);
 *     status = machine_run(m);     main loop, until power-off, or quit
 *     machine_free(m);
 *
 * Threads: the one in machine_run() has timers, back ends and everything that is deferred; each
 * vCPU has its own. All device state is under the machine lock (device/core/board.h). vCPUs run
 * only while the machine does: machine_pause() returns when all stand still.
 * Must not know any board or guest CPU: boards are in the list `board_defs`. */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "accel/vcpu.h"
#include "backend/char/char.h"
#include "backend/display/display.h"
#include "backend/input/input.h"
#include "backend/net/net.h"
#include "block/block.h"
#include "device/block/disk.h"
#include "device/core/device.h"
#include "guest/bus.h"

typedef struct Machine Machine;
typedef struct BoardDef BoardDef;

/* Something users ask for by name and properties ("driver,key=value,..."). */
typedef struct DeviceRequest {
    const char *text;
    struct DeviceRequest *next;
} DeviceRequest;

/* A disk and where it goes. */
typedef struct DriveRequest {
    const char *interface; /* "ide", "virtio", "floppy", "none"... */
    const char *id;        /* for -device ...,drive=ID; NULL: made up */
    bool cdrom;
    int index;       /* place on its interface; -1: the next */
    BlockNode *node; /* NULL: an empty drive; owned by the machine */
    struct DriveRequest *next;
} DriveRequest;

/* A disk or drive that was asked for. */
typedef struct Drive {
    char *id;
    Disk *disk;
    DriveRequest *request; /* its node is what is in the drive */
    struct Drive *next;
} Drive;

/* Something of the host that devices are given by its id. */
typedef struct BackendRequest {
    char *id, *spec; /* the spec as char_open() or net_open() takes it; owned by who asks */
    struct BackendRequest *next;
} BackendRequest;

typedef struct Backend {
    const char *id;
    void *port; /* CharPort or NetPort; owned */
    struct Backend *next;
} Backend;

enum { MACHINE_SERIAL_PORTS = 4 };

typedef struct MachineOptions {
    const BoardDef *board; /* NULL: the default */
    const char *name;      /* of the machine, for people */
    const char *cpu;       /* MODEL[,+FEATURE][,-FEATURE]; NULL: the board's */
    const char *accel;     /* NULL: the best */
    u64 memory;            /* bytes */
    u32 cpus;
    u32 sockets;          /* packages that the CPUs are in, evenly */
    const char *firmware; /* file; NULL: the board's own search */
    const char *kernel, *initrd, *append;
    const char *boot_order; /* "cdn", of QEMU's letters; NULL: disk, cdrom, floppy */
    const char *boot_once;  /* the same, until the first reset; NULL: as always */
    bool boot_menu;
    bool boot_strict; /* nothing else is tried */
    u32 boot_wait;    /* milliseconds that the menu is offered; 0: 3000 */
    u32 boot_retry;   /* the same, until the firmware tries all again; 0: it does not */
    DriveRequest *drives;
    DeviceRequest *devices;
    DeviceRequest *smbios; /* "type=N,KEY=VALUE,...": what SMBIOS tables are to say */
    BackendRequest *chardevs, *netdevs;
    const char *serial[MACHINE_SERIAL_PORTS]; /* as char_open() takes them; NULL: none */
    const char *debug;                        /* the same, of the firmware's debug port */
    const char *vga;                          /* "std", "none", ...; NULL: the board's */
    bool text_screen;                         /* who looks at the screen prefers characters */
    bool no_reboot;                           /* a reset ends the machine */
    bool stopped;                             /* start paused */
} MachineOptions;

/* What a board supplies. */
struct BoardDef {
    const char *name, *summary;
    const char *guest;  /* name of the guest CPU */
    const char *vga;    /* default */
    const char *drives; /* DriveRequest.interface of those without */
    u32 max_cpus;
    u64 max_memory;
    /* Makes devices, maps memory, loads firmware. 0 or -errno with one line in *error. */
    int (*build)(Machine *machine, const MachineOptions *options, char **error);
    void (*destroy)(Machine *machine); /* what build() left in machine->board_data */
    /* Sets up vCPU `index` as after power-on or reset, beyond what all guests do; the engine does
     * not run. */
    void (*reset_cpu)(Machine *machine, u32 index);
    /* After all devices were reset: loads what a direct kernel boot wants. May be NULL. */
    void (*after_reset)(Machine *machine);
    /* Puts a started device that the user asked for on a bus of the board, at an address as the
     * user writes it, or NULL. 0 or -errno with *error; -ENODEV without: no such bus. */
    int (*plug)(Machine *machine, Device *device, const char *address, char **error);
    /* The user presses the power button. */
    void (*power_button)(Machine *machine);
    /* Sleep (S3), in which only RAM and what wakes the machine has power. NULL: there is none.
     * wake(): a key or a user wakes it, if it sleeps; has_power(): the device goes on;
     * after_wake(): like after_reset(), when CPUs and the other devices were reset. */
    void (*wake)(Machine *machine);
    bool (*has_power)(Machine *machine, const Device *device);
    void (*after_wake)(Machine *machine);
};

/* Ended by NULL; the first is the default. */
extern const BoardDef *const board_defs[];
const BoardDef *board_find(const char *name);

typedef struct Processor {
    Machine *machine;
    u32 index;
    Vcpu *vcpu;
    pthread_t thread;
    bool created;
    bool stopped;  /* shut down: waits for a reset */
    bool halted;   /* waits for processor_wake() */
    bool held;     /* by a debugger: stands while others run */
    bool standing; /* not in vcpu_run(): see machine_pause() */
    bool idle;     /* its thread waits, and nobody has woken it */
    u64 worked;    /* nanoseconds of a processor that the thread had: processors_have_run() */
    u32 wakes;     /* how often it was woken */
    pthread_cond_t wake;
    GuestBus bus;
    MapReader memory, ports;
    MapReader hidden; /* memory that others do not see; space NULL: none */
    bool sees_hidden; /* now, in front of `memory`: x86's SMRAM in system management mode */
    void *board_data; /* the board's (a local APIC) */
    u64 board_page;   /* atomic: address of a page that is the board's for this CPU alone */
} Processor;

typedef enum MachineState { MACHINE_PAUSED, MACHINE_RUNNING } MachineState;

struct Machine {
    Board board;
    const BoardDef *def;
    const MachineOptions *options;
    pthread_mutex_t lock;
    Loop *loop;
    Engine *engine;
    Processor *processors;
    u32 processor_count;
    RamBlock *ram;
    Device *devices;                                /* in the order of making; owned */
    Drive *drives;                                  /* owned */
    Backend *chardevs, *netdevs;                    /* that the user named; owned */
    u32 card_count;                                 /* network cards that were given an address */
    CharPort *serial[MACHINE_SERIAL_PORTS], *debug; /* NULL: none */
    Display *display;
    InputHub *input;
    u64 last_run; /* the clock's time of processors_have_run() */
    MachineState state;
    bool paused;          /* by a user, a debugger...: its clock stands */
    bool asleep;          /* S3: no CPU runs, but the clock does */
    InputListener waker;  /* takes keys while it sleeps */
    pthread_cond_t stood; /* a processor came to stand */
    bool quitting;        /* threads end */
    int exit_status;      /* of machine_run() */
    u32 events;           /* atomic: BoardEvents that wait for the main loop, a bit each */
    int event_detail;
    struct KeyQueue *keys; /* that are being typed */
    /* Who is told of VCPU_DEBUG exits, on the main loop, the machine paused; NULL: nobody. */
    void (*debugger)(void *opaque, Processor *processor, u64 pc);
    void *debugger_opaque;
    Processor *debugged; /* that the exit was on */
    u64 debugged_pc;
    void *board_data;
};

/* NULL with one line in *error (to be freed). options must live as long as the machine. */
Machine *machine_new(const MachineOptions *options, char **error);
void machine_free(Machine *machine);

/* Resets everything, starts the threads; runs unless options->stopped. 0 or -errno. */
int machine_start(Machine *machine, char **error);
/* The main loop; returns the exit status. */
int machine_run(Machine *machine);

/* -- With the machine lock held */

void machine_quit(Machine *machine, int status);
void machine_pause(Machine *machine);
void machine_resume(Machine *machine);
/* As if the reset button was pressed. */
void machine_reset(Machine *machine);
void machine_power_button(Machine *machine);
/* Wakes it if it sleeps. */
void machine_wake(Machine *machine);

/* Presses the keys (Linux's codes) one after the other and lets go of them in the reverse order,
 * when all that were typed before are through; slowly enough for guests to follow. */
void machine_type_keys(Machine *machine, const unsigned *codes, u32 count);

/* -- For boards, while they build */

/* Takes a device that was made with device_new() (started or not). */
void *machine_add(Machine *machine, void *device);
Device *machine_find_device(const Machine *machine, const char *id);
/* Makes, starts and adds a board's own device; NULL with *error. */
void *machine_make(Machine *machine, const DeviceDef *def, const char *id, char **error);
/* The same of a device that needs a back end. */
void *machine_make_with(Machine *machine, const DeviceDef *def, const char *property, void *backend,
                        char **error);
/* Reads a whole file to memory to be freed; NULL with *error. */
u8 *machine_read_file(const char *path, size_t *size, char **error);
/* Wakes a halted processor to look at its lines. */
void processor_wake(Processor *processor);
/* Raises or lowers CPU_LINE_*, and wakes it. */
void processor_set_lines(Processor *processor, u32 lines, bool level);
/* A breakpoint or single step: the machine pauses, and the debugger, if there is one, is told. */
void machine_stop_for_debugger(Machine *machine, Processor *processor, const VcpuExit *exit);

/* GuestBus.read and .write, of what all processors see. */
u64 processor_bus_read(void *opaque, u64 address, unsigned size);
void processor_bus_write(void *opaque, u64 address, unsigned size, u64 value);

/* -- drives.c */
/* The disk of a request, which may be empty if it is a drive; id: if the user gave none. NULL with
 * *error. */
Disk *machine_add_drive(Machine *machine, DriveRequest *request, const char *id, char **error);
/* By the drive's id; NULL if there is none. */
Disk *machine_find_disk(const Machine *machine, const char *id);
void machine_free_drives(Machine *machine);
/* Takes out what is in a drive; force: even if the guest has locked the door. 0 or -errno with
 * *error. */
int machine_eject(Machine *machine, const char *id, bool force, char **error);
/* Puts an image into it, in place of what is there. */
int machine_insert(Machine *machine, const char *id, const char *file, char **error);

/* -- backends.c */
int machine_open_backends(Machine *machine, char **error);
void machine_close_backends(Machine *machine);
/* By the id that the user gave it ("serial0"... are the serial ports'); NULL if there is none. */
CharPort *machine_find_chardev(const Machine *machine, const char *id);
NetPort *machine_find_netdev(const Machine *machine, const char *id);

/* -- devices.c */
/* Makes the devices that the user asked for. 0 or -errno with *error. */
int machine_add_requested(Machine *machine, char **error);

/* -- plug.c */
/* Puts a started device on a bus that another offers (DeviceDef.offers): the one of that name, or
 * NULL for the first that has a place; at `unit`, or -1. 0 or -errno with *error. */
int machine_plug(Machine *machine, Device *device, const char *bus, int unit, char **error);

/* -- typing.c */
void typing_start(Machine *machine);
void typing_stop(Machine *machine);

/* -- processor.c */
int processors_start(Machine *machine, char **error);
void processors_stop(Machine *machine); /* joins the threads */
void processors_reset(Machine *machine);
int processors_new(Machine *machine, u32 count, char **error);
/* The board has filled the buses. */
void processors_attach(Machine *machine);
void processors_free(Machine *machine);
/* Returns when every processor stands. The lock is held, and given up meanwhile. */
void processors_pause(Machine *machine);
void processors_resume(Machine *machine);
/* Whether a vCPU had a processor of the host's since the last call that said so, or none wants it:
 * one that was starved has not seen what timers did then. */
bool processors_have_run(Machine *machine);

#endif
