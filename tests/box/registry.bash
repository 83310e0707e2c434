# SPDX-License-Identifier: Apache-2.0
# A real registry (Debian's docker-registry) on loopback, on a free port, for box tests and benchmarks.
#
#     registry_start NAME [tls] [auth] [from=FOLDER]
#                                        sets REGISTRY_<NAME>=127.0.0.1:PORT; user "someone", password "secret" with auth;
#                                        the certificate's CA is $BOXLET_TMP/registry-NAME/ca.crt with tls, and is good for a box's
#                                        host.boxlet.internal too; with from= it serves this storage, read-only
#     registry_stop NAME                 ends it (by pid) and waits
#     registry_log NAME                  its access log so far
#     oci_image DIR TAG TREE...          an OCI layout DIR with image TAG, one gzip layer per TREE (lowest first), made by umoci

registry_start() {
        local name=$1 dir=$BOXLET_TMP/registry-$1 tls= auth= http= data=$BOXLET_TMP/registry-$1/data readonly=false
        shift
        mkdir -p "$dir/data"
        for option in "$@"; do
                case $option in
                tls)
                        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=boxlet test CA" \
                                -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
                        openssl req -newkey rsa:2048 -nodes -subj "/CN=127.0.0.1" -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
                        openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
                                -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:host.boxlet.internal") -out "$dir/server.crt" 2>/dev/null
                        http="tls: {certificate: $dir/server.crt, key: $dir/server.key}"
                        ;;
                auth)
                        htpasswd -Bbn someone secret >"$dir/htpasswd"
                        auth="auth: {htpasswd: {realm: test, path: $dir/htpasswd}}"
                        ;;
                from=*)
                        data=${option#from=}
                        readonly=true
                        ;;
                esac
        done
        cat >"$dir/config.yml" <<CONFIG
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $data}, delete: {enabled: true}, maintenance: {readonly: {enabled: $readonly}}}
$auth
http:
  addr: "127.0.0.1:0"
  $http
CONFIG
        docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 3>&- &
        echo $! >"$dir/pid"
        local i port=
        for i in $(seq 100); do
                port=$(sed -n 's/.*msg="listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$dir/log")
                [ -n "$port" ] && break
                sleep 0.1
        done
        [ -n "$port" ] || { cat "$dir/log" >&2; return 1; }
        export "REGISTRY_$name=127.0.0.1:$port"
}

registry_stop() {
        local dir=$BOXLET_TMP/registry-$1 pid
        [ -f "$dir/pid" ] || return 0
        pid=$(cat "$dir/pid")
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
        rm -f "$dir/pid"
}

registry_log() {
        cat "$BOXLET_TMP/registry-$1/log"
}

oci_image() {
        local dir=$1 tag=$2 tree bundle
        shift 2
        [ -d "$dir" ] || umoci init --layout "$dir"
        umoci new --image "$dir:$tag"
        for tree in "$@"; do
                umoci insert --rootless --image "$dir:$tag" "$tree" / >/dev/null
        done
        umoci config --image "$dir:$tag" --config.cmd sh --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}
