"""RELION 3.1 runs the job.star of each of our job types that it has a program for.

The jobs are planned and committed, not run: RELION does what their job.star say, on inputs of a few pixels. (Import,
motion correction and extraction by coordinates: test_relion_client.py. CtfFind runs a program that RELION has not.)
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.job_star import read_job_star, write_job_star
from cryosnake.pipeline.model import Status
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.run.commit import commit

pytestmark = [pytest.mark.workflow, pytest.mark.relion, pytest.mark.slow]

CONFIG = """
jobs:
  blobs:      {type: autopick, micrographs: micrographs.star, diameter: [140, 180]}
  by_average: {type: autopick, micrographs: micrographs.star, references: averages.mrcs, method: template,
               diameter: [140, 180], reference_pixel_size: 7.0, psi_step: 90}
  by_map:     {type: autopick, micrographs: micrographs.star, reference: reference.mrc, method: template,
               diameter: [140, 180], psi_step: 90, symmetry: D2, max_stddev_noise: 9}
  again:      {type: extract, micrographs: micrographs.star, particles: particles.star, box_size: 32}
  classes:    {type: class2d, particles: few.star, classes: 2, iterations: 1, particle_diameter: 160,
               psi_step: 24}
  initial:    {type: initialmodel, particles: two.star, iterations: 20, particle_diameter: 160}
  maps:       {type: class3d, particles: few.star, reference: reference.mrc, classes: 2, iterations: 1,
               particle_diameter: 160, symmetry: D2, sampling: 15 degrees}
  refine:     {type: refine3d, particles: few.star, reference: reference.mrc, symmetry: D2,
               particle_diameter: 160, sampling: 30 degrees, initial_lowpass: 40, offset_range: 2}
  mask:       {type: maskcreate, map: reference.mrc, threshold: 0.01}
  sharp:      {type: postprocess, half_maps: half1.mrc, mask: mask.mrc}
  local:      {type: localres, half_maps: half1.mrc, mask: mask.mrc}
  by_value:   {type: select, particles: particles.star, label: rlnDefocusU, minimum: 0}
  parts:      {type: select, particles: particles.star, split_count: 2}
  apart:      {type: select, particles: particles.star, duplicate_distance: 10}
  typical:    {type: select, particles: particles.star, discard_sigma: 4}
  joined:     {type: joinstar, particles: [few.star, rest.star]}
"""


def test_relion_runs_each_of_our_job_files(relion, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMPI_MCA_rmaps_base_oversubscribe", "1")  # three ranks also on two cores
    make_inputs()
    plan = make_plan(parse_config(yaml.safe_load(CONFIG)))
    commit(plan)
    failed = {}
    for name, job in plan.jobs.items():
        said = run_copy(job.path)
        if said:
            failed[name] = said
    assert failed == {}


def make_inputs() -> None:
    """Write particles, two micrographs with CTF from which they could come, templates, half maps and a mask."""
    simulate_particles(Path(), StackSettings(count=60, box=32, pixel_size=7.0, snr=0.3, symmetry="D2", residues=240,
                                             seed=3))
    reference, _ = read_mrc("reference.mrc")
    write_mrc("averages.mrcs", np.stack([reference.sum(axis) for axis in range(3)]), 7.0, stack=True)
    rng = np.random.default_rng(0)
    for half in (1, 2):
        noise = rng.normal(0, 0.2 * reference.std(), reference.shape)
        write_mrc(f"half{half}.mrc", (reference + noise).astype("f4"), 7.0)
    z, y, x = np.indices(reference.shape) - 16
    write_mrc("mask.mrc", np.clip(14 - np.sqrt(x**2 + y**2 + z**2), 0, 1).astype("f4"), 7.0)
    tables = read_star("particles.star")
    particles, optics = tables["particles"], tables["optics"].assign(rlnMicrographPixelSize=7.0)
    names = [f"mic{n}.mrc" for n in range(2)]
    view = reference.sum(0) / reference.sum(0).std()
    for name in names:
        image = rng.normal(0, 1, (512, 512))
        for corner in range(40, 470, 60):  # RELION's picking fails where it finds nothing
            image[corner:corner + 32, corner:corner + 32] -= 2 * view
        write_mrc(name, image.astype("f4"), 7.0)
    particles["rlnMicrographName"] = [names[n % 2] for n in range(len(particles))]
    particles["rlnCoordinateX"], particles["rlnCoordinateY"] = rng.uniform(40, 470, (2, len(particles)))
    particles["rlnOriginXAngst"] = particles["rlnOriginYAngst"] = 0.0
    particles["rlnRandomSubset"] = [n // 2 % 2 + 1 for n in range(len(particles))]  # by chance a half would be empty
    write_star("particles.star", {**tables, "particles": particles})
    for name, part in (("few.star", particles[:8]), ("two.star", particles[:2]), ("rest.star", particles[8:])):
        write_star(name, {**tables, "particles": part})
    micrographs = pd.DataFrame({"rlnMicrographName": names, "rlnOpticsGroup": 1, "rlnDefocusU": 15000.0,
                                "rlnDefocusV": 15000.0, "rlnDefocusAngle": 0.0, "rlnCtfFigureOfMerit": 0.1})
    write_star("micrographs.star", {"optics": optics, "micrographs": micrographs})


def run_copy(job: str) -> str:
    """Add a job.star as a new job through the pipeliner and run it; return "", or what RELION said when it failed."""
    star = read_job_star(Path(job, "job.star"))
    if job.startswith("InitialModel"):  # of 300 iterations, which would take half an hour
        star.options.update(sgd_ini_iter="1", sgd_inbetween_iter="1", sgd_fin_iter="1", sampling="30 degrees",
                            offset_range="1")
    write_job_star("short.star", star.type_id, star.type_label, False, star.options)
    pipeliner("--addJobFromStar", "short.star")
    new = max(read_pipeline("default_pipeline.star").processes, key=lambda name: name.partition("/job")[2])
    said = pipeliner("--RunJobs", f"{new} ", "--sec_wait_after", "1")
    status = read_pipeline("default_pipeline.star").processes[new].status
    logs = "".join(path.read_text(errors="replace")[-1500:] for path in map(Path(new).joinpath, ("run.out", "run.err"))
                   if path.exists())
    return "" if status == Status.SUCCEEDED else f"{status}: {said[-500:]}{logs}"


def pipeliner(*words: str) -> str:
    try:  # it waits for ever for a program that crashed
        done = subprocess.run(["relion_pipeliner", *words], capture_output=True, text=True, timeout=400, check=False)
    except subprocess.TimeoutExpired:
        return "the program left no exit file"
    return done.stdout + done.stderr
