#!/usr/bin/env python3
"""crash.py EXERCISE [--kills N] [--seed N]

Kills a writer of qcow2 images with SIGKILL at random moments. Afterwards `qemu-img check` finds no
error but leaks, and the image holds every write that a flush was answered for; of later ones each
sector is old or new. Prints TAP; MENURA_TEST_FULL=1 kills a thousand times.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SECTOR = 512
SIZE = 8 << 20
OPTIONS = ['', 'cluster_size=4096', 'cluster_size=512', 'extended_l2=on', 'lazy_refcounts=on',
           'cluster_size=4096,refcount_bits=1', 'compat=0.10', 'compat=0.10,cluster_size=4096']


def write_pattern(sector, byte):
    return (byte ^ sector ^ sector >> 8) & 255


def make_operations(rand, count, snapshots):
    operations = []
    names = []
    for index in range(count):
        kind = rand.choice(['write'] * 8 + ['unmap', 'discard', 'flush', 'snapshot'])
        start = rand.randrange(SIZE // SECTOR)
        length = min(rand.choice([1, 8, 128, 1000]), SIZE // SECTOR - start)
        if kind == 'flush' or (kind == 'snapshot' and not snapshots):
            operations.append(('flush',))
        elif kind == 'snapshot':
            if len(names) == 3:
                operations.append(('delete', names.pop(0)))
            else:
                names.append(f's{index}')
                operations.append((kind, names[-1]))
        else:
            operations.append((kind, start * SECTOR, length * SECTOR, rand.randrange(1, 256)))
    return operations


def allowed_values(operations, answered):
    """Per sector, what it may hold: operations before the last answered flush are sure."""
    flushed = max((i + 1 for i, o in enumerate(operations[:answered])
                   if o[0] in ('flush', 'snapshot', 'delete')), default=0)
    allowed = [{0} for _ in range(SIZE // SECTOR)]
    for index, (kind, *rest) in enumerate(operations[:answered + 1]):
        if kind not in ('write', 'unmap', 'discard'):
            continue
        for sector in range(rest[0] // SECTOR, (rest[0] + rest[1]) // SECTOR):
            value = write_pattern(sector, rest[2]) if kind == 'write' else 0
            if index < flushed and kind != 'discard':
                allowed[sector] = {value}
            else:
                allowed[sector].add(value)
    return allowed


def one_kill(exercise, where, rand, options):
    image = where / 'disk.qcow2'
    image.unlink(missing_ok=True)
    command = ['qemu-img', 'create', '-q', '-f', 'qcow2', *(['-o', options] if options else []),
               str(image), str(SIZE)]
    subprocess.run(command, check=True)
    operations = make_operations(rand, 400, 'refcount_bits=1' not in options)
    lines = '\n'.join(' '.join(str(w) for w in o) for o in operations) + '\n'
    writer = subprocess.Popen([exercise, '-o', 'driver=qcow2', image], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(rand.random() ** 2 * 0.5, writer.kill)
    timer.start()
    try:
        answers = writer.communicate(lines)[0]
    except BrokenPipeError:
        answers = ''
    timer.cancel()
    words = answers.splitlines()
    if any(not w.startswith('ok') for w in words[:-1]):
        return f'the writer said {[w for w in words if w != "ok"][:1]}'
    answered = max(0, len(words) - 1)  # the first is for opening
    if writer.returncode == 0:
        answered = len(operations)
    check = subprocess.run([exercise, '-p', '-o', 'driver=qcow2', image], input='check\n', text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    info = subprocess.run(['qemu-img', 'info', image], text=True, stdout=subprocess.PIPE).stdout
    if 'corruptions 0 ' not in check.stdout and 'dirty' not in info and not is_dirty(image):
        return f'check: {check.stdout}'
    problem = check_by_qemu(image)
    if problem:
        return problem
    data = subprocess.run([exercise, '-o', 'driver=qcow2', image],
                          input=f'dump {where / "dump"}\ncheck\n', text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if 'corruptions 0 ' not in data.stdout or 'error' in data.stdout.replace('errors', ''):
        return f'after opening again: {data.stdout}'
    contents = (where / 'dump').read_bytes()
    for sector, allowed in enumerate(allowed_values(operations, answered)):
        if contents[sector * SECTOR] not in allowed:
            return f'sector {sector} is {contents[sector * SECTOR]}, should be one of {allowed}'
    return None


def check_by_qemu(image):
    """Errors other than leaks; QEMU repairs a dirty image when it opens it, so that is left alone."""
    if is_dirty(image):
        return None
    result = subprocess.run(['qemu-img', 'check', '-f', 'qcow2', image], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if result.returncode in (0, 3) else f'qemu-img check: {result.stdout[-1000:]}'


def is_dirty(image):
    """Whether the image says itself that its refcounts are not to be trusted."""
    with open(image, 'rb') as f:
        return f.read(80)[79] & 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('exercise', type=Path)
    parser.add_argument('--kills', type=int)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    if not shutil.which('qemu-img'):
        print('1..0 # SKIP no qemu-img')
        return 0
    kills = args.kills or (1000 if os.environ.get('MENURA_TEST_FULL') else 24)
    per_kind = -(-kills // len(OPTIONS))
    failures = 0
    print(f'1..{len(OPTIONS)}')
    for number, options in enumerate(OPTIONS, 1):
        problems = []
        with tempfile.TemporaryDirectory(dir='.') as where:
            for index in range(per_kind):
                rand = random.Random(f'{args.seed}-{options}-{index}')
                problem = one_kill(args.exercise.absolute(), Path(where).absolute(), rand, options)
                if problem:
                    problems.append(f'{index}: {problem}')
        print(f'{"not ok" if problems else "ok"} {number} - {per_kind} kills, {options or "plain"}',
              flush=True)
        for problem in problems[:3]:
            print('# ' + problem.replace('\n', '\n# '))
        failures += bool(problems)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
