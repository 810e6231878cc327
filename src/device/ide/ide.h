/* ATA and ATAPI drives on a channel of an IDE controller or a port of a SATA one (ATA8-ACS, MMC-5).
 *
 * A channel has the task file registers and up to two drives. Its controller may be a host that
 * moves data: by bus mastering, or all of them (SATA); without one, drives do PIO only. One command
 * runs at a time on a channel; those that SATA drives queue are their host's (ahci_queue.c).
 * All functions need the machine lock. */
#ifndef DEVICE_IDE_IDE_H
#define DEVICE_IDE_IDE_H

#include "device/block/disk.h"
#include "device/core/device.h"

enum {
    IDE_SECTOR = 512,
    IDE_CD_SECTOR = 2048,
    IDE_BUFFER = 64 * 1024, /* bytes moved at once by PIO */
    IDE_IOVECS = 512,
    IDE_PACKET = 12,
};

/* Status register (ATA8-ACS 6.2). */
enum {
    ATA_ERR = 0x01,
    ATA_DRQ = 0x08,
    ATA_DSC = 0x10,
    ATA_DF = 0x20,
    ATA_DRDY = 0x40,
    ATA_BSY = 0x80,
};

/* Error register. */
enum { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };

typedef struct IdeChannel IdeChannel;
typedef struct IdeDrive IdeDrive;

/* What happens when the data of a PIO transfer, or a DMA transfer, is through. */
typedef void IdeNext(IdeDrive *drive);

struct IdeDrive {
    IdeChannel *channel;
    Disk *disk; /* NULL: no drive, or a CD drive that never has a medium */
    bool present, cdrom;
    u8 unit;                    /* 0 or 1 */
    const char *serial, *model; /* the owner's */
    u64 sectors;                /* of IDE_SECTOR or IDE_CD_SECTOR bytes */

    /* Saved: task file, with the previous contents that 48-bit commands use in the high bytes. */
    u8 command, feature, error, status, select, control;
    u16 features16, count, lba_low, lba_mid, lba_high;
    u8 multiple; /* sectors per DRQ block; 0: off */
    u8 dma_mode; /* as SET FEATURES gave it */
    u8 write_cache, read_ahead;

    /* Saved: the transfer. */
    u64 lba;       /* of the next sector to be read or written at the disk */
    u32 left;      /* sectors of the command yet to go to or come from the disk */
    u32 position;  /* in the buffer */
    u32 block_end; /* where the present DRQ block ends */
    u32 filled;    /* bytes of the buffer that are there, or wanted */
    u8 direction;  /* IDE_NONE... */
    u8 after;      /* IdeAfter: what comes when the buffer is through */
    u8 *buffer;    /* IDE_BUFFER bytes */

    /* ATAPI, saved: */
    u8 packet[IDE_PACKET];
    u8 sense_key, sense_code, sense_qualifier;
    u8 medium_changed, tray_open, locked;
    u8 media_event; /* that the guest was not told yet: IDE_EVENT_* */
    u8 packet_dma;
    u32 byte_limit; /* of a PIO block */

    /* Saved: the queued command that failed, for its log page. */
    u8 failed_tag, failed_status, failed_error;
    u16 failed_count;
    u64 failed_lba;

    /* Present only while a request is at the disk. */
    DiskRequest request;
    struct iovec iov[IDE_IOVECS];
    u32 iov_count;
    u32 transfer; /* bytes of the request */
    IdeNext *done;
};

enum { IDE_NONE, IDE_IN, IDE_OUT };

/* What comes next when a PIO buffer is through. By number, to be saved. */
typedef enum IdeAfter {
    IDE_AFTER_NOTHING,
    IDE_AFTER_READ,   /* more sectors, or the end of the command */
    IDE_AFTER_WRITE,  /* write the buffer */
    IDE_AFTER_PACKET, /* run the packet */
    IDE_AFTER_REPLY,  /* the packet command is over */
    IDE_AFTER_CD,     /* more of the medium */
} IdeAfter;

/* What happened to the medium (MMC-5, 6.7.2.5: codes of GET EVENT STATUS NOTIFICATION). */
enum { IDE_EVENT_NONE, IDE_EVENT_EJECT_REQUEST, IDE_EVENT_NEW_MEDIUM, IDE_EVENT_REMOVED };

/* A controller that moves data for its drives. */
typedef struct IdeHost {
    void *opaque;
    /* The drive is ready to move `bytes` to memory (in) or from it: starts now or when the guest
     * starts the bus master; then calls ide_dma_run(). */
    void (*ready)(void *opaque, IdeChannel *channel);
    /* Maps up to `bytes` of memory that the guest named, into iov[0..count); returns how many bytes
     * that is. Successive calls go on. */
    u32 (*map)(void *opaque, IdeChannel *channel, struct iovec *iov, u32 *count, u32 bytes,
               bool in);
    /* The pieces were written to. */
    void (*unmap)(void *opaque, IdeChannel *channel, const struct iovec *iov, u32 count);
    /* The transfer is over. */
    void (*end)(void *opaque, IdeChannel *channel, bool good);
    /* Of SATA hosts, else NULL: moves a block of PIO data from (in) or to the bytes at once. */
    void (*pio)(void *opaque, IdeChannel *channel, u8 *bytes, u32 size, bool in);
    /* The drive waits for nothing any more: a command ended, and its registers say how. */
    void (*ended)(void *opaque, IdeChannel *channel);
} IdeHost;

/* The registers that make a command, as SATA sends them; high bytes are of 48-bit commands. */
typedef struct IdeTaskFile {
    u8 command, device;
    u16 features, count, lba_low, lba_mid, lba_high;
} IdeTaskFile;

/* What a drive is made of. */
typedef struct IdeConfig {
    Disk *disk; /* NULL: a CD drive that never has a medium */
    bool cdrom;
    const char *serial, *model; /* NULL: a usual one */
} IdeConfig;

struct IdeChannel {
    Board *board;
    void *owner; /* the controller, for messages */
    IdeDrive drive[2];
    u8 selected;
    u8 interrupt; /* INTRQ as the selected drive wants it; saved */
    Irq irq;
    const IdeHost *host; /* NULL: PIO only */
    u8 dma_wanted;       /* the unit that waits for the bus master, plus 1; 0: none */
    Region task_file, control;
};

extern const StateField ide_channel_state[];
extern const StateField ide_port_state[]; /* with one drive */

/* -- channel.c */
/* Regions are made ready, to be placed by the controller: 8 task file registers, and the device
 * control register. drives: 1 or 2 places for drives. */
void ide_channel_init(IdeChannel *channel, Board *board, void *owner, unsigned drives);
void ide_channel_free(IdeChannel *channel);
void ide_attach(IdeChannel *channel, unsigned unit, const IdeConfig *config);
/* Power-on. */
void ide_channel_reset(IdeChannel *channel);
void ide_channel_settle(IdeChannel *channel);
/* Writes the device control register, whose bit 2 resets the drives. */
void ide_control(IdeChannel *channel, u8 value);
/* The drives are reset from outside of the task file. */
void ide_hard_reset(IdeChannel *channel);
/* The command starts on the first drive, which is not busy. */
void ide_issue(IdeChannel *channel, const IdeTaskFile *file);
/* The guest started the bus master: the transfer that waits for it begins. */
void ide_dma_run(IdeChannel *channel);
/* The drive is the one that waits for the bus master, or moves data by it. */
bool ide_wants_dma(const IdeDrive *drive);
/* The drive talks SATA, and may queue commands. */
static inline bool ide_is_sata(const IdeDrive *drive)
{
    return drive->channel->host && drive->channel->host->pio;
}
static inline bool ide_has_medium(const IdeDrive *drive)
{
    return disk_has_medium(drive->disk);
}

/* -- For the commands */
void ide_interrupt(IdeDrive *drive);
/* The command ends well, with an interrupt. */
void ide_succeed(IdeDrive *drive);
/* The command ends with ERR and these bits of the error register. */
void ide_fail(IdeDrive *drive, u8 error);
/* Offers `size` bytes of the buffer to the guest in DRQ blocks of `block` bytes, or wants them. */
void ide_pio(IdeDrive *drive, u8 direction, u32 size, u32 block, IdeAfter after);
/* Reads (in) or writes bytes of the disk from or to the buffer; then `done`. Errors end the
 * command. */
void ide_disk_buffer(IdeDrive *drive, bool in, u64 offset, u32 bytes, IdeNext *done);
/* The same directly to guest memory, by the bus master, all of `left` sectors of that size. */
void ide_disk_dma(IdeDrive *drive, bool in, u32 sector, IdeNext *done);
void ide_disk_op(IdeDrive *drive, BlockOp op, u64 offset, u64 bytes, IdeNext *done);

/* -- ata.c, atapi.c, identify.c */
enum { ATA_READ_QUEUED = 0x60, ATA_WRITE_QUEUED = 0x61 };
void ata_command(IdeDrive *drive);
/* The address of a 48-bit command. */
u64 ata_wide_lba(u16 low, u16 mid, u16 high);
void ata_after(IdeDrive *drive);   /* IDE_AFTER_READ, _WRITE */
void ata_dma(IdeDrive *drive);     /* the bus master runs */
void atapi_start(IdeDrive *drive); /* PACKET */
void atapi_after(IdeDrive *drive); /* IDE_AFTER_PACKET, _REPLY, _CD */
void atapi_dma(IdeDrive *drive);
void atapi_block(IdeDrive *drive); /* another DRQ block begins: says its size */
void atapi_signature(IdeDrive *drive);
/* The medium is another, or is not there any more. */
void atapi_medium_changed(IdeDrive *drive);
void ide_identify(IdeDrive *drive); /* fills the buffer's first 512 bytes */

/* -- drive.c */
/* What an ide-hd or ide-cd device says, for the controller that it is plugged into. */
const IdeConfig *ide_drive_config(const void *device);

#endif
