"""The first expectation step of identical classes: each particle goes to the class sampled for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cryosnake.numerics.refine.grids.references import Reference
from cryosnake.programs.refinement.estep import expect
from cryosnake.programs.refinement.step import Accumulated, ExpectationStep, empty_accumulated


def expect_sampled(step: ExpectationStep, sampled: np.ndarray, alone: Callable[[int], Reference]) -> Accumulated:
    """Run an expectation step class by class, at the cost of one class.

    Parameters
    ----------
    step : ExpectationStep
        Its `log_prior` is that of one class.
    sampled : (n,) int64
        The class of each of its particles.
    alone : callable
        Returns the reference of one class alone.
    """
    total = empty_accumulated(step, step.empty_sums())
    direction, done = total.direction.reshape(total.sums.shape[1], -1), 0
    own = replace(step.statistics, direction=np.zeros(direction.shape[1]))
    for number in np.unique(sampled).tolist():
        members = np.flatnonzero(sampled == number)

        def report(count: int, before: int = done) -> None:
            step.report(before + count)

        part = expect(replace(step, rows=step.rows[members], statistics=own, reference=alone(number), report=report),
                      total.sums[:, number : number + 1])
        part.assigned.class_index[:] = number
        for name, values in vars(part.assigned).items():
            getattr(total.assigned, name)[members] = values
        direction[number] += part.direction
        total.noise += part.noise
        total.cross[members], total.power[members], total.residual[members] = part.cross, part.power, part.residual
        total.offset_power += part.offset_power
        done += len(members)
    return total
