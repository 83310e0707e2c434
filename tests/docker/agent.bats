#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The agent of a docker box, and root in the box with every capability.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

@test "root with every capability does not get at the agent" {
        run boxlet run --rm -i --support-docker --network none busybox sh -s <<'SCRIPT'
mkdir /tmp/proc /tmp/cgroup
# its processes, by a fresh view of them
mount -t proc proc /tmp/proc
echo "processes: $(ls /tmp/proc | grep -c '^[0-9]')"
grep -l agent /tmp/proc/[0-9]*/comm
# its cgroup
mount -t cgroup2 none /tmp/cgroup
ls -d /tmp/cgroup/agent /tmp/cgroup/../agent
# its memory, as the machine's or in a swap file
mknod /tmp/mem c 1 1
cat /tmp/mem | head -c 1
ls /proc/kcore
locked=$(sed -n 's/^Mlocked: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
[ "$locked" -ge 500 ] && echo "it is locked in memory"
# the kernel, as a starter of programs beside it: of a crashed process' memory ...
echo '|/proc/%P/root/bin/busybox touch /proc/%P/root/tmp/ran' >/proc/sys/kernel/core_pattern
ulimit -c unlimited
sh -c 'kill -SEGV $$; sleep 1'
echo "crashed with $?"
sleep 1
# ... and when a cgroup of version 1 gets empty (release_agent): such hierarchies are made in the first cgroup namespace only
mkdir /tmp/v1
for what in none,name=escape memory cpu,pids; do mount -t cgroup -o $what none /tmp/v1 && ls /tmp/v1/release_agent; done
ls /tmp/ran
SCRIPT
        echo "$output"
        [ "$status" -ne 0 ] # the last ls found nothing
        [[ "$output" == *"crashed with 139"* ]]
        [ "$(grep -c '^processes: [2-6]$' <<<"$output")" -eq 1 ]
        [ "$(grep -c 'No such file' <<<"$output")" -eq 4 ]
        [[ "$output" == *"/tmp/mem"*"No such device"* ]]
        [[ "$output" == *"it is locked in memory"* ]]
        [ "$(grep -c '^mount: .*denied' <<<"$output")" -eq 3 ]
        [[ "$output" != *"/comm"* ]]
}

@test "neither an init of ours nor an exec leads root to the agent, from its first moment on" {
        busybox_tree "$BATS_TEST_TMPDIR/tree"
        cc -static -O1 -Wall -Werror -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/tree/bin/watcher" "$ROOT/tests/docker/watcher.c"
        boxlet import "$BATS_TEST_TMPDIR/tree" watched >/dev/null
        boxlet run -d --name watched --init --support-docker --network none watched watcher /enough >/dev/null
        for _ in $(seq 20); do boxlet exec watched true; done
        [ "$(boxlet exec watched stat -f -c 0x%t /proc/1/exe)" = 0x858458f6 ] # RAMFS_MAGIC: it has no file handles
        boxlet exec watched touch /enough
        [ "$(boxlet wait watched)" -eq 0 ]
        run boxlet logs watched
        echo "$output"
        [ "$output" = "looked more than 100 times" ]
        boxlet rm watched >/dev/null
}

@test "root with every capability has no way to the host by vsock" {
        run in_engine perl -e 'socket(my $s, 40, 1, 0) and print "open"; print "$!\n"; socket($s, 2, 1, 0) and print "others do\n"'
        echo "$output"
        [ "${lines[0]}" = "Address family not supported by protocol" ]
        [ "${lines[1]}" = "others do" ]
}
