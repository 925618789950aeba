"""What the tests share: the vectors of the core, a registry, and a host that never answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def vectors(name: str) -> Any:
    return json.loads((ROOT / "cssc-core" / "tests" / "vectors" / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def deaf() -> Iterator[Tuple[socket.socket, str]]:
    """A socket that takes connections and never answers, and its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening, "127.0.0.1:%d" % listening.getsockname()[1]


def tool(name: str) -> str:
    """A program, without which a test is skipped, or fails where all must be there."""
    program = shutil.which(name)
    if program is None:
        if os.environ.get("CSSC_REQUIRE_TOOLS"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is missing")
    return program


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on loopback, empty."""
    program = tool("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = "127.0.0.1:%d" % free.getsockname()[1]
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: {host}}}\nlog: {{level: error}}\n"
    )
    server = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{host}/v2/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host
    finally:
        server.kill()
        server.wait()


def put(url: str, data: bytes, kind: str, method: str = "PUT") -> Any:
    request = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
    return urllib.request.urlopen(request, timeout=10)


def push(host: str, repository: str, tag: str, words: str = "", **annotations: str) -> str:
    """Pushes an image without layers; its digest. A stand-in for Trivy reads its variables."""
    image = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Env": [f"STANDIN={words}"]},
        "x": tag,
    }
    config = json.dumps(image).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    base = f"http://{host}/v2/{repository}"
    with put(f"{base}/blobs/uploads/", b"", "application/octet-stream", "POST") as begun:
        place = begun.headers["Location"]
    put(f"{place}&digest={digest}", config, "application/octet-stream").close()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest, "size": len(config)},
        "layers": [],
        "annotations": annotations,
    }
    with put(f"{base}/manifests/{tag}", json.dumps(manifest).encode(), MANIFEST) as stored:
        return str(stored.headers["Docker-Content-Digest"])
