"""Snakemake on a small simulated project: only what is unfinished runs, whatever happened before."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from cryosnake.cli import main
from cryosnake.io.mrc import read_images
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from small_project import CONFIG, ROOT, command, simulate, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STEPS = ("movies", "motion", "ctf", "picks", "particles")
DONE = re.compile(r"^\S.* (\S+/job\d+) batch (\S+): (\d+) done", re.MULTILINE)


def work(output: str) -> dict[str, int]:
    """Return how many micrographs each job did."""
    done: dict[str, int] = {}
    for job, _, count in DONE.findall(output):
        if int(count):
            done[job] = done.get(job, 0) + int(count)
    return done


MESSAGE = re.compile(r"^(?:Job \d+: )?(\w+) \(\S+/job\d+\)(?:, (batch (\S+)|all batches))?\s*$", re.MULTILINE)


def ran(output: str) -> set[str]:
    """Return what a (dry) run did, as `motion 0001.again1` or `classes`; joins are left out."""
    return {f"{name} {key}".strip() for name, what, key in MESSAGE.findall(output) if what != "all batches"}


def files(project: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in project.rglob("*"):
        if ".snakemake" not in path.parts and path.is_file() and not path.is_symlink():
            found[str(path.relative_to(project))] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """Fifteen movies, of which a project gets twelve at first."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, 15)
    return folder


@pytest.fixture(scope="module")
def finished(simulated, tmp_path_factory) -> Path:
    """A project of twelve movies, processed."""
    project = tmp_path_factory.mktemp("finished") / "project"
    (project / "Movies").mkdir(parents=True)
    shutil.copy(simulated / "gain.mrc", project)
    for movie in sorted((simulated / "Movies").iterdir())[:12]:
        shutil.copy2(movie, project / "Movies")
    (project / "config.yaml").write_text(CONFIG)
    output = snakemake(project)
    assert work(output) == {"Import/job001": 12, "MotionCorr/job002": 12, "CtfFind/job003": 12, "AutoPick/job004": 12,
                            "Extract/job005": 12}
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of the processed project, times kept."""
    copy = tmp_path / "project"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def test_the_project_is_complete(finished) -> None:
    pipeline = read_pipeline(finished / "default_pipeline.star")
    assert {p.short_alias: p.status for p in pipeline.processes.values()} == dict.fromkeys(STEPS, Status.SUCCEEDED)
    particles = read_star(finished / "Extract/job005/particles.star")
    assert len(particles["particles"]) > 60
    assert particles["optics"]["rlnImageSize"][0] == 32
    for name in ("note.txt", "run.out", "run.err", "job.star", "job_pipeline.star", "default_pipeline.star",
                 "RELION_JOB_EXIT_SUCCESS", "RELION_OUTPUT_NODES.star"):
        assert (finished / "MotionCorr/job002" / name).exists(), name


def test_a_moved_project_has_nothing_to_do(project) -> None:
    assert "Nothing to be done" in snakemake(project)


def test_a_dry_run_changes_nothing(project) -> None:
    (project / "CtfFind/job003/Movies/movie_0003.ctf").unlink()
    before = files(project)
    output = snakemake(project, "--dry-run")
    assert "ctf (CtfFind/job003), batch 0001.r2" in output
    assert files(project) == before


def test_three_more_movies_are_processed_alone(project, simulated) -> None:
    before = files(project)
    for movie in sorted((simulated / "Movies").iterdir())[12:]:
        shutil.copy2(movie, project / "Movies")
    assert work(snakemake(project)) == {"Import/job001": 3, "MotionCorr/job002": 3, "CtfFind/job003": 3,
                                        "AutoPick/job004": 3, "Extract/job005": 3}
    after = files(project)
    products = [name for name in before if "/Movies/" in name]
    assert len(products) >= 12 * 5
    assert all(after[name] == before[name] for name in products)
    assert len(read_star(project / "CtfFind/job003/micrographs_ctf.star")["micrographs"]) == 15


def test_a_deleted_product_is_made_again_alone(project) -> None:
    (project / "CtfFind/job003/Movies/movie_0006.ctf").unlink()
    assert work(snakemake(project)) == {"CtfFind/job003": 1}, "its contents are the same: what was made from it stays"
    assert "Nothing to be done" in snakemake(project)
    assert len(read_star(project / "CtfFind/job003/micrographs_ctf.star")["micrographs"]) == 12


def test_a_changed_parameter_runs_its_branch_under_new_numbers(project) -> None:
    before = files(project)
    (project / "config.yaml").write_text(CONFIG.replace("box: 256", "box: 320"))
    assert work(snakemake(project)) == {"CtfFind/job006": 12, "AutoPick/job007": 12, "Extract/job008": 12}
    after = files(project)
    old = [name for name in before if re.match(r"(CtfFind/job003|AutoPick/job004|Extract/job005)/", name)]
    assert old
    assert all(after[name] == before[name] for name in old)
    assert os.readlink(project / "CtfFind/ctf") == "../CtfFind/job006/"
    (project / "config.yaml").write_text(CONFIG)
    assert "Nothing to be done" in snakemake(project)


def test_a_changed_script_runs_nothing(project, tmp_path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("Snakefile", "rules", "scripts", "workflow", "profiles", "envs", "report"):
        source = ROOT / name
        shutil.copytree(source, sources / name) if source.is_dir() else shutil.copy(source, sources)
    program = [part.replace(str(ROOT / "Snakefile"), str(sources / "Snakefile")) for part in command(project)]
    for script in (sources / "scripts").glob("*.py"):
        script.write_text(script.read_text() + "\n# a comment\n")
    for rules in (sources / "rules").glob("*.smk"):
        rules.write_text(rules.read_text() + "\n# a comment\n")
    result = subprocess.run(program, capture_output=True, text=True)
    assert "Nothing to be done" in result.stdout + result.stderr


def test_a_bad_movie_does_not_stop_the_others(project, simulated) -> None:
    movies = sorted((simulated / "Movies").iterdir())
    good = bytearray(movies[12].read_bytes())
    good[len(good) // 3 : len(good) // 3 + 2000] = b"\xff" * 2000  # complete in size, corrupt inside
    (project / "Movies/movie_0090.tiff").write_bytes(good)
    shutil.copy2(movies[13], project / "Movies")
    (project / "Movies/movie_0091.tiff").write_bytes(movies[14].read_bytes()[:5000])  # still being copied
    output = snakemake(project)
    assert "not yet imported: Movies/movie_0091.tiff" in output
    failed = read_star(project / "MotionCorr/job002/failed_micrographs.star")["left_out"]
    assert list(failed["rlnMicrographName"]) == ["Movies/movie_0090.tiff"]
    assert "movie_0090.tiff" in failed["csnReason"][0]
    assert work(output)["Extract/job005"] == 1
    assert "Nothing to be done" in snakemake(project)


@pytest.mark.parametrize("victim", ["snakemake", "worker"])
def test_after_a_kill_the_same_command_goes_on(finished, tmp_path, victim) -> None:
    project = tmp_path / "project"
    (project / "Movies").mkdir(parents=True)
    for name in ("gain.mrc", "config.yaml"):
        shutil.copy(finished / name, project)
    shutil.copytree(finished / "Movies", project / "Movies", dirs_exist_ok=True)
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command(project), stdout=log, stderr=log, start_new_session=True)
        wait_for(project / "MotionCorr/job002/batches", lines=2)
        if victim == "snakemake":
            process.kill()
        else:
            for pid in workers(project):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    first = (tmp_path / "log").read_text()
    done_before = read_done_names(project)
    second = snakemake(project)
    assert read_pipeline(project / "default_pipeline.star").processes["Extract/job005/"].status == Status.SUCCEEDED
    lines = [line for file in sorted((project / "MotionCorr/job002/batches").glob("*.done"))
             for line in file.read_text().splitlines()]
    assert len(lines) == 12, "a movie was processed twice"
    assert done_before <= set(lines)
    assert len(read_star(project / "Extract/job005/particles.star")["particles"]) == len(
        read_star(finished / "Extract/job005/particles.star")["particles"])
    assert "Nothing to be done" in snakemake(project), first + second


def test_cleaned_data_come_back_when_they_are_needed_and_as_they_were(project, simulated, monkeypatch) -> None:
    """Also a cleared classification, from which something else was made before."""
    monkeypatch.chdir(project)
    before = files(project)
    rows = read_star("Extract/job005/particles.star")["particles"]
    images = read_images(list(rows["rlnImageName"]))
    clean_for_ever("--all", "--harsh")
    assert not [name for name in files(project) if name.endswith((".mrcs", "_PS.mrc"))]
    assert "Nothing to be done" in snakemake(project)

    again = {f"{name} 000{batch}.again1" for name in ("motion", "particles") for batch in (1, 2, 3)}
    add("  classes: {type: class2d, particles: particles, classes: 2, iterations: 2, particle_diameter: 150}")
    add("  chosen: {type: select, particles: classes, model: classes, classes: [1]}")
    assert ran(snakemake(project)) == again | {"classes", "chosen"}
    now = read_star("Extract/job005/particles.star")["particles"]
    assert list(now["rlnImageName"]) == list(rows["rlnImageName"])
    difference = np.sqrt(np.mean((read_images(list(now["rlnImageName"])) - images) ** 2) / np.mean(images**2))
    print(f"relative RMS difference of the images: {difference:.2g}")
    assert difference < 1e-3
    after = files(project)
    products = [name for name in before if re.search(r"movie_\d+\.(mrc|mrcs|star)$", name)]
    tables = [name for name in before if re.match(r"(MotionCorr|CtfFind|AutoPick|Extract)/", name) and re.search(
        r"(batches/\d+|particles|micrographs|micrographs_ctf|/autopick)\.star$", name)]
    assert len(products) > 30 and len(tables) > 15
    assert {name: after[name] for name in products + tables} == {name: before[name] for name in products + tables}

    clean_for_ever("classes", "--clear")
    assert not list(Path("Class2D/job006").glob("run_it*[!g]"))  # pictures stay
    assert "Nothing to be done" in snakemake(project)
    add("  others: {type: select, particles: classes, model: classes, classes: [2]}")
    assert ran(snakemake(project)) == {"classes", "others"}
    assert "Nothing to be done" in snakemake(project, "--max-checksum-file-size", "0")  # as if all were large
    assert files(project)["Select/job007/particles.star"] == after["Select/job007/particles.star"]
    assert {p.status for p in read_pipeline("default_pipeline.star").processes.values()} == {Status.SUCCEEDED}

    clean_for_ever("--all", "--harsh")
    shutil.copy2(sorted((simulated / "Movies").iterdir())[12], "Movies")
    new = {f"{name} 0004" for name in ("movies", *STEPS[1:])}
    grown = {name.replace("again1", "again2") for name in again} | {"classes"}
    dry = snakemake(project, "--dry-run")
    assert ran(dry) == new | grown
    assert [line.split()[3] for line in dry.splitlines() if line.startswith("waits for you")] == ["chosen:", "others:"]
    text = Path("config.yaml").read_text()
    Path("config.yaml").write_text("\n".join(line for line in text.splitlines() if "class" not in line) + "\n")
    assert ran(snakemake(project, "--dry-run")) == new


def clean_for_ever(*words: str) -> None:
    assert main(["clean", *words]) == 0
    assert main(["empty-trash", "--yes"]) == 0


def add(line: str) -> None:
    with open("config.yaml", "a") as file:
        file.write(f"{line}\n")


def wait_for(batches: Path, lines: int) -> None:
    """Wait until a batch, whichever Snakemake takes first, has recorded so many micrographs."""
    for _ in range(12000):
        if any(path.read_text().count("\n") >= lines for path in batches.glob("*.done")):
            return
        time.sleep(0.05)
    raise AssertionError(f"{batches}: nothing is done")


def read_done_names(project: Path) -> set[str]:
    return {line for file in (project / "MotionCorr/job002/batches").glob("*.done")
            for line in file.read_text().splitlines()}


def workers(project: Path) -> list[int]:
    """Return the processes of motion correction that work in this project."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(folder / "cwd") == str(project)
        except OSError:
            continue
        if here and any(word.endswith(b"run_motioncorr.py") for word in words) and b"-c" not in words:
            found.append(int(folder.name))
    assert found
    return found
