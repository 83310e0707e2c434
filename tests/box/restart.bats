#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Boxes that are restarted, by hand, by their policy and after a reboot; paused; renamed; updated.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

show() { # BOX JQ
        boxlet inspect "$1" | jq -r "(if type == \"array\" then .[0] else . end) | $2"
}
state_is() { [ "$(show "$1" .State.Status)" = "$2" ]; }
restarted() { [ "$(show "$1" .RestartCount)" -ge "$2" ]; }

@test "a box is paused, renamed, updated and restarted" {
        # its work is a counter that grows as long as its processors run
        boxlet run -d --name p --network none -v counted:/data busybox sh -c 'trap "exit 9" HUP; i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done' >/dev/null
        counts() { [ "$(boxlet logs p | wc -l)" -gt "$1" ]; }
        eventually 30 counts 2
        run boxlet pause p
        [ "$status" -eq 0 ]
        [ "$output" = p ]
        state_is p paused
        boxlet ls | grep -q '(Paused)'
        local before
        before=$(boxlet logs p | wc -l)
        run boxlet exec p true
        [ "$status" -eq 125 ]
        [[ "$output" == *"is paused: unpause it first"* ]]
        run boxlet attach --no-stdin p
        [ "$status" -eq 125 ]
        [[ "$output" == *"is paused: unpause it first"* ]]
        run boxlet pause p
        [ "$status" -eq 1 ]
        [[ "$output" == *"it is paused already"* ]]
        run boxlet snapshot create p
        [ "$status" -eq 1 ]
        [[ "$output" == *"is paused: unpause it first"* ]]
        run boxlet rm p
        [ "$status" -eq 1 ]
        [[ "$output" == *"it is paused: stop it first"* ]]
        sleep 1
        [ "$(boxlet logs p | wc -l)" -eq "$before" ]
        boxlet unpause p
        state_is p running
        eventually 30 counts "$before"

        run boxlet rename p 'no good'
        [ "$status" -eq 1 ]
        boxlet rename p q
        run boxlet inspect p
        [ "$status" -ne 0 ]
        run boxlet update -m 300m --restart always q
        [ "$status" -eq 0 ]
        [[ "$output" == *"its next start has the new size"* ]]
        [ "$(show q .HostConfig.RestartPolicy.Name)" = always ]

        boxlet exec q sh -c 'grep MemTotal /proc/meminfo >/data/first'
        run boxlet restart -t 0 q
        [ "$status" -eq 0 ]
        [ "$output" = q ]
        [ "$(show q .RestartCount)" -eq 0 ]
        # the volume is still its own, and the machine is smaller
        boxlet exec q sh -c 'read -r _ a _ </data/first; read -r _ b _ </proc/meminfo; [ $b -lt 310000 ] && [ $a -gt 400000 ]'

        # the policy of `update` holds for what runs: its init dies of a signal that is no wish to end, and again it has its volume. So
        # does the size, for the machine that its monitor starts then
        boxlet update -m 200m --cpus 1 q >/dev/null
        boxlet kill -s HUP q
        eventually 60 restarted q 1
        eventually 60 state_is q running
        boxlet exec q sh -c 'cat /data/first >/dev/null && [ $(nproc) -eq 1 ] && read -r _ b _ </proc/meminfo && [ $b -lt 205000 ]'
        # all of it is in the journal, under the name it has now
        [ "$(boxlet events --stream=false -f box=q --format '{{.Action}}' | grep -Ex 'create|pause|unpause|rename|update|restart' | tr '\n' ' ')" = \
                'create pause unpause rename update restart update ' ]
        boxlet pause q
        boxlet rm -f q # also while it is paused
        no_processes
}

@test "a restart loop waits longer each time, and stop and rm -f end it at once" {
        boxlet run -d --name loop --network none --restart on-failure busybox sh -c 'echo once more; exit 3' >/dev/null
        waits() { state_is loop restarting && restarted loop 5; } # 1.6 s
        eventually 90 waits
        run boxlet ls
        [[ "$output" == *"Restarting (3)"* ]]
        [ "$(show loop .State.ExitCode)" -eq 3 ]
        [ "$(show loop .State.Running)" = true ]
        run boxlet exec loop true
        [ "$status" -eq 125 ]
        local started=$SECONDS
        boxlet stop loop
        [ $((SECONDS - started)) -lt 10 ]
        state_is loop exited
        [ "$(boxlet logs loop 2>/dev/null | grep -c 'once more')" -ge 5 ]
        no_processes

        boxlet start loop >/dev/null
        eventually 60 restarted loop 1
        boxlet rm -f loop
        no_processes
}

@test "on-failure gives up after its number, and a run in the foreground ends with the first run's code" {
        run boxlet run --name f --network none --restart on-failure:1 busybox sh -c 'exit 7'
        [ "$status" -eq 7 ]
        eventually 60 state_is f exited
        [ "$(show f .RestartCount)" -eq 1 ]
        [ "$(show f .State.ExitCode)" -eq 7 ]
        boxlet rm f
        run boxlet run --rm --restart always --network none busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"--restart and --rm contradict each other"* ]]
        no_processes
}

@test "after a reboot of the host the boxes are told as exited, and start-all brings back what its policy says" {
        boxlet run -d --name always --network none --restart always busybox sleep 1000 >/dev/null
        boxlet run -d --name stopped --network none --restart unless-stopped busybox sleep 1000 >/dev/null
        boxlet run -d --name without --network none busybox sleep 1000 >/dev/null
        boxlet create --name never --network none --restart always busybox sleep 1000 >/dev/null
        boxlet stop -t 0 stopped
        local box id pid
        for box in always without; do
                id=$(show "$box" .Id)
                pid=$(jq .monitor.pid "$BOXLET_HOME/boxes/$id/state.json")
                kill -9 "$pid"
        done
        no_processes 20
        state_is without dead
        for box in always without; do
                id=$(show "$box" .Id)
                sed -i 's/"boot_id":"[^"]*"/"boot_id":"00000000-0000-4000-8000-000000000000"/' "$BOXLET_HOME/boxes/$id/state.json"
        done
        state_is without exited
        state_is always exited
        [ "$(show always .State.Error)" = "the host went down while the box ran" ]
        boxlet ls -a | grep -q 'Exited (137), the host went down'
        run boxlet system start-all
        [ "$status" -eq 0 ]
        [ "$output" = always ]
        state_is always running
        state_is without exited
        state_is stopped exited
        state_is never created
        run boxlet system stop-all -t 0
        [ "$status" -eq 0 ]
        [ "$output" = "$(show always .Id)" ]
        state_is always exited
        run boxlet system start-all
        [ "$output" = always ]
        boxlet rm -f always stopped without never
        no_processes
}

@test "an idle box stops by itself, one that is used does not" {
        # one that nobody uses, after a while with an exec; one with traffic (which it ends after some time); one whose time is up
        boxlet run -d --name talks --idle-stop 5s busybox sh -c \
                'i=0; while [ $i -lt 6 ]; do nc -w 2 192.0.2.1 7003 </dev/null >/tmp/said; i=$((i+1)); sleep 1; done; cp /tmp/said /said; exec sleep 1000' >/dev/null
        boxlet run -d --name old --network none --restart always --stop-after 2s --stop-timeout 1 busybox sleep 1000 >/dev/null
        boxlet run -d --name quiet --network none --idle-stop 5s busybox sleep 1000 >/dev/null
        boxlet exec quiet sleep 8
        state_is quiet running
        eventually 30 state_is old exited
        eventually 30 state_is quiet exited
        eventually 40 state_is talks exited
        [[ "$(show quiet '.State.Warnings[0]')" == *--idle-stop* ]]
        [[ "$(show talks '.State.Warnings[0]')" == *--idle-stop* ]]
        [[ "$(show old '.State.Warnings[0]')" == *--stop-after* ]]
        [ "$(show old .RestartCount)" -eq 0 ]
        # its network worked, and while it talked, 6 s and more, it was not idle
        local ran
        ran=$(show talks '[.State.FinishedAt, .State.StartedAt] | map(sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) | .[0] - .[1]')
        [ "$ran" -ge 10 ]
        boxlet rm quiet talks old
        no_processes
}
