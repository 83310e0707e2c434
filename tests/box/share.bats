#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Folders and files of the host in a box: one tree, seen from both sides, and nothing beyond it.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        export SHARE=$BOXLET_TMP/share
        mkdir -p "$SHARE/sub"
        echo hello >"$SHARE/a"
        echo secret >"$BOXLET_TMP/outside"
        boxlet run -d --name box --network none -v "$SHARE:/data" -v "$SHARE:/read:ro" -v "$BOXLET_TMP/outside:/etc/one" \
                -v "$SHARE:/direct:cache=none" busybox sleep 100000 >/dev/null
}
teardown_file() { box_home_end; }

in_box() {
        boxlet exec box sh -c "$1"
}

@test "what is on the host is in the box, and the other way" {
        [ "$(in_box 'cat /data/a')" = hello ]
        in_box 'mkdir /data/new && echo text >/data/new/file && ln -s ../a /data/new/link && mv /data/new/file /data/new/moved'
        [ "$(cat "$SHARE/new/moved")" = text ]
        [ "$(readlink "$SHARE/new/link")" = ../a ]
        [ "$(in_box 'cat /data/new/link')" = hello ]
        in_box 'rm -r /data/new'
        [ ! -e "$SHARE/new" ]
}

@test "a single file is shared, and written through" {
        [ "$(in_box 'cat /etc/one')" = secret ]
        in_box 'echo more >>/etc/one'
        [ "$(tail -n 1 "$BOXLET_TMP/outside")" = more ]
}

@test "a read-only share cannot be changed" {
        [ "$(in_box 'cat /read/a')" = hello ]
        run in_box 'echo x >/read/a || touch /read/b || rm /read/a || mkdir /read/c || mv /read/a /read/d || chmod 600 /read/a'
        [ "$status" -ne 0 ]
        [ "$(cat "$SHARE/a")" = hello ]
        [ ! -e "$SHARE/b" ] && [ ! -e "$SHARE/c" ] && [ ! -e "$SHARE/d" ]
}

@test "what the host changes is seen" {
        echo one >"$SHARE/changing"
        [ "$(in_box 'cat /data/changing /direct/changing')" = "$(printf 'one\none')" ]
        echo three >"$SHARE/changing"
        [ "$(in_box 'cat /direct/changing')" = three ]
        eventually 30 sh -c '[ "$("$BOXLET" exec box cat /data/changing)" = three ]'
        rm "$SHARE/changing"
        eventually 30 sh -c '! "$BOXLET" exec box test -e /data/changing'
}

@test "links do not lead out of a share" {
        ln -s "$BOXLET_TMP/outside" "$SHARE/absolute"
        ln -s ../outside "$SHARE/relative"
        ln -s ../../../../../../../../../../etc/hostname "$SHARE/deep"
        run in_box 'cat /data/absolute'
        [ "$status" -ne 0 ]
        run in_box 'cat /data/relative'
        [ "$status" -ne 0 ]
        [ "$(in_box 'cat /data/deep')" != "$(cat /etc/hostname)" ] # the box's own
        rm "$SHARE/absolute" "$SHARE/relative" "$SHARE/deep"
}

@test "a file that is open lives on when its name is gone" {
        run in_box 'echo kept >/data/gone; exec 3</data/gone; rm /data/gone; cat <&3; exec 4>/data/other; rm /data/other; echo x >&4'
        [ "$status" -eq 0 ]
        [ "$output" = kept ]
        [ ! -e "$SHARE/gone" ] && [ ! -e "$SHARE/other" ]
}

@test "what the box says of owners and modes is kept" {
        [ "$(in_box 'stat -c %u:%g /data/a')" = 0:0 ]
        in_box 'echo x >/data/owned; chown 33:44 /data/owned; chmod 4750 /data/owned; chmod 2770 /data/sub; chown -R 70:70 /data/sub'
        [ "$(in_box 'stat -c %u:%g:%a /data/owned')" = 33:44:4750 ]
        [ "$(in_box 'stat -c %u:%g:%a /data/sub')" = 70:70:2770 ]
        [ "$(stat -c %a "$SHARE/owned")" = 750 ] # nothing gains rights on the host
        in_box 'rm /data/owned; chown 0:0 /data/sub; chmod 755 /data/sub'
        run in_box 'mknod /data/device c 1 3'
        [ "$status" -ne 0 ]
        [ ! -e "$SHARE/device" ]
}

@test "locks hold within the box, and towards the host" {
        cc -static -O2 -o "$SHARE/locker" "$ROOT/tests/box/locker.c"
        in_box '/direct/locker wait /direct/lock sh -c "echo held >/data/held; while [ -e /data/held ]; do sleep 0.1; done"' &
        local holder=$!
        eventually 30 test -e "$SHARE/held"
        run in_box '/direct/locker try /direct/lock echo got'
        [ "$status" -eq 3 ]
        run "$SHARE/locker" try "$SHARE/lock" echo got
        [ "$status" -eq 3 ]
        in_box '/direct/locker wait /direct/lock echo waited' >"$BATS_TEST_TMPDIR/waited" &
        local waiter=$!
        [ "$(in_box 'cat /data/a')" = hello ] # nobody else waits
        rm "$SHARE/held"
        wait "$holder" "$waiter"
        [ "$(cat "$BATS_TEST_TMPDIR/waited")" = waited ]
        [ "$("$SHARE/locker" try "$SHARE/lock" echo got)" = got ]
        rm "$SHARE/lock" "$SHARE/locker"
}

@test "a tree is unpacked, searched and mapped" {
        mkdir "$BATS_TEST_TMPDIR/tree"
        cp -r "$ROOT/docs" "$BATS_TEST_TMPDIR/tree/docs"
        ln -s docs/shares.md "$BATS_TEST_TMPDIR/tree/link"
        tar -C "$BATS_TEST_TMPDIR" -cf "$SHARE/tree.tar" tree
        in_box 'cd /data && tar -xf tree.tar && tar -cf again.tar tree && cp tree/docs/shares.md copy && ln copy hard && cmp hard tree/link'
        diff -r "$BATS_TEST_TMPDIR/tree" "$SHARE/tree"
        [ "$(tar -tf "$SHARE/again.tar" | sort)" = "$(tar -tf "$SHARE/tree.tar" | sort)" ]
        [ "$(stat -c %h "$SHARE/copy")" = 2 ]
        # a program of the share is executed, which maps it
        cp "$(command -v busybox)" "$SHARE/busybox"
        [ "$(in_box '/data/busybox echo mapped')" = mapped ]
        in_box 'rm -r /data/tree /data/*.tar /data/copy /data/hard /data/busybox'
}

@test "100 folders cost no more devices than one" {
        local i args=()
        for i in $(seq 100); do
                mkdir -p "$BOXLET_TMP/many/$i"
                echo "$i" >"$BOXLET_TMP/many/$i/number"
                args+=(-v "$BOXLET_TMP/many/$i:/m/$i")
        done
        run boxlet run --rm --network none "${args[@]}" busybox sh -c 'cat /m/*/number | sort -n | tr "\n" " "'
        [ "$status" -eq 0 ]
        [ "$output" = "$(seq -s ' ' 100) " ]
}

@test "a folder that is not there is made by -v, and refused by --mount" {
        run boxlet run --rm --network none -v "$BOXLET_TMP/made/here:/d" busybox touch /d/x
        [ "$status" -eq 0 ]
        [ -e "$BOXLET_TMP/made/here/x" ]
        run boxlet run --rm --network none --mount "type=bind,source=$BOXLET_TMP/missing,target=/d" busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"$BOXLET_TMP/missing"* ]]
}

@test "a plain user's files are root's in the box, and what is chowned there stays so" {
        user_home
        cp -r "$BOXLET_TMP/busybox" "$home/tree"
        mkdir "$home/data" "$home/data/closed"
        echo mine >"$home/data/mine"
        echo locked >"$home/data/locked"
        chown -R nobody:nogroup "$home"
        echo other >"$home/data/other"
        chmod 600 "$home/data/other" # root's, in the user's folder
        chmod 0 "$home/data/locked"
        as_user import "$home/tree" busybox >/dev/null
        run as_user run --rm --network none -v "$home/data:/data" busybox sh -c '
                stat -c %u:%g /data /data/mine /data/other
                cat /data/locked
                cat /data/other 2>/dev/null && echo read
                mkdir /data/db && chown 999:998 /data/db && chmod 700 /data/db'
        echo "$output"
        [ "$output" = "$(printf '0:0\n0:0\n65534:65534\nlocked')" ]
        # as the image of a database does it: the folder belongs to its own user, which makes files in it
        run as_user run --rm --network none -v "$home/data:/data" -u 999:998 busybox sh -c '
                stat -c %u:%g:%a /data/db && echo x >/data/db/file && ln -s file /data/db/link && stat -c %u:%g /data/db/file
                touch /data/mine 2>/dev/null && echo touched; cat /data/db/link'
        echo "$output"
        [ "$output" = "$(printf '999:998:700\n999:998\nx')" ]
        [ "$(stat -c %U "$home/data/db/file")" = nobody ]
        [ "$(stat -c %u:%a "$home/data/other")" = 0:600 ]
}
