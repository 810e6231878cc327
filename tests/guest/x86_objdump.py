#!/usr/bin/env python3
"""x86_objdump.py WORDS OBJDUMP [FILE...]

Compares the x86 decoder and disassembler (through the program x86_words) with GNU binutils on random
instructions of every row, and on files of 64-bit code if given. TAP; MENURA_TEST_FULL=1 for many.
"""
import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MACHINES = {64: ['-M', 'intel,x86-64'], 32: ['-M', 'intel,i386'], 16: ['-M', 'intel,i8086']}
OBJDUMP_LINE = re.compile(r'\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$')
# Prefixes that mean nothing to the instruction: binutils shows them, Menura does not.
PREFIX = re.compile(r'(rex(\.\w+)?|data16|data32|addr(16|32)|[cdefgs]s|repz|repnz|rep|lock|'
                    r'xacquire|xrelease|bnd|notrack)$')
STRING = re.compile(r'(movs|cmps|stos|lods|scas|ins|outs) ')
# Encodings that processors execute and binutils calls bad or by the names of withdrawn extensions.
UNKNOWN = re.compile(r'f(st|com|xch)p? st\(\d\)$|[lms]fence$|nop |wbinvd|salc|prefetch|'
                     r'mov(q2dq|dq2q) |rd[fg]sbase')
# Intel's and AMD's processors differ.
NEAR_BRANCH_16 = re.compile(r'(66 .*\b(e8|e9|eb|c2|c3|ff|7.|0f 8.|e[0-3])\b)')
# Registers and sizes that binutils gets wrong or names otherwise: the width of segments' selectors,
# far pointers of 80 bits, MMX registers in MOVQ2DQ, an absolute address written with an index.
SPELLING = re.compile(r'mov [c-gs]s,|movsxd \w+,|(l[fgs]s|call|jmp) .*TBYTE|mov(q2dq|dq2q)|'
                      r'(rd|wr)[fg]sbase|v?pclmul|nop$|fwait$|.*\bds:0x|sysret')

words, objdump, *files = sys.argv[1:]
count = 0


def check(passed, name, examples=()):
    global count
    count += 1
    print(f"{'ok' if passed else 'not ok'} {count} - {name}")
    if not passed:
        for example in list(examples)[:int(os.environ.get('MENURA_TEST_SHOW', 12))]:
            print('#', *example, sep='  ')


def tidy(text):
    text = ' '.join(re.sub(r'\s*# .*| <[^>]*>|\(8087 only\)|\(287 only\)', '', text).split())
    tokens = text.split(' ')
    body = list(itertools.dropwhile(PREFIX.match, tokens)) or ['fwait']
    repeats = [token for token in tokens if token.startswith('rep')]
    if repeats and STRING.match(' '.join(body)):
        body.insert(0, repeats[-1])
    text = 'lock ' * ('lock' in tokens) + ' '.join(body)
    # An index register that is none, zero and negative displacements, a suffix for REX.W.
    text = re.sub(r'\+[re]iz\*\d', '', text)
    text = re.sub(r'\+0x0(?=\])', '', text)
    text = re.sub(r'\+0xffffffff([89a-f][0-9a-f]{7})\]',
                  lambda m: f'-{hex(2**32 - int(m[1], 16))}]', text)
    text = re.sub(r'\b0x0+(?=[0-9a-f])', '0x', text)
    text = re.sub(r'^(v?pcmp[ei]str[im])q', r'\1', text)
    text = re.sub(r'^(v?lddqu|invpcid)(.*)XMMWORD PTR |^(vlddqu)(.*)YMMWORD PTR ', r'\1\2\3\4', text)
    text = re.sub(r'^(vmovs[sd] )ymm', r'\1xmm', text.replace('OWORD', 'XMMWORD'))
    # Targets, whose upper bits depend on more than the instruction.
    return re.sub(r'^((j|call|loop)\w*) 0x[0-9a-f]*?([0-9a-f]{1,4})$', lambda m: f'{m[1]} {int(m[3], 16):#x}', text)


def binutils(path, bits):
    dump = subprocess.run([objdump, '-D', '-z', '-w', '-b', 'binary', '-m', 'i386', *MACHINES[bits],
                           '--insn-width=16', path], capture_output=True, text=True, check=True).stdout
    result = {}
    for match in filter(None, map(OBJDUMP_LINE.match, dump.splitlines())):
        result[int(match[1], 16)] = (len(match[2].split()), match[2].strip(), tidy(match[3]))
    return result


def same_text(ours, theirs):
    """Equal, but for a suffix that tells the operand size."""
    our_name, _, our_operands = ours.partition(' ')
    their_name, _, their_operands = theirs.partition(' ')
    return our_operands == their_operands and (
        our_name == their_name or re.fullmatch(re.escape(our_name) + '([wdq]|64)', their_name) or
        (our_name[:-1] == their_name and our_name[-1] in 'wdq'))


def compare(name, path, bits, lines):
    theirs, lengths, texts, same = binutils(path, bits), [], [], 0
    for line in lines:
        at, size, text = line.split('\t', 2)
        length, code, their = theirs.get(int(at, 16), (0, '', ''))
        text = tidy(text)
        if UNKNOWN.match(text) and ('(bad)' in their or 'bnd' in their or 'cldemote' in their):
            same += 1
        elif bits == 64 and NEAR_BRANCH_16.search(code) and re.match(r'j|call|ret|loop', text):
            same += 1
        elif (length != int(size) and text != 'fwait') or '(bad)' in their:
            lengths.append((code, their, text, size))
        elif not same_text(text, their) and not SPELLING.match(text):
            texts.append((code, their, text))
        else:
            same += 1
    check(not lengths, f'{name}: same lengths', lengths)
    check(not texts, f'{name}: same text, {same} of {len(lines)}', texts)


def main():
    total = 300_000 if os.environ.get('MENURA_TEST_FULL') else 15_000
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'code'
        for bits in 64, 32, 16:
            run = subprocess.run([words, str(bits), str(total), '1', path], capture_output=True,
                                 text=True, check=True)
            compare(f'{bits} bits', path, bits, run.stdout.splitlines())
        for file in files:
            run = subprocess.run([words, '64', 'file', file], capture_output=True, text=True,
                                 check=True)
            compare(Path(file).name, file, 64, run.stdout.splitlines())
    print(f'1..{count}')


main()
