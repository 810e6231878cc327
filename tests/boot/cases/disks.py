"""Disks that Linux reads and writes."""
import hashlib
import os
import subprocess

from machine import Failed

VIRTIO = ['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci']
SCSI = ['scsi_common', 'scsi_mod']
ATA = [*SCSI, 'libata', 'ata_piix', 'sd_mod']
AHCI = [*SCSI, 'libata', 'libahci', 'ahci', 'crct10dif_common', 'crc-t10dif', 'crc64', 'crc64-rocksoft',
        't10-pi', 'sd_mod', 'cdrom', 'sr_mod']


def disk(test, kind, device, modules, image_format, arguments=(), more='', wanted=(), **options):
    """A disk image is read by the guest, and what it writes is there afterwards. more: commands that
    print what is wanted besides."""
    image = test.scratch / f'disk-{device}.{image_format}'
    data = os.urandom(8 << 20)
    raw = test.scratch / 'disk.raw'
    raw.write_bytes(data)
    subprocess.run([test.menura, 'img', 'convert', '-O', image_format, raw, image], check=True)
    script = (f'md5sum /dev/{device}; echo SIZE $(cat /sys/block/{device}/size)\n'
              f'dd if=/dev/{device} of=/tmp/x bs=1M count=1 skip=3 2>/dev/null\n'
              f'dd if=/tmp/x of=/dev/{device} bs=1M seek=5 conv=fsync 2>/dev/null; {more}\nsync; echo WRITTEN')
    with test.linux(script, '--drive', f'file={image},id=x,if={kind}', *arguments, modules=modules,
                    **options) as machine:
        machine.wait_serial('WRITTEN')
        machine.wait_end()
        wanted = [f'{hashlib.md5(data).hexdigest()}  /dev/{device}', f'SIZE {len(data) // 512}', *wanted]
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


def sata_disk(test):
    """a SATA disk in a qcow2 image, with many commands at once, and a CD on another port"""
    cd = test.guests / 'usr/lib/grub-rescue/grub-rescue-cdrom.iso'
    disk(test, 'none', 'sda', AHCI, 'qcow2',
         arguments=['--device', 'ahci,id=hba', '--device', 'ide-hd,drive=x,bus=hba.0',
                    '--drive', f'file={cd},if=none,id=y,media=cdrom', '--device', 'ide-cd,drive=y,bus=hba.3'],
         more='for i in 0 1 2 3; do dd if=/dev/sda bs=64k skip=$((i*8)) count=8 2>/dev/null | wc -c & done; wait\n'
              'md5sum /dev/sr0; dmesg | grep -o "NCQ (depth 32)"',
         wanted=[f'{hashlib.md5(cd.read_bytes()).hexdigest()}  /dev/sr0', 'NCQ (depth 32)'], installer=True)


def nvme_disk(test):
    """an NVMe disk in a qcow2 image, with two CPUs and their queues"""
    disk(test, 'none', 'nvme0n1', [], 'qcow2', arguments=['--device', 'nvme,drive=x,serial=menura1', '--smp', '2'],
         more='for i in 0 1 2 3; do dd if=/dev/nvme0n1 bs=64k skip=$((i*8)) count=8 2>/dev/null | wc -c & done; wait\n'
              'grep -o nvme0q2 /proc/interrupts; echo SERIAL $(cat /sys/block/nvme0n1/device/serial)',
         wanted=['nvme0q2', 'SERIAL menura1'])


def change_cd(test):
    """a CD is changed and taken out while Linux runs, but not while it is in use"""
    discs = [test.scratch / f'disc{i}' for i in range(2)]
    for disc in discs:
        disc.write_bytes(os.urandom(1 << 20))
    sums = [hashlib.md5(disc.read_bytes()).hexdigest() for disc in discs]
    script = ('exec 3</dev/sr0; echo LOCKED; sleep 4; exec 3<&-; echo FREE\n'
              f'while md5sum /dev/sr0 | grep {sums[0]}; do sleep 1; done; md5sum /dev/sr0\n'
              'while head -c 1 /dev/sr0 >/dev/null; do sleep 1; done; echo GONE')
    with test.linux(script, '--drive', f'file={discs[0]},media=cdrom,id=cd',
                    modules=[*ATA, 'cdrom', 'sr_mod']) as machine:
        machine.wait_serial('LOCKED')
        machine.control('change', 'cd', str(discs[1]))
        if f'cd (removable): {discs[0]}' not in machine.control('info', 'block'):
            raise Failed(f'it was changed: {machine.control("info", "block")}')
        machine.wait_serial('FREE')
        while str(discs[1]) not in machine.control('info', 'block'):
            machine.control('change', 'cd', str(discs[1]))
        machine.wait_serial(sums[1])
        while 'empty' not in machine.control('info', 'block'):
            machine.control('eject', 'cd')
        machine.wait_serial('GONE')
        machine.wait_end()


def grub_disks(test):
    """SeaBIOS starts GRUB from a SATA disk, a SATA CD and an NVMe disk"""
    image = f'file={test.guests}/usr/lib/grub-rescue/grub-rescue-cdrom.iso,format=raw,snapshot=on'
    for drive in (['--drive', f'{image},if=sata'],
                  ['--drive', f'{image},if=sata,media=cdrom'],
                  ['--drive', f'{image},if=none,id=x', '--device', 'nvme,drive=x,serial=1']):
        with test.machine(*drive) as machine:
            machine.wait_screen('*GNU/Linux')
            machine.keys('c')
            machine.wait_screen('grub>')
            machine.type('cat --hex /boot/grub/i386-pc/normal.mod; clear; echo re""ad\n')
            machine.wait_screen('read')


CASES = [grub_disks, virtio_disk, ide_disk, sata_disk, nvme_disk, change_cd]
