"""Disks that Linux reads and writes."""
import hashlib
import os
import subprocess

from machine import Failed

VIRTIO = ['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci']
ATA = ['scsi_common', 'scsi_mod', 'libata', 'ata_piix', 'sd_mod']


def disk(test, kind, device, modules, image_format):
    """A disk image is read by the guest, and what it writes is there afterwards."""
    image = test.scratch / f'disk-{kind}.{image_format}'
    data = os.urandom(8 << 20)
    raw = test.scratch / 'disk.raw'
    raw.write_bytes(data)
    subprocess.run([test.menura, 'img', 'convert', '-O', image_format, raw, image], check=True)
    script = (f'md5sum /dev/{device}; echo SIZE $(cat /sys/block/{device}/size)\n'
              f'dd if=/dev/{device} of=/tmp/x bs=1M count=1 skip=3 2>/dev/null\n'
              f'dd if=/tmp/x of=/dev/{device} bs=1M seek=5 conv=fsync 2>/dev/null; sync; echo WRITTEN')
    with test.linux(script, '--drive', f'file={image},if={kind}', modules=modules) as machine:
        machine.wait_serial('WRITTEN')
        machine.wait_end()
        wanted = [f'{hashlib.md5(data).hexdigest()}  /dev/{device}', f'SIZE {len(data) // 512}']
        if not all(line in machine.serial_text() for line in wanted):
            raise Failed(f'not {wanted}:\n{machine.serial_text()[-1000:]}')
    subprocess.run([test.menura, 'img', 'convert', '-O', 'raw', image, raw], check=True)
    if raw.read_bytes() != data[:5 << 20] + data[3 << 20:4 << 20] + data[6 << 20:]:
        raise Failed('the image does not hold what was written')


def virtio_disk(test):
    """a virtio disk in a qcow2 image"""
    disk(test, 'virtio', 'vda', [*VIRTIO, 'virtio_blk'], 'qcow2')


def ide_disk(test):
    """an IDE disk in a VMDK image"""
    disk(test, 'ide', 'sda', ATA, 'vmdk')


CASES = [virtio_disk, ide_disk]
