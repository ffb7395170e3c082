"""Whether the shifts of a movie's frames are those of a specimen that drifts."""

from __future__ import annotations

import numpy as np

_FEWEST = 8  # frames
_SMALLEST = 1.0  # pixels from the mean position; below, jumps are those of noise and do no harm
_JUMPING = 0.8  # von Neumann's ratio: 2 for any order, 12 / f² for a straight drift over f frames


def jumps(shifts: np.ndarray) -> bool:
    """Return whether frames with shifts (f, 2) in pixels jump to and fro, as those in another order do.

    Method: mean square of successive differences against the variance (von Neumann 1941, Ann. Math. Stat. 12, 367).
    """
    variance = np.square(shifts - shifts.mean(axis=0)).sum(axis=1).mean() if len(shifts) else 0.0
    if len(shifts) < _FEWEST or variance < _SMALLEST**2:
        return False
    return bool(np.square(np.diff(shifts, axis=0)).sum(axis=1).mean() > _JUMPING * variance)
