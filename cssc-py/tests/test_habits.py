"""What Python people expect: pickling, hashing, matching, errors, threads, leaks."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Optional, get_type_hints
from zoneinfo import ZoneInfo

import pytest

import cssc
from conftest import EXAMPLES

POLICY = {"version": "v1", "repositories": [{"repository": "python", "tags": ["*"]}]}
TAGS = {"python": ["3.11", "3.11-1", "3.12", "2024-01-15"]}
CREATED = datetime(2024, 1, 3, 9, 30, tzinfo=timezone.utc)
CYCLE = cssc.Cycle.new_id(CREATED, 1)


def wrong(value: Any) -> Any:
    """A value of a type that a checker would refuse."""
    return value


def plan() -> cssc.Plan:
    return cssc.plan(POLICY, TAGS)


def schedule() -> cssc.Schedule:
    return cssc.Schedule("7d", created=CREATED)


@pytest.mark.parametrize(
    "make",
    [
        plan,
        schedule,
        lambda: cssc.Policy(POLICY),
        lambda: cssc.Tag("3.11"),
        lambda: cssc.Repository("library/ubuntu"),
        lambda: cssc.Registry("myregistry"),
        lambda: plan().images[0],
        lambda: plan().explain()[0],
        lambda: cssc.check("{}")[0],
        lambda: cssc.PatchTag.parse("3.11-2"),
        lambda: cssc.Dialect.SERVICE,
    ],
)
def test_values_are_values(make: Callable[[], Any]) -> None:
    value = make()
    for same in (make(), copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == value and not same != value
        assert hash(same) == hash(value)
        assert repr(same) == repr(value)
        assert type(same) is type(value)
    assert value != object()


def test_a_plan_is_a_sequence() -> None:
    images = plan().images
    assert plan()[0] == images[0] and plan()[-1] == images[1]
    assert plan()[:1] == (images[0],) and list(plan()) == images
    assert isinstance(plan()[0], cssc.Image)
    with pytest.raises(IndexError):
        plan()[2]
    with pytest.raises(TypeError):
        plan()[wrong("python")]
    # Who changes the list changes the list.
    one = plan()
    one.images.clear()
    assert len(one.images) == 2


def test_the_name_of_a_file_is_not_a_policy() -> None:
    with pytest.raises(cssc.PolicyError, match="pathlib.Path"):
        cssc.Policy("/etc/policy.json")


@pytest.mark.parametrize("name", [cssc.Tag, cssc.Repository, cssc.Registry])
def test_names_are_strings(name: Any) -> None:
    with pytest.raises(TypeError, match=f"a {name.__name__.lower()} must be a string, not int"):
        name(5)


def test_repr_can_be_read() -> None:
    assert repr(plan()) == "<Plan: 2 images, 1 skipped>"
    assert repr(cssc.plan(POLICY, {"python": ["1"]})) == "<Plan: 1 image>"
    assert repr(schedule()) == "<Schedule: 7d, created 2024-01-03T09:30:00+00:00, documented>"
    assert repr(cssc.Policy(POLICY)) == "<Policy: 1 rule, incremental tags>"
    assert repr(cssc.Tag("3.11")) == "Tag('3.11')"
    assert repr(cssc.Dialect.SERVICE) == "Dialect.SERVICE"
    assert f"{cssc.TagConvention.FLOATING}" == "floating"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 says less of its types")
def test_rows_match_patterns() -> None:
    # Written out, because `match` is newer than the oldest Python that is supported.
    assert cssc.Image.__match_args__ == (
        "repository",
        "tag",
        "latest_patch",
        "scan_tag",
        "patch_tag",
    )


    assert cssc.Schedule.__match_args__ == ("interval", "created", "dialect")
    assert cssc.Policy.__match_args__ == ("tag_convention", "rules")
    assert cssc.Plan.__match_args__ == ("images",)


def test_names_are_public() -> None:
    for name in cssc.__all__:
        value = getattr(cssc, name)
        if isinstance(value, type):
            assert (value.__module__, value.__qualname__) == ("cssc", name)
    assert get_type_hints(cssc.Image)["latest_patch"] == Optional[str]


def nested(depth: int) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    for _ in range(depth):
        policy = {"x": policy}
    return policy


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (nested(300), "too-deep"),
        ({"version": "x" * (11 << 20)}, "too-large"),
        ({"version": 10**400}, "wrong-type"),
    ],
)
def test_a_hostile_dictionary_has_findings(policy: Any, code: str) -> None:
    found = cssc.check(policy)
    assert code in [row.code for row in found]
    assert {(row.line, row.column) for row in found} == {(None, None)}
    assert [row.code for row in found] == [row.code for row in cssc.check(json.dumps(policy))]


def test_warnings_are_denied_and_allowed() -> None:
    policy = {"version": "v1", "x": 1, "repositories": [{"repository": "a", "tags": ["3.*"]}]}
    found = cssc.check(policy, deny=["warnings"], allow=("glob-not-portable",))
    assert [(row.code, row.severity) for row in found] == [("unknown-key", cssc.Severity.ERROR)]
    with pytest.raises(ValueError, match="did you mean `unknown-key`"):
        cssc.check(policy, deny=["unknown-kay"])


def test_an_exception_without_words_is_named() -> None:
    unavailable = cssc.plan(POLICY, {"python": TimeoutError()}).unavailable
    assert unavailable == [cssc.Unavailable("python", "TimeoutError")]


def test_the_plan_is_its_json() -> None:
    plan_ = plan()
    assert json.loads(plan_.to_json()) == plan_.to_dict()
    assert json.loads(plan_.to_json(indent=2)) == plan_.to_dict()
    assert list(plan_.to_dict()["images"][0]) == [
        "latestPatch",
        "patchTag",
        "repository",
        "scanTag",
        "tag",
    ] or set(plan_.to_dict()["images"][0]) == {
        "repository",
        "tag",
        "latestPatch",
        "scanTag",
        "patchTag",
    }
    assert plan_.to_table()["tag"] == ["3.11", "3.12"]
    assert plan_.policy == cssc.Policy(POLICY)
    assert plan_.explain("python", "2024-01-15")[0].verdict == "base-missing"
    assert plan_.explain("other") == []


def test_a_policy_from_anything() -> None:
    path = EXAMPLES / "continuouspatching.json"
    text = path.read_text("utf-8")
    policy = cssc.Policy(path)
    assert policy == cssc.Policy(text) == cssc.Policy(text.encode())
    assert policy == cssc.Policy(json.loads(text))
    assert policy.tag_convention is cssc.TagConvention.INCREMENTAL
    assert policy.rules[1] == cssc.Rule("ubuntu", ("jammy-20240111", "jammy-20240125"), True)
    assert policy.repositories == ("python", "ubuntu", "node", "redis")
    assert [found.code for found in policy.warnings] == ["glob-not-portable"]
    assert cssc.schema()["title"] == "Continuous patching policy"
    cssc.Policy(cssc.template())


def test_an_inventory_from_a_callable() -> None:
    asked = []

    def ask(repository: str) -> list[str] | None:
        asked.append(repository)
        return TAGS.get(repository)

    policy = {
        "version": "v1",
        "repositories": [
            {"repository": "python", "tags": ["*"]},
            {"repository": "gone", "tags": ["x"]},
            {"repository": "off", "tags": ["*"], "enabled": False},
        ],
    }
    plan_ = cssc.plan(policy, ask)
    assert asked == ["python", "gone"]
    assert plan_.not_found == [cssc.NotFound("gone", "x")]


def test_what_a_callable_raises_comes_through() -> None:
    boom = KeyboardInterrupt("no")

    def ask(repository: str) -> list[str]:
        raise boom

    with pytest.raises(KeyboardInterrupt) as raised:
        cssc.plan(POLICY, ask)
    assert raised.value is boom


def test_errors_have_one_base() -> None:
    for error in (cssc.PolicyError, cssc.InvalidValueError, cssc.ScanError):
        assert issubclass(error, cssc.Error) and issubclass(error, ValueError)
    assert issubclass(cssc.WorkflowError, cssc.Error)
    unusable = cssc.PolicyError("x", cssc.check("{}"))
    again = pickle.loads(pickle.dumps(unusable))
    assert (str(again), again.diagnostics) == ("x", unusable.diagnostics)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cssc.Tag("a b"), cssc.InvalidValueError, "`a b` is not a valid tag"),
        (lambda: cssc.Repository("A"), cssc.InvalidValueError, "must be lower case"),
        (lambda: cssc.Registry("a/"), cssc.InvalidValueError, "nothing before, between or after a `/`"),
        (lambda: cssc.Schedule("7", created=CREATED), cssc.InvalidValueError, "`7d`"),
        (lambda: cssc.Schedule("7d", created=datetime(2024, 1, 3)), ValueError, "naive datetime"),
        (lambda: cssc.Schedule("7d", created=wrong("now")), TypeError, "aware datetime, not str"),
        (lambda: schedule().next_after(datetime(2024, 1, 3)), cssc.Error, "naive datetime"),
        (lambda: cssc.Schedule("7d", created=CREATED, dialect="x"), ValueError, "not a dialect"),
        (lambda: cssc.plan(POLICY, TAGS, dialect="x"), ValueError, "not a dialect"),
        (lambda: cssc.plan(POLICY, wrong(7)), TypeError, "a mapping or a callable, not int"),
        (lambda: cssc.plan(POLICY, {"python": "3.11"}), TypeError, "not a string"),
        (lambda: cssc.plan(POLICY, {"python": [wrong(3.11)]}), TypeError, "a string, not float"),
        (lambda: cssc.plan(POLICY, {"python": ["a b"]}), ValueError, "`a b` is not a valid tag"),
        (lambda: cssc.plan(POLICY, {"Python": []}), ValueError, "must be lower case"),
        (lambda: cssc.plan(POLICY, {wrong(7): []}), TypeError, "must be strings"),
        (lambda: cssc.plan(POLICY, TAGS, limit=-1), OverflowError, ""),
        (lambda: cssc.plan(wrong(7), TAGS), TypeError, "not int"),
        (lambda: cssc.plan({"version": float("nan")}, TAGS), ValueError, ""),
        (lambda: cssc.plan({"version": {1, 2}}, TAGS), TypeError, "set"),
        (lambda: cssc.check({"version": "\ud800"}), UnicodeEncodeError, "surrogates"),
        (lambda: plan().to_json(indent=17), cssc.InvalidValueError, "at most 16 spaces, not `17`"),
        (lambda: plan().to_json(indent=1 << 62), cssc.InvalidValueError, "at most 16 spaces"),
        (lambda: schedule().run_days(2024, 13), cssc.InvalidValueError, "`2024-13` is not a month"),
        (lambda: schedule().run_days(0, 1), cssc.InvalidValueError, "years are 1 to 9999"),
        (lambda: schedule().is_run_day(datetime(2024, 1, 7)), ValueError, "naive datetime"),
        (lambda: schedule().is_run_day(wrong("2024-01-07")), TypeError, ""),
        (lambda: cssc.Cycle(CYCLE, now=CREATED, **wrong({"atempts": 5})), TypeError, "atempts"),
        (lambda: cssc.Cycle("1", now=CREATED), ValueError, "`1` is not the name of a cycle"),
        (lambda: cssc.Cycle(CYCLE, now=CREATED, jobs=0), ValueError, ""),
        (lambda: cssc.Cycle(CYCLE, now=CREATED, jobs=wrong("x")), TypeError, ""),
        (lambda: cssc.newest(["a b"], "a"), ValueError, "`a b` is not a valid tag"),
        (lambda: cssc.next_tag([], "a b"), ValueError, "`a b` is not a valid tag"),
        (lambda: cssc.Policy("\ud800"), UnicodeEncodeError, "surrogates"),
        (lambda: cssc.plan(POLICY, {"python": ["\ud800"]}), UnicodeEncodeError, "surrogates"),
        (lambda: cssc.Policy(Path("/nowhere.json")), FileNotFoundError, "nowhere"),
        (lambda: cssc.Policy(b" " * (11 << 20)), cssc.PolicyError, "10 MiB"),
        (lambda: cssc.newest(["3.11"], "3.12"), cssc.InvalidValueError, "there is no tag `3.12`"),
        (
            lambda: cssc.newest(["3.11", "3.11-2"], "3.11-2"),
            cssc.InvalidValueError,
            "`3.11-2` is reserved for a patch of `3.11`: ask for the original",
        ),
        (lambda: cssc.lineages(["a"], "rolling"), ValueError, "not a tag convention"),
        (lambda: cssc.matches("[", "a"), ValueError, "not a valid glob"),
        (lambda: cssc.scan_verdict(b"{}"), cssc.ScanError, ""),
        (lambda: cssc.Cycle.from_json("{}"), cssc.InvalidValueError, ""),
    ],
)
def test_bad_input(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value) or isinstance(raised.value, cssc.PolicyError)


def test_times_of_any_zone() -> None:
    berlin = datetime(2024, 1, 3, 10, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert cssc.Schedule("7d", created=berlin) == schedule()
    assert schedule().created == CREATED
    assert schedule().created.tzinfo is not None
    fixed = datetime(2024, 1, 3, 4, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert cssc.Schedule("07d", created=fixed) == schedule()


def test_the_schedule() -> None:
    schedule_ = schedule()
    assert [run.day for run, _ in zip(schedule_, range(5))] == [7, 14, 21, 28, 1]
    assert schedule_.is_run_day(date(2024, 1, 7)) and not schedule_.is_run_day(date(2024, 1, 8))
    assert [day.day for day in schedule_.run_days(2024, 2)] == [1, 8, 15, 22, 29]
    assert (schedule_.interval, schedule_.days, schedule_.cron) == ("7d", 7, "30 9 */7 * *")
    end = datetime.max.replace(tzinfo=timezone.utc)
    assert schedule_.next_after(end) is None
    last = datetime(9999, 12, 30, tzinfo=timezone.utc)
    assert [run.day for run in cssc.Schedule("30d", created=last)] == []
    tokyo = timezone(timedelta(hours=9))
    assert schedule_.is_run_day(datetime(2024, 1, 8, 1, tzinfo=tokyo))
    assert not schedule_.is_run_day(datetime(2024, 1, 7, 1, tzinfo=tokyo))


def test_notebooks() -> None:
    assert "<td>3.11-2</td>" in plan()._repr_html_()
    assert "<b>[7]</b>" in schedule()._repr_html_()
    hostile = cssc.plan(POLICY, {"python": OSError("<script>")})
    assert "<script>" not in hostile._repr_html_()


def test_patch_tags() -> None:
    patch = cssc.PatchTag.parse("3.11-2")
    assert patch == ("3.11-2", "3.11", cssc.TagConvention.INCREMENTAL, 2)
    floating = cssc.PatchTag.parse("3.11-patched", "floating")
    assert floating is not None and floating.number is None
    assert cssc.PatchTag.parse("3.11-patched", "incremental") is None
    assert cssc.next_tag(["a", "a-999"], "a") is None
    assert cssc.next_tag(["a"], "a", "floating") == "a-patched"
    assert cssc.matches("3.*-slim", "3.11-slim")


def report(*fixed: str) -> bytes:
    found = [
        {
            "VulnerabilityID": name,
            "PkgName": "zlib1g",
            "InstalledVersion": "1",
            "FixedVersion": "2",
            "Severity": "HIGH",
        }
        for name in fixed
    ]
    os_packages: dict[str, Any] = {"Target": "x", "Class": "os-pkgs", "Type": "debian"}
    os_packages |= {"Packages": [{"Name": "zlib1g"}], "Vulnerabilities": found}
    document = {
        "SchemaVersion": 2,
        "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}},
        "Results": [os_packages],
    }
    return json.dumps(document).encode()


def test_scan_reports() -> None:
    verdict = cssc.scan_verdict(report("CVE-1", "CVE-2"))
    assert (verdict.verdict, verdict.fixable, verdict.os) == ("patch", 2, ("debian", "12.5"))
    assert cssc.scan_verdict(report()).verdict == "skip"
    assert cssc.compare_scans(report("CVE-1"), report()).publish
    evidence = cssc.compare_scans(report("CVE-1"), report("CVE-1"))
    assert not evidence.publish and evidence.reason
    with pytest.raises(cssc.ScanError):
        cssc.scan_verdict(report("CVE-1")[:-5])


def test_ten_threads_at_once() -> None:
    tags = {"python": [f"3.{n}" for n in range(2000)] + [f"3.{n}-{n % 9 + 1}" for n in range(2000)]}
    expected = cssc.plan(POLICY, tags).to_json()
    shared = cssc.plan(POLICY, tags)

    def work(_: int) -> bool:
        return cssc.plan(POLICY, tags).to_json() == expected == shared.to_json()

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(work, range(100)))


def test_no_leak() -> None:
    script = """
import cssc, resource
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
policy = {"version": "v1", "repositories": [{"repository": "a", "tags": ["*"]}]}
policy = cssc.Policy(policy)
def work(times):
    for _ in range(times):
        cssc.Tag("3.11")
        try: cssc.Tag("a b")
        except cssc.Error: pass
        cssc.plan(policy, {"a": ["x", "x-1"]}).images
work(20_000)
before = peak()
work(320_000)
assert peak() - before < 8_000, peak() - before
"""
    # Three calls into the package a round: a million.
    subprocess.run([sys.executable, "-c", script], check=True)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = Path(__file__).parents[1] / "examples" / script
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, encoding="utf-8", check=False
    )


def test_the_examples(tmp_path: Path) -> None:
    policy, tags = EXAMPLES / "continuouspatching.json", EXAMPLES / "registry.json"
    checked = run("check_policy.py", str(policy))
    assert checked.returncode == 0 and "title=glob-not-portable::" in checked.stdout
    bad = tmp_path / "bad.json"
    bad.write_text("{}", "utf-8")
    assert run("check_policy.py", str(bad)).returncode == 1
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text("image: registry.example:5000/python:3.12\nimage: other:1\n")
    done = run("newest_tag.py", str(deployment), str(tags))
    assert done.returncode == 0, done.stderr
    assert deployment.read_text("utf-8") == (
        "image: registry.example:5000/python:3.12-10\nimage: other:1\n"
    )
    due = run("due.py", str(policy), str(tags), "7d", "2024-01-03T09:30:00+00:00")
    assert due.returncode == 0, due.stderr
    assert "cssc_images 7\n" in due.stdout


def test_the_example_that_comments(tmp_path: Path) -> None:
    policy, tags = EXAMPLES / "continuouspatching.json", EXAMPLES / "registry.json"
    earlier = tmp_path / "earlier.json"
    rule = {"repository": "python", "tags": ["3.9", "3.11"]}
    earlier.write_text(json.dumps({"version": "v1", "repositories": [rule]}), "utf-8")
    said = run("plan_comment.py", str(policy), str(tags), str(earlier))
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("### The policy selects 7 images\n\n- added: `node:20-alpine`, ")
    assert "- `python:3.11-2` → `3.11-3`\n" in said.stdout
    assert "<summary>Skipped: 3</summary>" in said.stdout
    back = run("plan_comment.py", str(earlier), str(tags), str(policy))
    assert "- no longer patched: `node:20-alpine`" in back.stdout
    bad = tmp_path / "bad.json"
    bad.write_text('{"version": "v1", "repositories": 5}', "utf-8")
    refused = run("plan_comment.py", str(bad), str(tags))
    assert refused.returncode == 1 and "line 1: " in refused.stdout


def test_everything_is_exported() -> None:
    assert sorted(cssc.__all__) == sorted(set(cssc.__all__))
    for name in cssc.__all__:
        assert getattr(cssc, name) is not None
