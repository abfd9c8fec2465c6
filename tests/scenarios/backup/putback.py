# SPDX-License-Identifier: Apache-2.0
"""Files put back to an older state behind the patient's back: nothing that was revoked since is served again."""

import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink
from wallet import REFUSED, Wallet, generate


class PutBack(unittest.TestCase):
        def setUp(self):
                self.w = w = Wallet()
                self.addCleanup(w.close)
                w.init()
                generate(w.path('a.csv'), '--days', 8, '--end', '2026-03-20')
                w.cli('import', w.path('a.csv'))
                self.clinic, self.other = w.provider('clinic'), w.provider('other')
                self.address = w.gate_on()
                self.grants = {name: w.grant(name, '--from', '2026-03-15', '--to', '2026-03-16') for name in ('clinic', 'other')}
                self.clinic.redeem(self.grants['clinic'])
                w.stop()
                shutil.copytree(w.state, w.path('old'))
                w.start()
                w.unlock()
                w.cli('revoke', 'clinic')
                self.clinic.redeem(self.grants['clinic'], code=REFUSED)

        def put_back(self, *names):
                w = self.w
                w.stop()
                for name in names or os.listdir(w.state):
                        path = os.path.join(w.state, name)
                        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                for name in names or os.listdir(w.path('old')):
                        path = os.path.join(w.path('old'), name)
                        (shutil.copytree if os.path.isdir(path) else shutil.copy2)(path, os.path.join(w.state, name))
                w.start()

        def states(self):
                return {g['provider']: g['state'] for g in self.w.json('grants')}

        def assert_suspended(self):
                self.assertEqual(self.states(), {'clinic': 'suspended', 'other': 'suspended'})
                self.assertFalse(self.w.json('status')['gate']['on'])
                entry = [e for e in self.w.cli('log', '--json').rows if e['type'] == 'went-back'][-1]
                self.assertEqual(entry['suspended'], 2)
                return entry

        def test_the_whole_directory(self):
                w = self.w
                self.put_back()
                self.assertIn('put back to an older state', w.unlock().err)
                self.assertEqual(self.assert_suspended()['by'], 'checkpoint')
                self.assertIn('put back', w.cli('status').err)
                self.assertIn('Suspended', w.cli('status').out)
                # the gate being opened again, nothing is served that was not resumed
                w.gate_on(self.address)
                for provider in self.clinic, self.other:
                        provider.redeem(self.grants[provider.name], code=REFUSED)
                w.cli('resume', 'other', '--yes')
                self.assertGreater(len(self.other.redeem(self.grants['other']).rows), 100)
                self.clinic.redeem(self.grants['clinic'], code=REFUSED)
                # it is told until it is accepted, suspended once only
                w.restart()
                self.assertIn('put back', w.unlock().err)
                self.assertEqual(self.states(), {'clinic': 'suspended', 'other': 'active'})
                self.assertNotIn('put back', w.cli('status', '--accept-older').err)
                w.restart()
                self.assertNotIn('put back', w.unlock().err)
                self.assertEqual(self.states(), {'clinic': 'suspended', 'other': 'active'})

        def test_twice(self):
                """Back behind the epoch that the first time began."""
                w = self.w
                self.put_back()
                w.unlock()
                w.cli('status', '--accept-older')
                w.cli('resume', '--all', '--yes')
                self.put_back()
                self.assertIn('put back', w.unlock().err)
                self.assert_suspended()

        def test_unlocked_by_a_program_that_remembers_nothing(self):
                """What another one remembers reaches the core with its first command."""
                w = self.w
                home = w.env['HOME']
                self.put_back()
                w.env['HOME'] = w.path('stranger')
                os.mkdir(w.env['HOME'])
                w.unlock()
                self.assertEqual(self.states(), {'clinic': 'active', 'other': 'active'})
                w.env['HOME'] = home
                self.assertIn('put back', w.cli('status').err)
                self.assert_suspended()

        def test_a_checkpoint_of_another_wallet_changes_nothing(self):
                with Wallet() as other:
                        other.init()
                        theirs = other.json('status')['checkpoint']
                with Varlink(self.w.socket) as v:
                        for text in theirs, '', 'x', theirs.replace('\n', ''), 'x' * 4097, self.w.json('status')['checkpoint']:
                                self.assertFalse(v.call('Witness', {'checkpoint': text}).get('parameters', {}).get('wentBack', False))
                self.assertEqual(self.states(), {'clinic': 'revoked', 'other': 'active'})


if __name__ == '__main__':
        unittest.main(verbosity=2)
