"""Front ends: the machine's screen in a terminal, and in a window."""
import ctypes
import os
import shutil
import signal
import subprocess
import time

import guests
from machine import SLOW, Failed, Machine, Skipped
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


def terminal_kernel(test):
    """Linux, started directly, has its text console in a terminal"""
    initrd = test.scratch / 'initrd-text.gz'
    initrd.write_bytes(guests.initrd(test.guests, 'exec >/dev/tty0 2>&1; printf "READY\\n\\33[1;31mred\\33[0m\\n"; sleep 60'))
    with TerminalMachine(test, '--kernel', guests.kernel(test.guests), '--initrd', initrd, '--append',
                         'console=tty0 panic=-1 quiet') as machine:
        machine.wait_terminal('READY\nred')
        if machine.terminal.look_of('red') != ['0', '91', '40']:
            raise Failed(f'the colour is {machine.terminal.look_of("red")}')
        if unframed(machine.read()) != unframed(machine.screen()):
            raise Failed(f'the terminal shows\n{machine.read()}\nnot\n{machine.screen()}')


def terminal_linux(test):
    """Linux's text console in a terminal, in colour: FLOPPINUX"""
    with TerminalMachine(test, '--floppy', test.image('floppinux.img'), '--snapshot') as machine:
        machine.wait_terminal('press Enter to activate', 120)
        machine.press('\r')
        machine.wait_terminal('#')
        machine.press('clear; echo -e "\\033[1;31mr""ed\\033[0m"\r')
        machine.wait_terminal('red\n#')
        if machine.terminal.look_of('red') != ['0', '91', '40']:
            raise Failed(f'the colour is {machine.terminal.look_of("red")}')
        if unframed(machine.read()) != unframed(machine.screen()):
            raise Failed(f'the terminal shows\n{machine.read()}\nnot\n{machine.screen()}')


def terminal_freedos(test):
    """FreeDOS in a terminal: a command typed there"""
    with TerminalMachine(test, '--floppy', test.image('freedos-1440k.img'), '--snapshot') as machine:
        machine.wait_terminal('A:\\>')
        machine.press('echo One+"two"\r')
        machine.wait_terminal('\nOne+"two"')
        if unframed(machine.read()) != unframed(machine.screen()):
            raise Failed(f'the terminal shows\n{machine.read()}\nnot\n{machine.screen()}')


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
    with TerminalMachine(test, '-nographic', '-name', 'ng', '-kernel', guests.kernel(test.guests),
                         '-append', 'console=ttyS0 panic=-1', program=[test.qemu()]) as machine:
        machine.wait_serial('Linux version')
        if machine.terminal.alternate:
            raise Failed('there is a screen')
        machine.press('\x01x')
        machine.wait_end()
        machine.check_restored()


class Desktop:
    """An X server without a screen of its own (Xvfb), and what can be done to the windows on it."""

    def __init__(self):
        for program in ('Xvfb', 'xdotool', 'import', 'convert'):
            if not shutil.which(program):
                raise Skipped(f'{program} is missing')
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ['Xvfb', '-displayfd', str(write), '-screen', '0', '1600x1200x24', '-nolisten', 'tcp'],
            pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        self.environment = {'DISPLAY': ':' + os.fdopen(read).readline().strip(),
                            'SDL_VIDEODRIVER': 'x11', 'SDL_RENDER_DRIVER': 'software'}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()

    def run(self, *command):
        return subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True,
                              check=False).stdout

    def window(self, title):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = self.run('xdotool', 'search', '--name', title).split()
            if found:
                return found[0].decode()
            time.sleep(0.1)
        raise Failed(f'no window is called {title}')

    def wait_title(self, window, text, there):
        end = time.monotonic() + 10 * SLOW
        while (text in self.run('xdotool', 'getwindowname', window).decode()) != there:
            if time.monotonic() > end:
                raise Failed(f'the title is {self.run("xdotool", "getwindowname", window)}')
            time.sleep(0.1)

    def close(self, window):
        """As a window manager's close button: WM_DELETE_WINDOW (ICCCM 4.1.2.7)."""
        x = ctypes.CDLL('libX11.so.6')
        x.XOpenDisplay.restype = ctypes.c_void_p
        display = ctypes.c_void_p(x.XOpenDisplay(self.environment['DISPLAY'].encode()))
        x.XInternAtom.restype = ctypes.c_long
        protocols, delete = (x.XInternAtom(display, name, 0) for name in (b'WM_PROTOCOLS', b'WM_DELETE_WINDOW'))
        event = (ctypes.c_long * 24)(33, 0, 1, 0, int(window), protocols, 32, delete)
        x.XSendEvent(display, ctypes.c_long(int(window)), 0, ctypes.c_long(0), event)
        x.XCloseDisplay(display)

    def pixels(self, window):
        """What a window shows: width, height, bytes of red, green and blue."""
        return picture(self.run('import', '-window', window, '-depth', '8', 'ppm:-'))


def picture(ppm):
    kind, width, height, depth, data = ppm.split(maxsplit=4) if len(ppm) > 20 else (b'', 0, 0, b'', b'')
    if kind != b'P6' or depth != b'255':
        raise Failed('there is no picture')
    return int(width), int(height), ppm[-3 * int(width) * int(height):]


def doubled(width, data):
    """Each pixel as four."""
    rows = [data[i:i + 3 * width] for i in range(0, len(data), 3 * width)]
    wide = [b''.join(2 * row[i:i + 3] for i in range(0, len(row), 3)) for row in rows]
    return b''.join(2 * row for row in wide)


def window(test):
    """the screen in a window: the same picture as a screenshot, keys by position, and closing it"""
    with Desktop() as desktop:
        with Machine(test, '--cdrom', rescue_cd(test), '--display', 'window',
                     environment=desktop.environment) as machine:
            machine.wait_screen('*GNU/Linux')
            number = desktop.window(machine.name)
            desktop.run('xdotool', 'windowfocus', '--sync', number)
            desktop.run('xdotool', 'key', 'Down')
            machine.wait_screen('*GNU (aka GNU/Hurd)')
            desktop.run('xdotool', 'mousemove', '--window', number, '100', '100', 'click', '1')
            desktop.wait_title(number, 'Ctrl-Alt-G releases the mouse', True)
            desktop.run('xdotool', 'key', 'ctrl+alt+g')
            desktop.wait_title(number, 'Ctrl-Alt-G releases the mouse', False)
            time.sleep(0.5)
            shot = test.scratch / 'window.ppm'
            machine.control('screenshot', str(shot))
            if desktop.pixels(number) != picture(shot.read_bytes()):
                raise Failed('the window does not show what a screenshot shows')
            width, height, data = picture(shot.read_bytes())
            desktop.run('xdotool', 'windowmove', '--sync', number, '0', '0')
            desktop.run('xdotool', 'windowsize', '--sync', number, str(2 * width), str(2 * height))
            time.sleep(0.5)
            if desktop.pixels(number) != (2 * width, 2 * height, doubled(width, data)):
                raise Failed('a window twice as large does not show each pixel as four')
            desktop.close(number)
            machine.wait_end()


def graphics(test, adapter, mode):
    """GRUB's prompt in a graphics mode: width, height, pixels."""
    shot = test.scratch / f'{adapter}.ppm'
    with test.machine('--vga', adapter, '--cdrom', rescue_cd(test)) as machine:
        machine.wait_screen('*GNU/Linux')
        machine.keys('c')
        machine.wait_screen('grub>')
        for line in ('insmod vbe', 'loadfont unicode', f'set gfxmode={mode}'):
            machine.type(f'{line}\n')
            machine.wait_screen(f'> {line}\ngrub>')
        machine.type('terminal_output gfxterm\n')
        end = time.monotonic() + 30 * SLOW
        size = tuple(int(n) for n in mode.split('x')[:2])
        found = None
        while time.monotonic() < end:
            time.sleep(0.3)
            machine.control('screenshot', str(shot))
            previous, found = found, picture(shot.read_bytes())
            if found[:2] == size and len(set(found[2])) > 1 and found == previous:
                return found  # it stands still, but for a cursor that does not blink
        raise Failed(f'{adapter}: no picture of {mode}')


def cirrus(test):
    """GRUB in 24-bit colour, by the video BIOS of the GD5446: the same picture as on the standard adapter"""
    if graphics(test, 'cirrus', '640x480x24') != graphics(test, 'std', '640x480x24'):
        raise Failed('the pictures differ')


CASES = [terminal_screen, terminal_kernel, terminal_linux, terminal_freedos, terminal_serial, terminal_restored, nographic, window, cirrus]
