"""The report of a project: what is in the file, and what must not be; on empty, damaged and foreign projects."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from shown_project import make_project, write_star

from cryosnake.cli import main
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.registry import job_types
from cryosnake.pages.panels.of_jobs import PANELS, panels_of
from cryosnake.pages.panels.view import JobView
from cryosnake.pages.report import write_report
from cryosnake.pipeline.edit import set_status
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline, write_pipeline
from cryosnake.pipeline.model import Status

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "project"))
from made_project import MAP, MICROGRAPHS, MOVIES, add_job, tree

_VOID = {"meta", "link", "img", "br", "input", "hr", "image", "rect", "line", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Elements and texts of a page; an element that is closed wrongly fails the test."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in _VOID or self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, given in self.elements for key, value in given.items() if key == name]

    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def report(out: str = "report.html") -> Page:
    assert main(["report", "--out", out]) == 0
    page = Page(Path(out))
    check_closed(page)
    return page


def check_closed(page: Page) -> None:
    """Whatever is in it: no element loads anything, nothing runs but its own script, every link leads somewhere."""
    policy = next(given["content"] or "" for tag, given in page.elements
                  if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    for tag, given in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base", "foreignobject"), tag
        assert not any(name.startswith("on") or name == "style" for name in given), given
        for name in ("src", "srcset", "data", "action", "xlink:href"):
            assert (given.get(name) or "data:image/").startswith("data:image/"), given
        if "href" in given:
            assert (given["href"] or "").startswith("#" if tag != "image" else "data:image/"), given
    anchors = page.attributes("id")
    assert len(anchors) == len(set(anchors))
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= set(anchors)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three jobs, of which the last one failed."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("title: apoferritin\njobs: {}\n")
    movies = add_job("Import", 1, {"movies.star": MOVIES}, alias="movies")
    micrographs = add_job("MotionCorr", 2, {"corrected_micrographs.star": MICROGRAPHS}, (f"{movies}movies.star",))
    failed = add_job("CtfFind", 3, {}, (f"{micrographs}corrected_micrographs.star",), status=Status.FAILED)
    Path(movies, "not_imported.tsv").write_text("Movies/cut.tiff\tis cut off\n")
    Path(failed, "run.err").write_text("2026-11-30 12:00:00  the disk is full\n")
    return tmp_path


def test_states_failures_and_titles(project: Path) -> None:
    page = report()
    text = page.text()
    assert "apoferritin" in text and "2 of 3 jobs have succeeded, 1 needs attention." in text
    assert "Movies/cut.tiff is cut off" in text and "1 file, at the last run" in text
    assert "the disk is full" in text and "problems" in page.attributes("id")
    assert {"#job001", "#job002", "#job003"} <= set(page.attributes("href"))


def test_a_damaged_table_costs_its_panel_only(project: Path) -> None:
    assert "Motion Could not be shown" in report().text()


def test_nothing_else_is_written(project: Path) -> None:
    before = tree()
    report()
    assert {name: found for name, found in tree().items() if name != "report.html"} == before


def test_the_file_is_replaced_but_no_other(project: Path) -> None:
    report()
    report()
    for name in (PIPELINE_FILE, "config.yaml"):
        content = Path(name).read_bytes()
        with pytest.raises(CryosnakeError, match="no report of cryosnake"):
            write_report(Path(name))
        assert Path(name).read_bytes() == content
    with pytest.raises(CryosnakeError, match="is a folder"):
        write_report(Path("Import"))


def test_texts_of_users_are_escaped(project: Path) -> None:
    evil = "<script>alert(1)</script>\"'&<img src=http://e.vil/x onerror=alert(2)>"
    Path("config.yaml").write_text(f"title: {evil!r}\njobs: {{}}\n")
    Path("CtfFind/job003/run.err").write_text(f"{evil}\n")
    Path("CtfFind/job003/run.out").write_text(f"WARNING {evil}\n")
    Path("CtfFind/job003/job.star").write_text(Path("CtfFind/job003/job.star").read_text().replace(
        "No", f'"{evil.replace(chr(34), "")}"'))
    named = "<b onmouseover=alert(3)>"
    text = Path(PIPELINE_FILE).read_text().replace("Import/movies/", f"Import/{named.replace(' ', '')}/")
    Path(PIPELINE_FILE).write_text(text)
    page = report()
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 1
    assert evil in page.text() and named.replace(" ", "") in page.text()


def test_an_empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 1
    assert "no such file" in capsys.readouterr().err and not Path("report.html").exists()
    Path("config.yaml").write_text("title: new\njobs: {}\n")
    assert "No job has run yet" in report().text()


@pytest.mark.parametrize("content", ["", "data_pipeline_processes\n\nloop_\n_rlnPipeLineProcessName #1\nImport/job0",
                                     "something else\n", "\0\xff\xfe"])
def test_a_damaged_project(project: Path, content: str) -> None:
    Path(PIPELINE_FILE).write_text(content, encoding="latin-1")
    Path("MotionCorr/job002/cryosnake.json").write_text("{")
    Path("config.yaml").write_text("title: [")
    text = report().text()
    assert "of 3 jobs" in text and "cryosnake.json is damaged" in text


def test_jobs_of_unknown_types_and_gone_folders(project: Path) -> None:
    add_job("Polish", 4, {"shiny.star": MAP}, alias="shiny")
    text = Path(PIPELINE_FILE).read_text()
    Path(PIPELINE_FILE).write_text(text.replace("Polish/", "Tomography/"))
    page = report()
    assert "Tomography/job004" in page.text() and "Its directory does not exist." in page.text()


@pytest.mark.parametrize("name", ["relion20_bgal_falcon", "relion31_project_bgal", "relion50_project_bgal"])
def test_projects_of_relion(real_data: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real_data / name)
    page = report(str(tmp_path / "report.html"))
    assert "RELION, or another program" in page.text()
    assert re.search(r"\d+ of \d+ jobs have succeeded", page.text())


def test_every_panel_of_a_whole_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(10)
    page = report()
    text = page.text()
    assert "Could not be shown" not in text
    for words in ("7.25 Å at FSC 0.143", "B-factor −80 Å²", "500 particles in 12 of 12 classes", "11 iterations",
                  "2,000 particles; the most frequent", "processed with cryosnake 0.1.0, a Snakemake workflow. 1",
                  "bad_2.mrc", "the file is cut off",
                  "2 micrographs were left out", "were aligned in 5 × 5 patches", "symmetry C2",
                  "Rosenthal & Henderson", "Converged. Both halves", "cryosnake 0.1.0 (10)", "numpy"):
        assert words in text, words
    assert [given["data-kind"] for _, given in page.elements if given.get("class") == "chart"].count("resolution") == 3
    assert len([tag for tag, _ in page.elements if tag == "canvas"]) == 1
    assert Path("report.html").stat().st_size < 600_000


def test_a_project_of_2000_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(2000, micrographs=10)
    for number, record in enumerate(sorted(Path().glob("*/job*/cryosnake.json"))):
        if number % 2:
            record.unlink()  # as RELION's
        elif number % 4:
            (record.parent / "run.out").unlink(missing_ok=True)  # a link that all share
            (record.parent / "run.out").write_text("WARNING: a line that is long" * 100 + "\n")
    pipeline = read_pipeline(PIPELINE_FILE)
    for number in range(500, 1000):
        pipeline = set_status(pipeline, next(name for name in pipeline.processes if name.endswith(f"job{number}/")),
                              Status.FAILED)
    write_pipeline(PIPELINE_FILE, pipeline)
    start = time.process_time()
    page = report()
    assert time.process_time() - start < 30.0
    assert Path("report.html").stat().st_size < 10_000_000
    assert "1500 of 2000 jobs" in page.text() and "job2000" in page.attributes("id")
    assert "Only the jobs that the result depends on" in page.text()


def test_a_run_in_progress_and_one_that_was_killed(project: Path) -> None:
    add_job("Class2D", 4, {}, status=Status.RUNNING)  # RELION's, which may live
    killed = Path(add_job("Refine3D", 5, {}, status=Status.RUNNING))
    killed.joinpath("cryosnake.json").write_text(json.dumps({
        "type": "refine3d", "name": "refine", "stated": {}, "parameters": {"symmetry": "D2"}, "inputs": {},
        "version": "0.1.0", "created": 1.8e9}))
    page = report()
    assert "Class2D/job004 running" in page.text() and "Refine3D/job005 killed" in page.text()
    assert "killed from outside" in page.text()
    assert "symmetry D2 default C1" in page.text()


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 3],
                                    lambda content: b"\xff\0\xfe<b>" * 40, lambda content: content.replace(b"5", b"x"),
                                    lambda content: content[:1024] + bytes(len(content[1024:]))],
                         ids=["empty", "cut", "binary", "letters", "zeros"])
def test_files_that_are_damaged_in_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           damage: Callable[[bytes], bytes]) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(10)
    for path in [*Path(".store").rglob("*"), *Path().glob("*/job*/*.json"), *Path().glob("*/job*/*.tsv")]:
        if path.is_file():
            path.write_bytes(damage(path.read_bytes()))  # all its links, too
    assert "of 10 jobs have succeeded" in report().text()


def test_every_job_type_has_panels_of_its_own() -> None:
    """External jobs are what others make of them: their page has files, log and parameters."""
    assert {job_type.folder for job_type in job_types().values()} - set(PANELS) == {"External"}


def test_what_follows_a_refinement_has_its_figures(tmp_path: Path) -> None:
    for folder in ("CtfRefine", "Polish", "Subtract"):
        (tmp_path / folder).mkdir()
    optics = {"rlnOpticsGroupName": ["a", "b"], "rlnOpticsGroup": [1, 2], "rlnBeamTiltX": [0.2, -1.25],
                           "rlnBeamTiltY": [0.1, 0.0]}
    write_star(tmp_path / "CtfRefine/particles_ctf_refine.star", {"optics": optics, "particles": {
        "rlnDefocusU": [9000.0, 12000.0, 11000.0]}})
    write_star(tmp_path / "Polish/bfactors.star", {"perframe_bfactors": {
        "rlnMovieFrameNumber": [0, 1, 2], "rlnBfactorUsedForSharpening": [-30.0, -5.0, -90.0]}})
    write_star(tmp_path / "Subtract/original.star", {"optics": optics, "particles": {
        "rlnImageName": ["1@a.mrcs", "2@a.mrcs"]}})
    said = {folder: panels_of(JobView(path=tmp_path / folder, folder=folder, values={}))[0] for folder in (
        "CtfRefine", "Polish", "Subtract")}
    assert "1.25 mrad" in said["CtfRefine"].verdict and said["CtfRefine"].level == "doubtful"
    assert [row[2] for row in said["CtfRefine"].blocks[-1].rows] == ["not fitted"] * 2
    assert "Frame 2 " in said["Polish"].verdict and said["Subtract"].verdict == "2 particles."


def test_a_learned_picker_and_joined_tables_are_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("TrainPicker/job001").mkdir(parents=True)
    Path("TrainPicker/job001/picker.npz").touch()
    Path("TrainPicker/job001/run.out").write_text("learning from 280 particles on 4 micrographs\nin the half, a "
                                                  "particle scores higher than 62% of all other places\n")
    (trained,) = panels_of(JobView(path=Path("TrainPicker/job001"), folder="TrainPicker", values={}))
    assert trained.level == "doubtful" and "280 particles" in trained.verdict and "62%" in trained.verdict
    Path("JoinStar/job002").mkdir(parents=True)
    for name, rows in (("a.star", 3), ("b.star", 2), ("JoinStar/job002/join_particles.star", 4)):
        write_star(Path(name), {"particles": {"rlnImageName": ["1@a.mrcs"] * rows}})
    (join,) = panels_of(JobView(path=Path("JoinStar/job002"), folder="JoinStar", values={
        "particles1": "a.star", "particles2": "b.star", "duplicates": "keep_first"}))
    assert join.verdict == "4 rows; 1 left out that an earlier table had."
    assert list(join.blocks[0].rows) == [("a.star", "3"), ("b.star", "2")]


def test_what_was_accepted_is_shown_beside_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Curate/job001").mkdir(parents=True)
    for name, fits in (("micrographs", [4.0, 5.0, 4.5]), ("micrographs_rejected", [9.0])):
        write_star(Path(f"Curate/job001/{name}.star"), {"micrographs": {
            "rlnMicrographName": [f"{fit}.mrc" for fit in fits], "rlnCtfMaxResolution": fits}})
    (panel,) = panels_of(JobView(path=Path("Curate/job001"), folder="Curate", values={}))
    assert panel.verdict == "3 of 4 micrographs were accepted, 1 left out."
    assert [series.name for series in panel.blocks[0].legend] == ["left out", "accepted"]
