#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Boxes at a terminal: raw mode and back, window size, keys and signals, detach and attach, stop and continue.
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

terminal() {
        "$ROOT/tests/box/on-terminal" "$@"
}

@test "-it is a terminal: raw while it runs, Ctrl-C is a key, settings restored" {
        terminal raw 'expect:# ' 'send:stty -echo; tty\n' expect:/dev/pts 'send:sleep 1000\n' pause:0.5 'send:\x03' 'expect:# ' \
                'send:echo code $?\n' 'expect:code 130' 'send:exit 7\n' exit:7 cooked \
                -- "$BOXLET" run --rm -it --network none busybox sh
}

@test "the window's size is the caller's, from the first byte on, and follows it" {
        terminal 'expect:24 80' pause:0.3 resize:50x132 'expect:50 132' exit:0 cooked \
                -- "$BOXLET" run --rm -it --network none busybox sh -c \
                'trap "stty size; exit 0" WINCH; stty size; while :; do sleep 0.1; done'
}

@test "the detach keys leave the box running, attach comes back to it" {
        terminal raw 'expect:# ' 'send:X=kept\n' 'expect:# ' 'send:\x10' pause:0.1 'send:\x11' exit:0 cooked \
                -- "$BOXLET" run -it --name detached --network none busybox sh
        boxlet ls | grep -q ' detached$'
        terminal raw 'send:echo $X-there\n' expect:kept-there 'send:exit 9\n' exit:9 cooked -- "$BOXLET" attach detached
        boxlet rm detached
}

@test "detach keys can be chosen, and others pass" {
        terminal raw 'send:a\x10b\n' 'expect:a^Pb' 'send:x\x18' exit:0 cooked \
                -- "$BOXLET" run -it --name keys --detach-keys x,ctrl-x --network none busybox cat -v
        boxlet rm -f keys
}

@test "Ctrl-C without a terminal in the box is SIGINT for its process" {
        terminal expect:ready 'send:\x03' 'expect:got INT' exit:3 \
                -- "$BOXLET" run --rm --network none busybox sh -c \
                'trap "echo got INT; exit 3" INT; echo ready; while :; do sleep 0.1; done'
}

@test "Ctrl-C three times kills a box that does not listen" {
        terminal expect:ready 'send:\x03' pause:0.3 'send:\x03' pause:0.3 'send:\x03' exit:137 \
                -- "$BOXLET" run --rm --network none busybox sh -c 'trap "" INT; echo ready; while :; do sleep 0.1; done'
        no_processes 20
}

@test "Ctrl-C while the machine boots ends it" {
        terminal pause:0.2 'send:\x03' exit:130 cooked -- "$BOXLET" run --rm -it --network none busybox sleep 1000
        no_processes 20
}

@test "Ctrl-Z stops only the client, and it goes on in the foreground" {
        local work='i=0; while [ $i -lt 6 ]; do i=$((i+1)); echo at $i; sleep 0.5; done; echo finished'
        export work
        terminal 'expect:$ ' 'send:"$BOXLET" run --rm --network none busybox sh -c "$work"\n' 'expect:at 2' 'send:\x1a' \
                expect:Stopped 'send:fg\n' expect:finished 'send:exit\n' exit:0 \
                -- env PS1='$ ' bash --norc --noprofile -i
}

@test "a stop of a client in raw mode gives the terminal back meanwhile" {
        terminal raw 'expect:# ' signal:TSTP stopped cooked signal:CONT raw 'send:echo again\n' 'expect:again' 'send:exit\n' exit:0 \
                cooked -- "$BOXLET" run --rm -it --network none busybox sh
}

@test "a client that is asked to end puts the terminal back" {
        terminal raw 'expect:# ' signal:TERM pause:0.3 signal:TERM pause:0.3 signal:TERM exit:137 cooked \
                -- "$BOXLET" run --rm -it --network none busybox sh
        no_processes 20
}

@test "exec -it has a terminal of its own" {
        boxlet run -d --name e --network none busybox sleep 1000 >/dev/null
        terminal raw 'expect:# ' 'send:stty size; exit 4\n' 'expect:24 80' exit:4 cooked -- "$BOXLET" exec -it e sh
        terminal raw 'expect:# ' 'send:\x10\x11' exit:0 cooked -- "$BOXLET" exec -it e sh
        boxlet rm -f e
}

@test "-t without -i leaves the caller's terminal as it is" {
        terminal 'expect:/dev/pts' exit:0 cooked -- "$BOXLET" run --rm -t --network none busybox sh -c 'tty <&1'
        [ "$(boxlet run --rm -t --network none busybox echo line | od -An -c | tr -d ' ')" = 'line\r\n' ]
}

@test "start -ai is at the terminal of a box that was made with one" {
        boxlet create -it --name again --network none busybox sh >/dev/null
        terminal raw 'expect:# ' 'send:exit 6\n' exit:6 cooked -- "$BOXLET" start -ai again
        terminal raw 'expect:# ' 'send:\x10\x11' exit:0 cooked -- "$BOXLET" start -ai again
        [ "$(boxlet inspect -f '{{.State.Status}}' again)" = running ]
        boxlet rm -f again
}

@test "signals to a client in the background reach the process" {
        "$BOXLET" run --rm --network none busybox sh -c 'trap "exit 12" USR1; echo ready; while :; do sleep 0.1; done' \
                >"$BATS_TEST_TMPDIR/out" 3>&- &
        local client=$! code=0
        eventually 30 grep -q ready "$BATS_TEST_TMPDIR/out"
        kill -USR1 $client
        wait $client || code=$?
        [ "$code" -eq 12 ]
}
