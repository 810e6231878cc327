"""A machine whose display is a terminal: a pseudo-terminal, and what its screen would show.

The screen understands what Menura sends and what shells on a serial port send, no more; an escape
sequence that it does not know fails the test.
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from machine import SLOW, Failed, Machine

SEQUENCE = re.compile(r'\x1b\[([?]?)([0-9;]*)([A-Za-z])')
IGNORED = ('\x1bc', '\x1b(B', '\x1b[?7l')


class Screen:
    """Characters, with the last SGR parameters of each; the normal and the alternate screen."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.alternate = False
        self.cursor_visible = True
        self.kept = None
        self.pending = ''
        self.look = ''
        self.clear()

    def clear(self):
        self.cells = [[(' ', '')] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def feed(self, text):
        text = self.pending + text
        at = 0
        while at < len(text):
            match = SEQUENCE.match(text, at)
            if match:
                self.sequence(*match.groups())
                at = match.end()
            elif text[at] == '\x1b':
                known = [s for s in IGNORED if text.startswith(s, at)]
                if not known and len(text) - at < 24:
                    break  # cut off
                if not known:
                    raise Failed(f'unknown escape sequence {text[at:at + 24]!r}')
                at += len(known[0])
            else:
                self.put(text[at])
                at += 1
        self.pending = text[at:]

    def put(self, character):
        if character == '\n':
            self.row += 1
        elif character == '\r':
            self.column = 0
        elif character == '\b':
            self.column = max(self.column - 1, 0)
        elif character == '\t':
            self.column = min(self.column // 8 * 8 + 8, self.columns - 1)
        elif character >= ' ':
            if self.column == self.columns:
                self.row, self.column = self.row + 1, 0
            self.scroll()
            self.cells[self.row][self.column] = (character, self.look)
            self.column += 1
        self.scroll()

    def scroll(self):
        while self.row >= self.rows:
            self.cells = self.cells[1:] + [[(' ', '')] * self.columns]
            self.row -= 1

    def sequence(self, private, parameters, final):
        numbers = [int(n) if n else 0 for n in parameters.split(';')]
        if private:
            self.mode(numbers[0], final == 'h')
        elif final == 'H':
            self.row = min(max(numbers[0], 1), self.rows) - 1
            self.column = min(max(numbers[-1] if len(numbers) > 1 else 1, 1), self.columns) - 1
        elif final == 'm':
            self.look = parameters
        elif final == 'J':
            place = self.row, self.column
            if numbers[0] == 2:
                self.clear()
                self.row, self.column = place
            else:
                self.erase_line()
                for row in range(self.row + 1, self.rows):
                    self.cells[row] = [(' ', '')] * self.columns
        elif final == 'K':
            self.erase_line()
        elif final not in 'nlhqr':
            raise Failed(f'unknown escape sequence {parameters}{final}')

    def erase_line(self):
        for column in range(min(self.column, self.columns), self.columns):
            self.cells[self.row][column] = (' ', '')

    def mode(self, number, on):
        if number == 25:
            self.cursor_visible = on
        elif number == 1049 and on != self.alternate:
            self.alternate = on
            if on:
                self.kept = self.cells, self.row, self.column
                self.clear()
            else:
                self.cells, self.row, self.column = self.kept

    def text(self):
        return '\n'.join(''.join(c for c, _ in row).rstrip() for row in self.cells)

    def look_of(self, wanted):
        """The SGR parameters of the first character of `wanted` on the screen."""
        for row in self.cells:
            at = ''.join(c for c, _ in row).find(wanted)
            if at >= 0:
                return row[at][1].split(';')
        raise Failed(f'"{wanted}" is not on the screen:\n{self.text()}')


class TerminalMachine(Machine):
    """Runs in a terminal of its own. `plain` is what came from it, as it came."""

    def __init__(self, test, *arguments, columns=80, rows=25, program=None):
        Machine.count += 1
        self.test = test
        self.name = f'test-{os.getpid()}-{Machine.count}'
        self.terminal = Screen(columns, rows)
        self.plain = ''
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(self.slave)
        command = program or [test.menura, 'boot', '--name', self.name, '--no-reboot', *test.options]
        environment = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY')}
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            cwd=test.scratch, env={**environment, 'XDG_RUNTIME_DIR': str(test.scratch)},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # pylint: disable=W1509

    def __exit__(self, *_):
        super().__exit__()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        self.terminal = Screen(columns, rows) if self.plain == '' else self.terminal
        if (columns, rows) != (self.terminal.columns, self.terminal.rows):
            self.terminal.columns, self.terminal.rows = columns, rows
            self.terminal.clear()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self):
        """Takes what has come; returns the screen's text."""
        data = b''
        while select.select([self.master], [], [], 0.05)[0]:
            data += os.read(self.master, 65536)
        text = data.decode(errors='replace')
        self.plain += text
        self.terminal.feed(text)
        return self.terminal.text()

    def serial_text(self):
        self.read()
        return self.plain

    def messages(self):
        return ''

    def press(self, keys):
        os.write(self.master, keys.encode())

    def wait_terminal(self, wanted, seconds=60):
        self.wait_until('the terminal', seconds, self.read, wanted)

    def check_restored(self):
        """The program ends, while somebody reads what it writes: the terminal is as it was."""
        end = time.monotonic() + 20 * SLOW
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        if self.process.returncode is None:
            raise Failed('the program has not ended')
        time.sleep(0.1)
        self.read()
        if termios.tcgetattr(self.slave) != self.modes:
            raise Failed('the terminal is still raw')
        if self.terminal.alternate or not self.terminal.cursor_visible or self.terminal.look not in ('', '0'):
            raise Failed('the terminal still shows the alternate screen, a colour, or no cursor')
