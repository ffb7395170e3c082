"""From particles to a sharpened map through Snakemake, against the truth; and a refinement that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.alignment import align_maps, model_map_fsc
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.programs.simulate.project import simulate_particles
from small_project import command, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

BOX, PIXEL_SIZE = 32, 7.0
CONFIG = """
title: from particles
jobs:
  classes:   {type: class2d, particles: particles.star, classes: 3, particle_diameter: 190, iterations: 4, psi_step: 15}
  good:      {type: select, particles: classes.particles, classes: [1, 2, 3]}
  refine:    {type: refine3d, particles: particles.star, reference: reference.mrc, symmetry: D2, initial_lowpass: 40,
              particle_diameter: 190, max_iterations: 8}
  mask:      {type: maskcreate, map: refine.map, low_pass: 20}
  sharpened: {type: postprocess, half_maps: refine.half_maps, mask: mask, auto_b_factor: false, b_factor: -100}
"""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("particles")
    simulate_particles(folder, StackSettings(count=300, box=BOX, pixel_size=PIXEL_SIZE, snr=0.1, symmetry="D2", seed=3))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def finished(simulated, tmp_path_factory) -> Path:
    project = tmp_path_factory.mktemp("chain") / "project"
    shutil.copytree(simulated, project)
    snakemake(project)
    return project


def test_the_map_is_the_truth_to_the_last_shells(finished) -> None:
    sharpened, pixel_size = read_mrc(finished / "PostProcess/sharpened/postprocess_masked.mrc")
    truth, _ = read_mrc(finished / "truth/map.mrc")
    mask, _ = read_mrc(finished / "MaskCreate/mask/mask.mrc")
    aligned, alignment = align_maps(sharpened, truth, mirror_test=True)
    assert not alignment.mirrored
    fsc = model_map_fsc(aligned, truth, pixel_size, mask)
    assert fsc.resolution <= BOX * PIXEL_SIZE / (BOX // 2 - 2)


def test_every_job_left_what_relion_expects(finished) -> None:
    pipeline = read_pipeline(finished / "default_pipeline.star")
    assert {p.short_alias for p in pipeline.processes.values() if p.status == Status.SUCCEEDED} == {
        "classes", "good", "refine", "mask", "sharpened"}
    assert all((finished / name).exists() for name in pipeline.nodes)
    assert read_star(finished / "PostProcess/sharpened/postprocess.star")["general"]["rlnFinalResolution"][0] < 20
    assert "Nothing to be done" in snakemake(finished)


PICTURES = {"Class2D/job001/class_averages", "Refine3D/job003/angular_distribution", "Refine3D/job003/fsc",
            "Refine3D/job003/map", "MaskCreate/job004/mask", "PostProcess/job005/postprocess_fsc",
            "PostProcess/job005/postprocess_guinier", "PostProcess/job005/postprocess_map"}


def test_the_report_has_every_picture(finished, tmp_path) -> None:
    snakemake(finished, "--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    for picture in PICTURES:
        assert (finished / f"{picture}.png").stat().st_size > 1000
        assert f'"{picture}.png"' in page
    for text in ("Classification", "Refinement", "Maps", "sharpened (PostProcess/job005)", "Fourier shell correlation"):
        assert text in page


def test_pictures_are_drawn_again_alone_and_one_that_cannot_be_stops_nothing(finished, tmp_path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project, symlinks=True)
    table = project / "Class2D/job001/run_it004_model.star"
    before = os.stat(table)
    table.write_text("no table")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    for name in ("Class2D/job001/class_averages.png", "MaskCreate/job004/mask.png"):
        (project / name).unlink()
    output = snakemake(project)
    assert "Class2D/job001: the picture class_averages.png could not be drawn" in output
    assert "classes (Class2D/job001), pictures" in output and "mask (MaskCreate/job004), pictures" in output
    assert "classes (Class2D/job001)\n" not in output
    assert (project / "Class2D/job001/class_averages.png").stat().st_size > 1000
    assert "Nothing to be done" in snakemake(project)
    (project / "MaskCreate/job004/mask.png").unlink()
    (project / "config.yaml").write_text(f"pictures: false\n{CONFIG}")
    assert "Nothing to be done" in snakemake(project)


def test_a_killed_refinement_goes_on_from_its_last_iteration(simulated, tmp_path) -> None:
    """Also where no other iteration is kept."""
    project = tmp_path / "project"
    shutil.copytree(simulated, project)
    (project / "config.yaml").write_text(f"keep_iterations: last\n{CONFIG}")
    target = "Refine3D/job003/run_class001.mrc"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command(project, target), stdout=log, stderr=log, start_new_session=True)
        for _ in range(12000):  # a busy machine compiles for minutes
            if list((project / "Refine3D/job003").glob("run_it00[2-9]_optimiser.star")):
                break
            time.sleep(0.05)
        else:
            raise AssertionError((tmp_path / "log").read_text())
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    output = snakemake(project, target)
    assert "Continuing after iteration" in output
    assert (project / target).exists()
    assert len(list((project / "Refine3D/job003").glob("run_it*_optimiser.star"))) == 1
