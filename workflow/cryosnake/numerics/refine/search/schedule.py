"""Schedule of auto-refinement: when sampling becomes finer, and when it has converged.

Behaviour of relion_refine --auto_refine (Scheres 2012, J. Struct. Biol. 180, section 2.5): the sampling becomes finer
when neither the resolution nor the assignments improve any more, until it is finer than the estimated accuracy.
Our additions:

- a step that rounds by too little to be seen is fine enough, however accurate the orientations are, until the last
  iteration; and changes below the accuracy do not count. At box 128 and SNR 0.1 this saves the costliest 7 of 24;
- shifts are searched to at least five accuracies. A range from the last changes alone gets too tight: grids are rotated
  at random, shifts beyond their edge are out of reach, and changes stay small for that reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cryosnake.numerics.healpix import angular_step

_OF_ACCURACY = 0.75  # below this fraction of an estimated accuracy, steps gain nothing
_REACH = 5.0  # minimum range of shift searches, in accuracies


@dataclass(frozen=True)
class Sampling:
    """Angles by HEALPix order of the coarse grid, shifts in pixels (coarse step), sigma of the prior in degrees."""

    order: int
    offset_range: float
    offset_step: float
    sigma: float = 0.0  # 0: global search

    @property
    def fine_step(self) -> float:
        """Angular step of the oversampled grid, degrees."""
        return angular_step(self.order + 1)


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """State that decides sampling and convergence; changes are means since the last iteration."""

    best_shell: int = 0
    without_gain: int = 0
    without_change: int = 0
    smallest_rotation: float = math.inf  # degrees
    smallest_offset: float = math.inf  # Å
    fine_enough: bool = False

    @property
    def stalled(self) -> bool:
        """Whether neither the resolution nor the assignments improved in the last iteration."""
        return self.without_gain >= 1 and self.without_change >= 1

    @property
    def converged(self) -> bool:
        """Whether only the last iteration, with all data, remains."""
        return self.fine_enough and self.stalled


def at_floor(sampling: Sampling, rotation: float, offset: float, accuracy: tuple[float, float]) -> bool:
    """Return whether mean changes (degrees, pixels) are no more than the sampling causes, or than images can show.

    Two grids at random to each other differ by a step / √2 in orientation and by a step / √6 along each axis, root
    mean square, where they describe the same pose: changes of that size say nothing about the particles. Nor do those
    below the estimated accuracy (degrees, pixels) in local searches, once a step is no more than twice that.
    """
    known = _OF_ACCURACY if sampling.fine_step <= 2.0 * accuracy[0] and sampling.sigma > 0 else 0.0
    return (rotation <= max(0.8 * sampling.fine_step, known * accuracy[0])
            and offset <= max(0.3 * sampling.offset_step, known * accuracy[1]))


def invisible_step(resolution: float, diameter: float) -> float:
    """Return the angular step, degrees, whose rounding has no visible effect (resolution, diameter in Å).

    Rounding to a step of s moves the particle's edge by s / √12 times its radius, root mean square. A twentieth of the
    resolution weakens the signal there by 1 − exp(−2π² / 400) = 5 %, and by 2 % in the mean over a ball.
    """
    return math.degrees(math.sqrt(12.0) * resolution / 20.0 / (diameter / 2.0))


def after_iteration(before: Convergence, shell: int, rotation: float, offset: float, floor: bool = False,
                    ) -> Convergence:
    """Count an iteration that reached a resolution shell and changed orientations and offsets by these amounts.

    `floor`: the changes are those of the sampling alone (see `at_floor`).
    """
    steady = floor or (1.03 * rotation >= before.smallest_rotation and 1.03 * offset >= before.smallest_offset)
    return replace(
        before,
        best_shell=max(shell, before.best_shell),
        without_gain=before.without_gain + 1 if shell <= before.best_shell else 0,
        without_change=before.without_change + 1 if steady else 0,
        smallest_rotation=min(rotation, before.smallest_rotation),
        smallest_offset=min(offset, before.smallest_offset),
    )


def local_sigma(order: int, local_order: int) -> float:
    """Return the sigma of the prior at a HEALPix order, degrees; 0 (a global search) below the order of local ones."""
    return 2.0 * angular_step(order + 1) if order >= local_order else 0.0


def next_sampling(sampling: Sampling, convergence: Convergence, *, accuracy_rotation: float, accuracy_offset: float,
                  offset_change: float, local_order: int, invisible: float = 0.0) -> tuple[Sampling, Convergence]:
    """Return the sampling of the next iteration.

    Parameters
    ----------
    accuracy_rotation : float
        Degrees.
    accuracy_offset, offset_change : float
        Pixels; the change is the mean one of the last iteration.
    local_order : int
        HEALPix order from which on searches are local.
    invisible : float
        Degrees: a step of local searches finer than this need not become finer (see `invisible_step`); those
        gain from their prior, so that global searches still proceed to them.
    """
    if convergence.fine_enough or not convergence.stalled:
        return sampling, convergence
    if sampling.fine_step < max(_OF_ACCURACY * accuracy_rotation, invisible if sampling.sigma > 0 else 0.0):
        return sampling, replace(convergence, fine_enough=True)
    step = min(sampling.offset_step, 2.0 * min(1.5, _OF_ACCURACY * accuracy_offset))
    reach = max(1.5 * step, min(1.3 * sampling.offset_range, 5.0 * offset_change))
    if reach > 4.0 * step:
        reach /= 2.0
    step = max(step, reach / 4.0)
    reach = max(reach, min(sampling.offset_range, _REACH * accuracy_offset + 0.5 * step))
    order = sampling.order + 1
    fresh = replace(convergence, without_gain=0, without_change=0)
    return Sampling(order, reach, step, local_sigma(order, local_order)), fresh


def last_sampling(sampling: Sampling, *, accuracy_rotation: float, accuracy_offset: float, offset_change: float,
                  local_order: int) -> Sampling:
    """Return the sampling of the last iteration: once more as fine, where the step was too small to be seen alone.

    The iterations before need no finer step (see `invisible_step`), but the poses that are kept may be as good as the
    estimated accuracy. Global searches stay as they are. For the arguments see `next_sampling`.
    """
    if sampling.sigma == 0:
        return sampling
    stalled = Convergence(without_gain=1, without_change=1)
    return next_sampling(sampling, stalled, accuracy_rotation=accuracy_rotation, accuracy_offset=accuracy_offset,
                         offset_change=offset_change, local_order=local_order)[0]


def coarse_size(step: float, diameter: float, pixel_size: float, box: int, size: int, two_dimensional: bool) -> int:
    """Return the number of Fourier pixels of the coarse pass that a search in steps of `step` degrees can use.

    A turn by one step moves the particle's edge by π · diameter · step / 360; finer detail would not match.
    """
    moved = max(math.pi * diameter * step / 360.0, 1e-3)
    wanted = 2 * math.ceil(box * pixel_size / (moved / (1.5 if two_dimensional else 1.2)))
    return min(wanted, size)
