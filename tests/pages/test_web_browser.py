"""The dashboard in a browser, from a real server: pages that follow the project, nothing from outside."""

from __future__ import annotations

import contextlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browser, dashboard
from shown_project import make_project, write_star
from web_client import need_server

from cryosnake.cli import main
from cryosnake.io.mrc_writer import write_mrc

need_server()
_PLUS, _TAB, _SPACE, _ENTER, _ESCAPE = "+", "\ue004", " ", "\ue007", "\ue00c"
_LEFT, _UP, _RIGHT, _DOWN = "\ue012", "\ue013", "\ue014", "\ue015"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten jobs, one micrograph with picks, and a job that waits for a choice."""
    folder = tmp_path_factory.mktemp("web") / "shown"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project(10)
        for name in ("Movies", "gone"):
            Path(name).mkdir()
        write_mrc("Movies/m0001.mrc", np.random.default_rng(0).normal(size=(600, 800)).astype(np.float32), 1.5)
        write_star(Path("gone/1.star"), {"": {"rlnCoordinateX": [100.0, 200.0], "rlnCoordinateY": [50.0, 400.0]}})
        Path("config.yaml").write_text("title: shown\njobs:\n  good: {type: select, classes: choose, particles: "
                                       "Class2D/job006/run_it025_data.star}\n")
    return folder


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    """What the command prints, with the token."""
    with dashboard(project) as opened:
        yield opened


@pytest.fixture(scope="module")
def window(chromedriver: str, address: str) -> Iterator[Browser]:
    with browser(chromedriver) as opened:
        opened.go(address)
        yield opened


@pytest.fixture(scope="module")
def at(window: Browser) -> str:
    return str(window.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")


def test_the_address_has_lost_the_token(window: Browser, at: str, address: str) -> None:
    assert "token" not in at
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{30,}", address)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{at}/overview", timeout=10)
    assert window.run("return document.cookie") == ""


def test_a_box_of_the_flowchart_leads_to_its_job(window: Browser, at: str) -> None:
    window.go(f"{at}/overview")
    window.wait("document.querySelector('canvas').dataset.drawn")
    window.run("document.querySelector('.flow a[href$=\"Class2D/job006\"] .box').dispatchEvent("
               "new MouseEvent('click', {bubbles: true}))")
    window.wait("location.pathname.endsWith('/job/Class2D/job006')")
    assert window.run("return document.querySelectorAll('.gallery img').length") == 12


def test_a_page_follows_its_job_without_being_loaded_again(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/job/Refine3D/job008")
    window.wait("document.querySelector('canvas').dataset.drawn")
    window.run("window.mark = 1; document.querySelector('canvas').mark = 1; "
               "document.querySelector('details').open = true")
    time.sleep(1.2)  # the server has looked once
    log = project / "Refine3D/job008/run.out"
    text = log.read_text()
    log.unlink()  # it has other names
    log.write_text(text + "iteration  12: a line of now\n")
    window.wait("document.querySelector('.log').textContent.includes('a line of now')", 20)
    assert window.run("return [window.mark, document.querySelector('canvas').mark]") == [1, 1]
    assert window.run("return document.querySelector('details').open")


def test_a_job_that_fails_shows_it(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/overview")
    window.wait("document.querySelector('.state.succeeded')")
    time.sleep(1.2)
    with contextlib.chdir(project):
        assert main(["mark", "MaskCreate/job009", "failed"]) == 0
    assert window.wait("[...document.querySelectorAll('.jobs .failed')].map(one => one.textContent).join()", 20)
    assert window.run("return document.querySelector('nav .dot.failed') !== null")


def test_a_micrograph_is_zoomed_into(window: Browser, at: str) -> None:
    window.go(f"{at}/view/Movies/m0001.mrc")
    assert window.run("return document.querySelectorAll('.picks circle').length") == 2
    window.run("document.querySelector('.micrograph svg').focus()")
    window.press(_PLUS, _PLUS, _PLUS, _PLUS)
    finer = window.wait("document.querySelector('.fine')?.getAttribute('href')")
    assert "region=" in finer
    window.move_to(".micrograph svg", drag=(40, 30))
    assert window.wait(f"document.querySelector('.fine')?.getAttribute('href') !== {finer!r}")
    window.press("0")
    window.wait("!document.querySelector('.fine')")


def test_bars_choose_rows(window: Browser, at: str) -> None:
    window.go(f"{at}/view/CtfFind/job003/micrographs_ctf.star?block=micrographs&sort=rlnDefocusU")
    window.move_to(".brush .chart > svg", drag=(90, 0))
    window.wait("location.search.includes('low=')")
    assert " of 60 rows" in window.run("return document.querySelector('[data-part=table]').textContent")


def test_classes_are_proposed_ranged_and_taken_back(window: Browser, at: str) -> None:
    chosen = "document.querySelector('.command').textContent.split(' ').pop()"
    window.go(f"{at}/choose/good")
    window.run("const field = document.querySelector('.typed'); field.value = '1-3,8';"
               "field.dispatchEvent(new Event('input'))")
    assert window.run(f"return {chosen}") == "1,2,3,8"
    assert "particles (" in window.run("return document.querySelector('.sum').value")
    window.run("const field = document.querySelector('.typed'); field.value = '1-30';"
               "field.dispatchEvent(new Event('input'))")
    assert window.run(f"return [{chosen}, document.querySelector('.typed').validity.valid]") == ["1,2,3,8", False]
    window.run("const slider = document.querySelector('[data-limit=share]');"
               "for (const value of [1, 5, 8.5]) { slider.value = value; slider.dispatchEvent(new Event('input')); }")
    proposed = window.run(f"return {chosen}")
    assert proposed == window.run("return [...document.querySelectorAll('.gallery li')].filter(one => 100 * "
                                  "one.dataset.share >= 8.5).map(one => +one.dataset.number).sort((a, b) => a - b)"
                                  ".join()") != "1,2,3,8"
    window.run("document.querySelector('[data-choose=invert]').click()")
    window.run("document.querySelector('.gallery input').focus()")
    window.press(_RIGHT, _DOWN, _UP, _LEFT, _RIGHT, _SPACE, _ENTER)  # the second, ticked, larger
    assert window.run("return document.activeElement.closest('dialog') !== null")
    assert window.wait("document.querySelector('dialog img.large')?.naturalWidth > 0")
    window.press(_RIGHT)
    third = "document.querySelectorAll('.gallery li')[2]"
    window.wait(f"document.querySelector('dialog h1')?.textContent.startsWith(`Class ${{{third}.dataset.number}} `)")
    window.press(_ESCAPE)
    window.wait(f"document.activeElement === {third}.querySelector('input')")
    for _ in range(3):  # the tick, the inversion, the slider as one
        window.run("document.querySelector('[data-choose=undo]').click()")
    assert window.run(f"return {chosen}") == "1,2,3,8"


def test_classes_are_chosen_by_keys(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/choose/good")
    window.run("document.querySelector('.gallery input').focus()")
    window.press(_SPACE, _TAB, _TAB, _SPACE)
    assert window.run("return document.querySelector('.sum').value").startswith("2 of 12 classes")
    command = window.run("return document.querySelector('.command').textContent")
    window.run("document.querySelector('.primary').focus()")
    window.press(_SPACE)
    window.wait("location.search === '?written=1'")
    chosen = command.rpartition(" ")[2].replace(",", ", ")
    assert f"classes: [{chosen}]" in (project / "decisions/good.yaml").read_text()


def test_no_page_is_wider_than_the_window_and_nothing_is_loaded_from_elsewhere(window: Browser, at: str) -> None:
    """The last one: after all that the others did."""
    pages = ("overview", "runs", "space", "job/Extract/job005", "job/CtfFind/job003", "job/PostProcess/job010",
             "view/Class2D/job006/run_it025_classes.mrcs", "view/default_pipeline.star")
    for page in pages:
        window.go(f"{at}/{page}")
        assert window.run("return document.documentElement.scrollWidth <= innerWidth"), page
        outside = window.run("return performance.getEntriesByType('resource').map(found => found.name)"
                             ".filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))")
        assert outside == [], page
    assert window.log() == []
