"""Linux with every virtio device at once, in each form that drivers may use them: with packed queues,
through the legacy interfaces, and with neither indirect descriptors nor event indices."""
import hashlib
import os
import re

from cases.disks import VIRTIO
from cases.microvm import MMIO
from machine import Failed, Skipped

DRIVERS = ['virtio_blk', 'failover', 'net_failover', 'virtio_net', 'virtio_console', 'virtio-rng',
           'virtio_balloon']
KINDS = ['blk', 'net', 'serial', 'rng', 'balloon']
OWN = {'blk': ',drive=x,num-queues=2', 'net': ',netdev=n'}
# Reads the disk, and writes in pieces of many sizes, of which some are queued at once.
SCRIPT = r'''
md5sum /dev/vda
for i in 1 2 3 4; do dd if=/dev/vda bs=$((i * 4096)) skip=$i count=40 2>/dev/null | md5sum >/tmp/$i & done; wait
dd if=/dev/vda of=/tmp/x bs=1M count=1 skip=3 2>/dev/null
dd if=/tmp/x of=/dev/vda bs=1M seek=5 conv=fsync 2>/dev/null
ip link set eth0 up; ip addr add 10.0.0.1/24 dev eth0; ping -c 2 -W 1 10.0.0.2 >/dev/null
seq 1 5000 >/dev/hvc0
echo RANDOM $(dd if=/dev/hwrng bs=64 count=4 iflag=fullblock 2>/dev/null | wc -c)
for d in /sys/bus/virtio/devices/*; do echo FEATURES $(cut -c29,30,33,35 $d/features); done
echo READY
while [ $(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) -gt 200 ]; do sleep 0.1; done; echo SMALL
'''


def devices(test, features, suffix='-pci', more='', modules=VIRTIO, first='', append='', arguments=()):
    """features: bits 28, 29 (indirect descriptors, event indices), 32 (version 1), 34 (packed queues)
    that are negotiated by all drivers. more: properties of all devices; first: what the script begins
    with."""
    image, out = test.scratch / 'forms.raw', test.scratch / 'forms.hvc'
    data = os.urandom(8 << 20)
    image.write_bytes(data)
    options = [word for kind in KINDS
               for word in ('--device', f'virtio-{kind}{suffix}{OWN.get(kind, "")}{more}')]
    with test.linux(first + SCRIPT, '--memory', '512M', '--smp', '2', '--netdev', 'null,id=n',
                    '--drive', f'file={image},format=raw,if=none,id=x', '--chardev', f'file:{out},id=c',
                    *options, '--device', 'virtconsole,chardev=c', *arguments,
                    append=append, modules=[*modules, *DRIVERS]) as machine:
        machine.wait_serial('READY')
        sent = int(re.search(r'sent (\d+) frames', machine.control('info', 'network'))[1])
        machine.control('balloon', '200M')
        machine.wait_serial('SMALL')
        machine.wait_end()
        wanted = [f'{hashlib.md5(data).hexdigest()}  /dev/vda', 'RANDOM 256']
        if not all(text in machine.serial_text() for text in wanted) or sent < 2:
            raise Failed(f'not {wanted}, or {sent} frames:\n{machine.serial_text()[-1500:]}')
        found = re.findall(r'FEATURES (\d+)', machine.serial_text())
        if found != [features] * len(KINDS):
            raise Failed(f'the drivers agreed on {found}')
    if image.read_bytes() != data[:5 << 20] + data[3 << 20:4 << 20] + data[6 << 20:]:
        raise Failed('the image does not hold what was written')
    if not out.read_text().replace('\r', '').endswith('\n4999\n5000\n'):
        raise Failed(f'the console has ...{out.read_text()[-100:]}')


def only_full(test):
    if not test.full:
        raise Skipped('only with --full')


def virtio_packed(test):
    """virtio devices with packed queues"""
    devices(test, '1111', more=',packed=on')


def virtio_packed_plain(test):
    """packed queues without indirect descriptors and event indices"""
    only_full(test)
    devices(test, '0011', more=',packed=on,indirect_desc=off,event_idx=off')


def virtio_split_plain(test):
    """split queues without them"""
    only_full(test)
    devices(test, '0010', more=',indirect_desc=off,event_idx=off')


def virtio_transitional(test):
    """devices that Linux drives as modern ones, and then through their legacy interface"""
    devices(test, '1100', first='rmmod virtio_pci; insmod /virtio_pci.ko force_legacy=1\n')


def virtio_legacy(test):
    """devices that have the legacy interface only, with interrupt lines in place of messages"""
    devices(test, '1100', more=',disable-modern=on', append='pci=nomsi',
            first='grep -q virtio0-config /proc/interrupts && exit\n')


def virtio_mmio_packed(test):
    """packed queues over MMIO"""
    only_full(test)
    devices(test, '1111', '-device', ',packed=on', MMIO, arguments=['--machine', 'microvm'])


def virtio_mmio_legacy(test):
    """version 1 of the interface over MMIO"""
    devices(test, '1100', '-device', ',force-legacy=on', MMIO, arguments=['--machine', 'microvm'])


CASES = [virtio_packed, virtio_packed_plain, virtio_split_plain, virtio_transitional, virtio_legacy,
         virtio_mmio_packed, virtio_mmio_legacy]
