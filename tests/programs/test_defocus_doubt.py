"""Defoci that are all off by one factor are said before the first iteration, right ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cryosnake.programs.refinement.defocus_doubt import doubt_defocus
from cryosnake.programs.refinement.execution import stack_images
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
