"""The machine, driven from Python, and the types of what passes to and from it."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set, get_args

import pytest
from typeguard import CollectionCheckStrategy, check_type

import cssc
from cssc import cycle as machine
from cssc.cycle import CycleImage, Evidence, Finding, Step, StepOutcome
from conftest import ROOT, push

CREATED = datetime(2024, 1, 3, 9, 30, tzinfo=timezone.utc)
CYCLE = cssc.Cycle.new_id(CREATED, 1)
DIGEST = "sha256:" + "0" * 64
INDEX = "sha256:" + "f" * 64
FINDING: Finding = {
    "vulnerabilityId": "CVE-1",
    "package": "p",
    "installedVersion": "1",
    "fixedVersion": "2",
    "severity": "high",
}


def wrong(value: Any) -> Any:
    """A value of a type that a checker would refuse."""
    return value


def plan() -> cssc.Plan:
    policy = {"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}
    return cssc.plan(policy, {"python": ["3.11", "3.11-1", "3.12"]})


def digests() -> Dict[str, str]:
    tags = ["3.11", "3.11-1", "3.12"]
    return {f"python:{tag}": f"sha256:{number:064}" for number, tag in enumerate(tags)}


def an_index() -> CycleImage:
    """An image of two platforms, with a floating patch of one of them."""
    return {
        "repository": "redis",
        "tag": "7",
        "digest": "sha256:" + "7" * 64,
        "platforms": [
            {
                "platform": "linux/amd64",
                "digest": "sha256:" + "8" * 64,
                "size": 5,
                "patch": {"digest": "sha256:" + "a" * 64, "origin": "sha256:" + "8" * 64},
            },
            {"platform": "linux/arm64", "digest": "sha256:" + "9" * 64},
        ],
        "latestPatch": {"tag": "7-1", "digest": "sha256:" + "b" * 64},
        "patchTag": "7-2",
    }


def conforms(value: Any, kind: Any) -> None:
    """That a value has just the fields of its type, all the way down."""
    check_type(value, kind, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)


def outcome_of(step: Step, images: List[CycleImage]) -> StepOutcome:
    evidence: Evidence = {
        "fixed": [FINDING],
        "introduced": [],
        "remaining": [],
        "after": {"skip": "no-vulnerability"},
    }
    if step["step"] == "plan":
        return {"plan": {"images": images}}
    if step["step"] == "scan":
        return {"scan": {"verdict": {"patch": {"fixable": 1}}, "fixable": [FINDING]}}
    if step["step"] == "patch":
        return {"patch": {"made": DIGEST}}
    if step["step"] == "verify":
        scanned = step["scanned"]
        return {"verify": {"comparisons": [{"scanned": one, "evidence": evidence} for one in scanned]}}
    if step["step"] == "test":
        return {"test": "passed"}
    if step["step"] == "copy":
        content = step["content"]
        return {"copy": {"copied": content["manifest"] if "manifest" in content else INDEX}}
    if step["step"] == "attest":
        return {"attest": {"attached": 5}}
    if step["step"] == "sign":
        return {"sign": "signed"}
    return {"publish": "published"}


def drive(
    cycle: cssc.Cycle,
    images: List[CycleImage],
    seen: Set[str],
    crash: Callable[[cssc.Cycle, Step, datetime], cssc.Cycle] | None = None,
) -> cssc.Cycle:
    """Has all steps done; with ``crash``, which goes on with what was stored, each of them twice."""
    now = CREATED
    while True:
        step = cycle.next_step(now)
        conforms(step, machine.NextStep)
        if isinstance(step, str):
            assert step == "done"
            return cycle
        if "waitUntil" in step:
            now = datetime.fromisoformat(step["waitUntil"].replace("Z", "+00:00"))
            continue
        work = step["assigned"]
        if crash and work["attempt"] == 1:
            cycle = crash(cycle, work, now)
            continue
        seen.add(work["step"])
        outcome = outcome_of(work, images)
        conforms(outcome, machine.StepOutcome)
        now += timedelta(seconds=1)
        cycle.report(work["run"], work["attempt"], outcome, now)
        with pytest.raises(cssc.WorkflowError):
            cycle.report(work["run"], work["attempt"], outcome, now)
        conforms(cycle.take_changes(), List[machine.RecordChange])
        conforms(cycle.rows(), List[machine.StatusRow])
        # What a crash would leave behind is enough to go on.
        cycle = pickle.loads(pickle.dumps(cycle))


def test_the_machine_is_driven_from_python() -> None:
    images = cssc.Cycle.images_of(plan(), digests())
    conforms(images, List[CycleImage])
    with pytest.raises(ValueError, match="no digest of `python:3.12`"):
        cssc.Cycle.images_of(plan(), {name: digests()[name] for name in list(digests())[:2]})
    cycle = drive(cssc.Cycle(CYCLE, now=CREATED, jobs=1), images, set())
    assert cycle.has_ended and repr(cycle) == f"<Cycle {CYCLE}: Succeeded>"
    assert [row["patchedImage"] for row in cycle.rows()] == ["python:3.11-2", "python:3.12-1"]
    assert [row["outcome"] for row in cycle.rows()] == ["patched", "patched"]
    assert cycle.rows(run_status="failed") == []
    with pytest.raises(ValueError):
        cycle.rows(run_status="perhaps")
    canceled = cssc.Cycle(cssc.Cycle.new_id(CREATED, 2), now=CREATED)
    canceled.cancel(CREATED)
    assert canceled.has_ended


EVERYTHING: Dict[str, Any] = {"test": True, "attach": "always", "sign": True, "patcher": "buildah"}


def test_every_step_has_its_type() -> None:
    seen: Set[str] = set()
    images = [*cssc.Cycle.images_of(plan(), digests()), an_index()]
    cycle = cssc.Cycle(CYCLE, now=CREATED, allow_config=["env:VERSION"], **EVERYTHING)
    rows = drive(cycle, images, seen).rows()
    assert [row["outcome"] for row in rows] == ["patched"] * 3
    assert [platform["platform"] for platform in rows[2]["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert [row["patchedDigest"] for row in rows] == [DIGEST, DIGEST, INDEX]
    assert len(seen) == len(get_args(machine.Step)) == 9


def test_a_cycle_that_is_stored_in_the_middle_of_any_step_goes_on() -> None:
    images = [*cssc.Cycle.images_of(plan(), digests()), an_index()]
    crashed: Set[str] = set()

    def crash(cycle: cssc.Cycle, step: Step, now: datetime) -> cssc.Cycle:
        stored = cssc.Cycle.from_json(cycle.to_json())
        assert stored.next_step(now) == "idle", "the step is still being done"
        stored.recover(now)
        conforms(stored.take_changes(), List[machine.RecordChange])
        with pytest.raises(cssc.WorkflowError, match="attempt 1 .* is awaited"):
            stored.report(step["run"], 1, outcome_of(step, images), now)
        again = cssc.Cycle.from_json(stored.to_json()).next_step(now)
        assert isinstance(again, dict) and "assigned" in again
        assert again["assigned"] == {**step, "attempt": 2}
        crashed.add(step["step"])
        return stored

    seen: Set[str] = set()
    cycle = drive(cssc.Cycle(CYCLE, now=CREATED, **EVERYTHING), images, seen, crash)
    assert crashed == seen and len(seen) == 9
    assert [row["outcome"] for row in cycle.rows()] == ["patched"] * 3
    plain = drive(cssc.Cycle(CYCLE, now=CREATED, **EVERYTHING), images, set())
    for ended, same in zip(cycle.rows(), plain.rows()):
        assert ended["patchedImage"] == same["patchedImage"]
        assert ended["patchedDigest"] == same["patchedDigest"]


def test_a_step_that_is_interrupted_too_often_has_failed() -> None:
    cycle = cssc.Cycle(CYCLE, now=CREATED, interruptions=1)
    for _ in range(2):
        assert not cycle.has_ended
        assert isinstance(cycle.next_step(CREATED), dict)
        cycle.recover(CREATED)
    assert cycle.has_ended and repr(cycle) == f"<Cycle {CYCLE}: Failed>"
    cycle.recover(CREATED)
    with pytest.raises(cssc.InvalidValueError, match="naive"):
        cycle.recover(datetime(2024, 1, 3))


def test_a_candidate_that_is_lost_is_made_again() -> None:
    cycle = cssc.Cycle(CYCLE, now=CREATED)
    images = cssc.Cycle.images_of(plan(), digests())[:1]
    steps: List[str] = []
    for _ in range(8):
        step = cycle.next_step(CREATED)
        assert isinstance(step, dict) and "assigned" in step
        work = step["assigned"]
        outcome = outcome_of(work, images)
        if work["step"] == "copy" and "copy" not in steps:
            outcome = {"failed": {"kind": "lost", "message": "the candidate is gone"}}
        steps.append(work["step"])
        cycle.report(work["run"], work["attempt"], outcome, CREATED)
    assert steps[2:] == ["patch", "verify", "copy", "patch", "verify", "copy"]


def left_out(reason: machine.LeftOutReason) -> StepOutcome:
    return {"plan": {"images": [], "leftOut": [{"repository": "a", "tag": "1", "reason": reason}]}}


@pytest.mark.parametrize(
    "outcome",
    [
        {"failed": {"kind": "permanent", "message": "no"}},
        {"failed": {"kind": "permanent", "message": "no room", "code": "relay-full"}},
        {"interrupted": "stopped"},
        {"plan": {"images": [], "leftOut": [{"repository": "a", "tag": "*", "reason": "notFound"}]}},
        left_out({"skipped": "exhausted"}),
        left_out({"unavailable": {"kind": "transient", "message": "no answer"}}),
        left_out({"notAnImage": "a chart"}),
        left_out("platformNotSelected"),
        {"plan": {"images": [], "settings": {"limit": "none", "platforms": ["linux/arm"], "attempts": 2}}},
        {"plan": {"images": [], "policy": {"digest": DIGEST, "tagConvention": "floating"}}},
    ],
)
def test_outcomes_of_every_shape_are_taken(outcome: StepOutcome) -> None:
    conforms(outcome, machine.StepOutcome)
    cycle = cssc.Cycle(CYCLE, now=CREATED, attempts=1)
    step = cycle.next_step(CREATED)
    assert not isinstance(step, str) and "assigned" in step
    cycle.report(step["assigned"]["run"], step["assigned"]["attempt"], outcome, CREATED)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"patch": "nothingMade"}, "nothing-made"),
        ({"patch": {"refused": {"tooManyLayers": 126}}}, "too-many-layers"),
        ({"patch": {"refused": "otherLayers"}}, "another-image"),
        ({"patch": {"refused": {"notRunnable": "no emulation of arm64"}}}, "no-emulation"),
        ({"verify": {"mismatch": {"os": {"before": "debian 12", "candidate": "debian 13"}}}}, "another-image"),
        ({"verify": {"mismatch": {"architecture": {"before": "a", "candidate": "b"}}}}, "another-image"),
        (
            {"verify": {"mismatch": {"platform": {"field": "os", "original": "a", "candidate": "b"}}}},
            "another-image",
        ),
        ({"verify": {"mismatch": {"config": "User"}}}, "another-image"),
        ({"verify": {"mismatch": "no-packages"}}, "another-image"),
        ({"verify": {"mismatch": {"packages-gone": {"count": 1, "package": "p"}}}}, "another-image"),
        (
            {"verify": {"mismatch": {"package-downgraded": {"package": "p", "from": "2", "to": "1"}}}},
            "another-image",
        ),
        ({"test": {"refused": "it does not start"}}, "test-failed"),
        ({"publish": "tagTaken"}, "tag-taken"),
        (
            {"failed": {"kind": "permanent", "message": "not asked", "code": "relay-not-reached"}},
            "relay-not-reached",
        ),
    ],
)
def test_why_an_image_is_not_published(outcome: StepOutcome, code: str) -> None:
    conforms(outcome, machine.StepOutcome)
    cycle = cssc.Cycle(CYCLE, now=CREATED, test=True)
    images = cssc.Cycle.images_of(plan(), digests())[:1]
    kind = next(iter(outcome))
    while not isinstance(step := cycle.next_step(CREATED), str):
        assert "assigned" in step
        work = step["assigned"]
        is_it = work["step"] == kind or (kind, work["step"]) == ("failed", "patch")
        given = outcome if is_it else outcome_of(work, images)
        cycle.report(work["run"], work["attempt"], given, CREATED)
    (row,) = cycle.rows()
    conforms(row, machine.StatusRow)
    assert row["patchedImage"] is None
    assert row["reason"] is not None and row["reason"]["code"] == code


def report(*identifiers: str, os: Optional[str] = "debian") -> bytes:
    result: Dict[str, Any] = {"Class": "os-pkgs", "Packages": [{"Name": "p"}]}
    result["Vulnerabilities"] = [
        {"VulnerabilityID": name, "PkgName": "p", "InstalledVersion": "1", "FixedVersion": "2"}
        for name in identifiers
    ]
    metadata = {"OS": {"Family": os, "Name": "12.5"}} if os else {}
    document = {"SchemaVersion": 2, "Metadata": metadata, "Results": [result] if os else []}
    return json.dumps(document).encode()


def test_outcomes_are_made_of_reports() -> None:
    for made in [report("CVE-1"), report(), report(os=None), report(os="windows")]:
        conforms(machine.scan_outcome(made), machine.ScanOutcome)
    scan = machine.scan_outcome(report("CVE-1", "CVE-2"))
    assert scan["verdict"] == {"patch": {"fixable": 2}}
    assert [finding["vulnerabilityId"] for finding in scan["fixable"]] == ["CVE-1", "CVE-2"]
    before = {DIGEST: report("CVE-1", "CVE-2")}
    verify = machine.verify_outcome(report("CVE-1", "CVE-2"), report("CVE-2"), before)
    conforms(verify, machine.VerifyOutcome)
    evidence = verify["comparisons"][0]["evidence"]
    assert [finding["vulnerabilityId"] for finding in evidence["fixed"]] == ["CVE-1"]
    assert "mismatch" not in verify
    other = machine.verify_outcome(report(), report(os="alpine"), {})
    conforms(other, machine.VerifyOutcome)
    assert other["mismatch"] == {"os": {"before": "debian 12.5", "candidate": "alpine 12.5"}}
    with pytest.raises(cssc.InvalidValueError, match="digest"):
        machine.verify_outcome(report(), report(), {"latest": report()})
    with pytest.raises(cssc.ScanError):
        machine.scan_outcome(b"")


def test_the_options_of_a_cycle() -> None:
    options = {
        "jobs": 2,
        "attempts": 4,
        "pause_seconds": 5,
        "step_limit_seconds": 6,
        "interruptions": 7,
        "verify": False,
        "test": True,
        "allow_config": ["label:org.example.*", "env:VERSION"],
        "attach": "auto",
        "sign": True,
        "until": "verify",
        "adopt": True,
        "patcher": "command",
        "limit": None,
    }
    text = cssc.Cycle(CYCLE, now=CREATED, **wrong(options)).to_json()
    for name, value in {**options, "limit": "none"}.items():
        head, *tail = name.split("_")
        key = head + "".join(word.title() for word in tail)
        assert f'"{key}":{json.dumps(value, separators=(",", ":"))}' in text
    for option, value in [("attach", "no"), ("until", "plan"), ("patcher", "kaniko"), ("allow_config", ["User"])]:
        with pytest.raises(cssc.InvalidValueError, match="expected"):
            cssc.Cycle(CYCLE, now=CREATED, **wrong({option: value}))


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 says less of its types")
def test_the_defaults_of_a_cycle_are_those_it_says() -> None:
    said = {
        name: parameter.default
        for name, parameter in inspect.signature(cssc.Cycle).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert cssc.Cycle(CYCLE, now=CREATED, **said).to_json() == cssc.Cycle(CYCLE, now=CREATED).to_json()


def test_a_cycle_is_shared() -> None:
    cycle = cssc.Cycle(CYCLE, now=CREATED)

    class Zone(tzinfo):
        """A zone in Python, in which everything may happen."""

        def utcoffset(self, _: datetime | None) -> timedelta:
            cycle.to_json()
            return timedelta(0)

        def dst(self, _: datetime | None) -> None:
            return None

        def tzname(self, _: datetime | None) -> None:
            return None

    now = CREATED.replace(tzinfo=Zone())
    assert isinstance(cycle.next_step(now), dict)
    assert cycle.cancel(now) == 1


def test_a_cycle_is_driven_on_asyncio(registry: str, tmp_path: Path) -> None:
    push(registry, "python", "3.11", words="CVE-1=2.0 CVE-2=")
    push(registry, "python", "3.12", words="CVE-2=")
    push(registry, "redis", "7", words="CVE-3=2.0!")
    policy = tmp_path / "policy.json"
    rules = [{"repository": name, "tags": ["*"]} for name in ("python", "redis")]
    policy.write_text(json.dumps({"version": "v1", "repositories": rules}))
    standin = ROOT / "cssc-engine" / "tests" / "standin"

    def run() -> List[str]:
        ended = subprocess.run(
            [sys.executable, ROOT / "cssc-py" / "examples" / "drive_cycle.py", registry, policy, "3"],
            env={
                **os.environ,
                "PATH": f"{standin}:{os.environ['PATH']}",
                "TRIVY_CACHE_DIR": str(tmp_path / "trivy"),
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()

    assert [row.split("\t")[:3] for row in run()] == [
        ["python:3.11", "patched", "python:3.11-1"],
        ["python:3.12", "clean", ""],
        ["redis:7", "vulnerable", ""],
    ]
    again = [row.split("\t")[:3] for row in run()]
    assert again == [["python:3.11", "clean", ""], ["python:3.12", "clean", ""], ["redis:7", "vulnerable", ""]]
    tags = cssc.Client(registry).tags("python") or []
    assert "3.11-1" in tags
    # The first cycle's candidate has kept its tag, and the second did not take it for an original.
    assert [tag.partition("-")[0] for tag in tags] == ["3.11", "3.11", "3.12", "candidate"]
