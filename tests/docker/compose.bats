#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# docs/docker-in-a-box.md, word by word, and what its compose project then does: two services on a network of their own, names, a
# published port, a volume that lasts. "docker:dind" and "busybox" come from our registry, as mirror of the Docker Hub.
bats_require_minimum_version 1.5.0
load lib

# Line N of the commands in the page's blocks, which follow each other.
doc_command() {
        sed -n '/^```sh$/,/^```$/p' "$ROOT/docs/docker-in-a-box.md" | grep -v '^```' | sed -n "$1p"
}

# As somebody who sits in the clone; the port on the host is as good as any other.
follow() {
        local command
        command=$(doc_command "$1")
        [ -n "$command" ]
        echo "$command"
        command=${command//127.0.0.1:8080:/127.0.0.1:0:}
        [[ "$command" != *:8080/* ]] || command=${command//:8080/:$(host_port docker 8080)}
        (cd "$ROOT" && bash -c "$command")
}

compose() {
        boxlet exec -w /srv docker docker compose "$@"
}

setup_file() {
        # done, or no case would run; the targets are there
        [[ "$(doc_command 1)" == "make deps all kernel-docker" ]]
        (cd "$ROOT" && make -n deps all kernel-docker >/dev/null)
        follow 2
        engine_trust docker
        # the box's engine asks our registry instead of the Docker Hub
        boxlet exec -e "R=$R" docker sh -c 'echo "{\"registry-mirrors\": [\"https://$R\"]}" >/etc/docker/daemon.json'
        follow 3
        boxlet exec docker kill -HUP 1
}
teardown_file() {
        boxlet rm -f docker >/dev/null
}

@test "the page's commands bring a compose project up, and its port is reached from the host" {
        follow 4
        follow 5
        eventually 150 page_says "$(host_port docker 8080)" "hello from a box"
        need curl
        run follow 6
        [ "$status" -eq 0 ]
        [ "${lines[-1]}" = "hello from a box" ]
}

@test "services find each other by name, on a bridge of their own" {
        run compose exec -T writer sh -c 'ping -c 1 -W 20 web | grep received; wget -q -O - http://web/index.html'
        echo "$output"
        [[ "$output" == *"1 packets received"* ]]
        [ "${lines[-1]}" = "hello from a box" ]
        run compose ps
        echo "$output"
        [ "$(grep -c ' Up ' <<<"$output")" -eq 2 ]
        [[ "$output" == *"0.0.0.0:8080->80/tcp"* ]]
        run boxlet exec docker docker network inspect srv_inner --format '{{.Driver}} {{len .Containers}}'
        [ "$output" = "bridge 2" ]
}

@test "compose down and up again: a named volume is kept" {
        compose down
        run boxlet exec docker docker ps -aq
        [ -z "$output" ]
        compose up -d
        written_twice() { [ "$(compose exec -T web grep -c hello /www/index.html)" -eq 2 ]; }
        eventually 150 written_twice
        compose down -v
        run boxlet exec docker docker volume ls -q
        [ -z "$output" ]
}

@test "the entry point made TLS keys, and the engine wants them" {
        run boxlet exec docker sh -c 'd="docker --tlsverify -H tcp://localhost:2376"
                $d --tlscacert /certs/client/ca.pem --tlscert /certs/client/cert.pem --tlskey /certs/client/key.pem version --format {{.Server.Version}}
                $d --tlscacert /certs/client/ca.pem version 2>&1 || echo refused'
        echo "$output"
        [[ "${lines[0]}" == 20.* ]]
        [ "${lines[-1]}" = refused ]
}

@test "the page's last commands: stop lets the engine end by itself, start brings it back, rm leaves nothing" {
        follow 7
        [ "$(boxlet inspect docker | jq '.[0].State.ExitCode')" -eq 0 ]
        follow 8
        engine_wait docker
        [ -n "$(boxlet exec docker docker images -q)" ]
        follow 9
        [ -z "$(doc_command 10)" ]
        run boxlet inspect docker
        [ "$status" -ne 0 ]
}
