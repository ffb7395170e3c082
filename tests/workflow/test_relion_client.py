"""RELION 3.1 on a project of ours: its pipeliner runs jobs, its programs read our files, we read theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import read_images
from cryosnake.io.star import read_star, read_table
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from small_project import CONFIG, simulate, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.relion, pytest.mark.slow]
PARTICLES = "Extract/job005/particles.star"


def call(project: Path, *words: str, timeout: int = 600) -> str:
    environment = {**os.environ, "RELION_SHELL": "bash"}
    result = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=timeout, env=environment)
    assert result.returncode == 0, f"{words}: {result.stdout[-2000:]}{result.stderr[-2000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def finished(relion, tmp_path_factory) -> Path:
    import yaml

    project = tmp_path_factory.mktemp("client")
    simulate(project, 4, size=512)  # RELION's motion correction refuses less: its power spectra are 512 px
    shutil.rmtree(project / "truth")
    (project / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load(CONFIG)))
    snakemake(project)
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def run_copy_of(project: Path, job: str) -> str:
    """Add our job's job.star as a new job through the pipeliner, run it, and return its directory."""
    folder = job.partition("/")[0]
    call(project, "relion_pipeliner", "--addJobFromStar", f"{job}/job.star")
    new = max(name for name in read_pipeline(project / "default_pipeline.star").processes if name.startswith(folder))
    call(project, "relion_pipeliner", "--RunJobs", f"{new} ", "--sec_wait_after", "1")
    status = read_pipeline(project / "default_pipeline.star").processes[new].status
    log = (project / new / "run.err").read_text() + (project / new / "run.out").read_text()
    assert status == Status.SUCCEEDED, log[-3000:]
    return new.rstrip("/")


def test_the_pipeliner_reads_and_rewrites_the_project(project, monkeypatch) -> None:
    before = read_pipeline(project / "default_pipeline.star")
    call(project, "relion_pipeliner", "--check_job_completion")
    text = (project / "default_pipeline.star").read_text()
    assert "Label" not in text
    after = read_pipeline(project / "default_pipeline.star")
    assert set(after.input_edges) == set(before.input_edges)
    assert set(after.output_edges) == set(before.output_edges)
    assert {(p.name, p.alias, p.status) for p in after.processes.values()} == {
        (p.name, p.alias, p.status) for p in before.processes.values()}
    assert {n.name: n.type_id for n in after.nodes.values()} == {n.name: n.type_id for n in before.nodes.values()}
    assert "Nothing to be done" in snakemake(project)


def test_relion_runs_import_motion_correction_and_extraction_from_our_job_files(project) -> None:
    movies = run_copy_of(project, "Import/job001")
    ours, theirs = (read_star(project / job / "movies.star") for job in ("Import/job001", movies))
    assert list(ours["movies"]["rlnMicrographMovieName"]) == list(theirs["movies"]["rlnMicrographMovieName"])
    assert set(theirs["optics"].columns) == set(ours["optics"].columns)
    motion = run_copy_of(project, "MotionCorr/job002")
    ours, theirs = (read_star(project / job / "corrected_micrographs.star")["micrographs"]
                    for job in ("MotionCorr/job002", motion))
    assert len(ours) == len(theirs) == 4
    assert set(theirs.columns) <= set(ours.columns)
    extract = run_copy_of(project, "Extract/job005")
    ours, theirs = (read_table(project / job / "particles.star", "particles") for job in ("Extract/job005", extract))
    assert len(ours) == len(theirs)
    os.chdir(project)
    first, second = (read_images(list(table["rlnImageName"])).reshape(len(table), -1) for table in (ours, theirs))
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)]
    assert min(correlations) > 0.999


def test_we_go_on_after_relion_added_a_job(project, monkeypatch) -> None:
    call(project, "relion_pipeliner", "--addJobFromStar", "Import/job001/job.star")
    counter = read_pipeline(project / "default_pipeline.star").counter
    raw = (project / "config.yaml").read_text().replace("box: 256", "box: 320")
    (project / "config.yaml").write_text(raw)
    snakemake(project)
    pipeline = read_pipeline(project / "default_pipeline.star")
    assert f"CtfFind/job{counter:03d}/" in pipeline.processes
    assert "rlnPipeLineNodeTypeLabel" in (project / "default_pipeline.star").read_text()
    monkeypatch.chdir(project)
    import yaml

    assert make_plan(parse_config(yaml.safe_load(raw))).jobs["ctf"].path == f"CtfFind/job{counter:03d}"


def test_relion_cleans_our_jobs(project) -> None:
    call(project, "relion_pipeliner", "--gentle_clean", "5")
    assert not list((project / "Extract/job005/Movies").glob("*_extract.star"))
    assert len(list((project / "Extract/job005/Movies").glob("*.mrcs"))) == 4


def test_relion_reads_our_tables_and_stacks(project) -> None:
    count = len(read_table(project / PARTICLES, "particles"))
    printed = call(project, "relion_star_printtable", PARTICLES, "data_particles", "rlnImageName")
    assert len(printed.split()) == count
    call(project, "relion_star_handler", "--i", PARTICLES, "--o", "selected.star", "--select", "rlnDefocusU",
         "--minval", "0", "--maxval", "1e9")
    assert len(read_table(project / "selected.star", "particles")) == count
    call(project, "relion_star_handler", "--combine", "--i", f"{PARTICLES} selected.star", "--check_duplicates",
         "rlnImageName", "--o", "joined.star")
    assert len(read_table(project / "joined.star", "particles")) == 2 * count
    stats = call(project, "relion_image_handler", "--i", "Extract/job005/Movies/movie_0001.mrcs", "--stats")
    assert "7.08" in stats


def test_relion_refines_and_reconstructs_our_particles(project) -> None:
    (project / "t").mkdir()
    call(project, "relion_refine", "--i", PARTICLES, "--o", "t/run", "--iter", "2", "--K", "2", "--particle_diameter",
         "180", "--ctf", "--psi_step", "24", "--offset_range", "3", "--offset_step", "2", "--norm", "--scale",
         "--flatten_solvent", "--zero_mask", "--preread_images", "--pool", "30", timeout=300)
    tables = read_star(project / "t/run_it002_data.star")
    assert len(tables["particles"]) == len(read_table(project / PARTICLES, "particles"))
    assert read_star(project / "t/run_it002_model.star")["model_general"]["rlnNrClasses"][0] == 2
    call(project, "relion_reconstruct", "--i", "t/run_it002_data.star", "--o", "t/map.mrc", "--ctf")
    assert (project / "t/map.mrc").exists()
