"""Particles of flat probabilities: coarse samples alone give what all fine ones give, whatever block they are in."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.fsc import fsc
from cryosnake.programs.refine3d.recipe import Refine3D
from cryosnake.programs.refinement import outcomes as refine_outcomes
from cryosnake.programs.refinement.execution import Execution, stack_images
from cryosnake.programs.refinement.loop import iterate
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

COUNT = 150


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Noisy particles and a model at 60 Å: so little signal that most orientations are probable."""
    folder = tmp_path_factory.mktemp("flat")
    simulate_particles(folder, StackSettings(count=COUNT, box=32, pixel_size=7.0, snr=0.05, symmetry="D2", residues=240,
                                             seed=5))
    options = JOB.options(particle_diameter=160.0, initial_lowpass=60.0, symmetry="D2",
                          reference_absolute_greyscale=True)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        particles = read_particles("particles.star")
        work = Execution(particles=particles, images=stack_images(particles))
        recipe = Refine3D(work, options, {"reference": "truth/map.mrc"}, folder)
        yield recipe, recipe.start(), read_mrc("truth/map.mrc")[0]


def iterated(first, monkeypatch, flat=refine_outcomes._FLAT, block=0):
    """One iteration, and how many particles were computed as flat ones."""
    recipe, start, _ = first
    counts = []
    original = refine_outcomes._dense
    monkeypatch.setattr(refine_outcomes, "_dense", lambda step, operands, *rest: (
        counts.append(len(operands)), original(step, operands, *rest))[1])
    monkeypatch.setattr(refine_outcomes, "_FLAT", flat)
    monkeypatch.setattr(recipe, "work", replace(recipe.work, block=block))
    model = iterate(recipe, start)
    monkeypatch.undo()
    return model, sum(counts)


def test_flat_particles_cost_no_quality(first, monkeypatch):
    coarse, dense = iterated(first, monkeypatch)
    fine, none = iterated(first, monkeypatch, flat=np.inf)
    assert dense > COUNT / 2 and none == 0
    truth, band = first[2], slice(1, 6)  # to 37 Å, beyond the start's 60
    quality = [fsc(sum(model.volumes), truth)[band].mean() for model in (coarse, fine)]
    assert quality[0] > quality[1] - 0.02
    assert np.corrcoef(*(sum(model.volumes).ravel() for model in (coarse, fine)))[0, 1] > 0.97
    for a, b in zip(coarse.statistics, fine.statistics, strict=True):
        np.testing.assert_allclose(a.noise[:, 1:], b.noise[:, 1:], rtol=0.02)
        assert a.offset_sigma == pytest.approx(b.offset_sigma, rel=0.1)


def test_each_particle_decides_for_itself(first, monkeypatch):
    whole, dense = iterated(first, monkeypatch)
    pieces, same = iterated(first, monkeypatch, block=17)
    assert dense == same
    np.testing.assert_allclose(pieces.assignments.log_likelihood, whole.assignments.log_likelihood, rtol=1e-4)
    np.testing.assert_allclose(sum(pieces.volumes), sum(whole.volumes), atol=2e-3 * np.abs(whole.volumes[0]).max())


def test_a_model_with_detail_is_searched_finely():
    levels = [SimpleNamespace(reference=SimpleNamespace(transforms=np.zeros(1)))]
    seen = SimpleNamespace(coarse_size=12, signal=np.arange(16) <= 6)
    finer = SimpleNamespace(coarse_size=12, signal=np.arange(16) <= 7)
    assert refine_outcomes._coarse_is_enough(levels, seen)
    assert not refine_outcomes._coarse_is_enough(levels, finer)
    assert not refine_outcomes._coarse_is_enough(levels * 2, seen)
