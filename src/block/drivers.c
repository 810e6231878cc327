/* The list of drivers. To add one: howto-disk-format.md. */
#include "block/drivers.h"

const BlockDriver *const block_drivers[] = {
    /* protocols */
    &block_driver_file,
    &block_driver_host_device,
    &block_driver_nbd,
    /* ... that nbdkit speaks */
    &block_driver_http,
    &block_driver_https,
    &block_driver_ftp,
    &block_driver_ftps,
    &block_driver_ssh,
    &block_driver_s3,
    &block_driver_xz,
    &block_driver_gzip,
    /* formats */
    &block_driver_qcow2,
    &block_driver_raw,
    &block_driver_bochs,
    &block_driver_cloop,
    &block_driver_dmg,
    &block_driver_luks,
    &block_driver_parallels,
    &block_driver_qcow,
    &block_driver_qed,
    &block_driver_vdi,
    &block_driver_vhdx,
    &block_driver_vmdk,
    &block_driver_vpc,
    /* filters */
    &block_driver_copy_on_read,
    &block_driver_throttle,
    NULL,
};
