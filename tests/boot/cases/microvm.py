"""The board without PCI: Linux finds its virtio devices by ACPI."""
import hashlib
import os
import time

from cases import debian, order
from machine import Failed

MMIO = ['virtio', 'virtio_ring', 'virtio_mmio']
NET = ['failover', 'net_failover', 'virtio_net']


def microvm(test, script, *arguments, modules=(), **options):
    return test.linux(script, '--machine', 'microvm', *arguments, modules=[*MMIO, *modules], **options)


def microvm_devices(test):
    """Linux with two CPUs on the board microvm: a disk, a network card, a console, power-off"""
    image, out = test.scratch / 'microvm.raw', test.scratch / 'microvm.hvc'
    data = os.urandom(2 << 20)
    image.write_bytes(data)
    script = ('echo READY $(nproc) $(ls /sys/bus/pci 2>/dev/null | wc -w); md5sum /dev/vda\n'
              'dd if=/dev/vda of=/tmp/x bs=64k count=1 skip=4 2>/dev/null\n'
              'dd if=/tmp/x of=/dev/vda bs=64k seek=9 conv=fsync 2>/dev/null\n'
              'cat /sys/class/net/eth0/address; echo "hello from $(uname -s)" >/dev/hvc0\n'
              'echo ERRORS $(dmesg | grep -c "ACPI.*Error")')
    with microvm(test, script, '--smp', '2', '--drive', f'file={image},format=raw', '--netdev', 'null,id=n',
                 '--device', 'virtio-net-device,netdev=n', '--device', 'virtio-serial-device', '--chardev',
                 f'file:{out},id=c', '--device', 'virtconsole,chardev=c',
                 modules=['virtio_blk', *NET, 'virtio_console']) as machine:
        machine.wait_serial('ERRORS')
        machine.wait_end()
        wanted = ['READY 2', f'{hashlib.md5(data).hexdigest()}  /dev/vda', '52:54:00:12:34:56', 'ERRORS 0']
        if not all(text in machine.serial_text() for text in wanted):
            raise Failed(f'not {wanted}:\n{machine.serial_text()[-1000:]}')
    part = data[4 << 16:5 << 16]
    if image.read_bytes() != data[:9 << 16] + part + data[10 << 16:]:
        raise Failed('the image does not hold what was written')
    if 'hello from Linux' not in out.read_text():
        raise Failed(f'the console has {out.read_text()}')


def microvm_button(test):
    """the power button of the board microvm, seen by Linux"""
    script = ('echo READY; dd if=/dev/input/event0 of=/dev/null bs=24 count=1 2>/dev/null; echo PRESSED')
    with microvm(test, script, modules=['evdev', 'button']) as machine:
        machine.wait_serial('READY')
        time.sleep(1)
        machine.control('powerdown')
        machine.wait_serial('PRESSED')
        machine.wait_end()


def microvm_reboot(test):
    """a reboot of the board microvm ends it with --no-reboot"""
    with microvm(test, 'echo AGAIN; reboot -f') as machine:
        machine.wait_end()
        if machine.serial_text().count('\nAGAIN') != 1:
            raise Failed(machine.serial_text()[-500:])


def microvm_firmware(test):
    """SeaBIOS on the board microvm starts the disk that is wanted, of either version of the interface"""
    drives = [word for name in ('one', 'two') for word in
              ('--drive', f'file={order.disk(test.scratch / name, name.upper())},format=raw,if=none,id={name}')]
    for more, wanted in [([], 'ONE'), ([',force-legacy=on', ',force-legacy=on,bootindex=0'], 'TWO'),
                         ([',bootindex=1', ',bootindex=2'], 'ONE')]:
        one, two = more or ['', '']
        with test.machine('--machine', 'microvm', *drives, '--device', f'virtio-blk-device,drive=one{one}',
                          '--device', f'virtio-blk-device,drive=two{two}') as machine:
            machine.wait_serial(f'{wanted}\n')
            machine.control('quit')
            machine.wait_end()


def microvm_debian(test):
    """Debian on a GPT disk through SeaBIOS and GRUB, on the board microvm with two CPUs, to its login"""
    image = debian.overlay(test)
    with test.machine('--machine', 'microvm', '--memory', '1G', '--smp', '2', image) as machine:
        machine.wait_serial('GNU GRUB', 60)
        machine.wait_serial('menura login:', 600)
        machine.control('quit')
        machine.wait_end()


CASES = [microvm_devices, microvm_button, microvm_reboot, microvm_firmware, microvm_debian]
