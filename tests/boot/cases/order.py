"""The order in which firmware tries disks."""
import struct
from pathlib import Path

from machine import Failed, Skipped

SECTOR = 2048


def boot_sector(text):
    """Prints the text on the serial port and halts."""
    code = (b'\xfa\xfc\x31\xc0\x8e\xd8'  # cli; cld; xor ax,ax; mov ds,ax
            b'\xe8\x00\x00\x5e'          # call 1f; 1: pop si
            b'\x83\xc6\x12'              # add si, text - 1b
            b'\xba\xf8\x03'              # mov dx, 0x3f8
            b'\xac\x84\xc0\x74\x03'      # 2: lodsb; test al,al; jz 3f
            b'\xee\xeb\xf8'              # out dx,al; jmp 2b
            b'\xf4\xeb\xfd')             # 3: hlt; jmp 3b
    return (code + text.encode() + b'\n\0').ljust(510, b'\0') + b'\x55\xaa'


def floppy(path, text):
    path.write_bytes(boot_sector(text).ljust(1440 << 10, b'\0'))
    return path


def disk(path, text):
    path.write_bytes(boot_sector(text).ljust(4 << 20, b'\0'))
    return path


def cdrom(path, text):
    """A CD whose boot catalog names a sector to start (El Torito, without emulation)."""
    volume = bytearray(SECTOR)
    volume[:8] = b'\x01CD001\x01\0'
    struct.pack_into('<I', volume, 80, 64)
    boot = bytearray(SECTOR)
    boot[:7] = b'\0CD001\x01'
    boot[7:30] = b'EL TORITO SPECIFICATION'
    struct.pack_into('<I', boot, 71, 19)
    end = b'\xffCD001\x01'.ljust(SECTOR, b'\0')
    validation = bytearray(b'\x01'.ljust(30, b'\0') + b'\x55\xaa')
    struct.pack_into('<H', validation, 28, -sum(struct.unpack('<16H', validation)) & 0xffff)
    catalog = bytes(validation) + struct.pack('<BBHBBHI', 0x88, 0, 0, 0, 0, 4, 20).ljust(32, b'\0')
    sectors = [bytes(volume), bytes(boot), end, catalog.ljust(SECTOR, b'\0'),
               boot_sector(text).ljust(SECTOR, b'\0')]
    path.write_bytes((bytes(16 * SECTOR) + b''.join(sectors)).ljust(64 * SECTOR, b'\0'))
    return path


def drives(test):
    """A floppy disk, an IDE disk, a virtio disk and a CD that say their names."""
    return ['--floppy', floppy(test.scratch / 'floppy', 'FLOPPY'),
            '--drive', f'file={disk(test.scratch / "ide", "IDE")},format=raw',
            '--cdrom', cdrom(test.scratch / 'cd', 'CDROM'),
            '--drive', f'file={disk(test.scratch / "virtio", "VIRTIO")},format=raw,if=none,id=v']


def boot_order(test):
    """SeaBIOS keeps to --boot and bootindex="""
    virtio = ['--device', 'virtio-blk-pci,drive=v']
    for arguments, wanted in [
            (virtio, 'IDE'),
            (['--boot', 'd', *virtio], 'CDROM'),
            (['--boot', 'order=ac', *virtio], 'FLOPPY'),
            (['--device', 'virtio-blk-pci,drive=v,bootindex=0', '--boot', 'd'], 'VIRTIO')]:
        with test.machine(*drives(test), *arguments) as machine:
            machine.wait_serial('\n' if wanted else '')
            if machine.serial_text() != f'{wanted}\n':
                raise Failed(f'{arguments}: not {wanted} but {machine.serial_text()}')


def boot_once(test):
    """an order for the first time only"""
    with test.machine(*drives(test), '--boot', 'once=d,order=a', reboot=True) as machine:
        machine.wait_serial('CDROM\n')
        machine.control('reset')
        machine.wait_serial('CDROM\nFLOPPY\n')
        machine.control('reset')
        machine.wait_serial('CDROM\nFLOPPY\nFLOPPY\n')


def boot_menu(test):
    """SeaBIOS's menu, and a choice from it"""
    with test.machine(*drives(test), '--boot', 'menu') as machine:
        machine.wait_screen('Press ESC for boot menu')
        machine.keys('esc')
        machine.wait_screen('Floppy')
        choice = next(line for line in machine.screen().splitlines() if 'DVD/CD' in line)
        machine.type(choice.strip()[0])
        machine.wait_serial('CDROM\n')


def uefi_order(test):
    """OVMF keeps to --boot and bootindex="""
    if not Path('/usr/share/OVMF/OVMF_VARS_4M.fd').exists():
        raise Skipped('the package ovmf is not there')
    with test.machine(*drives(test), '--device', 'virtio-blk-pci,drive=v,bootindex=1', '--boot', 'd',
                      '--firmware', 'uefi') as machine:
        machine.wait_serial('startup.nsh', 90)
        tried = [line for line in machine.serial_text().splitlines() if 'BdsDxe: failed to load' in line]
        places = [next((n for n, line in enumerate(tried) if text in line), 99) for text in ('Misc Device', 'DVD-ROM')]
        if places != [0, 1]:
            raise Failed('\n'.join(tried))


CASES = [boot_order, boot_once, boot_menu, uefi_order]
