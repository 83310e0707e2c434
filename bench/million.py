# SPDX-License-Identifier: Apache-2.0
"""An image of 10^6 entries (1,000 folders of 999 empty files) in one gzip layer of 10 MB, as an OCI layout: tar headers made by hand, for
tarfile takes a minute."""
import hashlib
import json
import zlib

FOLDERS, FILES = 1000, 999
OCI = "application/vnd.oci.image."


def header(name, mode, kind):
    block = bytearray(512)
    block[0:len(name)] = name
    block[100:136] = b"%07o\0" % mode + b"0000000\0" * 2 + b"00000000000\0"
    block[136:148] = b"00000000000\0"
    block[148:157] = b" " * 8 + kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def blob(layout, data, kind):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(data)}


def make_layout(layout):
    plain, gzip, packed = hashlib.sha256(), zlib.compressobj(1, zlib.DEFLATED, 31), b""
    for folder in range(FOLDERS):
        entries = header(b"d%d/" % folder, 0o755, b"5") + b"".join(header(b"d%d/file-%d" % (folder, i), 0o644, b"0") for i in range(FILES))
        plain.update(entries)
        packed += gzip.compress(entries)
    plain.update(bytes(1024))
    packed += gzip.compress(bytes(1024)) + gzip.flush()
    (layout / "blobs/sha256").mkdir(parents=True)
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + plain.hexdigest()]}}
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": blob(layout, json.dumps(config).encode(), "config.v1+json"),
                "layers": [blob(layout, packed, "layer.v1.tar+gzip")]}
    named = dict(blob(layout, json.dumps(manifest).encode(), "manifest.v1+json"), annotations={"org.opencontainers.image.ref.name": "m"})
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
