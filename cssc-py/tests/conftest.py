"""What the tests share: the vectors of the core, and a host that never answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Iterator, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def vectors(name: str) -> Any:
    return json.loads((ROOT / "cssc-core" / "tests" / "vectors" / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def deaf() -> Iterator[Tuple[socket.socket, str]]:
    """A socket that takes connections and never answers, and its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening, "127.0.0.1:%d" % listening.getsockname()[1]
