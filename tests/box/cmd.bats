#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --cmd and --entrypoint: an entry point as init with arguments of its own, alone and with a command beside it.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        local tree=$BOXLET_TMP/busybox
        printf '#!/bin/sh\necho "entry: $*"\nexec "$@"\n' >"$tree/entry"
        # a service: says that it is there, and how it was asked to end
        printf '#!/bin/sh\ntrap "echo asked to end; exit 9" TERM\necho "service $1 is up"\nwhile :; do sleep 0.05; done\n' >"$tree/service"
        chmod 755 "$tree/entry" "$tree/service"
        boxlet import --change 'ENTRYPOINT ["/entry"]' --change 'CMD ["echo", "from CMD"]' "$tree" entry >/dev/null
        boxlet import --change 'ENTRYPOINT ["/service"]' --change 'CMD ["of the image"]' "$tree" service >/dev/null
}
teardown_file() { box_home_end; }

quiet_run() {
        boxlet run --rm --network none "$@"
}

@test "the entry point of the image, of the option, and none" {
        run --separate-stderr quiet_run entry
        [ "$status" -eq 0 ]
        [ "$output" = $'entry: echo from CMD\nfrom CMD' ]
        run --separate-stderr quiet_run --entrypoint echo entry one two
        [ "$output" = "one two" ]
        run --separate-stderr quiet_run --entrypoint /bin/pwd entry
        [ "$output" = "/" ] # the image's CMD went with its ENTRYPOINT
        run --separate-stderr quiet_run --entrypoint "" entry echo alone
        [ "$output" = "alone" ]
        run quiet_run --entrypoint "" entry
        [ "$status" -eq 125 ]
        [[ "$output" == *"no command specified"* ]]
}

@test "--cmd alone: arguments of the entry point, whose code is boxlet's" {
        run --separate-stderr quiet_run --cmd sh --cmd=-c --cmd 'echo "$0 ran"; exit 5' --cmd name entry
        [ "$status" -eq 5 ]
        [ "$output" = $'entry: sh -c echo "$0 ran"; exit 5 name\nname ran' ]
        [ -z "$stderr" ]
        run --separate-stderr quiet_run --cmd 7 --entrypoint /bin/echo entry
        [ "$status" -eq 0 ]
        [ "$output" = 7 ]
        [ "$stderr" = "boxlet: run: the box's init ended with code 0, and the box with it" ]
}

@test "--cmd without an entry point is refused before anything is made" {
        run quiet_run --cmd x busybox
        [ "$status" -eq 125 ]
        [[ "$output" == *"--cmd gives arguments to an entry point, and the image has none"* ]]
        run quiet_run --cmd x --entrypoint "" entry
        [ "$status" -eq 125 ]
        [ -z "$(boxlet ls -aq)" ]
}

@test "a command beside init: its streams, its code; init gets the stop signal and the log" {
        run --separate-stderr boxlet run --name pair --network none --cmd first --cmd second service \
                sh -c 'echo out; echo err >&2; tr "\0" " " </proc/1/cmdline; echo; exit 7'
        [ "$status" -eq 7 ]
        [ "$output" = $'out\n/bin/sh /service first second ' ]
        [ "$stderr" = err ]
        run boxlet logs pair
        [[ "$output" == *"service first is up"* ]]
        [[ "$output" == *"asked to end"* ]]
        [[ "$output" == *$'out\n'* ]]
        boxlet inspect pair | jq -e '.[0].State.ExitCode == 7 and .[0].Config.Foreground[0] == "sh" and .[0].Args[-1] == "second"'
}

@test "start runs both again, stop asks the command first" {
        boxlet create --name again --network none --cmd x service sh -c 'trap "echo command asked; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
        boxlet start again
        eventually 60 boxlet_logs_say again ready
        boxlet stop again
        [ "$(boxlet inspect again | jq '.[0].State.ExitCode')" -eq 3 ]
        boxlet logs again | grep -x 'command asked'
        boxlet logs again | grep -x 'asked to end'
        boxlet start -a again >"$BATS_TEST_TMPDIR/out" &
        local attached=$! code=0
        eventually 60 grep -qx ready "$BATS_TEST_TMPDIR/out"
        boxlet kill -s TERM again
        wait $attached || code=$?
        [ $code -eq 3 ]
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = $'ready\ncommand asked' ]
}

boxlet_logs_say() {
        boxlet logs "$1" | grep -qx "$2"
}

@test "input and a terminal are the command's" {
        run bash -c 'printf "a\nb\n" | "$BOXLET" run --rm -i --network none --cmd x service cat'
        [ "$output" = $'a\nb' ]
        run script -qec "'$BOXLET' run --rm -it --network none --cmd x service sh -c 'tty; exit 4'" /dev/null </dev/null
        [ "$status" -eq 4 ]
        [[ "$output" == *"/dev/pts/"* ]]
        [[ "$output" != *"service x is up"* ]]
}

@test "a signal goes to the command, Ctrl-C too" {
        boxlet run -d --name signals --network none --cmd x service sh -c 'trap "exit 21" INT; echo ready; while :; do sleep 0.05; done'
        eventually 60 boxlet_logs_say signals ready
        boxlet kill -s INT signals
        [ "$(boxlet wait signals)" = 21 ]
}

@test "an init that ends first ends the box, and how is told in one line" {
        run --separate-stderr quiet_run --cmd true entry sleep 1000
        [ "$status" -eq 125 ]
        [[ "$stderr" == "boxlet: run: the box's init ended with code 0 "* ]]
        [ "${#stderr_lines[@]}" -eq 1 ]
        run --separate-stderr boxlet run --name first --network none --cmd sh --cmd=-c --cmd 'mkfifo /gate; read x </gate; exit 3' entry \
                sh -c 'until [ -p /gate ]; do sleep 0.05; done; echo began; echo go >/gate; sleep 1000'
        [ "$status" -eq 125 ]
        [ "$output" = began ]
        [ "$stderr" = "boxlet: run: the box's init ended with code 3 while the command ran, and took it along" ]
        boxlet inspect first | jq -e '.[0].State.ExitCode == 125 and (.[0].State.Error | test("ended with code 3"))'
}

@test "a command that is not there: 127, and no service stays behind" {
        run -127 quiet_run --cmd x service no-such-command
        [[ "$output" == *"no-such-command"* ]]
        run quiet_run --cmd x service /etc/not-executable
        [ "$status" -eq 126 ]
        no_processes 30
}

@test "an init that does not listen to the stop signal does not hold the box up" {
        run quiet_run --stop-timeout 1h --cmd sleep --cmd 100000 entry echo done
        [ "$status" -eq 0 ]
        [ "$output" = done ]
}
