#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest that goes wrong in a whole box: told apart, at once, with the console's last lines; nothing is left.
# The guests are real machines with another initramfs in the agent's place: tests/vmm/spoiler.c and guest.c.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# guest_with PROGRAM [MODE]: $BOXLET_LIBEXEC with PROGRAM as the guest's PID 1.
guest_with() {
        local build=$ROOT/build dir=$BATS_TEST_TMPDIR/libexec
        mkdir -p "$dir" "$dir/files"
        ln -sf "$build/src/monitor/boxlet-monitor" "$build/src/vmm/boxlet-vmm" "$dir/"
        "$build/src/agent/make-initramfs" "$build/tests/vmm/$1" "$dir/agent.cpio"
        # the kernel unpacks archives one after the other
        echo "${2:-}" >"$dir/files/mode"
        cp "$build/src/agent/boxlet-agent" "$dir/files/agent"
        (cd "$dir/files" && printf 'mode\nagent\n' | busybox cpio -o -H newc 2>/dev/null) >>"$dir/agent.cpio"
        export BOXLET_LIBEXEC=$dir BOXLET_KERNEL_DIR=${BOXLET_KERNEL_DIR:-$build/kernel}
}

error_of() {
        boxlet inspect "$1" | jq -r '.[0].State.Error'
}

@test "a guest whose kernel panics is told at once, with its console" {
        guest_with spoiler exit
        local begin=$SECONDS
        run boxlet run --rm --network none busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *panic* ]]
        [[ "$output" == *"Attempted to kill init"* ]]
        [ $((SECONDS - begin)) -lt 60 ]
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
}

@test "an agent that is killed ends the box with a reason" {
        guest_with spoiler kill
        run timeout -s KILL 100 "$BOXLET" run --name killed --network none busybox sleep 1000
        [ "$status" -eq 125 ]
        [[ "$output" == *"Attempted to kill init"* ]]
        no_processes
        [[ "$(error_of killed)" == *panic* ]]
        grep -q 'Attempted to kill init' "$BOXLET_HOME"/boxes/*/console.log
        boxlet rm killed
}

@test "a guest that never answers is given up after its time" {
        guest_with spoiler sleep
        # two minutes are long in a test: the monitor's orders (docs/protocol.md, section 6) are changed on their way
        rm "$BOXLET_LIBEXEC/boxlet-monitor"
        cat >"$BOXLET_LIBEXEC/boxlet-monitor" <<SCRIPT
#!/bin/bash
cd "/proc/self/fd/\$2" && jq '.machine.boot_timeout_ms = 6000' box.json >new && mv new box.json
exec -a boxlet-monitor "$ROOT/build/src/monitor/boxlet-monitor" "\$@"
SCRIPT
        chmod +x "$BOXLET_LIBEXEC/boxlet-monitor"
        local begin=$SECONDS
        run timeout -s KILL 100 "$BOXLET" run --name mute --network none busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"6000 ms"* ]]
        [ $((SECONDS - begin)) -lt 40 ]
        no_processes
        boxlet rm mute
}

@test "a guest that talks nonsense is told, and ended" {
        guest_with vmm-guest
        run timeout -s KILL 100 "$BOXLET" run --rm --network none busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == boxlet:*agent* ]]
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
}
