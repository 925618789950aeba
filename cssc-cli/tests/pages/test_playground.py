"""The playground of the book, as `docs/build` makes it, served on loopback."""

from __future__ import annotations

import functools
import json
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator, List

import pytest
from conftest import ROOT, SCREENSHOTS, assert_it_fits_and_can_be_read, opened
from playwright.sync_api import Browser, Page, expect

BOOK = ROOT / "target" / "book"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    assert (BOOK / "playground" / "cssc_playground_bg.wasm").exists(), "run docs/build first"
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BOOK)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_address[1]
    server.shutdown()
    server.server_close()


def playground(browser: Browser, site: str, fragment: str = "", **context: Any) -> Page:
    page = opened(browser, f"{site}/playground.html{fragment}", site, **context)
    expect(page.locator("#pg-calendar table")).to_have_count(3)
    return page


def rows(page: Page, table: str) -> List[List[str]]:
    found = page.locator(f"{table} tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in found]


def test_the_plan_is_that_of_the_command(browser: Browser, site: str) -> None:
    page = playground(browser, site)
    policy, tags = (page.locator(f"#pg-{name}").input_value() for name in ("policy", "tags"))
    inventory: dict[str, list[str]] = {}
    for line in tags.split():
        repository, tag = line.split(":")
        inventory.setdefault(repository, []).append(tag)
    folder = ROOT / "target" / "pages"
    (folder / "policy.json").write_text(policy, "utf-8")
    (folder / "inventory.json").write_text(json.dumps(inventory), "utf-8")
    command = ["cargo", "run", "--quiet", "-p", "cssc-cli", "--", "dry-run", "-o", "json"]
    options = ["--config", folder / "policy.json", "-r", f"inventory:{folder}/inventory.json"]
    said = subprocess.run([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    plan = json.loads(said.stdout)
    images = [[row[key] for key in ("repository", "tag", "scanTag", "patchTag")] for row in plan["images"]]
    assert len(images) == 3 and rows(page, "#pg-plan table:first-child") == images
    summary = page.locator("#pg-summary").inner_text()
    assert summary == "3 images, 1 skipped, 1 not found; incremental tags"
    why = {f"{row[0]}:{row[1]}": row[3] for row in rows(page, "#pg-why")}
    assert "`3.9`, which does not exist" in why["python:3.9-4"]
    page.screenshot(path=SCREENSHOTS / "playground.png", full_page=True)


def test_it_follows_as_one_types(browser: Browser, site: str) -> None:
    page = playground(browser, site)
    page.get_by_label("Tags").fill("python:3.13\nredis:7")
    assert rows(page, "#pg-plan table:first-child") == [["python", "3.13", "3.13", "3.13-1"]]
    page.get_by_label("Schedule").fill("10d")
    days = page.locator("#pg-calendar table").nth(1).locator(".pg-run").all_inner_texts()
    assert days == ["1", "11", "21"]
    # What was typed is in the address, and nothing else is.
    assert "tags=python" in page.url and "schedule=10d" in page.url and "policy=" not in page.url
    again = playground(browser, site, page.url[page.url.index("#") :])
    assert rows(again, "#pg-plan table:first-child") == [["python", "3.13", "3.13", "3.13-1"]]


def test_what_is_wrong_is_told_and_shown_with_keys_alone(browser: Browser, site: str) -> None:
    page = playground(browser, site)
    policy = page.get_by_label("Policy")
    policy.fill(policy.input_value().replace('"tags": ["*"]', '"tag": ["*"]', 1))
    findings = page.locator("#pg-findings li").all_inner_texts()
    assert findings == [
        "error[missing-key]: the key `tags` is missing line 5, column 5",
        "error[misspelt-key]: unknown key `tag`: did you mean `tags`? line 7, column 7",
    ]
    assert page.locator("#pg-summary").inner_text() == "No plan: see above what is wrong."
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    start = policy.evaluate("one => one.value.slice(0, one.selectionStart).split('\\n').length")
    assert page.evaluate("document.activeElement.id") == "pg-policy" and start == 5
    page.get_by_label("Schedule").fill("40d")
    assert "40d" in page.locator("#pg-schedule-error").inner_text()
    page.get_by_label("Tags").fill("python")
    assert "line 1" in page.locator("#pg-tags-error").inner_text()


def test_hostile_text_is_text(browser: Browser, site: str) -> None:
    page = playground(browser, site)
    hostile = '<img src=x onerror=alert(1)>'
    page.get_by_label("Policy").fill(json.dumps({hostile: 1, "version": "v1", "repositories": []}))
    assert hostile in page.locator("#pg-findings").inner_text()
    assert page.locator("#pg-findings img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_it_fits_and_can_be_read(browser: Browser, site: str, scheme: Any, width: int) -> None:
    page = playground(browser, site, color_scheme=scheme, viewport={"width": width, "height": 800})
    page.screenshot(path=SCREENSHOTS / f"playground-{scheme}-{width}.png", full_page=True)
    assert_it_fits_and_can_be_read(page, "main")


def test_a_book_that_is_not_served_says_so(browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto((BOOK / "playground.html").as_uri())
    # Scripts that are modules are not loaded from files at all.
    expect(page.get_by_text("needs a browser with WebAssembly")).to_be_visible()
