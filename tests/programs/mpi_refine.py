"""Refinements and classifications on several ranks: `mpirun -n N python mpi_refine.py CASE …` in a project folder."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from cryosnake.jobs import class2d as class2d_job
from cryosnake.jobs import refine3d as refine3d_job
from cryosnake.parallel.ranks import world
from cryosnake.programs import class2d, refine3d

CASES = {
    "plain": {}, "classes": {},
    "rank0_reads": {"parallel_io": False}, "preread": {"preread": True}, "disc": {"combine_through_disc": True},
    "scratch": {"scratch_dir": "scratch", "keep_free_scratch": 0.1}, "pooled": {"pooled": 16},
}


def run(case: str, out: str, **changed) -> None:
    """Run a case, with other options than its own if wanted, in the working directory."""
    job, usual = (class2d_job, {"classes": 3, "iterations": 2, "psi_step": 15.0}) if case == "classes" else (
        refine3d_job, {"symmetry": "D2", "initial_lowpass": 40.0, "sampling": "15 degrees", "max_iterations": 1})
    values = {parameter.name: parameter.default for parameter in job.JOB.parameters}
    usual |= {"particle_diameter": 160.0, "zero_mask": False}
    options = SimpleNamespace(**values | usual | CASES.get(case, {}) | changed)
    program = class2d if case == "classes" else refine3d
    program.run(options, {"particles": "particles.star", "reference": "reference.mrc"}, out, lambda *told: None)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(name, f"{name}_{world().size}")
