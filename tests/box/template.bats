#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Boxes on an emulated CPU begin as copies of a machine that has booted (docs/machine.md): what is alike in all of them, what must not
# be, and what happens when there can be no such machine.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

setup() {
        need_engine qemu
        unset BOXLET_TEMPLATE
}

# The command line of the box's QEMU.
qemu_words() {
        local pid
        pid=$(box_processes | awk '/qemu-system/ { print $1; exit }')
        tr '\0' ' ' <"/proc/$pid/cmdline"
}

machines() { ls "$BOXLET_HOME/machines" | grep -E '^[0-9]+-[0-9]+k-'; }

@test "the first box makes the machine that later ones begin as; without it a box boots" {
        rm -rf "$BOXLET_HOME/machines"
        BOXLET_TEMPLATE=no "$BOXLET" run -d --name cold --network none busybox sleep 1000 >/dev/null
        [[ "$(qemu_words)" == *" -kernel "* && "$(qemu_words)" != *" -incoming "* ]]
        [ ! -e "$BOXLET_HOME/machines" ]
        boxlet exec cold cat /proc/uptime /proc/cmdline
        boxlet rm -f cold
        "$BOXLET" run --rm --network none busybox true
        [ "$(machines | wc -l)" -eq 1 ]
        [ -s "$BOXLET_HOME/machines/$(machines)/state" ]
        "$BOXLET" run -d --name warm --network none busybox sleep 1000 >/dev/null
        echo "$(qemu_words)"
        [[ "$(qemu_words)" == *" -incoming "* && "$(qemu_words)" != *" -kernel "* ]]
        [ "$("$BOXLET" exec warm nproc)" -eq 2 ]
        boxlet rm -f warm
}

@test "copies draw different random numbers, and have the host's time and ids of their own" {
        local i seen=
        for i in 1 2 3; do
                # as early as a container can draw them
                run "$BOXLET" run --rm --network none busybox sh -c \
                        'head -c 24 /dev/urandom | od -An -tx1 | tr -d " \n"; echo; cat /proc/sys/kernel/random/boot_id; date +%s; hostname'
                [ "$status" -eq 0 ]
                echo "$output"
                [[ "$seen" != *"${lines[0]}"* && "$seen" != *"${lines[1]}"* && "$seen" != *"${lines[3]}"* ]]
                [ "${#lines[0]}" -eq 48 ]
                local off=$(($(date +%s) - lines[2]))
                [ $off -ge -1 ] && [ $off -le 5 ]
                seen+=" ${lines[*]}"
        done
}

@test "a copy has what a machine that booted has" {
        local how
        mkdir -p "$BOXLET_TMP/share"
        echo shared >"$BOXLET_TMP/share/file"
        for how in no yes; do
                BOXLET_TEMPLATE=$how "$BOXLET" run --rm --hostname here -v "$BOXLET_TMP/share:/mnt" --mount type=volume,source=data,target=/data \
                        busybox sh -c '
                        cd /; cat /mnt/file; echo back >/mnt/back; id; hostname; ls /sys/class/net; ls /dev; nproc
                        grep -E "Cap|Seccomp|NoNewPrivs" /proc/self/status; cut -d" " -f1-3 /proc/self/mounts; cat /proc/self/cgroup
                        awk "/MemTotal/ { print int(\$2 / 4096) }" /proc/meminfo; ip addr show eth0 | grep -c "scope global"' >"$BOXLET_TMP/$how"
                rm "$BOXLET_TMP/share/back"
        done
        diff "$BOXLET_TMP/no" "$BOXLET_TMP/yes"
        grep -qx shared "$BOXLET_TMP/yes"
        boxlet volume rm data
}

@test "another size of machine is another template, and there are only a few" {
        local m
        for m in 160m 176m 192m 208m 224m; do
                "$BOXLET" run --rm --network none --memory "$m" --cpus 1 busybox grep -c processor /proc/cpuinfo
        done
        machines
        [ "$(machines | wc -l)" -eq 4 ]
}

@test "a template that is damaged costs one start, in words, and is made anew" {
        "$BOXLET" run --rm --network none busybox true
        local folder
        folder=$BOXLET_HOME/machines/$(machines | grep ^2-)
        truncate -s 10000 "$folder/state"
        run "$BOXLET" run --rm --network none busybox true
        echo "$output"
        [ "$status" -eq 125 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"begin as a copy of a template (removed now: try again)"* ]]
        "$BOXLET" run --rm --network none busybox true
        [ -s "$folder/state" ]
        : >"$folder/memory" # a guest without its memory says nothing
        run "$BOXLET" run --rm --network none busybox true
        echo "$output"
        [ "$status" -eq 125 ]
        "$BOXLET" run --rm --network none busybox true
}

@test "what cannot be made is not waited for again, and boxes boot" {
        local folder
        rm -rf "$BOXLET_HOME/machines"
        # a file system with room for a box's state, and none for a machine's memory
        [ "$(id -u)" -eq 0 ] || skip "needs root"
        mkdir "$BOXLET_HOME/machines"
        mount -t tmpfs -o size=2m,mode=0700 tmpfs "$BOXLET_HOME/machines"
        run "$BOXLET" run --rm --network none busybox echo booted
        folder=$(machines)
        cat "$BOXLET_HOME/machines/$folder/failed" || true
        local again
        again=$("$BOXLET" run --rm --network none busybox echo again)
        umount "$BOXLET_HOME/machines"
        echo "$output"
        [ "$output" = booted ]
        [ "$again" = again ]
}

@test "several first boxes at once: one makes the template, nobody waits, all run" {
        local i pids=()
        rm -rf "$BOXLET_HOME/machines"
        for i in 1 2 3; do
                "$BOXLET" run --rm --network none busybox echo "box $i" >"$BOXLET_TMP/out.$i" &
                pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        cat "$BOXLET_TMP"/out.? | sort
        [ "$(cat "$BOXLET_TMP"/out.? | sort | tr '\n' ' ')" = "box 1 box 2 box 3 " ]
        [ "$(machines | wc -l)" -eq 1 ]
}

@test "who is killed while making one leaves no process, and the next makes it" {
        local pid
        rm -rf "$BOXLET_HOME/machines"
        "$BOXLET" run --rm --network none busybox true &
        pid=$!
        for _ in $(seq 200); do
                [ ! -e "$BOXLET_HOME/machines/new/state" ] || break
                sleep 0.01
        done
        kill -9 "$pid"
        wait "$pid" || true
        no_processes
        if [ -e "$BOXLET_HOME/machines/new" ]; then
                run "$BOXLET" system check
                [[ "$output" == *"machine template that was not finished"* ]]
                "$BOXLET" system check --repair
                [ ! -e "$BOXLET_HOME/machines/new" ]
                mkdir "$BOXLET_HOME/machines/new"
        fi
        "$BOXLET" run --rm --network none busybox true
        [ "$(machines | wc -l)" -eq 1 ]
        [ ! -e "$BOXLET_HOME/machines/new" ]
        run "$BOXLET" system check
        echo "$output"
        [ "$output" = "all is well" ]
}
