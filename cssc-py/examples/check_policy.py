"""A pull-request check: annotate every problem of the policies given, and fail if there is one."""

from __future__ import annotations

import sys
from pathlib import Path

import cssc


def main(paths: list[str]) -> int:
    failed = False
    for path in paths:
        for found in cssc.check(Path(path)):
            failed |= found.severity is cssc.Severity.ERROR
            print(
                f"::{found.severity} file={path},line={found.line},col={found.column},"
                f"title={found.code}::{found.message}"
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
