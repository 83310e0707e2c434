#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The network of a box: outbound, names, published ports, none at all. tests/box/netns provides the other side.
bats_require_minimum_version 1.5.0
load lib

# The clients keep their side open (sleep | nc): Debian 12's passt may lose the other side's end of a connection that is half closed.

setup_file() {
        [ "${BOXLET_NETNS:-}" = inside ] || { echo "run this in tests/box/netns" >&2; return 1; }
        box_home
        boxlet run -d --name n -p 127.0.0.1:0:8000 busybox sh -c 'mkdir /w; echo page >/w/x; exec httpd -f -p 8000 -h /w' >/dev/null
}
teardown_file() { box_home_end; }

# listening PORT: somebody of this namespace listens on it.
listening() { ss -Hltn "sport = :$1" | grep -q .; }

@test "outbound TCP over IPv4" {
        run boxlet exec n sh -c 'sleep 2 | nc 192.0.2.1 7003'
        [ "$output" = "hello from outside" ]
}

@test "outbound TCP over IPv6" {
        run boxlet exec n sh -c 'sleep 2 | nc 2001:db8:1::1 7003'
        [ "$output" = "hello from outside" ]
}

@test "names are resolved" {
        run boxlet exec n nslookup outside.test
        [[ "$output" == *192.0.2.1* ]]
        run boxlet exec n sh -c 'sleep 2 | nc outside.test 7003'
        [ "$output" = "hello from outside" ]
}

@test "UDP, outbound and published" {
        # a query of its own to that server, beside what the resolver does
        run boxlet exec n nslookup outside.test 192.0.2.1
        [[ "$output" == *"192.0.2.1"* ]]
        cc -static -O1 -o "$BOXLET_TMP/busybox/bin/udp-echo" "$ROOT/tests/box/udp-echo.c"
        boxlet import "$BOXLET_TMP/busybox" udp >/dev/null
        boxlet run -d --name u -p 127.0.0.1:0:5000/udp udp udp-echo 5000 >/dev/null
        local port
        port=$(boxlet inspect u | jq -r '(if type == "array" then .[0] else . end).NetworkSettings.Ports["5000/udp"][0].HostPort')
        echoed() { [ "$(echo datagram | socat -t 3 - "UDP:127.0.0.1:$port")" = datagram ]; }
        eventually 20 echoed
        boxlet rm -f u
}

# host_port BOX PORT/PROTO [IP]: where that is published.
host_port() {
        boxlet inspect "$1" | jq -r --arg port "$2" --arg ip "${3:-}" \
                '[.[0].NetworkSettings.Ports[$port][] | select($ip == "" or .HostIp == $ip)][0].HostPort'
}

@test "a range of ports, and TCP and UDP over IPv6, published; UDP outbound over both" {
        boxlet run -d --name r -p 127.0.0.1:19000-19001:8000-8001 -p '[::1]:0:8000' -p '[::1]:0:5000/udp' udp \
                sh -c 'mkdir /w0 /w1; echo zero >/w0/x; echo one >/w1/x; udp-echo 5000 & httpd -p 8001 -h /w1; exec httpd -f -p 8000 -h /w0' >/dev/null
        page() { [ "$(printf 'GET /x HTTP/1.0\r\n\r\n' | socat -t 5 - "$1" | tail -n 1)" = "$2" ]; }
        eventually 20 page TCP:127.0.0.1:19000 zero
        eventually 20 page TCP:127.0.0.1:19001 one
        eventually 20 page "TCP6:[::1]:$(host_port r 8000/tcp ::1)" zero
        echoed() { [ "$(echo datagram | socat -t 3 - "UDP6:[::1]:$(host_port r 5000/udp ::1)")" = datagram ]; }
        eventually 20 echoed
        # the echo servers outside
        [ "$(boxlet exec r udp-echo 7002 192.0.2.1)" = datagram ]
        [ "$(boxlet exec r udp-echo 7002 2001:db8:1::1)" = datagram ]
        [ "$(boxlet exec r sh -c '(echo both ways; sleep 2) | nc 192.0.2.1 7001')" = "both ways" ]
        boxlet rm -f r
}

@test "a range of which one port is taken is told, and none of it stays" {
        socat TCP-LISTEN:19003,bind=127.0.0.1 EXEC:true 3>&- &
        local server=$!
        eventually 10 listening 19003
        run boxlet run --rm -p 127.0.0.1:19002-19004:8000-8002 busybox true
        kill $server
        [ "$status" -eq 125 ]
        [[ "$output" == *19003* ]]
        [ -z "$(ss -Hltn "sport = :19002")" ]
        run boxlet run --rm -p 127.0.0.1:19002-19004:8000-8001 busybox true
        [ "$status" -eq 125 ]
}

@test "ping, over IPv4 and IPv6" {
        boxlet exec n ping -c 1 -W 5 192.0.2.1
        boxlet exec n ping -6 -c 1 -W 5 2001:db8:1::1
}

@test "a plain user has a network, and publishes ports" {
        user_home
        cp -r "$BOXLET_TMP/busybox" "$BATS_TEST_TMPDIR/tree"
        chmod -R a+rX "$BATS_TEST_TMPDIR/tree"
        chown nobody "$home"
        as_user import --change 'CMD ["sh"]' "$BATS_TEST_TMPDIR/tree" busybox >/dev/null
        as_user run -d --name p -p 127.0.0.1:19005:8000 busybox sh -c 'mkdir /w; echo page >/w/x; exec httpd -f -p 8000 -h /w' >/dev/null
        fetch() { [ "$(printf 'GET /x HTTP/1.0\r\n\r\n' | socat -t 5 - TCP:127.0.0.1:19005 | tail -n 1)" = page ]; }
        eventually 20 fetch
        run as_user exec p sh -c 'sleep 2 | nc outside.test 7003'
        as_user rm -f p
        [ "$output" = "hello from outside" ]
}

@test "a published port is reached from the host" {
        local port
        port=$(boxlet inspect n | jq -r '(if type == "array" then .[0] else . end).NetworkSettings.Ports["8000/tcp"][0].HostPort')
        fetch() { [ "$(printf 'GET /x HTTP/1.0\r\n\r\n' | socat -t 5 - "TCP:127.0.0.1:$port" | tail -n 1)" = page ]; }
        eventually 20 fetch
}

@test "a port that is taken is told before anything boots" {
        local proto option server id
        for proto in tcp udp; do
                option=t
                [ $proto = tcp ] || option=u
                socat "${proto^^}-LISTEN:18099,bind=127.0.0.1" EXEC:true 3>&- &
                server=$!
                taken() { ss "-Hln$option" "sport = :18099" | grep -q .; }
                eventually 10 taken
                id=$(boxlet create --name t -p "127.0.0.1:18099:80/$proto" busybox true)
                run boxlet start t
                kill $server
                wait $server || true
                [ "$status" -eq 125 ]
                [[ "$output" == *18099/$proto* ]]
                # no machine was started that could have written it
                [ ! -e "$BOXLET_HOME/boxes/$id/console.log" ]
                # and the same once the port is free: now there is one
                boxlet start -a t
                [ -e "$BOXLET_HOME/boxes/$id/console.log" ]
                boxlet rm t
        done
}

@test "host.boxlet.internal is the host" {
        socat TCP-LISTEN:18098,reuseaddr,bind=127.0.0.1 'SYSTEM:echo the host' 3>&- &
        local server=$!
        eventually 10 listening 18098
        run boxlet exec n sh -c 'sleep 2 | nc host.boxlet.internal 18098'
        kill $server 2>/dev/null || true
        [ "$output" = "the host" ]
}

@test "--network none has loopback only" {
        run boxlet run --rm --network none busybox ls /sys/class/net
        [ "$output" = lo ]
        run boxlet run --rm --network none busybox ping -c 1 -W 2 127.0.0.1
        [ "$status" -eq 0 ]
}

@test "without an uplink the box starts, and says so" {
        run unshare --net --fork bash -c 'ip link set lo up; "$BOXLET" run --rm busybox echo started'
        [ "$status" -eq 0 ]
        [[ "$output" == *started* ]]
        [[ "$output" == *network* ]]
}

box_of() { boxlet inspect "$1" | jq -r '.[0].Id'; }

# vmm_of MONITOR: the boxlet-vmm that has QEMU below it: the one in a process namespace, where there is one.
vmm_of() {
        local outside
        outside=$(pgrep -P "$1" -f boxlet-vmm)
        pgrep -P "$outside" -f boxlet-vmm || echo "$outside"
}

# process_of BOX PROGRAM: the process of that box: its monitor, or one below it whose command line has that word.
process_of() {
        local pid monitor id
        id=$(box_of "$1")
        for pid in $(box_processes | cut -d' ' -f1); do
                if grep -qz '^boxlet-monitor' "/proc/$pid/cmdline" && ls -l "/proc/$pid/fd" | grep -q "boxes/$id"; then
                        monitor=$pid
                fi
        done
        [ "$2" != monitor ] || { echo "$monitor" && return 0; }
        [ "$2" != qemu ] || monitor=$(vmm_of "$monitor")
        pgrep -P "$monitor" -f "$2"
}

@test "kill -9 of passt: the box goes on without a network, and says so" {
        boxlet run -d --name p -p 127.0.0.1:18097:80 busybox sleep 1000 >/dev/null
        kill -9 "$(process_of p passt)"
        told() { boxlet inspect p | grep -q 'no network'; }
        eventually 10 told
        [ "$(boxlet exec p echo alive)" = alive ]
        boxlet stop -t 0 p
        boxlet start p >/dev/null
        boxlet exec p ping -c 1 -W 5 192.0.2.1
        boxlet rm -f p
}

@test "a published port is free again after kill -9 of passt, monitor, vmm and QEMU" {
        local program
        for program in passt monitor boxlet-vmm qemu; do
                boxlet run -d --name f -p 127.0.0.1:18096:80 busybox sleep 1000 >/dev/null
                ss -Hlnt | grep -q 127.0.0.1:18096
                kill -9 "$(process_of f "$program")"
                free() { ! ss -Hlnt | grep -q 127.0.0.1:18096; }
                eventually 10 free
                boxlet rm -f f
        done
}
