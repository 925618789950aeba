"""The vectors of the core, through the installed wheel."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

import cssc
from conftest import vectors


@pytest.mark.parametrize("case", vectors("policy"), ids=lambda case: case["name"])
def test_policy(case: Any) -> None:
    found = [row._asdict() for row in cssc.check(case["text"])]
    assert json.loads(json.dumps(found)) == case["findings"]
    assert [row._asdict() for row in cssc.check(case["text"].encode())] == found
    errors = [row for row in found if row["severity"] == "error"]
    if errors:
        with pytest.raises(cssc.PolicyError) as raised:
            cssc.Policy(case["text"])
        assert len(raised.value.diagnostics) == len(found)
    else:
        policy = cssc.Policy(case["text"])
        assert cssc.Policy(policy.to_dict()) == policy == cssc.Policy(policy.to_json())
        assert hash(policy) == hash(cssc.Policy(policy.to_json()))


def inventory(case: Any) -> Any:
    def listing(value: Any) -> Any:
        return Exception(value["unavailable"]) if isinstance(value, dict) else value

    return {name: listing(value) for name, value in case["inventory"].items()}


@pytest.mark.parametrize("dialect", list(cssc.Dialect))
@pytest.mark.parametrize("case", vectors("plan"), ids=lambda case: case["name"])
def test_plan(case: Any, dialect: cssc.Dialect) -> None:
    plan = cssc.plan(case["policy"], inventory(case), dialect=dialect)
    expected = case[dialect.value]
    if expected == "same":
        expected = case["documented"]
    images = [[i.repository, i.tag, i.latest_patch, i.patch_tag] for i in plan]
    assert images == expected.get("images", [])
    assert [list(row) for row in plan.skipped] == expected.get("skipped", [])
    assert [list(row) for row in plan.not_found] == expected.get("notFound", [])
    assert [list(row) for row in plan.unavailable] == expected.get("unavailable", [])
    assert len(plan) == len(images)
    explain = "explain" if dialect is cssc.Dialect.DOCUMENTED else "explainService"
    if explain in case:
        verdicts: dict[str, dict[str, str]] = {}
        for row in plan.explain():
            verdicts.setdefault(row.repository, {})[row.tag] = row.verdict
        assert verdicts == case[explain]
    differs = bool(cssc.dialect_differences(case["policy"], inventory(case)))
    assert differs == (case["service"] != "same")


SCHEDULE = vectors("schedule")


@pytest.mark.parametrize("case", SCHEDULE["runs"], ids=lambda case: case["name"])
def test_schedule(case: Any) -> None:
    def time(text: str) -> datetime:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))

    schedule = cssc.Schedule(
        case["schedule"], created=time(case["created"]), dialect=case["dialect"]
    )
    runs = schedule.runs_after(time(case["after"]))
    assert [next(runs) for _ in case["runs"]] == [time(run) for run in case["runs"]]
    assert schedule.cron == case["cron"]


@pytest.mark.parametrize("case", SCHEDULE["invalidIntervals"], ids=lambda case: repr(case["text"])[:40])
def test_invalid_interval(case: Any) -> None:
    with pytest.raises(cssc.InvalidValueError) as raised:
        cssc.Schedule(case["text"], created=datetime.fromisoformat("2024-01-03T00:00:00+00:00"))
    assert str(raised.value) == case["message"]


SCAN = vectors("scan")


@pytest.mark.parametrize("case", SCAN["verdicts"], ids=lambda case: case["name"])
def test_scan(case: Any) -> None:
    text = case["text"] if "text" in case else json.dumps(case["report"])
    found = cssc.scan_verdict(text.encode())
    (verdict, detail), *_ = case["verdict"].items()
    assert found.verdict == verdict
    assert verdict != "patch" or found.fixable == detail["fixable"]


@pytest.mark.parametrize("case", SCAN["errors"], ids=lambda case: case["name"])
def test_scan_errors(case: Any) -> None:
    with pytest.raises(cssc.ScanError) as raised:
        cssc.scan_verdict(case["text"].encode())
    assert str(raised.value) == case["error"]


@pytest.mark.parametrize("case", SCAN["evidence"], ids=lambda case: case["name"])
def test_evidence(case: Any) -> None:
    before, after = (json.dumps(case[which]).encode() for which in ("before", "after"))
    evidence = cssc.compare_scans(before, after)
    assert (evidence.reason or "publish") == case["publish"]
    assert evidence.publish == (case["publish"] == "publish")
    for what in ("fixed", "introduced", "remaining"):
        assert getattr(evidence, what) == len(case[what])
