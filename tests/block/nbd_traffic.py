"""nbd_traffic.py URI

Random requests through libnbd over two connections, many in flight at a time on parts of the disk that
don't overlap; what is read must be what was written before. For the Python that has libnbd's module.
"""
import random
import sys

import nbd

UNIT = 4096
DEPTH = 24
STEPS = 1500


def connect(uri):
    h = nbd.NBD()
    h.set_uri_allow_local_file(True)
    h.set_uri_allow_tls(nbd.TLS_ALLOW)
    h.add_meta_context('base:allocation')
    h.connect_uri(uri)
    return h


class Traffic:
    def __init__(self, uri):
        self.handles = [connect(uri) for _ in range(2)]
        self.size = self.handles[0].get_size()
        self.model = bytearray(self.size)
        self.busy = set()
        self.flying = []  # handle, cookie, units, what to do at the end
        self.wrong = 0
        self.rng = random.Random(1)

    def start(self):
        units = self.size // UNIT
        first = self.rng.randrange(units)
        span = range(first, min(units, first + self.rng.randrange(1, 60)))
        if self.busy & set(span):
            return
        at, length = first * UNIT, len(span) * UNIT
        h = self.rng.choice(self.handles)
        kind = self.rng.choice(('read', 'read', 'write', 'write', 'zero', 'flush', 'status', 'fua'))
        end = None
        if kind == 'read':
            buffer = nbd.Buffer(length)
            cookie = h.aio_pread(buffer, at)
            def end():
                self.wrong += bytes(buffer.to_bytearray()) != self.model[at:at + length]
        elif kind in ('write', 'fua'):
            data = self.rng.randbytes(length)
            self.model[at:at + length] = data
            cookie = h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), at,
                                  flags=nbd.CMD_FLAG_FUA if kind == 'fua' else 0)
        elif kind == 'zero':
            self.model[at:at + length] = bytes(length)
            cookie = h.aio_zero(length, at, flags=self.rng.choice((0, nbd.CMD_FLAG_NO_HOLE)))
        elif kind == 'flush':
            cookie = h.aio_flush()
        else:
            cookie = h.aio_block_status(length, at, lambda name, offset, entries, error:
                                        self.check(offset, entries))
        self.busy |= set(span)
        self.flying.append((h, cookie, set(span), end))

    def check(self, offset, entries):
        for length, flags in zip(entries[::2], entries[1::2]):
            # Only what this request covers keeps still; an extent may tell of more than asked.
            if flags & nbd.STATE_ZERO and any(self.model[offset:offset + min(length, UNIT)]):
                self.wrong += 1
            offset += length

    def reap(self):
        self.handles[0].poll(1)
        self.handles[1].poll(1)
        left = []
        for h, cookie, span, end in self.flying:
            if h.aio_command_completed(cookie):
                self.busy -= span
                if end:
                    end()
            else:
                left.append((h, cookie, span, end))
        self.flying = left

    def run(self):
        for _ in range(STEPS):
            if len(self.flying) < DEPTH:
                self.start()
            else:
                self.reap()
        while self.flying:
            self.reap()
        for at in range(0, self.size, 1 << 20):
            self.wrong += self.handles[1].pread(1 << 20, at) != self.model[at:at + (1 << 20)]
        for h in self.handles:
            h.shutdown()


traffic = Traffic(sys.argv[1])
traffic.run()
print(f'{STEPS} steps, {traffic.wrong} wrong')
sys.exit(traffic.wrong > 0)
