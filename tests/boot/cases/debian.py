"""Debian installed on a disk, started by its own boot loader (with --full: it takes minutes)."""
import subprocess
import time
from pathlib import Path

from machine import Failed, Skipped

SCRIPTS = Path(__file__).resolve().parent.parent.parent.parent / 'scripts'
ROOT_START = 69632 * 512  # scripts/fetch-debian


def overlay(test):
    """A disk of its own over the installed one."""
    if not test.full:
        raise Skipped('only with --full')
    result = subprocess.run([SCRIPTS / 'fetch-debian'], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise Skipped('Debian could not be installed on a disk image')
    path = test.scratch / 'debian.qcow2'
    subprocess.run([test.menura, 'img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b',
                    result.stdout.strip(), path], check=True)
    return path


def check_file_system(test, image):
    raw = test.scratch / 'debian.raw'
    subprocess.run([test.menura, 'img', 'convert', '-O', 'raw', image, raw], check=True)
    result = subprocess.run(['e2fsck', '-f', '-n', f'{raw}?offset={ROOT_START}'], capture_output=True, text=True,
                            check=False)
    state = subprocess.run(['dumpe2fs', '-h', f'{raw}?offset={ROOT_START}'], capture_output=True, text=True,
                           check=False)
    raw.unlink()
    if result.returncode or 'Filesystem state:         clean' not in state.stdout:
        raise Failed(f'the file system is not clean:\n{result.stdout}{result.stderr}')


def installed(test, shows_text, *arguments):
    """Logs in on the screen, installs a package, switches off; the file system is clean. What a screen in
    a graphics mode shows is not read: there the keys are typed after a while."""
    def type_after(wanted, text):
        if shows_text:
            machine.wait_screen(wanted)
        else:
            time.sleep(15)
        machine.type(text)

    image = overlay(test)
    with test.machine('--memory', '1G', image, *arguments) as machine:
        machine.wait_serial('menura login:', 600)
        type_after('menura login:', 'root\n')
        type_after('Password:', 'menura\n')
        type_after('root@menura:~#',
                   'apt-get -qq update && apt-get -qq -y install hello && hello >/dev/ttyS0\n')
        machine.wait_serial('Hello, world!', 600)
        machine.type('poweroff\n')
        machine.wait_end(0, 120)
        if 'ACPI Error' in machine.serial_text():
            raise Failed(machine.serial_text()[-2000:])
    check_file_system(test, image)


def debian_bios(test):
    """Debian on a GPT disk through SeaBIOS and GRUB: login, a package, power-off, a clean file system"""
    installed(test, True)


def debian_uefi(test):
    """the same through OVMF and GRUB, two CPUs"""
    installed(test, False, '--firmware', 'uefi', '--smp', '2')


CASES = [debian_bios, debian_uefi]
