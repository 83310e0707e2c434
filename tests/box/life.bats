#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A box's life: detached, stopped, started again, killed from outside; what ls says, what is left.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

state_of() {
        boxlet inspect "$1" | jq -r '.[0].State.Status // .State.Status'
}

# pid_of BOX PROGRAM: the process of that box's program.
pid_of() {
        local id pid
        id=$(boxlet inspect "$1" | jq -r '(if type == "array" then .[0] else . end).Id')
        for pid in $(box_processes | grep "$2" | cut -d' ' -f1); do
                if [ "$2" = boxlet-monitor ]; then
                        ls -l "/proc/$pid/fd" 2>/dev/null | grep -q "boxes/$id" && echo "$pid" && return 0
                else
                        echo "$pid"
                        return 0
                fi
        done
        return 1
}

@test "a detached box outlives its starter, is listed, logged and stopped" {
        run boxlet run -d --name d --network none busybox sh -c 'echo to the log; echo also >&2; exec sleep 1000'
        [ "$status" -eq 0 ]
        [ ${#output} -eq 64 ]
        [ "$(state_of d)" = running ]
        boxlet ls | grep -q ' d$\| d '
        logged() { [ "$(boxlet logs d 2>/dev/null)" = "to the log" ] && [ "$(boxlet logs d 2>&1 >/dev/null)" = also ]; }
        eventually 20 logged
        boxlet stop -t 1 d
        [ "$(state_of d)" = exited ]
        boxlet rm d
        no_processes
}

@test "stop sends the stop signal, and its code is kept" {
        boxlet run -d --name s --network none busybox sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
        ready() { boxlet logs s | grep -q ready; }
        eventually 30 ready
        boxlet stop -t 30 s
        [ "$(boxlet inspect s | jq '(if type == "array" then .[0] else . end).State.ExitCode')" -eq 5 ]
        boxlet rm s
}

@test "a stopped box starts again with its disk kept" {
        [ -z "$(boxlet run --name k --network none busybox sh -c 'cat /root/file 2>/dev/null; echo kept >/root/file')" ]
        run boxlet start -a k
        [ "$status" -eq 0 ]
        [ "$output" = kept ]
        boxlet rm k
        boxlet run -d --name k2 --network none busybox sh -c 'cat /root/file 2>/dev/null; echo again >>/root/file; exec sleep 1000' >/dev/null
        boxlet exec k2 sh -c 'until [ -e /root/file ]; do sleep 0.1; done'
        boxlet stop -t 0 k2
        boxlet start k2 >/dev/null
        eventually 20 bash -c '"$BOXLET" logs k2 | grep -q again'
        boxlet rm -f k2
        no_processes
}

@test "kill -9 of the client ends a foreground box and leaves nothing" {
        "$BOXLET" run --rm --name fg --network none busybox sleep 1000 3>&- &
        local client=$!
        eventually 30 boxlet exec fg true
        kill -9 $client
        no_processes 20
        gone() { [ -z "$(boxlet ls -a -q)" ]; }
        eventually 10 gone
}

@test "kill -9 of the monitor leaves no process, ls tells, rm works" {
        boxlet run -d --name m --network none busybox sleep 1000 >/dev/null
        kill -9 "$(pid_of m boxlet-monitor)"
        no_processes 20
        [ "$(state_of m)" != running ]
        boxlet rm m
}

@test "kill -9 of the vmm ends the box with a reason" {
        boxlet run -d --name v --network none busybox sleep 1000 >/dev/null
        kill -9 "$(pid_of v boxlet-vmm)"
        no_processes 20
        [ "$(state_of v)" != running ]
        boxlet inspect v | jq -e '(if type == "array" then .[0] else . end).State.Error | test("killed|signal|died")'
        boxlet rm v
}

@test "kill -9 of QEMU ends the box with a reason" {
        need_engine qemu
        boxlet run -d --name q --network none busybox sleep 1000 >/dev/null
        kill -9 "$(pid_of q qemu-system)"
        no_processes 20
        [ "$(state_of q)" != running ]
        boxlet inspect q | jq -e '(if type == "array" then .[0] else . end).State.Error | test("QEMU|qemu|engine")'
        boxlet rm q
}

@test "a name is taken once" {
        boxlet create --name twice --network none busybox >/dev/null
        run boxlet create --name twice --network none busybox
        [ "$status" -ne 0 ]
        [[ "$output" == *twice* ]]
        boxlet rm twice
}

@test "two starts of one box: one wins, the other says why" {
        boxlet create --name race --network none busybox sleep 1000 >/dev/null
        local a=0 b=0
        "$BOXLET" start race >"$BATS_TEST_TMPDIR/a" 2>&1 3>&- &
        local first=$!
        "$BOXLET" start race >"$BATS_TEST_TMPDIR/b" 2>&1 3>&- || b=$?
        wait $first || a=$?
        # docker calls starting a running box a success; then both may succeed, but there is one machine
        [ $a -eq 0 ] || [ $b -eq 0 ]
        run box_processes
        echo "$output"
        [ "$(grep -c qemu-system <<<"$output")" -eq 1 ]
        boxlet rm -f race
}

@test "rm refuses a running box, rm -f removes it" {
        boxlet run -d --name r --network none busybox sleep 1000 >/dev/null
        run boxlet rm r
        [ "$status" -ne 0 ]
        [[ "$output" == *running* ]]
        boxlet rm -f r
        no_processes
}

@test "two runs at once" {
        "$BOXLET" run --rm --network none busybox echo one >"$BATS_TEST_TMPDIR/one" 3>&- &
        local first=$!
        [ "$(boxlet run --rm --network none busybox echo two)" = two ]
        wait $first
        [ "$(cat "$BATS_TEST_TMPDIR/one")" = one ]
}

@test "Ctrl-C ends a foreground box" {
        # a shell without job control has SIGINT ignored in what it puts into the background
        env --default-signal=INT "$BOXLET" run --rm --name c --network none busybox \
                sh -c 'trap "exit 3" INT; echo ready; while :; do sleep 0.1; done' >"$BATS_TEST_TMPDIR/out" 3>&- &
        local client=$!
        # its output at the client: the trap is set, and the client knows that the process runs; a signal before
        # that ends the client itself
        eventually 30 grep -q ready "$BATS_TEST_TMPDIR/out"
        kill -INT $client
        local code=0
        wait $client || code=$?
        [ $code -eq 3 ]
        no_processes
}

# Runs two commands at once on one box, and then checks that what is said of it is true and that it can be removed.
at_once() {
        local box=$1 first a=0 b=0
        shift
        timeout -s KILL 60 "$BOXLET" $1 "$box" >"$BATS_TEST_TMPDIR/a" 2>&1 3>&- &
        first=$!
        timeout -s KILL 60 "$BOXLET" $2 "$box" >"$BATS_TEST_TMPDIR/b" 2>&1 3>&- || b=$?
        wait $first || a=$?
        echo "$1: $a $(cat "$BATS_TEST_TMPDIR/a")"
        echo "$2: $b $(cat "$BATS_TEST_TMPDIR/b")"
        [ $a -le 1 ] && [ $b -le 1 ]
        # one of them had its way, and who had not says why
        [ $a -eq 0 ] || [ $b -eq 0 ]
        [ $a -eq 0 ] || grep -q '^boxlet: ' "$BATS_TEST_TMPDIR/a"
        [ $b -eq 0 ] || grep -q '^boxlet: ' "$BATS_TEST_TMPDIR/b"
}

@test "rm -f twice, and stop with rm -f, at once" {
        boxlet run -d --name ra --network none busybox sleep 1000 >/dev/null
        at_once ra "rm -f" "rm -f"
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
        boxlet run -d --name sr --network none busybox sleep 1000 >/dev/null
        at_once sr "stop -t 1" "rm -f"
        no_processes
        run boxlet inspect sr
        [ "$status" -ne 0 ]
}

@test "start and rm at once" {
        boxlet create --name st --network none busybox sleep 1000 >/dev/null
        at_once st start rm
        if boxlet inspect st >/dev/null 2>&1; then
                [ "$(state_of st)" = running ]
                boxlet rm -f st
        fi
        no_processes
}

# find_quickly PROGRAM: the process of the newest box; box_processes takes longer than a box to start. The monitor is in the network
# namespace of the tests, in which nobody else runs boxes; the others are below it.
find_quickly() {
        local pid
        pid=$(pgrep --ns $$ --nslist net -n -f '^boxlet-monitor') || return 1
        [ "$1" != passt ] || { pgrep -P "$pid" -n '^passt'; return; }
        [ "$1" = boxlet-monitor ] || pid=$(pgrep -P "$pid" -n -f '^boxlet-vmm') || return 1
        # QEMU is below the boxlet-vmm in the process namespace, which is below the one outside
        [ "$1" != qemu-system ] || pid=$(pgrep -P "$(pgrep -P "$pid" -n -f '^boxlet-vmm' || echo "$pid")" -n -f 'qemu-system') || return 1
        echo "$pid"
}

@test "kill -9 of anything while a box starts: the caller is told, nothing is left, the name is free" {
        [ "${BOXLET_NETNS:-}" = inside ] || skip "needs tests/box/netns"
        local program delay client pid code
        local network
        for program in boxlet-monitor boxlet-vmm qemu-system passt client; do
                network=none
                [ $program != passt ] || network=default
                for delay in 0 0.1 0.5; do
                        timeout -s KILL 60 "$BOXLET" run -d --name boot --network $network busybox sleep 1000 >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
                        client=$!
                        if [ $program = client ]; then
                                sleep $delay
                                pkill -9 -P $client || true # timeout's child
                        else
                                until find_quickly $program >/dev/null; do kill -0 $client; done
                                sleep $delay
                                # again, for a process that is there for the moment of a fork
                                until pid=$(find_quickly $program) && kill -9 "$pid" 2>/dev/null; do kill -0 $client; done
                        fi
                        code=0
                        wait $client || code=$?
                        echo "$program after $delay: $code $(cat "$BATS_TEST_TMPDIR/out")"
                        [ $code -le 137 ]
                        if [ $program = client ]; then
                                # started before it was killed, or not there at all
                                [ "$(boxlet ls -q | wc -l)" -le 1 ]
                                boxlet rm -f boot >/dev/null 2>&1 || true
                        elif [ $program = passt ] && [ $code -eq 0 ]; then
                                # the box goes on without a network, and says so
                                eventually 10 bash -c '"$BOXLET" inspect boot | grep -q "no network"'
                                [ "$(state_of boot)" = running ]
                                boxlet rm -f boot >/dev/null
                        else
                                # on a fast machine the box may have started before
                                [ $code -eq 0 ] || { [ $code -eq 125 ] && grep -q '^boxlet: run: ' "$BATS_TEST_TMPDIR/out"; }
                                no_processes
                                [ -z "$(boxlet ls -q)" ]
                                boxlet rm -f boot >/dev/null
                        fi
                        no_processes
                        [ -z "$(boxlet ls -a -q)" ]
                done
        done
        [ "$(boxlet run --rm --name boot --network none busybox echo works)" = works ]
}
