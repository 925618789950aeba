"""Run one cycle with Trivy and Copa on asyncio, several images at a time; scans one by one.

    drive_cycle.py localhost:5000 policy.json [JOBS]

The programs are called `trivy` and `copa`; BUILDKIT_HOST is the address of BuildKit. The originals
must be manifests of one platform. Copa pushes what it makes under a tag `candidate-…`, which stays,
whether it is published or not; `cssc workflow run` keeps it out of the registry until then. Ends
with 1 when an image failed, or nothing was planned.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import cssc
from cssc.cycle import (
    CopyStep,
    PatchStep,
    PublishStep,
    ScanStep,
    Step,
    StepOutcome,
    VerifyStep,
    scan_outcome,
    verify_outcome,
)


# What the tags of candidates begin with.
CANDIDATE = "candidate-"


class ToolError(Exception):
    """A program that did not end well."""


def now() -> datetime:
    return datetime.now(timezone.utc)


async def call(*command: str) -> str:
    """What a program prints; it does not outlive the wait for it."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise ToolError(f"{command[0]}: {err.decode(errors='replace').strip()[-500:]}")
    return out.decode().strip()


class Tools:
    """Performs steps: what a step needs is in it."""

    def __init__(self, registry: str, policy: Path, folder: Path) -> None:
        self.registry = registry
        self.client = cssc.Client(registry)
        self.policy = policy
        self.folder = folder
        # Copa does not look for the variable itself.
        address = os.environ.get("BUILDKIT_HOST")
        self.buildkit = ["--addr", address] if address else []
        (folder / "none").touch()
        # Trivy locks its cache for a whole scan, and another one does not wait for long.
        self.scanning = asyncio.Lock()
        self.cache = os.environ.get("TRIVY_CACHE_DIR") or str(Path.home() / ".cache" / "trivy")

    async def digest(self, repository: str, reference: str) -> str | None:
        return await asyncio.to_thread(self.client.digest, repository, reference)

    async def report(self, repository: str, digest: str) -> Path:
        """Trivy's report on a manifest, made once."""
        path = self.folder / f"{digest.replace(':', '-')}.json"
        # An empty configuration, so that no file in the working directory hides findings.
        empty = str(self.folder / "none")
        async with self.scanning:
            if not path.exists():
                await call(
                    "trivy", "image", "--config", empty, "--ignorefile", empty,
                    "--cache-dir", self.cache, "--scanners", "vuln", "--pkg-types", "os",
                    "--list-all-pkgs", "--image-src", "remote", "--no-progress", "--format", "json",
                    "--output", f"{path}.part", f"{self.registry}/{repository}@{digest}",
                )  # fmt: skip
                os.replace(f"{path}.part", path)
        return path

    async def perform(self, step: Step) -> StepOutcome:
        if step["step"] == "plan":
            return await self.plan()
        if step["step"] == "scan":
            return await self.scan(step)
        if step["step"] == "patch":
            return await self.patch(step)
        if step["step"] == "verify":
            return await self.verify(step)
        if step["step"] == "copy":
            return await self.copy(step)
        if step["step"] == "publish":
            return await self.publish(step)
        return {"failed": {"kind": "permanent", "message": f"cannot do `{step['step']}`"}}

    async def plan(self) -> StepOutcome:
        plan = await asyncio.to_thread(self.client.plan, self.policy)
        digests = {}
        for repository, tag in {(i.repository, tag) for i in plan for tag in (i.tag, i.scan_tag)}:
            if digest := await self.digest(repository, tag):
                digests[f"{repository}:{tag}"] = digest
        images = cssc.Cycle.images_of(plan, digests)
        return {"plan": {"images": [i for i in images if not i["tag"].startswith(CANDIDATE)]}}

    async def scan(self, step: ScanStep) -> StepOutcome:
        report = await self.report(step["repository"], step["digest"])
        return {"scan": scan_outcome(report.read_bytes())}

    async def patch(self, step: PatchStep) -> StepOutcome:
        report = await self.report(step["repository"], step["manifest"])
        image = f"{self.registry}/{step['repository']}:{step['original']}@{step['manifest']}"
        # Of this cycle alone: what is there afterwards was made now.
        tag = f"{CANDIDATE}{step['cycle']}-{step['manifest'][7:19]}"
        await call(
            "copa", "patch", "-i", image, "-r", str(report), "-t", tag,
            "--timeout", "30m", "--push", "--progress", "plain", *self.buildkit,
        )  # fmt: skip
        made = await self.digest(step["repository"], tag)
        return {"patch": {"made": made} if made else "nothingMade"}

    async def verify(self, step: VerifyStep) -> StepOutcome:
        async def read(digest: str) -> bytes:
            return (await self.report(step["repository"], digest)).read_bytes()

        scanned = {digest: await read(digest) for digest in step["scanned"]}
        original, candidate = await read(step["manifest"]), await read(step["digest"])
        return {"verify": verify_outcome(original, candidate, scanned)}

    async def copy(self, step: CopyStep) -> StepOutcome:
        """Copa has pushed the candidate to where it belongs: it only has to be there still."""
        content = step["content"]
        if "manifest" not in content:
            return {"failed": {"kind": "permanent", "message": "an index is beyond this script"}}
        copied = await self.digest(step["repository"], content["manifest"])
        if copied is None:
            return {"failed": {"kind": "lost", "message": "the candidate is gone"}}
        return {"copy": {"copied": copied}}

    async def publish(self, step: PublishStep) -> StepOutcome:
        outcome = await asyncio.to_thread(
            self.client.publish, step["repository"], step["tag"], step["digest"],
            replaces=step.get("replaces"),
        )  # fmt: skip
        return {"publish": outcome}


async def attempt(tools: Tools, cycle: cssc.Cycle, step: Step) -> None:
    """Performs a step in the time it has, and reports what it came to."""
    deadline = datetime.fromisoformat(step["deadline"].replace("Z", "+00:00"))
    outcome: StepOutcome
    try:
        outcome = await asyncio.wait_for(
            tools.perform(step), (deadline - now()).total_seconds()
        )
    except asyncio.TimeoutError:
        outcome = {"interrupted": "overdue"}
    except (ToolError, cssc.Error) as error:
        outcome = {"failed": {"kind": "transient", "message": str(error)}}
    except OSError as error:
        outcome = {"failed": {"kind": "permanent", "message": str(error)}}
    print(f"{step['run']} {step['step']}: {next(iter(outcome))}", file=sys.stderr)
    cycle.report(step["run"], step["attempt"], outcome, now())


async def drive(cycle: cssc.Cycle, registry: str, policy: Path, folder: Path) -> None:
    tools = Tools(registry, policy, folder)
    working: set[asyncio.Task[None]] = set()
    while True:
        step = cycle.next_step(now())
        if step == "done":
            return
        wait = None
        if not isinstance(step, str):
            if "assigned" in step:
                working.add(asyncio.create_task(attempt(tools, cycle, step["assigned"])))
                continue
            until = datetime.fromisoformat(step["waitUntil"].replace("Z", "+00:00"))
            wait = max(0.0, (until - now()).total_seconds())
        if not working:
            await asyncio.sleep(wait or 0)
            continue
        done, working = await asyncio.wait(
            working, timeout=wait, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()


def main(registry: str, policy: str, jobs: str = "4") -> int:
    start = now()
    name = cssc.Cycle.new_id(start, random.randrange(65536))
    cycle = cssc.Cycle(name, now=start, jobs=int(jobs), pause_seconds=5)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(drive(cycle, registry, Path(policy), Path(folder)))
    rows = cycle.rows()
    for row in rows:
        reason = row["reason"]["text"] if row["reason"] else ""
        print(f"{row['image']}\t{row['outcome']}\t{row['patchedImage'] or ''}\t{reason}")
    return 1 if any(row["outcome"] == "failed" for row in rows) or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
