#!/usr/bin/env python3
"""formats.py EXERCISE MENURA [--seed N] [--rounds N]

The formats besides qcow2 and raw, against qemu-img and qemu-io: random writes to images of each kind, done
in turn by Menura (through the exercise program) and by QEMU; after each turn both must read what a
model in memory says. Formats that are only read are made here from their descriptions. Prints TAP;
MENURA_TEST_FULL=1 does many more rounds.
"""
import argparse
import base64
import bz2
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

SECTOR = 512
SHAPES = [
    ('vdi', {}),
    ('vdi', {'static': 'on'}),
    ('vpc', {}),
    ('vpc', {'force_size': 'on'}),
    ('vpc', {'subformat': 'fixed', 'force_size': 'on'}),
    ('vhdx', {'block_size': '1M'}),
    ('vhdx', {'subformat': 'fixed'}),
    ('parallels', {'cluster_size': '65536'}),
    ('qed', {}),
    ('qed', {'cluster_size': '4096', 'table_size': '2'}),
    ('qcow', {}),
    ('vmdk', {}),
    ('vmdk', {'zeroed_grain': 'on'}),
    ('vmdk', {'subformat': 'monolithicFlat'}),
    ('vmdk', {'subformat': 'twoGbMaxExtentSparse'}),
    ('vmdk', {'subformat': 'twoGbMaxExtentFlat'}),
]
WITH_BACKING = ('qed', 'qcow', 'vmdk')


class Failure(Exception):
    pass


def run(*command):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def pattern(offset, length, byte):
    """What exercise writes: see pattern() there."""
    data = bytearray()
    at = offset
    while at < offset + length:
        end = min(offset + length, (at // SECTOR + 1) * SECTOR)
        data += bytes([(byte ^ at >> 9 ^ at >> 17) & 255]) * (end - at)
        at = end
    return data


class Disk:
    """An image and what it should hold."""

    def __init__(self, where, kind, shape, rand, exercise):
        self.where, self.kind, self.rand, self.exercise = where, kind, rand, exercise
        self.path = where / f'disk.{kind}'
        size = rand.randrange(1, 9) * rand.choice([65536, 1 << 20]) + rand.randrange(2) * SECTOR
        options = ','.join(f'{k}={v}' for k, v in shape.items())
        command = ['create', '-f', kind] + (['-o', options] if options else [])
        self.model = bytearray()
        if kind in WITH_BACKING and 'subformat' not in shape and rand.random() < .5:
            command += self.make_base(size)
        self.create(command + [self.path, size])
        self.size = len(self.read_by_qemu())
        self.model = self.model.ljust(self.size, b'\0')[:self.size]

    def make_base(self, size):
        """A backing image of the same kind (VMDK's must be), full of a pattern."""
        raw, base = self.where / 'base.raw', self.where / f'base.{self.kind}'
        raw.write_bytes(pattern(0, size, 77))
        result = run('qemu-img', 'convert', '-O', self.kind, raw, base)
        if result.returncode:
            raise Failure(f'base: {result.stdout}')
        self.model += pattern(0, size, 77)
        return ['-b', base.name, '-F', self.kind]

    def create(self, arguments):
        tool = self.rand.choice([['qemu-img'], [os.environ['MENURA'], 'img']])
        result = run(*tool, *arguments)
        if result.returncode:
            raise Failure(f'{tool[0]} {arguments}: {result.stdout}')

    def operations(self):
        made = []
        for _ in range(self.rand.randrange(1, 12)):
            start = self.rand.randrange(self.size)
            length = self.rand.randrange(1, self.rand.choice([600, 70000, self.size]) + 1)
            if self.rand.random() < .5:
                start, length = start // SECTOR * SECTOR, (length + SECTOR - 1) // SECTOR * SECTOR
            made.append((start, min(length, self.size - start), self.rand.randrange(0, 256)))
        return made

    def by_us(self, operations):
        dump = self.where / 'dump'
        lines = [f'write {o} {n} {b}' for o, n, b in operations] + ['flush', f'dump {dump}']
        result = subprocess.run([self.exercise, '-o', f'driver={self.kind}', self.path],
                                input='\n'.join(lines) + '\n', text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        if result.returncode or result.stdout.splitlines() != ['ok'] * (len(lines) + 1):
            raise Failure(f'by us: {result.stdout} (exit {result.returncode})')
        return dump.read_bytes()

    def by_qemu(self, operations):
        for offset, length, byte in operations:
            source = self.where / 'source'
            source.write_bytes(pattern(offset, length, byte))
            result = run('qemu-io', '-f', self.kind, '-c',
                         f'write -s {source} {offset} {length}', self.path)
            if result.returncode or 'failed' in result.stdout:
                raise Failure(f'by qemu: {result.stdout}')

    def read_by_qemu(self):
        out = self.where / 'qemu.raw'
        result = run('qemu-img', 'convert', '-f', self.kind, '-O', 'raw', self.path, out)
        if result.returncode:
            raise Failure(f'qemu cannot read: {result.stdout}')
        return out.read_bytes()

    def compare(self, data, who):
        if data != self.model:
            at = next((i for i, (a, b) in enumerate(zip(data, self.model)) if a != b),
                      min(len(data), len(self.model)))
            raise Failure(f'{who} reads another byte at {at} (length {len(data)})')

    def turn(self, ours):
        operations = self.operations()
        for offset, length, byte in operations:
            self.model[offset:offset + length] = pattern(offset, length, byte)
        if ours:
            self.compare(self.by_us(operations), 'Menura, after writing,')
        else:
            self.by_qemu(operations)
            self.compare(self.by_us([]), "Menura, after QEMU's writes,")
        self.compare(self.read_by_qemu(), 'QEMU')
        result = run('qemu-img', 'check', '-f', self.kind, self.path)
        if result.returncode not in (0, 63):
            raise Failure(f'qemu-img check: {result.stdout}')


def exchange(where, kind, shape, rand, exercise):
    disk = Disk(where, kind, shape, rand, exercise)
    for turn in range(4):
        disk.turn(turn % 2 == 0)


# -- Formats that are only read

def make_dmg(rand):
    """Every kind of chunk that is understood."""
    noise, text = rand.randbytes(100 * SECTOR), b'some text ' * 5000
    parts = [(1, noise), (2, bytes(40 * SECTOR)), (0x80000005, text[:60 * SECTOR]),
             (0x80000006, text[:70 * SECTOR]), (0, bytes(9 * SECTOR))]
    rand.shuffle(parts)
    chunks, data, disk = b'', b'', b''
    for kind, plain in parts:
        stored = {1: plain, 0x80000005: zlib.compress(plain),
                  0x80000006: bz2.compress(plain)}.get(kind, b'')
        chunks += struct.pack('>IIQQQQ', kind, 0, len(disk) // SECTOR, len(plain) // SECTOR,
                              len(data), len(stored))
        data += stored
        disk += plain
    chunks += struct.pack('>IIQQQQ', 0xffffffff, 0, len(disk) // SECTOR, 0, len(data), 0)
    table = b'mish' + bytes(196) + struct.pack('>I', len(parts) + 1) + chunks
    xml = (b'<plist><dict><key>blkx</key><array><dict><key>Data</key><data>'
           + base64.encodebytes(table) + b'</data></dict></array></dict></plist>')
    trailer = bytearray(SECTOR)
    trailer[:4] = b'koly'
    struct.pack_into('>QQ', trailer, 216, len(data), len(xml))
    return data + xml + trailer, disk


def make_cloop(rand):
    blocks = [rand.choice([bytes(8192), rand.randbytes(8192), b'menura!!' * 1024])
              for _ in range(9)]
    streams = [zlib.compress(b) for b in blocks]
    head = (b'#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 '
            b'/dev/cloop $1\n')
    image = head.ljust(128, b'\0') + struct.pack('>II', 8192, len(blocks))
    at = len(image) + 8 * (len(blocks) + 1)
    for stream in streams:
        image += struct.pack('>Q', at)
        at += len(stream)
    return image + struct.pack('>Q', at) + b''.join(streams), b''.join(blocks)


def make_bochs(rand):
    extent, entries = 4096, 6
    head = bytearray(SECTOR)
    for at, text in ((0, b'Bochs Virtual HD Image'), (32, b'Redolog'), (48, b'Growing')):
        head[at:at + len(text)] = text
    struct.pack_into('<IIIIIIQ', head, 64, 0x20000, SECTOR, entries, SECTOR, extent, 0,
                     extent * entries)
    catalog, body, disk = b'', b'', b''
    for n in range(entries):
        if rand.random() < .4:
            catalog += struct.pack('<I', 0xffffffff)
            disk += bytes(extent)
            continue
        catalog += struct.pack('<I', len(body) // (extent + SECTOR))
        present = [rand.random() < .6 for _ in range(extent // SECTOR)]
        bitmap = bytes([sum(1 << i for i in range(8) if present[i])]).ljust(SECTOR, b'\0')
        plain = rand.randbytes(extent)
        body += bitmap + plain
        disk += b''.join(plain[i * SECTOR:(i + 1) * SECTOR] if present[i] else bytes(SECTOR)
                         for i in range(len(present)))
    return bytes(head) + catalog + body, disk


def read_only(where, kind, make, rand, exercise):
    image, disk = make(rand)
    path, dump = where / f'disk.{kind}', where / 'dump'
    path.write_bytes(image)
    result = subprocess.run([exercise, '-r', '-o', f'driver={kind}', path], input=f'dump {dump}\n',
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.stdout.split() != ['ok', 'ok']:  # the second is of closing
        raise Failure(f'{kind}: {result.stdout}')
    if dump.read_bytes() != disk:
        raise Failure(f'{kind} does not read as it was made')


def cases(rand, exercise):
    for kind, shape in SHAPES:
        name = ' '.join([kind] + [f'{k}={v}' for k, v in shape.items()])
        yield name, lambda where, k=kind, s=shape: exchange(where, k, s, rand, exercise)
    for kind, make in (('dmg', make_dmg), ('cloop', make_cloop), ('bochs', make_bochs)):
        yield kind, lambda where, k=kind, m=make: read_only(where, k, m, rand, exercise)


def main():
    options = argparse.ArgumentParser()
    options.add_argument('exercise', type=Path)
    options.add_argument('menura', type=Path)
    options.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    options.add_argument('--rounds', type=int,
                         default=40 if os.environ.get('MENURA_TEST_FULL') else 1)
    options = options.parse_args()
    if not shutil.which('qemu-io'):
        print('1..0 # SKIP qemu-io is missing')
        return 0
    os.environ['MENURA'] = str(options.menura.resolve())
    exercise, rand, failed, count = options.exercise.resolve(), random.Random(options.seed), 0, 0
    print(f'# --seed {options.seed}')
    for _ in range(options.rounds):
        for name, act in cases(rand, exercise):
            count += 1
            with tempfile.TemporaryDirectory() as where:
                try:
                    act(Path(where))
                    print(f'ok {count} - {name}', flush=True)
                except Failure as failure:
                    failed += 1
                    print(f'not ok {count} - {name}')
                    print('# ' + str(failure).replace('\n', '\n# '), flush=True)
    print(f'1..{count}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
