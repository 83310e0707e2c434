#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which engine runs a box: the words of --engine, and what is taken when /dev/kvm is not to be had. Each
# case names the engine itself, whatever $BOXLET_ENGINE is.
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# without_kvm HOW COMMAND...: COMMAND where /dev/kvm is `closed` (mode 0600, root's) or `absent`.
without_kvm() {
        local how=$1
        shift
        mkdir -p "$BOXLET_TMP/dev"
        unshare --mount --propagation private bash -c '
                set -e
                mount -t tmpfs -o mode=755 tmpfs "$1"
                for name in null zero full random urandom; do
                        : >"$1/$name"
                        mount --bind "/dev/$name" "$1/$name"
                done
                [ "$0" != closed ] || install -m 600 /dev/null "$1/kvm" # who may not open it never learns what it is
                mount --rbind "$1" /dev
                shift
                exec "$@"' "$how" "$BOXLET_TMP/dev" "$@"
}

@test "every word of --engine is known, and no other" {
        local word
        for word in auto qemu; do
                "$BOXLET" create --name "with-$word" --engine $word --network none busybox true >/dev/null
                boxlet rm "with-$word"
        done
        for word in kvm qemu-kvm; do # made, or refused with the reason
                run "$BOXLET" create --name "with-$word" --engine $word --network none busybox true
                echo "$output"
                if [ "$status" -eq 0 ]; then
                        boxlet rm "with-$word"
                else
                        [ "$status" -eq 125 ]
                        [ "${#lines[@]}" -eq 1 ]
                        [[ "$output" == "boxlet: create: engine '$word': "*"; or use --engine qemu" ]]
                fi
        done
        run "$BOXLET" create --engine bhyve --network none busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *bhyve* && "$output" == *auto* && "$output" == *qemu-kvm* ]]
        [ -z "$(boxlet ls -a -q)" ]
}

@test "auto is what info says, and the box runs on it" {
        local engine
        engine=$("$BOXLET" info --format json | jq -r '.. | .auto? // empty')
        [ "$BOXLET_ENGINE" != kvm ] || [ "$engine" = kvm ]
        "$BOXLET" run -d --name a --engine auto --network none busybox sleep 1000 >/dev/null
        run box_processes
        echo "$engine: $output"
        if [ "$engine" = kvm ]; then
                [[ "$output" != *qemu-system* ]]
        else
                [[ "$output" == *qemu-system* ]]
        fi
        boxlet rm -f a
}

@test "without a /dev/kvm auto is qemu, and kvm says in one line what to do" {
        [ "$(id -u)" -eq 0 ] || skip "needs root"
        run without_kvm absent "$BOXLET" info --format json
        echo "$output"
        [ "$status" -eq 0 ]
        jq -e '[.. | .auto? // empty] == ["qemu"]' <<<"$output"
        jq -e '[.. | .reason? // empty | select(test("/dev/kvm.*No such file.*kvm_intel or kvm_amd"))] | length > 0' <<<"$output"
        run without_kvm absent "$BOXLET" run --rm --engine kvm --network none busybox true
        echo "$output"
        [ "$status" -eq 125 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"/dev/kvm"*"No such file"*"or use --engine qemu" ]]
}

@test "a user who may not open /dev/kvm gets qemu by auto, and by kvm one line that says what to do" {
        user_home
        cp -r "$BOXLET_TMP/busybox" "$home/tree"
        chown -R nobody "$home"
        as_user import "$home/tree" busybox >/dev/null
        export -f as_user
        export home installed
        user() { without_kvm closed bash -c 'as_user "$@"' - "$@"; }
        run user info
        echo "$output"
        [ "$(grep -c 'auto: *qemu' <<<"$output")" -eq 1 ]
        [[ "$output" == *"Permission denied: add yourself to the device's group (usermod -aG kvm"* ]]
        run user run --rm --engine kvm --network none busybox true
        echo "$output"
        [ "$status" -eq 125 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"Permission denied"*"usermod -aG kvm"*"or use --engine qemu" ]]
        run user run --rm --engine auto --network none busybox echo hello
        [ "$output" = hello ]
}
