"""The optics that later fits take as known, so that a job with more micrographs looks at the others as before.

What a fit finds moves a little when micrographs are added. Later fits hardly depend on that, but what was computed for
them would: so they take what an earlier job took, as long as it is close, and only new micrographs are computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryosnake.numerics.aberrations import even_phase, odd_phase
from cryosnake.programs.ctfrefine.optics_state import GroupOptics
from cryosnake.programs.ctfrefine.pixels import GroupPixels
from cryosnake.programs.ctfrefine.units import keep, kept_result

_PHASE, _MAGNIFICATION = 0.05, 5e-4  # radians (RMS) and elements of the matrix that are close


def taken(found: GroupOptics, pixels: GroupPixels, folders: Sequence[Path], name: str, settings: str) -> GroupOptics:
    """Return optics close to those found, from the first folder that has such, otherwise those found; kept as `name`.

    `settings` is all that the fit depends on, besides the particles.
    """
    made_from = hashlib.sha256(settings.encode()).hexdigest()
    for folder in folders:
        earlier = kept_result(GroupOptics, [folder], name, made_from)
        if earlier is not None and _close(earlier, found, pixels):
            break
    else:
        earlier = found
    keep(earlier, folders[0], name, made_from)
    return earlier


def _close(one: GroupOptics, other: GroupOptics, pixels: GroupPixels) -> bool:
    if one.odd.shape != other.odd.shape or one.even.shape != other.even.shape:
        return False
    kx, ky = pixels.seen(other.magnification)
    odd = odd_phase((one.odd - other.odd).tolist(), (0.0, 0.0), None, kx, ky)
    even = even_phase((one.even - other.even).tolist(), kx, ky)
    apart = max(float(np.sqrt(np.mean(phase**2))) for phase in (odd, even))
    return apart < _PHASE and float(np.abs(one.magnification - other.magnification).max()) < _MAGNIFICATION
