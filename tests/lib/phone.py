# SPDX-License-Identifier: Apache-2.0
"""A phone's authenticator (RFC 6238), and enrolling it in a wallet.

        phone, codes = enrol(w)                 # the phone, and the ten one-time codes
        w.cli('grant', …, '--code-fd', '{}', passphrase=phone.code())
"""

import base64
import hashlib
import hmac
import os
import re
import struct
import subprocess
import time

from wallet import CLI, PASSPHRASE


class Phone:
        def __init__(self, key):
                self.key = base64.b32decode(key)
                self.used = 0

        def at(self, step):
                mac = hmac.new(self.key, struct.pack('>Q', step), hashlib.sha1).digest()
                at = mac[19] & 15
                return f'{(struct.unpack(">I", mac[at:at + 4])[0] & 0x7fffffff) % 1000000:06}'

        def code(self):
                """One that was not used yet: of this step, else of the next, for which a wallet need not wait."""
                now = int(time.time()) // 30
                step = max(now - 1, self.used + 1)
                while step > now + 1:
                        time.sleep(0.5)
                        now = int(time.time()) // 30
                self.used = step
                return self.at(step)

        def wrong(self):
                now = int(time.time()) // 30
                near = {self.at(step) for step in range(now - 3, now + 6)}
                return next(f'{n:06}' for n in range(1000000) if f'{n:06}' not in near)


def enrol(w, *args, secrets=(PASSPHRASE,), confirm=None):
        """@args: with which options the secrets go. Returns phone, codes; or the program's exit code and errors where it fails."""
        args = list(args or ('--passphrase-fd', '{}'))
        fds = []
        for secret in secrets:
                r, out = os.pipe()
                os.write(out, secret.encode())
                os.close(out)
                fds.append(r)
                args[args.index('{}')] = str(r)
        r, answer = os.pipe()
        process = subprocess.Popen([CLI, 'totp', 'enrol', *args, '--confirm-fd', str(r)], env=w.env, pass_fds=[*fds, r], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for fd in (*fds, r):
                os.close(fd)
        text = ''
        while 'Then give' not in text:
                line = process.stdout.readline()
                if not line:
                        os.close(answer)
                        return process.wait(), process.stderr.read()
                text += line
        phone = Phone(re.search(r'^  ([A-Z2-7]{32})$', text, re.M).group(1))
        os.write(answer, (confirm or phone.code()).encode())
        os.close(answer)
        out, err = process.communicate(timeout=60)
        if process.returncode != 0:
                return process.returncode, err
        return phone, re.findall(r'^([0-9A-Z]{5}-[0-9A-Z]{5})$', out, re.M)
