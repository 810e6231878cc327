"""What firmware starts by itself."""
from pathlib import Path

from machine import Failed, Skipped

def uefi(test):
    """OVMF to the UEFI shell; a variable that is set there lasts"""
    if not Path('/usr/share/OVMF/OVMF_VARS_4M.fd').exists():
        raise Skipped('the package ovmf is not there')
    variables = test.scratch / 'variables.fd'
    for command in ('set menura "it lasts"', 'set'):
        with test.machine('--firmware', f'uefi,vars={variables}') as machine:
            machine.wait_serial('startup.nsh', 90)
            machine.keys('esc')
            machine.wait_serial('Shell>')
            machine.type(f'{command}\n')
            machine.type('reset -s\n')
            machine.wait_end()
    if 'it lasts' not in machine.serial_text():
        raise Failed(machine.serial_text()[-1500:])


def uefi_file(test):
    """OVMF in one file to the UEFI shell"""
    firmware = Path('/usr/share/ovmf/OVMF.fd')
    if not firmware.exists():
        raise Skipped('the package ovmf is not there')
    with test.machine('--firmware', firmware) as machine:
        machine.wait_serial('startup.nsh', 90)


def no_firmware(test):
    """a firmware file that is none is refused with one line"""
    path = test.scratch / 'none'
    with test.machine('--firmware', path) as machine:
        machine.wait_end(1)
        if machine.messages().count('\n') != 1 or str(path) not in machine.messages():
            raise Failed(machine.messages())


CASES = [uefi, uefi_file, no_firmware]
