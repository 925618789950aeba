"""`Client`: on a registry, on servers that are none, and on files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import pytest

import cssc
from conftest import EXAMPLES, MANIFEST, push, put

POLICY = {"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}


Answer = Tuple[int, Dict[str, str], bytes]


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[str], Answer]], str]]:
    """Starts servers in this very process: they answer only while nobody holds the interpreter."""
    running = []

    def start(answer: Callable[[str], Answer]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answer(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        started = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(started)
        threading.Thread(target=started.serve_forever, daemon=True).start()
        return "127.0.0.1:%d" % started.server_address[1]

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def test_a_registry(registry: str) -> None:
    client = cssc.Client(registry)
    assert client.registry == registry and repr(client) == f"<Client: {registry}>"
    assert client.tags("python") is None
    original = push(registry, "python", "3.11")
    for tag in ["3.11-1", "3.12", "3.11-10"]:
        push(registry, "python", tag)
    assert client.tags("python") == ["3.11", "3.11-1", "3.11-10", "3.12"]

    plan = client.plan(POLICY)
    assert [(image.scan_tag, image.patch_tag) for image in plan] == [
        ("3.11-10", "3.11-11"),
        ("3.12", "3.12-1"),
    ]
    # As an inventory of one's own, one repository after the other.
    assert list(cssc.plan(POLICY, client.tags)) == list(plan)
    assert client.plan(POLICY, limit=1).limit_exceeded
    with pytest.raises(cssc.InvalidValueError, match="dialect"):
        client.plan(POLICY, dialect="spoken")

    assert client.policy() is None
    text = json.dumps(POLICY)
    command = [sys.executable, "-m", "cssc", "policy", "push", "-r", registry, "--config", "-"]
    subprocess.run(command, input=text.encode(), check=True)
    assert client.policy() == cssc.Policy(text)

    story = client.image("python:3.11-10")
    assert story is not None and story["repository"] == "python"
    assert story["original"] is not None
    assert (story["original"]["tag"], story["original"]["digest"]) == ("3.11", original)
    assert story["original"]["platforms"][0]["platform"] == "linux/amd64"
    assert [patch["tag"] for patch in story["patches"]] == ["3.11-1", "3.11-10"]
    assert client.image("python:3.13") is None
    assert client.image("node:3.13") is None


def test_a_tag_is_written_for_an_image_that_is_there(registry: str) -> None:
    client = cssc.Client(registry)
    assert client.digest("python", "3.11") is None
    original, patched, other = (push(registry, "python", tag) for tag in ["3.11", "a", "b"])
    assert client.digest("python", "3.11") == client.digest("python", original) == original
    assert client.publish("python", "3.11-1", patched) == "published"
    assert client.digest("python", "3.11-1") == patched
    assert client.publish("python", "3.11-1", patched) == "published", "it stands for it already"
    assert client.publish("python", "3.11-1", other) == "tagTaken"
    assert client.publish("python", "3.11-1", other, replaces=original) == "tagTaken"
    assert client.digest("python", "3.11-1") == patched
    assert client.publish("python", "3.11-1", other, replaces=patched) == "published"
    assert client.digest("python", "3.11-1") == other
    missing = "sha256:" + "0" * 64
    assert client.digest("python", missing) is None
    with pytest.raises(cssc.RegistryError) as absent:
        client.publish("python", "3.11-2", missing)
    assert absent.value.kind == "absent" and client.digest("python", "3.11-2") is None
    for wrong in ["a b", "sha256:1"]:
        with pytest.raises(cssc.InvalidValueError):
            client.digest("python", wrong)
    for digest, replaces in [("latest", None), (missing, "3.11")]:
        with pytest.raises(cssc.InvalidValueError):
            client.publish("python", "3.11-2", digest, replaces=replaces)


def test_what_a_registry_refuses(server: Callable[[Callable[[str], Answer]], str]) -> None:
    def answer(path: str) -> Answer:
        if "secret" in path:
            return 401, {"WWW-Authenticate": "Basic"}, b"{}"
        if "html" in path:
            return 200, {"Content-Type": "text/html"}, b"<html>"
        return 200, {}, b'{"name": "a", "tags": ["2", "1"]}'

    client = cssc.Client(server(answer), timeout=5)
    assert client.tags("a") == ["1", "2"]
    with pytest.raises(cssc.RegistryError, match="secret") as refused:
        client.tags("secret")
    assert refused.value.kind == "unauthorized"
    with pytest.raises(cssc.RegistryError) as broken:
        client.tags("html")
    assert broken.value.kind == "answer"
    plan = client.plan({"version": "v1", "repositories": [{"repository": "secret", "tags": ["*"]}]})
    assert [row.repository for row in plan.unavailable] == ["secret"]
    with pytest.raises(cssc.RegistryError, match="refuses connections") as away:
        cssc.Client("127.0.0.1:1", timeout=2).tags("a")
    assert away.value.kind == "unavailable"


def test_many_threads_wait_at_once(server: Callable[[Callable[[str], Answer]], str]) -> None:
    together = threading.Barrier(8, timeout=20)

    def answer(path: str) -> Answer:
        # Nobody is answered before all have asked.
        together.wait()
        return 200, {}, b'{"name": "a", "tags": ["1"]}'

    client = cssc.Client(server(answer), timeout=30)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(client.tags("a"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["1"]] * 8


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_the_waiting(deaf: Tuple[socket.socket, str]) -> None:
    listening, host = deaf
    program = f"import cssc; c = cssc.Client({host!r}); print('on', flush=True); c.tags('a')"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "on\n"
    with listening.accept()[0]:
        child.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in child.communicate(timeout=20)[1]


def test_files() -> None:
    client = cssc.Client(f"inventory:{EXAMPLES / 'registry.json'}")
    tags = client.tags("python")
    assert tags is not None and "3.11-2" in tags
    assert len(client.plan(EXAMPLES / "continuouspatching.json")) == 7
    with pytest.raises(cssc.RegistryError, match="inventory") as refused:
        client.policy()
    assert refused.value.kind == "unsupported"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"registry": "a b"}, cssc.InvalidValueError, "a b"),
        ({"registry": "layout:"}, cssc.InvalidValueError, "directory"),
        ({"registry": "layout:/nonexistent"}, cssc.RegistryError, "/nonexistent"),
        ({"username": "me"}, ValueError, "a username and a password, or a token"),
        ({"token": "a", "password": "b"}, ValueError, "a username and a password, or a token"),
        ({"timeout": 0}, cssc.InvalidValueError, "timeout"),
        ({"timeout": float("nan")}, cssc.InvalidValueError, "timeout"),
        ({"list_timeout": -1}, cssc.InvalidValueError, "list_timeout"),
        ({"concurrency": -1}, cssc.InvalidValueError, "concurrency"),
        ({"concurrency": 0}, cssc.InvalidValueError, "concurrency"),
        ({"ca_file": "/nonexistent"}, cssc.RegistryError, "/nonexistent"),
    ],
)
def test_arguments(arguments: Dict[str, Any], error: type, message: str) -> None:
    registry = arguments.pop("registry", "localhost:5000")
    with pytest.raises(error, match=message):
        cssc.Client(registry, **arguments)


def test_an_image_is_named_with_its_tag() -> None:
    client = cssc.Client("localhost:1")
    with pytest.raises(cssc.InvalidValueError, match="`python:TAG`"):
        client.image("python")
    with pytest.raises(cssc.InvalidValueError):
        client.tags("Not A Name")
