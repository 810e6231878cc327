"""Systems from floppy disks."""
import time

def grub_floppy(test):
    """SeaBIOS starts GRUB from a floppy disk whose image was cut off; its menu and its shell"""
    with test.machine('--floppy', test.guests / 'usr/lib/grub-rescue/grub-rescue-floppy.img',
                      '--snapshot') as machine:
        machine.wait_screen('*GNU/Linux')
        machine.keys('c')
        machine.wait_screen('grub>')
        machine.type('ls\n')
        machine.wait_screen('(fd0)')


def change_floppy(test):
    """a floppy disk is changed and taken out while GRUB runs from it"""
    other = test.scratch / 'other.img'
    other.write_bytes(b'fortytwo\n'.ljust(1440 << 10, b' '))
    with test.machine('--floppy', test.guests / 'usr/lib/grub-rescue/grub-rescue-floppy.img',
                      '--snapshot') as machine:
        machine.wait_screen('*GNU/Linux')
        machine.keys('c')
        machine.wait_screen('grub>')
        machine.type('cat (fd0)+1; clear; echo load""ed\n') # the commands come from the disk
        machine.wait_screen('loaded')
        machine.control('change', 'floppy0', str(other))
        time.sleep(3) # GRUB believes what it read for two seconds
        machine.type('cat (fd0)+1\n')
        machine.wait_screen('fortytwo')
        machine.control('eject', 'floppy0')
        time.sleep(3)
        machine.type('clear; cat (fd0)+1\n')
        machine.wait_screen('error:')


def mikeos(test):
    """MikeOS from a floppy disk: its menu, and a command"""
    with test.machine('--floppy', test.image('mikeos.flp'), '--snapshot') as machine:
        machine.wait_screen('MikeOS')
        machine.keys('right')
        machine.keys('ret')
        time.sleep(1)
        machine.type('ver\n')
        machine.wait_screen('MikeOS 4')


def freedos(test):
    """FreeDOS from a floppy disk to its prompt, and a directory listing"""
    with test.machine('--floppy', test.image('freedos-1440k.img'), '--snapshot') as machine:
        machine.wait_screen('A:\\>')
        machine.type('dir\n')
        machine.wait_screen('bytes free')


def floppinux(test):
    """SYSLINUX, then a 32-bit Linux, from a floppy disk to a shell"""
    with test.machine('--floppy', test.image('floppinux.img'), '--snapshot') as machine:
        machine.wait_screen('press Enter to activate', 120)
        machine.keys('ret')
        time.sleep(2)
        machine.type('echo "for"ty"two"\n')
        machine.wait_screen('\nfortytwo')


CASES = [grub_floppy, change_floppy, mikeos, freedos, floppinux]
