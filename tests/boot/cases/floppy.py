"""Systems from floppy disks."""
import time

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


CASES = [mikeos, freedos, floppinux]
