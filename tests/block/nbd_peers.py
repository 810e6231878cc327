#!/usr/bin/env python3
"""nbd_peers.py EXERCISE MENURA

The NBD server and client against other people's: qemu-nbd, qemu-img, qemu-io, nbdinfo, nbdcopy, libnbd
with many requests in flight, nbdkit; in the clear and under TLS; and images at URLs through nbdkit. What a
peer is missing for is skipped. Prints TAP.
"""
import http.server
import json
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SIZE = 16 << 20
SCRIPTS = Path(__file__).resolve().parents[2] / 'scripts'
TRAFFIC = Path(__file__).resolve().parent / 'nbd_traffic.py'
SYSTEM_PYTHON = '/usr/bin/python3'

number = 0
failures = 0


def ok(condition, text, more=''):
    global number, failures
    number += 1
    failures += not condition
    print(f'{"ok" if condition else "not ok"} {number} - {text}', flush=True)
    if not condition and more:
        print('# ' + str(more).strip().replace('\n', '\n# '))


def skip(text):
    global number
    number += 1
    print(f'ok {number} - {text} # SKIP')


def run(*command, **more):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, **more)


class Serving:
    """A server as a context: a process that listens at `socket` (or prints nothing)."""

    def __init__(self, *command, socket='disk.sock', port=None):
        self.socket, self.port = Path(socket).absolute(), port
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL)

    def __enter__(self):
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            if self.port:
                if run('ss', '-Hltn', f'sport = :{self.port}').stdout.strip():
                    break
            elif self.socket.exists():
                break
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        for _ in range(30):  # qemu-nbd forgets a signal that comes while it starts
            self.process.send_signal(signal.SIGTERM)
            try:
                self.status = self.process.wait(1)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self.process.kill()
        self.socket.unlink(missing_ok=True)


def uri(export='', scheme='nbd+unix', more=''):
    return f'{scheme}:///{export}?socket={Path("disk.sock").absolute()}{more}'


def make_image(path, size=SIZE, form='qcow2', seed=1):
    """An image with data here and there, made by qemu."""
    rng = random.Random(seed)
    run('qemu-img', 'create', '-f', form, path, str(size))
    lines = [word for _ in range(20) for word in
             ('-c', f'write -P {rng.randrange(1, 255)} {rng.randrange(size - 300000) & ~511} '
                    f'{rng.randrange(512, 262144) & ~511}')]
    run('qemu-io', '-f', form, *lines, path)


def zeroes(text):
    """The clusters that read as zeroes, of what qemu-img map prints."""
    return {at for e in json.loads(text or '[]') if e['zero']
            for at in range(e['start'], e['start'] + e['length'], 65536)}


def same(a, b, form_a='qcow2', form_b='raw'):
    return run('qemu-img', 'compare', '-f', form_a, '-F', form_b, a, b).returncode == 0


# --- Our server

def test_clients(menura, image):
    make_image(image)
    with Serving(menura, 'nbd', '-k', 'disk.sock', '-x', 'a b', '-D', 'text', '-A', '-r', image):
        info = run('nbdinfo', '--json', uri('a%20b'))
        told = json.loads(info.stdout)['exports'][0] if not info.returncode else {}
        ok(told.get('export-size') == SIZE and told.get('description') == 'text' and
           told.get('is_read_only') and told.get('can_multi_conn') and
           told.get('contexts') == ['base:allocation', 'qemu:allocation-depth'],
           'nbdinfo reads what we say of the export', info.stdout)
        ok(run('nbdinfo', '--list', uri()).stdout.count('export=') == 1, 'nbdinfo --list')
        theirs = run('qemu-img', 'map', '-f', 'raw', '--output=json', uri('a%20b')).stdout
        local = run('qemu-img', 'map', '--output=json', '-f', 'qcow2', '-U', image).stdout
        ok(zeroes(theirs) == zeroes(local) != set(), 'qemu-img map sees our block status', theirs)
        ok(same(image, uri('a%20b')), 'qemu-img reads what the image holds')
        out = Path('copy.raw')
        copied = run('nbdcopy', uri('a%20b'), out)
        ok(not copied.returncode and same(image, out), 'nbdcopy, several connections',
           copied.stdout)
        wrong = run('qemu-io', '-f', 'raw', '-c', 'write 0 4k', uri('a%20b'))
        ok('read-only' in wrong.stdout.lower() or wrong.returncode, 'it stays read-only', wrong.stdout)
        unknown = run('qemu-img', 'info', uri('other'))
        ok(unknown.returncode and 'other' in unknown.stdout, 'another name is refused', unknown.stdout)


def test_writing(menura, image):
    make_image(image)
    with Serving(menura, 'nbd', '-k', 'disk.sock', image) as server:
        raw = Path('source.raw')
        make_image(raw, form='raw', seed=2)
        result = run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', raw, uri())
        ok(not result.returncode, 'qemu-img convert writes through us', result.stdout)
        result = run('qemu-io', '-f', 'raw', '-c', 'write -f -P 5 4096 8192', '-c', 'flush', '-c',
                     'write -z -u 1M 64k', '-c', 'discard 2M 1M', '-c', 'read -P 5 4096 8192', '-c',
                     'read -P 0 1M 64k', uri())
        ok(not result.returncode and 'ailed' not in result.stdout, 'qemu-io: fua, flush, zero, discard',
           result.stdout)
        run('qemu-io', '-f', 'raw', '-c', 'write -P 5 4096 8192', '-c', 'write -z 1M 64k', raw)
        kept = run('qemu-io', '-f', 'raw', '-c', 'write -z 2M 1M', raw)
        run('qemu-io', '-f', 'raw', '-c', 'write -z 2M 1M', uri())
        ok(not kept.returncode and same(raw, uri(), 'raw', 'raw'), 'and the disk is what it should be')
    ok(server.status == 0 and not Path('disk.sock').exists(), 'SIGTERM ends it well')
    ok(run('qemu-img', 'check', image).returncode == 0 and same(image, raw), 'the image is sound')


def test_traffic(menura, image, options, tls, text):
    if run(SYSTEM_PYTHON, '-c', 'import nbd').returncode:
        return skip(f'{text}: no Python module of libnbd')
    run('qemu-img', 'create', '-f', 'qcow2', image, str(SIZE))
    with Serving(menura, 'nbd', *options, '-k', 'disk.sock', '-x', 'disk', image):
        result = run(SYSTEM_PYTHON, TRAFFIC, uri('disk', *tls))
    ok(result.returncode == 0 and run('qemu-img', 'check', image).returncode == 0,
       f'{text}: {result.stdout.strip().splitlines()[-1:]}', result.stdout)


def test_qemu_nbd_options(menura, image):
    """The command line of qemu-nbd."""
    link = Path('qemu-nbd')
    link.symlink_to(menura)
    command = link.absolute()
    make_image(image)
    run('qemu-img', 'bitmap', '--add', image, 'marks')
    run('qemu-io', '-c', 'write -P 3 1M 64k', image)
    run('qemu-img', 'snapshot', '-c', 'then', image)
    old = Path('old.raw')
    run('qemu-img', 'convert', '-O', 'raw', image, old)
    run('qemu-io', '-c', 'write -P 4 0 256k', image)
    sock = Path('disk.sock').absolute()
    done = run(command, '--fork', '--pid-file', 'pid', '-k', sock, '-f', 'qcow2', '-r', '-B', 'marks', image)
    pid = int(Path('pid').read_text()) if not done.returncode else 0
    context = run('nbdinfo', '--map=qemu:dirty-bitmap:marks', uri()).stdout
    ok(re.search(r'^ *0 +262144 +1', context, re.M) and re.search(r'^ *1048576 +65536 +1', context, re.M),
       '--fork, and -B: the dirty bitmap', context)
    time.sleep(0.3)
    ok(pid and not sock.exists(), 'it ends when the last client has left')
    run(command, '--fork', '-k', sock, '-f', 'qcow2', '-r', '-t', '-B', 'marks', '--pid-file', 'pid', image)
    shown = run(menura, 'img', 'map', '--output=json', '--image-opts',
                f'driver=nbd,path={sock},x-dirty-bitmap=qemu:dirty-bitmap:marks').stdout
    marked = [e['start'] for e in json.loads(shown or '[]') if not e['data']]
    ok(marked == [0, 1 << 20], 'x-dirty-bitmap shows it in place of data', shown)
    os.kill(int(Path('pid').read_text()), signal.SIGTERM)
    time.sleep(0.3)
    with Serving(command, '-t', '-k', sock, '-l', 'then', image):
        ok(same(old, uri(), 'raw', 'raw'), '-l: an internal snapshot')
        listed = run(command, '-L', '-k', sock).stdout
        expected = run('qemu-nbd', '-L', '-k', sock).stdout
        ok(re.sub(' *transaction.*\n', '', listed) == re.sub(' *transaction.*\n', '', expected) != '',
           '-L prints what qemu-nbd prints', f'{listed}\n{expected}')
    with Serving(command, '-t', '-k', sock, '-s', image):
        run('qemu-io', '-f', 'raw', '-c', 'write -P 9 0 1M', uri())
        seen = run('qemu-io', '-f', 'raw', '-c', 'read -P 9 0 1M', uri()).stdout
    ok('fail' not in seen and 'fail' not in run('qemu-io', '-c', 'read -P 4 0 256k', image).stdout,
       '-s: changes are thrown away', seen)
    with Serving(command, '-t', '-k', sock, '-f', 'raw', '-o', '1M', old):
        ok('fail' not in run('qemu-io', '-f', 'raw', '-c', 'read -P 3 0 64k', uri()).stdout and
           run('nbdinfo', '--size', uri()).stdout.strip() == str(SIZE - (1 << 20)), '-o: a window')
    refused = run(command, '-c', '/dev/nbd0', image)
    ok(refused.returncode == 1 and 'nbd-client' in refused.stdout, '-c names who does it', refused.stdout)
    missing = run(command, '--fork', '-k', sock, 'no-such-image')
    ok(missing.returncode == 1 and 'no-such-image' in missing.stdout, 'a missing disk is said, also when '
       'in the background', missing.stdout)


def test_tcp(menura, image):
    make_image(image)
    port = random.randrange(20000, 30000)
    with Serving(menura, 'nbd', '-p', port, '-r', '-e', '1', image, port=port):
        ok(same(image, f'nbd://localhost:{port}'), 'over TCP')
        client = shutil.which('nbd-client') or '/usr/sbin/nbd-client'
        if Path(client).exists():
            told = run(client, '-l', 'localhost', port).stdout
            ok('Negotiation' in told and 'Error' not in told, 'nbd-client lists', told)
        result = run(menura, 'img', 'compare', '-F', 'qcow2', '-U', f'nbd:localhost:{port}', image)
        ok(result.returncode == 0, 'our client, old name', result.stdout)


# --- Our client

def random_lines(rng, model, count):
    """Lines for exercise, with what they do done to the model."""
    lines = []
    for _ in range(count):
        length = rng.choice((512, 4096, 65536, rng.randrange(1, 300000)))
        at = rng.randrange(SIZE - length)
        verb = rng.choice(('write', 'write', 'write', 'zero', 'unmap', 'flush'))
        if verb == 'write':
            byte = rng.randrange(256)
            for i in range(at & ~511, at + length, 512):
                low, high = max(i, at), min(i + 512, at + length)
                model[low:high] = bytes([(byte ^ i >> 9 ^ i >> 17) & 255]) * (high - low)
            lines.append(f'write {at} {length} {byte}')
        elif verb == 'flush':
            lines.append('flush')
        else:
            model[at:at + length] = bytes(length)
            lines.append(f'{verb} {at} {length}')
    return lines


def exchange(exercise, name, options, text):
    """Our client writes at random; what the server then has must be what we think."""
    model, rng = bytearray(SIZE), random.Random(text)
    lines = random_lines(rng, model, 150)
    out = Path('dumped')
    result = run(exercise, '-o', options, name,
                 input=''.join(line + '\n' for line in (f'zero 0 {SIZE}', *lines, 'map', f'dump {out}')))
    answers = result.stdout.splitlines()
    wrong = [a for a in answers if a.startswith('error')]
    ok(not result.returncode and not wrong and out.read_bytes() == model, text,
       f'{wrong} {result.stdout[:500]}')
    return model


def test_servers(exercise, menura, image):
    sock = Path('disk.sock').absolute()
    for form in ('raw', 'qcow2'):
        run('qemu-img', 'create', '-f', form, image, str(SIZE))
        with Serving('qemu-nbd', '-t', '-e', '4', '-k', sock, '-x', 'x', '-f', form, '--discard=unmap', image):
            model = exchange(exercise, uri('x'), 'driver=raw', f'our client on qemu-nbd, {form}')
        Path('model').write_bytes(model)
        ok(same(image, 'model', form), 'the image has it')
    run('qemu-img', 'create', '-f', 'qcow2', image, str(SIZE))
    with Serving(menura, 'nbd', '-k', sock, '-x', 'x', image):
        exchange(exercise, uri('x'), 'driver=raw', 'our client on our server')
    if not shutil.which('nbdkit'):
        return skip('no nbdkit')
    for more in ((), ('--no-sr',), ('--filter=blocksize-policy', 'blocksize-minimum=4096',
                                     'blocksize-error-policy=error'), ('--mask-handshake=0',)):
        words = [w for w in more if w.startswith('--')]
        with Serving('nbdkit', '-f', '-U', sock, *words, 'memory', SIZE,
                     *(w for w in more if not w.startswith('--'))):
            exchange(exercise, uri(), 'driver=raw', f'our client on nbdkit {" ".join(words)}')
    with Serving('nbdkit', '-f', '-U', sock, 'pattern', '100001'):
        result = run(menura, 'img', 'convert', '-f', 'raw', '-O', 'raw', uri(), 'out.raw')
        copied = run('nbdcopy', uri(), 'their.raw')
        ok(not result.returncode and not copied.returncode and
           Path('out.raw').read_bytes() == Path('their.raw').read_bytes() + bytes(351),
           'an export that ends inside a sector', result.stdout)
    with Serving('nbdkit', '-f', '-o', '-U', sock, 'memory', SIZE):
        result = run(menura, 'img', 'info', uri())
        ok(result.returncode == 1 and 'old protocol' in result.stdout, 'oldstyle is refused', result.stdout)
    with Serving('nbdkit', '-f', '-U', sock, '--filter=error', 'pattern', SIZE, 'error-pread-rate=100%',
                 'error=ENOSPC'):
        result = run('sh', '-c', f'exec {menura} img convert -f raw -O raw "{uri()}" out.raw')
        ok(result.returncode == 1 and 'No space' in result.stdout, "a server's error is passed on",
           result.stdout)


def copy_through(menura, image, out, option, outage):
    """Copies from a server that is killed in the middle, and is there again after a while."""
    server = ('qemu-nbd', '-k', Path('disk.sock').absolute(), '-t', '-f', 'qcow2', '-e', '4', image)
    source = f'driver=raw,file.driver=nbd,file.path={Path("disk.sock").absolute()}{option}'
    with Serving(*server) as first:
        copying = subprocess.Popen([str(menura), 'img', 'convert', '-r', '8M', '--image-opts', source,
                                    '-O', 'raw', str(out)], stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        first.process.kill()
        first.process.wait()
        first.socket.unlink(missing_ok=True)
        time.sleep(outage)
        with Serving(*server):
            errors = copying.communicate(timeout=60)[1]
        first.process.send_signal = lambda _: None  # it is gone already
    return copying.returncode, errors


def test_reconnecting(menura, image):
    make_image(image)
    out = Path('copy.raw')
    status, errors = copy_through(menura, image, out, ',file.reconnect-delay=20', 1)
    ok(status == 0 and same(image, out), 'a copy goes on when its server is there again', errors)
    status, errors = copy_through(menura, image, out, '', 1)
    ok(status == 1 and 'Input/output error' in errors, 'without reconnect-delay it fails', errors)
    begin = time.monotonic()
    status, errors = copy_through(menura, image, out, ',file.reconnect-delay=1', 4)
    ok(status == 1 and time.monotonic() - begin < 10, 'after that time, too', errors)


def test_names(menura, image):
    """All ways to name an export."""
    make_image(image)
    sock = Path('disk.sock').absolute()
    with Serving(menura, 'nbd', '-r', '-k', sock, '-x', 'a/b', image):
        for name in (uri('a/b'), uri('a%2fb'), f'nbd:unix:{sock}:exportname=a/b',
                     f'json:{{"driver":"nbd","export":"a/b","server":{{"type":"unix","path":"{sock}"}}}}',
                     f'json:{{"driver":"raw","file":{{"driver":"nbd","export":"a/b","path":"{sock}"}}}}'):
            result = run(menura, 'img', 'info', '--output=json', name)
            told = json.loads(result.stdout)['virtual-size'] if not result.returncode else 0
            ok(told == SIZE, f'{name[:30]}...', result.stdout)
        for name, says in ((uri('a/b', more='&x=1'), 'x'), ('nbd+unix:///', 'socket'), ('nbd:x', 'HOST'),
                           ('nbds+unix:x', '//'), ('nbd://[::1', ']'), ('nbd://localhost/%zz', 'name')):
            result = run(menura, 'img', 'info', name)
            ok(result.returncode == 1 and says in result.stdout and result.stdout.count('\n') == 1,
               f'{name[:20]} is refused', result.stdout)


# --- TLS

def make_certificates(where):
    """An authority, a server it vouches for, and one that it does not know."""
    def certtool(*arguments, template=''):
        Path('template').write_text(template)
        return run('certtool', *arguments, '--template', 'template').returncode

    for name in ('good', 'other'):
        (where / name).mkdir(parents=True)
        pem = {what: where / name / f'{what}.pem' for what in
               ('ca-key', 'ca-cert', 'server-key', 'server-cert', 'client-key', 'client-cert')}
        for who in ('ca', 'server', 'client'):
            pem[f'{who}-key'].write_text(run('certtool', '--generate-privkey', '--ecc').stdout)
        certtool('--generate-self-signed', '--load-privkey', pem['ca-key'], '--outfile', pem['ca-cert'],
                 template=f'cn = "{name}"\nca\ncert_signing_key\n')
        for who in ('server', 'client'):
            certtool('--generate-certificate', '--load-ca-certificate', pem['ca-cert'],
                     '--load-ca-privkey', pem['ca-key'], '--load-privkey', pem[f'{who}-key'], '--outfile',
                     pem[f'{who}-cert'],
                     template=f'cn = "localhost"\ndns_name = "localhost"\ntls_www_{who}\nsigning_key\n')


def test_tls(exercise, menura, image):
    if not shutil.which('certtool') or not shutil.which('psktool'):
        return skip('no certtool')
    where = Path('tls').absolute()
    make_certificates(where)
    good, other = where / 'good', where / 'other'
    keys = where / 'psk'
    keys.mkdir()
    run('psktool', '-u', 'qemu', '-p', keys / 'keys.psk')
    sock = Path('disk.sock').absolute()
    make_image(image)
    client = f'tls-creds-x509,id=t,endpoint=client,dir={good}'
    opts = f'driver=nbd,path={sock},export=x,tls-creds=t,tls-hostname=localhost'
    with Serving(menura, 'nbd', '--tls', good, '-k', sock, '-x', 'x', image):
        seen = run('qemu-img', 'compare', '--object', client, '--image-opts', opts,
                   f'driver=qcow2,file.filename={image},file.locking=off')
        ok(seen.returncode == 0, 'qemu-img reads under TLS', seen.stdout)
        seen = run('qemu-img', 'info', uri('x'))
        ok(seen.returncode == 1 and 'TLS' in seen.stdout, 'and not in the clear', seen.stdout)
        seen = run('nbdinfo', '--size', uri('x', 'nbds+unix', f'&tls-certificates={good}'))
        ok(seen.stdout.strip() == str(SIZE), 'nbdinfo over nbds:', seen.stdout)
        seen = run(menura, 'img', 'info', uri('x'))
        ok(seen.returncode == 1 and 'TLS' in seen.stdout, 'we say what is missing', seen.stdout)
        seen = run(menura, 'img', 'compare', '-U', uri('x', 'nbds+unix', f'&tls-certificates={good}'), image)
        ok(seen.returncode == 0, 'our client over nbds:', seen.stdout)
        seen = run(menura, 'img', 'info', uri('x', 'nbds+unix', f'&tls-certificates={other}'))
        ok(seen.returncode == 1 and 'not accepted' in seen.stdout, 'a stranger is refused', seen.stdout)
        seen = run(menura, 'img', 'info', uri('x', 'nbds+unix', f'&tls-certificates={good}&tls-hostname=who'))
        ok(seen.returncode == 1 and 'not accepted' in seen.stdout, 'so is another name', seen.stdout)
    test_traffic(menura, Path('t.qcow2'), ('--tls', good), ('nbds+unix', f'&tls-certificates={good}'),
                 'libnbd under TLS, many requests in flight')
    with Serving(menura, 'nbd', '--object', f'tls-creds-x509,id=s,endpoint=server,dir={good},verify-peer=on',
                 '--tls-creds', 's', '-k', sock, '-x', 'x', image):
        seen = run('qemu-img', 'info', '--object', client, '--image-opts', opts)
        ok(seen.returncode == 0, 'a client with a certificate', seen.stdout)
        (where / 'none').mkdir()
        shutil.copy(good / 'ca-cert.pem', where / 'none')
        seen = run(menura, 'img', 'info', uri('x', 'nbds+unix', f'&tls-certificates={where / "none"}'))
        ok(seen.returncode == 1, 'one without is refused', seen.stdout)
    with Serving(menura, 'nbd', '--tls', keys, '-k', sock, '-x', 'x', image):
        seen = run('qemu-img', 'info', '--object', f'tls-creds-psk,id=t,endpoint=client,dir={keys}',
                   '--image-opts', f'driver=nbd,path={sock},export=x,tls-creds=t')
        ok(seen.returncode == 0, 'qemu-img with a shared key', seen.stdout)
        seen = run('nbdinfo', '--size', f'nbds+unix://qemu@/x?socket={sock}&tls-psk-file={keys}/keys.psk')
        ok(seen.stdout.strip() == str(SIZE), 'nbdinfo, too', seen.stdout)
    with Serving('qemu-nbd', '-t', '-k', sock, '-x', 'x', '--object',
                 f'tls-creds-psk,id=s,endpoint=server,dir={keys}', '--tls-creds', 's', image):
        seen = run(menura, 'img', 'info', uri('x', 'nbds+unix', f'&tls-username=qemu&tls-psk-file={keys}/keys.psk'))
        ok(seen.returncode == 0, 'our client with a shared key on qemu-nbd', seen.stdout)
    with Serving('qemu-nbd', '-t', '-k', sock, '-x', 'x', '-f', 'qcow2', '--object',
                 f'tls-creds-x509,id=s,endpoint=server,dir={good},verify-peer=on', '--tls-creds', 's', image):
        exchange(exercise, uri('x', 'nbds+unix', f'&tls-certificates={good}&tls-hostname=localhost'),
                 'driver=raw', 'our client on qemu-nbd under TLS')


# --- URLs

class Ranges(http.server.BaseHTTPRequestHandler):
    """A file server that knows byte ranges."""
    protocol_version = 'HTTP/1.1'

    def answer(self, body):
        try:
            data = Path(self.path[1:]).read_bytes()
        except OSError:
            self.send_error(404)
            return
        wanted = re.match(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        part = data[int(wanted[1]):int(wanted[2]) + 1 if wanted[2] else None] if wanted else data
        self.send_response(206 if wanted else 200)
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Length', str(len(part)))
        if wanted:
            start = int(wanted[1])
            self.send_header('Content-Range', f'bytes {start}-{start + len(part) - 1}/{len(data)}')
        self.end_headers()
        if body:
            self.wfile.write(part)

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)

    def log_message(self, *_):
        pass


def test_urls(menura, image):
    if not shutil.which('nbdkit'):
        return skip('no nbdkit')
    make_image(image)
    Path('web.qcow2').write_bytes(image.read_bytes())
    Path('web.qcow2.xz').write_bytes(lzma.compress(image.read_bytes()))
    run('gzip', '-k', 'web.qcow2')
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Ranges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f'http://127.0.0.1:{server.server_port}'
    for name in (f'{base}/web.qcow2', f'xz:{base}/web.qcow2.xz', 'xz:web.qcow2.xz', 'gzip:web.qcow2.gz',
                 f'json:{{"driver":"qcow2","file":{{"driver":"http","url":"{base}/web.qcow2"}}}}'):
        result = run(menura, 'img', 'compare', name, image)
        ok(result.returncode == 0, f'{name} holds what it should', result.stdout)
    over = Path('over.qcow2')
    run(menura, 'img', 'create', '-f', 'qcow2', '-b', f'{base}/web.qcow2', '-F', 'qcow2', over)
    result = run(menura, 'img', 'compare', over, image)
    ok(result.returncode == 0, 'an overlay on a URL', result.stdout)
    result = run(menura, 'img', 'info', f'{base}/missing')
    ok(result.returncode == 1 and '404' in result.stdout, 'a missing file is said to be', result.stdout)
    result = run(menura, 'img', 'info', f'{base}/web.qcow2', env={'PATH': '/nowhere'})
    ok(result.returncode == 1 and 'package nbdkit' in result.stdout and result.stdout.count('\n') == 1,
       'so is a missing nbdkit', result.stdout)
    time.sleep(0.2)
    left = run('ps', '--ppid', str(os.getpid()), '-o', 'comm=').stdout
    ok('nbdkit' not in left, 'no nbdkit is left', left)
    server.shutdown()


def newest_tools():
    """A directory with the newest qemu-img, qemu-io and qemu-nbd, or None."""
    fetched = subprocess.run([SCRIPTS / 'fetch-peer', 'tools'], stdout=subprocess.PIPE, text=True)
    if fetched.returncode:
        return None
    root = Path(fetched.stdout.strip())
    loader, = (root / 'lib64').glob('ld-linux*')
    libraries, = (root / 'usr/lib').glob('*-linux-gnu')
    tools = Path('tools').absolute()
    tools.mkdir()
    for name in ('qemu-img', 'qemu-io', 'qemu-nbd'):
        (tools / name).write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries} '
                                  f'{root}/usr/bin/{name} "$@"\n')
        (tools / name).chmod(0o755)
    return tools


def main():
    exercise, menura = (Path(a).absolute() for a in sys.argv[1:3])
    for peer in ('qemu-nbd', 'qemu-io', 'nbdinfo', 'nbdcopy'):
        if not shutil.which(peer):
            print(f'1..0 # SKIP no {peer}')
            return 0
    with tempfile.TemporaryDirectory(prefix='nbd-') as where:
        os.chdir(where)
        image = Path('disk.img').absolute()
        test_clients(menura, image)
        test_writing(menura, image)
        test_traffic(menura, image, (), (), 'libnbd with many requests in flight')
        test_qemu_nbd_options(menura, image)
        test_tcp(menura, image)
        test_servers(exercise, menura, image)
        test_reconnecting(menura, image)
        test_names(menura, image)
        test_tls(exercise, menura, image)
        test_urls(menura, image)
        tools = newest_tools()
        if tools:  # headers are extended then
            print('# the newest qemu')
            os.environ['PATH'] = f'{tools}:{os.environ["PATH"]}'
            test_clients(menura, image)
            test_writing(menura, image)
            test_servers(exercise, menura, image)
        else:
            skip('the newest qemu could not be fetched')
        os.chdir('/')
    print(f'1..{number}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
