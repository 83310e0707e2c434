# SPDX-License-Identifier: Apache-2.0
"""Runs boxlet-vmm the way the monitor does, for the machine's own tests: see smoke and docs/protocol.md section 2."""
import array, json, os, socket, subprocess, tempfile, time

PATIENCE = 4 if os.environ.get('BOXLET_LAB') else 1  # the lab's CPU is emulated twice


def cpio(name, data):
    """An initramfs (newc) with one executable file, /dev and /proc."""
    out = bytearray()

    def entry(path, mode, body):
        fields = [1, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(path) + 1, 0]
        out.extend(b'070701' + b''.join(b'%08X' % f for f in fields) + path.encode() + b'\0')
        out.extend(b'\0' * (-len(out) % 4))
        out.extend(body + b'\0' * (-len(body) % 4))

    entry('dev', 0o040755, b'')
    entry('proc', 0o040755, b'')
    entry(name, 0o100755, data)
    entry('TRAILER!!!', 0, b'')
    return bytes(out)


class Machine:
    def __init__(self, vmm, kernel, init, qemu='/usr/bin/qemu-system-x86_64', disks=(), memory=256 << 20, cpus=2,
                 net=None, arguments='', accel='tcg', folder=None, engine='qemu', debug_console=False):
        self.folder = folder or tempfile.mkdtemp(prefix='boxlet-vmm-')
        self.vsock_path = os.path.join(self.folder, 'vsock.sock')
        self.log_path = os.path.join(self.folder, 'log')
        self.console_path = os.path.join(self.folder, 'console.log')
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.vsock_path)
        listener.listen(256)
        self.monitor, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        initrd = os.memfd_create('initrd')
        os.write(initrd, cpio('init', open(init, 'rb').read()))
        fds = {
            'kernel_fd': os.open(kernel, os.O_RDONLY), 'initrd_fd': initrd,
            'console_fd': os.open(self.console_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            'vsock_fd': listener.fileno(), 'monitor_fd': theirs.fileno(),
            'log_fd': os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        }
        if engine == 'kvm':
            fds['kvm_fd'] = os.open('/dev/kvm', os.O_RDWR)
        disk_fds = [os.open(p, os.O_RDONLY if ro else os.O_RDWR) for p, ro in disks]
        config = dict(fds, engine=engine, accel=accel, debug_console=debug_console, cpus=cpus, memory_bytes=memory, kernel_arguments=arguments,
                      disks=[{'fd': fd, 'readonly': ro} for fd, (_, ro) in zip(disk_fds, disks)], net=net, qemu=qemu)
        memfd = os.memfd_create('config')
        os.write(memfd, json.dumps(config).encode())
        os.lseek(memfd, 0, os.SEEK_SET)
        pass_fds = list(fds.values()) + disk_fds + [memfd] + ([net['fd']] if net else [])
        self.started = time.monotonic()
        self.process = subprocess.Popen([vmm, '--config-fd', str(memfd)], pass_fds=pass_fds)
        for fd in list(fds.values()) + disk_fds + [memfd]:
            if fd not in (listener.fileno(), theirs.fileno()):
                os.close(fd)
        listener.close()
        theirs.close()

    def event(self, timeout=60):
        """The next packet as (document, descriptors); (None, []) at the end."""
        self.monitor.settimeout(timeout * PATIENCE)
        data, control, _, _ = self.monitor.recvmsg(4096, 1024)
        fds = array.array('i')
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload)
        return (json.loads(data) if data else None), list(fds)

    def expect(self, name, timeout=60):
        document, fds = self.event(timeout)
        assert document and document['event'] == name, (name, document, open(self.log_path).read())
        return document, fds

    def control(self):
        """Waits for the guest; its control connection and its greeting."""
        self.expect('running')
        document, fds = self.expect('connection')
        assert document['port'] == 1024 and len(fds) == 1
        stream = socket.socket(fileno=fds[0])
        hello = b''
        while not hello.endswith(b'\n'):
            hello += stream.recv(64)
        return stream, hello.decode()

    def connect(self, port=1025, timeout=60):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(timeout * PATIENCE)
        s.connect(self.vsock_path)
        s.sendall(b'CONNECT %d\n' % port)
        line = b''
        while not line.endswith(b'\n'):
            c = s.recv(1)
            if not c:
                s.close()
                raise ConnectionRefusedError(port)
            line += c
        assert line.startswith(b'OK '), line
        return s

    def ended(self, timeout=30):
        document, _ = self.expect('ended', timeout)
        assert self.event(timeout)[0] is None
        assert self.process.wait(timeout) == 0
        return document

    def close(self):
        self.monitor.close()
        try:
            self.process.wait(20)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                self.process.wait()
            for name in ('vsock.sock', 'log', 'console.log'):
                try:
                    os.unlink(os.path.join(self.folder, name))
                except FileNotFoundError:
                    pass
            os.rmdir(self.folder)
