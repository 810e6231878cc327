#!/usr/bin/env python3
"""peers.py EXERCISE MENURA

Other programs that read disk images, besides QEMU: 7-Zip unpacks ours to what went in, before and after
they were written to; qcowinfo, vhdiinfo and vmdkinfo see the size that we gave. Prints TAP, with a line
that says SKIP for each program that is missing.
"""
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = 6 << 20
# name of the test, format, extension, options, compressed
SHAPES = [
    ('qcow2', 'qcow2', 'qcow2', '', False),
    ('qcow2 of version 2', 'qcow2', 'qcow2', 'compat=0.10,cluster_size=4096', False),
    ('qcow2, compressed', 'qcow2', 'qcow2', '', True),
    ('vmdk', 'vmdk', 'vmdk', '', False),
    ('vdi', 'vdi', 'vdi', '', False),
    ('vhd', 'vpc', 'vhd', 'force_size=on', False),
    ('fixed vhd', 'vpc', 'vhd', 'force_size=on,subformat=fixed', False),
    ('vhdx', 'vhdx', 'vhdx', '', False),
]
INFORMERS = [('qcowinfo', 'qcow2', 'qcow2'), ('vhdiinfo', 'vpc', 'vhd'), ('vhdiinfo', 'vhdx', 'vhdx'),
             ('vmdkinfo', 'vmdk', 'vmdk')]


class Failure(Exception):
    pass


def must(*command, **more):
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, timeout=120, **more)
    if result.returncode:
        raise Failure(f'{" ".join(map(str, command))}: exit {result.returncode}: {result.stdout}')
    return result.stdout


def unpack(zip_program, image):
    """What 7-Zip makes of an image: one file."""
    must(zip_program, 't', image)
    with tempfile.TemporaryDirectory() as where:
        must(zip_program, 'x', '-y', f'-o{where}', image)
        files = list(Path(where).iterdir())
        if len(files) != 1:
            raise Failure(f'7-Zip finds {[f.name for f in files]}')
        return files[0].read_bytes()


def read(zip_program, exercise, menura, where, shape):
    name, kind, extension, options, packed = shape
    data = bytearray(random.Random(name).randbytes(SIZE))
    data[1 << 20:3 << 20] = bytes(2 << 20)
    plain, image = where / 'plain.raw', where / f'disk.{extension}'
    plain.write_bytes(data)
    must(menura, 'img', 'convert', *(['-c'] if packed else []), '-f', 'raw', '-O', kind,
         *(['-o', options] if options else []), plain, image)
    if unpack(zip_program, image) != data:
        raise Failure('7-Zip reads something else')
    must(exercise, '-o', f'driver={kind}', image,
         input=f'write {5 << 19} 70000 9\nzero 4096 65536\nflush\ndump {where / "dump"}\n')
    changed = (where / 'dump').read_bytes()
    if unpack(zip_program, image) != changed or changed == data:
        raise Failure('7-Zip reads something else after a write')


def tell_size(program, menura, where, kind, extension):
    image = where / f'disk.{extension}'
    options = ['-o', 'force_size=on'] if kind == 'vpc' else []
    must(menura, 'img', 'create', '-q', '-f', kind, *options, image, SIZE)
    if f'({SIZE} bytes)' not in must(program, image):
        raise Failure(f'{program} sees another size: {must(program, image)}')


def cases(exercise, menura):
    """Name, program (None if it is missing), what to do."""
    zip_program = shutil.which('7zz') or shutil.which('7z')
    for shape in SHAPES:
        yield (f'7-Zip, {shape[0]}', zip_program,
               lambda where, s=shape: read(zip_program, exercise, menura, where, s))
    for program, kind, extension in INFORMERS:
        yield (f'{program}, {extension}', shutil.which(program),
               lambda where, p=program, k=kind, e=extension: tell_size(p, menura, where, k, e))


def main():
    exercise, menura = (Path(word).resolve() for word in sys.argv[1:3])
    failed = number = 0
    for number, (name, program, act) in enumerate(cases(exercise, menura), 1):
        if not program:
            print(f'ok {number} - {name} # SKIP the program is missing')
            continue
        with tempfile.TemporaryDirectory() as where:
            try:
                act(Path(where))
                print(f'ok {number} - {name}', flush=True)
            except Failure as failure:
                failed += 1
                print(f'not ok {number} - {name}')
                print('# ' + str(failure).rstrip().replace('\n', '\n# '), flush=True)
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
