#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Engines as the init of boxes that end: by the image's entry point and by dockerd alone, with a command beside them.
bats_require_minimum_version 1.5.0
load lib

# beside OPTION... -- SCRIPT: the script beside an engine in a box of its own, which trusts our registry.
beside() {
        local options=() trust=$BATS_TEST_TMPDIR/trust
        mkdir "$trust"
        cp "$BOXLET_TMP/registry-images/ca.crt" "$trust/"
        while [ "$1" != -- ]; do
                options+=("$1")
                shift
        done
        run --separate-stderr boxlet run --rm --support-docker -e DOCKER_TLS_CERTDIR= -e "R=$R" \
                --mount "type=bind,source=$trust,target=/etc/docker/certs.d/$R,readonly" \
                --cmd=--log-level=warn "${options[@]}" "$DIND" sh -c "$2"
        printf '%s\n' "$output" "$stderr"
}

readonly INNER='until docker version >/dev/null 2>&1; do sleep 0.5; done; docker run --rm "$R/busybox" echo from inside'

@test "--cmd and a command beside a real engine: the command's output and code are boxlet's" {
        beside -- "$INNER; exit 7"
        [ "$status" -eq 7 ]
        [ "$output" = "from inside" ]
}

@test "dockerd alone is the entry point: nothing has to be arranged for it" {
        beside --entrypoint dockerd -- "tr '\\0' ' ' </proc/1/cmdline; echo; $INNER"
        [ "$status" -eq 0 ]
        [ "${lines[0]}" = "dockerd --log-level=warn " ]
        [ "${lines[1]}" = "from inside" ]
}

@test "the controllers are handed down before anything else runs" {
        run boxlet run --rm --support-docker --network none busybox cat /sys/fs/cgroup/cgroup.subtree_control
        local controller
        for controller in cpu cpuset io memory pids; do
                [[ " $output " == *" $controller "* ]]
        done
}

@test "what --privileged makes is a docker box" {
        boxlet create --name privileged --privileged --network none busybox >/dev/null
        run boxlet inspect privileged
        boxlet rm privileged >/dev/null
        [ "$(jq '.[0].HostConfig.Privileged' <<<"$output")" = true ]
        boxlet run --help | grep -q -- '--privileged'
        boxlet create --help | grep -q -- '--privileged'
}
