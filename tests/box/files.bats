#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The files of a box from outside: cp both ways, export, diff, commit; and what runs in it and what it uses.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        mkdir "$BOXLET_TMP/shared"
        boxlet run -d --name b --network none -v "$BOXLET_TMP/shared:/shared" -v "$BOXLET_TMP/shared:/shared-ro:ro" busybox \
                sleep 100000 >/dev/null
}
teardown_file() { box_home_end; }

# A folder of the host with one of everything.
make_tree() {
        mkdir -p "$1/sub/empty"
        echo one >"$1/file"
        ln "$1/file" "$1/second"
        ln -s file "$1/link"
        echo two >"$1/sub/it's a name with \"odd\" signs"
        chmod 4750 "$1/file"
        chown 1000:50 "$1/sub"
}

@test "cp there and back keeps content, links and modes; owners with -a" {
        make_tree "$BATS_TEST_TMPDIR/tree"
        boxlet cp -q "$BATS_TEST_TMPDIR/tree" b:/tmp/
        boxlet cp -q -a "$BATS_TEST_TMPDIR/tree/." b:/tmp/kept
        run boxlet exec b sh -c 'cd /tmp; stat -c "%a %u:%g %h" tree/file tree/sub kept/sub; readlink tree/link'
        [ "$output" = "$(printf '4750 0:0 2\n755 0:0 3\n755 1000:50 3\nfile')" ]
        boxlet cp -q b:/tmp/kept "$BATS_TEST_TMPDIR/back"
        diff -r "$BATS_TEST_TMPDIR/tree" "$BATS_TEST_TMPDIR/back"
        [ "$(stat -c '%a %u:%g %h' "$BATS_TEST_TMPDIR/back/file")" = "750 $(id -u):$(id -g) 2" ] # no set-id from a box
        boxlet cp -q -a b:/tmp/kept "$BATS_TEST_TMPDIR/owned"
        [ "$(id -u)" -ne 0 ] || [ "$(stat -c %u:%g "$BATS_TEST_TMPDIR/owned/sub")" = 1000:50 ]
}

@test "cp goes where docker's does: names, slashes, links, and what is refused" {
        cd "$BATS_TEST_TMPDIR"
        echo new >f
        boxlet cp -q f b:/tmp/named
        boxlet cp -q f b:/tmp
        boxlet exec b sh -c 'cd /tmp; mkdir -p real; ln -s real to-real; ln -s /tmp/target to-file; cat named f' | grep -c new | grep -x 2
        boxlet cp -q f b:/tmp/to-real
        boxlet cp -q f b:/tmp/to-file
        [ "$(boxlet exec b cat /tmp/real/f /tmp/target)" = "$(printf 'new\nnew')" ]
        boxlet cp -q b:/tmp/to-file . && [ "$(readlink to-file)" = /tmp/target ] # the link itself
        boxlet cp -q -L b:/tmp/to-file followed && [ "$(cat followed)" = new ]
        run boxlet cp f b:/tmp/no-such-folder/
        [ "$status" -eq 1 ]
        [[ "$output" == *"there is no such folder"* ]]
        run boxlet cp "$BATS_TEST_TMPDIR" b:/tmp/named
        [[ "$output" == *"there is a file of that name"* ]]
        run boxlet cp b:/tmp/missing .
        [[ "$output" == *"'/tmp/missing'"*"No such file"* ]]
        run boxlet cp b:/tmp/named/ .
        [[ "$output" == *"Not a directory"* ]]
        run boxlet cp no-such-file b:/tmp
        [[ "$output" == *"no-such-file"*"No such file"* ]]
}

@test "cp of tars: from stdin, compressed too, and to stdout" {
        cd "$BATS_TEST_TMPDIR"
        mkdir t && echo x >t/x && chown 1234:1234 t/x
        tar cz t | boxlet cp -q - b:/root
        [ "$(boxlet exec b stat -c '%u' /root/t/x)" = "$(stat -c %u t/x)" ]
        boxlet cp -q b:/root/t - | tar t | sort | tr '\n' ' ' | grep -x 't/ t/x '
        boxlet cp -q b:/root/t/. - | tar t | grep -x x
        run bash -c 'echo nonsense | "$BOXLET" cp - b:/root'
        [ "$status" -eq 1 ]
        [[ "$output" == *"tar"* ]]
        run bash -c 'tar c t | "$BOXLET" cp - b:/root/t/x'
        [[ "$output" == *"no folder"* ]]
}

@test "cp into a read-only place is refused in words" {
        cd "$BATS_TEST_TMPDIR"
        echo x >f
        run boxlet cp f b:/shared-ro/
        [ "$status" -eq 1 ]
        [[ "$output" == *"Read-only file system"* ]]
        [ ! -e "$BOXLET_TMP/shared/f" ]
        run boxlet cp f b:/proc/sys/kernel/hostname
        [ "$status" -eq 1 ]
}

@test "a guest that puts links in the way does not make the host write elsewhere" {
        cd "$BATS_TEST_TMPDIR"
        mkdir out outside
        boxlet exec b sh -c 'mkdir -p /tmp/t/d && echo evil >/tmp/t/d/f'
        # in the destination, which the guest can write to: a link where a folder is to be
        boxlet exec b sh -c "ln -s $BATS_TEST_TMPDIR/outside /shared/t"
        run boxlet cp b:/tmp/t "$BOXLET_TMP/shared/."
        [ "$status" -eq 1 ]
        [ -z "$(ls outside)" ]
        boxlet exec b rm /shared/t
        # and links put there and taken away again while it is copied
        boxlet exec -d b sh -c "mkdir -p /shared/t/d; i=0; while [ \$i -lt 200 ]; do mv /shared/t/d /shared/x; ln -s $BATS_TEST_TMPDIR/outside /shared/t/d; rm /shared/t/d; mv /shared/x /shared/t/d; i=\$((i+1)); done"
        for i in 1 2 3 4 5; do
                boxlet cp -q b:/tmp/t "$BOXLET_TMP/shared/" || true
        done
        [ -z "$(ls outside)" ]
        # in the box: an absolute link leads nowhere but in the box
        boxlet exec b ln -s "$BATS_TEST_TMPDIR/outside" /tmp/away
        echo x >f
        run boxlet cp f b:/tmp/away/f
        [ "$status" -eq 1 ]
        [ -z "$(ls outside)" ]
}

@test "cp of 64 MB there and back, with holes kept" {
        cd "$BATS_TEST_TMPDIR"
        head -c 16000000 /dev/urandom >big
        truncate -s 64000000 big
        boxlet cp -q big b:/root/big
        boxlet cp -q b:/root/big back
        cmp big back
        [ "$(stat -c %b back)" -lt 40000 ]
        boxlet exec b rm /root/big
}

@test "device nodes stay in the box, and that is said" {
        run boxlet cp b:/dev "$BATS_TEST_TMPDIR/"
        [ "$status" -eq 1 ]
        [[ "$output" == *"device nodes"* ]]
        [ ! -e "$BATS_TEST_TMPDIR/dev/null" ]
        [ -d "$BATS_TEST_TMPDIR/dev" ]
}

@test "wrong cp command lines are told" {
        run -2 boxlet cp a b
        [[ "$output" == *"BOX:PATH"* ]]
        run -2 boxlet cp b:/a b:/c
        [[ "$output" == *"two boxes"* ]]
        run -1 boxlet cp no-box:/a .
        [[ "$output" == *"no-box"* ]]
}

# ---- the whole box ----

@test "diff, export and commit see what the box changed, and no more" {
        cd "$BATS_TEST_TMPDIR"
        boxlet run -d --name c --network none -v "$BOXLET_TMP/shared:/shared" busybox sh -c '
                echo hi >/root/new; chown 1000:50 /root/new; rm /etc/group; mkdir /added; echo x >/added/f; ln /added/f /added/g
                mv /home /moved; chmod 700 /var; echo >/tmp/done; exec sleep 100000' >/dev/null
        eventually 20 boxlet exec c test -e /tmp/done
        run boxlet diff c
        [ "$output" = "$(printf '%s\n' 'A /added' 'A /added/f' 'A /added/g' 'C /etc' 'D /etc/group' 'D /home' 'A /moved' 'A /moved/user' \
                'C /root' 'A /root/new' 'C /tmp' 'A /tmp/done' 'C /var')" ]
        boxlet export -q -o e.tar c
        tar tvf e.tar >list
        grep -q ' root/new$' list
        grep -q '1000/50 .* root/new$' list
        grep -q 'link to added/' list
        ! grep -qE ' (etc/group|home/|proc/.)' list
        run -0 boxlet commit -q -m why -a who -c 'CMD ["cat", "/root/new"]' c committed:1
        [[ "$output" == sha256:* ]]
        [ "$(boxlet run --rm --network none committed:1)" = hi ]
        [ "$(boxlet run --rm --network none committed:1 sh -c 'stat -c %u:%g /root/new; stat -c %h /added/g; stat -c %a /var; ls -d /etc/group /home /moved 2>/dev/null')" = \
                "$(printf '1000:50\n2\n700\n/moved')" ]
        [ "$(boxlet image inspect -f '{{.Author}}' committed:1)" = who ]
        boxlet diff c | grep -c . | grep -x 13 # a commit changes nothing in the box
}

@test "another program reads a committed image" {
        need skopeo
        cd "$BATS_TEST_TMPDIR"
        boxlet save --format oci-archive -o s.tar committed:1
        skopeo inspect oci-archive:s.tar | jq -e '.Layers | length == 2'
        boxlet save --format docker-archive -o o.tar committed:1
        skopeo inspect docker-archive:o.tar | jq -e '.Layers | length == 2'
}

@test "a box that does not run: cp, diff and commit start its machine only, and leave no trace" {
        cd "$BATS_TEST_TMPDIR"
        boxlet stop -t 0 c >/dev/null
        state_of() { boxlet inspect "$1" | grep -v SizeRw; } # the files may well change
        before=$(state_of c)
        echo later >f
        boxlet cp -q f c:/root/later
        boxlet cp -q c:/root/later back
        [ "$(cat back)" = later ]
        boxlet diff c | grep -qx 'A /root/later'
        [ "$(state_of c)" = "$before" ]
        boxlet create --name fresh --network none busybox cat /root/given >/dev/null
        boxlet cp -q f fresh:/root/given
        [ "$(boxlet ls -a --format json | jq -r '.[] | select(.Names == ["/fresh"] or .Names == "fresh" or .Names == ["fresh"]) | .State')" = created ]
        [ "$(boxlet start -a fresh)" = later ]
        run -1 boxlet cp f c:/no/such/folder/
        no_leftover() { [ "$(box_processes | grep -c '[b]oxlet-monitor')" -eq 1 ]; }
        eventually 10 no_leftover
        # several at once take turns
        for i in 1 2 3; do
                boxlet cp -q f "c:/root/turn$i" &
                turns+=($!)
        done
        wait "${turns[@]}" # not for bats' own processes
        [ "$(boxlet diff c | grep -c /root/turn)" -eq 3 ]
        # a cp that is killed ends the machine, and the box is as it was
        timeout -s KILL 0.6 "$BOXLET" cp -q f c:/root/killed || true
        eventually 20 no_leftover
        [ "$(boxlet inspect -f '{{.State.Status}}' c)" = exited ]
        boxlet events --since 10m --until 0s --format '{{.Action}} {{.Actor.Attributes.name}}' >events
        grep -qx 'copy c' events && grep -qx 'export c' events && grep -qx 'commit c' events
        [ "$(grep -cx 'start c' events)" -eq 1 ] # the machine's starts for files are none of the box's
        boxlet rm c fresh
}

# ---- what runs in it, and what it uses ----

@test "top shows the box's processes with the box's ids" {
        boxlet exec -d -u user b sleep 4321
        eventually 10 sh -c '"$0" top b | grep -q "sleep 4321"' "$BOXLET"
        run boxlet top b
        [[ "${lines[0]}" == "UID "*"PID "*"PPID "*"CMD" ]]
        [[ "${lines[1]}" =~ ^0\ +1\ +0\ .*sleep\ 100000$ ]]
        boxlet top b | grep -qE '^1000 .* sleep 4321$'
        run -2 boxlet top b -ef
        boxlet stop -t 0 nothing 2>/dev/null || true
        run -1 boxlet top no-box
}

@test "stats shows use of the box and of the host" {
        run boxlet stats --no-stream
        [[ "${lines[0]}" == "BOX ID "*"HOST MEM" ]]
        [[ "${lines[1]}" == *" b "*"iB / "*MiB* ]]
        boxlet exec -d b sh -c 'while :; do :; done'
        boxlet stats --no-stream --format json b >"$BATS_TEST_TMPDIR/json"
        jq -e '.Name == "b" and (.PIDs | tonumber) >= 2 and (.CPUPerc | rtrimstr("%") | tonumber) > 5 and
                (.HostCPUPerc | rtrimstr("%") | tonumber) > 5 and (.HostMemUsage | test("MiB"))' "$BATS_TEST_TMPDIR/json"
        run -2 boxlet stats --format nonsense b
}

@test "a big cp, export and commit show a bar on a terminal, and Ctrl-C ends them in order" {
        cd "$BATS_TEST_TMPDIR"
        head -c 40000000 /dev/urandom >big
        TERM=xterm "$ROOT/tests/box/on-terminal" --seconds 60 'expect:files' 'expect:[===' exit:0 -- "$BOXLET" cp big b:/root/big
        TERM=xterm "$ROOT/tests/box/on-terminal" --seconds 60 'expect:files' exit:0 -- "$BOXLET" export -o e.tar b
        tar tf e.tar | grep -qx root/big
        TERM=xterm "$ROOT/tests/box/on-terminal" --seconds 60 'expect:files' 'send:\x03' exit:130 -- "$BOXLET" cp b:/root/big back
        [ ! -e back ]
        TERM=xterm "$ROOT/tests/box/on-terminal" --seconds 60 'expect:files' 'send:\x03' exit:130 -- "$BOXLET" commit b never:1
        run -1 boxlet image inspect never:1
        # the box stood still for the commit and does so no more
        [ "$(boxlet exec b echo here)" = here ]
        boxlet exec b rm /root/big
}

@test "a plain user's cp: files are his, whoever they belong to in the box" {
        user_home
        cp -r "$BOXLET_TMP/busybox" "$home/tree"
        chown -R nobody "$home"
        as_user import --change 'CMD ["sh"]' "$home/tree" busybox >/dev/null
        as_user run -d --name u --network none busybox sleep 100000 >/dev/null
        as_user cp -q u:/etc "$home/etc"
        [ "$(stat -c %U "$home/etc/passwd")" = nobody ]
        as_user cp -q -a "$home/etc" u:/root/
        [ "$(as_user exec u stat -c %u /root/etc/passwd)" -eq "$(id -u nobody)" ]
        as_user rm -f u >/dev/null
}

@test "a stop ends a cp in its middle, and the box starts again; a paused one is told" {
        cd "$BATS_TEST_TMPDIR"
        boxlet run -d --name s --network none busybox sleep 100000 >/dev/null
        head -c 60000000 /dev/urandom >big
        boxlet cp -q big s:/root/big 2>err &
        eventually 20 boxlet exec s test -s /root/big
        boxlet stop -t 0 s >/dev/null
        ! wait $!
        grep -qE "being stopped|connection to the box ended" err
        boxlet start s >/dev/null
        boxlet pause s >/dev/null
        run -1 boxlet cp s:/etc/passwd .
        [[ "$output" == *"unpause it first"* ]]
        boxlet unpause s >/dev/null
        boxlet cp -q s:/etc/passwd .
        boxlet rm -f s >/dev/null
}
