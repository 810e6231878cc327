"""Systems from CDs."""
from machine import Failed

def grub_cd(test):
    """SeaBIOS starts GRUB from a CD; its menu answers keys"""
    with test.machine('--cdrom', test.guests / 'usr/lib/grub-rescue/grub-rescue-cdrom.iso') as machine:
        machine.wait_screen('*GNU/Linux')
        machine.keys('down')
        machine.wait_screen('*GNU (aka GNU/Hurd)')
        machine.keys('c')
        machine.wait_screen('grub>')
        machine.type('set x=found; echo $x\n')
        machine.wait_screen('\nfound')


def memtest(test):
    """memtest86+ from CD finds no errors (a whole pass with --full)"""
    with test.machine('--memory', '64M', '--cdrom',
                      test.guests / 'usr/lib/memtest86+/memtest86+x64.iso') as machine:
        machine.wait_screen('Pass:  1' if test.full else 'Test #3', 300 if test.full else 60)
        if 'Errors: 0' not in machine.screen():
            raise Failed(machine.screen())


CASES = [grub_cd, memtest]
