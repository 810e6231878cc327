"""What firmware starts by itself."""
from pathlib import Path

from machine import Failed, Skipped

def uefi(test):
    """OVMF to the UEFI shell"""
    firmware = Path('/usr/share/ovmf/OVMF.fd')
    if not firmware.exists():
        raise Skipped('the package ovmf is not there')
    with test.machine('--firmware', firmware) as machine:
        machine.wait_serial('Shell>', 90)


def no_firmware(test):
    """a firmware file that is none is refused with one line"""
    path = test.scratch / 'none'
    with test.machine('--firmware', path) as machine:
        machine.wait_end(1)
        if machine.messages().count('\n') != 1 or str(path) not in machine.messages():
            raise Failed(machine.messages())


CASES = [uefi, no_firmware]
