#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A unix socket on the host that leads into the box (--docker-socket), with a server of ours in the engine's place.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        export SOCKET
        box_home
        SOCKET=$BOXLET_TMP/engine.sock
        mkdir "$BOXLET_TMP/busybox/run"
        ln -s /run "$BOXLET_TMP/busybox/var/run"
        cc -static -O1 -o "$BOXLET_TMP/busybox/bin/unix-echo" "$ROOT/tests/box/unix-echo.c"
        boxlet import --change 'CMD ["unix-echo", "/var/run/docker.sock"]' "$BOXLET_TMP/busybox" echo >/dev/null
}
teardown_file() { box_home_end; }

client() {
        "$ROOT/tests/box/unix-client" "$SOCKET" "$@"
}

# with_socket ARG...: run with what a socket needs; the lean kernel does for a server that is no engine.
with_socket() {
        boxlet run --support-docker --kernel "$ROOT/build/kernel/vmlinux-lean" --network none --docker-socket "$SOCKET" "$@"
}

monitor_of() {
        jq .monitor.pid "$BOXLET_HOME/boxes/$(boxlet inspect --format '{{.Id}}' "$1")/state.json"
}

@test "a program on the host talks to the socket in the box while the box runs" {
        with_socket -d --name s echo sh -c 'until [ -e /go ]; do sleep 0.1; done; exec unix-echo /var/run/docker.sock' >/dev/null
        [ "$(stat -c '%F %a' "$SOCKET")" = "socket 600" ]
        [ "$(boxlet inspect --format '{{.HostConfig.DockerSocket}}' s)" = "$SOCKET" ]
        # nobody listens there yet: the connection ends, and the client tries again
        [ "$(client try)" = nobody ]
        boxlet exec s touch /go
        served() { [ "$(client try)" = served ]; }
        eventually 60 served
        [ "$(client echo 1)" = "1 bytes" ]
        [ "$(client echo 5000000)" = "5000000 bytes" ]
        [ "$(client hold 30)" = "held 30" ]
        # who leaves, leaves nothing: the server's processes go
        client leave
        alone() { [ "$(boxlet exec s sh -c 'ps -o comm | grep -c unix-echo')" -eq 1 ]; }
        eventually 30 alone
        # it survives a stop and a start, and is gone in between
        boxlet stop -t 0 s
        [ ! -e "$SOCKET" ]
        boxlet start s >/dev/null
        boxlet exec s touch /go
        eventually 60 served
        boxlet rm -f s
        [ ! -e "$SOCKET" ]
}

@test "what a killed monitor left is removed by the next start, and by rm; what is somebody else's is not" {
        with_socket -d --name k echo >/dev/null
        run with_socket --rm echo
        [ "$status" -eq 125 ]
        [[ "$output" == *"docker socket '$SOCKET': there is something of that name: remove it, or choose another"* ]]
        [ "$(boxlet ls -a -q | wc -l)" -eq 1 ]
        kill -9 "$(monitor_of k)"
        no_processes 30
        [ -S "$SOCKET" ]
        # another box takes it over
        with_socket -d --name l echo >/dev/null
        served() { [ "$(client try)" = served ]; }
        eventually 60 served
        # the first box's removal leaves the second one's socket alone
        boxlet rm -f k
        served
        kill -9 "$(monitor_of l)"
        no_processes 30
        [ -S "$SOCKET" ]
        boxlet rm l
        [ ! -e "$SOCKET" ]
        echo mine >"$SOCKET"
        run with_socket --rm echo
        [ "$status" -eq 125 ]
        [ "$(cat "$SOCKET")" = mine ]
        rm "$SOCKET"
}

@test "a path that cannot be is refused before anything is made" {
        run boxlet run --rm --docker-socket "$SOCKET" echo
        [ "$status" -eq 125 ]
        [[ "$output" == *"--docker-socket needs --support-docker"* ]]
        SOCKET=$BOXLET_TMP/none/engine.sock
        run with_socket --rm echo
        [ "$status" -eq 125 ]
        [[ "$output" == *"docker socket '$SOCKET': its folder: No such file or directory"* ]]
        SOCKET=$BOXLET_TMP/$(printf 'x%.0s' {1..120})
        run with_socket --rm echo
        [ "$status" -eq 125 ]
        [[ "$output" == *"a socket's path has at most 107 bytes"* ]]
        [ -z "$(boxlet ls -a -q)" ]
        # a relative path is made absolute
        cd "$BOXLET_TMP"
        SOCKET=here.sock
        boxlet create --name r --support-docker --kernel "$ROOT/build/kernel/vmlinux-lean" --docker-socket here.sock echo >/dev/null
        [ "$(boxlet inspect --format '{{.HostConfig.DockerSocket}}' r)" = "$BOXLET_TMP/here.sock" ]
        boxlet rm r
}
