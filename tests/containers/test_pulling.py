"""Real pulls, from a registry that this process serves on loopback."""

import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from containers.building import pull
from containers.store import ImageStore

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Registry:
    """One image of one layer, by the OCI distribution protocol."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            file = tarfile.TarInfo("text")
            file.size = 3
            archive.addfile(file, io.BytesIO(b"one"))
        layer = gzip.compress(raw.getvalue(), 1)
        layers = {"type": "layers", "diff_ids": [digest_of(raw.getvalue())]}
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": layers}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": digest_of(layer), "size": len(layer)}],
        }
        self.bodies = {digest_of(body): body for body in (layer, config)}
        self.bodies["latest"] = json.dumps(manifest).encode()


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.fixture
def registry(needs_apptainer: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A reference to an image, and the paths that were asked for."""
    held = Registry()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            held.asked.append(self.path)
            body = b"{}" if self.path == "/v2/" else held.bodies.get(self.path.rpartition("/")[2])
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", _MANIFEST if self.path.endswith("latest") else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.send_header("Docker-Content-Digest", digest_of(body or b""))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        def do_HEAD(self) -> None:
            self.do_GET()

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionResetError:
                pass  # it tries TLS first

        def log_message(self, *arguments: object) -> None:
            pass

    monkeypatch.setenv("APPTAINER_NOHTTPS", "1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"docker://127.0.0.1:{server.server_port}/some/python:latest", held.asked
        server.shutdown()
        thread.join()


def test_an_image_is_pulled_and_unpacked_once(registry: tuple[str, list[str]], tmp_path: Path) -> None:
    reference, asked = registry
    store = ImageStore(tmp_path / "images")
    with ThreadPoolExecutor(4) as pool:
        [root] = set(pool.map(store.prepare, [reference] * 4))
    assert (root / "text").read_text() == "one"
    blobs = [path for path in asked if "/blobs/" in path]
    assert len(blobs) == len(set(blobs)) == 2
    [stored] = store.images()
    assert stored.record.reference == reference
    assert len(stored.record.sha256) == 64


def test_an_image_is_pulled_into_a_file(registry: tuple[str, list[str]], tmp_path: Path) -> None:
    pull(registry[0], tmp_path / "x.sif")
    root = ImageStore(tmp_path / "images").prepare(str(tmp_path / "x.sif"))
    assert (root / "text").read_text() == "one"
