# SPDX-License-Identifier: Apache-2.0
"""A simulated CareLink stick with a pump behind it, for the real daemon, the real libusb and the real command line.

        stick = Stick(pages=[…])                        # 1,024 bytes each, newest first
        with Wallet(env=stick.env) as w:
                w.cli('pull', '--device', stick.node, '--serial', stick.serial)
                stick['n_pages_sent']                   # what happened
                stick.set(fault=UNPLUG, fault_at=100)   # and what shall go wrong the next time

tests/simulators/usbfs.c is what answers. stick.umockdev is a description of the plugged-in device, as umockdev-run takes it.
"""

import os
import shutil
import struct
import tempfile

from wallet import BUILD

MODULE = os.path.join(BUILD, 'tests', 'simulators', 'libusbfs.so')
NONE, UNPLUG, STALL, SILENCE, SHORT, FLIP, NAK, CANCEL, STALE = range(9)

PAGES_MAX = 36
NUMBERS = ('n_pages', 'n_glucose', 'newest_glucose', 'is_asleep', 'is_worldwide', 'is_deaf', 'merge', 'bad_page', 'fault', 'fault_at', 'fault_every',
           'speed', 'n_sessions', 'n_transfers', 'n_pages_sent', 'n_refused', 'is_radio_on', 'is_driver_bound', 'n_detached', 'n_attached', 'n_claimed',
           'n_script', 'n_replayed', 'n_until_stop')
AT = 16
PAGES_AT = AT + 4 * len(NUMBERS)
SCRIPT_AT = PAGES_AT + PAGES_MAX * (1024 + 1024 + 2048)
SCRIPT_MAX = 256 * 1024
SIZE = SCRIPT_AT + SCRIPT_MAX

# device, configuration, interface, bulk OUT 1, bulk IN 2: as the stick's own, by its documentation
DESCRIPTORS = bytes.fromhex('1201000100000040210a0180100100000001' '0902200001010080320904000002ffffff00' '0705010240000007058202400000')


def crc16(data):
        crc = 0xffff
        for byte in data:
                crc ^= byte << 8
                for _ in range(8):
                        crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
        return crc


def page(records):
        """A history page with these records, oldest first."""
        data = b''.join(records).ljust(1022, b'\0')
        assert len(data) == 1022
        return data + crc16(data).to_bytes(2, 'big')


def bolus(day, hour, minute, second, strokes):
        """A normal bolus of a pump of the 723's kind, in April 2015."""
        amount = strokes.to_bytes(2, 'big')
        return bytes([0x01]) + amount + amount + bytes([0, 0, 0, second | 0x40, minute, hour, day | 0x20, 15])


class Stick:
        def __init__(self, pages, glucose=(), isig=(), newest_glucose=0, serial='345192', model='723', speed=50):
                self.directory = tempfile.mkdtemp(prefix='cw-usb-', dir='/tmp')
                self.path = os.path.join(self.directory, 'sim')
                self.node = os.path.join(self.directory, 'node')
                self.umockdev = os.path.join(self.directory, 'stick.umockdev')
                self.serial = serial
                self.env = {'LD_PRELOAD': MODULE, 'CAREWALLET_SIM': self.path}
                with open(self.path, 'wb') as f:
                        f.write(struct.pack('8s8s', serial.encode(), model.encode()).ljust(SIZE, b'\0'))
                with open(self.node, 'wb') as f:
                        f.write(DESCRIPTORS)
                with open(self.umockdev, 'w') as f:
                        f.write('P: /devices/usb1/1-1\nN: bus/usb/001/002=' + DESCRIPTORS.hex().upper() + '\nE: DEVNAME=/dev/bus/usb/001/002\nE: DEVTYPE=usb_device\n'
                                'E: SUBSYSTEM=usb\nE: BUSNUM=001\nE: DEVNUM=002\nA: busnum=1\\n\nA: devnum=2\\n\nA: speed=12\\n\nA: bConfigurationValue=1\\n\n'
                                'A: idVendor=0a21\\n\nA: idProduct=8001\\n\nH: descriptors=' + DESCRIPTORS.hex().upper() + '\n')
                self.set(merge=2, bad_page=-1, speed=speed, is_asleep=1, is_driver_bound=1)
                self.set_pages(pages, glucose, isig, newest_glucose)

        def set_pages(self, pages, glucose=(), isig=(), newest_glucose=0):
                with open(self.path, 'r+b') as f:
                        for at, size, all_pages in ((0, 1024, pages), (1024 * PAGES_MAX, 1024, glucose), (2048 * PAGES_MAX, 2048, isig)):
                                for i, bytes_ in enumerate(all_pages):
                                        assert len(bytes_) == size
                                        f.seek(PAGES_AT + at + i * size)
                                        f.write(bytes_)
                self.set(n_pages=len(pages), n_glucose=len(glucose), newest_glucose=newest_glucose)

        def set_captures(self, paths):
                """Files with the traffic of a real stick (tests/simulators/replay.h); what is in several, the first one tells."""
                script = b''
                for path in paths:
                        with open(path, 'rb') as f:
                                script += f.read()
                assert len(script) <= SCRIPT_MAX
                with open(self.path, 'r+b') as f:
                        f.seek(SCRIPT_AT)
                        f.write(script)
                self.set(n_script=len(script))

        def set(self, **numbers):
                with open(self.path, 'r+b') as f:
                        for name, number in numbers.items():
                                f.seek(AT + 4 * NUMBERS.index(name))
                                f.write(struct.pack('<i', number))

        def __getitem__(self, name):
                with open(self.path, 'rb') as f:
                        f.seek(AT + 4 * NUMBERS.index(name))
                        return struct.unpack('<i', f.read(4))[0]

        def close(self):
                shutil.rmtree(self.directory, ignore_errors=True)
