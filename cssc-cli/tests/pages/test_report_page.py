"""The page of a cycle's report, in a real browser: what is seen, in what size, with which keys."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any, Dict, List, Optional

import pytest
from conftest import ROOT, SCREENSHOTS, assert_it_fits_and_can_be_read, opened
from playwright.sync_api import Browser
HOSTILE = '</b><script>document.title="owned"</script><img src=x onerror=alert(1)>" & \u202eegap'


def finding(number: int, severity: str, since: Optional[str] = None) -> Dict[str, Any]:
    row = {
        "platform": "linux/amd64",
        "vulnerabilityId": f"CVE-2026-{number:04}",
        "package": f"package-{number}",
        "installedVersion": "1.0-1",
        "fixedVersion": "1.0-2",
        "severity": severity,
    }
    return {**row, "since": since} if since else row


def image(
    name: str,
    outcome: str,
    reason: str,
    fixed: List[Dict[str, Any]] = [],
    left: List[Dict[str, Any]] = [],
) -> Dict[str, Any]:
    since = min((one["since"] for one in left), default=None)
    numbers = {
        "fixable": len(fixed) + len(left),
        "fixed": len(fixed),
        "left": len(left),
        "introduced": 0,
        "unfixed": 2,
        "openSince": since,
    }
    scanned = None if outcome == "left-out" else numbers
    run = "20260107T093000Z-3f2a.scan.0"
    platform = {
        "platform": "linux/arm64/v8",
        "outcome": outcome,
        "scanRunId": run,
        "patchRunId": None,
        "findings": numbers,
        "reason": {"code": "x", "text": reason},
    }
    return {
        "image": name,
        "workflowType": "continuouspatchv1",
        "outcome": outcome,
        "scanStatus": "Succeeded",
        "scanDate": "2026-01-07T09:31:00Z",
        "scanRunId": run,
        "patchStatus": "Succeeded",
        "patchDate": None,
        "patchedImage": name + "-1" if outcome == "patched" else None,
        "patchedDigest": None,
        "patchRunId": None,
        "findings": scanned,
        "reason": {"code": "x", "text": reason},
        "platforms": [] if outcome == "left-out" else [platform, {**platform, "platform": "linux/amd64"}],
        "fixedFindings": fixed,
        "leftFindings": left,
    }


def report(number: int, images: List[Dict[str, Any]]) -> Dict[str, Any]:
    summary = {key: 0 for key in ["images", "queued", "running", "published"]}
    for outcome in ["patched", "clean", "vulnerable", "endOfLife", "unsupported", "failed", "canceled", "leftOut"]:
        word = re.sub("([A-Z])", lambda found: "-" + found[1].lower(), outcome)
        summary[outcome] = sum(one["outcome"] == word for one in images)
    summary["images"] = len(images) - summary["leftOut"]
    return {
        "version": 1,
        "cycle": f"202601{number:02}T093000Z-3f2a",
        "status": "Succeeded",
        "cause": "immediate",
        "started": "2026-01-07T09:30:00Z",
        "finished": "2026-01-07T09:40:00Z",
        "summary": summary,
        "problem": None,
        "databases": ["2026-01-07T00:00:00Z"],
        "images": images,
    }


IMAGES = [
    image("python:3.12", "clean", "no fixable OS finding, 2 without a fix"),
    image(
        "python:3.11",
        "patched",
        "",
        [finding(1, "critical"), finding(2, "high"), finding(3, "low")],
    ),
    image(
        "team/a-very-long-name-of-a-repository-that-somebody-once-chose/service:2026.01.07-build-1234567890",
        "vulnerable",
        HOSTILE,
        [],
        [finding(4, "medium", "2026-01-01T00:00:00Z"), finding(5, "critical", "2026-01-05T00:00:00Z")],
    ),
    image("old:1", "end-of-life", "end of service life"),
    image("redis:*", "left-out", "the registry has no image of this name"),
]


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a cycle after five others, written by the library."""
    folder = tmp_path_factory.mktemp("page")
    files = []
    for number in [7, 6, 5, 4, 3, 2]:
        images = IMAGES if number == 7 else IMAGES[:number]
        path = folder / f"{number}.json"
        path.write_text(json.dumps(report(number, images)), "utf-8")
        files.append(str(path))
    command = ["cargo", "run", "--quiet", "-p", "cssc-core", "--example", "report_page", "--"]
    written = subprocess.run(
        [*command, f"ghcr.io/acme {HOSTILE}", *files], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    page = folder / "page.html"
    page.write_bytes(written.stdout)
    return page.as_uri()


def test_the_outcome_is_seen_at_a_glance(browser: Browser, address: str) -> None:
    page = opened(browser, address, viewport={"width": 1200, "height": 900})
    assert page.get_by_role("heading", level=1).inner_text().startswith("Cycle 20260107T093000Z-3f2a")
    tiles = page.locator("#outcomes li").all_inner_texts()
    assert [tile.split() for tile in tiles][:4] == [
        ["4", "images"],
        ["1", "patched"],
        ["1", "clean"],
        ["1", "vulnerable"],
    ]
    rows = page.locator("#findings tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        ["critical", "1", "1"],
        ["high", "1", "0"],
        ["medium", "0", "1"],
        ["low", "1", "0"],
        ["unknown", "0", "0"],
    ]
    assert page.locator("#history svg g").count() == 6
    page.screenshot(path=SCREENSHOTS / "light.png", full_page=True)
    # The outcomes are above the fold.
    box = page.locator("#outcomes").bounding_box()
    assert box is not None and box["y"] + box["height"] < 900


def test_an_image_tells_its_story_to_who_asks_with_keys_alone(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    images = page.locator("#images details")
    # The worst first, then by name.
    names = [name.split(":")[0] for name in page.locator("#images summary b").all_inner_texts()]
    assert [name.split("/")[0] for name in names] == ["team", "old", "python", "python"]
    first = images.first
    assert not first.get_by_text("package-5").is_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent")
        if focused.startswith("team/"):
            break
    else:
        raise AssertionError("the image is not reached with Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is not seen"
    page.keyboard.press("Enter")
    assert first.get_by_text("package-5").is_visible()
    # The worst finding first, and since when it is open.
    row = first.locator("table").nth(1).locator("tbody tr").first
    assert row.inner_text().split() == [
        "critical", "CVE-2026-0005", "package-5", "1.0-1", "1.0-2", "linux/amd64", "2026-01-05", "00:00", "UTC",
    ]
    page.screenshot(path=SCREENSHOTS / "story.png", full_page=True)


def test_hostile_text_is_text(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    assert page.title().startswith("Succeeded: cycle") and "owned" != page.title()
    assert page.locator("script, img, iframe").count() == 0
    shown = HOSTILE.replace("\u202e", "\ufffd")
    assert page.locator("header b").inner_text() == f"ghcr.io/acme {shown}"
    images = page.locator("#images details")
    images.first.locator("summary").click()
    assert images.first.locator("p").first.inner_text() == shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_it_fits_and_can_be_read(browser: Browser, address: str, scheme: Any, width: int) -> None:
    page = opened(
        browser, address, color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    for summary in page.locator("#images summary").all():
        summary.click()
    page.screenshot(path=SCREENSHOTS / f"{scheme}-{width}.png", full_page=True)
    assert_it_fits_and_can_be_read(page, "body")
