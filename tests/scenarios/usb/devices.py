# SPDX-License-Identifier: Apache-2.0
"""carewallet devices, and pull without --device, with devices that umockdev plugs in."""

import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
import usb  # noqa: E402
from wallet import CLI, DONE, REFUSED, USAGE, Wallet, run, skip  # noqa: E402

if not shutil.which('umockdev-run'):
        skip('no umockdev-run (Debian package umockdev)')

DRIVER = 'P: /devices/usb1/1-1/1-1:1.0\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\nL: driver=../../../../bus/usb/drivers/usb_serial_simple\n'
RULES = os.path.join(HERE, '..', '..', '..', 'systemd', '70-carewallet.rules')


def plugged(path, *texts):
        """The command that runs another with these devices plugged in."""
        args = []
        for i, text in enumerate(texts):
                with open(f'{path}.{i}', 'w') as f:
                        f.write(text)
                args += ['-d', f'{path}.{i}']
        return ['umockdev-run', *args, '--', CLI]


class Devices(unittest.TestCase):
        def setUp(self):
                self.stick = usb.Stick([usb.page([usb.bolus(20, 7, 0, 0, 40)])])
                self.addCleanup(self.stick.close)
                self.path = os.path.join(self.stick.directory, 'device')
                with open(self.stick.umockdev) as f:
                        self.text = f.read()
                self.env = {'PATH': os.environ['PATH'], 'HOME': self.stick.directory, 'LC_ALL': 'C.UTF-8', 'NO_COLOR': '1'}

        def devices(self, *texts):
                return run([*plugged(self.path, *texts), 'devices', '--json'], self.env).json

        def test_a_stick_is_named_with_its_node_and_ready(self):
                one, = self.devices(self.text)
                self.assertEqual((one['name'], one['id'], one['node'], one['port']), ('CareLink USB stick', '0a21:8001', '/dev/bus/usb/001/002', '1-1'))
                self.assertTrue(one['ready'])
                self.assertEqual(one['troubles'], [])
                self.assertNotIn('driver', one)
                said = run([*plugged(self.path, self.text), 'devices'], self.env).out
                self.assertIn('Ready.', said)

        def test_a_driver_of_the_kernel_that_holds_it_is_no_trouble(self):
                one, = self.devices(self.text + '\n' + DRIVER)
                self.assertEqual(one['driver'], 'usb_serial_simple')
                self.assertTrue(one['ready'])

        def test_what_is_in_the_way_is_said(self):
                one, = self.devices(self.text.replace('N: bus/usb/001/002=' + usb.DESCRIPTORS.hex().upper() + '\n', ''))
                self.assertFalse(one['ready'])
                self.assertIn('node is missing', one['troubles'][0])
                one, = self.devices(self.text.replace('0a21', '1a79').replace('8001', '6210'))
                self.assertFalse(one['ready'])
                self.assertIn("can't read this device yet", one['troubles'][0])
                self.assertEqual(self.devices(self.text.replace('0a21', '1d6b')), [])  # a hub is nobody's data

        def test_pull_finds_the_device_and_wants_to_be_told_of_two(self):
                with Wallet(env=self.stick.env, timezone='America/New_York') as w:
                        w.init()
                        argv = plugged(self.path, self.text)
                        done = run([*argv, 'pull', '--serial', self.stick.serial, '--json'], w.env, code=DONE)
                        self.assertTrue(done.json['pump']['complete'])
                        second = self.text.replace('1-1', '1-2').replace('001/002', '001/003').replace('DEVNUM=002', 'DEVNUM=003').replace('devnum=2', 'devnum=3')
                        argv = plugged(self.path, self.text, second)
                        self.assertIn('--device', run([*argv, 'pull', '--serial', self.stick.serial], w.env, code=USAGE).err)
                        argv = plugged(self.path, self.text.replace('N: bus/usb/001/002=' + usb.DESCRIPTORS.hex().upper() + '\n', ''))
                        self.assertIn('node is missing', run([*argv, 'pull', '--serial', self.stick.serial], w.env, code=REFUSED).err)

        def test_the_rule_for_udev_names_each_device_that_can_be_read_and_nothing_else(self):
                with open(RULES) as f:
                        rules = [line for line in f.read().splitlines() if line and not line.startswith('#')]
                self.assertEqual({line.split('"')[1] for line in rules if line.startswith('ATTR{idVendor}')}, {'0a21', '1a79'})
                set_by = [line for line in rules if 'TAG+=' in line or 'ENV{ID_' in line]
                self.assertEqual(len(set_by), 2)
                self.assertIn('"carewallet-pull.service"', set_by[1])
                for word in ('TAG+="uaccess"', 'ENV{ID_MM_DEVICE_IGNORE}="1"', 'ENV{ID_MTP_DEVICE_IGNORE}="1"'):
                        self.assertIn(word, set_by[0])
                if shutil.which('udevadm') and subprocess.run(['udevadm', 'verify', '--help'], capture_output=True).returncode == 0:
                        subprocess.run(['udevadm', 'verify', RULES], check=True)


if __name__ == '__main__':
        unittest.main()
