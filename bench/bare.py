# SPDX-License-Identifier: Apache-2.0
"""The bare peer of `start`: QEMU with the command line of a running box that booted, to the letter, but for its initrd, which holds a static init
that ends the machine at once. The box's disks are there, its console socket, and a vsock device behind which nobody listens."""
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

HEADER = struct.Struct("<III")
GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG = 1, 11, 15, 17, 24
VERSION_1, PROTOCOL_FEATURES, EVENT_IDX, INDIRECT = 1 << 32, 1 << 30, 1 << 29, 1 << 28
REPLY_ACK, CONFIG = 1 << 3, 1 << 9
NEED_REPLY, REPLY = 1 << 3, 1 << 2
GUEST_CID = 3


def answer(request, payload):
    """A vhost-user back-end that says yes to everything; None where nothing is asked."""
    if request == GET_FEATURES:
        return struct.pack("<Q", VERSION_1 | PROTOCOL_FEATURES | EVENT_IDX | INDIRECT)
    if request == GET_PROTOCOL_FEATURES:
        return struct.pack("<Q", REPLY_ACK | CONFIG)
    if request == GET_QUEUE_NUM:
        return struct.pack("<Q", 2)
    if request == GET_VRING_BASE:
        return payload
    if request == GET_CONFIG:
        return payload[:12] + struct.pack("<Q", GUEST_CID)[: len(payload) - 12].ljust(len(payload) - 12, b"\0")
    return None


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part, fds, _, _ = socket.recv_fds(sock, size - len(data), 8)
        for fd in fds:
            os.close(fd)
        if not part:
            return None
        data += part
    return data


def serve_vsock(sock):
    with sock:
        while (header := read_exactly(sock, HEADER.size)) is not None:
            request, flags, size = HEADER.unpack(header)
            payload = read_exactly(sock, size) if size else b""
            reply = answer(request, payload)
            if reply is None and flags & NEED_REPLY:
                reply = struct.pack("<Q", 0)
            if reply is not None:
                sock.sendall(HEADER.pack(request, 1 | REPLY, len(reply)) + reply)


def drain(sock):
    with sock:
        while sock.recv(4096):
            pass


def newc_entry(name, mode, data):
    header = "070701" + "".join(f"{v:08x}" for v in (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
    out = header.encode() + name.encode() + b"\0"
    out += b"\0" * (-len(out) % 4) + data
    return out + b"\0" * (-len(out) % 4)


def make_initrd(folder):
    """A static init that ends the machine at once, as an initramfs."""
    source = folder / "init.c"
    source.write_text("#include <sys/reboot.h>\nint main(void) { reboot(RB_AUTOBOOT); for (;;) ; }\n")
    subprocess.run(["cc", "-static", "-O2", "-s", "-o", folder / "init", source], check=True)
    path = folder / "bare.cpio"
    path.write_bytes(newc_entry("init", 0o100755, (folder / "init").read_bytes()) + newc_entry("TRAILER!!!", 0, b""))
    return path


class Bare:
    """Made while the box whose QEMU has this pid runs; needs nothing of it afterwards."""

    def __init__(self, pid, folder):
        self.argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        self.files = {"-initrd": open(make_initrd(folder), "rb"), "-kernel": self.inherited(pid, self.word("-kernel"), "rb")}
        # QEMU keeps a duplicate of each disk's descriptor under a number of its own
        opened = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        self.disks = {}
        for number, readonly in re.findall(r"/dev/fdset/(\d+),read-only=(on|off)", " ".join(self.argv)):
            source = next(path for path in opened if path.endswith(".erofs" if readonly == "on" else ".ext4"))
            copy = folder / f"disk{number}"
            subprocess.run(["cp", "--sparse=always", source, copy], check=True)
            self.disks[number] = open(copy, "rb" if readonly == "on" else "r+b")

    def word(self, option):
        return self.argv[self.argv.index(option) + 1]

    def memory_bytes(self):
        return int(re.search(r"size=(\d+)k", self.word("-object"))[1]) * 1024

    @staticmethod
    def inherited(pid, path, mode):
        return open(path.replace("/proc/self", f"/proc/{pid}"), mode)

    def command(self, sockets, memory):
        """The words with this process's descriptors in place of the box's."""
        text = []
        for option, word in zip([""] + self.argv, self.argv):
            if option in self.files:
                word = f"/proc/self/fd/{self.files[option].fileno()}"
            elif option == "-add-fd":
                word = re.sub(r"fd=(\d+),", lambda m: f"fd={self.disks[m[1]].fileno()},", word)
            elif option == "-object":
                word = re.sub(r"/proc/self/fd/\d+", f"/proc/self/fd/{memory}", word)
            elif option == "-chardev":
                word = re.sub(r"id=(\w+),fd=\d+", lambda m: f"id={m[1]},fd={sockets[m[1]].fileno()}", word)
            text.append(word)
        return text

    def seconds(self):
        """Starts it and waits for its end."""
        pairs = {name: socket.socketpair() for name in ("vsock", "console")}
        theirs = {name: pair[1] for name, pair in pairs.items()}
        for serve, name in ((serve_vsock, "vsock"), (drain, "console")):
            threading.Thread(target=serve, args=(pairs[name][0],), daemon=True).start()
        passed = [*self.files.values(), *self.disks.values(), *theirs.values()]
        memory = os.memfd_create("memory")
        os.truncate(memory, self.memory_bytes())
        start = time.perf_counter()
        process = subprocess.Popen(self.command(theirs, memory), pass_fds=[memory] + [f.fileno() for f in passed], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(memory)
        for end in theirs.values():
            end.close()
        if process.wait() != 0:
            raise SystemExit("bench: the bare QEMU failed")
        return time.perf_counter() - start
