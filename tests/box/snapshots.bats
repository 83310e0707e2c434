#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Snapshots and clones of real boxes: what a copy holds, and that the box goes on whatever becomes of who copies it.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        # what it writes for ever is there to be torn
        boxlet create --name web --network none --disk-size 256m busybox sh -c '[ -e /state ] || echo one >/state
                i=0; while :; do i=$((i + 1)); echo "$i" >>/noise; [ $((i % 500)) -ne 0 ] || sync; done' >/dev/null
}
teardown_file() {
        box_home_end
}

state_of() {
        boxlet exec "$1" cat /state
}

# The copy needs neither repair nor a replay of its journal.
is_clean() {
        /sbin/e2fsck -fn "$1" >&2
        ! /sbin/dumpe2fs -h "$1" 2>/dev/null | grep '^Filesystem features:.*needs_recovery'
}

disk_of() {
        echo "$BOXLET_HOME/boxes/$(boxlet inspect --format '{{.Id}}' "$1")"
}

# A client that freezes the disk, says so, and stays.
freeze_and_stay() {
        python3 - "$(disk_of web)/vsock.sock" <<'END'
import os, socket, struct, sys, time
os.chdir(os.path.dirname(sys.argv[1]))
s = socket.socket(socket.AF_UNIX)
s.connect("vsock.sock")
s.sendall(b"CONNECT 1025\n")
while s.recv(1) != b"\n":
    pass
frame = lambda kind, payload: s.sendall(struct.pack("<IB3x", len(payload), kind) + payload)
frame(1, b"BXLT\1\0\0\0")
frame(2, b'{"op": "freeze", "timeout_ms": 600000}')
s.recv(16, socket.MSG_WAITALL)
print(s.recv(100)[:5], flush=True)
time.sleep(600)
END
}

@test "a snapshot of a running box is clean and is what it was; the box is put back to it" {
        boxlet start web >/dev/null
        eventually 20 state_of web
        [ "$(boxlet snapshot create web first)" = first ]
        is_clean "$(disk_of web)/snapshots/first.ext4"
        boxlet exec web sh -c 'echo two >/state; [ -s /noise ]'
        run boxlet snapshot restore web first
        [ "$status" -eq 1 ]
        [[ "$output" == *"restore box 'web': it is running: stop it first" ]]
        boxlet clone --name copy web >/dev/null
        is_clean "$(disk_of copy)/disk.ext4"
        # a file of the running box, on its way to another home
        boxlet export-box --with-image web >"$BATS_TEST_TMPDIR/web.box"
        [ "$(stat -c %s "$BATS_TEST_TMPDIR/web.box")" -lt 100000000 ]
        boxlet exec web sh -c 'echo three >/state'
        boxlet stop -t 0 web >/dev/null
        # later writes of either side did not reach the other
        boxlet start copy >/dev/null
        [ "$(state_of copy)" = two ]
        [ "$(boxlet exec copy hostname)" = "$(boxlet inspect --format '{{.Id}}' copy | cut -c1-12)" ]
        boxlet exec copy sh -c 'echo four >/state'
        boxlet rm -f copy >/dev/null
        local id
        id=$(BOXLET_HOME=$BOXLET_TMP/other boxlet import-box "$BATS_TEST_TMPDIR/web.box")
        is_clean "$BOXLET_TMP/other/boxes/$id/disk.ext4"
        run env BOXLET_HOME="$BOXLET_TMP/other" "$BOXLET" import-box "$BATS_TEST_TMPDIR/web.box"
        [ "$status" -eq 1 ]
        [[ "$output" == *"the name 'web' is taken"* ]]
        BOXLET_HOME=$BOXLET_TMP/other boxlet start web >/dev/null
        [ "$(BOXLET_HOME=$BOXLET_TMP/other state_of web)" = two ]
        BOXLET_HOME=$BOXLET_TMP/other boxlet rm -f web >/dev/null
        boxlet start web >/dev/null
        [ "$(state_of web)" = three ]
        boxlet stop -t 0 web >/dev/null
        boxlet snapshot restore web first
        boxlet snapshot ls web | grep -q '^web  *first  *20.*MB'
        boxlet start web >/dev/null
        [ "$(state_of web)" = one ]
}

@test "kill -9 of who holds a box still: it goes on at once" {
        freeze_and_stay >"$BATS_TEST_TMPDIR/said" &
        local holder=$!
        eventually 30 grep -q . "$BATS_TEST_TMPDIR/said"
        # one at a time; and who writes in the box waits
        run boxlet snapshot create web second
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"being copied already"* ]]
        boxlet exec web sh -c 'echo five >/state' &
        local writer=$!
        sleep 1
        kill -0 $writer
        kill -9 "$(pgrep -P $holder python3 || echo $holder)" $holder
        wait $writer
        [ "$(state_of web)" = five ]
        boxlet snapshot create web second
        is_clean "$(disk_of web)/snapshots/second.ext4"
        boxlet rm -f web >/dev/null
        [ "$(boxlet snapshot ls -q)" = "" ]
        # and nothing is left of all that
        run boxlet system check
        [ "$output" = "all is well" ]
        boxlet doctor
}
