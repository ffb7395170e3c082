"""Every page for everybody: axe-core finds no serious fault, in light and dark, nor in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, browser, dashboard
from crawl import kind_of, visited
from shown_project import make_project, write_star
from web_client import ACCESS, need_server

from cryosnake.io.mrc_writer import write_mrc
from cryosnake.pages.report import write_report
from cryosnake.pages.web.app import application

need_server()
_NO_PAGES = ("/events", "/static/{name}", "/image/{name:path}", "/file/{name:path}", "/curated/{name:path}",
             "/picks/{name:path}")
_NOT_LINKED_HERE = ("view/PostProcess/job010/postprocess_masked.mrc", "view/Class2D/job006/run_it025_classes.mrcs",
                    "view/Refine3D/job008/run.out", "choose/good", "curate/curate", "pick/manual",
                    "nothing")  # the made-up jobs list no such files
_DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten jobs, one micrograph with picks, one job that failed, and one that waits for a choice."""
    folder = tmp_path_factory.mktemp("accessible") / "shown"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project(10)
        for name in ("Movies", "gone"):
            Path(name).mkdir()
        write_mrc("Movies/m0000.mrc", np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32), 1.5)
        write_star(Path("gone/0.star"), {"": {"rlnCoordinateX": [10.0, 20.0], "rlnCoordinateY": [5.0, 40.0]}})
        ctf = "CtfFind/job003/micrographs_ctf.star"
        Path("config.yaml").write_text("title: shown\njobs:\n  good: {type: select, classes: choose, particles: "
                                       "Class2D/job006/run_it025_data.star}\n  curate: {type: curate, limits: "
                                       f"{{rlnDefocusU: 9000..}}, micrographs: {ctf}}}\n"
                                       f"  manual: {{type: manualpick, micrographs: {ctf}}}\n")
    return folder


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    with dashboard(project) as opened:
        yield opened


def faults(window: Browser, axe: str, *rules: str) -> list[str]:
    """Return the serious and critical faults of the page that is open, by all rules or by these."""
    window.run(axe)
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    return list(window.run("""
        const found = await axe.run(document, {resultTypes: ["violations"], ...arguments[0]});
        return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
          .map(one => [one, one.nodes[0], one.nodes[0].any.concat(one.nodes[0].all).map(check => check.message).join()])
          .map(([one, node, why]) => `${one.help}, ${one.nodes.length} times: ${node.html.slice(0, 200)} (${why})`)""",
                           only))


def opened_project(window: Browser, address: str) -> str:
    window.go(address)
    return str(window.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")


def test_no_page_has_a_serious_fault(chromedriver: str, axe: str, address: str) -> None:
    """Of every kind of page that links lead to one; a page to which none leads can't be found by anybody."""
    found: dict[str, list[str]] = {}
    with browser(chromedriver) as window:
        at = opened_project(window, address)
        for kind, page in visited(window, at, *_NOT_LINKED_HERE):
            found[f"{kind} ({page})"] = faults(window, axe)
        window.run("document.querySelector('main').append(new Image())")
        assert "alternative text" in faults(window, axe)[0]  # it would have told
    assert {page: words for page, words in found.items() if words} == {}
    routes = {route.path.removeprefix("/p/{project}/").partition("/")[0]
              for route in application([], ACCESS)._app.routes  # type: ignore[attr-defined]
              if "GET" in route.methods and route.path.startswith("/p/") and not route.path.endswith(_NO_PAGES)}
    assert routes - {kind.partition(" ")[0] for kind in found} == set()


def test_colours_of_the_dark_can_be_read(chromedriver: str, axe: str, address: str) -> None:
    found = {}
    with browser(chromedriver, (1280, 900), _DARK) as window:
        at = opened_project(window, address)
        assert window.run("return matchMedia('(prefers-color-scheme: dark)').matches")
        for page in ("overview", "runs", "job/Class2D/job006", "job/CtfFind/job003", "choose/good",
                     "curate/curate", "pick/manual", "view/CtfFind/job003/micrographs_ctf.star?sort=rlnDefocusU"):
            window.go(f"{at}/{page}")
            found[page] = faults(window, axe, "color-contrast")
    assert {page: words for page, words in found.items() if words} == {}


def test_the_report_has_no_serious_fault(chromedriver: str, axe: str, project: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        write_report(tmp_path / "report.html")
    with browser(chromedriver) as window:
        window.open(tmp_path / "report.html")
        assert faults(window, axe) == []


def test_pages_are_told_apart() -> None:
    assert [kind_of(name) for name in ("job/Class2D/job006", "view/Movies/m%201.mrc?sigma=2", "runs?all=1",
                                       "view/a/b.star", "choose/good")] == [
        "job Class2D", "view .mrc Movies", "runs", "view .star", "choose"]
