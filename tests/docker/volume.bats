#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An engine's data on a volume with a name: the shared engine's outlives its box. This file ends that box; it is the last one.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

@test "a volume that a box uses is refused to another one, in one line" {
        boxlet create --name second --network none --support-docker -v engine-data:/var/lib/docker "$DIND" >/dev/null
        run boxlet start second
        echo "$output"
        [ "$status" -ne 0 ]
        one_line_with engine-data
        boxlet rm second
        run boxlet run --rm --name third --network none --support-docker -v engine-data:/var/lib/docker "$DIND"
        echo "$output"
        [ "$status" -eq 125 ]
        one_line_with engine-data
        run boxlet inspect third
        [ "$status" -ne 0 ]
        run boxlet volume rm engine-data
        [ "$status" -ne 0 ]
        [ "$(in_engine docker images -q busybox | wc -l)" -eq 1 ]
}

@test "images, volumes and containers on it are there in the next box" {
        in_engine docker run --name left -v kept:/kept busybox sh -c 'echo in a volume >/kept/word; echo in a container >/word'
        boxlet stop -t 200 engine
        boxlet rm engine
        engine_start engine "$DIND" --network none -v engine-data:/var/lib/docker -e DOCKER_TLS_CERTDIR=
        run in_engine sh -c 'docker run --rm -v kept:/kept busybox cat /kept/word; docker cp left:/word - | tar -xO'
        echo "$output"
        [ "$output" = "$(printf 'in a volume\nin a container')" ]
        boxlet rm -f engine
        boxlet volume rm engine-data
}
