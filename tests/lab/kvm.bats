#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is true of boxes on engine kvm only. Run in the lab (tests/lab/boxes).
bats_require_minimum_version 1.5.0
load ../box/lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# The process of box $1 that serves the guest: the one of its boxlet-vmm processes that has no boxlet-vmm child.
server_of() {
        local monitor pid next
        monitor=$(jq .monitor.pid "$BOXLET_HOME/boxes/$(boxlet inspect --format '{{.Id}}' "$1")/state.json")
        pid=$(pgrep -P "$monitor" boxlet-vmm)
        while next=$(pgrep -P "$pid" boxlet-vmm); do pid=$next; done
        echo "$pid"
}

# What the host holds for process $1, in MiB.
resident() { awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$1/status"; }

@test "auto takes the kvm engine where KVM is good, and info says why" {
        run boxlet info --format json
        jq -e '.engines.auto == "kvm" and (.engines.reason | test("runs 64-bit kernel code"))' <<<"$output"
        BOXLET_ENGINE='' boxlet create --name auto --network none busybox true >/dev/null
        boxlet start -a auto
        # the machine's command line has the devices of a machine of our own, and no QEMU runs
        boxlet run -d --rm --engine auto --name a --network none busybox sleep 1000 >/dev/null
        [ -z "$(pgrep -P "$(server_of a)" qemu)" ]
        boxlet exec a sh -c 'cat /proc/cmdline' | grep -q 'virtio_mmio.device=4K@0xd0000000:5'
        boxlet rm -f a auto
}

@test "the jail of a running box" {
        mkdir "$BATS_TEST_TMPDIR/shared"
        boxlet run -d --name j -v "$BATS_TEST_TMPDIR/shared:/shared" busybox sh -c 'touch /shared/up; sleep 1000' >/dev/null
        up() { [ -e "$BATS_TEST_TMPDIR/shared/up" ]; }
        eventually 60 up
        local pid space task status
        pid=$(server_of j)
        for task in /proc/"$pid"/task/*; do
                # workers of io_uring come and go
                status=$(cat "$task/status" 2>/dev/null) || continue
                echo "$task: $status"
                grep -q '^Seccomp:[[:space:]]2$' <<<"$status"
                grep -q '^NoNewPrivs:[[:space:]]1$' <<<"$status"
        done
        # vCPUs, the loop and the file server's threads
        [ "$(ls "/proc/$pid/task" | wc -l)" -ge 3 ]
        [[ "$(awk '/^CapEff:/ { print $2 }' "/proc/$pid/status")" =~ ^0+$ ]]
        for space in user mnt pid net ipc; do
                [ "$(readlink "/proc/$pid/ns/$space")" != "$(readlink "/proc/self/ns/$space")" ]
        done
        [ -z "$(ls "/proc/$pid/root/")" ]
        # nothing of the host's files but what is the box's, by name
        ls -l "/proc/$pid/fd" | sed -n 's/.* -> //p' | grep '^/' | grep -v "^$BOXLET_HOME/\|^/dev/null\|^$BATS_TEST_TMPDIR/shared" >"$BATS_TEST_TMPDIR/others" || true
        cat "$BATS_TEST_TMPDIR/others"
        [ "$(grep -cv "vmlinux\|agent.cpio\|erofs\|^/\$\|^/dev/kvm" "$BATS_TEST_TMPDIR/others")" -eq 0 ]
        boxlet rm -f j
}

@test "memory that the guest frees goes back to the host" {
        boxlet run -d --name m -m 1536m --tmpfs /big:size=1100m --network none busybox sleep 1000 >/dev/null
        local pid full
        pid=$(server_of m)
        boxlet exec m dd if=/dev/zero of=/big/f bs=1M count=1024
        full=$(resident "$pid")
        [ "$full" -gt 1024 ]
        boxlet exec m rm /big/f
        low() { [ "$(resident "$pid")" -lt 128 ]; }
        eventually 120 low || { echo "resident: $(resident "$pid") MiB"; false; }
        boxlet rm -f m
}

@test "32 processors, and memory on both sides of the hole" {
        run boxlet run --rm --cpus 32 -m 4g --network none busybox sh -c 'grep -c ^processor /proc/cpuinfo; sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo'
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[0]}" -eq 32 ]
        [ "${lines[1]}" -gt $((3900 * 1024)) ]
}

@test "twenty volumes: more devices than interrupt lines of their own" {
        local i options=()
        for i in $(seq 20); do
                options+=(-v "many$i:/many/$i")
        done
        run boxlet run --rm "${options[@]}" --network none busybox sh -c \
                'for i in $(seq 20); do echo $i >/many/$i/number; done; sync; cat /many/*/number | sort -n | tr "\n" " "; grep -c " /many/.* ext4 " /proc/mounts'
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$output" = "$(seq 20 | tr '\n' ' ')20" ]
        boxlet volume prune -a -f >/dev/null
}
