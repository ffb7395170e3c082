"""A recipe of its own, K-means of images that are not aligned, is small, and the loop does the rest for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.kinds.running_options import CONTINUE, RUNNING
from cryosnake.programs.refinement.loop import run_recipe
from cryosnake.programs.refinement.recipe import Model, Recipe
from cryosnake.programs.refinement.state import first_assignments
from cryosnake.programs.refinement.step import Accumulated

BOX, COUNT, CLASSES = 16, 120, 3


@dataclass(frozen=True, kw_only=True)
class Means(Model):
    averages: np.ndarray
    counts: np.ndarray


class KMeans(Recipe[Any, Means, None]):
    def start(self):
        images = self.work.images(np.arange(len(self.particles)))
        averages = images[:1]
        while len(averages) < self.options.classes:  # the image that is least like those chosen before
            far = ((images[:, None] - averages) ** 2).sum((2, 3)).min(1).argmax()
            averages = np.concatenate([averages, images[far : far + 1]])
        return Means(iteration=0, assignments=first_assignments(self.particles), averages=averages,
                     counts=np.zeros(len(averages)))

    def read(self, path):
        kept = np.load(path)
        found = replace(first_assignments(self.particles), class_index=kept["number"])
        return Means(iteration=int(kept["iteration"]), assignments=found, averages=kept["averages"],
                     counts=kept["counts"])

    def headline(self):
        return f"{self.particles.describe()}; {self.options.classes} means"

    def sampling(self, model):
        return None

    def expect(self, model, sampling, number, rows, report):
        images, assigned, zeros = self.work.images(rows), model.assignments.of(rows), np.zeros(len(rows))
        assigned.class_index[:] = ((images[:, None] - model.averages) ** 2).sum((2, 3)).argmin(1)
        member = assigned.class_index == np.arange(self.options.classes)[:, None]
        report(len(rows))
        return Accumulated(sums=np.einsum("kn,nyx->kyx", member, images)[None], noise=np.zeros((1, 1)),
                           counts=np.array([len(rows)]), direction=member.sum(1), cross=zeros, power=zeros,
                           residual=zeros, assigned=assigned)

    def learn(self, model, sampling, found, assignments):
        counts = found[0].direction
        return replace(model, assignments=assignments, counts=counts,
                       averages=found[0].sums[0] / np.maximum(counts, 1)[:, None, None])

    def line(self, model, seconds):
        return f"iteration {model.iteration}: {model.counts.tolist()}"

    def write(self, model):
        np.savez(f"{self.root}_it{model.iteration:03d}.npz", iteration=model.iteration, averages=model.averages,
                 counts=model.counts, number=model.assignments.class_index)
        return True

    def picture(self, model):
        from cryosnake.report.panels.iteration import class_picture

        return class_picture(model.averages, model.counts, np.full(len(model.counts), 10.0), "means")


@pytest.fixture
def truth(tmp_path, monkeypatch):
    """Images of three shapes in noise; returns which is which, and the shapes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    axis, rng = np.arange(BOX) - BOX // 2, np.random.default_rng(1)
    x, y = np.abs(axis), np.abs(axis[:, None])
    shapes = np.stack([(x < 2) & (y < 6), (x < 6) & (y < 2), np.hypot(x, y) < 4]).astype(np.float32)
    view = np.arange(COUNT) % CLASSES
    write_mrc("images.mrcs", (shapes[view] + rng.normal(0, 0.5, (COUNT, BOX, BOX))).astype(np.float32), 5.0, stack=True)
    write_star("particles.star", {
        "optics": pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [5.0], "rlnImageSize": [BOX]}),
        "particles": pd.DataFrame({"rlnImageName": [f"{i + 1:06d}@images.mrcs" for i in range(COUNT)],
                                   "rlnOpticsGroup": 1})})
    return view, shapes


class Listener:
    """Progress that notes what the loop says, and stops an iteration if it is to."""

    root_name = "run"

    def __init__(self, stop=0):
        self.stop, self.written, self.last = stop, [], None

    def __call__(self, done, total, message):
        self.last = done, total, message
        if message == f"iteration {self.stop}" and done % COUNT:
            raise KeyboardInterrupt

    def iteration_written(self, number):
        self.written.append(number)


def run(listener, **changed):
    usual = {"ctf": False, "device": "cpu", "particle_diameter": 60.0, "classes": CLASSES, "iterations": 4}
    options = SimpleNamespace(**{p.name: p.default for p in (*RUNNING, *CONTINUE)} | usual | changed)
    run_recipe(KMeans, options, {"particles": "particles.star"}, "out", listener)
    return np.load(f"out/run_it{options.iterations:03d}.npz")


def test_the_loop_carries_a_recipe_to_the_truth(truth, capsys):
    view, shapes = truth
    listener = Listener()
    found = run(listener)
    for number in range(CLASSES):
        members = view[found["number"] == number]
        shape = np.bincount(members).argmax()
        assert len(members) > 0.9 * COUNT / CLASSES and (members == shape).mean() > 0.95
        assert np.corrcoef(found["averages"][number].ravel(), shapes[shape].ravel())[0, 1] > 0.95
    assert listener.written == [1, 2, 3, 4] and listener.last == (4 * COUNT, 4 * COUNT, "iteration 4")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("120 particles, 16 px of 5 Å") and said[-1].startswith("iteration 4: [")


def test_aberrations_are_said_not_to_be_applied_once(truth, capsys):
    tables = read_star("particles.star")
    rows = tables["particles"].assign(rlnMagMat00=1.05, rlnBeamTiltX=0.0)
    write_star("particles.star", {**tables, "particles": rows})
    run(Listener(), iterations=2)
    said = [line for line in capsys.readouterr().out.splitlines() if "NOT APPLIED" in line]
    assert len(said) == 1 and said[0].startswith("WARNING: rlnMagMat00: ")


def test_what_was_stopped_goes_on_and_the_last_iteration_has_a_picture(truth, tmp_path, capsys):
    whole = run(Listener())
    (tmp_path / "out/run_it004.png").unlink()
    listener = Listener()
    resumed = run(listener, continue_from="out/run_it002.npz")
    assert listener.written == [3, 4]
    assert "Continuing after iteration 2 of out/run_it002.npz" in capsys.readouterr().out
    np.testing.assert_array_equal(resumed["averages"], whole["averages"])
    assert (tmp_path / "out/run_it004.png").stat().st_size > 1000
