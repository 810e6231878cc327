"""Kernels of other protocols than Linux' own, started directly."""
import collections
import platform
import struct
import subprocess
from pathlib import Path

import guests
from machine import Failed, Skipped

SCRIPTS = Path(__file__).resolve().parent.parent.parent.parent / 'scripts'
SOURCE = Path(__file__).resolve().parent.parent / 'kernels' / 'kernel.c'
# RAM of a machine with 32 MiB, as the kernel prints it.
MEMORY = ['ram 0', 'size 9fc00', 'reserved 9fc00', 'size 400', 'reserved e0000', 'size 20000',
          'ram 100000', 'size 1f00000']


def build(test, name, *definitions):
    """The kernel for one protocol."""
    if platform.machine() not in ('x86_64', 'i686'):
        raise Skipped('there is no compiler for x86')
    path = test.scratch / name
    layout = ['-Wl,-N', '-Wl,-Ttext=0x200000'] if '-DFLAT' in definitions else ['-Wl,-Ttext-segment=0x200000']
    result = subprocess.run(['gcc', '-m32', '-O1', '-ffreestanding', '-fno-pic', '-fno-stack-protector',
                             '-static', '-nostdlib', '-Wall', '-Wextra', '-Werror', *definitions, *layout,
                             '-Wl,--build-id=none', '-o', path, SOURCE],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise Failed(result.stderr)
    return path


def expect(test, kernel, wanted, *arguments):
    """Starts the kernel; it prints these lines, in any order, and switches off."""
    with test.machine('--kernel', kernel, '--memory', '32M', *arguments) as machine:
        machine.wait_end()
        lines = machine.serial_text().splitlines()
        missing = [line for line in wanted if line not in lines]
        if missing or 'bss!' in lines:
            raise Failed(f'not {missing} in:\n{machine.serial_text()}')


def modules(test):
    one, two = test.scratch / 'one', test.scratch / 'two'
    one.write_text('first\n' * 2000)
    two.write_text('second\n')
    return one, two


def multiboot(test):
    """a multiboot kernel in an ELF file, with two modules"""
    one, two = modules(test)
    kernel = build(test, 'multiboot', '-DMULTIBOOT')
    expect(test, kernel,
           ['eax 2badb002', 'mode 1', 'flags 24d', 'lower 27f', 'upper 7c00', f'command {kernel} a "b c"',
            f'text {one} x, y', 'module first', f'text {two}', 'module second', 'loader menura', *MEMORY],
           '--append', 'a "b c"', '--initrd', f'{one} x,, y,{two}')


def multiboot_flat(test):
    """a multiboot kernel that says itself where it goes"""
    elf, kernel = build(test, 'flat.elf', '-DMULTIBOOT', '-DFLAT'), test.scratch / 'flat'
    subprocess.run(['objcopy', '-O', 'binary', elf, kernel], check=True)
    expect(test, kernel, ['eax 2badb002', 'mode 1', f'command {kernel} ', 'loader menura', *MEMORY])


def multiboot2(test):
    """a multiboot 2 kernel, with two modules"""
    one, two = modules(test)
    expect(test, build(test, 'multiboot2', '-DMULTIBOOT2'),
           ['eax 36d76289', 'mode 1', 'lower 27f', 'upper 7c00', 'command quiet', f'text {one} x', 'module first',
            f'text {two}', 'module second', 'loader menura', 'end', *MEMORY],
           '--append', 'quiet', '--initrd', f'{one} x,{two}')


def pvh(test):
    """a PVH kernel, with a module"""
    one, _ = modules(test)
    expect(test, build(test, 'pvh', '-DPVH'),
           ['mode 1', 'start 336ec578', 'command a b', 'module first', 'RSD PTR ', *MEMORY],
           '--append', 'a b', '--initrd', one)


def unpack(kernel):
    """The ELF file in a Linux kernel, as Debian packs it: LZ4, then its size."""
    sectors, start, length = kernel[0x1f1], *struct.unpack_from('<II', kernel, 0x248)
    start += (sectors + 1) * 512
    try:
        unpacked = subprocess.run(['lz4', '-dc'], input=kernel[start:start + length - 4],
                                  capture_output=True, check=False).stdout
    except FileNotFoundError:
        unpacked = b''
    if not unpacked.startswith(b'\x7fELF'):
        raise Skipped('the kernel cannot be unpacked with lz4')
    return unpacked


def pvh_linux(test):
    """Linux' uncompressed kernel by its PVH entry"""
    path, initrd = test.scratch / 'vmlinux', test.scratch / 'initrd-pvh'
    path.write_bytes(unpack(guests.kernel(test.guests).read_bytes()))
    initrd.write_bytes(guests.initrd(test.guests, 'echo READY $(nproc) $(dmesg | grep -c "ACPI.*Error")'))
    with test.machine('--kernel', path, '--initrd', initrd, '--append', 'console=ttyS0 panic=-1') as machine:
        machine.wait_serial('READY 1 0')
        machine.wait_end()


def fetched(name):
    """What scripts/fetch-kernels puts into the cache."""
    result = subprocess.run([SCRIPTS / 'fetch-kernels', name], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise Skipped(f'the {name} could not be fetched')
    return Path(result.stdout.strip())


def gnumach(test):
    """GNU Mach, by multiboot, to where it misses its servers"""
    kernel = fetched('mach') / 'gnumach'
    with test.machine('--kernel', kernel, '--append', 'console=com0') as machine:
        machine.wait_serial('GNU Mach 1.8')
        machine.wait_serial('No bootstrap code loaded with the kernel!')
    with test.machine('--kernel', kernel, reboot=True) as machine:
        machine.wait_screen('Probing PCI hardware.')


def shows_dialog(path):
    """Whether the picture is one of the installer's: a grey box on blue."""
    if not path.exists():
        return False
    header, pixels = path.read_bytes().split(b'\n255\n', 1)
    width, height = map(int, header.split()[1:3])
    colors = collections.Counter(pixels[i:i + 3] for i in range(0, 3 * width * height, 3 * 97))
    share = {color: count * 97 / (width * height) for color, count in colors.items()}
    return share.get(b'\0\0\xaa', 0) > 0.05 and share.get(b'\xaa\xaa\xaa', 0) > 0.1


def first_dialog(test, architecture):
    if not test.full:
        raise Skipped('only with --full')
    place, picture = fetched('installers') / architecture, test.scratch / 'installer.ppm'
    picture.unlink(missing_ok=True)
    with test.machine('--memory', '512M', '--kernel', place / 'linux', '--initrd', place / 'initrd.gz') as machine:

        def look():
            machine.control('screenshot', picture)
            return 'a dialog' if shows_dialog(picture) else 'none'

        machine.wait_until('the screen', 400, look, 'a dialog')


def installer(test):
    """Debian's installer for amd64 to its first dialog"""
    first_dialog(test, 'amd64')


def installer_i386(test):
    """that for i386"""
    first_dialog(test, 'i386')


def no_kernel(test):
    """a file that is no kernel is refused with one line"""
    path = test.scratch / 'text'
    path.write_bytes(b'This is not a kernel.\n' * 4000)
    with test.machine('--kernel', path) as machine:
        machine.wait_end(1)
        if machine.messages().count('\n') != 1 or str(path) not in machine.messages():
            raise Failed(machine.messages())


CASES = [multiboot, multiboot_flat, multiboot2, pvh, pvh_linux, gnumach, installer, installer_i386, no_kernel]
