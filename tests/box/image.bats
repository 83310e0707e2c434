#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images, from and to other programs: a real registry, skopeo, umoci, podman's formats.
bats_require_minimum_version 1.5.0
load lib
load registry

setup_file() {
        box_home
        busybox_tree "$BOXLET_TMP/one"
        mkdir -p "$BOXLET_TMP/two/etc" "$BOXLET_TMP/three/opt"
        echo second >"$BOXLET_TMP/two/etc/layer"
        ln "$BOXLET_TMP/two/etc/layer" "$BOXLET_TMP/two/etc/hard"
        echo third >"$BOXLET_TMP/three/opt/layer"
        oci_image "$BOXLET_TMP/oci" t "$BOXLET_TMP/one" "$BOXLET_TMP/two" "$BOXLET_TMP/three"
        registry_start plain
        registry_start secure tls auth
        skopeo copy -q --dest-tls-verify=false "oci:$BOXLET_TMP/oci:t" "docker://$REGISTRY_plain/group/image:t"
        skopeo copy -q --dest-tls-verify=false --dest-creds someone:secret "oci:$BOXLET_TMP/oci:t" "docker://$REGISTRY_secure/group/image:t"
        export DOCKER_CONFIG=$BOXLET_TMP/docker
        mkdir "$DOCKER_CONFIG"
        export BOXLET_CONFIG=$BOXLET_TMP/registries.conf
}
teardown_file() {
        registry_stop plain
        registry_stop secure
        box_home_end
}

@test "pull and run an image of three layers" {
        run boxlet pull "$REGISTRY_plain/group/image:t"
        [ "$status" -eq 0 ]
        run boxlet run --rm --network none "$REGISTRY_plain/group/image:t" cat /etc/layer /opt/layer /etc/hard
        [ "$status" -eq 0 ]
        [ "$output" = "$(printf 'second\nthird\nsecond')" ]
}

@test "run pulls what is missing; --pull never does not, --pull always asks what the name means now" {
        skopeo copy -q --dest-tls-verify=false "oci:$BOXLET_TMP/oci:t" "docker://$REGISTRY_plain/other:1"
        run boxlet run --rm --network none --pull never "$REGISTRY_plain/other:1" echo x
        [ "$status" -eq 125 ]
        run boxlet run -q --rm --network none "$REGISTRY_plain/other:1" echo x
        [ "$status" -eq 0 ]
        [ "$output" = x ]
        # the name means another image now: one without the third layer
        oci_image "$BATS_TEST_TMPDIR/oci" other "$BOXLET_TMP/one"
        skopeo copy -q --dest-tls-verify=false "oci:$BATS_TEST_TMPDIR/oci:other" "docker://$REGISTRY_plain/other:1"
        [ "$(boxlet run -q --rm --network none "$REGISTRY_plain/other:1" cat /opt/layer)" = third ]
        run boxlet run -q --rm --network none --pull always "$REGISTRY_plain/other:1" cat /opt/layer
        [ "$status" -eq 1 ]
        [[ "$output" == *"No such file"* ]]
}

@test "an unchanged image costs one request" {
        boxlet pull -q "$REGISTRY_plain/group/image:t"
        local before after
        before=$(registry_log plain | grep -c '"GET\|"HEAD\|http.request.method' || true)
        boxlet pull -q "$REGISTRY_plain/group/image:t"
        after=$(registry_log plain | grep -c '"GET\|"HEAD\|http.request.method' || true)
        # the access log may write a request as two lines
        [ $((after - before)) -le 2 ]
}

@test "a registry with TLS of its own CA and a password" {
        echo '{}' >"$DOCKER_CONFIG/config.json"
        run boxlet pull "$REGISTRY_secure/group/image:t"
        [ "$status" -ne 0 ]
        printf '{"registries": {"%s": {"ca_file": "%s"}}}' "$REGISTRY_secure" "$BOXLET_TMP/registry-secure/ca.crt" >"$BOXLET_CONFIG"
        run boxlet pull "$REGISTRY_secure/group/image:t"
        [ "$status" -ne 0 ]
        [[ "$output" == *401* || "$output" == *nauthorized* ]]
        printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY_secure" "$(printf someone:secret | base64)" >"$DOCKER_CONFIG/config.json"
        run boxlet pull "$REGISTRY_secure/group/image:t"
        [ "$status" -eq 0 ]
        printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY_secure" "$(printf someone:wrong | base64)" >"$DOCKER_CONFIG/config.json"
        run boxlet pull "$REGISTRY_secure/group/image:t"
        [ "$status" -ne 0 ]
        rm -f "$BOXLET_CONFIG" "$DOCKER_CONFIG/config.json"
}

@test "a credential helper is asked" {
        mkdir -p "$BATS_TEST_TMPDIR/bin"
        printf '#!/bin/sh\nread host\n[ "$1" = get ] && printf "{\\"ServerURL\\":\\"%%s\\",\\"Username\\":\\"someone\\",\\"Secret\\":\\"secret\\"}" "$host"\n' \
                >"$BATS_TEST_TMPDIR/bin/docker-credential-test"
        chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-test"
        printf '{"registries": {"%s": {"ca_file": "%s"}}}' "$REGISTRY_secure" "$BOXLET_TMP/registry-secure/ca.crt" >"$BOXLET_CONFIG"
        printf '{"credHelpers": {"%s": "test"}}' "$REGISTRY_secure" >"$DOCKER_CONFIG/config.json"
        PATH=$BATS_TEST_TMPDIR/bin:$PATH run boxlet pull "$REGISTRY_secure/group/image:t"
        rm -f "$BOXLET_CONFIG" "$DOCKER_CONFIG/config.json"
        [ "$status" -eq 0 ]
}

@test "a mirror is asked first" {
        printf '{"registries": {"docker.io": {"mirrors": ["%s"]}}}' "$REGISTRY_plain" >"$BOXLET_CONFIG"
        skopeo copy -q --dest-tls-verify=false "oci:$BOXLET_TMP/oci:t" "docker://$REGISTRY_plain/library/mirrored:latest"
        run boxlet pull mirrored
        rm -f "$BOXLET_CONFIG"
        [ "$status" -eq 0 ]
        boxlet inspect mirrored >/dev/null || boxlet image inspect mirrored >/dev/null
}

@test "an image that is not there is told" {
        run boxlet pull "$REGISTRY_plain/nothing/here:1"
        [ "$status" -ne 0 ]
        [[ "$output" == *nothing/here* ]]
        run boxlet pull "Not A Reference"
        [ "$status" -ne 0 ]
}

@test "the store is an OCI layout that skopeo reads" {
        boxlet pull -q "$REGISTRY_plain/group/image:t"
        run skopeo inspect "oci:$BOXLET_HOME/images:$REGISTRY_plain/group/image:t"
        [ "$status" -eq 0 ]
        [ "$(jq '.Layers | length' <<<"$output")" -eq 3 ]
}

@test "load: docker-archive, oci-archive and an OCI layout, from a file and from a pipe" {
        skopeo copy -q "oci:$BOXLET_TMP/oci:t" "docker-archive:$BATS_TEST_TMPDIR/d.tar:loaded:docker"
        skopeo copy -q "oci:$BOXLET_TMP/oci:t" "oci-archive:$BATS_TEST_TMPDIR/o.tar:loaded:oci"
        boxlet load -i "$BATS_TEST_TMPDIR/d.tar"
        boxlet load <"$BATS_TEST_TMPDIR/o.tar"
        boxlet load -i "$BOXLET_TMP/oci"
        boxlet images | grep -q 'loaded *docker'
        [ "$(boxlet run --rm --network none loaded:docker cat /opt/layer)" = third ]
        gzip "$BATS_TEST_TMPDIR/d.tar"
        boxlet rmi loaded:docker
        gunzip -c "$BATS_TEST_TMPDIR/d.tar.gz" | boxlet load
        boxlet images | grep -q 'loaded *docker'
}

@test "save: skopeo reads both archives" {
        boxlet pull -q "$REGISTRY_plain/group/image:t"
        boxlet tag "$REGISTRY_plain/group/image:t" saved:1
        boxlet save -o "$BATS_TEST_TMPDIR/s.tar" saved:1
        skopeo inspect "docker-archive:$BATS_TEST_TMPDIR/s.tar" >/dev/null
        boxlet save --format oci-archive saved:1 >"$BATS_TEST_TMPDIR/so.tar"
        skopeo inspect "oci-archive:$BATS_TEST_TMPDIR/so.tar" >/dev/null
}

@test "import of a tar with changes" {
        tar -C "$BOXLET_TMP/one" -cz . | boxlet import -c 'ENTRYPOINT ["echo","from"]' -c 'CMD import' -c 'ENV A=b' - imported:1
        [ "$(boxlet run --rm --network none imported:1 x)" = "from x" ]
}

@test "fsck.erofs accepts what was pulled, loaded and imported" {
        need fsck.erofs
        [ "$(ls "$BOXLET_HOME"/images/rootfs/*.erofs | wc -l)" -ge 4 ]
        local file
        for file in "$BOXLET_HOME"/images/rootfs/*.erofs; do
                fsck.erofs "$file"
        done
}

@test "rmi and prune take the blobs along" {
        boxlet rmi imported:1
        boxlet image prune -a -f || boxlet image prune -a
        [ -z "$(boxlet images -q)" ]
        [ -z "$(ls "$BOXLET_HOME/images/blobs/sha256" "$BOXLET_HOME/images/rootfs" 2>/dev/null | grep -v :$ | grep .)" ]
        boxlet import --change 'CMD ["sh"]' "$BOXLET_TMP/busybox" busybox >/dev/null
}

@test "two pulls of one image at once do the work once" {
        boxlet rmi -f "$REGISTRY_plain/group/image:t" 2>/dev/null || true
        boxlet image prune -a -f >/dev/null || boxlet image prune -a >/dev/null
        local before after
        before=$(registry_log plain | grep -c 'GET.*/blobs/sha256' || true)
        "$BOXLET" pull -q "$REGISTRY_plain/group/image:t" 3>&- &
        local first=$!
        boxlet pull -q "$REGISTRY_plain/group/image:t"
        wait $first
        after=$(registry_log plain | grep -c 'GET.*/blobs/sha256' || true)
        # three layers and a configuration; the log may write a request as two lines
        [ $((after - before)) -le 8 ]
}
