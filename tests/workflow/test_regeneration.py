"""Cleaned data come back when something needs them: exactly these, and as they were; what is finished stays so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cli import main
from cryosnake.io.mrc import read_images
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from small_project import CONFIG, simulate, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
CLASSES = ("  {name}:   {{type: class2d, particles: particles, classes: {count}, iterations: 2, "
           "particle_diameter: 150, method: em}}\n")
CHOSEN = "  {name}:    {{type: select, particles: classes, model: classes, classes: [{number}]}}\n"
RAN = re.compile(r"^(?:Job \d+: )?(\w+) \(\S+/job\d+\)(?:, (batch (\S+)|all batches))?\s*$", re.MULTILINE)


def ran(output: str) -> set[str]:
    """Return what a (dry) run did: `motion 0001.again1`, `classes`; joins are left out."""
    return {f"{name} {key}".strip() for name, what, key in RAN.findall(output) if what != "all batches"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Four movies in two batches, through to a classification and a selection from it."""
    project = tmp_path_factory.mktemp("regeneration") / "project"
    simulate(project, 5)
    shutil.move(project / "Movies/movie_0005.tiff", project / "late.tiff")
    (project / "config.yaml").write_text(CONFIG.replace("batch_size: 4", "batch_size: 2")
                                         + CLASSES.format(name="classes", count=2)
                                         + CHOSEN.format(name="chosen", number=1))
    snakemake(project)
    return project


def add(project: Path, text: str) -> None:
    with open(project / "config.yaml", "a") as file:
        file.write(text)


def stamps(project: Path, *folders: str) -> dict[str, int]:
    """Return the times of the images and tables of some jobs, without backup copies of the pipeline."""
    return {str(path.relative_to(project)): path.stat().st_mtime_ns for folder in folders
            for path in (project / folder).rglob("*") if path.is_file() and path.suffix in (".mrc", ".mrcs", ".star")
            and "again" not in path.name and path.name not in ("default_pipeline.star", "RELION_OUTPUT_NODES.star")}


def test_cleaned_data_come_back_when_they_are_needed(finished, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    before = stamps(finished, "MotionCorr", "CtfFind", "AutoPick", "Extract", "Class2D", "Select")
    rows = read_star("Extract/job005/particles.star")["particles"]
    images = read_images(list(rows["rlnImageName"]))

    assert main(["clean", "--all", "--harsh"]) == 0
    assert main(["empty-trash", "--yes"]) == 0
    assert not list(Path("MotionCorr/job002").rglob("*.mrc"))
    assert not list(Path("Extract/job005").rglob("*.mrcs"))
    assert "Nothing to be done" in snakemake(finished)

    add(finished, CLASSES.format(name="more", count=3))
    wanted = {"motion 0001.again1", "motion 0002.again1", "particles 0001.again1", "particles 0002.again1", "more"}
    assert ran(snakemake(finished, "-n")) == wanted
    assert ran(snakemake(finished)) == wanted
    again = read_star("Extract/job005/particles.star")["particles"]
    assert list(again["rlnImageName"]) == list(rows["rlnImageName"])
    difference = np.sqrt(np.mean((read_images(list(again["rlnImageName"])) - images) ** 2) / np.mean(images**2))
    print(f"relative RMS difference of the images: {difference:.2g}")
    assert difference < 1e-3
    now = stamps(finished, "MotionCorr", "CtfFind", "AutoPick", "Extract", "Class2D/job006", "Select")
    unchanged = {path for path in before if "batches" in path or path.count("/") == 2
                 or path.endswith((".mrcs", "autopick.star")) or re.search(r"movie_\d+\.(mrc|star)$", path)}
    assert {path: now.get(path) for path in unchanged} == {path: before[path] for path in unchanged}
    assert read_pipeline("default_pipeline.star").processes["Extract/job005/"].status == Status.SUCCEEDED
    assert "Nothing to be done" in snakemake(finished)


def test_a_cleared_classification_comes_back_when_it_is_needed(finished, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    before = stamps(finished, "Select", "Class2D/job006")
    assert main(["clean", "classes", "--clear"]) == 0
    assert main(["empty-trash", "--yes"]) == 0
    assert not list(Path("Class2D/job006").glob("run_it*"))
    assert "Nothing to be done" in snakemake(finished)
    add(finished, CHOSEN.format(name="others", number=2))
    assert ran(snakemake(finished, "-n")) == {"classes", "others"}
    snakemake(finished)
    assert stamps(finished, "Select/job007") == {path: time for path, time in before.items() if "Select/job007" in path}
    assert "Nothing to be done" in snakemake(finished)
    assert {p.status for p in read_pipeline("default_pipeline.star").processes.values()} == {Status.SUCCEEDED}


def test_a_new_movie_makes_again_only_what_the_grown_set_needs(finished, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    assert main(["clean", "--all", "--harsh"]) == 0
    shutil.move("late.tiff", "Movies/movie_0005.tiff")
    text = Path("config.yaml").read_text()
    new = {f"{name} 0003" for name in ("movies", "motion", "ctf", "picks", "particles")}
    grown = {"motion 0001.again2", "motion 0002.again2", "particles 0001.again2", "particles 0002.again2"}
    assert ran(snakemake(finished, "-n")) == new | grown | {"classes", "more", "chosen", "others"}
    Path("config.yaml").write_text("\n".join(line for line in text.splitlines() if "class" not in line) + "\n")
    assert ran(snakemake(finished, "-n")) == new
