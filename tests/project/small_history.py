"""A project of five jobs and its results on disk, without computing: for the tests of history and job actions."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.text_edits import read_config
from cryosnake.project.locks.job_status import set_job_status
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan
from cryosnake.project.run.commit import commit

CONFIG = """\
# the particles of an earlier project
title: history
jobs:
  classes: {type: class2d, particles: particles.star, classes: 3, particle_diameter: 190, iterations: 4}   # in 2D
  good:
    type: select
    particles: classes.particles  # the best of them
    classes: [1, 2]
  start:   {type: initialmodel, particles: good, particle_diameter: 190, symmetry: D2}
  refine:
    type: refine3d
    particles: good
    reference: start
    particle_diameter: 190
  mask: {type: maskcreate, map: "refine.map"}
"""
PATHS = ("Class2D/job001", "Select/job002", "InitialModel/job003", "Refine3D/job004", "MaskCreate/job005")


def plan() -> Plan:
    return make_plan(parse_config(read_config()))


def make_project(*done: str) -> None:
    """Make the project in the working directory; the jobs named have ended well, with empty outputs and some tables."""
    Path("config.yaml").write_text(CONFIG)
    Path("particles.star").write_text(particles(30))
    os.utime("particles.star", (time.time() - 100,) * 2)
    commit(plan())
    for name in done:
        job = plan().jobs[name]
        for output in job.outputs():
            Path(job.file(output)).touch()
        Path(job.path, "run.out").write_text("iteration 1\niteration 2\n")
        set_exit(job.path, Status.SUCCEEDED)
        set_job_status(job.path, Status.SUCCEEDED)
    if "classes" in done:
        root = "Class2D/job001/run_it004"
        Path(f"{root}_data.star").write_text(particles(30))
        Path(f"{root}_model.star").write_text(
            "\ndata_model_general\n\n_rlnCurrentResolution 12.5\n\ndata_model_classes\n\nloop_\n_rlnReferenceImage #1\n"
            "_rlnClassDistribution #2\na 0.5\nb 0.5\nc 0.0\n")
    if "good" in done:
        Path("Select/job002/particles.star").write_text(particles(21))


def particles(count: int) -> str:
    rows = "".join(f"{number}@stack.mrcs 1\n" for number in range(1, count + 1))
    return ("\ndata_optics\n\nloop_\n_rlnOpticsGroup\n1\n\ndata_particles\n\nloop_ \n_rlnImageName #1\n"
            f"_rlnOpticsGroup #2\n{rows} \n")
