#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The short version of `make test-crash`: samples of the system calls.
bats_require_minimum_version 1.5.0
load lib

setup() {
        [ "$(uname -m)" = x86_64 ] || skip "the system calls are followed on x86-64 only"
        need docker-registry
        need umoci
        need skopeo
}

crash() {
        run "$ROOT/tests/crash/run" "$@"
        echo "$output"
        [ "$status" -eq 0 ]
}

@test "boxlet is killed at some of its system calls: nothing is lost, nothing is left, and the next try works" {
        crash --step 397 create rm import rmi snapshot restore snapshot-rm clone import-box volume check pull
        [[ "${lines[-1]}" == *" kills" ]]
}

@test "the same where a machine starts, works or stops: no process is left, no lock is held" {
        crash --step 397 start stop commit
        [[ "${lines[-1]}" == *" kills" ]]
}

@test "some of boxlet's system calls fail: it says why, nothing is lost, nothing is left, and the next try works" {
        crash --fault EIO --step 97 rmi check
        crash --fault ENOMEM --step 97 create
        crash --fault ENOSPC+ --step 31 import snapshot pull
        [[ "${lines[-1]}" == *" faults" ]]
}
