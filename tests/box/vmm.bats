#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The machine alone: boxlet-vmm with a guest made for its tests, as docs/protocol.md section 2 has it. The work is in tests/vmm/smoke.
bats_require_minimum_version 1.5.0

smoke() {
        local root kernel
        root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
        command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not installed"
        kernel=${BOXLET_KERNEL_DIR:-$root/build/kernel}/vmlinux-lean
        [ -e "$kernel" ] || skip "$kernel is not there: make kernel"
        "$root/tests/vmm/smoke" "$root/build/src/vmm/boxlet-vmm" "$kernel" "$root/build/tests/vmm/vmm-guest" "$@"
}

@test "streams: both directions, half-close, refusal" {
        smoke streams
}

@test "64 streams at once, 300 in sequence without a leak" {
        smoke parallel sequence
}

@test "200 MiB in each direction" {
        smoke throughput
}

@test "a reader that is slow, on either side, holds nobody up, and late readers lose nothing" {
        smoke slow_reader late_reader
}

@test "disks are vda, vdb, vdc in the order given, read-only where said" {
        smoke disks disk_reads
}

@test "a guest that panics leaves its words on the console" {
        smoke console
}

@test "a guest that floods vsock is refused, and served" {
        smoke flood
}

@test "every way to end is told apart, at once, and leaves no process" {
        smoke ends
}

@test "nothing polls while nothing happens" {
        smoke idle
}

@test "the machine's process is jailed" {
        smoke jail
}
