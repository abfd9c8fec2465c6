# SPDX-License-Identifier: Apache-2.0
"""Figures of the gate alone, for the bench (tests never depend on time): bench.py [--json]

stalled_cpu_percent: CPU of the gate while ten peers stall in the TLS handshake; idle_cpu_percent beside it.
stream_mb_s: one stream of 64 KiB chunks to one client; requests_s: small answers on one kept connection.
"""

import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from core import Core, NDJSON_BODY, a_key  # noqa: E402

# the first bytes of a ClientHello: a record header that promises 512 bytes, and no more
STALL = bytes.fromhex('1603010200010001fc0303') + bytes(20)


def cpu_s(pid):
        with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def cpu_percent(core, seconds):
        before, start = cpu_s(core.process.pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (cpu_s(core.process.pid) - before) / (time.monotonic() - start)


def main():
        figures = {}
        key = a_key()
        with Core(key=key) as core:
                figures['idle_cpu_percent'] = cpu_percent(core, 2)
                peers = [socket.create_connection(core.peer) for _ in range(10)]
                for peer in peers:
                        peer.sendall(STALL)
                time.sleep(0.5)
                figures['stalled_cpu_percent'] = cpu_percent(core, 6)
                for peer in peers:
                        peer.close()
        with Core(key=key) as core, core.connect() as client:
                start, n = time.monotonic(), 0
                while time.monotonic() - start < 3:
                        client.get('/summary')
                        core.reply(core.request().number, body=b'{}')
                        client.answer()
                        n += 1
                figures['requests_s'] = n / (time.monotonic() - start)
        with Core(key=key) as core, core.connect() as client:
                chunk = os.urandom(65536)
                client.get()
                number = core.request().number
                core.stream(number, content=NDJSON_BODY)
                child = os.fork()
                if child == 0:
                        while client.tls.recv(1 << 18):
                                pass
                        os._exit(0)
                start, n = time.monotonic(), 0
                while time.monotonic() - start < 3:
                        core.chunk(number, chunk)
                        core.wait_more(number)
                        n += len(chunk)
                figures['stream_mb_s'] = n / 1e6 / (time.monotonic() - start)
                core.end(number, whole=False)
                os.waitpid(child, 0)
        if '--json' in sys.argv:
                print(json.dumps(figures))
        else:
                for name, value in figures.items():
                        print(f'{name:22} {value:10.1f}')


main()
