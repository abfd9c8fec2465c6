# SPDX-License-Identifier: Apache-2.0
"""A complete export: readable without us, restored into a new wallet to the last bit, refused when it is not as it was written."""

import hashlib
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import PARTLY, REFUSED, USAGE, Wallet, generate  # noqa: E402

HEAD = '-------;Pump X;Pump;NG1;-------\nIndex;Date;Time;Sensor Glucose (mg/dL);Bolus Type;Bolus Volume Delivered (U)\n'


def write(path, text):
        with open(path, 'wb') as f:
                f.write(text if isinstance(text, bytes) else text.encode())
        return path


def sealed(lines):
        """Lines with the end line that fits them."""
        body = b''.join(line + b'\n' for line in lines)
        return body + json.dumps({'end': {'lines': len(lines), 'sha256': hashlib.sha256(body).hexdigest()}}, separators=(',', ':')).encode() + b'\n'


class Everything(unittest.TestCase):
        def wallet(self, **options):
                w = Wallet(**options)
                self.addCleanup(w.close)
                w.init()
                return w

        def content(self, w):
                """All that a wallet says of records, imports and clocks."""
                imports = w.json('imports')
                return {'records': w.cli('export', '--format', 'ndjson').out, 'csv': w.cli('export', '--format', 'csv').out, 'imports': imports,
                        'reports': [w.json('imports', 'show', i['id']) for i in imports], 'zones': w.json('timezone'),
                        'quarantine': w.json('quarantine', 'list'), 'count': w.json('status')['records']}

        def lived_in(self):
                """A wallet in which everything has happened that leaves a trace."""
                w = self.wallet()
                for name, days, seed in (('a', ('2025-03-20', '2025-04-02'), 1), ('b', ('2025-03-28', '2025-04-06'), 1), ('c', ('2025-04-05', '2025-04-08'), 2)):
                        generate(w.path(name), '--days', '30', '--end', '2025-04-08', '--from', days[0], '--to', days[1], '--seed', seed)
                        w.cli('import', w.path(name), code=None)
                rows = ''.join(f'{i};2025/05/03;{23 - i // 60:02}:{i % 60:02}:00;{100 + i};;\n' for i in range(60))
                w.cli('import', write(w.path('d.csv'), HEAD + rows + ''.join(f'{i};2025/05/02;09:00:00;zw"ei\\{i};;\n' for i in range(1203))), code=PARTLY)
                w.cli('import', write(w.path('e.csv'), HEAD + rows.replace(';1', ';2', 5) + '0;2025/05/03;10:00:00;;Normal;250,0\n1;2025/05/02;10:00:00;;Normal;260,0\n'))
                w.cli('imports', 'undo', '2', '--yes')
                w.cli('import', w.path('b'), code=None)
                w.cli('import', w.path('b'), code=None)
                w.cli('quarantine', 'release', w.json('quarantine', 'list')[0]['id'], '--yes', code=None)
                w.cli('timezone', 'add', 'America/New_York', '--from', '2025-04-01')
                w.cli('timezone', 'add', 'Europe/Berlin', '--from', '2025-04-03')
                w.provider('clinic')
                w.grant('clinic')
                return w

        def test_a_new_wallet_is_what_the_old_one_was(self):
                old = self.lived_in()
                before = self.content(old)
                path = old.path('all')
                said = old.cli('export', '--everything', '--out', path).out
                self.assertIn('keep it safe', said)
                with open(path, 'rb') as f:
                        lines = f.read().splitlines()

                # a program that knows nothing of us can check it, and read what happened
                end = json.loads(lines[-1])['end']
                self.assertEqual(end, {'lines': len(lines) - 1, 'sha256': hashlib.sha256(b''.join(line + b'\n' for line in lines[:-1])).hexdigest()})
                sorts = {}
                for line in lines:
                        (name, value), = json.loads(line).items()
                        sorts.setdefault(name, []).append(value)
                self.assertEqual(sorts['carewallet-export'][0]['version'], 1)
                self.assertEqual([p['name'] for p in sorts['provider']], ['clinic'])
                self.assertEqual([g['provider'] for g in sorts['grant']], ['clinic'])
                self.assertLessEqual({'import', 'import-undone', 'provider-added', 'export'}, {e['type'] for e in sorts['entry']})
                self.assertEqual([e['index'] for e in sorts['entry']], list(range(len(sorts['entry']))))
                self.assertEqual(len([r for r in sorts['rejected'] if r['import'] == 4]), 1203)
                self.assertTrue(sorts['again'])
                text = b'\n'.join(lines).decode()
                for secret in (old.passphrase, *[word for word in old.recovery_output.split() if word.count('-') == 7]):
                        self.assertNotIn(secret, text)

                new = self.wallet(timezone='UTC')
                report, = new.json('import', path)
                self.assertEqual((report['format'], report['imports'], report['rows']), ('complete export', len(before['imports']), len(sorts['record'])))
                self.assertEqual(report['inserted'], sum(before['count'].values()))
                self.assertEqual(self.content(new), before)
                self.assertEqual(new.json('grants'), [])
                self.assertEqual(new.json('provider', 'list'), [])
                new.restart()
                new.unlock()
                self.assertEqual(self.content(new), before)
                self.assertTrue(new.json('doctor', code=None))

                # all that was said is there, not only what is visible: what is undone in both leaves the same
                again = new.path('again')
                new.cli('export', '--everything', '--out', again)
                with open(again, 'rb') as f:
                        copied = f.read().splitlines()
                mine = [b'{"record":', b'{"again":', b'{"rejected":', b'{"import":', b'{"source":']
                self.assertEqual([line for line in copied if any(map(line.startswith, mine))], [line for line in lines if any(map(line.startswith, mine))])
                for number in (1, before['imports'][-1]['id'], 5):
                        for w in (old, new):
                                w.cli('imports', 'undo', number, '--yes')
                        self.assertEqual(self.content(new), self.content(old))
                old.cli('import', old.path('a'), code=None)
                new.cli('import', old.path('a'), code=None)
                self.assertEqual(self.content(new)['records'], self.content(old)['records'])
                self.assertEqual([i['id'] for i in new.json('imports')], [i['id'] for i in old.json('imports')])

                # into a wallet that has something it does not go
                self.assertIn('goes into a new one', new.cli('import', path, code=REFUSED).err)
                self.assertIn('you imported', new.cli('log').out)

        def test_what_is_not_as_it_was_written_is_refused_and_the_next_one_goes_in(self):
                old = self.wallet()
                old.cli('import', write(old.path('x.csv'), HEAD + '0;2025/05/03;10:00:00;100;;\n1;2025/05/03;09:55:00;101;;\n'))
                path = old.path('all')
                old.cli('export', '--everything', '--out', path)
                with open(path, 'rb') as f:
                        whole = f.read()
                lines = whole.splitlines()[:-1]
                record = next(i for i, line in enumerate(lines) if line.startswith(b'{"record"'))
                new = self.wallet()

                def refused(text, *words):
                        answer = ' '.join(new.cli('import', write(new.path('file'), text), code=REFUSED).err.split())
                        for word in words:
                                self.assertIn(word, answer)
                        self.assertEqual(new.json('imports'), [])
                        self.assertEqual(new.cli('export', '--format', 'ndjson').out, '')

                for n in (1, 2, len(whole) // 2, len(whole) - len(lines[-1])):
                        refused(whole[:-n], 'cut short')
                refused(whole + b'x\n', 'something was added')
                refused(whole.replace(b'"value":100', b'"value":140'), 'its SHA-256 is another')
                refused(whole.replace(b'"value":100', b'"value":1x0'), f'Line {record + 2} is not as carewallet writes it')
                refused(whole.replace(b'"version":1', b'"version":2'), 'of version 2, from a later carewallet')
                refused(b'{"carewallet-export":{"version":7,"more":"than we know"}}\nwhatever\n', 'of version 7')
                refused(sealed(lines).replace(b'"lines":', b'"lines":1'), 'its SHA-256 is another')

                # by somebody who can make the end line fit
                def forged(old_text, new_text, index=record):
                        changed = list(lines)
                        changed[index] = changed[index].replace(old_text, new_text)
                        self.assertNotEqual(changed, lines)
                        return sealed(changed)
                for old_text, new_text in ((b'"flags":1', b'"flags":9'), (b'"flags":1', b'"flags":256'), (b'"import":1', b'"import":2'), (b'"source":1', b'"source":2'),
                                           (b'"source":1', b'"source":0'), (b'"kind":"cgm"', b'"kind":"x"'), (b'"decimals":0', b'"decimals":9'),
                                           (b'"identity":"', b'"identity":"00'), (b'"value":', b'"value":1e300,"x":'), (b'2025-05-03T', b'2025-02-30T'),
                                           (b'2025-05-03T', b'1970-01-01T'), (b'"unit":"mg/dL"', b'"unit":"U"'), (b'"import":1', b'"import":1,"import":1')):
                        refused(forged(old_text, new_text), f'Line {record + 1}')
                refused(sealed([*lines[:record], lines[record + 1], lines[record], *lines[record + 2:]]), f'Line {record + 2}')
                refused(sealed([*lines, lines[record]]), f'Line {len(lines) + 1}')
                refused(sealed([*lines, b'{"unheard":{}}']), f'Line {len(lines) + 1}')
                refused(forged(b'Europe/Berlin', b'Europe/Atlantis', 0), 'A time zone of the wallet that was exported is not known')
                refused(forged(b'Europe/Berlin', b'../../etc/passwd', 0), 'no record')

                self.assertEqual(sealed(lines), whole)
                new.cli('import', write(new.path('file'), whole))
                self.assertEqual(self.content(new), self.content(old))

        def test_an_empty_wallet_is_exported_and_restored_too(self):
                old, new = self.wallet(), self.wallet(timezone='UTC')
                old.cli('export', '--everything', '--out', old.path('all'))
                new.cli('import', old.path('all'))
                self.assertEqual(self.content(new), self.content(old))
                old.cli('export', '--everything', '--format', 'csv', code=USAGE)


if __name__ == '__main__':
        unittest.main(verbosity=2)
