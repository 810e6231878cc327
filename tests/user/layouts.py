#!/usr/bin/env python3
"""Compares the structure layouts that gen-syscalls made with those of the kernel's own headers.

usage: layouts.py COMPILER ABI GENERATED.c

The compiler, told to compile for the ABI, checks sizes and offsets of what the generated file says
of the guest's side. Output is TAP.
"""
import re
import subprocess
import sys

TARGETS = {'i386': ['-m32'], 'x86_64': ['-m64']}
INCLUDES = ['-isystem', '/usr/include/x86_64-linux-gnu', '-isystem', '/usr/include']

# Where the kernel's structures are; those that are not here are in linux/NAME.h.
HEADERS = {
    'timespec': 'linux/time.h', 'timespec64': 'linux/time_types.h', 'itimerspec64': 'linux/time_types.h',
    'timeval': 'linux/time.h', 'itimerval': 'linux/time.h', 'utimbuf': 'linux/utime.h',
    'tms': 'linux/times.h', 'timex64': 'linux/timex.h', 'rlimit': 'linux/resource.h',
    'rusage': 'linux/resource.h', 'iovec': 'linux/uio.h', 'pollfd': 'linux/poll.h',
    'epoll_event': 'linux/eventpoll.h', 'flock': 'linux/fcntl.h', 'flock64': 'linux/fcntl.h',
    'stat': 'asm/stat.h', 'stat64': 'asm/stat.h', 'statfs': 'asm/statfs.h', 'statfs64': 'asm/statfs.h',
    'semid64_ds': 'linux/sem.h', 'shmid64_ds': 'asm/shmbuf.h', 'msqid64_ds': 'linux/msg.h',
    'shminfo64': 'asm/shmbuf.h', 'mq_attr': 'linux/mqueue.h', 'sigevent': 'linux/signal.h',
    'sock_fprog': 'linux/filter.h', 'hd_geometry': 'linux/hdreg.h', 'ifreq': 'linux/if.h',
    'rtentry': 'linux/route.h', 'open_how': 'linux/openat2.h', 'clone_args': 'linux/sched.h',
}

# What the kernel has in headers that it does not export.
PRELUDE = """
#include <linux/types.h>
#include <linux/ipc.h>
#include <asm/ipcbuf.h>
#define _SYS_SOCKET_H /* linux/if.h would include it */
struct sockaddr { unsigned short family; char data[14]; };
"""

# Our structure: the kernel's, what the headers call our fields, fields that the headers do not have.
# Times are __kernel_old_time_t in the headers' structures.
STRUCTS = {
    'timespec': ('struct timespec', {'sec': 'tv_sec', 'nsec': 'tv_nsec'}),
    'timespec64': ('struct __kernel_timespec', {'sec': 'tv_sec'}),
    'itimerspec64': ('struct __kernel_itimerspec',
                     {'interval_sec': 'it_interval.tv_sec', 'value_sec': 'it_value.tv_sec'}),
    'timeval': ('struct timeval', {'sec': 'tv_sec', 'usec': 'tv_usec'}),
    'itimerval': ('struct itimerval', {'interval_sec': 'it_interval.tv_sec',
                                       'value_usec': 'it_value.tv_usec'}),
    'utimbuf': ('struct utimbuf', {'access': 'actime', 'modification': 'modtime'}),
    'tms': ('struct tms', {'user': 'tms_utime', 'child_system': 'tms_cstime'}),
    'timex': ('struct timex', {name: name for name in
              'modes offset freq maxerror esterror status constant precision tolerance tick ppsfreq '
              'jitter shift stabil jitcnt calcnt errcnt stbcnt tai'.split()}),
    'timex64': ('struct __kernel_timex', {name: name for name in
                'modes offset freq maxerror status tolerance tick shift stabil stbcnt tai'.split()}),
    'rlimit': ('struct rlimit', {'current': 'rlim_cur', 'maximum': 'rlim_max'}),
    'rusage': ('struct rusage', {'user_sec': 'ru_utime.tv_sec', 'maxrss': 'ru_maxrss',
                                 'nivcsw': 'ru_nivcsw'}),
    'sysinfo': ('struct sysinfo', {name: name for name in
                'uptime loads totalram freeram sharedram bufferram totalswap freeswap procs '
                'totalhigh freehigh mem_unit'.split()}),
    'iovec': ('struct iovec', {'base': 'iov_base', 'length': 'iov_len'}),
    'pollfd': ('struct pollfd', {name: name for name in ('fd', 'events', 'revents')}),
    'epoll_event': ('struct epoll_event', {'events': 'events', 'data': 'data'}),
    'flock': ('struct flock', {'type': 'l_type', 'whence': 'l_whence', 'start': 'l_start',
                               'len': 'l_len', 'pid': 'l_pid'}),
    'flock64': ('struct flock64', {'start': 'l_start', 'len': 'l_len', 'pid': 'l_pid'}),
    'stat': ('struct stat', {'ino': 'st_ino', 'mode': 'st_mode', 'nlink': 'st_nlink', 'uid': 'st_uid',
                             'gid': 'st_gid', 'size': 'st_size', 'blocks': 'st_blocks',
                             'atime': 'st_atime', 'mtime_nsec': 'st_mtime_nsec', 'ctime': 'st_ctime'}),
    'stat64': ('struct stat64', {'dev': 'st_dev', 'ino': 'st_ino', 'mode': 'st_mode',
                                 'nlink': 'st_nlink', 'uid': 'st_uid', 'gid': 'st_gid',
                                 'rdev': 'st_rdev', 'size': 'st_size', 'blksize': 'st_blksize',
                                 'blocks': 'st_blocks', 'atime': 'st_atime',
                                 'mtime_nsec': 'st_mtime_nsec', 'ctime': 'st_ctime'}),
    'statfs': ('struct statfs', {name: 'f_' + name for name in
               'type bsize blocks bfree bavail files ffree fsid namelen frsize flags'.split()}),
    'statfs64': ('struct statfs64', {name: 'f_' + name for name in
                 'type bsize blocks bfree bavail files ffree fsid namelen frsize flags'.split()}),
    'semid64_ds': ('struct semid64_ds', {'mode': 'sem_perm.mode', 'seq': 'sem_perm.seq',
                                         'otime': 'sem_otime', 'ctime': 'sem_ctime',
                                         'nsems': 'sem_nsems'}),
    'shmid64_ds': ('struct shmid64_ds', {'segsz': 'shm_segsz', 'atime': 'shm_atime',
                                         'ctime': 'shm_ctime', 'cpid': 'shm_cpid',
                                         'nattch': 'shm_nattch'}),
    'msqid64_ds': ('struct msqid64_ds', {'stime': 'msg_stime', 'ctime': 'msg_ctime',
                                         'cbytes': 'msg_cbytes', 'qbytes': 'msg_qbytes',
                                         'lspid': 'msg_lspid'}),
    'shminfo64': ('struct shminfo64', {name: name for name in 'shmmax shmseg shmall'.split()}),
    'mq_attr': ('struct mq_attr', {'flags': 'mq_flags', 'curmsgs': 'mq_curmsgs'}),
    'sigevent': ('struct sigevent', {'value': 'sigev_value', 'signal': 'sigev_signo',
                                     'notify': 'sigev_notify', 'thread': '_sigev_un._tid'}),
    'sock_fprog': ('struct sock_fprog', {'length': 'len', 'filter': 'filter'}),
    'hd_geometry': ('struct hd_geometry', {name: name for name in
                    'heads sectors cylinders start'.split()}),
    'ifreq': ('struct ifreq', {'name': 'ifr_ifrn', 'value': 'ifr_ifru'}),
    'rtentry': ('struct rtentry', {'destination': 'rt_dst', 'flags': 'rt_flags', 'metric': 'rt_metric',
                                   'device': 'rt_dev', 'mtu': 'rt_mtu', 'irtt': 'rt_irtt'}),
    'open_how': ('struct open_how', {'flags': 'flags', 'resolve': 'resolve'}),
    'clone_args': ('struct clone_args', {'flags': 'flags', 'tls': 'tls', 'cgroup': 'cgroup'}),
}

# Members that are unions of something else: only where they are is compared.
PLACE_ONLY = {'data', 'sem_perm.mode', 'ifr_ifrn', 'ifr_ifru', 'sigev_value', 'rt_dst'}
ONLY_32 = {'stat64', 'statfs64', 'flock64', 'timespec64', 'itimerspec64', 'timex64'}


def read_layouts(path):
    """name -> (size, {field: (offset, bytes)}) of the guest's side."""
    text = open(path).read()
    layouts = {}
    for name, body in re.findall(r'StructField fields_(\w+)\[\] = \{\n(.*?)\};', text, re.S):
        fields = {}
        for field, offset, size, count in re.findall(
                r'\{"(\w+)", (\d+), \d+, (\d+), \d+, \'.\', (\d+)\}', body):
            fields[field] = (int(offset), int(size) * int(count))
        size = re.search(rf'\w+_struct_{name} = \{{"{name}", (\d+), ', text).group(1)
        layouts[name] = (int(size), fields)
    return layouts


def check(compiler, abi, name, layout):
    """The compiler's complaints about one structure."""
    kernel, members = STRUCTS[name]
    size, fields = layout
    lines = [PRELUDE, f'#include <{HEADERS.get(name, "linux/" + name + ".h")}>']
    lines.append(f'_Static_assert(sizeof({kernel}) == {size}, "size {size}");')
    for field, member in members.items():
        offset, length = fields[field]
        lines.append(f'_Static_assert(__builtin_offsetof({kernel}, {member}) == {offset}, '
                     f'"{field} at {offset}");')
        if member not in PLACE_ONLY:
            lines.append(f'_Static_assert(sizeof((({kernel} *)0)->{member}) == {length}, '
                         f'"{field} has {length} bytes");')
    result = subprocess.run([compiler, *TARGETS[abi], '-D__KERNEL__', '-nostdinc', *INCLUDES, '-x', 'c',
                             '-fsyntax-only', '-'],
                            input='\n'.join(lines) + '\n', capture_output=True, text=True)
    return [line for line in result.stderr.splitlines() if 'error' in line]


def main():
    compiler, abi, path = sys.argv[1:]
    layouts = read_layouts(path)
    names = [name for name in STRUCTS if abi == 'i386' or name not in ONLY_32]
    print(f'1..{len(names)}')
    for number, name in enumerate(names, 1):
        problems = check(compiler, abi, name, layouts[name])
        for line in problems:
            print(f'# {line}')
        print(f"{'not ok' if problems else 'ok'} {number} - {abi} {name}")


main()
