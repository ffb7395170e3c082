"""Pictures of every kind of page of a project, at two widths, light and dark, to be looked at.

python tests/pages/screenshots.py PROJECT FOLDER [PAGE ...]    # PAGE as in job/Class2D/job006; otherwise all kinds
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from browser import Browser, browser, dashboard
from crawl import visited

WIDTHS, TALLEST = (1280, 1920), 2600  # px
DARK = "--blink-settings=preferredColorScheme=0"


def main() -> None:
    """Write one PNG for each page, width and mode."""
    project, out, wanted = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3:]
    driver = shutil.which("chromedriver") or "chromedriver"
    with dashboard(project) as address:
        for width in WIDTHS:
            for mode, options in (("light", []), ("dark", [DARK])):
                folder = out / f"{width}_{mode}"
                folder.mkdir(parents=True, exist_ok=True)
                with browser(driver, (width, 900), *options) as window:
                    for page in _pages(window, address, wanted):
                        name = re.sub(r"\W+", "_", page)[:80]
                        (folder / f"{name}.png").write_bytes(picture(window, width))


def picture(window: Browser, width: int) -> bytes:
    """Return a PNG of the page that is open, from its top to its end or to so many px."""
    window.resize(width, 900)
    height = int(window.run("return document.documentElement.scrollHeight"))
    window.resize(width, min(max(height, 900), TALLEST))
    window.wait("[...document.images].filter(one => one.loading !== 'lazy').every(one => one.complete)")
    window.wait("[...document.querySelectorAll('.map canvas:not([hidden])')].every(one => one.dataset.drawn"
                " || one.className || one.getBoundingClientRect().top > innerHeight)")
    return base64.b64decode(window.screenshot())


def _pages(window: Browser, address: str, wanted: list[str]) -> Iterator[str]:
    window.go(address)
    at = str(window.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")
    if not wanted:
        yield from (page for _, page in visited(window, at))
    for page in wanted:
        window.go(f"{at}/{page}")
        yield page


if __name__ == "__main__":
    main()
