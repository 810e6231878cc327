#!/usr/bin/env python3
"""chains.py MENURA [--seed N] [--rounds N]

Overlays of random contents, cluster sizes and lengths over random images: each is copied, rebased, grown
and committed by `menura img`, and must show what qemu-img read from it before. Prints TAP;
MENURA_TEST_FULL=1 does many more rounds.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SECTOR, KIB = 512, 1024
SHAPES = ['cluster_size=4k', 'cluster_size=64k', 'extended_l2=on', 'compat=0.10', 'cluster_size=512']


class Failure(Exception):
    pass


def run(*command):
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=120)
    if result.returncode:
        raise Failure(f'{" ".join(map(str, command))}: exit {result.returncode}: {result.stdout}')


def random_size(rand):
    return rand.randrange(1, 40) * rand.choice([SECTOR, 4 * KIB, 64 * KIB])


def fill(rand, path, form, size):
    """A few writes, of data and of zeroes."""
    commands = []
    for _ in range(rand.randrange(8)):
        start = rand.randrange(size) // SECTOR * SECTOR
        length = min(rand.choice([SECTOR, 4 * KIB, 20 * KIB, 64 * KIB, 200 * KIB]), size - start)
        kind = rand.choice([f'-P {rand.randrange(1, 255)}'] * 3 + ['-z', '-z -u', '-P 0'])
        commands += ['-c', f'write {kind} {start} {length}']
    if commands:
        run('qemu-io', '-f', form, *commands, path)


def shows(path, wanted):
    run('qemu-img', 'compare', '-F', 'raw', path, wanted)
    run('qemu-img', 'check', path)


def copies(img, rand, base_format):
    """The overlay's contents in other images, alone and over backing images."""
    to, over = ['-O', 'qcow2', '-o', rand.choice(SHAPES)], ['-B', 'base', '-F', base_format]
    size = Path('want').stat().st_size
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', 'new', '-F', base_format, 'there', size)
    for name, options in (('alone', to), ('over', to + over), ('packed', ['-c', *to, *over]),
                          ('there', ['-n', '-O', 'qcow2']), ('qed', ['-O', 'qed', *over])):
        run(*img, 'convert', '-f', 'qcow2', *options, 'top', name)
        shows(name, 'want')


def changes(img, rand, base_format):
    for name, options in (('other', ['-b', 'new', '-F', base_format]), ('none', ['-b', '']),
                          ('packed', ['-c', '-b', 'new', '-F', base_format])):
        shutil.copy('top', name)
        run(*img, 'rebase', *options, name)
        shows(name, 'want')
    size = Path('want').stat().st_size
    grown = size + random_size(rand)
    shutil.copy('top', 'longer')
    run(*img, 'resize', 'longer', grown)
    shutil.copy('want', 'wanted')
    os.truncate('wanted', grown)
    shows('longer', 'wanted')
    run(*img, 'commit', 'top')
    shows('top', 'want')
    run('qemu-img', 'convert', '-f', base_format, '-O', 'raw', 'base', 'committed')
    if Path('committed').read_bytes()[:size] != Path('want').read_bytes():
        raise Failure('what was committed is not in the base')


def one_round(img, rand):
    base_format = rand.choice(['raw', 'qcow2'])
    for name in ('base', 'new'):
        size = random_size(rand)
        run('qemu-img', 'create', '-q', '-f', base_format, name, size)
        fill(rand, name, base_format, size)
    size = random_size(rand)
    run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', rand.choice(SHAPES), '-b', 'base', '-F',
        base_format, 'top', size)
    fill(rand, 'top', 'qcow2', size)
    run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', 'top', 'want')
    copies(img, rand, base_format)
    changes(img, rand, base_format)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('menura', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=400 if os.environ.get('MENURA_TEST_FULL') else 5)
    args = parser.parse_args()
    if not shutil.which('qemu-io'):
        print('1..0 # SKIP qemu-io is missing')
        return 0
    img, failed = [args.menura.absolute(), 'img'], 0
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as where:
            os.chdir(where)
            try:
                one_round(img, random.Random(f'{args.seed}-{number}'))
                print(f'ok {number + 1} - seed {args.seed}-{number}', flush=True)
            except Failure as failure:
                failed += 1
                print(f'not ok {number + 1} - seed {args.seed}-{number}')
                print('# ' + str(failure).rstrip().replace('\n', '\n# '), flush=True)
            os.chdir('/')
    print(f'1..{args.rounds}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
