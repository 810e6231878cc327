/* The drivers that there are. */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/driver.h"

extern const BlockDriver block_driver_file, block_driver_host_device; /* file.c */
extern const BlockDriver block_driver_nbd;                            /* nbd.c */

/* nbdkit.c */
extern const BlockDriver block_driver_http, block_driver_https, block_driver_ftp, block_driver_ftps,
    block_driver_ssh, block_driver_s3, block_driver_xz, block_driver_gzip;

extern const BlockDriver block_driver_qcow2;     /* qcow2.c */
extern const BlockDriver block_driver_raw;       /* raw.c */
extern const BlockDriver block_driver_bochs;     /* bochs.c */
extern const BlockDriver block_driver_cloop;     /* cloop.c */
extern const BlockDriver block_driver_dmg;       /* dmg.c */
extern const BlockDriver block_driver_luks;      /* luks.c */
extern const BlockDriver block_driver_parallels; /* parallels.c */
extern const BlockDriver block_driver_qcow;      /* qcow.c */
extern const BlockDriver block_driver_qed;       /* qed.c */
extern const BlockDriver block_driver_vdi;       /* vdi.c */
extern const BlockDriver block_driver_vhdx;      /* vhdx.c */
extern const BlockDriver block_driver_vmdk;      /* vmdk.c */
extern const BlockDriver block_driver_vpc;       /* vpc.c */

extern const BlockDriver block_driver_copy_on_read; /* copy_on_read.c */
extern const BlockDriver block_driver_throttle;     /* throttle.c */

#endif
