#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host on which something is missing, full or forbidden: a clear line, nothing left behind, and the next try works.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# One error line that begins with "boxlet:" and holds each of the given words.
one_line_with() {
        [ "${#lines[@]}" -le 3 ]
        [[ "${lines[0]}" == boxlet:* ]]
        local word
        for word in "$@"; do
                [[ "$output" == *"$word"* ]]
        done
}

@test "a missing kernel is told with the way to get it" {
        run env BOXLET_KERNEL_DIR="$BATS_TEST_TMPDIR" "$BOXLET" run --rm --network none busybox true
        [ "$status" -eq 125 ]
        one_line_with "$BATS_TEST_TMPDIR" "make kernel"
        run boxlet run --rm --network none --kernel "$BATS_TEST_TMPDIR/nothing" busybox true
        [ "$status" -eq 125 ]
        one_line_with "$BATS_TEST_TMPDIR/nothing"
        no_processes
}

@test "a file that is no kernel is told" {
        run timeout 100 "$BOXLET" run --rm --network none --kernel /etc/hostname busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *kernel* ]]
        no_processes
}

@test "a missing QEMU is told with the package's name" {
        need_engine qemu
        local dir=$BATS_TEST_TMPDIR/bin tool
        mkdir "$dir"
        for tool in $(ls /usr/bin /usr/sbin | grep -v '^qemu'); do
                [ -e "/usr/bin/$tool" ] && ln -sf "/usr/bin/$tool" "$dir/" || ln -sf "/usr/sbin/$tool" "$dir/"
        done
        run env PATH="$dir" "$BOXLET" run --rm --network none busybox true
        [ "$status" -eq 125 ]
        one_line_with qemu-system-x86
        no_processes
}

@test "a home that cannot be made or written is told" {
        run env BOXLET_HOME=/proc/nothing "$BOXLET" ls
        [ "$status" -ne 0 ]
        one_line_with /proc/nothing
        run env BOXLET_HOME=/etc/hostname "$BOXLET" run --rm busybox true
        [ "$status" -eq 125 ]
        one_line_with /etc/hostname
}

@test "a full disk during import, create and run is told, leaves nothing, and the next try works" {
        [ "$(id -u)" -eq 0 ] || skip "mounting a small tmpfs needs root"
        local small=$BATS_TEST_TMPDIR/small
        mkdir "$small"
        mount -t tmpfs -o size=8M none "$small"
        head -c 12000000 /dev/urandom >"$BOXLET_TMP/busybox/big"
        run env BOXLET_HOME="$small/home" "$BOXLET" import "$BOXLET_TMP/busybox" big
        rm "$BOXLET_TMP/busybox/big"
        [ "$status" -ne 0 ]
        [[ "$output" == *"No space left"* ]]
        [ "$(du -sk "$small/home" | cut -f1)" -lt 1000 ]
        # with room again
        mount -o remount,size=200M none "$small"
        BOXLET_HOME="$small/home" boxlet import "$BOXLET_TMP/busybox" busybox >/dev/null
        [ "$(BOXLET_HOME="$small/home" boxlet run --rm --network none busybox echo works)" = works ]
        # the guest fills its disk, and so the host's: it gets an error, and the box ends as usual
        mount -o remount,size=40M none "$small"
        run env BOXLET_HOME="$small/home" "$BOXLET" run --rm --network none busybox sh -c \
                'dd if=/dev/urandom of=/big bs=1M count=60 conv=fsync 2>/dev/null || echo refused'
        [[ "$output" == *refused* ]] || [ "$status" -ne 0 ]
        mount -o remount,size=200M none "$small"
        [ "$(BOXLET_HOME="$small/home" boxlet run --rm --network none busybox echo again)" = again ]
        umount "$small"
}

@test "a plain user without root runs a box" {
        user_home
        cp -r "$BOXLET_TMP/busybox" "$home/tree"
        chown -R nobody "$home"
        as_user import "$home/tree" busybox >/dev/null
        run as_user run --rm --network none busybox id -u
        [ "$status" -eq 0 ]
        [ "$output" = 0 ]
}

@test "a home that a plain user may not write is told, and nothing is left" {
        user_home
        # a folder that cannot be made
        run as_user run --rm --network none busybox true
        [ "$status" -eq 125 ]
        one_line_with "$home/boxlet" "Permission denied"
        [ ! -e "$home/boxlet" ]
        # one that is there, readable, and somebody else's
        BOXLET_HOME="$home/boxlet" boxlet import "$BOXLET_TMP/busybox" busybox >/dev/null
        chmod -R a+rX "$home/boxlet"
        local before command
        before=$(find "$home/boxlet" | sort | sha256sum)
        for command in "run --rm --network none busybox true" "import /etc/hostname x" "create busybox" "rmi busybox"; do
                run as_user $command
                echo "$command: $status $output"
                [ "$status" -ne 0 ]
                one_line_with "$home/boxlet" "Permission denied"
        done
        [ "$(find "$home/boxlet" | sort | sha256sum)" = "$before" ]
        no_processes
}
