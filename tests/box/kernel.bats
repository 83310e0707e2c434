#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The guest's kernel, flavour lean: that it boots with all a box needs, and that its build script keeps its word on options.
bats_require_minimum_version 1.5.0
load lib

# unpacking the source takes 20 s on an idle machine, and minutes on a busy one
setup_file() { export BATS_TEST_TIMEOUT=900; }

@test "the lean kernel boots, and has what a box needs" {
        need mkfs.erofs
        run "$ROOT/kernel/smoke" "$ROOT/build/kernel/vmlinux-lean"
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(grep -c 'checks hold' <<<"$output")" -eq 2 ]
}

@test "a build waits for the one that runs, and takes its result" {
        local built lock waiting
        built=$("$ROOT/kernel/build" lean 2>/dev/null) # cached: the box tier has it
        mkdir -p "$BATS_TEST_TMPDIR/cache/boxlet/kernel"
        exec {lock}>"$BATS_TEST_TMPDIR/cache/boxlet/kernel/.lock"
        flock "$lock"
        XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache "$ROOT/kernel/build" lean >"$BATS_TEST_TMPDIR/path" 2>"$BATS_TEST_TMPDIR/said" {lock}>&- 3>&- &
        waiting=$!
        eventually 30 grep -q 'another kernel build is running' "$BATS_TEST_TMPDIR/said"
        kill -0 "$waiting"
        cp -r "$(dirname "$built")" "$BATS_TEST_TMPDIR/cache/boxlet/kernel/"
        exec {lock}>&-
        wait "$waiting"
        cmp "$(cat "$BATS_TEST_TMPDIR/path")" "$built"
        [[ "$(cat "$BATS_TEST_TMPDIR/path")" == "$BATS_TEST_TMPDIR/cache/"* ]]
}

# The script goes as far as the configuration, in a cache of its own.
@test "an option that the kernel does not know fails the build, by its name" {
        [ -f /usr/src/linux-source-6.1.tar.xz ] || skip "linux-source-6.1 is not installed"
        [ "$(df -Pk "$BATS_TEST_TMPDIR" | awk 'NR == 2 { print $4 }')" -gt $((4 << 20)) ] || skip "needs 4 GiB of room"
        cp -r "$ROOT/kernel" "$BATS_TEST_TMPDIR/kernel"
        printf 'CONFIG_MADE_UP_BY_A_TEST=y\n# CONFIG_MMU is not set\n' >>"$BATS_TEST_TMPDIR/kernel/lean.config"
        XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache run "$BATS_TEST_TMPDIR/kernel/build" lean
        [ "$status" -eq 1 ]
        [[ "$output" == *"CONFIG_MADE_UP_BY_A_TEST=y  (is off)"* ]]
        [[ "$output" == *"CONFIG_MMU=y  (asked to be off)"* ]]
        [[ "$output" == *"did not survive"* ]]
        # nothing half-made stays
        [ -z "$(ls "$BATS_TEST_TMPDIR/cache/boxlet/kernel")" ]
}
