# SPDX-License-Identifier: Apache-2.0
"""upgrade-cipher: with SQLCipher 3 it refuses, and a wallet that went through it is refused in clear words; with SQLCipher 4 nothing is
lost on the way, also when it is killed. (Kills at every write are tried with key rotate, which does the same.)"""

import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink, secret
from wallet import PASSPHRASE, REFUSED, USAGE, Wallet, generate, is_alive, wait_for

MARKER = 'cipher-4'


class Cipher(unittest.TestCase):
        def setUp(self):
                self.w = w = Wallet()
                self.addCleanup(w.close)
                w.init()
                generate(w.path('days.csv'), '--days', 200, '--end', '2025-03-14')
                w.cli('import', w.path('days.csv'), code=None)
                w.provider('clinic')
                w.grant('clinic')
                self.before = self.contents()

        def contents(self):
                out = self.w.cli('export', '--format', 'ndjson').out
                status = self.w.json('status')
                return status['wallet_id'], status['records'], hashlib.sha256(out.encode()).hexdigest(), self.w.json('grants')

        def files(self):
                return {name for name in os.listdir(self.w.state) if not name.startswith('spool')}

        def test_it_is_refused_or_done_and_nothing_is_lost(self):
                self.w.cli('upgrade-cipher', code=USAGE)  # it asks, and nobody is there
                before = self.files()
                result = self.w.cli('upgrade-cipher', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=None)
                if result.code == REFUSED:
                        self.assertIn('SQLCipher 3, which knows only', result.err)
                        self.assertEqual(self.contents(), self.before)
                        self.assertEqual(self.files(), before)
                        return
                self.assertEqual(result.code, 0, result)
                self.assertIn(MARKER, self.files())
                self.assertFalse({name for name in self.files() if '.new' in name or name == 'rotation'})
                self.assertEqual(self.contents(), self.before)
                self.assertIn('SQLCipher 4: done', self.w.cli('log').out)
                self.w.cli('revoke', 'clinic')
                self.w.restart()
                self.w.unlock()
                self.assertEqual([g['state'] for g in self.w.json('grants')], ['revoked'])
                self.assertIn('already', self.w.cli('upgrade-cipher', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)
                # a rotation of the keys keeps the format
                self.w.cli('key', 'rotate', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                self.assertEqual(self.contents()[:3], self.before[:3])
                self.assertIn(self.w.json('doctor')['worst'], ('good', 'warning'))

        def test_what_went_through_it_is_refused_in_clear_words_by_the_older_one(self):
                self.w.lock()
                with open(os.path.join(self.w.state, MARKER), 'wb') as f:
                        f.write(b'\1\0\0\0')
                result = self.w.unlock(code=None)
                if result.code == 0:
                        return  # SQLCipher 4: it looks what the files are
                self.assertEqual(result.code, REFUSED)
                self.assertIn('SQLCipher 4', result.err)
                self.assertIn('Nothing is damaged', result.err)
                os.unlink(os.path.join(self.w.state, MARKER))
                self.w.unlock()
                self.assertEqual(self.contents(), self.before)

        def test_killed_on_the_way_it_goes_on(self):
                core = self.w.core_pid
                with Varlink(self.w.socket) as v:
                        reply = v.call('UpgradeCipher', {'secretFd': 0}, [secret(PASSPHRASE)])
                if reply.get('error') == 'org.carewallet.Refused':
                        return
                self.assertNotIn('error', reply)
                wait_for(lambda: not is_alive(core), what='the core ends')
                with Varlink(self.w.socket) as v:
                        v.send('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)], more=True)
                        wait_for(lambda: 'records.db.new' in self.files(), what='it begins')
                        self.w.kill()
                self.assertNotIn(MARKER, self.files())
                self.w.start()
                self.w.unlock()
                self.assertIn(MARKER, self.files())
                self.assertEqual(self.contents(), self.before)


if __name__ == '__main__':
        unittest.main()
