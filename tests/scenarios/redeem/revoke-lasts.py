# SPDX-License-Identifier: Apache-2.0
"""What is revoked stays dead: after any end of the daemon, an older clock, a locked wallet, a dead daemon, a full disk."""

import os
import signal
import subprocess
import sys
import time
import unittest
from http.client import HTTPException

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import ALL, Clinic, Key, Poller, Refused, Template, World, generate, wait_for  # noqa: E402


class RevokeLasts(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.small = Template(days=10)

        def world(self):
                w = World(self.small)
                self.addCleanup(w.close)
                return w

        def clinic(self, w, name, *terms, **options):
                return Clinic(w, name, *(terms or ALL), **options)

        def test_it_holds_after_any_end_of_the_daemon(self):
                w = self.world()
                other = self.clinic(w, 'other')
                for sig in signal.SIGTERM, signal.SIGKILL:
                        clinic = self.clinic(w, f'clinic-{sig.name.lower()}')
                        client = clinic.client()
                        w.cli('revoke', clinic.name)
                        w.stop(sig)
                        w.start()
                        w.unlock()
                        self.assertEqual((clinic.state, len(clinic.entries('revoked'))), ('revoked', 1))
                        w.wait_gate()
                        self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                        client.connect()
                        with self.assertRaises(Refused) as caught:
                                client.get('/slice')
                        self.assertEqual((caught.exception.status, caught.exception.error), (401, 'invalid_token'))
                        client.close()
                        self.assertIsNone(other.refusal())

        def test_a_clock_set_back_does_not_revive_it(self):
                w = self.world()
                other = self.clinic(w, 'other')
                w.clock.set(7200)
                clinic = self.clinic(w, 'clinic')
                self.assertIsNone(clinic.refusal())
                w.cli('revoke', 'clinic')
                w.clock.set(60)
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                self.assertEqual(other.refusal(), (503, 'temporarily_unavailable'))
                w.restart()
                w.unlock()
                w.wait_gate()
                self.assertEqual(other.refusal(), (503, 'temporarily_unavailable'))
                self.assertNotIn('error', w.call('AcceptClock'))
                self.assertIsNone(other.refusal())
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                self.assertEqual(clinic.state, 'revoked')

        def test_a_locked_wallet_takes_it_and_applies_it_before_it_serves(self):
                w = self.world()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                w.lock()
                answer = w.cli('revoke', 'clinic', '--json').json
                self.assertEqual((answer['spooled'], answer['durable'], answer['revoked']), (True, True, 0))
                self.assertEqual(w.json('status')['waiting'], 1)
                poller = Poller(clinic)
                w.kill()  # and it outlives that
                w.start()
                w.unlock()
                w.wait_gate()
                wait_for(lambda: 400 in {status for _, status in poller.answers}, what='the poller is answered')
                poller.finish()
                self.assertEqual({status for _, status in poller.answers}, {0, 400})
                self.assertIsNone(other.refusal())
                self.assertEqual((clinic.state, w.json('status')['waiting']), ('revoked', 0))
                self.assertEqual(len(clinic.entries('revoked')), 1)

        def test_asked_for_while_the_wallet_is_being_unlocked_it_holds(self):
                w = self.world()
                clinic = self.clinic(w, 'clinic')
                for delay_s in 0, 0.3, 0.6:
                        w.lock()
                        unlocking = w.start_cli('unlock', '--passphrase-fd', '{}', passphrase=w.passphrase)
                        time.sleep(delay_s)
                        answer = w.cli('revoke', 'clinic', '--json').json
                        self.assertTrue(answer['durable'])
                        out, err = unlocking.communicate(timeout=30)
                        self.assertEqual(unlocking.returncode, 0, out + err)
                        w.wait_gate()
                        self.assertEqual((clinic.state, clinic.refusal()), ('revoked', (400, 'invalid_grant')))
                        clinic.grant_again(*ALL)

        def test_revoke_all_works_with_the_daemon_dead(self):
                w = self.world()
                clinics = [self.clinic(w, f'clinic-{i}') for i in range(3)]
                poller = Poller(clinics[0])
                w.kill()
                dead = time.monotonic()
                w.cli('revoke', '--all')
                w.start()
                w.unlock()
                w.wait_gate()
                self.assertEqual([clinic.refusal() for clinic in clinics], [(400, 'invalid_grant')] * 3)
                self.assertEqual([clinic.state for clinic in clinics], ['revoked'] * 3)
                poller.finish()
                self.assertNotIn(200, poller.since(dead))
                self.assertEqual(w.json('status')['grants'], 0)

        def small_disk(self):
                """A wallet whose disk can be filled: returns it and a function to fill it, which returns one to make room."""
                def mount(w):
                        self.addCleanup(w.close)
                        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=24m,mode=700', 'carewallet-test', w.state],
                                          stderr=subprocess.DEVNULL).returncode != 0:
                                self.skipTest('skipped: no right to mount a small file system')
                        self.addCleanup(subprocess.run, ['umount', '-l', w.state], check=True)

                def fill(reserve=False):
                        """@reserve: leaves the room that the wallet keeps for revocations."""
                        spool = os.path.join(w.state, 'spool')
                        for name in os.listdir(spool) if os.path.isdir(spool) and not reserve else ():
                                if name.startswith('.reserve-'):
                                        os.unlink(os.path.join(spool, name))
                        with open(os.path.join(w.state, 'filler'), 'wb', buffering=0) as f, self.assertRaises(OSError):
                                while True:
                                        f.write(bytes(4096))
                        return lambda: os.unlink(os.path.join(w.state, 'filler'))

                w = World(self.small, before=mount)
                self.addCleanup(w.stop)
                return w, fill

        def room_for_notes(self, w):
                """On a full disk: for what is sealed, and for nothing else."""
                spool = os.path.join(w.state, 'spool')
                os.makedirs(spool, 0o700, exist_ok=True)
                subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k,mode=700', 'carewallet-test', spool], check=True)

        def test_with_the_disk_full_it_holds_by_a_note(self):
                w, fill = self.small_disk()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                make_room = fill(reserve=True)
                result = w.cli('revoke', 'clinic', '--json')
                self.assertEqual((result.json['durable'], result.json['spooled'], result.json['revoked']), (True, True, 1))
                self.assertNotIn('durable', w.grants_of('clinic')[0])
                self.assertEqual((clinic.state, w.json('status')['waiting'], w.json('status')['gate']['on']), ('revoked', 1, False))
                w.kill()  # as good as a power cut
                make_room()
                w.start()
                self.assertIn('1 revocation that waited', w.unlock().out)
                w.wait_gate()
                self.assertEqual((clinic.state, clinic.refusal()), ('revoked', (400, 'invalid_grant')))
                self.assertIsNone(other.refusal())
                self.assertEqual(w.json('status')['waiting'], 0)

                # stored when there is room, the note goes: it would end what is granted next
                make_room = fill(reserve=True)
                self.assertIn('sealed note', w.cli('revoke', 'other').err)
                w.cli('revoke', 'other')
                w.cli('revoke', '--all')
                self.assertEqual(w.json('status')['waiting'], 1)
                make_room()
                wait_for(lambda: w.json('status')['waiting'] == 0, what='it is stored by itself')
                self.assertEqual(len(other.entries('revoked')), 1)
                other.grant_again(*ALL)
                w.kill()
                w.start()
                w.unlock()
                self.assertEqual((clinic.state, other.state), ('revoked', 'active'))

        def test_with_the_disk_full_and_no_room_for_a_note_it_is_dead_and_says_that_it_may_come_back(self):
                w, fill = self.small_disk()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                client, theirs = clinic.client(), other.client()
                make_room = fill()
                result = w.cli('revoke', 'clinic', code=1)
                self.assertRegex(result.err, 'dead now.*gate is off.*would be alive again')
                for c in client, theirs:
                        with self.assertRaises(OSError):
                                c.connect()
                self.assertEqual(clinic.state, 'revoked')
                gate = w.json('status')['gate']
                self.assertEqual((gate['on'], 'full' in gate['reason']), (False, True))
                self.assertEqual(clinic.entries('revoked'), [])
                w.cli('revoke', 'clinic', code=1)  # still not
                self.assertRegex(w.cli('gate', 'on', '--listen', w.gate, code=1).err, 'disk is full')
                self.assertFalse(w.json('status')['gate']['on'])

                make_room()
                w.cli('revoke', 'clinic')
                self.assertEqual(len(clinic.entries('revoked')), 1)
                w.wait_gate()  # it was off for want of room only
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                self.assertIsNone(other.refusal())
                w.kill()
                w.start()
                w.unlock()
                w.wait_gate()
                self.assertEqual((clinic.state, clinic.refusal()), ('revoked', (400, 'invalid_grant')))

        def test_when_there_is_room_again_it_is_stored_by_itself_and_locking_does_not_undo_it(self):
                w, fill = self.small_disk()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                make_room = fill()
                w.cli('revoke', 'clinic', '--reason', 'moved', code=1)
                grants = {grant['provider']: grant for grant in w.json('grants')}
                self.assertEqual((grants['clinic']['state'], grants['clinic']['durable'], 'durable' in grants['other']), ('revoked', False, False))
                self.assertEqual(w.json('status')['unstored'], 1)
                self.assertRegex(w.cli('status').out, 'not on the disk yet')
                self.assertRegex(w.cli('grants').out, 'revoked .*not on the disk yet')
                time.sleep(3.1)
                make_room()

                wait_for(lambda: w.json('status')['unstored'] == 0, what='it is tried again by itself')
                self.assertNotIn('durable', w.grants_of('clinic')[0])
                [entry] = clinic.entries('revoked')
                self.assertEqual(entry['reason'], 'moved')
                self.assertLess(entry['at'], entry['time'])
                self.assertIn('the disk had been full', w.cli('log').out)
                w.wait_gate()  # only now
                self.assertIsNone(other.refusal())
                w.lock()
                w.unlock()
                w.wait_gate()
                self.assertEqual((clinic.state, clinic.refusal()), ('revoked', (400, 'invalid_grant')))

        def test_whatever_else_is_committed_stores_it_too(self):
                w, fill = self.small_disk()
                clinic = self.clinic(w, 'clinic')
                make_room = fill()
                w.cli('revoke', 'clinic', code=1)
                make_room()
                w.cli('timezone', 'Europe/Paris')
                w.kill()
                w.start()
                w.unlock()
                self.assertEqual(clinic.state, 'revoked')

        def test_locking_on_a_full_disk_leaves_it_sealed_or_does_not_lock(self):
                w, fill = self.small_disk()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                make_room = fill()
                w.cli('revoke', 'clinic', code=1)
                self.assertRegex(w.cli('lock', code=1).err, 'stays open.*not on the disk yet.*make room')
                self.assertFalse(w.is_locked())
                self.assertFalse(w.json('status')['gate']['on'])
                self.assertEqual(w.json('status')['waiting'], 0)

                self.room_for_notes(w)
                w.lock()
                self.assertEqual(w.json('status')['waiting'], 1)
                make_room()
                w.unlock()
                self.assertEqual((clinic.state, other.state), ('revoked', 'active'))
                self.assertEqual(len(clinic.entries('revoked')), 1)

                make_room = fill()
                w.cli('revoke', 'other')
                w.stop()  # the same for whoever ends the daemon
                make_room()
                w.start()
                w.unlock()
                self.assertEqual(other.state, 'revoked')

        def test_what_waits_for_an_open_wallet_is_applied_by_unlock_or_said_not_to_be(self):
                w, fill = self.small_disk()
                clinic = self.clinic(w, 'clinic')
                client = clinic.client()
                self.room_for_notes(w)
                make_room = fill()
                aside = ('--socket', w.path('nobody'), '--state-dir', w.state)  # as it is left when the daemon did not answer
                self.assertIn('may still be serving', ' '.join(w.cli('revoke', 'clinic', *aside, code=3).err.split()))
                result = w.cli('unlock', '--json', '--passphrase-fd', '{}', passphrase=w.passphrase)
                self.assertRegex(result.json['not_applied'], 'could not be written to the wallet')
                self.assertRegex(result.err, 'could not be written to the wallet')
                self.assertEqual((result.json['applied'], clinic.state, w.json('status')['gate']['on'], w.json('status')['waiting']), (0, 'revoked', False, 1))
                make_room()
                w.wait_gate()
                result = w.cli('unlock', '--json', '--passphrase-fd', '{}', passphrase=w.passphrase)
                self.assertEqual((result.json['applied'], 'not_applied' in result.json, w.json('status')['waiting']), (1, False, 0))
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                client.close()

        def test_an_end_by_time_and_a_gate_that_was_turned_off_are_tried_again_too(self):
                w, fill = self.small_disk()
                clinic, other = self.clinic(w, 'clinic', '--for', '1d', *ALL), self.clinic(w, 'other')
                make_room = fill()
                w.cli('gate', 'off', code=1)
                w.clock.set(2 * 86400)
                wait_for(lambda: clinic.state == 'expired', what='it expires')
                self.assertIs(w.grants_of('clinic')[0]['durable'], False)
                make_room()
                wait_for(lambda: w.json('status')['unstored'] == 0, what='it is tried again by itself')
                self.assertEqual((len(clinic.entries('expired')), len(w.ledger(type='gate-off'))), (1, 1))
                time.sleep(1)
                self.assertFalse(w.json('status')['gate']['on'])
                w.clock.set(0)
                w.lock()
                w.unlock()
                self.assertEqual((clinic.state, other.state, w.json('status')['gate']['on']), ('expired', 'active', False))

        def test_nothing_that_a_full_disk_refuses_ends_the_core(self):
                w, fill = self.small_disk()
                clinic = self.clinic(w, 'clinic')
                client = clinic.client()
                csv = w.path('more.csv')
                generate(csv, '--days', 60, '--end', self.small.first, '--seed', 9)
                core, size = w.core_pid, len(w.ledger())
                key = Key().write_jwk(w.path('new.jwk'))
                make_room = fill()
                time.sleep(1.1)  # so that the time seen is another one, too

                # who asks gets nothing that the ledger does not have
                with self.assertRaises((Refused, OSError, HTTPException)):
                        client.get('/slice').read()
                for verb in (('provider', 'add', 'new', '--key', key), ('grant', 'clinic', '--preset', 'visit', '--yes', '--out', w.path('x.grant')),
                             ('gate', 'on', '--listen', w.gate), ('gate', 'off'), ('import', csv), ('timezone', 'Europe/Paris'), ('revoke', '--all')):
                        with self.subTest(verb[:2]):
                                result = w.cli(*verb, code=1)
                                self.assertRegex(result.err, r'[Dd]isk|records')
                                self.assertEqual(w.core_pid, core)
                w.cli('export', '--format', 'ndjson', '--out', w.path('all.ndjson'))  # the patient's own data are not held hostage
                w.clock.set(40 * 86400)  # the grant expires, and it can't be stored
                self.assertEqual((w.core_pid, clinic.state), (core, 'revoked'))
                w.clock.set(0)
                make_room()
                self.assertLessEqual({entry['type'] for entry in w.ledger()[size:]}, {'revoked', 'expired', 'gate-off'})  # what narrows is tried again

                w.cli('revoke', '--all')
                make_room = fill()
                w.lock()
                w.cli('unlock', '--passphrase-fd', '{}', passphrase=w.passphrase, code=None)
                w.cli('revoke', '--all', code=None)
                make_room()
                w.unlock()
                self.assertEqual(clinic.state, 'revoked')


if __name__ == '__main__':
        unittest.main(verbosity=2)
