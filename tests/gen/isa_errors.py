#!/usr/bin/env python3
"""isa_errors.py GENERATOR

Feeds wrong tables to the instruction-table generator and expects its one-line messages. TAP.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = 'guest tiny\noperand reg(1)\nfunction twice(1)\nfeature fast\n'  # four lines
GOOD = 'format good 0000 value:28\n  insn good\n'

# What is wrong, the table behind HEAD, the message with its line number in the whole file.
CASES = [
    ('bits missing', 'format a 0000 x:27\n  insn a\n', "5: format 'a' has 31 bits instead of 32"),
    ('bits too many', 'format a 0000 x:29\n  insn a\n', "5: format 'a' has 33 bits instead of 32"),
    ('no bits', 'format a 0002 x:28\n  insn a\n', "5: '0002' is neither fixed bits nor a field"),
    ('zero width', 'format a 0000 x:28 y:0\n  insn a\n',
     "5: field 'y' has an impossible width or shift"),
    ('no width', 'format a 0000 x:y\n  insn a\n', "5: expected a width before 'y'"),
    ('field twice', 'format a 0000 x:14 x:14\n  insn a\n', "5: 'a' has two fields named 'x'"),
    ('let like a field', 'format a 0000 x:28\n  let x = 1\n  insn a\n',
     "6: 'a' already has a value named 'x'"),
    ('let before its time', 'format a 0000 x:28\n  let y = z\n  let z = x\n  insn a\n',
     "6: 'z' is not a field of 'a'"),
    ('row twice', GOOD + 'format good 0001 value:28\n  insn good\n',
     "7: there are two formats named 'good'"),
    ('unknown field', 'format a 0000 x:28\n  illegal if y == 1\n  insn a\n',
     "6: 'y' is not a field of 'a'"),
    ('unknown field in text', 'format a 0000 x:28\n  insn a "%reg(y)"\n',
     "5: 'y' is not a field of 'a'"),
    ('pc outside of text', 'format a 0000 x:28\n  illegal if pc == 0\n  insn a\n',
     "6: 'pc' is not a field of 'a'"),
    ('unknown operand', 'format a 0000 x:28\n  insn a "%rag(x)"\n',
     "5: operand '%rag' is not declared"),
    ('arguments of an operand', 'format a 0000 x:28\n  insn a "%reg(x, 1)"\n',
     "5: operand '%reg' takes 1 arguments, not 2"),
    ('unknown function', 'format a 0000 x:28\n  let y = thrice(x)\n  insn a\n',
     "6: function 'thrice' is not declared"),
    ('arguments of a function', 'format a 0000 x:28\n  let y = twice(x, x)\n  insn a\n',
     "6: function 'twice' takes 1 arguments, not 2"),
    ('unknown feature', 'format a 0000 x:28\n  needs slow\n  insn a\n',
     "6: feature 'slow' is not declared"),
    ('unknown attribute', 'format a 0000 x:28\n  with wings\n  insn a\n',
     "6: unknown attribute 'wings'"),
    ('unknown value of an attribute', 'format a 0000 x:28\n  with flags=eat\n  insn a\n',
     "6: unknown attribute 'flags'"),
    ('base is no field', 'format a 0000 x:28\n  with base=y\n  insn a\n',
     "6: 'base' must name a field of 'a'"),
    ('no name', 'format a 0000 x:28\n',
     "5: format 'a' needs an 'insn' line that always applies, as its last"),
    ('conditional name', 'format a 0000 x:28\n  insn a if x == 1\n',
     "5: format 'a' needs an 'insn' line that always applies, as its last"),
    ('overlap', GOOD + 'format bad 0000 1 value:27\n  insn bad\n',
     "7: 'bad' overlaps 'good' of TABLE:5, for example at 0x08000000"),
    ('overlap at one value', 'format a 0000 x:28\n  illegal if x > 7\n  insn a\n'
     'format b 0000 x:28\n  illegal if x < 7\n  insn b\n',
     "8: 'b' overlaps 'a' of TABLE:5, for example at 0x00000007"),
    ('overriding nothing', 'format a 0000 x:28\n  overrides b\n  insn a\n',
     "6: 'a' overrides 'b', which does not exist"),
    ('never legal', 'format a 0000 x:28\n  illegal if x >= 0\n  insn a\n', "5: 'a' is never legal"),
    ('unreachable', GOOD + 'format all 000 value:29\n  overrides good\n  insn all\n',
     "5: 'good' is unreachable behind the rows that override it"),
    ('unknown word', 'formats a 0000 x:28\n', "5: unknown word 'formats'"),
    ('not indented', GOOD + 'illegal if value == 1\n', "7: 'illegal' must be indented"),
    ('indented', '  format a 0000 x:28\n', "5: 'format' must not be indented"),
    ('outside of a row', '  insn a\n', "5: 'insn' stands before any 'format'"),
    ('broken expression', 'format a 0000 x:28\n  illegal if x ==\n  insn a\n',
     "6: expected a number or a name before ''"),
    ('unbalanced expression', 'format a 0000 x:28\n  illegal if (x == 1\n  insn a\n',
     "6: expected ')' before ''"),
    ('rest of a line', 'format a 0000 x:28\n  illegal if x == 1 2\n  insn a\n',
     "6: unexpected '2'"),
    ('condition missing', 'format a 0000 x:28\n  illegal x == 1\n  insn a\n',
     "6: expected 'if' and a condition"),
    ('open quote', 'format a 0000 x:28\n  insn a "x\n', '6: assembler text lacks its closing quote'),
    ('open choice', 'format a 0000 x:28\n  insn {a|b "x"\n',
     "6: expected '}' in assembler text before ''"),
    ('choice without selector', 'format a 0000 x:28\n  insn {a|b}\n',
     "6: expected '[' in assembler text before ''"),
    ('nothing at all', '', 'the tables name no guest or hold no format'),
]

generator = Path(sys.argv[1]).resolve()


def run(table):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'TABLE'
        path.write_text(HEAD + table)
        result = subprocess.run([generator, '--', 'TABLE'], cwd=directory, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True)
    return result.returncode, result.stderr.removeprefix('TABLE:').rstrip('\n')


def main():
    status, message = run(GOOD)
    print('ok 1 - a good table' if (status, message) == (0, '') else f'not ok 1 - {message}')
    for number, (name, table, expected) in enumerate(CASES, 2):
        status, message = run(table)
        passed = status == 1 and message == expected
        print(f"{'ok' if passed else 'not ok'} {number} - {name}: {expected}")
        if not passed:
            print(f'# status {status}: {message}')
    print(f'1..{len(CASES) + 1}')


main()
