#!/usr/bin/env python3
"""opcodes_errors.py GENERATOR TABLE...

Feeds x86's opcode tables, each time with something wrong behind them, to their generator, and expects
its one-line messages. TAP.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

# What is wrong, the line, the message.
CASES = [
    ('no opcode', 'NP 0F ADD rw:Ev,Gv', "1: expected an opcode before 'ADD'"),
    ('unknown operand', '0F 04 FOO rw:Ek', "1: unknown operand 'rw:Ek'"),
    ('unknown clause', '0F 04 FOO rw:Ev fast', "1: unknown clause 'fast'"),
    ('part of VEX', 'VEX.W2 0F 04 FOO rw:Ev', "1: 'W2' is no part of a VEX encoding"),
    ('map of VEX', 'VEX.NP 04 FOO rw:Ev', '1: VEX encodings are of map 0F, 0F38 or 0F3A'),
    ('digit', '0F 04/8 FOO rw:Ev', "1: '/8' is not /0 to /7 or /0r to /7r"),
    ('form of a group', 'group g ymm=AVX\ng 0F 04 FOO Vx', "2: unknown form 'ymm' in the row's group"),
    ('lane of a group', 'group g xmm=AVX\ng 0F 04 FOO Vx do=foo($)',
     "2: form 'xmm' has no lane type for '$'"),
    ('overlap', '01 FOO Ev,Gv', '1: FOO claims encodings of ADD in line'),
    ('partial overlap', 'F3/66 0F 04/1 FOO Ev\nF3 0F 04 BAR Gv,Ev', 'BAR claims encodings of'),
    ('ModRM', '01 FOO -', '1: FOO has no ModRM byte, unlike ADD in line'),
]

generator, *tables = sys.argv[1:]

with tempfile.TemporaryDirectory() as directory:
    for number, (name, text, message) in enumerate(CASES, 1):
        path = Path(directory) / 'wrong.opcodes'
        path.write_text(text + '\n')
        run = subprocess.run([generator, '--list', '--', *tables, path], capture_output=True, text=True)
        passed = run.returncode == 1 and f'{path}:' in run.stderr and message in run.stderr
        print(f"{'ok' if passed else 'not ok'} {number} - {name}")
        if not passed:
            print('#', run.returncode, run.stderr.strip()[:300])
    right = subprocess.run([generator, '--list', '--', *tables], capture_output=True, text=True)
    print(f"{'ok' if right.returncode == 0 else 'not ok'} {len(CASES) + 1} - the tables themselves")
    print(f'1..{len(CASES) + 1}')
