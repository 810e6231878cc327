"""gdb on a guest: gdb's own program, and a kernel of which it knows the source."""
import shutil
import subprocess

import guests
from cases import kernels
from machine import Failed, Skipped


def debug(test, machine_arguments, *commands, program=None):
    """What gdb says to the commands, of a machine that waits for it; and the machine, which ended."""
    if not shutil.which('gdb'):
        raise Skipped('there is no gdb')
    socket = test.scratch / 'gdb.sock'
    with test.machine('--stopped', '-g', f'unix:{socket}', *machine_arguments) as machine:
        machine.wait_until('the run directory', 20, lambda: str(socket.exists()), 'True')
        script = ['set confirm off', 'set pagination off', f'target remote {socket}', *commands]
        words = [word for line in script for word in ('-ex', line)]
        result = subprocess.run(['gdb', '-nx', '-batch', *([program] if program else []), *words],
                                capture_output=True, text=True, check=False, timeout=240,
                                cwd=test.scratch)
        output = result.stdout + result.stderr
        machine.wait_end()
    return output


def expect(output, *wanted):
    missing = [text for text in wanted if text not in output]
    if missing:
        raise Failed(f'not {missing} in:\n{output}')


def gdb_kernel(test):
    """gdb debugs a kernel by its source: breakpoints, steps, variables, registers, both CPUs"""
    kernel = kernels.build(test, 'debugged', '-DMULTIBOOT', '-g', '-O0')
    output = debug(
        test, ['--kernel', kernel, '--memory', '32M', '--smp', '2', '--cpu', 'pentium3'],
        'break print_number if value == 0x2badb002', 'continue', 'backtrace', 'info threads',
        'print what[0]', 'set var value = 0x1234', 'print/x value', 'x/2i $pc', 'stepi', 'print $cr0 & 1',
        'print $eflags', 'print $xmm1.uint128', 'set var $xmm1.uint128 = 77', 'print $xmm1.uint128',
        'print $fctrl', 'monitor info status', 'delete', 'finish', 'continue', program=kernel)
    expect(output, 'Breakpoint 1, print_number (what=', 'in kernel_main (eax=', 'Thread 2 (CPU 1',
           "= 101 'e'", '= 0x1234', '= 1\n', '[ ', '= 77', '= 895', 'paused', 'exited normally')


def gdb_linux(test):
    """gdb stops Linux at a system call, and the program goes on afterwards"""
    script = 'grep -E " __x64_sys_(sethostname|reboot)$" /proc/kallsyms; cat /proc/cmdline'
    with test.linux(script, append='nokaslr') as machine:
        machine.wait_serial('nokaslr')
        machine.wait_end()
        symbols = {line.split()[2]: line.split()[0] for line in machine.serial_text().splitlines()
                   if line.count(' ') == 2 and '__x64_sys_' in line}
    path = test.scratch / 'initrd-gdb'
    path.write_bytes(guests.initrd(test.guests, 'hostname menura; echo NAMED $(hostname)'))
    output = debug(
        test, ['--kernel', guests.kernel(test.guests), '--initrd', path, '--append',
               'console=ttyS0 panic=-1 nokaslr'],
        f'hbreak *0x{symbols["__x64_sys_sethostname"]}', 'continue', 'print $cs', 'print/x $efer & 0x500',
        'print $gs_base != 0', 'x/s *(long long *) ($rdi + 0x70)', 'delete',
        f'break *0x{symbols["__x64_sys_reboot"]}', 'continue', 'print/x *(unsigned *) ($rdi + 0x70)', 'detach')
    expect(output, 'Breakpoint 1', '= 16', '= 0x500', '"menura"', 'Breakpoint 2', '= 0xfee1dead', 'detached')


CASES = [gdb_kernel, gdb_linux]
