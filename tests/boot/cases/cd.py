"""Systems from CDs."""
import re

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
        def screen():
            """Tests are quick: one may have gone by."""
            text = machine.screen()
            return text + '\nlate test' if re.search(r'Test #([3-9]|10)', text) else text

        if test.full:
            machine.wait_screen('Pass:  1', 300)
        else:
            machine.wait_until('the screen', 60, screen, 'late test')
        if 'Errors: 0' not in machine.screen():
            raise Failed(machine.screen())


CASES = [grub_cd, memtest]
