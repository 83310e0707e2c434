#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A default box has nothing of a docker box: neither because the docker kernel is installed nor because a docker box runs beside it.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

@test "a default box before and beside a docker box, and where no docker kernel is: the same to the byte, with Docker's limits" {
        local before with without
        mkdir "$BATS_TEST_TMPDIR/kernels"
        ln -s "$(readlink -f "$ROOT/build/kernel/vmlinux-lean")" "$BATS_TEST_TMPDIR/kernels/vmlinux-lean"
        before=$(cat "$BOXLET_TMP/facts-before")
        with=$(facts_of_a_default_box)
        without=$(BOXLET_KERNEL_DIR=$BATS_TEST_TMPDIR/kernels facts_of_a_default_box)
        echo "$with"
        [ "$with" = "$before" ]
        [ "$with" = "$without" ]
        [[ "$with" == *'{"ociVersion":'*'"maskedPaths":'* ]]
        [ "$(grep -c '^Cap\(Eff\|Bnd\):.*00000000a80425fb$' <<<"$with")" -eq 4 ]
        [[ "$with" == *"cgroup mounts: 1"* ]]
        [[ "$with" == *"/sys/fs/cgroup cgroup2 ro,"* ]]
        grep -qE '^mount: .*(denied|not permitted)' <<<"$with"
        [[ "$with" == *"ip: "*"Operation not permitted"* ]]
        [[ "$with" == *"/proc/sys/kernel/panic: Read-only file system"* ]]
        ! grep -qE '^(mounted|link changed|sysctl written)$' <<<"$with"
        [ "$(grep -c '^ls: .*No such file' <<<"$with")" -eq 6 ]
        [ "$(box_state engine)" = running ]
}

@test "the same questions in a docker box have the other answers" {
        local facts
        facts=$(default_facts | boxlet exec -i engine sh -s 2>&1)
        echo "$facts"
        [ "$(grep -c '^Cap\(Eff\|Bnd\):.*000001ffffffffff$' <<<"$facts")" -eq 4 ]
        [[ "$facts" == *"/sys/fs/cgroup cgroup2 rw,"* ]]
        [ "$(grep -cE '^(mounted|link changed|sysctl written)$' <<<"$facts")" -eq 3 ]
        grep -qx /proc/sys/net/bridge <<<"$facts"
        grep -qx /proc/net/netfilter <<<"$facts"
}
