"""Front ends: the machine's screen in a terminal, and in a window."""
import os
import signal
import time

import guests
from machine import Failed
from terminal import TerminalMachine


def rescue_cd(test):
    return test.guests / 'usr/lib/grub-rescue/grub-rescue-cdrom.iso'


def unframed(text):
    """Without frames, which `menura ctl text` has no characters for."""
    return '\n'.join(''.join(c if ' ' <= c < '\x7f' else '.' for c in line).rstrip()
                     for line in text.splitlines()).rstrip()


def terminal_screen(test):
    """the screen in a terminal: text, colours, keys, another size, and all as before at the end"""
    with TerminalMachine(test, '--cdrom', rescue_cd(test)) as machine:
        machine.wait_terminal('*GNU/Linux')
        machine.press('\x1b[B')
        machine.wait_terminal('*GNU (aka GNU/Hurd)')
        if unframed(machine.read()) != unframed(machine.screen()):
            raise Failed(f'the terminal shows\n{machine.read()}\nnot\n{machine.screen()}')
        if machine.terminal.look_of('*GNU') != ['0', '30', '47'] or '┌' not in machine.read():
            raise Failed(f'no frame, or {machine.terminal.look_of("*GNU")} is the colour')
        machine.press('c')
        machine.wait_terminal('grub>')
        machine.press('set X=fo_und; echo "$X"\r')
        machine.wait_terminal('\nfo_und')
        machine.resize(60, 10)  # the cursor's surroundings are shown
        os.kill(machine.process.pid, signal.SIGWINCH)
        time.sleep(0.5)
        machine.wait_terminal('\ngrub>')
        machine.press('\x01h')
        machine.wait_terminal('Ctrl-A x')
        machine.press(' \x01x')
        machine.wait_end()
        machine.check_restored()


def terminal_serial(test):
    """a serial port in the same terminal, and changing between the two"""
    initrd = test.scratch / 'initrd-terminal.gz'
    initrd.write_bytes(guests.initrd(test.guests, 'echo READY; read x; echo "GOT<$x>"'))
    with TerminalMachine(test, '--kernel', guests.kernel(test.guests), '--initrd', initrd, '--append',
                         'console=ttyS0 panic=-1 quiet') as machine:
        machine.wait_terminal('READY')
        if machine.terminal.alternate:
            raise Failed('the serial port is on the alternate screen')
        machine.press('\x01c')
        machine.wait_until('the screen', 20, lambda: str(machine.read() and machine.terminal.alternate), 'True')
        machine.press('\x01s')
        machine.wait_terminal('.png')
        if not list(test.scratch.glob(f'{machine.name}-*.png')):
            raise Failed('there is no screenshot')
        machine.press('\x01c')
        machine.wait_terminal('READY')
        machine.press('a\x01\x01b\r')  # Ctrl-A for the guest
        machine.wait_terminal('GOT<ab>')
        machine.wait_end()
        machine.check_restored()


def terminal_restored(test):
    """the terminal is restored when Menura is ended by a signal, or crashes"""
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGSEGV, signal.SIGABRT):
        with TerminalMachine(test) as machine:
            machine.wait_terminal('SeaBIOS')
            if not machine.terminal.alternate:
                raise Failed('the screen is not on the alternate screen')
            machine.process.send_signal(number)
            machine.check_restored()
            if machine.process.returncode != (0 if number == signal.SIGTERM else -number):
                raise Failed(f'{number}: it ended with {machine.process.returncode}')


def nographic(test):
    """qemu-system-x86_64 -nographic: the serial port with the Ctrl-A menu"""
    program = test.scratch / 'qemu-system-x86_64'
    program.symlink_to(test.menura)
    with TerminalMachine(test, '-nographic', '-name', 'ng', '-kernel', guests.kernel(test.guests),
                         '-append', 'console=ttyS0 panic=-1', program=[program]) as machine:
        machine.wait_serial('Linux version')
        if machine.terminal.alternate:
            raise Failed('there is a screen')
        machine.press('\x01x')
        machine.wait_end()
        machine.check_restored()


CASES = [terminal_screen, terminal_serial, terminal_restored, nographic]
