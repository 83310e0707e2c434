# SPDX-License-Identifier: Apache-2.0
# What the box tests share. A file begins with `load lib` and defines setup_file() { box_home; } and teardown_file() { box_home_end; }.
#
# box_home gives the file a $BOXLET_HOME of its own with the image "busybox" in it. box_home_end removes every box and fails when a
# process, socket or mount of that home is left.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export BOXLET=${BOXLET:-$ROOT/build/boxlet}
# The engine of boxes that name none. Cases about the processes of engine qemu say `need_engine qemu`.
export BOXLET_ENGINE=${BOXLET_ENGINE:-qemu}

boxlet() {
        "$BOXLET" "$@"
}

# Ends the case as skipped, because what it needs is missing.
need() {
        command -v "$1" >/dev/null || skip "$1 is not installed"
}

need_engine() {
        [ "$BOXLET_ENGINE" = "$1" ] || skip "it is about engine $1"
}

# busybox_tree FOLDER: a root file system with busybox and what a small distribution has.
busybox_tree() {
        local root=$1
        mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc,root,tmp,home/user,var/log,proc,sys,dev}
        chmod 1777 "$root/tmp"
        cp "$(command -v busybox)" "$root/bin/busybox"
        # one process for all: in the lab, a fork for each of 270 applets takes half a minute
        (cd "$root/bin" && ./busybox --list | perl -ne 'chomp; $_ eq "busybox" or symlink("busybox", $_) or die "$_: $!\n"')
        printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:User:/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' \
                >"$root/etc/passwd"
        printf 'root:x:0:\nuser:x:1000:\nnobody:x:65534:\nstaff:x:50:user\naudio:x:29:user\n' >"$root/etc/group"
        printf 'a text file\n' >"$root/etc/not-executable"
}

box_home() {
        export BOXLET_TMP
        BOXLET_TMP=$(mktemp -d "${TMPDIR:-/tmp}/boxlet-test.XXXXXX")
        export BOXLET_HOME=$BOXLET_TMP/home
        busybox_tree "$BOXLET_TMP/busybox"
        boxlet import --change 'CMD ["sh"]' "$BOXLET_TMP/busybox" busybox >/dev/null
}

# Processes of this home: by their environment, or (QEMU and passt have a clean one) by a file of it that they have open, or by
# being in the network namespace of the tests, in which nobody else runs boxes.
box_processes() {
        local pid line net=
        [ "${BOXLET_NETNS:-}" != inside ] || net=$(readlink /proc/self/ns/net)
        for pid in $(ls /proc | grep -E '^[0-9]+$'); do
                line=$(cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ')
                case "$line" in
                *boxlet-monitor* | *boxlet-vmm* | *qemu-system* | passt* | */passt*)
                        if cat "/proc/$pid/environ" 2>/dev/null | tr '\0' '\n' | grep -qx "BOXLET_HOME=$BOXLET_HOME" ||
                                ls -l "/proc/$pid/fd" 2>/dev/null | grep -qF "$BOXLET_HOME/" ||
                                { [ -n "$net" ] && [ "$(readlink "/proc/$pid/ns/net")" = "$net" ]; }; then
                                echo "$pid ${line:0:120}"
                        fi
                        ;;
                esac
        done
}

# no_processes [SECONDS]: waits at most so long for the last process of this home to be gone.
no_processes() {
        local end=$((SECONDS + ${1:-10})) left
        while left=$(box_processes) && [ -n "$left" ]; do
                if [ $SECONDS -ge $end ]; then
                        echo "left over: $left"
                        return 1
                fi
                sleep 0.1
        done
}

box_home_end() {
        local id code=0
        for id in $(boxlet ls -a -q); do
                boxlet rm -f "$id" >/dev/null || code=1
        done
        no_processes 20 || code=1
        rm -rf "$BOXLET_TMP"
        return $code
}

# eventually SECONDS COMMAND...: repeats COMMAND until it succeeds.
eventually() {
        local end=$((SECONDS + $1))
        shift
        until "$@"; do
                [ $SECONDS -lt $end ] || return 1
                sleep 0.1
        done
}

# user_home: $home, a folder of the user nobody, and as_user, a boxlet of that user. The build tree need not be readable for that user:
# an installed copy is what a user would run.
user_home() {
        [ "$(id -u)" -eq 0 ] || skip "the whole tier runs as a plain user already"
        home=$BATS_TEST_TMPDIR/user
        installed=$BATS_TEST_TMPDIR/installed
        chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_SUITE_TMPDIR" 2>/dev/null || true
        mkdir "$home"
        DESTDIR=$installed meson install -C "$ROOT/build" --no-rebuild >/dev/null
        "$ROOT/tools/install-kernel" "$ROOT/build/kernel" "$installed/usr/local/share/boxlet/kernel"
        as_user() {
                setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$home" BOXLET_HOME="$home/boxlet" \
                        LD_LIBRARY_PATH="$(dirname "$(find "$installed" -name 'libboxlet.so.0')")" \
                        BOXLET_LIBEXEC="$installed/usr/local/libexec/boxlet" \
                        BOXLET_KERNEL_DIR="$installed/usr/local/share/boxlet/kernel" \
                        "$installed/usr/local/bin/boxlet" "$@"
        }
}
