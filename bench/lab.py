# SPDX-License-Identifier: Apache-2.0
"""Engine kvm beside QEMU on the same KVM, kernel and initramfs: section `lab` of bench/run, which `make bench-lab` runs in the lab
(tests/lab/run). Its milliseconds say nothing, its ratios, counts and sizes do."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/vmm"))
from machine import Machine  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "10"))
VMM = ROOT / "build/src/vmm/boxlet-vmm"
KERNEL = ROOT / "build/kernel/vmlinux-lean"
GUEST = ROOT / "build/tests/vmm/vmm-guest"


def first_message_seconds(engine):
    """From the start of boxlet-vmm to the first bytes of a guest's init over vsock."""
    machine = Machine(str(VMM), str(KERNEL), str(GUEST), engine=engine, accel="kvm")
    try:
        machine.control()
        return time.monotonic() - machine.started
    finally:
        machine.close()


def running_seconds():
    """From the start of boxlet-vmm to its word that the processors run, which follows the first KVM_RUN."""
    machine = Machine(str(VMM), str(KERNEL), str(GUEST), engine="kvm")
    try:
        machine.expect("running")
        return time.monotonic() - machine.started
    finally:
        machine.close()


def bench_kvm(bench):
    """On the host itself: a KVM that answers is enough, the guest need not get far."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("left out: there is no /dev/kvm to open")
        return
    bench.report("kvm-start-ms", 1000 * statistics.median(running_seconds() for _ in range(RUNS)))


def bench_first(bench):
    ours, peer = [], []
    for _ in range(RUNS):
        ours.append(first_message_seconds("kvm"))
        peer.append(first_message_seconds("qemu"))
    bench.report("lab-first-ratio", statistics.median(ours) / statistics.median(peer))


def bench_runs(bench, peer):
    """peer: the bare QEMU of bare.py."""
    times = {"kvm": [], "qemu-kvm": []}
    alone = []
    for _ in range(RUNS):
        for engine, seconds in times.items():
            seconds.append(bench.seconds([ROOT / "build/boxlet", "run", "--rm", "--engine", engine, "--network", "none", "busybox", "true"]))
        alone.append(peer.seconds())
    ours = statistics.median(times["kvm"])
    bench.report("lab-run-ratio", ours / statistics.median(times["qemu-kvm"]))
    bench.report("lab-run-bare-ratio", ours / statistics.median(alone))


def server_pid(bench):
    return bench.programs()["boxlet-vmm"]


def pss(pid):
    """(MiB that are the process's own, MiB of the guest's memory): proportional; kernel and initramfs are the guest's."""
    own = guest = size = 0
    is_guests = False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ *(.*)", line)
        if head:
            size = int(head[2], 16) - int(head[1], 16)
            is_guests = head[3].endswith(("vmlinux", ".cpio")) or "vmlinux" in head[3] or (head[3] == "" and size >= 64 << 20)
        elif line.startswith("Pss:"):
            kib = int(line.split()[1])
            own, guest = (own, guest + kib) if is_guests else (own + kib, guest)
    return own / 1024, guest / 1024


def bench_box(bench):
    """One idle box with 256 MiB: exits of its start, memory, wake-ups, exec and stop."""
    bench.env["BOXLET_DEBUG"] = "1"
    bench.boxlet("run", "-d", "--engine", "kvm", "--name", "idle", "-m", "256m", "--network", "none", "busybox", "sleep", "100000")
    log = next((bench.home / "home/boxes").glob("*/monitor.log")).read_text()
    moment = r"exits until the agent's first message: "
    bench.report("lab-exits", int(re.search(moment + r"(\d+)", log)[1]))
    for reason, count in sorted(re.findall(moment + r"([^:\n]*[a-z)][^:\n]*): (\d+)", log), key=lambda pair: -int(pair[1]))[:8]:
        print(f"    {count:>5}  {reason}")
    bench.report("lab-copied-kib", int(re.search(r"(\d+) bytes copied", log)[1]) / 1024)
    time.sleep(10)  # what the start has left to do
    programs = bench.programs()
    own, guest = pss(programs["boxlet-vmm"])
    keeper = int(pathlib.Path(f"/proc/{programs['boxlet-vmm']}/stat").read_text().rpartition(")")[2].split()[1])
    others = sum(sum(pss(pid)) for pid in {programs["boxlet-monitor"], keeper})
    bench.report("lab-vmm-mib", own)
    bench.report("lab-box-mib", own + guest + others)
    switches = lambda: int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", pathlib.Path(f"/proc/{programs['boxlet-vmm']}/task/{programs['boxlet-vmm']}/status").read_text(), re.M)[1])
    before = switches()
    time.sleep(5)
    bench.report("lab-wakeups", switches() - before)
    execs = [bench.seconds([ROOT / "build/boxlet", "exec", "idle", "true"]) for _ in range(RUNS)]
    plain = [bench.seconds(["/bin/busybox", "true"]) for _ in range(RUNS)]
    bench.report("lab-exec-ratio", statistics.median(execs) / statistics.median(plain))
    bench.report("lab-stop-s", bench.seconds([ROOT / "build/boxlet", "stop", "-t", "0", "idle"]))
    bench.boxlet("rm", "-f", "idle")


def bench_lab(bench, bare_peer):
    bench.env["BOXLET_ENGINE"] = "qemu-kvm"
    bench_box(bench)
    bench_first(bench)
    bench_runs(bench, bare_peer(bench))
