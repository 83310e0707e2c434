#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Device cores that the qemu engine does not use, tried by the guest kernel's own drivers. The work is in tests/vmm/devices.
bats_require_minimum_version 1.5.0

@test "disks by io_uring and by threads, and the entropy device, under Linux's drivers" {
        local root kernel
        root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
        command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not installed"
        command -v mke2fs >/dev/null || skip "e2fsprogs is not installed"
        kernel=${BOXLET_KERNEL_DIR:-$root/build/kernel}/vmlinux-lean
        [ -e "$kernel" ] || skip "$kernel is not there: make kernel"
        "$root/tests/vmm/devices" "$root/build/tests/vmm/vhost-device" "$kernel"
}
