#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a docker box cannot be is refused in one line, before anything is made.
bats_require_minimum_version 1.5.0
load lib

# What there is of boxes: records, folders, volumes, processes.
there_is() {
        boxlet ls -a -q | sort
        ls "$BOXLET_HOME/boxes"
        boxlet volume ls -q | sort
        box_processes | cut -d' ' -f1
}

# refused ARGUMENT...: boxlet fails, and there is what there was.
refused() {
        local before after
        before=$(there_is)
        run boxlet "$@"
        echo "$output"
        after=$(there_is)
        [ "$status" -eq 125 ]
        [ "$before" = "$after" ]
}

@test "without the docker kernel: refused with the command that builds it, even where the lean one is" {
        mkdir "$BATS_TEST_TMPDIR/kernels"
        ln -s "$(readlink -f "$ROOT/build/kernel/vmlinux-lean")" "$BATS_TEST_TMPDIR/kernels/vmlinux-lean"
        export BOXLET_KERNEL_DIR=$BATS_TEST_TMPDIR/kernels
        refused run --rm --support-docker --network none busybox true
        one_line_with "make kernel-docker"
        # before an image is asked for
        refused create --support-docker --network none no.such.registry.invalid/image
        one_line_with "make kernel-docker"
        # of a box that is there, too: it stays as it is
        env -u BOXLET_KERNEL_DIR "$BOXLET" create --name made-before --support-docker --network none busybox true >/dev/null
        run boxlet start made-before
        echo "$output"
        [ "$status" -ne 0 ]
        one_line_with "make kernel-docker"
        [ "$(box_state made-before)" = created ]
        boxlet rm made-before >/dev/null
        run boxlet run --rm --network none busybox echo the default box needs it not
        [ "$output" = "the default box needs it not" ]
}

@test "flags that contradict it" {
        refused run --rm --support-docker --cap-drop NET_ADMIN "$DIND"
        one_line_with support-docker cap-drop
        refused create --support-docker --read-only "$DIND"
        one_line_with support-docker read-only
        refused create --privileged --tmpfs /var/lib/docker "$DIND"
        one_line_with tmpfs /var/lib/docker
        refused create --support-docker -v "$BATS_TEST_TMPDIR:/var/lib/docker" "$DIND"
        one_line_with "folder of the host" /var/lib/docker
        refused create --support-docker -v "$BATS_TEST_TMPDIR:/var" "$DIND"
        one_line_with "folder of the host" "on /var "
        refused run --rm --support-docker -v never-made:/var/lib/docker:ro "$DIND"
        one_line_with read-only /var/lib/docker
        refused create --support-docker --mount type=tmpfs,target=/var/lib/docker "$DIND"
        one_line_with tmpfs /var/lib/docker
        refused create --support-docker -v never-made:/proc/sys "$DIND"
        one_line_with /proc/sys
        refused create --support-docker -v never-made:/sys/fs/cgroup "$DIND"
        one_line_with /sys/fs/cgroup
        refused create --support-docker --memory 64m "$DIND"
        one_line_with memory
        refused create --support-docker --disk-size 100m "$DIND"
        one_line_with disk
}

@test "a socket path that is taken, or cannot be" {
        echo mine >"$BATS_TEST_TMPDIR/file"
        refused run -d --support-docker --docker-socket "$BATS_TEST_TMPDIR/file" "$DIND"
        one_line_with "$BATS_TEST_TMPDIR/file"
        [ "$(cat "$BATS_TEST_TMPDIR/file")" = mine ]
        refused run -d --support-docker --docker-socket "$BATS_TEST_TMPDIR/no/such/folder" "$DIND"
        one_line_with "$BATS_TEST_TMPDIR/no/such/folder"
        refused run -d --docker-socket "$BATS_TEST_TMPDIR/socket" "$DIND"
        one_line_with docker-socket support-docker
}
