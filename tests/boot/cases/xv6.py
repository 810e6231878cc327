"""xv6 for 32-bit PCs, a teaching system: its kernel's disk image (xv6.img) and its file system
(xv6-fs.img), as https://github.com/mit-pdos/xv6-public builds them for QEMU, are taken from
$MENURA_GUESTS."""
from machine import Failed


def run(test, cpus):
    """A quick test of the system's, or with --full all of them."""
    program, end, seconds = ('usertests', 'ALL TESTS PASSED', 1800) if test.full else \
                            ('forktest', 'fork test OK', 60)
    drives = [word for index, name in enumerate(['xv6.img', 'xv6-fs.img'])
              for word in ('--drive', f'file={test.image(name)},format=raw,index={index},snapshot=on')]
    # Firmware's table of CPUs, which xv6 reads, names one of each package.
    with test.machine('--memory', '512M', '--smp', f'{cpus},sockets={cpus}', *drives) as machine:
        machine.wait_serial('\n$ ')
        machine.type(f'{program}\n')
        machine.wait_serial(end, seconds)
        if 'panic' in machine.serial_text() or f'cpu{cpus - 1}: starting' not in machine.serial_text():
            raise Failed(machine.serial_text()[-1000:])


def xv6(test):
    """xv6 and its tests, with one CPU"""
    run(test, 1)


def xv6_smp(test):
    """xv6 and its tests, with four CPUs"""
    run(test, 4)


CASES = [xv6, xv6_smp]
