#!/usr/bin/env python3
"""aarch64_objdump.py WORDS OBJDUMP ASSEMBLER [FILE...]

Compares the AArch64 decoder and disassembler (through the program aarch64_words) with GNU binutils
on random words, and on files of instructions if given. TAP; MENURA_TEST_FULL=1 for two million words.

binutils decodes every extension; what the assembler rejects for FEATURES is none of ours.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FEATURES = 'armv8-a+aes+sha2+crc+lse+lor+rdma+rcpc+dotprod+fp16'
# binutils takes these as part of FEATURES, or gives names to space that no CPU decodes.
NOT_OURS = re.compile(r'sha512|(msr|mrs) .*\bs[01]_')
# Decoded here although a should-be-one field or the choice of registers makes them unpredictable.
UNPREDICTABLE = re.compile(r'ld(l?ar|apr)[bh]? |st(ll|l)r[bh]? |ldpsw ')
# Names of system registers are kept for those that programs meet.
SYSTEM = re.compile(r'(mrs|msr) ')
OBJDUMP_LINE = re.compile(r'\s*[0-9a-f]+:\t([0-9a-f]{8}) \t(.*)$')

words, objdump, assembler, *files = sys.argv[1:]
count = 0


def check(passed, name, examples=()):
    global count
    count += 1
    print(f"{'ok' if passed else 'not ok'} {count} - {name}")
    if not passed:
        for example in list(examples)[:8]:
            print('#', *example, sep='  ')


def tidy(text):
    text = re.sub(r'\s*(//|; ).*| <[^>]*>', '', text)
    return ' '.join(text.split())


def binutils_text(path):
    dump = subprocess.run([objdump, '-D', '-z', '-b', 'binary', '-m', 'aarch64', '-M', 'no-aliases',
                           path], capture_output=True, text=True, check=True).stdout
    lines = filter(None, map(OBJDUMP_LINE.match, dump.splitlines()))
    return [(match[1], tidy(match[2])) for match in lines]


def assembles(texts, scratch):
    """Which of the texts the assembler takes for our features."""
    source = scratch / 'source.s'
    source.write_text('\n'.join(texts) + '\n')
    run = subprocess.run([assembler, f'-march={FEATURES}', '-o', scratch / 'object', source],
                         capture_output=True, text=True)
    rejected = {int(line) for line in re.findall(r'source\.s:(\d+): Error', run.stderr)}
    return [line not in rejected for line in range(1, len(texts) + 1)]


def compare(name, path, our_lines, scratch):
    theirs = binutils_text(path)
    ours = [tidy(line) for line in our_lines]
    missing, extra, different, same = [], [], [], 0
    for (word, text), our in zip(theirs, ours, strict=True):
        they_know, we_know = not text.startswith('.inst'), not our.startswith('.inst')
        if they_know and not we_know:
            missing.append((word, text))
        elif we_know and not they_know and not UNPREDICTABLE.match(our):
            extra.append((word, our))
        elif we_know and they_know and text != our and not SYSTEM.match(our):
            different.append((word, text, our))
        else:
            same += 1
    taken = assembles([text for _, text in missing], scratch)
    missing = [item for item, ours in zip(missing, taken) if ours and not NOT_OURS.search(item[1])]
    check(not missing, f'{name}: nothing of {FEATURES} is missing', missing)
    check(not extra, f'{name}: nothing undefined is decoded', extra)
    check(not different, f'{name}: same text, {same} of {len(theirs)}', different)


def main():
    total = 2_000_000 if os.environ.get('MENURA_TEST_FULL') else 60_000
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        path = scratch / 'words'
        for kind in 'uniform', 'near', 'valid':
            run = subprocess.run([words, kind, str(total // 3), '1', path], capture_output=True,
                                 text=True, check=True)
            compare(kind, path, run.stdout.splitlines(), scratch)
        for file in files:
            run = subprocess.run([words, 'file', file], capture_output=True, text=True, check=True)
            compare(Path(file).name, file, run.stdout.splitlines(), scratch)
    print(f'1..{count}')


main()
