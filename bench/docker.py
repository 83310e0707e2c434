# SPDX-License-Identifier: Apache-2.0
"""bench/run docker: a Docker engine in a box beside the same engine in a bare QEMU.

The bare peer is the command line of the box's own QEMU (same kernel, kernel's command line, memory, CPUs, seccomp filter, the same root:
EROFS below, a copy of the box's empty ext4 disk above), without vsock and agent: a busybox init mounts what dockerd needs and runs the same script
in it. Both say on their standard output how far they are; the clock is the host's. The sides take turns, and who begins changes: a run differs
from the next by a quarter, on either side, so a ratio is the median of those of each turn.
"""
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = int(os.environ.get("BENCH_DOCKER_RUNS", "4"))
BOOT_RUNS = int(os.environ.get("BENCH_RUNS", "10"))
TIME_LIMIT = 600
PHASES = ("ready", "loaded", "run", "build")

# What both sides run.
SCRIPT = """#!/bin/sh
dockerd-entrypoint --log-level=error &
until [ -S /var/run/docker.sock ]; do sleep 0.1; done
until docker version >/dev/null 2>&1; do sleep 0.1; done
echo phase ready
docker load -q -i /bench/busybox.tar >/dev/null && echo phase loaded
docker run --rm busybox true && echo phase run
DOCKER_BUILDKIT=0 docker build -q /bench/context >/dev/null && echo phase build
"""
DOCKERFILE = "FROM busybox\nCOPY Dockerfile /copied\nRUN wc -l /copied >/lines\n"

# The bare side's process 1.
BARE_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /dev /proc /sys /lower /disk /newroot
mount -t devtmpfs none /dev
exec >/dev/hvc0 2>&1
mount -t erofs -o ro /dev/vda /lower
mount -t ext4 /dev/vdb /disk
mkdir -p /disk/upper /disk/work /disk/docker
mount -t overlay -o lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work none /newroot
cd /newroot
mkdir -p var/lib/docker run
mount --bind /disk/docker var/lib/docker
mount -t proc none proc
mount -t sysfs none sys
mount -t devtmpfs none dev
mkdir -p dev/pts dev/shm dev/mqueue
mount -t devpts none dev/pts
mount -t tmpfs none dev/shm
mount -t mqueue none dev/mqueue
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run
ip link set lo up
hostname bare
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox chroot . /bench/script
/bin/busybox reboot -f
"""


def newc(entries):
    """An initramfs of (name, mode, data)."""
    out = b""
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def engine_image(bench):
    """The test image "dind" with the script, something to load and something to build, as image bench-dind."""
    images = pathlib.Path(subprocess.run([ROOT / "tests/docker/images"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    config, log = bench.home / "docker-registry.yml", bench.home / "docker-registry.log"
    config.write_text(f"version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n"
                      f"storage: {{filesystem: {{rootdirectory: {images}/registry}}, maintenance: {{readonly: {{enabled: true}}}}}}\n"
                      "http: {addr: '127.0.0.1:0'}\n")
    with log.open("w") as out:
        registry = subprocess.Popen(["docker-registry", "serve", config], stdout=out, stderr=subprocess.STDOUT)
    try:
        while not (match := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())):
            if registry.poll() is not None:
                raise SystemExit("bench: docker-registry did not start: " + log.read_text())
            time.sleep(0.05)
        tree, layout = bench.home / "dind-tree", bench.home / "dind-oci"
        (tree / "context").mkdir(parents=True)
        (tree / "script").write_text(SCRIPT)
        (tree / "script").chmod(0o755)
        (tree / "context/Dockerfile").write_text(DOCKERFILE)
        copy = ["skopeo", "copy", "-q", "--src-tls-verify=false"]
        subprocess.run([*copy, f"docker://{match.group(1)}/busybox", f"docker-archive:{tree}/busybox.tar:busybox:latest"], check=True)
        subprocess.run([*copy, f"docker://{match.group(1)}/dind", f"oci:{layout}:bench-dind"], check=True)
    finally:
        registry.terminate()
        registry.wait()
    subprocess.run(["umoci", "insert", "--image", f"{layout}:bench-dind", tree, "/bench"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    loaded = bench.text("load", "-q", "-i", layout)
    bench.boxlet("tag", re.search(r"[0-9a-f]{64}", loaded).group(0), "bench-dind")
    shutil.rmtree(layout)


def qemu_of(bench):
    return next(pid for name, pid in bench.programs().items() if name.startswith("qemu-system-"))


def argv_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def model_command(bench, name, *arguments):
    """(argv of the QEMU of a box like this, {N: path} of its disks by their descriptor set), and a copy of its disk before it ran."""
    bench.boxlet("create", "--pull", "never", "--name", name, "--network", "none", *arguments, "bench-dind", "1000")
    disk = next(pathlib.Path(bench.env["BOXLET_HOME"], "boxes").glob("*/disk.ext4"))
    copy = bench.home / f"{name}.ext4"
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    bench.boxlet("start", name, env=bench.booting())
    pid = qemu_of(bench)
    argv = argv_of(pid)
    argv[argv.index("-kernel") + 1] = os.path.realpath(f"/proc/{pid}/fd/3")
    erofs = next(os.path.realpath(fd) for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir() if os.path.realpath(fd).endswith(".erofs"))
    bench.boxlet("rm", "-f", name)
    return argv, erofs, copy


def bare_argv(argv, initrd, disks):
    """The command line without what belongs to boxlet alone; with its disks, each from a file, if any are given."""
    dropped, command, words, number = ("-add-fd", "-chardev", "-netdev"), [], iter(argv), 0
    for word in words:
        if word in dropped:
            next(words)
        elif word in ("-serial", "-initrd"):
            next(words)
            command += [word, "null" if word == "-serial" else str(initrd)]
        elif word == "-blockdev":
            value = next(words)
            if disks:
                command += [word, re.sub(r"filename=[^,]*", f"filename={disks[number]}", value)]
                number += 1
        elif word == "-device":
            value = next(words)
            if disks and value.startswith("virtio-blk-device"):
                command += [word, re.sub(r",bus=[^,]*", "", value)]
        else:  # QEMU itself tells the kernel where this machine's devices are, and makes its memory
            word = re.sub(r" virtio_mmio\.device=\S+|,auto-kernel-cmdline=off", "", word)
            command.append(re.sub(r"^memory-backend-file,(.*),mem-path=.*", r"memory-backend-memfd,\1", word))
    return command + ["-chardev", "stdio,id=out,signal=off", "-device", "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=out"]


def phases_of(command, env=None):
    """Runs it and returns {phase: seconds since the one before}."""
    last = time.perf_counter()
    seen = {}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          env=env) as process:
        lines = []
        timer = threading.Timer(TIME_LIMIT, process.kill)  # a machine that says nothing more ends too
        timer.start()
        for line in process.stdout:
            lines.append(line)
            match = re.search(r"phase (\w+)$", line.rstrip())
            if match:
                seen[match.group(1)] = time.perf_counter() - last
                last = time.perf_counter()
        timer.cancel()
    if tuple(seen) != PHASES:
        raise SystemExit("bench: " + "".join(lines[-30:]) + f"bench: {command[0]} came to {list(seen)} only")
    return seen


def bench_engine(bench):
    options = ["--support-docker", "-m", "2g", "-e", "DOCKER_TLS_CERTDIR=", "--entrypoint"]
    argv, erofs, disk = model_command(bench, "model", *options, "sleep")
    initrd = bench.home / "bare-docker.cpio"
    initrd.write_bytes(newc([("bin", 0o040755, b""), ("bin/busybox", 0o100755, pathlib.Path(shutil.which("busybox")).read_bytes()),
                             ("dev", 0o040755, b""), ("init", 0o100755, BARE_INIT.encode())]))

    def in_a_box():
        return phases_of([ROOT / "build/boxlet", "run", "--rm", "--pull", "never", "--network", "none", *options, "/bench/script", "bench-dind"],
                         bench.env)

    def in_a_bare_machine():
        fresh = bench.home / "fresh.ext4"
        subprocess.run(["cp", "--sparse=always", disk, fresh], check=True)
        return phases_of(bare_argv(argv, initrd, [erofs, fresh]))

    sides = [(in_a_box, []), (in_a_bare_machine, [])]
    for turn in range(RUNS):
        for run, seen in sides if turn % 2 == 0 else reversed(sides):
            seen.append(run())
    ours, bare = (seen for _, seen in sides)
    for phase in ("ready", "run", "build"):
        bench.report(f"docker-{phase}-ms", 1000 * statistics.median(seen[phase] for seen in ours))
        bench.report(f"bare-{phase}-ms", 1000 * statistics.median(seen[phase] for seen in bare))
        bench.report(f"docker-{phase}-ratio", statistics.median(our[phase] / its[phase] for our, its in zip(ours, bare)))


def largest_initcalls(command, count=8):
    """What the kernel says of its own initcalls: [(microseconds, name)]."""
    command = list(command)
    at = command.index("-append") + 1
    command[at] = command[at].replace("quiet ", "").replace("console=ttyS0", "console=hvc0") + " initcall_debug ignore_loglevel log_buf_len=4M"
    output = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                            timeout=TIME_LIMIT).stdout
    calls = re.findall(r"initcall (\w+)\+\S+ returned \S+ after (\d+) usecs", output)
    return sorted(((int(usecs), name) for name, usecs in calls), reverse=True)[:count]


def bench_boot(bench):
    """The two kernels, each booted to an init that reboots at once."""
    source = bench.home / "reboot.c"
    source.write_text("#include <sys/reboot.h>\nint main(void) { reboot(RB_AUTOBOOT); for (;;) ; }\n")
    subprocess.run(["cc", "-static", "-O2", "-s", "-o", bench.home / "reboot", source], check=True)
    initrd = bench.home / "reboot.cpio"
    initrd.write_bytes(newc([("dev", 0o040755, b""), ("init", 0o100755, (bench.home / "reboot").read_bytes())]))
    commands = {}
    for flavour in ("docker", "lean"):
        options = ["--support-docker"] if flavour == "docker" else []
        argv, _, disk = model_command(bench, "model", "-m", "2g", "--entrypoint", "sleep", *options)
        disk.unlink()
        commands[flavour] = bare_argv(argv, initrd, [])
    times = {flavour: [] for flavour in commands}
    for _ in range(BOOT_RUNS):
        for flavour, command in commands.items():
            times[flavour].append(bench.seconds(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    docker, lean = (statistics.median(times[flavour]) for flavour in ("docker", "lean"))
    bench.report("boot-docker-ms", 1000 * docker)
    bench.report("boot-lean-ms", 1000 * lean)
    bench.report("boot-ratio", docker / lean)
    for flavour, command in commands.items():
        named = ", ".join(f"{name} {usecs / 1000:.1f} ms" for usecs, name in largest_initcalls(command))
        print(f"  largest initcalls of {flavour}: {named}", flush=True)


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) / 1024


def bench_idle(bench):
    """What an engine with nothing to do takes of the host: all its processes, the guest's memory among them."""
    bench.boxlet("run", "-d", "--pull", "never", "--name", "idle", "--network", "none", "--support-docker", "-m", "2g", "-e", "DOCKER_TLS_CERTDIR=",
                 "bench-dind", "--log-level=error")
    bench.boxlet("exec", "idle", "sh", "-c", "until docker version >/dev/null 2>&1; do sleep 0.5; done")
    bench.report("docker-idle-mib", sum(resident_mib(pid) for pid in bench.programs().values()))
    used = bench.text("exec", "idle", "free", "-m").splitlines()[1].split()[2]
    bench.report("docker-guest-mib", int(used))
    bench.boxlet("rm", "-f", "idle")


def bench_docker(bench):
    subprocess.run([ROOT / "tools/link-kernel", "docker", ROOT / "build/kernel"], check=True)
    engine_image(bench)
    bench_boot(bench)
    bench_engine(bench)
    bench_idle(bench)
