#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How boxes are seen: ls, inspect, port, and the files that name a box. One box runs, one does not.
load lib
bats_require_minimum_version 1.5.0

setup_file() {
        box_home
        printf 'tier=front\n# comment\nlone\n' >"$BOXLET_TMP/labels"
        boxlet run -d --name seen --cidfile "$BOXLET_TMP/cid" --pidfile "$BOXLET_TMP/pid" --label-file "$BOXLET_TMP/labels" --label tier=back \
                --annotation org.example.key=value -p 127.0.0.1:18080:80 -p 53/udp -v data:/srv busybox \
                sh -c 'echo out; echo err >&2; trap "exit 0" TERM; while :; do sleep 0.2; done' >"$BOXLET_TMP/id"
        FROM_HOST='two words' boxlet create --name unseen --env-host --network none busybox true >"$BOXLET_TMP/unseen"
}
teardown_file() { box_home_end; }

@test "the files that name a box: its id, its monitor" {
        [ "$(cat "$BOXLET_TMP/cid")" = "$(cat "$BOXLET_TMP/id")" ]
        tr '\0' ' ' <"/proc/$(cat "$BOXLET_TMP/pid")/cmdline" | grep -q boxlet-monitor
        [ "$(boxlet inspect -f '{{.State.Pid}}' seen)" = "$(cat "$BOXLET_TMP/pid")" ]
        run -125 boxlet create --cidfile "$BOXLET_TMP/cid" --name twice busybox
        [[ "$output" == *"for the id exists"* ]]
        [ -z "$(boxlet ls -a -q -f name=twice)" ]
        run -125 boxlet run --rm --network none --pidfile /nonexistent/pid busybox true
        [[ "$output" == *"write the pid file '/nonexistent/pid': No such file or directory"* ]]
}

@test "labels from a file, annotations and the host's environment" {
        [ "$(boxlet inspect -f '{{index .Config.Labels "tier"}}/{{index .Config.Labels "lone"}}/{{index .HostConfig.Annotations "org.example.key"}}' seen)" = back//value ]
        boxlet inspect -f '{{json .Config.Env}}' unseen | jq -e 'index("FROM_HOST=two words")'
}

@test "ls: filters and templates" {
        [ "$(boxlet ls -f label=tier=back --format '{{.Names}} {{.State}} {{.Label "tier"}} {{.Mounts}}')" = 'seen running back data' ]
        [ "$(boxlet ls -a -f volume=data -q --no-trunc)" = "$(cat "$BOXLET_TMP/id")" ]
        [ "$(boxlet ls -f status=created --format '{{.Names}}')" = unseen ]
        [ "$(boxlet ls -a -f since=seen --format '{{.Names}}')" = unseen ]
        [ "$(boxlet ls -a -f ancestor=busybox -f before=unseen --format '{{.Names}}')" = seen ]
        [ "$(boxlet ls -l --format 'table {{.Names}}\t{{.Networks}}')" = "$(printf 'NAMES    NETWORKS\nunseen   none')" ]
        boxlet ls -s | grep -Eq ' seen +[0-9.]+[kM]B$'
}

@test "port shows where a port is published" {
        [ "$(boxlet port seen 80)" = 127.0.0.1:18080 ]
        boxlet port seen | grep -qx '80/tcp -> 127.0.0.1:18080'
        boxlet port seen | grep -Eqx '53/udp -> 0.0.0.0:[0-9]+'
        run -1 boxlet port seen 81
        [[ "$output" == *"port 81/tcp of box 'seen' is not published" ]]
}

@test "logs: each stream to its own, until a moment" {
        logged() { [ "$(boxlet logs seen 2>&1 | wc -l)" -eq 2 ]; }
        eventually 20 logged
        [ "$(boxlet logs seen 2>/dev/null)" = out ]
        [ "$(boxlet logs seen 2>&1 >/dev/null)" = err ]
        [ "$(boxlet logs --until 2100-01-01 seen 2>/dev/null)" = out ]
        [ -z "$(boxlet logs --until 1h seen 2>&1)" ]
        [ "$(timeout 30 "$BOXLET" logs -f --until "$(($(date +%s) + 1))" seen 2>/dev/null)" = out ]
}

@test "a log without end is bounded, and its end is there" {
        boxlet run --rm --name noisy --network none --log-opt max-size=16k --log-opt max-file=3 busybox \
                sh -c 'seq 1 20000; echo end; sleep 1000' >/dev/null 2>&1 &
        noisy=$!
        noisy_end() { [ "$(boxlet logs -n 1 noisy 2>/dev/null)" = end ]; }
        eventually 40 noisy_end
        [ "$(boxlet inspect -f '{{index .HostConfig.LogConfig.Config "max-size"}} {{index .HostConfig.LogConfig.Config "max-file"}}' noisy)" = '16384 3' ]
        folder=$(dirname "$(boxlet inspect -f '{{.LogPath}}' noisy)")
        [ "$(cat "$folder"/log* | wc -c)" -le 49152 ]
        boxlet logs noisy | tail -n 100 | head -n 99 | diff - <(seq 19902 20000)
        boxlet rm -f noisy
        wait "$noisy" || true
}

@test "events: what has been, chosen and formatted, in one journal of all processes" {
        boxlet exec seen sh -c 'exit 4' || true
        boxlet tag busybox other:1
        boxlet rmi other:1
        [ "$(boxlet events --stream=false -f box=seen --format '{{.Action}}' | head -n 2 | tr '\n' ' ')" = 'create start ' ]
        [ "$(boxlet events --since 1h --until 0s -f container=seen -f event=exec_die --format '{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.tier}}')" = '4 back' ]
        boxlet events --stream=false -f type=image -f event=tag -f event=untag | grep -c 'image \(tag\|untag\) ' | grep -qx 2
        boxlet events --stream=false -f type=volume --format '{{json .}}' | jq -e '.Action == "create" and .Actor.ID == "data"'
        [ -z "$(boxlet events --stream=false --until 1h)" ]
}

@test "events follow what happens" {
        timeout 60 "$BOXLET" events -f event=die -f event=destroy --format '{{.Action}} {{.Actor.Attributes.name}}' >"$BATS_TEST_TMPDIR/events" &
        pid=$!
        sleep 0.5
        boxlet run --rm --name passing --network none busybox false || true
        both() { [ "$(cat "$BATS_TEST_TMPDIR/events")" = "$(printf 'die passing\ndestroy passing')" ]; }
        eventually 30 both
        kill $pid
}

@test "health: starting, healthy, unhealthy by what a command says, and told" {
        boxlet run -d --name well --network none --health-cmd 'cat /tmp/ill 2>/dev/null && exit 1; echo fine' --health-interval 500ms --health-timeout 20s \
                --health-retries 2 busybox sleep 1000 >/dev/null
        health() { [ "$(boxlet inspect -f '{{.State.Health.Status}}' well)" = "$1" ]; }
        boxlet ls -f name=well --format '{{.Status}}' | grep -Eq '^Up .* \((health: starting|healthy)\)$'
        eventually 40 health healthy
        boxlet ls -f health=healthy --format '{{.Names}} {{.Status}}' | grep -Eq '^well Up .* \(healthy\)$'
        boxlet inspect well | jq -e '.[0].State.Health | .FailingStreak == 0 and .Log[0].ExitCode == 0 and .Log[0].Output == "fine\n"'
        [ "$(boxlet inspect -f '{{index .Config.Healthcheck.Test 1}} {{.Config.Healthcheck.Interval}}' well)" = 'cat /tmp/ill 2>/dev/null && exit 1; echo fine 500000000' ]
        boxlet exec well sh -c 'echo sick >/tmp/ill'
        eventually 40 health unhealthy
        [ "$(boxlet ls -q -f health=unhealthy)" = "$(boxlet ls -q -f name=well)" ]
        boxlet exec well rm /tmp/ill
        eventually 40 health healthy
        [ "$(boxlet events --stream=false -f box=well -f event=health_status --format '{{.Action}}' | sed 's/.*: //' | tr '\n' ' ')" = 'healthy unhealthy healthy ' ]
        boxlet rm -f well
}

@test "the image's HEALTHCHECK is run" {
        local folder=$BATS_TEST_TMPDIR/image config
        mkdir "$folder"
        boxlet save busybox | tar -x -C "$folder"
        config=$(jq -r '.[0].Config' "$folder/manifest.json")
        jq -c '.config.Healthcheck = {Test: ["CMD", "cat", "/etc/not-executable"], Interval: 300000000}' "$folder/$config" >"$folder/new"
        rm "$folder/$config"
        jq -c --arg name "$(sha256sum "$folder/new" | cut -d' ' -f1).json" '.[0].Config = $name | .[0].RepoTags = ["checked:1"]' "$folder/manifest.json" >"$folder/manifest"
        mv "$folder/new" "$folder/$(jq -r '.[0].Config' "$folder/manifest")"
        mv "$folder/manifest" "$folder/manifest.json"
        tar -c -C "$folder" $(ls "$folder" | grep -v index.json | grep -v oci-layout) | boxlet load
        boxlet run -d --name checked --network none checked:1 sleep 1000 >/dev/null
        well() { [ "$(boxlet inspect -f '{{.State.Health.Status}}' checked)" = healthy ]; }
        eventually 40 well
        boxlet inspect checked | jq -e '.[0].State.Health.Log[0].Output == "a text file\n"'
        boxlet rm -f checked
}

@test "a health command that hangs is killed with all it started; none is none" {
        boxlet run -d --name hangs --network none --health-cmd 'sleep 888 & sleep 888' --health-interval 300ms --health-timeout 1s --health-retries 1 busybox sleep 1000 >/dev/null
        ill() { boxlet inspect hangs | jq -e '.[0].State.Health | .Status == "unhealthy" and (.Log | length) > 1'; }
        eventually 60 ill
        boxlet inspect hangs | jq -e '.[0].State.Health.Log[0] | .ExitCode == -1 and (.Output | test("exceeded timeout"))'
        # at most one check runs: what the earlier ones started is gone
        [ "$(boxlet exec hangs ps -o args | grep -c 'sleep 88[8]')" -le 3 ]
        boxlet rm -f hangs
        boxlet run -d --name none --network none --health-cmd none busybox sleep 1000 >/dev/null
        run -1 boxlet inspect -f '{{.State.Health.Status}}' none
        [ "$(boxlet ls -f name=none --format '{{.Health}} {{.Status}}' | grep -c health)" = 0 ]
        boxlet rm -f none
}

@test "rm by a filter; the pid file goes with the monitor" {
        boxlet stop seen
        [ ! -e "$BOXLET_TMP/pid" ]
        [ "$(boxlet rm --filter status=exited)" = "$(cat "$BOXLET_TMP/id")" ]
        [ "$(boxlet rm --all)" = "$(cat "$BOXLET_TMP/unseen")" ]
        [ -z "$(boxlet ls -a -q)" ]
}
