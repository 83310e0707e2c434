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
        cc -Wall -Werror "$ROOT/examples/run.c" $(pkg-config --cflags --libs boxlet) -o "$BOXLET_TMP/run"
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

@test "static linking works too" {
        cc "$ROOT/examples/run.c" -o "$BOXLET_TMP/static" $(pkg-config --cflags boxlet) \
                "$(pkg-config --variable=libdir boxlet)/libboxlet.a" $(PKG_CONFIG_SYSROOT_DIR= pkg-config --libs jansson sqlite3 libcurl libarchive libcrypto libzstd zlib)
        [ "$(env -u LD_LIBRARY_PATH "$BOXLET_TMP/static" busybox echo static)" = static ]
}

@test "the installed programs are all that is needed" {
        [ "$(env -u LD_LIBRARY_PATH "$(find "$STAGE" -path '*/bin/boxlet')" run --rm --network none busybox echo installed)" = installed ]
}
