"""Suspend to RAM (S3), and what wakes the machine."""
import tarfile

import guests
from machine import Failed, Skipped

SLEEP = 'echo mem > /sys/power/state; echo AWAKE %d $(nproc)\n'
OPTIONS = 'no_console_suspend'


def check(machine):
    """All CPUs and devices came back, as far as Linux can tell."""
    machine.wait_end()
    bad = [line for line in machine.serial_text().splitlines()
           if 'ACPI Error' in line or 'ACPI BIOS Error' in line or 'PM: ' in line and 'failed' in line]
    if bad:
        raise Failed('\n'.join(bad))


def wait_asleep(machine):
    machine.wait_until('its status', 20, lambda: machine.control('info', 'status'), 'asleep')


def sleep(test):
    """Linux sleeps until an alarm of the clock"""
    script = 'echo +2 > /sys/class/rtc/rtc0/wakealarm\n' + SLEEP % 1
    with test.linux(script, append=OPTIONS) as machine:
        machine.wait_serial('AWAKE 1 1')
        check(machine)


def sleep_smp(test):
    """two CPUs, woken by a key, by the power button, by menura ctl and by a reset"""
    script = ''.join(SLEEP % number for number in range(1, 5))
    with test.linux(script, '--smp', '2', append=OPTIONS) as machine:
        for number, wake in enumerate([('sendkey', 'a'), ('powerdown',), ('wakeup',)], 1):
            wait_asleep(machine)
            machine.control(*wake)
            machine.wait_serial(f'AWAKE {number} 2')
        wait_asleep(machine)
        machine.control('reset')
        check(machine)  # it ends, for it does not reboot


def sleep_firmware(test):
    """Linux that GRUB started sleeps, and wakes through SeaBIOS"""
    if not test.full:
        raise Skipped('only with --full')
    initrd, disk = test.scratch / 'sleep-initrd', test.scratch / 'sleep.tar'
    initrd.write_bytes(guests.initrd(test.guests, SLEEP % 1))
    with tarfile.open(disk, 'w', format=tarfile.USTAR_FORMAT) as archive:
        archive.add(guests.kernel(test.guests), 'k')
        archive.add(initrd, 'i')
    with test.machine('--cdrom', test.guests / 'usr/lib/grub-rescue/grub-rescue-cdrom.iso', '--boot', 'd',
                      '--drive', f'file={disk},format=raw', '--smp', '2') as machine:
        machine.wait_screen('*GNU/Linux')
        machine.keys('c')
        for command in ('insmod tar', f'linux (hd0)/k console=ttyS0 {OPTIONS}', 'initrd (hd0)/i'):
            machine.wait_screen('grub>')
            machine.type(f'{command}\n')
            machine.wait_screen(f'{command}\ngrub>')
        machine.type('boot\n')
        wait_asleep(machine)
        machine.keys('a')
        machine.wait_serial('AWAKE 1 2')
        check(machine)


CASES = [sleep, sleep_smp, sleep_firmware]
