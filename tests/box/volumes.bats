#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Volumes: what a box writes there outlives it; nobody else gets it meanwhile; nothing of them is left by mistake.
bats_require_minimum_version 1.5.0
load lib

setup_file() {
        box_home
        # an image with a folder that is to fill volumes
        mkdir -p "$BOXLET_TMP/busybox/srv/app/sub"
        echo from the image >"$BOXLET_TMP/busybox/srv/app/sub/file"
        ln -s sub/file "$BOXLET_TMP/busybox/srv/app/link"
        chmod 700 "$BOXLET_TMP/busybox/srv/app/sub"
        tar -C "$BOXLET_TMP/busybox" --owner=0 --group=0 -c . >"$BOXLET_TMP/app.tar"
        tar -C "$BOXLET_TMP/busybox" --owner=1000 --group=50 -r -f "$BOXLET_TMP/app.tar" ./srv/app
        boxlet import --change 'CMD ["sh"]' --change 'VOLUME /srv/app' "$BOXLET_TMP/app.tar" app >/dev/null
}
teardown_file() {
        boxlet volume prune -a -f >/dev/null 2>&1
        box_home_end
}

in_box() {
        boxlet run --rm --network none "$@"
}

no_drafts() {
        [ -z "$(find "$BOXLET_HOME/volumes" -name '.new*' -o -name '.trash*')" ]
}

@test "a volume keeps what boxes write, is filled from the image, and shows in ls and inspect" {
        run in_box -v data:/srv/app app sh -c 'cat /srv/app/link; stat -c "%u %g %a" /srv/app /srv/app/sub; echo new >/srv/app/sub/new; rm /srv/app/link;
                grep " /srv/app " /proc/mounts'
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[0]}" = "from the image" ]
        [ "${lines[1]}" = "1000 50 755" ]
        [ "${lines[2]}" = "1000 50 700" ]
        [[ "${lines[3]}" == "/dev/vdc /srv/app ext4 rw,"* ]]
        # another box, another place: what the first one wrote, and nothing of the image again
        run in_box -v data:/elsewhere:ro busybox sh -c 'cat /elsewhere/sub/new; ls -A /elsewhere; touch /elsewhere/x'
        echo "$output"
        [ "$status" -eq 1 ]
        [ "${lines[0]}" = new ]
        [ "${lines[1]}" = sub ]
        [[ "${lines[2]}" == *"Read-only file system"* ]]
        [ "$(boxlet volume ls -q)" = data ]
        boxlet volume ls | grep -q '^local  *data  *10.*GB'
        [ "$(boxlet volume inspect --format '{{.Name}} {{.Driver}} {{json .Boxes}}' data)" = 'data local []' ]
        no_drafts
}

@test "a volume that a box may write to belongs to that box alone, and goes free with it, however it ends" {
        boxlet run -d --name writer --network none -v shared:/data busybox sh -c 'echo one >/data/file; sync; exec sleep 1000' >/dev/null
        run boxlet run --rm --network none -v shared:/data busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"volume 'shared' is in use by box 'writer'"* ]]
        run boxlet run --rm --network none -v shared:/data:ro busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"volume 'shared' is in use by box 'writer', which may write to it"* ]]
        # who was refused has left nothing
        [ "$(boxlet ls -a -q | wc -l)" -eq 1 ]
        [ "$(ls "$BOXLET_HOME/boxes" | wc -l)" -eq 1 ]
        run boxlet volume rm shared
        [ "$status" -eq 1 ]
        [[ "$output" == *"box 'writer' refers to it: remove the box first"* ]]
        boxlet exec writer sh -c 'until [ -s /data/file ]; do sleep 0.1; done'
        # the monitor is killed, and the machine with it: the volume is free and its journal is replayed
        kill -9 "$(jq .monitor.pid "$BOXLET_HOME"/boxes/*/state.json)"
        run in_box -v shared:/data busybox cat /data/file
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$output" = one ]
        boxlet rm writer
        [ "$(boxlet volume ls -q)" = "$(printf 'data\nshared')" ]
        boxlet volume rm shared
        run boxlet volume rm shared
        [ "$status" -eq 1 ]
        [[ "$output" == *"there is none of that name"* ]]
        boxlet volume rm -f shared
        no_drafts
}

@test "boxes that only read a volume share it, and a stopped box keeps it from being removed" {
        in_box -v lib:/lib2 busybox sh -c 'echo book >/lib2/book'
        boxlet run -d --name r1 --network none -v lib:/lib2:ro busybox sleep 1000 >/dev/null
        [ "$(in_box --mount type=volume,src=lib,dst=/x,readonly busybox cat /x/book)" = book ]
        run in_box -v lib:/lib2 busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"volume 'lib' is in use by box 'r1'"* ]]
        boxlet stop -t 0 r1
        run boxlet volume rm lib
        [ "$status" -eq 1 ]
        [[ "$output" == *"box 'r1' refers to it"* ]]
        [ "$(boxlet inspect --format '{{json .Mounts}}' r1)" = \
                '[{"Type": "volume", "Name": "lib", "Destination": "/lib2", "Mode": "ro", "RW": false}]' ] ||
                boxlet inspect --format '{{json .Mounts}}' r1 | jq -e '.[0] | .Type == "volume" and .Name == "lib" and .RW == false'
        boxlet rm -v r1
        boxlet volume rm lib
}

@test "two volumes, memory and a volume without a name in one box, one volume at two places" {
        run in_box -v two:/a -v two:/b:ro -v three:/a/below --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700 -v /own --read-only busybox sh -c '
                echo x >/a/f; cat /b/f; touch /b/g 2>/dev/null || echo b is read-only; echo y >/a/below/f; ls /b/below
                stat -c %a /t; df -k /t | tail -1 | awk "{print \$2}"; touch /own/f && echo own; touch /f 2>/dev/null || echo root is read-only'
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$output" = "$(printf '%s\n' x 'b is read-only' 700 1024 own 'root is read-only')" ]
        [ "$(in_box -v three:/c busybox cat /c/f)" = y ]
        boxlet volume rm two three
}

@test "create, inspect, prune; too many volumes, bad names are refused in one line" {
        [ "$(boxlet volume create --size 64m --label a=b small)" = small ]
        [ "$(boxlet volume create small)" = small ]
        run boxlet volume create --size 128m small
        [ "$status" -eq 1 ]
        [ "$(boxlet volume inspect --format '{{.Size}} {{json .Labels}}' small | tr -d ' ')" = '67108864{"a":"b"}' ]
        [ "$(stat -c %s "$BOXLET_HOME/volumes/small/disk.ext4")" -eq 67108864 ]
        run in_box -v small:/s busybox sh -c 'df -m /s | tail -1 | awk "{print \$2}"; dd if=/dev/zero of=/s/big bs=1M count=100'
        [ "$status" -eq 1 ]
        [ "${lines[0]}" -gt 40 ]
        [[ "$output" == *"No space left on device"* ]]
        name=$(boxlet volume create)
        [ ${#name} -eq 64 ]
        boxlet volume prune -f | grep -q "^$name\$"
        boxlet volume inspect small >/dev/null
        run boxlet volume prune
        [ "$status" -eq 2 ]
        boxlet create --name keeps --network none -v kept:/k busybox >/dev/null
        boxlet volume prune -a -f
        [ "$(boxlet volume ls -q)" = kept ]
        boxlet rm keeps
        boxlet volume prune -a -f | grep -q '^kept$'
        run boxlet run --rm --network none -v aa:/a -v bb:/b -v cc:/c -v dd:/d -v ee:/e -v ff:/f busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"6 volumes with a name: a machine of the engine qemu has room for 5"* ]]
        run boxlet run --rm -v a/b:/c busybox true
        [ "$status" -eq 125 ]
        [ -z "$(boxlet volume ls -q)" ]
        no_drafts
}

@test "a disk that is damaged or gone fails the start in words" {
        boxlet volume create --size 16m broken >/dev/null
        dd if=/dev/urandom of="$BOXLET_HOME/volumes/broken/disk.ext4" bs=1k count=64 conv=notrunc status=none
        run in_box -v broken:/b busybox true
        echo "$output"
        [ "$status" -eq 125 ]
        [[ "$output" == *"volume 'broken': mount its file system"* ]]
        rm "$BOXLET_HOME/volumes/broken/disk.ext4"
        run in_box -v broken:/b busybox true
        [ "$status" -eq 125 ]
        [[ "$output" == *"volume 'broken': its disk is gone: 'boxlet volume rm'"* ]]
        boxlet volume rm broken
}
