"""The first expectation step of classes that all start alike: each particle goes to the class it was drawn for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.numerics.refine.grids.references import Reference
from cryosnake.programs.refinement.block import SearchPlan
from cryosnake.programs.refinement.estep import Accumulated, empty_gathered, expect
from cryosnake.programs.refinement.particles import Particles
from cryosnake.programs.refinement.state import Assignments, Statistics

Report = Callable[[int], None]


def expect_drawn(particles: Particles, rows: np.ndarray, drawn: np.ndarray, state: Assignments, statistics: Statistics,
                 alone: Callable[[int], Reference], log_prior: np.ndarray, plan: SearchPlan, sums: Array,
                 report: Report,
                 ) -> Accumulated:
    """Run the expectation step over `rows`, class by class: no dearer than one class.

    Parameters
    ----------
    drawn : (len(rows),) int64
        The class of each.
    alone : callable
        Returns the reference that is one class alone.
    log_prior : (orientations,) float32
        Of one class, see `expect`.
    sums : (threads, classes, …) float32
    """
    total = empty_gathered(particles, rows, statistics, sums)
    direction = total.direction.reshape(sums.shape[1], -1)
    own, done = replace(statistics, direction=np.zeros(direction.shape[1])), 0
    for number in np.unique(drawn).tolist():
        members = np.flatnonzero(drawn == number)
        part = expect(particles, rows[members], state, own, alone(number), plan, log_prior,
                      sums[:, number : number + 1], partial(_report_after, report, done))
        state.class_index[rows[members]] = number
        direction[number] += part.direction
        total.noise += part.noise
        total.cross[members], total.power[members], total.residual[members] = part.cross, part.power, part.residual
        total.offset_power += part.offset_power
        done += len(members)
    return total


def _report_after(report: Report, before: int, count: int) -> None:
    report(before + count)
