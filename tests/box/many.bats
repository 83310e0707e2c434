#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Many boxes at once, and one that stands still.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# The machine's processes of box $1: boxlet-vmm, the one that serves the guest, and QEMU.
machine_of() {
        local pid
        pid=$(jq .monitor.pid "$BOXLET_HOME/boxes/$(boxlet inspect --format '{{.Id}}' "$1")/state.json")
        while pid=$(pgrep -P "$pid" 'boxlet-vmm|qemu'); do echo "$pid"; done
}

@test "fifty boxes are made, started and removed by ten processes at once" {
        work() {
                local i
                for i in 1 2 3 4 5; do
                        boxlet create --name "m$1-$i" --network none busybox true || return 1
                done
                [ "$1" -ge 4 ] || boxlet start -a "m$1-1" || return 1
                for i in 5 4 3 2 1; do
                        boxlet rm "m$1-$i" || return 1
                done
        }
        local n pids=() code=0
        for n in 0 1 2 3 4 5 6 7 8 9; do
                work "$n" >"$BATS_TEST_TMPDIR/$n" 2>&1 &
                pids+=($!)
        done
        for n in "${pids[@]}"; do
                wait "$n" || code=1
        done
        cat "$BATS_TEST_TMPDIR"/[0-9]
        [ "$code" -eq 0 ]
        [ -z "$(boxlet ls -a -q)" ]
        [ -z "$(ls "$BOXLET_HOME/boxes")" ]
        no_processes 20
        run boxlet system check
        [ "$status" -eq 0 ]
}

@test "run --rm, again and again, leaves nothing and lets nothing grow" {
        files() { find "$BOXLET_HOME" -type f | grep -v /events/ | sort; }
        boxlet run --rm --network none busybox true
        files >"$BATS_TEST_TMPDIR/before"
        local i
        for i in $(seq 10); do
                boxlet run --rm --network none busybox true
        done
        files | diff "$BATS_TEST_TMPDIR/before" -
        no_processes 20
}

@test "a machine that stands still delays the commands of its own box only, and they say why" {
        boxlet run -d --name frozen --network none busybox sleep 1000 >/dev/null
        boxlet run -d --name other --network none busybox sleep 1000 >/dev/null
        local pids begin=$SECONDS
        pids=$(machine_of frozen)
        [ -n "$pids" ]
        kill -STOP $pids
        [ "$(boxlet ls -q | wc -l)" -eq 2 ]
        [ "$(boxlet exec other echo there)" = there ]
        boxlet inspect frozen >/dev/null
        [ $((SECONDS - begin)) -lt 30 ]
        run boxlet exec --timeout 1s frozen true
        echo "$output"
        [ "$status" -eq 124 ]
        [[ "$output" == *"exec in box 'frozen': its machine does not answer: it may be frozen"* ]]
        # and it can be got rid of all the same
        boxlet stop -t 1 frozen
        [ "$(boxlet inspect -f '{{.State.Status}}' frozen)" = exited ]
        boxlet rm -f frozen other
        no_processes 20
}
