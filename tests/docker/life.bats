#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An engine's box is stopped, killed, and run out of disk: nothing is left on the host, and the next start has the containers' data.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        # --init: dockerd is not process 1, so it can be killed in there
        engine_start life "$DIND" --init -e DOCKER_TLS_CERTDIR= --disk-size 1g
        boxlet exec life docker pull -q "$R/busybox"
        boxlet exec life docker run -d --name keeper --restart always --stop-signal KILL -v data:/data "$R/busybox" \
                sh -c 'echo start >>/data/starts; exec sleep 1000000'
        boxlet exec life docker run --name writer -v data:/data "$R/busybox" sh -c 'echo kept >/data/word; echo inside >/word'
        boxlet exec life sync
}
teardown_file() {
        boxlet rm -f life >/dev/null
}

# Only this box's processes count: the shared engine may be running.
life_processes() {
        local id pid
        id=$(boxlet inspect life | jq -r '.[0].Id')
        for pid in $(box_processes | cut -d' ' -f1); do
                if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$id" || ls -l "/proc/$pid/fd" 2>/dev/null | grep -q "boxes/$id"; then
                        echo "$pid"
                fi
        done
}

# life_process PROGRAM
life_process() {
        local pid
        for pid in $(life_processes); do
                [[ "$(tr '\0' ' ' <"/proc/$pid/cmdline")" != *"$1"* ]] || echo "$pid"
        done | head -n 1
}

# tree_of PID: the processes below it.
tree_of() {
        local pid
        for pid in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
                echo "$pid"
                tree_of "$pid"
        done
}

# remember: $remembered, the box's processes by number: monitor, boxlet-vmm, QEMU, passt and what they have started.
remember() {
        local monitor
        monitor=$(life_process boxlet-monitor)
        remembered="$monitor $(tree_of "$monitor" | tr '\n' ' ')"
        [ "$(wc -w <<<"$remembered")" -ge 4 ]
}

ended() {
        local pid
        for pid in $remembered; do
                [ ! -e "/proc/$pid" ] || return 1
        done
        [ -z "$(life_processes)" ] && [ "$(box_state life)" != running ]
}

# The box ends with all its processes; started again it has an engine with what was there.
ends_and_comes_back() {
        eventually 150 ended
        boxlet start life >/dev/null
        engine_wait life
        keeper_runs() { [ "$(boxlet exec life docker inspect keeper --format '{{.State.Running}}')" = true ]; }
        eventually 150 keeper_runs
        run boxlet exec life sh -c 'docker exec keeper cat /data/word; docker cp writer:/word - | tar -xO'
        echo "$output"
        [ "$output" = "$(printf 'kept\ninside')" ]
}

@test "the disk of the box is full during a pull and a build: said in words, the engine goes on, and comes back when the box is killed then" {
        # room for neither
        boxlet exec life sh -c 'fallocate -l $(($(df -k --output=avail /var/lib/docker | tail -n 1) - 60 * 1024))K /var/lib/docker/filler'
        run boxlet exec life docker pull -q "$R/big"
        echo "$output"
        [ "$status" -ne 0 ]
        [[ "$output" == *"no space left on device"* ]]
        run boxlet exec -i -e DOCKER_BUILDKIT=0 life docker build --force-rm -q - <<<"FROM $R/busybox
RUN dd if=/dev/zero of=/filled bs=1M count=200"
        echo "$output"
        [ "$status" -ne 0 ]
        [[ "${output,,}" == *"no space left on device"* ]]
        [ "$(boxlet exec life docker exec keeper cat /data/word)" = kept ]
        remember
        boxlet kill life >/dev/null
        ends_and_comes_back
        boxlet exec life rm /var/lib/docker/filler
        [ "$(boxlet exec life docker run --rm "$R/busybox" echo room again)" = "room again" ]
}

@test "stop and start: the engine comes back with its containers and their data" {
        remember
        # the time that such a box has by itself
        boxlet stop life
        [ "$(boxlet inspect life | jq '.[0].State.ExitCode')" -eq 0 ]
        ends_and_comes_back
        run boxlet exec life docker images -q "$R/busybox"
        [ -n "$output" ]
        boxlet exec life grep -q 'CapEff:.*000001ffffffffff' /proc/self/status
}

@test "dockerd is killed: the box ends with its code, and the next start works" {
        remember
        boxlet exec life sh -c 'kill -KILL $(pidof dockerd)'
        eventually 150 ended
        [ "$(boxlet inspect life | jq '.[0].State.ExitCode')" -eq 137 ]
        ends_and_comes_back
}

@test "the box is killed by its user: nothing is left, and the next start works" {
        remember
        boxlet kill life
        ends_and_comes_back
}

@test "the host process is killed, a power cut for the box: nothing is left, and the next start works" {
        remember
        kill -KILL "$(life_process boxlet-monitor)"
        ends_and_comes_back
}
