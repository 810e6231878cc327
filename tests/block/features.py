#!/usr/bin/env python3
"""features.py EXERCISE MENURA

What qcow2 images have besides data, exchanged with qemu: dirty bitmaps, machine state, options changed
in place, sizes foretold, locks. Prints TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

number = 0
failures = 0


def ok(condition, text, more=''):
    global number, failures
    number += 1
    failures += not condition
    print(f'{"ok" if condition else "not ok"} {number} - {text}', flush=True)
    if not condition and more:
        print('# ' + str(more).strip().replace('\n', '\n# '))


def run(*command, **more):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)


def exercise(program, image, *lines, options=()):
    """The answers, without the one for opening."""
    result = run(program, *options, '-o', 'driver=qcow2', image,
                 input=''.join(line + '\n' for line in lines))
    return result.stdout.splitlines()[1:]


def is_sound(image):
    return run('qemu-img', 'check', '-f', 'qcow2', image).returncode == 0


def ranges(text):
    return [tuple(int(n) for n in part.split('-')) for part in text.split()]


def test_bitmaps(program, image):
    run('qemu-img', 'create', '-f', 'qcow2', image, '8M')
    run('qemu-img', 'bitmap', '--add', image, 'one')
    answers = exercise(program, image, 'write 100000 200000 5', 'bitmap add two', 'write 4000000 1 3',
                       'dirty one', 'dirty two')
    ok(answers[0:3] == ['ok'] * 3 and ranges(answers[3]) == [(65536, 327680), (3997696, 4063232)]
       and ranges(answers[4]) == [(3997696, 4063232)], 'bitmaps record writes', answers)
    ok(is_sound(image), 'qemu finds the image sound')
    result = run('qemu-img', 'bitmap', '--merge', 'one', image, 'two')
    write = run('qemu-io', '-c', 'write 6M 64k', image)
    answers = exercise(program, image, 'dirty one', 'dirty two')
    both = [(65536, 327680), (3997696, 4063232), (6 << 20, (6 << 20) + 65536)]
    ok(not result.returncode and not write.returncode and ranges(answers[0]) == both
       and ranges(answers[1]) == both, 'qemu goes on with them', f'{result.stdout} {answers}')
    answers = exercise(program, image, 'bitmap disable one', 'write 0 512 1', 'dirty one',
                       'bitmap clear two', 'size 4194304', 'write 0 512 2', 'dirty two',
                       'bitmap remove one', 'check')
    ok(ranges(answers[2]) == both and ranges(answers[6]) == [(0, 65536)] and
       answers[8].startswith('corruptions 0 leaks 0'), 'disable, clear, shrink, remove', answers)
    ok(is_sound(image) and 'name: one' not in run('qemu-img', 'info', image).stdout,
       'qemu agrees')


def test_machine_state(program, image):
    run('qemu-img', 'create', '-f', 'qcow2', '-o', 'cluster_size=4k', image, '1M')
    answers = exercise(program, image, 'write 0 100000 3', 'save 0 3000000 9', 'load 0 3000000 9',
                       'snapshot s', 'size 8388608', 'check')
    ok(answers[:5] == ['ok'] * 5 and answers[5].startswith('corruptions 0 leaks 0'),
       'machine state is saved, and growing does not expose it', answers)
    out = image.with_suffix('.raw')
    run('qemu-img', 'convert', '-O', 'raw', image, out)
    ok(is_sound(image) and not any(out.read_bytes()[1 << 20:]), 'the new part is zero for qemu')


def test_amend(program, menura, image):
    run('qemu-img', 'create', '-f', 'qcow2', '-o', 'cluster_size=4k', image, '4M')
    exercise(program, image, 'write 0 1000000 3', 'unmap 8192 65536')
    for bits in (1, 64, 2, 16):
        result = run(menura, 'img', 'amend', '-f', 'qcow2', '-o', f'refcount_bits={bits}', image)
        ok(result.returncode == 0 and is_sound(image), f'refcounts of {bits} bits', result.stdout)
    before = image.with_suffix('.before')
    after = image.with_suffix('.after')
    run('qemu-img', 'convert', '-O', 'raw', image, before)
    result = run(menura, 'img', 'amend', '-f', 'qcow2', '-o', 'compat=0.10', image)
    run('qemu-img', 'convert', '-O', 'raw', image, after)
    ok(result.returncode == 0 and is_sound(image) and before.read_bytes() == after.read_bytes() and
       'compat: 0.10' in run('qemu-img', 'info', image).stdout, 'down to version 2', result.stdout)
    result = run(menura, 'img', 'amend', '-f', 'qcow2', '-o', 'compat=1.1,lazy_refcounts=on', image)
    ok(result.returncode == 0 and is_sound(image) and
       'lazy refcounts: true' in run('qemu-img', 'info', image).stdout, 'and back', result.stdout)


def test_narrow_refcounts(program, image):
    run('qemu-img', 'create', '-f', 'qcow2', '-o', 'refcount_bits=1', image, '1M')
    answers = exercise(program, image, 'write 0 100000 3', 'snapshot s', 'write 0 1000 4', 'check')
    ok('too narrow' in answers[1] and answers[3].startswith('corruptions 0 leaks 0'),
       'a snapshot that refcounts cannot hold leaves the image as it was', answers)


def test_snapshots_of_fixed_size(menura, image):
    """In a file that cannot grow, as a device, there is room for a snapshot, or the image stays as it was."""
    for compat in ('0.10', '1.1'):
        for clusters, room in ((0, 0), (1, 0), (2, 1), (16, 2)):
            run('qemu-img', 'create', '-f', 'qcow2', '-o', f'compat={compat}', image, '2M')
            run('qemu-io', '-c', 'write -P 1 0 2M', image)
            with image.open('ab') as file:
                file.truncate(image.stat().st_size + clusters * 65536)
            where = (f'driver=qcow2,file.driver=raw,file.size={image.stat().st_size},'
                     f'file.file.filename={image}')
            taken, sound = 0, True
            for name in ('one', 'two'):
                result = run(menura, 'img', 'snapshot', '-c', name, '--image-opts', where)
                taken += not result.returncode
                sound = sound and is_sound(image)
            listed = run('qemu-img', 'snapshot', '-l', image).stdout
            ok(sound and taken == room == sum(name in listed for name in ('one', 'two')),
               f'{taken} snapshots of version {compat} in {clusters} clusters', listed)


def test_measure(menura, image):
    run('qemu-img', 'create', '-f', 'qcow2', image, '64M')
    run('qemu-io', '-c', 'write 1M 5M', '-c', 'write 30000000 100', image)
    for options in ('cluster_size=64k', 'cluster_size=512', 'cluster_size=2M',
                    'extended_l2=on,cluster_size=16k', 'refcount_bits=64,cluster_size=1k',
                    'preallocation=full'):
        for what in (['--size', '10G'], [image]):
            theirs = run('qemu-img', 'measure', '-O', 'qcow2', '-o', options, *what).stdout
            ours = run(menura, 'img', 'measure', '-O', 'qcow2', '-o', options, *what).stdout
            ok(ours == theirs, f'measure {options} {what[0]}', f'{ours}\nqemu: {theirs}')


def test_locks(program, image):
    run('qemu-img', 'create', '-f', 'qcow2', image, '1M')
    holder = subprocess.Popen([program, '-o', 'driver=qcow2', image], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    result = run('qemu-img', 'info', image)
    ok(result.returncode and 'lock' in result.stdout, 'qemu stays out while we write', result.stdout)
    ok(run('qemu-img', 'info', '-U', image).returncode == 0, 'but may look with -U')
    holder.communicate('')
    holder = subprocess.Popen(['qemu-io', image], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    holder.stdin.write('length\n')
    holder.stdin.flush()
    holder.stdout.readline()
    result = run(program, '-o', 'driver=qcow2', image, input='')
    ok(result.returncode and 'lock' in result.stdout, 'we stay out while qemu writes',
       result.stdout)
    holder.communicate('quit\n')


def main():
    program, menura = (Path(a).absolute() for a in sys.argv[1:3])
    if not shutil.which('qemu-img'):
        print('1..0 # SKIP no qemu-img')
        return 0
    with tempfile.TemporaryDirectory(dir='.') as where:
        os.chdir(where)
        image = Path('disk.qcow2').absolute()
        test_bitmaps(program, image)
        test_machine_state(program, image)
        test_amend(program, menura, image)
        test_narrow_refcounts(program, image)
        test_snapshots_of_fixed_size(menura, image)
        test_measure(menura, image)
        test_locks(program, image)
        os.chdir('..')
    print(f'1..{number}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
