"""A project from its first classes on, by nothing but the browser: picks, classes, limits, jobs, and their run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import Browser, browser, dashboard
from crawl import visited
from web_client import need_server

from cryosnake.io.star import read_star
from small_project import CONFIG, simulate, snakemake

need_server()
pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MORE = """\
  classes:   {type: class2d, particles: particles, classes: 2, particle_diameter: 190, iterations: 1, psi_step: 20}
  good:      {type: select, particles: classes, model: classes, classes: choose}   # chosen by eye
  map:       {type: maptool, map: reference.mrc, flip_hand: true}
"""
_FOLLOW = ("manual", "picker", "found", "good", "kept", "mask")  # jobs that are added or chosen for here


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six movies up to classes that nobody has chosen from."""
    folder = tmp_path_factory.mktemp("eyes") / "by_hand"
    folder.mkdir()
    simulate(folder, 6)
    (folder / "config.yaml").write_text(CONFIG + MORE)
    snakemake(folder)
    return folder


@pytest.fixture(scope="module")
def window(chromedriver: str, project: Path) -> Iterator[Browser]:
    with dashboard(project) as address, browser(chromedriver) as opened:
        opened.go(address)
        yield opened


@pytest.fixture(scope="module")
def at(window: Browser) -> str:
    return str(window.wait("location.pathname.endsWith('/overview') && location.href")).removesuffix("/overview")


def submit(window: Browser, button: str, then: str) -> None:
    """Press a button, and wait until the page is another one."""
    window.run(f"document.querySelector({button!r}).click()")
    window.wait(f"location.pathname.endsWith({then!r}) && document.readyState === 'complete'")


def test_a_map_is_turned(window: Browser, at: str) -> None:
    window.go(f"{at}/job/MapTool/map")
    window.wait("document.querySelector('canvas')?.dataset.drawn")
    picture = "return document.querySelector('canvas').toDataURL()"
    before = window.run(picture)
    window.move_to("canvas", drag=(60, 20))
    for _ in range(100):
        if window.run(picture) != before:
            break
    assert window.run(picture) != before


def build(window: Browser, at: str, job_type: str, **values: str) -> None:
    """Fill the form of a new job, and add it to config.yaml."""
    window.go(f"{at}/build/new/{job_type}")
    window.wait("document.querySelector('.builder')")
    window.run("""const form = document.querySelector('.builder');
        for (const [name, value] of Object.entries(arguments[0])) {
          form.elements[name].value = value;
          form.elements[name].dispatchEvent(new Event('input', {bubbles: true}));
        }""", values)
    for name, value in values.items():
        window.wait(f"document.querySelector('.entry').textContent.includes({value!r})")
        assert not window.run(f"return document.getElementById('problem-{name}').textContent"), name
    submit(window, ".builder .primary", "/preview")


def test_a_job_is_built_for_picks_by_hand(window: Browser, at: str, project: Path) -> None:
    build(window, at, "manualpick", name="manual", micrographs="ctf", diameter="160")
    text = (project / "config.yaml").read_text()
    assert yaml.safe_load(text)["jobs"]["manual"] == {"type": "manualpick", "micrographs": "ctf", "diameter": 160}
    assert "# chosen by eye" in text
    assert "waits" in str(window.wait("document.querySelector('main').textContent"))


def test_twenty_particles_are_picked_on_two_micrographs(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/pick/manual")
    truth = read_star(project / "truth" / "particles.star")["particles"]
    for stem, count in (("movie_0002", 12), ("movie_0005", 13)):
        window.wait("document.querySelectorAll('.list [data-name]').length == 6")
        window.run("document.querySelector(`.list [data-name*=${arguments[0]}]`).click()", stem)
        window.wait(f"document.querySelector('.sheet .name').textContent.includes('{stem}')")
        rows = truth[truth["rlnMicrographName"].str.contains(stem)]
        places = rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)[:count].tolist()
        for place in places:
            click_on_pixel(window, *place)
        click_on_pixel(window, *places[0], button=2)
        window.run("document.querySelector('[data-do=save]').click()")
        window.wait("document.querySelector('.said').textContent.includes('Saved')")
        found = read_star(project / "decisions" / "manual" / "Movies" / f"{stem}.star")
        picked = found["picks"][["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
        assert len(picked) == count - 1 and np.abs(picked - places[1:]).max() < 1.5, "px of the file"
    submit(window, "#train ~ form button", "/manual")
    assert "trainpicker" in (project / "config.yaml").read_text()


def click_on_pixel(window: Browser, x: float, y: float, button: int = 0) -> None:
    """Click on a pixel of the file in the picture, whose row 0 is at the bottom."""
    place = window.run("""
        const svg = document.querySelector('.micrograph svg');
        svg.scrollIntoView({behavior: 'instant', block: 'center'});
        const point = new DOMPoint(arguments[0] + 0.5, svg.viewBox.baseVal.height - arguments[1] - 0.5);
        const at = point.matrixTransform(svg.getScreenCTM());
        return [Math.round(at.x), Math.round(at.y)]""", x, y)
    window.act([{"type": "pointerMove", "x": place[0], "y": place[1], "origin": "viewport"},
                {"type": "pointerDown", "button": button}, {"type": "pointerUp", "button": button}])


def test_classes_are_chosen(window: Browser, at: str, project: Path) -> None:
    window.go(f"{at}/choose/good")
    window.run("const box = document.querySelector('.gallery input:not(:disabled)'); if (!box.checked) box.click()")
    submit(window, "form.choose .primary", "/choose/good")
    assert len(yaml.safe_load((project / "decisions" / "good.yaml").read_text())["decisions"]) == 1


def test_a_threshold_is_moved(window: Browser, at: str, project: Path) -> None:
    build(window, at, "curate", name="kept", micrographs="ctf")
    window.go(f"{at}/curate/kept")
    window.wait("document.querySelector('.curate').dataset.ready === '6'")
    low = ".limits[data-label=rlnDefocusU] input[type=range].low"
    window.run(f"document.querySelector('{low}').focus()")
    for _ in range(200):
        if not str(window.run("return document.querySelector('.accepted').textContent")).startswith("6 "):
            break
        window.press("\ue014")  # the arrow to the right
    accepted = int(str(window.run("return document.querySelector('.accepted').textContent")).split()[0])
    assert 0 < accepted < 6
    window.run("document.querySelector('.save').click()")
    window.wait("document.querySelector('.saved').textContent.startsWith('Saved')")
    assert "rlnDefocusU" in (project / "decisions" / "kept.flags.yaml").read_text()


def test_what_follows_runs_and_relion_reads_it(window: Browser, at: str, project: Path) -> None:
    build(window, at, "maskcreate", name="mask", map="map", threshold="0.02")
    window.go(f"{at}/preview")
    shown = str(window.wait("document.querySelector('main').textContent"))
    assert all(name in shown for name in _FOLLOW), shown
    submit(window, "main form .primary", "/runs")
    log = str(window.wait("(text => text.includes('has ended') && text)"
                          "(document.querySelector('[data-part=started]')?.textContent ?? '')", 180))
    assert "(100%) done" in log, log
    jobs = yaml.safe_load((project / "config.yaml").read_text())["jobs"]
    trained = next(name for name, job in jobs.items() if job.get("method") == "trained")
    assert len(read_star(project / "Extract" / extracted_from(jobs, trained) / "particles.star")["particles"]) > 20
    assert (project / "MaskCreate" / "mask" / "mask.mrc").exists()
    for file in ("ManualPick/manual/manualpick.star", "ManualPick/manual/micrographs_selected.star",
                 "ManualPick/manual/Movies/movie_0002_manualpick.star", "Select/good/particles.star",
                 "Select/good/backup_selection.star", "Curate/kept/micrographs.star",
                 "Curate/kept/micrographs_rejected.star", f"AutoPick/{trained}/autopick.star"):
        readable(project / file)
    picks = read_star(project / "ManualPick/manual/Movies/movie_0002_manualpick.star")[""]
    assert len(picks) == 11


def extracted_from(jobs: dict[str, dict[str, str]], coordinates: str) -> str:
    return next(name for name, job in jobs.items() if job["type"] == "extract" and job["coordinates"] == coordinates)


def readable(file: Path) -> None:
    """RELION's program for tables reads the first block of a file."""
    block, table = next(reversed(read_star(file).items()))
    subprocess.run(["relion_star_printtable", str(file), f"data_{block}", f"_{table.columns[0]}"], check=True,
                   capture_output=True)


def test_every_page_opens_without_a_word_in_the_console(window: Browser, at: str) -> None:
    kinds = []
    for kind, _ in visited(window, at, "pick/manual", "curate/kept", "choose/good", "build", "preview"):
        kinds.append(kind)
        assert window.log() == [], kind
        others = window.run("return performance.getEntriesByType('resource').map(one => one.name)"
                            ".filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))")
        assert others == [], kind
    assert len(kinds) > 20, kinds
