"""Building a job in the browser by mouse and by keys alone, seeing what would run, running it to its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import Browser, browser, dashboard
from web_client import need_server

from cryosnake.io.mrc_writer import write_mrc

need_server()
_TAB, _ENTER, _DOWN = "\ue004", "\ue007", "\ue015"
CONFIG = """\
# a map of before
jobs:
  other:  {type: maptool, map: map.mrc, flip_hand: true}   # the other hand
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "built"
    folder.mkdir()
    z, y, x = np.mgrid[:24, :24, :24] - 12
    write_mrc(folder / "map.mrc", np.exp(-(x**2 + y**2 + (z + 2)**2) / 30.0).astype(np.float32), 3.0)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def window(chromedriver: str, project: Path) -> Iterator[Browser]:
    with dashboard(project) as address, browser(chromedriver) as opened:
        opened.go(address)
        yield opened


@pytest.fixture(scope="module")
def at(window: Browser) -> str:
    return str(window.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")


def value(window: Browser, name: str) -> str:
    return str(window.run("return document.querySelector('.builder').elements[arguments[0]].value", name))


def test_by_mouse(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/build")
    window.run("document.querySelector('.types a[href$=maskcreate]').click()")
    window.wait("document.querySelector('[data-output]')")
    assert "is needed: map" in window.run("return document.querySelector('#problem-map').textContent")
    window.move_to("[data-output=other]")
    start = window.run("const r = document.querySelector('[data-output=other]').getBoundingClientRect();"
                       "return [r.x + r.width / 2, r.y + r.height / 2]")
    end = window.run("const r = document.querySelector('#f-map').getBoundingClientRect();"
                     "return [r.x + r.width / 2, r.y + r.height / 2]")
    window.move_to("[data-output=other]", drag=(round(end[0] - start[0]), round(end[1] - start[1])))
    window.wait("document.querySelector('.entry').textContent.includes('map: other')", 10)
    assert value(window, "map") == "other"
    assert window.run("return document.querySelector('#problem-map').textContent") == ""
    command = window.run("return document.querySelector('.command').textContent")
    assert command == "cryosnake add maskcreate maskcreate map=other"
    window.run("document.querySelector('.builder .primary').click()")
    window.wait("location.pathname.endsWith('/preview')", 10)
    text = (project / "config.yaml").read_text()
    assert text == CONFIG + "  maskcreate: {type: maskcreate, map: other}\n"


def tab_to(window: Browser, focused: str, name: str) -> None:
    for _ in range(60):
        if window.run(focused) == name:
            return
        window.press(_TAB)
    raise AssertionError(f"no Tab leads to {name}")


def test_by_keys_alone(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/build/new/maskcreate")
    window.wait("document.querySelector('.builder')")
    focused = "return document.activeElement.name || document.activeElement.tagName"
    tab_to(window, focused, "map")
    window.press(_DOWN)
    window.wait("document.querySelector('.entry').textContent.includes('map: ')", 10)
    tab_to(window, focused, "low_pass")
    window.press("-", "3")
    window.wait("document.querySelector('#problem-low_pass').textContent.includes('at least 0')", 10)
    window.press("\ue003", "\ue003", "2", "0", _ENTER)
    window.wait("location.pathname.endsWith('/preview')", 10)
    job = yaml.safe_load((project / "config.yaml").read_text())["jobs"]["maskcreate_2"]
    assert job == {"type": "maskcreate", "map": "other", "low_pass": 20}


def test_it_runs_to_its_end_on_the_page(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/preview")
    shown = str(window.wait("document.querySelector('main').textContent"))
    assert all(words in shown for words in ("3 jobs", "new: it has not run", "no earlier run", "MapTool/job001"))
    window.run("document.querySelector('main form .primary').click()")
    window.wait("location.pathname.endsWith('/runs')", 10)
    window.run("window.same = true")
    window.wait("document.querySelector('[data-part=started]')?.textContent.includes('has ended')", 300)
    assert window.run("return window.same")
    log = window.run("return document.querySelector('[data-part=started]').textContent")
    assert "(100%) done" in log
    assert all((project / f"MaskCreate/job00{number}/mask.mrc").exists() for number in (2, 3)), log
    window.go(f"{at}/preview")
    window.wait("document.querySelector('main').textContent.includes('Nothing: all that')", 10)
    assert window.log() == []


def test_figures_of_a_clean_up_follow_each_tick(window: Browser, at: str) -> None:
    window.go(f"{at}/cleanup")
    window.wait("document.querySelector('.scriptless').hidden", 10)
    assert "0 deleted" in window.run("return document.querySelector('[data-figures=estimate]').textContent")
    window.run("document.querySelector('input[value=delete_non_final]').focus()")
    window.press(" ")
    window.wait("document.querySelector('[data-figures=estimate]').textContent.includes('3 deleted')", 10)
    assert "--delete-non-final" in window.run("return document.querySelector('[data-figures=actions]').textContent")
    assert window.log() == []
