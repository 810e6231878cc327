"""Command lines, ours and QEMU's: what is no such thing is refused by name, in one line; what is one is
seen to be taken as the program goes on to a kernel that is not there."""
import subprocess

from machine import Failed

MISSING = 'no-such-kernel'
# What is said, and what the line that refuses it names.
REFUSED = {
    'boot': [('--accel tcg', "'tcg'"), ('--accel dbt,speed=9', "'speed'"), ('--machine q35', "'q35'"),
             ('--machine pc,usb=off', "'usb'"), ('--smp 2,cores=3', '--smp'), ('--smp many', "'many'"),
             ('--serial pigeon:x', "'pigeon'"), ('--netdev pigeon,id=n', "'pigeon'"), ('--cpu i4004', "'i4004'"),
             ('--device pigeon', "'pigeon'"), ('-rtc base=utc', "'-rtc'")],
    'qemu': [('-accel kvm', "'kvm'"), ('-accel kvm:hvf', "'kvm:hvf'"), ('-M pc,accel=hvf', "'hvf'"),
             ('-rtc base=localtime', 'UTC'), ('-rtc clock=vm', "'clock'"), ('-monitor stdio', 'monitor'),
             ('-enable-kvm', "'-enable-kvm'"), ('-net user', '-net'), ('--append', '--append')],
}
TAKEN = {
    'boot': ['--accel interp', '--machine microvm', '--machine type=pc,accel=dbt', '--smp 4,sockets=2'],
    'qemu': ['-accel tcg', '-accel tcg,thread=multi', '-accel kvm:tcg', '-M accel=tcg,type=pc', '-rtc base=utc',
             '-nodefaults -no-user-config -S -monitor none -nic none', '--smp cpus=2'],
}


def refusal(test, kind, words):
    program = [test.menura, 'boot'] if kind == 'boot' else [test.qemu()]
    kernel = ['--kernel', MISSING] if kind == 'boot' else ['-kernel', MISSING]
    ended = subprocess.run([*program, '--display', 'none', *kernel, *words.split()], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=60, check=False)
    if ended.returncode == 0 or ended.stderr.count('\n') != 1 or ended.stdout:
        raise Failed(f'{kind} {words}: status {ended.returncode}\n{ended.stdout}{ended.stderr}')
    return ended.stderr


def command_lines(test):
    """command lines, ours and QEMU's: what is not there is refused by name"""
    for kind, cases in REFUSED.items():
        for words, name in cases:
            line = refusal(test, kind, words)
            if name not in line or MISSING in line:
                raise Failed(f'{kind} {words}: {line}')
    for kind, cases in TAKEN.items():
        for words in cases:
            line = refusal(test, kind, words)
            if MISSING not in line:
                raise Failed(f'{kind} {words}: {line}')


CASES = [command_lines]
