#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The library as a stranger meets it: installed, found by pkg-config, used by the example.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        export STAGE=$BOXLET_TMP/stage
        DESTDIR=$STAGE meson install -C "$ROOT/build" --no-rebuild --quiet
        local pc
        pc=$(find "$STAGE" -name boxlet.pc)
        export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$STAGE
        export LD_LIBRARY_PATH=$(pkg-config --variable=libdir boxlet)
        # the prefix inside the stage is not the one compiled in
        export BOXLET_LIBEXEC=$(find "$STAGE" -type d -path '*/libexec/boxlet')
        export BOXLET_KERNEL_DIR=$ROOT/build/kernel
        local name
        for name in run pool build; do
                cc -Wall -Werror "$ROOT/examples/$name.c" $(pkg-config --cflags --libs boxlet) -o "$BOXLET_TMP/$name"
        done
}
teardown_file() { box_home_end; }

@test "the example runs a box against the installed library" {
        run --separate-stderr "$BOXLET_TMP/run" busybox sh -c 'cat; echo to stderr >&2; exit 4' <<<"from stdin"
        [ "$status" -eq 4 ]
        [ "$output" = "from stdin" ]
        [ "$stderr" = "to stderr" ]
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
}

@test "the example says why it cannot" {
        run -127 "$BOXLET_TMP/run" busybox no-such-program
        [[ "$output" == *no-such-program* ]]
}

@test "the pool shares out work among its boxes, and ends with them" {
        run --separate-stderr "$BOXLET_TMP/pool" busybox 2 < <(seq 6 | sed 's,.*,echo & squared is $((& * &)); sleep 0.3,'; echo 'exit 3')
        echo "$output" "$stderr"
        [ "$status" -eq 0 ]
        [ "$(sed 's/^\[[0-9]*\] //' <<<"$output" | sort -n | tail -1)" = "6 squared is 36" ]
        [ "$(wc -l <<<"$output")" -eq 6 ]
        # both had something to do
        grep -q '^\[0\]' <<<"$output"
        grep -q '^\[1\]' <<<"$output"
        [[ "$stderr" == *"exit code 3"* ]]
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
}

@test "a build streams its output, has its exit code, and gives its result back" {
        mkdir "$BATS_TEST_TMPDIR/source"
        echo 'text to be built' >"$BATS_TEST_TMPDIR/source/file"
        run "$BOXLET_TMP/build" busybox "$BATS_TEST_TMPDIR/source" 'echo building; tr a-z A-Z <file >out; echo done >&2' /src/out "$BATS_TEST_TMPDIR/result"
        echo "$output"
        [ "$status" -eq 0 ]
        [[ "${lines[0]}" == *"  building" && "${lines[1]}" == *"  done" ]]
        [ "$(cat "$BATS_TEST_TMPDIR/result")" = "TEXT TO BE BUILT" ]
        run "$BOXLET_TMP/build" busybox "$BATS_TEST_TMPDIR/source" 'exit 9' /src/out "$BATS_TEST_TMPDIR/none"
        [ "$status" -eq 9 ]
        [ ! -e "$BATS_TEST_TMPDIR/none" ]
        no_processes
        [ -z "$(boxlet ls -a -q)" ]
}

@test "static linking works too" {
        # libboxlet.a and the libraries that boxlet.pc says it needs: those shared, for Debian has no static GSSAPI, which --static
        # would ask for by way of libcurl
        cc "$ROOT/examples/run.c" -o "$BOXLET_TMP/static" $(pkg-config --cflags boxlet) -Wl,-Bstatic $(pkg-config --libs boxlet) -Wl,-Bdynamic \
                $(PKG_CONFIG_SYSROOT_DIR= pkg-config --libs $(pkg-config --print-requires-private boxlet)) -pthread
        [ -z "$(ldd "$BOXLET_TMP/static" | grep libboxlet)" ]
        [ "$(env -u LD_LIBRARY_PATH "$BOXLET_TMP/static" busybox echo static)" = static ]
}

# in_no_tree COMMAND...: without anything that leads to the build tree.
in_no_tree() { env -u LD_LIBRARY_PATH -u BOXLET_LIBEXEC -u BOXLET_KERNEL_DIR "$@"; }

# The build folder stays for the next time; its prefix changes with every `make install PREFIX=` below.
@test "make install PREFIX=: what is installed finds its own parts" {
        local prefix=$BOXLET_TMP/prefix
        [ -e "$ROOT/build-install/build.ninja" ] || meson setup "$ROOT/build-install" "$ROOT" -Dtests=false --prefix=/nowhere >/dev/null
        make -s -C "$ROOT" install BUILD=build-install PREFIX="$prefix" >"$BATS_TEST_TMPDIR/log" 2>&1 || { tail -n 20 "$BATS_TEST_TMPDIR/log"; false; }
        mv "$ROOT/build-install/agent.cpio" "$BATS_TEST_TMPDIR/" # the build tree is not what it finds
        run in_no_tree "$prefix/bin/boxlet" run --rm --network none busybox echo installed
        mv "$BATS_TEST_TMPDIR/agent.cpio" "$ROOT/build-install/"
        [ "$output" = installed ]
        in_no_tree "$prefix/bin/boxlet" info | grep -F "$prefix/share/boxlet/kernel"
}

@test "make install DESTDIR= PREFIX=/usr: what is installed runs from /usr" {
        [ "$(id -u)" -eq 0 ] || skip "mounts over /usr in a namespace of its own, as root"
        local stage=$BOXLET_TMP/package
        make -s -C "$ROOT" install BUILD=build-install DESTDIR="$stage" PREFIX=/usr >"$BATS_TEST_TMPDIR/log" 2>&1 || { tail -n 20 "$BATS_TEST_TMPDIR/log"; false; }
        [ "$(ls "$stage")" = usr ]
        run in_no_tree unshare --mount bash -c 'mount -t overlay -o "lowerdir=$1/usr:/usr" overlay /usr &&
                /usr/bin/boxlet run --rm --network none busybox echo installed' - "$stage"
        [ "$output" = installed ]
}
