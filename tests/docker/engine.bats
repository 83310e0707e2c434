#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The engine in a box: what it is, builds, limits, registries, execs. One box for all cases, with no flag to dockerd but a log level.
bats_require_minimum_version 1.5.0
load lib

setup_file() { shared_engine; }

@test "dockerd runs without flags of its own, with overlay2, cgroup v2 and nothing missing in the kernel" {
        run in_engine sh -c "tr '\0' ' ' </proc/1/cmdline"
        # where it listens, as the image's entry point arranges it, and the log level
        local tls="--tlsverify --tlscacert /certs/server/ca.pem --tlscert /certs/server/cert.pem --tlskey /certs/server/key.pem"
        [ "$output" = "dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2376 $tls --log-level=warn " ]
        run in_engine docker info
        echo "$output"
        [[ "$output" == *"Storage Driver: overlay2"* ]]
        [[ "$output" == *"Backing Filesystem: extfs"* ]]
        [[ "$output" == *"Cgroup Version: 2"* ]]
        [[ "$output" == *"seccomp"* ]]
        [[ "$output" != *WARNING* ]]
}

@test "init and every exec have all capabilities, a cgroup tree of their own with its controllers, devices, and nothing masked" {
        run engine_script <<'SCRIPT'
grep -hE 'Cap(Eff|Bnd)' /proc/1/status /proc/self/status
cat /sys/fs/cgroup/cgroup.subtree_control
cat /proc/sys/kernel/keys/root_maxkeys
grep -c ' /proc/' /proc/mounts || true
grep -E ' /dev/mqueue mqueue | /var/lib/docker ext4 ' /proc/mounts | cut -d' ' -f2,3 | sort
exec 3<>/dev/fuse 4<>/dev/net/tun
test -w /sys/fs/cgroup/cgroup.procs -a -w /proc/sys/kernel/hostname -a -c /dev/fuse -a -c /dev/net/tun -a -d /dev/mqueue
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(grep -c 'Cap\(Eff\|Bnd\):.*000001ffffffffff' <<<"$output")" -eq 4 ]
        [ "${lines[5]}" -eq 1000000 ]
        [ "${lines[6]}" -eq 0 ]
        [ "${lines[7]}" = "/dev/mqueue mqueue" ]
        [ "${lines[8]}" = "/var/lib/docker ext4" ]
        local controller
        for controller in cpu cpuset io memory pids; do
                [[ " ${lines[4]} " == *" $controller "* ]]
        done
}

@test "docker build: RUN, COPY, two stages, a network, a tag; with the classic builder" {
        run engine_script <<'SCRIPT'
mkdir -p /tmp/classic && cd /tmp/classic
echo 'a message' >message
cat >Dockerfile <<END
FROM $R/busybox AS first
WORKDIR /src
COPY message .
RUN tr a-z A-Z <message >loud && sleep 2 | nc 192.0.2.1 7003 >hello
FROM busybox
COPY --from=first /src/loud /src/hello /
RUN test ! -e /src && mkdir /made && chown user /made
CMD ["cat", "/loud", "/hello"]
END
DOCKER_BUILDKIT=0 docker build -q -t built:classic .
docker run --rm built:classic
docker images built --format '{{.Tag}}'
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[1]}" = "A MESSAGE" ]
        [ "${lines[2]}" = "hello from outside" ]
        [[ "$output" == *classic ]]
}

@test "docker build: the same with BuildKit, and what only BuildKit can" {
        run engine_script <<'SCRIPT'
mkdir -p /tmp/kit && cd /tmp/kit
echo 'a message' >message
cat >Dockerfile <<END
FROM $R/busybox AS first
WORKDIR /src
RUN --mount=type=bind,source=message,target=/given --mount=type=tmpfs,target=/scratch tr a-z A-Z </given >loud && test ! -e message
FROM $R/busybox
COPY --from=first /src/loud /
CMD ["cat", "/loud"]
END
DOCKER_BUILDKIT=1 docker build --progress plain -t built:kit . 2>/tmp/kit/log || { cat /tmp/kit/log; exit 1; }
docker run --rm built:kit
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[-1]}" = "A MESSAGE" ]
}

@test "--memory, --cpus and --pids-limit hold" {
        run engine_script <<'SCRIPT'
docker run --rm --memory 24m busybox sh -c 'cat /sys/fs/cgroup/memory.max; tail /dev/zero; echo "ended with $?"; grep "^oom_kill " /sys/fs/cgroup/memory.events'
docker run --rm --cpus 0.5 --pids-limit 10 busybox sh -c '
        cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max
        until grep -q "^nr_throttled [1-9]" /sys/fs/cgroup/cpu.stat; do :; done
        echo throttled
        for i in $(seq 20); do sleep 30 & done' 2>&1 || true
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[0]}" -eq $((24 << 20)) ]
        [[ "$output" == *"ended with 137"*"oom_kill 1"*"50000 100000"*10*throttled* ]]
        [[ "$output" == *"can't fork"* ]]
}

@test "docker run --privileged, and docker stats" {
        run engine_script <<'SCRIPT'
docker run -d --name measured --memory 64m busybox sleep 1000 >/dev/null
docker run --rm --privileged busybox sh -c 'grep CapEff /proc/self/status; mount -t tmpfs none /tmp; ip link add extra type dummy; ls /sys/class/net'
docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' measured
docker rm -f measured >/dev/null
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        # what this engine knows of: 20.10 was built before the last three capabilities
        [[ "${lines[0]}" =~ 00000(3f|1ff)ffffffff$ ]]
        [[ "$output" != *mounting* ]]
        [[ "$output" == *extra* ]]
        [[ "${lines[-1]}" =~ ^measured\ [1-9][0-9.]*[KM]iB\ /\ 64MiB\ 1$ ]]
}

@test "push to a registry on the host, and pull from it" {
        run engine_script <<'SCRIPT'
printf 'FROM %s/busybox\nRUN echo pushed >/word\nCMD ["cat", "/word"]\n' "$R" | docker build -q -t "$PUSH/group/pushed:1" - >/dev/null
docker push -q "$PUSH/group/pushed:1"
docker rmi "$PUSH/group/pushed:1" >/dev/null
docker run --rm "$PUSH/group/pushed:1" 2>/dev/null
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[-1]}" = pushed ]
        run skopeo inspect --tls-verify=false "docker://$REGISTRY_push/group/pushed:1"
        [ "$(jq '.Layers | length' <<<"$output")" -eq 2 ]
}

@test "ten small images are pulled" {
        run engine_script <<'SCRIPT'
for i in $(seq 10); do docker pull -q "$R/small:$i"; done
docker images -q "$R/small" | sort -u | wc -l
docker run --rm "$R/small:7"
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "${lines[-2]}" -eq 10 ]
        [ "${lines[-1]}" -eq 7 ]
}

@test "an image of 500 MB is pulled" {
        run engine_script <<'SCRIPT'
docker pull -q "$R/big"
docker run --rm "$R/big"
docker rmi "$R/big" >/dev/null
SCRIPT
        echo "$output"
        [ "$status" -eq 0 ]
        [ "$(cut -f1 <<<"${lines[-1]}")" -ge 480 ]
}

@test "eight execs at once run docker" {
        local i pids=() failed=0
        for i in $(seq 8); do
                "$BOXLET" exec engine docker run --rm busybox echo "this is $i" >"$BATS_TEST_TMPDIR/$i" 2>&1 3>&- &
                pids+=($!)
        done
        for i in $(seq 8); do
                wait "${pids[i - 1]}" || failed=1
                cat "$BATS_TEST_TMPDIR/$i"
                [ "$(cat "$BATS_TEST_TMPDIR/$i")" = "this is $i" ] || failed=1
        done
        [ $failed -eq 0 ]
}

@test "the engine's socket on the host is mine alone, and docker there talks to the engine" {
        [ "$(stat -c '%a %F' "$ENGINE_SOCKET")" = "600 socket" ]
        export DOCKER_HOST=unix://$ENGINE_SOCKET
        [ "$("$DOCKER_CLIENT" run --rm -i busybox sh -c 'tr a-z A-Z' <<<"through the socket")" = "THROUGH THE SOCKET" ]
        run "$DOCKER_CLIENT" images --format '{{.Repository}}:{{.Tag}}'
        [[ "$output" == *busybox:latest* ]]
}
