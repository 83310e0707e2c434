#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A real distribution under the default profile: Debian by debootstrap (tests/box/debian-root), with a configuration of its own, pulled
# from a registry. One box for all cases.
bats_require_minimum_version 1.5.0
load lib
load registry

setup_file() {
        export DEBIAN
        DEBIAN=$("$ROOT/tests/box/debian-root" --print-path)
        [ -e "$DEBIAN" ] || return 0
        box_home
        umoci init --layout "$BOXLET_TMP/oci"
        umoci new --image "$BOXLET_TMP/oci:d"
        umoci raw add-layer --image "$BOXLET_TMP/oci:d" "$DEBIAN" 2>/dev/null
        umoci config --image "$BOXLET_TMP/oci:d" --config.user games --config.workingdir /srv/work --config.env GREETING='from the image' \
                --config.volume /var/lib/data --config.stopsignal SIGQUIT \
                --config.cmd bash --config.cmd -c --config.cmd 'trap "exit 42" QUIT; while :; do sleep 0.1; done'
        registry_start debian
        skopeo copy -q --dest-tls-verify=false "oci:$BOXLET_TMP/oci:d" "docker://$REGISTRY_debian/debian:d"
        rm -rf "$BOXLET_TMP/oci"
        boxlet run -q -d --name d --network none "$REGISTRY_debian/debian:d" >/dev/null
}
teardown_file() {
        [ -e "$DEBIAN" ] || return 0
        registry_stop debian
        box_home_end
}
setup() { [ -e "$DEBIAN" ] || skip "there is no Debian root: tests/box/debian-root makes it, as root"; }

root() { boxlet exec -u 0 d "$@"; }

@test "fsck.erofs accepts its root" {
        need fsck.erofs
        local file
        for file in "$BOXLET_HOME"/images/rootfs/*.erofs; do
                fsck.erofs "$file"
        done
}

@test "programs of glibc, and its name services" {
        [ "$(root dpkg -l | grep -c '^ii')" -gt 70 ]
        root apt-get --version | grep -q '^apt 2'
        root perl -e 'use POSIX; print strftime("%Y", gmtime), "\n"' | grep -q '^20'
        [ "$(root getent passwd games | cut -d: -f6)" = /usr/games ]
        root getent hosts localhost | grep -Eq '^(::1|127.0.0.1) '
        root getent hosts "$(root hostname)"
}

@test "a package is installed, runs and is removed" {
        local tree=$BATS_TEST_TMPDIR/tree
        mkdir -p "$tree/DEBIAN" "$tree/usr/bin"
        printf 'Package: from-here\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a test\n' >"$tree/DEBIAN/control"
        printf '#!/bin/sh\nset -e\nchown games:games /usr/bin/from-here\nchmod 4755 /usr/bin/from-here\n' >"$tree/DEBIAN/postinst"
        printf '#!/bin/sh\necho installed\n' >"$tree/usr/bin/from-here"
        chmod 755 "$tree/DEBIAN/postinst" "$tree/usr/bin/from-here"
        dpkg-deb --root-owner-group --build "$tree" "$BATS_TEST_TMPDIR/p.deb" >/dev/null
        boxlet exec -i -u 0 d sh -c 'cat >/tmp/p.deb' <"$BATS_TEST_TMPDIR/p.deb"
        root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q /tmp/p.deb
        [ "$(boxlet exec d from-here)" = installed ]
        [ "$(root stat -c '%A %U' /usr/bin/from-here)" = "-rwsr-xr-x games" ]
        root dpkg -s from-here | grep -qx 'Status: install ok installed'
        root env DEBIAN_FRONTEND=noninteractive apt-get purge -y -q from-here
        run root ls /usr/bin/from-here
        [ "$status" -ne 0 ]
}

@test "su, set-user-id programs and file capabilities" {
        [ "$(root su -s /bin/sh -c 'id -un; echo $HOME' games)" = "$(printf 'games\n/usr/games')" ]
        # reads /etc/shadow, which only root can
        [ "$(boxlet exec d stat -c %A /usr/bin/passwd)" = -rwsr-xr-x ]
        boxlet exec d passwd -S | grep -q '^games '
        run boxlet exec d cat /etc/shadow
        [ "$status" -ne 0 ]
        # raw sockets are for CAP_NET_RAW, which this user has by the file's capability only
        [ "$(boxlet exec d stat -c %A /usr/bin/ping)" = -rwxr-xr-x ]
        root getcap /usr/bin/ping | grep -q 'cap_net_raw=ep'
        boxlet exec d ping -c 1 -W 5 127.0.0.1
        boxlet exec d cp /usr/bin/ping /tmp/ping
        run boxlet exec d /tmp/ping -c 1 -W 5 127.0.0.1
        [ "$status" -ne 0 ]
}

@test "USER, WORKDIR, ENV and VOLUME of its configuration" {
        [ "$(boxlet exec d sh -c 'id -un; pwd; echo $GREETING')" = "$(printf 'games\n/srv/work\nfrom the image')" ]
        [ "$(boxlet exec d stat -f -c %T /var/lib/data)" = ext2/ext3 ]
        root sh -c 'echo kept >/var/lib/data/file'
}

@test "STOPSIGNAL of its configuration; what was written is there at the next start" {
        boxlet stop -t 30 d
        [ "$(boxlet inspect d | jq '.[0].State.ExitCode')" -eq 42 ]
        boxlet start d >/dev/null
        [ "$(boxlet exec d cat /var/lib/data/file)" = kept ]
}
