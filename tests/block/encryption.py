#!/usr/bin/env python3
"""encryption.py EXERCISE MENURA

Encrypted images both ways with qemu-img and cryptsetup: every cipher, overlays over encrypted images and
the reverse, key slots added and erased in turn, what the commands print, and mistakes. A secret never
appears in any output. Prints TAP. (Random operations on encrypted qcow2 images: exchange.py.)
"""
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from exchange import pattern

SECRETS = {'s': 'correct horse', 'n': 'battery staple', 'w': 'a guess'}
OBJECTS = [word for name, data in SECRETS.items()
           for word in ('--object', f'secret,id={name},data={data}')]
CIPHERS = [(cipher, mode, iv) for cipher in ('aes-128', 'aes-192', 'aes-256') for mode in ('xts', 'cbc')
           for iv in ('plain', 'plain64', 'essiv')]
SIZE = 3 << 20
VOLATILE = ('actual-size', 'children', 'detached-header')  # the latter two are not in QEMU 7.2 yet
BUSY = 'Unable to get accurate CPU usage'  # QEMU's measuring of its speed, on machines with other work


class Failure(Exception):
    pass


def run(*command, **more):
    for _ in range(20):
        result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=120, **more)
        if BUSY not in result.stdout:
            break
    if any(data in result.stdout for data in SECRETS.values()):
        raise Failure(f'{command} tells a secret: {result.stdout}')
    return result


def must(*command, **more):
    result = run(*command, **more)
    if result.returncode:
        raise Failure(f'{" ".join(map(str, command))}: exit {result.returncode}: {result.stdout}')
    return result.stdout


class Tools:
    """Both programs, in a directory of their own with a disk's contents in plain.raw."""

    def __init__(self, exercise, menura, where):
        self.ours, self.theirs, self.where = [menura, 'img'], ['qemu-img'], where
        self.exercise = exercise
        self.has_cryptsetup = bool(shutil.which('cryptsetup'))
        self.plain = where / 'plain.raw'
        rand = random.Random(7)
        data = bytearray(rand.randbytes(SIZE))
        data[1 << 20:2 << 20] = bytes(1 << 20)
        self.plain.write_bytes(data)

    def compare(self, options, plain=None):
        """Both read from the image what is in the raw one."""
        for tool in (self.ours, self.theirs):
            must(*tool, 'compare', *OBJECTS, '--image-opts', options,
                 f'driver=raw,file.filename={plain or self.plain}')

    def opens(self, path, secret):
        return run('cryptsetup', 'luksOpen', '--test-passphrase', '--key-file', '-', path,
                   input=SECRETS[secret]).returncode == 0


def luks(path, secret='s'):
    return f'driver=luks,file.filename={path},key-secret={secret}'


def qcow(path, secret='s'):
    return f'driver=qcow,file.filename={path},encrypt.key-secret={secret}'


def qcow2(path, secret='s'):
    return f'driver=qcow2,file.filename={path},encrypt.key-secret={secret}'


# -- The cases

def ciphers(tools):
    for number, (cipher, mode, iv) in enumerate(CIPHERS):
        options = (f'key-secret=s,cipher-alg={cipher},cipher-mode={mode},ivgen-alg={iv},iter-time=10,'
                   f'hash-alg={["sha1", "sha256", "sha512"][number % 3]}')
        path = tools.where / 'disk.luks'
        # QEMU 7.2 stumbles over 192 bits, and has no XTS with them; nor has the kernel, for cryptsetup.
        peers = [tools.ours] + [tools.theirs] * (cipher != 'aes-192')
        # QEMU measures for seconds how fast it is: a few will do.
        for maker in peers[:1 + (number % 7 == 0)]:
            must(*maker, 'convert', *OBJECTS, '-f', 'raw', '-O', 'luks', '-o', options, tools.plain, path)
            for reader in peers:
                must(*reader, 'compare', *OBJECTS, '--image-opts', luks(path),
                     f'driver=raw,file.filename={tools.plain}')
        if tools.has_cryptsetup and (cipher, mode) != ('aes-192', 'xts'):
            if not tools.opens(path, 's') or tools.opens(path, 'w'):
                raise Failure(f'cryptsetup does not open {options}')


def cryptsetup(tools):
    if not tools.has_cryptsetup:
        return
    for cipher, hash_name in (('aes-xts-plain64', 'sha256'), ('aes-cbc-essiv:sha256', 'sha1'),
                              ('aes-cbc-plain', 'sha512')):
        path, dump = tools.where / 'made.luks', tools.where / 'dump.raw'
        with open(path, 'wb') as file:
            file.truncate(SIZE + (4 << 20))
        must('cryptsetup', 'luksFormat', '-q', '--type', 'luks1', '--iter-time', '10', '-c', cipher,
             '-h', hash_name, '--key-file', '-', path, input=SECRETS['s'])
        must(*tools.ours, 'convert', *OBJECTS, '-n', '-f', 'raw', '-O', 'luks', '--target-image-opts',
             tools.plain, luks(path))
        must(*tools.ours, 'convert', *OBJECTS, '--image-opts', '-O', 'raw', luks(path), dump)
        if dump.read_bytes()[:SIZE] != tools.plain.read_bytes():
            raise Failure(f'{cipher} does not read as written')
        tools.compare(luks(path), dump)


def random_writes(tools):
    write_in_turn(tools, 'luks', 'key-secret=s,iter-time=10', luks)
    write_in_turn(tools, 'qcow', 'encrypt.format=aes,encrypt.key-secret=s', qcow)


def write_in_turn(tools, form, options, named):
    """Writes of any alignment to an image, in turn by either; both read what the model says."""
    rand, path, dump = random.Random(3), tools.where / f'disk.{form}', tools.where / 'dump'
    must(*tools.ours, 'convert', *OBJECTS, '-f', 'raw', '-O', form, '-o', options, tools.plain, path)
    secret = 'key-secret=s' if form == 'luks' else 'encrypt.key-secret=s'
    model = bytearray(tools.plain.read_bytes())
    for turn in range(4):
        operations = []
        for _ in range(12):
            start = rand.randrange(SIZE)
            length = min(rand.randrange(1, rand.choice([600, 70000, SIZE])), SIZE - start)
            operations.append((start, length, rand.randrange(256)))
            model[start:start + length] = pattern(*operations[-1])
        if turn % 2:
            for operation in operations:
                (tools.where / 'source').write_bytes(pattern(*operation))
                must('qemu-io', *OBJECTS, '--image-opts', named(path), '-c',
                     f'write -s {tools.where / "source"} {operation[0]} {operation[1]}')
            operations = []
        lines = [f'write {o} {n} {b}' for o, n, b in operations] + ['flush', f'dump {dump}']
        must(tools.exercise, '-O', f'secret,id=s,data={SECRETS["s"]}', '-o', f'driver={form},{secret}', path,
             input='\n'.join(lines) + '\n')
        if dump.read_bytes() != model:
            raise Failure(f'Menura reads something else after turn {turn}')
        tools.compare(named(path), dump)


def key_slots(tools):
    """Passphrases come and go, by either program; the model says which open."""
    path = tools.where / 'slots.luks'
    image = tools.where / 'slots.qcow2'
    must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'luks', '-o', 'key-secret=s,iter-time=10', path, '1M')
    must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'qcow2', '-o',
         'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', image, '1M')
    steps = [('state=active,new-secret=n,iter-time=10', 's', True),
             ('state=active,new-secret=n,iter-time=10,keyslot=0', 's', False),
             ('state=active,new-secret=n,iter-time=10,keyslot=7', 's', True),
             ('state=active,new-secret=n,keyslot=8', 's', False),
             ('state=inactive,old-secret=w', 's', False),
             ('state=inactive', 's', False),
             ('state=inactive,keyslot=5', 's', False),
             ('state=inactive,keyslot=7', 'n', True),
             ('state=inactive,old-secret=s', 'n', True),
             ('state=inactive,old-secret=n', 'n', False),
             ('state=inactive,keyslot=1', 'n', False),
             ('state=active,new-secret=s,iter-time=10', 'n', True),
             ('state=sideways', 'n', False),
             ('new-secret=s', 'n', False)]
    for tool, other, name, options, make in (
            (tools.ours, tools.theirs, path, '{}', luks),
            (tools.ours, tools.theirs, image, 'encrypt.{}', qcow2),
            (tools.theirs, tools.ours, path, '{}', luks)):
        copy = tools.where / f'copy{name.suffix}'
        shutil.copy(name, copy)
        for step, opened_by, good in steps:
            words = ','.join(options.format(w) for w in step.split(','))
            result = run(*tool, 'amend', *OBJECTS, '-o', words, '--image-opts', make(copy, opened_by))
            if (result.returncode == 0) != good:
                raise Failure(f'{tool[0]} amend {words}: {result.stdout}')
        for secret, works in (('n', True), ('s', True), ('w', False)):
            result = run(*other, 'compare', *OBJECTS, '--image-opts', make(copy, secret),
                         make(copy, secret))
            if (result.returncode == 0) != works:
                raise Failure(f'{other[0]} with {secret}: {result.stdout}')
    if tools.has_cryptsetup and not (tools.opens(path, 's') and not tools.opens(path, 'n')):
        raise Failure('the original changed')


def overlays(tools):
    where = tools.where
    create = 'encrypt.format={},encrypt.key-secret=s'
    for kind in ('luks', 'aes'):
        options = create.format(kind) + (',encrypt.iter-time=10' if kind == 'luks' else '')
        base, top, plain_top, by_json = (where / name for name in
                                         ('base.qcow2', 'top.qcow2', 'plain.qcow2', 'json.qcow2'))
        must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'qcow2', '-o', options, '-b', tools.plain, '-F',
             'raw', top)
        must(*tools.theirs, 'convert', *OBJECTS, '-f', 'raw', '-O', 'qcow2', '-o', options, tools.plain,
             base)
        must(*tools.ours, 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', plain_top)
        backing = json.dumps({'driver': 'qcow2', 'file.filename': str(base), 'encrypt.key-secret': 's'})
        must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'qcow2', '-b', f'json:{backing}', '-F', 'qcow2',
             by_json)
        over_plain = qcow2(top)
        over_encrypted = (f'driver=qcow2,file.filename={plain_top},backing.encrypt.key-secret=s')
        for image in (over_plain, over_encrypted, f'driver=qcow2,file.filename={by_json}'):
            tools.compare(image)
            must('qemu-io', *OBJECTS, '--image-opts', image, '-c', 'write -P 5 70000 300000')
            changed = where / 'changed.raw'
            must(*tools.ours, 'convert', *OBJECTS, '--image-opts', '-O', 'raw', image, changed)
            tools.compare(image, changed)
        must(*tools.ours, 'commit', '-q', *OBJECTS, '--image-opts', over_encrypted)
        tools.compare(qcow2(base), changed)
        must(*tools.ours, 'rebase', *OBJECTS, '-b', '', by_json)
        tools.compare(f'driver=qcow2,file.filename={by_json}', changed)


def without_volatile(value):
    if isinstance(value, dict):
        return {k: without_volatile(v) for k, v in value.items() if k not in VOLATILE}
    return [without_volatile(v) for v in value] if isinstance(value, list) else value


def prints(tools):
    """info and measure, for people and for programs."""
    for number, (name, options) in enumerate([
            ('luks', 'key-secret=s,iter-time=10'),
            ('luks', 'key-secret=s,iter-time=10,cipher-mode=cbc,ivgen-alg=essiv'),
            ('qcow2', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'),
            ('qcow2', 'encrypt.format=aes,encrypt.key-secret=s'),
            ('qcow', 'encrypt.format=aes,encrypt.key-secret=s')]):
        path = tools.where / f'{number}.{name}'
        must(*tools.ours, 'create', '-q', *OBJECTS, '-f', name, '-o', options, path, '5M')
        ours, theirs = (must(*tool, 'info', path) for tool in (tools.ours, tools.theirs))
        ours = ours[:ours.find('Child node')]  # which QEMU 7.2 does not print yet
        ours = re.sub(r' *detached header: false\n', '', ours)
        if re.sub('disk size.*', '', ours) != re.sub('disk size.*', '', theirs):
            raise Failure(f'info: {ours}instead of\n{theirs}')
        ours, theirs = (without_volatile(json.loads(must(*tool, 'info', '--output=json', path)))
                        for tool in (tools.ours, tools.theirs))
        if ours != theirs:
            raise Failure(f'info: {ours} instead of {theirs}')
        for size in ('0', '5M', '1T') if name != 'qcow' else ():
            ours, theirs = (must(*tool, 'measure', *OBJECTS, '-O', name, '-o', options, '--size', size)
                            for tool in (tools.ours, tools.theirs))
            if ours != theirs:
                raise Failure(f'measure {options} {size}: {ours} instead of {theirs}')


def detached(tools):
    header, disk = tools.where / 'header.luks', tools.where / 'payload'
    with open(disk, 'wb') as file:
        file.truncate(SIZE)
    must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'luks', '-o',
         'key-secret=s,iter-time=10,detached-header=on', header, '0')
    name = 'json:' + json.dumps({'driver': 'luks', 'key-secret': 's',
                                 'file': {'driver': 'file', 'filename': str(disk)},
                                 'header': {'driver': 'file', 'filename': str(header)}})
    must(*tools.ours, 'convert', *OBJECTS, '-n', '-f', 'raw', '-O', 'luks', tools.plain, name)
    must(*tools.ours, 'compare', *OBJECTS, name, tools.plain)
    if tools.has_cryptsetup:
        must('cryptsetup', 'luksOpen', '--test-passphrase', '--key-file', '-', '--header', header, disk,
             input=SECRETS['s'])
    if run(*tools.ours, 'convert', *OBJECTS, '--image-opts', '-O', 'raw', luks(header), disk).returncode == 0:
        raise Failure('a header alone was taken for a disk')


def mistakes(tools):
    path, image = tools.where / 'disk.luks', tools.where / 'disk.qcow2'
    must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'luks', '-o', 'key-secret=s,iter-time=10', path, '1M')
    must(*tools.ours, 'create', '-q', *OBJECTS, '-f', 'qcow2', '-o',
         'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', image, '1M')
    luks_options = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'
    for command in (['check', image], ['map', image], ['convert', image, tools.where / 'x'],
                    ['convert', '--image-opts', qcow2(image, 'w'), tools.where / 'x'],
                    ['convert', '--image-opts', luks(path, 'w'), tools.where / 'x'],
                    ['convert', '--image-opts', luks(path, 'missing'), tools.where / 'x'],
                    ['info', '--image-opts', f'driver=qcow2,encrypt.format=aes,file.filename={image}'],
                    ['create', '-f', 'luks', tools.where / 'x', '1M'],
                    ['create', '-f', 'luks', '-o', 'key-secret=s,cipher-alg=rot13', tools.where / 'x', '1M'],
                    ['create', '-f', 'qcow2', '-o', 'encrypt.format=luks', tools.where / 'x', '1M'],
                    ['create', '-f', 'qcow2', '-o', 'encrypt.key-secret=s', tools.where / 'x', '1M'],
                    ['create', '-f', 'qcow2', '-o', 'encryption=on,' + luks_options, tools.where / 'x', '1M'],
                    ['create', '-f', 'qcow2', '-o', 'encrypt.format=rot13,encrypt.key-secret=s',
                     tools.where / 'x', '1M'],
                    ['create', '-f', 'qcow2', '-o',
                     'encrypt.format=aes,encrypt.key-secret=s,encrypt.cipher-alg=aes-256',
                     tools.where / 'x', '1M'],
                    ['convert', '-c', '-O', 'qcow2', '-o', luks_options, tools.plain, tools.where / 'x'],
                    ['amend', '-o', 'encrypt.state=active,encrypt.new-secret=missing', '--image-opts',
                     qcow2(image)]):
        name, *arguments = command
        ours, theirs = (run(*tool, name, *OBJECTS, *arguments) for tool in (tools.ours, tools.theirs))
        if ours.returncode != theirs.returncode or not ours.stdout.startswith(('menura img: ', 'Formatting')):
            raise Failure(f'{command}: exit {ours.returncode}: {ours.stdout}; qemu-img: {theirs.stdout}')


CASES = [ciphers, cryptsetup, random_writes, key_slots, overlays, prints, detached, mistakes]


def main():
    if not shutil.which('qemu-io'):
        print('1..0 # SKIP qemu-io is missing')
        return 0
    if not shutil.which('cryptsetup'):
        print('# without cryptsetup, which is missing')
    failed = 0
    for number, case in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as where:
            try:
                case(Tools(*(Path(word).resolve() for word in sys.argv[1:3]), Path(where)))
                print(f'ok {number} - {case.__name__}', flush=True)
            except Failure as failure:
                failed += 1
                print(f'not ok {number} - {case.__name__}')
                print('# ' + str(failure).rstrip().replace('\n', '\n# '), flush=True)
    print(f'1..{len(CASES)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
