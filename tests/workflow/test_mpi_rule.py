"""A job whose config asks for MPI ranks is started on them by its rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosnake.pipeline.job_star import read_job_star
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from small_project import snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CONFIG = """
title: ranks
jobs:
  refine: {type: refine3d, particles: particles.star, reference: reference.mrc, symmetry: D2, initial_lowpass: 40,
           particle_diameter: 160, sampling: 15 degrees, max_iterations: 1, mpi_ranks: 2}
"""


def test_the_rule_starts_the_ranks(mpirun, tmp_path: Path) -> None:
    simulate_particles(tmp_path,
                       StackSettings(count=40, box=32, pixel_size=7.0, snr=0.3, symmetry="D2", residues=240, seed=3))
    (tmp_path / "config.yaml").write_text(CONFIG)
    output = snakemake(tmp_path, "--printshellcmds")
    assert "cryosnake.running.launch 2" in output and "--threads 1" in output  # two cores for two ranks
    job = tmp_path / "Refine3D/job001"
    assert (job / "run_class001.mrc").exists() and (job / "RELION_JOB_EXIT_SUCCESS").exists()
    options = read_job_star(job / "job.star").options
    assert options["nr_mpi"] == "3" and options["nr_threads"] == "2"  # two ranks, and RELION's leader
    assert "Nothing to be done" in snakemake(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("mpi_ranks: 2", "pooled: 32"))
    assert "Nothing to be done" in snakemake(tmp_path)  # running options make no new job
