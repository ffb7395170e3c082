"""Picking by hand in the dashboard: what it saves, what it refuses, and the page in a browser, by mouse and by keys."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, browser, dashboard
from shown_project import make_project, write_star
from web_client import EDITING, TestClient, client, need_server, project_address

from cryosnake.io.mrc_writer import write_mrc
from cryosnake.io.star import read_star
from cryosnake.pages.web.deciding.after_picking import JobAfter
from cryosnake.pages.web.reading.pick_tables import picked_by
from cryosnake.pages.web.reading.tables import Tables

need_server()
WIDTH, HEIGHT, PIXEL = 800, 600, 1.5
NAMES = ["Movies/m0.mrc", "Movies/m1.mrc", "Movies/<script>m2.mrc"]
OWN = {"origin": "http://127.0.0.1:1"}
SCRIPT = {"accept": "application/json"}


def make_picking(folder: Path) -> None:
    """Make a project with three micrographs, picks of AutoPick on the first, and a job to pick by hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project(10, micrographs=3)
        Path("Movies").mkdir()
        rng = np.random.default_rng(0)
        for name in NAMES:
            write_mrc(name, rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), PIXEL)
        write_star(Path("auto.star"), {"": {
            "rlnCoordinateX": [100.0, 200.0, 300.5], "rlnCoordinateY": [50.0, 400.0, 9.0],
            "rlnAutopickFigureOfMerit": [3.0, 2.0, 1.0]}})
        for path, table in {"AutoPick/job004/autopick.star": {"coordinate_files": {
                "rlnMicrographName": NAMES[:1], "rlnMicrographCoordinates": ["auto.star"]}},
                "CtfFind/job003/micrographs_ctf.star": {
                    "optics": {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [PIXEL],
                               "rlnMicrographPixelSize": [PIXEL]},
                    "micrographs": {"rlnMicrographName": NAMES, "rlnOpticsGroup": [1] * 3}}}.items():
            Path(path).unlink()  # a link to what all jobs of its type share
            write_star(Path(path), table)
        Path("config.yaml").write_text("title: picked\njobs:\n  manual: {type: manualpick, diameter: 60, micrographs: "
                                       "CtfFind/job003/micrographs_ctf.star}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "picked"
    made.mkdir()
    make_picking(made)
    return made


def picked(folder: Path) -> dict[str, list[list[float]]]:
    """Return the places in the files of decisions by their names."""
    return {path.name: next(table for table in read_star(path).values() if "rlnCoordinateX" in table)
            [["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float).tolist()
            for path in sorted(folder.glob("decisions/manual/**/*.star"))}


def loaded(opened: TestClient, at: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = opened.get(f"{at}/picks/manual", params={"micrograph": name}, headers=SCRIPT).json()
    return found


def test_picks_are_saved_as_they_were_sent(folder: Path) -> None:
    opened = client(folder, access=EDITING)
    at = project_address(opened)
    listed = opened.get(f"{at}/picks/manual").json()
    assert [one[:3] for one in listed["micrographs"]] == [[name, 0, "none"] for name in NAMES]
    sheet = loaded(opened, at, NAMES[0])
    assert (sheet["width"], sheet["height"], sheet["places"]) == (WIDTH, HEIGHT, [])
    assert sheet["sources"] == [{"job": "AutoPick/job004", "places": [[100.0, 50.0], [200.0, 400.0], [300.5, 9.0]],
                                 "merits": [3.0, 2.0, 1.0]}]
    form = {"micrograph": NAMES[0], "stamp": sheet["stamp"], "selected": "1", "places": "0,0 799,599 12.5,7"}
    answer = opened.post(f"{at}/pick/manual", data=form, headers=OWN | SCRIPT)
    assert answer.status_code == 200 and "manual" in answer.json()["path"]
    assert picked(folder) == {"m0.star": [[0, 0], [799, 599], [12.5, 7]]}
    again = form | {"stamp": answer.json()["stamp"], "places": ""}
    assert opened.post(f"{at}/pick/manual", data=again, headers=OWN | SCRIPT).status_code == 200  # no particles
    assert loaded(opened, at, NAMES[0])["origin"] == "person"


def test_what_can_not_be_saved_is_said_and_changes_nothing(folder: Path) -> None:
    opened = client(folder, access=EDITING)
    at = project_address(opened)
    stamp = loaded(opened, at, NAMES[1])["stamp"]
    form = {"micrograph": NAMES[1], "stamp": stamp, "selected": "1", "places": "5,5"}
    wrong = ({"places": "800,5"}, {"places": "-1,5"}, {"places": "nan,5"}, {"places": "5"}, {"places": "a,b"},
             {"places": "1,2,3 4,5,6"},
             {"micrograph": "../m1.mrc"}, {"micrograph": "Movies/none.mrc"}, {"stamp": "another"})
    for one in wrong:
        answer = opened.post(f"{at}/pick/manual", data=form | one, headers=OWN | SCRIPT)
        assert answer.status_code == 409 and answer.json()["message"], one
    assert picked(folder) == {}
    assert opened.post(f"{at}/pick/manual", data=form, headers=OWN | SCRIPT).status_code == 200
    second = opened.post(f"{at}/pick/manual", data=form | {"places": "9,9"}, headers=OWN | SCRIPT)  # of another tab
    assert second.status_code == 409 and picked(folder) == {"m1.star": [[5, 5]]}
    assert opened.post(f"{at}/pick/manual", content=b"x" * 1_100_000, headers=OWN).status_code == 413
    many = {"stamp": loaded(opened, at, NAMES[1])["stamp"], "places": " ".join(["123.4567,599.0001"[:16]] * 10_000)}
    assert opened.post(f"{at}/pick/manual", data=form | many, headers=OWN | SCRIPT).status_code == 200


def test_without_edit_all_is_shown_and_nothing_can_be_written(folder: Path) -> None:
    opened = client(folder)
    at = project_address(opened)
    text = opened.get(f"{at}/pick/manual").text
    assert "data-do=\"after\"" in text and "cryosnake pick manual" in text
    assert not any(words in text for words in ("data-do=\"save\"", "clear all", "Add picker", "start from"))
    for route in ("pick", "train"):
        assert opened.post(f"{at}/{route}/manual", data={}, headers=OWN).status_code == 405


def test_names_are_text(folder: Path) -> None:
    opened = client(folder, access=EDITING)
    at = project_address(opened)
    text = opened.get(f"{at}/pick/manual", params={"micrograph": NAMES[2]}).text
    assert "<script>m2" not in text and "&lt;script&gt;m2" in text
    assert loaded(opened, at, NAMES[2])["image"].endswith("%3Cscript%3Em2.mrc")
    assert opened.get(f"{at}/pick/nothing").status_code == 409
    answer = opened.get(f"{at}/picks/manual", params={"micrograph": "<b>"}, headers=SCRIPT)
    assert answer.status_code == 409 and "<b>" in answer.json()["message"]  # JSON, which the page shows as text


def test_commands_keep_quotes_and_picks_are_in_the_order_of_jobs(folder: Path) -> None:
    job = JobAfter(name="found", type="autopick", there=False, facts=None,
                   values={"micrographs": "it's here.star", "diameter": [55.0, 65.0]})
    assert shlex.split(job.command) == ["cryosnake", "add", "found", "autopick", "micrographs=it's here.star",
                                        "diameter=[55.0, 65.0]"]
    (folder / "AutoPick/job1000").mkdir()
    shutil.copy(folder / "AutoPick/job004/autopick.star", folder / "AutoPick/job1000")
    (folder / "AutoPick/job999").mkdir()
    shutil.copy(folder / "AutoPick/job004/autopick.star", folder / "AutoPick/job999")
    assert list(picked_by(folder, Tables(), NAMES[0])) == [f"AutoPick/job{number}" for number in ("004", "999", "1000")]


def test_the_jobs_that_follow_are_added_once(folder: Path) -> None:
    opened = client(folder, access=EDITING)
    at = project_address(opened)
    before = opened.get(f"{at}/pick/manual").text
    assert "cryosnake add picker trainpicker coordinates=manual" in before
    stamp = before.rpartition('name="stamp" value="')[2].partition('"')[0]
    assert opened.post(f"{at}/train/manual", data={"stamp": "another"}, headers=OWN).status_code == 409
    assert opened.post(f"{at}/train/manual", data={"stamp": stamp}, headers=OWN).status_code == 303
    config = (folder / "config.yaml").read_text()
    for words in ("picker: {type: trainpicker, coordinates: manual", "method: trained", "type: extract"):
        assert config.count(words) == 1
    assert "Add picker" not in opened.get(f"{at}/pick/manual").text


def test_the_viewer_compares_picks_and_draws_tracks(folder: Path) -> None:
    (folder / "ManualPick/job011").mkdir(parents=True)
    write_star(folder / "hand.star", {"": {"rlnCoordinateX": [104.0, 600.0], "rlnCoordinateY": [53.0, 500.0]}})
    write_star(folder / "ManualPick/job011/manualpick.star", {"coordinate_files": {
        "rlnMicrographName": NAMES[:1], "rlnMicrographCoordinates": ["hand.star"]}})
    write_star(folder / "m0.star", {
        "general": {"rlnImageSizeX": 2 * WIDTH, "rlnImageSizeY": 2 * HEIGHT}, "global_shift": {
            "rlnMicrographFrameNumber": [1, 2, 3], "rlnMicrographShiftX": [0.0, 2.0, -9999.0],
            "rlnMicrographShiftY": [0.0, -4.0, -9999.0]}})
    table = {"rlnMicrographName": NAMES[:1], "rlnOpticsGroup": [1], "rlnMicrographMetadata": ["m0.star"]}
    (folder / "MotionCorr/job002/corrected_micrographs.star").unlink()
    write_star(folder / "MotionCorr/job002/corrected_micrographs.star", {"micrographs": table})
    opened = client(folder)
    at = project_address(opened)
    text = opened.get(f"{at}/view/{NAMES[0]}", params={"picks": "AutoPick/job004", "with": "ManualPick/job011",
                                                       "tracks": "1"}).text
    assert "1 picks of both; 2 only of AutoPick/job004, 1 only of ManualPick/job011" in text
    assert "motion × 20" in text  # the largest at which 2 px are within a tenth of the width
    assert 'points="400,300 380,260' in text  # what is shifted by (2, -4) px of a movie twice as fine had moved back
    assert f"{at}/pick/manual?micrograph=Movies/m0.mrc" in text


# --- in a browser -------------------------------------------------------------------------------------------

_PICKER = "document.querySelector('.pick').picker"
_UNDO = ("\ue009", "z")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("picking") / "picked"
    made.mkdir()
    make_picking(made)
    return made


@pytest.fixture(scope="module")
def window(chromedriver: str, shown: Path) -> Iterator[Browser]:
    with dashboard(shown) as address, browser(chromedriver) as opened:
        opened.go(address)
        opened.wait("location.pathname.endsWith('/overview')")
        yield opened


def open_page(window: Browser, name: str) -> None:
    at = window.run("return location.pathname.split('/').slice(0, 3).join('/')")
    window.run(f"sessionStorage.clear(); location.href = '{at}/pick/manual?micrograph=' + arguments[0]", name)
    is_open(window, name)


def is_open(window: Browser, name: str) -> None:
    window.wait(f"document.querySelector('.pick')?.picker?.times.length && {_PICKER}.sheet.micrograph === '{name}'")
    window.run("document.querySelector('.picking').scrollIntoView({behavior: 'instant', block: 'center'})")


def click(window: Browser, x: float, y: float, button: int = 0) -> None:
    """Click on a pixel of the file, wherever it is seen."""
    at = window.run(f"const p = {_PICKER}, [x, y] = p.seenAt(arguments), m = p.svg.getScreenCTM(); "
                    "return [m.a * x + m.e, m.d * y + m.f]", x, y)
    moves = [{"type": "pointerMove", "x": round(at[0]), "y": round(at[1])}, {"type": "pointerDown", "button": button},
             {"type": "pointerUp", "button": button}]
    window.act(moves)


def places(window: Browser) -> list[list[float]]:
    found: list[list[float]] = window.run(f"return {_PICKER}.sheet.places")
    return found


def is_saved(window: Browser, count: int) -> None:
    window.wait(f"!{_PICKER}.sheet.changed() && document.querySelector('.said').textContent"
                f".startsWith('Saved: {count} picks')")


def test_20_particles_are_picked_by_mouse(window: Browser, shown: Path) -> None:
    """On two micrographs, one of them zoomed into; erased, taken back, saved, and there after a reload."""
    rng = np.random.default_rng(5)
    wanted = [[float(x), float(y)] for x, y in zip(rng.integers(60, 740, 12), rng.integers(60, 540, 12), strict=True)]
    open_page(window, NAMES[0])
    for place in wanted:
        click(window, *place)
    assert np.abs(np.array(places(window)) - wanted).max() <= 1  # a px of the window is one and a quarter of the file
    click(window, *wanted[3], button=2)
    assert len(places(window)) == 11
    window.press_together(*_UNDO)
    assert len(places(window)) == 12
    click(window, *wanted[3], button=2)
    window.press("n")  # saves first
    is_open(window, NAMES[1])
    window.run(f"{_PICKER}.zoom(0.25, 400, 300)")
    close = [[float(x), float(y)] for x, y in zip(range(320, 480, 20), range(250, 330, 10), strict=True)]
    window.run(f"{_PICKER}.box.querySelectorAll('.diameter')[1].value = 8")
    for place in close:
        click(window, *place)
    assert places(window) == close
    window.press("s")
    is_saved(window, 8)
    found = picked(shown)
    assert len(found["m0.star"]) == 11 and found["m1.star"] == close
    open_page(window, NAMES[1])
    assert places(window) == close
    assert window.log() == []


def test_particles_are_picked_by_keys_alone(window: Browser, shown: Path) -> None:
    left, right, up, delete, shift = "\ue012", "\ue014", "\ue013", "\ue017", "\ue008"
    open_page(window, NAMES[2])
    assert window.run("return document.activeElement === document.querySelector('.picking svg')")
    window.press(" ", right, right, right, " ", up, up, up, up, up, up, up, up, "\ue007")
    assert len(places(window)) == 3 and places(window)[0] == [WIDTH / 2, HEIGHT / 2]
    window.press(delete)
    assert len(places(window)) == 2
    window.press_together(*_UNDO)
    window.press_together(shift, left)
    window.press(" ", "s")
    is_saved(window, 4)
    (x, y), (last_x, last_y) = places(window)[2:]
    assert (last_x, last_y) == (x - 1, y)
    assert picked(shown)["<script>m2.star"] == places(window)
    assert window.log() == []


def test_what_was_not_saved_is_offered_again(window: Browser, shown: Path) -> None:
    open_page(window, NAMES[0])
    before = len(places(window))
    click(window, 30, 30)
    window.run(f"{_PICKER}.unsaved = () => []; location.reload()")  # a reload that nobody is asked about
    window.wait("document.querySelector('.said button')?.textContent === 'take them up'")
    assert len(places(window)) == before
    window.run("document.querySelector('.said button').click()")
    assert len(places(window)) == before + 1
    window.run(f"{_PICKER}.sheet.stamp = 'of another time'")  # as if somebody else had saved
    window.press("s")
    assert window.wait("[...document.querySelectorAll('.said button')].map(button => button.textContent).join()"
                       ) == "show theirs,copy mine,download mine"
    window.run("document.querySelector('.said button').click()")
    assert len(places(window)) == before
    window.press_together(*_UNDO)
    window.press("s")
    is_saved(window, before + 1)
    assert [entry for entry in window.log() if "409" not in entry] == []  # the browser's own word on a refusal


def test_picks_to_start_from_and_2000_of_them(window: Browser) -> None:
    open_page(window, NAMES[0])
    window.run(f"{_PICKER}.clear(); {_PICKER}.find('source').value = 'AutoPick/job004'; {_PICKER}.showMerit()")
    window.run(f"{_PICKER}.find('least').value = 1.9; {_PICKER}.take()")
    assert places(window) == [[100, 50], [200, 400]]
    milliseconds = window.run(f"""
        const picker = {_PICKER}, several = [];
        picker.sheet.set(Array.from({{length: 2000}}, (_, n) => [n * 37 % 800, n * 101 % 600]));
        for (let n = 0; n < 20; n += 1) {{
          const began = performance.now();
          picker.draw();
          picker.canvas.getContext("2d").getImageData(0, 0, 1, 1);  // waits until it is drawn
          several.push(performance.now() - began);
        }}
        return several.sort((a, b) => a - b)[10]""")
    print(f"2,000 picks are drawn in {milliseconds:.1f} ms")
    window.run(f"{_PICKER}.undo(); {_PICKER}.undo(); {_PICKER}.undo()")
    assert not window.run(f"return {_PICKER}.sheet.changed()")
    assert window.log() == []
