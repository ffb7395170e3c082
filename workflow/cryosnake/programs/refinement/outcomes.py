"""Computation of the blocks of an expectation step: by significant samples, or as products over all samples."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace, to_numpy
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, SphereGrid
from cryosnake.numerics.refine.grids.references import MapReference, Reference
from cryosnake.numerics.refine.grids.samples import Operands, Samples, blocks_of
from cryosnake.numerics.refine.kernels.dispatch import samples_at_once, slice_bytes
from cryosnake.numerics.refine.search.dense_block import SliceParts, dense_block, slice_parts
from cryosnake.numerics.refine.search.expectation import (
    BlockResult,
    coarse_slices,
    expectation,
    orientations_at_once,
    search_everywhere,
)
from cryosnake.numerics.refine.search.schedule import coarse_size
from cryosnake.numerics.refine.search.search import Level, global_search, search_all, search_levels, search_local
from cryosnake.parallel.workers import workers_available
from cryosnake.programs.refinement.block import Block
from cryosnake.programs.refinement.step import ExpectationStep, SearchPlan

Turn = AbstractContextManager[Any]
Found = tuple[np.ndarray, BlockResult, SphereGrid | PlaneGrid]  # places in the block, what was learnt, on which grid
Outcomes = Callable[[Block, Array, Turn], Iterator[Found]]

_MANY = 500.0  # significant samples, above which computing all is cheaper than selecting
_FLAT = 0.02  # of all coarse samples: with more significant ones, finer samples distinguish no better


def outcomes_of(step: ExpectationStep) -> Outcomes:
    """Return a function that computes a block and adds its back-projections to sums, in its turn."""
    reference, plan = step.reference, step.plan
    if _better_whole(step):
        all_slices = slice_parts(reference, step.band, workers_available())

        def whole(block: Block, sums: Array, turn: Turn) -> Iterator[Found]:
            yield np.arange(len(block.rows)), _dense(step, block.operands, all_slices, sums, turn), reference.grid

        return whole
    if isinstance(reference, MapReference):
        return _searched_by_levels(step, reference)
    slices = coarse_slices(reference, full_band(step.particles.box).cut(plan.coarse_size))

    def searched(block: Block, sums: Array, turn: Turn) -> Iterator[Found]:
        samples = search_everywhere(block.operands, slices, plan.shifts, step.log_prior, reduced=plan.tf32)
        yield from _sparse(step, block, np.arange(len(block.rows)), samples, sums, turn)

    return searched


def _better_whole(step: ExpectationStep) -> bool:
    """Return whether a step without oversampling is better computed over all samples than by a search.

    It is while particles have many significant samples, or an unknown number. On a GPU the search is cheap enough.
    """
    reference, plan = step.reference, step.plan
    oversampled = reference.grid.children > 1 or plan.shifts.sub.shape[1] > 1
    if oversampled or plan.coarse_size < plan.size or is_gpu(reference.transforms):
        return False
    significant = step.assignments.significant[step.rows]
    return bool((significant == 0).any() or significant.mean() > _MANY)


def _searched_by_levels(step: ExpectationStep, reference: MapReference) -> Outcomes:
    """Return a function that computes a block by a search over levels of orientations."""
    plan, particles = step.plan, step.particles
    whole = full_band(particles.box)

    def band_of(angle: float) -> Band:
        return whole.cut(coarse_size(angle, plan.diameter, particles.pixel_size, whole.box, plan.size, False))

    levels = search_levels(reference, band_of, _usual_weight(step))
    if plan.sigma > 0:

        def nearby(block: Block, sums: Array, turn: Turn) -> Iterator[Found]:
            poses = step.assignments.pose[block.rows]
            samples = search_local(block.operands, levels, plan.shifts, poses, plan.sigma)
            yield from _sparse(step, block, np.arange(len(block.rows)), samples, sums, turn)

        return nearby
    everywhere = global_search(levels, step.log_prior)
    flat_step, most = None, math.inf
    if _coarse_is_enough(levels, plan):
        flat_step, most = _flat_step(step, reference), _FLAT * reference.grid.size * len(plan.shifts.coarse)

    def anywhere(block: Block, sums: Array, turn: Turn) -> Iterator[Found]:
        samples = search_all(block.operands, everywhere, plan.shifts, plan.tf32, most)
        flat = np.bincount(to_numpy(samples.particle), minlength=len(block.rows)) == 0
        if flat_step is not None and flat.any():
            yield flat_step(block.operands, np.flatnonzero(flat), sums, turn)
        if not flat.all():
            yield from _sparse(step, block, np.flatnonzero(~flat), samples, sums, turn)

    return anywhere


def _usual_weight(step: ExpectationStep) -> Array:
    """Return c² over the noise's power (pixels,), with the average power of a CTF everywhere."""
    by_shell = (0.5 if step.plan.use_ctf else 1.0) / step.statistics.noise.mean(0)
    return namespace(step.reference.transforms).asarray(by_shell[step.band.shell].astype(np.float32))


def _coarse_is_enough(levels: list[Level], plan: SearchPlan) -> bool:
    """Return whether coarse orientations show all the signal, so that flat probabilities need no finer ones."""
    signal = np.flatnonzero(plan.signal)
    return len(levels) == 1 and (not signal.size or int(signal[-1]) <= plan.coarse_size // 2)


def _flat_step(step: ExpectationStep, reference: MapReference,
               ) -> Callable[[Operands, np.ndarray, Array, Turn], Found]:
    """Return a function that computes particles with flat probabilities, over all coarse orientations and shifts alone.

    Where this many samples are probable, the probability varies little between a sample and its children: sums over
    the coarse ones are sums over all, at a thirtieth of the cost.
    """
    grid, lock, workers = replace(reference.grid, oversampled=False), threading.Lock(), workers_available()
    coarse = replace(step, reference=MapReference(reference.transforms, grid))

    @cache
    def slices() -> SliceParts:
        return slice_parts(coarse.reference, step.band, workers)

    def compute(operands: Operands, places: np.ndarray, sums: Array, turn: Turn) -> Found:
        with lock:
            all_slices = slices()
        return places, _dense(coarse, operands.part(places), all_slices, sums, turn), grid

    return compute


def _sparse(step: ExpectationStep, block: Block, places: np.ndarray, samples: Samples, sums: Array, turn: Turn,
            ) -> Iterator[Found]:
    """Compute the particles at `places` of a block by their significant samples, as many at once as memory allows."""
    reference, band, shifts = step.reference, step.band, step.plan.shifts
    counts = np.bincount(to_numpy(samples.particle), minlength=len(block.rows))[places]
    for part in blocks_of(counts, _at_once(samples, reference, band)):
        mine = places[part]
        own = samples if len(mine) == len(block.rows) else samples.of_particles(mine, len(block.rows))
        yield mine, expectation(block.operands.part(mine), own, reference, band, shifts, sums, turn), reference.grid


def _at_once(samples: Samples, reference: Reference, band: Band) -> int:
    """Return how many samples are computed together: few where each has its own orientation.

    Their slices then fit into memory together, and those that were scored can be reused for the sums.
    """
    most, distinct = samples_at_once(reference.transforms), len(samples.runs()[0])
    fitting = orientations_at_once(reference.grid.children, band.kx.size, slice_bytes(reference.transforms))
    return min(most, fitting) if 2 * distinct > len(samples) else most


def _dense(step: ExpectationStep, operands: Operands, slices: SliceParts, sums: Array, turn: Turn) -> BlockResult:
    reference, band = step.reference, step.band
    pixels = band.kx.size

    def insert(part: slice, images: Array, weights: Array) -> None:
        xp = namespace(weights)
        halves = xp.ascontiguousarray(images[:, :pixels]), xp.ascontiguousarray(images[:, pixels:])
        with turn:
            reference.insert(sums, xp.arange(part.start, part.stop), xp.arange(len(weights)), halves, weights, band)

    return dense_block(operands, slices, step.plan.shifts, step.log_prior, insert)
