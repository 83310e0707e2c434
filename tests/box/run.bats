#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# boxlet run: a real kernel, a real image, the command's own output, input and exit code.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

@test "run prints what the command prints" {
        run boxlet run --rm --network none busybox echo hi
        [ "$status" -eq 0 ]
        [ "$output" = hi ]
}

@test "run exits with the command's own code" {
        run boxlet run --rm --network none busybox sh -c 'exit 42'
        [ "$status" -eq 42 ]
}

@test "a signal's exit code is 128 and its number" {
        run boxlet run --rm --init --network none busybox sh -c 'kill -9 $$' # the kernel spares pid 1
        [ "$status" -eq 137 ]
}

@test "a command that is not there gives 127 and is named" {
        run -127 boxlet run --rm --network none busybox no-such-program
        [ "$status" -eq 127 ]
        [[ "$output" == *no-such-program* ]]
}

@test "a file that cannot be executed gives 126" {
        run boxlet run --rm --network none busybox /etc/not-executable
        [ "$status" -eq 126 ]
}

@test "stdout and stderr are kept apart" {
        boxlet run --rm --network none busybox sh -c 'echo out; echo err >&2' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = out ]
        [ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
}

@test "binary data goes through stdin and stdout unharmed" {
        head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
        boxlet run --rm -i --network none busybox cat <"$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/back"
        cmp "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/back"
}

@test "without -i stdin is empty" {
        run boxlet run --rm --network none busybox cat <<<"not for the box"
        [ "$status" -eq 0 ]
        [ -z "$output" ]
}

@test "environment, working folder, user and host name are as asked" {
        run boxlet run --rm --network none -e A=1 -e B='two words' -w /tmp -u user --hostname here busybox \
                sh -c 'echo "$A $B $(pwd) $(id -u):$(id -g) $(id -G) $(hostname) $HOME"'
        [ "$status" -eq 0 ]
        [ "$output" = "1 two words /tmp 1000:1000 1000 29 50 here /home/user" ] ||
                [ "$output" = "1 two words /tmp 1000:1000 1000 50 29 here /home/user" ]
}

@test "the default profile is Docker's" {
        run boxlet run --rm --network none busybox grep -E 'Cap(Prm|Eff|Bnd)|Cap(Inh|Amb)|NoNewPrivs' /proc/self/status
        [ "$status" -eq 0 ]
        [[ "$output" == *"CapPrm:	00000000a80425fb"* ]]
        [[ "$output" == *"CapEff:	00000000a80425fb"* ]]
        [[ "$output" == *"CapBnd:	00000000a80425fb"* ]]
        [[ "$output" == *"CapAmb:	0000000000000000"* ]]
}

@test "what the default profile forbids is forbidden" {
        run boxlet run --rm --network none busybox sh -c '
                mount -t tmpfs x /tmp 2>&1 | grep -qE "denied|not permitted" || echo mounted
                echo 1 2>/dev/null >/proc/sys/kernel/domainname && echo sysctl
                echo 1 2>/dev/null >/proc/sysrq-trigger && echo sysrq
                mkdir /sys/fs/cgroup/x 2>/dev/null && echo cgroup
                hostname other 2>/dev/null && echo hostname
                cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo kcore
                echo end'
        [ "$status" -eq 0 ]
        [ "$output" = end ]
}

@test "init is pid 1 and sees nothing of the agent" {
        run boxlet run --rm --network none busybox sh -c 'echo $$; ps -o pid,comm | grep -v "ps$" | wc -l; cat /proc/self/cgroup'
        [ "$status" -eq 0 ]
        [ "${lines[0]}" = 1 ]
        # the heading, sh, grep and wc: nobody else
        [ "${lines[1]}" -le 4 ]
        [ "${lines[2]}" = 0::/ ]
        [[ "$output" != *agent* ]]
}

@test "no way from a container to the agent, the disks and the host's vsock, for root and for a user" {
        local user
        cp -r "$BOXLET_TMP/busybox" "$BATS_TEST_TMPDIR/tree"
        cc -static -O1 -Wall -Werror -D_GNU_SOURCE -o "$BATS_TEST_TMPDIR/tree/bin/intruder" "$ROOT/tests/box/intruder.c"
        boxlet import "$BATS_TEST_TMPDIR/tree" intruder >/dev/null
        boxlet run -d --name intruded --network none intruder sleep 1000 >/dev/null
        for user in root user; do
                run boxlet exec -u $user intruded intruder
                [ "$status" -eq 0 ]
                [[ "$output" =~ ^[1-9][0-9]\ attempts$ ]]
        done
        boxlet rm -f intruded
}

@test "256 KiB of environment arrive" {
        local i args=()
        for i in $(seq 66); do
                args+=(-e "V$i=$(head -c 4000 /dev/zero | tr '\0' x)")
        done
        run boxlet run --rm --network none "${args[@]}" busybox sh -c 'env | wc -c'
        [ "$status" -eq 0 ]
        [ "$output" -ge 262144 ]
}

@test "ten megabytes on stderr do not stop it" {
        boxlet run --rm --network none busybox sh -c 'head -c 10000000 /dev/zero >&2; echo done' >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
        [ "$(cat "$BATS_TEST_TMPDIR/out")" = done ]
        [ "$(stat -c %s "$BATS_TEST_TMPDIR/err")" -eq 10000000 ]
}

@test "output to a closed pipe ends the box" {
        run bash -c '"$BOXLET" run --rm --network none busybox sh -c "while :; do echo y; done" | head -n 1; echo ${PIPESTATUS[*]}'
        [ "$output" = "$(printf 'y\n141 0')" ]
        no_processes 20
}

@test "nothing is left after --rm" {
        boxlet run --rm --network none busybox true
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
        [ -z "$(ls "$BOXLET_HOME/boxes")" ]
}
