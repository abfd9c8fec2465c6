# SPDX-License-Identifier: Apache-2.0
"""One wallet under two generations of SQLCipher: debian-13.sh runs this by turns in two systems, on one directory.

        generations.py make DIR [SYSTEM]    a wallet with records, a grant and a ledger
        generations.py open DIR [SYSTEM]    everything is there; then more of it
        generations.py upgrade DIR [SYSTEM] the same, then moved to the format of SQLCipher 4
        generations.py refused DIR [SYSTEM] after that SQLCipher 3 says clearly that it can't

Each but the last ends with kill -9 in the middle of an import, so that the next one finds a log that was not written back."""

import hashlib
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from varlink import Varlink  # noqa: E402
from wallet import DONE, PARTLY, REFUSED, Wallet, generate  # noqa: E402


def wallet_at(directory):
        w = Wallet(start=False)
        w.state = os.path.join(directory, 'state')
        os.makedirs(w.state, 0o700, exist_ok=True)
        w.start()
        return w


def contents(w):
        status = w.json('status')
        return {'wallet': status['wallet_id'], 'records': status['records'], 'days': [status['first_day'], status['last_day']],
                'export': hashlib.sha256(w.cli('export', '--format', 'ndjson').out.encode()).hexdigest(),
                'grants': w.json('grants'), 'log': [{**entry, 'index': None} for entry in w.cli('log', '--json').rows if entry['type'] != 'export']}


def crash(w):
        """kill -9 while an import writes; its log stays behind."""
        generate(w.path('year.csv'), '--days', 365, '--end', '2024-06-30')
        wal = os.path.join(w.state, 'records.db-wal')
        fd = os.open(w.path('year.csv'), os.O_RDONLY)
        with Varlink(w.socket) as v:
                v.send('Import', {'fileFd': 0, 'name': 'year.csv'}, [fd], more=True)
                done, of = 0, 1
                while done < of / 3:
                        reply = v.receive()
                        assert reply.get('continues'), f'the import was over before it could be killed: {reply}'
                        done, of = reply['parameters']['progress']['done'], reply['parameters']['progress']['all']
                os.kill(w.core_pid, signal.SIGKILL)
        os.close(fd)
        w.kill()
        assert os.path.getsize(wal) > 0


def main():
        step, directory = sys.argv[1:3]
        name = sys.argv[3] if len(sys.argv) > 3 else 'here'
        expected = os.path.join(directory, 'expected.json')
        w = wallet_at(directory)
        try:
                if step == 'refused':
                        result = w.unlock(code=REFUSED)
                        assert 'SQLCipher 4' in result.err and 'Nothing is damaged' in result.err, result
                        print(f'{name}: {result.err.strip()}')
                        return
                if step == 'make':
                        w.init()
                        generate(w.path('days.csv'), '--days', 30, '--end', '2025-03-14')
                        w.cli('import', w.path('days.csv'), code=(DONE, PARTLY))
                        number = 0
                else:
                        with open(expected) as f:
                                was = json.load(f)
                        number = was.pop('number') + 1
                        begun = time.monotonic()
                        w.unlock()
                        took_s = time.monotonic() - begun
                        now = contents(w)
                        for what in was:
                                assert now[what] == was[what], f'{what}: {now[what]} instead of {was[what]}'
                        checks = {c['what']: c for c in w.json('doctor')['checks']}
                        assert checks['contents']['finding'] == checks['keys']['finding'] == 'good', checks
                        print(f'{name}: all that was there is there ({took_s:.1f} s to unlock)')
                        generate(w.path('days.csv'), '--days', 10, '--end', f'2025-{6 + number:02}-14')
                        w.cli('import', w.path('days.csv'), code=(DONE, PARTLY))
                if step == 'upgrade':
                        w.cli('upgrade-cipher', '--yes', '--passphrase-fd', '{}', passphrase=w.passphrase)
                        now = contents(w)
                        for what in ('wallet', 'grants'):
                                assert now[what] == was[what], f'{what}: {now[what]} instead of {was[what]}'
                        print(f'{name}: moved to the format of SQLCipher 4')
                w.provider(f'clinic-{number}')
                w.grant(f'clinic-{number}')
                if number > 0:
                        w.cli('revoke', f'clinic-{number - 1}')
                was = {**contents(w), 'number': number}
                crash(w)
                with open(expected, 'w') as f:
                        json.dump(was, f)
                print(f'{name}: left behind in the middle of an import')
        except AssertionError:
                print(w.log_text(), file=sys.stderr)
                raise
        finally:
                w.close()


main()
