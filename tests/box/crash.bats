#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The short version of `make test-crash`: a sample of the system calls.
bats_require_minimum_version 1.5.0
load lib

@test "boxlet is killed at some of its system calls: nothing is lost, nothing is left, and the next try works" {
        run "$ROOT/tests/crash/run" --step 197
        echo "$output"
        [ "$status" -eq 0 ]
        [[ "${lines[-1]}" == *" kills" ]]
}
