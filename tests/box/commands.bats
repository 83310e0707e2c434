#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The commands around a box: their output, exit codes and options, as somebody who knows docker expects them.
load lib
bats_require_minimum_version 1.5.0

setup_file() {
        box_home
        boxlet run -d --name one --label purpose=test --network none busybox \
                sh -c 'trap "exit 0" TERM; echo first; echo second; echo third >&2; while :; do sleep 0.2; done' >"$BOXLET_TMP/id"
}
teardown_file() { box_home_end; }

@test "ls has docker's columns, ids and JSON" {
        boxlet ls | head -n 1 | grep -Eqx 'BOX ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES'
        boxlet ps | grep -Eq '^[0-9a-f]{12}   busybox[^ ]* +"sh -c trap .exit 0.…" +.* ago +Up .* one$'
        [ "$(boxlet ls -q)" = "$(cut -c1-12 "$BOXLET_TMP/id")" ]
        [ "$(boxlet ls -q --no-trunc)" = "$(cat "$BOXLET_TMP/id")" ]
        [ "$(boxlet ls --format json | jq -r '.[0].Id')" = "$(cat "$BOXLET_TMP/id")" ]
        [ "$(boxlet ls --format json | jq -r '.[0].Labels.purpose')" = test ]
}

@test "inspect finds boxes and images, and members by path" {
        [ "$(boxlet inspect -f '{{.State.Status}} {{json .Config.Tty}}' one)" = 'running false' ]
        [ "$(boxlet inspect one busybox | jq length)" -eq 2 ]
        [ "$(boxlet inspect --type image busybox | jq length)" -eq 1 ]
        run boxlet inspect --type image one
        [ "$status" -eq 1 ]
        run boxlet inspect no-such-thing
        [ "$status" -eq 1 ]
        [[ "$output" == *"boxlet: inspect: there is no box or image 'no-such-thing'"* ]]
}

@test "logs: all, the last lines, with times, since a moment" {
        logged() { [ "$(boxlet logs one 2>&1 | wc -l)" -eq 3 ]; }
        eventually 20 logged
        [ "$(boxlet logs one 2>/dev/null)" = "$(printf 'first\nsecond')" ]
        [ "$(boxlet logs one 2>&1 >/dev/null)" = third ]
        [ "$(boxlet logs -n 1 one 2>&1)" = third ]
        [ -z "$(boxlet logs -n 0 one 2>&1)" ]
        boxlet logs -t one 2>/dev/null | head -n 1 | grep -Eqx '20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z first'
        [ "$(boxlet logs --since 1h one 2>&1 | wc -l)" -eq 3 ]
        [ -z "$(boxlet logs --since 2100-01-01 one 2>&1)" ]
        [ "$(boxlet logs one 2>/dev/null | head -n 1)" = first ]
}

@test "logs -f goes on until the box ends" {
        boxlet run -d --name chatty --network none busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done' >/dev/null
        [ "$(timeout 60 "$BOXLET" logs -f chatty)" = "$(printf '1\n2\n3')" ]
        boxlet wait chatty
        boxlet rm chatty
}

@test "wait prints the exit code, of one that runs and one that has ended" {
        boxlet run -d --name w --network none busybox sh -c 'sleep 1; exit 33' >/dev/null
        [ "$(timeout 60 "$BOXLET" wait w)" = 33 ]
        [ "$(boxlet wait w)" = 33 ]
        boxlet ls -a | grep ' w$' | grep -q 'Exited (33)'
        boxlet rm w
}

@test "create, start -a: the output and the code of the process" {
        boxlet create --name c --network none busybox sh -c 'echo output; echo complaint >&2; exit 21' >"$BATS_TEST_TMPDIR/id"
        grep -Eqx '[0-9a-f]{64}' "$BATS_TEST_TMPDIR/id"
        boxlet start -a c >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" && code=0 || code=$?
        [ "$code" -eq 21 ]
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = output ]
        grep -qx complaint "$BATS_TEST_TMPDIR/err"
        [ "$(boxlet rm c)" = c ]
}

@test "run -d of what cannot start says why and prints no id" {
        run -127 --separate-stderr boxlet run -d --rm --network none busybox no-such-program
        [ "$status" -eq 127 ]
        [ -z "$output" ]
        [[ "$stderr" == "boxlet: run: "*no-such-program* ]]
}

@test "kill sends the signal that is named" {
        boxlet run -d --name k --network none busybox sh -c 'trap "echo usr1" USR1; trap "exit 4" USR2; echo ready; while :; do sleep 0.1; done' \
                >/dev/null
        ready() { boxlet logs k | grep -q "$1"; }
        eventually 20 ready ready
        [ "$(boxlet kill -s USR1 k)" = k ]
        eventually 20 ready usr1
        boxlet kill --signal SIGUSR2 k
        [ "$(timeout 60 "$BOXLET" wait k)" = 4 ]
        run boxlet kill k
        [ "$status" -eq 1 ]
        boxlet rm k
}

@test "several boxes are stopped at once, and removed by id" {
        local a b
        a=$(boxlet run -d --network none busybox sh -c 'trap "" TERM; while :; do sleep 0.1; done')
        b=$(boxlet run -d --network none busybox sh -c 'trap "" TERM; while :; do sleep 0.1; done')
        boxlet stop -t 4 "$a" "$b"
        # one after the other, they would end at least the time-out apart
        finished() { date +%s%3N -d "$(boxlet inspect -f '{{.State.FinishedAt}}' "$1")"; }
        apart=$(($(finished "$a") - $(finished "$b")))
        [ "${apart#-}" -lt 4000 ]
        [ "$(boxlet inspect -f '{{.State.ExitCode}}' "$a")" = 137 ]
        boxlet rm "${a:0:12}" "${b:0:12}"
        run boxlet rm -f "$a"
        [ "$status" -eq 0 ]
        run boxlet rm "$a"
        [ "$status" -eq 1 ]
}

@test "attach without a terminal shows what comes and ends with the code" {
        boxlet run -d -i --name a --network none busybox sh -c 'read line; echo "got $line"; exit 8' >/dev/null
        echo words | timeout 60 "$BOXLET" attach a >"$BATS_TEST_TMPDIR/out" && code=0 || code=$?
        [ "$code" -eq 8 ]
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = "got words" ]
        run boxlet attach a
        [ "$status" -eq 125 ]
        [[ "$output" == *"is not running"* ]]
        boxlet rm a
}

@test "environment from files and from the caller" {
        printf '# comment\nA=1\nB= two words\nFROM_HOST\nNOT_SET_ANYWHERE\n' >"$BATS_TEST_TMPDIR/env"
        [ "$(FROM_HOST=host boxlet exec --env-file "$BATS_TEST_TMPDIR/env" -e A=2 one sh -c 'echo "$A,$B,$FROM_HOST,${NOT_SET_ANYWHERE-unset}"')" = \
                '2, two words,host,unset' ]
}

@test "exec -d runs on by itself" {
        boxlet exec -d one sh -c 'sleep 1; echo made >/tmp/by-exec; exec sleep 1000'
        made() { boxlet exec one cat /tmp/by-exec; }
        eventually 20 made
}

@test "images: names, ids, JSON, tag and rmi" {
        boxlet images | head -n 1 | grep -Eqx 'REPOSITORY +TAG +IMAGE ID +CREATED +SIZE'
        boxlet tag busybox other/name:5
        boxlet images other/name | grep -Eq '^other/name +5 +[0-9a-f]{12} '
        [ "$(boxlet images -q other/name:5)" = "$(boxlet images -q busybox)" ]
        [ "$(boxlet images --format json other/name | jq -r '.[0].Tag')" = 5 ]
        boxlet rmi other/name:5 | grep -q '^Untagged: '
        run boxlet rmi other/name:5
        [ "$status" -eq 1 ]
        run boxlet rmi busybox
        [ "$status" -eq 1 ]
        boxlet images | grep -q '^busybox '
}
