#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# boxlet exec: further processes in a running box.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        boxlet run -d --name b --network none --ulimit nofile=1234:2345 busybox sleep 100000 >/dev/null
}
teardown_file() { box_home_end; }

@test "exec runs beside init, with the box's environment and its own" {
        run boxlet exec -e X=1 -w /tmp b sh -c 'echo $X $(pwd); ps -o pid,args | grep -c "[s]leep 100000"'
        [ "$status" -eq 0 ]
        [ "$output" = "$(printf '1 /tmp\n1')" ]
}

@test "exec has the command's exit code, and 126 and 127" {
        run boxlet exec b sh -c 'exit 7'
        [ "$status" -eq 7 ]
        run boxlet exec b sh -c 'kill -15 $$'
        [ "$status" -eq 143 ]
        run -127 boxlet exec b no-such-program
        [ "$status" -eq 127 ]
        run boxlet exec b /etc/not-executable
        [ "$status" -eq 126 ]
}

@test "exec has init's capabilities, its limits, and a cgroup below init's" {
        run boxlet exec b grep -E 'CapEff|CapBnd' /proc/self/status
        [ "$output" = "$(printf 'CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb')" ]
        run boxlet exec b sh -c 'ulimit -Sn; ulimit -Hn'
        [ "$output" = "$(printf '1234\n2345')" ]
        # the container's cgroup, with the limits for all of it, is the root of the namespace
        boxlet exec b grep -qx 1 /sys/fs/cgroup/cgroup.procs
        run boxlet exec b cat /proc/self/cgroup
        [[ "$output" =~ ^0::/exec-[0-9]+$ ]]
}

@test "a user by name with its groups" {
        run boxlet exec -u user:staff b sh -c 'id -un; id -gn'
        [ "$output" = "$(printf 'user\nstaff')" ]
        run boxlet exec -u nobody-knows b true
        [ "$status" -ne 0 ]
        [[ "$output" == *nobody-knows* ]]
}

@test "data through exec -i cat both ways" {
        head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
        boxlet exec -i b cat <"$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/back"
        cmp "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/back"
}

@test "output of a command that ends at once is never lost" {
        local i
        for i in $(seq 30); do
                [ "$(boxlet exec b echo "line $i")" = "line $i" ]
        done
}

@test "a time-out kills everything the command started" {
        local begin=$SECONDS
        run boxlet exec --timeout 2s b sh -c 'sleep 4321 & sleep 4321'
        [ "$status" -eq 124 ]
        [ $((SECONDS - begin)) -lt 60 ]
        run boxlet exec b sh -c 'ps -o args | grep -c "[s]leep 4321"'
        [ "${lines[0]}" = 0 ]
}

@test "an exec whose caller is killed leaves no process in the box" {
        "$BOXLET" exec b sleep 9876 3>&- &
        local client=$!
        eventually 20 boxlet exec b sh -c 'ps -o args | grep -q "[s]leep 9876"'
        kill -9 $client
        gone() { ! boxlet exec b sh -c 'ps -o args | grep -q "[s]leep 9876"'; }
        eventually 20 gone
}

@test "a background child does not hold up the end of an exec" {
        run timeout 60 "$BOXLET" exec b sh -c 'sleep 5555 & echo started'
        [ "$status" -eq 0 ]
        [ "$output" = started ]
}

@test "64 at once all succeed" {
        local i pids=() failed=0
        for i in $(seq 64); do
                "$BOXLET" exec b sh -c "echo $i" >"$BATS_TEST_TMPDIR/$i" 3>&- &
                pids+=($!)
        done
        for i in "${pids[@]}"; do
                wait "$i" || failed=$((failed + 1))
        done
        [ $failed -eq 0 ]
        for i in $(seq 64); do
                [ "$(cat "$BATS_TEST_TMPDIR/$i")" = "$i" ]
        done
}

@test "exec in a box that is not there, or not running, says so" {
        run boxlet exec nothing true
        [ "$status" -eq 125 ]
        [[ "$output" == *nothing* ]]
        boxlet create --name stopped --network none busybox >/dev/null
        run boxlet exec stopped true
        [ "$status" -eq 125 ]
        [[ "$output" == *"not running"* ]]
}
