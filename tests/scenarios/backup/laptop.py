# SPDX-License-Identifier: Apache-2.0
"""A lost laptop: the commands of the manual page and of the README, taken from there and done one after the other on another machine.

Only what a person does besides is put in: the stick's directory, the provider's name, and secrets and answers, which come
from descriptors and --yes where a person would type them. systemctl is a script that starts the daemon as the unit does.
"""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import CLI, ROOT, Wallet, generate, run, wait_for


def manual():
        """The command lines of carewallet(1), A LOST LAPTOP."""
        with open(os.path.join(ROOT, 'cli', 'carewallet.1')) as f:
                section = f.read().split('.Sh A LOST LAPTOP\n')[1].split('.Sh ')[0]
        return [line for block in re.findall(r'^\.Bd .*?\n(.*?)^\.Ed', section, re.M | re.S) for line in block.splitlines()]


def readme():
        with open(os.path.join(ROOT, 'README.md')) as f:
                text = f.read()
        make = re.search(r'^carewallet backup \S+', text, re.M).group()
        lost = text.split('**The laptop is lost?**')[1].split('\n\n')[0].replace('\n', ' ')
        return [make, *(c for c in re.findall(r'`(carewallet [^`]+)`', lost))]


class Laptop(unittest.TestCase):
        def follow(self, commands):
                with Wallet() as old, Wallet(start=False) as new:
                        stick = old.path('stick')
                        os.mkdir(stick)
                        old.init()
                        generate(old.path('a.csv'), '--days', 3)
                        old.cli('import', old.path('a.csv'))
                        old.provider('endo-clinic')
                        old.grant('endo-clinic')
                        before = old.cli('show', '--all', '--json').out

                        runtime, programs = new.path('run'), new.path('bin')
                        os.makedirs(os.path.join(runtime, 'carewallet'))
                        os.mkdir(programs)
                        state = os.path.join(new.home, '.local', 'state', 'carewallet')
                        new.state, new.socket = state, os.path.join(runtime, 'carewallet', 'socket')
                        env = {**new.env, 'XDG_RUNTIME_DIR': runtime, 'PATH': programs + ':' + os.environ['PATH']}
                        del env['CAREWALLET_SOCKET']
                        new.env = env
                        os.symlink(CLI, os.path.join(programs, 'carewallet'))
                        with open(os.path.join(programs, 'systemctl'), 'w') as f:
                                f.write('#!/bin/sh\n[ "$*" = "--user start carewalletd.socket" ]\n')
                        os.chmod(os.path.join(programs, 'systemctl'), 0o755)

                        done = []
                        for command in commands:
                                with self.subTest(command):
                                        words = command.split('#')[0].replace('/media/stick', stick).replace('NAME', 'endo-clinic').replace('~', new.home).split()
                                        on_old = words[:2] == ['carewallet', 'backup']
                                        options = {}
                                        if words[:2] == ['carewallet', 'unlock']:
                                                words += ['--passphrase-fd', '{}']
                                                options['passphrase'] = old.passphrase
                                        if words[:2] == ['carewallet', 'resume']:
                                                words.append('--yes')
                                        if words[0] == 'carewallet':
                                                words[0] = CLI
                                        run(words, old.env if on_old else env, **options)
                                        done.append(words[1])
                                        if on_old:
                                                old.stop()  # it is gone
                                        if words[1] == 'restore':
                                                new.start()  # what the socket unit does with the first connection
                                                wait_for(lambda: os.path.exists(new.socket))
                        for verb in 'backup', 'restore', 'unlock', 'grants', 'resume':
                                self.assertIn(verb, done)
                        self.assertEqual(new.cli('show', '--all', '--json').out, before)
                        self.assertEqual([g['state'] for g in new.json('grants')], ['active'])

        def test_as_the_manual_page_says(self):
                self.follow(manual())

        def test_as_the_readme_says(self):
                self.follow(readme())


if __name__ == '__main__':
        unittest.main(verbosity=2)
