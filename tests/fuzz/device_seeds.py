#!/usr/bin/env python3
"""Makes seeds of the fuzz target `device`, in seeds/device beside this file.

A mutation seldom finds a row of register writes that makes a controller move data; from a seed that
has such a row it goes on. Steps and their operands are those of device.c; targets are the numbers
that tests/device/bench.c gives a device's regions: ports, then memory, the latest placed first."""
import os
import struct

READ, WRITE, MEMORY, WAIT, OUTSIDE, RELOAD = range(6)
FAR = 9  # to be added to the first two, with an offset of 32 bits
TAKE_OUT, PUT_IN, FORCED = 0, 1, 2  # media, from outside
SIZES = {1: 0x00, 2: 0x40, 4: 0x80, 8: 0xc0}


class Seed:
    def __init__(self, place):
        """place: the byte that chooses the device."""
        self.bytes = bytearray([place])

    def access(self, what, target, offset, size):
        far = offset > 0xffff
        return struct.pack('<BBI' if far else '<BBH', what + FAR * far | SIZES[size], target, offset)

    def read(self, target, offset, size=1, times=1):
        self.bytes += self.access(READ, target, offset, size) * times

    def write(self, target, offset, value, size=1):
        self.bytes += self.access(WRITE, target, offset, size) + value.to_bytes(size, 'little')

    def memory(self, address, content):
        self.bytes += struct.pack('<BHB', MEMORY, address // 16, len(content)) + content

    def wait(self, exponent=10):
        self.bytes += bytes([WAIT, exponent])

    def outside(self, value):
        self.bytes += struct.pack('<BI', OUTSIDE, value)

    def reload(self):
        self.bytes.append(RELOAD)

    def save(self, name):
        directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'seeds', 'device')
        assert len(self.bytes) <= 4096, name
        with open(os.path.join(directory, name), 'wb') as file:
            file.write(self.bytes)


PACKETS = [bytes.fromhex(text.replace(' ', '').ljust(24, '0')) for text in (
    '12 00 00 00 24',           # INQUIRY
    '03 00 00 00 12',           # REQUEST SENSE
    '1b 00 00 00 02',           # START STOP UNIT: eject
    '1b 00 00 00 03',           # load
    '4a 01 00 00 10 00 00 00 08',  # GET EVENT STATUS NOTIFICATION
    '03 00 00 00 12',
    '00',                       # TEST UNIT READY, twice: the medium is another
    '00',
    '1e 00 00 00 01',           # PREVENT REMOVAL
    '1b 00 00 00 02',
    '25',                       # READ CAPACITY
    '28 00 00 00 00 01 00 00 02',  # READ (10)
    'a8 00 00 00 00 00 00 00 00 01',  # READ (12)
    'be 00 00 00 00 02 00 00 01 10',  # READ CD
    '2b 00 00 00 00 10',        # SEEK
    '43 02 00 00 00 00 00 00 40',  # READ TOC
    '46 00 00 00 00 00 00 01 00',  # GET CONFIGURATION
    '51 00 00 00 00 00 00 00 40',  # READ DISC INFORMATION
    '5a 00 3f 00 00 00 00 00 40',  # MODE SENSE
    'bd 00 00 00 00 00 00 00 00 08',  # MECHANISM STATUS
)]


def descriptor(address, size, last=True):
    """Of the IDE bus master."""
    return struct.pack('<II', address, size & 0xfffe | last << 31)


class Ide(Seed):
    MASTER, FILE = 0, 4

    def __init__(self):
        super().__init__(40)

    def command(self, code, count=1, lba=0, feature=0):
        self.write(self.FILE, 1, feature)
        self.write(self.FILE, 2, count)
        for i in range(3):
            self.write(self.FILE, 3 + i, lba >> 8 * i & 0xff)
        self.write(self.FILE, 7, code)

    def packet(self, packet, dma=False):
        self.command(0xa0, 0, 0xfffe00, int(dma))
        for i in range(0, 12, 2):
            self.write(self.FILE, 0, int.from_bytes(packet[i:i + 2], 'little'), 2)

    def master(self, to_memory, table=0x1000):
        self.write(self.MASTER, 4, table, 4)
        self.write(self.MASTER, 0, 9 if to_memory else 1)
        self.wait()
        self.read(self.MASTER, 2)
        self.write(self.MASTER, 0, 0)


def ata():
    seed = Ide()
    seed.memory(0x1000, descriptor(0x4000, 0x300, False) + descriptor(0x8000, 0x900))
    seed.memory(0x1100, descriptor(0x4000, 0x200))
    seed.write(seed.FILE, 6, 0xe0)
    for code, count in ((0x20, 1), (0xc6, 2), (0xc4, 2)):
        seed.command(code, count)
        seed.wait()
        seed.read(seed.FILE, 0, 4, 128 if code == 0x20 else 0)
    seed.write(3, 0, 4)  # leaves the rest by a reset
    seed.write(3, 0, 0)
    seed.command(0x30)
    for i in range(128):
        seed.write(seed.FILE, 0, i, 4)
    seed.wait()
    for code in (0xf8, 0x27, 0x42, 0xe7, 0xec, 0xef, 0xe5):
        seed.command(code)
        seed.wait()
    seed.write(3, 0, 4)
    seed.write(3, 0, 0)
    for code in (0xc8, 0x25):
        seed.command(code, 6)
        seed.master(True)
    seed.command(0xca, 6)
    seed.master(False)
    seed.memory(0x4000, struct.pack('<QQ', 1 | 2 << 48, 8 | 1 << 48))
    seed.command(0x06, 1, 0, 1)
    seed.master(False, 0x1100)
    seed.reload()
    seed.save('ata')


def atapi():
    seed = Ide()
    seed.memory(0x1000, descriptor(0x4000, 0x300, False) + descriptor(0x8000, 0x2000))
    seed.write(seed.FILE, 6, 0xf0)
    for packet in PACKETS:
        seed.packet(packet)
        seed.wait()
        seed.read(seed.FILE, 0, 4, 9)
        seed.write(seed.FILE, 7, 0x08)
    for packet in PACKETS[11], PACKETS[18]:
        seed.packet(packet, True)
        seed.master(True)
    seed.outside(TAKE_OUT)
    seed.outside(TAKE_OUT | FORCED)
    seed.outside(PUT_IN)
    seed.packet(PACKETS[6])
    seed.packet(PACKETS[11], True)
    seed.write(seed.MASTER, 0, 9)
    seed.outside(TAKE_OUT | FORCED)
    seed.reload()
    seed.save('atapi')


class Ahci(Seed):
    LIST, FRAMES, TABLES, DATA = 0x1000, 0x1800, 0x2000, 0x8000

    def __init__(self, port):
        super().__init__(205)
        self.port = 0x100 + 0x80 * port
        self.slots = 0

    def command(self, frame, packet=None, write=False):
        table = self.TABLES + self.slots * 0x100
        flags = 5 | (packet is not None) << 5 | write << 6
        self.memory(self.LIST + self.slots * 32, struct.pack('<HHIQ', flags, 2, 0, table))
        self.memory(table, frame)
        if packet:
            self.memory(table + 0x40, packet)
        self.memory(table + 0x80, struct.pack('<QII', self.DATA, 0, 0xff) +
                    struct.pack('<QII', self.DATA + 0x1000, 0, 0x1fff))
        self.slots += 1

    def start(self, queued=0):
        self.write(0, 4, 0x80000002, 4)
        for offset, value in ((0x00, self.LIST), (0x08, self.FRAMES), (0x14, 0x7fffffff),
                              (0x18, 0x11), (0x34, queued), (0x38, (1 << self.slots) - 1)):
            self.write(0, self.port + offset, value, 4)
        for _ in range(3):
            self.wait()
        self.read(0, self.port + 0x20, 4)
        self.write(0, self.port + 0x30, 0xffffffff, 4)


def frame(code, count=1, lba=0, feature=0):
    return struct.pack('<BBBB', 0x27, 0x80, code, feature & 0xff) + lba.to_bytes(3, 'little') + \
        bytes([0xe0, 0, 0, 0, feature >> 8]) + struct.pack('<HHI', count, 0, 0)


def ahci_ata():
    seed = Ahci(0)
    seed.memory(seed.DATA, struct.pack('<QQ', 1 | 2 << 48, 8 | 1 << 48))
    for code, count, lba, feature in ((0x06, 1, 0, 1), (0x20, 3, 1, 0), (0x30, 2, 4, 0),
                                      (0xc6, 4, 0, 0), (0xc4, 4, 0, 0), (0xc5, 4, 0, 0),
                                      (0xf8, 1, 0, 0), (0x2f, 1, 0, 0), (0x2f, 1, 0x10, 0),
                                      (0x25, 9, 0, 0), (0x35, 9, 0, 0), (0xea, 1, 0, 0),
                                      (0xec, 1, 0, 0)):
        seed.command(frame(code, count, lba, feature), write=code in (0x06, 0x30, 0xc5, 0x35))
    queued = seed.slots
    seed.command(frame(0x60, 0, 2, 4))
    seed.command(frame(0x61, 8, 3, 5), write=True)
    seed.start(3 << queued)
    seed.reload()
    seed.save('ahci-ata')


def ahci_packets():
    seed = Ahci(1)
    for number, packet in enumerate(PACKETS):
        if packet[0] not in (0x1b, 0x1e):  # nothing after a failure is tried
            seed.command(frame(0xa0, feature=number & 1), packet)
    seed.start()
    seed.reload()
    seed.save('ahci-packets')


class Floppy(Seed):
    DIRECTION, CONTROLLER, PAGE, HIGH, LOW = range(5)

    def __init__(self):
        super().__init__(15)

    def command(self, text, results=7):
        for byte in bytes.fromhex(text):
            self.write(self.CONTROLLER, 5, byte)
        self.wait()
        self.read(self.CONTROLLER, 5, times=results)

    def channel(self, mode, address, size):
        self.write(self.LOW, 0xa, 6)
        self.write(self.LOW, 0xb, mode | 2)
        self.write(self.LOW, 0xc, 0)
        for port, value in ((4, address & 0xffff), (5, size - 1)):
            self.write(self.LOW, port, value & 0xff)
            self.write(self.LOW, port, value >> 8)
        self.write(self.PAGE, 1, address >> 16)
        self.write(self.HIGH, 0x14, 0)
        self.write(self.LOW, 0xa, 2)


def floppy():
    seed = Floppy()
    seed.write(seed.CONTROLLER, 2, 0x1c)
    seed.write(seed.DIRECTION, 0, 0)
    for _ in range(4):
        seed.command('08', 2)
    seed.command('03af02', 0)
    seed.command('13005700', 0)
    seed.channel(0x44, 0x14000, 0x600)
    seed.command('e60000000102121bff')
    seed.channel(0x44, 0x1fe00, 0x2400)
    seed.command('42000000010212 1bff'.replace(' ', ''))
    seed.channel(0x48, 0x14000, 0x600)
    seed.command('c50000000102121bff')
    seed.memory(0x18000, b''.join(bytes([0, 0, n + 1, 2]) for n in range(18)))
    seed.channel(0x48, 0x18000, 72)
    seed.command('4d0002121be5')
    seed.command('f60000000102121bff')
    for text, results in (('0f0003', 0), ('08', 2), ('8f0002', 0), ('08', 2), ('0700', 0),
                          ('08', 2), ('4a00', 7), ('0400', 1), ('0e', 10), ('94', 1), ('10', 1),
                          ('1280', 0)):
        seed.command(text, results)
    seed.outside(TAKE_OUT | FORCED)
    seed.command('e60000000102121bff')
    seed.outside(PUT_IN)
    seed.channel(0x44, 0x14000, 0x600)
    for byte in bytes.fromhex('e60000000102121bff'):
        seed.write(seed.CONTROLLER, 5, byte)
    seed.outside(TAKE_OUT | FORCED)
    seed.outside(PUT_IN)
    seed.command('08', 2)
    seed.command('03af03', 0)  # and without the channel
    seed.command('460000001202121bff', 0)
    seed.read(seed.CONTROLLER, 5, times=40)
    seed.reload()
    seed.write(seed.CONTROLLER, 4, 0x80)
    seed.command('450000001202121bff', 0)
    for n in range(40):
        seed.write(seed.CONTROLLER, 5, n)
    seed.save('floppy')


class Nvme(Seed):
    REGISTERS, ADMIN, ENDS, IO, IO_ENDS, DATA = 1, 0x1000, 0x3000, 0x5000, 0x7000, 0x9000

    def __init__(self):
        super().__init__(96)
        self.tails = [0, 0]
        for offset, value in ((0x24, 31 << 16 | 31), (0x28, self.ADMIN), (0x30, self.ENDS)):
            self.write(self.REGISTERS, offset, value, 4)
        self.write(self.REGISTERS, 0x14, 0x00460001, 4)

    def command(self, queue, opcode, dwords=(), data=0x9000, second=0xa000, namespace=1, flags=0):
        entry = struct.pack('<BBHIQQQQ', opcode, flags, 0x40 + self.tails[queue], namespace, 0, 0,
                            data, second) + struct.pack('<%dI' % len(dwords), *dwords)
        self.memory((self.IO if queue else self.ADMIN) + self.tails[queue] * 64, entry)
        self.tails[queue] += 1

    def ring(self, queue):
        self.write(self.REGISTERS, 0x1000 + 8 * queue, self.tails[queue], 4)


def nvme_admin():
    seed = Nvme()
    seed.command(0, 0x05, (31 << 16 | 1, 3), seed.IO_ENDS)
    seed.command(0, 0x01, (31 << 16 | 1, 1 << 16 | 1), seed.IO)
    seed.command(0, 0x0c)
    seed.command(0, 0x08, (0x42 << 16,))
    for feature in (4, 6, 7, 9, 11):
        seed.command(0, 0x0a, (feature,))
    seed.command(0, 0x0a, (0x304,))
    seed.command(0, 0x09, (4, 300))
    seed.command(0, 0x10)
    seed.command(0, 0x06, (3,))
    seed.command(0, 0x02, (0x007f0001,), namespace=0xffffffff)
    seed.command(0, 0x80)
    seed.ring(0)
    seed.wait()
    lists = b''.join(struct.pack('<Q', 0x10000 + n * 0x1000) for n in range(16))
    seed.memory(0xb000, lists)
    seed.memory(0xbff0, struct.pack('<QQ', 0x10000, 0xb000))
    seed.command(1, 0x02, (0, 0, 63), 0x9200, 0xb000)
    seed.command(1, 0x01, (0, 0, 39), 0x9000, 0xbff0)
    seed.memory(0xc000, struct.pack('<QIIQII', 0xc100, 32, 3 << 28, 0, 0, 0))
    seed.memory(0xc100, struct.pack('<QII', 0x9000, 4096, 0) + struct.pack('<QII', 0xa000, 4096, 0))
    seed.memory(seed.IO + 2 * 64, struct.pack('<BBHIQQQIIII', 2, 0x40, 0x50, 1, 0, 0, 0xc100, 32,
                                              3 << 28, 0, 0) + struct.pack('<I', 15))
    seed.tails[1] += 1
    seed.command(1, 0x05, (0, 0, 3))
    seed.memory(0x9000, struct.pack('<IIQ', 0, 8, 16))
    seed.command(1, 0x09, (0, 4))
    seed.command(1, 0x08, (0, 0, 7))
    seed.ring(1)
    seed.command(0, 0x00, (1,))
    seed.command(0, 0x04, (1,))
    seed.ring(0)
    seed.wait()
    seed.reload()
    seed.save('nvme-admin')


class Display(Seed):
    """The VGA's ports; `base` is the target of those at 0x3d0, 0x3c0's comes next."""

    def __init__(self, place, base, memory):
        super().__init__(place)
        self.crtc, self.ports, self.screen = base, base + 1, memory
        self.read(self.crtc, 0xa)
        self.write(self.ports, 0, 0x20)  # the palette is on

    def indexed(self, port, index, value):
        self.write(self.ports, port, index | value << 8, 2)

    def sequencer(self, index, value):
        self.indexed(4, index, value)

    def graphics(self, index, value):
        self.indexed(0xe, index, value)

    def show(self):
        for place in 0, 0x110:
            self.write(self.screen, place, 0x0123456789abcdef, 8)
            self.wait()


def vga_modes():
    seed = Display(176, 1, 6)
    for mode in 0x40, 0x20, 0x00:
        seed.graphics(5, mode)
        seed.graphics(6, 5)
        seed.show()
    for depth in 4, 8, 15, 16, 24, 32:
        for index, value in ((4, 0), (1, 64), (2, 32), (3, depth), (4, 0x61), (5, 1), (6, 96),
                             (8, 3), (9, 2)):
            seed.write(0, 0, index, 2)
            seed.write(0, 1, value, 2)
        seed.read(0, 1, 2)
        seed.show()
        seed.write(4, 0x20, depth)
        seed.read(4, 0x20)
    for port in 0x400, 0x405, 0x40c, 0x502, 0x51c:
        seed.read(5, port, 2)
        seed.write(5, port, 0x1234, 2)
    seed.read(3, 4)
    seed.reload()
    seed.save('vga-modes')


def cirrus_modes():
    seed = Display(199, 0, 3)
    seed.sequencer(6, 0x12)
    for mode in 1, 5, 7, 9:
        seed.sequencer(7, mode)
        seed.show()
    seed.sequencer(0x12, 7)  # the cursor, and its colours
    for place, value in ((6, 0xff), (8, 0), (9, 20), (9, 30), (9, 40)):
        seed.write(seed.ports, place, value)
    seed.read(seed.ports, 9, times=3)
    for extensions in 0x02, 0x04, 0x16, 0x05, 0x21:
        seed.graphics(0xb, extensions)
        for mode in 4, 5, 0:
            seed.graphics(5, mode)
            seed.write(3, 0x40, 0x5a)
            seed.read(3, 0x40, 4)
            seed.write(4, 0x80, 0xa5)
            seed.read(4, 0x80)
            seed.write(5, 0x40, 0x3c, 2)  # the aperture, while no plain memory is before it
            seed.read(5, 0x40, 2)
    for place in 0x44, 0x04:  # registers in memory, at the linear buffer's end or in the window
        seed.sequencer(0x17, place)
        seed.write(6, 0xfff40, 1)
        seed.read(6, 0xffff8, 4)
        seed.write(4, 0x18008, 0x1f, 2)
        seed.read(4, 0x18008)
    for place in 0x04, 0x0e, 0x108, 0x120, 0x140:
        seed.write(5, place, 0x20)
        seed.read(5, place)
    seed.graphics(0xe, 1)
    seed.read(seed.ports, 0xf)
    seed.reload()
    seed.save('cirrus-modes')


if __name__ == '__main__':
    for make in (ata, atapi, ahci_ata, ahci_packets, floppy, nvme_admin, vga_modes, cirrus_modes):
        make()
