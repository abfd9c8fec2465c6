# SPDX-License-Identifier: Apache-2.0
"""Make the fixture of a wallet as the programs of this build write it: make.py NAME, with CAREWALLET_BUILD.

NAME/ gets the state directory, NAME/expected.json what is in it. Each released schema has one, made before the next
one; the passphrase is that of tests/lib/wallet.py. They are never made anew: that is what they are for.
"""

import hashlib
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import Wallet, generate


def digest(rows):
        """What a wallet holds, in a form that does not depend on how it is printed."""
        lines = sorted(f'{r["kind"]} {r["time"]} {r["local_time"]} {r.get("value")} {r.get("code")} {r.get("serial")}' for r in rows)
        return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def main(name):
        out = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
        with Wallet() as w:
                w.init()
                generate(w.path('one.csv'), '--days', 1, '--end', '2026-03-19')
                generate(w.path('two.csv'), '--days', 2, '--end', '2026-03-20')
                w.cli('import', w.path('one.csv'))
                w.cli('import', w.path('two.csv'))
                w.provider('clinic')
                w.grant('clinic', '--from', '2026-03-18', '--to', '2026-03-20')
                rows = w.cli('export', '--format', 'ndjson').rows
                expected = {'rows': len(rows), 'digest': digest(rows), 'imports': len(w.json('imports')), 'log': [e['type'] for e in w.cli('log', '--json').rows]}
                w.stop()
                os.mkdir(out)
                for file in 'slots', 'slots.bak', 'consent.db', 'records.db':
                        shutil.copy(os.path.join(w.state, file), out)
        with open(os.path.join(out, 'expected.json'), 'w') as f:
                json.dump(expected, f, indent=2)
                f.write('\n')


if __name__ == '__main__':
        main(sys.argv[1])
