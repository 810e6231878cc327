"""The class `machines` of bench/run: a whole PC with Linux, in turn in Menura and in the newest QEMU (TCG).

Both get QEMU's command line: the same kernel, initial RAM disk, CPU model and disk. In the guest a script
runs one load after the other and says on the serial port when each begins and ends; here elapsed time and
the emulator's processor time between are taken, the least of the rounds. `start` is from the command to
the guest's first program, `memory` the emulator's largest resident set, guest RAM included. With two CPUs
every load runs twice at once.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'scripts' / 'lib'))
import guests

MIB = 1 << 20
DISK = 256 * MIB
TIME_LIMIT = 600
TICKS = os.sysconf('SC_CLK_TCK')
MODULES = ['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk']

# Loads that are a benchmark program, with its argument: seconds of work, beside which it does not count
# what starting the program and translating it take.
PROGRAMS = {'mix': 60000, 'records': 3000000, 'sort': 400, 'sha256': 8000, 'interpreter-switch': 80, 'virtual': 40000,
            'nbody': 1000000, 'spectral': 3000, 'dgemm': 200, 'vectors-f32': 30000, 'pipes': 6000}
# And those that are a script; $N tells two that run at once apart.
SCRIPTS = {
    'forks': 'i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done',
    'tar': 'mkdir -p /tmp/t$N/d; cd /tmp/t$N/d; for i in $(seq 300); do echo $i > f$i; cp f$i g$i; done; cd /;'
           'for i in 1 2 3; do mkdir /tmp/t$N/c$i; tar -cf - -C /tmp/t$N/d . | tar -xf - -C /tmp/t$N/c$i; done;'
           'rm -r /tmp/t$N',
    'shell': 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done',
    'disk-sequential': 'dd if=/dev/vda of=/dev/null bs=1M iflag=direct 2>/dev/null',
    'disk-random': 'random-reads /dev/vda 6000',
}
ALONE = {'disk-sequential', 'disk-random'}  # only with one CPU


class Failure(Exception):
    pass


def loads(cpus):
    return [name for name in [*PROGRAMS, *SCRIPTS] if cpus == 1 or name not in ALONE]


def script(cpus):
    """What the guest does; the marks' words are apart in the script, so that no echo is one."""
    lines = ['mark() { echo "@$1 $2"; }', 'mark init x']
    for name in loads(cpus):
        # By its path, as busybox has commands of the same names.
        load = SCRIPTS.get(name) or f'/bin/{name} {PROGRAMS[name]} >/dev/null || mark failed {name}'
        lines += [f'mark begin {name}', *(f'(N={n}; {load}) &' for n in range(cpus)), 'wait', f'mark end {name}']
    return '\n'.join(lines)


class Setting:
    """Files that the machines are given; programs: names and paths of the benchmark programs."""

    def __init__(self, where, programs, cpus):
        system = guests.fetch()
        self.kernel = guests.kernel(system)
        self.initrd = where / f'initrd-{cpus}'
        self.initrd.write_bytes(guests.initrd(system, script(cpus), MODULES, programs=programs))
        self.disk = where / 'disk.raw'
        if not self.disk.exists():
            with self.disk.open('wb') as file:
                for _ in range(DISK // MIB):
                    file.write(os.urandom(MIB))
        self.cpus = cpus

    def arguments(self):
        return ['-m', '512M', '-smp', str(self.cpus), '-cpu', 'max', '-kernel', self.kernel, '-initrd', self.initrd,
                '-append', 'console=ttyS0 quiet panic=-1', '-drive', f'file={self.disk},if=virtio,format=raw',
                '-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot']


def qemu_command(root):
    """The newest QEMU, through the libraries that it came with."""
    loader, = (root / 'lib64').glob('ld-linux*')
    libraries, = (root / 'usr/lib').glob('*-linux-gnu')
    return [loader, '--library-path', libraries, root / 'usr/bin/qemu-system-x86_64', '-L', root / 'usr/share/qemu',
            '-L', root / 'usr/share/seabios', '-accel', 'tcg']


def menura_command(menura, where):
    link = where / 'qemu-system-x86_64'
    if not link.exists():
        link.symlink_to(menura)
    return [link]


def busy(process):
    """Seconds of processors that a process has used so far."""
    fields = Path(f'/proc/{process.pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def largest(process):
    """Its largest resident set so far, in KiB."""
    for line in Path(f'/proc/{process.pid}/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1])
    return 0


def run(command, setting):
    """Starts a machine; (elapsed, busy) seconds by load, and `memory`."""
    found, begun, start = {}, None, time.perf_counter()
    process = subprocess.Popen([str(word) for word in [*command, *setting.arguments()]], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace')
    try:
        for line in process.stdout:
            now = time.perf_counter() - start, busy(process) if line.startswith('@') else 0
            words = line.split()
            if line.startswith('@failed'):
                raise Failure(f'{words[1]} failed')
            if line.startswith('@init'):
                found['start'] = now
            elif line.startswith('@begin'):
                begun = now
            elif line.startswith('@end'):
                found[words[1]] = now[0] - begun[0], now[1] - begun[1]
                found['memory'] = (largest(process), 0)
            if now[0] > TIME_LIMIT:
                raise Failure('too slow')
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    missing = [name for name in loads(setting.cpus) if name not in found]
    if missing:
        raise Failure(f'{missing[0]} did not end: {process.stderr.read()[-500:]}')
    return found


def measure(commands, setting, rounds):
    """The least elapsed and busy seconds by load and emulator."""
    least = {}
    for _ in range(rounds):
        for name, command in commands.items():
            for load, values in run(command, setting).items():
                old = least.setdefault(load, {}).get(name, values)
                least[load][name] = tuple(map(min, old, values))
    return least
