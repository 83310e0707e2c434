#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How strongly the machine's process is jailed: whole where the host allows it, told and refused where it does not.
bats_require_minimum_version 1.5.0
load lib

setup_file() { box_home; }
teardown_file() { box_home_end; }

# without_user_namespaces COMMAND...: on a host that allows none: the limit belongs to the user namespace one is in.
without_user_namespaces() {
        unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh "$@"
}

@test "with --jail require a box starts where the host gives all that the jail is made of" {
        unshare --user true || skip "user namespaces are not allowed here"
        boxlet run --name whole --network none --jail require busybox true
        [ "$(boxlet inspect -f '{{.HostConfig.Jail}}' whole)" = require ]
        [[ "$(boxlet inspect -f '{{json .State.JailLacks}}' whole)" =~ ^(null|\"no Landlock in this kernel\")$ ]]
        boxlet rm whole
}

@test "where user namespaces are forbidden, auto says what is missing, and require refuses" {
        unshare --user true || skip "user namespaces are not allowed here"
        run -125 without_user_namespaces "$BOXLET" run --rm --network none --jail require busybox true
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"--jail require: the jail is too weak on this host: no user namespace"* ]]
        no_processes
        without_user_namespaces "$BOXLET" run --name weak --network none busybox true
        [[ "$(boxlet inspect -f '{{.State.JailLacks}}' weak)" == "no user namespace"* ]]
        grep -q 'boxlet-vmm: info: the jail: no user namespace' "$BOXLET_HOME"/boxes/*/monitor.log
        boxlet rm weak
}
