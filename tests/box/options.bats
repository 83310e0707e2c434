#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the options of run and an image's configuration come to inside: one box with nearly all of the options, one of an image with a
# configuration of its own.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        boxlet import --change 'USER user:staff' --change 'WORKDIR /var/log' --change 'STOPSIGNAL SIGUSR1' --change 'ENV FROM=image' \
                --change 'CMD ["sh", "-c", "trap \"exit 9\" USR1; id -un; id -gn; pwd; echo ready; while :; do sleep 0.1; done"]' \
                "$BOXLET_TMP/busybox" configured >/dev/null
        printf '# a comment\nFIRST=one\nSECOND=two words\nFROM_HERE\n' >"$BOXLET_TMP/env"
        cp "$(readlink -f "$ROOT/build/kernel/vmlinux-lean")" "$BOXLET_TMP/a-kernel"
        FROM_HERE=passed boxlet run -d --name o --network none --cpus 1.5 -m 200m --disk-size 300m --pids-limit 30 --ulimit core=512:1024 \
                --ulimit nofile=300 --cap-add NET_ADMIN --cap-drop CHOWN --tmpfs /scratch:size=3m,mode=700 --stop-signal INT --stop-timeout 1 \
                --kernel "$BOXLET_TMP/a-kernel" --env-file "$BOXLET_TMP/env" -e FIRST=over --init --hostname there -l who=me \
                busybox sh -c 'trap "" INT; sleep 0.2 & while :; do sleep 1; done' >/dev/null
}
teardown_file() { box_home_end; }

# inside WORD...: what that prints in the box o.
inside() { boxlet exec o "$@"; }

@test "--cpus: CPUs, and a part of their time" {
        [ "$(inside nproc)" = 2 ]
        [ "$(inside cat /sys/fs/cgroup/cpu.max)" = "150000 100000" ]
        [ "$(boxlet inspect o | jq '.[0].HostConfig.NanoCpus')" = 1500000000 ]
        run boxlet create --name many --network none --cpus 65 busybox
        [ "$status" -eq 125 ]
        [[ "$output" == *"at most 64"* ]]
}

@test "--memory and --disk-size" {
        local kib
        kib=$(inside awk '/MemTotal/ { print $2 }' /proc/meminfo)
        [ "$kib" -le $((200 * 1024)) ]
        [ "$kib" -ge $((160 * 1024)) ]
        kib=$(inside df -k / | awk 'END { print $2 }')
        [ "$kib" -le $((300 * 1024)) ]
        [ "$kib" -ge $((240 * 1024)) ]
}

@test "--pids-limit: the limit is kept, and the box lives on" {
        [ "$(inside cat /sys/fs/cgroup/pids.max)" = 30 ]
        run boxlet exec o sh -c 'i=0; while [ $i -lt 50 ]; do sleep 1 & i=$((i + 1)); done; wait'
        [[ "$output" == *"can't fork"* ]]
        alone() { [ "$(inside cat /sys/fs/cgroup/pids.current)" -lt 10 ]; }
        eventually 10 alone
}

@test "a new --tmpfs is everybody's, and -e NAME takes a variable away that you do not have" {
        boxlet import --change 'ENV GONE=1' --change 'CMD ["sh"]' "$BOXLET_TMP/busybox" with-env >/dev/null
        run -0 env -u GONE "$BOXLET" run --rm --network none -u 1000 --tmpfs /scratch/new -e GONE with-env \
                sh -c 'echo x >/scratch/new/file && stat -c %a /scratch/new; echo "${GONE-not set}"'
        [ "$output" = $'1777\nnot set' ]
        boxlet rmi with-env >/dev/null
}

@test "--ulimit, --cap-add, --cap-drop, --tmpfs, --hostname" {
        # -c counts blocks of 512 bytes
        run boxlet exec o sh -c 'ulimit -Sc; ulimit -Hc; ulimit -Sn; ulimit -Hn; hostname'
        [ "$output" = "$(printf '1\n2\n300\n300\nthere')" ]
        # Docker's fourteen, with bit 12 and without bit 0
        inside grep -qx "CapBnd:	00000000a80435fa" /proc/self/status
        run boxlet exec o chown 1 /etc/passwd
        [ "$status" -ne 0 ]
        inside ip link set lo mtu 1400
        inside grep -E '^tmpfs /scratch tmpfs .*size=3072k,mode=700' /proc/mounts
        run boxlet exec o dd if=/dev/zero of=/scratch/x bs=1M count=4
        [[ "$output" == *"No space left"* ]]
}

@test "--env-file under -e; --init reaps" {
        [ "$(inside sh -c 'echo "$FIRST/$SECOND/$FROM_HERE"')" = "over/two words/passed" ]
        [ "$(inside sh -c 'tr "\0" " " </proc/1/cmdline')" != "$(inside sh -c 'tr "\0" " " </proc/2/cmdline')" ]
        inside sh -c '(sleep 0.1 & exec sleep 0.01) & wait'
        reaped() { ! inside sh -c 'grep -l "^State:.Z" /proc/[0-9]*/status' | grep -q .; }
        eventually 10 reaped
}

@test "--kernel FILE, --label" {
        [ "$(boxlet inspect o | jq -r '.[0].HostConfig.Kernel')" = "$BOXLET_TMP/a-kernel" ]
        [ "$(boxlet inspect o | jq -r '.[0].Config.Labels.who')" = me ]
        # it is that file that boots
        head -c 4096 /dev/zero >"$BATS_TEST_TMPDIR/none"
        run boxlet run --rm --network none --kernel "$BATS_TEST_TMPDIR/none" busybox true
        [ "$status" -eq 125 ]
}

@test "--stop-signal and --stop-timeout: what ignores the signal is killed after the time" {
        local begin=$SECONDS
        [ "$(boxlet inspect o | jq -r '.[0].HostConfig.StopTimeoutMs, .[0].Config.StopSignal' | paste -sd' ')" = "1000 SIGINT" ]
        boxlet stop o
        [ $((SECONDS - begin)) -lt 9 ] # less than the 10 s there are without the option
        [ "$(boxlet inspect o | jq '.[0].State.ExitCode')" -eq 137 ]
}

@test "USER, WORKDIR, ENV and STOPSIGNAL of the image" {
        boxlet run -d --name i --network none configured >/dev/null
        ready() { boxlet logs i | grep -q ready; }
        eventually 30 ready
        [ "$(boxlet logs i)" = "$(printf 'user\nstaff\n/var/log\nready')" ]
        [ "$(boxlet exec i sh -c 'echo $FROM; id -u')" = "$(printf 'image\n1000')" ]
        boxlet stop -t 30 i
        [ "$(boxlet inspect i | jq '.[0].State.ExitCode')" -eq 9 ]
}

@test "info says what there is" {
        run boxlet info
        [ "$status" -eq 0 ]
        [[ "$output" == *"$BOXLET_HOME"* ]]
        [[ "$output" == *qemu* ]]
        boxlet info --format json | jq -e --arg home "$BOXLET_HOME" '.. | select(. == $home)' >/dev/null
        boxlet info --format json | jq -e 'tostring | test("kvm") and test("qemu") and test("lean")' >/dev/null
}
