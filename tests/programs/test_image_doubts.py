"""Defoci that are all off by one factor, and inverted contrast, are said before the first iteration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryosnake.programs.refinement.execution import stack_images
from cryosnake.programs.refinement.image_doubts import doubt_contrast, doubt_defocus
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    folder = tmp_path_factory.mktemp("defocus")
    simulate_particles(folder, StackSettings(count=400, box=64, pixel_size=3.0, residues=240, defocus=(8000.0, 14000.0),
                                             prefix=f"{folder}/"))
    return read_particles(folder / "particles.star")


def with_defoci(particles: ParticleSet, factor: float) -> ParticleSet:
    table = particles.table.copy()
    table[["rlnDefocusU", "rlnDefocusV"]] *= factor
    return replace(particles, tables={**particles.tables, "particles": table})


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.05])
def test_nothing_is_said_of_right_defoci(particles: ParticleSet, factor: float) -> None:
    assert not doubt_defocus(with_defoci(particles, factor), stack_images(particles))


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5, 1.3])
def test_wrong_defoci_are_named_with_the_factor(particles: ParticleSet, factor: float) -> None:
    line = doubt_defocus(with_defoci(particles, factor), stack_images(particles))
    assert line.startswith("WARNING") and Path(particles.path).name in line
    said = float(line.split("are those of ")[1].split()[0])
    assert said == pytest.approx(1 / factor, rel=0.07)


@pytest.mark.parametrize(("scale", "said"), [(1.0, False), (1e-3, False), (-1.0, True), (-50.0, True), (-1e-3, True)])
def test_inverted_particles_are_named(particles: ParticleSet, scale: float, said: bool) -> None:
    read = stack_images(particles)
    line = doubt_contrast(particles, lambda rows: scale * read(rows))
    assert line.startswith("WARNING") == said and ("Protein must be white" in line) == said


@pytest.mark.parametrize("kind", ["noise", "half of them", "blank"])
def test_nothing_is_said_of_contrast_that_is_not_clear(particles: ParticleSet, kind: str) -> None:
    read, rng = stack_images(particles), np.random.default_rng(3)

    def images(rows: np.ndarray) -> np.ndarray:
        shape = (len(rows), particles.box, particles.box)
        if kind == "half of them":
            return read(rows) * np.where(rows % 2, 1, -1)[:, None, None]
        return rng.normal(0.0, 1.0, shape) if kind == "noise" else np.zeros(shape)

    assert not doubt_contrast(particles, images)
