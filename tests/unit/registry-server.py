#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A registry that misbehaves as told, for test-registry. The first part of a repository's name says how.

    registry-server.py FOLDER

listens on free loopback ports and prints one line: the port of the registry, of another server (redirects and tokens
elsewhere), and of a TLS registry, whose certificate is FOLDER/ca.pem. Every request is a line of FOLDER/log: the server,
the method, the path, the Range and the Authorization. Ends when stdin does.
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

OCI = "application/vnd.oci.image."
folder = sys.argv[1]
ports = {}
counts = {}
log_lock = threading.Lock()
together = threading.Condition()
asked = set()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


# two layers; the first does not compress, so that there is something to cut
NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(40000))
PLAIN = [tar_of("noise", NOISE), tar_of("hello", b"hello\n")]
LAYERS = [gzip.compress(p, 1, mtime=0) for p in PLAIN]
BLOBS = {digest(b): b for b in LAYERS}


def put(data):
    BLOBS[digest(data)] = data
    return data


def descriptor(data, media_type, **more):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def config_of(**more):
    return put(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in PLAIN]}, **more}).encode())


def manifest_of(config=None, layers=None, **more):
    config = config_of() if config is None else config
    layers = [descriptor(b, OCI + "layer.v1.tar+gzip") for b in LAYERS] if layers is None else layers
    return {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": descriptor(config, OCI + "config.v1+json"), "layers": layers, **more}


def layer_with(**more):
    return [{**descriptor(LAYERS[0], OCI + "layer.v1.tar+gzip"), **more}, descriptor(LAYERS[1], OCI + "layer.v1.tar+gzip")]


def index_of(*platforms):
    entries = []
    for architecture in platforms:
        body = json.dumps(manifest_of(config_of(architecture=architecture))).encode()
        MANIFESTS[digest(body)] = body
        entries.append(descriptor(body, OCI + "manifest.v1+json", platform={"os": "linux", "architecture": architecture}))
    return {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries}


def zstd(data):
    """RFC 8878: one frame with its length, of blocks that are not compressed."""
    frame = b"\x28\xb5\x2f\xfd\xa0" + len(data).to_bytes(4, "little")
    for at in range(0, len(data), 1 << 17):
        block = data[at:at + (1 << 17)]
        frame += (len(block) << 3 | (at + len(block) == len(data))).to_bytes(3, "little") + block
    return frame


MANIFESTS = {}
ANY = manifest_of()
no_ids = {"type": "layers", "diff_ids": [digest(PLAIN[0])]}
other_ids = {"type": "layers", "diff_ids": [digest(PLAIN[0]), digest(b"x")]}
# a scenario's manifest, where it is not ANY
SPECIAL = {
    "index": index_of("arm64", "amd64", "s390x"),
    "armindex": index_of("arm64", "s390x"),
    "armconfig": manifest_of(config_of(architecture="arm64")),
    "nolayers": manifest_of(config_of(rootfs={"type": "layers", "diff_ids": []}), []),
    "idcount": manifest_of(config_of(rootfs=no_ids)),
    "wrongid": manifest_of(config_of(rootfs=other_ids)),
    "schema1": {"schemaVersion": 1, "name": "x", "tag": "latest", "fsLayers": []},
    "md5": manifest_of(layers=layer_with(digest="md5:" + "0" * 32)),
    "traversal": manifest_of(layers=layer_with(digest="sha256:../../../../etc/passwd")),
    "negative": manifest_of(layers=layer_with(size=-1)),
    "absurd": manifest_of(layers=layer_with(size=1 << 62)),
    "notanumber": manifest_of(layers=layer_with(size="many")),
    "foreign": manifest_of(layers=layer_with(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
    "urls": manifest_of(layers=layer_with(urls=["https://elsewhere.invalid/"])),
    "encrypted": manifest_of(layers=layer_with(mediaType=OCI + "layer.v1.tar+gzip+encrypted")),
    "artifact": {**manifest_of(), "config": descriptor(config_of(), "application/vnd.cncf.helm.config.v1+json")},
    "zstd": manifest_of(layers=[descriptor(put(zstd(p)), OCI + "layer.v1.tar+zstd") for p in PLAIN]),
    "many": manifest_of(layers=layer_with() * 300),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=None, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code="TEST", headers=None):
        body = json.dumps({"errors": [{"code": code, "message": "as told by the test"}]}).encode()
        self.reply(status, body, {"Content-Type": "application/json", **(headers or {})})

    def times(self, what):
        with log_lock:
            counts[what] = counts.get(what, 0) + 1
            return counts[what]

    def do_GET(self):
        with log_lock, open(folder + "/log", "a") as log:
            print(self.server.label, self.command, self.path, self.headers.get("Range", "-"),
                  self.headers.get("Authorization", "-"), file=log)
        try:
            self.route()
        except (BrokenPipeError, ConnectionResetError):
            pass

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with log_lock, open(folder + "/log", "a") as log:
            print(self.server.label, "POST", self.path, "-", body, file=log)
        fields = urllib.parse.parse_qs(body)
        if fields.get("grant_type") == ["refresh_token"] and fields.get("refresh_token") == ["REFRESH"]:
            self.reply(200, json.dumps({"access_token": "TOKEN"}).encode())
        else:
            self.error(401)

    def basic(self):
        return "Basic " + base64.b64encode(b"user:pass").decode()

    def route(self):
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith("/token"):
            return self.token(path)
        parts = path.split("/")
        if parts[1] == "elsewhere":
            return self.reply(200, BLOBS[parts[2]])
        if parts[1] != "v2" or len(parts) < 6:
            return self.error(404)
        scenario, kind, name = parts[2], parts[-2], parts[-1]
        if not self.allowed(scenario):
            return None
        if kind == "manifests":
            return self.manifest(scenario, name)
        return self.blob(scenario, name)

    def token(self, path):
        if path == "/token/basic" and self.headers.get("Authorization") != self.basic():
            return self.error(401)
        if path == "/token/busy" and self.times("token") == 1:
            return self.error(503)
        if path == "/token/giant":
            return self.reply(200, b'{"token":"' + b"x" * (2 << 20) + b'"}')
        if path == "/token/control":
            return self.reply(200, b'{"token":"a\\r\\nX-Evil: 1"}')
        return self.reply(200, b'{"token":"TOKEN","expires_in":300}')

    def allowed(self, scenario):
        given = self.headers.get("Authorization")
        here = "http://127.0.0.1:%d" % ports["registry"]
        realms = {
            "token": here + "/token", "tokenbasic": here + "/token/basic", "tokenbusy": here + "/token/busy",
            "tokengiant": here + "/token/giant", "tokencontrol": here + "/token/control",
            "realm": "http://127.0.0.1:%d/token/basic" % ports["other"],
            "redirect": here + "/token", "again": here + "/token",
        }
        if scenario in ("always401", "basic", "tls-basic") and (scenario == "always401" or given != self.basic()):
            self.error(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
            return False
        if scenario in realms and (given != "Bearer TOKEN" or scenario == "again"):
            self.error(401, headers={"WWW-Authenticate":
                                     'Bearer realm="%s",service="test",scope="repository:%s/x:pull"' % (realms[scenario], scenario)})
            return False
        if scenario == "tls-plain-realm" and given != "Bearer TOKEN":
            self.error(401, headers={"WWW-Authenticate": 'Bearer realm="%s/token"' % here})
            return False
        if scenario in ("s403", "s404", "s500"):
            self.error(int(scenario[1:]))
            return False
        if scenario == "s429":
            self.error(429, headers={"Retry-After": "9999"})
            return False
        if scenario == "busy" and self.times("busy") <= 3:
            self.error(503 if counts["busy"] == 2 else 429, headers={"Retry-After": "0"})
            return False
        return True

    def manifest(self, scenario, name):
        if scenario == "giant":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b" " * 65536)
        if scenario == "deep":
            return self.reply(200, b"[" * 1000000)
        if scenario == "notjson":
            return self.reply(200, b"<html>")
        if scenario == "loop":
            return self.reply(307, headers={"Location": "/v2/loop/x/manifests/%d" % self.times("loop")})
        if scenario == "file":
            return self.reply(307, headers={"Location": "file:///etc/passwd"})
        if scenario == "tls-to-http":
            return self.reply(307, headers={"Location": "http://127.0.0.1:%d/v2/ok/x/manifests/latest" % ports["registry"]})
        if scenario == "slowmanifest":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.2)
        body = MANIFESTS.get(name)
        if body is None:
            body = json.dumps(SPECIAL.get(scenario, ANY)).encode()
        if scenario == "changing" and self.command == "GET":
            body = json.dumps(manifest_of(config_of(author=str(self.times("changing"))))).encode()
        if scenario == "wrongmanifest":
            body += b" "
        kind = json.loads(body).get("mediaType", "application/vnd.docker.distribution.manifest.v1+prettyjws")
        return self.reply(200, body, {"Content-Type": kind, "Docker-Content-Digest": digest(body)})

    def all_layers_asked_for(self, name):
        """Whether each layer is being asked for at once: nobody gets one before."""
        with together:
            asked.add(name)
            together.notify_all()
            return together.wait_for(lambda: len(asked) == len(LAYERS), timeout=10)

    def blob(self, scenario, name):
        data = BLOBS.get(name)
        if data is None:
            return self.error(404)
        if scenario == "together" and data in LAYERS and not self.all_layers_asked_for(name):
            return self.error(500)
        start = 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"][len("bytes="):-1])
        big = name == digest(LAYERS[0])
        if scenario in ("redirect", "redirectsame"):
            host = ports["other" if scenario == "redirect" else "registry"]
            return self.reply(307, headers={"Location": "http://127.0.0.1:%d/elsewhere/%s" % (host, name)})
        if big and scenario == "wrongblob":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if big and scenario == "shortblob":
            data = data[:-1]
        if big and scenario == "longblob":
            data += b"x" * 100000
        if big and scenario == "missing":
            return self.error(404)
        if big and scenario == "slow":
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.2)
        if not big or scenario not in ("cut", "cutwhole", "cutmany", "cutlie"):
            return self.reply(200, data)
        n = self.times("cut")
        headers, status, part = {}, 200, data
        if start > 0 and scenario != "cutwhole":
            lie = 7 if scenario == "cutlie" else 0
            status, part = 206, data[start + lie:]
            headers["Content-Range"] = "bytes %d-%d/%d" % (start + lie, len(data) - 1, len(data))
        send = {"cut": len(part) if n > 1 else len(part) // 2, "cutwhole": len(part) if n > 2 else len(part) // 2,
                "cutmany": min(len(part), 300000), "cutlie": len(part) if n > 1 else len(part) // 2}[scenario]
        self.reply(status, part[:send], headers, length=len(part))
        self.close_connection = True
        return None


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


def serve(label, tls=None):
    server = Server(("127.0.0.1", 0), Handler)
    server.label = label
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    ports[label] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()


def certificate():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", folder + "/key.pem", "-out", folder + "/ca.pem"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/ca.pem", folder + "/key.pem")
    return context


serve("registry")
serve("other")
serve("tls", certificate())
print(ports["registry"], ports["other"], ports["tls"], flush=True)
sys.stdin.buffer.read()
os._exit(0)
