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
