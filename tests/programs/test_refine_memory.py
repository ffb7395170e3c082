"""Memory: announced before the first iteration and never exceeded, met with less, or refused at once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.jobs import class3d, refine3d
from cryosnake.numerics.refine.kernels.budget import budget, budget_of, use_budget
from cryosnake.programs.class3d.recipe import Class3D
from cryosnake.programs.refine3d.recipe import Refine3D
from cryosnake.programs.refinement.execution import Execution, stack_images
from cryosnake.programs.refinement.memory import fitted, planned
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

SCRIPT = Path(__file__).parents[2] / "scripts/run_refine3d.py"
WITH_PEAK = """
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("peak", 1024 * int(re.search("VmHWM:(.*)kB", open("/proc/self/status").read())[1]) / 1e9)  # not the parent's
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    simulate_particles(folder, StackSettings(count=24, box=96, pixel_size=2.4, snr=0.2, symmetry="C1", residues=200,
                                             seed=5))
    return folder


@pytest.fixture
def inside(project, monkeypatch):
    monkeypatch.chdir(project)


def recipe_of(kind, job, box=0, **options):
    """A recipe whose particles may be taken for larger ones: their images are not read."""
    particles = read_particles("particles.star")
    if box:
        write_mrc("large.mrc", np.ones((box,) * 3, np.float32), 96 * 2.4 / box)
        particles = replace(particles, box=box, pixel_size=230.4 / box)
    work = Execution(particles=particles, images=stack_images(particles))
    return kind(work, job.JOB.options(particle_diameter=150.0, initial_lowpass=40.0, **options),
                {"reference": Path("large.mrc" if box else "truth/map.mrc")}, Path("run"))


def refine(out, memory):
    """The exit status and the output of a short refinement in its own process."""
    Path(out).mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", WITH_PEAK, SCRIPT, "--out", out, "--particles", "particles.star", "--reference",
         "truth/map.mrc", "--particle_diameter", "150", "--initial_lowpass", "40", "--max_iterations", "1",
         "--pictures", "false", "--memory", str(memory), "--threads", "1"], capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def test_what_is_announced_is_not_exceeded(inside):
    code, said = refine("Refine3D/job001", 0.9)
    assert code == 0, said
    announced, allowed = map(float, re.search(r"Memory: at most ([\d.]+) of ([\d.]+) GB", said).groups())
    assert float(re.search(r"^peak (.*)", said, re.M)[1]) < announced <= allowed == 0.9
    assert said.index("Memory: at most") < said.index("Plan of an iteration")


def test_too_little_is_refused_before_anything_is_computed(inside):
    code, said = refine("Refine3D/job002", 0.4)
    assert code != 0 and "memory: 0.4" in said and "at all frequencies of box 96" in said
    needed = float(re.search(r"Set memory: ([\d.]+)", said)[1])
    assert 0.4 < needed < 0.9
    assert "Plan of" not in said and not list(Path("Refine3D/job002").glob("run_it*"))


def test_a_budget_that_suffices_changes_nothing(inside):
    recipe = recipe_of(Refine3D, refine3d)
    before = recipe.work
    with use_budget(budget_of(16 << 30)):
        given = budget()
        with planned(recipe):
            assert recipe.work is before and budget() is given and recipe.largest == 96


def test_a_smaller_one_makes_blocks_smaller(inside):
    recipe = recipe_of(Refine3D, refine3d)
    demand = recipe.demand(96)
    with use_budget(budget_of(16 << 30)):
        usual = fitted(recipe.work, demand, None)
    with use_budget(budget_of(900 << 20)):
        smaller = fitted(recipe.work, demand, None)
        assert smaller.peak <= budget().total and smaller.block < usual.block
        with planned(recipe):
            assert recipe.work.block == smaller.block and budget().block < usual.given.block


def test_classes_are_limited_in_resolution_instead(inside, capsys):
    recipe = recipe_of(Class3D, class3d, box=256, classes=8, reference_absolute_greyscale=True)
    with use_budget(budget_of(5 << 30)), planned(recipe):
        assert 32 <= recipe.largest < 256
    said = capsys.readouterr().out
    assert f"Images are used to {2 * 230.4 / recipe.largest:.1f}" in said and "fewer classes" in said


def test_the_refusal_names_what_is_missing(inside):
    recipe = recipe_of(Refine3D, refine3d, box=256)
    with use_budget(budget_of(2 << 30)), pytest.raises(CryosnakeError) as caught, planned(recipe):
        pass
    assert "box 256 would take up to" in str(caught.value) and "four fifths of what is free" in str(caught.value)
    assert re.search(r"set memory: \d", str(caught.value))


def test_maps_do_not_depend_on_the_budget(inside):
    for out, memory in (("Refine3D/job003", 0.8), ("Refine3D/job004", 6)):
        code, said = refine(out, memory)
        assert code == 0, said
    one, other = (read_mrc(f"Refine3D/job00{number}/run_class001.mrc")[0] for number in (3, 4))
    assert np.abs(one - other).max() < 2e-3 * np.abs(one).max()
