"""Virtio devices that Linux has drivers for: network card, console, balloon."""
import re
import time

from cases.disks import VIRTIO
from machine import Failed

NET = [*VIRTIO, 'failover', 'net_failover', 'virtio_net']


def network(test):
    """a virtio network card: its address, its link, and the packets that it sends"""
    script = ('ip link set eth0 up; sleep 1; cat /sys/class/net/eth0/address; echo LINK $(cat /sys/class/net/eth0/carrier)\n'
              'ip addr add 10.0.0.1/24 dev eth0; ping -c 2 -W 1 10.0.0.2 >/dev/null; echo PINGED\n'
              'while [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.1; done; echo DOWN\n'
              'while [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.1; done; echo UP AGAIN')
    with test.linux(script, '--netdev', 'null,id=n', '--device',
                    'virtio-net-pci,netdev=n,mac=52:54:00:ab:cd:ef', modules=NET) as machine:
        machine.wait_serial('PINGED')
        if not all(text in machine.serial_text() for text in ('52:54:00:ab:cd:ef', 'LINK 1')):
            raise Failed(machine.serial_text()[-1000:])
        sent = int(re.search(r'sent (\d+) frames', machine.control('info', 'network'))[1])
        if sent < 2:
            raise Failed(f'{sent} frames were sent')
        machine.control('set_link', 'n', 'off')
        machine.wait_serial('DOWN')
        machine.control('set_link', 'n', 'on')
        machine.wait_serial('UP AGAIN')
        machine.wait_end()


def console(test):
    """a terminal on a virtio console, and a named port beside it"""
    out, port = test.scratch / 'hvc0', test.scratch / 'port'
    script = ('echo "Welcome to $(uname -s) on $(basename $(readlink -f /sys/class/tty/hvc0))" >/dev/hvc0\n'
              'for p in /sys/class/virtio-ports/*; do if grep -q example $p/name; then echo found $(cat $p/name) '
              '> /dev/$(basename $p); fi; done\n'
              'seq 1 5000 >/dev/hvc0; echo READY')
    with test.linux(script, '--device', 'virtio-serial-pci', '--chardev', f'file,path={out},id=c',
                    '--chardev', f'file:{port},id=p', '--device', 'virtconsole,chardev=c', '--device',
                    'virtserialport,chardev=p,name=org.example.0', modules=[*VIRTIO, 'virtio_console']) as machine:
        machine.wait_serial('READY')
        machine.wait_end()
    text = out.read_text().replace('\r', '')
    if 'Welcome to Linux on hvc0\n' not in text or not text.endswith('\n4999\n5000\n'):
        raise Failed(f'the console has {text[:100]}...{text[-100:]}')
    if port.read_text() != 'found org.example.0\n':
        raise Failed(f'the port has {port.read_text()}')


def balloon(test):
    """a balloon that takes memory back, and gives it again"""
    script = ('free() { awk "/^MemTotal/ { print int(\\$2 / 1024) }" /proc/meminfo; }; echo BEFORE $(free)\n'
              'while [ $(free) -gt 200 ]; do sleep 0.1; done; echo SMALL\n'
              'while [ $(free) -lt 300 ]; do sleep 0.1; done; echo LARGE')
    with test.linux(script, '--memory', '512M', '--device', 'virtio-balloon-pci',
                    modules=[*VIRTIO, 'virtio_balloon']) as machine:
        machine.wait_serial('BEFORE')
        machine.control('info', 'balloon')
        machine.control('balloon', '200M')
        machine.wait_serial('SMALL')
        machine.wait_until('info balloon', 20, lambda: machine.control('info', 'balloon'), 'actual 200 MiB')
        if 'total-memory' not in machine.control('info', 'balloon'):
            raise Failed('no statistics: ' + machine.control('info', 'balloon'))
        machine.control('balloon', '512M')
        machine.wait_serial('LARGE')
        machine.wait_end()


def resized(test):
    """a virtio disk that grows while Linux runs"""
    image = test.scratch / 'growing.raw'
    image.write_bytes(bytes(4 << 20))
    script = ('echo SIZE $(cat /sys/block/vda/size) $(cat /sys/block/vda/serial); '
              'while [ $(cat /sys/block/vda/size) = 8192 ]; do sleep 0.1; done\n'
              'echo THEN $(cat /sys/block/vda/size)')
    with test.linux(script, '--drive', f'file={image},format=raw,if=none,id=x', '--device',
                    'virtio-blk-pci,drive=x,serial=ABC123,num-queues=2', modules=[*VIRTIO, 'virtio_blk']) as machine:
        machine.wait_serial('SIZE 8192 ABC123')
        time.sleep(0.5)
        machine.control('block_resize', 'x', '6M')
        machine.wait_serial('THEN 12288')
        machine.wait_end()


CASES = [network, console, balloon, resized]
