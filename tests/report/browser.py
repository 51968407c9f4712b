"""A headless Chromium, Playwright's own or the system's; tests skip where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_SYSTEM = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield the browser."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install 'spiq[dev]'"
    )
    with api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        path = str(own) if own.exists() else next(filter(None, map(shutil.which, _SYSTEM)), None)
        if path is None:
            pytest.skip("no Chromium: playwright install chromium, or apt-get install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page as a browser has it, and what it said and asked for on the way."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - innerWidth"),
        )


@contextmanager
def opened(
    browser: Any, path: Path, *, width: int = 1600, scheme: str = "light"
) -> Iterator[Opened]:
    """Open a page, and wait for its first chart."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(15_000)
    found = Opened(page)
    page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("#chart-column svg")
    yield found
    context.close()
