"""What Linux is started with directly: a kernel and an initial RAM disk with busybox, made of the
files that scripts/fetch-guests unpacks."""
import gzip
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent


def fetch():
    """The directory of the unpacked packages; fetches them unless they are in the cache."""
    result = subprocess.run([SCRIPTS / 'fetch-guests'], check=True, text=True, stdout=subprocess.PIPE)
    return Path(result.stdout.strip())


def installer(guests):
    """The directory of the other kernel, of Debian's installer: more drivers are modules of it."""
    return guests / 'installer'


def i386(guests):
    """The directory of a 32-bit system: a kernel, and busybox."""
    return guests / 'i386'


def kernel(system):
    """Debian's kernel for virtual machines, the installer's, or a 32-bit one."""
    return next((system / 'boot').glob('vmlinuz*'))


def module(system, name):
    """The file of one of its modules."""
    return next((system / 'lib/modules').glob(f'**/{name}.ko'))


def initrd(guests, script, modules=(), system=None, programs=()):
    """The bytes of an initial RAM disk with busybox, whose /init loads the modules, runs the script
    and switches off. system: where the modules are, unless with the rest; programs: more of them, as
    pairs of a name and a file."""
    text = ('#!/bin/busybox sh\n'
            '/bin/busybox --install -s /bin\n'
            'export PATH=/bin\n'
            'mkdir -p /proc /sys /dev /tmp\n'
            'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n'
            + ''.join(f'insmod /{name}.ko\n' for name in modules) +
            f'{script}\n'
            'poweroff -f\n')
    members = [
        ('bin', 0o40755, b''),
        ('init', 0o100755, text.encode()),
        ('bin/busybox', 0o100755, (guests / 'bin/busybox').read_bytes()),
        *((f'{name}.ko', 0o100644, module(system or guests, name).read_bytes()) for name in modules),
        *((f'bin/{name}', 0o100755, path.read_bytes()) for name, path in programs),
        ('TRAILER!!!', 0, b''),
    ]
    return gzip.compress(b''.join(_member(*member) for member in members), 1)


def _member(name, mode, data):
    """Of a cpio archive ("newc")."""
    encoded = name.encode() + b'\0'
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
    header = b'070701' + b''.join(b'%08x' % field for field in fields)
    return _pad(header + encoded) + _pad(data)


def _pad(data):
    return data + b'\0' * (-len(data) % 4)
