#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A default box has nothing of a docker box: neither because the docker kernel is installed nor because a docker box runs beside it.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

# What a process of a default box sees of its limits.
facts() {
        cat <<'SCRIPT'
grep -h '^Cap' /proc/1/status
grep -h '^Cap' /proc/self/status
grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f2-4
mount -t tmpfs none /mnt 2>&1
ip link set lo down 2>&1
echo 1 2>&1 >/proc/sys/kernel/panic
ls -d /proc/sys/net/bridge /proc/sys/net/netfilter /proc/net/ip_tables_names /sys/module/bridge 2>&1
ls /dev | sort
uname -v
SCRIPT
}

facts_of_a_box() {
        facts >"$BATS_TEST_TMPDIR/script"
        boxlet run -d --name plain --network none "$@" busybox sleep 1000 >/dev/null
        boxlet exec -i plain sh -s <"$BATS_TEST_TMPDIR/script" 2>&1
        boxlet rm -f plain >/dev/null
}

@test "a default box beside a docker box, and where no docker kernel is: the same, with Docker's limits" {
        local with without
        mkdir "$BATS_TEST_TMPDIR/kernels"
        ln -s "$(readlink -f "$ROOT/build/kernel/vmlinux-lean")" "$BATS_TEST_TMPDIR/kernels/vmlinux-lean"
        with=$(facts_of_a_box)
        without=$(BOXLET_KERNEL_DIR=$BATS_TEST_TMPDIR/kernels facts_of_a_box)
        echo "$with"
        [ "$with" = "$without" ]
        [ "$(grep -c '^Cap\(Eff\|Bnd\):.*00000000a80425fb$' <<<"$with")" -eq 4 ]
        [[ "$with" == *"/sys/fs/cgroup cgroup2 ro,"* ]]
        [[ "$with" == *"mount: mounting none on /mnt failed: "* ]]
        [[ "$with" == *"ip: "*"Operation not permitted"* ]]
        [[ "$with" == *"Read-only file system"* ]]
        [ "$(grep -c '^ls: .*No such file' <<<"$with")" -eq 4 ]
        # the specification too, but for what names the box
        [ "$(box_state engine)" = running ]
}
