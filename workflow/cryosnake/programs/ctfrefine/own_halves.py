"""Whether each particle is predicted from the half map that it is part of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.programs.ctfrefine.fits import State, Work, seen_of
from cryosnake.programs.ctfrefine.units import agreement_with_halves

_LOOKED_AT, _SURE = 300, 5.0  # particles, standard errors
_OF_A_UNIT = 10  # particles, at most


def check_halves(work: Work, state: State) -> None:
    """Check on some particles that the half maps are not exchanged.

    A map contains the noise of its own particles, so these agree better with it than with the other half map. Where
    they clearly agree with the other one, rlnRandomSubset does not belong to the maps.

    Raises
    ------
    CryosnakeError
        when that is so
    """
    found = np.concatenate(list(_differences(work, state)))
    means, errors = [], []
    for half in (1, 2):
        mine = found[found[:, 1] == half, 0]
        if len(mine) > 1:
            means.append(float(mine.mean()))
            errors.append(float(mine.std(ddof=1) / np.sqrt(len(mine))))
    if means and sum(means) < -_SURE * float(np.hypot.reduce(errors)):
        references = work.pixels[work.units[0].group].references
        raise CryosnakeError(
            f"{work.particles.path}: particles agree better with the half map that should not contain them. The half "
            f"sets (rlnRandomSubset) are not those of {references.names[0]} and {references.names[1]}: give particles "
            "and PostProcess of the same refinement, and check that its half maps were not exchanged")


def _differences(work: Work, state: State) -> Iterator[np.ndarray]:
    """Yield, for units spread over all, how much better particles agree with their own half map, and their half."""
    count = min(len(work.units), _LOOKED_AT // _OF_A_UNIT)
    for number in np.unique(np.linspace(0, len(work.units) - 1, count).astype(int)):
        unit = work.units[number]
        own, other = agreement_with_halves(unit, seen_of(work, state, unit), slice(0, _OF_A_UNIT))
        yield np.stack([own - other, unit.halves[:_OF_A_UNIT]], 1)
