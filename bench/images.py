"""The class `images` of bench/run: disk images, Menura's tool in turn with qemu-img of the newest QEMU.

A case is what both tools are told to do, on copies of the same image made by qemu-img. What is compared
is elapsed time, the least of the rounds, since images are cached by the host and all else is noise; for
the cases named `memory`, the largest resident set. Requests by qemu-img use threads and io_uring in turn,
and the faster counts. `raw` is what plain copying, comparing or reading of as many bytes takes.
"""
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

MIB = 1 << 20
DISK = 512 * MIB
FILLED = 192 * MIB     # of the images that requests go to
RANDOM_STEP = 37 * MIB + 4096  # bytes between requests that are to look random
TIME_LIMIT = 300


class Failure(Exception):
    pass


class Tools:
    """qemu-img's newest version, run through the libraries it came with."""

    def __init__(self, menura, root):
        loader, = (root / 'lib64').glob('ld-linux*')
        libraries, = (root / 'usr/lib').glob('*-linux-gnu')
        prefix = [loader, '--library-path', libraries]
        self.menura = [menura, 'img']
        self.qemu = [*prefix, root / 'usr/bin/qemu-img']
        self.qemu_io = [*prefix, root / 'usr/bin/qemu-io']


def run(command):
    """Seconds that a command takes, and those of processors among them."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIME_LIMIT)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise Failure(f'{command[-1]}: exit status {done.returncode} '
                      f'{done.stderr.decode(errors="replace").strip()}')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def memory_of(command):
    """The largest resident set of a command, in KiB. A child counts its parent's memory until it
    executes the command, so its parent has to be small: GNU time."""
    done = subprocess.run(['/usr/bin/time', '-f', '%M', *(str(word) for word in command)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=TIME_LIMIT, text=True)
    if done.returncode:
        raise Failure(f'{command[-1]}: exit status {done.returncode} {done.stderr.strip()}')
    return int(done.stderr.split()[-1])


class Images:
    """The images, made when first needed."""

    def __init__(self, tools, where):
        self.tools, self.where = tools, where

    def make(self, name, build):
        path = self.where / name
        if not path.exists():
            build(path)
        return path

    def qemu(self, *words):
        run([*self.tools.qemu, *words])

    def raw(self):
        """Half data that hardly compresses, a quarter text, a quarter holes."""
        def build(path):
            text = b''.join(b'%d bottles of beer on the wall\n' % n for n in range(40000))[:MIB]
            with path.open('wb') as file:
                for at in range(DISK // MIB):
                    file.write(os.urandom(MIB) if at % 4 < 2 else text if at % 4 == 2 else b'')
                    file.seek((at + 1) * MIB)
                file.truncate(DISK)
        return self.make('source.raw', build)

    def qcow2(self, *options):
        name = 'packed.qcow2' if options else 'source.qcow2'
        return self.make(name, lambda path: self.qemu('convert', *options, '-O', 'qcow2', self.raw(), path))

    def many_clusters(self):
        """100 GiB with a place for every cluster, and nothing in them."""
        return self.make('many.qcow2', lambda path: self.qemu(
            'create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', path, '100G'))

    def huge(self):
        """4 TiB with data in many places."""
        def build(path):
            self.qemu('create', '-q', '-f', 'qcow2', path, '4T')
            writes = [word for at in range(0, 4096, 16) for word in ('-c', f'write {at}G 64k')]
            run([*self.tools.qemu_io, '-f', 'qcow2', *writes, path])
        return self.make('huge.qcow2', build)

    def filled(self, path):
        self.qemu('create', '-q', '-f', 'qcow2', path, str(FILLED))
        run([*self.tools.qemu_io, '-f', 'qcow2', '-c', f'write -P 7 0 {FILLED}', path])

    def plain(self):
        return self.make('plain.qcow2', self.filled)

    def overlay(self):
        """Three deep, each layer with every third 64 KiB of its own."""
        def build(path):
            base = self.plain()
            for depth in range(3):
                over = path if depth == 2 else self.where / f'layer{depth}.qcow2'
                self.qemu('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', over)
                if depth < 2:
                    writes = [word for at in range(depth * 65536, FILLED, 3 * 65536)
                              for word in ('-c', f'write -P {depth} {at} 64k')]
                    run([*self.tools.qemu_io, '-f', 'qcow2', *writes, over])
                base = over
        return self.make('overlay.qcow2', build)

    def snapshot(self):
        def build(path):
            self.filled(path)
            self.qemu('snapshot', '-c', 'one', path)
        return self.make('snapshot.qcow2', build)


class Case:
    """What is measured: the words for each tool, and what goes before."""

    def __init__(self, name, words, prepare=None, engines=(None,), raw=None, memory=False):
        self.name, self.words, self.prepare = name, words, prepare
        self.engines, self.raw, self.memory = engines, raw, memory

    def once(self, tool, engine=None):
        if self.prepare:
            self.prepare()
        words = [w for w in self.words if w != '-i' or engine]
        return (memory_of if self.memory else run)([*tool, *(engine if w == '{engine}' else w for w in words if w != '{engine}' or engine)])

    def measure(self, tools, rounds):
        """The least seconds (or KiB) by name: menura, qemu, raw; and the least of processors' time."""
        least, cpu = {}, {}
        sides = [('menura', tools.menura, None), *(('qemu', tools.qemu, e) for e in self.engines)]
        for _ in range(rounds):
            for name, tool, engine in sides:
                value = self.once(tool, engine)
                if not self.memory:
                    value, busy = value
                    cpu[name] = min(busy, cpu.get(name, busy))
                least[name] = min(value, least.get(name, value))
            if self.raw:
                value = run(self.raw)[0]
                least['raw'] = min(value, least.get('raw', value))
        return least, cpu


def transfers(images, where):
    """Whole images: convert, compare, check, open."""
    raw, qcow2, packed = images.raw(), images.qcow2(), images.qcow2('-c')
    out, same = where / 'out', where / 'same.raw'
    clean = lambda: out.unlink(missing_ok=True)
    copy = ['cp', '--sparse=never', raw, out]
    if not same.exists():
        shutil.copy(raw, same)
    compare = ['cmp', raw, same]
    many, huge = images.many_clusters(), images.huge()
    scattered = ['bench', '-f', 'qcow2', '-c', '2000', '-d', '1', '-S', str(2**31 - 65536), huge]
    return [
        Case('raw-to-qcow2', ['convert', '-f', 'raw', '-O', 'qcow2', raw, out], clean, raw=copy),
        Case('qcow2-to-raw', ['convert', '-f', 'qcow2', '-O', 'raw', qcow2, out], clean, raw=copy),
        Case('compress', ['convert', '-m', '2', '-c', '-f', 'raw', '-O', 'qcow2', raw, out], clean),
        Case('decompress', ['convert', '-f', 'qcow2', '-O', 'raw', packed, out], clean),
        Case('compare', ['compare', '-f', 'raw', '-F', 'qcow2', raw, qcow2], raw=compare),
        Case('check-100g', ['check', '-f', 'qcow2', many]),
        Case('open-4t', ['info', '-f', 'qcow2', huge]),
        Case('open-4t-memory', ['info', '-f', 'qcow2', huge], memory=True),
        Case('scattered-4t', scattered),
        Case('scattered-4t-memory', scattered, memory=True),
    ]


def requests(images, where):
    """Requests of 4 KiB all over, and of 64 KiB in order, one and 32 at a time."""
    cases = []
    kinds = {'rand-read': ['-s', '4096', '-S', str(RANDOM_STEP), '-c', '20000'],
             'rand-write': ['-w', '-s', '4096', '-S', str(RANDOM_STEP), '-c', '8000'],
             'seq-read': ['-s', '65536', '-c', '6000'],
             'seq-write': ['-w', '-s', '65536', '-c', '3000']}
    for image in (images.plain(), images.overlay(), images.snapshot()):
        for kind, words in kinds.items():
            target, prepare = image, None
            if 'write' in kind:
                target = where / f'work-{image.name}'
                prepare = lambda image=image, target=target: shutil.copy(image, target)
            for depth in (1, 32):
                cases.append(Case(f'{image.stem}-{kind}-{depth}',
                                  ['bench', '-f', 'qcow2', '-i', '{engine}', '-d', str(depth), *words,
                                   target], prepare, ('threads', 'io_uring')))
    return cases


def all_cases(tools, where):
    where.mkdir(parents=True, exist_ok=True)
    images = Images(tools, where)
    return [*transfers(images, where), *requests(images, where)]


def clean_up(where):
    """Keeps nothing but what making takes long: all of it can be made again."""
    shutil.rmtree(where, ignore_errors=True)
