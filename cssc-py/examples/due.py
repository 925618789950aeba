"""What is due, as Prometheus metrics: images in the plan, and the time of the next run.

    due.py policy.json tags.json 7d 2024-01-03T09:30:00+00:00
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import cssc


def main(policy: str, tags: str, interval: str, created: str) -> None:
    plan = cssc.plan(Path(policy), json.loads(Path(tags).read_text("utf-8")))
    schedule = cssc.Schedule(interval, created=datetime.fromisoformat(created))
    run = schedule.next_after(datetime.now(timezone.utc))
    for name, value in [
        ("images", len(plan)),
        ("images_skipped", len(plan.skipped)),
        ("images_unpatched", sum(image.latest_patch is None for image in plan)),
        ("repositories_unavailable", len(plan.unavailable)),
        ("next_run_timestamp_seconds", int(run.timestamp()) if run else 0),
    ]:
        print(f"# TYPE cssc_{name} gauge\ncssc_{name} {value}")


if __name__ == "__main__":
    main(*sys.argv[1:])
