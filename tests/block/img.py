#!/usr/bin/env python3
"""img.py MENURA

`menura img`, called by the name qemu-img, against qemu-img: the same commands in two directories that
began equal. Exit statuses must be the same, and what programs read (JSON, sizes, maps, messages on standard
output) as well; afterwards the images must have the same contents. Prints TAP.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from nbd_peers import newest_tools

# What QEMU 7.2 doesn't print yet and later versions do, and what differs by nature.
NEWER = ('children', 'compressed')
VOLATILE = ('actual-size', 'image-end-offset', 'date-sec', 'date-nsec', 'cid', 'parent-cid', 'icount')

# name: commands; {} is the tool. A command after "$" is a shell's, and done the same way in both.
CASES = {
    'create and info': [
        '{} create -f qcow2 a.qcow2 64M',
        '{} create -f qcow2 -o cluster_size=4k,lazy_refcounts=on,compat=1.1 b.qcow2 1G',
        '{} create -q -f raw c.raw 3M',
        '{} info --output=json a.qcow2',
        '{} info --output=json b.qcow2',
        '{} info --output=json -f raw c.raw',
    ],
    'overlays': [
        '$qemu-io -f raw -c "write -P 1 0 1M" -c "write -P 2 5M 64k" base.raw',
        '{} create -f qcow2 -b base.raw -F raw top.qcow2',
        '$qemu-io -f qcow2 -c "write -P 3 512k 1M" -c "write -z 5M 32k" top.qcow2',
        '{} info --output=json top.qcow2',
        '{} info --backing-chain --output=json top.qcow2',
        '{} map --output=json top.qcow2',
        '{} map top.qcow2',
        '{} compare -f qcow2 -F raw top.qcow2 base.raw',
        '{} convert -O raw top.qcow2 flat.raw',
        '{} compare top.qcow2 flat.raw',
        '{} commit top.qcow2',
        '{} map --output=json top.qcow2',
        '{} compare -f raw -F raw base.raw flat.raw',
    ],
    'overlays copied as such': [
        '$qemu-io -f raw -c "write -P 1 0 3M" base.raw',
        '{} create -q -f qcow2 -o cluster_size=4k -b base.raw -F raw top.qcow2',
        '$qemu-io -f qcow2 -c "write -P 3 100k 8k" -c "write -z 200k 8k" -c "write -P 0 300k 100k" '
        '-c "write -z -u 1M 1M" top.qcow2',
        '{} convert -O qcow2 -B base.raw -F raw top.qcow2 copy.qcow2',
        '{} compare top.qcow2 copy.qcow2',
        '{} convert -c -O qcow2 -B base.raw -F raw top.qcow2 packed.qcow2',
        '{} compare top.qcow2 packed.qcow2',
        '{} convert -O qed -B base.raw -F raw top.qcow2 copy.qed',
        '{} compare top.qcow2 copy.qed',
        '{} create -q -f qcow2 -b base.raw -F raw there.qcow2',
        '{} convert -n -O qcow2 top.qcow2 there.qcow2',
        '{} compare top.qcow2 there.qcow2',
        '{} create -q -f qcow2 -o compat=0.10 -b base.raw -F raw old.qcow2',
        '{} convert -n -O qcow2 top.qcow2 old.qcow2',
        '{} compare top.qcow2 old.qcow2',
    ],
    'rebase': [
        '$qemu-io -f raw -c "write -P 1 0 1M" base.raw',
        '{} create -q -f raw other.raw 8M',
        '$qemu-io -f raw -c "write -P 9 256k 2M" other.raw',
        '{} create -q -f qcow2 -b base.raw -F raw top.qcow2',
        '$qemu-io -f qcow2 -c "write -P 3 900k 300k" top.qcow2',
        '{} convert -O raw top.qcow2 before.raw',
        '{} rebase -b other.raw -F raw top.qcow2',
        '{} compare -f qcow2 -F raw top.qcow2 before.raw',
        '{} rebase -b "" top.qcow2',
        '{} compare -f qcow2 -F raw top.qcow2 before.raw',
        '{} info --output=json top.qcow2',
        '{} rebase -u -b base.raw -F raw top.qcow2',
        '{} info --output=json top.qcow2',
        '{} rebase -b missing.raw -F raw top.qcow2',
    ],
    'snapshots': [
        '{} create -q -f qcow2 a.qcow2 4M',
        '$qemu-io -f qcow2 -c "write -P 1 0 1M" a.qcow2',
        '{} snapshot -c one a.qcow2',
        '$qemu-io -f qcow2 -c "write -P 2 0 2M" a.qcow2',
        '{} snapshot -c two a.qcow2',
        '{} info --output=json a.qcow2',
        '{} convert -l one -O raw a.qcow2 one.raw',
        '{} convert -l snapshot.name=two -O raw a.qcow2 two.raw',
        '{} snapshot -a one a.qcow2',
        '{} compare -f qcow2 -F raw a.qcow2 one.raw',
        '{} snapshot -d two a.qcow2',
        '{} snapshot -d missing a.qcow2',
        '{} check --output=json a.qcow2',
    ],
    'sizes': [
        '{} create -q -f qcow2 a.qcow2 1M',
        '{} resize a.qcow2 +3M',
        '{} resize a.qcow2 -1M',
        '{} resize --shrink a.qcow2 -1M',
        '{} resize a.qcow2 1x',
        '{} info --output=json a.qcow2',
        '{} measure --output=json -O qcow2 --size 10G',
        '{} measure -O qcow2 -o cluster_size=4k --size 1T',
        '{} measure -O raw --size 5M',
        '{} measure --output=json -O qcow2 a.qcow2',
    ],
    'conversions': [
        '$qemu-io -f raw -c "write -P 1 0 1M" -c "write -P 2 3M 100k" base.raw',
        '{} convert -f raw -O qcow2 -c base.raw packed.qcow2',
        '{} check --output=json packed.qcow2',
        '{} compare -f raw -F qcow2 base.raw packed.qcow2',
        '{} convert -f raw -O vmdk base.raw a.vmdk',
        '{} convert -f raw -O vdi base.raw a.vdi',
        '{} convert -f raw -O vhdx base.raw a.vhdx',
        '{} convert -f raw -O raw base.raw base.raw joined.raw',
        '{} convert -f raw -O qcow2 -S 0 base.raw full.qcow2',
        '{} map --output=json joined.raw',
        '{} dd -f raw -O raw bs=64k skip=3 if=base.raw of=part.raw',
        '{} convert -f raw -n base.raw missing.raw',
        '{} create -q -f vdi empty.vdi 6M',
        '{} map --output=json empty.vdi',
        '{} convert -f vdi -O qcow2 -B base.raw -F raw empty.vdi over.qcow2',
        '{} compare -f vdi -F qcow2 empty.vdi over.qcow2',
    ],
    'foreign formats': [
        '{} create -q -f vpc a.vhd 300M',
        '{} info --output=json a.vhd',
        '{} create -q -f vpc b.vhd 200G',
        '{} info --output=json b.vhd',
        '{} convert -f raw -O vpc base.raw c.vhd',
        '{} create -q -f vmdk a.vmdk 3G',
        '{} info --output=json a.vmdk',
        '{} check --output=json a.vmdk',
        '{} convert -f raw -O vmdk -o subformat=streamOptimized base.raw c.vmdk',
        '{} info --output=json c.vmdk',
        '{} check c.vmdk',
        '{} create -q -f vmdk -o subformat=monolithicFlat d.vmdk 3M',
        '{} info --output=json d.vmdk',
    ],
    'bitmaps and amending': [
        '{} create -q -f qcow2 a.qcow2 4M',
        '{} bitmap --add -g 64k a.qcow2 first',
        '$qemu-io -f qcow2 -c "write 1M 100k" a.qcow2',
        '{} bitmap --disable a.qcow2 first',
        '{} bitmap --add a.qcow2 second',
        '{} bitmap --merge first a.qcow2 second',
        '{} info --output=json a.qcow2',
        '{} convert --bitmaps -O qcow2 a.qcow2 b.qcow2',
        '{} info --output=json b.qcow2',
        '{} bitmap --remove a.qcow2 first',
        '{} amend -o refcount_bits=8 b.qcow2',
        '{} amend -o lazy_refcounts=on a.qcow2',
        '{} info --output=json a.qcow2',
        '{} check --output=json a.qcow2',
        '{} create -q -f qcow2 c.qcow2 1M',
        '{} amend -o compat=0.10 c.qcow2',
        '{} info --output=json c.qcow2',
    ],
    'mistakes': [
        '{} info missing.qcow2',
        '{} create -f nonsense a.img 1M',
        '{} create -f qcow2 a.qcow2',
        '{} create -f qcow2 -o nonsense=1 a.qcow2 1M',
        '{} create -f qcow2 -b missing.raw -F raw a.qcow2',
        '{} nonsense',
        '{} check -f raw base.raw',
        '{} snapshot -c x -f raw base.raw',
        '{} compare base.raw missing.raw',
    ],
}

# What only newer versions of qemu-img know; against the newest.
NEWER_CASES = {
    'long names of options': [
        '{} create --format qcow2 --options cluster_size=4k a.qcow2 6M',
        '{} create --format qcow2 --backing base.raw --backing-format raw top.qcow2',
        '{} create -f qcow2 -b base.raw -B raw b.qcow2',
        '$qemu-io -f qcow2 -c "write -P 3 512k 1M" top.qcow2',
        '{} convert --source-format qcow2 --target-format qcow2 -c --parallel 4 '
        'top.qcow2 packed.qcow2',
        '{} convert -f raw -O qcow2 -c --oob-writes base.raw mixed.qcow2',
        '{} convert -f raw --oob-writes base.raw mixed.raw',
        '{} convert --source-format raw --target-format qcow2 --sparse-size 0 base.raw full.qcow2',
        '{} map --format raw --output=json --start-offset 64k --max-length 1M mixed.raw',
        '{} convert --target-format qcow2 --backing base.raw --backing-format raw top.qcow2 copy.qcow2',
        '{} info --output json copy.qcow2',
        '{} compare --a-format qcow2 --b-format qcow2 --strict top.qcow2 copy.qcow2',
        '{} snapshot --create one top.qcow2',
        '{} snapshot --apply one top.qcow2',
        '{} snapshot --delete one top.qcow2',
        '{} measure --size 3M --target-format qcow2',
        '{} check --repair all --cache none top.qcow2',
        '{} commit --drop --rate-limit 100M top.qcow2',
        '{} rebase --backing-unsafe --backing "" copy.qcow2',
        '{} resize --format qcow2 copy.qcow2 +1M',
        '{} amend --options lazy_refcounts=on a.qcow2',
        '{} info --output=json a.qcow2',
    ],
    'compressed rebase': [
        '$qemu-io -f raw -c "write -P 1 0 3M" base.raw',
        '{} create -q -f raw other.raw 8M',
        '{} create -q -f qcow2 -b base.raw -F raw top.qcow2',
        '$qemu-io -f qcow2 -c "write -P 3 900k 300k" top.qcow2',
        '{} rebase -c -b other.raw -B raw top.qcow2',
        '{} check --output=json top.qcow2',
        '{} rebase -c -b "" base.raw',
    ],
    'bitmaps all at once': [
        '{} create -q -f qcow2 a.qcow2 4M',
        '{} bitmap --add a.qcow2 first',
        '{} bitmap --add a.qcow2 second',
        '{} convert --bitmaps --skip-broken-bitmaps -O qcow2 a.qcow2 b.qcow2',
        '{} convert --skip-broken-bitmaps -O qcow2 a.qcow2 b.qcow2',
        '{} bitmap --remove-all a.qcow2 first',
        '{} bitmap --remove-all a.qcow2',
        '{} info --output=json a.qcow2',
        '{} info --output=json b.qcow2',
    ],
}


def run(command, where):
    return subprocess.run(command, shell=True, cwd=where, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def normal(value):
    """JSON without what may differ."""
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in NEWER + VOLATILE}
    return [normal(v) for v in value] if isinstance(value, list) else value


def comparable(text):
    try:
        return normal(json.loads(text))
    except ValueError:
        return re.sub(r'^Formatting.*\n', '', text, flags=re.M)


def shows(command):
    """Whether standard output is for programs, and so must be the same."""
    return any(f'{{}} {name}' in command for name in ('info', 'map', 'check', 'measure', 'compare'))


def compare_images(ours, theirs):
    """Names of images that don't have the same contents."""
    different = [] if {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()} else ['files']
    for path in sorted(ours.iterdir()):
        result = run(f'qemu-img compare {path} {theirs / path.name}', ours)
        if result.returncode:
            different.append(f'{path.name}: {result.stdout}{result.stderr}')
    return different


def check(menura, peer, commands, where):
    """What differs between the two tools; empty if nothing."""
    ours, theirs = where / 'ours', where / 'theirs'
    for place in (ours, theirs):
        place.mkdir()
        run('truncate -s 6M base.raw', place)
    differences = []
    for command in commands:
        results = [run(command.lstrip('$').replace('{}', tool), place)
                   for tool, place in ((menura, ours), (peer, theirs))]
        us, them = results
        if us.returncode != them.returncode:
            differences.append(f'{command}: exit {us.returncode}, not {them.returncode}: {us.stderr}')
        elif shows(command) and comparable(us.stdout) != comparable(them.stdout):
            differences.append(f'{command}:\n{us.stdout}instead of\n{them.stdout}')
        if us.returncode and not command.startswith('$') and not (us.stderr or us.stdout):
            differences.append(f'{command}: failed without a word')
    return differences + compare_images(ours, theirs)


def main():
    if not shutil.which('qemu-io'):
        print('1..0 # SKIP qemu-io is missing')
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as top:
        link = Path(top) / 'qemu-img'
        link.symlink_to(Path(sys.argv[1]).resolve())
        os.chdir(top)
        newest = newest_tools()
        cases = [('qemu-img', *case) for case in CASES.items()]
        if newest:
            cases += [(newest / 'qemu-img', *case) for case in NEWER_CASES.items()]
        for number, (peer, name, commands) in enumerate(cases, 1):
            where = Path(top) / str(number)
            where.mkdir()
            differences = check(str(link), str(peer), commands, where)
            failed += bool(differences)
            print(f"{'not ' if differences else ''}ok {number} - {name}", flush=True)
            for text in differences:
                print('# ' + text.rstrip().replace('\n', '\n# '))
        os.chdir('/')
        print(f'1..{len(cases)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
