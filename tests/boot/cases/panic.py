"""Guests that crash, and say so."""
from machine import Failed


def crash(test, device, module):
    with test.linux('echo 1 >/proc/sys/kernel/sysrq; echo CRASH; echo c >/proc/sysrq-trigger; echo ON', '--device',
                    device, modules=['pvpanic', module]) as machine:
        machine.wait_serial('CRASH')
        machine.wait_end(status=1)
        if 'sysrq triggered crash' not in machine.serial_text():
            raise Failed(machine.serial_text()[-1000:])


def panic_port(test):
    """Linux crashes, and a machine with pvpanic ends with status 1"""
    crash(test, 'pvpanic', 'pvpanic-mmio')


def panic_pci(test):
    """the same with pvpanic-pci"""
    crash(test, 'pvpanic-pci', 'pvpanic-pci')


CASES = [panic_port, panic_pci]
