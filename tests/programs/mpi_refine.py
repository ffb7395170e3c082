"""Refinements and classifications on several ranks: `mpirun -n N python mpi_refine.py CASE …` in a project folder."""

from __future__ import annotations

import sys

from cryosnake.jobs import registry
from cryosnake.parallel.world import world
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.initialmodel import recipe as initialmodel
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement import memory

_MAPS = {"symmetry": "D2", "initial_lowpass": 40.0, "sampling": "15 degrees"}
JOBS = {  # case: program and its options; all other cases are refinements
    "classes": (class2d, {"classes": 3, "iterations": 2, "psi_step": 15.0}),
    "maps": (class3d, _MAPS | {"classes": 2, "iterations": 2}),
    "known": (class3d, _MAPS | {"classes": 2, "iterations": 2, "align": False}),
    "initial": (initialmodel, {"symmetry": "D2", "iterations": 4, "starts": 2, "initial_batch": 40, "final_batch": 60,
                               "final_resolution": 25.0}),
}
CASES = {
    "plain": {}, **{name: {} for name in JOBS},
    "rank0_reads": {"parallel_io": False}, "preread": {"preread": True}, "disc": {"combine_through_disc": True},
    "scratch": {"scratch_dir": "scratch", "keep_free_scratch": 0.1}, "pooled": {"pooled": 16},
    "little_memory": {"memory": 0.25},
}


def run(case: str, out: str, **changed) -> None:
    """Run a case, with other options than its own if wanted, in the working directory."""
    if case == "little_memory":  # beside Python and the libraries, which take more than all arrays of so small a box
        memory.RUNTIME = 0
    program, usual = JOBS.get(case, (refine3d, _MAPS | {"max_iterations": 1}))
    job = registry.job_types()[program.__name__.split(".")[2]]
    usual = {"particle_diameter": 160.0, "zero_mask": False} | usual
    options = job.options(**usual | CASES.get(case, {}) | changed)
    particles = {"known": "truth/particles.star", "initial": "usual/particles.star"}.get(case, "particles.star")
    program.run(options, {"particles": particles, "reference": "reference.mrc"}, out, lambda *told: None)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        run(name, f"{name}_{world().size}")
