"""External jobs: the shipped picker with its stand-in, through Snakemake, and by relion_pipeliner in our project."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import read_job_star
from cryosnake.pipeline.model import Status
from small_project import ROOT, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = """
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 2.0}
jobs:
  mics:  {type: import, micrographs: "Micrographs/*.mrc", settling_time: 0}
  picks: {type: external, micrographs: mics, executable: ./topaz_picker.py, outputs: {coordinates: topaz.star},
          parameters: {topaz: ./stand_in_topaz.py, scale: 8, radius: 2, threshold: 2}}
  cut:   {type: extract, micrographs: mics, coordinates: picks, box_size: 24, invert: false}
  other: {type: external, particles: cut, executable: sh copy.sh, outputs: {particles: same.star}, at_least: 5}
"""
CENTRES = ((30, 40), (90, 36), (60, 100))  # x, y
PICKS, CUT, OTHER = "External/job002", "Extract/job003", "External/job004"


def micrograph(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128]
    image = random.normal(0, 1, (128, 128))
    for a, b in CENTRES:
        image += 4 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 50)
    write_mrc(path, image.astype(np.float32), 2.0)
    os.utime(path, (time.time() - 60,) * 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("external")
    (project / "Micrographs").mkdir()
    for number in range(3):
        micrograph(project / f"Micrographs/mic{number}.mrc", number)
    for name in ("topaz_picker.py", "stand_in_topaz.py"):
        shutil.copy(ROOT / "examples/external_picker" / name, project)
    (project / "copy.sh").write_text('cp "$4" "$2same.star"\n')  # --o JOB/ --in_parts FILE
    (project / "config.yaml").write_text(CONFIG)
    said = snakemake(project)
    assert "Particle extraction Extract/job003: 3 of 3 micrographs, 9 particles\n" in said
    assert "other waits for 5 particles; 0 so far\n" in said
    assert "other: there are enough particles now; continuing\n" in said
    return project


def picks_of(project: Path, job: str) -> dict[str, np.ndarray]:
    table = read_star(project / job / "topaz.star")["coordinate_files"]
    files = dict(zip(table["rlnMicrographName"], table["rlnMicrographCoordinates"], strict=True))
    return {name: next(iter(read_star(project / file).values()))[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()
            for name, file in files.items()}


def test_the_picks_are_where_the_particles_are_and_were_extracted(finished) -> None:
    for picks in picks_of(finished, PICKS).values():
        distances = np.linalg.norm(picks[:, None] - np.array(CENTRES)[None], axis=2)
        assert len(picks) == len(CENTRES)
        assert distances.min(axis=0).max() < 8  # a pixel of the downscaled image
    particles = read_star(finished / CUT / "particles.star")["particles"]
    assert len(particles) == 3 * len(CENTRES)
    assert len(read_star(finished / OTHER / "same.star")["particles"]) == 3 * len(CENTRES)


def test_the_project_knows_its_nodes_and_options(finished) -> None:
    pipeline = read_pipeline(finished / "default_pipeline.star")
    process = pipeline.processes[f"{PICKS}/"]
    assert (process.type_id, process.type_label, process.status) == (99, "relion.external", Status.SUCCEEDED)
    assert set(pipeline.outputs[f"{PICKS}/"]) == {f"{PICKS}/topaz.star", f"{PICKS}/coords_suffix_topaz.star"}
    assert {pipeline.nodes[name].type_id for name in pipeline.outputs[f"{PICKS}/"]} == {2}
    assert pipeline.consumers[f"{PICKS}/topaz.star"] == (f"{CUT}/",)
    assert pipeline.consumers[f"{CUT}/particles.star"] == (f"{OTHER}/",)
    options = read_job_star(finished / PICKS / "job.star").options
    assert (options["fn_exe"], options["in_mic"]) == ("./topaz_picker.py", "Import/job001/micrographs.star")
    assert (options["param2_label"], options["param2_value"]) == ("scale", "8")
    assert "+ ./stand_in_topaz.py extract" in (finished / PICKS / "run.out").read_text()


@pytest.mark.relion
def test_relion_pipeliner_runs_the_same_job(finished, relion, tmp_path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True)

    def call(*words: str) -> None:
        result = subprocess.run(["relion_pipeliner", *words], cwd=project, capture_output=True, text=True, timeout=900,
                                env={**os.environ, "RELION_SHELL": "bash"})
        assert result.returncode == 0, result.stdout + result.stderr

    call("--addJobFromStar", f"{PICKS}/job.star")
    new = "External/job005/"
    assert new in read_pipeline(project / "default_pipeline.star").processes
    call("--RunJobs", f"{new} ", "--sec_wait_after", "1")
    pipeline = read_pipeline(project / "default_pipeline.star")
    assert pipeline.processes[new].status == Status.SUCCEEDED, (project / new / "run.err").read_text()
    assert set(pipeline.outputs[new]) == {f"{new}topaz.star", f"{new}coords_suffix_topaz.star"}
    ours, theirs = picks_of(project, PICKS), picks_of(project, new.rstrip("/"))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_new_micrograph_is_picked_and_extracted_alone(finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / PICKS).rglob("*_topaz.star")
              if path.name.startswith("mic")}
    assert len(before) == 3
    micrograph(finished / "Micrographs/mic9.mrc", 9)
    output = snakemake(finished, "--config", "grow=2")
    assert "1 of 4 micrographs to pick" in output
    assert "1 done, 3 finished before" in output
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(read_star(finished / CUT / "particles.star")["particles"]) == 4 * len(CENTRES)
    assert len(read_star(finished / OTHER / "same.star")["particles"]) == 3 * len(CENTRES), "it had not grown enough"
    before = (finished / OTHER / "same.star").read_bytes()
    said = f"other: {OTHER} -> job005 ({3 * len(CENTRES)} -> {4 * len(CENTRES)} particles)"
    assert said in snakemake(finished, "--dry-run")
    assert not (finished / "External/job005").exists()
    snakemake(finished)
    assert (finished / OTHER / "same.star").read_bytes() == before
    assert len(read_star(finished / "External/job005/same.star")["particles"]) == 4 * len(CENTRES)
    assert os.readlink(finished / "External/other") == "../External/job005/"
    assert "Nothing to be done" in snakemake(finished)
