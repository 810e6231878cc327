"""What the CPU and the chipset can do, by kernels that try it."""
import os
import subprocess
from pathlib import Path

from machine import Failed, Skipped

KERNELS = Path(__file__).resolve().parent.parent / 'kernels'


def build(test, name):
    """A multiboot kernel of one assembler file."""
    kernel = test.scratch / f'{name}.elf'
    command = ['gcc', '-m32', '-nostdlib', '-static', '-Wl,-Ttext=0x100000,-N,--build-id=none,-w',
               '-o', kernel, KERNELS / f'{name}.S']
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise Skipped(f'gcc cannot build it: {result.stdout.strip().splitlines()[-1]}')
    return kernel


def smm(test):
    """system management mode by the chipset, in memory that is hidden"""
    with test.machine('--kernel', build(test, 'smm'), '--device',
                      'isa-debug-exit,iobase=0xf4,iosize=4') as machine:
        machine.wait_end(16 * 2 + 1)


def five_levels(test):
    """Linux with five levels of page tables"""
    script = 'grep -o "57 bits virtual" /proc/cpuinfo; grep -ow la57 /proc/cpuinfo; echo READY'
    with test.linux(script, '--cpu', 'max,+la57') as machine:
        machine.wait_serial('READY')
        machine.wait_end()
        text = machine.serial_text()
        if '57 bits virtual' not in text or '\nla57' not in text:
            raise Failed(f'Linux uses four:\n{text[-500:]}')


def pae(test):
    """a 32-bit Linux with PAE, and memory above 4 GiB"""
    script = ('grep -ow pae /proc/cpuinfo; mkdir /t; mount -t tmpfs none /t\n'
              'dd if=/dev/zero of=/t/x bs=1M count=200; md5sum /t/x\n'
              'grep HighTotal /proc/meminfo | { read name size unit\n'
              'echo READY $(uname -m) $((size / 1000000)); }')
    with test.linux(script, '--memory', '5G', i386=True) as machine:
        machine.wait_serial('READY i686 4')
        machine.wait_end()
        text = machine.serial_text()
        if '\npae' not in text or '3566de3a97906edb98d004d6b947ae9b' not in text:
            raise Failed(text[-1000:])


def processor_time(machine):
    """What the machine has used of the host's, in seconds."""
    fields = Path(f'/proc/{machine.process.pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def mwait(test):
    """Linux with two CPUs that idle in MWAIT, and leave the host alone"""
    script = ('dmesg | grep -o "using mwait"; md5sum /bin/busybox & wait; sleep 2; echo IDLE; sleep 4\n'
              'echo READY')
    with test.linux(script, '--cpu', 'max,+monitor', '--smp', '2') as machine:
        machine.wait_serial('IDLE')
        before = processor_time(machine)
        machine.wait_serial('READY')
        used = processor_time(machine) - before
        machine.wait_end()
        if 'using mwait' not in machine.serial_text() or used > 1.5:
            raise Failed(f'{used} s of 4:\n{machine.serial_text()[-500:]}')


CASES = [smm, five_levels, pae, mwait]
