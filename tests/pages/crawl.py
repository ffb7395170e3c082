"""Every kind of page of a dashboard, found by its links as a person would: new ones are found without being named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from browser import Browser

_NO_PAGES = ("file", "image", "events", "static")


def visited(window: Browser, at: str, *first: str) -> Iterator[tuple[str, str]]:
    """Open a page of each kind, from the overview and `first` on; yield its kind, and its address in the project."""
    waiting = [f"{at}/{page}" for page in ("overview", *first)]
    seen = {kind_of(page) for page in ("overview", *first)}
    while waiting:
        address = waiting.pop(0)
        window.go(address)
        yield kind_of(address.removeprefix(f"{at}/")), address.removeprefix(f"{at}/")
        for link in window.run("return [...document.querySelectorAll('a[href]:not([download])')].map(link => "
                               "new URL(link.getAttribute('href'), location.href).href)"):
            kind = kind_of(link.partition("#")[0].removeprefix(f"{at}/"))
            if link.startswith(f"{at}/") and kind.partition(" ")[0] not in _NO_PAGES and kind not in seen:
                seen.add(kind)
                waiting.append(link.partition("#")[0])


def kind_of(address: str) -> str:
    """Return what a page is about in words: its route, a job's type, a file's ending; of images also their folder."""
    route, _, name = unquote(urlsplit(address).path).partition("/")
    suffix, folder = PurePosixPath(name).suffix, name.partition("/")[0]
    if route == "job":
        return f"{route} {folder}"
    return f"{route} {suffix} {folder if suffix == '.mrc' else ''}".strip() if suffix else route
