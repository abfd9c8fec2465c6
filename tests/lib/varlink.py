# SPDX-License-Identifier: Apache-2.0
"""The daemon's socket spoken by hand, for what the command line would never say.

        v = Varlink(w.socket)
        v.call('Status')                                    # {'parameters': …} or {'error': …, 'parameters': …}
        v.call('Unlock', {'secretFd': 0}, fds=[secret('…')])
        v.calls('Log')                                      # all replies of a call with more
"""

import fcntl
import json
import os
import socket

F_ADD_SEALS, ALL_SEALS = 1033, 0xf


def secret(text, seals=ALL_SEALS):
        fd = os.memfd_create('secret', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, text.encode())
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
        return fd


class Varlink:
        def __init__(self, path):
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(60)
                self.socket.connect(path)
                self.buffer, self.fds = b'', []

        def __enter__(self):
                return self

        def __exit__(self, *args):
                self.close()

        def close(self):
                self.socket.close()
                for fd in self.fds:
                        os.close(fd)
                self.fds = []

        def send(self, method, parameters=None, fds=(), more=False):
                call = {'method': method if '.' in method else 'org.carewallet.' + method, 'parameters': parameters or {}}
                if more:
                        call['more'] = True
                message = json.dumps(call).encode() + b'\0'
                sent = socket.send_fds(self.socket, [message], list(fds)) if fds else 0
                self.socket.sendall(message[sent:])

        def receive(self):
                while b'\0' not in self.buffer:
                        data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
                        self.fds += fds
                        if not data:
                                raise EOFError('the daemon closed the connection')
                        self.buffer += data
                message, self.buffer = self.buffer.split(b'\0', 1)
                return json.loads(message)

        def calls(self, method, parameters=None, fds=(), more=True):
                self.send(method, parameters, fds, more)
                replies = [self.receive()]
                while replies[-1].get('continues'):
                        replies.append(self.receive())
                return replies

        def call(self, method, parameters=None, fds=()):
                return self.calls(method, parameters, fds, more=False)[-1]
