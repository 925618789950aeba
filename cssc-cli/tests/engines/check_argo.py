"""Reads a manifest by Argo's own models, and fails for fields that they do not know."""

import pathlib
import sys

import yaml
from hera.workflows.models import CronWorkflow

manifest = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
known = CronWorkflow.model_validate(manifest)
read = known.model_dump(by_alias=True, exclude_none=True, mode="json")


def compare(written, read, path):
    if isinstance(written, dict):
        for key, value in written.items():
            if not isinstance(read, dict) or key not in read:
                sys.exit(f"{path}.{key} is not known")
            compare(value, read[key], f"{path}.{key}")
    elif isinstance(written, list):
        for place, (one, other) in enumerate(zip(written, read, strict=True)):
            compare(one, other, f"{path}[{place}]")
    elif written != read:
        sys.exit(f"{path} is read as {read!r} instead of {written!r}")


compare(manifest, read, "")
