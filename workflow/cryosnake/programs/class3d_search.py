"""The expectation step of Class3D: all classes at all poses, at known poses, or each particle in a drawn class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numba as nb
import numpy as np

from cryosnake.numerics.refine.bands import full_band
from cryosnake.numerics.refine.class_maps import log_shares
from cryosnake.numerics.refine.fixed_poses import classify_at_poses
from cryosnake.numerics.refine.references import MapReference, empty_map_sums
from cryosnake.programs.particles import Particles
from cryosnake.programs.refine_estep import BLOCK, Gathered, Pass, expect, prepare_block
from cryosnake.programs.refine_state import Assignments, Statistics

Report = Callable[[int], None]
_SUM_BYTES = 4 << 30  # back-projections of all threads; with more, fewer threads insert


def gather(particles: Particles, state: Assignments, statistics: Statistics, reference: MapReference, plan: Pass,
           align: bool, seeds: np.ndarray | None, report: Report) -> Gathered:
    """Run the expectation step over all particles; updates `state` in place and returns the sums.

    Parameters
    ----------
    statistics
        Its `direction` is the prior of class · directions + direction, or of the classes.
    reference
        All classes' maps.
    align : bool
        False takes each particle at its pose and offset, in every class.
    seeds : (n,) int64 or None
        The class that each particle must go to, in the first iteration of classes that all start from one map.
    """
    sums = _class_sums(len(reference.transforms), plan.size // 2)
    if not align:
        return _at_poses(particles, state, statistics, reference.transforms, plan, seeds, sums, report)
    if seeds is not None:
        return _drawn(particles, state, statistics, reference, plan, seeds, sums, report)
    prior = log_shares(statistics.direction)
    if plan.sigma > 0:
        shares = tuple(prior.tolist())
        reference = replace(reference, grid=replace(reference.grid, log_shares=shares))
        prior = np.zeros(0)
    else:
        prior = np.repeat(prior, reference.grid.psi_count)
    return expect(particles, np.arange(len(particles)), state, statistics, reference, plan,
                  prior.astype(np.float32), sums, report)


def _class_sums(classes: int, radius: int) -> np.ndarray:
    """Return volumes of zeros (threads, classes, …): one for each thread, or fewer where they would not fit.

    In memory the class comes first, so that the volumes of one class, which a kernel takes, are contiguous.
    """
    one = empty_map_sums(1, radius)
    threads = max(1, min(nb.get_num_threads(), _SUM_BYTES // (classes * one.nbytes)))
    return np.zeros((classes, threads, *one.shape[1:]), np.float32).swapaxes(0, 1)


def _drawn(particles: Particles, state: Assignments, statistics: Statistics, reference: MapReference, plan: Pass,
           seeds: np.ndarray, sums: np.ndarray, report: Report) -> Gathered:
    """Search each class's own particles with its map alone: no dearer than one class."""
    classes = len(reference.transforms)
    grid = replace(reference.grid, classes=1)
    share = statistics.direction.reshape(classes, -1).sum(0)
    prior = np.zeros(0, np.float32)
    if plan.sigma == 0:
        prior = np.repeat(log_shares(share), grid.psi_count).astype(np.float32)
    own = replace(statistics, direction=share)
    total = _empty(particles, statistics, sums)
    direction = total.direction.reshape(classes, -1)
    done = 0
    for number in range(classes):
        rows = np.flatnonzero(seeds == number)
        alone = replace(reference, transforms=reference.transforms[number : number + 1], grid=grid)
        part = expect(particles, rows, state, own, alone, plan, prior, sums[:, number : number + 1],
                      partial(_report_after, report, done))
        state.klass[rows] = number
        done += len(rows)
        direction[number] += part.direction
        _add(total, part, rows)
    return total


def _report_after(report: Report, before: int, count: int) -> None:
    report(before + count)


def _empty(particles: Particles, statistics: Statistics, sums: np.ndarray) -> Gathered:
    n = len(particles)
    counts = np.bincount(particles.optics, minlength=len(statistics.noise))
    return Gathered(sums, np.zeros_like(statistics.noise), counts, np.zeros(n), np.zeros(n), np.zeros(n), 0.0,
                    np.zeros_like(statistics.direction))


def _add(total: Gathered, part: Gathered, rows: np.ndarray) -> None:
    total.noise += part.noise
    total.cross[rows], total.power[rows], total.residual[rows] = part.cross, part.power, part.residual
    total.offset_power += part.offset_power


def _at_poses(particles: Particles, state: Assignments, statistics: Statistics, transforms: np.ndarray, plan: Pass,
              seeds: np.ndarray | None, sums: np.ndarray, report: Report) -> Gathered:
    """Weigh the classes of every particle at its own pose and offset, which stay."""
    band = full_band(particles.box).cut(plan.size)
    total = _empty(particles, statistics, sums)
    shells, signal = int(band.shell[-1]) + 1, plan.signal[: int(band.shell[-1]) + 1]
    for begin in range(0, len(particles), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(particles)))
        block = prepare_block(particles, rows, state, statistics, plan)
        prior = log_shares(statistics.direction)
        if seeds is not None:
            prior = log_shares((seeds[rows, None] == np.arange(len(transforms))).astype(np.float64))
        found = classify_at_poses(block.operands, transforms, state.pose[rows],
                                  state.offset[rows] - block.operands.offsets, band, prior, sums)
        residual = block.power.copy()
        residual[:, :shells] += block.noise[:, :shells] * (found.power - 2.0 * found.cross)
        residual = np.maximum(residual, 0.0)
        np.add.at(total.noise, particles.optics[rows], residual)
        total.residual[rows] = residual.sum(1)
        total.cross[rows], total.power[rows] = found.cross[:, signal].sum(1), found.power[:, signal].sum(1)
        total.offset_power += (state.offset[rows] ** 2).sum()
        total.direction += found.weights.sum(0)
        state.klass[rows], state.top_weight[rows] = found.weights.argmax(1), found.weights.max(1)
        state.significant[rows] = (found.weights > 0).sum(1)
        state.log_likelihood[rows] = found.log_likelihood - 0.5 * (block.power / block.noise).sum(1)
        report(int(rows[-1]) + 1)
    return total
