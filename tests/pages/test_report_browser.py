"""The report in a browser: from disk, no word in the console, curves that say their values, a map that turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from shown_project import make_project

from cryosnake.pages.report import write_report

_RIGHT = "\ue014"  # the key


@pytest.fixture(scope="module")
def window(chromedriver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The report of ten jobs, opened, scrolled through once."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project(10)
        write_report(Path("report.html"))
    with browser(chromedriver) as opened:
        opened.open(folder / "report.html")
        opened.wait("document.querySelector('canvas').dataset.drawn")
        yield opened


def picture(window: Browser, unlike: str = "", like: str = "") -> str:
    """Return the map's picture, as soon as it is another one, or again the same as one."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = str(window.run("return document.querySelector('canvas').toDataURL()"))
        if found != unlike and like in ("", found):
            return found
        time.sleep(0.1)
    raise AssertionError("the picture of the map stays as it was")


def test_it_shows_a_map(window: Browser) -> None:
    shades = window.run("""
        const canvas = document.querySelector('canvas'), copy = document.createElement('canvas');
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const pen = copy.getContext('2d');
        pen.drawImage(canvas, 0, 0);
        const bytes = pen.getImageData(0, 0, copy.width, copy.height).data, found = new Set();
        for (let i = 0; i < bytes.length; i += 4) found.add(bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2]);
        return found.size""")
    assert shades > 50
    assert window.run("return document.querySelector('.fallback').hidden")


def test_the_map_is_turned_and_thresholded(window: Browser) -> None:
    first = picture(window)
    window.move_to("canvas", drag=(60, 25))
    turned = picture(window, unlike=first)
    window.run("document.querySelector('canvas').focus({preventScroll: true})")
    window.press(_RIGHT)
    picture(window, unlike=turned)
    triangles = "Number(document.querySelector('canvas').dataset.drawn)"
    before = window.run(f"return {triangles}")
    window.run("const slider = document.querySelector('.map input'); slider.value = 200;"
               "slider.dispatchEvent(new Event('input'))")
    window.wait(f"{triangles} < {before} && {triangles} > 0")
    window.run("document.querySelector('.map button').click()")
    window.wait(f"{triangles} === {before}")
    picture(window, like=first)


def test_curves_say_their_values(window: Browser) -> None:
    window.move_to(".leading .chart > svg")
    said = window.wait("document.querySelector('.leading .tip')?.textContent")
    assert "Å" in said and "corrected for the mask" in said and "phases randomised" in said
    number = float(said.split("corrected for the mask ")[1].split("inside")[0])
    assert 0.0 <= number <= 1.0
    window.run("document.querySelector('.leading .chart').focus()")
    window.press(_RIGHT, _RIGHT)
    shell = window.run("return document.querySelector('.leading .tip b').textContent")
    assert abs(float(shell.split()[0]) - 72.0) < 0.1  # the second one of 144 Å


def test_every_link_leads_somewhere_and_nothing_overflows(window: Browser) -> None:
    lost = window.run("return [...document.querySelectorAll('a')].map(link => link.getAttribute('href'))"
                      ".filter(name => !document.querySelector(name))")
    assert lost == []
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")


def test_the_console_is_empty_and_nothing_was_loaded(window: Browser) -> None:
    """The last of these tests: after all that the others did."""
    for part in range(0, 12000, 700):
        window.run("scrollTo({top: arguments[0], behavior: 'instant'})", part)
    time.sleep(0.3)
    assert window.log() == []
    assert window.run("return performance.getEntriesByType('resource').filter(found => !found.name.startsWith('data:'))"
                      ".length") == 0


def test_without_webgl_slices_are_shown_and_no_controls(chromedriver: str, window: Browser) -> None:
    page = Path(window.run("return decodeURIComponent(location.pathname)"))
    with browser(chromedriver, (1280, 900), "--disable-3d-apis") as other:
        other.open(page)
        said = other.wait("document.querySelector('.fallback').textContent")
        assert not other.run("return document.querySelector('.fallback').hidden")
        assert "can't be turned here" in said and "WebGL" in said
        shown = other.run("return [...document.querySelector('.map').children].filter(one => one.offsetHeight)"
                          ".map(one => one.className)")
        assert shown == ["name", "fallback", "slices"]
        shades = other.run("const canvas = document.querySelector('.slices'); const bytes = canvas.getContext('2d')"
                           ".getImageData(0, 0, canvas.width, canvas.height).data; return new Set(bytes).size")
        assert shades > 50
        assert other.log() == []
