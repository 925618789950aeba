"""A real browser, and what is asked of every page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[3]
SCREENSHOTS = ROOT / "target" / "pages"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox"],
        )
        yield started
        started.close()


def opened(browser: Browser, address: str, site: Optional[str] = None, **context: Any) -> Page:
    """A page, and a failure for whatever it complains of or asks the network for beside its site."""
    page = browser.new_context(**context).new_page()

    def is_ours(url: str) -> bool:
        return url == address or (site is not None and url.startswith(site))

    def complain(what: str) -> None:
        raise AssertionError(what)

    page.on("console", lambda message: complain(f"console: {message.text}"))
    page.on("pageerror", lambda error: complain(f"error: {error}"))
    page.on("request", lambda request: is_ours(request.url) or complain(request.url))
    page.goto(address)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return page


# How well each text below an element is told from its ground, as WCAG measures it.
CONTRAST = """
(below) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = rgb(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgb(getComputedStyle(document.documentElement).colorScheme === "dark" ? "#000" : "#fff");
  };
  const found = [];
  for (const element of document.querySelector(below).querySelectorAll("h1, h2, h3, p, td, th, b, a, li, label, button, summary, .badge, time, footer")) {
    if (!element.textContent.trim() || element.closest(".none")) continue;
    const [one, other] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([ratio, element.tagName, element.textContent.slice(0, 30)]);
  }
  return found;
}
"""


def assert_it_fits_and_can_be_read(page: Page, below: str) -> None:
    """The page does not scroll sideways, and the text below an element is told from its ground."""
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide <= 0, f"the page scrolls sideways by {too_wide}"
    # WCAG's ratio for text of this size.
    pairs = page.evaluate(CONTRAST, below)
    assert len(pairs) > 20
    assert [pair for pair in pairs if pair[0] < 4.5] == []
