"""What the tests share: the vectors of the core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def vectors(name: str) -> Any:
    return json.loads((ROOT / "cssc-core" / "tests" / "vectors" / f"{name}.json").read_text("utf-8"))
