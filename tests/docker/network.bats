#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Networks of containers in a box: Docker's default bridge, ports through to the host, IPv6. tests/box/netns provides the other side.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

@test "a container on the default bridge: address, gateway, names, the outside" {
        run engine_script <<'SCRIPT'
docker network inspect bridge --format '{{.Driver}} {{(index .IPAM.Config 0).Subnet}}'
docker run --rm busybox sh -c '
        ip -4 -o addr show eth0
        ping -c 1 -W 20 "$(ip route | sed -n "s/^default via \([0-9.]*\).*/\1/p")" | grep received
        nslookup outside.test | grep -A1 outside.test
        sleep 3 | nc 192.0.2.1 7003
        sleep 3 | nc outside.test 7003'
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[0]}" = "bridge 172.17.0.0/16" ]
        [[ "${lines[1]}" == *"inet 172.17.0."* ]]
        [[ "$output" == *"1 packets received"* ]]
        [[ "$output" == *192.0.2.1* ]]
        [ "$(grep -c '^hello from outside$' <<<"$output")" -eq 2 ]
}

@test "a container's published port is reached from the host" {
        in_engine docker pull -q "$R/web"
        in_engine docker run -d --name web -p 8080:80 "$R/web"
        eventually 150 page_says "$(host_port engine 8080)" "page of the web image"
        in_engine docker rm -f web
}

@test "containers have IPv6 on a network that has it" {
        run engine_script <<'SCRIPT'
docker network create --ipv6 --subnet fd00:b0c5::/64 six >/dev/null
docker run --rm --network six busybox sh -c 'ip -6 -o addr show eth0 scope global; until ping -6 -c 1 -W 2 fd00:b0c5::1 | grep received; do :; done'
docker network rm six >/dev/null
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [[ "$output" == *fd00:b0c5::* ]]
        [[ "$output" == *"1 packets received"* ]]
}

@test "containers reach the host by host.boxlet.internal: default bridge, a network of their own, both builders" {
        local port=18211
        socat "TCP4-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" 'SYSTEM:echo hello from the host' 3>&- &
        local server=$!
        run engine_script "PORT=$port" <<'SCRIPT'
ask='sleep 3 | nc host.boxlet.internal '$PORT
docker run --rm busybox sh -c "$ask"
docker network create own >/dev/null
docker run --rm --network own busybox sh -c "$ask"
docker run --rm --network own busybox nslookup outside.test | grep -q 192.0.2.1
docker network rm own >/dev/null
# a kind of record that the name has not is no error
docker run --rm busybox nslookup -type=aaaa host.boxlet.internal >/dev/null
for kit in 0 1; do
        printf 'FROM %s/busybox\nRUN %s >/hello\nCMD ["cat", "/hello"]\n' "$R" "$ask" | DOCKER_BUILDKIT=$kit docker build --no-cache -q -t asked - >/dev/null
        docker run --rm asked
done
SCRIPT
        kill "$server"
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(grep -c '^hello from the host$' <<<"$output")" -eq 4 ]
}
