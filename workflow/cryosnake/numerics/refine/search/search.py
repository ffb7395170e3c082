"""The coarse search over several levels: significant samples on a coarse grid have their children searched on a finer.

Where a grid is seen with nearly all pixels, a quarter of them goes first, which leaves few orientations for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.projection import crop_centred
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.grids import ShiftGrid, SphereGrid
from cryosnake.numerics.refine.grids.levels import children_of, parent_grid, search_grids
from cryosnake.numerics.refine.grids.references import MapReference
from cryosnake.numerics.refine.grids.samples import Operands, Samples, blocks_of, sorted_samples
from cryosnake.numerics.refine.kernels.dispatch import coarsest_order, samples_in_search
from cryosnake.numerics.refine.search.expectation import (
    SIGNIFICANT,
    CoarseSlices,
    Kept,
    coarse_slices,
    likelihoods,
    probabilities,
    search_in_parts,
    search_nearby,
)

_KEPT_ABOVE = 0.999999  # fraction of the probability kept on a level whose step is not yet the final one
# The pixels that a step allows suffice to compare children, but not to exclude a parent: with much signal the
# true pose, half a step away, then looks worse than others. 0.6 to 0.8 of it finds what the search over all finds.
CAUTION = 0.7
_ENOUGH = 14.0  # log-likelihood ratio that decides: a millionth
_LOSS = 2.0  # times the mean loss that may be forgiven; 4 leaves nothing out and costs twice as much
_FEW = 0.5  # of all frequencies, a quarter of the pixels: they rule out most of what all pixels would
_REACH = 0.6  # steps from a direction of a grid to the farthest of its children
PairPrior = Callable[[Array, Array], Array]  # (particle, orientation) -> log prior (n,) float32
LevelPrior = Callable[[int, Array, Array], Array]  # the same of a level, by its number


@dataclass(frozen=True)
class Level:
    """A grid of the search, the pixels that are compared on it, and the references cut to these.

    `finer` says whether the grid has the children of the level above, or is the same one with more pixels.
    """

    reference: MapReference
    band: Band
    finer: bool = True

    @property
    def grid(self) -> SphereGrid:
        """The orientations of this level."""
        return self.reference.grid

    @cached_property
    def gap(self) -> Array:
        """Mean |P − P'|² (pixels,) of orientations and those half a step away."""
        return _gap(self.reference, self.band)


def search_levels(reference: MapReference, band_of: Callable[[float], Band], weight: Array | None = None,
                  ) -> list[Level]:
    """Return the levels of a search that ends on the reference's grid.

    Parameters
    ----------
    reference : MapReference
    band_of : callable
        Gives the pixels of the images for a step in degrees.
    weight : (pixels,) float32
        A particle's squared CTF over the noise's power as it is on average, over all pixels of the images. With it
        levels are left out that could rule out little: all pixels of a grid whose step costs much with few already.
    """
    first, *others = search_grids(reference.grid, coarsest_order(reference.transforms))
    narrow = band_of(reference.grid.step)
    narrow = narrow.cut(2 * round(_FEW * narrow.shell[-1]))
    cuts: dict[int, Array] = {}

    def level(grid: SphereGrid, band: Band, finer: bool = True) -> Level:
        whole = reference.transforms.shape[-1] - 1
        reach = min(2 * int(np.ceil(band.shell[-1] + 0.5)) + 2, whole)
        if reach == whole:
            return Level(MapReference(reference.transforms, grid), band, finer)
        if reach not in cuts:
            cuts[reach] = namespace(reference.transforms).stack([crop_centred(transform, reach)
                                                                 for transform in reference.transforms])
        return Level(MapReference(cuts[reach], grid), band, finer)

    levels = [level(first, band_of(first.step / CAUTION if others else first.step))]
    for grid in others:
        last = grid is reference.grid
        band = band_of(grid.step if last else grid.step / CAUTION)
        if band.kx.size <= 2 * narrow.kx.size:
            levels.append(level(grid, band))
            continue
        levels.append(level(grid, narrow))
        if last or weight is None or _LOSS * float(weight[: narrow.kx.size] @ levels[-1].gap) < _ENOUGH:
            levels.append(level(grid, band, finer=False))
    return levels


def _gap(reference: MapReference, band: Band, most: int = 64) -> Array:
    """Return the mean power (pixels,) of the difference between slices at orientations and at their children."""
    xp, size = namespace(reference.transforms), reference.grid.size
    numbers = xp.arange(0, size, max(1, size // most))
    here, there = reference.coarse(numbers, band), reference.fine(numbers, band)
    children = reference.grid.children
    return sum(((xp.repeat(a, children, axis=0) - b) ** 2).mean(0) for a, b in zip(here, there, strict=True))


def _tempered(operands: Operands, levels: list[Level], number: int) -> Operands:
    """Return the operands with log-likelihoods scaled down by what the level's step costs a true pose.

    A pose between the orientations of a grid loses Σ c²|P − P'|² (Scheres 2012, J. Struct. Biol. 180, section 2.5):
    with much signal far more than lies between what is significant and what is not. Differences of that size must
    not decide before the step is the wanted one; on the last level the operands stay as they are.
    """
    if number + 1 == len(levels):
        return operands
    seen = operands.cut(levels[number].band.kx.size)
    scale = (_ENOUGH / (_ENOUGH + _LOSS * (seen.ctf2 @ levels[number].gap)))[:, None]
    return replace(seen, masked=seen.masked * scale, ctf2=seen.ctf2 * scale)


def parent_prior(grid: SphereGrid, log_prior: Array) -> Array:
    """Return the log prior of the parent grid's orientations: the mean of their children's."""
    xp = namespace(log_prior)
    children = children_of(grid, xp.arange(parent_grid(grid).size))
    weight = xp.where(children >= 0, xp.exp(log_prior)[children], 0.0)
    mean = weight.sum(1) / xp.maximum((children >= 0).sum(1), 1)
    return xp.log(xp.maximum(mean, 1e-30)).astype(xp.float32)


@dataclass(frozen=True)
class GlobalSearch:
    """Data of the levels for a search over all orientations; made once per iteration."""

    levels: list[Level]
    priors: list[Array]
    slices: CoarseSlices


def global_search(levels: list[Level], log_prior: np.ndarray) -> GlobalSearch:
    """Return the slices of the coarsest level and the priors of all of them; log_prior (orientations,) is the last."""
    priors = [namespace(levels[0].reference.transforms).asarray(log_prior)]
    for level in reversed(levels[1:]):
        priors.insert(0, parent_prior(level.grid, priors[0]) if level.finer else priors[0])
    return GlobalSearch(levels, priors, coarse_slices(levels[0].reference, levels[0].band))


def search_all(operands: Operands, search: GlobalSearch, shifts: ShiftGrid, reduced: bool = False,
               most: float = math.inf) -> Samples:
    """Return the significant samples on the last level's grid, over all orientations and shifts.

    `reduced` lets a GPU round the operands of the first level's matrix product to TF32. Where there is one level,
    particles with more than `most` significant samples get none.
    """
    def prior(number: int, _particle: Array, orientation: Array) -> Array:
        return search.priors[number][orientation]

    xp, levels, found = namespace(operands.masked), search.levels, []
    together = samples_in_search(operands.masked) if len(levels) > 1 else math.inf
    kept = Kept(_kept(levels, 0), most, together)
    for rows, coarse in search_in_parts(_tempered(operands, levels, 0), search.slices, shifts, search.priors[0],
                                        reduced=reduced, kept=kept):
        counts = np.bincount(to_numpy(coarse.particle), minlength=rows.stop - rows.start)
        for part in blocks_of(counts, together):
            mine = np.arange(part.start, part.stop)
            whole = len(mine) == len(counts)
            own = coarse if whole else coarse.of_particles(mine, len(counts))
            here = operands if whole and len(counts) == len(operands) else operands.part(mine + rows.start)
            finer = _search_finer(here, own, levels, shifts, prior)
            found.append(replace(finer, particle=finer.particle + (part.start + rows.start)))
    if len(found) == 1:
        return found[0]
    return sorted_samples(*(xp.concatenate([getattr(part, name) for part in found])
                            for name in ("orientation", "particle", "shift", "log_prior")))


def _search_finer(operands: Operands, samples: Samples, levels: list[Level], shifts: ShiftGrid, prior: LevelPrior,
                  ) -> Samples:
    """Return the significant samples on the last level's grid that come from those of the first level."""
    for number, level in enumerate(levels[1:], 1):
        samples = search_children(_tempered(operands, levels, number), samples, level, shifts, partial(prior, number),
                                  _kept(levels, number))
    return samples


def _kept(levels: list[Level], number: int) -> float:
    return SIGNIFICANT if number + 1 == len(levels) else _KEPT_ABOVE


def search_local(operands: Operands, levels: list[Level], shifts: ShiftGrid, poses: np.ndarray, sigma: float,
                 ) -> Samples:
    """Return the significant samples on the last level's grid near poses (n, 3, 3), with a Gaussian prior of `sigma`.

    On the levels above, all orientations that may have a child within three sigma are equally probable.
    """
    first = levels[0]
    width = 3.0 + (_REACH * first.grid.step / sigma if len(levels) > 1 else 0.0)
    particle, orientation, log_prior = first.grid.near(poses, sigma, width)
    if len(levels) > 1:
        log_prior = first.grid.class_prior(orientation)
    xp = namespace(operands.masked)
    pairs = sorted_samples(xp.asarray(orientation), xp.asarray(particle), xp.zeros(len(particle), xp.int64),
                           xp.asarray(log_prior))
    samples = search_nearby(_tempered(operands, levels, 0), first.reference, first.band, shifts, pairs,
                            _kept(levels, 0))
    there = xp.asarray(poses)

    def prior(number: int, particle: Array, orientation: Array) -> Array:
        grid, last = levels[number].grid, number + 1 == len(levels)
        return grid.log_prior(there, particle, orientation, sigma, 0.0 if last else 3.0 * sigma + _REACH * grid.step)

    return _search_finer(operands, samples, levels, shifts, prior)


def search_children(operands: Operands, samples: Samples, level: Level, shifts: ShiftGrid, prior: PairPrior,
                    significant: float) -> Samples:
    """Return the significant samples among those on `level` that come from the samples of the level above.

    They are the children of these, or the same ones where the level's grid is no finer; shifts are kept.
    """
    xp, band = namespace(operands.masked), level.band
    numbers = samples.runs()[0]
    children = children_of(level.grid, numbers) if level.finer else numbers[:, None]
    each = children.shape[1]

    def slices_of(run: slice) -> tuple[Array, Array]:
        return level.reference.coarse(xp.maximum(children[run].ravel(), 0), band)

    alone = ShiftGrid(shifts.coarse, shifts.coarse, np.arange(len(shifts.coarse))[:, None])
    values = likelihoods(operands.cut(band.kx.size), samples, each, band, alone, slices_of)
    mine = children[samples.run_of()]  # (samples, each)
    log_prior = prior(xp.repeat(samples.particle, each), xp.maximum(mine, 0).ravel()).reshape(mine.shape)
    log_prior = xp.where(mine >= 0, log_prior, np.float32(-1e30))
    values[:, :, 0] += log_prior + operands.shift_prior(shifts.coarse)[samples.particle, samples.shift][:, None]
    weights = probabilities(values, samples, len(operands), significant).values[:, :, 0]
    row, child = xp.nonzero(weights)
    return sorted_samples(mine[row, child], samples.particle[row], samples.shift[row], log_prior[row, child])
