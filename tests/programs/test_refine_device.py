"""Iterations of Refine3D, Class2D, Class3D and InitialModel on a GPU (or its emulation) against the CPU's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs import class2d as class2d_job
from cryosnake.jobs import class3d as class3d_job
from cryosnake.jobs import initialmodel as initialmodel_job
from cryosnake.jobs import refine3d as refine3d_job
from cryosnake.numerics.euler import angular_distance
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.initialmodel import recipe as initialmodel
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.device_images import half_precision_is_safe, image_blocks
from cryosnake.programs.refinement.execution import Execution, stack_images
from cryosnake.programs.refinement.loop import iterate
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.aberrations import Aberrations


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    aberrations = Aberrations(beam_tilt=(20.0, 10.0), even=(0.0, 0.0, 20.0, 30.0, 0.0, 0.0, 0.0, 0.0, 0.0),
                              magnification=((1.02, 0.01), (0.0, 0.97)))
    simulate_particles(folder, StackSettings(count=14, box=24, pixel_size=9.0, snr=1.0, symmetry="D2", residues=300,
                                             aberrations=aberrations))
    return folder


def _options(job, **changed):
    usual = {"particle_diameter": 150.0, "offset_range": 2.0}
    return job.JOB.options(**usual | changed)


def _on_both(folder, cupy):
    particles = read_particles(folder / "particles.star")
    here = Execution(particles=particles, images=stack_images(particles))
    return here, replace(here, device="gpu", cache={})


def _same_states(here, there, least):
    """A few particles may have poses that are as good as the CPU's, but others."""
    agree = angular_distance(here.pose, there.pose) < 0.1
    assert agree.mean() >= least
    np.testing.assert_allclose(here.offset[agree], there.offset[agree], atol=1e-6)
    np.testing.assert_allclose(here.top_weight[agree], there.top_weight[agree], atol=0.02)
    np.testing.assert_allclose(here.norm, there.norm, rtol=1e-3)


@pytest.fixture
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("local", [False, True])
def test_an_iteration_of_refine3d(in_folder, cupy, local):
    options = _options(refine3d_job, symmetry="D2", initial_lowpass=30.0, sampling="15 degrees", zero_mask=not local)
    models, accuracies = [], []
    for work in _on_both(in_folder, cupy):
        recipe = refine3d.Refine3D(work, options, {"reference": "reference.mrc"}, in_folder)
        model = recipe.start()
        true = replace(model.assignments, pose=read_particles("truth/particles.star").poses())
        sampling = replace(model.sampling, sigma=6.0) if local else model.sampling
        model = iterate(recipe, replace(model, assignments=true, sampling=sampling))
        accuracies.append(recipe.accuracy(model))
        models.append(model)
    here, there = models
    _same_states(here.assignments, there.assignments, 0.9)
    for half in (0, 1):
        assert np.corrcoef(here.volumes[half].ravel(), there.volumes[half].ravel())[0, 1] > 0.999
        np.testing.assert_allclose(here.statistics[half].noise, there.statistics[half].noise, rtol=0.01)
    np.testing.assert_allclose(here.fsc, there.fsc, atol=0.02)
    np.testing.assert_allclose(accuracies[0], accuracies[1], rtol=0.05)


def test_iterations_of_class2d(in_folder, cupy):
    options, models = _options(class2d_job, classes=2, psi_step=15.0), []
    for work in _on_both(in_folder, cupy):
        recipe = class2d.Class2D(work, options, {}, in_folder)
        models.append(iterate(recipe, iterate(recipe, recipe.start())))
    here, there = models
    assert (here.assignments.class_index == there.assignments.class_index).mean() > 0.9
    assert np.corrcoef(here.averages.ravel(), there.averages.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("program", "job", "changed", "result"), [
    (refine3d, refine3d_job, {"sampling": "30 degrees", "max_iterations": 1}, "run_class001.mrc"),
    (class3d, class3d_job, {"sampling": "30 degrees", "iterations": 1, "classes": 2}, "run_it001_class002.mrc"),
    (initialmodel, initialmodel_job, {"iterations": 4, "starts": 2, "initial_batch": 12, "final_batch": 12,
                                      "final_resolution": 30.0}, "initial_model.mrc")])
def test_jobs_run_on_a_gpu(in_folder, cupy, tmp_path, monkeypatch, request, program, job, changed, result):
    if program is initialmodel and "emulated" in request.node.name:
        pytest.skip("takes minutes by emulation; its batches are tested above")
    monkeypatch.setattr(initialmodel, "_FEWEST", 10)
    options = _options(job, symmetry="D2", device="gpu", **changed)
    inputs = {"particles": "particles.star", "reference": "reference.mrc"}
    program.run(options, inputs, tmp_path, lambda done, total, message: None)
    assert np.isfinite(read_mrc(tmp_path / result)[0]).all()


@pytest.mark.parametrize("how", ["search", "local", "known"])
def test_iterations_of_class3d(in_folder, cupy, how):
    changed = {"search": {}, "local": {"local_range": 30.0}, "known": {"align": False}}[how]
    options = _options(class3d_job, symmetry="D2", classes=2, initial_lowpass=30.0, sampling="15 degrees", **changed)
    models = []
    for work in _on_both(in_folder, cupy):
        work = replace(work, particles=read_particles("truth/particles.star"))
        recipe = class3d.Class3D(work, options, {"reference": "reference.mrc"}, in_folder)
        models.append(iterate(recipe, iterate(recipe, recipe.start())))  # at first the particles' classes are sampled
    here, there = models
    assert (here.assignments.class_index == there.assignments.class_index).mean() > 0.8
    _same_states(here.assignments, there.assignments, 1.0 if how == "known" else 0.8)
    np.testing.assert_allclose(here.class_fractions, there.class_fractions, atol=0.05)
    for one, other in zip(here.volumes, there.volumes, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(here.accuracy, there.accuracy, rtol=0.1)


@pytest.mark.parametrize("dense", [True, False])
def test_a_batch_of_an_initial_model(in_folder, cupy, dense, monkeypatch):
    monkeypatch.setattr(initialmodel, "_FEWEST", 10)
    options, models = _options(initialmodel_job, symmetry="D2", run_in_c1=False, offset_range=15.0), []
    for work in _on_both(in_folder, cupy):
        recipe = initialmodel.InitialModel(work, options, {}, in_folder)
        stage = replace(recipe.stage(0), dense=dense)
        monkeypatch.setattr(recipe, "stage", lambda step, stage=stage: stage)
        model = replace(recipe.start(), concentrated=not dense)
        model = iterate(recipe, iterate(recipe, model))
        models.append((model, recipe.likelihood(model, np.arange(5), model.statistics.noise)))
    (here, here_score), (there, there_score) = models
    assert np.corrcoef(here.volumes.ravel(), there.volumes.ravel())[0, 1] > 0.999
    np.testing.assert_allclose(here.statistics.noise, there.statistics.noise, rtol=0.01)
    assert here.concentrated == there.concentrated and here_score == pytest.approx(there_score, rel=0.02)


def test_streamed_images_are_those_that_are_resident(in_folder, cupy, monkeypatch):
    _, there = _on_both(in_folder, cupy)
    rows = np.arange(1, 14)
    monkeypatch.setattr("cryosnake.programs.refinement.device_images._GPU_BLOCK", 6)
    resident = np.concatenate([images.get() for _, images in image_blocks(there, rows, 5)])
    monkeypatch.setattr("cryosnake.programs.refinement.device_images._MEMORY_SHARE", 0.0)
    streamed = np.concatenate([images.get() for _, images in image_blocks(replace(there, cache={}), rows, 5)])
    assert streamed.shape == (13, 24, 24)
    np.testing.assert_allclose(resident, streamed, rtol=1e-3, atol=1e-6)  # half precision


def test_half_precision_is_refused_where_it_would_round_the_signal_away():
    images = np.random.default_rng(1).normal(size=(4, 16, 16)).astype(np.float32)
    assert half_precision_is_safe(images)
    assert not half_precision_is_safe(images + 1000.0)
    assert not half_precision_is_safe(images * 1e5)
