"""What the cases of boot tests are written with: Test makes machines, Machine is one that runs.

A case is a function of a Test whose documentation says what it shows; it raises Failed or Skipped.
"""
import os
import subprocess
import time
from pathlib import Path

import guests

SLOW = 4 if os.environ.get('MENURA_SLOW') else 1  # sanitizers


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


class Machine:
    """A machine that runs, with a name of its own for `menura ctl`."""
    count = 0

    def __init__(self, test, *arguments, environment=(), reboot=False):
        Machine.count += 1
        self.test = test
        self.name = f'test-{os.getpid()}-{Machine.count}'
        self.serial = test.scratch / f'{self.name}.serial'
        self.output = open(test.scratch / f'{self.name}.out', 'w+')
        command = [test.menura, 'boot', '--name', self.name, '--serial', f'file:{self.serial}',
                   *([] if reboot else ['--no-reboot']), '--display', 'none', *test.options, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT,
                                        env={**os.environ, 'XDG_RUNTIME_DIR': str(test.scratch),
                                             **dict(environment)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def control(self, *words):
        result = subprocess.run([self.test.menura, 'ctl', self.name, *words], capture_output=True,
                                text=True, check=False,
                                env={**os.environ, 'XDG_RUNTIME_DIR': str(self.test.scratch)})
        return result.stdout

    def screen(self):
        return self.control('text')

    def serial_text(self):
        return self.serial.read_text(errors='replace') if self.serial.exists() else ''

    def wait_until(self, what, seconds, look, wanted):
        """Waits until the text that look() gives holds `wanted`."""
        end = time.monotonic() + seconds * SLOW
        while wanted not in look():
            if self.process.poll() is not None and wanted not in look():
                raise Failed(f'the machine ended ({self.process.returncode}) before {what} showed '
                             f'"{wanted}"; it showed:\n{look()[-2000:]}{self.messages()}')
            if time.monotonic() > end:
                raise Failed(f'{what} does not show "{wanted}"; it shows:\n{look()[-2000:]}')
            time.sleep(0.2)

    def wait_screen(self, wanted, seconds=60):
        self.wait_until('the screen', seconds, self.screen, wanted)

    def wait_serial(self, wanted, seconds=60):
        self.wait_until('the serial port', seconds, self.serial_text, wanted)

    def wait_end(self, status=0, seconds=60):
        try:
            found = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed(f'it does not switch itself off; it showed:\n{self.serial_text()[-2000:]}') from None
        if found != status:
            raise Failed(f'exit status {found}, not {status}{self.messages()}')

    def messages(self):
        self.output.seek(0)
        return self.output.read()[-1000:]

    def type(self, text):
        self.control('type', text.replace('\n', '\\n'))

    def keys(self, *names):
        self.control('sendkey', *names)


class Test:
    def __init__(self, options, scratch):
        self.menura = options.menura
        self.options = ['--accel', options.accel] if options.accel else []
        self.full = options.full
        self.scratch = scratch
        self.guests = guests.fetch()

    def machine(self, *arguments, **options):
        return Machine(self, *arguments, **options)

    def qemu(self):
        """Menura under QEMU's name."""
        program = self.scratch / 'qemu-system-x86_64'
        if not program.exists():
            program.symlink_to(self.menura)
        return program

    def image(self, name):
        """A file of $MENURA_GUESTS."""
        path = Path(os.environ.get('MENURA_GUESTS', '/nonexistent')) / name
        if not path.exists():
            raise Skipped(f'{name} is not in $MENURA_GUESTS')
        return path

    def linux(self, script, *arguments, append='', modules=(), installer=False, i386=False):
        """A machine that runs the script in Linux, started directly; in the installer's, or a 32-bit
        one, if so."""
        home = guests.i386(self.guests) if i386 else self.guests
        system = guests.installer(self.guests) if installer else home
        path = self.scratch / f'initrd-{time.monotonic_ns()}.gz'
        path.write_bytes(guests.initrd(home, script, modules, system))
        return self.machine('--kernel', guests.kernel(system), '--initrd', path, '--append',
                            f'console=ttyS0 panic=-1 {append}', *arguments)
