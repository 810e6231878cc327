"""Linux, started directly."""
import subprocess
import time

import guests
from machine import Failed

def linux(test):
    """Linux, started directly, to its init program and a clean power-off"""
    with test.linux('echo READY $(uname -m) $(nproc); echo ERRORS $(dmesg | grep -c "ACPI.*Error")') as machine:
        machine.wait_serial('READY x86_64 1')
        machine.wait_end()
        if '\nERRORS 0\n' not in machine.serial_text():
            raise Failed(f'ACPI errors:\n{machine.serial_text()[-1500:]}')


def busy_cpus(test, count):
    """All CPUs work at once, and come to the same results."""
    script = 'for i in 1 2 3 4 5 6; do gzip -c /bin/busybox | md5sum & done; wait; echo READY $(nproc)'
    with test.linux(script, '--smp', f'{count}') as machine:
        machine.wait_serial(f'READY {count}', 120)
        machine.wait_end()
        sums = [line for line in machine.serial_text().splitlines() if line.endswith('  -')]
        if len(sums) != 6 or len(set(sums)) != 1:
            raise Failed(f'the sums differ: {sums}')


def linux_smp2(test):
    """Linux with two CPUs, all busy"""
    busy_cpus(test, 2)


def linux_smp(test):
    """four CPUs"""
    busy_cpus(test, 4)


def linux_smp8(test):
    """eight CPUs"""
    busy_cpus(test, 8)


def linux_load(test):
    """forks, pipes and a tree in tmpfs under Linux"""
    script = ('i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done\n'
              'mkdir /tmp/t; cp -r /proc/self/../sys/kernel /tmp/t 2>/dev/null\n'
              'seq 1 20000 | sort -r | sort -n | md5sum\n'
              'tar -cf - -C /bin . | tar -tf - | wc -l | grep -q "^[0-9]" && echo TREE\n')
    with test.linux(script) as machine:
        machine.wait_serial('TREE')
        machine.wait_end()
        expected = subprocess.run('seq 1 20000 | md5sum', shell=True, capture_output=True,
                                  text=True, check=True).stdout.split()[0]
        if expected not in machine.serial_text():
            raise Failed(f'sorting went wrong:\n{machine.serial_text()[-1000:]}')


def power_button(test):
    """the power button, seen by Linux"""
    script = ('echo READY; while grep -q "^ *0 " /sys/firmware/acpi/interrupts/ff_pwr_btn; do sleep 1; done\n'
              'echo PRESSED')
    with test.linux(script, modules=['button']) as machine:
        machine.wait_serial('READY')
        time.sleep(1)
        machine.control('powerdown')
        machine.wait_serial('PRESSED')
        machine.wait_end()


def panic(test):
    """a kernel without a root file system panics and resets"""
    with test.machine('--kernel', guests.kernel(test.guests), '--append', 'console=ttyS0 panic=-1') as machine:
        machine.wait_serial('Kernel panic')
        machine.wait_end()


CASES = [linux, linux_smp2, linux_smp, linux_smp8, linux_load, power_button, panic]
