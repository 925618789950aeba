"""Put the newest patched tag of every image into a deployment file, given the registry's tags.

    newest_tag.py deployment.yaml tags.json

`tags.json` is an inventory: {"python": ["3.11", "3.11-1"]}. Images in the file stay on their
original tag as far as their version goes: `python:3.11` becomes `python:3.11-1`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import cssc

IMAGE = re.compile(r"(image:\s*(?:[\w.:-]+/)*?)([a-z0-9][a-z0-9._/-]*):([\w.-]+)(?![\w./-])")


def newest(match: re.Match[str], inventory: dict[str, list[str]]) -> str:
    front, repository, tag = match.groups()
    patch = cssc.PatchTag.parse(tag)
    original = patch.original if patch else tag
    try:
        tag = cssc.newest(inventory.get(repository, []), original)
    except cssc.InvalidValueError:
        pass  # Not one of ours.
    return f"{front}{repository}:{tag}"


def main(deployment: str, tags: str) -> None:
    inventory = json.loads(Path(tags).read_text("utf-8"))
    path = Path(deployment)
    text = IMAGE.sub(lambda match: newest(match, inventory), path.read_text("utf-8"))
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
