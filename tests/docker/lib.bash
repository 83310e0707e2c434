# SPDX-License-Identifier: Apache-2.0
# What the cases of tier docker share, on top of tests/box/lib.bash. Run by tests/run docker, or one file alone by
#
#     tests/box/netns bats --tap tests/docker/engine.bats
#
# setup_suite.bash gives all files one $BOXLET_HOME with the image $DIND, and two registries with TLS on the host's loopback: `images`,
# read-only and our mirror of the Docker Hub too, and `push`, empty. From a box they are $R and $PUSH. A file of cases begins with `load lib`.

load ../box/lib
load ../box/registry

# Makes the suite's home and registries; setup_suite does it.
docker_home() {
        [ "${BOXLET_NETNS:-}" = inside ] || { echo "run this in tests/box/netns" >&2; return 1; }
        local images
        # not made here: this network leads nowhere
        images=$("$ROOT/tests/docker/images" --print-path) || { echo "the images are not there: run tests/docker/images" >&2; return 1; }
        export BOXLET_TMP BOXLET_HOME BOXLET_CONFIG
        BOXLET_TMP=$(mktemp -d "${TMPDIR:-/tmp}/boxlet-test.XXXXXX")
        BOXLET_HOME=$BOXLET_TMP/home
        BOXLET_CONFIG=$BOXLET_TMP/registries.conf
        export DOCKER_CLIENT=$images/bin/docker
        registry_start images tls "from=$images/registry"
        registry_start push tls
        export R=host.boxlet.internal:${REGISTRY_images##*:} PUSH=host.boxlet.internal:${REGISTRY_push##*:}
        printf '{"registries": {"%s": {"ca_file": "%s"}, "docker.io": {"mirrors": ["https://%s"]}}}' \
                "$REGISTRY_images" "$BOXLET_TMP/registry-images/ca.crt" "$REGISTRY_images" >"$BOXLET_CONFIG"
        export DIND=$REGISTRY_images/dind
        boxlet pull -q "$DIND" >/dev/null
        busybox_tree "$BOXLET_TMP/busybox"
        boxlet import --change 'CMD ["sh"]' "$BOXLET_TMP/busybox" busybox >/dev/null
}

docker_home_end() {
        registry_stop images
        registry_stop push
        box_home_end
}

# engine_wait BOX: until the engine in it answers. It opens its socket early and answers when it is ready, so this does not ask often.
engine_wait() {
        boxlet exec --timeout 400 "$1" sh -c 'until docker version >/dev/null 2>&1; do sleep 0.5; done' || {
                boxlet logs "$1" 2>&1 | tail -n 30
                return 1
        }
}

# engine_start NAME IMAGE OPTION...: a detached box with a running engine, which trusts our registries.
engine_start() {
        local name=$1 image=$2
        shift 2
        boxlet run -d --name "$name" --support-docker -m 2g "$@" "$image" --log-level=warn >/dev/null
        engine_trust "$name"
        engine_wait "$name"
}

# engine_trust BOX: as a person would, by the files that dockerd looks for when it meets a registry.
engine_trust() {
        local name address
        for name in images push; do
                [ "$name" = images ] && address=$R || address=$PUSH
                boxlet exec -i "$1" sh -c "mkdir -p /etc/docker/certs.d/$address; cat >/etc/docker/certs.d/$address/ca.crt" \
                        <"$BOXLET_TMP/registry-$name/ca.crt"
        done
}

# The engine that most files share, as box "engine": started by who needs it first, ended by teardown_suite. Its port
# 8080 is published, its socket is $ENGINE_SOCKET, and its data lies on the volume engine-data.
shared_engine() {
        export ENGINE_SOCKET=$BOXLET_TMP/engine.sock
        [ "$(box_state engine)" != running ] || return 0
        boxlet rm -f engine >/dev/null 2>&1 || true
        engine_start engine "$DIND" -v engine-data:/var/lib/docker --docker-socket "$ENGINE_SOCKET" -p 127.0.0.1:0:8080
        in_engine docker pull -q "$R/busybox"
        in_engine docker tag "$R/busybox" busybox
}

# in_engine COMMAND...: in the shared engine's box.
in_engine() {
        boxlet exec engine "$@"
}

# engine_script [NAME=VALUE...]: runs the script on standard input in the shared engine's box; ends with its first failure.
engine_script() {
        local options=() word
        for word in "R=$R" "PUSH=$PUSH" "$@"; do
                options+=(-e "$word")
        done
        boxlet exec -i "${options[@]}" engine bash -eu -s
}

box_state() {
        boxlet inspect "$1" 2>/dev/null | jq -r '.[0].State.Status'
}

# host_port BOX PORT: where on the host the box's port is.
host_port() {
        boxlet inspect "$1" | jq -r --arg port "$2/tcp" '.[0].NetworkSettings.Ports[$port][0].HostPort'
}

# page_at PORT: the last line of what a web server on that port of the host's loopback says.
page_at() {
        printf 'GET /index.html HTTP/1.0\r\n\r\n' | socat -t 20 - "TCP:127.0.0.1:$1" | tail -n 1
}

page_says() {
        [ "$(page_at "$1")" = "$2" ]
}

# one_line_with WORD...: $output is one error line of boxlet's that has these words.
one_line_with() {
        [ "${#lines[@]}" -eq 1 ]
        [[ "${lines[0]}" == boxlet:* ]]
        local word
        for word in "$@"; do
                [[ "$output" == *"$word"* ]]
        done
}

# default_facts: what a process of a box can see and do, as a script. What it may change it changes back.
default_facts() {
        cat <<'SCRIPT'
grep -h '^Cap' /proc/1/status /proc/self/status
echo "cgroup mounts: $(grep -c ' cgroup2* ' /proc/mounts)"
grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f2-4
mkdir -p /tmp/there
mount -t tmpfs none /tmp/there 2>&1 && umount /tmp/there && echo mounted
ip link set lo mtu 65000 2>&1 && ip link set lo mtu 65536 && echo link changed
(cat /proc/sys/kernel/panic >/proc/sys/kernel/panic) 2>&1 && echo sysctl written
ls -d /proc/sys/net/bridge /proc/sys/net/netfilter /proc/net/netfilter /proc/net/nf_conntrack /proc/net/ip_tables_names /sys/module/bridge 2>&1
ls /dev | sort
uname -v
SCRIPT
}

# facts_of_a_default_box [OPTION...]: those facts of one, and its runtime-spec document, which is the box's own by nothing but its name.
facts_of_a_default_box() {
        boxlet run -d --name plain --hostname plain --network none "$@" busybox sleep 1000 >/dev/null
        default_facts | boxlet exec -i plain sh -s 2>&1
        jq -c .container.spec "$BOXLET_HOME/boxes/$(boxlet inspect plain | jq -r '.[0].Id')/box.json"
        boxlet rm -f plain >/dev/null
}
