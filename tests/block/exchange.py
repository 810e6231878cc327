#!/usr/bin/env python3
"""exchange.py EXERCISE [--seed N] [--rounds N]

Random operations on qcow2 images of all shapes, done in turn by Menura (through the exercise program)
and by qemu-io and qemu-img. After each turn both read the image, which must be what a model in memory
says, and both check it. Prints TAP; MENURA_TEST_FULL=1 does many more rounds.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SECTOR = 512
SHAPES = [
    {},
    {'compat': '0.10'},
    {'cluster_size': '512'},
    {'cluster_size': '4096', 'refcount_bits': '1'},
    {'cluster_size': '2M'},
    {'cluster_size': '65536', 'extended_l2': 'on'},
    {'cluster_size': '16384', 'extended_l2': 'on', 'refcount_bits': '8'},
    {'refcount_bits': '64', 'cluster_size': '1024'},
    {'refcount_bits': '2', 'cluster_size': '8192'},
    {'lazy_refcounts': 'on'},
    {'compression_type': 'zstd'},
    {'preallocation': 'metadata'},
    {'preallocation': 'falloc', 'cluster_size': '32768'},
    {'data_file': 'data', 'cluster_size': '4096'},
    {'data_file': 'data', 'data_file_raw': 'on'},
    {'encrypt.format': 'luks'},
    {'encrypt.format': 'luks', 'cluster_size': '512', 'encrypt.cipher-mode': 'cbc',
     'encrypt.ivgen-alg': 'essiv', 'encrypt.cipher-alg': 'aes-128'},
    {'encrypt.format': 'luks', 'extended_l2': 'on', 'encrypt.hash-alg': 'sha512'},
    {'encrypt.format': 'luks', 'data_file': 'data', 'cluster_size': '4096'},
    {'encrypt.format': 'aes', 'cluster_size': '4096'},
    {'encrypt.format': 'aes', 'compat': '0.10'},
]
OBJECT = 'secret,id=key,data=passphrase'


def run(*command, **more):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)


def pattern(offset, length, byte):
    """What exercise writes: see pattern() there."""
    data = bytearray()
    at = offset
    while at < offset + length:
        end = min(offset + length, (at // SECTOR + 1) * SECTOR)
        data += bytes([(byte ^ at >> 9 ^ at >> 17) & 255]) * (end - at)
        at = end
    return data


class Failure(Exception):
    pass


def persistently(*command):
    """For QEMU's measuring of CPU time, which fails on busy machines."""
    for _ in range(20):
        result = run(*command)
        if 'Unable to get accurate CPU usage' not in result.stdout:
            break
    return result


class Disk:
    """An image, what it should hold, and its snapshots."""

    def __init__(self, where, shape, rand, exercise):
        self.rand, self.exercise, self.where = rand, exercise, where
        self.path = where / 'disk.qcow2'
        self.shape = dict(shape)
        if 'data_file' in shape:
            self.shape['data_file'] = str(where / 'disk.data')
        self.encrypted = 'encrypt.format' in shape
        if self.encrypted:
            self.shape['encrypt.key-secret'] = 'key'
        if shape.get('encrypt.format') == 'luks':
            self.shape['encrypt.iter-time'] = '10'
        self.size = rand.randrange(1, 17) * rand.choice([SECTOR, 4096, 1 << 20])
        self.backed = (rand.random() < .5 and 'data_file' not in shape
                       and 'preallocation' not in shape)
        self.model = bytearray(self.size)
        self.snapshots = {}
        self.turns = []
        self.count = 0
        options = ','.join(f'{k}={v}' for k, v in self.shape.items())
        command = ['qemu-img', 'create', *self.object(), '-f', 'qcow2', self.path]
        if options:
            command += ['-o', options]
        if self.backed:
            base_size = max(SECTOR, (self.size // SECTOR // rand.choice([1, 1, 2])) * SECTOR)
            base = bytes(rand.randrange(1, 256) for _ in range(4096)) * (base_size // 4096 + 1)
            (where / 'base.raw').write_bytes(base[:base_size])
            self.model[:base_size] = base[:base_size]
            command += ['-b', 'base.raw', '-F', 'raw']
        result = persistently(*command, self.size)
        if result.returncode:
            raise Failure(f'create: {result.stdout}')

    def object(self):
        return ['--object', OBJECT] if self.encrypted else []

    def image(self):
        """How QEMU's programs are told to open it, for all but the name of their command."""
        if not self.encrypted:
            return ['-f', 'qcow2', self.path]
        return [*self.object(), '--image-opts',
                f'driver=qcow2,file.filename={self.path},encrypt.key-secret=key']

    def extent(self, align=1):
        start = self.rand.randrange(self.size)
        length = self.rand.choice([1, 512, 4096, 65536, 300000, self.size])
        length = self.rand.randrange(1, length + 1)
        if align > 1 or self.rand.random() < .5:
            align = max(align, SECTOR)
            start = start // align * align
            length = max(align, length // align * align)
        return start, min(length, self.size - start)

    def has_snapshots(self):
        return 'data_file' not in self.shape and self.shape.get('refcount_bits') not in ('1', '2')

    def choose(self, full):
        """An operation: a tuple of its name and arguments."""
        kinds = ['write'] * 6 + ['zero', 'unmap', 'discard', 'flush']
        if 'data_file' not in self.shape and not self.encrypted:
            kinds.append('packed')
        if self.has_snapshots():
            kinds += ['snapshot', 'apply', 'delete'] if full else []
        if full and not self.snapshots:
            kinds.append('size')
        kind = self.rand.choice(kinds)
        if kind in ('write', 'zero', 'unmap', 'discard'):
            align = SECTOR if kind != 'write' else 1
            return (kind, *self.extent(align), self.rand.randrange(1, 256))
        if kind == 'packed':
            cluster = self.cluster()
            start = self.rand.randrange(self.size) // cluster * cluster
            return kind, start, min(cluster, self.size - start), self.rand.randrange(1, 256)
        if kind == 'snapshot' and len(self.snapshots) < 3:
            self.count += 1
            return kind, f's{self.count}'
        if kind in ('apply', 'delete') and self.snapshots:
            return kind, self.rand.choice(sorted(self.snapshots))
        if kind == 'size':
            return kind, max(SECTOR, self.size + self.rand.randrange(-100, 100) * SECTOR)
        return ('flush',)

    def cluster(self):
        text = self.shape.get('cluster_size', '65536')
        return int(text[:-1]) << 20 if text.endswith('M') else int(text)

    def apply(self, operation):
        """Does it to the model."""
        kind, *rest = operation
        if kind in ('write', 'packed'):
            offset, length, byte = rest
            self.model[offset:offset + length] = pattern(offset, length, byte)
        elif kind in ('zero', 'unmap'):
            self.model[rest[0]:rest[0] + rest[1]] = bytes(rest[1])
        elif kind == 'snapshot':
            self.snapshots[rest[0]] = bytes(self.model)
        elif kind == 'apply':
            self.model = bytearray(self.snapshots[rest[0]])
            self.size = len(self.model)
        elif kind == 'delete':
            del self.snapshots[rest[0]]
        elif kind == 'size':
            self.model = self.model[:rest[0]].ljust(rest[0], b'\0')
            self.size = rest[0]

    def by_us(self, operations):
        """Does the operations; returns the contents afterwards."""
        dump = self.where / 'dump'
        lines = [' '.join(str(word) for word in o) for o in operations]
        lines += ['flush', 'check', f'dump {dump}']
        options = ['-o', 'driver=qcow2']
        if self.encrypted:
            options = ['-O', OBJECT, '-o', 'driver=qcow2,encrypt.key-secret=key']
        result = subprocess.run([self.exercise, *options, self.path],
                                input='\n'.join(lines) + '\n', text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        answers = result.stdout.splitlines()
        wanted = ['ok'] * (len(lines) - 1) + ['corruptions 0 leaks 0 errors 0 fixed 0 0', 'ok']
        if result.returncode or answers != wanted:
            bad = next((i for i, (a, w) in enumerate(zip(answers, wanted)) if a != w), len(answers))
            raise Failure(f'at {([""] + lines)[min(bad, len(lines))]!r}: '
                          f'{answers[bad:bad + 3]} (exit {result.returncode})')
        return dump.read_bytes()

    def resize_by_qemu(self, size):
        # When qemu cuts a cluster off and grows again, what was cut off is there again.
        old = json.loads(run('qemu-img', 'info', '--output=json', *self.image()).stdout)['virtual-size']
        result = run('qemu-img', 'resize', '--shrink', *self.image(), size)
        if size > old and not result.returncode:
            result = run('qemu-io', '-c', f'write -z {old} {min(size - old, self.cluster())}', *self.image())
        return result

    def by_qemu(self, operations):
        for kind, *rest in operations:
            if kind in ('write', 'packed'):
                offset, length, byte = rest
                source = self.where / 'source'
                source.write_bytes(pattern(offset, length, byte))
                flag = '-c ' if kind == 'packed' else ''
                result = run('qemu-io', '-c',
                             f'write {flag}-s {source} {offset} {length}', *self.image())
                if kind == 'packed' and 'Input/output error' in result.stdout:
                    # qemu does not replace what is there
                    result = run('qemu-io', '-c',
                                 f'write -s {source} {offset} {length}', *self.image())
            elif kind in ('zero', 'unmap'):
                flag = '-u ' if kind == 'unmap' else ''
                result = run('qemu-io', '-d', 'unmap', '-c',
                             f'write -z {flag}{rest[0]} {rest[1]}', *self.image())
            elif kind == 'discard':
                result = run('qemu-io', '-d', 'unmap', '-c',
                             f'discard {rest[0]} {rest[1]}', *self.image())
            elif kind in ('snapshot', 'apply', 'delete'):
                flag = {'snapshot': '-c', 'apply': '-a', 'delete': '-d'}[kind]
                result = run('qemu-img', 'snapshot', flag, rest[0],
                             *(self.image() if self.encrypted else [self.path]))
            elif kind == 'size':
                result = self.resize_by_qemu(rest[0])
            else:
                continue
            if result.returncode or 'failed' in result.stdout:
                raise Failure(f'qemu, {kind} {rest}: {result.stdout}')

    def read_by_qemu(self):
        out = self.where / 'qemu.raw'
        result = run('qemu-img', 'convert', '-O', 'raw', *self.image(), out)
        if result.returncode:
            raise Failure(f'qemu cannot read: {result.stdout}')
        return out.read_bytes()

    def compare(self, data, who):
        if data != bytes(self.model):
            at = next((i for i, (a, b) in enumerate(zip(data, self.model)) if a != b),
                      min(len(data), len(self.model)))
            raise Failure(f'{who} reads {len(data)} bytes, should be {self.size}; differs at {at}: '
                          f'{data[at:at + 8].hex()}, should be {bytes(self.model[at:at + 8]).hex()}')

    def turn(self, ours, count, full):
        operations = []
        for _ in range(count):
            operation = self.choose(full)
            if operation[0] == 'discard':
                # What is left of a discarded range is not said: make it certain.
                operations.append(operation)
                operation = ('zero', operation[1], operation[2], 0)
            operations.append(operation)
            self.apply(operation)
        self.turns.append(('menura' if ours else 'qemu', operations))
        if ours:
            self.compare(self.by_us(operations), 'Menura, after its own turn,')
        else:
            self.by_qemu(operations)
        check = run('qemu-img', 'check', *self.image())
        if check.returncode:
            raise Failure(f'qemu-img check after {operations}:\n{check.stdout}')
        self.compare(self.read_by_qemu(), 'qemu')
        if not ours:
            self.compare(self.by_us([]), 'Menura')
        for name, contents in self.snapshots.items():
            out = self.where / 'snapshot.raw'
            run('qemu-img', 'convert', '-l', name, '-O', 'raw', *self.image(), out)
            if out.read_bytes() != contents:
                raise Failure(f'snapshot {name} changed')


def one_round(exercise, seed, index):
    rand = random.Random(f'{seed}-{index}')
    shape = SHAPES[index % len(SHAPES)]
    with tempfile.TemporaryDirectory(dir='.') as where:
        where = Path(where).absolute()
        try:
            disk = Disk(where, shape, rand, exercise)
            for turn in range(4):
                ours = rand.random() < .6
                disk.turn(ours, rand.randrange(1, 40 if ours else 5), full=True)
            return shape, None
        except Failure as failure:
            keep = Path(f'failed-{seed}-{index}')
            if os.environ.get('KEEP'):
                shutil.copytree(where, keep, dirs_exist_ok=True)
                (keep / 'turns').write_text('\n'.join(f'{who} {o}' for who, ops in disk.turns
                                                      for o in ops))
            return shape, failure


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('exercise', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rounds', type=int)
    parser.add_argument('--first', type=int, default=0)
    args = parser.parse_args()
    if not shutil.which('qemu-img'):
        print('1..0 # SKIP no qemu-img')
        return 0
    rounds = args.rounds or (1000 if os.environ.get('MENURA_TEST_FULL') else len(SHAPES))
    failures = 0
    print(f'1..{rounds}')
    for index in range(args.first, args.first + rounds):
        shape, failure = one_round(args.exercise.absolute(), args.seed, index)
        text = ' '.join(f'{k}={v}' for k, v in shape.items()) or 'plain'
        print(f'{"not ok" if failure else "ok"} {index + 1 - args.first} - {text}, seed {args.seed}-{index}',
              flush=True)
        if failure:
            failures += 1
            print('\n'.join('# ' + line for line in str(failure).splitlines()))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
