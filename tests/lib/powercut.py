# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave of a folder: notes of libfaults.so replayed, with what was not synced there, not there, or in another order.

        cut = PowerCut(folder, ['state', 'home'])       # as it is before the work
        for note in notes(shared): cut.apply(note)
        cut.write(folder, keep)                          # keep(size): which bytes of a change that is not synced are there

The model is what POSIX promises and no more: a file's bytes are there after its fsync or fdatasync, a name after the fsync of its
directory; until then any change may be missing, whatever came after it, and a write may be cut at any sector.
"""

import os
import random
import shutil
import struct

CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, LINK = range(1, 9)
NOTES_AT, SECTOR = 4096, 512


def notes(shared):
        """All notes of a mapped control file: (type, inode, where, names, bytes)."""
        at, end = NOTES_AT, NOTES_AT + struct.unpack('<q', shared[16:24])[0]
        while at < end:
                kind, n_names, inode, where, n = struct.unpack('<IIQqQ', shared[at:at + 32])
                at += 32
                names = shared[at:at + n_names].decode().split('\0')
                at += n_names
                yield kind, inode, where, names, bytes(shared[at:at + n])
                at += n


def all_of_it(size):
        return size


def none_of_it(size):
        return 0


def some_of_it(seed):
        chance = random.Random(seed)

        def keep(size):
                if chance.random() < 0.5:
                        return size
                if size <= SECTOR or chance.random() < 0.5:
                        return 0
                return chance.randrange(1, (size + SECTOR - 1) // SECTOR) * SECTOR
        return keep


class File:
        def __init__(self, content=b''):
                self.content = bytearray(content)
                self.pending = []  # (where, bytes), or (size, None): cut

        def sync(self):
                self.content, self.pending = self.after(all_of_it), []

        def after(self, keep):
                content = bytearray(self.content)
                for where, data in self.pending:
                        n = keep(1 if data is None else len(data))
                        if n == 0:
                                continue
                        if data is None:
                                content = content[:where].ljust(where, b'\0')
                        else:
                                content = content.ljust(where, b'\0')
                                content[where:where + n] = data[:n]
                return content


class Folder:
        def __init__(self):
                self.names, self.now, self.pending = {}, {}, []  # pending: (name, node or None), each one or two of them at once

        def change(self, *entries):
                self.pending.append(entries)
                self.set(self.now, entries)

        @staticmethod
        def set(names, entries):
                for name, node in entries:
                        if node is None:
                                names.pop(name, None)
                        else:
                                names[name] = node

        def sync(self):
                self.names, self.pending = dict(self.now), []

        def after(self, keep):
                names = dict(self.names)
                for entries in self.pending:
                        if keep(1):
                                self.set(names, entries)
                return names


class PowerCut:
        def __init__(self, path, parts):
                self.path, self.parts, self.nodes = os.path.realpath(path), parts, {}
                self.root = self.nodes[os.stat(path).st_ino] = Folder()
                for name in parts:
                        if os.path.exists(os.path.join(path, name)):
                                self.root.names[name] = self.scan(os.path.join(path, name))
                self.root.now = dict(self.root.names)

        def scan(self, path):
                if os.path.isdir(path):
                        node = Folder()
                        node.names = {name: self.scan(os.path.join(path, name)) for name in os.listdir(path)}
                        node.now = dict(node.names)
                else:
                        with open(path, 'rb') as f:
                                node = File(f.read())
                self.nodes[os.stat(path).st_ino] = node
                return node

        def place(self, inode, name):
                """The folder that a name is in, and its last part; None where it is none of ours."""
                if inode:
                        folder = self.nodes.get(inode)
                        return (folder, name) if isinstance(folder, Folder) else (None, name)
                folder = self.root
                if not name.startswith(self.path + '/'):
                        return None, name
                *between, last = name[len(self.path) + 1:].split('/')
                for part in between:
                        folder = folder.now.get(part) if isinstance(folder, Folder) else None
                return folder, last

        def apply(self, note):
                """Return: whether it was about something of ours."""
                kind, inode, where, names, data = note
                if kind in (WRITE, TRUNCATE, SYNC):
                        node = self.nodes.get(inode)
                        if node is None:
                                return False
                        if kind == SYNC:
                                node.sync()
                        else:
                                node.pending.append((where, data if kind == WRITE else None))
                        return True
                folder, name = self.place(inode, names[0])
                if folder is None:
                        if kind == CREATE:
                                self.nodes.pop(where, None)  # a number that another file has now
                        return False
                if kind in (CREATE, MKDIR):
                        if name in folder.now and folder.now[name] is self.nodes.get(where):
                                return False  # it was there
                        node = self.nodes[where] = File() if kind == CREATE else Folder()
                        folder.change((name, node))
                elif kind == UNLINK:
                        folder.change((name, None))
                else:
                        new = self.place(inode, names[1])[1]
                        folder.change(*([(name, None)] if kind == RENAME else []), (new, folder.now[name]))
                return True

        def write(self, path, keep):
                for name in self.parts:
                        shutil.rmtree(os.path.join(path, name), ignore_errors=True)
                for name, node in self.root.after(keep).items():
                        if name in self.parts:
                                self.put(os.path.join(path, name), node, keep)

        def put(self, path, node, keep):
                if isinstance(node, Folder):
                        os.mkdir(path, 0o700)
                        for name, each in node.after(keep).items():
                                self.put(os.path.join(path, name), each, keep)
                else:
                        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'wb') as f:
                                f.write(node.after(keep))
